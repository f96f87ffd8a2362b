"""The message classes."""

from __future__ import annotations

import pickle
import random

import pytest
from scripted import book, quote

from slipstream import SlipstreamError
from slipstream.core.mktdata import (
    MESSAGE_CLASSES,
    Candle,
    Fill,
    Funding,
    Gap,
    Levels,
    OrderbookDelta,
    OrderbookSnapshot,
    Quote,
    Status,
    Trade,
)

COMMON = {"venue": "binance", "symbol": "BTCUSDT", "received_us": 2}
DATA = {
    "orderbook_snapshot": book()["data"],
    "orderbook_update": book(conflated=3)["data"],
    "orderbook_delta": {
        **COMMON,
        "timestamp_us": 1,
        "sequence": 5,
        "prev_sequence": 4,
        "bid_changes": [[1.0, 0.0]],
        "ask_changes": [],
    },
    "quote": quote(1)["data"],
    "trade": {
        **COMMON,
        "timestamp_us": 1,
        "price": 1.0,
        "size": 2.0,
        "side": "Buy",
        "trade_id": "9",
        "backfill": False,
    },
    "candle": {
        **COMMON,
        "timestamp": 60,
        "interval": "1m",
        "open": 1.0,
        "high": 2.0,
        "low": 0.5,
        "close": 1.5,
        "volume": 10.0,
        "num_trades": 3,
        "closed": True,
        "revised": True,
    },
    "funding": {
        **COMMON,
        "timestamp_us": 1,
        "funding_rate": 1e-5,
        "interval_hours": 8,
        "next_funding_us": 9,
        "mark_price": 1.0,
        "index_price": 1.0,
        "open_interest": None,
    },
    "fill": {
        **COMMON,
        "timestamp_us": 1,
        "price": 1.0,
        "size": 1.0,
        "side": "Sell",
        "order_id": "1",
        "trade_id": "2",
        "fee": -0.1,
        "is_snapshot": False,
    },
    "status": {
        **COMMON,
        "symbol": None,
        "timestamp_us": 1,
        "stream": "orderbook",
        "state": "down",
        "reason": "disconnect",
        "age_ms": 5,
    },
    "gap": {**COMMON, "timestamp_us": 1, "stream": "trades", "reason": "slow_client", "missed": 7},
    "heartbeat": {"timestamp_us": 1},
}


@pytest.mark.parametrize("kind", sorted(DATA))
def test_every_message_makes_its_object(kind: str) -> None:
    data = DATA[kind]
    made = MESSAGE_CLASSES[kind](**data, from_the_future=1)
    assert made.extra == {"from_the_future": 1}
    for name, value in data.items():
        assert getattr(made, name) == value == made[name]
    assert dict(made) == made.to_dict() and made["from_the_future"] == 1
    again = pickle.loads(pickle.dumps(made))
    assert again == made and repr(made).startswith(type(made).__name__ + "(")
    assert made != MESSAGE_CLASSES[kind](**data)
    with pytest.raises(TypeError):
        hash(made)
    with pytest.raises(AttributeError):
        made.no_such_field = 1  # type: ignore[attr-defined]


def test_classes_are_the_named_ones() -> None:
    assert [type_ for type_ in MESSAGE_CLASSES.values()][:9] == [
        OrderbookSnapshot,
        OrderbookSnapshot,
        OrderbookDelta,
        Quote,
        Trade,
        Candle,
        Funding,
        Fill,
        Status,
    ]
    assert MESSAGE_CLASSES["gap"] is Gap


def test_book_prices() -> None:
    ob = OrderbookSnapshot(**book()["data"])
    assert (ob.best_bid, ob.best_ask, ob.mid_price) == (100.0, 101.0, 100.5)
    assert ob.spread_bps == pytest.approx(10_000 / 100.5)
    assert ob.bids[0]["price"] == 100.0 and ob.bids[0].size == 1.0
    empty = OrderbookSnapshot("binance", "BTCUSDT", bids=[(1.0, 1.0)])
    assert (empty.best_bid, empty.best_ask, empty.mid_price, empty.spread_bps) == (1.0, None, None, None)


