"""A daemon made of a script, for unit tests: it speaks the protocol on a Unix socket.

``handlers`` answers requests by type; a test pushes stream messages itself. It runs in threads and ends with
the test (``close``). Nothing here knows how the client reads.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import struct
import threading
import time
from typing import Any, Callable

import msgpack


def frame(message: Any) -> bytes:
    body = msgpack.packb(message)
    return struct.pack(">I", len(body)) + body


def book(sequence: int = 1, kind: str = "orderbook_update", levels: int = 3, **more: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "data": {
            "venue": "binance",
            "symbol": "BTCUSDT",
            "received_us": 1_700_000_000_000_100,
            "timestamp_us": 1_700_000_000_000_000,
            "sequence": sequence,
            "bids": [[100.0 - i, 1.0 + i] for i in range(levels)],
            "asks": [[101.0 + i, 2.0 + i] for i in range(levels)],
            "venue_sequence": 7,
            "fresh_levels": levels,
            "depth_timestamp_us": 1_700_000_000_000_000,
            **more,
        },
    }


def quote(number: int, symbol: str = "BTCUSDT") -> dict[str, Any]:
    return {
        "type": "quote",
        "data": {
            "venue": "binance",
            "symbol": symbol,
            "timestamp_us": number,
            "received_us": number,
            "bid_price": 1.0,
            "bid_size": 2.0,
            "ask_price": 3.0,
            "ask_size": None,
        },
    }


class Connection:
    """The daemon's end of one client."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def raw(self, data: bytes) -> None:
        self.sock.sendall(data)

    def send(self, *messages: Any) -> None:
        self.raw(b"".join(frame(message) for message in messages))

    def reply(self, request: dict[str, Any], kind: str, data: Any = None) -> None:
        message: dict[str, Any] = {"type": kind, "id": request["id"]}
        if data is not None:
            message["data"] = data
        self.send(message)

    def error(self, request: dict[str, Any], code: str, message: str = "no") -> None:
        self.reply(request, "error", {"code": code, "message": message})

    def end(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


Handler = Callable[[Connection, dict[str, Any]], None]


class Daemon:
    """Listens at ``path``; ``requests`` holds what came, ``connections`` every client's other end."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.handlers: dict[str, Handler] = {}
        self.requests: list[dict[str, Any]] = []
        self.connections: queue.Queue[Connection] = queue.Queue()
        self._open: list[Connection] = []
        self._listener: socket.socket | None = None
        self._threads: list[threading.Thread] = []
        self.start()

    def start(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen()
        self._run(self._accept, self._listener)

    def stop(self) -> None:
        """Stop listening, remove the socket file and end every connection."""
        import os

        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
            os.unlink(self.path)
        for connection in self._open:
            connection.end()
        self._open.clear()

    def close(self) -> None:
        self.stop()
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()

    def on(self, kind: str, data: Any = None, reply: str | None = None, then: Handler | None = None) -> None:
        """Answer ``kind`` with ``data``; a dict ``{"code": ...}`` given as ``reply="error"`` refuses it."""

        def handle(connection: Connection, request: dict[str, Any]) -> None:
            connection.reply(request, reply or kind, data)
            if then is not None:
                then(connection, request)

        self.handlers[kind] = handle

    def next_connection(self) -> Connection:
        return self.connections.get(timeout=5)

    def seen(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait until ``count`` requests of ``kind`` came and return them."""
        give_up_at = time.monotonic() + 5
        while time.monotonic() < give_up_at:
            found = [request for request in list(self.requests) if request["type"] == kind]
            if len(found) >= count:
                return found
            time.sleep(0.005)
        raise AssertionError(f"{kind} did not come {count} times: {self.requests}")

    def _run(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            connection = Connection(sock)
            self._open.append(connection)
            self.connections.put(connection)
            self._run(self._serve, connection)

    def _serve(self, connection: Connection) -> None:
        data = b""
        while True:
            try:
                more = connection.sock.recv(65536)
            except OSError:
                return
            if not more:
                return
            data += more
            while len(data) >= 4:
                (size,) = struct.unpack_from(">I", data)
                if len(data) < 4 + size:
                    break
                request = msgpack.unpackb(data[4 : 4 + size])
                data = data[4 + size :]
                self.requests.append(request)
                with contextlib.suppress(OSError):
                    self._answer(connection, request)

    def _answer(self, connection: Connection, request: dict[str, Any]) -> None:
        kind = request["type"]
        handler = self.handlers.get(kind)
        if handler is not None:
            handler(connection, request)
        elif kind.startswith("subscribe_"):
            connection.reply(request, "subscribed", {})
        elif kind == "unsubscribe":
            connection.reply(request, "unsubscribed", {})
        elif kind == "ping":
            connection.reply(request, "pong")
        else:
            connection.error(request, "unknown_type", f"no request {kind}")
