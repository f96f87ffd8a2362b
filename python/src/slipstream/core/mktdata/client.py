"""The blocking client of the market-data daemon."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, TypeVar

from slipstream.core.mktdata import queries
from slipstream.core.mktdata.session import (
    DECODE_FRAMES,
    QUEUE_MESSAGES_MAX,
    Backoff,
    MalformedFrame,
    Message,
    Session,
    SocketPath,
    no_daemon,
    reply_data,
    socket_candidates,
)
from slipstream.core.mktdata.types import Candle, Funding, Instrument, OrderbookSnapshot, Quote, Trade
from slipstream.errors import NotConnected, NotLive, ReplyTimeout, SlipstreamError

T = TypeVar("T")

CLIENT_NAME = "slipstream-python"

RETRY_CODES = frozenset(("not_ready", "shutting_down", "timeout"))
"""A refused resubscription with one of these codes makes the whole reconnect be tried again."""


class ReceivedMessage(dict[str, Any]):
    """What ``MarketDataClient.recv`` returns: the message dict, which may also be awaited.

    Awaiting it gives it back at once, so that ``msg = await client.recv()`` runs; it had blocked before that.
    A program with an event loop of its own wants ``AsyncMarketDataClient``.
    """

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, ReceivedMessage]:
        return self
        yield


class MarketDataClient:
    """A blocking connection to the market-data daemon.

    ::

        with MarketDataClient() as client:
            client.subscribe_orderbook("binance", "BTCUSDT", depth=5)
            for msg in client.stream():
                if msg["type"] == "orderbook_update":
                    print(OrderbookSnapshot(**msg["data"]).mid_price)

    ``socket_path``: where the daemon listens; else ``SLIPSTREAM_SOCKET``, else
    ``/var/run/slipstream/mktdata.sock``, else ``/tmp/slipstream-mktdata.sock``.
    ``encoding``: ``"msgpack"``, or ``"record"`` to get stream messages as the daemon's binary records,
    decoded here into the same dicts (books then come whole, as a snapshot and deltas).
    ``reconnect``: connect again and subscribe again when the connection is lost; False: raise
    ``NotConnected``. ``timeout``: seconds to wait for a reply. ``silence_timeout``: seconds without a byte
    (heartbeats come every 5 s) after which the daemon is taken for gone; None: never. ``queue_max``: stream
    messages that may wait while queries are answered.

    Any method raises ``NotConnected`` without a connection, ``ReplyTimeout`` (a ``TimeoutError``) when no
    reply comes, and a ``SlipstreamError`` by the daemon's code when it refuses. Threads may share a client;
    of two that stream, each message goes to one.
    """

    def __init__(
        self,
        socket_path: SocketPath | None = None,
        encoding: str = "msgpack",
        *,
        reconnect: bool = True,
        timeout: float = 30.0,
        silence_timeout: float | None = 30.0,
        queue_max: int = QUEUE_MESSAGES_MAX,
        client_name: str = CLIENT_NAME,
    ) -> None:
        self._wanted_path = socket_path
        self._session = Session(encoding, queue_max)
        self._reconnect = reconnect
        self._timeout = timeout
        self._silence_timeout = silence_timeout
        self._client_name = client_name
        self._socket: socket.socket | None = None
        self._poll: select.poll = select.poll()
        self._path: str | None = None
        self._server: dict[str, Any] = {}
        self._opened = False  # connect() was called, close() was not
        self._active_at = 0.0  # when a byte last came, or a request went
        self._backoff = Backoff()
        self._lost_reason = "disconnect"
        self._lost_error = NotConnected("not connected")
        self._restoring = False
        # One thread at a time reads the socket (`_busy`), the lock released; the others wait for `_changed`.
        self._changed = threading.Condition(threading.Lock())
        self._waiting = 0
        self._busy = False
        self._closing = threading.Event()

    # -- connection ----------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Connect to the daemon, unless connected. Raises ``NotConnected`` naming the paths tried."""
        with self._changed:
            if self._socket is not None:
                return
            if self._opened and self._reconnect:
                self._require_connection()
                return
            self._opened = True
            self._closing.clear()
            self._session.subscriptions.clear()
            try:
                self._start(self._open_socket())
            except BaseException:
                self._opened = False
                raise

    def close(self) -> None:
        """End the connection and forget subscriptions and waiting messages. A ``stream()`` under way ends."""
        self._closing.set()
        with self._changed:
            self._opened = False
            sock, self._socket = self._socket, None
            if sock is not None:
                with contextlib.suppress(OSError):  # wakes a thread that reads
                    sock.shutdown(socket.SHUT_RDWR)
                if not self._busy:
                    sock.close()
            self._session.lost(NotConnected("close() was called"), "closed", tell=False)
            self._session.reset()
            self._changed.notify_all()

    def __enter__(self) -> MarketDataClient:
        self.connect()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def connected(self) -> bool:
        """Whether there is a connection now, as far as is known without reading."""
        return self._socket is not None

    @property
    def socket_path(self) -> str:
        """The path of the connection, or the first that ``connect()`` would try."""
        return self._path or socket_candidates(self._wanted_path)[0]

    @property
    def encoding(self) -> str:
        """``"msgpack"`` or ``"record"``."""
        return self._session.encoding

    @property
    def subscriptions(self) -> list[dict[str, Any]]:
        """The subscribe requests in force, as they were sent."""
        return [dict(request) for request in self._session.subscriptions.values()]

    def _open_socket(self) -> socket.socket:
        tried: list[tuple[str, OSError | None]] = []
        for path in socket_candidates(self._wanted_path):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                sock.settimeout(self._timeout)
                sock.connect(path)
            except OSError as error:
                sock.close()
                tried.append((path, error))
                continue
            except BaseException:
                sock.close()
                raise
            sock.setblocking(False)
            self._path = path
            return sock
        raise no_daemon(tried)

    def _start(self, sock: socket.socket) -> None:
        """Take a new socket into use. The lock is held."""
        self._session.connected()
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        self._socket = sock
        self._active_at = time.monotonic()
        self._backoff.connected()
        if self._session.encoding == "record":
            try:
                self._server = dict(
                    self._ask_locked([self._session.hello(self._client_name)], self._timeout)[0] or {}
                )
            except BaseException:
                self._drop("disconnect", "the daemon did not accept hello", tell=False)
                raise

    def _drop(self, reason: str, detail: str, tell: bool = True) -> None:
        """Give up the socket. The lock is held."""
        sock, self._socket = self._socket, None
        if sock is not None:
            if self._busy:  # the thread that reads it is woken and closes it
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            else:
                sock.close()
            self._backoff.lost()
            self._lost_reason = reason
            self._lost_error = NotConnected(f"the connection to the daemon was lost: {detail}")
            self._session.lost(self._lost_error, reason, tell and self._reconnect)
        self._changed.notify_all()

    # -- progress: the one place that waits -----------------------------------------------------------------

    def _step(self, frames: int, until: int | None, deadline: float | None, spin: bool) -> None:
        """Decode what has come, or else wait for more, once. The lock is held, and released while waiting.

        Raises ``TimeoutError`` past ``deadline``, ``NotConnected`` when there is nothing to wait for.
        """
        if self._busy:
            remaining = None if deadline is None else deadline - time.monotonic()
            self._waiting += 1
            try:
                if not self._changed.wait(remaining):
                    raise TimeoutError("nothing came in time")
            finally:
                self._waiting -= 1
            return
        sock = self._socket
        if sock is None:
            self._connect_again(deadline)
            return
        try:
            if self._session.drain(frames, until):
                if self._waiting:
                    self._changed.notify_all()
                return
        except MalformedFrame as error:
            self._drop("malformed", str(error))
            if not self._reconnect:
                raise SlipstreamError(str(error), "malformed") from None
            return
        room = self._session.writable()
        self._busy = True
        self._changed.release()
        try:
            count = self._read(sock, room, deadline, spin)
        finally:
            self._changed.acquire()
            self._busy = False
            if self._socket is not sock:
                sock.close()
            if self._waiting:
                self._changed.notify_all()
        if self._socket is not sock:
            return
        if count > 0:
            self._session.filled(count)
        elif count == 0:
            self._drop("disconnect", "the daemon closed it")
        else:
            self._drop("silence", f"not a byte, not even a heartbeat, for {self._silence_timeout} s")

    def _read(self, sock: socket.socket, room: memoryview, deadline: float | None, spin: bool) -> int:
        """Wait and read once: bytes read, 0 at the end, -1 after too long a silence."""
        poll = self._poll.poll
        if spin:
            until = self._next_check(deadline)
            turns = 0
            while not poll(0):
                turns += 1
                if turns & 0xFF == 0 and until is not None and time.monotonic() >= until:
                    return self._nothing_came(deadline)
        else:
            while True:
                until = self._next_check(deadline)
                wait_ms = None if until is None else max(0.0, (until - time.monotonic()) * 1000.0)
                if poll(wait_ms):
                    break
                if wait_ms is None or until is None or time.monotonic() < until:
                    continue
                return self._nothing_came(deadline)
        try:
            count = sock.recv_into(room)
        except BlockingIOError:  # poll was wrong, which the kernel may be
            return self._read(sock, room, deadline, spin)
        except OSError:
            return 0
        self._active_at = time.monotonic()
        return count

    def _next_check(self, deadline: float | None) -> float | None:
        if self._silence_timeout is None:
            return deadline
        silent_at = self._active_at + self._silence_timeout
        return silent_at if deadline is None else min(silent_at, deadline)

    def _nothing_came(self, deadline: float | None) -> int:
        if deadline is not None and time.monotonic() >= deadline:
            raise TimeoutError("nothing came in time")
        return -1

    def _connect_again(self, deadline: float | None) -> None:
        """Wait for the next attempt's time and make it. The lock is held, and released while waiting."""
        if not self._opened:
            raise NotConnected("not connected: call connect() first, or use the client in a `with` statement")
        if not self._reconnect or self._restoring:
            raise self._lost_error
        now = time.monotonic()
        if deadline is not None and deadline < self._backoff.due_at:
            wait, due = deadline - now, False
        else:
            wait, due = self._backoff.due_at - now, True
        self._busy = True
        self._changed.release()
        sock = None
        try:
            if (wait <= 0 or not self._closing.wait(wait)) and due:
                try:
                    sock = self._open_socket()
                except NotConnected as error:
                    self._lost_error = error
        finally:
            self._changed.acquire()
            self._busy = False
            if self._waiting:
                self._changed.notify_all()
        if not self._opened:
            if sock is not None:
                sock.close()
            return
        if not due:
            raise TimeoutError("not connected again in time")
        self._backoff.attempted()
        if sock is not None:
            self._restore(sock)

    def _restore(self, sock: socket.socket) -> None:
        """Take over a new connection and subscribe again; where that fails, the connection is given up."""
        self._restoring = True
        try:
            self._start(sock)
            self._session.restored(self._lost_reason)
            for requests in self._session.resubscriptions():
                for request, answer in zip(
                    requests, self._ask_locked(requests, self._timeout, raising=False)
                ):
                    if isinstance(answer, SlipstreamError):
                        if answer.code in RETRY_CODES:
                            self._drop(answer.code, answer.message)
                        if self._socket is None:
                            return
                        self._session.refused(request, answer)
        except SlipstreamError as error:
            self._drop("disconnect", error.message)
        except BaseException:
            self._drop("disconnect", "interrupted while subscribing again")
            raise
        finally:
            self._restoring = False

    # -- requests ------------------------------------------------------------------------------------------

    def _send(self, sock: socket.socket, frames: bytes, deadline: float) -> None:
        view = memoryview(frames)
        while view:
            try:
                view = view[sock.send(view, socket.MSG_NOSIGNAL) :]
            except BlockingIOError:
                writable = select.poll()
                writable.register(sock, select.POLLOUT)
                remaining = deadline - time.monotonic()
                if remaining <= 0 or not writable.poll(remaining * 1000.0):
                    raise ReplyTimeout("the daemon takes no requests (busy or hanging)") from None
        self._active_at = time.monotonic()

    def _ask_locked(self, requests: list[dict[str, Any]], timeout: float, raising: bool = True) -> list[Any]:
        """Send requests together and return their replies' data (or errors) in order. The lock is held."""
        session = self._session
        deadline = time.monotonic() + timeout
        ids: list[int] = []
        try:
            frames = b""
            for request in requests:
                reply_id, frame = session.encode(request)
                ids.append(reply_id)
                frames += frame
            sock = self._socket
            if sock is None:
                raise self._lost_error
            try:
                self._send(sock, frames, deadline)
            except ReplyTimeout:
                self._drop("disconnect", "the daemon takes no requests")
                raise
            except OSError:
                self._drop("disconnect", "the daemon closed it")
            answers: list[Any] = []
            for reply_id in ids:
                try:
                    answers.append(self._answer(reply_id, deadline))
                except SlipstreamError as error:
                    if raising:
                        raise
                    answers.append(error)
            return answers
        finally:
            for reply_id in ids:
                session.forget(reply_id)

    def _answer(self, reply_id: int, deadline: float) -> Any:
        session = self._session
        while reply_id not in session.replies:
            if not self._restoring:
                full = session.queue_full()
                if full is not None:
                    raise full
            try:
                self._step(64, reply_id, deadline, False)
            except TimeoutError:
                raise ReplyTimeout(f"the daemon did not answer within {self._timeout} s") from None
        return reply_data(session.replies.pop(reply_id))

    def _ask(self, requests: list[dict[str, Any]]) -> list[Any]:
        with self._changed:
            self._require_connection()
            return self._ask_locked(requests, self._timeout)

    def _require_connection(self) -> None:
        """Connect again, at once, if the connection was lost. The lock is held."""
        deadline = time.monotonic() + self._timeout
        while self._opened and self._busy and self._socket is None:  # another thread is at it
            try:
                self._step(0, None, deadline, False)
            except TimeoutError:
                raise self._lost_error from None
        if self._socket is None:
            self._backoff.due_at = 0.0
            self._connect_again(None)
            if self._socket is None:
                raise self._lost_error

    def _query(self, query: queries.Query[T]) -> T:
        return query.result(self._ask([query.request])[0])

    def request(self, request: Mapping[str, Any]) -> Any:
        """Send any request of the protocol as it is and return the ``data`` of its reply."""
        query = queries.raw(request)
        return self._query(query)

    def hello(self, client: str | None = None) -> dict[str, Any]:
        """Greet: ``{server, version, protocol, run_id, venues}``; ``run_id`` is new at every start."""
        return self._query(queries.hello(self._session.hello(client or self._client_name)))

    def ping(self) -> float:
        """Return the seconds from a request to its reply."""
        before = time.perf_counter()
        self._query(queries.ping())
        return time.perf_counter() - before

    def get_symbols(self, venue: str) -> list[str]:
        """Return the symbols the daemon carries for a venue, sorted."""
        return self._query(queries.symbols(venue))

    def get_instruments(self, venue: str) -> list[Instrument]:
        """Return the instruments of a venue, with tick and lot sizes."""
        return self._query(queries.instruments(venue))

    def get_candles(self, venue: str, symbol: str, interval: str, count: int) -> list[Candle]:
        """Return the latest ``count`` candles, oldest first; the last is the open one (``closed`` False).

        Fewer when the daemon has fewer. Raises ``NotReady`` while history is being loaded after a start.
        """
        return self._query(queries.candles(venue, symbol, interval, count))

    def get_candles_batch(
        self, venue: str, symbols: Iterable[str], interval: str, count: int
    ) -> dict[str, list[Candle]]:
        """Return ``{symbol: candles}`` for many symbols in one request, each as ``get_candles``.

        One unknown symbol fails it all: ``UnknownSymbol`` names it.
        """
        return self._query(queries.candles_batch(venue, symbols, interval, count))

    def get_candles_columns(
        self, venue: str, symbols: Iterable[str], interval: str, count: int
    ) -> dict[str, queries.Columns]:
        """As ``get_candles_batch``, as columns: ``{symbol: {field: memoryview}}`` of int64 or float64.

        ``numpy.frombuffer`` and ``pandas`` take them without a loop.
        """
        return self._query(queries.candles_columns(venue, symbols, interval, count))

    def get_latest_orderbook(
        self, venue: str, symbol: str, depth: int | None = None, allow_stale: bool = False
    ) -> OrderbookSnapshot | None:
        """Return the book now, its best ``depth`` levels (None: all that are kept), or None: it is not live.

        With ``allow_stale`` a book that is not live is returned too, ``.stale`` set.
        """
        try:
            return self._query(queries.orderbook(venue, symbol, depth, allow_stale))
        except NotLive:
            return None

    def get_orderbook_history(
        self, venue: str, symbol: str, count: int = 100, depth: int | None = None
    ) -> list[OrderbookSnapshot]:
        """Return the latest retained once-a-second books, oldest first."""
        return self._query(queries.orderbook_history(venue, symbol, count, depth))

    def get_quote(self, venue: str, symbol: str, allow_stale: bool = False) -> Quote:
        """Return best bid and ask. Raises ``NotLive``, unless ``allow_stale`` (then ``.stale`` is set)."""
        return self._query(queries.quote(venue, symbol, allow_stale))

    def get_quotes(self, venue: str, symbol: str, count: int = 100) -> list[Quote]:
        """Return the latest ``count`` quotes, oldest first."""
        return self._query(queries.quotes(venue, symbol, count))

    def get_trades(self, venue: str, symbol: str, count: int = 100) -> list[Trade]:
        """Return the latest ``count`` trades, oldest first."""
        return self._query(queries.trades(venue, symbol, count))

    def get_funding(self, venue: str, symbol: str) -> Funding:
        """Return funding rate, mark and index price, open interest."""
        return self._query(queries.funding(venue, symbol))

    def get_status(self) -> dict[str, Any]:
        """Return the daemon's report: version, uptime, clients, recorder, and the state of every stream."""
        return self._query(queries.status())

    # -- subscriptions -------------------------------------------------------------------------------------

    def subscribe_orderbook(self, venue: str, symbol: str, depth: int = 10, mode: str = "full") -> None:
        """Subscribe to a book: an ``orderbook_snapshot``, then ``orderbook_update``s of the top ``depth``.

        With ``mode="delta"`` ``orderbook_delta`` follow instead; see ``OrderbookSnapshot.apply``. Raises
        ``BadRequest`` (``bad_depth``, ``bad_mode``), ``UnknownSymbol``, ``UnknownVenue``.
        """
        self.subscribe(queries.subscribe_orderbook(venue, symbol, depth, mode, self.encoding))

    def subscribe_quote(self, venue: str, symbol: str) -> None:
        """Subscribe to best bid and ask (``quote``)."""
        self.subscribe({"type": "subscribe_quote", "venue": venue, "symbol": symbol})

    def subscribe_trades(self, venue: str, symbol: str) -> None:
        """Subscribe to trades (``trade``)."""
        self.subscribe({"type": "subscribe_trades", "venue": venue, "symbol": symbol})

    def subscribe_funding(self, venue: str, symbol: str) -> None:
        """Subscribe to funding, mark and index (``funding``)."""
        self.subscribe({"type": "subscribe_funding", "venue": venue, "symbol": symbol})

    def subscribe_candles(
        self, venue: str, symbols: Iterable[str] | None = None, interval: str = "4h"
    ) -> None:
        """Subscribe to the candles of some symbols (one may be given as a string), or of all (None).

        Raises the first refusal after all were asked for; those accepted stay.
        """
        self._subscribe_all(queries.subscribe_candles(venue, symbols, interval))

    def subscribe(self, request: Mapping[str, Any]) -> Any:
        """Send any subscribe request: ``{"type": "subscribe_all_trades", "venue": "binance"}``.

        Returns the ``data`` of the reply. It is sent again after a reconnect.
        """
        query = queries.raw(request)
        with self._changed:
            self._require_connection()
            data = self._ask_locked([query.request], self._timeout)[0]
            self._session.acknowledged(query.request)
            return data

    def _subscribe_all(self, requests: list[dict[str, Any]]) -> None:
        refusal: SlipstreamError | None = None
        with self._changed:
            self._require_connection()
            for first in range(0, len(requests), 32):
                portion = requests[first : first + 32]
                for request, answer in zip(portion, self._ask_locked(portion, self._timeout, raising=False)):
                    if isinstance(answer, SlipstreamError):
                        refusal = refusal or answer
                    else:
                        self._session.acknowledged(request)
        if refusal is not None:
            raise refusal

    def unsubscribe(self, request: Mapping[str, Any] | None = None, **fields: Any) -> None:
        """End a subscription: by its subscribe request, or the same as keywords.

        ``client.unsubscribe({"type": "subscribe_quote", "venue": "binance", "symbol": "BTCUSDT"})``; depth
        and mode need not be given. No message of it is delivered afterwards, those that wait here included.
        Raises ``BadRequest`` (``not_subscribed``).
        """
        with self._changed:
            self._require_connection()
            wanted = self._session.unsubscribe_request(request, fields)
            self._ask_locked([wanted], self._timeout)
            self._session.unsubscribed(wanted["subscription"])

    # -- messages ------------------------------------------------------------------------------------------

    def stream(self, heartbeats: bool = False, spin: bool = False) -> Iterator[Message]:
        """Yield stream messages, ``{"type": ..., "data": {...}}``, until ``close()``; may be resumed.

        Queries and subscriptions may be made in between. ``heartbeats``: those too. ``spin``: wait by polling
        without pause, which uses one core and saves the wake-up (tens of microseconds).

        When the connection is lost, the client says so in-band and reconnects: a ``status`` of stream
        ``connection`` (venue and symbol None), state ``down``, at once; then, when it is back, a ``gap`` of
        the same stream (``missed`` None), a ``status`` ``live``, and the first messages of every
        subscription; an ``error`` with ``data["subscription"]`` for one that is refused now. Reasons:
        ``disconnect``, ``silence``, ``malformed``. With ``reconnect=False`` it raises ``NotConnected``
        instead.
        """
        if not self._opened:
            raise NotConnected("not connected: call connect() first, or use the client in a `with` statement")
        self._session.keep_heartbeats = heartbeats
        return self._stream(spin)

    def _stream(self, spin: bool) -> Iterator[Message]:
        take = self._session.queue.popleft
        while True:
            try:
                message = take()
            except IndexError:
                try:
                    self._fill(None, spin)
                except NotConnected:
                    if not self._opened:
                        return
                    raise
            else:
                yield message

    def _fill(self, deadline: float | None, spin: bool) -> None:
        """Wait until a message waits in the queue."""
        queue = self._session.queue
        with self._changed:
            while not queue:
                self._step(DECODE_FRAMES, None, deadline, spin)

    def recv(
        self, timeout: float | None = None, heartbeats: bool = False, spin: bool = False
    ) -> ReceivedMessage:
        """Return the next stream message, or raise ``TimeoutError`` after ``timeout`` seconds (None: wait).

        The same messages as ``stream()``, reconnecting included; with ``timeout=0`` only what is there
        already.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        if heartbeats:
            self._session.keep_heartbeats = True
        take = self._session.queue.popleft
        while True:
            try:
                message = take()
            except IndexError:
                self._fill(deadline, spin)
            else:
                if heartbeats or message["type"] != "heartbeat":
                    return ReceivedMessage(message)
