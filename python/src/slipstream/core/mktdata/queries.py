"""The requests of the protocol and how their replies become objects, for both clients."""

from __future__ import annotations

import array
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Callable, Generic, Literal, TypeVar

from slipstream.core.mktdata.collector import paused
from slipstream.core.mktdata.types import Candle, Funding, Instrument, OrderbookSnapshot, Quote, Trade
from slipstream.errors import SlipstreamError

T = TypeVar("T")

Columns = dict[str, Any]
"""One symbol's candles by field: memoryviews of int64 (the counts, times and flags) or float64."""

_INTEGERS = frozenset(("timestamp", "num_trades", "closed"))
_ROW = ("timestamp", "open", "high", "low", "close", "volume", "num_trades", "closed")


class Query(Generic[T]):
    """A request map, and what makes its reply's ``data`` the result."""

    __slots__ = ("decode", "request")

    def __init__(self, decode: Callable[[Any], T], kind: str, **fields: Any) -> None:
        self.decode = decode
        self.request = {"type": kind, **{name: value for name, value in fields.items() if value is not None}}

    def result(self, data: Any) -> T:
        """Decode; a reply of another shape is a ``SlipstreamError``, code ``malformed``."""
        try:
            result: T = self.decode(data)
            return result
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise SlipstreamError(
                f"the reply to {self.request['type']} has a shape this client does not know: {error!r}",
                "malformed",
            ) from error


def _same(data: Any) -> Any:
    return data


def hello(request: Mapping[str, Any]) -> Query[dict[str, Any]]:
    """Greet: ``{server, version, protocol, run_id, venues}``."""
    return Query(dict, **_as_kind(request))


def _as_kind(request: Mapping[str, Any]) -> dict[str, Any]:
    return {"kind": request["type"], **{name: value for name, value in request.items() if name != "type"}}


def symbols(venue: str) -> Query[list[str]]:
    """Ask for the carried symbols."""
    return Query(list, "get_symbols", venue=venue)


def instruments(venue: str) -> Query[list[Instrument]]:
    """Ask for the carried instruments."""
    return Query(lambda data: [Instrument(**row) for row in data], "get_instruments", venue=venue)


def candles(venue: str, symbol: str, interval: str, count: int) -> Query[list[Candle]]:
    """Ask for one symbol's candles."""
    return Query(
        lambda data: _candles_of_rows(venue, symbol, interval, data),
        "get_candles",
        venue=venue,
        symbol=symbol,
        interval=interval,
        count=count,
    )


def candles_columns(
    venue: str, wanted: Iterable[str], interval: str, count: int
) -> Query[dict[str, Columns]]:
    """Ask for many symbols' candles as columns."""
    return Query(
        lambda data: {symbol: _columns(fields) for symbol, fields in data.items()},
        "get_candles_batch",
        venue=venue,
        symbols=_names(wanted),
        interval=interval,
        count=count,
        layout="columns",
    )


def candles_batch(
    venue: str, wanted: Iterable[str], interval: str, count: int
) -> Query[dict[str, list[Candle]]]:
    """Ask for many symbols' candles as objects; columns on the wire, which is the fastest way to them."""
    query = candles_columns(venue, wanted, interval, count)

    def decode(data: Mapping[str, Any]) -> dict[str, list[Candle]]:
        with paused():
            return {symbol: made(symbol, fields) for symbol, fields in data.items()}

    def made(symbol: str, fields: Any) -> list[Candle]:
        if isinstance(fields, Mapping):
            return _candles_of_columns(venue, symbol, interval, _columns(fields))
        return _candles_of_rows(venue, symbol, interval, fields)

    return Query(decode, **_as_kind(query.request))


def _columns(fields: Mapping[str, Any]) -> Columns:
    """View each field's bytes (little-endian) as int64 or float64, copying only on a big-endian machine."""
    views = {}
    for name, packed in fields.items():
        code: Literal["q", "d"] = "q" if name in _INTEGERS else "d"
        if sys.byteorder == "little":
            views[name] = memoryview(packed).cast(code)
        else:
            swapped = array.array(code, packed)
            swapped.byteswap()
            views[name] = memoryview(swapped)
    if len({len(view) for view in views.values()}) > 1:
        raise ValueError("columns of different lengths")
    return views


