//! A forest laid out for walking.

use std::collections::VecDeque;

use super::{coder::words, fixed::Scale};
use crate::{Error, Result};

/// Deepest trees that are laid out as perfect ones.
const PERFECT: usize = 8;
/// How many times the leaves that there are a perfect layout may hold.
const PADDING: usize = 4;
/// Places in one buffer are counted in 31 bits.
const PLACES: usize = 1 << 31;
/// Set in a node that is a leaf.
pub(crate) const LEAF: u32 = 1 << 31;
/// Words a node of [`Layout::General`].
pub(crate) const NODE: usize = 2;

/// A question to a coded row: left when `byte[code] ≤ cut`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// Place of the byte in the row.
    pub code: u32,
    /// The greatest byte that goes left.
    pub cut: u8,
    /// Where it leads when it holds.
    pub left: Child,
    /// Where it leads otherwise.
    pub right: Child,
}

/// A place in a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Child {
    /// Number of a split; greater than its parent's.
    Split(u32),
    /// Number of a leaf.
    Leaf(u32),
}

/// A tree as it is given.
#[derive(Clone, Copy, Debug)]
pub struct Tree<'a> {
    /// The splits, the root first; none in a tree of one leaf.
    pub splits: &'a [Split],
    /// What the leaves add, by leaf: one number each, or one for each output.
    pub values: &'a [f64],
    /// The output that they are added to; none for a number for each.
    pub output: Option<usize>,
}

/// How nodes lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Every tree has all splits down to this depth, level by level, so that places are computed: node `i` leads to
    /// `2i + 1` or `2i + 2`. What a tree lacks is filled with splits that always go left.
    Perfect {
        /// Splits between the root and a leaf.
        depth: u32,
    },
    /// Nodes name their left child, breadth first; the right one is the next.
    General,
}

/// A forest, checked and laid out for a device.
#[derive(Clone, Debug)]
pub struct Forest {
    codes: usize,
    width: usize,
    layout: Layout,
    /// One word a split when perfect (`code << 8 | cut`), else two a node: that and the left child, or [`LEAF`] and the place of
    /// the leaf among all.
    pub(crate) nodes: Vec<u32>,
    /// Each tree's first node.
    pub(crate) roots: Vec<u32>,
    /// Two words a value, the low one first; `stride` values a leaf.
    pub(crate) values: Vec<u32>,
    /// Values a leaf: one, or one for each output.
    pub(crate) stride: usize,
    /// Trees `starts[o]..starts[o + 1]` add to output `o`; all add to all when leaves hold a number for each.
    pub(crate) starts: Vec<u32>,
    /// The number that each tree was given as.
    pub(crate) order: Vec<u32>,
    /// The number in its tree of each leaf.
    pub(crate) numbers: Vec<u32>,
    scales: Vec<Scale>,
}

