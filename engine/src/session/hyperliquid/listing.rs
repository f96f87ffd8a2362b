//! What Hyperliquid lists: perps, spot pairs and builder dexes, each by its own request, and names found in them.

use crate::fetch::{Answer, Query};
use codec::decimal::Size;
use codec::record::InstrumentBody;
use codec::venues::rest_hyperliquid::{InstrumentInfo, SpotInfo};
use codec::words::{InstrumentKind, InstrumentStatus};

/// One of the venue's lists: what it held last stands until a better answer comes.
pub(super) struct List<T> {
    rows: Option<Vec<T>>,
    /// Asked for, or to be asked for.
    wanted: bool,
}

/// What an answer is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Worth {
    /// The list is the answer's now.
    Taken,
    /// Nobody waits for it: it was asked for twice.
    Unasked,
    /// It is empty, and cannot be right.
    Empty,
}

impl<T> List<T> {
    const fn new(wanted: bool) -> Self {
        // One that nobody wants is known to hold nothing.
        Self { rows: if wanted { None } else { Some(Vec::new()) }, wanted }
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &T> {
        self.rows.iter().flatten()
    }

    fn is_known_empty(&self) -> bool {
        self.rows.as_ref().is_some_and(Vec::is_empty)
    }

    fn take(&mut self, rows: Vec<T>, may_be_empty: bool) -> Worth {
        if !self.wanted {
            return Worth::Unasked;
        }
        if rows.is_empty() && !may_be_empty {
            return Worth::Empty;
        }
        (self.rows, self.wanted) = (Some(rows), false);
        Worth::Taken
    }
}

/// Names and numbers of what may be subscribed.
pub(super) struct Listed {
    pub(super) perps: List<InstrumentInfo>,
    pub(super) spot: List<SpotInfo>,
    /// Whether any spot pair is configured.
    wants_spot: bool,
    /// Builder dexes named by the configuration.
    pub(super) dexes: Vec<(String, List<InstrumentInfo>)>,
}

pub(super) fn is_spot(name: &str) -> bool {
    name.starts_with('@') || (name.contains('/') && !name.contains(':'))
}

/// A coin name as a JSON string: names may hold any character.
pub(super) fn json_string(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            control if u32::from(control) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

pub(super) fn unknown_body(name: &str, status: InstrumentStatus) -> Option<InstrumentBody> {
    let kind = if is_spot(name) { InstrumentKind::Spot } else { InstrumentKind::Perp };
    InstrumentBody::new(kind, status, name, "", "")
}

/// An entry of one of the venue's lists.
#[derive(Clone, Copy)]
pub(super) enum Found<'a> {
    Perp(&'a InstrumentInfo),
    Spot(&'a SpotInfo),
}

impl Found<'_> {
    pub(super) const fn delisted(&self) -> bool {
        matches!(self, Self::Perp(info) if info.delisted)
    }

    /// Prices have at most five significant figures and `max − szDecimals` places, with a max of 6 for
    /// perps and 8 for spot (venue documentation).
    pub(super) fn body(&self, name: &str) -> Option<InstrumentBody> {
        let status = if self.delisted() { InstrumentStatus::Delisted } else { InstrumentStatus::Trading };
        let (kind, base, quote, size_decimals, places) = match self {
            Self::Perp(info) => {
                let base = name.split_once(':').map_or(name, |(_, base)| base);
                (InstrumentKind::Perp, base, "USDC", info.size_decimals, 6)
            }
            Self::Spot(info) => (InstrumentKind::Spot, &*info.base, &*info.quote, info.size_decimals, 8),
        };
        let mut body = InstrumentBody::new(kind, status, name, base, quote)?;
        body.price_figures = 5;
        body.price_decimals = u8::saturating_sub(places, size_decimals);
        let lot = 10i64.checked_pow(Size::DECIMALS.checked_sub(u32::from(size_decimals))?)?;
        body.lot_size = Size::from_raw(lot);
        Some(body)
    }
}

impl Listed {
    /// Every list that these names need, none of them known.
    pub(super) fn of_names(names: &[String]) -> Self {
        let wants_spot = names.iter().any(|name| is_spot(name));
        let mut dexes: Vec<(String, List<InstrumentInfo>)> = Vec::new();
        for (dex, _) in names.iter().filter_map(|name| name.split_once(':')) {
            if !dexes.iter().any(|(known, _)| known == dex) {
                dexes.push((dex.to_owned(), List::new(true)));
            }
        }
        Self { perps: List::new(true), spot: List::new(wants_spot), wants_spot, dexes }
    }

    /// Whether every list has come, once at least.
    pub(super) fn is_whole(&self) -> bool {
        self.perps.rows.is_some()
            && self.spot.rows.is_some()
            && self.dexes.iter().all(|(_, list)| list.rows.is_some())
    }

    /// Every list is to be asked for again; what they hold stands until then.
    pub(super) fn want_all(&mut self) {
        self.perps.wanted = true;
        self.spot.wanted = self.wants_spot;
        self.dexes.iter_mut().for_each(|(_, list)| list.wanted = true);
    }

    /// What they hold will do for now.
    pub(super) fn want_none(&mut self) {
        (self.perps.wanted, self.spot.wanted) = (false, false);
        self.dexes.iter_mut().for_each(|(_, list)| list.wanted = false);
    }

    /// The requests for the lists that are wanted.
    pub(super) fn wanted(&self) -> Vec<Query> {
        let mut wanted = Vec::new();
        if self.perps.wanted {
            wanted.push(Query::Instruments);
        }
        if self.spot.wanted {
            wanted.push(Query::SpotInstruments);
        }
        let dexes = self.dexes.iter().filter(|(_, list)| list.wanted);
        wanted.extend(dexes.map(|(dex, _)| Query::DexInstruments { dex: dex.clone() }));
        wanted
    }

    /// Takes an answer. A list that held something does not become empty by one, nor do those that never are.
    pub(super) fn take(&mut self, query: &Query, answer: Answer) -> Worth {
        match (query, answer) {
            (Query::Instruments, Answer::HyperliquidInstruments(rows)) => self.perps.take(rows, false),
            (Query::SpotInstruments, Answer::HyperliquidSpot(rows)) => self.spot.take(rows, false),
            (Query::DexInstruments { dex }, Answer::HyperliquidInstruments(rows)) => {
                let may_be_empty = self.may_be_empty(query);
                let list = self.dexes.iter_mut().find(|(known, _)| known == dex);
                list.map_or(Worth::Unasked, |(_, list)| list.take(rows, may_be_empty))
            }
            _ => Worth::Unasked,
        }
    }

    /// Whether it is a builder dex that never listed anything: it may not exist.
    pub(super) fn may_be_empty(&self, query: &Query) -> bool {
        let Query::DexInstruments { dex } = query else { return false };
        let list = self.dexes.iter().find(|(known, _)| known == dex);
        list.is_some_and(|(_, list)| list.rows.is_none() || list.is_known_empty())
    }

    fn all_perps(&self) -> impl Iterator<Item = &InstrumentInfo> {
        self.perps.rows().chain(self.dexes.iter().flat_map(|(_, list)| list.rows()))
    }

    pub(super) fn find(&self, name: &str) -> Option<Found<'_>> {
        if is_spot(name) {
            return self.spot.rows().find(|info| info.name == name).map(Found::Spot);
        }
        self.all_perps().find(|info| info.name == name).map(Found::Perp)
    }

    pub(super) fn nearest(&self, name: &str) -> String {
        let names = self.all_perps().map(|info| &*info.name);
        names
            .chain(self.spot.rows().map(|info| &*info.name))
            .max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)))
            .map_or_else(String::new, |nearest| format!("the nearest listed name is {nearest}"))
    }
}
