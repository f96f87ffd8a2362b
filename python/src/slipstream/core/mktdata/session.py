"""One client's side of the socket protocol, without any I/O.

It takes bytes as they arrive and requests as they are made, and knows the frames, which reply belongs to
which request, what is subscribed, and which messages wait for the user. ``MarketDataClient`` and
``AsyncMarketDataClient`` move the bytes; everything they have in common is here.

Bytes lie in one reusable buffer, ``[ taken | frames not yet decoded | free ]``, and are decoded a few frames
at a time when somebody wants a message, so that a slow reader leaves the rest to the daemon, which merges it.
"""

from __future__ import annotations

import os
import random
import struct
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Union

import msgpack

from slipstream.core.mktdata.collector import paused
from slipstream.core.mktdata.levels import Levels
from slipstream.core.mktdata.records import RecordDecoder
from slipstream.errors import BadRequest, NotConnected, SlipstreamError, error_from_reply

SOCKET_ENVIRONMENT = "SLIPSTREAM_SOCKET"
SOCKET_PATHS = ("/var/run/slipstream/mktdata.sock", "/tmp/slipstream-mktdata.sock")
"""Where a daemon is looked for when neither the argument nor the environment names a path, in this order."""

REQUEST_BYTES_MAX = 1024 * 1024
"""The daemon's limit for one request; a larger one is refused here (``frame_too_large``)."""

FRAME_BYTES_MAX = 1024 * 1024 * 1024
"""A frame that claims to be longer is taken for garbage and ends the connection."""

PAUSE_BYTES = 1024 * 1024
"""A frame of this size holds enough objects for a pause of the garbage collector to pay."""

BUFFER_BYTES = 256 * 1024
"""The receive buffer: what one read may take. It grows for a larger frame and shrinks back afterwards."""

QUEUE_MESSAGES_MAX = 65_536
"""Stream messages that may wait while queries are answered: just under 0.5 GB of 20-level books. At the limit
the query raises ``SlipstreamError`` (code ``queue_full``); nothing is lost, ``stream()`` or ``recv()`` gives
them."""

DECODE_FRAMES = 4
"""Frames decoded at a time for a streaming user: few, so that the first of a burst is not held up."""

BACKOFF_FIRST_S = 0.05
BACKOFF_MAX_S = 5.0
"""Reconnecting waits a random time below a bound that doubles from the first to the second."""

Message = dict[str, Any]
SocketPath = Union[str, "os.PathLike[str]"]

_length = struct.Struct(">I").unpack_from
_pack_length = struct.Struct(">I").pack
_unpackb = msgpack.unpackb
_ZERO = b"\0\0\0\0"

# What is done with a message that answers no request, by type; types not listed are passed on as they are.
_BOOK = ("bids", "asks")
_KEEP: tuple[str, ...] = ()
_SPECIAL: dict[str, tuple[str, ...] | None] = {
    "orderbook_snapshot": _BOOK,
    "orderbook_update": _BOOK,
    "orderbook_delta": ("bid_changes", "ask_changes"),
    "heartbeat": None,
    "error": None,
    "subscribed": None,
    "unsubscribed": None,
    "pong": None,
    "hello": None,
}

_STREAM_OF_TYPE = {
    "orderbook_snapshot": "orderbook",
    "orderbook_update": "orderbook",
    "orderbook_delta": "orderbook",
    "quote": "quotes",
    "trade": "trades",
    "candle": "candles",
    "funding": "funding",
    "fill": "fills",
}
_STREAM_OF_REQUEST = {
    "subscribe_orderbook": "orderbook",
    "subscribe_quote": "quotes",
    "subscribe_all_quotes": "quotes",
    "subscribe_trades": "trades",
    "subscribe_all_trades": "trades",
    "subscribe_candles": "candles",
    "subscribe_all_candles": "candles",
    "subscribe_funding": "funding",
    "subscribe_fills": "fills",
}


class MalformedFrame(Exception):
    """The bytes from the daemon are not the protocol; the connection cannot go on."""


def _unpack_large(frame: memoryview) -> Message:
    with paused():
        message: Message = _unpackb(frame)
    return message


