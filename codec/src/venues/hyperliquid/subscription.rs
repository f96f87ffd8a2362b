//! Subscriptions as Hyperliquid names them in acknowledgements and in error texts.

/// What a subscription asks for. Absent or null members are empty or false.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subscription<'a> {
    /// `type`, such as `l2Book`.
    pub kind: &'a str,
    /// Coin.
    pub coin: &'a str,
    /// Interval of candles.
    pub interval: &'a str,
    /// The quick feed of `l2Book`.
    pub fast: bool,
    /// Address of a user channel.
    pub user: &'a str,
    /// Builder's exchange.
    pub dex: &'a str,
}

/// The subscription a text on channel `error` speaks of, and whether it stands already (`Already
/// subscribed: {…}`, harmless) or was refused (`Error parsing JSON into valid websocket request: {…}`).
/// `None` for every other text, `Already unsubscribed: {…}` among them.
///
/// The venue repeats subscriptions in compact JSON without escapes; anything else is not recognised.
#[must_use]
pub fn parse_subscription(text: &[u8]) -> Option<(bool, Subscription<'_>)> {
    let text = core::str::from_utf8(text).ok()?;
    if let Some(json) = text.strip_prefix("Already subscribed: ") {
        return Some((true, subscription(json)?));
    }
    let json = text.strip_prefix("Error parsing JSON into valid websocket request: ")?;
    let (_, json) = json.split_once("\"subscription\":")?;
    Some((false, subscription(json)?))
}

/// Reads a flat object; members of other names may hold anything flat.
fn subscription(json: &str) -> Option<Subscription<'_>> {
    let mut found = Subscription::default();
    let mut rest = json.trim_start().strip_prefix('{')?;
    loop {
        let (key, after) = quoted(rest)?;
        let after = after.trim_start().strip_prefix(':')?.trim_start();
        let text;
        (text, rest) = match quoted(after) {
            Some(read) => read,
            None => {
                let (bare, after) = after.split_at(after.find([',', '}'])?);
                match (key, bare.trim_end()) {
                    ("fast", "true") => found.fast = true,
                    ("type", _) => return None,
                    _ => {}
                }
                ("", after)
            }
        };
        match key {
            "type" => found.kind = text,
            "coin" => found.coin = text,
            "interval" => found.interval = text,
            "user" => found.user = text,
            "dex" => found.dex = text,
            _ => {}
        }
        rest = rest.trim_start();
        if rest.starts_with('}') {
            return (!found.kind.is_empty()).then_some(found);
        }
        rest = rest.strip_prefix(',')?.trim_start();
    }
}

/// A string without escapes, and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let (content, rest) = text.strip_prefix('"')?.split_once('"')?;
    (!content.contains('\\')).then_some((content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_texts_name_their_subscription() {
        let book = Subscription { kind: "l2Book", coin: "SOL", ..Subscription::default() };
        let text = r#"Already subscribed: {"type":"l2Book","coin":"SOL","nSigFigs":null,"mantissa":null,"fast":false}"#;
        assert_eq!(parse_subscription(text.as_bytes()), Some((true, book)));
        let text = r#"Already subscribed: {"fast": true, "coin": "SOL", "type": "l2Book"}"#;
        assert_eq!(parse_subscription(text.as_bytes()), Some((true, Subscription { fast: true, ..book })));
        let text = r#"Error parsing JSON into valid websocket request: {"method":"subscribe","subscription":{"type":"candle","coin":"xyz:NVDA","interval":"1x"}}"#;
        let candle =
            Subscription { kind: "candle", coin: "xyz:NVDA", interval: "1x", ..Subscription::default() };
        assert_eq!(parse_subscription(text.as_bytes()), Some((false, candle)));
    }

    #[test]
    fn other_texts_name_none() {
        for text in [
            "",
            "Already subscribed: ",
            "Already subscribed: {}",
            r#"Already subscribed: {"type":"l2Book""#,
            r#"Already subscribed: {"type":"l2\"Book"}"#,
            r#"Already subscribed: {"type":null}"#,
            r#"Already subscribed: {"coin":"BTC"}"#,
            r#"Already unsubscribed: {"type":"l2Book","coin":"BTC"}"#,
            "Cannot subscribe to more than 1000 channels.",
            "too many pending post requests id=1234",
        ] {
            assert_eq!(parse_subscription(text.as_bytes()), None, "{text}");
        }
    }
}
