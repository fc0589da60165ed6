//! The one table of metrics: every family that `/metrics` can show, from whichever room it comes. Documentation is
//! generated from [`METRICS`]; code that makes a family names its constant in [`families`].

/// What kind of metric a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// Only grows, and starts again at 0 with the process or the version's load.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by cumulative buckets, with sum and count.
    Histogram,
}

impl MetricKind {
    /// The name in documentation.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MetricInfo {
    /// Name without the prefix `emberline_` and the suffixes that the text form adds.
    pub name: &'static str,
    /// Kind.
    pub kind: MetricKind,
    /// Names of its labels, in the order of [`Sample::labels`].
    pub labels: &'static [&'static str],
    /// One sentence about it.
    pub help: &'static str,
}

impl MetricInfo {
    /// The name to query: with prefix, and `_total` for a counter (a histogram has `_bucket`, `_sum` and `_count`).
    #[must_use]
    pub fn full_name(&self) -> String {
        let suffix = if self.kind == MetricKind::Counter { "_total" } else { "" };
        format!("{}_{}{suffix}", super::prometheus::PREFIX, self.name)
    }

    /// A family of this kind with `samples`.
    #[must_use]
    pub const fn family(self, samples: Vec<Sample>) -> Family {
        Family { info: self, samples }
    }
}

/// The samples of a metric family at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// Which one.
    pub info: MetricInfo,
    /// One for each set of labels.
    pub samples: Vec<Sample>,
}

/// One value of a family.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Values of the labels, in the order of [`MetricInfo::labels`].
    pub labels: Vec<String>,
    /// The value, of the family's kind.
    pub value: SampleValue,
}

impl Sample {
    /// A counter's or gauge's value.
    #[must_use]
    pub fn number(labels: &[&str], value: f64) -> Self {
        Self { labels: labels.iter().map(ToString::to_string).collect(), value: SampleValue::Number(value) }
    }

    /// A counter's or gauge's whole value.
    #[must_use]
    pub fn count(labels: &[&str], value: u64) -> Self {
        Self { labels: labels.iter().map(ToString::to_string).collect(), value: SampleValue::Count(value) }
    }
}

/// Value of a [`Sample`].
#[derive(Clone, Debug, PartialEq)]
pub enum SampleValue {
    /// A whole number.
    Count(u64),
    /// A number.
    Number(f64),
    /// A histogram.
    Histogram {
        /// Sum of all values.
        sum: f64,
        /// Upper bound and own count of each bucket, ascending, the last bound infinite.
        buckets: Vec<(f64, u64)>,
    },
}

macro_rules! metrics {
    ($($(#[$about:meta])* $constant:ident: $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        /// The families by constant; [`METRICS`] lists them all.
        pub mod families {
            use super::{MetricInfo, MetricKind};
            $(
                #[doc = $help]
                pub const $constant: MetricInfo =
                    MetricInfo { name: $name, kind: MetricKind::$kind, labels: &[$($label),*], help: $help };
            )*
        }

        /// Every metric family there is.
        pub const METRICS: &[MetricInfo] = &[$(families::$constant),*];
    };
}

metrics! {
    REQUESTS: Counter "requests" ["model", "version"] "Requests answered.";
    REQUEST_ROWS: Counter "request_rows" ["model", "version"] "Rows answered.";
    REQUEST_FAILURES: Counter "request_failures" ["model", "version", "reason"]
        "Requests not answered, by reason: rejected, canceled, backend or other.";
    CACHE_REQUESTS: Counter "cache_requests" ["model", "version", "result"]
        "Requests answered, by what the cache had to do with them: hit, miss or off.";
    BATCH_ROWS: Histogram "batch_rows" ["model", "version"] "Rows of a batch, before padding.";
    PADDING_ROWS: Counter "padding_rows" ["model", "version"] "Rows added to batches to fill their bucket.";
    STAGE_DURATION: Histogram "stage_duration_seconds" ["model", "version", "stage"]
        "Time of a request in a stage: queue, batch, compute or total; cumulative buckets of the recorded histogram.";
    STAGE_QUANTILE: Gauge "stage_duration_quantile_seconds" ["model", "version", "stage", "quantile"]
        "Quantiles of a request's time in a stage since the version was loaded, to three digits.";
    DEVICE_BUSY: Counter "device_busy_seconds" ["device"] "Time in which the device had at least one batch under way.";
    DEVICE_BUSY_RATIO: Gauge "device_busy_ratio" ["device"] "Fraction of the last ten seconds in which the device was busy.";
    DEVICE_QUEUE_ROWS: Gauge "device_queue_rows" ["device"] "Rows waiting for the device.";
    HOST_CPU_RATIO: Gauge "host_cpu_ratio" [] "Use of all cores of the machine, from 0 to 1.";
    HOST_MEMORY_USED: Gauge "host_memory_used_bytes" [] "Memory of the machine in use.";
    HOST_MEMORY_TOTAL: Gauge "host_memory_total_bytes" [] "Memory of the machine.";
    HOST_CORES: Gauge "host_cores" [] "Cores this process may use.";
    PROCESS_MEMORY: Gauge "process_resident_memory_bytes" [] "Resident memory of this process.";
    PROCESS_CPU_RATIO: Gauge "process_cpu_ratio" [] "Cores' worth of time that this process uses.";
    PROCESS_UPTIME: Gauge "process_uptime_seconds" [] "Time since this process began to monitor itself.";
    GPU_UTILIZATION_RATIO: Gauge "gpu_utilization_ratio" ["gpu", "name"]
        "Fraction of the driver's last sample period in which a kernel of any process ran (NVML).";
    GPU_MEMORY_USED: Gauge "gpu_memory_used_bytes" ["gpu", "name"] "GPU memory in use by all processes (NVML).";
    GPU_MEMORY_TOTAL: Gauge "gpu_memory_total_bytes" ["gpu", "name"] "GPU memory (NVML).";
    GPU_POWER: Gauge "gpu_power_watts" ["gpu", "name"] "Power the GPU draws (NVML).";
    GPU_TEMPERATURE: Gauge "gpu_temperature_celsius" ["gpu", "name"] "Temperature of the GPU's die (NVML).";
    FEEDBACK_PREDICTIONS: Counter "feedback_predictions" ["model", "version"] "Predicted rows remembered for feedback.";
    FEEDBACK_LABELS: Counter "feedback_labels" ["model", "version"] "Labels scored against a remembered prediction.";
    FEEDBACK_LOSS: Gauge "feedback_loss" ["model", "version", "loss", "over"]
        "Mean online loss of the labels so far, over all of them or over the sliding window.";
    FEEDBACK_QUALITY: Gauge "feedback_quality" ["model", "version", "measure", "over"]
        "Online quality (rmse and mae, or accuracy) of the labels so far, over all of them or over the sliding window.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_well_formed() {
        let names: BTreeSet<_> = METRICS.iter().map(MetricInfo::full_name).collect();
        assert_eq!(names.len(), METRICS.len());
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        for metric in METRICS {
            assert!(plain(metric.name) && metric.labels.iter().all(|label| plain(label)), "{metric:?}");
            assert!(metric.help.ends_with('.') && !metric.help.contains('\n'), "{metric:?}");
            assert!(!metric.name.ends_with("_total"), "the text form adds it: {metric:?}");
        }
        assert_eq!(families::REQUESTS.full_name(), "emberline_requests_total");
        assert_eq!(families::STAGE_DURATION.full_name(), "emberline_stage_duration_seconds");
    }
}
