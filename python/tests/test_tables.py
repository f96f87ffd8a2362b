"""Messages as frames."""

from __future__ import annotations

from typing import Any

import pytest
from scripted import book, quote

from slipstream.core.mktdata import Candle, Trade, to_pandas, to_polars

TRADES = [
    Trade(
        "binance",
        "BTCUSDT",
        1_700_000_000_000_001 + i,
        1.5,
        2.0,
        "Buy",
        str(i),
        received_us=1_700_000_000_000_009,
    )
    for i in range(3)
]


def test_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    frame = to_pandas(TRADES)
    assert list(frame.columns)[:4] == ["timestamp", "received", "venue", "symbol"]
    assert str(frame["timestamp"].dtype) == "datetime64[us, UTC]"
    assert str(frame["received"].dtype) == "datetime64[ns, UTC]"
    assert frame["timestamp"][1] == pandas.Timestamp(1_700_000_000_000_002, unit="us", tz="UTC")
    assert list(frame["trade_id"]) == ["0", "1", "2"] and frame["price"].dtype == "float64"
    candles = to_pandas([Candle("binance", "BTCUSDT", 60, "1m")])
    assert candles["timestamp"][0] == pandas.Timestamp(60, unit="s", tz="UTC")
    assert to_pandas([]).empty
    # Messages straight from a stream, levels included, as programs write them.
    rows = [{"bids": message["data"]["bids"][:20]} for message in [book()]]
    assert pandas.DataFrame(rows)["bids"][0][0] == [100.0, 1.0]


def test_polars() -> None:
    polars = pytest.importorskip("polars")
    frame = to_polars(TRADES)
    assert frame.schema["timestamp"] == polars.Datetime("us", "UTC")
    assert frame.schema["received"] == polars.Datetime("ns", "UTC")
    assert frame["trade_id"].to_list() == ["0", "1", "2"]
    books = to_polars([book(), book(2)])
    assert books["bids"][1][0] == {"price": 100.0, "size": 1.0}
    assert to_polars([]).is_empty()


@pytest.mark.parametrize("make", [to_pandas, to_polars])
def test_mixtures(make: Any) -> None:
    pytest.importorskip(make.__name__.removeprefix("to_"))
    mixed = [book(), quote(1), book(2), {"type": "error", "data": {}}]
    assert len(make(mixed, type="quote")) == 1
    assert len(make(mixed, type="orderbook_update")) == 2
    with pytest.raises(ValueError, match="choose one"):
        make(mixed)
    with pytest.raises(ValueError, match="no row"):
        make(mixed[3:])


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ImportError, match=r"slipstream\[pandas\]"):
        to_pandas([])
    with pytest.raises(ImportError, match=r"slipstream\[polars\]"):
        to_polars([])
