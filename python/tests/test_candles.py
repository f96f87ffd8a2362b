"""Candles from the real daemon, as the first programs of a desk ask for them, and as they stream.

The daemon, its simulated venues and how they are found are those of ``test_daemon``; here it carries candles.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_daemon import WAIT_S, RealDaemon, Venues, binary, end

from slipstream.core.mktdata import (
    BadRequest,
    Candle,
    MarketDataClient,
    UnknownSymbol,
    to_pandas,
)

INTERVALS = {"15m": 900, "1h": 3600, "4h": 14_400}
LOAD_S = 60
SYMBOLS = {"hyperliquid": ["BTC", "ETH", "SOL"], "binance": ["BTCUSDT", "ETHUSDT"]}
FIELDS = {
    "venue",
    "symbol",
    "received_us",
    "timestamp",
    "interval",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "num_trades",
    "closed",
}


class CandleVenues(Venues):
    """The simulated venues, with candles carried."""

    def config(self, venue: str) -> str:
        urls = self.ready[venue]
        symbols = ", ".join(f'"{symbol}"' for symbol in SYMBOLS[venue])
        intervals = ", ".join(f'"{interval}"' for interval in INTERVALS)
        return "\n".join(
            [
                f"[venues.{venue}]",
                f'websocket_url = "{urls["ws"]}"',
                f'rest_url = "{urls["rest"]}"',
                f'tls_ca_file = "{self.ready["ca"]}"',
                f"symbols = [{symbols}]",
                'channels = ["orderbook", "quotes", "trades", "candles", "funding"]',
                f"intervals = [{intervals}]",
                "reconnect_delay_ms = 100",
            ]
        )


def loaded(client: MarketDataClient) -> bool:
    """Whether the past of every series has come."""
    venues = client.get_status()["venues"].values()
    return all(venue["candles"]["loaded"] == venue["candles"]["total"] > 0 for venue in venues)


@pytest.fixture(scope="module")
def running() -> Iterator[RealDaemon]:
    binary("slipstream-mktdata")
    directory = Path(tempfile.mkdtemp(prefix="slip-"))
    venues = CandleVenues(directory)
    daemon = RealDaemon(directory, venues)
    try:
        daemon.start()
        give_up_at = time.monotonic() + LOAD_S
        with MarketDataClient(daemon.socket_path) as client:
            while not loaded(client):
                assert time.monotonic() < give_up_at, client.get_status()["venues"]
                time.sleep(0.1)
        yield daemon
    finally:
        if daemon.process is not None:
            daemon.stop()
        end(venues.process)
        shutil.rmtree(directory)


@pytest.fixture
def daemon_fixture(running: RealDaemon, monkeypatch: pytest.MonkeyPatch) -> RealDaemon:
    """The daemon, where ``MarketDataClient()`` finds it."""
    monkeypatch.setenv("SLIPSTREAM_SOCKET", running.socket_path)
    return running


@pytest.fixture
def client(daemon_fixture: RealDaemon) -> Iterator[MarketDataClient]:
    with MarketDataClient() as client:
        yield client


def check(candles: list[Candle], venue: str, symbol: str, interval: str) -> None:
    """What holds of any list of candles."""
    for candle in candles:
        assert (candle.venue, candle.symbol, candle.interval) == (venue, symbol, interval)
        assert candle.low <= min(candle.open, candle.close) <= max(candle.open, candle.close) <= candle.high
        assert candle.low > 0 and candle.volume >= 0 and candle.num_trades >= 0 and candle.extra == {}
        assert isinstance(candle.timestamp, int) and candle.timestamp % INTERVALS[interval] == 0
    starts = [candle.timestamp for candle in candles]
    assert [later - earlier for earlier, later in zip(starts, starts[1:])] == [INTERVALS[interval]] * (
        len(starts) - 1
    )
    assert [candle.closed for candle in candles] == [True] * (len(candles) - 1) + [False]


# -- programs as a desk writes them ------------------------------------------------------------------------


def test_daemon_candle_fetch(daemon_fixture: RealDaemon) -> None:
    """Test fetching candles from running daemon."""
    client = MarketDataClient()
    client.connect()

    candles = client.get_candles(
        venue="hyperliquid",
        symbol="BTC",
        interval="4h",
        count=100,
    )

    assert len(candles) == 100
    assert candles[0].symbol == "BTC"
    client.close()


def test_the_first_program(daemon_fixture: RealDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    # Connect to daemon
    with MarketDataClient() as client:
        # Get recent candles
        candles = client.get_candles(
            venue="hyperliquid",
            symbol="BTC",
            interval="4h",
            count=100,
        )

        for candle in candles:
            print(f"{candle.timestamp}: ${candle.close:,.2f}")

        # Batch fetch multiple symbols
        batch = client.get_candles_batch(
            venue="hyperliquid",
            symbols=["BTC", "ETH", "SOL"],
            interval="4h",
            count=50,
        )
    assert len(capsys.readouterr().out.splitlines()) == 100
    assert list(batch) == ["BTC", "ETH", "SOL"]
    for symbol, listed in batch.items():
        assert isinstance(listed, list) and len(listed) == 50
        check(listed, "hyperliquid", symbol, "4h")
    assert [candle.timestamp for candle in batch["BTC"]] == [candle.timestamp for candle in candles[50:]]


def test_the_panel_of_a_trend_strategy(daemon_fixture: RealDaemon) -> None:
    client = MarketDataClient()
    client.connect()

    # Get all available symbols
    symbols = client.get_symbols(venue="hyperliquid")

    # Request latest 1100 candles for each symbol (synchronous batch request)
    before = time.monotonic()
    candles_by_symbol = client.get_candles_batch(
        venue="hyperliquid",
        symbols=symbols,
        interval="4h",
        count=1100,
    )
    assert time.monotonic() - before < 5
    assert list(candles_by_symbol) == symbols
    for symbol, listed in candles_by_symbol.items():
        assert 0 < len(listed) <= 1100
        check(listed, "hyperliquid", symbol, "4h")
    pytest.importorskip("pandas")
    panel = to_pandas(candles_by_symbol).set_index(["timestamp", "symbol"]).sort_index()
    assert panel.index.is_unique and not panel["close"].isna().any()
    client.close()


def test_a_recorder_of_all_candles(daemon_fixture: RealDaemon) -> None:
    client = MarketDataClient()
    client.connect()
    for venue in SYMBOLS:
        for interval in ["4h", "1h", "15m"]:
            client.subscribe_candles(venue, symbols=None, interval=interval)
    waiting = {
        (venue, symbol, interval)
        for venue, symbols in SYMBOLS.items()
        for symbol in symbols
        for interval in INTERVALS
    }
    give_up_at = time.monotonic() + WAIT_S
    for msg in client.stream():
        if msg["type"] == "candle":
            row = {key: msg["data"][key] for key in sorted(FIELDS)}
            waiting.discard((row["venue"], row["symbol"], row["interval"]))
        if not waiting:
            break
        assert time.monotonic() < give_up_at, waiting
    client.close()


# -- queries and streams -----------------------------------------------------------------------------------


@pytest.mark.parametrize("venue", sorted(SYMBOLS))
@pytest.mark.parametrize("interval", sorted(INTERVALS))
def test_every_interval(client: MarketDataClient, venue: str, interval: str) -> None:
    symbol = SYMBOLS[venue][0]
    candles = client.get_candles(venue, symbol, interval, 500)
    assert len(candles) > 100
    check(candles, venue, symbol, interval)
    now = time.time()
    assert candles[-1].timestamp <= now + 60 and now - candles[-1].timestamp < 2 * INTERVALS[interval]
    assert [candle.timestamp for candle in client.get_candles(venue, symbol, interval, 3)][-1] in (
        candles[-1].timestamp,
        candles[-1].timestamp + INTERVALS[interval],
    )


def test_both_layouts_are_the_same(client: MarketDataClient) -> None:
    request: dict[str, Any] = {
        "type": "get_candles_batch",
        "venue": "binance",
        "symbols": SYMBOLS["binance"],
        "interval": "1h",
        "count": 200,
    }
    for _ in range(20):  # the open candle may move between the two
        by_rows = client.request(request)
        by_columns = client.get_candles_columns("binance", SYMBOLS["binance"], "1h", 200)
        taken = {
            symbol: {name: [row[name] for row in rows] for name in by_columns[symbol]}
            for symbol, rows in by_rows.items()
        }
        shown = {
            symbol: {name: list(values) for name, values in fields.items()}
            for symbol, fields in by_columns.items()
        }
        if taken == shown:
            break
    assert taken == shown
    assert all(row.keys() == FIELDS for rows in by_rows.values() for row in rows)


@pytest.mark.parametrize(("venue", "symbol"), [("binance", "BTCUSDT"), ("hyperliquid", "BTC")])
def test_the_open_candle_comes_first_and_moves(client: MarketDataClient, venue: str, symbol: str) -> None:
    client.subscribe_candles(venue, [symbol], interval="15m")
    client.subscribe_candles(venue, symbols=None, interval="15m")
    seen: list[Candle] = []
    give_up_at = time.monotonic() + WAIT_S
    for msg in client.stream():
        if msg["type"] == "candle" and msg["data"]["symbol"] == symbol:
            assert msg["data"].keys() - {"revised"} == FIELDS
            seen.append(Candle(**msg["data"]))
            if len({candle.num_trades for candle in seen}) >= 3:
                break
        assert time.monotonic() < give_up_at, seen
    assert all(candle.extra == {} and candle.interval == "15m" for candle in seen)
    starts = [candle.timestamp for candle in seen if not candle.revised]
    assert starts == sorted(starts)
    volumes: dict[int, float] = {}
    for candle in seen:
        assert candle.volume >= volumes.get(candle.timestamp, 0.0)
        volumes[candle.timestamp] = candle.volume
    last = client.get_candles(venue, symbol, "15m", 1)[0]
    assert last.timestamp >= seen[-1].timestamp and not last.closed


def test_refusals(client: MarketDataClient) -> None:
    with pytest.raises(BadRequest, match="15m, 1h, 4h") as raised:
        client.get_candles("binance", "BTCUSDT", "7m", 5)
    assert raised.value.code == "unknown_interval"
    with pytest.raises(BadRequest) as raised:
        client.get_candles("binance", "BTCUSDT", "1h", 0)
    assert raised.value.code == "bad_count"
    with pytest.raises(UnknownSymbol, match="NOPE"):
        client.get_candles_batch("hyperliquid", ["BTC", "NOPE"], "4h", 5)
