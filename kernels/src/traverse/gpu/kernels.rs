//! The cube kernels. Each says what the twin says, in the words that WGSL has.

#![expect(
    clippy::collapsible_if,
    reason = "a kernel computes both sides of an `and`, and must not read beyond the end"
)]

use cubecl::prelude::*;

use super::super::coder::{CATEGORIES, CUTS_KIND, EQUAL_KIND, KIND, RECORD, RULE, ZERO_IS_MISSING};
use super::super::forest::{LEAF, NODE};
use crate::bin::{MAGNITUDE, ZERO};

/// Bit pattern of positive infinity. Greater patterns, the sign aside, are NaN.
const INFINITY: u32 = 0x7f80_0000;
/// Bit pattern of one.
const ONE: u32 = 0x3f80_0000;
/// Bit pattern of [`NEAR_ZERO`](super::super::NEAR_ZERO).
pub(super) const NEAR_ZERO: u32 = super::super::NEAR_ZERO.to_bits();

/// What one kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    /// Whether trees are perfect, and how deep they are then.
    pub(super) perfect: bool,
    pub(super) depth: u32,
    /// Words a coded row.
    pub(super) words: u32,
    /// Outputs a row, and values a leaf.
    pub(super) width: u32,
    pub(super) stride: u32,
    /// Trees of the forest.
    pub(super) trees: u32,
    /// Units a cube, rows a cube, and whether their bytes are kept in shared memory.
    pub(super) units: u32,
    pub(super) rows: u32,
    pub(super) staged: bool,
}

impl Shape {
    /// Tasks a row that a cube takes at once.
    pub(super) const fn slots(self) -> u32 {
        self.units / self.rows
    }

    /// Words between rows in shared memory: odd, so that the same byte of 32 rows lies in 32 banks.
    pub(super) const fn pitch(self) -> u32 {
        self.words | 1
    }

    /// Words of shared memory for rows.
    pub(super) const fn stage(self) -> usize {
        if self.staged { (self.rows * self.pitch()) as usize } else { 1 }
    }
}

/// One unit a word: codes four features of `values`' bit patterns.
#[cube(launch)]
pub(super) fn code_kernel(values: &[u32], records: &[u32], data: &[u32], coded: &mut [u32], features: u32, words: u32) {
    if ABSOLUTE_POS < coded.len() {
        let position = ABSOLUTE_POS as u32;
        let row = position / words;
        let first = (position % words) * 4u32;
        let mut word = 0u32;
        for place in 0..4u32 {
            let record = (first + place) as usize * RECORD;
            // Behind the last code there is none.
            if record + 3 < records.len() {
                let start = records[record + 1];
                let length = records[record + 2];
                let flags = records[record + 3];
                let pattern = values[(row * features + records[record]) as usize];
                let magnitude = pattern & MAGNITUDE;
                let kind = (flags >> KIND) & 3u32;

                let mut byte = flags & 0xffu32;
                let near = (flags & ZERO_IS_MISSING) != 0u32 && magnitude <= NEAR_ZERO;
                if magnitude <= INFINITY && !near {
                    let mut key = pattern | ZERO;
                    if pattern > MAGNITUDE {
                        key = u32::MAX - pattern;
                    }
                    if magnitude == 0u32 {
                        key = ZERO.runtime();
                    }
                    if kind == CUTS_KIND {
                        byte = count_below(data, start, length, key);
                    } else if kind == EQUAL_KIND {
                        byte = 1u32.runtime();
                        if data[start as usize] == key {
                            byte = 0u32.runtime();
                        }
                    } else {
                        byte = outside(data, start, length, pattern, (flags >> RULE) & 3u32);
                    }
                }
                word |= byte << (place * 8u32);
            }
        }
        coded[ABSOLUTE_POS] = word;
    }
}

/// How many of the `length` ascending keys from `start` are below `key`. The number of steps depends on the length alone.
#[cube]
fn count_below(data: &[u32], start: u32, length: u32, key: u32) -> u32 {
    let mut base = start;
    let mut size = length;
    while size > 1u32 {
        let half = size / 2u32;
        if data[(base + half - 1u32) as usize] < key {
            base += half;
        }
        size -= half;
    }
    let mut below = base - start;
    if size == 1u32 {
        if data[base as usize] < key {
            below += 1u32;
        }
    }
    below
}

