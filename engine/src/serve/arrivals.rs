//! How fast rows come, whether they are taken or not.

use std::time::Duration;

use super::{
    admission::nanos,
    settings::MOST_PRIORITY_LEVELS,
    sync::{AtomicU64, AtomicUsize, Ordering},
};

const LEVELS: usize = MOST_PRIORITY_LEVELS as usize;
/// Rates are taken anew after this long at least.
const WINDOW: Duration = Duration::from_millis(20);
/// Over this time rates are averaged: a window weighs as much of it as it lasted.
const AVERAGED: Duration = Duration::from_millis(160);
/// Rates are in rows in this many seconds.
const SECONDS: u64 = 1000;

/// Counts the rows of a lane as they come. All of it is atomics; a window that two threads end at once is ended by one.
#[derive(Debug)]
pub(super) struct Arrivals {
    rows: [AtomicUsize; LEVELS],
    /// When the window began.
    since: AtomicU64,
    /// Moving averages.
    rates: [AtomicU64; LEVELS],
}

impl Arrivals {
    pub(super) fn new() -> Self {
        Self {
            rows: std::array::from_fn(|_| AtomicUsize::new(0)),
            since: AtomicU64::new(0),
            rates: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// Counts `rows` rows of a level at `now`, in nanoseconds since any fixed time.
    pub(super) fn count(&self, level: usize, rows: usize, now: u64) {
        self.rows[level].fetch_add(rows, Ordering::Relaxed);
        let since = self.since.load(Ordering::Relaxed);
        let window = now.saturating_sub(since);
        if window < nanos(WINDOW)
            || self.since.compare_exchange(since, now, Ordering::Relaxed, Ordering::Relaxed).is_err()
        {
            return;
        }
        for (rows, rate) in self.rows.iter().zip(&self.rates) {
            let came = rows.swap(0, Ordering::Relaxed) as u64;
            let newest = came.saturating_mul(SECONDS * 1_000_000_000) / window;
            let average = rate.load(Ordering::Relaxed);
            let (over, lasted) = (u128::from(nanos(AVERAGED)), u128::from(window.min(nanos(AVERAGED))));
            let sum = u128::from(average) * (over - lasted) + u128::from(newest) * lasted;
            rate.store(u64::try_from(sum / over).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// Time between two rows of the most urgent level that any came for, in nanoseconds; the largest number while none did.
    pub(super) fn gap(&self) -> u64 {
        // A rate below one row in a second is what averaging leaves of an earlier one.
        let rate = self.rates.iter().map(|rate| rate.load(Ordering::Relaxed)).find(|rate| *rate >= SECONDS);
        rate.map_or(u64::MAX, |rate| SECONDS * 1_000_000_000 / rate)
    }
}
