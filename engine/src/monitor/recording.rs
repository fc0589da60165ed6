//! What is counted about a model version: the same counts once for every recording thread and once for their sum.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use hdrhistogram::Counter;
use serde::{Deserialize, Serialize};

use super::latency::Latencies;

/// A part of a request's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// From the moment a request's bytes were there until they were tensors; absent for requests that came as tensors.
    Decode,
    /// Looking for the answer in the cache and keeping it, or waiting for an equal request in flight; absent past the cache.
    Cache,
    /// Turning the tensors into the model's own rows, on the request's own thread.
    Input,
    /// From admission until its rows are taken into a batch.
    Queue,
    /// From then until the batch was joined and submitted to the device.
    Batch,
    /// From submission until the device's answer was read back.
    Compute,
    /// From then until the outputs were decoded, on the request's own thread.
    Output,
    /// Explaining the outputs, for requests that ask for it.
    Explain,
    /// From the outputs, or their explanation, until they were bytes for the client, remembering them for feedback included.
    Encode,
    /// The whole request, from its inputs to its outputs, cached or not: without decoding and encoding bytes, and without explaining.
    Total,
}

impl Stage {
    /// All stages, in the order of a request.
    pub const ALL: [Self; 10] = [
        Self::Decode,
        Self::Cache,
        Self::Input,
        Self::Queue,
        Self::Batch,
        Self::Compute,
        Self::Output,
        Self::Explain,
        Self::Encode,
        Self::Total,
    ];

    /// The name in reports and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Cache => "cache",
            Self::Input => "input",
            Self::Queue => "queue",
            Self::Batch => "batch",
            Self::Compute => "compute",
            Self::Output => "output",
            Self::Explain => "explain",
            Self::Encode => "encode",
            Self::Total => "total",
        }
    }
}

/// Why a request got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureReason {
    /// Refused for what it is or when it came: inputs that do not fit, a version that is not ready.
    Rejected,
    /// Refused because the queue was full.
    QueueFull,
    /// Refused because it could not be answered before its deadline.
    TooLate,
    /// Taken, and given up because its deadline passed or could no longer be met.
    Deadline,
    /// The caller went away.
    Canceled,
    /// The model or its device failed.
    Backend,
    /// Anything else.
    Other,
}

impl FailureReason {
    /// All reasons.
    pub const ALL: [Self; 7] =
        [Self::Rejected, Self::QueueFull, Self::TooLate, Self::Deadline, Self::Canceled, Self::Backend, Self::Other];

    /// The name in reports and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::QueueFull => "queue_full",
            Self::TooLate => "too_late",
            Self::Deadline => "deadline",
            Self::Canceled => "canceled",
            Self::Backend => "backend",
            Self::Other => "other",
        }
    }
}

/// What the cache had to do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheOutcome {
    /// It answered.
    Hit,
    /// It was asked and had no answer.
    Miss,
    /// It was not asked.
    Off,
}

impl CacheOutcome {
    /// All outcomes.
    pub const ALL: [Self; 3] = [Self::Hit, Self::Miss, Self::Off];

    /// The name in reports and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Off => "off",
        }
    }
}

/// What became of the time of a request that was computed. A request that was split has the sums over its batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ComputeTimes {
    /// [`Stage::Input`].
    pub input: Duration,
    /// [`Stage::Queue`].
    pub queue: Duration,
    /// [`Stage::Batch`].
    pub batch: Duration,
    /// [`Stage::Compute`].
    pub compute: Duration,
    /// [`Stage::Output`].
    pub output: Duration,
    /// All of it, from the input tensors to the output tensors.
    pub whole: Duration,
    /// Rows of the batch that held its last row, padding not counted.
    pub batch_rows: usize,
}

/// A request that was answered.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// Rows of the answer.
    pub rows: usize,
    /// [`Stage::Decode`], if it came as bytes.
    pub decode: Option<Duration>,
    /// What the cache had to do with it.
    pub cache: CacheOutcome,
    /// [`Stage::Cache`]. Time of looking up, and of keeping what was computed; the whole time of waiting for an equal request in flight.
    pub cache_time: Duration,
    /// Present when the answer was computed for this request.
    pub computed: Option<ComputeTimes>,
    /// [`Stage::Total`].
    pub total: Duration,
    /// When it was answered.
    pub ended: Instant,
}

/// Batches of one exact size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SizeTimes {
    pub(super) batches: u64,
    pub(super) batch_ns: u64,
    pub(super) compute_ns: u64,
    /// Of the requests in them, which decode at the same time.
    pub(super) output_ns: u64,
}

/// Batches are counted by the smallest power of two that holds their rows: 1, 2, 4, … 65,536, and beyond.
const BATCH_SIZES: usize = 18;

