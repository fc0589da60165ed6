//! Which way, and the loop over rows.

#[cfg(target_arch = "x86_64")]
use super::{
    avx2::Avx2,
    avx512::{Adds, Avx512, InLanes},
    bits::CODES,
    masks::LEAVES,
};
use super::{
    bits::Groups,
    direct::Direct,
    forest::{Forest, Laid},
    machine::{Instructions, Machine},
    masks::{LANES, Lanes, Steps, add},
    search::{KEYS, Portable},
    turns::Turns,
    value::Value,
    values::Values,
    walk::{ABREAST, Nodes},
};
use crate::Ensemble;

/// A way to find the leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Trees in lanes, leaves as bits.
    Bits,
    /// Trees in lanes, leaves as bytes.
    Turns,
    /// Rows in lanes, trees as masks.
    Masks,
    /// Node by node.
    Walk,
    /// Node by node, on values that are not coded.
    Direct,
    /// Trees in lanes, leaves as bits, on values that are not coded.
    Values,
    /// As the reference does.
    Reference,
}

/// Memory for calls, to be used again: a thread's own.
#[derive(Default)]
pub struct Scratch {
    /// One [`Lanes`] a code.
    lanes: Vec<Lanes>,
    /// Rows' codes, row by row.
    #[cfg(target_arch = "x86_64")]
    bytes: Vec<[u8; CODES]>,
    masks: Vec<Lanes>,
    columns: Columns,
    narrow: Vec<f32>,
    f32: Vec<f32>,
    f64: Vec<f64>,
}

/// Some rows' values by feature.
type Columns = Vec<[f32; KEYS]>;

/// An engine for sums in `S`.
pub(super) struct Engine<S> {
    forest: Forest<S>,
    narrow: Option<Groups<u32>>,
    wide: Option<Groups<u64>>,
    turns: Option<Turns>,
    masks: Option<Vec<Steps>>,
    walk: Nodes,
    direct: Option<Direct>,
    values: Option<Values>,
    machine: Machine,
}

/// What vectors add on a machine that has none of ours: any number.
#[cfg(not(target_arch = "x86_64"))]
pub(super) trait Adds: super::forest::Sum {}
#[cfg(not(target_arch = "x86_64"))]
impl<S: super::forest::Sum> Adds for S {}