def test_quote_prices() -> None:
    quote_ = Quote("v", "s", 0, 99.0, 1.0, 101.0, 1.0)
    assert quote_.mid_price == 100.0 and quote_.spread_bps == 200.0
    assert Quote("v", "s").mid_price is None and Quote("v", "s").spread_bps is None


def _delta(sequence: int, bids: list, asks: list, prev: int | None = None) -> OrderbookDelta:  # type: ignore[type-arg]
    return OrderbookDelta(
        "binance", "BTCUSDT", 3, sequence, sequence - 1 if prev is None else prev, bids, asks, fresh_levels=9
    )


def test_apply_changes_enters_and_leaves() -> None:
    before = OrderbookSnapshot(**book(sequence=4)["data"])
    delta = _delta(5, [[100.0, 0.0], [99.5, 7.0], [99.0, 8.0]], [[104.0, 1.0], [102.0, 0.0], [55.0, 0.0]])
    after = before.apply(delta)
    assert after.bids == [[99.5, 7.0], [99.0, 8.0], [98.0, 3.0]]
    assert after.asks == [[101.0, 2.0], [103.0, 4.0], [104.0, 1.0]]
    assert (after.sequence, after.timestamp_us, after.fresh_levels) == (5, 3, 9)
    assert before == OrderbookSnapshot(**book(sequence=4)["data"]), (
        "apply must not change the book it is given"
    )
    assert isinstance(after.bids, Levels) and after.bids[0].price == 99.5


def test_apply_refuses_a_hole_and_another_book() -> None:
    before = OrderbookSnapshot(**book(sequence=4)["data"])
    with pytest.raises(SlipstreamError) as hole:
        before.apply(_delta(7, [], [], prev=6))
    assert hole.value.code == "sequence_break"
    other = _delta(5, [], [])
    other.symbol = "ETHUSDT"
    with pytest.raises(SlipstreamError):
        before.apply(other)


@pytest.mark.parametrize("seed", range(20))
def test_apply_is_what_full_mode_shows(seed: int) -> None:
    """A delta is the difference of two windows; applying it must give the second, whatever changed."""
    rng = random.Random(seed)
    depth = rng.randint(1, 12)
    bids = {float(p): 1.0 for p in rng.sample(range(50, 100), 20)}
    asks = {float(p): 1.0 for p in rng.sample(range(100, 150), 20)}

    def window() -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
        return sorted(bids.items(), reverse=True)[:depth], sorted(asks.items())[:depth]

    def difference(
        old: list[tuple[float, float]], new: list[tuple[float, float]]
    ) -> list[tuple[float, float]]:
        was, now = dict(old), dict(new)
        changes = [(p, s) for p, s in now.items() if was.get(p) != s] + [
            (p, 0.0) for p in was if p not in now
        ]
        rng.shuffle(changes)
        return changes

    shown = window()
    have = OrderbookSnapshot("v", "s", sequence=1, bids=shown[0], asks=shown[1])
    for sequence in range(2, 200):
        side, low = rng.choice(((bids, 50), (asks, 100)))
        price = float(rng.randrange(low, low + 50))
        if rng.random() < 0.5:
            side.pop(price, None)
        else:
            side[price] = rng.random()
        now = window()
        delta = OrderbookDelta(
            "v", "s", 0, sequence, sequence - 1, difference(shown[0], now[0]), difference(shown[1], now[1])
        )
        have, shown = have.apply(delta), now
        assert (have.bids, have.asks) == (now[0], now[1])


def test_fields_are_in_the_order_of_the_constructor() -> None:
    import inspect

    for cls in MESSAGE_CLASSES.values():
        names = [name for name in inspect.signature(cls.__init__).parameters if name not in ("self", "extra")]
        assert list(cls.fields) == names
