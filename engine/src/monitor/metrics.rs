//! The one table of metrics: every family that `/metrics` can show, from whichever room it comes. Documentation is
//! generated from [`METRICS`]; code that makes a family names its constant in [`families`].

/// Prefix of our own names.
pub(super) const PREFIX: &str = "emberline";

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

/// Whose name a family has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Naming {
    /// Ours: with the prefix `emberline_`, and `_total` behind a counter.
    Own,
    /// Triton's, exactly as it writes it, so that boards made for Triton find it.
    Triton,
}

/// A metric family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MetricInfo {
    /// Name; one of ours without the prefix and the suffixes that the text form adds.
    pub name: &'static str,
    /// Whose it is.
    pub naming: Naming,
    /// Kind.
    pub kind: MetricKind,
    /// Names of its labels, in the order of [`Sample::labels`].
    pub labels: &'static [&'static str],
    /// What it is counted in.
    pub unit: &'static str,
    /// One sentence about it.
    pub help: &'static str,
}

impl MetricInfo {
    /// The name to query, with prefix and suffix where it has them (a histogram has `_bucket`, `_sum` and `_count`).
    #[must_use]
    pub fn full_name(&self) -> String {
        match (self.naming, self.kind) {
            (Naming::Own, MetricKind::Counter) => format!("{PREFIX}_{}_total", self.name),
            (Naming::Own, MetricKind::Gauge | MetricKind::Histogram) => format!("{PREFIX}_{}", self.name),
            (Naming::Triton, _) => self.name.to_owned(),
        }
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
    ($($naming:ident {
        $($constant:ident: $kind:ident $name:literal [$($label:literal),*] $unit:literal $help:literal;)*
    })*) => {
        /// The families by constant; [`METRICS`] lists them all.
        pub mod families {
            use super::{MetricInfo, MetricKind, Naming};
            $($(
                #[doc = $help]
                pub const $constant: MetricInfo = MetricInfo {
                    name: $name,
                    naming: Naming::$naming,
                    kind: MetricKind::$kind,
                    labels: &[$($label),*],
                    unit: $unit,
                    help: $help,
                };
            )*)*
        }

        /// Every metric family there is.
        pub const METRICS: &[MetricInfo] = &[$($(families::$constant),*),*];
    };
}

metrics! {
Own {
    REQUESTS: Counter "requests" ["model", "version"] "requests" "Requests answered.";
    REQUEST_ROWS: Counter "request_rows" ["model", "version"] "rows" "Rows answered.";
    REQUEST_FAILURES: Counter "request_failures" ["model", "version", "reason"] "requests"
        "Requests not answered, by reason: `rejected` (does not fit, or not ready), `queue_full`, `too_late` (could not be answered before its deadline), `deadline` (taken, and its deadline passed), `canceled` (the caller went), `backend` or `other`.";
    CACHE_REQUESTS: Counter "cache_requests" ["model", "version", "result"] "requests"
        "Requests answered, by what the cache had to do with them: hit, miss or off.";
    CACHE_HIT_RATIO: Gauge "cache_hit_ratio" ["model", "version"] "0 to 1"
        "Requests that the cache answered, of those that asked it, since the version was loaded.";
    CACHE_ENTRIES: Gauge "cache_entries" [] "answers" "Answers that the prediction cache holds.";
    CACHE_BYTES: Gauge "cache_bytes" [] "bytes" "Memory that they take, reckoned.";
    CACHE_CAPACITY: Gauge "cache_capacity_bytes" [] "bytes" "Memory that they may take.";
    CACHE_COALESCED: Counter "cache_coalesced" [] "requests"
        "Requests that got the answer of an equal one that was under way; they are hits as well.";
    CACHE_OVERTAKEN: Counter "cache_overtaken" [] "requests"
        "Requests under way that an equal and more urgent one did not wait for.";
    CACHE_CONTENDED: Counter "cache_contended" ["operation"] "operations"
        "Times that a lock of the cache was taken, which nobody waits for, by operation: read, join (both computed then) or insert (left out).";
    CACHE_EXPIRED: Counter "cache_expired" [] "answers" "Look-ups that found an answer past its time to live.";
    CACHE_EVICTED: Counter "cache_evicted" [] "answers" "Answers that went for want of room.";
    CACHE_TOO_LARGE: Counter "cache_too_large" [] "requests" "Requests and answers that were too large to be kept.";
    BATCH_ROWS: Histogram "batch_rows" ["model", "version"] "rows" "Rows of a batch, before padding.";
    PADDING_ROWS: Counter "padding_rows" ["model", "version"] "rows" "Rows added to batches to fill their bucket.";
    STAGE_DURATION: Histogram "stage_duration_seconds" ["model", "version", "stage"] "seconds"
        "Time of an answered request in a stage: decode, cache, input, queue, batch, compute, output, explain, encode or total; cumulative buckets of the recorded histogram.";
    STAGE_QUANTILE: Gauge "stage_duration_quantile_seconds" ["model", "version", "stage", "quantile"] "seconds"
        "Quantiles of an answered request's time in a stage since the version was loaded, to three digits.";
    DEVICE_BUSY: Counter "device_busy_seconds" ["device"] "seconds"
        "Time in which the device had at least one batch under way.";
    DEVICE_BUSY_RATIO: Gauge "device_busy_ratio" ["device"] "0 to 1"
        "Fraction of the last ten seconds in which the device was busy.";
    DEVICE_QUEUE_ROWS: Gauge "device_queue_rows" ["device"] "rows" "Rows waiting for the device.";
    DEVICE_EXPECTED_WAIT: Gauge "device_expected_wait_seconds" ["device"] "seconds"
        "Time until the device is expected to have computed all that is on it and waits for it, in full batches.";
    HOST_CPU_RATIO: Gauge "host_cpu_ratio" [] "0 to 1" "Use of all cores of the machine, from 0 to 1.";
    HOST_MEMORY_USED: Gauge "host_memory_used_bytes" [] "bytes" "Memory of the machine in use.";
    HOST_MEMORY_TOTAL: Gauge "host_memory_total_bytes" [] "bytes" "Memory of the machine.";
    HOST_CORES: Gauge "host_cores" [] "cores" "Cores this process may use.";
    PROCESS_MEMORY: Gauge "process_resident_memory_bytes" [] "bytes" "Resident memory of this process.";
    PROCESS_CPU_RATIO: Gauge "process_cpu_ratio" [] "cores" "Cores' worth of time that this process uses.";
    PROCESS_UPTIME: Gauge "process_uptime_seconds" [] "seconds" "Time since this process began to monitor itself.";
    GPU_UTILIZATION_RATIO: Gauge "gpu_utilization_ratio" ["gpu", "name"] "0 to 1"
        "Fraction of the driver's last sample period in which a kernel of any process ran (NVML).";
    GPU_MEMORY_USED: Gauge "gpu_memory_used_bytes" ["gpu", "name"] "bytes" "GPU memory in use by all processes (NVML).";
    GPU_MEMORY_TOTAL: Gauge "gpu_memory_total_bytes" ["gpu", "name"] "bytes" "GPU memory (NVML).";
    GPU_POWER: Gauge "gpu_power_watts" ["gpu", "name"] "watts" "Power the GPU draws (NVML).";
    GPU_TEMPERATURE: Gauge "gpu_temperature_celsius" ["gpu", "name"] "degrees Celsius" "Temperature of the GPU's die (NVML).";
    ACCESS_LOG_DROPPED: Counter "access_log_dropped" ["log"] "lines"
        "Lines of the access and the payload log that were not written, because they came faster than that or the disk failed.";
    FEEDBACK_PREDICTIONS: Counter "feedback_predictions" ["model", "version"] "rows" "Predicted rows remembered for feedback.";
    FEEDBACK_LABELS: Counter "feedback_labels" ["model", "version"] "labels" "Labels scored against a remembered prediction.";
    FEEDBACK_LOSS: Gauge "feedback_loss" ["model", "version", "loss", "over"] "the loss's"
        "Mean online loss of the labels so far, over all of them or over the sliding window.";
    FEEDBACK_QUALITY: Gauge "feedback_quality" ["model", "version", "measure", "over"] "the measure's"
        "Online quality (rmse and mae, coverage and width of quantiles, or accuracy) of the labels so far, over all of them or over the sliding window.";
}
Triton {
    NV_REQUEST_SUCCESS: Counter "nv_inference_request_success" ["model", "version"] "requests"
        "Requests answered, the cache's answers included.";
    NV_REQUEST_FAILURE: Counter "nv_inference_request_failure" ["model", "version", "reason"] "requests"
        "Requests not answered, by reason: REJECTED, CANCELED, BACKEND or OTHER.";
    NV_INFERENCE_COUNT: Counter "nv_inference_count" ["model", "version"] "rows"
        "Rows computed for answered requests; the cache's answers are not included.";
    NV_EXEC_COUNT: Counter "nv_inference_exec_count" ["model", "version"] "batches"
        "Batches run; the cache's answers are not included.";
    NV_REQUEST_DURATION: Counter "nv_inference_request_duration_us" ["model", "version"] "microseconds"
        "Time of answered requests from their inputs to their outputs, the cache's answers included.";
    NV_QUEUE_DURATION: Counter "nv_inference_queue_duration_us" ["model", "version"] "microseconds"
        "Time that answered requests waited in the queue; the cache's answers count as 0.";
    NV_COMPUTE_INPUT_DURATION: Counter "nv_inference_compute_input_duration_us" ["model", "version"] "microseconds"
        "Time of joining the rows of a batch and submitting them, once for each answered request in it.";
    NV_COMPUTE_INFER_DURATION: Counter "nv_inference_compute_infer_duration_us" ["model", "version"] "microseconds"
        "Time from a batch's submission until the device's answer was read back, once for each answered request in it.";
    NV_COMPUTE_OUTPUT_DURATION: Counter "nv_inference_compute_output_duration_us" ["model", "version"] "microseconds"
        "Time from the device's answer until a request's outputs were decoded.";
    NV_PENDING_REQUESTS: Gauge "nv_inference_pending_request_count" ["model", "version"] "requests"
        "Requests taken and not answered yet, those on the device included.";
    NV_CACHE_HITS: Counter "nv_cache_num_hits_per_model" ["model", "version"] "requests" "Requests that the cache answered.";
    NV_CACHE_MISSES: Counter "nv_cache_num_misses_per_model" ["model", "version"] "requests"
        "Requests that the cache was asked for and did not answer.";
    NV_CACHE_HIT_DURATION: Counter "nv_cache_hit_duration_per_model" ["model", "version"] "microseconds"
        "Time of looking up the answers that the cache gave, or of waiting for an equal request in flight.";
    NV_CACHE_MISS_DURATION: Counter "nv_cache_miss_duration_per_model" ["model", "version"] "microseconds"
        "Time of looking up what the cache did not have, and of keeping it.";
    NV_CPU_UTILIZATION: Gauge "nv_cpu_utilization" [] "0 to 1" "Use of all cores of the machine, from 0 to 1.";
    NV_CPU_MEMORY_TOTAL: Gauge "nv_cpu_memory_total_bytes" [] "bytes" "Memory of the machine.";
    NV_CPU_MEMORY_USED: Gauge "nv_cpu_memory_used_bytes" [] "bytes" "Memory of the machine in use.";
    NV_GPU_UTILIZATION: Gauge "nv_gpu_utilization" ["gpu_uuid"] "0 to 1"
        "Fraction of the driver's last sample period in which a kernel of any process ran (NVML).";
    NV_GPU_MEMORY_TOTAL: Gauge "nv_gpu_memory_total_bytes" ["gpu_uuid"] "bytes" "GPU memory (NVML).";
    NV_GPU_MEMORY_USED: Gauge "nv_gpu_memory_used_bytes" ["gpu_uuid"] "bytes" "GPU memory in use by all processes (NVML).";
    NV_GPU_POWER: Gauge "nv_gpu_power_usage" ["gpu_uuid"] "watts" "Power the GPU draws (NVML).";
}
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
            // Help is written as it is, so it needs no escaping.
            assert!(metric.help.ends_with('.') && !metric.help.contains(['\n', '\\', '"']), "{metric:?}");
            assert!(!metric.unit.is_empty() && (metric.naming == Naming::Triton) == metric.name.starts_with("nv_"));
            assert!(!metric.name.ends_with("_total"), "the text form adds it: {metric:?}");
        }
        assert_eq!(families::REQUESTS.full_name(), "emberline_requests_total");
        assert_eq!(families::STAGE_DURATION.full_name(), "emberline_stage_duration_seconds");
        assert_eq!(families::NV_REQUEST_SUCCESS.full_name(), "nv_inference_request_success");
    }
}
