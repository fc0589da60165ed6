//! The part of a request's time that admission does not plan with.
//!
//! It is for what a forecast cannot know: how far a batch strays from its estimate, what else the machine does, the way back
//! to the client. How much that is differs from machine to machine, so it follows what was seen (a quantile by stochastic
//! approximation, as in adaptive conformal inference: Gibbs and Candès 2021): a batch with an answer that came too late makes
//! it larger by a step, one in time smaller by so much less that both are in balance when the part [`MISSED`] is late.
//! Batches are counted and not requests: a machine that stops for some milliseconds, as virtual ones do, is one event however
//! many wait for it.

use std::time::Duration;

/// Part of the batches that are too late in balance.
const MISSED: f64 = 0.005;
/// An answer is too late when less than this part of its time was left for the way back.
const WAY_BACK: f64 = 0.1;
/// What a batch that was too late adds.
const STEP: f64 = 1.0 / 64.0;
/// Bounds of the reserve.
const LEAST: f64 = 1.0 / 8.0;
const MOST: f64 = 1.0 / 3.0;

/// The part of a request's time that is not planned with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reserve(f64);

impl Default for Reserve {
    fn default() -> Self {
        Self(LEAST)
    }
}

impl Reserve {
    /// Whether an answer after `latency` is too late for a request that had `patience` in all.
    pub(super) fn is_late(latency: Duration, patience: Duration) -> bool {
        latency.as_secs_f64() > patience.as_secs_f64() * (1.0 - WAY_BACK)
    }

    /// Counts a batch by whether all its answers were in time.
    pub(super) fn count(&mut self, kept: bool) {
        let moved = if kept { -STEP * MISSED } else { STEP };
        self.0 = (self.0 + moved).clamp(LEAST, MOST);
    }

    pub(super) fn part(self) -> f64 {
        self.0
    }
}