/// 0 when the category of a number that is not NaN is in the set of `length` words from `start`, else 1.
#[cube]
fn outside(data: &[u32], start: u32, length: u32, pattern: u32, rule: u32) -> u32 {
    let magnitude = pattern & MAGNITUDE;
    let mut outside = 1u32;
    if magnitude < CATEGORIES {
        let significand = (magnitude & 0x007f_ffffu32) | 0x0080_0000u32;
        let mut whole = 0u32;
        let mut fraction = magnitude != 0u32;
        if magnitude >= ONE {
            let shift = 150u32 - (magnitude >> 23u32);
            whole = significand >> shift;
            fraction = (whole << shift) != significand;
        }
        let below_zero = pattern > MAGNITUDE && magnitude != 0u32;
        let mut none = below_zero;
        if rule == 0u32 {
            none = below_zero && whole > 0u32;
        }
        if rule == 2u32 {
            none = below_zero || fraction;
        }
        if !none && whole / 32u32 < length {
            let word = data[(start + whole / 32u32) as usize];
            outside = 1u32 - ((word >> (whole % 32u32)) & 1u32);
        }
    }
    outside
}

/// 1 when the row whose words begin at `row` goes right at `node`, else 0.
#[cube]
fn right(bytes: &[u32], row: u32, node: u32) -> u32 {
    let code = node >> 8u32;
    let byte = (bytes[(row + code / 4u32) as usize] >> ((code % 4u32) * 8u32)) & 0xffu32;
    let mut right = 0u32;
    if byte > (node & 0xffu32) {
        right = 1u32.runtime();
    }
    right
}

/// Where the row whose words begin at `row` lands among all leaves of the forest.
#[cube]
fn landing(bytes: &[u32], row: u32, nodes: &[u32], roots: &[u32], tree: u32, #[comptime] shape: Shape) -> u32 {
    if comptime!(shape.perfect) {
        let root = tree * comptime!((1u32 << shape.depth) - 1u32);
        let mut place = 0u32;
        #[unroll]
        for _ in 0..shape.depth {
            let node = nodes[(root + place) as usize];
            place = 2u32 * place + 1u32 + right(bytes, row, node);
        }
        tree * comptime!(1u32 << shape.depth) + place - comptime!((1u32 << shape.depth) - 1u32)
    } else {
        let mut place = roots[tree as usize] as usize * NODE;
        let mut node = nodes[place];
        while (node & LEAF) == 0u32 {
            place = (nodes[place + 1] + right(bytes, row, node)) as usize * NODE;
            node = nodes[place];
        }
        nodes[place + 1]
    }
}

/// One unit a tree and row: `found` is `[rows, trees]`, in the order in which the trees were given.
#[cube(launch)]
pub(super) fn leaves_kernel(
    bytes: &[u32],
    nodes: &[u32],
    roots: &[u32],
    order: &[u32],
    numbers: &[u32],
    found: &mut [u32],
    #[comptime] shape: Shape,
) {
    if ABSOLUTE_POS < found.len() {
        let position = ABSOLUTE_POS as u32;
        let tree = position % shape.trees;
        let row = position / shape.trees;
        let landing = landing(bytes, row * shape.words, nodes, roots, tree, shape);
        found[(row * shape.trees + order[tree as usize]) as usize] = numbers[landing as usize];
    }
}

/// Copies the cube's rows into shared memory; what lies behind the last row is zero.
#[cube]
fn stage(bytes: &[u32], staged: &mut [u32], first: u32, rows: u32, #[comptime] shape: Shape) {
    let mut at = UNIT_POS;
    while at < comptime!(shape.rows * shape.words) {
        let row = at / shape.words;
        let word = at % shape.words;
        let mut value = 0u32;
        if first + row < rows {
            value = bytes[((first + row) * shape.words + word) as usize];
        }
        staged[(row * comptime!(shape.pitch()) + word) as usize] = value;
        at += shape.units;
    }
}

