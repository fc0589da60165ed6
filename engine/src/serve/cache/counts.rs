//! What the cache did beside hits and misses, which are counted by version with the requests.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::monitor::{Family, Sample, families};

/// A number that only grows. None of them is touched by a hit.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, more: u64) {
        if more > 0 {
            self.0.fetch_add(more, Ordering::Relaxed);
        }
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) coalesced: Count,
    pub(super) overtaken: Count,
    pub(super) contended_look_ups: Count,
    pub(super) contended_joins: Count,
    pub(super) contended_inserts: Count,
    pub(super) expired: Count,
    pub(super) evicted: Count,
    pub(super) too_large: Count,
}

/// What the prediction cache holds and did. All counts begin with the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheStatistics {
    /// Answers held.
    pub entries: u64,
    /// Bytes they take, reckoned.
    pub bytes: u64,
    /// Bytes they may take.
    pub capacity_bytes: u64,
    /// Requests that got the answer of an equal one that was under way.
    pub coalesced: u64,
    /// Requests under way that an equal and more urgent one did not wait for.
    pub overtaken: u64,
    /// Look-ups that found a lock taken and counted as misses.
    pub contended_look_ups: u64,
    /// Requests that found a lock taken where equal requests under way are listed, and computed by themselves.
    pub contended_joins: u64,
    /// Answers not kept because a lock was taken.
    pub contended_inserts: u64,
    /// Look-ups that found an answer past the model's time to live.
    pub expired: u64,
    /// Answers that went for want of room.
    pub evicted: u64,
    /// Requests whose key, and answers that, are too large to be kept.
    pub too_large: u64,
}

impl CacheStatistics {
    /// The metric families that show it.
    pub(in crate::serve) fn families(&self) -> Vec<Family> {
        let Self {
            entries,
            bytes,
            capacity_bytes,
            coalesced,
            overtaken,
            contended_look_ups,
            contended_joins,
            contended_inserts,
            expired,
            evicted,
            too_large,
        } = *self;
        let contended = [("read", contended_look_ups), ("join", contended_joins), ("insert", contended_inserts)]
            .map(|(operation, count)| Sample::count(&[operation], count));
        let one = |value| vec![Sample::count(&[], value)];
        vec![
            families::CACHE_ENTRIES.family(one(entries)),
            families::CACHE_BYTES.family(one(bytes)),
            families::CACHE_CAPACITY.family(one(capacity_bytes)),
            families::CACHE_COALESCED.family(one(coalesced)),
            families::CACHE_OVERTAKEN.family(one(overtaken)),
            families::CACHE_CONTENDED.family(contended.to_vec()),
            families::CACHE_EXPIRED.family(one(expired)),
            families::CACHE_EVICTED.family(one(evicted)),
            families::CACHE_TOO_LARGE.family(one(too_large)),
        ]
    }
}
