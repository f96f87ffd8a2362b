"""The client against the real daemon, which is fed by simulated venues.

Binaries are taken from ``SLIPSTREAM_BIN_DIR``, else from ``target/debug`` of this repository. Without them
these tests are skipped, or fail when ``SLIPSTREAM_REQUIRE_DAEMON`` is set.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slipstream.core.mktdata import (
    MESSAGE_CLASSES,
    AsyncMarketDataClient,
    BadRequest,
    Levels,
    MarketDataClient,
    NotConnected,
    OrderbookDelta,
    OrderbookSnapshot,
    Quote,
    Trade,
    UnknownSymbol,
    UnknownVenue,
)

START_S = 60
WAIT_S = 30
SYMBOLS = {"hyperliquid": ["BTC", "ETH"], "binance": ["BTCUSDT", "ETHUSDT"]}
BOOKS = [(venue, symbol) for venue, symbols in SYMBOLS.items() for symbol in symbols]


def binary(name: str) -> str:
    named = os.environ.get("SLIPSTREAM_BIN_DIR")
    directory = Path(named) if named else Path(__file__).resolve().parents[2] / "target" / "debug"
    path = directory / name
    if not path.is_file():
        said = f"{path} is not built (cargo build, or set SLIPSTREAM_BIN_DIR)"
        if os.environ.get("SLIPSTREAM_REQUIRE_DAEMON"):
            pytest.fail(said)
        pytest.skip(said)
    return str(path)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def end(process: subprocess.Popen[Any]) -> int:
    """Stop a process that this test started; the exit code."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
    return process.returncode


class Venues:
    """Both simulated venues in one process; ``ready`` is the JSON line it prints."""

    def __init__(self, directory: Path) -> None:
        self.log = directory / "sim.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [binary("slipstream-sim"), "--seed", "7"],
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=directory,
                text=True,
            )
        lines: queue.Queue[str] = queue.Queue()
        stdout = self.process.stdout
        assert stdout is not None

        def read() -> None:
            for line in stdout:
                lines.put(line)

        threading.Thread(target=read, daemon=True).start()
        try:
            self.ready: dict[str, Any] = json.loads(lines.get(timeout=START_S))
        except (queue.Empty, ValueError) as error:
            end(self.process)
            raise AssertionError(f"slipstream-sim is not ready: {self.log.read_text()[-2000:]}") from error

    def config(self, venue: str) -> str:
        """Return the venue's section of the daemon's configuration."""
        urls = self.ready[venue]
        lines = [
            f"[venues.{venue}]",
            f'websocket_url = "{urls["ws"]}"',
            f'rest_url = "{urls["rest"]}"',
            f'tls_ca_file = "{self.ready["ca"]}"',
            f"symbols = {json.dumps(SYMBOLS[venue])}",
            "reconnect_delay_ms = 100",
        ]
        return "\n".join(lines)


class RealDaemon:
    """A ``slipstream-mktdata`` on its own socket."""

    def __init__(self, directory: Path, venues: Venues) -> None:
        self.socket_path = str(directory / "mktdata.sock")
        self.log = directory / "daemon.log"
        self.config = directory / "mktdata.toml"
        self.config.write_text(
            "\n".join(
                [
                    "[daemon]",
                    f'socket_path = "{self.socket_path}"',
                    "[threads]",
                    'engine_wait = "poll"',
                    "[health]",
                    f"metrics_port = {free_port()}",
                    "[retention]",
                    f'candles_path = "{directory / "candles"}"',
                    *(venues.config(venue) for venue in SYMBOLS),
                    "",
                ]
            )
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SLIPSTREAM_")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [binary("slipstream-mktdata"), "--config", str(self.config)],
                stdout=log,
                stderr=log,
                cwd=self.config.parent,
                env=environment,
            )
        give_up_at = time.monotonic() + START_S
        waiting: set[tuple[str, str]] = set(BOOKS)
        while waiting:
            if self.process.poll() is not None or time.monotonic() > give_up_at:
                raise AssertionError(f"not live: {sorted(waiting)}; log: {self.log.read_text()[-4000:]}")
            with contextlib.suppress(NotConnected), MarketDataClient(self.socket_path, timeout=5) as client:
                waiting = {book for book in waiting if client.get_latest_orderbook(*book, depth=1) is None}
            time.sleep(0.05)

    def stop(self) -> int:
        assert self.process is not None
        return end(self.process)


