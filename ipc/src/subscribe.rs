//! Subscriptions: what a client gets from now on, beginning with what is.
//!
//! A subscription is one request's worth; it joins topics: one per instrument for the data and, with each,
//! the states and losses of that stream, of the whole venue, of its connection and of the daemon. Topics are
//! counted, so that what two subscriptions share is delivered once and stays until both are gone.

use crate::client::{BookChoice, ClientId, SubscriptionKey};
use crate::core::Core;
use crate::deliver::put_current_status;
use crate::fanout::INSTRUMENT_STREAM;
use crate::limits::{DEPTH_DEFAULT, SUBSCRIPTIONS_PER_CLIENT_MAX};
use crate::names::{echo, require_stream};
use crate::topic::{Encoding, Mode, Scope, Slot, TopicKey, What};
use crate::window::Window;
use codec::protocol::error::ErrorCode;
use codec::protocol::message::{self, Extra, Frame, Times};
use codec::protocol::pack;
use codec::protocol::request::{Refusal, Request};
use codec::time::Now;
use codec::words::{Stream, Venue};
use std::sync::atomic::Ordering;

/// Depth and mode where they mean nothing.
const NO_CHOICE: BookChoice = BookChoice { depth: 0, mode: Mode::Full };

/// A subscription with all that decides its topics.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    key: SubscriptionKey,
    choice: BookChoice,
    encoding: Encoding,
}

impl Core {
    /// What a subscribe request names.
    fn named_subscription(&self, request: &Request<'_>) -> Result<SubscriptionKey, Refusal> {
        let (stream, all) = match request.kind {
            "subscribe_orderbook" => (Stream::Orderbook, false),
            "subscribe_quote" => (Stream::Quotes, false),
            "subscribe_trades" => (Stream::Trades, false),
            "subscribe_funding" => (Stream::Funding, false),
            "subscribe_candles" => (Stream::Candles, false),
            "subscribe_all_candles" => (Stream::Candles, true),
            "subscribe_all_trades" => (Stream::Trades, true),
            "subscribe_all_quotes" => (Stream::Quotes, true),
            "subscribe_fills" => (Stream::Fills, true),
            other => {
                return Err(Refusal::new(
                    ErrorCode::BadRequest,
                    format!("{} is no subscribe request", echo(other)),
                ));
            }
        };
        let venue = self.named_venue(request)?;
        let slot = if all { None } else { Some(self.find_symbol(venue, request.text("symbol")?)?) };
        require_stream(venue, stream)?;
        let interval = match stream {
            Stream::Candles => Some(self.named_interval(request, venue)?),
            _ => None,
        };
        Ok(SubscriptionKey { venue: venue.config.venue, slot, stream, interval })
    }

    /// How it wants a book; of no meaning to other streams, nor to whoever unsubscribes.
    fn named_choice(
        &self,
        request: &Request<'_>,
        stream: Stream,
        encoding: Encoding,
    ) -> Result<BookChoice, Refusal> {
        if stream != Stream::Orderbook {
            return Ok(NO_CHOICE);
        }
        if encoding == Encoding::Record {
            if request.field("depth").is_some() || request.field("mode").is_some() {
                return Err(Refusal::new(
                    ErrorCode::BadMode,
                    "with encoding \"record\" books come as the records of the whole kept book; leave out `depth` and `mode`",
                ));
            }
            return Ok(NO_CHOICE);
        }
        let depth_max = self.config.retention.orderbook_depth;
        let depth = request
            .at_least_one("depth", ErrorCode::BadDepth)
            .map_err(|refusal| Refusal {
                message: format!("{}, at most {depth_max}", refusal.message),
                ..refusal
            })?
            .unwrap_or(DEPTH_DEFAULT.min(depth_max));
        if depth > depth_max {
            return Err(Refusal::new(
                ErrorCode::BadDepth,
                format!("`depth` is {depth}; it must be 1 to {depth_max} (`orderbook_depth`)"),
            ));
        }
        let mode = request
            .text_or_none("mode")
            .map_err(|refusal| Refusal { code: ErrorCode::BadMode, ..refusal })?;
        let mode = match mode {
            None | Some("full") => Mode::Full,
            Some("delta") => Mode::Delta,
            Some(other) => {
                return Err(Refusal::new(
                    ErrorCode::BadMode,
                    format!("no mode {}; it is \"full\" or \"delta\"", echo(other)),
                ));
            }
        };
        Ok(BookChoice { depth: depth as u32, mode })
    }

