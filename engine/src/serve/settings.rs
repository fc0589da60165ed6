//! How the serving engine batches, bounds and caches.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How the serving engine batches, bounds and caches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServingSettings {
    /// Most rows of one batch; a larger request is split over batches and joined again. A model's own largest bucket may
    /// bound its batches further.
    pub max_batch_rows: usize,
    /// How long an idle device waits for a batch to fill. Zero, the default, never lets a device idle while rows wait:
    /// batches then form from what arrives while the previous ones compute, and a lone request pays nothing.
    pub max_queue_delay: Duration,
    /// Most rows waiting for one device; what comes beyond is refused at once.
    pub max_queue_rows: usize,
    /// Longest time of a request; a request may ask for less.
    pub request_timeout: Duration,
    /// Memory of the prediction cache in bytes; 0 turns it off.
    pub cache_bytes: u64,
    /// Longest age of a cached answer; zero turns the cache off.
    pub cache_ttl: Duration,
}

impl Default for ServingSettings {
    fn default() -> Self {
        Self {
            max_batch_rows: 512,
            max_queue_delay: Duration::ZERO,
            max_queue_rows: 65_536,
            request_timeout: Duration::from_secs(30),
            cache_bytes: 64 << 20,
            cache_ttl: Duration::from_mins(1),
        }
    }
}

impl ServingSettings {
    /// Checks what cannot work.
    ///
    /// # Errors
    /// [`Error::BadRequest`] naming the setting.
    pub fn validate(&self) -> Result<()> {
        let bad = |text: String| Err(Error::BadRequest(text));
        if self.max_batch_rows == 0 {
            return bad("expected max_batch_rows of at least 1, got 0".to_owned());
        }
        if self.max_queue_rows < self.max_batch_rows {
            let (queue, batch) = (self.max_queue_rows, self.max_batch_rows);
            return bad(format!("expected max_queue_rows of at least max_batch_rows ({batch}), got {queue}"));
        }
        if self.request_timeout.is_zero() {
            return bad("expected a request_timeout above zero, got zero".to_owned());
        }
        Ok(())
    }
}

/// How one model is served. What is absent is as in the [`ServingSettings`] of the process. Times are in microseconds, so that
/// the JSON form has whole numbers only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelServing {
    /// Most rows of one batch; buckets beyond it are not used.
    pub max_batch_rows: Option<usize>,
    /// Longest time that an idle device waits for a batch to fill.
    pub max_queue_delay_us: Option<u64>,
    /// Most rows of this model that wait for one device.
    pub max_queue_rows: Option<usize>,
    /// Longest time of a request.
    pub request_timeout_us: Option<u64>,
    /// The 99th percentile of total latency to stay inside: batch size and delay follow measured compute times.
    pub slo_us: Option<u64>,
    /// Number of priority levels; 1 is the most urgent.
    pub priority_levels: Option<u32>,
    /// Level of requests that name none.
    pub default_priority: Option<u32>,
    /// Share of a device beside other models that wait for it, in rows per round.
    pub weight: Option<u32>,
    /// Longest age of a cached answer; 0 turns the cache off for this model.
    pub cache_ttl_us: Option<u64>,
    /// Replicas in all, spread over the devices: on a CPU each has a thread of its own, an accelerator's share its one.
    pub instances: Option<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_settings_that_cannot_work() {
        assert!(ServingSettings::default().validate().is_ok());
        for settings in [
            ServingSettings { max_batch_rows: 0, ..ServingSettings::default() },
            ServingSettings { max_queue_rows: 511, ..ServingSettings::default() },
            ServingSettings { request_timeout: Duration::ZERO, ..ServingSettings::default() },
        ] {
            assert!(matches!(settings.validate(), Err(Error::BadRequest(_))), "{settings:?}");
        }
    }
}
