//! Node by node, on the values as they came: for forests so small that coding a row takes longer than its walks.
//!
//! A coded row costs a search a column and serves all trees; that is worth it for hundreds of trees, not for sixteen. Here a node
//! holds its threshold, and what a missing value does is a bit beside it. As in [`walk`](super::walk), children lie side by side, a
//! leaf leads to itself, and several walks go side by side: eight rows through one tree, or one row through eight trees.

use std::collections::VecDeque;

use super::{
    forest::{Child, Forest, Sum},
    plain::Above,
    value::Value,
    walk::{ABREAST, abreast},
};

/// The nodes of all trees, each tree's breadth first.
pub(super) struct Direct {
    nodes: Vec<Node>,
    /// The leaf of each node; nothing that is read for a split.
    leaves: Vec<u32>,
    trees: Vec<Root>,
}

/// A node in eight bytes: the right child of a value above the cut.
#[derive(Clone, Copy)]
struct Node {
    cut: f32,
    /// 20 bits of left child, which the right one follows, 11 of feature, and whether NaN goes right.
    rest: u32,
}

const NODES: usize = 1 << 20;
const FEATURES: usize = 1 << 11;

#[derive(Clone, Copy)]
struct Root {
    node: u32,
    depth: u32,
}

impl Node {
    const fn new(cut: f32, child: usize, feature: usize, missing_right: bool) -> Self {
        Self { cut, rest: (child as u32) << 12 | (feature as u32) << 1 | missing_right as u32 }
    }

    /// The node that follows for a row.
    #[inline(always)]
    fn next<T: Value>(self, row: &[T]) -> usize {
        let value = row[(self.rest >> 1) as usize % FEATURES].narrow();
        let right = u32::from(value > self.cut) | (u32::from(value.is_nan()) & self.rest);
        ((self.rest >> 12) + (right & 1)) as usize
    }
}

impl Direct {
    /// None when the forest asks for more than whether an f32 lies above a threshold (categories, zeros that are missing), or has more
    /// nodes or features than eight bytes a node can name.
    pub(super) fn new<S: Sum>(forest: &Forest<S>) -> Option<Self> {
        let nodes: usize = forest.trees.iter().map(|tree| tree.splits.len() + tree.leaves).sum();
        if nodes > NODES || forest.features > FEATURES || forest.features == 0 {
            return None;
        }
        let codes = forest.codes.plain();
        let mut laid = Self { nodes: Vec::with_capacity(nodes), leaves: Vec::with_capacity(nodes), trees: Vec::new() };
        for tree in &forest.trees {
            let first = laid.nodes.len();
            let root = if tree.splits.is_empty() { Child::Leaf(0) } else { Child::Split(0) };
            let mut open = VecDeque::from([root]);
            while let Some(next) = open.pop_front() {
                let place = laid.nodes.len();
                match next {
                    Child::Leaf(leaf) => {
                        // Nothing is above infinity, so the step leads to the node itself.
                        laid.nodes.push(Node::new(f32::INFINITY, place, 0, false));
                        laid.leaves.push(leaf);
                    }
                    Child::Split(split) => {
                        let split = tree.splits[split as usize];
                        let Above { feature, cut, missing_right } =
                            codes[usize::from(split.question.code)].above(split.question.cut)?;
                        laid.nodes.push(Node::new(cut, place + 1 + open.len(), feature, missing_right));
                        laid.leaves.push(0);
                        open.extend([split.left, split.right]);
                    }
                }
            }
            laid.trees.push(Root { node: first as u32, depth: tree.depth as u32 });
        }
        Some(laid)
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.nodes.as_slice()) + size_of_val(self.leaves.as_slice()) + size_of_val(self.trees.as_slice())
    }

    /// Leads one row of features through all trees; `found` is told each tree and its leaf, in order.
    #[inline]
    pub(super) fn row<T: Value>(&self, row: &[T], mut found: impl FnMut(usize, usize)) {
        for (group, trees) in self.trees.chunks(ABREAST).enumerate() {
            // The last group may be short: what is left over walks through its first tree again.
            let mut places = std::array::from_fn(|lane| trees.get(lane).unwrap_or(&trees[0]).node as usize);
            let depth = trees.iter().map(|tree| tree.depth).max().unwrap_or(0);
            abreast(&mut places, depth as usize, |_lane, place| self.nodes[place].next(row));
            for (lane, place) in places.into_iter().enumerate().take(trees.len()) {
                found(group * ABREAST + lane, self.leaves[place] as usize);
            }
        }
    }

    /// Leads [`ABREAST`] rows of `features` each through one tree; gives their leaves.
    #[inline]
    pub(super) fn rows<T: Value>(&self, tree: usize, rows: &[T], features: usize) -> [u32; ABREAST] {
        let Root { node, depth } = self.trees[tree];
        let mut walkers = [&rows[..0]; ABREAST];
        for (lane, walker) in walkers.iter_mut().enumerate() {
            *walker = &rows[lane * features..][..features];
        }
        let mut places = [node as usize; ABREAST];
        abreast(&mut places, depth as usize, |lane, place| self.nodes[place].next(walkers[lane]));
        places.map(|place| self.leaves[place])
    }
}
