//! One Hyperliquid connection: one subscription a message, acknowledged by its echo, kept alive by pings.
//!
//! ```text
//!             sent             echoed
//!   Unasked ───────▶ Due ───────────────▶ Done
//!      ▲              │ too late: sent once more, then the connection is made anew
//!      │ cleared      │ the connection died right after it
//!      └── Suspect ◀──┘──────── condemned ──▶ Condemned
//! ```
//! A bad subscription kills the connection within a second (measured, 2026-07 and 2026-09): what was not
//! acknowledged then is suspect, left out here, and tried on a connection of its own (see [`super::quarantine`]).
//! What the venue has no room for, or never acknowledges, is left out until the lists are asked for again.

use crate::limits::{
    ACK_DEADLINE_MS, HYPERLIQUID_FATAL_WITHIN_MS, HYPERLIQUID_PING_MS, HYPERLIQUID_PONG_DEADLINE_MS,
};
use crate::session::backoff::{Backoff, Random};
use crate::session::lifecycle::{Lifecycle, Silence, SilenceLimits};
use crate::session::pace::Pace;
use crate::session::{Action, Link};
use codec::time::{Now, ns_of_ms};
use codec::venues::hyperliquid::Subscription;
use codec::words::Interval;
use std::collections::VecDeque;

/// In [`Carried::symbol`]: of no symbol.
pub const NO_SYMBOL: usize = usize::MAX;

/// A kind of subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// `l2Book` with `fast: true`.
    FastBook,
    /// `l2Book`.
    DefaultBook,
    /// `bbo`.
    Bbo,
    /// `trades`.
    Trades,
    /// `candle`.
    Candle(Interval),
    /// `activeAssetCtx`, which answers on `activeSpotAssetCtx` for spot pairs.
    Ctx,
    /// `allDexsAssetCtxs`: of no symbol.
    AllCtxs,
    /// `userFills`: of no symbol.
    UserFills,
}

impl Channel {
    /// The venue's name for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FastBook => "l2Book fast",
            Self::DefaultBook => "l2Book",
            Self::Bbo => "bbo",
            Self::Trades => "trades",
            Self::Candle(_) => "candle",
            Self::Ctx => "activeAssetCtx",
            Self::AllCtxs => "allDexsAssetCtxs",
            Self::UserFills => "userFills",
        }
    }

    fn matches(self, echoed: &Subscription<'_>) -> bool {
        match self {
            Self::FastBook => echoed.kind == "l2Book" && echoed.fast,
            Self::DefaultBook => echoed.kind == "l2Book" && !echoed.fast,
            Self::Bbo => echoed.kind == "bbo",
            Self::Trades => echoed.kind == "trades",
            Self::Candle(interval) => echoed.kind == "candle" && echoed.interval == interval.as_str(),
            Self::Ctx => matches!(echoed.kind, "activeAssetCtx" | "activeSpotAssetCtx"),
            Self::AllCtxs => echoed.kind == "allDexsAssetCtxs",
            Self::UserFills => echoed.kind == "userFills",
        }
    }
}

/// A subscription that a link carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The symbol's place in the session, or [`NO_SYMBOL`].
    pub symbol: usize,
    /// Which kind.
    pub channel: Channel,
}

/// What subscriptions are made of: names by place, ready to be sent.
pub struct Names<'a> {
    /// Coins as JSON strings, by place in the session.
    pub coins_json: &'a [String],
    /// The account, if one is configured.
    pub account: Option<&'a str>,
}

