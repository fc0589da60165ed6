//! One tree.

use serde::{Deserialize, Serialize};

use super::{CategoryRule, Rules};
use crate::{Error, Result};

/// A binary decision tree.
///
/// Nodes are in pre-order: the root is node 0, and the left child of node `i` is node `i + 1`. So children lie behind
/// their parents, there is no cycle by construction, and a walk ends. Leaves are numbered from 0 in the same order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tree {
    /// Splits and leaves, in pre-order.
    pub nodes: Vec<Node>,
    /// What the leaves add, by leaf number.
    pub leaves: Leaves,
    /// Category sets that [`Test::In`] names.
    pub sets: Vec<CategorySet>,
    /// Training weight that passed each node (`XGBoost`'s sum of hessians, `LightGBM`'s counts), for SHAP values; by node,
    /// or empty when the source has none.
    pub covers: Vec<f64>,
    /// Linear functions by leaf number, which take a leaf value's place; empty for constant leaves.
    pub linear: Vec<LinearLeaf>,
}

/// A split or a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Node {
    /// Goes left, to the next node, or right.
    Split(Split),
    /// Ends in the leaf of this number.
    Leaf(u32),
}

/// A question to a row.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Split {
    /// Feature asked, by its place in [`Ensemble::features`](crate::Ensemble::features).
    pub feature: u32,
    /// Left when it holds.
    pub test: Test,
    /// What a missing value (NaN) does.
    pub missing: Missing,
    /// Node of the right child; the left one is the next node.
    pub right: u32,
}

/// A test on the value x of a feature.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Test {
    /// x < t
    Below(f64),
    /// x ≤ t
    AtMost(f64),
    /// x = t
    Equal(f64),
    /// x's category is in this set of the tree's [`sets`](Tree::sets), after the ensemble's
    /// [`CategoryRule`](crate::ensemble::CategoryRule).
    In(u32),
}

/// What NaN does at a split, and whether zero counts as missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Missing {
    /// NaN goes left.
    Left,
    /// NaN goes right.
    Right,
    /// NaN is read as 0, and so tested (`LightGBM`'s missing type None).
    AsZero,
    /// NaN, and numbers within [`ZERO`] of 0, go left (`LightGBM`'s missing type Zero).
    ZeroLeft,
    /// NaN, and numbers within [`ZERO`] of 0, go right.
    ZeroRight,
}

/// `LightGBM`'s `kZeroThreshold`: `1e-35f` as f64.
pub const ZERO: f64 = 1e-35_f32 as f64;

/// A set of category codes, as bits. Two sets of the same codes may differ in trailing zero words, and then are not equal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CategorySet {
    /// Code `c` is in the set when bit `c % 32` of word `c / 32` is set; codes beyond the words are not.
    pub words: Vec<u32>,
}

impl CategorySet {
    /// Whether the code is in the set.
    #[must_use]
    pub fn contains(&self, code: u32) -> bool {
        self.words.get((code / 32) as usize).is_some_and(|word| word >> (code % 32) & 1 == 1)
    }

    /// The codes, ascending.
    pub fn codes(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.words.len() as u32 * 32).filter(|code| self.contains(*code))
    }
}

impl FromIterator<u32> for CategorySet {
    /// Callers bound the codes first: memory is proportional to the largest one.
    fn from_iter<I: IntoIterator<Item = u32>>(codes: I) -> Self {
        let mut words = Vec::new();
        for code in codes {
            let word = (code / 32) as usize;
            if word >= words.len() {
                words.resize(word + 1, 0);
            }
            words[word] |= 1 << (code % 32);
        }
        Self { words }
    }
}

/// What leaves add to the margins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Leaves {
    /// A number each, to one of the margins.
    Scalar {
        /// Which margin.
        output: u32,
        /// By leaf number.
        values: Vec<f64>,
    },
    /// A number for each of the margins: leaf by leaf, `width` numbers each.
    Vector(Vec<f64>),
}

/// A leaf's linear function (`LightGBM`'s `linear_tree`): `constant + Σ coefficient · feature`. A row that lacks one of
/// these features gets the leaf's constant value instead.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LinearLeaf {
    /// Added first.
    pub constant: f64,
    /// Feature and coefficient, in the source's order.
    pub terms: Vec<(u32, f64)>,
}

/// A node as a file holds it: with both children named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linked {
    /// Children, by their place in the file.
    Split {
        /// Where the test holds.
        left: usize,
        /// Where it does not.
        right: usize,
    },
    /// No children.
    Leaf,
}

/// Pre-order of a tree that a file holds as linked nodes: for each new node, its place in the file and (for a split) the
/// new place of its right child.
///
/// `node` gives the node at a place below `count`, and is asked at most once a place. Memory is proportional to `count`, which
/// the caller bounds by what the file really holds.
///
/// # Errors
/// [`Error::Content`] when a child lies outside of `count`, or is reached twice (a cycle, or a node with two parents).
pub fn pre_order(
    count: usize,
    root: usize,
    node: impl Fn(usize) -> Result<Linked>,
) -> Result<Vec<(usize, Option<u32>)>> {
    let mut seen = vec![false; count];
    let mut order: Vec<(usize, Option<u32>)> = Vec::with_capacity(count);
    // A place in the file, and the new node whose right child it is.
    let mut open = vec![(root, None::<usize>)];
    while let Some((place, parent)) = open.pop() {
        match seen.get_mut(place) {
            None => return Err(Error::content(format!("a node below {count}"), format!("node {place}"))),
            Some(true) => {
                return Err(Error::content(
                    "a tree, in which one way leads to each node",
                    format!("two ways to node {place}"),
                ));
            }
            Some(seen) => *seen = true,
        }
        let new = order.len();
        if let Some(parent) = parent {
            order[parent].1 =
                Some(u32::try_from(new).map_err(|_| Error::content("fewer than 2^32 nodes a tree", new))?);
        }
        order.push((place, None));
        if let Linked::Split { left, right } = node(place)? {
            open.push((right, Some(new)));
            open.push((left, None));
        }
    }
    Ok(order)
}

