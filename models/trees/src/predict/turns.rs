//! Trees in lanes, leaves as bytes: for trees of up to 256 leaves, row by row.
//!
//! Splits are asked in pre-order, and a tree's lane holds the first leaf of the subtree that its row is known to end in. A split's
//! subtree begins with the leaf that its left one begins with; so the row stands at the split if that is the lane's leaf, and if it
//! then turns right, the lane's leaf becomes the right subtree's first. No other split can take itself for reached: all of what lies
//! left of the lane's leaf has been left for good, and whatever lies right of it begins with a later leaf.
//!
//! That is two comparisons of bytes and a choice for 64 splits, one of each of 64 trees, in four bytes a split, where a word of
//! leaves ([`bits`](super::bits)) takes six or ten. But each split of a tree waits for the one before, so words are better where
//! there are few trees.

#![cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "only vectors walk them"))]

use super::{
    bits::{CODES, left_leaves},
    forest::Laid,
    masks::LEAVES,
};

/// Trees in a register's lanes.
pub(super) const TREES: usize = 64;
/// Groups that are walked side by side by a row that comes alone, so that their splits need not wait for each other.
pub(super) const ABREAST: usize = 2;

/// One split of each tree of a group.
#[repr(C, align(64))]
#[derive(Clone)]
pub(super) struct Slot {
    /// The byte each split asks.
    pub(super) codes: [u8; TREES],
    /// Right above this; 255 where a tree has no such split.
    pub(super) cuts: [u8; TREES],
    /// The first leaf of the split's subtree.
    pub(super) firsts: [u8; TREES],
    /// The first leaf of its right subtree.
    pub(super) rights: [u8; TREES],
}

impl Slot {
    const EMPTY: Self = Self { codes: [0; TREES], cuts: [u8::MAX; TREES], firsts: [0; TREES], rights: [0; TREES] };
}

/// Trees that are asked together.
pub(super) struct Group {
    /// Its slots: as many as the others of its [`ABREAST`] have.
    pub(super) slots: std::ops::Range<usize>,
    /// Its trees.
    pub(super) trees: std::ops::Range<usize>,
    /// Where each tree's leaf values begin; of the trees themselves nothing is read, they would take as much of the cache as
    /// their splits.
    pub(super) values: [u32; TREES],
}

/// A forest of such trees.
pub(super) struct Turns {
    pub(super) slots: Vec<Slot>,
    pub(super) groups: Vec<Group>,
}

impl Turns {
    /// None when a tree has more leaves than a byte can name, or a row more bytes than can be picked from.
    pub(super) fn new(trees: &[Laid], codes: usize) -> Option<Self> {
        if codes > CODES || trees.iter().any(|tree| tree.leaves > LEAVES) {
            return None;
        }
        let (mut slots, mut groups) = (Vec::new(), Vec::new());
        for (number, together) in trees.chunks(ABREAST * TREES).enumerate() {
            let longest = together.iter().map(|tree| tree.splits.len()).max().unwrap_or(0);
            for (group, trees) in together.chunks(TREES).enumerate() {
                let first = slots.len();
                slots.resize(first + longest, Slot::EMPTY);
                let mut values = [0; TREES];
                for (lane, tree) in trees.iter().enumerate() {
                    values[lane] = u32::try_from(tree.values).ok()?;
                    for (place, (split, (from, to))) in tree.splits.iter().zip(left_leaves(tree)).enumerate() {
                        let slot = &mut slots[first + place];
                        slot.codes[lane] = split.question.code as u8;
                        slot.cuts[lane] = split.question.cut;
                        slot.firsts[lane] = from as u8;
                        slot.rights[lane] = to as u8;
                    }
                }
                let from = (number * ABREAST + group) * TREES;
                groups.push(Group { slots: first..slots.len(), trees: from..from + trees.len(), values });
            }
        }
        Some(Self { slots, groups })
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.slots.as_slice()) + size_of_val(self.groups.as_slice())
    }
}
