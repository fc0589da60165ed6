//! Rows in lanes, trees as masks: for trees of up to 256 leaves.
//!
//! Of a block of [`LANES`] rows each split asks all at once: one comparison of bytes, and the rows that reach it fall into
//! those that reach its left child and those that reach its right one. So a tree costs a few instructions a split, whatever
//! the rows do: no branch, and nothing to wait for in memory.
//!
//! This form is plain Rust over arrays of bytes, which the compiler turns into the vector instructions of the machine;
//! [`avx512`](super::avx512) has the one with mask registers.

use super::forest::{Child, Laid};

/// Rows a block.
pub(super) const LANES: usize = 64;
/// The most leaves that a lane's byte can name.
pub(super) const LEAVES: usize = 256;

/// A byte for each row of a block.
pub(super) type Lanes = [u8; LANES];

/// The splits of a tree as steps over masks: mask 0 is that of the root, split `i` reads mask `i`, and leaf `l` has mask
/// `splits + l`.
pub(super) struct Steps {
    pub(super) steps: Vec<Step>,
    pub(super) leaves: usize,
}

/// One split.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) code: u16,
    pub(super) cut: u8,
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
        let splits = tree.splits.len();
        let mask = |child: Child| match child {
            Child::Split(split) => split as u16,
            Child::Leaf(leaf) => splits as u16 + leaf as u16,
        };
        let step = |split: &super::forest::LaidSplit| Step {
            code: split.question.code,
            cut: split.question.cut,
            left: mask(split.left),
            right: mask(split.right),
        };
        Some(Self { steps: tree.splits.iter().map(step).collect(), leaves: tree.leaves })
    }

    /// The leaf of each row of a block, given the block's codes, one [`Lanes`] a code.
    #[inline(always)]
    pub(super) fn leaves(&self, codes: &[Lanes], masks: &mut [Lanes], out: &mut Lanes) {
        masks[0] = [u8::MAX; LANES];
        for (place, step) in self.steps.iter().enumerate() {
            let mask = masks[place];
            let code = &codes[usize::from(step.code)];
            let mut left = [0; LANES];
            let mut right = [0; LANES];
            for lane in 0..LANES {
                let goes = if code[lane] <= step.cut { u8::MAX } else { 0 };
                left[lane] = mask[lane] & goes;
                right[lane] = mask[lane] & !goes;
            }
            masks[usize::from(step.left)] = left;
            masks[usize::from(step.right)] = right;
        }
        *out = [0; LANES];
        for (leaf, mask) in masks[self.steps.len()..][..self.leaves].iter().enumerate() {
            for lane in 0..LANES {
                out[lane] |= mask[lane] & leaf as u8;
            }
        }
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.steps.as_slice())
    }

    /// Masks that [`Steps::leaves`] needs.
    pub(super) fn masks(&self) -> usize {
        self.steps.len() + self.leaves
    }
}
