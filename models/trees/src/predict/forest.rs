//! An ensemble laid out for answering: the parts that all ways of walking share.

use super::codes::{Codes, Question};
use crate::{
    Ensemble,
    ensemble::{Aggregate, Leaves, Node, Rules, Tree},
};

/// The numbers in which leaf values are added.
pub(super) trait Sum: Copy + Send + Sync + Default + std::ops::Add<Output = Self> + 'static {
    fn of(x: f64) -> Self;
    fn wide(self) -> f64;
}

impl Sum for f32 {
    fn of(x: f64) -> Self {
        x as Self
    }

    fn wide(self) -> f64 {
        f64::from(self)
    }
}

impl Sum for f64 {
    fn of(x: f64) -> Self {
        x
    }

    fn wide(self) -> f64 {
        self
    }
}

/// An ensemble whose splits are questions to bytes.
pub(super) struct Forest<S> {
    pub(super) rules: Rules,
    /// Features a row.
    pub(super) features: usize,
    pub(super) codes: Codes,
    pub(super) trees: Vec<Laid>,
    /// Leaf values of all trees, each tree's from [`Laid::values`].
    pub(super) values: Vec<S>,
    /// Margins a row.
    pub(super) width: usize,
    start: Vec<S>,
    divisors: Option<Vec<f64>>,
    scale: f64,
    bias: Vec<f64>,
}

/// A tree: its splits in pre-order, each with the places of its children.
pub(super) struct Laid {
    pub(super) splits: Vec<LaidSplit>,
    /// Number of leaves.
    pub(super) leaves: usize,
    /// Where its leaf values begin.
    pub(super) values: usize,
    /// Which margin they are added to; none for a number for each.
    pub(super) output: Option<usize>,
    /// Edges to its farthest leaf.
    pub(super) depth: usize,
}

/// A split with its children's places.
#[derive(Clone, Copy, Debug)]
pub struct LaidSplit {
    /// What it asks.
    pub question: Question,
    /// Where it leads when that holds.
    pub left: Child,
    /// Where it leads otherwise.
    pub right: Child,
}

/// A place in a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Child {
    /// Number of a split, in pre-order.
    Split(u32),
    /// Number of a leaf.
    Leaf(u32),
}

impl<S: Sum> Forest<S> {
    /// Lays out an ensemble; none when it needs what bytes and sums cannot say (linear leaves, the least or the greatest of
    /// the trees, too many codes).
    pub(super) fn new(ensemble: &Ensemble) -> Option<Self> {
        let output = &ensemble.output;
        let divisors = match &output.aggregate {
            Aggregate::Sum => None,
            Aggregate::Mean(divisors) => Some(divisors.clone()),
            Aggregate::Min | Aggregate::Max => return None,
        };
        if ensemble.trees.iter().any(|tree| !tree.linear.is_empty()) {
            return None;
        }
        let (codes, questions) = Codes::new(ensemble)?;
        let mut values = Vec::new();
        let trees = ensemble.trees.iter().zip(questions).map(|(tree, questions)| {
            let first = values.len();
            let (output, leaves) = match &tree.leaves {
                Leaves::Scalar { output, values } => (Some(*output as usize), values),
                Leaves::Vector(values) => (None, values),
            };
            values.extend(leaves.iter().map(|value| S::of(*value)));
            Laid {
                splits: splits(tree, &questions),
                leaves: tree.leaf_count(),
                values: first,
                output,
                depth: tree.depth(),
            }
        });
        Some(Self {
            rules: ensemble.rules,
            features: ensemble.features.len(),
            trees: trees.collect(),
            codes,
            values,
            width: output.width,
            start: output.start.iter().map(|start| S::of(*start)).collect(),
            divisors,
            scale: output.scale,
            bias: output.bias.clone(),
        })
    }

    /// Bytes held by leaf values, splits and codes.
    pub(super) fn bytes(&self) -> usize {
        let splits = self.trees.iter().map(|tree| size_of_val(tree.splits.as_slice())).sum::<usize>();
        size_of_val(self.values.as_slice()) + size_of_val(self.trees.as_slice()) + splits + self.codes.bytes()
    }

    /// Begins the sums of `rows` rows.
    pub(super) fn begin(&self, sums: &mut Vec<S>, rows: usize) {
        sums.clear();
        if let [start] = self.start.as_slice() {
            sums.resize(rows, *start);
        } else {
            (0..rows).for_each(|_row| sums.extend_from_slice(&self.start));
        }
    }

    /// What a row's sums begin with, by margin.
    pub(super) fn start(&self) -> &[S] {
        &self.start
    }

    /// Adds what a leaf of `tree` adds to a row's sums.
    #[inline(always)]
    pub(super) fn add(&self, tree: &Laid, leaf: usize, sums: &mut [S]) {
        if let Some(output) = tree.output {
            sums[output] = sums[output] + self.values[tree.values + leaf];
            return;
        }
        let values = &self.values[tree.values + leaf * self.width..][..self.width];
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum = *sum + *value;
        }
    }

    /// A margin from its sum.
    pub(super) fn finish(&self, margin: usize, sum: S) -> f64 {
        let round = |x: f64| S::of(x).wide();
        let sum = sum.wide();
        let mean = self.divisors.as_ref().map_or(sum, |divisors| round(sum / divisors[margin]));
        round(round(mean * self.scale) + self.bias[margin])
    }
}

/// A tree's splits in pre-order with their children.
fn splits(tree: &Tree, questions: &[Question]) -> Vec<LaidSplit> {
    let mut number = 0;
    // A node's place among the splits, or among the leaves.
    let places: Vec<Child> = tree
        .nodes
        .iter()
        .map(|node| match node {
            Node::Leaf(leaf) => Child::Leaf(*leaf),
            Node::Split(_) => {
                number += 1;
                Child::Split(number - 1)
            }
        })
        .collect();
    let split = |(index, node): (usize, &Node)| match node {
        Node::Leaf(_) => None,
        Node::Split(split) => Some((places[index + 1], places[split.right as usize])),
    };
    let children = tree.nodes.iter().enumerate().filter_map(split);
    children.zip(questions).map(|((left, right), question)| LaidSplit { question: *question, left, right }).collect()
}
