"""What the daemon sends, as objects: one light class per stream message, plus ``Instrument``.

``Class(**msg["data"])`` works for every stream message; keys a class does not know go to ``.extra``.
Fields are attributes and also keys: ``trade.price``, ``trade["price"]``, ``dict(trade)``.

Units everywhere: prices, sizes and rates are float, as the venue gives them (a perpetual's size in base
currency); ``_us`` is microseconds and ``timestamp`` seconds since the Unix epoch, UTC. ``timestamp_us`` is
the venue's time, ``received_us`` the daemon's receive time (0: not given).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from slipstream.core.mktdata.levels import Level, Levels, pairs
from slipstream.errors import SlipstreamError


class Record:
    """Base of the message classes: equality, ``repr``, key access and ``to_dict``."""

    __slots__ = ("extra",)
    fields: ClassVar[tuple[str, ...]] = ()
    extra: dict[str, Any]

    def __init_subclass__(cls) -> None:
        cls.fields = tuple(cls.__dict__["__slots__"])

    def keys(self) -> tuple[str, ...]:
        """Return the field names, those in ``extra`` included."""
        return (*self.fields, *self.extra)

    def __getitem__(self, key: str) -> Any:
        if key in self.fields:
            return getattr(self, key)
        return self.extra[key]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a new dict, those in ``extra`` included."""
        return {**{name: getattr(self, name) for name in self.fields}, **self.extra}

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.to_dict() == other.to_dict()

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self.to_dict().items())
        return f"{type(self).__name__}({inside})"


class OrderbookSnapshot(Record):
    """A book, or its best ``depth`` levels: ``orderbook_snapshot``, ``orderbook_update``, ``get_orderbook``.

    ``bids`` descend, ``asks`` ascend. ``sequence`` counts the published states of this book,
    ``venue_sequence`` is Binance's ``u`` (else None). ``fresh_levels``: how many levels are confirmed at
    ``timestamp_us`` (of the side with fewer); ``depth_timestamp_us``: venue time of the oldest part.
    ``conflated``: how many messages were merged into this one for this client (0: none). ``stale``: served
    although not live (``allow_stale``).
    """

    __slots__ = (
        "venue",
        "symbol",
        "timestamp_us",
        "sequence",
        "bids",
        "asks",
        "received_us",
        "venue_sequence",
        "fresh_levels",
        "depth_timestamp_us",
        "conflated",
        "stale",
    )

    def __init__(
        self,
        venue: str,
        symbol: str,
        timestamp_us: int = 0,
        sequence: int = 0,
        bids: Iterable[Any] = (),
        asks: Iterable[Any] = (),
        received_us: int = 0,
        venue_sequence: int | None = None,
        fresh_levels: int | None = None,
        depth_timestamp_us: int | None = None,
        conflated: int = 0,
        stale: bool = False,
        **extra: Any,
    ) -> None:
        self.venue = venue
        self.symbol = symbol
        self.timestamp_us = timestamp_us
        self.sequence = sequence
        self.bids: Levels = bids if isinstance(bids, Levels) else Levels(bids)
        self.asks: Levels = asks if isinstance(asks, Levels) else Levels(asks)
        self.received_us = received_us
        self.venue_sequence = venue_sequence
        self.fresh_levels = fresh_levels
        self.depth_timestamp_us = depth_timestamp_us
        self.conflated = conflated
        self.stale = stale
        self.extra = extra

    @property
    def best_bid(self) -> float | None:
        """The highest bid price; None when there is no bid. ``bids[0]`` has its size too."""
        return self.bids[0].price if self.bids else None

    @property
    def best_ask(self) -> float | None:
        """The lowest ask price; None when there is no ask. ``asks[0]`` has its size too."""
        return self.asks[0].price if self.asks else None

    @property
    def mid_price(self) -> float | None:
        """Half the sum of best bid and best ask; None when a side is empty."""
        if not self.bids or not self.asks:
            return None
        return (self.bids[0].price + self.asks[0].price) / 2.0

    @property
    def spread_bps(self) -> float | None:
        """Best ask less best bid, in 1/10,000 of the mid price; None when a side is empty."""
        mid = self.mid_price
        if not mid:
            return None
        return 10_000.0 * (self.asks[0].price - self.bids[0].price) / mid

    def apply(self, delta: OrderbookDelta) -> OrderbookSnapshot:
        """Return the book after ``delta``, exactly what mode ``"full"`` would show; ``self`` is unchanged.

        Raises ``SlipstreamError`` (code ``sequence_break``) when the delta is not for this state of this
        book: another venue or symbol, or ``delta.prev_sequence != self.sequence``.
        """
        if (delta.venue, delta.symbol) != (self.venue, self.symbol):
            raise SlipstreamError(
                f"a delta of {delta.venue} {delta.symbol} applied to a book of {self.venue} {self.symbol}",
                "sequence_break",
            )
        if delta.prev_sequence != self.sequence:
            raise SlipstreamError(
                f"{self.venue} {self.symbol}: a delta from sequence {delta.prev_sequence} to "
                f"{delta.sequence} applied to a book at {self.sequence}; wait for the next snapshot",
                "sequence_break",
            )
        bids = _changed(self.bids, delta.bid_changes, self.extra.get("bid_horizon"), 1)
        asks = _changed(self.asks, delta.ask_changes, self.extra.get("ask_horizon"), -1)
        extra: dict[str, Any] = {
            name: self.extra[name] for name in ("bid_horizon", "ask_horizon") if name in self.extra
        }
        extra.update(delta.extra)
        return OrderbookSnapshot(
            self.venue,
            self.symbol,
            delta.timestamp_us,
            delta.sequence,
            bids,
            asks,
            delta.received_us,
            delta.venue_sequence,
            delta.fresh_levels,
            delta.depth_timestamp_us,
            delta.conflated,
            **extra,
        )


