//! What Hyperliquid lists: perps, spot pairs and builder dexes, each by its own request, and names found in them.

use codec::decimal::Size;
use codec::record::InstrumentBody;
use codec::venues::rest_hyperliquid::{InstrumentInfo, SpotInfo};
use codec::words::{InstrumentKind, InstrumentStatus};

/// Names and numbers of what may be subscribed.
pub(super) struct Listed {
    pub(super) perps: Option<Vec<InstrumentInfo>>,
    pub(super) spot: Option<Vec<SpotInfo>>,
    /// Whether any spot pair is configured.
    pub(super) wants_spot: bool,
    /// Builder dexes named by the configuration, answered or not.
    pub(super) dexes: Vec<(String, Option<Vec<InstrumentInfo>>)>,
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
    /// Whether every list has come.
    pub(super) fn is_whole(&self) -> bool {
        self.perps.is_some()
            && self.spot.is_some()
            && self.dexes.iter().all(|(_, answered)| answered.is_some())
    }

    /// Makes every list missing that is worth asking for again.
    pub(super) fn forget(&mut self) {
        self.perps = None;
        if self.wants_spot {
            self.spot = None;
        }
        self.dexes.iter_mut().for_each(|(_, answered)| *answered = None);
    }

    pub(super) fn find(&self, name: &str) -> Option<Found<'_>> {
        if is_spot(name) {
            return self.spot.iter().flatten().find(|info| info.name == name).map(Found::Spot);
        }
        let dex = self.dexes.iter().filter_map(|(_, listed)| listed.as_ref()).flatten();
        self.perps.iter().flatten().chain(dex).find(|info| info.name == name).map(Found::Perp)
    }

    pub(super) fn nearest(&self, name: &str) -> String {
        let dex = self.dexes.iter().filter_map(|(_, listed)| listed.as_ref()).flatten();
        let names = self.perps.iter().flatten().chain(dex).map(|info| &*info.name);
        let spot = self.spot.iter().flatten().map(|info| &*info.name);
        names
            .chain(spot)
            .max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)))
            .map_or_else(String::new, |nearest| format!("the nearest listed name is {nearest}"))
    }
}
