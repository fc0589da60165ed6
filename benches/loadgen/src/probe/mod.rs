//! What the server says about its own time: counters and histograms at the start and the end of the measured window, and
//! their differences.
//!
//! Emberline's `/metrics` has a histogram for every stage. Any other server of the protocol, and gRPC, has the statistics
//! extension of Triton, which gives means only. A server with neither is measured without.

mod metrics;
mod statistics;

use std::{
    collections::BTreeMap,
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::Instant,
};

use serde::Serialize;

use crate::{Result, Target, client, recorder::Window, target::Protocol};

/// What the server spent its time on, within the window of measurement.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServerStages {
    /// Where it is from: `metrics` or `statistics`.
    pub source: &'static str,
    /// The stages, in the order of a request's way.
    pub stages: Vec<Stage>,
    /// Mean rows of a batch.
    pub mean_batch_rows: Option<f64>,
    /// Requests that the cache answered.
    pub cache_hits: Option<u64>,
    /// Requests not answered, as the server counts them.
    pub failures: u64,
}

/// Time of requests in one stage.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stage {
    /// Its name, as the server says it.
    pub name: String,
    /// Requests.
    pub count: u64,
    /// Mean microseconds.
    pub mean_us: f64,
    /// Median in microseconds, where the server has a histogram; exact to its buckets.
    pub p50_us: Option<f64>,
    /// 99th percentile, likewise.
    pub p99_us: Option<f64>,
}

/// Counters at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
struct Snapshot {
    source: &'static str,
    stages: BTreeMap<String, Clock>,
    batches: f64,
    batch_rows: f64,
    cache_hits: Option<f64>,
    failures: f64,
}

/// A stage's counters.
#[derive(Clone, Debug, Default, PartialEq)]
struct Clock {
    count: f64,
    seconds: f64,
    /// Cumulative counts by upper bound in seconds.
    buckets: Vec<(f64, f64)>,
}

/// Takes the two snapshots on a thread of its own.
#[derive(Debug)]
pub(crate) struct Watch {
    ended: Sender<()>,
    thread: JoinHandle<Option<ServerStages>>,
}

/// Watches the window.
pub(crate) fn watch(target: &Target, window: Window) -> Result<Watch> {
    let (ended, wait) = mpsc::channel::<()>();
    let target = target.clone();
    let thread = thread::Builder::new().name("load-probe".to_owned()).spawn(move || {
        thread::sleep(window.from.saturating_duration_since(Instant::now()));
        let before = snapshot(&target)?;
        match wait.recv_timeout(window.to.saturating_duration_since(Instant::now())) {
            Ok(()) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        Some(difference(&before, &snapshot(&target)?))
    })?;
    Ok(Watch { ended, thread })
}

impl Watch {
    /// The load has ended. None when the server does not tell.
    pub(crate) fn finish(self) -> Option<ServerStages> {
        // It may have taken its second snapshot already.
        let _ = self.ended.send(());
        self.thread.join().ok().flatten()
    }
}

fn snapshot(target: &Target) -> Option<Snapshot> {
    let ask = async {
        if target.protocol == Protocol::Grpc {
            return statistics::over_grpc(target).await;
        }
        let found = client::get(target, &format!("{}/metrics", target.prefix), "metrics").await;
        if let Some(snapshot) = found.ok().and_then(|text| metrics::read(&String::from_utf8_lossy(&text), target)) {
            return Ok(Some(snapshot));
        }
        statistics::over_http(target).await
    };
    client::block_on(ask).ok().flatten()
}

/// The way of a request.
const ORDER: [&str; 14] = [
    "receive",
    "decode",
    "cache",
    "cache_hit",
    "cache_miss",
    "encode",
    "queue",
    "batch",
    "compute_input",
    "compute",
    "compute_infer",
    "compute_output",
    "output",
    "total",
];

fn difference(before: &Snapshot, after: &Snapshot) -> ServerStages {
    let mut stages: Vec<Stage> = after
        .stages
        .iter()
        .filter_map(|(name, after)| {
            let nothing = Clock::default();
            let before = before.stages.get(name).unwrap_or(&nothing);
            let count = after.count - before.count;
            if count <= 0.0 {
                return None;
            }
            let buckets: Vec<(f64, f64)> = after
                .buckets
                .iter()
                .map(|(bound, count)| {
                    let earlier = before.buckets.iter().find(|(other, _)| other == bound);
                    (*bound, count - earlier.map_or(0.0, |(_, count)| *count))
                })
                .collect();
            let micros = |seconds: f64| seconds * 1e6;
            Some(Stage {
                name: name.clone(),
                count: count as u64,
                mean_us: micros((after.seconds - before.seconds) / count),
                p50_us: quantile(&buckets, 0.5).map(micros),
                p99_us: quantile(&buckets, 0.99).map(micros),
            })
        })
        .collect();
    let place = |stage: &Stage| ORDER.iter().position(|name| *name == stage.name).unwrap_or(ORDER.len() - 2);
    stages.sort_by_key(place);
    let batches = after.batches - before.batches;
    let hits = after.cache_hits.map(|hits| (hits - before.cache_hits.unwrap_or(0.0)).max(0.0) as u64);
    ServerStages {
        source: after.source,
        stages,
        mean_batch_rows: (batches > 0.0).then(|| (after.batch_rows - before.batch_rows) / batches),
        cache_hits: hits,
        failures: (after.failures - before.failures).max(0.0) as u64,
    }
}

/// A quantile of cumulative buckets, linear within a bucket, as Prometheus computes it.
fn quantile(buckets: &[(f64, f64)], quantile: f64) -> Option<f64> {
    let total = buckets.last().map(|(_, count)| *count).filter(|count| *count > 0.0)?;
    let rank = quantile * total;
    let (mut lower, mut below) = (0.0, 0.0);
    for (bound, count) in buckets {
        if *count >= rank {
            if bound.is_infinite() {
                return Some(lower);
            }
            let inside = count - below;
            return Some(if inside > 0.0 { lower + (bound - lower) * (rank - below) / inside } else { *bound });
        }
        (lower, below) = (*bound, *count);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_within_their_buckets() {
        let buckets = [(0.001, 50.0), (0.01, 90.0), (f64::INFINITY, 100.0)];
        assert_eq!(quantile(&buckets, 0.5), Some(0.001));
        assert!((quantile(&buckets, 0.7).unwrap() - 0.0055).abs() < 1e-9);
        assert_eq!(quantile(&buckets, 0.99), Some(0.01));
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[(0.1, 0.0)], 0.5), None);
    }

    #[test]
    fn only_what_happened_in_between_counts() {
        let clock = |count: f64, seconds: f64| Clock { count, seconds, buckets: vec![(0.1, count), (1.0, count)] };
        let one = |clock, hits| Snapshot {
            stages: [("queue".to_owned(), clock)].into(),
            cache_hits: Some(hits),
            ..Snapshot::default()
        };
        let stages = difference(&one(clock(10.0, 5.0), 3.0), &one(clock(30.0, 6.0), 4.0));
        assert_eq!(stages.stages[0].count, 20);
        assert!((stages.stages[0].mean_us - 50_000.0).abs() < 1e-6);
        assert_eq!((stages.cache_hits, stages.mean_batch_rows), (Some(1), None));
        let nothing = difference(&one(clock(10.0, 5.0), 3.0), &one(clock(10.0, 5.0), 3.0));
        assert!(nothing.stages.is_empty());
    }
}
