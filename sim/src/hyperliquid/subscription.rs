//! What a Hyperliquid client may subscribe to: reading it, judging it, and giving it back with defaults filled in.

use super::candles;
use crate::market::Interval;
use serde_json::Value;

/// A book's precision: significant figures and mantissa.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Precision {
    /// 2 to 5; none: every level.
    pub significant_figures: Option<u64>,
    /// 2 or 5, only with five figures.
    pub mantissa: Option<u64>,
}

impl Precision {
    /// Whether the venue accepts it.
    pub fn is_valid(self) -> bool {
        let figures = self.significant_figures.is_none_or(|figures| (2..=5).contains(&figures));
        let mantissa = self
            .mantissa
            .is_none_or(|mantissa| self.significant_figures == Some(5) && matches!(mantissa, 2 | 5));
        figures && mantissa
    }
}

/// A subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subscription {
    /// The book.
    Book {
        /// The coin.
        coin: String,
        /// Its precision.
        precision: Precision,
        /// Five levels twice a second instead of twenty every five seconds.
        fast: bool,
    },
    /// The best bid and ask.
    Bbo(String),
    /// Trades.
    Trades(String),
    /// Candles of an interval.
    Candle(String, Interval),
    /// All mid prices of a dex; with those of spot for the venue's own, which has no name.
    AllMids(String),
    /// Funding, open interest, marks.
    AssetContext(String),
    /// The same of every coin of every dex, by position.
    AllDexesContexts,
    /// The fills of an account.
    UserFills {
        /// Its address.
        user: String,
        /// Whether fills of one order are told as one.
        aggregate: bool,
    },
    /// What happens to an account.
    UserEvents(String),
}

/// Why a subscription is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Answered as an error; the connection lives.
    Unreadable,
    /// Not answered; the connection dies.
    Fatal,
}

/// Whether a text is an address of an account: `0x` and forty digits.
pub fn is_address(text: &str) -> bool {
    const DIGITS: usize = 40;
    text.strip_prefix("0x")
        .is_some_and(|digits| digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// An optional whole number; an error if it is something else.
fn optional_number(object: &Value, name: &str) -> Result<Option<u64>, Refusal> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_u64().map(Some).ok_or(Refusal::Unreadable),
    }
}

/// Reads a precision from a subscription or a REST request.
pub fn precision(object: &Value) -> Result<Precision, Refusal> {
    Ok(Precision {
        significant_figures: optional_number(object, "nSigFigs")?,
        mantissa: optional_number(object, "mantissa")?,
    })
}

impl Subscription {
    /// Reads a subscription object; told which coins and dexes exist.
    pub fn parse(
        object: &Value,
        knows: impl Fn(&str) -> bool,
        knows_dex: impl Fn(&str) -> bool,
    ) -> Result<Self, Refusal> {
        let text = |name: &str| object.get(name).and_then(Value::as_str).ok_or(Refusal::Unreadable);
        let coin = || {
            let coin = text("coin")?;
            if knows(coin) { Ok(coin.to_owned()) } else { Err(Refusal::Fatal) }
        };
        let address = || {
            let user = text("user")?;
            if is_address(user) { Ok(user.to_ascii_lowercase()) } else { Err(Refusal::Unreadable) }
        };
        Ok(match text("type")? {
            "l2Book" => {
                let precision = precision(object)?;
                let fast = match object.get("fast") {
                    None | Some(Value::Null) => false,
                    Some(value) => value.as_bool().ok_or(Refusal::Unreadable)?,
                };
                let coin = coin()?;
                if !precision.is_valid() {
                    return Err(Refusal::Fatal);
                }
                Self::Book { coin, precision, fast }
            }
            "bbo" => Self::Bbo(coin()?),
            "trades" => Self::Trades(coin()?),
            "activeAssetCtx" => Self::AssetContext(coin()?),
            "candle" => {
                let interval =
                    Interval::from_name(text("interval")?).filter(|interval| candles::has(*interval));
                let interval = interval.ok_or(Refusal::Unreadable)?;
                Self::Candle(coin()?, interval)
            }
            "allDexsAssetCtxs" => Self::AllDexesContexts,
            "userFills" => Self::UserFills {
                user: address()?,
                aggregate: object.get("aggregateByTime").and_then(Value::as_bool).unwrap_or(false),
            },
            "userEvents" => Self::UserEvents(address()?),
            "allMids" => match object.get("dex") {
                None | Some(Value::Null) => Self::AllMids(String::new()),
                Some(Value::String(dex)) if knows_dex(dex) => Self::AllMids(dex.clone()),
                Some(Value::String(_)) => return Err(Refusal::Fatal),
                Some(_) => return Err(Refusal::Unreadable),
            },
            _ => return Err(Refusal::Unreadable),
        })
    }

