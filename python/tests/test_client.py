"""Both clients against a scripted daemon: framing, replies among messages, errors, loss and reconnection."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from scripted import Connection, Daemon, book, frame, quote

import slipstream
from slipstream.core import mktdata
from slipstream.core.mktdata import (
    AsyncMarketDataClient,
    BadRequest,
    Candle,
    Levels,
    MarketDataClient,
    NotConnected,
    NotLive,
    NotReady,
    OrderbookSnapshot,
    ReplyTimeout,
    SlipstreamError,
    UnknownSymbol,
    UnknownVenue,
)

Pair = tuple[Any, Connection]
SUBSCRIBE_QUOTE = {"type": "subscribe_quote", "venue": "binance", "symbol": "BTCUSDT"}


def numbers(messages: list[dict[str, Any]]) -> list[int]:
    return [message["data"]["timestamp_us"] for message in messages]


# -- messages ----------------------------------------------------------------------------------------------


def test_book_messages_have_levels(pair: Pair) -> None:
    client, daemon = pair
    daemon.send(book(kind="orderbook_snapshot"), book(2))
    snapshot, update = client.recv(timeout=5), client.recv(timeout=5)
    assert [snapshot["type"], update["type"]] == ["orderbook_snapshot", "orderbook_update"]
    bids = update["data"]["bids"]
    assert isinstance(bids, Levels) and bids[0]["price"] == 100.0 and bids[0].size == 1.0
    ob = OrderbookSnapshot(**update["data"])
    assert ob.mid_price == 100.5 and ob.sequence == 2
    daemon.send({"type": "orderbook_delta", "data": {"bid_changes": [[1.0, 0.0]], "ask_changes": []}})
    assert client.recv(timeout=5)["data"]["bid_changes"][0]["size"] == 0.0


def test_stream_can_be_left_and_resumed(pair: Pair) -> None:
    client, daemon = pair
    daemon.send(*(quote(n) for n in range(100)))
    got = []
    for message in client.stream():
        got.append(message)
        if len(got) == 40:
            break
    for message in client.stream():
        got.append(message)
        if len(got) == 100:
            break
    assert numbers(got) == list(range(100))


def test_frames_cut_anywhere(pair: Pair) -> None:
    client, daemon = pair
    data = frame(quote(1)) + frame(book()) + frame(quote(2))
    for cut in range(1, len(data), 37):
        daemon.raw(data[:cut])
        time.sleep(0.001)
        daemon.raw(data[cut:])
        assert [client.recv(timeout=5)["type"] for _ in range(3)] == ["quote", "orderbook_update", "quote"]
    # A socket holds few messages of one byte, so somebody must read at the same time.
    sender = threading.Thread(target=lambda: [daemon.raw(data[at : at + 1]) for at in range(len(data))])
    sender.start()
    assert [client.recv(timeout=5)["type"] for _ in range(3)] == ["quote", "orderbook_update", "quote"]
    sender.join()


def test_many_messages_across_buffers(pair: Pair) -> None:
    client, daemon = pair
    count = 3000  # several receive buffers full
    sender = threading.Thread(target=lambda: daemon.send(*(book(n, levels=20) for n in range(count))))
    sender.start()
    got = [client.recv(timeout=5)["data"] for _ in range(count)]
    sender.join()
    assert [data["sequence"] for data in got] == list(range(count))
    assert all(len(data["bids"]) == 20 for data in got)


def test_a_frame_larger_than_the_buffer(pair: Pair, daemon: Daemon) -> None:
    client, _ = pair
    large = "x" * 5_000_000

    def answer(connection: Connection, request: dict[str, Any]) -> None:
        connection.send(quote(1))
        connection.reply(request, "status_report", {"text": large})
        connection.send(quote(2))

    daemon.handlers["get_status"] = answer
    for _ in range(2):
        assert client.get_status()["text"] == large
        assert numbers([client.recv(timeout=5) for _ in range(2)]) == [1, 2]


def test_acks_and_heartbeats_are_left_out_unless_asked_for(pair: Pair) -> None:
    client, daemon = pair
    beat = {"type": "heartbeat", "data": {"timestamp_us": 1}}
    daemon.send(beat, {"type": "subscribed", "data": {}}, {"type": "pong"}, quote(1))
    assert client.recv(timeout=5)["type"] == "quote"
    stream = client.stream(heartbeats=True)
    daemon.send(beat, quote(2))
    assert [next(stream)["type"], next(stream)["type"]] == ["heartbeat", "quote"]
    daemon.send(beat, quote(3))
    assert client.recv(timeout=5)["type"] == "quote"
    daemon.send(beat, beat, quote(4))
    assert client.recv(timeout=5, heartbeats=True)["type"] == "heartbeat"


def test_unknown_types_and_unasked_errors_are_passed_on(pair: Pair) -> None:
    client, daemon = pair
    daemon.send({"type": "from_the_future", "data": {"a": 1}})
    daemon.send({"type": "error", "data": {"code": "shutting_down", "message": "bye"}})
    assert client.recv(timeout=5) == {"type": "from_the_future", "data": {"a": 1}}
    message = client.recv(timeout=5)
    assert message["type"] == "error" and SlipstreamError(**message["data"]).code == "shutting_down"


def test_recv_times_out_with_the_builtin(pair: Pair) -> None:
    client, daemon = pair
    for timeout in (0, 0.05):
        before = time.monotonic()
        with pytest.raises(TimeoutError):
            client.recv(timeout=timeout)
        assert timeout <= time.monotonic() - before < timeout + 1
    daemon.send(quote(1))
    assert client.recv(timeout=5)["type"] == "quote"


def test_recv_spins(pair: Pair) -> None:
    client, daemon = pair
    with pytest.raises(TimeoutError):
        client.recv(timeout=0.05, spin=True)
    threading.Timer(0.05, daemon.send, [quote(1)]).start()
    assert client.recv(timeout=5, spin=True)["type"] == "quote"


def test_recv_can_be_awaited_on_the_blocking_client(daemon: Daemon) -> None:
    with MarketDataClient(daemon.path) as client:
        daemon.next_connection().send(quote(1), quote(2))

        async def load_test() -> dict[str, Any]:
            return await client.recv()

        assert asyncio.run(load_test()) == quote(1)
        assert client.recv() == quote(2)


# -- queries -----------------------------------------------------------------------------------------------


def test_a_query_among_streamed_messages_loses_and_mistakes_nothing(pair: Pair, daemon: Daemon) -> None:
    client, connection = pair

    def answer(connection: Connection, request: dict[str, Any]) -> None:
        # A book that was subscribed has the very type of the reply that is waited for.
        connection.send(*(quote(n) for n in range(10, 15)), book(99, kind="orderbook_snapshot"))
        connection.reply(request, "orderbook_snapshot", book(1)["data"])
        connection.send(quote(16))

    daemon.handlers["get_orderbook"] = answer
    connection.send(*(quote(n) for n in range(10)))
    stream = client.stream()
    got = [next(stream) for _ in range(3)]
    book_now = client.get_latest_orderbook("binance", "BTCUSDT")
    assert book_now.sequence == 1
    got += [next(stream) for _ in range(14)]
    assert got[15]["data"]["sequence"] == 99
    del got[15]
    assert numbers(got) == [*range(15), 16]


def test_replies_out_of_turn_are_dropped(pair: Pair, daemon: Daemon) -> None:
    client, connection = pair
    connection.send({"type": "symbols", "id": 4711, "data": ["WRONG"]})
    daemon.on("get_symbols", ["BTCUSDT"], reply="symbols")
    assert client.get_symbols(venue="binance") == ["BTCUSDT"]


def test_a_late_reply_is_not_taken_for_the_next(daemon: Daemon, make_client: Callable[..., Any]) -> None:
    client = make_client(timeout=0.1)
    late: list[dict[str, Any]] = []
    daemon.handlers["get_symbols"] = lambda connection, request: late.append(request)
    with pytest.raises(ReplyTimeout) as raised:
        client.get_symbols("binance")
    assert isinstance(raised.value, TimeoutError) and raised.value.code == "timeout"

    def both(connection: Connection, request: dict[str, Any]) -> None:
        connection.reply(late[0], "symbols", ["LATE"])
        connection.reply(request, "symbols", ["NOW"])

    daemon.handlers["get_symbols"] = both
    assert client.get_symbols("binance") == ["NOW"]


def test_requests_are_those_of_the_protocol(pair: Pair, daemon: Daemon) -> None:
    client, _ = pair
    candle = {
        "timestamp": 60,
        "open": 1.0,
        "high": 2.0,
        "low": 0.5,
        "close": 1.5,
        "volume": 9.0,
        "num_trades": 4,
    }
    row = {
        **candle,
        "venue": "binance",
        "symbol": "BTCUSDT",
        "interval": "4h",
        "closed": True,
        "received_us": 5,
    }
    daemon.on("get_candles", [row], reply="candles")
    daemon.on("get_orderbook", book()["data"], reply="orderbook_snapshot")
    daemon.on("get_orderbook_history", [book()["data"]], reply="orderbook_history")
    daemon.on("get_quote", quote(1)["data"], reply="quote")
    daemon.on("get_quotes", [quote(1)["data"]], reply="quotes")
    trade = {
        "venue": "binance",
        "symbol": "BTCUSDT",
        "price": 1.0,
        "size": 1.0,
        "side": "Buy",
        "trade_id": "1",
    }
    daemon.on("get_trades", [trade], reply="trades")
    daemon.on("get_funding", {"venue": "binance", "symbol": "BTCUSDT", "funding_rate": 0.1}, reply="funding")
    instrument = {"venue": "binance", "symbol": "BTCUSDT", "kind": "perp", "tick_size": 0.1, "new": 1}
    daemon.on("get_instruments", [instrument], reply="instruments")
    daemon.on("get_status", {"version": "1"}, reply="status_report")
    daemon.on("hello", {"run_id": "00"})

    assert client.get_candles("binance", "BTCUSDT", "4h", 7) == [Candle(**row)]
    assert client.get_latest_orderbook("binance", "BTCUSDT", depth=5).bids[0].price == 100.0
    assert client.get_orderbook_history("binance", "BTCUSDT", 3)[0].sequence == 1
    assert client.get_quote("binance", "BTCUSDT").bid_price == 1.0
    assert client.get_quotes("binance", "BTCUSDT", 2)[0].ask_size is None
    assert client.get_trades("binance", "BTCUSDT", 2)[0].side == "Buy"
    assert client.get_funding("binance", "BTCUSDT").funding_rate == 0.1
    made = client.get_instruments("binance")[0]
    assert (made.tick_size, made["kind"], made.extra) == (0.1, "perp", {"new": 1})
    assert client.get_status() == {"version": "1"}
    assert client.hello() == {"run_id": "00"}
    assert 0 < client.ping() < 5
    assert client.request({"type": "get_status"}) == {"version": "1"}

    pairs = {"venue": "binance", "symbol": "BTCUSDT"}
    expected = [
        {"type": "get_candles", **pairs, "interval": "4h", "count": 7},
        {"type": "get_orderbook", **pairs, "depth": 5},
        {"type": "get_orderbook_history", **pairs, "count": 3},
        {"type": "get_quote", **pairs},
        {"type": "get_quotes", **pairs, "count": 2},
        {"type": "get_trades", **pairs, "count": 2},
        {"type": "get_funding", **pairs},
        {"type": "get_instruments", "venue": "binance"},
        {"type": "get_status"},
        {"type": "hello", "client": "slipstream-python", "encoding": "msgpack"},
        {"type": "ping"},
        {"type": "get_status"},
    ]
    assert [{k: v for k, v in request.items() if k != "id"} for request in daemon.requests] == expected
    ids = [request["id"] for request in daemon.requests]
    assert len(set(ids)) == len(ids)


def test_candles_batch_comes_as_columns(pair: Pair, daemon: Daemon) -> None:
    client, _ = pair

    def columns(first: int) -> dict[str, bytes]:
        floats = {
            name: struct.pack("<3d", *(first + i + offset for i in range(3)))
            for offset, name in enumerate(("open", "high", "low", "close", "volume"))
        }
        whole = {
            "timestamp": (60, 120, 180),
            "num_trades": (1, 2, 3),
            "closed": (1, 1, 0),
        }
        return {**floats, **{name: struct.pack("<3q", *values) for name, values in whole.items()}}

    daemon.on("get_candles_batch", {"BTC": columns(10), "ETH": columns(20)}, reply="candles_batch")
    batch = client.get_candles_batch(venue="hyperliquid", symbols=["BTC", "ETH"], interval="1m", count=3)
    assert daemon.requests[0]["layout"] == "columns" and daemon.requests[0]["symbols"] == ["BTC", "ETH"]
    assert list(batch) == ["BTC", "ETH"] and [len(candles) for candles in batch.values()] == [3, 3]
    last = batch["ETH"][2]
    assert last == Candle("hyperliquid", "ETH", 180, "1m", 22.0, 23.0, 24.0, 25.0, 26.0, 3, False)
    assert batch["BTC"][0].closed is True and isinstance(last.timestamp, int) and isinstance(last.open, float)
    views = client.get_candles_columns("hyperliquid", ["BTC", "ETH"], "1m", 3)
    assert list(views["BTC"]["close"]) == [13.0, 14.0, 15.0] and views["BTC"]["timestamp"].format == "q"


CODES = [
    ("unknown_symbol", UnknownSymbol),
    ("unknown_venue", UnknownVenue),
    ("not_live", NotLive),
    ("not_ready", NotReady),
    ("bad_request", BadRequest),
    ("bad_count", BadRequest),
    ("bad_depth", BadRequest),
    ("bad_mode", BadRequest),
    ("unknown_interval", BadRequest),
    ("unknown_type", BadRequest),
    ("too_many", BadRequest),
    ("malformed", BadRequest),
    ("not_subscribed", BadRequest),
    ("not_configured", BadRequest),
    ("frame_too_large", BadRequest),
    ("internal", SlipstreamError),
    ("shutting_down", SlipstreamError),
]


@pytest.mark.parametrize(("code", "cls"), CODES)
def test_errors_by_code(pair: Pair, daemon: Daemon, code: str, cls: type[SlipstreamError]) -> None:
    client, _ = pair
    daemon.handlers["get_quote"] = lambda connection, request: connection.error(request, code, "said why")
    with pytest.raises(SlipstreamError) as raised:
        client.get_quote("binance", "NOPE")
    assert type(raised.value) is cls and raised.value.code == code and "said why" in str(raised.value)
    daemon.on("get_symbols", [], reply="symbols")
    assert client.get_symbols("binance") == [], "the connection goes on"


def test_subscribe_raises_and_is_not_remembered(pair: Pair, daemon: Daemon) -> None:
    client, _ = pair
    daemon.handlers["subscribe_quote"] = lambda connection, request: connection.error(
        request, "unknown_symbol"
    )
    with pytest.raises(UnknownSymbol):
        client.subscribe_quote("binance", "NOPE")
    assert client.subscriptions == []


def test_a_book_that_is_not_live_is_none(pair: Pair, daemon: Daemon) -> None:
    client, _ = pair
    daemon.handlers["get_orderbook"] = lambda connection, request: connection.error(request, "not_live")
    assert client.get_latest_orderbook("binance", "BTCUSDT") is None
    daemon.on("get_orderbook", {**book()["data"], "stale": True}, reply="orderbook_snapshot")
    assert client.get_latest_orderbook("binance", "BTCUSDT", allow_stale=True).stale is True
    assert daemon.requests[-1]["allow_stale"] is True


def test_an_error_without_id_answers_the_request_under_way(pair: Pair, daemon: Daemon) -> None:
    client, _ = pair
    daemon.handlers["get_status"] = lambda connection, request: connection.send(
        {"type": "error", "data": {"code": "malformed", "message": "trailing bytes"}}
    )
    with pytest.raises(BadRequest) as raised:
        client.get_status()
    assert raised.value.code == "malformed"


def test_a_request_that_cannot_be_sent_is_refused_here(pair: Pair) -> None:
    client, _ = pair
    with pytest.raises(BadRequest) as raised:
        client.get_candles_batch("binance", ["x" * 1000] * 1100, "4h", 1)
    assert raised.value.code == "frame_too_large"
    with pytest.raises(BadRequest):
        client.get_symbols(object())
    with pytest.raises(TypeError):
        client.subscribe({"venue": "binance"})
    assert client.ping() > 0


def test_a_reply_of_another_shape(pair: Pair, daemon: Daemon) -> None:
    client, _ = pair
    daemon.on("get_trades", [17], reply="trades")
    with pytest.raises(SlipstreamError) as raised:
        client.get_trades("binance", "BTCUSDT")
    assert raised.value.code == "malformed"


def test_the_queue_has_a_limit_and_loses_nothing(daemon: Daemon, make_client: Callable[..., Any]) -> None:
    client = make_client(queue_max=100)

    def answer(connection: Connection, request: dict[str, Any]) -> None:
        connection.send(*(quote(n) for n in range(150)))
        connection.reply(request, "symbols", ["BTCUSDT"])

    daemon.handlers["get_symbols"] = answer
    with pytest.raises(SlipstreamError) as raised:
        client.get_symbols("binance")
    assert raised.value.code == "queue_full"
    assert numbers([client.recv(timeout=5) for _ in range(150)]) == list(range(150))
    daemon.on("get_symbols", ["ETHUSDT"], reply="symbols")
    assert client.get_symbols("binance") == ["ETHUSDT"]


# -- subscriptions -----------------------------------------------------------------------------------------


def test_subscribe_requests(pair: Pair, daemon: Daemon) -> None:
    client, _ = pair
    client.subscribe_orderbook("binance", "BTCUSDT")
    client.subscribe_orderbook(venue="binance", symbol="BTCUSDT", depth=20, mode="delta")
    client.subscribe_quote("binance", "BTCUSDT")
    client.subscribe_trades("binance", "BTCUSDT")
    client.subscribe_funding("binance", "BTCUSDT")
    client.subscribe_candles("binance", ["BTCUSDT", "ETHUSDT"], "1h")
    client.subscribe_candles("binance", "SOLUSDT", "1h")
    client.subscribe_candles("binance", symbols=None, interval="15m")
    client.subscribe({"type": "subscribe_all_trades", "venue": "binance"})
    pairs = {"venue": "binance", "symbol": "BTCUSDT"}
    sent = [{k: v for k, v in request.items() if k != "id"} for request in daemon.requests]
    assert sent == [
        {"type": "subscribe_orderbook", **pairs, "depth": 10, "mode": "full"},
        {"type": "subscribe_orderbook", **pairs, "depth": 20, "mode": "delta"},
        {"type": "subscribe_quote", **pairs},
        {"type": "subscribe_trades", **pairs},
        {"type": "subscribe_funding", **pairs},
        {"type": "subscribe_candles", **pairs, "interval": "1h"},
        {"type": "subscribe_candles", "venue": "binance", "symbol": "ETHUSDT", "interval": "1h"},
        {"type": "subscribe_candles", "venue": "binance", "symbol": "SOLUSDT", "interval": "1h"},
        {"type": "subscribe_all_candles", "venue": "binance", "interval": "15m"},
        {"type": "subscribe_all_trades", "venue": "binance"},
    ]
    assert client.subscriptions == sent[1:], "the same topic again replaces it"


def test_unsubscribe(pair: Pair, daemon: Daemon) -> None:
    client, _ = pair
    client.subscribe_orderbook("binance", "BTCUSDT", depth=7)
    client.subscribe_quote("binance", "BTCUSDT")
    client.unsubscribe({"type": "subscribe_orderbook", "venue": "binance", "symbol": "BTCUSDT"})
    assert daemon.requests[-1]["subscription"] == {
        "type": "subscribe_orderbook",
        "venue": "binance",
        "symbol": "BTCUSDT",
        "depth": 7,
        "mode": "full",
    }
    client.unsubscribe(**SUBSCRIBE_QUOTE)
    assert daemon.requests[-1]["subscription"] == SUBSCRIBE_QUOTE and client.subscriptions == []
    daemon.handlers["unsubscribe"] = lambda connection, request: connection.error(request, "not_subscribed")
    with pytest.raises(BadRequest) as raised:
        client.unsubscribe(SUBSCRIBE_QUOTE)
    assert raised.value.code == "not_subscribed"


def test_nothing_of_a_stream_follows_unsubscribe(pair: Pair, daemon: Daemon) -> None:
    client, connection = pair
    client.subscribe_quote("binance", "BTCUSDT")
    client.subscribe_trades("binance", "BTCUSDT")
    client.subscribe_quote("binance", "ETHUSDT")
    daemon.on("get_symbols", [], reply="symbols")
    trade = {"type": "trade", "data": {"venue": "binance", "symbol": "BTCUSDT", "timestamp_us": 2}}
    connection.send(quote(1), trade, quote(3, symbol="ETHUSDT"), quote(4))
    client.get_symbols("binance")
    client.unsubscribe(SUBSCRIBE_QUOTE)
    connection.send(quote(5, symbol="ETHUSDT"))
    assert numbers([client.recv(timeout=5) for _ in range(3)]) == [2, 3, 5]


def test_unsubscribe_keeps_what_another_subscription_covers(pair: Pair, daemon: Daemon) -> None:
    client, connection = pair
    client.subscribe_quote("binance", "BTCUSDT")
    client.subscribe({"type": "subscribe_all_quotes", "venue": "binance"})
    connection.send(quote(1))
    client.ping()
    client.unsubscribe(SUBSCRIBE_QUOTE)
    assert numbers([client.recv(timeout=5)]) == [1]


# -- connection --------------------------------------------------------------------------------------------


def test_paths_in_order(
    socket_dir: str, daemon: Daemon, make_client: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from slipstream.core.mktdata import session

    missing, refused = socket_dir + "/missing.sock", socket_dir + "/refused.sock"
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    dead.bind(refused)
    dead.close()

    monkeypatch.delenv("SLIPSTREAM_SOCKET", raising=False)
    assert session.socket_candidates(None) == [
        "/var/run/slipstream/mktdata.sock",
        "/tmp/slipstream-mktdata.sock",
    ]
    monkeypatch.setattr(session, "SOCKET_PATHS", (missing, refused))
    client = make_client(None, connect=False)
    with pytest.raises(NotConnected) as raised:
        client.connect()
    said = str(raised.value)
    assert f"{missing}: no such file" in said and f"{refused}: nobody listens" in said
    assert "Start slipstream-mktdata" in said and "SLIPSTREAM_SOCKET" in said
    assert isinstance(raised.value, ConnectionError) and raised.value.code == "not_connected"

    monkeypatch.setattr(session, "SOCKET_PATHS", (missing, daemon.path))
    client.connect()
    assert client.socket_path == daemon.path and client.connected

    monkeypatch.setenv("SLIPSTREAM_SOCKET", missing)
    with pytest.raises(NotConnected, match=r"missing\.sock: no such file"):
        make_client(None)
    monkeypatch.setenv("SLIPSTREAM_SOCKET", daemon.path)
    assert make_client(None).connected
    with pytest.raises(NotConnected, match=r"too long"):
        make_client("/" + "x" * 200)


def test_not_connected_before_connect_and_after_close(
    daemon: Daemon, make_client: Callable[..., Any]
) -> None:
    client = make_client(connect=False)
    for use in (client.ping, client.recv, lambda: next(client.stream())):
        with pytest.raises(NotConnected, match="connect"):
            use()
    client.connect()
    client.connect()
    client.subscribe_quote("binance", "BTCUSDT")
    client.close()
    client.close()
    assert not client.connected and client.subscriptions == []
    with pytest.raises(NotConnected):
        client.recv(timeout=1)
    client.connect()
    assert client.ping() > 0


def test_context_manager(daemon: Daemon) -> None:
    with MarketDataClient(daemon.path) as client:
        client.connect()  # as programs that do both
        assert client.ping() > 0
    assert not client.connected


def test_arguments(daemon: Daemon) -> None:
    with pytest.raises(ValueError, match="record"):
        MarketDataClient(daemon.path, encoding="json")


def test_close_ends_a_stream(daemon: Daemon) -> None:
    client = MarketDataClient(daemon.path)
    client.connect()
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.extend(client.stream()))
    thread.start()
    daemon.next_connection().send(quote(1))
    give_up_at = time.monotonic() + 5
    while not got and time.monotonic() < give_up_at:
        time.sleep(0.005)
    client.close()
    thread.join(5)
    assert not thread.is_alive() and got == [quote(1)]


def told(client: Any, count: int) -> list[tuple[Any, ...]]:
    """Read ``count`` messages and return (type, stream, state, reason) or (type, sequence or number)."""
    result: list[tuple[Any, ...]] = []
    for _ in range(count):
        message = client.recv(timeout=5)
        data = message["data"]
        if data.get("stream") == "connection":
            assert data["venue"] is None and data["symbol"] is None and data["timestamp_us"] > 0
            result.append((message["type"], data.get("state"), data["reason"]))
        else:
            result.append((message["type"], data.get("timestamp_us")))
    return result


def test_it_reconnects_and_subscribes_again_and_says_so(pair: Pair, daemon: Daemon) -> None:
    client, connection = pair
    client.subscribe_quote("binance", "BTCUSDT")
    client.subscribe_orderbook("binance", "BTCUSDT", depth=5, mode="delta")
    daemon.on("subscribe_quote", {}, reply="subscribed", then=lambda c, r: c.send(quote(7)))
    connection.send(quote(1), quote(2))
    connection.end()
    assert told(client, 6) == [
        ("quote", 1),
        ("quote", 2),
        ("status", "down", "disconnect"),
        ("gap", None, "disconnect"),
        ("status", "live", "reconnected"),
        ("quote", 7),
    ]
    again = daemon.seen("subscribe_orderbook", 2)[1]
    assert (again["depth"], again["mode"]) == (5, "delta")
    assert client.ping() > 0


def test_it_keeps_trying_while_the_daemon_is_away(pair: Pair, daemon: Daemon) -> None:
    client, _ = pair
    client.subscribe_quote("binance", "BTCUSDT")
    daemon.on("subscribe_quote", {}, reply="subscribed", then=lambda c, r: c.send(quote(7)))
    daemon.stop()
    assert told(client, 1) == [("status", "down", "disconnect")]
    for _ in range(3):
        with pytest.raises(TimeoutError):
            client.recv(timeout=0.05)
    with pytest.raises(NotConnected, match="no such file"):
        client.ping()
    daemon.start()
    assert told(client, 3) == [
        ("gap", None, "disconnect"),
        ("status", "live", "reconnected"),
        ("quote", 7),
    ]


def test_a_query_reconnects_too(pair: Pair, daemon: Daemon) -> None:
    client, _ = pair
    client.subscribe_quote("binance", "BTCUSDT")
    daemon.handlers["get_status"] = lambda connection, request: connection.end()
    with pytest.raises(NotConnected):
        client.get_status()
    daemon.on("get_status", {"version": "2"}, reply="status_report")
    assert client.get_status() == {"version": "2"}
    assert [kind for kind, *_ in told(client, 3)] == ["status", "gap", "status"]
    daemon.seen("subscribe_quote", 2)


def test_a_refusal_after_a_reconnect_is_told_in_band(pair: Pair, daemon: Daemon) -> None:
    client, connection = pair
    client.subscribe_quote("binance", "BTCUSDT")
    daemon.handlers["subscribe_quote"] = lambda c, r: c.error(r, "unknown_symbol", "gone")
    connection.end()
    assert [kind for kind, *_ in told(client, 3)] == ["status", "gap", "status"]
    refused = client.recv(timeout=5)
    assert refused["type"] == "error" and refused["data"]["code"] == "unknown_symbol"
    assert refused["data"]["subscription"] == SUBSCRIBE_QUOTE and "gone" in refused["data"]["message"]


def test_a_daemon_that_is_not_ready_is_tried_again(pair: Pair, daemon: Daemon) -> None:
    client, connection = pair
    client.subscribe_quote("binance", "BTCUSDT")
    refusals = iter((True, True, False))

    def answer(connection: Connection, request: dict[str, Any]) -> None:
        if next(refusals):
            connection.error(request, "not_ready")
        else:
            connection.reply(request, "subscribed")
            connection.send(quote(7))

    daemon.handlers["subscribe_quote"] = answer
    connection.end()
    while True:
        message = client.recv(timeout=5)
        if message["type"] == "quote":
            break
        assert message["type"] in ("status", "gap")
    assert len(daemon.seen("subscribe_quote", 4)) == 4


def test_without_reconnect_it_raises(daemon: Daemon, make_client: Callable[..., Any]) -> None:
    client = make_client(reconnect=False)
    connection = daemon.next_connection()
    connection.send(quote(1))
    connection.end()
    assert numbers([client.recv(timeout=5)]) == [1]
    for _ in range(2):
        with pytest.raises(NotConnected):
            client.recv(timeout=5)
    with pytest.raises(NotConnected):
        next(client.stream())
    with pytest.raises(NotConnected):
        client.ping()
    client.connect()
    assert client.ping() > 0


def test_silence_is_a_lost_connection(daemon: Daemon, make_client: Callable[..., Any]) -> None:
    client = make_client(silence_timeout=0.2)
    client.subscribe_quote("binance", "BTCUSDT")
    assert told(client, 3) == [
        ("status", "down", "silence"),
        ("gap", None, "silence"),
        ("status", "live", "reconnected"),
    ]


@pytest.mark.parametrize(
    "garbage",
    [
        struct.pack(">I", 5) + b"\xc1\xc1\xc1\xc1\xc1",
        struct.pack(">I", 0),
        struct.pack(">I", 2) + b"\x01\x02",
        struct.pack(">I", 1) + b"\x07",
        struct.pack(">I", 0xFFFFFFFF) + b"abc",
        frame({"no": "type"}),
        frame({"type": "orderbook_update", "data": {}}),
        b"\0\0\0\x02" + b"\0\0",
    ],
)
def test_garbage_ends_the_connection(pair: Pair, garbage: bytes) -> None:
    client, connection = pair
    connection.send(quote(1))
    connection.raw(garbage)
    assert told(client, 4) == [
        ("quote", 1),
        ("status", "down", "malformed"),
        ("gap", None, "malformed"),
        ("status", "live", "reconnected"),
    ]


# -- several at once ---------------------------------------------------------------------------------------


def test_threads_may_query_while_one_streams(daemon: Daemon) -> None:
    count, threads = 2000, 3
    daemon.on("get_symbols", ["BTCUSDT"], reply="symbols", then=lambda c, r: c.send(quote(-1)))
    with MarketDataClient(daemon.path, timeout=5) as client:
        connection = daemon.next_connection()
        got: list[int] = []
        failures: list[BaseException] = []

        def stream() -> None:
            for message in client.stream():
                if message["data"]["timestamp_us"] >= 0:
                    got.append(message["data"]["timestamp_us"])
                if len(got) == count:
                    return

        def ask() -> None:
            try:
                for _ in range(100):
                    assert client.get_symbols("binance") == ["BTCUSDT"]
            except BaseException as error:
                failures.append(error)

        workers = [threading.Thread(target=stream)] + [threading.Thread(target=ask) for _ in range(threads)]
        for worker in workers:
            worker.start()
        lock = threading.Lock()
        for first in range(0, count, 20):
            with lock:
                connection.send(*(quote(n) for n in range(first, first + 20)))
            time.sleep(0.0005)
        for worker in workers:
            worker.join(20)
            assert not worker.is_alive()
        assert not failures and got == list(range(count))


def test_tasks_may_query_while_one_streams(daemon: Daemon) -> None:
    count = 500
    daemon.on("get_symbols", ["BTCUSDT"], reply="symbols")

    async def main() -> list[int]:
        async with AsyncMarketDataClient(daemon.path, timeout=5) as client:
            connection = daemon.next_connection()
            got: list[int] = []

            async def stream() -> None:
                async for message in client.stream():
                    got.append(message["data"]["timestamp_us"])
                    if len(got) == count:
                        return

            async def ask() -> None:
                for _ in range(50):
                    assert await client.get_symbols("binance") == ["BTCUSDT"]

            streaming = asyncio.ensure_future(stream())
            asking = [asyncio.ensure_future(ask()) for _ in range(3)]
            for n in range(count):
                connection.send(quote(n))
                if n % 20 == 0:
                    await asyncio.sleep(0.001)
            await asyncio.wait_for(asyncio.gather(streaming, *asking), 20)
            return got

    assert asyncio.run(main()) == list(range(count))


def test_cancelling_recv_loses_nothing(daemon: Daemon) -> None:
    async def main() -> list[int]:
        async with AsyncMarketDataClient(daemon.path) as client:
            connection = daemon.next_connection()
            got: list[int] = []
            for n in range(200):
                task = asyncio.ensure_future(client.recv())
                for _ in range(n % 4):
                    await asyncio.sleep(0)
                connection.send(quote(n))
                for _ in range(n % 3):
                    await asyncio.sleep(0)
                task.cancel()
                try:
                    got.append((await task)["data"]["timestamp_us"])
                except asyncio.CancelledError:
                    continue
            while len(got) < 200:
                got.append((await client.recv(timeout=5))["data"]["timestamp_us"])
            return got

    assert asyncio.run(main()) == list(range(200))


def test_other_tasks_run_while_data_pours_in(daemon: Daemon) -> None:
    async def main() -> int:
        turns = 0
        async with AsyncMarketDataClient(daemon.path) as client:
            connection = daemon.next_connection()
            sender = threading.Thread(
                target=lambda: connection.send(*(book(n, levels=20) for n in range(3000)))
            )
            sender.start()

            async def count() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            counter = asyncio.ensure_future(count())
            seen = 0
            async for _ in client.stream():
                seen += 1
                if seen == 3000:
                    break
            counter.cancel()
            sender.join()
        return turns

    assert asyncio.run(main()) > 5


def test_async_has_every_method_of_the_blocking_client() -> None:
    import inspect

    for name, method in inspect.getmembers(MarketDataClient, inspect.isfunction):
        if name.startswith("_"):
            continue
        other = getattr(AsyncMarketDataClient, name)
        ours = [(p.name, p.default) for p in inspect.signature(method).parameters.values()]
        theirs = [(p.name, p.default) for p in inspect.signature(other).parameters.values()]
        assert ours == theirs, name
        assert inspect.iscoroutinefunction(other) or inspect.isasyncgenfunction(other), name


def test_errors_are_importable_from_both_places() -> None:
    for name in ("SlipstreamError", "NotConnected", "UnknownSymbol", "UnknownVenue", "BadRequest", "NotLive"):
        assert getattr(slipstream, name) is getattr(mktdata, name)
    assert slipstream.NotReady is mktdata.NotReady


def test_a_daemon_that_hangs_up_at_once_is_not_hammered(pair: Pair, daemon: Daemon) -> None:
    client, connection = pair
    client.subscribe_quote("binance", "BTCUSDT")
    daemon.handlers["subscribe_quote"] = lambda c, r: c.end()
    connection.end()
    give_up_at = time.monotonic() + 0.7
    while time.monotonic() < give_up_at:
        try:
            client.recv(timeout=0.1)
        except TimeoutError:
            continue
    attempts = len([request for request in daemon.requests if request["type"] == "subscribe_quote"]) - 1
    assert 2 <= attempts <= 8
