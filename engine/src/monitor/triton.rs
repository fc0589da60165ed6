//! Triton's metrics, under its names and labels, from the same records as our own: for boards and alerts made for it.
//!
//! Not there: the first-response histogram (answers come in one piece), the summaries (ours has quantiles), the pools of pinned
//! memory, the local cache's own families, and of GPUs the power limit and the energy.

use super::{
    FailureReason, GpuReport, MetricInfo, Monitor, VersionStatistics,
    host::Sampled,
    metrics::{Family, Sample, SampleValue, families},
};

/// Families with what each one shows of a version.
type Shown = (MetricInfo, fn(&VersionStatistics) -> u64);

const OF_VERSIONS: [Shown; 12] = [
    (families::NV_REQUEST_SUCCESS, |statistics| statistics.success.count),
    (families::NV_INFERENCE_COUNT, |statistics| statistics.inference_count),
    (families::NV_EXEC_COUNT, |statistics| statistics.execution_count),
    (families::NV_REQUEST_DURATION, |statistics| statistics.success.ns / 1000),
    (families::NV_QUEUE_DURATION, |statistics| statistics.queue.ns / 1000),
    (families::NV_COMPUTE_INPUT_DURATION, |statistics| statistics.compute_input.ns / 1000),
    (families::NV_COMPUTE_INFER_DURATION, |statistics| statistics.compute_infer.ns / 1000),
    (families::NV_COMPUTE_OUTPUT_DURATION, |statistics| statistics.compute_output.ns / 1000),
    (families::NV_CACHE_HITS, |statistics| statistics.cache_hit.count),
    (families::NV_CACHE_MISSES, |statistics| statistics.cache_miss.count),
    (families::NV_CACHE_HIT_DURATION, |statistics| statistics.cache_hit.ns / 1000),
    (families::NV_CACHE_MISS_DURATION, |statistics| statistics.cache_miss.ns / 1000),
];

/// All but what only the serving engine knows.
pub(super) fn families_of(monitor: &Monitor) -> Vec<Family> {
    let versions: Vec<_> = monitor
        .versions()
        .iter()
        .map(|version| (version.model().to_string(), version.version().to_string(), version.statistics()))
        .collect();
    let shown = |(info, value): Shown| {
        let sample = |(model, version, statistics): &(String, String, VersionStatistics)| {
            Sample::count(&[model, version], value(statistics))
        };
        info.family(versions.iter().map(sample).collect())
    };
    let failures = versions.iter().flat_map(|(model, version, statistics)| {
        FAILURES.map(|name| {
            let counts = statistics.failures.iter().filter(|(reason, _)| failure(*reason) == name);
            Sample::count(&[model, version, name], counts.map(|(_, count)| count).sum())
        })
    });
    let mut families: Vec<_> = OF_VERSIONS.into_iter().map(shown).collect();
    families.push(families::NV_REQUEST_FAILURE.family(failures.collect()));
    families.extend(host_families(&monitor.inner.host.sample()));
    families
}

/// Triton's words for why a request failed.
const FAILURES: [&str; 4] = ["REJECTED", "CANCELED", "BACKEND", "OTHER"];

/// The one for a reason.
const fn failure(reason: FailureReason) -> &'static str {
    match reason {
        // Triton counts what times out in its scheduler as rejected.
        FailureReason::Rejected | FailureReason::QueueFull | FailureReason::TooLate | FailureReason::Deadline => {
            "REJECTED"
        }
        FailureReason::Canceled => "CANCELED",
        FailureReason::Backend => "BACKEND",
        FailureReason::Other => "OTHER",
    }
}

fn host_families(look: &Sampled) -> [Family; 7] {
    let one = |value: Option<SampleValue>| {
        value.map(|value| Sample { labels: Vec::new(), value }).into_iter().collect::<Vec<_>>()
    };
    let gpus = |value: fn(&GpuReport) -> Option<f64>| {
        let sample = |gpu: &GpuReport| Some(Sample::number(&[gpu.uuid.as_deref()?], value(gpu)?));
        look.gpus.iter().filter_map(sample).collect::<Vec<_>>()
    };
    let host = &look.host;
    [
        families::NV_CPU_UTILIZATION.family(one(host.cpu_percent.map(|percent| SampleValue::Number(percent / 100.0)))),
        families::NV_CPU_MEMORY_TOTAL.family(one(host.memory_total_bytes.map(SampleValue::Count))),
        families::NV_CPU_MEMORY_USED.family(one(host.memory_used_bytes.map(SampleValue::Count))),
        families::NV_GPU_UTILIZATION.family(gpus(|gpu| gpu.utilization_percent.map(|percent| percent / 100.0))),
        families::NV_GPU_MEMORY_TOTAL.family(gpus(|gpu| gpu.memory_total_bytes.map(|bytes| bytes as f64))),
        families::NV_GPU_MEMORY_USED.family(gpus(|gpu| gpu.memory_used_bytes.map(|bytes| bytes as f64))),
        families::NV_GPU_POWER.family(gpus(|gpu| gpu.power_watts)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_known_by_their_uuid_and_ratios_go_to_one() {
        let gpu = |index, uuid: Option<&str>, utilization_percent| GpuReport {
            index,
            uuid: uuid.map(str::to_owned),
            name: "GPU".to_owned(),
            utilization_percent,
            memory_used_bytes: Some(1 << 30),
            memory_total_bytes: Some(1 << 36),
            power_watts: Some(71.5),
            temperature_celsius: Some(30.0),
        };
        let gpus = vec![gpu(0, Some("GPU-a"), Some(25.0)), gpu(1, Some("GPU-b"), None), gpu(2, None, Some(50.0))];
        let [_, _, _, utilization, total, used, power] = host_families(&Sampled { gpus, ..Sampled::default() });
        assert_eq!(utilization.samples, [Sample::number(&["GPU-a"], 0.25)]);
        for (family, value) in [(total, (1_u64 << 36) as f64), (used, (1_u64 << 30) as f64), (power, 71.5)] {
            assert_eq!(family.samples, [Sample::number(&["GPU-a"], value), Sample::number(&["GPU-b"], value)]);
        }
    }
}
