"""Messages as a pandas or polars frame, with the columns of the recorded Parquet files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Union

from slipstream.core.mktdata.types import MESSAGE_CLASSES, Candle, Record

if TYPE_CHECKING:
    import pandas
    import polars

_LEVEL_FIELDS = ("bids", "asks", "bid_changes", "ask_changes")

Row = Union[Record, Mapping[str, Any]]


def _rows(messages: Iterable[Row], type_: str | None) -> list[dict[str, Any]]:
    """Take apart messages or objects of one kind; ``timestamp`` and ``received`` in ns since the epoch."""
    rows = []
    seen: str | None = None
    for message in messages:
        if isinstance(message, Record):
            kind, record = type(message).__name__, message
        else:
            name = str(message["type"])
            if type_ is not None and name != type_:
                continue
            made = MESSAGE_CLASSES.get(name)
            if made is None:
                raise ValueError(f"a message of type {name!r} is no row of a table")
            kind, record = made.__name__, made(**message["data"])
        if seen is not None and kind != seen:
            raise ValueError(f"{seen} and {kind} in one table; choose one with type=")
        seen = kind
        fields = record.to_dict()
        row: dict[str, Any] = {}
        if isinstance(record, Candle):
            row["timestamp"] = fields.pop("timestamp") * 1_000_000_000
        else:
            row["timestamp"] = fields.pop("timestamp_us", 0) * 1000
        received_us = fields.pop("received_us", 0)
        row["received"] = received_us * 1000 if received_us else None
        for name in _LEVEL_FIELDS:
            if name in fields:
                fields[name] = [{"price": price, "size": size} for price, size in fields[name]]
        row.update(fields)
        rows.append(row)
    return rows


def to_pandas(messages: Iterable[Row], type: str | None = None) -> pandas.DataFrame:
    """Make a pandas frame of messages (``stream()`` dicts) or objects (``Trade``, ...) of one kind.

    ``type`` picks one message type out of a mixture of dicts; without it a mixture is a ``ValueError``.
    Columns: ``timestamp`` (UTC; the venue's time, a candle's start), ``received`` (UTC), then the fields;
    levels as lists of ``{"price", "size"}``. Needs the extra ``slipstream[pandas]``.
    """
    try:
        import pandas
    except ImportError as error:
        raise ImportError("to_pandas needs pandas: pip install 'slipstream[pandas]'") from error
    frame = pandas.DataFrame(_rows(messages, type))
    if not frame.empty:
        frame["timestamp"] = pandas.to_datetime(frame["timestamp"], unit="ns", utc=True).dt.as_unit("us")
        frame["received"] = pandas.to_datetime(frame["received"], unit="ns", utc=True).dt.as_unit("ns")
    return frame


def to_polars(messages: Iterable[Row], type: str | None = None) -> polars.DataFrame:
    """Make a polars frame, as ``to_pandas``. Needs the extra ``slipstream[polars]``."""
    try:
        import polars
    except ImportError as error:
        raise ImportError("to_polars needs polars: pip install 'slipstream[polars]'") from error
    rows = _rows(messages, type)
    if not rows:
        return polars.DataFrame()
    frame = polars.DataFrame(rows, infer_schema_length=None)
    return frame.with_columns(
        polars.col("timestamp").cast(polars.Datetime("ns", "UTC")).cast(polars.Datetime("us", "UTC")),
        polars.col("received").cast(polars.Datetime("ns", "UTC")),
    )
