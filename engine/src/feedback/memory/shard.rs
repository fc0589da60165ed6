//! A ring of blocks with an index, under one lock.

use std::{collections::VecDeque, sync::Arc};

use hashbrown::HashTable;

use super::{
    super::tally::VersionTally,
    block::{Block, Id},
};

/// A tally that blocks of a shard point at. Each block holding an `Arc` would have all threads count up and down in one place.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) tally: Arc<VersionTally>,
    blocks: usize,
}

#[derive(Debug, Default)]
pub(super) struct Shard {
    /// Number of the first block in the ring.
    first: u64,
    blocks: VecDeque<Block>,
    /// The lower halves of the blocks' numbers, by the hashes of their ids and places: no more than the ring holds are different.
    index: HashTable<u32>,
    pub(super) tallies: Vec<Option<Held>>,
    pub(super) rows: usize,
}

impl Shard {
    pub(super) fn block(&mut self, number: u64) -> Option<&mut Block> {
        self.blocks.get_mut(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// The number of the block with this id and number, whose hash is `key`.
    pub(super) fn find(&self, key: u64, id: &Id, number: u32) -> Option<u64> {
        let Self { first, blocks, index, tallies: _, rows: _ } = self;
        let is = |low: &u32| blocks.get(place(*first, *low)).is_some_and(|block| block.is(id, number));
        index.find(mixed(key), is).map(|low| first + place(*first, *low) as u64)
    }

    /// The place of a tally, for one block more.
    fn hold(&mut self, tally: &Arc<VersionTally>) -> u32 {
        let known = |held: &Option<Held>| held.as_ref().is_some_and(|held| Arc::ptr_eq(&held.tally, tally));
        let place = self.tallies.iter().position(known).unwrap_or_else(|| {
            let held = Some(Held { tally: Arc::clone(tally), blocks: 0 });
            if let Some(free) = self.tallies.iter().position(Option::is_none) {
                self.tallies[free] = held;
                return free;
            }
            self.tallies.push(held);
            self.tallies.len() - 1
        });
        if let Some(held) = &mut self.tallies[place] {
            held.blocks += 1;
        }
        place as u32
    }

    /// One block fewer; gives the tally when it was the last one.
    fn release(&mut self, place: u32) -> Option<Held> {
        let held = self.tallies.get_mut(place as usize)?;
        held.as_mut()?.blocks -= 1;
        held.take_if(|held| held.blocks == 0)
    }

    /// Adds a block of `tally`, found by `key`, and forgets the oldest rows beyond `capacity`. Gives the block's number and
    /// what was forgotten and is not gone with that.
    pub(super) fn push(
        &mut self,
        key: u64,
        mut block: Block,
        tally: &Arc<VersionTally>,
        capacity: usize,
        hash: impl Fn(&Block) -> u64,
    ) -> (u64, Vec<Forgotten>) {
        let number = self.first + self.blocks.len() as u64;
        self.rows += block.rows();
        let tally = self.hold(tally);
        block.set_tally(tally);
        self.blocks.push_back(block);
        let Self { first, blocks, index, tallies: _, rows: _ } = self;
        let rehash = |low: &u32| blocks.get(place(*first, *low)).map_or(0, |block| mixed(hash(block)));
        index.insert_unique(mixed(key), number as u32, rehash);
        let mut forgotten = Vec::new();
        while self.rows > capacity {
            let Some(oldest) = self.blocks.front_mut() else { break };
            let (first_row, beyond) = (oldest.forgotten(), self.rows - capacity);
            let held = oldest.rows() - first_row;
            let whole = held <= beyond;
            let gone = held.min(beyond);
            self.rows -= gone;
            let entities = oldest.forget(gone);
            let number = self.first;
            let block = if whole { self.blocks.pop_front() } else { None };
            let mut tally = None;
            if let Some(block) = &block {
                if let Ok(entry) = self.index.find_entry(mixed(hash(block)), |low| *low == number as u32) {
                    entry.remove();
                }
                self.first += 1;
                tally = self.release(block.tally());
            }
            let plain = matches!(block, Some(Block::One { .. }));
            if !plain || tally.is_some() {
                forgotten.push(Forgotten { number, first_row, entities, _block: block, _tally: tally });
            }
        }
        (number, forgotten)
    }
}

/// The place in a ring that begins with block `first` of the block whose number ends in `low`.
const fn place(first: u64, low: u32) -> usize {
    low.wrapping_sub(first as u32) as usize
}

/// Keys are hashes already, but those of a shard have their lowest bits in common: the halves of a product with the golden ratio.
const fn mixed(key: u64) -> u64 {
    let product = key as u128 * 0x9e37_79b9_7f4a_7c15;
    (product >> 64) as u64 ^ product as u64
}

/// Rows that were forgotten; the block is freed with it, outside of the lock.
#[derive(Debug)]
pub(super) struct Forgotten {
    pub(super) number: u64,
    pub(super) first_row: usize,
    pub(super) entities: Vec<Arc<str>>,
    pub(super) _block: Option<Block>,
    pub(super) _tally: Option<Held>,
}