def _candles_of_rows(
    venue: str, symbol: str, interval: str, rows: Iterable[Mapping[str, Any]]
) -> list[Candle]:
    known = {"venue": venue, "symbol": symbol, "interval": interval}
    return [Candle(**row) if known.keys() <= row.keys() else Candle(**{**known, **row}) for row in rows]


def _candles_of_columns(venue: str, symbol: str, interval: str, columns: Columns) -> list[Candle]:
    rows = zip(*(columns[name] for name in _ROW))
    made = [
        Candle(venue, symbol, timestamp, interval, open_, high, low, close, volume, num_trades, closed != 0)
        for timestamp, open_, high, low, close, volume, num_trades, closed in rows
    ]
    if len(columns) > len(_ROW):
        for name in sorted(columns.keys() - set(_ROW)):
            for candle, value in zip(made, columns[name]):
                if name in candle.fields:
                    setattr(candle, name, value != 0 if name == "revised" else value)
                else:
                    candle.extra[name] = value
    return made


def orderbook(venue: str, symbol: str, depth: int | None, allow_stale: bool) -> Query[OrderbookSnapshot]:
    """Ask for the book."""
    return Query(
        lambda data: OrderbookSnapshot(**data),
        "get_orderbook",
        venue=venue,
        symbol=symbol,
        depth=depth,
        allow_stale=True if allow_stale else None,
    )


def orderbook_history(
    venue: str, symbol: str, count: int, depth: int | None
) -> Query[list[OrderbookSnapshot]]:
    """Ask for the retained once-a-second books."""
    return Query(
        lambda data: [OrderbookSnapshot(**row) for row in data],
        "get_orderbook_history",
        venue=venue,
        symbol=symbol,
        count=count,
        depth=depth,
    )


def quote(venue: str, symbol: str, allow_stale: bool) -> Query[Quote]:
    """Ask for the best bid and ask."""
    return Query(
        lambda data: Quote(**data),
        "get_quote",
        venue=venue,
        symbol=symbol,
        allow_stale=True if allow_stale else None,
    )


def quotes(venue: str, symbol: str, count: int) -> Query[list[Quote]]:
    """Ask for the latest quotes."""
    return Query(
        lambda data: [Quote(**row) for row in data], "get_quotes", venue=venue, symbol=symbol, count=count
    )


def trades(venue: str, symbol: str, count: int) -> Query[list[Trade]]:
    """Ask for the latest trades."""
    return Query(
        lambda data: [Trade(**row) for row in data], "get_trades", venue=venue, symbol=symbol, count=count
    )


def funding(venue: str, symbol: str) -> Query[Funding]:
    """Ask for funding, mark and index."""
    return Query(lambda data: Funding(**data), "get_funding", venue=venue, symbol=symbol)


def status() -> Query[dict[str, Any]]:
    """Ask for the daemon's report on itself."""
    return Query(dict, "get_status")


def ping() -> Query[None]:
    """Ask for an answer."""
    return Query(lambda data: None, "ping")


def raw(request: Mapping[str, Any]) -> Query[Any]:
    """Any request as it is; the result is the reply's ``data``."""
    if not isinstance(request, Mapping) or not isinstance(request.get("type"), str):
        raise TypeError('a request is a dict with a "type", such as {"type": "get_status"}')
    query: Query[Any] = Query(_same, request["type"])
    query.request = {name: value for name, value in request.items() if name != "id"}
    return query


def subscribe_orderbook(venue: str, symbol: str, depth: int, mode: str, encoding: str) -> dict[str, Any]:
    """Make a book subscription. Records carry whole books: there the defaults are left out, else refused."""
    request: dict[str, Any] = {"type": "subscribe_orderbook", "venue": venue, "symbol": symbol}
    if encoding == "msgpack" or (depth, mode) != (10, "full"):
        request.update(depth=depth, mode=mode)
    return request


def subscribe_candles(venue: str, wanted: Iterable[str] | None, interval: str) -> list[dict[str, Any]]:
    """Make the candle subscriptions of some symbols, or the one of all."""
    if wanted is None:
        return [{"type": "subscribe_all_candles", "venue": venue, "interval": interval}]
    return [
        {"type": "subscribe_candles", "venue": venue, "symbol": symbol, "interval": interval}
        for symbol in _names(wanted)
    ]


def _names(wanted: Iterable[str]) -> Sequence[str]:
    return [wanted] if isinstance(wanted, str) else list(wanted)
