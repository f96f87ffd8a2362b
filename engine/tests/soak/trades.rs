//! Whether every client got every trade of the venues, each once, or was told what it did not get.
//!
//! The venue's trades of a symbol are numbered in their order. For each client and symbol there is one word per
//! trade: whether it came, whether as a backfill, and how many gaps the client had been told before.

use crate::ears::{HeardGap, HeardTrade, Instrument};
use sim::{Aggressor, Sim, Trade};
use std::collections::HashMap;

/// One symbol's trades as they were.
struct Truth {
    numbers: HashMap<u64, u32>,
    trades: Vec<Trade>,
    learnt_ms: i64,
}

/// One symbol's trades as a client heard them.
#[derive(Default)]
struct Account {
    /// By number: 0, or what [`word`] makes.
    heard: Vec<u32>,
    /// Heard, but not yet known to be true.
    unknown: Vec<HeardTrade>,
    /// Of gaps that are final: how many trades they say are gone, `None` as soon as one does not know.
    told_lost: Option<u64>,
    lagged: bool,
}

fn word(gaps: u32, backfill: bool) -> u32 {
    (gaps + 1) << 1 | u32::from(backfill)
}

/// See the module.
pub struct Trades {
    instruments: Vec<Instrument>,
    truth: Vec<Truth>,
    /// By client and instrument.
    accounts: Vec<Vec<Account>>,
    /// Trades from this time on are not looked for any more.
    end_ms: Option<Vec<i64>>,
    checked: u64,
    /// By client.
    lost: Vec<u64>,
}

impl Trades {
    pub fn new(sim: &Sim, instruments: &[Instrument], ears: usize) -> Self {
        let truth = instruments.iter().map(|instrument| {
            let learnt_ms = instrument.market(sim).now_ms() - 60_000;
            Truth { numbers: HashMap::new(), trades: Vec::new(), learnt_ms }
        });
        let account = || Account { told_lost: Some(0), ..Account::default() };
        let accounts = (0..ears).map(|_| instruments.iter().map(|_| account()).collect()).collect();
        let (instruments, truth) = (instruments.to_vec(), truth.collect());
        Self { instruments, truth, accounts, end_ms: None, checked: 0, lost: Vec::new() }
    }

    /// What a client heard, in its order.
    pub fn take(&mut self, ear: usize, trades: Vec<HeardTrade>, gaps: Vec<HeardGap>) {
        for trade in trades {
            self.accounts[ear][trade.instrument].unknown.push(trade);
        }
        for gap in gaps {
            let account = &mut self.accounts[ear][gap.instrument];
            account.lagged |= gap.reason == "slow_client";
            // Other gaps are followed by what was missed, or by one of these.
            if ["venue_history_exhausted", "slow_client", "ring_full"].contains(&gap.reason.as_str()) {
                account.told_lost = account.told_lost.zip(gap.missed).map(|(sum, missed)| sum + missed);
            }
        }
    }

    /// Learns what was traded since the last time, and settles what was heard.
    pub fn learn(&mut self, sim: &Sim) {
        for (at, instrument) in self.instruments.iter().enumerate() {
            let truth = &mut self.truth[at];
            let market = instrument.market(sim);
            // What happens now may still go on in this millisecond.
            let now_ms = market.now_ms();
            let new = market.trades_between(&instrument.symbol, truth.learnt_ms, now_ms).unwrap();
            truth.learnt_ms = truth.learnt_ms.max(now_ms);
            for trade in new {
                let number = truth.trades.len() as u32;
                assert_eq!(truth.numbers.insert(trade.id, number), None, "the simulation repeats an id");
                truth.trades.push(trade);
            }
            for (ear, accounts) in self.accounts.iter_mut().enumerate() {
                let account = &mut accounts[at];
                account.heard.resize(truth.trades.len(), 0);
                let heard = &mut account.heard;
                account.unknown.retain(|trade| {
                    let Some(&number) = truth.numbers.get(&trade.id) else { return true };
                    let what = || {
                        format!(
                            "client {ear}, {} {}: trade {}",
                            instrument.venue, instrument.symbol, trade.id
                        )
                    };
                    let place = &mut heard[number as usize];
                    assert_eq!(*place, 0, "{}: twice", what());
                    *place = word(trade.gaps, trade.backfill);
                    let of = &truth.trades[number as usize];
                    let is = (trade.price_e8, trade.size_e8, trade.is_buy);
                    let was = (of.price_e8, of.size_e8, of.aggressor == Aggressor::Buy);
                    assert_eq!(is, was, "{}", what());
                    self.checked += 1;
                    false
                });
            }
        }
    }

    /// From now on only what was traded before this moment has to be accounted for.
    pub fn end(&mut self, sim: &Sim) {
        self.end_ms = Some(self.instruments.iter().map(|it| it.market(sim).now_ms()).collect());
    }

    /// Whether everything is accounted for; else what is not.
    pub fn account(&mut self) -> Result<(), String> {
        self.lost = vec![0; self.accounts.len()];
        let ends = self.end_ms.clone().unwrap_or_default();
        for (ear, accounts) in self.accounts.iter().enumerate() {
            for (at, account) in accounts.iter().enumerate() {
                let Instrument { venue, symbol } = &self.instruments[at];
                let about = |why: String| format!("client {ear}, {venue} {symbol}: {why}");
                let truth = &self.truth[at];
                let end = truth.trades.partition_point(|trade| trade.time_ms < ends[at]);
                if !account.heard[end..].iter().any(|word| *word != 0) {
                    return Err(about("nothing heard after the end".to_owned()));
                }
                if let Some(trade) = account.unknown.iter().find(|trade| trade.received_ms < ends[at]) {
                    return Err(about(format!("trade {} never was", trade.id)));
                }
                let lost = account.missing(end).map_err(about)?;
                self.lost[ear] += lost;
                // Hyperliquid does not number its trades: there a gap tells that, not how many.
                let told = account.told_lost;
                if *venue == "binance" && told.is_some_and(|told| told != lost) {
                    return Err(about(format!("{lost} lost, {told:?} told (lagged: {})", account.lagged)));
                }
            }
        }
        Ok(())
    }

    pub fn report(&self) -> String {
        let truth: usize = self.truth.iter().map(|truth| truth.trades.len()).sum();
        format!(
            "{truth} trades at the venues, {} heard and right, lost with a word, by client: {:?}",
            self.checked, self.lost
        )
    }
}

impl Account {
    /// How many of the first `end` trades did not come, from the first live one on; an error where no gap was told
    /// between the live ones before and after them.
    fn missing(&self, end: usize) -> Result<u64, String> {
        let is_live = |word: u32| word != 0 && word & 1 == 0;
        let Some(first) = self.heard.iter().position(|word| is_live(*word)) else { return Ok(0) };
        let mut lost = 0;
        let (mut before, mut open) = (self.heard[first] >> 1, 0);
        for (number, &word) in self.heard.iter().enumerate().skip(first) {
            if word == 0 {
                open += u64::from(number < end);
            } else if is_live(word) {
                if open > 0 && word >> 1 <= before {
                    return Err(format!("{open} trades before number {number} are lost without a word"));
                }
                (lost, open, before) = (lost + open, 0, word >> 1);
            }
        }
        Ok(lost)
    }
}
