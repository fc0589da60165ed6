//! The `OpenMetrics` text form of everything recorded, made anew for each scrape from the merged recorders.
//!
//! Stage durations are shown as cumulative buckets computed from the recorded histogram, so they agree with the
//! percentiles of the JSON report: a duration lies in the first bucket whose bound it cannot be told apart from (0.1 %).

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text},
    metrics::MetricType,
    registry::Registry,
};

use super::{
    CacheOutcome, FailureReason, Monitor, Stage, VersionMonitor,
    metrics::{Family, MetricKind, Sample, SampleValue, families},
};
use crate::{Error, Result};

/// The `Content-Type` of [`Monitor::prometheus`].
pub const PROMETHEUS_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Prefix of all names.
pub(super) const PREFIX: &str = "emberline";

/// Upper bounds of the buckets of stage durations, in seconds: a cached answer takes microseconds, a request that waits
/// for its turn may take its whole deadline.
const DURATION_BOUNDS: [f64; 21] = [
    5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0,
];

/// Quantiles shown beside the buckets.
const QUANTILES: [(f64, &str); 4] = [(0.5, "0.5"), (0.9, "0.9"), (0.99, "0.99"), (0.999, "0.999")];

pub(super) fn encode(monitor: &Monitor, extra: Vec<Family>) -> Result<String> {
    let mut collected = Vec::from(version_families(monitor));
    collected.extend(device_families(monitor));
    collected.extend(host_families(monitor));
    collected.extend(extra);
    collected.retain(|family| !family.samples.is_empty());
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(Scrape(collected)));
    let mut out = String::new();
    text::encode(&mut out, &registry)
        .map_err(|_| Error::Internal("a metric family holds a sample that does not fit it".to_owned()))?;
    Ok(out)
}

/// The families of one scrape.
#[derive(Debug)]
struct Scrape(Vec<Family>);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for Family { info, samples } in &self.0 {
            let kind = match info.kind {
                MetricKind::Counter => MetricType::Counter,
                MetricKind::Gauge => MetricType::Gauge,
                MetricKind::Histogram => MetricType::Histogram,
            };
            let mut metric = encoder.encode_descriptor(info.name, info.help, None, kind)?;
            for Sample { labels, value } in samples {
                if labels.len() != info.labels.len() {
                    return Err(std::fmt::Error);
                }
                if labels.is_empty() {
                    encode_value(&mut metric, info.kind, value)?;
                } else {
                    let labels: Vec<_> = info.labels.iter().copied().zip(labels.iter().map(String::as_str)).collect();
                    encode_value(&mut metric.encode_family(&labels)?, info.kind, value)?;
                }
            }
        }
        Ok(())
    }
}

fn encode_value(metric: &mut MetricEncoder<'_>, kind: MetricKind, value: &SampleValue) -> Result<(), std::fmt::Error> {
    match (kind, value) {
        (MetricKind::Counter, SampleValue::Count(value)) => metric.encode_counter::<NoLabelSet, _, f64>(value, None),
        (MetricKind::Counter, SampleValue::Number(value)) => metric.encode_counter::<NoLabelSet, _, f64>(value, None),
        (MetricKind::Gauge, SampleValue::Count(value)) => metric.encode_gauge(value),
        (MetricKind::Gauge, SampleValue::Number(value)) => metric.encode_gauge(value),
        (MetricKind::Histogram, SampleValue::Histogram { sum, buckets }) => {
            let count = buckets.iter().map(|(_, count)| count).sum();
            metric.encode_histogram::<NoLabelSet>(*sum, count, buckets, None)
        }
        (MetricKind::Histogram, SampleValue::Count(_) | SampleValue::Number(_))
        | (MetricKind::Counter | MetricKind::Gauge, SampleValue::Histogram { sum: _, buckets: _ }) => {
            Err(std::fmt::Error)
        }
    }
}

fn version_families(monitor: &Monitor) -> [Family; 8] {
    let mut families = [
        families::REQUESTS,
        families::REQUEST_ROWS,
        families::REQUEST_FAILURES,
        families::CACHE_REQUESTS,
        families::BATCH_ROWS,
        families::PADDING_ROWS,
        families::STAGE_DURATION,
        families::STAGE_QUANTILE,
    ]
    .map(|info| info.family(Vec::new()));
    for version in monitor.versions() {
        add_version(&version, &mut families);
    }
    families
}

