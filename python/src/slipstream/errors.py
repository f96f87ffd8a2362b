"""Everything the client raises of its own accord.

Each error has a ``.code``: the daemon's own (``unknown_symbol``, ``not_live``, ...) where the daemon refused,
else one of the client's (``not_connected``, ``timeout``, ``queue_full``, ``malformed``, ``sequence_break``).
"""

from __future__ import annotations

from typing import Any


class SlipstreamError(Exception):
    """Base of all errors; ``.code`` is the machine-readable reason, ``.message`` the text for people.

    ``SlipstreamError(**msg["data"])`` works for an ``error`` message of a stream.
    """

    default_code = "internal"

    def __init__(self, message: str = "", code: str | None = None, **extra: Any) -> None:
        super().__init__(message)
        self.message = message
        self.code: str = self.default_code if code is None else code
        self.extra: dict[str, Any] = extra

    def __str__(self) -> str:
        return f"{self.message} [{self.code}]"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.code, self.extra)


def _rebuild(cls: type[SlipstreamError], message: str, code: str, extra: dict[str, Any]) -> SlipstreamError:
    return cls(message, code, **extra)


class NotConnected(SlipstreamError, ConnectionError):
    """No connection to a daemon: none could be made, it was lost, or ``connect()`` was not called."""

    default_code = "not_connected"


class ReplyTimeout(SlipstreamError, TimeoutError):
    """The daemon did not answer a request within the client's ``timeout``. The connection stays open."""

    default_code = "timeout"


class UnknownSymbol(SlipstreamError):
    """The venue does not carry this symbol; the message names the nearest one."""

    default_code = "unknown_symbol"


class UnknownVenue(SlipstreamError):
    """The daemon does not serve this venue."""

    default_code = "unknown_venue"


class BadRequest(SlipstreamError):
    """The request is wrong in itself: a depth, count, mode, interval or type out of range. See ``.code``."""

    default_code = "bad_request"


class NotLive(SlipstreamError):
    """The book or quote is not live now; the message says in which state it is and for how long."""

    default_code = "not_live"


class NotReady(SlipstreamError):
    """The daemon has not loaded this yet (candle history after a start). Ask again later."""

    default_code = "not_ready"


_CLASSES: dict[str, type[SlipstreamError]] = {
    "unknown_symbol": UnknownSymbol,
    "unknown_venue": UnknownVenue,
    "not_live": NotLive,
    "not_ready": NotReady,
    **dict.fromkeys(
        (
            "malformed",
            "bad_request",
            "unknown_type",
            "bad_depth",
            "bad_count",
            "bad_mode",
            "unknown_interval",
            "not_subscribed",
            "too_many",
            "frame_too_large",
            "not_configured",
        ),
        BadRequest,
    ),
}


def error_from_reply(data: Any) -> SlipstreamError:
    """Make the exception for the ``data`` of an ``error`` reply (``{"code", "message"}``)."""
    if not isinstance(data, dict):
        return SlipstreamError(f"the daemon refused without saying why: {data!r}")
    code = str(data.get("code", "internal"))
    extra = {str(k): v for k, v in data.items() if k not in ("code", "message")}
    return _CLASSES.get(code, SlipstreamError)(str(data.get("message", "")), code, **extra)
