//! Which way, and the loop over rows.

#[cfg(not(target_arch = "x86_64"))]
use super::bits::Word as Lane;
#[cfg(target_arch = "x86_64")]
use super::{
    avx2::Avx2,
    avx512::{Avx512, Lane},
    masks::LEAVES,
};
use super::{
    bits::{CODES, Groups, Word},
    codes::Value,
    forest::{Forest, Sum},
    machine::{Instructions, Machine},
    masks::{LANES, Lanes, Steps},
    search::Portable,
    walk::{ABREAST, Nodes},
};
use crate::Ensemble;

/// A way to find the leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Trees in lanes, leaves as bits.
    Bits,
    /// Rows in lanes, trees as masks.
    Masks,
    /// Node by node.
    Walk,
    /// As the reference does.
    Reference,
}

/// Memory for calls, to be used again: a thread's own.
#[derive(Default)]
pub struct Scratch {
    /// One [`Lanes`] a code.
    lanes: Vec<Lanes>,
    /// A row's bytes, row by row.
    bytes: Vec<u8>,
    masks: Vec<Lanes>,
    f32: Vec<f32>,
    f64: Vec<f64>,
}

/// An engine for sums in `S`.
pub(super) struct Engine<S> {
    forest: Forest<S>,
    narrow: Option<Groups<u32>>,
    wide: Option<Groups<u64>>,
    masks: Option<Vec<Steps>>,
    walk: Nodes,
    machine: Machine,
}

/// The part of a [`Scratch`] that holds sums in `S`.
pub(super) trait Sums: Sum {
    fn of_scratch(scratch: &mut Scratch) -> &mut Vec<Self>;
}

impl Sums for f32 {
    fn of_scratch(scratch: &mut Scratch) -> &mut Vec<Self> {
        &mut scratch.f32
    }
}

impl Sums for f64 {
    fn of_scratch(scratch: &mut Scratch) -> &mut Vec<Self> {
        &mut scratch.f64
    }
}

/// Rows that walk through one tree after another: few enough for their bytes to stay in a cache, and enough for each tree's
/// nodes to be worth fetching.
const BLOCK: usize = 256;

/// Rows that the words of leaves are made for at once.
const SIDE_BY_SIDE: usize = 4;

impl<S: Sums> Engine<S> {
    pub(super) fn new(ensemble: &Ensemble, instructions: Instructions) -> Option<Self> {
        let forest = Forest::<S>::new(ensemble)?;
        let (trees, codes) = (&forest.trees, forest.codes.count());
        let narrow = Groups::new(trees, codes);
        let wide = if narrow.is_none() { Groups::new(trees, codes) } else { None };
        Some(Self {
            narrow,
            wide,
            masks: trees.iter().map(Steps::new).collect(),
            walk: Nodes::new(trees, codes),
            forest,
            machine: Machine::with(instructions),
        })
    }

    /// Gives back what only other ways need.
    pub(super) fn keep(&mut self, ways: &[Way]) {
        if !ways.contains(&Way::Bits) {
            (self.narrow, self.wide) = (None, None);
        }
        if !ways.contains(&Way::Masks) {
            self.masks = None;
        }
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        let words = self.narrow.as_ref().map_or(0, Groups::bytes) + self.wide.as_ref().map_or(0, Groups::bytes);
        let masks = self.masks.iter().flatten().map(Steps::bytes).sum::<usize>();
        self.forest.bytes() + words + masks + self.walk.bytes()
    }

    /// The features' values that lie on the splits' thresholds, for rows that take all branches.
    pub(super) fn thresholds(&self) -> Vec<(usize, Vec<f64>)> {
        self.forest.codes.thresholds()
    }

    pub(super) fn ways(&self) -> Vec<Way> {
        let bits = (self.narrow.is_some() || self.wide.is_some()).then_some(Way::Bits);
        let masks = self.masks.is_some().then_some(Way::Masks);
        [bits, masks, Some(Way::Walk)].into_iter().flatten().collect()
    }

    /// Margins of whole rows, that way if it is there, else by walking.
    pub(super) fn margins<T: Value>(&self, way: Way, rows: &[T], scratch: &mut Scratch, out: &mut [f64]) {
        match (way, &self.masks, &self.narrow, &self.wide) {
            (Way::Masks, Some(masks), _, _) => self.by_masks(masks, rows, scratch, out),
            (Way::Bits, _, Some(groups), _) => self.by_bits(groups, rows, scratch, out),
            (Way::Bits, _, _, Some(groups)) => self.by_bits(groups, rows, scratch, out),
            _ => self.by_walk(rows, scratch, out),
        }
    }

    fn by_bits<W: Lane, T: Value>(&self, groups: &Groups<W>, rows: &[T], scratch: &mut Scratch, out: &mut [f64]) {
        let (features, width) = (self.forest.features, self.forest.width);
        let mut bytes = [[0; CODES]; SIDE_BY_SIDE];
        let sums = S::of_scratch(scratch);
        let count = out.len() / width;
        let mut row = 0;
        while row < count {
            let together = if count - row >= SIDE_BY_SIDE { SIDE_BY_SIDE } else { 1 };
            sums.clear();
            for (place, bytes) in bytes.iter_mut().enumerate().take(together) {
                self.code(&rows[(row + place) * features..][..features], 1, bytes);
                sums.extend_from_slice(self.forest.start());
            }
            match self.machine {
                #[cfg(target_arch = "x86_64")]
                Machine::Avx512(machine) if together == 1 => {
                    W::walk(machine, &self.forest, groups, &[bytes[0]], sums);
                }
                #[cfg(target_arch = "x86_64")]
                Machine::Avx512(machine) => W::walk(machine, &self.forest, groups, &bytes, sums),
                #[cfg(target_arch = "x86_64")]
                Machine::Avx2(_) => self.by_plain_bits(groups, &bytes[..together], sums),
                Machine::Portable => self.by_plain_bits(groups, &bytes[..together], sums),
            }
            self.finish(sums, &mut out[row * width..][..together * width]);
            row += together;
        }
    }

