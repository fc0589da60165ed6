//! The part of a request's time that admission does not plan with.
//!
//! It is for what a forecast cannot know: how far a batch strays from its estimate, what else the machine does, the way back
//! to the client. How much that is differs from machine to machine and from load to load, so it follows what was seen: a batch
//! with an answer that came too late makes it larger by a step, and every one in time takes a part of what it grew by away.
//! So the reserve is in balance with the share of late batches, and a burst of them is forgotten within some hundred batches.
//! Batches are counted and not requests: a machine that stops for some milliseconds, as virtual ones do, is one event however
//! many wait for it. Requests given up in the queue count as one late batch each time. Only the most urgent level is looked at:
//! what comes before the others cannot be foreseen altogether. One client that sets times which are never kept makes the reserve
//! grow for its lane, up to [`MOST`].

use std::time::Duration;

/// An answer is too late when less than this part of its time was left for the way back.
const WAY_BACK: f64 = 0.1;
/// What a batch that was too late adds.
const STEP: f64 = 1.0 / 32.0;
/// Batches in which about two thirds of what was added are forgotten.
const FORGETS: f64 = 400.0;
/// Bounds of the reserve.
const LEAST: f64 = 1.0 / 8.0;
const MOST: f64 = 0.4;

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
        self.0 = if kept { self.0 - (self.0 - LEAST) / FORGETS } else { (self.0 + STEP).min(MOST) };
    }

    pub(super) fn part(self) -> f64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_with_late_batches_and_forgets_them() {
        let mut reserve = Reserve::default();
        assert!((reserve.part() - LEAST).abs() < f64::EPSILON);
        (0..100).for_each(|_| reserve.count(false));
        assert!((reserve.part() - MOST).abs() < f64::EPSILON, "{reserve:?}");
        (0..3000).for_each(|_| reserve.count(true));
        assert!(reserve.part() < LEAST + 0.001, "{reserve:?}");
        // One late batch in a hundred.
        (0..10_000).for_each(|batch| reserve.count(batch % 100 != 0));
        let grown = reserve.part() - LEAST;
        assert!((0.08..0.16).contains(&grown), "{reserve:?}");
    }

    #[test]
    fn what_leaves_no_time_for_the_way_back_is_late() {
        let patience = Duration::from_millis(20);
        assert!(!Reserve::is_late(Duration::from_millis(17), patience));
        assert!(Reserve::is_late(Duration::from_millis(19), patience));
    }
}
