//! The rows that wait for their label: rings in shards with a lock each, the oldest rows of a shard forgotten first.
//!
//! A prediction is kept in blocks of up to 64 rows, which are spread over the shards by id and number, so that a prediction
//! of any size fits. Invariants: a shard's rows are at most its capacity; every block of a ring is in a chain of its index.
//! Nothing is computed under a lock, and nothing is freed there that took an allocation. A prediction of one row without entities,
//! which most are, costs neither an allocation nor a counter that all threads share.

mod block;
mod shard;

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use self::{
    block::{BLOCK_ROWS, Block, Id, Many},
    shard::{Forgotten, Shard},
};
use super::{entities::EntityIndex, scorer::Columns, tally::VersionTally};
use crate::{Error, Result};

/// Most shards.
const SHARDS: usize = 16;
/// A shard is worth its while from this many rows.
const SHARD_ROWS: usize = 4096;

/// Where a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    shard: usize,
    /// Number of the block since the shard began.
    block: u64,
    /// Row of the block.
    row: usize,
}

/// A row to be scored.
#[derive(Debug)]
pub(super) struct Remembered {
    /// As `id#row`.
    pub(super) prediction: String,
    pub(super) tally: Arc<VersionTally>,
    pub(super) scores: Vec<f32>,
}

/// All remembered rows.
#[derive(Debug)]
pub(super) struct Memory {
    hasher: RandomState,
    shards: Box<[Mutex<Shard>]>,
    remembers: bool,
    entities: EntityIndex,
    /// Counts predictions with entities, to tell which of two came later.
    order: AtomicU64,
}

impl Memory {
    /// Room for `capacity` rows.
    pub(super) fn new(capacity: usize) -> Self {
        let shards = (capacity / SHARD_ROWS).clamp(1, SHARDS);
        Self {
            hasher: RandomState::new(),
            shards: (0..shards).map(|_| Mutex::new(Shard::new(capacity / shards))).collect(),
            remembers: capacity > 0,
            entities: EntityIndex::new(),
            order: AtomicU64::new(0),
        }
    }

    /// Remembers all rows of a prediction.
    pub(super) fn remember(
        &self,
        id: &str,
        tally: &Arc<VersionTally>,
        entities: Option<&[String]>,
        columns: Columns,
        scores: &[f32],
    ) {
        if !self.remembers {
            return;
        }
        let id = Id::new(id);
        let order = if entities.is_some() { self.order.fetch_add(1, Ordering::Relaxed) } else { 0 };
        let prediction_rows = u32::try_from(scores.len() / columns.total).unwrap_or(u32::MAX);
        for (number, rows) in scores.chunks(BLOCK_ROWS * columns.total).enumerate() {
            let kept =
                rows.chunks_exact(columns.total).flat_map(|row| &row[columns.first..columns.first + columns.kept]);
            let row_count = rows.len() / columns.total;
            let entities: Option<Box<[Arc<str>]>> = entities.map(|entities| {
                let from = number * BLOCK_ROWS;
                entities[from..from + row_count].iter().map(|entity| Arc::from(entity.as_str())).collect()
            });
            let named = entities.clone();
            let number = number as u32;
            let block = if let (1, 1, Some(score), None) =
                (prediction_rows, columns.kept, rows.get(columns.first), &entities)
            {
                Block::one(id.clone(), *score)
            } else {
                let (rows, scores) = (row_count as u8, kept.copied().collect());
                let (id, tally, forgotten, labelled) = (id.clone(), 0, 0, 0);
                let many = Many { id, tally, number, prediction_rows, rows, forgotten, labelled, scores, entities };
                Block::Many(Box::new(many))
            };
            let key = self.key(&id, number);
            let shard = self.shard_of(key);
            let (block, forgotten) = self.shards[shard].lock().push(key, block, tally);
            self.unindex(shard, &forgotten);
            if let Some(entities) = named {
                self.index(shard, block, order, tally, &entities);
            }
        }
    }

    fn index(&self, shard: usize, block: u64, order: u64, tally: &Arc<VersionTally>, entities: &[Arc<str>]) {
        let place = |row| Place { shard, block, row };
        for (row, entity) in entities.iter().enumerate() {
            self.entities.insert(entity, tally, order, place(row));
        }
        // Rows that were forgotten meanwhile may have been unindexed before they were indexed.
        let forgotten = self.shards[shard].lock().block(block).map_or(entities.len(), |block| block.forgotten());
        for (row, entity) in entities.iter().enumerate().take(forgotten) {
            self.entities.remove(entity, place(row));
        }
    }

