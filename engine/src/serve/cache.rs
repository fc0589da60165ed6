//! The prediction cache: exact requests to answers, bounded in bytes and age, and one computation for equal requests in
//! flight.
//!
//! - An answer belongs to one load of one version at one revision: these are part of the key, and the request's exact
//!   bytes are compared whole, so a stale or foreign answer cannot come out. Entries of a version that goes are removed.
//! - An answer is never handed out past the model's time to live, nor past the age that the request accepts (RFC 9111).
//! - No request waits for a lock: locks are sharded, held for a map operation, and only tried, a few times in a row. Who still
//!   finds one taken computes as if the answer were not there, or leaves its answer unkept; both are counted.
//! - Equal requests wait for the first one, each with its own deadline (the caller puts a timeout around). When the first
//!   one is cancelled or out of time, the next one computes; when the model itself refuses or fails, all that waited get
//!   that failure, and nothing is kept.
//! - A request that is more urgent than the one that computes does not wait for it, but computes too: later ones wait for it, and
//!   its answer is that of the slower one as well, if it is there first. Should there be no room for it in the queue, it waits after
//!   all.

mod counts;
mod flights;
mod held;
mod question;

use std::{
    cell::RefCell,
    hint,
    pin::pin,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use quick_cache::{DefaultHashBuilder, OptionsBuilder, sync::Cache};

pub use self::counts::CacheStatistics;
use self::{
    counts::Counts,
    flights::{Came, Flights, Refusal, Seat},
    held::{Bytes, Evicted, Evictions, Held},
    question::{Key, KeyRef},
};
pub(super) use self::{
    held::Answer,
    question::{Question, Terms, Urgency},
};
use super::request::CacheStatus;
use crate::{Error, Result};

/// A key may take this part of the cache at most, so that a few huge requests cannot sweep it.
const LARGEST_KEY_PART: u64 = 64;
/// A thread keeps its key buffer up to this size between requests.
const KEPT_BUFFER_BYTES: usize = 1 << 20;
/// Shards for each core, so that two threads seldom want the same. A lock that is taken costs a computation.
const SHARDS_PER_CORE: usize = 8;
/// How often a lock is tried. One that is held by a thread that runs is free by then; one whose thread was stopped is not.
const TRIES: usize = 4;
/// Shards are not smaller, as no entry is larger than half a shard.
const SMALLEST_SHARD: u64 = 1 << 20;

thread_local! {
    /// The key of the request at hand, so that a hit allocates nothing.
    static KEY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Tells the time; tests turn it by hand.
pub(super) type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// What the cache knows about a question at once.
#[derive(Debug)]
pub(super) enum LookUp {
    /// The answer and its age.
    Hit(Answer, Duration),
    /// Nothing that may be handed out; to be computed on these terms.
    Miss(Miss),
    /// To be computed past the cache: the request or the model does not want it, or the question is too large to be kept.
    Past,
}

/// A question that the cache could not answer.
#[derive(Clone, Debug)]
pub(super) struct Miss {
    key: Key,
    terms: Terms,
}

pub(super) struct AnswerCache {
    answers: Cache<Key, Held, Bytes, DefaultHashBuilder, Evictions>,
    flights: Flights,
    hasher: DefaultHashBuilder,
    counts: Counts,
    largest_key: usize,
    largest_entry: u64,
    clock: Clock,
}

impl AnswerCache {
    /// A cache of `bytes` bytes; none when that is zero.
    pub(super) fn new(bytes: u64, clock: Clock) -> Option<Self> {
        if bytes == 0 {
            return None;
        }
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let shards = (cores * SHARDS_PER_CORE).next_power_of_two() as u64;
        let shards = shards.min(bytes / SMALLEST_SHARD).max(1);
        // Only sizes the list of ghosts; nothing is allocated for it ahead.
        let expected_entries = (bytes / 1024).clamp(64, 1 << 20);
        let options = OptionsBuilder::new()
            // A power of two, so that it is not rounded up.
            .shards(1 << shards.ilog2())
            .estimated_items_capacity(usize::try_from(expected_entries).unwrap_or(64))
            .weight_capacity(bytes)
            .build()
            .ok()?;
        let answers = Cache::with_options(options, Bytes, DefaultHashBuilder::default(), Evictions);
        Some(Self {
            largest_key: usize::try_from((bytes / LARGEST_KEY_PART).max(4096)).unwrap_or(usize::MAX),
            largest_entry: answers.shard_capacity() / 2,
            answers,
            flights: Flights::new(),
            hasher: DefaultHashBuilder::default(),
            counts: Counts::default(),
            clock,
        })
    }

    /// Looks a question up without waiting for anything; a hit allocates nothing and reads no clock.
    pub(super) fn look_up(&self, question: &Question<'_>) -> LookUp {
        let Terms { cache, ttl, asked: _, urgency: _ } = question.terms;
        if ttl.is_zero() || !(cache.read || cache.store) {
            return LookUp::Past;
        }
        KEY.with_borrow_mut(|buffer| {
            buffer.clear();
            question.write(buffer);
            let found = self.look_up_bytes(question, buffer);
            if buffer.capacity() > KEPT_BUFFER_BYTES {
                *buffer = Vec::new();
            }
            found
        })
    }

    fn look_up_bytes(&self, question: &Question<'_>, bytes: &[u8]) -> LookUp {
        if bytes.len() > self.largest_key {
            self.counts.too_large.add(1);
            return LookUp::Past;
        }
        let terms = question.terms;
        let key = question.key(bytes, &self.hasher);
        if terms.cache.read
            && let Some((held, age)) = self.find(&key, &terms)
        {
            return LookUp::Hit(held.answer, age);
        }
        LookUp::Miss(Miss { key: key.kept(), terms })
    }

    /// An answer that is held and will do, and its age when it was asked for.
    fn find(&self, key: &KeyRef<'_>, terms: &Terms) -> Option<(Held, Duration)> {
        match tried(|| self.answers.try_get(key).ok()) {
            Some(Some(held)) => {
                let age = terms.age(held.made, terms.asked);
                if age.is_none() && terms.asked.saturating_duration_since(held.made) >= terms.ttl {
                    // It stays where it is: what is computed now takes its place.
                    self.counts.expired.add(1);
                }
                age.map(|age| (held, age))
            }
            Some(None) => None,
            None => {
                self.counts.contended_look_ups.add(1);
                None
            }
        }
    }

    /// The answer to what was missed: from an equal request in flight, or else by `compute`, and kept.
    ///
    /// # Errors
    /// What `compute` gives, here or for the equal request that was waited for.
    pub(super) async fn compute_once(
        &self,
        miss: &Miss,
        compute: impl Future<Output = Result<Answer>>,
    ) -> Result<(Answer, CacheStatus)> {
        let Miss { key, terms } = miss;
        let mut compute = pin!(compute);
        let mut seat = self.seat(miss);
        // Set when this request found no room for itself, and waits for the one that it meant to overtake.
        let mut refused = None;
        while let Some(taken) = seat {
            let mut computed = false;
            let lead = async {
                // The flight that answered this may have ended since the look-up.
                if let Some((held, _age)) = self.find(&key.borrowed(), terms) {
                    return Ok(Ok(held));
                }
                if let Some(refused) = refused.take() {
                    return Err(refused);
                }
                computed = true;
                taken.lead();
                match compute.as_mut().await {
                    Ok(answer) => {
                        let held = self.keep(key, &answer);
                        taken.bring(&held);
                        Ok(Ok(held))
                    }
                    Err(Error::Input(error)) => Ok(Err(Refusal::Input(error))),
                    Err(Error::Run(error)) => Ok(Err(Refusal::Run(error))),
                    // Out of time, overload and the like are this request's own.
                    Err(own) => Err(own),
                }
            };
            let held = match taken.outcome(lead).await {
                Ok(Came::Outcome(Err(refusal))) => return Err(refusal.clone().into()),
                Ok(Came::Outcome(Ok(held))) if computed => return Ok((held.answer.clone(), CacheStatus::Miss)),
                Ok(Came::Outcome(Ok(held)) | Came::Brought(held)) => held,
                Ok(Came::Slower) => {
                    seat = self.seat(miss);
                    continue;
                }
                Err(error @ (Error::Overloaded { .. } | Error::TooLate { .. })) if computed => {
                    let Some(slower) = taken.overtaken() else { return Err(error) };
                    (seat, refused) = (Some(slower), Some(error));
                    continue;
                }
                Err(error) => return Err(error),
            };
            if let Some(age) = terms.age(held.made, (self.clock)()) {
                self.counts.coalesced.add(1);
                return Ok((held.answer.clone(), CacheStatus::Hit { age }));
            }
            break;
        }
        if let Some(refused) = refused {
            return Err(refused);
        }
        let answer = compute.await?;
        if terms.cache.store {
            self.keep(key, &answer);
        }
        Ok((answer, CacheStatus::Miss))
    }

    /// A part in the flight that answers what was missed; none when the request wants none, or that would mean to wait.
    fn seat(&self, miss: &Miss) -> Option<Seat<'_>> {
        let Miss { key, terms } = miss;
        if !(terms.cache.read && terms.cache.store) {
            return None;
        }
        let seat = self.flights.join(key, terms.urgency);
        self.counts.contended_joins.add(u64::from(seat.is_none()));
        self.counts.overtaken.add(u64::from(seat.as_ref().is_some_and(Seat::overtakes)));
        seat
    }

    /// Keeps an answer, unless it is too large or that would mean to wait.
    fn keep(&self, key: &Key, answer: &Answer) -> Held {
        let held = Held::new(key, answer, (self.clock)());
        if held.weight() > self.largest_entry {
            self.counts.too_large.add(1);
            return held;
        }
        let (mut entry, mut evicted) = (Some((key.clone(), held.clone())), Evicted::default());
        let inserted = tried(|| {
            let (key, held) = entry.take()?;
            entry = self.answers.try_insert_with_lifecycle(key, held, &mut evicted).err();
            entry.is_none().then_some(())
        });
        self.counts.contended_inserts.add(u64::from(inserted.is_none()));
        self.counts.evicted.add(evicted.entries);
        held
    }

    /// Removes all entries of a deployment. None is added behind this when nobody uses the deployment any more. This waits
    /// for locks, and requests go past a shard while it is walked through.
    pub(super) fn remove_deployment(&self, deployment: u64) {
        self.answers.retain(|key, _held| key.deployment != deployment);
    }

    /// What it holds and did.
    pub(super) fn statistics(&self) -> CacheStatistics {
        let Counts {
            coalesced,
            overtaken,
            contended_look_ups,
            contended_joins,
            contended_inserts,
            expired,
            evicted,
            too_large,
        } = &self.counts;
        CacheStatistics {
            entries: self.answers.len() as u64,
            bytes: self.answers.weight(),
            capacity_bytes: self.answers.capacity(),
            coalesced: coalesced.get(),
            overtaken: overtaken.get(),
            contended_look_ups: contended_look_ups.get(),
            contended_joins: contended_joins.get(),
            contended_inserts: contended_inserts.get(),
            expired: expired.get(),
            evicted: evicted.get(),
            too_large: too_large.get(),
        }
    }
}

/// What `attempt` gives, if it gives anything at once or in a moment.
fn tried<T>(mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    (0..TRIES).find_map(|_| {
        let got = attempt();
        if got.is_none() {
            hint::spin_loop();
        }
        got
    })
}

#[cfg(test)]
mod tests;
