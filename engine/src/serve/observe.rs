//! Tells the monitor how each request ended, also when its caller went away.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::request::{CacheStatus, Prediction};
use crate::{
    Error, Result,
    monitor::{Answered, CacheOutcome, ComputeTimes, FailureReason, VersionMonitor},
};

/// What became of an answered request's time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times {
    /// Looking for the answer in the cache, waiting for an equal request in flight, and keeping the answer.
    pub(super) cache: Duration,
    /// Set when it was computed for this request.
    pub(super) computed: Option<ComputeTimes>,
}

/// A request under way. Dropped before it ended, it counts as canceled.
pub(super) struct RequestObserver {
    monitor: Option<Arc<VersionMonitor>>,
    started: Instant,
}

impl RequestObserver {
    pub(super) fn new(monitor: &Arc<VersionMonitor>, started: Instant) -> Self {
        Self { monitor: Some(Arc::clone(monitor)), started }
    }

    /// Records how the request ended.
    pub(super) fn ended(mut self, result: Result<(Prediction, Times)>) -> Result<Prediction> {
        let ended = Instant::now();
        let total = ended - self.started;
        let Some(monitor) = self.monitor.take() else { return result.map(|(prediction, _times)| prediction) };
        match result {
            Ok((prediction, Times { cache: cache_time, computed })) => {
                let cache = match prediction.cache {
                    CacheStatus::Hit { age: _ } => CacheOutcome::Hit,
                    CacheStatus::Miss => CacheOutcome::Miss,
                    CacheStatus::Off => CacheOutcome::Off,
                };
                monitor.answered(&Answered { rows: prediction.rows, cache, cache_time, computed, total, ended });
                Ok(prediction)
            }
            Err(error) => {
                monitor.failed(reason(&error), total);
                Err(error)
            }
        }
    }
}

impl Drop for RequestObserver {
    fn drop(&mut self) {
        if let Some(monitor) = self.monitor.take() {
            monitor.failed(FailureReason::Canceled, self.started.elapsed());
        }
    }
}

fn reason(error: &Error) -> FailureReason {
    match error {
        Error::Input(_)
        | Error::BadRequest(_)
        | Error::Overloaded { queued: _, limit: _, retry_after: _ }
        | Error::TooLate { busy: _, left: _, retry_after: _ }
        | Error::NotReady { model: _, version: _, state: _ }
        | Error::NotCached
        | Error::ShuttingDown => FailureReason::Rejected,
        Error::DeadlineExceeded { after: _ } => FailureReason::Canceled,
        Error::Run(_) => FailureReason::Backend,
        // Not among the ends of a request that found its version.
        _ => FailureReason::Other,
    }
}