def socket_candidates(socket_path: SocketPath | None) -> list[str]:
    """Return the paths to try, in order: the argument, else ``SLIPSTREAM_SOCKET``, else ``SOCKET_PATHS``."""
    if socket_path is not None:
        return [os.fspath(socket_path)]
    named = os.environ.get(SOCKET_ENVIRONMENT)
    return [named] if named else list(SOCKET_PATHS)


def no_daemon(tried: Sequence[tuple[str, OSError | None]]) -> NotConnected:
    """Make the error for paths that gave no connection, each with what went wrong there."""
    said = "; ".join(f"{path}: {_what_went_wrong(error)}" for path, error in tried)
    return NotConnected(
        f"no market-data daemon answers ({said}). Start slipstream-mktdata, or name its socket by "
        f"socket_path= or {SOCKET_ENVIRONMENT}"
    )


def _what_went_wrong(error: OSError | None) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens on it (left by a daemon that ended?)"
    if isinstance(error, PermissionError):
        return "permission denied (is this user in the group that owns it?)"
    if isinstance(error, BlockingIOError):
        return "the daemon does not accept connections (busy or hanging)"
    return str(error)


def topic(request: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what a subscribe request is about; depth and mode are not part of it."""
    return tuple(request.get(key) for key in ("type", "venue", "symbol", "interval"))


def _covers(request: Mapping[str, Any], message: Message) -> bool:
    """Whether a subscription delivers this message, gap and status of its own stream included."""
    data = message.get("data")
    if not isinstance(data, dict):
        return False
    kind = message.get("type")
    stream = _STREAM_OF_TYPE.get(str(kind)) or data.get("stream")
    if stream != _STREAM_OF_REQUEST.get(str(request.get("type"))) or data.get("venue") != request.get(
        "venue"
    ):
        return False
    symbol, interval = request.get("symbol"), request.get("interval")
    return (symbol is None or data.get("symbol") == symbol) and (
        interval is None or kind != "candle" or data.get("interval") == interval
    )


def connection_message(kind: str, reason: str, **fields: Any) -> Message:
    """Make a ``status`` or ``gap`` about this client's own connection: stream ``connection``, venue None."""
    now_us = time.time_ns() // 1000
    return {
        "type": kind,
        "data": {
            "venue": None,
            "symbol": None,
            "stream": "connection",
            "reason": reason,
            **fields,
            "timestamp_us": now_us,
            "received_us": now_us,
        },
    }


class Backoff:
    """When to connect again: at once after a connection that lasted, ever later after ones that did not."""

    def __init__(self) -> None:
        self.due_at = 0.0
        self._bound_s = BACKOFF_FIRST_S
        self._connected_at = 0.0

    def connected(self) -> None:
        """Say that a connection was made."""
        self._connected_at = time.monotonic()

    def lost(self) -> None:
        """Say that the connection ended."""
        if time.monotonic() - self._connected_at > BACKOFF_MAX_S:
            self._bound_s, self.due_at = BACKOFF_FIRST_S, 0.0

    def attempted(self) -> None:
        """Say that an attempt was made, whatever came of it."""
        self.due_at = time.monotonic() + random.uniform(0.5, 1.0) * self._bound_s
        self._bound_s = min(2 * self._bound_s, BACKOFF_MAX_S)


class Session:
    """State of one client: buffer, queue of messages for the user, requests under way, subscriptions."""

    def __init__(self, encoding: str, queue_max: int) -> None:
        if encoding not in ("msgpack", "record"):
            raise ValueError(f'encoding is {encoding!r}; it may be "msgpack" or "record"')
        self.encoding = encoding
        self.queue_max = queue_max
        self.queue: deque[Message] = deque()
        self.replies: dict[int, Message | SlipstreamError] = {}
        self.subscriptions: dict[tuple[Any, ...], dict[str, Any]] = {}
        self.keep_heartbeats = False
        self._pending: dict[int, None] = {}
        self._last_id = 0
        self._fresh_buffer(BUFFER_BYTES)
        self._records = RecordDecoder() if encoding == "record" else None

    # -- bytes in ------------------------------------------------------------------------------------------

    def _fresh_buffer(self, size: int, keep: bytes | memoryview = b"") -> None:
        buffer = bytearray(size)
        buffer[: len(keep)] = keep
        self._view = memoryview(buffer)
        self._start, self._end = 0, len(keep)
        self._needed = 4

    def writable(self) -> memoryview:
        """Return where the next bytes go; never empty. Tell by ``filled`` how many came."""
        size, kept = len(self._view), self._end - self._start
        if kept == 0:
            if size > 16 * BUFFER_BYTES:
                self._fresh_buffer(BUFFER_BYTES)
            self._start = self._end = 0
        elif self._start and self._start + self._needed > size:
            self._view[:kept] = self._view[self._start : self._end]
            self._start, self._end = 0, kept
        if self._end == len(self._view):  # the frame is longer than the buffer: grow with what has come
            needed = self._needed
            self._fresh_buffer(min(needed, 4 * size), self._view)
            self._needed = needed
        return self._view[self._end :]

    def filled(self, count: int) -> None:
        """Say that ``count`` bytes were written to the front of what ``writable`` returned."""
        self._end += count

    def drain(self, frames: int = DECODE_FRAMES, until: int | None = None) -> bool:
        """Decode up to ``frames`` frames, fewer if the reply ``until`` comes; whether there were any.

        Replies go to ``replies``, messages to ``queue``. Raises ``MalformedFrame``.
        """
        view, start, end, records = self._view, self._start, self._end, self._records
        append = self.queue.append
        left = frames
        while left:
            have = end - start
            if have < 4:
                self._needed = 4
                break
            (size,) = _length(view, start)
            stop = start + 4 + size
            if stop > end:
                if size > FRAME_BYTES_MAX:
                    raise MalformedFrame(f"a frame of {size} bytes (at most {FRAME_BYTES_MAX})")
                self._needed = 4 + size
                break
            frame = view[start + 4 : stop]
            self._start = start = stop
            left -= 1
            if records is not None and frame[:4] == _ZERO:
                try:
                    decoded = records.decode(frame[4:])
                except ValueError as error:
                    raise MalformedFrame(str(error)) from None
                if decoded is not None:
                    append(decoded)
                continue
            try:
                message = _unpackb(frame) if size < PAUSE_BYTES else _unpack_large(frame)
                kind = message["type"]
                if "id" in message:
                    if self._file_reply(message) == until:
                        break
                    continue
                special = _SPECIAL.get(kind, _KEEP)
                if special:
                    data = message["data"]
                    for key in special:
                        data[key] = Levels(data[key])
                elif special is None and not self._passes(kind, message):
                    continue
            except (
                ValueError,
                TypeError,
                KeyError,
                RecursionError,
                msgpack.exceptions.UnpackException,
            ) as error:
                raise MalformedFrame(f"a frame of {size} bytes is no message: {error!r}") from None
            append(message)
        return left < frames

    def _file_reply(self, message: Message) -> int:
        reply_id: int = message["id"]
        if reply_id in self._pending:
            del self._pending[reply_id]
            self.replies[reply_id] = message
        return reply_id

    def _passes(self, kind: str, message: Message) -> bool:
        """Whether a message without id of one of the ``None`` types is for the user."""
        if kind == "heartbeat":
            return self.keep_heartbeats
        if kind != "error":
            return False
        # A request that could not be read is answered without its id: it is the oldest one under way.
        if self._pending and message["data"].get("code") in ("malformed", "frame_too_large"):
            self._file_reply({**message, "id": next(iter(self._pending))})
            return False
        return True

    # -- requests ------------------------------------------------------------------------------------------

    def encode(self, request: Mapping[str, Any]) -> tuple[int, bytes]:
        """Return the id given to a request, and its frame. Raises ``BadRequest`` for what cannot be sent."""
        self._last_id += 1
        reply_id = self._last_id
        try:
            body: bytes = msgpack.packb({**request, "id": reply_id})
        except (TypeError, ValueError, OverflowError) as error:
            raise BadRequest(f"this request cannot be written as MessagePack: {error}") from None
        if len(body) > REQUEST_BYTES_MAX:
            raise BadRequest(
                f"a request of {len(body)} bytes; the daemon takes {REQUEST_BYTES_MAX}. Ask for less",
                "frame_too_large",
            )
        self._pending[reply_id] = None
        return reply_id, _pack_length(len(body)) + body

    def forget(self, reply_id: int) -> None:
        """Give up waiting for a reply; should it still come, it is dropped."""
        self._pending.pop(reply_id, None)
        self.replies.pop(reply_id, None)

    def queue_full(self) -> SlipstreamError | None:
        """Return the error to raise from a query when too many messages wait for the user."""
        if len(self.queue) <= self.queue_max:
            return None
        return SlipstreamError(
            f"{len(self.queue)} stream messages wait to be read, so no more replies are looked for (limit: "
            f"queue_max={self.queue_max}). Nothing is lost: read them with stream() or recv(), and ask again",
            "queue_full",
        )

    def hello(self, client: str) -> dict[str, Any]:
        """Return the ``hello`` request of this session."""
        return {"type": "hello", "client": client, "encoding": self.encoding}

    # -- subscriptions -------------------------------------------------------------------------------------

    def acknowledged(self, request: Mapping[str, Any]) -> None:
        """Remember an accepted subscribe request; a later one of the same topic replaces it."""
        kind = request.get("type")
        if isinstance(kind, str) and kind.startswith("subscribe_"):
            self.subscriptions[topic(request)] = {k: v for k, v in request.items() if k != "id"}
        elif kind == "unsubscribe" and isinstance(request.get("subscription"), Mapping):
            self.unsubscribed(request["subscription"])

    def unsubscribe_request(
        self, request: Mapping[str, Any] | None, fields: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the ``unsubscribe`` request: of the map that was sent for the topic, if it is known."""
        wanted = {**(request or {}), **fields}
        wanted.pop("id", None)
        return {"type": "unsubscribe", "subscription": self.subscriptions.get(topic(wanted), wanted)}

    def unsubscribed(self, subscription: Mapping[str, Any]) -> None:
        """Forget a subscription, and the messages that wait because of it alone."""
        self.subscriptions.pop(topic(subscription), None)
        others = self.subscriptions.values()
        queue = self.queue

        def unwanted(message: Message) -> bool:
            return _covers(subscription, message) and not any(_covers(other, message) for other in others)

        if any(unwanted(message) for message in queue):
            for _ in range(len(queue)):
                message = queue.popleft()
                if not unwanted(message):
                    queue.append(message)

    def resubscriptions(self, at_once: int = 32) -> Iterable[list[dict[str, Any]]]:
        """Yield the accepted subscribe requests in portions small enough to send without reading between."""
        requests = list(self.subscriptions.values())
        for first in range(0, len(requests), at_once):
            yield requests[first : first + at_once]

    # -- the connection's fate -----------------------------------------------------------------------------

    def connected(self) -> None:
        """Start a connection: no bytes, no instrument names."""
        self._fresh_buffer(BUFFER_BYTES)
        self._records = RecordDecoder() if self.encoding == "record" else None

    def lost(self, error: NotConnected, reason: str, tell: bool) -> None:
        """End a connection: requests under way fail; with ``tell`` the user gets a ``status`` ``down``."""
        for reply_id in self._pending:
            self.replies[reply_id] = error
        self._pending.clear()
        if tell:
            self.queue.append(connection_message("status", reason, state="down", age_ms=0))

    def restored(self, reason: str) -> None:
        """Tell the user that a new connection follows, and that an unknown number of messages is missing."""
        self.queue.append(connection_message("gap", reason, missed=None))
        self.queue.append(connection_message("status", "reconnected", state="live", age_ms=0))

    def refused(self, request: Mapping[str, Any], error: SlipstreamError) -> None:
        """Tell the user that a subscription was not accepted again after a reconnect."""
        self.queue.append(
            {
                "type": "error",
                "data": {
                    "code": error.code,
                    "message": f"not subscribed again after the reconnect: {error.message}",
                    "subscription": dict(request),
                },
            }
        )

    def reset(self) -> None:
        """Forget everything of this client's past: ``close()`` was called."""
        self.subscriptions.clear()
        self.queue.clear()
        self.replies.clear()
        self._pending.clear()


def reply_data(reply: Message | SlipstreamError) -> Any:
    """Return the ``data`` of a reply; raise what the daemon (or the loss of the connection) answered."""
    if isinstance(reply, SlipstreamError):
        raise reply
    if reply["type"] == "error":
        raise error_from_reply(reply.get("data"))
    return reply.get("data")