    /// The subscription as the venue gives it back.
    pub fn normalised(&self) -> String {
        let number = |value: &Option<u64>| value.map_or("null".to_owned(), |value| value.to_string());
        match self {
            Self::Book { coin, precision, fast } => format!(
                r#"{{"type":"l2Book","coin":"{coin}","nSigFigs":{},"mantissa":{},"fast":{fast}}}"#,
                number(&precision.significant_figures),
                number(&precision.mantissa)
            ),
            Self::Bbo(coin) => format!(r#"{{"type":"bbo","coin":"{coin}"}}"#),
            Self::Trades(coin) => format!(r#"{{"type":"trades","coin":"{coin}"}}"#),
            Self::AssetContext(coin) => format!(r#"{{"type":"activeAssetCtx","coin":"{coin}"}}"#),
            Self::Candle(coin, interval) => {
                format!(r#"{{"type":"candle","coin":"{coin}","interval":"{}"}}"#, interval.name())
            }
            Self::AllDexesContexts => r#"{"type":"allDexsAssetCtxs"}"#.to_owned(),
            Self::UserFills { user, aggregate } => {
                format!(r#"{{"type":"userFills","user":"{user}","aggregateByTime":{aggregate}}}"#)
            }
            Self::UserEvents(user) => format!(r#"{{"type":"userEvents","user":"{user}"}}"#),
            Self::AllMids(dex) if dex.is_empty() => r#"{"type":"allMids","dex":null}"#.to_owned(),
            Self::AllMids(dex) => format!(r#"{{"type":"allMids","dex":"{dex}"}}"#),
        }
    }

    /// The account it is about, if it is about one.
    pub fn user(&self) -> Option<&str> {
        match self {
            Self::UserFills { user, .. } | Self::UserEvents(user) => Some(user),
            _ => None,
        }
    }

    /// The coin it is about; empty for all.
    pub fn coin(&self) -> &str {
        match self {
            Self::Book { coin, .. }
            | Self::Bbo(coin)
            | Self::Trades(coin)
            | Self::Candle(coin, _)
            | Self::AssetContext(coin) => coin,
            Self::AllMids(_) | Self::AllDexesContexts | Self::UserFills { .. } | Self::UserEvents(_) => "",
        }
    }

    /// The name of its stream in counters, faults and playbacks.
    pub fn name(&self) -> String {
        match self {
            Self::Book { coin, precision, fast } => {
                let mut name = format!("{}:{coin}", if *fast { "l2BookFast" } else { "l2Book" });
                for part in [precision.significant_figures, precision.mantissa].into_iter().flatten() {
                    name.push_str(&format!(":{part}"));
                }
                name
            }
            Self::Bbo(coin) => format!("bbo:{coin}"),
            Self::Trades(coin) => format!("trades:{coin}"),
            Self::AssetContext(coin) => format!("activeAssetCtx:{coin}"),
            Self::Candle(coin, interval) => format!("candle:{coin}:{}", interval.name()),
            Self::AllDexesContexts => "allDexsAssetCtxs".to_owned(),
            Self::UserFills { user, .. } => format!("userFills:{user}"),
            Self::UserEvents(user) => format!("userEvents:{user}"),
            Self::AllMids(dex) if dex.is_empty() => "allMids".to_owned(),
            Self::AllMids(dex) => format!("allMids:{dex}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Subscription, Refusal> {
        let object: Value = serde_json::from_str(text).map_err(|_| Refusal::Unreadable)?;
        Subscription::parse(&object, |coin| coin == "BTC", |dex| dex.is_empty())
    }

    #[test]
    fn defaults_are_filled_in() {
        let book = parse(r#"{"type":"l2Book","coin":"BTC","nLevels":100}"#).map(|book| book.normalised());
        assert_eq!(
            book.as_deref(),
            Ok(r#"{"type":"l2Book","coin":"BTC","nSigFigs":null,"mantissa":null,"fast":false}"#)
        );
        let name = |text| parse(text).map(|subscription| subscription.name());
        assert_eq!(name(r#"{"type":"l2Book","coin":"BTC","fast":true}"#).as_deref(), Ok("l2BookFast:BTC"));
        assert_eq!(
            name(r#"{"type":"l2Book","coin":"BTC","nSigFigs":5,"mantissa":2}"#).as_deref(),
            Ok("l2Book:BTC:5:2")
        );
    }

    #[test]
    fn some_mistakes_are_answered_and_some_are_fatal() {
        for fatal in [
            r#"{"type":"l2Book","coin":"btc"}"#,
            r#"{"type":"trades","coin":"NOPE"}"#,
            r#"{"type":"l2Book","coin":"BTC","nSigFigs":6}"#,
            r#"{"type":"l2Book","coin":"BTC","mantissa":2}"#,
            r#"{"type":"l2Book","coin":"BTC","nSigFigs":5,"mantissa":3}"#,
        ] {
            assert_eq!(parse(fatal), Err(Refusal::Fatal), "{fatal}");
        }
        for unreadable in [
            r#"{"type":"bbo","coin":["BTC","ETH"]}"#,
            r#"{"type":"nothing","coin":"BTC"}"#,
            r#"{"type":"candle","coin":"BTC","interval":"6h"}"#,
            r#"{"coin":"BTC"}"#,
            r#"7"#,
        ] {
            assert_eq!(parse(unreadable), Err(Refusal::Unreadable), "{unreadable}");
        }
    }
}
