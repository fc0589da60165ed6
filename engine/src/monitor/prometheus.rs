//! The text forms of everything recorded, made anew for each scrape from the merged recorders.
//!
//! Both forms hold the same names to query. A counter of ours ends in `_total` in both. Triton's counters have no such
//! suffix, which only the classic form lets a counter do: `OpenMetrics` shows them as values of unknown type, so that
//! the names stay Triton's.
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
    metrics::{Family, MetricInfo, MetricKind, Naming, PREFIX, Sample, SampleValue, families},
    triton,
};
use crate::{Error, Result};

/// A text form that Prometheus scrapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TextFormat {
    /// Prometheus' own, version 0.0.4: what every scraper reads.
    Classic,
    /// `OpenMetrics` 1.0: what a scraper asks for that knows it.
    OpenMetrics,
}

impl TextFormat {
    /// Its `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Upper bounds of the buckets of stage durations, in seconds: a cached answer takes microseconds, a request that waits
/// for its turn may take its whole deadline.
const DURATION_BOUNDS: [f64; 21] = [
    5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0,
];

/// Quantiles shown beside the buckets.
const QUANTILES: [(f64, &str); 4] = [(0.5, "0.5"), (0.9, "0.9"), (0.99, "0.99"), (0.999, "0.999")];

pub(super) fn encode(monitor: &Monitor, extra: Vec<Family>, format: TextFormat) -> Result<String> {
    let mut collected = Vec::from(version_families(monitor));
    collected.extend(device_families(monitor));
    collected.extend(host_families(monitor));
    collected.extend(triton::families_of(monitor));
    collected.extend(extra);
    collected.retain(|family| !family.samples.is_empty());
    let (own, exact) = collected.into_iter().partition(|family| family.info.naming == Naming::Own);
    let mut out = String::new();
    let encoded = [(Registry::with_prefix(PREFIX), own), (Registry::default(), exact)].into_iter().try_for_each(
        |(mut registry, families)| {
            registry.register_collector(Box::new(Scrape { families, format }));
            text::encode_registry(&mut out, &registry)
        },
    );
    let ended = match format {
        TextFormat::Classic => encoded,
        TextFormat::OpenMetrics => encoded.and_then(|()| text::encode_eof(&mut out)),
    };
    ended.map_err(|_| Error::Internal("a metric family holds a sample that does not fit it".to_owned()))?;
    Ok(out)
}

/// The families of one scrape.
#[derive(Debug)]
struct Scrape {
    families: Vec<Family>,
    format: TextFormat,
}

/// How a family is written: the encoder adds `_total` to what it takes for a counter of `OpenMetrics`.
#[derive(Clone, Copy)]
enum Written {
    /// By the encoder's rules.
    ByKind,
    /// A counter under its name as it is, of this type.
    AsIs(MetricType),
}

impl Written {
    const fn of(info: &MetricInfo, format: TextFormat) -> Self {
        match (info.kind, format, info.naming) {
            (MetricKind::Counter, TextFormat::Classic, _) => Self::AsIs(MetricType::Counter),
            (MetricKind::Counter, TextFormat::OpenMetrics, Naming::Triton) => Self::AsIs(MetricType::Unknown),
            (MetricKind::Counter, TextFormat::OpenMetrics, Naming::Own)
            | (MetricKind::Gauge | MetricKind::Histogram, _, _) => Self::ByKind,
        }
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for Family { info, samples } in &self.families {
            let (shown, kind) = match Written::of(info, self.format) {
                Written::AsIs(shown) => (shown, MetricKind::Gauge),
                Written::ByKind => match info.kind {
                    MetricKind::Counter => (MetricType::Counter, MetricKind::Counter),
                    MetricKind::Gauge => (MetricType::Gauge, MetricKind::Gauge),
                    MetricKind::Histogram => (MetricType::Histogram, MetricKind::Histogram),
                },
            };
            // In the classic form the suffix is part of the name.
            let suffixed =
                info.naming == Naming::Own && info.kind == MetricKind::Counter && self.format == TextFormat::Classic;
            let name = if suffixed { format!("{}_total", info.name) } else { info.name.to_owned() };
            let mut metric = encoder.encode_descriptor(&name, info.help, None, shown)?;
            for Sample { labels, value } in samples {
                if labels.len() != info.labels.len() {
                    return Err(std::fmt::Error);
                }
                if labels.is_empty() {
                    encode_value(&mut metric, kind, value)?;
                } else {
                    let labels: Vec<_> = info.labels.iter().copied().zip(labels.iter().map(String::as_str)).collect();
                    encode_value(&mut metric.encode_family(&labels)?, kind, value)?;
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

fn version_families(monitor: &Monitor) -> [Family; 9] {
    let mut families = [
        families::REQUESTS,
        families::REQUEST_ROWS,
        families::REQUEST_FAILURES,
        families::CACHE_REQUESTS,
        families::CACHE_HIT_RATIO,
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
    [requests, rows, failures, cache, hit_ratio, batch_rows, padding, durations, quantiles]: &mut [Family; 9],
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
    hit_ratio.samples.extend(recording.hit_ratio().map(|ratio| Sample::number(&[model, number], ratio)));
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
