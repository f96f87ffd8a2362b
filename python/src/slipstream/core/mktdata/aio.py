"""The asyncio client of the market-data daemon: ``MarketDataClient`` with ``await`` and ``async for``."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, TypeVar

from slipstream.core.mktdata import queries
from slipstream.core.mktdata.client import CLIENT_NAME, RETRY_CODES
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


class AsyncMarketDataClient:
    """``MarketDataClient`` for asyncio: the same arguments, methods, results and errors, awaited.

    ::

        async with AsyncMarketDataClient() as client:
            await client.subscribe_quote("binance", "BTCUSDT")
            async for msg in client.stream():
                ...

    One task may stream while others query. It belongs to the event loop it was connected in. Cancelling a
    call loses no message.
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
        self._path: str | None = None
        self._opened = False
        self._active_at = 0.0  # when a byte last came, or a request went
        self._backoff = Backoff()
        self._lost_reason = "disconnect"
        self._lost_error = NotConnected("not connected")
        self._restorer: asyncio.Task[Any] | None = None
        # One task at a time waits for the socket (`_busy`); the others wait for it to wake them.
        self._busy = False
        self._sleepers: set[asyncio.Future[None]] = set()

    # -- connection ----------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Connect to the daemon, unless connected. Raises ``NotConnected`` naming the paths tried."""
        if self._socket is not None:
            return
        if self._opened and self._reconnect:
            await self._require_connection()
            return
        self._opened = True
        self._session.subscriptions.clear()
        try:
            await self._start(await self._open_socket())
        except BaseException:
            self._opened = False
            raise

    async def close(self) -> None:
        """End the connection and forget subscriptions and waiting messages. A ``stream()`` under way ends."""
        self._opened = False
        self._end_socket()
        self._session.lost(NotConnected("close() was called"), "closed", tell=False)
        self._session.reset()
        self._wake()

    async def __aenter__(self) -> AsyncMarketDataClient:
        await self.connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

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

    async def _open_socket(self) -> socket.socket:
        loop = asyncio.get_running_loop()
        tried: list[tuple[str, OSError | None]] = []
        give_up_at = time.monotonic() + self._timeout
        for path in socket_candidates(self._wanted_path):
            while True:
                sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                sock.setblocking(False)
                try:
                    await loop.sock_connect(sock, path)
                except BlockingIOError as error:  # the daemon's backlog is full
                    sock.close()
                    if time.monotonic() < give_up_at:
                        await asyncio.sleep(0.01)
                        continue
                    tried.append((path, error))
                    break
                except OSError as error:
                    sock.close()
                    tried.append((path, error))
                    break
                except BaseException:
                    sock.close()
                    raise
                self._path = path
                return sock
        raise no_daemon(tried)

    async def _start(self, sock: socket.socket) -> None:
        self._session.connected()
        self._socket = sock
        self._active_at = time.monotonic()
        self._backoff.connected()
        if self._session.encoding == "record":
            try:
                await self._ask_connected([self._session.hello(self._client_name)])
            except BaseException:
                self._drop("disconnect", "the daemon did not accept hello", tell=False)
                raise

    def _end_socket(self) -> None:
        sock, self._socket = self._socket, None
        if sock is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(sock.fileno())
            loop.remove_writer(sock.fileno())
            sock.close()

    def _drop(self, reason: str, detail: str, tell: bool = True) -> None:
        if self._socket is not None:
            self._end_socket()
            self._backoff.lost()
            self._lost_reason = reason
            self._lost_error = NotConnected(f"the connection to the daemon was lost: {detail}")
            self._session.lost(self._lost_error, reason, tell and self._reconnect)
        self._wake()

    # -- waiting -------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        for sleeper in self._sleepers:
            if not sleeper.done():
                sleeper.set_result(None)

    async def _sleep(
        self, until: float | None, arm: Callable[[Callable[[], None]], None] | None = None
    ) -> None:
        """Wait for ``_wake``, for what ``arm`` arranges, or for the monotonic time ``until``."""
        loop = asyncio.get_running_loop()
        sleeper: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not sleeper.done():
                sleeper.set_result(None)

        timer = None if until is None else loop.call_later(max(0.0, until - time.monotonic()), wake)
        self._sleepers.add(sleeper)
        try:
            if arm is not None:
                arm(wake)
            await sleeper
        finally:
            self._sleepers.discard(sleeper)
            if timer is not None:
                timer.cancel()

    async def _step(self, frames: int, until: int | None, deadline: float | None, spin: bool) -> None:
        """Decode what has come, or else read, or else wait, once. Raises as ``MarketDataClient._step``."""
        if self._busy:
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError("nothing came in time")
            await self._sleep(deadline)
            return
        sock = self._socket
        if sock is None:
            await self._connect_again(deadline)
            return
        try:
            if self._session.drain(frames, until):
                if self._sleepers:
                    self._wake()
                return
        except MalformedFrame as error:
            self._drop("malformed", str(error))
            if not self._reconnect:
                raise SlipstreamError(str(error), "malformed") from None
            return
        try:
            count = sock.recv_into(self._session.writable())
        except BlockingIOError:
            await self._wait_readable(sock, deadline, spin)
            return
        except OSError:
            count = 0
        if count == 0:
            self._drop("disconnect", "the daemon closed it")
            return
        self._session.filled(count)
        self._active_at = time.monotonic()
        # Data that is there already would keep this task going for good: let the others have their turn.
        self._busy = True
        try:
            await asyncio.sleep(0)
        finally:
            self._busy = False
            if self._sleepers:
                self._wake()

    async def _wait_readable(self, sock: socket.socket, deadline: float | None, spin: bool) -> None:
        until = deadline
        if self._silence_timeout is not None:
            silent_at = self._active_at + self._silence_timeout
            until = silent_at if deadline is None else min(silent_at, deadline)
        now = time.monotonic()
        if until is not None and now >= until:
            if deadline is not None and now >= deadline:
                raise TimeoutError("nothing came in time")
            self._drop("silence", f"not a byte, not even a heartbeat, for {self._silence_timeout} s")
            return
        loop, descriptor = asyncio.get_running_loop(), sock.fileno()
        self._busy = True
        try:
            if spin:
                await asyncio.sleep(0)
            else:
                await self._sleep(until, lambda wake: loop.add_reader(descriptor, wake))
        finally:
            self._busy = False
            if self._socket is sock and not spin:
                loop.remove_reader(descriptor)
            if self._sleepers:
                self._wake()

    async def _connect_again(self, deadline: float | None) -> None:
        if not self._opened:
            raise NotConnected(
                "not connected: connect() first, or use the client in an `async with` statement"
            )
        if not self._reconnect or self._restorer is asyncio.current_task():
            raise self._lost_error
        if deadline is not None and time.monotonic() >= deadline:
            raise TimeoutError("not connected again in time")
        self._busy = True
        sock = None
        try:
            while time.monotonic() < self._backoff.due_at and self._opened:
                if deadline is not None and time.monotonic() >= deadline:
                    raise TimeoutError("not connected again in time")
                await self._sleep(
                    self._backoff.due_at if deadline is None else min(deadline, self._backoff.due_at)
                )
            try:
                if self._opened:
                    sock = await self._open_socket()
            except NotConnected as error:
                self._lost_error = error
        finally:
            self._busy = False
            self._wake()
        if not self._opened:
            if sock is not None:
                sock.close()
            return
        self._backoff.attempted()
        if sock is not None:
            await self._restore(sock)

    async def _restore(self, sock: socket.socket) -> None:
        self._restorer = asyncio.current_task()
        try:
            await self._start(sock)
            self._session.restored(self._lost_reason)
            for requests in self._session.resubscriptions():
                answers = await self._ask_connected(requests, raising=False)
                for request, answer in zip(requests, answers):
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
            self._restorer = None

    # -- requests ------------------------------------------------------------------------------------------

    async def _ask_connected(self, requests: list[dict[str, Any]], raising: bool = True) -> list[Any]:
        session = self._session
        deadline = time.monotonic() + self._timeout
        ids: list[int] = []
        try:
            frames = b""
            for request in requests:
                reply_id, frame = session.encode(request)
                ids.append(reply_id)
                frames += frame
            if self._socket is None:
                raise self._lost_error
            await self._send(self._socket, frames, deadline)
            answers: list[Any] = []
            for reply_id in ids:
                try:
                    answers.append(await self._answer(reply_id, deadline))
                except SlipstreamError as error:
                    if raising:
                        raise
                    answers.append(error)
            return answers
        finally:
            for reply_id in ids:
                session.forget(reply_id)

    async def _send(self, sock: socket.socket, frames: bytes, deadline: float) -> None:
        """Send whole frames; one that cannot be finished ends the connection."""
        view = memoryview(frames)
        complete = False
        try:
            while view:
                try:
                    view = view[sock.send(view, socket.MSG_NOSIGNAL) :]
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        raise ReplyTimeout("the daemon takes no requests (busy or hanging)") from None
                    await asyncio.sleep(0.001)
                    if self._socket is not sock:
                        raise self._lost_error from None
            complete = True
        except OSError as error:
            if isinstance(error, SlipstreamError):
                raise
        finally:
            if not complete and self._socket is sock:
                self._drop("disconnect", "the daemon closed it or takes no requests")
        self._active_at = time.monotonic()

    async def _answer(self, reply_id: int, deadline: float) -> Any:
        session = self._session
        while reply_id not in session.replies:
            if self._restorer is None:
                full = session.queue_full()
                if full is not None:
                    raise full
            try:
                await self._step(64, reply_id, deadline, False)
            except TimeoutError:
                raise ReplyTimeout(f"the daemon did not answer within {self._timeout} s") from None
        return reply_data(session.replies.pop(reply_id))

    async def _ask(self, requests: list[dict[str, Any]], raising: bool = True) -> list[Any]:
        await self._require_connection()
        return await self._ask_connected(requests, raising)

    async def _require_connection(self) -> None:
        deadline = time.monotonic() + self._timeout
        while self._opened and self._busy and self._socket is None:  # another task is at it
            try:
                await self._step(0, None, deadline, False)
            except TimeoutError:
                raise self._lost_error from None
        if self._socket is None:
            self._backoff.due_at = 0.0
            await self._connect_again(None)
            if self._socket is None:
                raise self._lost_error

    async def _query(self, query: queries.Query[T]) -> T:
        return query.result((await self._ask([query.request]))[0])

    async def request(self, request: Mapping[str, Any]) -> Any:
        """As ``MarketDataClient.request``."""
        return await self._query(queries.raw(request))

    async def hello(self, client: str | None = None) -> dict[str, Any]:
        """As ``MarketDataClient.hello``."""
        return await self._query(queries.hello(self._session.hello(client or self._client_name)))

    async def ping(self) -> float:
        """Return the seconds from a request to its reply."""
        before = time.perf_counter()
        await self._query(queries.ping())
        return time.perf_counter() - before

    async def get_symbols(self, venue: str) -> list[str]:
        """As ``MarketDataClient.get_symbols``."""
        return await self._query(queries.symbols(venue))

    async def get_instruments(self, venue: str) -> list[Instrument]:
        """As ``MarketDataClient.get_instruments``."""
        return await self._query(queries.instruments(venue))

    async def get_candles(self, venue: str, symbol: str, interval: str, count: int) -> list[Candle]:
        """As ``MarketDataClient.get_candles``."""
        return await self._query(queries.candles(venue, symbol, interval, count))

    async def get_candles_batch(
        self, venue: str, symbols: Iterable[str], interval: str, count: int
    ) -> dict[str, list[Candle]]:
        """As ``MarketDataClient.get_candles_batch``."""
        return await self._query(queries.candles_batch(venue, symbols, interval, count))

    async def get_candles_columns(
        self, venue: str, symbols: Iterable[str], interval: str, count: int
    ) -> dict[str, queries.Columns]:
        """As ``MarketDataClient.get_candles_columns``."""
        return await self._query(queries.candles_columns(venue, symbols, interval, count))

    async def get_latest_orderbook(
        self, venue: str, symbol: str, depth: int | None = None, allow_stale: bool = False
    ) -> OrderbookSnapshot | None:
        """As ``MarketDataClient.get_latest_orderbook``: None when the book is not live."""
        try:
            return await self._query(queries.orderbook(venue, symbol, depth, allow_stale))
        except NotLive:
            return None

    async def get_orderbook_history(
        self, venue: str, symbol: str, count: int = 100, depth: int | None = None
    ) -> list[OrderbookSnapshot]:
        """As ``MarketDataClient.get_orderbook_history``."""
        return await self._query(queries.orderbook_history(venue, symbol, count, depth))

    async def get_quote(self, venue: str, symbol: str, allow_stale: bool = False) -> Quote:
        """As ``MarketDataClient.get_quote``."""
        return await self._query(queries.quote(venue, symbol, allow_stale))

    async def get_quotes(self, venue: str, symbol: str, count: int = 100) -> list[Quote]:
        """As ``MarketDataClient.get_quotes``."""
        return await self._query(queries.quotes(venue, symbol, count))

    async def get_trades(self, venue: str, symbol: str, count: int = 100) -> list[Trade]:
        """As ``MarketDataClient.get_trades``."""
        return await self._query(queries.trades(venue, symbol, count))

    async def get_funding(self, venue: str, symbol: str) -> Funding:
        """As ``MarketDataClient.get_funding``."""
        return await self._query(queries.funding(venue, symbol))

    async def get_status(self) -> dict[str, Any]:
        """As ``MarketDataClient.get_status``."""
        return await self._query(queries.status())

    # -- subscriptions -------------------------------------------------------------------------------------

    async def subscribe_orderbook(self, venue: str, symbol: str, depth: int = 10, mode: str = "full") -> None:
        """As ``MarketDataClient.subscribe_orderbook``."""
        await self.subscribe(queries.subscribe_orderbook(venue, symbol, depth, mode, self.encoding))

    async def subscribe_quote(self, venue: str, symbol: str) -> None:
        """As ``MarketDataClient.subscribe_quote``."""
        await self.subscribe({"type": "subscribe_quote", "venue": venue, "symbol": symbol})

    async def subscribe_trades(self, venue: str, symbol: str) -> None:
        """As ``MarketDataClient.subscribe_trades``."""
        await self.subscribe({"type": "subscribe_trades", "venue": venue, "symbol": symbol})

    async def subscribe_funding(self, venue: str, symbol: str) -> None:
        """As ``MarketDataClient.subscribe_funding``."""
        await self.subscribe({"type": "subscribe_funding", "venue": venue, "symbol": symbol})

    async def subscribe_candles(
        self, venue: str, symbols: Iterable[str] | None = None, interval: str = "4h"
    ) -> None:
        """As ``MarketDataClient.subscribe_candles``."""
        requests = queries.subscribe_candles(venue, symbols, interval)
        refusal: SlipstreamError | None = None
        for first in range(0, len(requests), 32):
            portion = requests[first : first + 32]
            for request, answer in zip(portion, await self._ask(portion, raising=False)):
                if isinstance(answer, SlipstreamError):
                    refusal = refusal or answer
                else:
                    self._session.acknowledged(request)
        if refusal is not None:
            raise refusal

    async def subscribe(self, request: Mapping[str, Any]) -> Any:
        """As ``MarketDataClient.subscribe``."""
        query = queries.raw(request)
        data = (await self._ask([query.request]))[0]
        self._session.acknowledged(query.request)
        return data

    async def unsubscribe(self, request: Mapping[str, Any] | None = None, **fields: Any) -> None:
        """As ``MarketDataClient.unsubscribe``."""
        await self._require_connection()
        wanted = self._session.unsubscribe_request(request, fields)
        await self._ask_connected([wanted])
        self._session.unsubscribed(wanted["subscription"])

    # -- messages ------------------------------------------------------------------------------------------

    async def stream(self, heartbeats: bool = False, spin: bool = False) -> AsyncIterator[Message]:
        """Yield stream messages until ``close()``, as ``MarketDataClient.stream``.

        ``spin``: look for data at every turn of the event loop instead of sleeping.
        """
        if not self._opened:
            raise NotConnected(
                "not connected: connect() first, or use the client in an `async with` statement"
            )
        self._session.keep_heartbeats = heartbeats
        queue = self._session.queue
        while True:
            try:
                while not queue:
                    await self._step(DECODE_FRAMES, None, None, spin)
            except NotConnected:
                if not self._opened:
                    return
                raise
            yield queue.popleft()

    async def recv(
        self, timeout: float | None = None, heartbeats: bool = False, spin: bool = False
    ) -> Message:
        """Return the next stream message; ``TimeoutError`` after ``timeout`` seconds (None: wait)."""
        deadline = None if timeout is None else time.monotonic() + timeout
        if heartbeats:
            self._session.keep_heartbeats = True
        queue = self._session.queue
        while True:
            while not queue:
                await self._step(DECODE_FRAMES, None, deadline, spin)
            message = queue.popleft()
            if heartbeats or message["type"] != "heartbeat":
                return message