    fn unindex(&self, shard: usize, forgotten: &[Forgotten]) {
        for Forgotten { number, first_row, entities, _block: _, _tally: _ } in forgotten {
            for (i, entity) in entities.iter().enumerate() {
                self.entities.remove(entity, Place { shard, block: *number, row: first_row + i });
            }
        }
    }

    /// The row of `id#row`, or of `id` when that prediction has one row; none when it is not remembered.
    pub(super) fn find(&self, key: &str) -> Result<Option<Place>> {
        let (text, row) = match key.rsplit_once('#') {
            Some((id, row)) if !row.is_empty() && row.bytes().all(|byte| byte.is_ascii_digit()) => {
                (id, row.parse().ok())
            }
            _ => return self.find_only(key),
        };
        // A row number that is too large for any prediction is not remembered.
        let Some(row): Option<usize> = row else { return Ok(None) };
        let Ok(number) = u32::try_from(row / BLOCK_ROWS) else { return Ok(None) };
        let id = Id::new(text);
        let key = self.key(&id, number);
        let shard = self.shard_of(key);
        let block = self.shards[shard].lock().find(key, &id, number);
        Ok(block.map(|block| Place { shard, block, row: row % BLOCK_ROWS }))
    }

    fn find_only(&self, key: &str) -> Result<Option<Place>> {
        let id = Id::new(key);
        let hash = self.key(&id, 0);
        let shard = self.shard_of(hash);
        let found = {
            let mut ring = self.shards[shard].lock();
            let block = ring.find(hash, &id, 0);
            block.and_then(|number| Some((number, ring.block(number)?.prediction_rows())))
        };
        match found {
            None => Ok(None),
            Some((block, 1)) => Ok(Some(Place { shard, block, row: 0 })),
            Some((_, rows)) => Err(Error::BadRequest(format!(
                "prediction '{key}' has {rows} rows; expected one of them, '{key}#0' to '{key}#{}'",
                rows - 1
            ))),
        }
    }

    /// The last remembered row of an entity.
    pub(super) fn find_entity(&self, model: Option<&str>, entity: &str) -> Option<Place> {
        self.entities.get(model, entity)
    }

    /// The row at `place`; none when it is forgotten or never was.
    pub(super) fn get(&self, place: Place) -> Option<Remembered> {
        let (id, number, tally, scores) = {
            let mut shard = self.shards.get(place.shard)?.lock();
            let block = shard.block(place.block).filter(|block| block.holds(place.row))?;
            let ((id, number), tally) = (block.name(), block.tally() as usize);
            let scores = block.scores(place.row);
            (id, number, Arc::clone(&shard.tallies.get(tally)?.as_ref()?.tally), scores)
        };
        let row = number as usize * BLOCK_ROWS + place.row;
        Some(Remembered { prediction: format!("{id}#{row}"), tally, scores })
    }

    /// Marks the row at `place` as scored: false when it was before, none when it is forgotten.
    pub(super) fn mark_labelled(&self, place: Place) -> Option<bool> {
        let mut shard = self.shards.get(place.shard)?.lock();
        let block = shard.block(place.block).filter(|block| block.holds(place.row))?;
        Some(block.label(place.row))
    }

    /// Rows remembered.
    pub(super) fn rows(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().rows).sum()
    }

    /// Entities that have a remembered row.
    #[cfg(test)]
    pub(super) fn entity_count(&self) -> usize {
        self.entities.len()
    }

    /// The hash of a block's id and number. Our ids are random in their second half, so that needs no hashing; blocks of a
    /// prediction follow each other from shard to shard.
    fn key(&self, id: &Id, number: u32) -> u64 {
        let id = match id {
            Id::Uuid([_, _, _, _, _, _, _, _, random @ ..]) => u64::from_be_bytes(*random),
            Id::Text(text) => self.hasher.hash_one(text),
        };
        id.wrapping_add(u64::from(number))
    }

    const fn shard_of(&self, key: u64) -> usize {
        key as usize % self.shards.len()
    }
}
