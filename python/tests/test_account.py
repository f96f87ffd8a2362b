"""Funding, fills, instruments, and how far candles are, from the real daemon with an account configured."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_candles import INTERVALS, LOAD_S, SYMBOLS, CandleVenues, check, loaded
from test_daemon import WAIT_S, RealDaemon, binary, end, read_until

from slipstream.core.mktdata import (
    BadRequest,
    Fill,
    Funding,
    MarketDataClient,
    SlipstreamError,
    to_pandas,
)

ACCOUNT = "0x00000000000000000000000000000000000000a1"
PAIRS = [(venue, symbol) for venue, symbols in SYMBOLS.items() for symbol in symbols]
FUNDING_FIELDS = {
    "venue",
    "symbol",
    "timestamp_us",
    "received_us",
    "funding_rate",
    "interval_hours",
    "next_funding_us",
    "mark_price",
    "index_price",
    "open_interest",
}
FILL_FIELDS = {
    "venue",
    "symbol",
    "timestamp_us",
    "received_us",
    "price",
    "size",
    "side",
    "order_id",
    "trade_id",
    "fee",
    "is_snapshot",
}


class AccountVenues(CandleVenues):
    """The simulated venues, with candles carried, and an account at Hyperliquid."""

    def config(self, venue: str) -> str:
        account = f'\naccount_address = "{ACCOUNT}"' if venue == "hyperliquid" else ""
        return super().config(venue) + account

    def control(self, method: str, path: str, **parameters: Any) -> Any:
        url = f"{self.ready['control']}{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=WAIT_S) as answer:
            return json.load(answer)


class Desk:
    """The venues and their daemon."""

    def __init__(self, directory: Path) -> None:
        self.venues = AccountVenues(directory)
        self.daemon = RealDaemon(directory, self.venues)


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    binary("slipstream-mktdata")
    directory = Path(tempfile.mkdtemp(prefix="slip-"))
    desk = Desk(directory)
    try:
        desk.daemon.start()
        yield desk
    finally:
        if desk.daemon.process is not None:
            desk.daemon.stop()
        end(desk.venues.process)
        shutil.rmtree(directory)


@pytest.fixture
def client(desk: Desk) -> Iterator[MarketDataClient]:
    with MarketDataClient(desk.daemon.socket_path) as client:
        yield client


# -- funding -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("venue", "symbol"), PAIRS)
def test_funding_is_the_venues(desk: Desk, client: MarketDataClient, venue: str, symbol: str) -> None:
    give_up_at = time.monotonic() + WAIT_S
    while True:
        try:
            funding = client.get_funding(venue, symbol)
            break
        except SlipstreamError:  # not there yet
            assert time.monotonic() < give_up_at
            time.sleep(0.1)
    assert isinstance(funding, Funding) and (funding.venue, funding.symbol) == (venue, symbol)
    assert funding.extra == {} and set(funding.fields) == FUNDING_FIELDS
    truth = desk.venues.control("GET", "/truth/funding", venue=venue, symbol=symbol)
    assert funding.interval_hours == truth["interval_hours"]
    assert funding.mark_price == pytest.approx(float(truth["mark"]), rel=0.05)
    assert funding.index_price == pytest.approx(float(truth["index"]), rel=0.05)
    assert funding.funding_rate is not None and abs(funding.funding_rate) < 0.1
    assert funding.next_funding_us is not None
    hour_us = 3_600_000_000
    assert funding.next_funding_us % hour_us == 0
    assert -60 < funding.next_funding_us / 1e6 - time.time() <= truth["interval_hours"] * 3600 + 60
    assert (funding.open_interest is None) == (venue == "binance")
    assert abs(time.time() - funding.received_us / 1e6) < WAIT_S


@pytest.mark.parametrize(("venue", "symbol"), [("binance", "BTCUSDT"), ("hyperliquid", "BTC")])
def test_funding_streams(client: MarketDataClient, venue: str, symbol: str) -> None:
    client.subscribe_funding(venue, symbol)
    seen: list[Funding] = []
    give_up_at = time.monotonic() + WAIT_S
    for msg in client.stream():
        if msg["type"] == "funding":
            assert msg["data"].keys() == FUNDING_FIELDS
            seen.append(Funding(**msg["data"]))
        if len(seen) == 4:
            break
        assert time.monotonic() < give_up_at, seen
    assert {(funding.venue, funding.symbol) for funding in seen} == {(venue, symbol)}
    received = [funding.received_us for funding in seen]
    assert received == sorted(received) and all(funding.extra == {} for funding in seen)
    client.unsubscribe({"type": "subscribe_funding", "venue": venue, "symbol": symbol})
    assert client.subscriptions == []


# -- fills -------------------------------------------------------------------------------------------------


def test_fills_of_the_account(desk: Desk, client: MarketDataClient) -> None:
    client.subscribe({"type": "subscribe_fills", "venue": "hyperliquid"})
    give_up_at = time.monotonic() + WAIT_S
    while "live" not in {
        stream["state"]
        for stream in client.get_status()["venues"]["hyperliquid"]["streams"]
        if stream["stream"] == "fills"
    }:
        assert time.monotonic() < give_up_at
        time.sleep(0.05)
    made = [("BTC", "buy", "0.25"), ("ETH", "sell", "2.5"), ("BTC", "sell", "0.125")]
    seen: list[Fill] = []
    for symbol, side, size in made:
        desk.venues.control(
            "POST", "/fill", venue="hyperliquid", symbol=symbol, user=ACCOUNT, side=side, size=size
        )
        msg = read_until(client, lambda msg: msg["type"] == "fill")
        assert msg["data"].keys() == FILL_FIELDS
        seen.append(Fill(**msg["data"]))
    assert [(fill.symbol, fill.side, fill.size) for fill in seen] == [
        (symbol, side.capitalize(), float(size)) for symbol, side, size in made
    ]
    for fill in seen:
        assert fill.venue == "hyperliquid" and fill.price > 0 and fill.extra == {}
        assert fill.is_snapshot is False and isinstance(fill.fee, float)
        assert abs(time.time() - fill.timestamp_us / 1e6) < WAIT_S
    assert len({fill.trade_id for fill in seen}) == len(made)
    # The account's trades are everybody's trades, too.
    ours = {str(fill.trade_id) for fill in seen if fill.symbol == "BTC"}
    while not ours <= {trade.trade_id for trade in client.get_trades("hyperliquid", "BTC", count=1000)}:
        assert time.monotonic() < give_up_at
        time.sleep(0.05)


def test_fills_want_an_account(client: MarketDataClient) -> None:
    with pytest.raises(BadRequest) as raised:
        client.subscribe({"type": "subscribe_fills", "venue": "binance"})
    assert raised.value.code == "not_configured"


# -- candles -----------------------------------------------------------------------------------------------


def test_status_tells_how_far_the_candles_are(client: MarketDataClient) -> None:
    give_up_at = time.monotonic() + LOAD_S
    before: dict[str, int] = {}
    while True:
        venues = client.get_status()["venues"]
        for venue, symbols in SYMBOLS.items():
            candles = venues[venue]["candles"]
            assert candles.keys() == {"loaded", "total"}
            assert candles["total"] == len(symbols) * len(INTERVALS)
            assert before.get(venue, 0) <= candles["loaded"] <= candles["total"]
            before[venue] = candles["loaded"]
        if loaded(client):
            break
        assert time.monotonic() < give_up_at, venues
        time.sleep(0.02)


@pytest.mark.parametrize("venue", sorted(SYMBOLS))
def test_no_symbols_means_all_of_them(client: MarketDataClient, venue: str) -> None:
    client.subscribe_candles(venue, symbols=None, interval="1h")
    assert client.subscriptions == [{"type": "subscribe_all_candles", "venue": venue, "interval": "1h"}]
    waiting = set(SYMBOLS[venue])
    give_up_at = time.monotonic() + WAIT_S
    for msg in client.stream():
        assert msg["type"] in ("candle", "status")
        if msg["type"] == "candle":
            assert (msg["data"]["venue"], msg["data"]["interval"]) == (venue, "1h")
            waiting.discard(msg["data"]["symbol"])
        if not waiting:
            break
        assert time.monotonic() < give_up_at, waiting


@pytest.mark.parametrize("venue", sorted(SYMBOLS))
def test_columns_objects_and_frames_hold_the_same(client: MarketDataClient, venue: str) -> None:
    symbols = SYMBOLS[venue]
    columns = client.get_candles_columns(venue, symbols, "4h", 300)
    objects = client.get_candles_batch(venue, symbols, "4h", 300)
    assert list(columns) == list(objects) == symbols
    for symbol in symbols:
        check(objects[symbol], venue, symbol, "4h")
        fields = columns[symbol]
        assert {name: view.format for name, view in fields.items()} == {
            "timestamp": "q",
            "open": "d",
            "high": "d",
            "low": "d",
            "close": "d",
            "volume": "d",
            "num_trades": "q",
            "closed": "q",
        }
        assert {len(view) for view in fields.values()} == {300}
        # The last one moves.
        for name, view in fields.items():
            assert list(view)[:-1] == [candle[name] for candle in objects[symbol]][:-1]
    pytest.importorskip("pandas")
    frame = to_pandas(objects)
    assert len(frame) == 300 * len(symbols) and set(frame["symbol"]) == set(symbols)


# -- instruments -------------------------------------------------------------------------------------------


def test_instruments_know_their_steps(client: MarketDataClient) -> None:
    told = {
        (instrument.venue, instrument.symbol): instrument
        for venue in SYMBOLS
        for instrument in client.get_instruments(venue)
    }
    for venue, symbol in PAIRS:
        instrument = told[venue, symbol]
        assert (instrument.kind, instrument.status, instrument.extra) == ("perp", "trading", {})
        assert instrument.base == symbol.replace("USDT", "") and instrument.quote in ("USDT", "USDC")
        assert instrument.tick_size is not None and instrument.tick_size > 0
        assert instrument.lot_size is not None and instrument.lot_size > 0
        book = client.get_latest_orderbook(venue, symbol, depth=10)
        assert book is not None
        for price, size in [*book.bids, *book.asks]:
            lots = size / instrument.lot_size
            assert lots == pytest.approx(round(lots), abs=1e-6), (symbol, size)
            if venue == "binance":
                steps = price / instrument.tick_size
                assert steps == pytest.approx(round(steps), abs=1e-6), (symbol, price)
            else:
                assert price.is_integer() or float(f"{price:.5g}") == price, (symbol, price)
    assert told["binance", "BTCUSDT"].tick_size == 0.1
    # Five figures, and no more decimals than six less those of the size.
    assert told["hyperliquid", "BTC"].tick_size in (1.0, 10.0)
