//! The prediction cache: exact requests to answers, bounded in bytes and age, and one computation for equal requests in
//! flight.
//!
//! - An answer belongs to one load of one version at one revision: these are part of the key, and the request's exact
//!   bytes are compared whole, so a stale or foreign answer cannot come out. Entries of a version that goes are removed.
//! - An answer is never handed out past its time to live.
//! - Equal requests wait for the first one, each with its own deadline (the caller puts a timeout around). When the first
//!   one is cancelled or out of time, the next one computes; when the model itself refuses or fails, all that waited get
//!   that failure, and nothing is kept.
//! - Locks are sharded and held for a map operation, never while anything is computed.

use std::{
    cell::RefCell,
    hash::Hash,
    sync::Arc,
    time::{Duration, Instant},
};

use contract::{InputError, RunError, Tensor};
use quick_cache::{Equivalent, Weighter, sync::Cache};

use super::request::CacheStatus;
use crate::{Error, Result};

/// What an entry costs beside its key's and tensors' bytes: the map's slot, the counters of its two `Arc`s and the
/// structures themselves.
const ENTRY_OVERHEAD: u64 = 160;
/// What a tensor costs beside its elements: the structure, its name and its shape.
const TENSOR_OVERHEAD: u64 = 160;
/// A key may take this part of the cache at most, so that a few huge requests cannot sweep it.
const LARGEST_KEY_PART: u64 = 64;
/// A thread keeps its key buffer up to this size between requests.
const KEPT_BUFFER_BYTES: usize = 1 << 20;

thread_local! {
    /// The key of the request at hand, so that a hit allocates nothing.
    static KEY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Tells the time; tests turn it by hand.
pub(super) type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// What decides an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    /// The load of a version; never used twice.
    pub(super) deployment: u64,
    /// The model's revision.
    pub(super) revision: u64,
    pub(super) wanted: &'a [String],
    pub(super) inputs: &'a [Tensor],
}

impl Question<'_> {
    /// Everything but deployment and revision, so that equal bytes mean equal requests.
    fn write(&self, key: &mut Vec<u8>) {
        let count = |key: &mut Vec<u8>, value: usize| key.extend_from_slice(&(value as u64).to_le_bytes());
        count(key, self.wanted.len());
        for name in self.wanted {
            count(key, name.len());
            key.extend_from_slice(name.as_bytes());
        }
        count(key, self.inputs.len());
        for input in self.inputs {
            input.append_key(key);
        }
    }
}

/// A question in the form that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    deployment: u64,
    revision: u64,
    question: Arc<[u8]>,
}

/// A question in the form that is looked up; hashes as [`Key`] does, field by field.
#[derive(Hash)]
struct KeyRef<'a> {
    deployment: u64,
    revision: u64,
    question: &'a [u8],
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.deployment == key.deployment && self.revision == key.revision && *self.question == *key.question
    }
}

/// The outputs of a request, shared by all equal ones.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) outputs: Arc<[Tensor]>,
    pub(super) rows: usize,
}

/// A failure that equal requests share, because it would be theirs too.
#[derive(Clone, Debug)]
enum Refusal {
    Input(InputError),
    Run(RunError),
}

/// What an equal request in flight came to.
#[derive(Clone, Debug)]
enum Outcome {
    Answered {
        answer: Answer,
        made: Instant,
    },
    /// Told to those that waited, and removed at once.
    Refused(Refusal),
}

#[derive(Clone)]
struct Bytes;

impl Weighter<Key, Outcome> for Bytes {
    fn weight(&self, key: &Key, outcome: &Outcome) -> u64 {
        let answer = match outcome {
            Outcome::Answered { answer, made: _ } => {
                answer.outputs.iter().map(|tensor| TENSOR_OVERHEAD + tensor_bytes(tensor)).sum()
            }
            Outcome::Refused(_) => 0,
        };
        ENTRY_OVERHEAD + key.question.len() as u64 + answer
    }
}

fn tensor_bytes(tensor: &Tensor) -> u64 {
    let elements = match tensor.strings() {
        // The text and one offset each.
        Some(strings) => strings.iter().map(|text| text.len() + size_of::<usize>()).sum(),
        None => tensor.bytes().map_or(0, <[u8]>::len),
    };
    let validity = tensor.validity().map_or(0, |validity| size_of_val(validity.words()));
    (elements + validity) as u64
}

/// What the cache knows about a question at once.
#[derive(Debug)]
pub(super) enum LookUp {
    /// The answer and its age.
    Hit(Answer, Duration),
    /// Nothing that may be handed out; to be computed under this key.
    Miss(Key),
    /// The question is too large to be kept.
    TooLarge,
}

