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