    pub(crate) fn subscribe(&mut self, id: ClientId, request: &Request<'_>, now: Now) -> Result<(), Refusal> {
        let Some(client) = self.client(id) else { return Ok(()) };
        let (encoding, held) = (client.encoding, client.subs.len());
        let key = self.named_subscription(request)?;
        let choice = self.named_choice(request, key.stream, encoding)?;
        let more = key.slot.map_or(self.slots(key.venue).len(), |_| 1);
        if held + 3 * more > 3 * SUBSCRIPTIONS_PER_CLIENT_MAX
            || !self.fanout.topics.has_room(&self.fanout.log)
        {
            return Err(Refusal::new(
                ErrorCode::TooMany,
                format!(
                    "a client has at most {SUBSCRIPTIONS_PER_CLIENT_MAX} symbol streams; unsubscribe some first"
                ),
            ));
        }
        let replaced = self.client_mut(id).and_then(|client| client.subscriptions.insert(key, choice));
        self.reply(id, |out| put_acknowledgement(out, request, "subscribed", choice));
        self.restart_catchup(id);
        if replaced.is_none() {
            let subscriptions = &self.outlets.counters.subscriptions;
            subscriptions.fetch_add(1, Ordering::Relaxed);
        }
        let wanted = Wanted { key, choice, encoding };
        match (key.slot, key.stream) {
            (None, Stream::Fills) if replaced.is_some() => {}
            (None, Stream::Fills) => self.join_fills(id, key.venue, encoding, now),
            (None, _) => {
                for slot in self.slots(key.venue) {
                    let is_new = replaced.is_some() || self.join_instrument(id, slot, wanted);
                    self.begin(id, slot, wanted, is_new, now);
                }
            }
            (Some(slot), _) => {
                match replaced {
                    None => {
                        self.join_instrument(id, slot, wanted);
                    }
                    Some(before) if key.stream == Stream::Orderbook => {
                        self.leave(id, Wanted { choice: before, ..wanted }.data_topic(slot));
                        self.join(id, wanted.data_topic(slot));
                    }
                    // The same once more: what waits stays, and the current state comes again.
                    Some(_) => {}
                }
                self.begin(id, slot, wanted, true, now);
            }
        }
        Ok(())
    }

    /// Every instrument of a venue.
    fn slots(&self, venue: Venue) -> Vec<Slot> {
        self.replica.venue(venue).map(|venue| venue.sorted.clone()).unwrap_or_default()
    }

    /// A subscription of all symbols takes in one that has just become known.
    pub(crate) fn join_bulk(&mut self, slot: Slot) {
        let venue = self.replica.instrument(slot).venue;
        for id in 0..self.clients.len() as ClientId {
            let Some(client) = self.client(id) else { continue };
            let encoding = client.encoding;
            let bulk: Vec<_> = client
                .subscriptions
                .keys()
                .filter(|key| key.venue == venue && key.slot.is_none() && key.stream != Stream::Fills)
                .copied()
                .collect();
            for key in bulk {
                self.restart_catchup(id);
                self.join_instrument(id, slot, Wanted { key, choice: NO_CHOICE, encoding });
            }
        }
    }

    /// The topics of a client are about to change while it is told what it missed: it is told anew.
    fn restart_catchup(&mut self, id: ClientId) {
        let head = self.fanout.log.head();
        if let Some(client) = self.client_mut(id)
            && client.catchup.is_some()
        {
            client.catchup = Some(crate::client::Catchup { newest: false, place: 0 });
            client.cursor = head;
        }
    }

    fn join(&mut self, id: ClientId, key: TopicKey) -> bool {
        let Self { fanout, clients, .. } = self;
        let Some(client) = clients.get_mut(id as usize).and_then(Option::as_deref_mut) else { return false };
        if let Some(topic) = fanout.topics.find(&key)
            && client.subs.find(topic).is_some()
        {
            client.subs.join(topic, 0);
            return false;
        }
        if client.subs.is_empty() {
            // Nothing in the log concerned it until now.
            client.cursor = fanout.log.head();
        }
        let topic = fanout.topics.join(key, &fanout.log);
        let state = fanout.topics.get_mut(topic);
        if let What::Book { depth, .. } = key.what
            && state.window.is_none()
        {
            state.window = Some(Box::new(Window::with_depth(depth as usize)));
        }
        client.subs.join(topic, state.count)
    }

    fn leave(&mut self, id: ClientId, key: TopicKey) -> bool {
        let Self { fanout, clients, .. } = self;
        let Some(client) = clients.get_mut(id as usize).and_then(Option::as_deref_mut) else { return false };
        let Some(topic) = fanout.topics.find(&key) else { return false };
        let gone = client.subs.leave(topic);
        if gone {
            fanout.topics.leave(topic);
        }
        gone
    }

