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

/// Most priority levels of a model.
pub(super) const MOST_PRIORITY_LEVELS: u32 = 16;

/// Most replicas of a version.
pub(super) const MOST_INSTANCES: usize = 64;

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

impl ModelServing {
    /// Checks what cannot work, whatever the settings of the process are.
    ///
    /// # Errors
    /// [`Error::BadRequest`] naming the setting.
    pub fn validate(&self) -> Result<()> {
        let counts = [
            ("max_batch_rows", self.max_batch_rows),
            ("max_queue_rows", self.max_queue_rows),
            ("instances", self.instances),
            ("weight", self.weight.map(|weight| weight as usize)),
            ("priority_levels", self.priority_levels.map(|levels| levels as usize)),
            ("default_priority", self.default_priority.map(|level| level as usize)),
            ("slo_us", self.slo_us.map(|micros| micros as usize)),
            ("request_timeout_us", self.request_timeout_us.map(|micros| micros as usize)),
        ];
        if let Some((name, _)) = counts.into_iter().find(|(_name, value)| *value == Some(0)) {
            return Err(Error::BadRequest(format!("expected {name} of at least 1, got 0")));
        }
        if let Some(instances) = self.instances.filter(|instances| *instances > MOST_INSTANCES) {
            let text = format!("expected instances of at most {MOST_INSTANCES}, got {instances}");
            return Err(Error::BadRequest(text));
        }
        let levels = self.priority_levels.unwrap_or(1);
        if levels > MOST_PRIORITY_LEVELS {
            let text = format!("expected priority_levels of at most {MOST_PRIORITY_LEVELS}, got {levels}");
            return Err(Error::BadRequest(text));
        }
        if let Some(level) = self.default_priority.filter(|level| *level > levels) {
            let text = format!("expected a default_priority among the {levels} priority_levels, got {level}");
            return Err(Error::BadRequest(text));
        }
        if let (Some(queue), Some(batch)) = (self.max_queue_rows, self.max_batch_rows)
            && queue < batch
        {
            let text = format!("expected max_queue_rows of at least max_batch_rows ({batch}), got {queue}");
            return Err(Error::BadRequest(text));
        }
        Ok(())
    }
}

/// How one lane, a placed replica, batches and bounds: a model's own settings over those of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LaneSettings {
    /// Most rows of one batch; buckets beyond it are not used.
    pub(super) max_batch_rows: usize,
    /// Longest time that an idle device waits for a batch to fill.
    pub(super) max_queue_delay: Duration,
    /// Most rows that wait.
    pub(super) max_queue_rows: usize,
    /// Total latency to stay inside with 99 of 100 requests.
    pub(super) slo: Option<Duration>,
    /// Priority levels, at least one.
    pub(super) priority_levels: u32,
    /// Level of requests that name none, from 1.
    pub(super) default_priority: u32,
    /// Share of the device beside other lanes, at least 1.
    pub(super) weight: u32,
}

impl LaneSettings {
    /// What `model` says, and what it leaves open as the process has it. A request that names no priority has the middle one,
    /// the lower of two, unless the model says otherwise.
    pub(super) fn new(process: &ServingSettings, model: &ModelServing) -> Self {
        let levels = model.priority_levels.unwrap_or(1).clamp(1, MOST_PRIORITY_LEVELS);
        Self {
            max_batch_rows: model.max_batch_rows.unwrap_or(process.max_batch_rows).max(1),
            max_queue_delay: model.max_queue_delay_us.map_or(process.max_queue_delay, Duration::from_micros),
            max_queue_rows: model.max_queue_rows.unwrap_or(process.max_queue_rows).min(process.max_queue_rows).max(1),
            slo: model.slo_us.map(Duration::from_micros),
            priority_levels: levels,
            default_priority: model.default_priority.unwrap_or(levels / 2 + 1).clamp(1, levels),
            weight: model.weight.unwrap_or(1).max(1),
        }
    }
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

    #[test]
    fn refuses_settings_of_a_model_that_cannot_work() {
        let serving = ModelServing::default;
        assert!(serving().validate().is_ok());
        assert!(ModelServing { max_queue_delay_us: Some(0), cache_ttl_us: Some(0), ..serving() }.validate().is_ok());
        for (settings, sentence) in [
            (ModelServing { weight: Some(0), ..serving() }, "expected weight of at least 1, got 0"),
            (ModelServing { slo_us: Some(0), ..serving() }, "expected slo_us of at least 1, got 0"),
            (ModelServing { priority_levels: Some(17), ..serving() }, "expected priority_levels of at most 16, got 17"),
            (
                ModelServing { priority_levels: Some(3), default_priority: Some(4), ..serving() },
                "expected a default_priority among the 3 priority_levels, got 4",
            ),
            (
                ModelServing { max_batch_rows: Some(9), max_queue_rows: Some(8), ..serving() },
                "expected max_queue_rows of at least max_batch_rows (9), got 8",
            ),
        ] {
            let Err(Error::BadRequest(text)) = settings.validate() else { panic!("accepted {settings:?}") };
            assert_eq!(text, sentence);
        }
    }

    #[test]
    fn a_model_overrides_the_process() {
        let process = ServingSettings::default();
        let plain = LaneSettings::new(&process, &ModelServing::default());
        assert_eq!((plain.max_batch_rows, plain.max_queue_rows), (process.max_batch_rows, process.max_queue_rows));
        assert_eq!((plain.priority_levels, plain.default_priority, plain.weight, plain.slo), (1, 1, 1, None));
        let model = ModelServing {
            max_batch_rows: Some(8),
            max_queue_rows: Some(1 << 30),
            slo_us: Some(5000),
            priority_levels: Some(3),
            ..ModelServing::default()
        };
        let lane = LaneSettings::new(&process, &model);
        assert_eq!((lane.max_batch_rows, lane.max_queue_rows), (8, process.max_queue_rows));
        assert_eq!((lane.slo, lane.default_priority), (Some(Duration::from_millis(5)), 2));
    }
}
