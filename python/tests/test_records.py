"""Binary records become the same message dicts. The bytes are built here from the documented layout."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scripted import Connection, Daemon, quote

from slipstream.core.mktdata import MESSAGE_CLASSES, BadRequest, OrderbookDelta, OrderbookSnapshot
from slipstream.core.mktdata.records import RecordDecoder

NONE = -(2**63)
UNBOUNDED_ASK = 2**63 - 1
COMMON = {"venue": "binance", "symbol": "BTCUSDT", "received_us": 2_000, "timestamp_us": 1_000}


def record(
    kind: int,
    body: bytes,
    stream: int = 1,
    flags: int = 0,
    instrument: int = 3,
    sequence: int = 9,
    venue_sequence: int = 0,
    version: int = 1,
    ts_event_ns: int = 1_000_999,
) -> bytes:
    length = 64 + len(body)
    assert length % 8 == 0
    return (
        struct.pack(
            "<IBBBBIBBHQQQQQII",
            length,
            kind,
            flags,
            2,
            stream,
            instrument,
            0,
            version,
            0,
            77,
            sequence,
            venue_sequence,
            ts_event_ns,
            2_000_999,
            0,
            0,
        )
        + body
    )


def instrument(number: int = 3, symbol: str = "BTCUSDT") -> bytes:
    names = [symbol.encode(), b"BTC", b"USDT"]
    body = struct.pack("<qq8B", 10**7, 10**5, 1, 1, 0, 0, *(len(name) for name in names), 0)
    return record(1, body + b"".join(name.ljust(48, b"\0") for name in names), instrument=number)


def book_body(
    bids: list[tuple[int, int]],
    asks: list[tuple[int, int]],
    prev: int = 0,
    horizons: tuple[int, int] = (NONE, UNBOUNDED_ASK),
    times: list[int] | None = None,
    source: int = 900_000,
) -> bytes:
    body = struct.pack("<IIqqQQ", len(bids), len(asks), *horizons, source, prev)
    body += b"".join(struct.pack("<qq", *level) for level in bids + asks)
    return body + b"".join(struct.pack("<Q", time) for time in times or [])


def decode(data: bytes, decoder: RecordDecoder | None = None) -> Any:
    decoder = decoder or RecordDecoder()
    assert decoder.decode(memoryview(instrument())) is None
    return decoder.decode(memoryview(data))


def e8(number: float) -> int:
    return round(number * 10**8)


FIXED = [
    (
        2,
        3,
        4,
        struct.pack("<qqQB7x", e8(50000.1), e8(0.001), 123, 2),
        "trade",
        {"price": 50000.1, "size": 0.001, "side": "Sell", "trade_id": "123", "backfill": True},
    ),
    (
        3,
        2,
        0,
        struct.pack("<qqqq", e8(1.5), e8(2.5), 0, 0),
        "quote",
        {"bid_price": 1.5, "bid_size": 2.5, "ask_price": None, "ask_size": None},
    ),
    (
        7,
        5,
        0,
        struct.pack("<qqqqQI4x", 12_500_000, e8(3.5), NONE, e8(7), 5_000_000, 8),
        "funding",
        {
            "funding_rate": 1.25e-05,
            "interval_hours": 8,
            "next_funding_us": 5_000,
            "mark_price": 3.5,
            "index_price": None,
            "open_interest": 7.0,
        },
    ),
    (
        8,
        6,
        0,
        struct.pack("<qqQQqBB6x", e8(1), e8(2), 11, 12, e8(-0.5), 1, 1),
        "fill",
        {
            "price": 1.0,
            "size": 2.0,
            "side": "Buy",
            "order_id": "11",
            "trade_id": "12",
            "fee": -0.5,
            "is_snapshot": True,
        },
    ),
    (
        9,
        1,
        0,
        struct.pack("<BxH4xQ", 4, 1, 250),
        "status",
        {"stream": "orderbook", "state": "resyncing", "reason": "sequence_break", "age_ms": 250},
    ),
    (
        10,
        3,
        0,
        struct.pack("<H6xQQQ", 7, 2**64 - 1, 0, 0),
        "gap",
        {"stream": "trades", "reason": "slow_client", "missed": None},
    ),
]


@pytest.mark.parametrize(("kind", "stream", "flags", "body", "type_", "fields"), FIXED)
def test_fixed_records(
    kind: int, stream: int, flags: int, body: bytes, type_: str, fields: dict[str, Any]
) -> None:
    message = decode(record(kind, body, stream=stream, flags=flags))
    assert message == {"type": type_, "data": {**COMMON, **fields}}
    MESSAGE_CLASSES[type_](**message["data"])


def test_a_candle_has_wide_volume_and_no_venue_time() -> None:
    volume = 3 * 2**64 + 5
    body = struct.pack(
        "<QqqqqQqQBBB5x",
        60 * 10**9,
        e8(1),
        e8(3),
        e8(0.5),
        e8(2),
        volume % 2**64,
        volume >> 64,
        42,
        8,
        1,
        1,
    )
    data = decode(record(6, body, stream=4))["data"]
    assert "timestamp_us" not in data
    assert (data["timestamp"], data["interval"], data["num_trades"]) == (60, "4h", 42)
    assert (data["open"], data["high"], data["low"], data["close"]) == (1.0, 3.0, 0.5, 2.0)
    assert data["volume"] == volume / 10**8 and data["closed"] is True and data["revised"] is True


def test_venue_wide_records_have_no_symbol() -> None:
    body = struct.pack("<BxH4xQ", 5, 2, 0)
    message = decode(record(9, body, stream=7, instrument=2**32 - 1))
    assert message["data"]["symbol"] is None and message["data"]["stream"] == "connection"


def test_books_snapshot_delta_and_horizon() -> None:
    decoder = RecordDecoder()
    bids, asks = [(e8(100), e8(1)), (e8(99), e8(2))], [(e8(101), e8(3))]
    snapshot = decode(
        record(4, book_body(bids, asks, horizons=(e8(98), UNBOUNDED_ASK)), flags=1, venue_sequence=55),
        decoder,
    )
    assert snapshot["type"] == "orderbook_snapshot"
    data = snapshot["data"]
    assert data["bids"] == [(100.0, 1.0), (99.0, 2.0)] and data["asks"][0]["price"] == 101.0
    assert (data["sequence"], data["venue_sequence"], data["fresh_levels"]) == (9, 55, 1)
    assert (data["bid_horizon"], data["ask_horizon"], data["depth_timestamp_us"]) == (98.0, None, 900)

    changes = [(e8(99), 0), (e8(98), e8(5)), (e8(97), e8(5)), (e8(99.5), e8(7))]
    delta = decoder.decode(memoryview(record(5, book_body(changes, [(e8(200), e8(9))], prev=9), sequence=10)))
    assert delta["type"] == "orderbook_delta" and delta["data"]["prev_sequence"] == 9
    book = OrderbookSnapshot(**data).apply(OrderbookDelta(**delta["data"]))
    assert book.bids == [(100.0, 1.0), (99.5, 7.0)], "nothing is known at the horizon or beyond"
    assert book.asks == [(101.0, 3.0), (200.0, 9.0)] and book.sequence == 10
    following = OrderbookDelta("binance", "BTCUSDT", 0, 11, 10, [(98.0, 1.0), (98.5, 1.0)], [])
    assert book.apply(following).bids == [(100.0, 1.0), (99.5, 7.0), (98.5, 1.0)]


def test_level_times_tell_the_fresh_ones() -> None:
    event = 1_000_999
    bids, asks = [(3, 1), (2, 1)], [(4, 1), (5, 1)]
    body = book_body(bids, asks, times=[event, event, event, event - 5])
    assert decode(record(4, body, flags=1 | 32))["data"]["fresh_levels"] == 1


@pytest.mark.parametrize("raw", [1, 10**8 + 1, 123456789012345678, 2**63 - 1, -(2**62) - 1])
def test_numbers_are_the_nearest_doubles(raw: int) -> None:
    text = f"{'-' if raw < 0 else ''}{abs(raw) // 10**8}.{abs(raw) % 10**8:08d}"
    data = decode(record(2, struct.pack("<qqQB7x", raw, 1, 1, 1)))["data"]
    assert data["price"] == float(text)


def test_records_that_are_no_message() -> None:
    decoder = RecordDecoder()
    assert decode(record(11, bytes(8)), decoder) is None
    assert decoder.decode(memoryview(record(12, b""))) is None
    assert decoder.decode(memoryview(record(99, b""))) is None


def test_damage_is_a_value_error() -> None:
    decoder = RecordDecoder()
    whole = record(4, book_body([(3, 1)], [(4, 1)]), flags=1)
    decode(whole, decoder)
    for cut in range(len(whole)):
        with pytest.raises(ValueError):
            decoder.decode(memoryview(whole[:cut]))
    with pytest.raises(ValueError, match="version"):
        decoder.decode(memoryview(record(2, bytes(32), version=2)))
    with pytest.raises(ValueError, match="instrument 8"):
        decoder.decode(memoryview(record(2, bytes(32), instrument=8)))
    many = struct.pack("<II", 2**31, 2**31)
    with pytest.raises(ValueError):
        decoder.decode(memoryview(whole[:64] + many + whole[72:]))


def test_a_client_with_encoding_record(daemon: Daemon, make_client: Callable[..., Any]) -> None:
    def framed(data: bytes) -> bytes:
        return struct.pack(">I", len(data) + 4) + bytes(4) + data

    def subscribed(connection: Connection, request: dict[str, Any]) -> None:
        if "depth" in request:
            connection.error(request, "bad_mode")
            return
        connection.reply(request, "subscribed", {})
        connection.raw(framed(instrument()))
        connection.raw(framed(record(4, book_body([(e8(3), e8(1))], [(e8(4), e8(1))]), flags=1)))

    daemon.on("hello", {"run_id": "00"})
    daemon.handlers["subscribe_orderbook"] = subscribed
    client = make_client(encoding="record")
    hello = daemon.seen("hello")[0]
    assert hello["encoding"] == "record"
    connection = daemon.next_connection()
    client.subscribe_orderbook("binance", "BTCUSDT")
    with pytest.raises(BadRequest):
        client.subscribe_orderbook("binance", "BTCUSDT", depth=5)
    message = client.recv(timeout=5)
    assert OrderbookSnapshot(**message["data"]).mid_price == 3.5
    connection.send(quote(1))
    assert client.recv(timeout=5) == quote(1)
    connection.end()
    kinds = [client.recv(timeout=5)["type"] for _ in range(4)]
    assert kinds == ["status", "gap", "status", "orderbook_snapshot"]
    assert len(daemon.seen("hello", 2)) == 2


def test_pinned_records_decode_to_the_values_they_were_made_of() -> None:
    """The same bytes that pin the layout for the daemon: ``codec/tests/golden/records_v1.txt``."""
    golden = Path(__file__).parents[2] / "codec" / "tests" / "golden" / "records_v1.txt"
    decoder = RecordDecoder()
    seen: dict[str, Any] = {}
    for line in golden.read_text().splitlines():
        name, text = line.split()
        seen[name] = decoder.decode(memoryview(bytes.fromhex(text)))
    trade = seen["trade"]["data"]
    assert (trade["price"], trade["size"], trade["side"]) == (79878.3, 12.494, "Sell")
    assert (trade["trade_id"], trade["backfill"], trade["symbol"]) == ("3078158748", True, "BTCUSDT")
    book = seen["book_snapshot"]["data"]
    assert [tuple(level) for level in book["bids"]] == [(79878.3, 12.494), (79878.2, 1.0)]
    assert (book["fresh_levels"], book["depth_timestamp_us"]) == (1, 1_788_696_030_000_000)
    delta = seen["book_delta"]["data"]
    assert (delta["prev_sequence"], delta["sequence"]) == (41, 42)
    assert [tuple(level) for level in delta["ask_changes"]] == [(79878.4, 5.0), (79879.0, 0.001)]
    candle = seen["candle"]["data"]
    assert (candle["interval"], candle["volume"]) == ("15m", (2**64 + 1_234_567_890) / 1e8)
    funding = seen["funding"]["data"]
    assert (funding["funding_rate"], funding["open_interest"]) == (0.0000018952, None)
    assert (seen["status"]["data"]["reason"], seen["gap"]["data"]["missed"]) == ("behind_quote", 3)
    assert seen["fill"]["data"]["fee"] == -0.25