    fn by_plain_bits<W: Word>(&self, groups: &Groups<W>, rows: &[[u8; CODES]], sums: &mut [S]) {
        for (row, sums) in rows.iter().zip(sums.chunks_exact_mut(self.forest.width)) {
            groups.row(row, |tree, leaf| self.forest.add(&self.forest.trees[tree], leaf, sums));
        }
    }

    fn by_masks<T: Value>(&self, trees: &[Steps], rows: &[T], scratch: &mut Scratch, out: &mut [f64]) {
        let forest = &self.forest;
        let (features, width) = (forest.features, forest.width);
        let mut lanes = std::mem::take(&mut scratch.lanes);
        let mut masks = std::mem::take(&mut scratch.masks);
        lanes.resize(forest.codes.count().max(1), [0; LANES]);
        masks.resize(trees.iter().map(Steps::masks).max().unwrap_or(0), [0; LANES]);
        let sums = S::of_scratch(scratch);
        let mut leaves = [0; LANES];
        #[cfg(target_arch = "x86_64")]
        let mut words = [0; 2 * LEAVES];
        for (block, out) in out.chunks_mut(LANES * width).enumerate() {
            let count = out.len() / width;
            sums.clear();
            for lane in 0..count {
                let row = &rows[(block * LANES + lane) * features..][..features];
                self.code(row, LANES, &mut lanes.as_flattened_mut()[lane..]);
                sums.extend_from_slice(forest.start());
            }
            for (tree, steps) in forest.trees.iter().zip(trees) {
                match self.machine {
                    #[cfg(target_arch = "x86_64")]
                    Machine::Avx512(machine) => Avx512::leaves(machine, steps, &lanes, &mut words, &mut leaves),
                    #[cfg(target_arch = "x86_64")]
                    Machine::Avx2(machine) => Avx2::leaves(machine, steps, &lanes, &mut masks, &mut leaves),
                    Machine::Portable => steps.leaves(&lanes, &mut masks, &mut leaves),
                }
                for (leaf, sums) in leaves.iter().zip(sums.chunks_exact_mut(width)) {
                    forest.add(tree, usize::from(*leaf), sums);
                }
            }
            self.finish(sums, out);
        }
        (scratch.lanes, scratch.masks) = (lanes, masks);
    }

    fn by_walk<T: Value>(&self, rows: &[T], scratch: &mut Scratch, out: &mut [f64]) {
        let forest = &self.forest;
        let (features, width) = (forest.features, forest.width);
        // A row of no codes still asks for one where it has arrived.
        let codes = forest.codes.count().max(1);
        let mut bytes = std::mem::take(&mut scratch.bytes);
        bytes.resize(BLOCK * codes, 0);
        let sums = S::of_scratch(scratch);
        for (block, out) in out.chunks_mut(BLOCK * width).enumerate() {
            let count = out.len() / width;
            sums.clear();
            for lane in 0..count {
                let row = &rows[(block * BLOCK + lane) * features..][..features];
                self.code(row, 1, &mut bytes[lane * codes..][..codes]);
                sums.extend_from_slice(forest.start());
            }
            let together = count - count % ABREAST;
            for (place, tree) in forest.trees.iter().enumerate() {
                for row in (0..together).step_by(ABREAST) {
                    let leaves = self.walk.rows(place, &bytes[row * codes..], codes);
                    for (leaf, sums) in leaves.iter().zip(sums[row * width..].chunks_exact_mut(width)) {
                        forest.add(tree, *leaf as usize, sums);
                    }
                }
            }
            for row in together..count {
                let sums = &mut sums[row * width..][..width];
                self.walk.row(&bytes[row * codes..][..codes], |tree, leaf| forest.add(&forest.trees[tree], leaf, sums));
            }
            self.finish(sums, out);
        }
        scratch.bytes = bytes;
    }

    fn code<T: Value>(&self, row: &[T], stride: usize, out: &mut [u8]) {
        let (codes, rules) = (&self.forest.codes, self.forest.rules);
        match self.machine {
            #[cfg(target_arch = "x86_64")]
            Machine::Avx512(machine) => Avx512::code(machine, codes, row, rules, stride, out),
            #[cfg(target_arch = "x86_64")]
            Machine::Avx2(machine) => Avx2::code(machine, codes, row, rules, stride, out),
            Machine::Portable => codes.row(Portable, row, rules, stride, out),
        }
    }

    fn finish(&self, sums: &[S], out: &mut [f64]) {
        let width = self.forest.width;
        for (place, (sum, out)) in sums.iter().zip(out).enumerate() {
            *out = self.forest.finish(place % width, *sum);
        }
    }
}
