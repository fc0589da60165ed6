//! Rows in lanes, trees as masks: for trees of up to 256 leaves.
//!
//! Of a block of [`LANES`] rows each split asks all at once: one comparison of bytes, and the rows that reach it fall into
//! those that reach its left child and those that reach its right one. So a tree costs a few instructions a split, whatever
//! the rows do: no branch, and nothing to wait for in memory.
//!
//! A row's leaf is the first one of the subtree that it last turned right into, for from there on it only went left. So each
//! split writes that leaf's number into the rows that turn right, and no leaf has to be asked. Splits are asked level by level:
//! those of a level do not wait for each other.
//!
//! This form is plain Rust over arrays of bytes, which the compiler turns into the vector instructions of the machine;
//! [`avx512`](super::avx512) has the one with mask registers.

use super::{
    bits::left_leaves,
    forest::{Child, Laid, LaidSplit, Sum},
};

/// Rows a block.
pub(super) const LANES: usize = 64;
/// The most leaves that a lane's byte can name.
pub(super) const LEAVES: usize = 256;

/// A byte for each row of a block.
pub(super) type Lanes = [u8; LANES];

/// The splits of a tree as steps over masks, level by level: step `i` reads mask `i`, mask 0 is that of the root, and the mask
/// behind the last step's takes what leads to leaves.
pub(super) struct Steps {
    pub(super) steps: Vec<Step>,
}

/// One split.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) code: u16,
    pub(super) cut: u8,
    /// The first leaf of the right subtree.
    pub(super) turned: u8,
    /// Mask of the left child.
    pub(super) left: u16,
    /// Mask of the right child.
    pub(super) right: u16,
}

impl Steps {
    /// None when the tree has more leaves than a byte can name.
    pub(super) fn new(tree: &Laid) -> Option<Self> {
        if tree.leaves > LEAVES {
            return None;
        }
        let order = by_level(&tree.splits);
        let mut places = vec![0_u16; order.len()];
        for (place, split) in order.iter().enumerate() {
            places[*split] = place as u16;
        }
        let mask = |child: Child| match child {
            Child::Split(split) => places[split as usize],
            Child::Leaf(_) => order.len() as u16,
        };
        let ranges = left_leaves(tree);
        let step = |split: &usize| {
            let LaidSplit { question, left, right } = tree.splits[*split];
            let turned = ranges[*split].1 as u8;
            Step { code: question.code, cut: question.cut, turned, left: mask(left), right: mask(right) }
        };
        Some(Self { steps: order.iter().map(step).collect() })
    }

    /// The leaf of each row of a block, given the block's codes, one [`Lanes`] a code.
    #[inline(always)]
    pub(super) fn leaves(&self, codes: &[Lanes], masks: &mut [Lanes], out: &mut Lanes) {
        masks[0] = [u8::MAX; LANES];
        *out = [0; LANES];
        for (place, step) in self.steps.iter().enumerate() {
            let mask = masks[place];
            let code = &codes[usize::from(step.code)];
            let mut left = [0; LANES];
            let mut right = [0; LANES];
            for lane in 0..LANES {
                let goes = if code[lane] <= step.cut { u8::MAX } else { 0 };
                left[lane] = mask[lane] & goes;
                right[lane] = mask[lane] & !goes;
                // Each turn to the right leads to a later leaf than the turns before it.
                out[lane] = out[lane].max(right[lane] & step.turned);
            }
            masks[usize::from(step.left)] = left;
            masks[usize::from(step.right)] = right;
        }
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.steps.as_slice())
    }

    /// Masks that [`Steps::leaves`] needs.
    pub(super) fn masks(&self) -> usize {
        self.steps.len() + 1
    }
}

/// A tree's splits in the order of their levels, within a level from left to right.
fn by_level(splits: &[LaidSplit]) -> Vec<usize> {
    // Children lie behind their parents.
    let mut levels = vec![0_usize; splits.len()];
    for (place, split) in splits.iter().enumerate() {
        for child in [split.left, split.right] {
            if let Child::Split(child) = child {
                levels[child as usize] = levels[place] + 1;
            }
        }
    }
    let mut order: Vec<usize> = (0..splits.len()).collect();
    order.sort_by_key(|split| levels[*split]);
    order
}

/// Adds each row's leaf value to its sum.
#[inline(always)]
pub(super) fn add<S: Sum>(values: &[S], leaves: &Lanes, sums: &mut [S; LANES]) {
    for (leaf, sum) in leaves.iter().zip(sums) {
        *sum = *sum + values[usize::from(*leaf)];
    }
}
