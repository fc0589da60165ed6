//! One row through one tree.

use super::{
    graph::{Edge, Graph},
    quadrature::{Lanes, Points, lanes},
};
use crate::ensemble::{Node, Rules};

/// Numbers by node, for the tree at hand.
pub(super) struct Scratch {
    /// Whether the row goes this way at every edge of this feature down to here: `o` of the papers.
    hot: Vec<bool>,
    /// At each point: its weight times the product of the [`factors`](Self::descend) of all features asked down to here.
    product: Vec<Lanes>,
    /// `1 / factor` of a hot edge's feature.
    inverse: Vec<Lanes>,
    /// `(o − z) / factor` of an edge's feature.
    ratio: Vec<Lanes>,
    /// Sum over the leaves below of value times product.
    below: Vec<Lanes>,
}

impl Scratch {
    /// For trees of up to so many nodes.
    pub(super) fn new(nodes: usize) -> Self {
        // The root stands for features that are not asked, whose factor is 1. All of a new scratch is like that; only the
        // root's part stays so.
        Self {
            hot: vec![true; nodes],
            product: vec![[1.0; _]; nodes],
            inverse: vec![[1.0; _]; nodes],
            ratio: vec![[0.0; _]; nodes],
            below: vec![[0.0; _]; nodes],
        }
    }

    /// Finds the edges that a row with these features takes.
    pub(super) fn follow(&mut self, graph: &Graph, features: &[f64], rules: Rules) {
        let Graph { tree, edges, groups: _ } = graph;
        for (place, node) in tree.nodes.iter().enumerate() {
            let Node::Split(split) = node else { continue };
            let left = tree.goes_left(split, features[split.feature as usize], rules);
            let (right, before) = (split.right as usize, edges[place + 1].before as usize);
            self.hot[place + 1] = left && self.hot[before];
            self.hot[right] = !left && self.hot[before];
        }
    }

    /// Works out the products from the root down.
    ///
    /// The factor of a feature at point t is `z(1 − t) + o·t`: the probability that it leads this way when it is known
    /// with probability t. It lies in [0, 1], and that of a hot edge not below t, so that no quotient here overflows.
    pub(super) fn descend(&mut self, graph: &Graph, points: &Points) {
        let Points { at, rest, weight, cold } = points;
        self.product[0] = *weight;
        for (place, edge) in graph.edges.iter().enumerate().skip(1) {
            let Edge { above, before, feature: _, column: _, share, zero } = *edge;
            let product = self.product[above as usize];
            // A feature that was asked before already has a factor in the product, which gives way to the new one.
            let before = before as usize;
            self.product[place] = if self.hot[place] {
                let factor: Lanes = lanes(|lane| zero * rest[lane] + at[lane]);
                let inverse = factor.map(|factor| 1.0 / factor);
                self.inverse[place] = inverse;
                self.ratio[place] = inverse.map(|inverse| (1.0 - zero) * inverse);
                lanes(|lane| product[lane] * factor[lane] * self.inverse[before][lane])
            } else {
                // (0 − z) / z(1 − t), without the z, which may be 0.
                self.ratio[place] = *cold;
                if self.hot[before] {
                    lanes(|lane| product[lane] * zero * rest[lane] * self.inverse[before][lane])
                } else {
                    product.map(|product| product * share)
                }
            };
        }
    }

    /// Sums the leaves up, for one output.
    pub(super) fn ascend(&mut self, graph: &Graph, output: usize, width: usize) {
        for (place, node) in graph.tree.nodes.iter().enumerate().rev() {
            self.below[place] = match node {
                Node::Leaf(leaf) => {
                    let value = graph.value(*leaf, output, width);
                    self.product[place].map(|product| value * product)
                }
                Node::Split(split) => {
                    let (left, right) = (&self.below[place + 1], &self.below[split.right as usize]);
                    lanes(|lane| left[lane] + right[lane])
                }
            };
        }
    }

    /// For the leaves below an edge, how much the edge changes the attribution of its feature, before summing over the
    /// points; none where it changes nothing.
    pub(super) fn change(&self, place: usize, edge: &Edge) -> Option<Lanes> {
        let before = edge.before as usize;
        // An edge beneath one that the row does not take: both ratios are -1 / (1 − t).
        self.hot[before].then(|| {
            let (new, old, below) = (&self.ratio[place], &self.ratio[before], &self.below[place]);
            lanes(|lane| (new[lane] - old[lane]) * below[lane])
        })
    }

    /// `(o − z) / factor` of a feature behind its edge into this node, point by point.
    pub(super) fn ratio(&self, place: u32) -> &Lanes {
        &self.ratio[place as usize]
    }
}
