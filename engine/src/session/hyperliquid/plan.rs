//! What is subscribed when the venue's limit does not allow everything: shed in a fixed order, least traded first.
//!
//! 1. Longer candle intervals are made of the finest one instead of being streamed.
//! 2. Default (deep) books of the least traded; their top is still right by fast book and bbo.
//! 3. Funding of all perps comes by one bulk stream, every 14 s, instead of one stream each.
//! 4. Whole symbols, told as `down`, `shed`.
//!
//! A default book that is the only book wanted is no luxury: it goes with its symbol only.

use codec::words::Interval;

/// What is wanted of each symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Fast books.
    pub fast: bool,
    /// Default books.
    pub default: bool,
    /// Best prices.
    pub bbo: bool,
    /// Trades.
    pub trades: bool,
    /// Candle intervals, finest first.
    pub intervals: Vec<Interval>,
    /// Funding.
    pub ctx: bool,
}

/// How the wishes are met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Candle intervals streamed, finest first.
    pub streamed: Vec<Interval>,
    /// Candle intervals made of the first of those.
    pub folded: Vec<Interval>,
    /// Funding of perps by the bulk stream.
    pub bulk_ctx: bool,
    /// Subscriptions still free, for default books.
    pub spare: usize,
    /// Symbols carried, most traded first.
    pub symbols: usize,
    /// Whether anything is shed or replaced.
    pub reduced: bool,
}

impl Needs {
    /// Subscriptions of a symbol but its default book, with so many candle streams.
    fn base(&self, streamed: usize, own_ctx: bool) -> usize {
        let sole_book = self.default && !self.fast;
        let flags = [self.fast, sole_book, self.bbo, self.trades, self.ctx && own_ctx];
        streamed + flags.into_iter().filter(|flag| *flag).count()
    }

    /// Whether default books may be shed.
    const fn has_spare_book(&self) -> bool {
        self.default && self.fast
    }

    /// For `perps` and `others` (spot pairs, of which there is no bulk stream) within `limit`.
    #[must_use]
    pub fn plan(
        &self,
        perps: usize,
        others: usize,
        limit: usize,
        can_fold: impl Fn(Interval, Interval) -> bool,
    ) -> Plan {
        let count = perps + others;
        let deep = if self.has_spare_book() { count } else { 0 };
        let whole = count * self.base(self.intervals.len(), true) + deep;
        let mut plan = Plan {
            streamed: self.intervals.clone(),
            folded: Vec::new(),
            bulk_ctx: false,
            spare: deep,
            symbols: count,
            reduced: whole > limit,
        };
        if whole <= limit {
            return plan;
        }
        if let Some(&finest) = self.intervals.first() {
            let (folded, streamed) = self.intervals.iter().partition(|&&long| can_fold(long, finest));
            (plan.folded, plan.streamed) = (folded, streamed);
        }
        let with_ctx = count * self.base(plan.streamed.len(), true);
        if with_ctx <= limit {
            plan.spare = deep.min(limit - with_ctx);
            return plan;
        }
        plan.bulk_ctx = self.ctx && perps > 0;
        let bulk = usize::from(plan.bulk_ctx);
        let of_perp = self.base(plan.streamed.len(), !plan.bulk_ctx);
        let of_other = self.base(plan.streamed.len(), true);
        let used = perps * of_perp + others * of_other + bulk;
        if used <= limit {
            plan.spare = deep.min(limit - used);
            return plan;
        }
        plan.spare = 0;
        let dearest = if others > 0 { of_other } else { of_perp };
        plan.symbols = limit.saturating_sub(bulk) / dearest.max(1);
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs() -> Needs {
        Needs {
            fast: true,
            default: true,
            bbo: true,
            trades: true,
            intervals: vec![Interval::M15, Interval::H1, Interval::H4],
            ctx: true,
        }
    }

    fn plan(needs: &Needs, count: usize, limit: usize) -> Plan {
        needs.plan(count, 0, limit, Interval::is_made_of)
    }

    #[test]
    fn luxuries_go_first_and_symbols_last() {
        let needs = needs();
        let all = plan(&needs, 125, 1000);
        assert_eq!((all.streamed.len(), all.spare, all.reduced), (3, 125, false));
        let folding = plan(&needs, 160, 1000);
        assert_eq!((folding.streamed.len(), folding.folded.len(), folding.spare), (1, 2, 160));
        let shallow = plan(&needs, 190, 1000);
        assert_eq!((shallow.bulk_ctx, shallow.spare, shallow.symbols), (false, 50, 190));
        let bulk = plan(&needs, 240, 1000);
        assert_eq!((bulk.bulk_ctx, bulk.spare, bulk.symbols), (true, 39, 240));
        let short = plan(&needs, 300, 1000);
        assert_eq!((short.spare, short.symbols), (0, 249));
    }

    #[test]
    fn every_plan_keeps_the_limit() {
        for count in 0..400 {
            for fast in [false, true] {
                for limit in [1, 10, 250, 1000] {
                    let needs = Needs { fast, ..needs() };
                    for others in [0, count / 3] {
                        let plan = needs.plan(count - others, others, limit, Interval::is_made_of);
                        let of_perp = needs.base(plan.streamed.len(), !plan.bulk_ctx);
                        let of_other = needs.base(plan.streamed.len(), true);
                        let carried_others = others.min(plan.symbols);
                        let used = (plan.symbols - carried_others) * of_perp
                            + carried_others * of_other
                            + plan.spare
                            + usize::from(plan.bulk_ctx);
                        assert!(used <= limit || plan.symbols == 0, "{used} for {count} within {limit}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_folded_is_streamed() {
        let intervals = vec![Interval::H1, Interval::H4, Interval::W1];
        let plan = plan(&Needs { intervals, ..needs() }, 160, 1000);
        assert_eq!((plan.streamed, plan.folded), (vec![Interval::H1, Interval::W1], vec![Interval::H4]));
    }
}
