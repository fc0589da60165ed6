//! What of a tree does not depend on the row.

use super::quadrature::LANES;
use crate::{
    Error, Result,
    ensemble::{Feature, Leaves, Node, Tree},
};

/// Quadrature groups that the deepest tree may need; building a rule takes time with the square of them.
const MOST_GROUPS: usize = 64;

/// Different features that one path may ask: what a rule of [`MOST_GROUPS`] is exact for.
pub(super) const MOST_FEATURES: usize = 2 * LANES * MOST_GROUPS;

/// A tree, and what SHAP values ask of its edges.
#[derive(Clone, Debug)]
pub(super) struct Graph {
    /// Nodes, leaves and category sets; no covers any more.
    pub(super) tree: Tree,
    /// The edge into each node.
    pub(super) edges: Vec<Edge>,
    /// Groups of the quadrature rule that is exact for this tree; 0 for a single leaf, which has no players.
    pub(super) groups: usize,
}

/// The edge from a split to one of its children.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    /// The split.
    pub(super) above: u32,
    /// Node behind the last edge above that asks the same feature; the root (0) when there is none.
    pub(super) before: u32,
    /// Feature that the split asks: a player of the game.
    pub(super) feature: u32,
    /// Column that the feature is of.
    pub(super) column: u32,
    /// Part of the split's training weight that went this way.
    pub(super) share: f64,
    /// Product of the shares of all edges down to this one that ask its feature: `z` of the papers.
    pub(super) zero: f64,
}

impl Edge {
    /// The stand-in for an edge into the root. A feature that has not been asked yet leads this way with certainty,
    /// known or unknown, and so the root is [`Edge::before`] of every feature's first edge.
    const ROOT: Self = Self { above: 0, before: 0, feature: 0, column: 0, share: 1.0, zero: 1.0 };
}

/// While nodes are visited in pre-order: the last edge on the way to the present one that asks each feature.
pub(super) struct Way {
    by_feature: Vec<u32>,
    path: Vec<u32>,
}

impl Way {
    pub(super) fn new(features: usize) -> Self {
        Self { by_feature: vec![0; features], path: Vec::new() }
    }

    /// Goes back to the node above, and down the edge into this one.
    fn enter(&mut self, node: usize, edges: &[Edge]) {
        let edge = &edges[node];
        self.leave_below(edge.above, edges);
        self.by_feature[edge.feature as usize] = node as u32;
        self.path.push(node as u32);
    }

    /// In pre-order, what lies on the path and behind a node lies below it.
    fn leave_below(&mut self, above: u32, edges: &[Edge]) {
        while let Some(left) = self.path.pop_if(|node| *node > above) {
            let edge = &edges[left as usize];
            self.by_feature[edge.feature as usize] = edge.before;
        }
    }
}

impl Graph {
    /// Of tree `index`, which passed [`Ensemble::check`](crate::Ensemble::check). `way` is new, and is so again afterwards.
    pub(super) fn new(tree: &Tree, index: usize, features: &[Feature], way: &mut Way) -> Result<Self> {
        check(tree, index)?;
        let Tree { nodes, leaves, sets, covers, linear: _ } = tree;
        let mut edges = vec![Edge::ROOT; nodes.len()];
        // How many features are asked on the way to each node.
        let mut asked = vec![0_usize; nodes.len()];
        for (place, node) in nodes.iter().enumerate() {
            if place > 0 {
                way.enter(place, &edges);
            }
            let Node::Split(split) = node else { continue };
            let children = [place + 1, split.right as usize];
            let before = way.by_feature[split.feature as usize];
            let shares = shares(children.map(|child| covers[child]));
            for (child, share) in children.into_iter().zip(shares) {
                asked[child] = asked[place] + usize::from(before == 0);
                edges[child] = Edge {
                    above: place as u32,
                    before,
                    feature: split.feature,
                    column: features[split.feature as usize].column,
                    share,
                    zero: edges[before as usize].zero * share,
                };
            }
        }
        way.leave_below(0, &edges);
        let most = asked.into_iter().max().unwrap_or(0);
        if most > MOST_FEATURES {
            return Err(Error::unsupported(
                format!("SHAP values of a path that asks {most} features, as in tree {index},"),
                format!("grow trees whose paths ask at most {MOST_FEATURES}"),
            ));
        }
        let tree = Tree {
            nodes: nodes.clone(),
            leaves: leaves.clone(),
            sets: sets.clone(),
            covers: Vec::new(),
            linear: Vec::new(),
        };
        Ok(Self { tree, edges, groups: most.div_ceil(2 * LANES) })
    }

    /// Outputs that the leaves add to.
    pub(super) fn outputs(&self, width: usize) -> std::ops::Range<usize> {
        match &self.tree.leaves {
            Leaves::Scalar { output, values: _ } => *output as usize..*output as usize + 1,
            Leaves::Vector(_) => 0..width,
        }
    }

    /// What a leaf adds to one of [`Self::outputs`].
    pub(super) fn value(&self, leaf: u32, output: usize, width: usize) -> f64 {
        match &self.tree.leaves {
            Leaves::Scalar { output: _, values } => values[leaf as usize],
            Leaves::Vector(values) => values[leaf as usize * width + output],
        }
    }

    /// Adds, to each output, the mean of the leaves' values under the covers.
    pub(super) fn add_mean(&self, means: &mut [f64]) {
        let mut reached = vec![1.0; self.edges.len()];
        for (place, node) in self.tree.nodes.iter().enumerate() {
            let edge = &self.edges[place];
            reached[place] = edge.share * reached[edge.above as usize];
            if let Node::Leaf(leaf) = node {
                for output in self.outputs(means.len()) {
                    means[output] += reached[place] * self.value(*leaf, output, means.len());
                }
            }
        }
    }
}

/// Parts of a split's weight that its children have.
///
/// They are of the children's sum, not of the split's own cover: sources round covers (`XGBoost`'s are f32), and these
/// parts add up to 1 all the same. Below a split that no training row came to, nothing prefers one way.
fn shares([left, right]: [f64; 2]) -> [f64; 2] {
    // Halves, so that the sum of the greatest f64 is finite.
    let both = 0.5 * left + 0.5 * right;
    if both > 0.0 { [0.5 * left / both, 0.5 * right / both] } else { [0.5, 0.5] }
}

/// Refuses what has no SHAP values.
fn check(tree: &Tree, index: usize) -> Result<()> {
    let Tree { nodes: _, leaves, sets: _, covers, linear } = tree;
    if !linear.is_empty() {
        return Err(Error::unsupported(
            format!("SHAP values of linear leaves (linear_tree), as in tree {index},"),
            "train with constant leaves",
        ));
    }
    let (Leaves::Scalar { output: _, values } | Leaves::Vector(values)) = leaves;
    if let Some(value) = values.iter().find(|value| !value.is_finite()) {
        return Err(Error::content(format!("in tree {index}, finite leaf values"), value));
    }
    if let Some(node) = covers.iter().position(|cover| !(cover.is_finite() && *cover >= 0.0)) {
        return Err(Error::content(format!("in tree {index}, node {node}, a cover of 0 or more"), covers[node]));
    }
    let split = tree.nodes.len() > 1;
    if split && !covers[1.min(covers.len())..].iter().any(|cover| *cover > 0.0) {
        return Err(Error::unsupported(
            format!("SHAP values of a model without covers, which tree {index} lacks,"),
            "import the model from the file of the tool that trained it",
        ));
    }
    Ok(())
}
