"""Decodes binary records (``encoding="record"``) into the same message dicts as the MessagePack stream.

A record is little-endian: a 64-byte header, then a body by kind (the daemon's ``docs/records.md``)::

     0  length u32 | kind u8 | flags u8 | venue u8 | stream u8
     8  instrument u32 | source u8 | version u8 | zero u16
    16  run_id u64 | sequence u64 | venue_sequence u64 | ts_event_ns u64 | ts_recv_ns u64
    56  checksum u32 | zero u32
    64  body

Prices and sizes are integers of 1e-8, rates of 1e-12. Python divides integers to the nearest double, so the
floats here are the ones MessagePack carries.

What differs from the MessagePack stream: books are the raw kept-depth ones. A snapshot also carries
``bid_horizon`` and ``ask_horizon`` (None: the side is known to its end): only prices strictly better are
known, and ``OrderbookSnapshot.apply`` ignores what a delta says beyond. Deltas have no ``fresh_levels``.
"""

from __future__ import annotations

import struct
from typing import Any

from slipstream.core.mktdata.levels import Levels

LAYOUT_VERSION = 1
HEADER_BYTES = 64
NO_INSTRUMENT = 2**32 - 1

FLAG_BACKFILL = 4
FLAG_SUSPECT = 2
FLAG_LEVEL_TIMES = 32

_NONE_I64 = -(2**63)
_MAX_I64 = 2**63 - 1
_MISSED_UNKNOWN = 2**64 - 1
_PRICE = 10**8
_RATE = 10**12

_header = struct.Struct("<IBBBBIBBHQQQQQII").unpack_from
_instrument = struct.Struct("<qqBBBBBBBx48s48s48s").unpack_from
_trade = struct.Struct("<qqQB7x").unpack_from
_quote = struct.Struct("<qqqq").unpack_from
_book = struct.Struct("<IIqqQQ").unpack_from
_candle = struct.Struct("<QqqqqQqQBBB5x").unpack_from
_funding = struct.Struct("<qqqqQI4x").unpack_from
_fill = struct.Struct("<qqQQqBB6x").unpack_from
_status = struct.Struct("<BxH4xQ").unpack_from
_gap = struct.Struct("<H6xQQQ").unpack_from

_VENUES = {1: "hyperliquid", 2: "binance"}
_STREAMS = {
    1: "orderbook",
    2: "quotes",
    3: "trades",
    4: "candles",
    5: "funding",
    6: "fills",
    7: "connection",
    8: "recorder",
}
_STATES = {1: "warming", 2: "live", 3: "stale", 4: "resyncing", 5: "down"}
_SIDES = {1: "Buy", 2: "Sell"}
_REASONS = dict(
    enumerate(
        (
            "none",
            "sequence_break",
            "disconnect",
            "silence",
            "crossed",
            "overflow",
            "unrepresentable",
            "slow_client",
            "ring_full",
            "restart",
            "disk_full",
            "venue_history_exhausted",
            "connecting",
            "subscribing",
            "awaiting_data",
            "awaiting_snapshot",
            "unknown_symbol",
            "rejected",
            "no_first_data",
            "behind_quote",
            "shutdown",
            "not_configured",
            "malformed",
            "shed",
            "awaiting_instruments",
            "halted",
            "lag",
            "empty_book",
        )
    )
)
_INTERVALS = dict(
    enumerate(
        ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M"), start=1
    )
)

Message = dict[str, Any]


class RecordDecoder:
    """Turns the records of one connection into message dicts; it learns instrument names on the way."""

    def __init__(self) -> None:
        self._symbols: dict[int, str] = {}

    def decode(self, record: memoryview) -> Message | None:
        """Return the message of one record, or None for records that are no message (instrument, check, end).

        Raises ``ValueError`` for bytes that are no record of this layout.
        """
        try:
            return self._decode(record)
        except struct.error as error:
            raise ValueError(f"a record cut short ({len(record)} bytes): {error}") from None

    def _decode(self, record: memoryview) -> Message | None:
        (
            length,
            kind,
            flags,
            venue_number,
            stream_number,
            instrument,
            _source,
            version,
            _zero,
            _run_id,
            sequence,
            venue_sequence,
            ts_event_ns,
            ts_recv_ns,
            _checksum,
            _zero_end,
        ) = _header(record)
        if version != LAYOUT_VERSION:
            raise ValueError(f"a record of layout version {version}; this client reads {LAYOUT_VERSION}")
        if length != len(record):
            raise ValueError(f"a record that says {length} bytes in a frame that holds {len(record)}")
        if kind == 1:
            body = _instrument(record, HEADER_BYTES)
            self._symbols[instrument] = body[9][: body[6]].decode("utf-8")
            return None
        decode = _KINDS.get(kind)
        if decode is None:
            return None
        symbol = None
        if instrument != NO_INSTRUMENT:
            symbol = self._symbols.get(instrument)
            if symbol is None:
                raise ValueError(f"a record of instrument {instrument} before the record that names it")
        data: Message = {
            "venue": _VENUES.get(venue_number),
            "symbol": symbol,
            "received_us": ts_recv_ns // 1000,
            "timestamp_us": (ts_event_ns or ts_recv_ns) // 1000,
        }
        if flags & FLAG_SUSPECT:
            data["suspect"] = True
        if kind in (4, 5):
            data["sequence"] = sequence
            data["venue_sequence"] = venue_sequence or None
            return self._book(kind, flags, ts_event_ns, data, record)
        if kind in (9, 10):
            data["stream"] = _STREAMS.get(stream_number)
        if kind == 2:
            data["backfill"] = bool(flags & FLAG_BACKFILL)
        return decode(data, record)

    @staticmethod
    def _book(kind: int, flags: int, ts_event_ns: int, data: Message, record: memoryview) -> Message:
        bid_count, ask_count, bid_horizon, ask_horizon, source_ts_ns, prev_sequence = _book(
            record, HEADER_BYTES
        )
        count = bid_count + ask_count
        start = HEADER_BYTES + 40
        raw = struct.unpack_from(f"<{2 * count}q", record, start)
        pairs = [(price / _PRICE, size / _PRICE) for price, size in zip(raw[::2], raw[1::2])]
        bids, asks = Levels(pairs[:bid_count]), Levels(pairs[bid_count:])
        data["depth_timestamp_us"] = source_ts_ns // 1000
        if kind == 5:
            data["prev_sequence"] = prev_sequence
            data["bid_changes"], data["ask_changes"] = bids, asks
            return {"type": "orderbook_delta", "data": data}
        fresh = min(bid_count, ask_count)
        if flags & FLAG_LEVEL_TIMES:
            times = struct.unpack_from(f"<{count}Q", record, start + 16 * count)
            fresh = min(times[:bid_count].count(ts_event_ns), times[bid_count:].count(ts_event_ns))
        data["fresh_levels"] = fresh
        data["bids"], data["asks"] = bids, asks
        data["bid_horizon"] = None if bid_horizon == _NONE_I64 else bid_horizon / _PRICE
        data["ask_horizon"] = None if ask_horizon == _MAX_I64 else ask_horizon / _PRICE
        return {"type": "orderbook_snapshot", "data": data}


