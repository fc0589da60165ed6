//! The settings of one model: by name, checked, and joined with those of the process.

use std::time::Duration;

use super::settings::{ModelServing, ServingSettings};
use crate::{Error, Result};

/// Most replicas of one version.
const MOST_INSTANCES: usize = 256;
/// Most priority levels.
const MOST_LEVELS: u32 = 256;

/// How one model is served in this process: its own settings, and those of the process where it has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveServing {
    /// Most rows of one batch.
    pub max_batch_rows: usize,
    /// Longest time that an idle device waits for a batch to fill.
    pub max_queue_delay: Duration,
    /// Most rows of this model that wait for one device; never less than one batch.
    pub max_queue_rows: usize,
    /// Longest time of a request.
    pub request_timeout: Duration,
    /// The 99th percentile of total latency to stay inside, if there is one.
    pub slo: Option<Duration>,
    /// Number of priority levels, from 1.
    pub priority_levels: u32,
    /// Level of requests that name none: the least urgent, unless the model says otherwise.
    pub default_priority: u32,
    /// Longest age of a cached answer; zero when the model's answers are not kept.
    pub cache_ttl: Duration,
    /// Replicas in all.
    pub instances: usize,
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

    /// Checks what cannot work in any process.
    ///
    /// # Errors
    /// [`Error::BadRequest`] naming the setting.
    pub fn validate(&self) -> Result<()> {
        let at_least_one = [
            ("max_batch_rows", self.max_batch_rows.map(|rows| rows as u64)),
            ("max_queue_rows", self.max_queue_rows.map(|rows| rows as u64)),
            ("request_timeout_us", self.request_timeout_us),
            ("slo_us", self.slo_us),
            ("weight", self.weight.map(u64::from)),
        ];
        for (name, value) in at_least_one {
            if value == Some(0) {
                return Err(Error::BadRequest(format!("expected {name} of at least 1, got 0")));
            }
        }
        in_range("instances", self.instances.map(|count| count as u64), MOST_INSTANCES as u64)?;
        in_range("priority_levels", self.priority_levels.map(u64::from), u64::from(MOST_LEVELS))?;
        let levels = self.priority_levels.unwrap_or(1);
        in_range("default_priority", self.default_priority.map(u64::from), u64::from(levels))?;
        if let (Some(queue), Some(batch)) = (self.max_queue_rows, self.max_batch_rows)
            && queue < batch
        {
            return Err(Error::BadRequest(format!(
                "expected max_queue_rows of at least max_batch_rows ({batch}), got {queue}"
            )));
        }
        Ok(())
    }

    /// These settings, and those of the process where there are none.
    #[must_use]
    pub fn effective(&self, process: &ServingSettings) -> EffectiveServing {
        let time = |own: Option<u64>, process: Duration| own.map_or(process, Duration::from_micros);
        let Self {
            max_batch_rows,
            max_queue_delay_us,
            max_queue_rows,
            request_timeout_us,
            slo_us,
            priority_levels,
            default_priority,
            weight: _,
            cache_ttl_us,
            instances,
        } = *self;
        let max_batch_rows = max_batch_rows.unwrap_or(process.max_batch_rows);
        let priority_levels = priority_levels.unwrap_or(1);
        EffectiveServing {
            max_batch_rows,
            max_queue_delay: time(max_queue_delay_us, process.max_queue_delay),
            max_queue_rows: max_queue_rows.unwrap_or(process.max_queue_rows).max(max_batch_rows),
            request_timeout: time(request_timeout_us, process.request_timeout),
            slo: slo_us.map(Duration::from_micros),
            priority_levels,
            default_priority: default_priority.unwrap_or(priority_levels),
            cache_ttl: if process.cache_bytes == 0 { Duration::ZERO } else { time(cache_ttl_us, process.cache_ttl) },
            instances: instances.unwrap_or(1),
        }
    }
}

fn narrow<T: TryFrom<u64>>(name: &str, value: Option<u64>) -> Result<Option<T>> {
    let too_large = |value| Error::BadRequest(format!("expected a smaller number as {name}, got {value}"));
    value.map(|value| T::try_from(value).map_err(|_| too_large(value))).transpose()
}

fn in_range(name: &str, value: Option<u64>, most: u64) -> Result<()> {
    match value {
        Some(value) if !(1..=most).contains(&value) => {
            Err(Error::BadRequest(format!("expected {name} from 1 to {most}, got {value}")))
        }
        Some(_) | None => Ok(()),
    }
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
        assert_eq!(refusal(&[("slo_us", 0)]), "expected slo_us of at least 1, got 0");
        assert_eq!(refusal(&[("instances", 257)]), "expected instances from 1 to 256, got 257");
        assert_eq!(refusal(&[("default_priority", 2)]), "expected default_priority from 1 to 1, got 2");
        assert_eq!(refusal(&[("priority_levels", 0)]), "expected priority_levels from 1 to 256, got 0");
        assert_eq!(
            refusal(&[("max_queue_rows", 3), ("max_batch_rows", 4)]),
            "expected max_queue_rows of at least max_batch_rows (4), got 3"
        );
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
            pairs.iter().for_each(|(name, value)| settings.set(name, Some(*value)).unwrap());
            settings.effective(&process)
        };
        let plain = own(&[]);
        assert_eq!((plain.max_batch_rows, plain.cache_ttl, plain.instances), (512, process.cache_ttl, 1));
        let levels = own(&[("priority_levels", 3), ("slo_us", 5000)]);
        assert_eq!([0, 1, 3, 4, u32::MAX].map(|priority| levels.level(priority)), [3, 1, 3, 3, 3]);
        assert_eq!(levels.slo, Some(Duration::from_millis(5)));
        assert_eq!(own(&[("default_priority", 2), ("priority_levels", 3)]).level(9), 2);
        assert_eq!(own(&[("max_batch_rows", 100_000)]).max_queue_rows, 100_000);
        let off = ServingSettings { cache_bytes: 0, ..process.clone() };
        assert!(ModelServing { cache_ttl_us: Some(1), ..ModelServing::default() }.effective(&off).cache_ttl.is_zero());
    }
}
