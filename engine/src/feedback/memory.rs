//! The rows that wait for their label: rings in shards with a lock each, the oldest rows of a shard forgotten first.
//!
//! A prediction is kept in blocks of up to 64 rows, which are spread over the shards by id and number, so that a prediction
//! of any size fits. Invariants: a shard's rows are at most its capacity; every index entry points at a block of the ring.
//! Nothing is computed and nothing is freed under a lock.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use uuid::Uuid;

use super::{entities::EntityIndex, scorer::Columns, tally::VersionTally};
use crate::{Error, Result};

/// Rows of a block: as many as the bits of its word of labelled rows.
const BLOCK_ROWS: usize = u64::BITS as usize;
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

/// A prediction id. Ours are UUIDs and take 16 bytes; anything else is kept as it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Id {
    Uuid([u8; 16]),
    Text(Box<str>),
}

impl Id {
    fn new(id: &str) -> Self {
        // Only the hyphenated form in lower case reads back as it was.
        match Uuid::try_parse(id) {
            Ok(uuid) if *uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == *id => {
                Self::Uuid(uuid.into_bytes())
            }
            _ => Self::Text(id.into()),
        }
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Uuid(bytes) => write!(f, "{}", Uuid::from_bytes(*bytes)),
            Self::Text(text) => write!(f, "{text}"),
        }
    }
}

/// Scores of a block; one number needs no allocation.
#[derive(Debug)]
enum Scores {
    One(f32),
    Many(Box<[f32]>),
}

impl Scores {
    fn row(&self, row: usize, width: usize) -> Vec<f32> {
        match self {
            Self::One(score) => vec![*score],
            Self::Many(scores) => scores.chunks_exact(width.max(1)).nth(row).unwrap_or_default().to_vec(),
        }
    }
}

#[derive(Debug)]
struct Block {
    id: Id,
    /// Number of the block in its prediction, and rows of that.
    number: u32,
    prediction_rows: u32,
    rows: u8,
    /// Rows forgotten, from the first.
    forgotten: u8,
    /// Bit i is set once row i was scored.
    labelled: u64,
    width: u32,
    scores: Scores,
    tally: Arc<VersionTally>,
    /// One a row; none when no entity was named.
    entities: Option<Box<[Arc<str>]>>,
}

#[derive(Debug, Default)]
struct Shard {
    /// Number of the first block in the ring.
    first: u64,
    blocks: VecDeque<Block>,
    index: HashMap<(Id, u32), u64>,
    rows: usize,
}

impl Shard {
    fn block(&mut self, number: u64) -> Option<&mut Block> {
        self.blocks.get_mut(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// Adds a block and forgets the oldest rows beyond `capacity`. Gives the block's number and what was forgotten.
    fn push(&mut self, block: Block, capacity: usize) -> (u64, Vec<Forgotten>) {
        let number = self.first + self.blocks.len() as u64;
        self.rows += usize::from(block.rows);
        self.index.insert((block.id.clone(), block.number), number);
        self.blocks.push_back(block);
        let mut forgotten = Vec::new();
        while self.rows > capacity {
            let Some(oldest) = self.blocks.front_mut() else { break };
            let (begin, beyond) = (oldest.forgotten, self.rows - capacity);
            let held = usize::from(oldest.rows - begin);
            let whole = held <= beyond;
            let gone = held.min(beyond);
            self.rows -= gone;
            oldest.forgotten += gone as u8;
            let rows = usize::from(begin)..usize::from(begin) + gone;
            let entities = oldest.entities.as_ref().map(|entities| entities[rows.clone()].to_vec()).unwrap_or_default();
            let block = if whole { self.blocks.pop_front() } else { None };
            if let Some(block) = &block {
                let key = (block.id.clone(), block.number);
                if self.index.get(&key) == Some(&self.first) {
                    self.index.remove(&key);
                }
                self.first += 1;
            }
            let number = if whole { self.first - 1 } else { self.first };
            forgotten.push(Forgotten { number, first_row: rows.start, entities, _block: block });
        }
        (number, forgotten)
    }
}

/// Rows that were forgotten; the block is freed with it, outside of the lock.
#[derive(Debug)]
struct Forgotten {
    number: u64,
    first_row: usize,
    entities: Vec<Arc<str>>,
    _block: Option<Block>,
}

/// All remembered rows.
#[derive(Debug)]
pub(super) struct Memory {
    hasher: RandomState,
    shards: Box<[Mutex<Shard>]>,
    shard_capacity: usize,
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
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            shard_capacity: capacity / shards,
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
        if self.shard_capacity == 0 {
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
            let block = Block {
                id: id.clone(),
                number,
                prediction_rows,
                rows: row_count as u8,
                forgotten: 0,
                labelled: 0,
                width: columns.kept as u32,
                scores: match (row_count * columns.kept, rows.get(columns.first)) {
                    (1, Some(score)) => Scores::One(*score),
                    _ => Scores::Many(kept.copied().collect()),
                },
                tally: Arc::clone(tally),
                entities,
            };
            let shard = self.shard_of(&id, number);
            let (block, forgotten) = self.shards[shard].lock().push(block, self.shard_capacity);
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
        let forgotten =
            self.shards[shard].lock().block(block).map_or(entities.len(), |block| usize::from(block.forgotten));
        for (row, entity) in entities.iter().enumerate().take(forgotten) {
            self.entities.remove(entity, place(row));
        }
    }

    fn unindex(&self, shard: usize, forgotten: &[Forgotten]) {
        for Forgotten { number, first_row, entities, _block: _ } in forgotten {
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
        let shard = self.shard_of(&id, number);
        let block = self.shards[shard].lock().index.get(&(id, number)).copied();
        Ok(block.map(|block| Place { shard, block, row: row % BLOCK_ROWS }))
    }

    fn find_only(&self, key: &str) -> Result<Option<Place>> {
        let id = Id::new(key);
        let shard = self.shard_of(&id, 0);
        let found = {
            let mut ring = self.shards[shard].lock();
            let block = ring.index.get(&(id, 0)).copied();
            block.and_then(|number| Some((number, ring.block(number)?.prediction_rows)))
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
            (
                block.id.clone(),
                block.number,
                Arc::clone(&block.tally),
                block.scores.row(place.row, block.width as usize),
            )
        };
        let row = number as usize * BLOCK_ROWS + place.row;
        Some(Remembered { prediction: format!("{id}#{row}"), tally, scores })
    }

    /// Marks the row at `place` as scored: false when it was before, none when it is forgotten.
    pub(super) fn mark_labelled(&self, place: Place) -> Option<bool> {
        let mut shard = self.shards.get(place.shard)?.lock();
        let block = shard.block(place.block).filter(|block| block.holds(place.row))?;
        let bit = 1 << place.row;
        let first = block.labelled & bit == 0;
        block.labelled |= bit;
        Some(first)
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

    fn shard_of(&self, id: &Id, number: u32) -> usize {
        (self.hasher.hash_one(id) as usize).wrapping_add(number as usize) % self.shards.len()
    }
}

impl Block {
    fn holds(&self, row: usize) -> bool {
        (usize::from(self.forgotten)..usize::from(self.rows)).contains(&row)
    }
}
