//! What Triton's statistics extension tells of a version: exact counts and sums of times, from the same recorders as all
//! else here.
//!
//! Counted are requests since the version was loaded; its warming and its self-test are not. Our stages stand for
//! Triton's: queue for queue, batch for `compute_input`, compute for `compute_infer`, output for `compute_output`. Decoding
//! and encoding bytes is in none of them, nor in the time of success, and turning tensors into rows is in the latter alone. An
//! answer from the cache has waited 0 ns in the queue and was not computed.

use serde::{Deserialize, Serialize};

use super::{
    recording::{CacheOutcome, FailureReason, Recording, SizeTimes, Stage},
    version::VersionMonitor,
};

/// How often something happened, and how long it took in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatisticDuration {
    /// How often.
    pub count: u64,
    /// Sum of the times, in nanoseconds.
    pub ns: u64,
}

/// Batches of one exact size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchStatistics {
    /// Rows, padding not counted.
    pub batch_size: u64,
    /// Joining the rows and submitting them, per batch.
    pub compute_input: StatisticDuration,
    /// From submission until the device's answer was read back, per batch.
    pub compute_infer: StatisticDuration,
    /// Counts batches; the time is the sum over their requests, which are decoded side by side on their own threads.
    pub compute_output: StatisticDuration,
}

/// What happened to requests of one model version since it was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionStatistics {
    /// Milliseconds from the Unix epoch to the last answer; 0 when there was none.
    pub last_inference: u64,
    /// Rows computed: those of answered requests that the cache did not answer.
    pub inference_count: u64,
    /// Batches run.
    pub execution_count: u64,
    /// Requests answered, the cache's answers included.
    pub success: StatisticDuration,
    /// Requests not answered.
    pub fail: StatisticDuration,
    /// Waiting for a batch; counts all requests answered.
    pub queue: StatisticDuration,
    /// Joining and submitting; counts requests that were computed.
    pub compute_input: StatisticDuration,
    /// On the device; counts requests that were computed.
    pub compute_infer: StatisticDuration,
    /// Decoding, from the moment the device's answer was there; counts requests that were computed.
    pub compute_output: StatisticDuration,
    /// Answers from the cache, with the time of looking up or of waiting for an equal request in flight.
    pub cache_hit: StatisticDuration,
    /// Answers computed and kept, with the time of looking up and of keeping them.
    pub cache_miss: StatisticDuration,
    /// Requests not answered, by reason.
    pub failures: [(FailureReason, u64); FailureReason::ALL.len()],
    /// Batches by exact size, ascending.
    pub batches: Vec<BatchStatistics>,
}

impl VersionMonitor {
    /// What was recorded so far.
    #[must_use]
    pub fn statistics(&self) -> VersionStatistics {
        let totals = self.read();
        let recording = &totals.recording;
        let stage = |stage| stage_sum(recording, stage);
        let cache = |outcome: CacheOutcome| StatisticDuration {
            count: recording.cache[outcome as usize],
            ns: recording.cache_ns[outcome as usize],
        };
        VersionStatistics {
            last_inference: recording.last.map_or(0, |last| self.epoch_ms(last)),
            inference_count: recording.rows - recording.hit_rows,
            execution_count: recording.batches,
            success: stage(Stage::Total),
            fail: StatisticDuration { count: recording.failures.iter().sum(), ns: recording.failed_ns },
            queue: StatisticDuration { count: recording.requests, ns: stage(Stage::Queue).ns },
            compute_input: stage(Stage::Batch),
            compute_infer: stage(Stage::Compute),
            compute_output: stage(Stage::Output),
            cache_hit: cache(CacheOutcome::Hit),
            cache_miss: cache(CacheOutcome::Miss),
            failures: FailureReason::ALL.map(|reason| (reason, recording.failures[reason as usize])),
            batches: recording.sizes.iter().filter(|(_, size)| size.batches > 0).map(batch_statistics).collect(),
        }
    }
}

fn stage_sum(recording: &Recording<u64>, stage: Stage) -> StatisticDuration {
    let latencies = recording.latencies(stage);
    latencies.map_or_else(StatisticDuration::default, |latencies| StatisticDuration {
        count: latencies.count(),
        ns: latencies.sum_ns(),
    })
}

fn batch_statistics((rows, size): (&usize, &SizeTimes)) -> BatchStatistics {
    let SizeTimes { batches, batch_ns, compute_ns, output_ns } = *size;
    let of = |ns| StatisticDuration { count: batches, ns };
    BatchStatistics {
        batch_size: *rows as u64,
        compute_input: of(batch_ns),
        compute_infer: of(compute_ns),
        compute_output: of(output_ns),
    }
}
