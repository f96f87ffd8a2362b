//! Accounts and their fills, as `userFills` tells them.

use super::history::Trade;

/// A fill to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFill {
    /// The account's address (`0x` and forty digits).
    pub user: String,
    /// Whether the account bought.
    pub bought: bool,
    /// Whether the account took, rather than made.
    pub taker: bool,
    /// The price; none: the best there is.
    pub price_e8: Option<i64>,
    /// The size.
    pub size_e8: i64,
}

/// A fill that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fill {
    /// The symbol.
    pub symbol: String,
    /// When.
    pub time_ms: i64,
    /// The price.
    pub price_e8: i64,
    /// The size.
    pub size_e8: i64,
    /// Whether the account bought.
    pub bought: bool,
    /// Whether the account took.
    pub taker: bool,
    /// The account's position in this symbol before it.
    pub start_position_e8: i64,
    /// What it made or lost of what was open, without the fee.
    pub closed_pnl_e8: i64,
    /// The fee, in the quote currency.
    pub fee_e8: i64,
    /// The account's order.
    pub order_id: u64,
    /// The id of the trade.
    pub trade_id: u64,
    /// What the transaction's hash is made of; trades of one taker order share it.
    pub transaction: u64,
}

/// An account.
#[derive(Clone, Debug, Default)]
struct Account {
    user: String,
    fills: Vec<Fill>,
    /// Position and average price, by symbol.
    positions: Vec<(String, i64, i64)>,
}

/// All accounts.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    accounts: Vec<Account>,
}

/// Fees of a taker and a maker, in hundred-thousandths of the value.
const TAKER_FEE: i128 = 45;
const MAKER_FEE: i128 = 15;
const FEE_SCALE: i128 = 100_000;
/// Order ids are of the size seen in 2026.
const ORDER_ID_BITS: u32 = 27;

/// Addresses are compared without regard to case.
fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

fn value_e8(price_e8: i64, size_e8: i64) -> i128 {
    i128::from(price_e8) * i128::from(size_e8) / i128::from(crate::decimal::SCALE_E8)
}

impl Accounts {
    /// The fills of an account, oldest first; none of one that never traded.
    pub fn fills(&self, user: &str) -> &[Fill] {
        self.accounts.iter().find(|account| same(&account.user, user)).map_or(&[], |account| &account.fills)
    }

    /// The address of an account.
    pub fn user(&self, account: usize) -> &str {
        &self.accounts[account].user
    }

    /// One fill of an account.
    pub fn fill(&self, account: usize, fill: usize) -> &Fill {
        &self.accounts[account].fills[fill]
    }

    /// Writes a fill down; returns the indexes of the account and of its fill.
    pub fn filled(&mut self, symbol: &str, new: &NewFill, trade: &Trade) -> (usize, usize) {
        let known = self.accounts.iter().position(|account| same(&account.user, &new.user));
        let at = known.unwrap_or_else(|| {
            self.accounts.push(Account { user: new.user.clone(), ..Account::default() });
            self.accounts.len() - 1
        });
        let account = &mut self.accounts[at];
        let position = account.positions.iter().position(|(of, ..)| of == symbol).unwrap_or_else(|| {
            account.positions.push((symbol.to_owned(), 0, 0));
            account.positions.len() - 1
        });
        let (_, held_e8, average_e8) = &mut account.positions[position];
        let signed_e8 = if new.bought { trade.size_e8 } else { -trade.size_e8 };
        let start_position_e8 = *held_e8;
        let closing = held_e8.signum() == -signed_e8.signum();
        let closed_e8 = if closing { held_e8.abs().min(trade.size_e8) } else { 0 };
        let gained_e8 = (trade.price_e8 - *average_e8) * held_e8.signum();
        let closed_pnl_e8 = value_e8(gained_e8, closed_e8) as i64;
        let after_e8 = *held_e8 + signed_e8;
        if closing && after_e8.signum() == held_e8.signum() {
            // What is left keeps its price.
        } else if closing || *held_e8 == 0 {
            *average_e8 = trade.price_e8;
        } else {
            let value = i128::from(*held_e8) * i128::from(*average_e8)
                + i128::from(signed_e8) * i128::from(trade.price_e8);
            *average_e8 = (value / i128::from(after_e8)) as i64;
        }
        *held_e8 = after_e8;
        let rate = if new.taker { TAKER_FEE } else { MAKER_FEE };
        account.fills.push(Fill {
            symbol: symbol.to_owned(),
            time_ms: trade.time_ms,
            price_e8: trade.price_e8,
            size_e8: trade.size_e8,
            bought: new.bought,
            taker: new.taker,
            start_position_e8,
            closed_pnl_e8,
            fee_e8: (value_e8(trade.price_e8, trade.size_e8) * rate / FEE_SCALE) as i64,
            order_id: 300_000_000_000 + (trade.order_id >> (u64::BITS - ORDER_ID_BITS)),
            trade_id: trade.id,
            transaction: trade.order_id,
        });
        (at, account.fills.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::Aggressor;

    #[test]
    fn positions_and_profits_follow_the_fills() {
        let scale = crate::decimal::SCALE_E8;
        let mut accounts = Accounts::default();
        let mut fill = |bought, price: i64, size: i64| {
            let new = NewFill {
                user: "0xAb".to_owned(),
                bought,
                taker: true,
                price_e8: None,
                size_e8: size * scale,
            };
            let trade = Trade {
                id: 1,
                first_trade_id: 1,
                last_trade_id: 1,
                placeholders: 0,
                order_id: 1 << 60,
                update_id: 1,
                time_ms: 1,
                price_e8: price * scale,
                size_e8: size * scale,
                visible_size_e8: size * scale,
                aggressor: Aggressor::Buy,
            };
            accounts.filled("X", &new, &trade);
        };
        fill(true, 100, 2);
        fill(true, 200, 2);
        fill(false, 250, 3);
        fill(false, 100, 3);
        let fills = accounts.fills("0xaB");
        let told: Vec<(i64, i64)> =
            fills.iter().map(|fill| (fill.start_position_e8 / scale, fill.closed_pnl_e8 / scale)).collect();
        assert_eq!(told, [(0, 0), (2, 0), (4, 300), (1, -50)]);
        assert_eq!(fills[0].fee_e8, 200 * scale * 45 / 100_000);
    }
}
