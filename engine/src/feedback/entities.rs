//! Which remembered row is the last one predicted for an entity, by model.
//!
//! Invariant: an entry points at a row that is remembered, but for the moment between a row's end and its removal here.
//! So the index is as bounded as the memory it points into.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use parking_lot::Mutex;

use super::{memory::Place, tally::VersionTally};

const SHARDS: usize = 16;

/// The last row of an entity by one model.
#[derive(Debug)]
struct Last {
    tally: Arc<VersionTally>,
    /// Of two predictions the one with the larger number came later.
    order: u64,
    place: Place,
}

/// The last rows by entity, in shards with a lock each.
#[derive(Debug)]
pub(super) struct EntityIndex {
    hasher: RandomState,
    shards: [Mutex<HashMap<Arc<str>, Vec<Last>>>; SHARDS],
}

impl EntityIndex {
    pub(super) fn new() -> Self {
        Self { hasher: RandomState::new(), shards: [const { None::<()> }; SHARDS].map(|_| Mutex::default()) }
    }

    /// Makes `place` the entity's last row, unless a later one is known.
    pub(super) fn insert(&self, entity: &Arc<str>, tally: &Arc<VersionTally>, order: u64, place: Place) {
        let last = Last { tally: Arc::clone(tally), order, place };
        let mut shard = self.shard(entity).lock();
        if let Some(models) = shard.get_mut(&**entity) {
            match models.iter_mut().find(|known| known.tally.model() == tally.model()) {
                Some(known) if known.order <= order => *known = last,
                Some(_) => {}
                None => models.push(last),
            }
        } else {
            shard.insert(Arc::clone(entity), vec![last]);
        }
    }

    /// Removes the entity's entry for a row that is forgotten.
    pub(super) fn remove(&self, entity: &str, place: Place) {
        let mut shard = self.shard(entity).lock();
        if let Some(models) = shard.get_mut(entity) {
            models.retain(|last| last.place != place);
            if models.is_empty() {
                shard.remove(entity);
            }
        }
    }

    /// The entity's last row, by `model` or by any.
    pub(super) fn get(&self, model: Option<&str>, entity: &str) -> Option<Place> {
        let shard = self.shard(entity).lock();
        let models = shard.get(entity)?.iter();
        models
            .filter(|last| model.is_none_or(|model| **last.tally.model() == *model))
            .max_by_key(|last| last.order)
            .map(|last| last.place)
    }

    /// Entities known.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    fn shard(&self, entity: &str) -> &Mutex<HashMap<Arc<str>, Vec<Last>>> {
        &self.shards[self.hasher.hash_one(entity) as usize % SHARDS]
    }
}
