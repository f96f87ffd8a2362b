//! How long things take on their way, and what is lost there: nothing by chance but what one seed draws.

use engine::session::backoff::Random;

/// A time drawn evenly from a range, ms.
pub type Span = (u64, u64);

/// The network's and the machine's manners.
#[derive(Clone, Debug)]
pub struct Weather {
    /// From a message of the venue to our socket.
    pub message_ms: Span,
    /// A connection being made.
    pub connect_ms: Span,
    /// A request being answered.
    pub rest_ms: Span,
    /// Of a thousand frames so many arrive in pieces.
    pub split_per_mille: u64,
    /// Of a thousand requests so many are never answered.
    pub lost_rest_per_mille: u64,
    random: Random,
}

impl Weather {
    /// Everything takes as long as it always does, and arrives whole.
    pub fn steady() -> Self {
        Self {
            message_ms: (0, 0),
            connect_ms: (120, 120),
            rest_ms: (120, 120),
            split_per_mille: 0,
            lost_rest_per_mille: 0,
            random: Random::new(1),
        }
    }

    /// As steady, its dice from a seed.
    pub fn seeded(seed: u64) -> Self {
        Self { random: Random::new(seed), ..Self::steady() }
    }

    pub fn draw(&mut self, (least, most): Span) -> u64 {
        if most <= least { least } else { least + self.random.below(most - least + 1) }
    }

    pub fn strikes(&mut self, per_mille: u64) -> bool {
        per_mille > 0 && self.random.below(1000) < per_mille
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.random.below(bound)
    }
}