def _maybe(raw: int) -> float | None:
    return None if raw == _NONE_I64 else raw / _PRICE


def _decode_trade(data: Message, record: memoryview) -> Message:
    price, size, trade_id, side = _trade(record, HEADER_BYTES)
    data.update(price=price / _PRICE, size=size / _PRICE, side=_SIDES.get(side), trade_id=str(trade_id))
    return {"type": "trade", "data": data}


def _decode_quote(data: Message, record: memoryview) -> Message:
    bid_price, bid_size, ask_price, ask_size = _quote(record, HEADER_BYTES)
    data["bid_price"], data["bid_size"] = _side(bid_price, bid_size)
    data["ask_price"], data["ask_size"] = _side(ask_price, ask_size)
    return {"type": "quote", "data": data}


def _side(price: int, size: int) -> tuple[float | None, float | None]:
    return (price / _PRICE, size / _PRICE) if price or size else (None, None)


def _decode_candle(data: Message, record: memoryview) -> Message:
    start_ns, open_, high, low, close, volume_low, volume_high, num_trades, interval, closed, revised = (
        _candle(record, HEADER_BYTES)
    )
    del data["timestamp_us"]
    data.update(
        timestamp=start_ns // 1_000_000_000,
        interval=_INTERVALS.get(interval),
        open=open_ / _PRICE,
        high=high / _PRICE,
        low=low / _PRICE,
        close=close / _PRICE,
        volume=((volume_high << 64) + volume_low) / _PRICE,
        num_trades=num_trades,
        closed=bool(closed),
    )
    if revised:
        data["revised"] = True
    return {"type": "candle", "data": data}


def _decode_funding(data: Message, record: memoryview) -> Message:
    rate, mark_price, index_price, open_interest, next_funding_ns, interval_hours = _funding(
        record, HEADER_BYTES
    )
    data.update(
        funding_rate=None if rate == _NONE_I64 else rate / _RATE,
        interval_hours=interval_hours or None,
        next_funding_us=next_funding_ns // 1000 or None,
        mark_price=_maybe(mark_price),
        index_price=_maybe(index_price),
        open_interest=_maybe(open_interest),
    )
    return {"type": "funding", "data": data}


def _decode_fill(data: Message, record: memoryview) -> Message:
    price, size, order_id, trade_id, fee, side, is_snapshot = _fill(record, HEADER_BYTES)
    data.update(
        price=price / _PRICE,
        size=size / _PRICE,
        side=_SIDES.get(side),
        order_id=str(order_id),
        trade_id=str(trade_id),
        fee=_maybe(fee),
        is_snapshot=bool(is_snapshot),
    )
    return {"type": "fill", "data": data}


def _decode_status(data: Message, record: memoryview) -> Message:
    state, reason, age_ms = _status(record, HEADER_BYTES)
    data.update(state=_STATES.get(state), reason=_REASONS.get(reason, f"reason_{reason}"), age_ms=age_ms)
    return {"type": "status", "data": data}


def _decode_gap(data: Message, record: memoryview) -> Message:
    reason, missed, _first, _last = _gap(record, HEADER_BYTES)
    data["reason"] = _REASONS.get(reason, f"reason_{reason}")
    data["missed"] = None if missed == _MISSED_UNKNOWN else missed
    return {"type": "gap", "data": data}


def _decode_nothing(data: Message, record: memoryview) -> Message:
    raise AssertionError("books are decoded by RecordDecoder._book")


_KINDS = {
    2: _decode_trade,
    3: _decode_quote,
    4: _decode_nothing,
    5: _decode_nothing,
    6: _decode_candle,
    7: _decode_funding,
    8: _decode_fill,
    9: _decode_status,
    10: _decode_gap,
}
