//! What the cache holds, what it weighs, and what goes when room is needed.

use std::{sync::Arc, time::Instant};

use contract::Tensor;
use quick_cache::{Lifecycle, Weighter};

use super::question::Key;

/// What an entry costs beside its key's and tensors' bytes: its slot in a slab that doubles as it grows, the map's, and the
/// counters of its two `Arc`s.
const ENTRY_OVERHEAD: u64 = 288;
/// What a tensor costs beside its elements: the structure, its name, its shape, and what the allocator rounds up.
const TENSOR_OVERHEAD: u64 = 288;

/// The outputs of a request, shared by all equal ones.
#[derive(Clone, Debug)]
pub(in crate::serve) struct Answer {
    pub(in crate::serve) outputs: Arc<[Tensor]>,
    pub(in crate::serve) rows: usize,
}

/// An answer that is kept.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) answer: Answer,
    pub(super) made: Instant,
    /// Bytes, reckoned once: the cache asks for it under its lock.
    weight: u64,
}

impl Held {
    pub(super) fn new(key: &Key, answer: &Answer, made: Instant) -> Self {
        let outputs: u64 = answer.outputs.iter().map(|tensor| TENSOR_OVERHEAD + tensor_bytes(tensor)).sum();
        let weight = ENTRY_OVERHEAD + key.question.len() as u64 + outputs;
        Self { answer: answer.clone(), made, weight }
    }

    pub(super) const fn weight(&self) -> u64 {
        self.weight
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

#[derive(Clone)]
pub(super) struct Bytes;

impl Weighter<Key, Held> for Bytes {
    fn weight(&self, _key: &Key, held: &Held) -> u64 {
        held.weight
    }
}

/// Counts what goes for want of room, and lets most of it go outside of the lock.
#[derive(Clone)]
pub(super) struct Evictions;

/// What one insert drove out.
#[derive(Default)]
pub(super) struct Evicted {
    pub(super) entries: u64,
    gone: [Option<(Key, Held)>; 2],
}

impl Lifecycle<Key, Held> for Evictions {
    type RequestState = Evicted;

    /// Not called for an answer that another takes the place of.
    fn before_evict(&self, evicted: &mut Evicted, _key: &Key, _held: &mut Held) {
        evicted.entries += 1;
    }

    /// One insert seldom drives out more than two; those are let go here.
    fn on_evict(&self, evicted: &mut Evicted, key: Key, held: Held) {
        if let Some(free) = evicted.gone.iter_mut().find(|slot| slot.is_none()) {
            *free = Some((key, held));
        }
    }
}