/// The part of a [`Scratch`] that holds sums in `S`.
pub(super) trait Sums: Adds {
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

/// Rows that go through one tree after another: few enough to stay in a cache, and enough for each tree's nodes to be worth fetching.
const BLOCK: usize = BLOCKS * LANES;

/// Rows that trees in lanes are walked with at once.
#[cfg(target_arch = "x86_64")]
const SIDE_BY_SIDE: usize = 4;

/// So many rows are worth coding as a block.
#[cfg(target_arch = "x86_64")]
const IN_BLOCK: usize = 8;

/// Blocks of rows that are taken at once, when there are as many.
pub(super) const BLOCKS: usize = 4;

/// How many rows of `width` there are in `len`. Most models have one output, and a division takes as long as a small tree.
pub(super) const fn rows_of(len: usize, width: usize) -> usize {
    if width == 1 { len } else { len / width }
}

impl<S: Sums> Engine<S> {
    pub(super) fn new(ensemble: &Ensemble, instructions: Instructions) -> Option<Self> {
        let machine = Machine::with(instructions);
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut, reason = "only vectors have levels"))]
        let mut forest = Forest::<S>::new(ensemble)?;
        // Only there is it worth its while: byte by byte, all splits take longer than a walk by some of them.
        let in_lanes = machine.picks_bytes();
        #[cfg(target_arch = "x86_64")]
        if !in_lanes {
            forest.codes.without_levels();
        }
        let (trees, codes) = (&forest.trees, forest.codes.count());
        let narrow = in_lanes.then(|| Groups::new(trees, codes)).flatten();
        let wide = if in_lanes && narrow.is_none() { Groups::new(trees, codes) } else { None };
        Some(Self {
            narrow,
            wide,
            turns: in_lanes.then(|| Turns::new(trees, codes)).flatten(),
            masks: trees.iter().map(Steps::new).collect(),
            walk: Nodes::new(trees, codes),
            direct: Direct::new(&forest),
            values: in_lanes.then(|| Values::new(&forest)).flatten(),
            forest,
            machine,
        })
    }

    /// Gives back what only other ways need.
    pub(super) fn keep(&mut self, ways: &[Way]) {
        if !ways.contains(&Way::Bits) {
            (self.narrow, self.wide) = (None, None);
        }
        if !ways.contains(&Way::Turns) {
            self.turns = None;
        }
        if !ways.contains(&Way::Masks) {
            self.masks = None;
        }
        if !ways.contains(&Way::Direct) {
            self.direct = None;
        }
        if !ways.contains(&Way::Values) {
            self.values = None;
        }
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        let words = self.narrow.as_ref().map_or(0, Groups::bytes) + self.wide.as_ref().map_or(0, Groups::bytes);
        let turns = self.turns.as_ref().map_or(0, Turns::bytes);
        let masks = self.masks.iter().flatten().map(Steps::bytes).sum::<usize>();
        let values = self.direct.as_ref().map_or(0, Direct::bytes) + self.values.as_ref().map_or(0, Values::bytes);
        self.forest.bytes() + words + turns + masks + self.walk.bytes() + values
    }

    /// The features' values that lie on the splits' thresholds, for rows that take all branches.
    pub(super) fn thresholds(&self) -> Vec<(usize, Vec<f64>)> {
        self.forest.codes.thresholds()
    }

    /// The forest.
    pub(super) const fn forest(&self) -> &Forest<S> {
        &self.forest
    }

    pub(super) fn ways(&self) -> Vec<Way> {
        let bits = (self.narrow.is_some() || self.wide.is_some()).then_some(Way::Bits);
        let turns = self.turns.is_some().then_some(Way::Turns);
        let masks = self.masks.is_some().then_some(Way::Masks);
        let direct = self.direct.as_ref().map(|_direct| Way::Direct);
        let values = self.values.as_ref().map(|_values| Way::Values);
        [bits, turns, masks, Some(Way::Walk), direct, values].into_iter().flatten().collect()
    }

    /// Margins of whole rows, that way if it is there, else by walking.
    pub(super) fn margins<T: Value>(&self, way: Way, rows: &[T], scratch: &mut Scratch, out: &mut [f64]) {
        if T::f32s(rows).is_some() {
            return self.margins_as(way, rows, scratch, out);
        }
        let (features, width) = (self.forest.features, self.forest.width);
        let mut narrow = std::mem::take(&mut scratch.narrow);
        for (part, out) in out.chunks_mut(BLOCK * width).enumerate() {
            let rows = &rows[part * BLOCK * features..][..rows_of(out.len(), width) * features];
            // Numbers that came as f32, as most do, are compared as such, which is as exact and takes half the time.
            if T::narrowed(rows, self.forest.rules, &mut narrow) {
                self.margins_as(way, &narrow, scratch, out);
            } else {
                self.margins_as(way, rows, scratch, out);
            }
        }
        scratch.narrow = narrow;
    }

    fn margins_as<T: Value>(&self, way: Way, rows: &[T], scratch: &mut Scratch, out: &mut [f64]) {
        match (way, &self.masks, &self.narrow, &self.wide) {
            (Way::Direct, ..) => match &self.direct {
                Some(direct) if T::compares_as_f32(self.forest.rules) => self.by_direct(direct, rows, scratch, out),
                _ => self.by_walk(rows, scratch, out),
            },
            #[cfg(target_arch = "x86_64")]
            (Way::Values, ..) => match (&self.values, T::f32s(rows)) {
                (Some(values), Some(rows)) => self.by_values(values, rows, scratch, out),
                _ => self.by_walk(rows, scratch, out),
            },
            (Way::Masks, Some(masks), _, _) => self.by_masks(masks, rows, scratch, out),
            #[cfg(target_arch = "x86_64")]
            (Way::Bits, _, Some(groups), _) => self.by_lanes(groups, rows, scratch, out),
            #[cfg(target_arch = "x86_64")]
            (Way::Bits, _, _, Some(groups)) => self.by_lanes(groups, rows, scratch, out),
            #[cfg(target_arch = "x86_64")]
            (Way::Turns, ..) if let Some(turns) = &self.turns => self.by_lanes(turns, rows, scratch, out),
            _ => self.by_walk(rows, scratch, out),
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn by_lanes<T: Value>(&self, trees: &impl InLanes, rows: &[T], scratch: &mut Scratch, out: &mut [f64]) {
        // Without it there are no trees in lanes.
        let Machine::Avx512(machine) = self.machine else { return };
        let (features, width) = (self.forest.features, self.forest.width);
        let codes = self.forest.codes.count();
        let (mut lanes, mut columns) = (std::mem::take(&mut scratch.lanes), std::mem::take(&mut scratch.columns));
        lanes.resize(lanes.len().max(codes), [0; LANES]);
        let mut kept = std::mem::take(&mut scratch.bytes);
        kept.resize(SIDE_BY_SIDE, [0; CODES]);
        let Some(bytes) = kept.first_chunk_mut::<SIDE_BY_SIDE>() else { return };
        let sums = S::of_scratch(scratch);
        for (part, out) in out.chunks_mut(LANES * width).enumerate() {
            let count = rows_of(out.len(), width);
            let rows = &rows[part * LANES * features..][..count * features];
            let in_block = count >= IN_BLOCK;
            if in_block {
                self.code_blocks(rows, &mut columns, &mut lanes[..codes]);
            }
            let mut row = 0;
            while row < count {
                let together = if count - row >= SIDE_BY_SIDE { SIDE_BY_SIDE } else { 1 };
                self.forest.begin(sums, together);
                if in_block {
                    for (code, lanes) in lanes[..codes].iter().enumerate() {
                        bytes.iter_mut().zip(&lanes[row..]).for_each(|(bytes, byte)| bytes[code] = *byte);
                    }
                } else {
                    for (place, bytes) in bytes.iter_mut().enumerate().take(together) {
                        self.code(&rows[(row + place) * features..][..features], 1, bytes);
                    }
                }
                if together == 1 {
                    trees.walk(machine, &self.forest, std::array::from_ref(&bytes[0]), sums);
                } else {
                    trees.walk(machine, &self.forest, bytes, sums);
                }
                self.finish(sums, &mut out[row * width..][..together * width]);
                row += together;
            }
        }
        (scratch.lanes, scratch.columns, scratch.bytes) = (lanes, columns, kept);
    }

    #[cfg(target_arch = "x86_64")]
    fn by_values(&self, values: &Values, rows: &[f32], scratch: &mut Scratch, out: &mut [f64]) {
        // Without it there are none.
        let Machine::Avx512(machine) = self.machine else { return };
        let (features, width) = (self.forest.features, self.forest.width);
        let sums = S::of_scratch(scratch);
        let (count, mut row) = (rows_of(out.len(), width), 0);
        while row < count {
            let together = if count - row >= SIDE_BY_SIDE { SIDE_BY_SIDE } else { 1 };
            self.forest.begin(sums, together);
            let rows = &rows[row * features..][..together * features];
            if together == 1 {
                Avx512::values::<S, 1>(machine, &self.forest, values, rows, sums);
            } else {
                Avx512::values::<S, SIDE_BY_SIDE>(machine, &self.forest, values, rows, sums);
            }
            self.finish(sums, &mut out[row * width..][..together * width]);
            row += together;
        }
    }

    fn by_masks<T: Value>(&self, trees: &[Steps], rows: &[T], scratch: &mut Scratch, out: &mut [f64]) {
        let (features, width) = (self.forest.features, self.forest.width);
        for (part, out) in out.chunks_mut(BLOCK * width).enumerate() {
            let rows = &rows[part * BLOCK * features..][..out.len() / width * features];
            match out.len().div_ceil(LANES * width) {
                0..=1 => self.blocks::<1, T>(trees, rows, scratch, out),
                2 => self.blocks::<2, T>(trees, rows, scratch, out),
                _ => self.blocks::<BLOCKS, T>(trees, rows, scratch, out),
            }
        }
    }

    /// Up to `B` blocks of rows by masks, side by side: a split is fetched once for all, and none waits for another's mask.
    fn blocks<const B: usize, T: Value>(&self, trees: &[Steps], rows: &[T], scratch: &mut Scratch, out: &mut [f64]) {
        let forest = &self.forest;
        let (width, codes) = (forest.width, forest.codes.count().max(1));
        let mut lanes = std::mem::take(&mut scratch.lanes);
        let mut masks = std::mem::take(&mut scratch.masks);
        lanes.resize(lanes.len().max(B * codes), [0; LANES]);
        masks.resize(masks.len().max(trees.iter().map(Steps::masks).max().unwrap_or(0)), [0; LANES]);
        self.code_blocks(rows, &mut scratch.columns, &mut lanes[..B * codes]);
        // Output by output, so that those of a block's rows lie side by side.
        let sums = S::of_scratch(scratch);
        sums.clear();
        sums.extend((0..B).flat_map(|_block| forest.start()).flat_map(|start| [*start; LANES]));
        let sums = sums.as_chunks_mut::<LANES>().0;
        let blocks: [&[Lanes]; B] = std::array::from_fn(|block| &lanes[block * codes..][..codes]);
        let mut leaves = [[0; LANES]; B];
        #[cfg(target_arch = "x86_64")]
        let mut words = [[0; B]; LEAVES];
        for (tree, steps) in forest.trees.iter().zip(trees) {
            match self.machine {
                #[cfg(target_arch = "x86_64")]
                Machine::Avx512(machine) => Avx512::leaves(machine, steps, blocks, &mut words, &mut leaves),
                #[cfg(target_arch = "x86_64")]
                Machine::Avx2(machine) => {
                    blocks
                        .iter()
                        .zip(&mut leaves)
                        .for_each(|(codes, out)| Avx2::leaves(machine, steps, codes, &mut masks, out));
                }
                Machine::Portable => {
                    blocks.iter().zip(&mut leaves).for_each(|(codes, out)| steps.leaves(codes, &mut masks, out));
                }
            }
            for (leaves, sums) in leaves.iter().zip(sums.chunks_exact_mut(width)) {
                self.add_lanes(tree, leaves, sums);
            }
        }
        for (row, out) in out.chunks_exact_mut(width).enumerate() {
            let sums = &sums[row / LANES * width..];
            for (margin, (out, sums)) in out.iter_mut().zip(sums).enumerate() {
                *out = forest.finish(margin, sums[row % LANES]);
            }
        }
        (scratch.lanes, scratch.masks) = (lanes, masks);
    }

    fn add_lanes(&self, tree: &Laid, leaves: &Lanes, sums: &mut [[S; LANES]]) {
        let values = &self.forest.values[tree.values..];
        if let Some(output) = tree.output {
            let (values, sums) = (&values[..tree.leaves], &mut sums[output]);
            return match self.machine {
                #[cfg(target_arch = "x86_64")]
                Machine::Avx512(machine) => S::add_lanes(machine, values, leaves, sums),
                #[cfg(target_arch = "x86_64")]
                Machine::Avx2(_) => add(values, leaves, sums),
                Machine::Portable => add(values, leaves, sums),
            };
        }
        let width = self.forest.width;
        for (lane, leaf) in leaves.iter().enumerate() {
            for (value, sums) in values[usize::from(*leaf) * width..][..width].iter().zip(&mut *sums) {
                sums[lane] = sums[lane] + *value;
            }
        }
    }

    fn by_walk<T: Value>(&self, rows: &[T], scratch: &mut Scratch, out: &mut [f64]) {
        let forest = &self.forest;
        let (features, width) = (forest.features, forest.width);
        // A row of no codes still asks for one where it has arrived.
        let codes = forest.codes.count().max(1);
        let (mut lanes, mut columns) = (std::mem::take(&mut scratch.lanes), std::mem::take(&mut scratch.columns));
        lanes.resize(lanes.len().max(BLOCKS * codes), [0; LANES]);
        let sums = S::of_scratch(scratch);
        for (part, out) in out.chunks_mut(BLOCK * width).enumerate() {
            let count = rows_of(out.len(), width);
            let rows = &rows[part * BLOCK * features..][..count * features];
            forest.begin(sums, count);
            if count < ABREAST {
                for (row, sums) in sums.chunks_exact_mut(width).enumerate() {
                    let bytes = &mut lanes.as_flattened_mut()[..codes];
                    self.code(&rows[row * features..][..features], 1, bytes);
                    self.walk.row::<1>(bytes, |tree, leaf| forest.add(&forest.trees[tree], leaf, sums));
                }
                self.finish(sums, out);
                continue;
            }
            self.code_blocks(rows, &mut columns, &mut lanes[..BLOCKS * codes]);
            let from = |row: usize| &lanes[row / LANES * codes..][..codes].as_flattened()[row % LANES..];
            let together = count - count % ABREAST;
            for (place, tree) in forest.trees.iter().enumerate() {
                for row in (0..together).step_by(ABREAST) {
                    let leaves = self.walk.rows(place, from(row));
                    for (leaf, sums) in leaves.iter().zip(sums[row * width..].chunks_exact_mut(width)) {
                        forest.add(tree, *leaf as usize, sums);
                    }
                }
            }
            for row in together..count {
                let sums = &mut sums[row * width..][..width];
                self.walk.row::<LANES>(from(row), |tree, leaf| forest.add(&forest.trees[tree], leaf, sums));
            }
            self.finish(sums, out);
        }
        (scratch.lanes, scratch.columns) = (lanes, columns);
    }

    fn by_direct<T: Value>(&self, direct: &Direct, rows: &[T], scratch: &mut Scratch, out: &mut [f64]) {
        let forest = &self.forest;
        let (features, width) = (forest.features, forest.width);
        let sums = S::of_scratch(scratch);
        for (rows, out) in rows.chunks(BLOCK * features).zip(out.chunks_mut(BLOCK * width)) {
            let count = rows_of(out.len(), width);
            forest.begin(sums, count);
            let together = count - count % ABREAST;
            for (place, tree) in forest.trees.iter().enumerate() {
                for row in (0..together).step_by(ABREAST) {
                    let leaves = direct.rows(place, &rows[row * features..][..ABREAST * features], features);
                    for (leaf, sums) in leaves.iter().zip(sums[row * width..].chunks_exact_mut(width)) {
                        forest.add(tree, *leaf as usize, sums);
                    }
                }
            }
            for row in together..count {
                let sums = &mut sums[row * width..][..width];
                direct.row(&rows[row * features..][..features], |tree, leaf| {
                    forest.add(&forest.trees[tree], leaf, sums);
                });
            }
            self.finish(sums, out);
        }
    }

    /// Codes rows of features, block by block.
    #[cfg_attr(not(target_arch = "x86_64"), expect(unused_variables, reason = "only vectors need columns"))]
    fn code_blocks<T: Value>(&self, rows: &[T], columns: &mut Columns, lanes: &mut [Lanes]) {
        let (features, codes) = (self.forest.features, self.forest.codes.count());
        // Of rows without features, each is like the others, and none has a code.
        for (rows, lanes) in rows.chunks(LANES * features.max(1)).zip(lanes.chunks_mut(codes.max(1))) {
            #[cfg(target_arch = "x86_64")]
            if let (Machine::Avx512(machine), Some(rows)) = (self.machine, T::f32s(rows)) {
                Avx512::block(machine, &self.forest.codes, rows, features, self.forest.rules, columns, lanes);
                continue;
            }
            for (lane, row) in rows.chunks_exact(features).enumerate() {
                self.code(row, LANES, &mut lanes.as_flattened_mut()[lane..]);
            }
        }
    }

    /// Codes one row of features; code `c` goes to `out[c * stride]`.
    pub(super) fn code<T: Value>(&self, row: &[T], stride: usize, out: &mut [u8]) {
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
        // Of one output as well, pieces would be counted by a division.
        if width == 1 {
            sums.iter().zip(out).for_each(|(sum, out)| *out = self.forest.finish(0, *sum));
            return;
        }
        for (sums, out) in sums.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            for (margin, (sum, out)) in sums.iter().zip(out).enumerate() {
                *out = self.forest.finish(margin, *sum);
            }
        }
    }
}
