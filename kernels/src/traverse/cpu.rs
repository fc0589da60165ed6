//! Traversal in plain Rust.

use super::{
    BYTES,
    coder::{CATEGORIES, CUTS_KIND, CategoryRule, Coder, EQUAL_KIND, KIND, NEAR_ZERO, RECORD, RULE, ZERO_IS_MISSING},
    forest::{Forest, LEAF, Layout, NODE},
};
use crate::{
    Error, Result,
    bin::{MAGNITUDE, order_key},
};

/// Bit pattern of positive infinity. Greater patterns, the sign aside, are NaN.
const INFINITY: u32 = 0x7f80_0000;
/// Bit pattern of one.
const ONE: u32 = 0x3f80_0000;

/// Codes a row-major matrix `[rows, features]` into `[rows, words]`; see the [module above](super).
///
/// # Errors
/// The values are no whole rows, or `words` has another length.
pub fn code(values: &[f32], coder: &Coder, words: &mut [u32]) -> Result<()> {
    let rows = coder.rows(values.len())?;
    if words.len() != rows * coder.words() {
        return Err(Error::Length { expected: rows * coder.words(), got: words.len() });
    }
    let codes = coder.records.as_chunks::<RECORD>().0;
    for (row, words) in values.chunks_exact(coder.features()).zip(words.chunks_exact_mut(coder.words())) {
        words.fill(0);
        for (place, record) in codes.iter().enumerate() {
            let byte = byte(row[record[0] as usize].to_bits(), *record, &coder.data);
            words[place / BYTES] |= byte << (place % BYTES * 8);
        }
    }
    Ok(())
}

/// The byte of one value, given as its bits.
pub(super) fn byte(pattern: u32, record: [u32; RECORD], data: &[u32]) -> u32 {
    let [_, start, length, flags] = record;
    let magnitude = pattern & MAGNITUDE;
    if magnitude > INFINITY || (flags & ZERO_IS_MISSING != 0 && magnitude <= NEAR_ZERO.to_bits()) {
        return flags & 0xff;
    }
    let data = &data[start as usize..][..length as usize];
    match flags >> KIND & 3 {
        CUTS_KIND => {
            let key = order_key(f32::from_bits(pattern));
            data.partition_point(|cut| *cut < key) as u32
        }
        EQUAL_KIND => u32::from(data != [order_key(f32::from_bits(pattern))]),
        _ => {
            let held = category(pattern, flags >> RULE & 3).is_some_and(|category| {
                data.get(category as usize / 32).is_some_and(|word| word >> (category % 32) & 1 == 1)
            });
            u32::from(!held)
        }
    }
}

/// The category of a number that is not NaN, by the parts of its bit pattern, as a device takes it.
fn category(pattern: u32, rule: u32) -> Option<u32> {
    let magnitude = pattern & MAGNITUDE;
    if magnitude >= CATEGORIES {
        return None;
    }
    let significand = magnitude & 0x007f_ffff | 0x0080_0000;
    let whole = if magnitude < ONE { 0 } else { significand >> (150 - (magnitude >> 23)) };
    let below_zero = pattern > MAGNITUDE && magnitude != 0;
    // The numbers below 2^24 that are whole are those that come back.
    let fraction = (whole as f32).to_bits() != magnitude;
    let none = (rule == CategoryRule::Truncate.number() && below_zero && whole > 0)
        || (rule != CategoryRule::Truncate.number() && below_zero)
        || (rule == CategoryRule::Exact.number() && fraction);
    (!none).then_some(whole)
}

/// The leaf that each tree leads each coded row to: `[rows, trees]`, numbered as the trees were given.
///
/// # Errors
/// The words are no whole rows, or `leaves` has another length.
pub fn leaves(words: &[u32], forest: &Forest, leaves: &mut [u32]) -> Result<()> {
    let trees = forest.trees();
    let rows = forest.rows(words.len())?;
    if leaves.len() != rows * trees {
        return Err(Error::Length { expected: rows * trees, got: leaves.len() });
    }
    for (row, words) in words.chunks_exact(forest.words()).enumerate() {
        for tree in 0..trees {
            leaves[row * trees + forest.order[tree] as usize] = forest.numbers[landing(words, forest, tree)];
        }
    }
    Ok(())
}

/// What the trees add to each coded row: `[rows, outputs]`, in units of [`Forest::unit`].
///
/// # Errors
/// The words are no whole rows, or `sums` has another length.
pub fn sums(words: &[u32], forest: &Forest, sums: &mut [i64]) -> Result<()> {
    let (width, stride) = (forest.width(), forest.stride);
    let rows = forest.rows(words.len())?;
    if sums.len() != rows * width {
        return Err(Error::Length { expected: rows * width, got: sums.len() });
    }
    let value = |place: usize| i64::from(forest.values[2 * place]) | i64::from(forest.values[2 * place + 1]) << 32;
    for (words, sums) in words.chunks_exact(forest.words()).zip(sums.chunks_exact_mut(width)) {
        sums.fill(0);
        for (output, trees) in forest.starts.windows(2).enumerate() {
            for tree in trees[0] as usize..trees[1] as usize {
                let first = landing(words, forest, tree) * stride;
                for (place, sum) in sums[output..output + stride].iter_mut().enumerate() {
                    *sum += value(first + place);
                }
            }
        }
    }
    Ok(())
}

/// Where a row lands among all leaves of the forest.
fn landing(words: &[u32], forest: &Forest, tree: usize) -> usize {
    let right = |node: u32| words[(node >> 8) as usize / BYTES] >> ((node >> 8) % 4 * 8) & 0xff > node & 0xff;
    let root = forest.roots[tree] as usize;
    match forest.layout() {
        Layout::Perfect { depth } => {
            let mut place = 0;
            for _ in 0..depth {
                place = 2 * place + 1 + usize::from(right(forest.nodes[root + place]));
            }
            (tree << depth) + place + 1 - (1 << depth)
        }
        Layout::General => {
            let mut place = root;
            while forest.nodes[NODE * place] & LEAF == 0 {
                place = forest.nodes[NODE * place + 1] as usize + usize::from(right(forest.nodes[NODE * place]));
            }
            forest.nodes[NODE * place + 1] as usize
        }
    }
}
