//! The account of a venue's messages: what came by channel, and what became of each item, exactly once.
//!
//! An item is what stands for itself: one trade of a frame of trades, one candle of an array of them, one
//! account's fill, one instrument's part of a bulk frame; everything else is one item a message. So for each
//! channel, at any moment between two messages:
//!
//! ```text
//!   items received = items published + items dropped, by reason
//! ```
//! One writer, the session; relaxed atomics, so that counting costs a load and a store in its own cache.

use codec::time::Now;
use codec::words::Stream;
use std::sync::atomic::{AtomicU64, Ordering};

/// Declares an enum with its words, for metrics.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident => $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)+
        }

        impl $name {
            /// Every value, in the order in which counters hold them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Its word in metrics.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }
    };
}

words! {
    /// What a message is about.
    Channel {
        /// Books: `l2Book`, `depthUpdate`.
        Orderbook => "orderbook",
        /// Best prices: `bbo`, `bookTicker`.
        Quotes => "quotes",
        /// Trades: `trades`, `aggTrade`, `trade`.
        Trades => "trades",
        /// Candles: `candle`, `kline`.
        Candles => "candles",
        /// Funding and marks: `activeAssetCtx`, `allDexsAssetCtxs`, `markPriceUpdate`.
        Funding => "funding",
        /// The account's fills: `userFills`.
        Fills => "fills",
        /// Of the connection: acknowledgements, refusals, pongs, greetings, `contractInfo`.
        Control => "control",
        /// Everything else: an unknown channel or event, and what cannot be read.
        Unknown => "unknown",
    }
}

impl Channel {
    /// The stream that these messages make, if they make one.
    #[must_use]
    pub const fn stream(self) -> Option<Stream> {
        match self {
            Self::Orderbook => Some(Stream::Orderbook),
            Self::Quotes => Some(Stream::Quotes),
            Self::Trades => Some(Stream::Trades),
            Self::Candles => Some(Stream::Candles),
            Self::Funding => Some(Stream::Funding),
            Self::Fills => Some(Stream::Fills),
            Self::Control | Self::Unknown => None,
        }
    }
}

words! {
    /// Why an item became no record.
    DropReason {
        /// It was about the connection, and made for that.
        Control => "control",
        /// Of a channel or an event that is not known here.
        Unknown => "unknown",
        /// It cannot be read: not JSON, not of the documented form, or a binary frame. Told as a gap.
        Malformed => "malformed",
        /// Of a symbol, a stream or a contract that is not carried, or no longer.
        NotCarried => "not_carried",
        /// Seen before: the same number, or the same trade.
        Duplicate => "duplicate",
        /// Older than what stands already.
        Late => "late",
        /// It says what stands already.
        Unchanged => "unchanged",
        /// Kept for later: for a snapshot, for the other connection of a rotation, for the close of the candle
        /// before. What comes of it is not counted again.
        Buffered => "buffered",
        /// Alone it makes nothing: a quote before the first book, a book's top before the quotes' own stream.
        NotLive => "not_live",
        /// Its best bid meets its best ask, or makes the book do so. Told as a gap.
        Crossed => "crossed",
        /// A number that cannot be held exactly. Told as a gap.
        Unrepresentable => "unrepresentable",
        /// A trade at price or size zero: the venue shows what is no trade of the market so. Its id counts.
        Placeholder => "placeholder",
        /// A candle of no period of its interval, or of a time that has not come. Told as a gap.
        Implausible => "implausible",
        /// More than a buffer or a record holds. Told as a gap.
        Overflow => "overflow",
        /// Of a bulk frame whose length is not that of the list we know: whose it is cannot be told.
        Misplaced => "misplaced",
        /// It came by the connection on which a suspect subscription is tried: the same comes by the other one.
        Probe => "probe",
        /// It came by a connection that was given up.
        GivenUp => "given_up",
    }
}

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It became, wholly or in part, at least one record.
    Published,
    /// It became none.
    Dropped(DropReason),
}

impl Outcome {
    /// Of an item that is looked at for two things: published if it was for either, else what this one says.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        match other {
            Self::Published => other,
            Self::Dropped(_) => self,
        }
    }

    /// Whether the item shows that its stream comes: one that is thrown away whatever it says does not, or a stream
    /// that is fed by nobody looked young for what a connection that was given up still sends.
    const fn shows_stream(self) -> bool {
        !matches!(self, Self::Dropped(DropReason::GivenUp | DropReason::NotCarried | DropReason::Probe))
    }
}

/// Figures of one channel.
#[derive(Debug, Default)]
struct ChannelCounters {
    messages: AtomicU64,
    items: AtomicU64,
    published: AtomicU64,
    dropped: [AtomicU64; DropReason::ALL.len()],
    /// When the last item came that was not thrown away, or the session began to wait for the first, monotonic ns; 0:
    /// not awaited.
    last_mono_ns: AtomicU64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Account {
    channels: [ChannelCounters; Channel::ALL.len()],
    /// Candles said again because they were not right at their close.
    pub candle_revisions: AtomicU64,
    /// Candles closed with the best known, which REST never confirmed.
    pub candle_unconfirmed: AtomicU64,
}

/// One writer, so a load and a store do.
#[inline]
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

impl Account {
    /// These streams are awaited from now on: their age counts from here until something comes.
    pub fn begin(&self, streams: &[Stream], now: Now) {
        for channel in Channel::ALL {
            if channel.stream().is_some_and(|stream| streams.contains(&stream)) {
                self.of(*channel).last_mono_ns.store(now.mono_ns, Ordering::Relaxed);
            }
        }
    }

