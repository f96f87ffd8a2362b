"""A client in a process of its own: what it received, and when. For tests of who delays whom.

``python follower.py SOCKET VENUE`` prints ``ready`` once it is subscribed to all trades and quotes of the
venue, reads until its standard input ends, and prints one line of JSON. Times are of the monotonic clock,
which all processes share.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from typing import Any

from slipstream.core.mktdata import MarketDataClient


def follow(client: MarketDataClient, stop: threading.Event) -> dict[str, Any]:
    arrivals: list[float] = []
    trades: dict[str, list[int]] = {}
    told: list[dict[str, Any]] = []
    backwards = 0
    latest: dict[tuple[str, str], int] = {}
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            message = client.recv(timeout=0.1)
            arrivals.append(time.monotonic())
            kind, data = message["type"], message["data"]
            if kind not in ("trade", "quote") or "conflated" in data:
                told.append(message)
                continue
            stream = (kind, data["symbol"])
            backwards += data["received_us"] < latest.get(stream, 0)
            latest[stream] = data["received_us"]
            if kind == "trade":
                trades.setdefault(data["symbol"], []).append(int(data["trade_id"]))
    return {"arrivals": arrivals, "trades": trades, "told": told, "backwards": backwards}


def main() -> None:
    socket_path, venue = sys.argv[1:]
    stop = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        stop.set()

    with MarketDataClient(socket_path) as client:
        for kind in ("subscribe_all_trades", "subscribe_all_quotes"):
            client.subscribe({"type": kind, "venue": venue})
        print("ready", flush=True)
        threading.Thread(target=wait, daemon=True).start()
        print(json.dumps(follow(client, stop)), flush=True)


if __name__ == "__main__":
    main()
