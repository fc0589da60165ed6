//! Trees.

use super::{
    columns::{Columns, Question},
    file::{Branch, Oblivious},
};
use crate::{
    Error, Result,
    ensemble::{Leaves, Missing, Node, Split, Test, Tree},
};

/// `CatBoost`'s own bound on the depth of symmetric trees.
const DEPTH: usize = 16;

/// A tree as it grows.
#[derive(Default)]
struct Growing {
    nodes: Vec<Node>,
    values: Vec<f64>,
    covers: Vec<f64>,
    leaves: u32,
}

/// A symmetric tree as a full binary one: the split of the highest bit at the root, so that leaves lie in the order of their
/// numbers (but for one-hot splits, whose left side is the set bit).
pub(super) fn oblivious(tree: &Oblivious, columns: &Columns, dimensions: usize) -> Result<Tree> {
    let Oblivious { splits, leaf_values, leaf_weights } = tree;
    let splits = splits.as_deref().unwrap_or_default();
    if splits.len() > DEPTH {
        return Err(Error::unsupported(
            format!("a symmetric tree of depth {}", splits.len()),
            format!("train with a depth of at most {DEPTH}"),
        ));
    }
    let question = |(index, split)| columns.question(split).map_err(|error| error.at(format!("split {index}")));
    let questions = splits.iter().enumerate().map(question).collect::<Result<Vec<_>>>()?;
    let leaves = 1_usize << questions.len();
    let weights = leaf_weights.as_deref().filter(|weights| !weights.is_empty());
    let counts = [
        ("leaf_values", leaf_values.len(), leaves.saturating_mul(dimensions)),
        ("leaf_weights", weights.map_or(leaves, <[f64]>::len), leaves),
    ];
    for (what, got, expected) in counts {
        if got != expected {
            return Err(Error::content(format!("{expected} `{what}`"), got));
        }
    }
    let mut growing = Growing::default();
    let whole = Full { questions: &questions, values: leaf_values, weights, dimensions };
    growing.full(&whole, questions.len(), 0);
    Ok(growing.finish(weights.is_some()))
}

/// What a full tree is made of.
struct Full<'a> {
    questions: &'a [Question],
    values: &'a [f64],
    weights: Option<&'a [f64]>,
    dimensions: usize,
}

/// A tree of another grow policy. Its depth is bounded by the JSON reader's.
pub(super) fn branching(tree: &Branch, columns: &Columns, dimensions: usize) -> Result<Tree> {
    let mut growing = Growing::default();
    let weighted = growing.branch(tree, columns, dimensions)?;
    Ok(growing.finish(weighted))
}

impl Growing {
    fn leaf(&mut self, values: &[f64], weight: f64) {
        self.nodes.push(Node::Leaf(self.leaves));
        self.leaves += 1;
        self.values.extend(values);
        self.covers.push(weight);
    }

    /// Adds a split whose right child is yet to come.
    fn split(&mut self, question: &Question) -> usize {
        let (feature, test, missing) = match question {
            Question::Above { column, border, missing } => (*column, Test::AtMost(*border), *missing),
            Question::Is { column, code } => (*column, Test::Equal(f64::from(*code)), Missing::Right),
        };
        let split = Split { feature, test, missing, right: 0 };
        self.nodes.push(Node::Split(split));
        self.covers.push(0.0);
        self.nodes.len() - 1
    }

    /// The right child of `split` is the next node.
    fn turn(&mut self, split: usize) {
        let next = self.nodes.len() as u32;
        if let Some(Node::Split(split)) = self.nodes.get_mut(split) {
            split.right = next;
        }
    }

    /// The part of a full tree below its first `level` splits, where the others have led to `leaf`. At most 17 deep.
    fn full(&mut self, whole: &Full<'_>, level: usize, leaf: usize) {
        let below = level.checked_sub(1).and_then(|bit| Some((bit, whole.questions.get(bit)?)));
        let Some((bit, question)) = below else {
            let values = leaf * whole.dimensions..(leaf + 1) * whole.dimensions;
            let weight = whole.weights.and_then(|weights| weights.get(leaf)).copied().unwrap_or_default();
            self.leaf(whole.values.get(values).unwrap_or_default(), weight);
            return;
        };
        let (left, right) = sides(question, leaf, leaf | 1 << bit);
        let split = self.split(question);
        self.full(whole, bit, left);
        self.turn(split);
        self.full(whole, bit, right);
    }

    /// A branch, and whether its leaves have weights.
    fn branch(&mut self, branch: &Branch, columns: &Columns, dimensions: usize) -> Result<bool> {
        let Branch { split, left, right, value, weight } = branch;
        match (split, left, right, value) {
            (None, None, None, Some(value)) => {
                let values = value.as_slice();
                if values.len() != dimensions {
                    return Err(Error::content(format!("{dimensions} numbers as `value` of a leaf"), values.len()));
                }
                self.leaf(values, weight.unwrap_or_default());
                Ok(weight.is_some())
            }
            (Some(split), Some(left), Some(right), None) => {
                let question = columns.question(split)?;
                // To the right where the question is answered by yes.
                let (first, second) = sides(&question, left, right);
                let split = self.split(&question);
                let weighted = self.branch(first, columns, dimensions)?;
                self.turn(split);
                Ok(self.branch(second, columns, dimensions)? && weighted)
            }
            _ => Err(Error::content("`value`, or `split` with `left` and `right`, in each node", "another node")),
        }
    }

    fn finish(mut self, weighted: bool) -> Tree {
        if weighted {
            // Children lie behind their parents, so from the back each split finds its children done.
            for index in (0..self.nodes.len()).rev() {
                if let Some(Node::Split(split)) = self.nodes.get(index) {
                    let of = |node: usize| self.covers.get(node).copied().unwrap_or_default();
                    let sum = of(index + 1) + of(split.right as usize);
                    if let Some(cover) = self.covers.get_mut(index) {
                        *cover = sum;
                    }
                }
            }
        } else {
            self.covers.clear();
        }
        Tree {
            nodes: self.nodes,
            leaves: Leaves::Vector(self.values),
            sets: Vec::new(),
            covers: self.covers,
            linear: Vec::new(),
        }
    }
}

/// What lies left and right, of what a no and a yes lead to: our tests hold up to the border, and for the category.
fn sides<T>(question: &Question, no: T, yes: T) -> (T, T) {
    match question {
        Question::Above { column: _, border: _, missing: _ } => (no, yes),
        Question::Is { column: _, code: _ } => (yes, no),
    }
}
