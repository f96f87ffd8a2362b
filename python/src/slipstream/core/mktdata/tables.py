"""Messages and candle batches as a pandas or polars frame, with the columns of the recorded Parquet files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal, Union

from slipstream.core.mktdata.types import MESSAGE_CLASSES, Candle, Record

if TYPE_CHECKING:
    import pandas
    import polars

_TIME_UNITS: dict[str, Literal["us", "ns"]] = {"timestamp": "us", "received": "ns"}
_LEVEL_FIELDS = ("bids", "asks", "bid_changes", "ask_changes")

Row = Union[Record, Mapping[str, Any]]

Batch = Mapping[str, Union[Sequence[Candle], Mapping[str, Any]]]
"""Candles by symbol: what ``get_candles_batch`` or ``get_candles_columns`` returned."""


def _batch_columns(batch: Batch) -> dict[str, list[Any]]:
    """Put the candles of all symbols into columns, one symbol after the other; times as in ``_rows``."""
    columns: dict[str, list[Any]] = {"timestamp": []}
    symbols: list[str] = []
    candles: list[Candle] = []
    for symbol, part in batch.items():
        if not isinstance(part, Mapping):
            candles += part
            continue
        symbols += [symbol] * len(part["timestamp"])
        for name, values in part.items():
            columns.setdefault(name, []).extend(values)
    if symbols and candles:
        raise ValueError("a batch holds candles or columns, not both")
    if symbols:
        # They say nothing of venue, interval and receive time: whoever asked for them knows.
        columns = {"timestamp": columns.pop("timestamp"), "symbol": symbols, **columns}
        columns["closed"] = [closed != 0 for closed in columns["closed"]]
    elif candles:
        columns = {"timestamp": [], "received": []}
        columns.update((name, list(map(attrgetter(name), candles))) for name in Candle.fields)
        columns["received"] = [us * 1000 if us else None for us in columns.pop("received_us")]
    columns["timestamp"] = [seconds * 1_000_000_000 for seconds in columns["timestamp"]]
    return columns if columns["timestamp"] else {}


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


def to_pandas(messages: Iterable[Row] | Batch, type: str | None = None) -> pandas.DataFrame:
    """Make a pandas frame of messages (``stream()`` dicts) or objects (``Trade``, ...) of one kind.

    ``type`` picks one message type out of a mixture of dicts; without it a mixture is a ``ValueError``.
    Columns: ``timestamp`` (UTC; the venue's time, a candle's start), ``received`` (UTC), then the fields;
    levels as lists of ``{"price", "size"}``. Also of a batch of candles: what ``get_candles_batch`` returned,
    or ``get_candles_columns`` (then without ``received``, ``venue`` and ``interval``, which it lacks), the
    symbols one after the other. Needs the extra ``slipstream[pandas]``.
    """
    try:
        import pandas
    except ImportError as error:
        raise ImportError("to_pandas needs pandas: pip install 'slipstream[pandas]'") from error
    made = _batch_columns(messages) if isinstance(messages, Mapping) else _rows(messages, type)
    frame = pandas.DataFrame(made)
    for name, unit in _TIME_UNITS.items():
        if name in frame:
            frame[name] = pandas.to_datetime(frame[name], unit="ns", utc=True).dt.as_unit(unit)
    return frame


def to_polars(messages: Iterable[Row] | Batch, type: str | None = None) -> polars.DataFrame:
    """Make a polars frame, as ``to_pandas``. Needs the extra ``slipstream[polars]``."""
    try:
        import polars
    except ImportError as error:
        raise ImportError("to_polars needs polars: pip install 'slipstream[polars]'") from error
    made = _batch_columns(messages) if isinstance(messages, Mapping) else _rows(messages, type)
    if not made:
        return polars.DataFrame()
    frame = polars.DataFrame(made, infer_schema_length=None)
    return frame.with_columns(
        polars.col(name).cast(polars.Datetime("ns", "UTC")).cast(polars.Datetime(unit, "UTC"))
        for name, unit in _TIME_UNITS.items()
        if name in frame.columns
    )