impl Tree {
    /// Number of leaves.
    #[must_use]
    pub fn leaf_count(&self) -> usize {
        self.nodes.len() / 2 + 1
    }

    /// Edges from the root to its farthest leaf.
    #[must_use]
    pub fn depth(&self) -> usize {
        let mut depths = vec![0; self.nodes.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            if let Node::Split(split) = node {
                depths[index + 1] = depths[index] + 1;
                depths[split.right as usize] = depths[index] + 1;
            }
        }
        depths.into_iter().max().unwrap_or(0)
    }

    /// Checks what the docs of the fields promise.
    pub(super) fn check(&self, features: usize, width: usize, rules: Rules) -> Result<()> {
        let nodes = self.nodes.len();
        // Places at which a subtree must begin, innermost last: the right children of the splits we are in.
        let mut ends: Vec<usize> = Vec::new();
        let mut leaves = 0_u32;
        for (index, node) in self.nodes.iter().enumerate() {
            match node {
                Node::Split(split) => {
                    self.check_split(split, features, rules)
                        .map_err(|error| error.at(format!("node {index} in pre-order")))?;
                    let right = split.right as usize;
                    let outer = ends.last().copied().unwrap_or(nodes);
                    if right < index + 2 || right >= outer {
                        let expected = format!("node {index}'s right child in {}..{outer}", index + 2);
                        return Err(Error::content(expected, right));
                    }
                    ends.push(right);
                }
                Node::Leaf(leaf) => {
                    if *leaf != leaves {
                        return Err(Error::content(format!("leaf {leaves} next"), format!("leaf {leaf}")));
                    }
                    leaves += 1;
                    match ends.pop() {
                        Some(next) if next == index + 1 => {}
                        None if nodes == index + 1 => {}
                        Some(next) => return Err(Error::content(format!("node {next} behind a subtree"), index + 1)),
                        None => return Err(Error::content(format!("{} nodes", index + 1), nodes)),
                    }
                }
            }
        }
        if leaves == 0 || !ends.is_empty() {
            return Err(Error::content("a tree whose every branch ends in a leaf", "one that does not"));
        }
        if let Some(set) = self.sets.iter().position(|set| set.words.len() > CategoryRule::CODES / 32) {
            let expected = format!("codes below {} in category set {set}", CategoryRule::CODES);
            return Err(Error::content(expected, "larger ones"));
        }
        self.check_leaves(leaves as usize, features, width, rules)
    }

    fn check_split(&self, split: &Split, features: usize, rules: Rules) -> Result<()> {
        let Split { feature, test, missing: _, right: _ } = split;
        if *feature as usize >= features {
            return Err(Error::content(format!("a feature below {features}"), feature));
        }
        match test {
            Test::Below(threshold) | Test::AtMost(threshold) | Test::Equal(threshold) if threshold.is_nan() => {
                Err(Error::content("a number as threshold", "NaN"))
            }
            Test::Below(threshold) | Test::AtMost(threshold) | Test::Equal(threshold)
                if !rules.compare.holds(*threshold) =>
            {
                Err(Error::content("an f32 as threshold of what is compared in f32", threshold))
            }
            Test::In(set) if *set as usize >= self.sets.len() => {
                Err(Error::content(format!("a category set below {}", self.sets.len()), set))
            }
            Test::Below(_) | Test::AtMost(_) | Test::Equal(_) | Test::In(_) => Ok(()),
        }
    }

    fn check_leaves(&self, leaves: usize, features: usize, width: usize, rules: Rules) -> Result<()> {
        let (values, each) = match &self.leaves {
            Leaves::Scalar { output, values } => {
                if *output as usize >= width {
                    return Err(Error::content(format!("an output below {width}"), output));
                }
                (values, 1)
            }
            Leaves::Vector(values) => (values, width),
        };
        let counts = [
            ("leaf values", values.len(), leaves * each),
            ("covers", self.covers.len(), if self.covers.is_empty() { 0 } else { self.nodes.len() }),
            ("linear leaves", self.linear.len(), if self.linear.is_empty() { 0 } else { leaves }),
        ];
        for (what, got, expected) in counts {
            if got != expected {
                return Err(Error::content(format!("{expected} {what}"), got));
            }
        }
        if let Some((place, value)) = values.iter().enumerate().find(|(_, value)| !rules.sum.holds(**value)) {
            return Err(Error::content(format!("an f32 in leaf {}, which is added in f32", place / each), value));
        }
        if !self.linear.is_empty() && each != 1 {
            return Err(Error::content("one number a leaf in a linear tree", each));
        }
        let mut asked = self.linear.iter().flat_map(|leaf| &leaf.terms).map(|(feature, _)| *feature as usize);
        match asked.find(|feature| *feature >= features) {
            Some(feature) => Err(Error::content(format!("a feature below {features}"), feature)),
            None => Ok(()),
        }
    }
}