def _changed(side: Levels, changes: Levels, horizon: float | None, sign: int) -> Levels:
    """Apply one side's changes: size 0 deletes, anything else sets; a price new to the side is sorted in.

    ``sign`` is 1 for bids, -1 for asks. Books of records have a ``horizon``: only what is better is known.
    """
    sizes: dict[float, float] = {price: size for price, size in pairs(side)}
    entered = False
    for price, size in pairs(changes):
        if horizon is not None and sign * price <= sign * horizon:
            continue
        if size:
            entered = entered or price not in sizes
            sizes[price] = size
        else:
            sizes.pop(price, None)
    return Levels(sorted(sizes.items(), reverse=sign > 0) if entered else sizes.items())


class OrderbookDelta(Record):
    """What changed in a book (``orderbook_delta``): for the state whose ``sequence`` is ``prev_sequence``.

    ``bid_changes`` and ``ask_changes`` hold the new size at a price; size 0 deletes it. The other fields are
    as in ``OrderbookSnapshot``. ``OrderbookSnapshot.apply`` gives the next book.
    """

    __slots__ = (
        "venue",
        "symbol",
        "timestamp_us",
        "sequence",
        "prev_sequence",
        "bid_changes",
        "ask_changes",
        "received_us",
        "venue_sequence",
        "fresh_levels",
        "depth_timestamp_us",
        "conflated",
    )

    def __init__(
        self,
        venue: str,
        symbol: str,
        timestamp_us: int = 0,
        sequence: int = 0,
        prev_sequence: int = 0,
        bid_changes: Iterable[Any] = (),
        ask_changes: Iterable[Any] = (),
        received_us: int = 0,
        venue_sequence: int | None = None,
        fresh_levels: int | None = None,
        depth_timestamp_us: int | None = None,
        conflated: int = 0,
        **extra: Any,
    ) -> None:
        self.venue = venue
        self.symbol = symbol
        self.timestamp_us = timestamp_us
        self.sequence = sequence
        self.prev_sequence = prev_sequence
        self.bid_changes = bid_changes if isinstance(bid_changes, Levels) else Levels(bid_changes)
        self.ask_changes = ask_changes if isinstance(ask_changes, Levels) else Levels(ask_changes)
        self.received_us = received_us
        self.venue_sequence = venue_sequence
        self.fresh_levels = fresh_levels
        self.depth_timestamp_us = depth_timestamp_us
        self.conflated = conflated
        self.extra = extra


class Quote(Record):
    """Best bid and ask (``quote``). An empty side has price and size None."""

    __slots__ = (
        "venue",
        "symbol",
        "timestamp_us",
        "bid_price",
        "bid_size",
        "ask_price",
        "ask_size",
        "received_us",
        "conflated",
        "stale",
    )

    def __init__(
        self,
        venue: str,
        symbol: str,
        timestamp_us: int = 0,
        bid_price: float | None = None,
        bid_size: float | None = None,
        ask_price: float | None = None,
        ask_size: float | None = None,
        received_us: int = 0,
        conflated: int = 0,
        stale: bool = False,
        **extra: Any,
    ) -> None:
        self.venue = venue
        self.symbol = symbol
        self.timestamp_us = timestamp_us
        self.bid_price = bid_price
        self.bid_size = bid_size
        self.ask_price = ask_price
        self.ask_size = ask_size
        self.received_us = received_us
        self.conflated = conflated
        self.stale = stale
        self.extra = extra

    @property
    def mid_price(self) -> float | None:
        """Half the sum of bid and ask; None when a side is empty."""
        if self.bid_price is None or self.ask_price is None:
            return None
        return (self.bid_price + self.ask_price) / 2.0

    @property
    def spread_bps(self) -> float | None:
        """Ask less bid, in 1/10,000 of the mid price; None when a side is empty."""
        mid = self.mid_price
        if not mid or self.bid_price is None or self.ask_price is None:
            return None
        return 10_000.0 * (self.ask_price - self.bid_price) / mid


