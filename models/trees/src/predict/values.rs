//! Trees in lanes, leaves as bits, on the values as they came: for small forests of small trees.
//!
//! As in [`bits`](super::bits) each split that sends the row right clears the leaves of its left subtree. But where a forest asks a few
//! dozen questions, turning the row into bytes first takes longer than they do; so here a slot holds the features and the thresholds
//! of one split of each of 16 trees, and is asked by one comparison of f32.

#![cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "only vectors walk them"))]

use super::{
    bits::{Word, left_leaves},
    forest::{Forest, Sum},
};

/// Trees in a register's lanes.
pub(super) const TREES: usize = 16;
/// The most leaves of a tree: bits of a word.
const LEAVES: usize = 32;
/// Of more slots, the bytes of [`bits`](super::bits) are worth their making.
const SLOTS: usize = 1024;

/// One split of each tree of a group.
#[repr(C, align(64))]
#[derive(Clone)]
pub(super) struct Slot {
    /// The feature that each split asks, which the row has.
    features: [u32; TREES],
    /// Right above this; infinity where a tree has no such split.
    pub(super) cuts: [f32; TREES],
    /// What each split leaves when it sends the row right.
    pub(super) masks: [u32; TREES],
    /// By lane, whether NaN goes right.
    pub(super) missing_right: u16,
}

impl Slot {
    const EMPTY: Self =
        Self { features: [0; TREES], cuts: [f32::INFINITY; TREES], masks: [u32::MAX; TREES], missing_right: 0 };

    /// The feature that each split asks: less than [`Values::features`].
    pub(super) const fn features(&self) -> &[u32; TREES] {
        &self.features
    }
}

/// Trees that are asked together.
pub(super) struct Group {
    /// Its slots.
    pub(super) slots: std::ops::Range<usize>,
    /// Its trees.
    pub(super) trees: std::ops::Range<usize>,
    /// Where each tree's leaf values begin.
    pub(super) values: [u32; TREES],
}

/// A forest of such trees.
pub(super) struct Values {
    features: usize,
    pub(super) slots: Vec<Slot>,
    pub(super) groups: Vec<Group>,
}

impl Values {
    /// None when the forest is too large for it, or asks for more than whether an f32 lies above a threshold.
    pub(super) fn new<S: Sum>(forest: &Forest<S>) -> Option<Self> {
        let splits = forest.trees.iter().map(|tree| tree.splits.len()).sum::<usize>();
        let fits = forest.trees.iter().all(|tree| tree.leaves <= LEAVES) && splits <= SLOTS * TREES;
        if !fits || forest.features == 0 {
            return None;
        }
        let codes = forest.codes.plain();
        let (mut slots, mut groups) = (Vec::new(), Vec::new());
        for (number, trees) in forest.trees.chunks(TREES).enumerate() {
            let first = slots.len();
            let longest = trees.iter().map(|tree| tree.splits.len()).max().unwrap_or(0);
            slots.resize(first + longest, Slot::EMPTY);
            let mut values = [0; TREES];
            for (lane, tree) in trees.iter().enumerate() {
                values[lane] = u32::try_from(tree.values).ok()?;
                for (place, (split, (from, to))) in tree.splits.iter().zip(left_leaves(tree)).enumerate() {
                    let step = codes[usize::from(split.question.code)].above(split.question.cut)?;
                    let slot = &mut slots[first + place];
                    slot.features[lane] = u32::try_from(step.feature).ok()?;
                    slot.cuts[lane] = step.cut;
                    slot.masks[lane] = u32::without(from, to);
                    slot.missing_right |= u16::from(step.missing_right) << lane;
                }
            }
            let trees = number * TREES..number * TREES + trees.len();
            groups.push(Group { slots: first..slots.len(), trees, values });
        }
        Some(Self { features: forest.features, slots, groups })
    }

    /// Features of a row.
    pub(super) const fn features(&self) -> usize {
        self.features
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.slots.as_slice()) + size_of_val(self.groups.as_slice())
    }
}