    /// Joins one instrument's stream with all that is told about it. Whether its data is new to the client.
    fn join_instrument(&mut self, id: ClientId, slot: Slot, wanted: Wanted) -> bool {
        for notice in wanted.notices(slot).into_iter().flatten() {
            self.join(id, notice);
        }
        let is_new = self.join(id, wanted.data_topic(slot));
        self.add_demand(slot, wanted.key.stream, wanted.key.interval);
        is_new
    }

    fn leave_instrument(&mut self, id: ClientId, slot: Slot, wanted: Wanted) {
        for notice in wanted.notices(slot).into_iter().flatten() {
            self.leave(id, notice);
        }
        self.leave(id, wanted.data_topic(slot));
        self.remove_demand(slot, wanted.key.stream, wanted.key.interval);
    }

    fn join_fills(&mut self, id: ClientId, venue: Venue, encoding: Encoding, now: Now) {
        for key in fills_topics(venue, encoding) {
            self.join(id, key);
        }
        if encoding == Encoding::Record {
            for slot in self.slots(venue) {
                self.announce(id, slot);
            }
        }
        let Self { fanout, clients, replica, .. } = self;
        let Some(client) = clients.get_mut(id as usize).and_then(Option::as_deref_mut) else { return };
        if replica.venue_status(venue, Stream::Fills).is_some_and(|status| !status.is_live()) {
            let key =
                TopicKey { scope: Scope::Venue(venue), stream: Stream::Fills, what: What::Status, encoding };
            put_current_status(&mut client.out, fanout, replica, key, now);
        }
    }

    /// Gives a client that wants records an instrument's, once.
    fn announce(&mut self, id: ClientId, slot: Slot) {
        let Self { clients, replica, .. } = self;
        let Some(client) = clients.get_mut(id as usize).and_then(Option::as_deref_mut) else { return };
        let frame = &replica.instrument(slot).frame;
        if !frame.is_empty() && !client.announce(slot) {
            client.out.extend_from_slice(frame);
        }
    }

    /// What a subscription begins with: the status if not live, then the current state.
    fn begin(&mut self, id: ClientId, slot: Slot, wanted: Wanted, with_state: bool, now: Now) {
        let Wanted { key, encoding, .. } = wanted;
        if encoding == Encoding::Record {
            self.announce(id, slot);
        }
        if !with_state {
            return;
        }
        let Self { fanout, clients, replica, .. } = self;
        let Some(client) = clients.get_mut(id as usize).and_then(Option::as_deref_mut) else { return };
        let instrument = replica.instrument(slot);
        let served = instrument.is_served(key.stream);
        if !served {
            let scope = Scope::Instrument(slot);
            let status = TopicKey { scope, stream: key.stream, what: What::Status, encoding };
            put_current_status(&mut client.out, fanout, replica, status, now);
        }
        let Some(topic) = fanout.topics.find(&wanted.data_topic(slot)) else { return };
        match key.stream {
            Stream::Orderbook if served => fanout.put_book_begin(&mut client.out, topic, instrument),
            Stream::Quotes if served => {
                let Some(quote) = instrument.quote else { return };
                match encoding {
                    Encoding::Msgpack => {
                        let (times, body) = (quote.row.times, &quote.row.body);
                        message::quote(&mut client.out, &instrument.names, times, body, Extra::default());
                    }
                    Encoding::Record => fanout.put_fixed(&mut client.out, quote.header, &quote.row.body),
                }
            }
            Stream::Funding => {
                let Some(funding) = instrument.funding else { return };
                match encoding {
                    Encoding::Msgpack => {
                        let times = Times::of(&funding.header);
                        message::funding(&mut client.out, None, &instrument.names, times, &funding.body);
                    }
                    Encoding::Record => fanout.put_fixed(&mut client.out, funding.header, &funding.body),
                }
            }
            Stream::Candles => {
                let count = fanout.topics.get(topic).count;
                if client
                    .subs
                    .find(topic)
                    .and_then(|place| client.subs.at(place))
                    .is_some_and(|sub| sub.seen < count)
                {
                    // Candles wait for it that come before this one; they end with it.
                    return;
                }
                let open = key.interval.and_then(|interval| instrument.series(interval)?.open_candle(now));
                let Some(open) = open else { return };
                fanout.put_open_candle(&mut client.out, encoding, instrument, &open);
            }
            _ => return,
        }
        // What the log still holds is older than this.
        client.subs.see(topic, fanout.topics.get(topic).count);
    }

