//! The captured messages that benches run on, and book layouts that were measured and not chosen.

pub mod layouts;

use codec::record::Level;
use codec::venues::binance::{Decoder, Message};
use codec::venues::rest_binance;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

/// The real BTCUSDT capture: (receive time ns, JSON) a line, or `None` (said on stderr) where it is absent.
#[must_use]
pub fn btcusdt_capture() -> Option<Vec<String>> {
    let root = std::env::var_os("SLIPSTREAM_FIXTURES").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures"),
        PathBuf::from,
    );
    let path = root.join("binance_usdm/btcusdt_depth_ticker_trade_20240808.txt.gz");
    let Ok(file) = std::fs::File::open(&path) else {
        eprintln!("SKIPPED: {} is not there (set SLIPSTREAM_FIXTURES)", path.display());
        return None;
    };
    let lines = BufReader::new(flate2::read::GzDecoder::new(file)).lines();
    Some(
        lines
            .map_while(Result::ok)
            .filter_map(|line| line.split_once(' ').map(|(_, json)| json.to_owned()))
            .collect(),
    )
}

/// A snapshot and the changes after it: (bids, asks) each.
#[derive(Debug)]
pub struct BookRun {
    /// The snapshot, best first.
    pub snapshot: (Vec<Level>, Vec<Level>),
    /// Every depth event not older than the snapshot.
    pub events: Vec<(Vec<Level>, Vec<Level>)>,
}

impl BookRun {
    /// From the capture's messages.
    #[must_use]
    pub fn from_capture(messages: &[String]) -> Option<Self> {
        let snapshot = messages.iter().find(|text| text.contains("lastUpdateId"))?;
        let snapshot = rest_binance::depth(&mut snapshot.clone().into_bytes()).ok()?;
        let mut decoder = Decoder::new();
        let mut events = Vec::new();
        for text in messages {
            if let Ok(Message::Depth(depth)) = decoder.decode(text.as_bytes())
                && depth.last_id >= snapshot.last_update_id
            {
                events.push((depth.bids.to_vec(), depth.asks.to_vec()));
            }
        }
        Some(Self { snapshot: (snapshot.bids, snapshot.asks), events })
    }

    /// Levels changed in all.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.events.iter().map(|(bids, asks)| (bids.len() + asks.len()) as u64).sum()
    }
}