pub(super) struct AnswerCache {
    outcomes: Cache<Key, Outcome, Bytes>,
    ttl: Duration,
    largest_key: usize,
    clock: Clock,
}

impl AnswerCache {
    /// A cache of `bytes` bytes; none when size or time to live is zero.
    pub(super) fn new(bytes: u64, ttl: Duration, clock: Clock) -> Option<Self> {
        if bytes == 0 || ttl.is_zero() {
            return None;
        }
        // Only sizes the ghost list and the shards; nothing is allocated for it ahead.
        let expected_entries = (bytes / 1024).clamp(64, 1 << 20);
        let outcomes = Cache::with_weighter(usize::try_from(expected_entries).unwrap_or(64), bytes, Bytes);
        let largest_key = usize::try_from((bytes / LARGEST_KEY_PART).max(4096)).unwrap_or(usize::MAX);
        Some(Self { outcomes, ttl, largest_key, clock })
    }

    /// Looks a question up without waiting for anybody's computation; a hit allocates nothing.
    pub(super) fn look_up(&self, question: &Question<'_>) -> LookUp {
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
            return LookUp::TooLarge;
        }
        let Question { deployment, revision, wanted: _, inputs: _ } = *question;
        let key = KeyRef { deployment, revision, question: bytes };
        match self.outcomes.get(&key) {
            Some(Outcome::Answered { answer, made }) => match self.age(made) {
                Some(age) => return LookUp::Hit(answer, age),
                None => self.remove_dead(&key),
            },
            Some(Outcome::Refused(_)) => self.remove_dead(&key),
            None => {}
        }
        LookUp::Miss(Key { deployment, revision, question: Arc::from(bytes) })
    }

    /// The answer to `key`: from the cache, from an equal request in flight, or else by `compute`.
    ///
    /// # Errors
    /// What `compute` gives, here or for the equal request that was waited for.
    pub(super) async fn compute_once(
        &self,
        key: &Key,
        compute: impl Future<Output = Result<Answer>>,
    ) -> Result<(Answer, CacheStatus)> {
        let guard = loop {
            match self.outcomes.get_value_or_guard_async(key).await {
                Ok(Outcome::Answered { answer, made }) => match self.age(made) {
                    Some(age) => return Ok((answer, CacheStatus::Hit { age })),
                    None => self.remove_dead(key),
                },
                Ok(Outcome::Refused(refusal)) => {
                    return Err(match refusal {
                        Refusal::Input(error) => Error::Input(error),
                        Refusal::Run(error) => Error::Run(error),
                    });
                }
                Err(guard) => break guard,
            }
        };
        // From here on a return or a cancel drops the guard, and the next one that waits takes over.
        let result = compute.await;
        let outcome = match &result {
            Ok(answer) => Outcome::Answered { answer: answer.clone(), made: (self.clock)() },
            Err(Error::Input(error)) => Outcome::Refused(Refusal::Input(error.clone())),
            Err(Error::Run(error)) => Outcome::Refused(Refusal::Run(error.clone())),
            // Out of time, overload and the like are this request's own.
            Err(_) => return result.map(|answer| (answer, CacheStatus::Miss)),
        };
        // Refused when the entry is too heavy; those that wait are told all the same.
        let _kept = guard.insert(outcome);
        if result.is_err() {
            self.remove_dead(key);
        }
        result.map(|answer| (answer, CacheStatus::Miss))
    }

    /// Removes all entries of a deployment. None is added behind this when nobody uses the deployment any more.
    pub(super) fn remove_deployment(&self, deployment: u64) {
        self.outcomes.retain(|key, _outcome| key.deployment != deployment);
    }

    /// The age of an answer made at `made`; none when its time is over.
    fn age(&self, made: Instant) -> Option<Duration> {
        Some((self.clock)().saturating_duration_since(made)).filter(|age| *age < self.ttl)
    }

    /// Removes what may not be handed out, unless it was replaced meanwhile.
    fn remove_dead<Q: Hash + Equivalent<Key>>(&self, key: &Q) {
        self.outcomes.remove_if(key, |outcome| match outcome {
            Outcome::Answered { answer: _, made } => self.age(*made).is_none(),
            Outcome::Refused(_) => true,
        });
    }

    /// Number of answers held.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.outcomes.len()
    }

    /// Bytes held.
    #[cfg(test)]
    pub(super) fn weight(&self) -> u64 {
        self.outcomes.weight()
    }
}

#[cfg(test)]
mod tests;