@pytest.fixture(scope="session")
def directory() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="slip-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def venues(directory: Path) -> Iterator[Venues]:
    binary("slipstream-mktdata")
    venues = Venues(directory)
    yield venues
    end(venues.process)


@pytest.fixture(scope="session")
def running_daemon(directory: Path, venues: Venues) -> Iterator[RealDaemon]:
    daemon = RealDaemon(directory, venues)
    try:
        daemon.start()
        yield daemon
    finally:
        if daemon.process is not None:
            daemon.stop()


@pytest.fixture
def daemon_fixture(running_daemon: RealDaemon, monkeypatch: pytest.MonkeyPatch) -> RealDaemon:
    """The daemon, where ``MarketDataClient()`` finds it."""
    monkeypatch.setenv("SLIPSTREAM_SOCKET", running_daemon.socket_path)
    return running_daemon


@pytest.fixture
def client(daemon_fixture: RealDaemon) -> Iterator[MarketDataClient]:
    with MarketDataClient() as client:
        yield client


def read_until(client: MarketDataClient, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    give_up_at = time.monotonic() + WAIT_S
    while True:
        message = client.recv(timeout=max(0.0, give_up_at - time.monotonic()))
        if wanted(message):
            return message


# -- programs as a desk writes them ------------------------------------------------------------------------


def test_orderbook_streaming(daemon_fixture: RealDaemon) -> None:
    """Test real-time orderbook subscription."""
    client = MarketDataClient()
    client.connect()
    client.subscribe_orderbook(venue="hyperliquid", symbol="BTC")

    updates = []
    for msg in client.stream():
        if msg["type"] == "orderbook_update":
            updates.append(msg)
            if len(updates) >= 10:
                break

    assert len(updates) == 10
    assert all(u["data"]["symbol"] == "BTC" for u in updates)
    client.close()


def test_market_maker_loop(daemon_fixture: RealDaemon) -> None:
    client = MarketDataClient()
    client.connect()

    # Subscribe to both orderbooks
    client.subscribe_orderbook(venue="hyperliquid", symbol="BTC", depth=5)
    client.subscribe_orderbook(venue="binance", symbol="BTCUSDT", depth=5)

    hl_mid = cex_mid = None
    quoted = []
    for msg in client.stream():
        if msg["type"] == "orderbook_update":
            ob = OrderbookSnapshot(**msg["data"])
            assert 0 < len(ob.bids) <= 5 and 0 < len(ob.asks) <= 5
            if ob.venue == "hyperliquid":
                hl_mid = ob.mid_price
            else:
                cex_mid = ob.mid_price
            if hl_mid is None or cex_mid is None:
                continue
            quoted.append((hl_mid - cex_mid, hl_mid))
            if len(quoted) == 50:
                break
    assert all(mid > 0 for _, mid in quoted)
    client.close()


def test_recorder_loop(daemon_fixture: RealDaemon) -> None:
    client = MarketDataClient()
    client.connect()
    client.subscribe({"type": "subscribe_all_trades", "venue": "binance"})
    client.subscribe_orderbook("binance", "BTCUSDT", depth=20)
    client.subscribe_quote("binance", "BTCUSDT")
    rows: dict[str, dict[str, Any]] = {}
    give_up_at = time.monotonic() + WAIT_S
    for msg in client.stream():
        msg_type = msg.get("type")
        ob = msg["data"]
        if msg_type == "orderbook_snapshot":
            rows["l2book"] = {
                "timestamp": ob["timestamp_us"],
                "bids": ob["bids"][:20],
                "mid": (ob["bids"][0]["price"] + ob["asks"][0]["price"]) / 2
                if ob["bids"] and ob["asks"]
                else None,
            }
        elif msg_type == "trade":
            rows["trades"] = {key: ob[key] for key in ("timestamp_us", "price", "size", "side", "trade_id")}
        elif msg_type == "quote":
            rows["quotes"] = {key: ob[key] for key in ("bid_price", "bid_size", "ask_price", "ask_size")}
        if len(rows) == 3:
            break
        assert time.monotonic() < give_up_at, rows
    assert rows["trades"]["side"] in ("Buy", "Sell") and isinstance(rows["trades"]["trade_id"], str)
    assert json.loads(json.dumps(rows))["l2book"]["bids"] == rows["l2book"]["bids"]
    client.close()


def test_load_of_ten_clients(daemon_fixture: RealDaemon) -> None:
    async def load_test() -> list[float]:
        clients = [MarketDataClient() for _ in range(10)]
        for client in clients:
            client.connect()
            client.subscribe_orderbook("hyperliquid", "BTC")

        latencies = []
        for _ in range(20):
            start = time.perf_counter()
            msg = await client.recv()
            latencies.append(time.perf_counter() - start)
            assert msg["data"]["venue"] == "hyperliquid"
        for client in clients:
            client.close()
        return latencies

    assert len(asyncio.run(load_test())) == 20


# -- queries -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("venue", "symbol"), BOOKS)
def test_latest_orderbook(client: MarketDataClient, venue: str, symbol: str) -> None:
    book = client.get_latest_orderbook(venue, symbol, depth=5)
    assert book is not None and (book.venue, book.symbol) == (venue, symbol) and book.extra == {}
    assert 1 <= len(book.bids) <= 5 and 1 <= len(book.asks) <= 5
    assert book.bids == sorted(book.bids, reverse=True) and book.asks == sorted(book.asks)
    assert book.best_bid is not None and book.best_ask is not None and book.best_bid < book.best_ask
    assert book.spread_bps is not None and book.spread_bps > 0
    assert all(
        isinstance(number, float) and number > 0 for level in [*book.bids, *book.asks] for number in level
    )
    assert abs(time.time() - book.received_us / 1e6) < 60 and isinstance(book.sequence, int)
    assert (book.venue_sequence is None) == (venue == "hyperliquid")
    whole = client.get_latest_orderbook(venue, symbol)
    assert whole is not None and len(whole.bids) >= len(book.bids)


def test_quotes_and_trades(client: MarketDataClient) -> None:
    quote = client.get_quote("binance", "BTCUSDT")
    assert isinstance(quote, Quote) and quote.bid_price is not None and quote.ask_price is not None
    assert quote.bid_price < quote.ask_price and quote.extra == {}
    give_up_at = time.monotonic() + WAIT_S
    trades: list[Trade] = []
    while not trades and time.monotonic() < give_up_at:
        trades = client.get_trades("binance", "BTCUSDT", count=10)
        time.sleep(0.05)
    assert 1 <= len(trades) <= 10 and trades[0].side in ("Buy", "Sell") and trades[0].extra == {}
    times = [trade.timestamp_us for trade in trades]
    assert times == sorted(times)
    quotes = client.get_quotes("binance", "BTCUSDT", count=5)
    assert 1 <= len(quotes) <= 5


def test_symbols_instruments_status_hello(client: MarketDataClient) -> None:
    for venue, symbols in SYMBOLS.items():
        assert client.get_symbols(venue) == sorted(symbols)
        instruments = {instrument.symbol: instrument for instrument in client.get_instruments(venue)}
        assert set(symbols) <= set(instruments) and instruments[symbols[0]].kind == "perp"
        assert instruments[symbols[0]].extra == {}
    hello = client.hello("tests")
    assert hello["protocol"] == 1 and len(hello["run_id"]) == 16 and set(hello["venues"]) == set(SYMBOLS)
    status = client.get_status()
    assert status["run_id"] == hello["run_id"] and status["venues"]["binance"]["connected"] is True
    assert client.ping() < 5


def test_errors(client: MarketDataClient) -> None:
    with pytest.raises(UnknownSymbol, match="BTCUSDT"):
        client.get_latest_orderbook("binance", "BTCUSD")
    with pytest.raises(UnknownSymbol):
        client.subscribe_orderbook("hyperliquid", "NOPE")
    with pytest.raises(UnknownVenue):
        client.get_symbols("binanse")
    refused: list[tuple[str, Callable[[], Any]]] = [
        ("bad_depth", lambda: client.subscribe_orderbook("binance", "BTCUSDT", depth=0)),
        ("bad_depth", lambda: client.get_latest_orderbook("binance", "BTCUSDT", depth=-1)),
        ("bad_mode", lambda: client.subscribe_orderbook("binance", "BTCUSDT", mode="half")),
        ("bad_count", lambda: client.get_trades("binance", "BTCUSDT", count=0)),
        ("unknown_type", lambda: client.request({"type": "get_rich"})),
        (
            "not_subscribed",
            lambda: client.unsubscribe({"type": "subscribe_quote", "venue": "binance", "symbol": "BTCUSDT"}),
        ),
    ]
    for code, call in refused:
        with pytest.raises(BadRequest) as raised:
            call()
        assert raised.value.code == code and raised.value.message
    assert client.subscriptions == [] and client.ping() > 0, "the connection stays open"


# -- streams -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("venue", "symbol"), [("binance", "BTCUSDT"), ("hyperliquid", "BTC")])
def test_the_book_comes_first_and_sequence_rises(client: MarketDataClient, venue: str, symbol: str) -> None:
    client.subscribe_orderbook(venue, symbol, depth=20)
    first = client.recv(timeout=WAIT_S)
    assert first["type"] == "orderbook_snapshot"
    last = first["data"]["sequence"]
    seen = 0
    for msg in client.stream():
        made = MESSAGE_CLASSES[msg["type"]](**msg["data"])
        assert made.extra == {}
        if isinstance(made, OrderbookSnapshot):
            assert made.sequence > last and isinstance(msg["data"]["bids"], Levels)
            assert made.fresh_levels is not None and made.depth_timestamp_us is not None
            last = made.sequence
            seen += 1
            if seen == 20:
                break


@pytest.mark.parametrize(("venue", "symbol"), [("binance", "BTCUSDT"), ("hyperliquid", "BTC")])
@pytest.mark.parametrize("depth", [3, 50])
def test_deltas_make_what_full_mode_shows(
    daemon_fixture: RealDaemon, venue: str, symbol: str, depth: int
) -> None:
    full: dict[int, OrderbookSnapshot] = {}
    applied: dict[int, OrderbookSnapshot] = {}
    with MarketDataClient() as one, MarketDataClient() as other:
        one.subscribe_orderbook(venue, symbol, depth=depth)
        other.subscribe_orderbook(venue, symbol, depth=depth, mode="delta")
        book: OrderbookSnapshot | None = None
        deltas = 0
        give_up_at = time.monotonic() + WAIT_S
        while deltas < 40 or len(full.keys() & applied.keys()) < 20:
            assert time.monotonic() < give_up_at
            msg = other.recv(timeout=WAIT_S)
            if msg["type"] == "orderbook_snapshot":
                book = OrderbookSnapshot(**msg["data"])
            elif msg["type"] == "orderbook_delta":
                assert book is not None
                book = book.apply(OrderbookDelta(**msg["data"]))
                deltas += 1
            else:
                continue
            applied[book.sequence] = book
            with contextlib.suppress(TimeoutError):
                while True:
                    msg = one.recv(timeout=0)
                    if msg["type"] in ("orderbook_snapshot", "orderbook_update"):
                        shown = OrderbookSnapshot(**msg["data"])
                        full[shown.sequence] = shown
    for sequence in full.keys() & applied.keys():
        assert (applied[sequence].bids, applied[sequence].asks) == (full[sequence].bids, full[sequence].asks)


def test_records_make_the_same_book(daemon_fixture: RealDaemon) -> None:
    with MarketDataClient() as one, MarketDataClient(encoding="record") as other:
        one.subscribe_orderbook("binance", "BTCUSDT", depth=20)
        other.subscribe_orderbook("binance", "BTCUSDT")
        full: dict[int, OrderbookSnapshot] = {}
        made: dict[int, OrderbookSnapshot] = {}
        book: OrderbookSnapshot | None = None
        give_up_at = time.monotonic() + WAIT_S
        while len(full.keys() & made.keys()) < 20:
            assert time.monotonic() < give_up_at
            msg = other.recv(timeout=WAIT_S)
            if msg["type"] == "orderbook_snapshot":
                book = OrderbookSnapshot(**msg["data"])
            elif msg["type"] == "orderbook_delta" and book is not None:
                book = book.apply(OrderbookDelta(**msg["data"]))
            if book is not None:
                made[book.sequence] = book
            with contextlib.suppress(TimeoutError):
                while True:
                    msg = one.recv(timeout=0)
                    if msg["type"] in ("orderbook_snapshot", "orderbook_update"):
                        shown = OrderbookSnapshot(**msg["data"])
                        full[shown.sequence] = shown
    for sequence in full.keys() & made.keys():
        assert made[sequence].bids[:20] == full[sequence].bids
        assert made[sequence].asks[:20] == full[sequence].asks
        assert made[sequence].timestamp_us == full[sequence].timestamp_us


def test_queries_on_a_client_that_streams(client: MarketDataClient) -> None:
    client.subscribe_orderbook("binance", "BTCUSDT", depth=10, mode="delta")
    client.subscribe_trades("binance", "BTCUSDT")
    book: OrderbookSnapshot | None = None
    for number, msg in enumerate(client.stream()):
        if number % 5 == 0:
            latest = client.get_latest_orderbook("binance", "BTCUSDT", depth=10)
            assert latest is not None and len(client.get_symbols("binance")) == 2
        # A lost or duplicated delta, or a reply taken for a message, would break the chain of sequences.
        if msg["type"] == "orderbook_snapshot":
            book = OrderbookSnapshot(**msg["data"])
        elif msg["type"] == "orderbook_delta":
            assert book is not None
            book = book.apply(OrderbookDelta(**msg["data"]))
        if number == 200:
            break


def test_unsubscribe_ends_a_stream(client: MarketDataClient) -> None:
    request = {"type": "subscribe_orderbook", "venue": "binance", "symbol": "BTCUSDT"}
    client.subscribe_orderbook("binance", "BTCUSDT")
    client.subscribe_orderbook("binance", "ETHUSDT")
    read_until(client, lambda msg: msg["data"]["symbol"] == "BTCUSDT")
    client.unsubscribe(request)
    others = 0
    while others < 20:
        msg = client.recv(timeout=WAIT_S)
        assert msg["data"]["symbol"] != "BTCUSDT"
        others += 1


def test_heartbeats_on_request(client: MarketDataClient) -> None:
    beat = next(client.stream(heartbeats=True))
    assert beat["type"] == "heartbeat" and isinstance(beat["data"]["timestamp_us"], int)


def test_async(daemon_fixture: RealDaemon) -> None:
    async def main() -> int:
        async with AsyncMarketDataClient() as client:
            await client.subscribe_orderbook("binance", "BTCUSDT", depth=5)
            first = await client.recv(timeout=WAIT_S)
            assert first["type"] == "orderbook_snapshot"
            seen = 0
            async for msg in client.stream():
                if msg["type"] == "orderbook_update":
                    book = await client.get_latest_orderbook("binance", "BTCUSDT", depth=5)
                    assert book is not None and book.sequence >= msg["data"]["sequence"]
                    seen += 1
                if seen == 10:
                    return seen
        return 0

    assert asyncio.run(asyncio.wait_for(main(), WAIT_S)) == 10


def test_spinning_receive(client: MarketDataClient) -> None:
    client.subscribe_quote("binance", "BTCUSDT")
    quotes = [msg for msg in itertools.islice(client.stream(spin=True), 20) if msg["type"] == "quote"]
    assert quotes and all(quote["data"]["bid_price"] < quote["data"]["ask_price"] for quote in quotes)


def test_it_goes_on_after_the_daemon_restarts(venues: Venues) -> None:
    directory = Path(tempfile.mkdtemp(prefix="slip-"))
    daemon = RealDaemon(directory, venues)
    try:
        daemon.start()
        with MarketDataClient(daemon.socket_path) as client:
            client.subscribe_orderbook("binance", "BTCUSDT", depth=5)
            run_id = client.hello()["run_id"]
            read_until(client, lambda msg: msg["type"] == "orderbook_update")
            assert daemon.stop() == 0
            down = read_until(
                client, lambda msg: msg["data"].get("venue") is None and msg["type"] == "status"
            )
            assert (down["data"]["stream"], down["data"]["state"]) == ("connection", "down")
            with pytest.raises(NotConnected):
                client.get_symbols("binance")
            starting = threading.Thread(target=daemon.start)
            starting.start()
            gap = read_until(client, lambda msg: msg["type"] == "gap" and msg["data"]["venue"] is None)
            assert gap["data"]["reason"] == "disconnect" and gap["data"]["missed"] is None
            book = read_until(client, lambda msg: msg["type"].startswith("orderbook_"))
            assert book["type"] == "orderbook_snapshot" and len(book["data"]["bids"]) <= 5
            read_until(client, lambda msg: msg["type"] == "orderbook_update")
            assert client.hello()["run_id"] != run_id
            starting.join(START_S)
    finally:
        if daemon.process is not None:
            daemon.stop()
        shutil.rmtree(directory)