/// Counts of one thread (32-bit histogram counters) or of all (64-bit).
#[derive(Debug)]
pub(super) struct Recording<C: Counter> {
    pub(super) requests: u64,
    pub(super) rows: u64,
    /// Rows of the requests that the cache answered.
    pub(super) hit_rows: u64,
    pub(super) cache: [u64; CacheOutcome::ALL.len()],
    pub(super) cache_ns: [u64; CacheOutcome::ALL.len()],
    pub(super) failures: [u64; FailureReason::ALL.len()],
    pub(super) failed_ns: u64,
    /// When the last request was answered.
    pub(super) last: Option<Instant>,
    /// By exact number of rows; as many entries at most as a batch may have rows.
    pub(super) sizes: BTreeMap<usize, SizeTimes>,
    pub(super) batches: u64,
    pub(super) batch_rows: u64,
    pub(super) bucket_rows: u64,
    batch_sizes: [u64; BATCH_SIZES],
    /// Made when first recorded to: an executor never records any.
    stages: [Option<Box<Latencies<C>>>; Stage::ALL.len()],
}

impl<C: Counter> Default for Recording<C> {
    fn default() -> Self {
        Self {
            requests: 0,
            rows: 0,
            hit_rows: 0,
            cache: [0; CacheOutcome::ALL.len()],
            cache_ns: [0; CacheOutcome::ALL.len()],
            failures: [0; FailureReason::ALL.len()],
            failed_ns: 0,
            last: None,
            sizes: BTreeMap::new(),
            batches: 0,
            batch_rows: 0,
            bucket_rows: 0,
            batch_sizes: [0; BATCH_SIZES],
            stages: [const { None }; Stage::ALL.len()],
        }
    }
}

impl<C: Counter> Recording<C> {
    #[inline]
    pub(super) fn stage(&mut self, stage: Stage, duration: Duration) {
        let latencies = &mut self.stages[stage as usize];
        if latencies.is_none() {
            *latencies = Latencies::new().map(Box::new);
        }
        if let Some(latencies) = latencies {
            latencies.record(duration);
        }
    }

    #[inline]
    pub(super) fn answered(&mut self, answered: &Answered) {
        let Answered { rows, decode, cache, cache_time, computed, total, ended } = *answered;
        self.request(rows, cache);
        self.cache_ns[cache as usize] += nanos(cache_time);
        self.last = self.last.max(Some(ended));
        self.stage(Stage::Total, total);
        if let Some(decode) = decode {
            self.stage(Stage::Decode, decode);
        }
        match cache {
            CacheOutcome::Hit | CacheOutcome::Miss => self.stage(Stage::Cache, cache_time),
            CacheOutcome::Off => {}
        }
        if let Some(ComputeTimes { input, queue, batch, compute, output, whole: _, batch_rows }) = computed {
            self.stage(Stage::Input, input);
            self.stage(Stage::Queue, queue);
            self.stage(Stage::Batch, batch);
            self.stage(Stage::Compute, compute);
            self.stage(Stage::Output, output);
            self.sizes.entry(batch_rows).or_default().output_ns += nanos(output);
        }
    }

    #[inline]
    pub(super) fn request(&mut self, rows: usize, cache: CacheOutcome) {
        self.requests += 1;
        self.rows += rows as u64;
        self.hit_rows += if cache == CacheOutcome::Hit { rows as u64 } else { 0 };
        self.cache[cache as usize] += 1;
    }

    #[inline]
    pub(super) fn failed(&mut self, reason: FailureReason, time: Duration) {
        self.failures[reason as usize] += 1;
        self.failed_ns += nanos(time);
    }

    #[inline]
    pub(super) fn batch(&mut self, rows: usize, bucket: usize, joining: Duration, computing: Duration) {
        let size = self.sizes.entry(rows).or_default();
        size.batches += 1;
        size.batch_ns += nanos(joining);
        size.compute_ns += nanos(computing);
        self.batches += 1;
        self.batch_rows += rows as u64;
        self.bucket_rows += bucket.max(rows) as u64;
        self.batch_sizes[batch_size(rows)] += 1;
    }

    /// Durations of `stage`; none when nothing was recorded.
    pub(super) fn latencies(&self, stage: Stage) -> Option<&Latencies<C>> {
        self.stages[stage as usize].as_deref().filter(|latencies| !latencies.is_empty())
    }

    /// How many batches held at most that many rows and more than the size before; the last size is open.
    pub(super) fn batch_sizes(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let last = BATCH_SIZES - 1;
        self.batch_sizes.iter().enumerate().map(move |(i, count)| ((i < last).then_some(1 << i), *count))
    }

