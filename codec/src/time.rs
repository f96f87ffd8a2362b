//! Time as a value: logic is told what time it is and never asks a clock.

/// One reading of the two clocks, taken together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Monotonic time since an arbitrary origin, ns: for every deadline.
    pub mono_ns: u64,
    /// Real time since the epoch, ns, anchored to the monotonic clock and never backwards in a run: for
    /// every time stamp.
    pub wall_ns: u64,
}

/// Nanoseconds of so many milliseconds. A time or delay from outside may be any number: beyond the range it is
/// the last one there is, five centuries hence.
#[must_use]
pub const fn ns_of_ms(ms: u64) -> u64 {
    ms.saturating_mul(1_000_000)
}

impl Now {
    /// The monotonic time so many milliseconds from now.
    #[must_use]
    pub const fn after_ms(self, ms: u64) -> u64 {
        self.mono_ns.saturating_add(ns_of_ms(ms))
    }
}