fn add_version(
    version: &VersionMonitor,
    [requests, rows, failures, cache, batch_rows, padding, durations, quantiles]: &mut [Family; 8],
) {
    let totals = version.read();
    let recording = &totals.recording;
    let number = version.version().to_string();
    let (model, number) = (&**version.model(), number.as_str());
    requests.samples.push(Sample::count(&[model, number], recording.requests));
    rows.samples.push(Sample::count(&[model, number], recording.rows));
    failures.samples.extend(
        FailureReason::ALL
            .map(|reason| Sample::count(&[model, number, reason.name()], recording.failures[reason as usize])),
    );
    cache.samples.extend(
        CacheOutcome::ALL
            .map(|outcome| Sample::count(&[model, number, outcome.name()], recording.cache[outcome as usize])),
    );
    let buckets =
        recording.batch_sizes().map(|(bound, count)| (bound.map_or(f64::INFINITY, |rows| rows as f64), count));
    batch_rows.samples.push(Sample {
        labels: vec![model.to_owned(), number.to_owned()],
        value: SampleValue::Histogram { sum: recording.batch_rows as f64, buckets: buckets.collect() },
    });
    padding.samples.push(Sample::count(&[model, number], recording.bucket_rows - recording.batch_rows));
    for stage in Stage::ALL {
        let Some(latencies) = recording.latencies(stage) else { continue };
        durations.samples.push(Sample {
            labels: [model, number, stage.name()].map(str::to_owned).to_vec(),
            value: SampleValue::Histogram {
                sum: latencies.sum_seconds(),
                buckets: latencies.buckets(&DURATION_BOUNDS),
            },
        });
        let values = latencies.quantiles_us(QUANTILES.map(|(quantile, _)| quantile));
        quantiles.samples.extend(
            QUANTILES
                .iter()
                .zip(values)
                .map(|((_, name), micros)| Sample::number(&[model, number, stage.name(), name], micros / 1e6)),
        );
    }
}

fn device_families(monitor: &Monitor) -> [Family; 3] {
    let reports: Vec<_> = monitor.devices().iter().map(|device| device.report()).collect();
    let each = |value: fn(&super::DeviceReport) -> SampleValue| {
        let samples = reports.iter().map(|report| Sample { labels: vec![report.device.clone()], value: value(report) });
        samples.collect::<Vec<_>>()
    };
    [
        families::DEVICE_BUSY.family(each(|report| SampleValue::Number(report.busy_seconds))),
        families::DEVICE_BUSY_RATIO.family(each(|report| SampleValue::Number(report.busy_fraction_10s))),
        families::DEVICE_QUEUE_ROWS.family(each(|report| SampleValue::Count(report.queue_rows))),
    ]
}

fn host_families(monitor: &Monitor) -> Vec<Family> {
    let look = monitor.inner.host.sample();
    let whole = |value: Option<u64>| value.map(|value| Sample::count(&[], value)).into_iter().collect::<Vec<_>>();
    let ratio = |percent: Option<f64>| {
        percent.map(|percent| Sample::number(&[], percent / 100.0)).into_iter().collect::<Vec<_>>()
    };
    let gpus = |value: fn(&super::GpuReport) -> Option<f64>| {
        let samples = look.gpus.iter().filter_map(|gpu| {
            Some(Sample {
                labels: vec![gpu.index.to_string(), gpu.name.clone()],
                value: SampleValue::Number(value(gpu)?),
            })
        });
        samples.collect::<Vec<_>>()
    };
    let (host, process) = (&look.host, &look.process);
    vec![
        families::HOST_CPU_RATIO.family(ratio(host.cpu_percent)),
        families::HOST_MEMORY_USED.family(whole(host.memory_used_bytes)),
        families::HOST_MEMORY_TOTAL.family(whole(host.memory_total_bytes)),
        families::HOST_CORES.family(whole(host.cores)),
        families::PROCESS_MEMORY.family(whole(process.rss_bytes)),
        families::PROCESS_CPU_RATIO.family(ratio(process.cpu_percent)),
        families::PROCESS_UPTIME.family(vec![Sample::number(&[], process.uptime_seconds)]),
        families::GPU_UTILIZATION_RATIO.family(gpus(|gpu| gpu.utilization_percent.map(|percent| percent / 100.0))),
        families::GPU_MEMORY_USED.family(gpus(|gpu| gpu.memory_used_bytes.map(|bytes| bytes as f64))),
        families::GPU_MEMORY_TOTAL.family(gpus(|gpu| gpu.memory_total_bytes.map(|bytes| bytes as f64))),
        families::GPU_POWER.family(gpus(|gpu| gpu.power_watts)),
        families::GPU_TEMPERATURE.family(gpus(|gpu| gpu.temperature_celsius)),
    ]
}
