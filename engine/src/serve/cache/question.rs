//! What decides an answer, what its asker accepts, and the form in which it is looked up and kept.

use std::{
    hash::{BuildHasher, Hash, Hasher},
    sync::Arc,
    time::{Duration, Instant},
};

use contract::Tensor;
use quick_cache::{DefaultHashBuilder, Equivalent};

use crate::serve::request::CacheUse;

/// What decides an answer, and which one will do.
#[derive(Clone, Copy, Debug)]
pub(in crate::serve) struct Question<'a> {
    /// The load of a version; never used twice.
    pub(in crate::serve) deployment: u64,
    /// The model's revision.
    pub(in crate::serve) revision: u64,
    pub(in crate::serve) wanted: &'a [String],
    pub(in crate::serve) inputs: &'a [Tensor],
    pub(in crate::serve) terms: Terms,
}

impl Question<'_> {
    /// Everything but deployment and revision, so that equal bytes mean equal requests.
    pub(super) fn write(&self, key: &mut Vec<u8>) {
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

    /// The form that is looked up. Its bytes are hashed once, here.
    pub(super) fn key<'a>(&self, question: &'a [u8], hasher: &DefaultHashBuilder) -> KeyRef<'a> {
        let Self { deployment, revision, wanted: _, inputs: _, terms: _ } = *self;
        let mut state = hasher.build_hasher();
        state.write_u64(deployment);
        state.write_u64(revision);
        state.write(question);
        KeyRef { hash: state.finish(), deployment, revision, question }
    }
}

/// Which answers will do for a request.
#[derive(Clone, Copy, Debug)]
pub(in crate::serve) struct Terms {
    /// What the request says.
    pub(in crate::serve) cache: CacheUse,
    /// Longest age of an answer of this model.
    pub(in crate::serve) ttl: Duration,
    /// When it asks.
    pub(in crate::serve) asked: Instant,
    /// How long it may wait for an equal request.
    pub(in crate::serve) urgency: Urgency,
}

/// How urgent a request is, in the order of the executor's queues: by level, and within a level by deadline.
#[derive(Clone, Copy, Debug)]
pub(in crate::serve) struct Urgency {
    /// Priority level; 1 is the most urgent.
    pub(in crate::serve) level: u32,
    /// When its time is over.
    pub(in crate::serve) deadline: Instant,
}

impl Terms {
    /// The age at `now` of an answer made at `made`; none when the request does not take it.
    pub(super) fn age(&self, made: Instant, now: Instant) -> Option<Duration> {
        let age = now.saturating_duration_since(made);
        // What was made since it asked is as new as what it would compute itself.
        let fresh = made >= self.asked || (age < self.ttl && self.cache.max_age.is_none_or(|max_age| age <= max_age));
        fresh.then_some(age)
    }
}

/// A question in the form that is kept. Its hash is kept with it: a table that grows hashes its keys again, under its lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) hash: u64,
    pub(super) deployment: u64,
    revision: u64,
    pub(super) question: Arc<[u8]>,
}

impl Key {
    pub(super) fn borrowed(&self) -> KeyRef<'_> {
        let Self { hash, deployment, revision, question } = self;
        KeyRef { hash: *hash, deployment: *deployment, revision: *revision, question }
    }
}

/// A question in the form that is looked up.
#[derive(Clone, Copy)]
pub(super) struct KeyRef<'a> {
    hash: u64,
    deployment: u64,
    revision: u64,
    question: &'a [u8],
}

impl KeyRef<'_> {
    pub(super) fn kept(&self) -> Key {
        let Self { hash, deployment, revision, question } = *self;
        Key { hash, deployment, revision, question: Arc::from(question) }
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Hash for KeyRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.hash == key.hash
            && self.deployment == key.deployment
            && self.revision == key.revision
            && *self.question == *key.question
    }
}
