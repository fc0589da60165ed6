//! Node by node, several rows side by side: for large trees.
//!
//! A node's children lie side by side, so that a step is an addition and no choice, and while one row waits for its node the
//! others go on. A leaf is a node whose only child is itself, so that rows that arrive early stay where they are.

use std::collections::VecDeque;

use super::forest::{Child, Laid};

/// Rows that walk side by side.
pub(super) const ABREAST: usize = 8;

/// A tree's nodes, breadth first.
pub(super) struct Nodes {
    nodes: Vec<Packed>,
    /// The leaf of each node; nothing that is read for a split.
    leaves: Vec<u32>,
    depth: usize,
}

/// A node in eight bytes.
#[derive(Clone, Copy)]
struct Packed {
    /// The left child; the right one follows.
    child: u32,
    code: u16,
    cut: u8,
}

impl Nodes {
    pub(super) fn new(tree: &Laid) -> Self {
        let root = if tree.splits.is_empty() { Child::Leaf(0) } else { Child::Split(0) };
        let mut nodes = Vec::with_capacity(2 * tree.leaves);
        let mut leaves = Vec::with_capacity(2 * tree.leaves);
        let mut open = VecDeque::from([root]);
        while let Some(next) = open.pop_front() {
            let place = nodes.len();
            match next {
                Child::Leaf(leaf) => {
                    // No byte is above the cut, so the step leads to the node itself.
                    nodes.push(Packed { child: place as u32, code: 0, cut: u8::MAX });
                    leaves.push(leaf);
                }
                Child::Split(split) => {
                    let split = tree.splits[split as usize];
                    let child = (place + 1 + open.len()) as u32;
                    nodes.push(Packed { child, code: split.question.code, cut: split.question.cut });
                    leaves.push(0);
                    open.extend([split.left, split.right]);
                }
            }
        }
        Self { nodes, leaves, depth: tree.depth }
    }

    /// The leaf of one row, given its codes.
    #[inline]
    pub(super) fn leaf(&self, row: &[u8]) -> u32 {
        let mut place = 0;
        for _ in 0..self.depth {
            place = self.step(place, row);
        }
        self.leaves[place]
    }

    /// The leaves of [`ABREAST`] rows, given their codes, `stride` bytes a row.
    #[inline]
    pub(super) fn leaves(&self, rows: &[u8], stride: usize, out: &mut [u32; ABREAST]) {
        let mut places = [0_usize; ABREAST];
        for _ in 0..self.depth {
            let mut moved = 0;
            for (lane, place) in places.iter_mut().enumerate() {
                let next = self.step(*place, &rows[lane * stride..]);
                moved |= next ^ *place;
                *place = next;
            }
            // Trees that grow leaf by leaf have few deep leaves: most rows arrive long before the last level.
            if moved == 0 {
                break;
            }
        }
        for (out, place) in out.iter_mut().zip(places) {
            *out = self.leaves[place];
        }
    }

    #[inline(always)]
    fn step(&self, place: usize, row: &[u8]) -> usize {
        let node = self.nodes[place];
        node.child as usize + usize::from(row[usize::from(node.code)] > node.cut)
    }
}