/// Sums of trees whose leaves hold one number: a cube a block of rows (x) and output (y). Unit `slot * rows + row` takes the
/// trees `slot`, `slot + slots`, …; then the slots' sums are added up, half of them to the other half.
#[cube(launch)]
pub(super) fn sum_kernel(
    bytes: &[u32],
    nodes: &[u32],
    roots: &[u32],
    values: &[u32],
    starts: &[u32],
    sums: &mut [u32],
    rows: u32,
    #[comptime] shape: Shape,
) {
    let mut staged = Shared::<[u32]>::new_slice(comptime!(shape.stage()));
    let mut lows = Shared::<[u32]>::new_slice(comptime!(shape.units as usize));
    let mut highs = Shared::<[u32]>::new_slice(comptime!(shape.units as usize));
    let first = CUBE_POS_X * shape.rows;
    if comptime!(shape.staged) {
        stage(bytes, &mut staged, first, rows, shape);
        sync_cube();
    }

    let row = UNIT_POS % shape.rows;
    let output = CUBE_POS_Y;
    let end = starts[(output + 1u32) as usize];
    let mut tree = starts[output as usize] + UNIT_POS / shape.rows;
    let mut low = 0u32;
    let mut high = 0u32;
    while tree < end {
        let mut leaf = 0u32;
        if comptime!(shape.staged) {
            leaf = landing(&staged, row * comptime!(shape.pitch()), nodes, roots, tree, shape);
        } else if first + row < rows {
            leaf = landing(bytes, (first + row) * shape.words, nodes, roots, tree, shape);
        }
        let place = leaf as usize * 2;
        low += values[place];
        high += values[place + 1];
        if low < values[place] {
            high += 1u32;
        }
        tree += comptime!(shape.slots());
    }
    lows[UNIT_POS as usize] = low;
    highs[UNIT_POS as usize] = high;
    sync_cube();

    let mut half = comptime!(shape.units / 2u32).runtime();
    while half >= shape.rows {
        if UNIT_POS < half {
            let here = UNIT_POS as usize;
            let there = (UNIT_POS + half) as usize;
            let low = lows[here] + lows[there];
            highs[here] += highs[there];
            if low < lows[there] {
                highs[here] += 1u32;
            }
            lows[here] = low;
        }
        sync_cube();
        half /= 2u32;
    }
    if UNIT_POS < shape.rows && first + row < rows {
        let place = ((first + row) * shape.width + output) as usize * 2;
        sums[place] = lows[UNIT_POS as usize];
        sums[place + 1] = highs[UNIT_POS as usize];
    }
}

/// Sums of trees whose leaves hold a number for each output: a cube a block of rows (x) and of as many outputs as it has slots
/// (y). Unit `slot * rows + row` finds the leaf of one tree, and then adds what all leaves found hold for its own output.
#[cube(launch)]
pub(super) fn vector_sum_kernel(
    bytes: &[u32],
    nodes: &[u32],
    roots: &[u32],
    values: &[u32],
    sums: &mut [u32],
    rows: u32,
    #[comptime] shape: Shape,
) {
    let mut staged = Shared::<[u32]>::new_slice(comptime!(shape.stage()));
    let mut leaves = Shared::<[u32]>::new_slice(comptime!(shape.units as usize));
    let first = CUBE_POS_X * shape.rows;
    if comptime!(shape.staged) {
        stage(bytes, &mut staged, first, rows, shape);
        sync_cube();
    }

    let row = UNIT_POS % shape.rows;
    let slot = UNIT_POS / shape.rows;
    let output = CUBE_POS_Y * comptime!(shape.slots()) + slot;
    let mut low = 0u32;
    let mut high = 0u32;
    let mut base = 0u32;
    while base < shape.trees {
        let tree = base + slot;
        if tree < shape.trees {
            let mut leaf = 0u32;
            if comptime!(shape.staged) {
                leaf = landing(&staged, row * comptime!(shape.pitch()), nodes, roots, tree, shape);
            } else if first + row < rows {
                leaf = landing(bytes, (first + row) * shape.words, nodes, roots, tree, shape);
            }
            leaves[UNIT_POS as usize] = leaf;
        }
        sync_cube();
        if output < shape.width {
            let mut found = 0u32;
            while found < comptime!(shape.slots()) && base + found < shape.trees {
                let leaf = leaves[(found * shape.rows + row) as usize];
                let place = (leaf * shape.stride + output) as usize * 2;
                low += values[place];
                high += values[place + 1];
                if low < values[place] {
                    high += 1u32;
                }
                found += 1u32;
            }
        }
        sync_cube();
        base += comptime!(shape.slots());
    }
    if output < shape.width && first + row < rows {
        let place = ((first + row) * shape.width + output) as usize * 2;
        sums[place] = low;
        sums[place + 1] = high;
    }
}