    fn is_empty(&self) -> bool {
        self.requests == 0
            && self.batches == 0
            && self.failures.iter().all(|count| *count == 0)
            && Stage::ALL.into_iter().all(|stage| self.latencies(stage).is_none())
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn batch_size(rows: usize) -> usize {
    (rows.max(1).next_power_of_two().trailing_zeros() as usize).min(BATCH_SIZES - 1)
}

impl Recording<u32> {
    /// Whether there is something to add to the sum.
    pub(super) fn is_dirty(&self) -> bool {
        !self.is_empty()
    }

    /// Whether a histogram counter could soon overflow, if nobody ever reads. No stage is recorded more often than totals.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        let total = &self.stages[Stage::Total as usize];
        total.as_ref().is_some_and(|latencies| latencies.count() >= u64::from(u32::MAX))
    }

    /// Forgets everything and keeps the memory of the histograms.
    pub(super) fn clear(&mut self) {
        let mut stages = std::mem::take(&mut self.stages);
        stages.iter_mut().flatten().for_each(|latencies| latencies.clear());
        *self = Self { stages, ..Self::default() };
    }
}

impl Recording<u64> {
    /// Requests that the cache answered, as a fraction of those that asked it; none when there were none.
    pub(super) fn hit_ratio(&self) -> Option<f64> {
        let [hits, misses] = [CacheOutcome::Hit, CacheOutcome::Miss].map(|outcome| self.cache[outcome as usize]);
        (hits + misses > 0).then(|| hits as f64 / (hits + misses) as f64)
    }

    /// Adds what a thread recorded.
    pub(super) fn absorb(&mut self, thread: &Recording<u32>) {
        let Recording {
            requests,
            rows,
            hit_rows,
            cache,
            cache_ns,
            failures,
            failed_ns,
            last,
            sizes,
            batches,
            batch_rows,
            bucket_rows,
            batch_sizes,
            stages,
        } = thread;
        self.requests += requests;
        self.rows += rows;
        self.hit_rows += hit_rows;
        self.failed_ns += failed_ns;
        self.last = self.last.max(*last);
        for (rows, SizeTimes { batches, batch_ns, compute_ns, output_ns }) in sizes {
            let total = self.sizes.entry(*rows).or_default();
            total.batches += batches;
            total.batch_ns += batch_ns;
            total.compute_ns += compute_ns;
            total.output_ns += output_ns;
        }
        self.batches += batches;
        self.batch_rows += batch_rows;
        self.bucket_rows += bucket_rows;
        add(&mut self.cache, cache);
        add(&mut self.cache_ns, cache_ns);
        add(&mut self.failures, failures);
        add(&mut self.batch_sizes, batch_sizes);
        for (total, own) in self.stages.iter_mut().zip(stages) {
            let Some(own) = own.as_ref().filter(|latencies| !latencies.is_empty()) else { continue };
            if total.is_none() {
                *total = Latencies::new().map(Box::new);
            }
            if let Some(total) = total {
                total.absorb(own);
            }
        }
    }
}

fn add(totals: &mut [u64], counts: &[u64]) {
    totals.iter_mut().zip(counts).for_each(|(total, count)| *total += count);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_counted_by_powers_of_two() {
        let sizes: Vec<_> =
            [0, 1, 2, 3, 4, 5, 512, 513, 65_536, 65_537, usize::MAX / 2].into_iter().map(batch_size).collect();
        assert_eq!(sizes, [0, 0, 1, 2, 2, 3, 9, 10, 16, 17, 17]);
        let mut recording = Recording::<u32>::default();
        recording.batch(3, 4, Duration::ZERO, Duration::ZERO);
        recording.batch(100_000, 100_000, Duration::ZERO, Duration::ZERO);
        let counted: Vec<_> = recording.batch_sizes().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [(Some(4), 1), (None, 1)]);
    }

    #[test]
    fn clearing_forgets_every_count() {
        let mut recording = Recording::<u32>::default();
        let second = Duration::from_secs(1);
        recording.answered(&Answered {
            rows: 2,
            decode: Some(second),
            cache: CacheOutcome::Hit,
            cache_time: second,
            computed: Some(ComputeTimes::default()),
            total: second,
            ended: Instant::now(),
        });
        recording.failed(FailureReason::Other, second);
        recording.batch(2, 4, second, second);
        assert!(recording.is_dirty());
        recording.clear();
        assert!(!recording.is_dirty());
        let mut total = Recording::<u64>::default();
        total.absorb(&recording);
        assert!(total.is_empty() && total.rows == 0 && total.cache == [0; 3] && total.bucket_rows == 0);
        assert_eq!((total.hit_rows, total.cache_ns, total.failed_ns), (0, [0; 3], 0));
        assert!(total.last.is_none() && total.sizes.is_empty());
    }
}
