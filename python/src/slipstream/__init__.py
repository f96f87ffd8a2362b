"""Slipstream: the client of the market-data daemon, and what strategies and research build on it."""

from slipstream.errors import (
    BadRequest,
    NotConnected,
    NotLive,
    NotReady,
    ReplyTimeout,
    SlipstreamError,
    UnknownSymbol,
    UnknownVenue,
)

__version__ = "0.1.0"

__all__ = [
    "BadRequest",
    "NotConnected",
    "NotLive",
    "NotReady",
    "ReplyTimeout",
    "SlipstreamError",
    "UnknownSymbol",
    "UnknownVenue",
    "__version__",
]