class Trade(Record):
    """One trade (``trade``). ``side`` is the aggressor's: ``"Buy"`` or ``"Sell"``.

    ``trade_id`` is a string: Binance's aggregate id, Hyperliquid's tid. ``backfill``: filled in later.
    """

    __slots__ = (
        "venue",
        "symbol",
        "timestamp_us",
        "price",
        "size",
        "side",
        "trade_id",
        "backfill",
        "received_us",
    )

    def __init__(
        self,
        venue: str,
        symbol: str,
        timestamp_us: int = 0,
        price: float = 0.0,
        size: float = 0.0,
        side: str = "",
        trade_id: str = "",
        backfill: bool = False,
        received_us: int = 0,
        **extra: Any,
    ) -> None:
        self.venue = venue
        self.symbol = symbol
        self.timestamp_us = timestamp_us
        self.price = price
        self.size = size
        self.side = side
        self.trade_id = trade_id
        self.backfill = backfill
        self.received_us = received_us
        self.extra = extra


class Candle(Record):
    """One period's open, high, low, close and volume (``candle``, ``get_candles``).

    ``timestamp``: start of the period, seconds. ``volume`` in base currency. ``closed``: the period has
    ended; ``revised``: a correction of a candle already sent as closed.
    """

    __slots__ = (
        "venue",
        "symbol",
        "timestamp",
        "interval",
        "open",
        "high",
        "low",
        "close",
        "volume",
        "num_trades",
        "closed",
        "revised",
        "received_us",
    )

    def __init__(
        self,
        venue: str,
        symbol: str,
        timestamp: int = 0,
        interval: str = "",
        open: float = 0.0,
        high: float = 0.0,
        low: float = 0.0,
        close: float = 0.0,
        volume: float = 0.0,
        num_trades: int = 0,
        closed: bool = False,
        revised: bool = False,
        received_us: int = 0,
        **extra: Any,
    ) -> None:
        self.venue = venue
        self.symbol = symbol
        self.timestamp = timestamp
        self.interval = interval
        self.open = open
        self.high = high
        self.low = low
        self.close = close
        self.volume = volume
        self.num_trades = num_trades
        self.closed = closed
        self.revised = revised
        self.received_us = received_us
        self.extra = extra


class Funding(Record):
    """Funding, mark and index (``funding``). What a venue does not give is None.

    ``funding_rate`` is the venue's own figure for ``interval_hours``; ``next_funding_us`` the next payment.
    ``open_interest`` in base currency.
    """

    __slots__ = (
        "venue",
        "symbol",
        "timestamp_us",
        "funding_rate",
        "interval_hours",
        "next_funding_us",
        "mark_price",
        "index_price",
        "open_interest",
        "received_us",
    )

    def __init__(
        self,
        venue: str,
        symbol: str,
        timestamp_us: int = 0,
        funding_rate: float | None = None,
        interval_hours: float | None = None,
        next_funding_us: int | None = None,
        mark_price: float | None = None,
        index_price: float | None = None,
        open_interest: float | None = None,
        received_us: int = 0,
        **extra: Any,
    ) -> None:
        self.venue = venue
        self.symbol = symbol
        self.timestamp_us = timestamp_us
        self.funding_rate = funding_rate
        self.interval_hours = interval_hours
        self.next_funding_us = next_funding_us
        self.mark_price = mark_price
        self.index_price = index_price
        self.open_interest = open_interest
        self.received_us = received_us
        self.extra = extra


class Fill(Record):
    """One of our own executions (``fill``). ``is_snapshot``: from before the subscription."""

    __slots__ = (
        "venue",
        "symbol",
        "timestamp_us",
        "price",
        "size",
        "side",
        "order_id",
        "trade_id",
        "fee",
        "is_snapshot",
        "received_us",
    )

    def __init__(
        self,
        venue: str,
        symbol: str,
        timestamp_us: int = 0,
        price: float = 0.0,
        size: float = 0.0,
        side: str = "",
        order_id: Any = None,
        trade_id: Any = None,
        fee: float | None = None,
        is_snapshot: bool = False,
        received_us: int = 0,
        **extra: Any,
    ) -> None:
        self.venue = venue
        self.symbol = symbol
        self.timestamp_us = timestamp_us
        self.price = price
        self.size = size
        self.side = side
        self.order_id = order_id
        self.trade_id = trade_id
        self.fee = fee
        self.is_snapshot = is_snapshot
        self.received_us = received_us
        self.extra = extra


