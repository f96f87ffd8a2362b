//! The closed vocabularies that records hold as numbers and clients see as words.
//!
//! A number, once given, never changes its meaning: journals outlive the program that wrote them.

/// Declares an enum with fixed numbers and the words clients see.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident: $repr:ty { $($(#[$vdoc:meta])* $variant:ident = $number:literal => $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr($repr)]
        pub enum $name {
            $($(#[$vdoc])* $variant = $number,)+
        }

        impl $name {
            /// Every value, in order of number.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The number records hold.
            #[must_use]
            pub const fn number(self) -> $repr {
                self as $repr
            }

            /// The value of a number, if it is one of ours.
            #[must_use]
            pub const fn from_number(number: $repr) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// The word clients see.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// The value of a word.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == word)
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words! {
    /// A venue.
    Venue: u8 {
        /// Hyperliquid, perps and spot.
        Hyperliquid = 1 => "hyperliquid",
        /// Binance USDⓈ-M futures.
        Binance = 2 => "binance",
    }
}

words! {
    /// A kind of data of one instrument (or, for the last two, of a venue and of the daemon).
    Stream: u8 {
        /// L2 books.
        Orderbook = 1 => "orderbook",
        /// Best bid and offer.
        Quotes = 2 => "quotes",
        /// Trades with aggressor side.
        Trades = 3 => "trades",
        /// Candles of every interval.
        Candles = 4 => "candles",
        /// Funding and mark prices.
        Funding = 5 => "funding",
        /// The account's own fills.
        Fills = 6 => "fills",
        /// The venue's connections.
        Connection = 7 => "connection",
        /// The journal.
        Recorder = 8 => "recorder",
    }
}

words! {
    /// What a stream is worth right now.
    State: u8 {
        /// Not yet usable: connecting, subscribing, waiting for the first data or a book snapshot.
        Warming = 1 => "warming",
        /// Exact and current.
        Live = 2 => "live",
        /// Was live; may be wrong now.
        Stale = 3 => "stale",
        /// A loss was seen and is being repaired.
        Resyncing = 4 => "resyncing",
        /// No connection, or none wanted.
        Down = 5 => "down",
    }
}

words! {
    /// Why a stream changed its state, or why something was lost. One list serves `status` and `gap`.
    Reason: u16 {
        /// None to tell (a stream that is live).
        None = 0 => "none",
        /// The venue's numbering has a hole.
        SequenceBreak = 1 => "sequence_break",
        /// A connection ended.
        Disconnect = 2 => "disconnect",
        /// Nothing came for longer than the stream's cadence allows.
        Silence = 3 => "silence",
        /// The best bid met the best ask.
        Crossed = 4 => "crossed",
        /// A buffer or a message exceeded its limit.
        Overflow = 5 => "overflow",
        /// A number that cannot be held exactly.
        Unrepresentable = 6 => "unrepresentable",
        /// A client did not keep up.
        SlowClient = 7 => "slow_client",
        /// A ring between threads was full.
        RingFull = 8 => "ring_full",
        /// The daemon was restarted.
        Restart = 9 => "restart",
        /// The journal's disk is full.
        DiskFull = 10 => "disk_full",
        /// The venue's history does not reach back to what was lost.
        VenueHistoryExhausted = 11 => "venue_history_exhausted",
        /// The connection is being made.
        Connecting = 12 => "connecting",
        /// The subscription is not acknowledged yet.
        Subscribing = 13 => "subscribing",
        /// Subscribed, no data yet.
        AwaitingData = 14 => "awaiting_data",
        /// The book's snapshot has not arrived or does not fit yet.
        AwaitingSnapshot = 15 => "awaiting_snapshot",
        /// The venue does not list the symbol, or has delisted it.
        UnknownSymbol = 16 => "unknown_symbol",
        /// The venue refused the subscription, or it killed its connection.
        Rejected = 17 => "rejected",
        /// Acknowledged, then silent past the first-data deadline.
        NoFirstData = 18 => "no_first_data",
        /// The venue's quote is newer than the book for longer than allowed.
        BehindQuote = 19 => "behind_quote",
        /// The daemon is stopping.
        Shutdown = 20 => "shutdown",
        /// The configuration does not ask for this stream.
        NotConfigured = 21 => "not_configured",
        /// A message that could not be read.
        Malformed = 22 => "malformed",
        /// Left out to stay within the venue's limits.
        Shed = 23 => "shed",
        /// The instrument list could not be fetched yet.
        AwaitingInstruments = 24 => "awaiting_instruments",
        /// The instrument does not trade at present.
        Halted = 25 => "halted",
        /// The recorder is behind by more than its promise.
        Lag = 26 => "lag",
        /// Both sides of a book were withdrawn, or an instrument has none.
        EmptyBook = 27 => "empty_book",
        /// The market has left the prices that the book's snapshot showed; a new one is awaited.
        HorizonExhausted = 28 => "horizon_exhausted",
    }
}

words! {
    /// Who took liquidity.
    Side: u8 {
        /// The aggressor bought.
        Buy = 1 => "Buy",
        /// The aggressor sold.
        Sell = 2 => "Sell",
    }
}

words! {
    /// What an instrument is.
    InstrumentKind: u8 {
        /// Perpetual future.
        Perp = 1 => "perp",
        /// Spot pair.
        Spot = 2 => "spot",
        /// Dated future.
        Future = 3 => "future",
    }
}

words! {
    /// Whether an instrument trades.
    InstrumentStatus: u8 {
        /// Trading.
        Trading = 1 => "trading",
        /// Listed, not trading now.
        Halted = 2 => "halted",
        /// No longer, or never, listed.
        Delisted = 3 => "delisted",
    }
}

words! {
    /// A candle's interval.
    Interval: u8 {
        /// One minute.
        M1 = 1 => "1m",
        /// Three minutes.
        M3 = 2 => "3m",
        /// Five minutes.
        M5 = 3 => "5m",
        /// A quarter of an hour.
        M15 = 4 => "15m",
        /// Half an hour.
        M30 = 5 => "30m",
        /// One hour.
        H1 = 6 => "1h",
        /// Two hours.
        H2 = 7 => "2h",
        /// Four hours.
        H4 = 8 => "4h",
        /// Six hours (Binance only).
        H6 = 9 => "6h",
        /// Eight hours.
        H8 = 10 => "8h",
        /// Half a day.
        H12 = 11 => "12h",
        /// One day.
        D1 = 12 => "1d",
        /// Three days.
        D3 = 13 => "3d",
        /// One week.
        W1 = 14 => "1w",
        /// One calendar month.
        Month1 = 15 => "1M",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_words_go_both_ways() {
        for &reason in Reason::ALL {
            assert_eq!(Reason::from_number(reason.number()), Some(reason));
            assert_eq!(Reason::from_word(reason.as_str()), Some(reason));
        }
        assert_eq!(Venue::from_number(0), None);
        assert_eq!(Interval::from_word("1M"), Some(Interval::Month1));
        assert_eq!(Interval::from_word("1m"), Some(Interval::M1));
    }
}
