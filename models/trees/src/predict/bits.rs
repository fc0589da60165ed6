//! Trees in lanes, leaves as bits: for trees of up to 64 leaves, row by row.
//!
//! `QuickScorer` (Lucchese et al., SIGIR 2015) keeps a word per tree with a bit for each leaf. A split that sends the row right
//! clears the bits of its left subtree; when all splits have spoken, the first bit left is the leaf. The order of the splits does
//! not matter, so there is no walk and nothing to predict. `QuickScorer` visits the splits by feature and threshold; here a row
//! is bytes already ([`codes`](super::codes)), so all splits are asked, 64 to an instruction: a permutation picks each split's
//! byte out of the row, a comparison gives 64 answers, and each group of trees clears its bits under those answers.
//!
//! Trees come in groups of as many as words fit into 64 bytes; slot `i` of a group holds split `i` of each of its trees.

#![cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "only vectors walk them"))]

use super::forest::{Child, Laid};

/// Bytes of a row that a permutation can pick from.
pub(super) const CODES: usize = 256;
/// Splits asked at once.
pub(super) const SPLITS: usize = 64;

/// A word of leaves, one bit each, the first leaf in the highest bit.
pub(super) trait Word: Copy + Default + Send + Sync + 'static {
    /// Bits.
    const LEAVES: usize;
    /// All leaves.
    const ALL: Self;
    /// All leaves but `from..to`.
    fn without(from: usize, to: usize) -> Self;
    /// A number, if it fits.
    fn of(number: usize) -> Option<Self>;
}

macro_rules! word {
    ($word:ty) => {
        impl Word for $word {
            const LEAVES: usize = <$word>::BITS as usize;
            const ALL: Self = <$word>::MAX;

            fn without(from: usize, to: usize) -> Self {
                (from..to).fold(Self::MAX, |word, leaf| word & !(1 << (Self::LEAVES - 1 - leaf)))
            }

            fn of(number: usize) -> Option<Self> {
                Self::try_from(number).ok()
            }
        }
    };
}

word!(u32);
word!(u64);

/// 64 splits: 4 or 8 slots of a group.
#[repr(C, align(64))]
#[derive(Clone)]
pub(super) struct Chunk<W> {
    /// The byte each split asks.
    pub(super) codes: [u8; SPLITS],
    /// Right above this; 255 where a tree has no such split.
    pub(super) cuts: [u8; SPLITS],
    /// What each split leaves when it sends the row right.
    pub(super) masks: [W; SPLITS],
}

/// Trees that are asked together.
pub(super) struct Group<W> {
    /// Its chunks.
    pub(super) chunks: std::ops::Range<usize>,
    /// Its trees.
    pub(super) trees: std::ops::Range<usize>,
    /// Where each tree's leaf values begin; of the trees themselves nothing is read, they would take as much of the cache as
    /// their splits.
    pub(super) firsts: [W; 16],
}

/// A forest of such trees.
pub(super) struct Groups<W> {
    pub(super) chunks: Vec<Chunk<W>>,
    pub(super) groups: Vec<Group<W>>,
}

impl<W: Word> Groups<W> {
    /// None when a tree has more leaves than a word has bits, or a row more bytes than can be picked from.
    pub(super) fn new(trees: &[Laid], codes: usize) -> Option<Self> {
        if codes > CODES || trees.iter().any(|tree| tree.leaves > W::LEAVES) {
            return None;
        }
        let lanes = 64 / size_of::<W>();
        let slots = SPLITS / lanes;
        let mut chunks = Vec::new();
        let mut groups = Vec::new();
        for (number, group) in trees.chunks(lanes).enumerate() {
            let first = chunks.len();
            let longest = group.iter().map(|tree| tree.splits.len()).max().unwrap_or(0);
            let empty = Chunk { codes: [0; SPLITS], cuts: [u8::MAX; SPLITS], masks: [W::ALL; SPLITS] };
            chunks.resize(first + longest.div_ceil(slots), empty);
            for (lane, tree) in group.iter().enumerate() {
                let ranges = left_leaves(tree);
                for (place, (split, (from, to))) in tree.splits.iter().zip(ranges).enumerate() {
                    let chunk = &mut chunks[first + place / slots];
                    let place = place % slots * lanes + lane;
                    chunk.codes[place] = split.question.code as u8;
                    chunk.cuts[place] = split.question.cut;
                    chunk.masks[place] = W::without(from, to);
                }
            }
            let mut firsts = [W::default(); 16];
            for (place, tree) in firsts.iter_mut().zip(group) {
                *place = W::of(tree.values)?;
            }
            let trees = number * lanes..number * lanes + group.len();
            groups.push(Group { chunks: first..chunks.len(), trees, firsts });
        }
        Some(Self { chunks, groups })
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.chunks.as_slice()) + size_of_val(self.groups.as_slice())
    }
}

/// The leaves of each split's left subtree, from the first one to the one behind the last. Leaves are numbered from left to right, so they are those from its first one up
/// to the first one of the right subtree.
pub(super) fn left_leaves(tree: &Laid) -> Vec<(usize, usize)> {
    let first = |child: Child, firsts: &[usize]| match child {
        Child::Leaf(leaf) => leaf as usize,
        Child::Split(split) => firsts[split as usize],
    };
    // Children lie behind their parents.
    let mut firsts = vec![0; tree.splits.len()];
    for (place, split) in tree.splits.iter().enumerate().rev() {
        firsts[place] = first(split.left, &firsts);
    }
    tree.splits.iter().map(|split| (first(split.left, &firsts), first(split.right, &firsts))).collect()
}
