//! Tells the monitor how each request ended, also when its caller went away.

use std::{sync::Arc, time::Instant};

use super::request::{CacheStatus, Prediction, Timing};
use crate::{
    Error, Result,
    monitor::{Answered, CacheOutcome, FailureReason, VersionMonitor},
};

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
    pub(super) fn ended(mut self, result: Result<Prediction>) -> Result<Prediction> {
        let Some(monitor) = self.monitor.take() else { return result };
        match result {
            Ok(mut prediction) => {
                let &Timing { decode, cache: cache_time, computed, total, explain: _, ended, monitor: _ } =
                    &prediction.timing;
                let ended = ended.unwrap_or(self.started);
                let cache = match prediction.cache {
                    CacheStatus::Hit { age: _ } => CacheOutcome::Hit,
                    CacheStatus::Miss => CacheOutcome::Miss,
                    CacheStatus::Off => CacheOutcome::Off,
                };
                let rows = prediction.rows;
                monitor.answered(&Answered { rows, decode, cache, cache_time, computed, total, ended });
                prediction.timing.monitor = Some(monitor);
                Ok(prediction)
            }
            Err(error) => {
                monitor.failed(reason(&error), self.started.elapsed());
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
        | Error::NotReady { model: _, version: _, state: _ }
        | Error::NotCached
        | Error::ShuttingDown => FailureReason::Rejected,
        Error::Overloaded { queued: _, limit: _, retry_after: _ } => FailureReason::QueueFull,
        Error::TooLate { busy: _, left: _, retry_after: _ } => FailureReason::TooLate,
        Error::DeadlineExceeded { after: _ } | Error::DeadlineUnreachable { within: _ } => FailureReason::Deadline,
        Error::Run(_) => FailureReason::Backend,
        // Not among the ends of a request that found its version.
        _ => FailureReason::Other,
    }
}
