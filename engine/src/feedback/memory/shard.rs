//! A ring of blocks and an index of it, under one lock.
//!
//! The index is that of LZ77 compressors (zlib's `head` and `prev`): a table of chains, each from its youngest block to older ones.
//! A block that is forgotten is not taken out of its chain; a chain ends where it leaves the ring. So remembering a block and
//! forgetting another one touches the ring's two ends and one word of the table, and nothing ever moves.

use std::{collections::VecDeque, sync::Arc};

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

/// A block, and the lower half of the number of the one before it in its chain.
#[derive(Debug)]
struct Slot {
    block: Block,
    before: u32,
}

#[derive(Debug)]
pub(super) struct Shard {
    /// Number of the first block in the ring.
    first: u64,
    ring: VecDeque<Slot>,
    /// The lower halves of the numbers of the chains' youngest blocks: no more than the ring holds are different. The length is a
    /// power of two.
    chains: Box<[u32]>,
    pub(super) tallies: Vec<Option<Held>>,
    pub(super) rows: usize,
    /// Most rows, at least 1.
    capacity: usize,
}

impl Shard {
    /// Of at most `capacity` rows. The memory is taken by the first block.
    pub(super) fn new(capacity: usize) -> Self {
        let (ring, chains, tallies) = (VecDeque::new(), Box::default(), Vec::new());
        // A chain that nobody began leads to block 0, which there never is.
        Self { first: 1, ring, chains, tallies, rows: 0, capacity: capacity.max(1) }
    }

    /// Takes the memory of `capacity` blocks of one row, and writes to it so that it is there: a process then needs as much from its
    /// first prediction on as it will ever need, and a ring that grows does not hold up the request that it grows in.
    fn take(&mut self) {
        let Self { first: _, ring, chains, tallies: _, rows: _, capacity } = self;
        // One more while a block is there and the oldest not yet gone.
        ring.resize_with(*capacity + 1, || Slot { block: Block::vacant(), before: 0 });
        ring.clear();
        *chains = vec![0; capacity.next_power_of_two()].into();
    }

    pub(super) fn block(&mut self, number: u64) -> Option<&mut Block> {
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.ring.get_mut(place).map(|slot| &mut slot.block)
    }

    /// The number of the block with this id and number, whose hash is `key`.
    pub(super) fn find(&self, key: u64, id: &Id, number: u32) -> Option<u64> {
        let mut at = place(self.first, *self.chains.get(self.chain(key))?);
        while let Some(Slot { block, before }) = self.ring.get(at) {
            if block.is(id, number) {
                return Some(self.first + at as u64);
            }
            let next = place(self.first, *before);
            // Chains lead to older blocks. One that does not left the ring so long ago that its number has come again.
            if next >= at {
                return None;
            }
            at = next;
        }
        None
    }

    /// The chain of a hash, among those that there are.
    fn chain(&self, key: u64) -> usize {
        mixed(key) as usize & self.chains.len().wrapping_sub(1)
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

    /// Adds a block of `tally`, found by `key`, and forgets the oldest rows beyond the capacity. Gives the block's number and
    /// what was forgotten and is not gone with that.
    pub(super) fn push(&mut self, key: u64, mut block: Block, tally: &Arc<VersionTally>) -> (u64, Vec<Forgotten>) {
        if self.chains.is_empty() {
            self.take();
        }
        let number = self.first + self.ring.len() as u64;
        self.rows += block.rows();
        block.set_tally(self.hold(tally));
        let chain = self.chain(key);
        let before = std::mem::replace(&mut self.chains[chain], number as u32);
        self.ring.push_back(Slot { block, before });
        let mut forgotten = Vec::new();
        while self.rows > self.capacity {
            let Some(Slot { block: oldest, before: _ }) = self.ring.front_mut() else { break };
            let (first_row, beyond) = (oldest.forgotten(), self.rows - self.capacity);
            let held = oldest.rows() - first_row;
            let whole = held <= beyond;
            let gone = held.min(beyond);
            self.rows -= gone;
            let entities = oldest.forget(gone);
            let number = self.first;
            let block = if whole { self.ring.pop_front().map(|slot| slot.block) } else { None };
            let mut tally = None;
            if let Some(block) = &block {
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

#[cfg(test)]
mod tests {
    use contract::{LossKind, Task, TaskSpec};

    use super::{super::super::scorer::Scorer, *};

    fn tally() -> Arc<VersionTally> {
        let task =
            TaskSpec { task: Task::Regression, classes: Vec::new(), score: "y".to_owned(), loss: LossKind::Classic };
        Arc::new(VersionTally::new("m".into(), 1, task.loss, Scorer::new(&task).unwrap()))
    }

    /// Numbers of blocks are kept by their lower halves: what is remembered is found also where those begin again.
    #[test]
    fn finds_blocks_where_their_numbers_begin_again() {
        let tally = tally();
        let id = |i: u64| Id::Uuid((u128::from(i) << 64 | u128::from(i % 7)).to_be_bytes());
        let key = |i: u64| i % 7;
        let mut shard = Shard::new(20);
        shard.first = u64::from(u32::MAX) - 30;
        for i in 0..100 {
            let (number, _) = shard.push(key(i), Block::one(id(i), i as f32), &tally);
            assert_eq!(number, u64::from(u32::MAX) - 30 + i);
            for j in 0..=i {
                let expected = (j + 20 > i).then(|| u64::from(u32::MAX) - 30 + j);
                assert_eq!(shard.find(key(j), &id(j), 0), expected, "{j} of {i}");
            }
        }
    }

    #[test]
    fn its_memory_is_taken_once() {
        let tally = tally();
        let mut shard = Shard::new(1000);
        assert_eq!((shard.ring.capacity(), shard.chains.len()), (0, 0));
        shard.push(0, Block::one(Id::Uuid([0; 16]), 0.0), &tally);
        let taken = shard.ring.capacity();
        for i in 1..5000_u64 {
            shard.push(i, Block::one(Id::Uuid(u128::from(i).to_be_bytes()), 0.0), &tally);
        }
        assert_eq!((shard.ring.capacity(), shard.ring.len(), shard.chains.len()), (taken, 1000, 1024));
        assert_eq!(size_of::<Slot>(), 32);
    }
}
