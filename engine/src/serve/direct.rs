//! The way past the executor: a small model on the CPU, run by the thread that the request came on.
//!
//! To hand a row to another thread and back costs two wake-ups, some ten microseconds on a busy machine; a small net costs
//! one. So a model that can ([`contract::Direct`]), placed on the CPU, is run where it stands as long as a request is
//! predicted to take no longer than [`LONGEST`]: a web thread is never held up for more than that, and what is longer goes
//! to the executor, which batches it. The prediction is a moving average of the time a row took here. A model that turned out
//! to be too slow is tried again every [`RETRY`], since a busy machine makes any model slow.

use std::{
    cell::RefCell,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use contract::{AlignedBuffer, Device, DeviceKind, Model, RowBlock, RunError};

use super::{batcher::Computed, executor::guarded};
use crate::monitor::{ComputeTimes, VersionMonitor};

/// Longest run on a request's own thread.
const LONGEST: Duration = Duration::from_micros(50);
/// Most rows that are run before it is known what one takes.
const MOST_UNKNOWN_ROWS: usize = 4;
/// When a model that is slower than that is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// Weight of the newest run in the moving average: 1 in this many.
const AVERAGED_RUNS: u64 = 16;
/// How many times the average a run may count for.
const MOST_GROWTH: u64 = 4;

thread_local! {
    static SCRATCH: RefCell<AlignedBuffer> = const { RefCell::new(AlignedBuffer::new()) };
}

/// What is known of the runs of one deployment on its requests' own threads.
#[derive(Debug)]
pub(super) struct DirectRuns {
    began: Instant,
    /// Moving average of the time of a row, in nanoseconds; 0 before the first run.
    row_nanos: AtomicU64,
    /// When a slow model is tried again, in nanoseconds from `began`.
    retry_at: AtomicU64,
}

impl DirectRuns {
    /// For a model on `device`; none when it cannot be run by any thread.
    pub(super) fn new(model: &dyn Model, device: &Device) -> Option<Self> {
        (device.kind == DeviceKind::Cpu && model.direct().is_some()).then(|| Self {
            began: Instant::now(),
            row_nanos: AtomicU64::new(0),
            retry_at: AtomicU64::new(0),
        })
    }

    /// Whether `rows` rows should be run here and now.
    fn admits(&self, rows: usize, now: Instant) -> bool {
        let predicted = match self.row_nanos.load(Ordering::Relaxed) {
            0 if rows > MOST_UNKNOWN_ROWS => return false,
            row_nanos => row_nanos.saturating_mul(rows as u64),
        };
        if predicted <= nanos(LONGEST) {
            return true;
        }
        // More rows than fit are not tried: they say nothing that fewer would not say sooner.
        let now = nanos(now.saturating_duration_since(self.began));
        let retry_at = self.retry_at.load(Ordering::Relaxed);
        rows == 1
            && now >= retry_at
            && self
                .retry_at
                .compare_exchange(retry_at, now + nanos(RETRY), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Learns from a batch on the executor as long as nothing is known.
    pub(super) fn hint(&self, rows: usize, took: Duration) {
        if self.row_nanos.load(Ordering::Relaxed) == 0 {
            self.learn(rows, took);
        }
    }

    fn learn(&self, rows: usize, took: Duration) {
        let newest = (nanos(took) / rows.max(1) as u64).max(1);
        let average = self.row_nanos.load(Ordering::Relaxed);
        let average = match average {
            0 => newest,
            // Slow ones are tried seldom, so one fast run has to be enough.
            slow if slow > nanos(LONGEST) => newest,
            // A thread that lost its core while it ran was away for milliseconds, which says nothing of the model. A model that
            // did become slower is followed all the same, within some twenty runs.
            _ => average - average / AVERAGED_RUNS + newest.min(average.saturating_mul(MOST_GROWTH)) / AVERAGED_RUNS,
        };
        // Two threads may write at once; either average will do.
        self.row_nanos.store(average.max(1), Ordering::Relaxed);
    }

    /// Runs `rows` on this thread, unless they belong to the executor. `arrived` is now.
    pub(super) fn run(
        &self,
        model: &dyn Model,
        rows: &RowBlock,
        arrived: Instant,
        monitor: &VersionMonitor,
    ) -> Option<Result<Computed, RunError>> {
        let direct = model.direct()?;
        let count = rows.rows();
        if !self.admits(count, arrived) {
            return None;
        }
        let mut output = RowBlock::default();
        let result = SCRATCH.with_borrow_mut(|scratch| guarded(|| direct.run(rows, scratch, &mut output)));
        let ended = Instant::now();
        let compute = ended - arrived;
        self.learn(count, compute);
        Some(result.and_then(|()| {
            if output.rows() != count {
                let reason = format!("expected {count} output rows, got {}", output.rows());
                return Err(RunError::Failed { reason });
            }
            monitor.batch(count, count, Duration::ZERO, compute);
            let times = ComputeTimes { compute, batch_rows: count, ..ComputeTimes::default() };
            Ok(Computed { rows: output, times, ended: Some(ended) })
        }))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs() -> DirectRuns {
        DirectRuns { began: Instant::now(), row_nanos: AtomicU64::new(0), retry_at: AtomicU64::new(0) }
    }

    #[test]
    fn a_run_that_lost_its_core_does_not_send_the_next_ones_to_the_executor() {
        let runs = runs();
        runs.learn(1, Duration::from_micros(3));
        runs.learn(1, Duration::from_millis(4));
        assert!(runs.admits(1, Instant::now()));
    }

    #[test]
    fn a_model_that_became_slow_goes_to_the_executor() {
        let runs = runs();
        runs.learn(1, Duration::from_micros(3));
        for _ in 0..20 {
            runs.learn(1, Duration::from_micros(200));
        }
        runs.retry_at.store(u64::MAX, Ordering::Relaxed);
        assert!(!runs.admits(1, Instant::now()));
    }
}
