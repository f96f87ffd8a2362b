//! One message through both roads and the oracle.

use crate::oracle::{self, Shelf};
use crate::tree::Tree;
use codec::venues::{binance, hyperliquid};

/// A decoder of each kind, and one more of each for the general road.
pub struct Bench {
    pub binance: binance::Decoder,
    binance_general: binance::Decoder,
    pub hyperliquid: hyperliquid::Decoder,
    hyperliquid_general: hyperliquid::Decoder,
    /// Messages all agreed to accept.
    pub accepted: usize,
    /// Messages all agreed to refuse.
    pub refused: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Venue {
    Binance,
    Hyperliquid,
}

impl Bench {
    pub fn new() -> Self {
        Self {
            binance: binance::Decoder::new(),
            binance_general: binance::Decoder::new(),
            hyperliquid: hyperliquid::Decoder::new(),
            hyperliquid_general: hyperliquid::Decoder::new(),
            accepted: 0,
            refused: 0,
        }
    }

    /// Both roads answer the same, and what the oracle answers. Refusing what the oracle accepts is
    /// allowed for one reason only: a number beyond what the general parser reads.
    pub fn check(&mut self, venue: Venue, bytes: &[u8]) {
        let text = || String::from_utf8_lossy(bytes).into_owned();
        let tree = Tree::parse(bytes);
        let mut shelf = Shelf::default();
        // The same comparison for both venues; their message types differ.
        macro_rules! compare {
            ($decoder:expr, $general:expr, $expected:expr) => {{
                let decoded = $decoder.decode(bytes);
                let general = $general.decode_general(bytes);
                assert_eq!(decoded, general, "scanner and general parser differ on {}", text());
                match ($expected, decoded) {
                    (Ok(expected), Ok(message)) => {
                        assert_eq!(message, expected, "another value than the oracle's on {}", text());
                        self.accepted += 1;
                    }
                    (Err(why), Ok(message)) => {
                        panic!("accepted what the oracle refuses ({why:?}): {message:?} from {}", text());
                    }
                    (Ok(expected), Err(error)) => {
                        let wild = tree.as_ref().is_some_and(|tree| !tree.is_tame());
                        assert!(wild, "refused ({error}) what is {expected:?}: {}", text());
                        self.refused += 1;
                    }
                    (Err(_), Err(_)) => self.refused += 1,
                }
            }};
        }
        match venue {
            Venue::Binance => {
                let expected = match &tree {
                    Some(tree) => oracle::binance(tree, &mut shelf),
                    None => Err(oracle::Refused("no JSON")),
                };
                compare!(self.binance, self.binance_general, expected);
            }
            Venue::Hyperliquid => {
                let expected = match &tree {
                    _ if oracle::is_text(bytes) => Ok(hyperliquid::Message::Text),
                    Some(tree) => oracle::hyperliquid(tree, &mut shelf),
                    None => Err(oracle::Refused("no JSON")),
                };
                compare!(self.hyperliquid, self.hyperliquid_general, expected);
            }
        }
    }
}