impl Carried {
    /// The whole subscription object, replayed verbatim at every reconnect and to end it.
    fn message(&self, method: &str, names: &Names<'_>) -> String {
        let coin = names.coins_json.get(self.symbol).map_or("null", |coin| coin);
        let object = match self.channel {
            Channel::FastBook => format!("\"type\":\"l2Book\",\"coin\":{coin},\"fast\":true"),
            Channel::DefaultBook => format!("\"type\":\"l2Book\",\"coin\":{coin}"),
            Channel::Bbo => format!("\"type\":\"bbo\",\"coin\":{coin}"),
            Channel::Trades => format!("\"type\":\"trades\",\"coin\":{coin}"),
            Channel::Candle(interval) => {
                format!("\"type\":\"candle\",\"coin\":{coin},\"interval\":\"{interval}\"")
            }
            Channel::Ctx => format!("\"type\":\"activeAssetCtx\",\"coin\":{coin}"),
            Channel::AllCtxs => "\"type\":\"allDexsAssetCtxs\"".to_owned(),
            Channel::UserFills => {
                let user = names.account.unwrap_or_default();
                format!("\"type\":\"userFills\",\"user\":\"{user}\",\"aggregateByTime\":false")
            }
        };
        format!("{{\"method\":\"{method}\",\"subscription\":{{{object}}}}}")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ack {
    /// Not asked on this connection.
    Unasked,
    /// Asked, so many times; due by this monotonic time.
    Due { deadline_mono_ns: u64, tries: u8 },
    /// Acknowledged.
    Done,
}

/// Whether a subscription is made here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It is.
    Fine,
    /// It may have killed a connection: tried elsewhere first.
    Suspect,
    /// It has, or was refused: what is told of it stands.
    Condemned,
    /// Left out until [`LinkState::readmit`]: what is told of it stands.
    Out,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    carried: Carried,
    ack: Ack,
    standing: Standing,
    /// Connections in a row that were given up for want of its acknowledgement.
    timeouts: u8,
}

impl Entry {
    const fn is_wanted(&self) -> bool {
        matches!(self.standing, Standing::Fine | Standing::Suspect)
    }

    /// Asked twice, and not acknowledged in time.
    const fn is_late(&self, now: Now) -> bool {
        matches!(self.ack, Ack::Due { deadline_mono_ns, tries: 2.. } if now.mono_ns >= deadline_mono_ns)
    }
}

/// What is wrong with a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkTrouble {
    /// The connection was not made in time.
    ConnectTimeout,
    /// A subscription was not acknowledged in time, twice.
    AckTimeout,
    /// No answer to a ping.
    PongTimeout,
    /// No data for so long that its streams are stale.
    Silent,
    /// No data for so long that it has to be made anew.
    Dead,
}

/// See the module.
#[derive(Debug)]
pub struct LinkState {
    /// Waiting, connecting, open.
    pub life: Lifecycle,
    entries: Vec<Entry>,
    /// Entries before this are asked, suspect or done.
    unasked_from: usize,
    last_asked_mono_ns: u64,
    next_ping_mono_ns: u64,
    pong_due_mono_ns: Option<u64>,
    /// Nothing is sent before this.
    rests_until_mono_ns: u64,
    /// JSON has come on this connection.
    has_spoken: bool,
}

impl LinkState {
    /// A link that connects at its first tick, once it carries something.
    #[must_use]
    pub fn new(link: Link, backoff: Backoff) -> Self {
        Self {
            life: Lifecycle::new(link, backoff),
            entries: Vec::new(),
            unasked_from: 0,
            last_asked_mono_ns: 0,
            next_ping_mono_ns: 0,
            pong_due_mono_ns: None,
            rests_until_mono_ns: 0,
            has_spoken: false,
        }
    }

    /// Its slot.
    #[must_use]
    pub const fn link(&self) -> Link {
        self.life.link()
    }

    /// What it carries by place, apart from what is condemned or left out.
    #[must_use]
    pub fn carried_at(&self, place: usize) -> Option<Carried> {
        self.entries.get(place).filter(|entry| entry.is_wanted()).map(|entry| entry.carried)
    }

