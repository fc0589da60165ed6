//! The settings of one model: by name, checked, and joined with those of the process.

use std::time::Duration;

use super::settings::{LaneSettings, MOST_INSTANCES, ModelServing, ServingSettings};
use crate::{Error, Result};

/// How one model is served in this process: its own settings, and those of the process where it has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveServing {
    /// Most rows of one batch.
    pub max_batch_rows: usize,
    /// Longest time that an idle device waits for a batch to fill.
    pub max_queue_delay: Duration,
    /// Most rows of this model that wait for one device.
    pub max_queue_rows: usize,
    /// Longest time of a request.
    pub request_timeout: Duration,
    /// Number of priority levels, from 1.
    pub priority_levels: u32,
    /// Level of requests that name none.
    pub default_priority: u32,
    /// Longest age of a cached answer; zero when the model's answers are not kept.
    pub cache_ttl: Duration,
    /// Replicas in all.
    pub instances: usize,
    /// The same for the lanes of its replicas.
    pub(super) lane: LaneSettings,
}

impl EffectiveServing {
    /// The level of a request that names `priority`. As in Triton, 0 and what is beyond the last level mean the default one.
    #[must_use]
    pub const fn level(&self, priority: u32) -> u32 {
        if priority == 0 || priority > self.priority_levels { self.default_priority } else { priority }
    }
}

impl ModelServing {
    /// The names of all settings.
    pub const NAMES: [&str; 10] = [
        "max_batch_rows",
        "max_queue_delay_us",
        "max_queue_rows",
        "request_timeout_us",
        "slo_us",
        "priority_levels",
        "default_priority",
        "weight",
        "cache_ttl_us",
        "instances",
    ];

    /// Sets one setting by its name, or with `None` leaves it to the process. The whole is checked by
    /// [`ModelServing::validate`].
    ///
    /// # Errors
    /// [`Error::BadRequest`] for an unknown name, naming those that are known, and for a number that is too large.
    pub fn set(&mut self, name: &str, value: Option<u64>) -> Result<()> {
        match name {
            "max_batch_rows" => self.max_batch_rows = narrow(name, value)?,
            "max_queue_delay_us" => self.max_queue_delay_us = value,
            "max_queue_rows" => self.max_queue_rows = narrow(name, value)?,
            "request_timeout_us" => self.request_timeout_us = value,
            "slo_us" => self.slo_us = value,
            "priority_levels" => self.priority_levels = narrow(name, value)?,
            "default_priority" => self.default_priority = narrow(name, value)?,
            "weight" => self.weight = narrow(name, value)?,
            "cache_ttl_us" => self.cache_ttl_us = value,
            "instances" => self.instances = narrow(name, value)?,
            _ => {
                let known = Self::NAMES.join(", ");
                return Err(Error::BadRequest(format!("expected one of the settings {known}, got '{}'", shown(name))));
            }
        }
        Ok(())
    }

    /// These settings, and those of the process where there are none.
    #[must_use]
    pub fn effective(&self, process: &ServingSettings) -> EffectiveServing {
        let time = |own: Option<u64>, process: Duration| own.map_or(process, Duration::from_micros);
        let lane = LaneSettings::new(process, self);
        EffectiveServing {
            max_batch_rows: lane.max_batch_rows,
            max_queue_delay: lane.max_queue_delay,
            max_queue_rows: lane.max_queue_rows,
            request_timeout: time(self.request_timeout_us, process.request_timeout),
            priority_levels: lane.priority_levels,
            default_priority: lane.default_priority,
            cache_ttl: match process.cache_bytes {
                0 => Duration::ZERO,
                _ => time(self.cache_ttl_us, process.cache_ttl),
            },
            instances: self.instances.unwrap_or(1).clamp(1, MOST_INSTANCES),
            lane,
        }
    }
}

fn narrow<T: TryFrom<u64>>(name: &str, value: Option<u64>) -> Result<Option<T>> {
    let too_large = |value| Error::BadRequest(format!("expected a smaller number as {name}, got {value}"));
    value.map(|value| T::try_from(value).map_err(|_| too_large(value))).transpose()
}

/// A name, cut so that a message is never as long as what a sender cares to send.
fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_field_and_can_be_set_and_unset() {
        let serde_json::Value::Object(fields) = serde_json::to_value(ModelServing::default()).unwrap() else {
            unreachable!("a struct is an object")
        };
        assert_eq!(fields.len(), ModelServing::NAMES.len());
        let mut settings = ModelServing::default();
        for name in ModelServing::NAMES {
            assert!(fields.contains_key(name), "{name}");
            settings.set(name, Some(1)).unwrap();
            assert_eq!(serde_json::to_value(&settings).unwrap()[name], 1, "{name}");
        }
        assert!(settings.validate().is_ok());
        for name in ModelServing::NAMES {
            settings.set(name, None).unwrap();
        }
        assert_eq!(settings, ModelServing::default());
    }

    #[test]
    fn refuses_what_cannot_work_in_one_sentence() {
        let refusal = |pairs: &[(&str, u64)]| {
            let mut settings = ModelServing::default();
            let set = pairs.iter().try_for_each(|(name, value)| settings.set(name, Some(*value)));
            set.and_then(|()| settings.validate()).unwrap_err().to_string()
        };
        assert_eq!(refusal(&[("instances", 65)]), "expected instances of at most 64, got 65");
        assert_eq!(refusal(&[("instances", 0)]), "expected instances of at least 1, got 0");
        assert_eq!(
            refusal(&[("weight", 1 << 40)]),
            format!("expected a smaller number as weight, got {}", 1_u64 << 40)
        );
        assert!(refusal(&[("slo", 1)]).starts_with("expected one of the settings max_batch_rows, "));
    }

    #[test]
    fn what_is_absent_is_the_process_s() {
        let process = ServingSettings::default();
        let own = |pairs: &[(&str, u64)]| {
            let mut settings = ModelServing::default();
            for (name, value) in pairs {
                settings.set(name, Some(*value)).unwrap();
            }
            settings.effective(&process)
        };
        let plain = own(&[]);
        assert_eq!((plain.max_batch_rows, plain.cache_ttl, plain.instances), (512, process.cache_ttl, 1));
        let levels = own(&[("priority_levels", 3), ("slo_us", 5000)]);
        assert_eq!([0, 1, 3, 4, u32::MAX].map(|priority| levels.level(priority)), [2, 1, 3, 2, 2]);
        assert_eq!(levels.lane.slo, Some(Duration::from_millis(5)));
        assert_eq!(own(&[("default_priority", 3), ("priority_levels", 3)]).level(9), 3);
        let off = ServingSettings { cache_bytes: 0, ..process.clone() };
        assert!(ModelServing { cache_ttl_us: Some(1), ..ModelServing::default() }.effective(&off).cache_ttl.is_zero());
    }
}
