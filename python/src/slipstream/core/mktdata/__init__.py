"""Market data from the Slipstream daemon: clients, message classes, errors."""

from slipstream.core.mktdata.aio import AsyncMarketDataClient
from slipstream.core.mktdata.client import MarketDataClient
from slipstream.core.mktdata.tables import to_pandas, to_polars
from slipstream.core.mktdata.types import (
    MESSAGE_CLASSES,
    Candle,
    Fill,
    Funding,
    Gap,
    Heartbeat,
    Instrument,
    Level,
    Levels,
    OrderbookDelta,
    OrderbookSnapshot,
    Quote,
    Status,
    Trade,
)
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

__all__ = [
    "MESSAGE_CLASSES",
    "AsyncMarketDataClient",
    "BadRequest",
    "Candle",
    "Fill",
    "Funding",
    "Gap",
    "Heartbeat",
    "Instrument",
    "Level",
    "Levels",
    "MarketDataClient",
    "NotConnected",
    "NotLive",
    "NotReady",
    "OrderbookDelta",
    "OrderbookSnapshot",
    "Quote",
    "ReplyTimeout",
    "SlipstreamError",
    "Status",
    "Trade",
    "UnknownSymbol",
    "UnknownVenue",
    "to_pandas",
    "to_polars",
]