impl Forest {
    /// Lays out trees over rows of `codes` bytes, with `width` outputs a row, as it suits their shape.
    ///
    /// # Errors
    /// A tree in which not one way leads to each split and leaf, that asks a code which does not exist, whose values are not
    /// one a leaf (or one for each output), or not numbers; a forest of no outputs, or too large to be counted.
    pub fn new(codes: usize, width: usize, trees: &[Tree<'_>]) -> Result<Self> {
        let depth = depth(trees)?;
        let leaves: usize = trees.iter().map(|tree| tree.splits.len() + 1).sum();
        let fits = depth <= PERFECT && trees.len() << depth <= PADDING * leaves;
        Self::laid_out(codes, width, trees, fits.then_some(depth))
    }

    /// As [`Forest::new`], with trees of any shape as they are.
    ///
    /// # Errors
    /// As [`Forest::new`].
    pub fn general(codes: usize, width: usize, trees: &[Tree<'_>]) -> Result<Self> {
        depth(trees)?;
        Self::laid_out(codes, width, trees, None)
    }

    fn laid_out(codes: usize, width: usize, trees: &[Tree<'_>], perfect: Option<usize>) -> Result<Self> {
        let wrong = |expected: String, got: String| Error::Forest { expected, got };
        if width == 0 {
            return Err(wrong("at least one output".to_owned(), "none".to_owned()));
        }
        for (number, tree) in trees.iter().enumerate() {
            check(tree, codes, width).map_err(|(expected, got)| Error::Tree { tree: number, expected, got })?;
        }
        let scalar = width == 1 || trees.iter().all(|tree| tree.output.is_some());
        let stride = if scalar { 1 } else { width };
        let leaves = trees.iter().map(|tree| tree.splits.len() + 1).sum::<usize>();
        let slots = perfect.map_or(leaves, |depth| trees.len() << depth);
        let largest = slots.saturating_mul(2 * stride.max(NODE));
        if largest >= PLACES {
            return Err(wrong(format!("fewer than {PLACES} words of nodes or leaf values"), largest.to_string()));
        }

        let mut order: Vec<u32> = (0..trees.len() as u32).collect();
        if scalar {
            order.sort_by_key(|tree| trees[*tree as usize].output.unwrap_or(0));
        }
        let starts = if scalar {
            let before =
                |output| order.partition_point(|tree| trees[*tree as usize].output.unwrap_or(0) < output) as u32;
            (0..=width).map(before).collect()
        } else {
            vec![0, trees.len() as u32]
        };
        let mut forest = Self {
            codes,
            width,
            layout: perfect.map_or(Layout::General, |depth| Layout::Perfect { depth: depth as u32 }),
            nodes: Vec::new(),
            roots: Vec::with_capacity(trees.len()),
            values: Vec::with_capacity(slots * stride * 2),
            stride,
            starts,
            numbers: Vec::with_capacity(slots),
            scales: scales(width, trees)?,
            order,
        };
        for place in 0..trees.len() {
            let tree = trees[forest.order[place] as usize];
            match perfect {
                Some(depth) => forest.add_perfect(&tree, depth),
                None => forest.add_general(&tree),
            }
        }
        Ok(forest)
    }

    fn add_perfect(&mut self, tree: &Tree<'_>, depth: usize) {
        self.roots.push(self.nodes.len() as u32);
        let mut level = vec![root(tree)];
        for _ in 0..depth {
            let mut below = Vec::with_capacity(2 * level.len());
            for child in level {
                match child {
                    Child::Split(split) => {
                        let Split { code, cut, left, right } = tree.splits[split as usize];
                        self.nodes.push(question(code, cut));
                        below.extend([left, right]);
                    }
                    Child::Leaf(_) => {
                        // No byte is above this cut.
                        self.nodes.push(question(0, u8::MAX));
                        below.extend([child, child]);
                    }
                }
            }
            level = below;
        }
        for child in level {
            // What stands below the deepest level is a leaf.
            let (Child::Leaf(leaf) | Child::Split(leaf)) = child;
            self.add_leaf(tree, leaf);
        }
    }

    fn add_general(&mut self, tree: &Tree<'_>) {
        let first = self.nodes.len() / NODE;
        self.roots.push(first as u32);
        let landings = self.numbers.len() as u32;
        let mut open = VecDeque::from([root(tree)]);
        while let Some(next) = open.pop_front() {
            match next {
                Child::Leaf(leaf) => self.nodes.extend([LEAF, landings + leaf]),
                Child::Split(split) => {
                    let Split { code, cut, left, right } = tree.splits[split as usize];
                    let child = self.nodes.len() / NODE + 1 + open.len();
                    self.nodes.extend([question(code, cut), child as u32]);
                    open.extend([left, right]);
                }
            }
        }
        for leaf in 0..=tree.splits.len() as u32 {
            self.add_leaf(tree, leaf);
        }
    }

    fn add_leaf(&mut self, tree: &Tree<'_>, leaf: u32) {
        self.numbers.push(leaf);
        let leaf = leaf as usize;
        for place in 0..self.stride {
            let value = match tree.output {
                Some(output) if self.stride > 1 && output != place => 0.0,
                Some(_) => tree.values[leaf],
                None => tree.values[leaf * self.stride + place],
            };
            let scale = self.scales[if self.stride > 1 { place } else { tree.output.unwrap_or(0) }];
            let integer = scale.integer(value);
            self.values.extend([integer as u32, (integer >> 32) as u32]);
        }
    }

    /// Outputs a row.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Number of trees.
    #[must_use]
    pub fn trees(&self) -> usize {
        self.roots.len()
    }

    /// Words a coded row.
    #[must_use]
    pub fn words(&self) -> usize {
        words(self.codes)
    }

    /// How nodes lie in memory.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// What the integer 1 stands for in the sums of an output: a power of two. Sums of the greatest magnitude that the
    /// trees can reach are about 2^61 of it or more (unless they are below `1e-280`).
    ///
    /// # Panics
    /// There is no such output.
    #[must_use]
    pub fn unit(&self, output: usize) -> f64 {
        self.scales[output].unit()
    }

    /// An output's sum as a number, rounded once.
    ///
    /// # Panics
    /// There is no such output.
    #[must_use]
    pub fn number(&self, output: usize, sum: i64) -> f64 {
        self.scales[output].number(sum)
    }

    /// How many rows `words` words are.
    pub(crate) fn rows(&self, words: usize) -> Result<usize> {
        if words.is_multiple_of(self.words()) {
            Ok(words / self.words())
        } else {
            Err(Error::Words { words: self.words(), got: words })
        }
    }
}

fn root(tree: &Tree<'_>) -> Child {
    if tree.splits.is_empty() { Child::Leaf(0) } else { Child::Split(0) }
}

const fn question(code: u32, cut: u8) -> u32 {
    code << 8 | cut as u32
}

/// Splits between a root and the farthest leaf of all trees, whose children lie behind their parents.
fn depth(trees: &[Tree<'_>]) -> Result<usize> {
    let mut deepest = 0;
    let mut depths = Vec::new();
    for (number, tree) in trees.iter().enumerate() {
        depths.clear();
        depths.resize(tree.splits.len(), 1);
        for (place, split) in tree.splits.iter().enumerate() {
            let below: usize = depths[place] + 1;
            for child in [split.left, split.right] {
                let Child::Split(child) = child else { continue };
                match depths.get_mut(child as usize) {
                    Some(depth) if child as usize > place => *depth = below,
                    _ => {
                        let expected = format!("split {place}'s child in {}..{}", place + 1, tree.splits.len());
                        return Err(Error::Tree { tree: number, expected, got: child.to_string() });
                    }
                }
            }
        }
        deepest = depths.iter().copied().fold(deepest, usize::max);
    }
    Ok(deepest)
}

/// That one way leads to each split and leaf, and that what they hold can be used.
fn check(tree: &Tree<'_>, codes: usize, width: usize) -> Result<(), (String, String)> {
    let Tree { splits, values, output } = tree;
    let leaves = splits.len() + 1;
    let each = if output.is_some() { 1 } else { width };
    if values.len() != leaves * each {
        return Err((format!("{} leaf values", leaves * each), values.len().to_string()));
    }
    if let Some(output) = output.filter(|output| *output >= width) {
        return Err((format!("an output below {width}"), output.to_string()));
    }
    let mut reached = vec![false; splits.len() + leaves];
    if let Some(first) = reached.first_mut().filter(|_| !splits.is_empty()) {
        *first = true;
    }
    for split in *splits {
        if split.code as usize >= codes {
            return Err((format!("a code below {codes}"), split.code.to_string()));
        }
        for child in [split.left, split.right] {
            let (place, limit) = match child {
                Child::Split(place) => (place as usize, splits.len()),
                Child::Leaf(place) => (splits.len().saturating_add(place as usize), splits.len() + leaves),
            };
            match reached.get_mut(place).filter(|_| place < limit) {
                Some(seen) if !*seen => *seen = true,
                Some(_) => return Err(("one way to each node".to_owned(), format!("two to {child:?}"))),
                None => return Err((format!("{} splits and {leaves} leaves", splits.len()), format!("{child:?}"))),
            }
        }
    }
    Ok(())
}

/// The scale of each output.
fn scales(width: usize, trees: &[Tree<'_>]) -> Result<Vec<Scale>> {
    let mut magnitudes = vec![0.0_f64; width];
    for tree in trees {
        let (outputs, each) = tree.output.map_or((0..width, width), |output| (output..output + 1, 1));
        for (place, output) in outputs.enumerate() {
            let values = tree.values.iter().skip(place).step_by(each);
            // NaN is not lost as it would be by taking the maximum of floats.
            let greatest = values.map(|value| value.abs()).max_by(f64::total_cmp).unwrap_or(0.0);
            magnitudes[output] += greatest;
        }
    }
    match magnitudes.iter().position(|magnitude| !magnitude.is_finite()) {
        Some(output) => {
            let expected = format!("finite leaf values and sums for output {output}");
            Err(Error::Forest { expected, got: magnitudes[output].to_string() })
        }
        None => Ok(magnitudes.into_iter().map(Scale::of).collect()),
    }
}