class Status(Record):
    """The state of a stream (``status``): ``warming``, ``live``, ``stale``, ``resyncing`` or ``down``.

    ``stream``: ``orderbook``, ``quotes``, ``trades``, ``candles``, ``funding``, ``fills``, ``connection`` or
    ``recorder``. ``symbol`` None: the whole venue; ``venue`` None too, with stream ``connection``: this
    client's own connection to the daemon (the client makes these itself, see ``MarketDataClient.stream``).
    """

    __slots__ = (
        "venue",
        "symbol",
        "timestamp_us",
        "stream",
        "state",
        "reason",
        "age_ms",
        "received_us",
    )

    def __init__(
        self,
        venue: str | None = None,
        symbol: str | None = None,
        timestamp_us: int = 0,
        stream: str = "",
        state: str = "",
        reason: str | None = None,
        age_ms: int | None = None,
        received_us: int = 0,
        **extra: Any,
    ) -> None:
        self.venue = venue
        self.symbol = symbol
        self.timestamp_us = timestamp_us
        self.stream = stream
        self.state = state
        self.reason = reason
        self.age_ms = age_ms
        self.received_us = received_us
        self.extra = extra


class Gap(Record):
    """Something was lost here, at the venue or for this client (``gap``).

    ``missed``: how many messages, None when nobody knows. ``venue`` and ``symbol`` are None for what concerns
    the recorder or this client's own connection.
    """

    __slots__ = (
        "venue",
        "symbol",
        "timestamp_us",
        "stream",
        "reason",
        "missed",
        "received_us",
    )

    def __init__(
        self,
        venue: str | None = None,
        symbol: str | None = None,
        timestamp_us: int = 0,
        stream: str = "",
        reason: str = "",
        missed: int | None = None,
        received_us: int = 0,
        **extra: Any,
    ) -> None:
        self.venue = venue
        self.symbol = symbol
        self.timestamp_us = timestamp_us
        self.stream = stream
        self.reason = reason
        self.missed = missed
        self.received_us = received_us
        self.extra = extra


class Heartbeat(Record):
    """A sign of life (``heartbeat``): the daemon's time. Sent when nothing else was for 5 s."""

    __slots__ = ("timestamp_us",)

    def __init__(self, timestamp_us: int = 0, **extra: Any) -> None:
        self.timestamp_us = timestamp_us
        self.extra = extra


class Instrument(Record):
    """One instrument of a venue (``get_instruments``).

    ``kind``: ``perp``, ``spot`` or ``future``; ``status``: ``trading``, ``halted`` or ``delisted``.
    ``tick_size`` is the price step at the current price (None: not known), ``lot_size`` the size step.
    """

    __slots__ = (
        "venue",
        "symbol",
        "base",
        "quote",
        "kind",
        "tick_size",
        "lot_size",
        "status",
    )

    def __init__(
        self,
        venue: str,
        symbol: str,
        base: str = "",
        quote: str = "",
        kind: str = "",
        tick_size: float | None = None,
        lot_size: float | None = None,
        status: str = "",
        **extra: Any,
    ) -> None:
        self.venue = venue
        self.symbol = symbol
        self.base = base
        self.quote = quote
        self.kind = kind
        self.tick_size = tick_size
        self.lot_size = lot_size
        self.status = status
        self.extra = extra


MESSAGE_CLASSES: dict[str, type[Record]] = {
    "orderbook_snapshot": OrderbookSnapshot,
    "orderbook_update": OrderbookSnapshot,
    "orderbook_delta": OrderbookDelta,
    "quote": Quote,
    "trade": Trade,
    "candle": Candle,
    "funding": Funding,
    "fill": Fill,
    "status": Status,
    "gap": Gap,
    "heartbeat": Heartbeat,
}
"""The class of each stream message type: ``MESSAGE_CLASSES[msg["type"]](**msg["data"])``."""

__all__ = [
    "MESSAGE_CLASSES",
    "Candle",
    "Fill",
    "Funding",
    "Gap",
    "Heartbeat",
    "Instrument",
    "Level",
    "Levels",
    "OrderbookDelta",
    "OrderbookSnapshot",
    "Quote",
    "Record",
    "Status",
    "Trade",
]
