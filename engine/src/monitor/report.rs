//! What the monitor tells people: plain numbers, as JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    recording::{CacheOutcome, FailureReason, Recording, Stage},
    version::VersionMonitor,
};

/// Everything the monitor knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MonitorReport {
    /// Seconds since the monitor was made.
    pub uptime_seconds: f64,
    /// Versions that were asked for and not removed, by name and number.
    pub versions: Vec<VersionReport>,
    /// Devices with an executor.
    pub devices: Vec<DeviceReport>,
    /// The machine.
    pub host: HostReport,
    /// This process.
    pub process: ProcessReport,
    /// NVIDIA GPUs, as their driver sees them.
    pub gpus: Vec<GpuReport>,
    /// Why `gpus` is empty; absent when it is not.
    pub gpus_absent: Option<String>,
}

/// What happened to requests of one model version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VersionReport {
    /// Model.
    pub model: String,
    /// Version.
    pub version: u32,
    /// Requests answered.
    pub requests: u64,
    /// Rows answered.
    pub rows: u64,
    /// Requests not answered, by reason; reasons that never came up are left out.
    pub failures: BTreeMap<FailureReason, u64>,
    /// What the cache had to do with the requests answered.
    pub cache: CacheReport,
    /// Batches that the device answered.
    pub batches: u64,
    /// Mean rows of a batch; 0 when there was none.
    pub mean_batch_rows: f64,
    /// Rows that were padding, as a fraction of all rows run.
    pub padding_fraction: f64,
    /// Batches by size; sizes that never came up are left out.
    pub batch_sizes: Vec<BatchSizeReport>,
    /// Durations by stage; stages that never came up are left out.
    pub stages: BTreeMap<Stage, StageReport>,
}

/// Requests by what the cache had to do with them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CacheReport {
    /// Answered by it.
    pub hits: u64,
    /// Not found in it.
    pub misses: u64,
    /// Not looked for.
    pub off: u64,
    /// Hits as a fraction of hits and misses; absent before the first.
    pub hit_ratio: Option<f64>,
}

/// How many batches were of about one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchSizeReport {
    /// Most rows counted here, a power of two; the next smaller power counts under its own number. Absent for batches
    /// beyond the largest size counted (65,536).
    pub up_to_rows: Option<u64>,
    /// Batches.
    pub batches: u64,
}

/// Durations of one stage of answered requests, in microseconds, since the version was loaded. Percentiles are exact to three digits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageReport {
    /// How many were measured.
    pub count: u64,
    /// Mean.
    pub mean_us: f64,
    /// Median.
    pub p50_us: f64,
    /// 90th percentile.
    pub p90_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// 99.9th percentile.
    pub p99_9_us: f64,
    /// Longest.
    pub max_us: f64,
}

/// How busy a device is, measured by its executor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceReport {
    /// Short form, such as `cpu` or `cuda:0`.
    pub device: String,
    /// The name its driver gives.
    pub name: String,
    /// Seconds in which at least one batch was under way.
    pub busy_seconds: f64,
    /// Those seconds as a fraction of the executor's life.
    pub busy_fraction: f64,
    /// The same over the last ten seconds.
    pub busy_fraction_10s: f64,
    /// Rows waiting now.
    pub queue_rows: u64,
}

/// The machine. What could not be measured is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostReport {
    /// Use of all cores together, in percent from 0 to 100; absent until it was looked at twice.
    pub cpu_percent: Option<f64>,
    /// Memory in use, in bytes.
    pub memory_used_bytes: Option<u64>,
    /// Memory there is, in bytes.
    pub memory_total_bytes: Option<u64>,
    /// Memory this process' control group may use, in bytes, where that is less than there is.
    pub memory_limit_bytes: Option<u64>,
    /// Cores this process may use.
    pub cores: Option<u64>,
}

/// This process. What could not be measured is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProcessReport {
    /// Resident memory, in bytes.
    pub rss_bytes: Option<u64>,
    /// CPU use in percent of one core, so beyond 100 with several threads; absent until it was looked at twice.
    pub cpu_percent: Option<f64>,
    /// Seconds since the monitor was made.
    pub uptime_seconds: f64,
}

/// A GPU as NVML sees it: all processes together. What the driver does not tell is absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GpuReport {
    /// Number by PCI order.
    pub index: u32,
    /// The driver's name for this very GPU, such as `GPU-5b0f…`.
    pub uuid: Option<String>,
    /// Name.
    pub name: String,
    /// Percent of the driver's last sample period in which a kernel ran.
    pub utilization_percent: Option<f64>,
    /// Memory in use, in bytes.
    pub memory_used_bytes: Option<u64>,
    /// Memory there is, in bytes.
    pub memory_total_bytes: Option<u64>,
    /// Power drawn, in watts.
    pub power_watts: Option<f64>,
    /// Temperature of the die, in degrees Celsius.
    pub temperature_celsius: Option<f64>,
}

impl VersionMonitor {
    pub(super) fn report(&self) -> VersionReport {
        let totals = self.read();
        let recording = &totals.recording;
        let [hits, misses, off] = CacheOutcome::ALL.map(|outcome| recording.cache[outcome as usize]);
        VersionReport {
            model: self.model().to_string(),
            version: self.version(),
            requests: recording.requests,
            rows: recording.rows,
            failures: FailureReason::ALL
                .into_iter()
                .map(|reason| (reason, recording.failures[reason as usize]))
                .filter(|(_, count)| *count > 0)
                .collect(),
            cache: CacheReport { hits, misses, off, hit_ratio: recording.hit_ratio() },
            batches: recording.batches,
            mean_batch_rows: ratio(recording.batch_rows, recording.batches),
            padding_fraction: ratio(recording.bucket_rows - recording.batch_rows, recording.bucket_rows),
            batch_sizes: recording
                .batch_sizes()
                .filter(|(_, batches)| *batches > 0)
                .map(|(up_to_rows, batches)| BatchSizeReport { up_to_rows, batches })
                .collect(),
            stages: Stage::ALL.into_iter().filter_map(|stage| Some((stage, stage_report(recording, stage)?))).collect(),
        }
    }
}

fn stage_report(recording: &Recording<u64>, stage: Stage) -> Option<StageReport> {
    let latencies = recording.latencies(stage)?;
    let [p50_us, p90_us, p99_us, p99_9_us] = latencies.quantiles_us([0.5, 0.9, 0.99, 0.999]);
    let (count, mean_us, max_us) = (latencies.count(), latencies.mean_us(), latencies.max_us());
    Some(StageReport { count, mean_us, p50_us, p90_us, p99_us, p99_9_us, max_us })
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