    /// Whether it carries anything, apart from what is condemned or left out.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.entries.iter().any(Entry::is_wanted)
    }

    /// Whether it has this, subscribed or not.
    #[must_use]
    pub fn holds(&self, carried: Carried) -> bool {
        self.entries.iter().any(|entry| entry.carried == carried)
    }

    /// How much it carries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Adds a subscription; it is sent with the next drive.
    pub fn add(&mut self, carried: Carried) {
        self.entries.push(Entry { carried, ack: Ack::Unasked, standing: Standing::Fine, timeouts: 0 });
    }

    /// Takes everything off, and is due for a new connection at once.
    pub fn restart(&mut self) {
        self.entries.clear();
        self.forget_requests();
        self.life.restart();
    }

    /// Takes off what belongs to a symbol, and ends it at the venue.
    pub fn remove_symbol(&mut self, symbol: usize, names: &Names<'_>, actions: &mut VecDeque<Action>) {
        self.remove_where(|carried| carried.symbol == symbol, names, actions);
    }

    /// Takes off what is meant, and ends it at the venue.
    pub fn remove_where(
        &mut self,
        is_meant: impl Fn(Carried) -> bool,
        names: &Names<'_>,
        actions: &mut VecDeque<Action>,
    ) {
        let (link, open) = (self.link(), self.life.is_open());
        self.entries.retain(|entry| {
            let stays = !is_meant(entry.carried);
            if !stays && open && entry.ack != Ack::Unasked {
                actions.push_back(Action::Send { link, text: entry.carried.message("unsubscribe", names) });
            }
            stays
        });
        self.unasked_from = 0;
    }

    /// Takes one off without a word to the venue.
    pub fn forget(&mut self, carried: Carried) {
        self.entries.retain(|entry| entry.carried != carried);
        self.unasked_from = 0;
    }

    /// Asks for one subscription from its beginning: it has died without a word.
    pub fn ask_again(&mut self, carried: Carried, names: &Names<'_>, actions: &mut VecDeque<Action>) {
        let (link, open) = (self.link(), self.life.is_open());
        if let Some(place) = self.entries.iter().position(|entry| entry.carried == carried)
            && open
            && self.entries[place].ack == Ack::Done
        {
            actions.push_back(Action::Send { link, text: carried.message("unsubscribe", names) });
            self.entries[place].ack = Ack::Unasked;
            self.unasked_from = self.unasked_from.min(place);
        }
    }

    /// The connection is open.
    pub fn on_connected(&mut self, now: Now) {
        self.life.on_connected(now);
        self.forget_requests();
        self.has_spoken = false;
        self.next_ping_mono_ns = now.after_ms(HYPERLIQUID_PING_MS);
    }

    /// The connection is gone: when it is tried again, ms from now, and what may have killed it.
    pub fn on_closed(&mut self, now: Now, random: &mut Random) -> (u64, Vec<Carried>) {
        let suspects = self.suspects(now);
        self.forget_requests();
        (self.life.on_closed(now, random), suspects)
    }

    /// What was asked for within the last moments and not acknowledged, marked.
    fn suspects(&mut self, now: Now) -> Vec<Carried> {
        let since_ns = now.mono_ns.saturating_sub(self.last_asked_mono_ns);
        if !self.life.is_open() || since_ns > ns_of_ms(HYPERLIQUID_FATAL_WITHIN_MS) {
            return Vec::new();
        }
        let due = self.entries.iter_mut().filter(|entry| matches!(entry.ack, Ack::Due { .. }));
        due.map(|entry| {
            entry.standing = Standing::Suspect;
            entry.carried
        })
        .collect()
    }

    /// A suspect has been found to be harmless: it is subscribed here.
    pub fn acquit(&mut self, carried: Carried) {
        if let Some(place) = self.entries.iter().position(|entry| entry.carried == carried) {
            self.entries[place].standing = Standing::Fine;
            self.unasked_from = self.unasked_from.min(place);
        }
    }

    /// It is left out until it is acquitted.
    pub fn condemn(&mut self, carried: Carried) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.carried == carried) {
            entry.standing = Standing::Condemned;
        }
    }

    /// It is left out until it is readmitted. Answers whether it was asked for or could have been.
    pub fn leave_out(&mut self, carried: Carried) -> bool {
        let entry = self.entries.iter_mut().find(|entry| entry.carried == carried);
        let Some(entry) = entry.filter(|entry| entry.standing == Standing::Fine) else { return false };
        (entry.standing, entry.ack) = (Standing::Out, Ack::Unasked);
        true
    }

    /// What was asked for last and is not acknowledged.
    #[must_use]
    pub fn youngest_due(&self) -> Option<Carried> {
        let due = self.entries.iter().filter_map(|entry| match entry.ack {
            Ack::Due { deadline_mono_ns, .. } => Some((deadline_mono_ns, entry.carried)),
            _ => None,
        });
        due.max_by_key(|(deadline_mono_ns, _)| *deadline_mono_ns).map(|(_, carried)| carried)
    }

    /// What was left out is asked for again.
    pub fn readmit(&mut self) -> Vec<Carried> {
        self.unasked_from = 0;
        let left_out = self.entries.iter_mut().filter(|entry| entry.standing == Standing::Out);
        left_out
            .map(|entry| {
                entry.standing = Standing::Fine;
                entry.carried
            })
            .collect()
    }

    /// Messages were too many: nothing is sent until then, and what waits for an answer waits longer.
    pub fn rest(&mut self, until_mono_ns: u64) {
        self.rests_until_mono_ns = until_mono_ns;
        // One of the messages was not heard, and it may have been the ping.
        self.pong_due_mono_ns = None;
        let later_mono_ns = until_mono_ns + ns_of_ms(ACK_DEADLINE_MS);
        for entry in &mut self.entries {
            if let Ack::Due { deadline_mono_ns, tries } = &mut entry.ack {
                (*deadline_mono_ns, *tries) = (later_mono_ns, 1);
            }
        }
    }

    /// Subscriptions are late for good. Those to which it happens again are left out, where the connection
    /// serves others; answers with them, and whether there are others still.
    pub fn give_up_late(&mut self, now: Now) -> (Vec<Carried>, bool) {
        let serves = self.entries.iter().any(|entry| entry.ack == Ack::Done);
        let (mut left_out, mut others) = (Vec::new(), false);
        for entry in self.entries.iter_mut().filter(|entry| entry.is_late(now)) {
            if entry.timeouts > 0 && serves {
                (entry.standing, entry.ack) = (Standing::Out, Ack::Unasked);
                left_out.push(entry.carried);
            } else {
                entry.timeouts = 1;
                others = true;
            }
        }
        (left_out, others)
    }

    fn forget_requests(&mut self) {
        self.unasked_from = 0;
        self.entries.iter_mut().for_each(|entry| entry.ack = Ack::Unasked);
        self.pong_due_mono_ns = None;
    }

    /// A message came that is JSON.
    #[inline]
    pub const fn on_spoken(&mut self) {
        self.has_spoken = true;
    }

    /// Whether plain text may still be a greeting: nothing greets in the middle of a conversation, so that text after
    /// the first JSON is what is left of a message.
    #[must_use]
    pub const fn may_greet(&self) -> bool {
        !self.has_spoken
    }

    /// The venue answered a ping.
    pub fn on_pong(&mut self) {
        self.pong_due_mono_ns = None;
    }

    /// An acknowledgement: the subscription it is for, if it was still open.
    pub fn on_acknowledged(&mut self, symbol: usize, echoed: &Subscription<'_>) -> Option<Carried> {
        let entry = self
            .entries
            .iter_mut()
            .find(|entry| entry.carried.symbol == symbol && entry.carried.channel.matches(echoed))?;
        let was_due = matches!(entry.ack, Ack::Due { .. });
        if was_due {
            (entry.ack, entry.timeouts) = (Ack::Done, 0);
        }
        was_due.then_some(entry.carried)
    }

    /// The venue refused a subscription in words: it is left out like a suspect.
    pub fn refuse(&mut self, symbol: usize, refused: &Subscription<'_>) -> Option<Carried> {
        let entry = self
            .entries
            .iter_mut()
            .find(|entry| entry.carried.symbol == symbol && entry.carried.channel.matches(refused))?;
        (entry.standing, entry.ack) = (Standing::Suspect, Ack::Unasked);
        Some(entry.carried)
    }

    /// Whether all that was asked for is acknowledged, and for how long nothing was asked, ms.
    #[must_use]
    pub fn settled_ms(&self, now: Now) -> Option<u64> {
        let settled = self.life.is_open() && self.entries.iter().all(|entry| entry.ack == Ack::Done);
        settled.then(|| now.mono_ns.saturating_sub(self.last_asked_mono_ns) / 1_000_000)
    }

    /// What has been acknowledged on the connection that is there.
    pub fn acknowledged(&self) -> impl Iterator<Item = Carried> + '_ {
        self.entries.iter().filter(|entry| entry.ack == Ack::Done).map(|entry| entry.carried)
    }

    /// Opens the connection if it is time, subscribes what is not subscribed yet, pings.
    pub fn drive(
        &mut self,
        now: Now,
        url: &str,
        names: &Names<'_>,
        pace: &mut Pace,
        actions: &mut VecDeque<Action>,
    ) {
        if self.entries.iter().all(|entry| entry.standing != Standing::Fine) && !self.life.is_open() {
            return;
        }
        if let Some(generation) = self.life.begin(now) {
            actions.push_back(Action::Connect { link: self.link(), generation, url: url.to_owned() });
        }
        if !self.life.is_open() || now.mono_ns < self.rests_until_mono_ns {
            return;
        }
        if now.mono_ns >= self.next_ping_mono_ns && pace.take(now.mono_ns) {
            self.next_ping_mono_ns = now.after_ms(HYPERLIQUID_PING_MS);
            self.pong_due_mono_ns.get_or_insert(now.after_ms(HYPERLIQUID_PONG_DEADLINE_MS));
            actions.push_back(Action::Send { link: self.link(), text: "{\"method\":\"ping\"}".to_owned() });
        }
        while let Some(entry) = self.entries.get(self.unasked_from) {
            if entry.ack == Ack::Unasked && entry.standing == Standing::Fine {
                if !pace.take(now.mono_ns) {
                    break;
                }
                self.ask(self.unasked_from, 1, names, now, actions);
            }
            self.unasked_from += 1;
        }
        self.ask_late_ones_again(now, names, pace, actions);
    }

    fn ask(&mut self, place: usize, tries: u8, names: &Names<'_>, now: Now, actions: &mut VecDeque<Action>) {
        let text = self.entries[place].carried.message("subscribe", names);
        actions.push_back(Action::Send { link: self.link(), text });
        self.entries[place].ack = Ack::Due { deadline_mono_ns: now.after_ms(ACK_DEADLINE_MS), tries };
        self.last_asked_mono_ns = now.mono_ns;
    }

    /// An acknowledgement may get lost: "already subscribed" is one, too.
    fn ask_late_ones_again(
        &mut self,
        now: Now,
        names: &Names<'_>,
        pace: &mut Pace,
        actions: &mut VecDeque<Action>,
    ) {
        for place in 0..self.entries.len() {
            if let Ack::Due { deadline_mono_ns, tries: 1 } = self.entries[place].ack
                && now.mono_ns >= deadline_mono_ns
                && pace.take(now.mono_ns)
            {
                self.ask(place, 2, names, now, actions);
            }
        }
    }

    /// What is wrong with it now, if anything; silence is answered once, until data comes.
    pub fn trouble(&mut self, now: Now, limits: SilenceLimits) -> Option<LinkTrouble> {
        if self.life.is_overdue(now) {
            return Some(LinkTrouble::ConnectTimeout);
        }
        if !self.life.is_open() {
            return None;
        }
        if self.pong_due_mono_ns.is_some_and(|due| now.mono_ns >= due) {
            return Some(LinkTrouble::PongTimeout);
        }
        if self.entries.iter().any(|entry| entry.is_late(now)) {
            return Some(LinkTrouble::AckTimeout);
        }
        match self.life.silence(now, limits)? {
            Silence::Stale => Some(LinkTrouble::Silent),
            Silence::Reconnect => Some(LinkTrouble::Dead),
        }
    }
}