    pub(crate) fn unsubscribe(&mut self, id: ClientId, request: &Request<'_>) -> Result<(), Refusal> {
        let Some(client) = self.client(id) else { return Ok(()) };
        let encoding = client.encoding;
        let inner = Request::of(request.map("subscription")?).map_err(|(_, refusal)| refusal)?;
        let key = self.named_subscription(&inner)?;
        let Some(choice) = self.client_mut(id).and_then(|client| client.subscriptions.remove(&key)) else {
            return Err(Refusal::new(
                ErrorCode::NotSubscribed,
                format!("there is no subscription {} with this venue, symbol and interval", inner.kind),
            ));
        };
        self.end_subscription(id, Wanted { key, choice, encoding });
        self.reply(id, |out| put_acknowledgement(out, &inner.with_id(request.id), "unsubscribed", choice));
        Ok(())
    }

    fn end_subscription(&mut self, id: ClientId, wanted: Wanted) {
        self.restart_catchup(id);
        self.outlets.counters.subscriptions.fetch_sub(1, Ordering::Relaxed);
        let key = wanted.key;
        match (key.slot, key.stream) {
            (None, Stream::Fills) => {
                for topic in fills_topics(key.venue, wanted.encoding) {
                    self.leave(id, topic);
                }
            }
            (None, _) => {
                for slot in self.slots(key.venue) {
                    self.leave_instrument(id, slot, wanted);
                }
            }
            (Some(slot), _) => self.leave_instrument(id, slot, wanted),
        }
    }

    /// Ends everything a client subscribed to.
    pub(crate) fn unsubscribe_all(&mut self, id: ClientId) {
        let Some(client) = self.client_mut(id) else { return };
        let encoding = client.encoding;
        for (key, choice) in core::mem::take(&mut client.subscriptions) {
            self.end_subscription(id, Wanted { key, choice, encoding });
        }
    }
}

impl Wanted {
    fn data_topic(self, slot: Slot) -> TopicKey {
        let Self { key, choice, encoding } = self;
        let what = match (key.stream, encoding) {
            (Stream::Orderbook, Encoding::Msgpack) => What::Book { depth: choice.depth, mode: choice.mode },
            (Stream::Candles, _) => key.interval.map_or(What::Data, What::Candles),
            _ => What::Data,
        };
        TopicKey { scope: Scope::Instrument(slot), stream: key.stream, what, encoding }
    }

    /// States and losses that concern one stream of an instrument: its own, its venue's, the connection's and
    /// the daemon's; and for records, the instrument's particulars.
    fn notices(self, slot: Slot) -> [Option<TopicKey>; 9] {
        let Self { key, encoding, .. } = self;
        let topic = |scope, stream, what| Some(TopicKey { scope, stream, what, encoding });
        let (own, venue) = (Scope::Instrument(slot), Scope::Venue(key.venue));
        [
            topic(own, key.stream, What::Status),
            topic(own, key.stream, What::Gap),
            topic(venue, key.stream, What::Status),
            topic(venue, key.stream, What::Gap),
            topic(venue, Stream::Connection, What::Status),
            topic(venue, Stream::Connection, What::Gap),
            topic(Scope::Daemon, Stream::Recorder, What::Status),
            topic(Scope::Daemon, Stream::Recorder, What::Gap),
            topic(own, INSTRUMENT_STREAM, What::Instrument).filter(|_| encoding == Encoding::Record),
        ]
    }
}

fn fills_topics(venue: Venue, encoding: Encoding) -> [TopicKey; 8] {
    let topic = |scope, stream, what| TopicKey { scope, stream, what, encoding };
    let whole = Scope::Venue(venue);
    [
        topic(whole, Stream::Fills, What::Status),
        topic(whole, Stream::Fills, What::Gap),
        topic(whole, Stream::Connection, What::Status),
        topic(whole, Stream::Connection, What::Gap),
        topic(Scope::Daemon, Stream::Recorder, What::Status),
        topic(Scope::Daemon, Stream::Recorder, What::Gap),
        topic(whole, Stream::Fills, What::Data),
        // Nothing is ever published to the one of MessagePack.
        topic(whole, Stream::Fills, What::Instrument),
    ]
}

/// `subscribed` and `unsubscribed`: what was understood.
fn put_acknowledgement(out: &mut Vec<u8>, request: &Request<'_>, kind: &str, choice: BookChoice) {
    let frame = Frame::begin(out, request.id, kind);
    let named = ["venue", "symbol", "interval"].map(|name| (name, request.text_or_none(name).ok().flatten()));
    let with_choice = choice.depth > 0;
    pack::map(
        out,
        1 + named.iter().filter(|(_, value)| value.is_some()).count() + 2 * usize::from(with_choice),
    );
    pack::string(out, "type");
    pack::string(out, request.kind);
    for (name, value) in named {
        if let Some(value) = value {
            pack::string(out, name);
            pack::string(out, value);
        }
    }
    if with_choice {
        pack::string(out, "depth");
        pack::uint(out, u64::from(choice.depth));
        pack::string(out, "mode");
        pack::string(out, choice.mode.as_str());
    }
    frame.end(out);
}