    const fn of(&self, channel: Channel) -> &ChannelCounters {
        &self.channels[channel as usize]
    }

    /// A message came; its items follow.
    #[inline]
    pub fn message(&self, channel: Channel) {
        add(&self.of(channel).messages, 1);
    }

    /// So many items ended so.
    #[inline]
    pub fn items(&self, channel: Channel, outcome: Outcome, count: u64, now: Now) {
        let of = self.of(channel);
        add(&of.items, count);
        if outcome.shows_stream() {
            of.last_mono_ns.store(now.mono_ns, Ordering::Relaxed);
        }
        match outcome {
            Outcome::Published => add(&of.published, count),
            Outcome::Dropped(reason) => add(&of.dropped[reason as usize], count),
        }
    }

    /// A message that is one item.
    #[inline]
    pub fn one(&self, channel: Channel, outcome: Outcome, now: Now) {
        self.message(channel);
        self.items(channel, outcome, 1, now);
    }

    /// Messages that came by a channel.
    #[must_use]
    pub fn messages_received(&self, channel: Channel) -> u64 {
        self.of(channel).messages.load(Ordering::Relaxed)
    }

    /// Items that came by a channel.
    #[must_use]
    pub fn items_received(&self, channel: Channel) -> u64 {
        self.of(channel).items.load(Ordering::Relaxed)
    }

    /// Items of a channel that became a record.
    #[must_use]
    pub fn items_published(&self, channel: Channel) -> u64 {
        self.of(channel).published.load(Ordering::Relaxed)
    }

    /// Items of a channel that did not, for this reason.
    #[must_use]
    pub fn items_dropped(&self, channel: Channel, reason: DropReason) -> u64 {
        self.of(channel).dropped[reason as usize].load(Ordering::Relaxed)
    }

    /// When a channel's last item came that was not thrown away, or since when it is awaited, monotonic ns; `None`: it
    /// is not.
    #[must_use]
    pub fn last_mono_ns(&self, channel: Channel) -> Option<u64> {
        match self.of(channel).last_mono_ns.load(Ordering::Relaxed) {
            0 => None,
            at => Some(at),
        }
    }

    /// Whether everything that came has one outcome: true between any two messages.
    #[must_use]
    pub fn adds_up(&self) -> bool {
        Channel::ALL.iter().all(|&channel| {
            let dropped = DropReason::ALL.iter().map(|&reason| self.items_dropped(channel, reason));
            self.items_received(channel) == self.items_published(channel) + dropped.sum::<u64>()
        })
    }

    pub(super) fn candles(&self, counts: super::candles::CandleCounts) {
        if counts != Default::default() {
            add(&self.candle_revisions, counts.revisions);
            add(&self.candle_unconfirmed, counts.unconfirmed);
        }
    }
}

/// Checks, where checks are compiled in, that an outcome says what the publisher did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Check {
    before: u64,
}

impl Check {
    #[inline]
    pub(super) const fn begin(publisher: &crate::publisher::Publisher) -> Self {
        Self { before: publisher.data_records() }
    }

    /// `settles`: the item may have settled what came before it, whatever became of itself.
    #[inline]
    pub(super) fn end(self, outcome: Outcome, settles: bool, publisher: &crate::publisher::Publisher) {
        let rose = publisher.data_records() > self.before;
        debug_assert!(
            rose == (outcome == Outcome::Published) || (rose && settles),
            "an item was {outcome:?}, and records were {}published",
            if rose { "" } else { "not " }
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a connection still sends that was given up, or for a symbol that nobody wants, keeps no stream young.
    #[test]
    fn only_what_is_looked_at_makes_a_stream_young() {
        let account = Account::default();
        let at = |mono_ns| Now { mono_ns, wall_ns: 0 };
        account.begin(&[Stream::Quotes], at(1));
        for thrown_away in [DropReason::GivenUp, DropReason::NotCarried, DropReason::Probe] {
            account.one(Channel::Quotes, Outcome::Dropped(thrown_away), at(2));
        }
        account.message(Channel::Quotes);
        assert_eq!(account.last_mono_ns(Channel::Quotes), Some(1));
        account.one(Channel::Quotes, Outcome::Published, at(3));
        assert_eq!(account.last_mono_ns(Channel::Quotes), Some(3));
        account.one(Channel::Quotes, Outcome::Dropped(DropReason::Unchanged), at(4));
        assert_eq!(account.last_mono_ns(Channel::Quotes), Some(4));
        assert_eq!(account.messages_received(Channel::Quotes), 6);
        assert!(account.adds_up());
    }
}
