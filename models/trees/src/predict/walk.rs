//! Node by node, several walks side by side: for large trees.
//!
//! A node's children lie side by side, so that a step is an addition and no choice, and while one walk waits for its node the
//! others go on: eight rows through one tree, or one row through eight trees. A leaf is a node whose only child is itself, so
//! that who arrives early stays where it is.

use std::{collections::VecDeque, ops::Range};

use super::{
    forest::{Child, Laid},
    masks::LANES,
};

/// Walks side by side.
pub(super) const ABREAST: usize = 8;
/// Steps between two looks at whether all have arrived.
const STEPS: usize = 4;

/// The nodes of all trees, each tree's breadth first.
pub(super) struct Nodes {
    packed: Packed,
    /// The leaf of each node; nothing that is read for a split.
    leaves: Vec<u32>,
    trees: Vec<Root>,
}

enum Packed {
    Narrow(Vec<Narrow>),
    Wide(Vec<Wide>),
}

struct Root {
    nodes: Range<usize>,
    depth: usize,
}

/// A node of any size.
trait Node: Copy {
    fn new(child: usize, code: u16, cut: u8) -> Self;
    /// The left child; the right one follows.
    fn child(self) -> usize;
    fn code(self) -> usize;
    fn cut(self) -> u8;
}

/// A node in four bytes: 13 bits of child, 11 of code, 8 of cut. Most forests fit, and what fits is twice as often in a cache.
#[derive(Clone, Copy)]
struct Narrow(u32);

const NARROW_CHILDREN: usize = 1 << 13;
const NARROW_CODES: usize = 1 << 11;

impl Node for Narrow {
    fn new(child: usize, code: u16, cut: u8) -> Self {
        Self((child as u32) << 19 | u32::from(code) << 8 | u32::from(cut))
    }

    #[inline(always)]
    fn child(self) -> usize {
        (self.0 >> 19) as usize
    }

    #[inline(always)]
    fn code(self) -> usize {
        (self.0 >> 8) as usize % NARROW_CODES
    }

    #[inline(always)]
    fn cut(self) -> u8 {
        self.0 as u8
    }
}

/// A node in eight bytes.
#[derive(Clone, Copy)]
struct Wide {
    child: u32,
    code: u16,
    cut: u8,
}

impl Node for Wide {
    fn new(child: usize, code: u16, cut: u8) -> Self {
        Self { child: child as u32, code, cut }
    }

    #[inline(always)]
    fn child(self) -> usize {
        self.child as usize
    }

    #[inline(always)]
    fn code(self) -> usize {
        usize::from(self.code)
    }

    #[inline(always)]
    fn cut(self) -> u8 {
        self.cut
    }
}

impl Nodes {
    /// The nodes of `trees` whose rows have `codes` bytes.
    pub(super) fn new(trees: &[Laid], codes: usize) -> Self {
        let fits = codes <= NARROW_CODES && trees.iter().all(|tree| 2 * tree.leaves <= NARROW_CHILDREN);
        let mut laid = Self { packed: Packed::Wide(Vec::new()), leaves: Vec::new(), trees: Vec::new() };
        laid.packed = if fits { Packed::Narrow(laid.fill(trees)) } else { Packed::Wide(laid.fill(trees)) };
        laid
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        let nodes = match &self.packed {
            Packed::Narrow(nodes) => size_of_val(nodes.as_slice()),
            Packed::Wide(nodes) => size_of_val(nodes.as_slice()),
        };
        nodes + size_of_val(self.leaves.as_slice()) + size_of_val(self.trees.as_slice())
    }

    fn fill<N: Node>(&mut self, trees: &[Laid]) -> Vec<N> {
        let mut nodes: Vec<N> = Vec::new();
        for tree in trees {
            let first = nodes.len();
            let root = if tree.splits.is_empty() { Child::Leaf(0) } else { Child::Split(0) };
            let mut open = VecDeque::from([root]);
            while let Some(next) = open.pop_front() {
                let place = nodes.len() - first;
                match next {
                    Child::Leaf(leaf) => {
                        // No byte is above the cut, so the step leads to the node itself.
                        nodes.push(N::new(place, 0, u8::MAX));
                        self.leaves.push(leaf);
                    }
                    Child::Split(split) => {
                        let split = tree.splits[split as usize];
                        nodes.push(N::new(place + 1 + open.len(), split.question.code, split.question.cut));
                        self.leaves.push(0);
                        open.extend([split.left, split.right]);
                    }
                }
            }
            self.trees.push(Root { nodes: first..nodes.len(), depth: tree.depth });
        }
        nodes
    }

    /// Leads one row, given its codes, `STRIDE` bytes from one to the next, through all trees; `found` is told each tree and its leaf,
    /// in order.
    #[inline]
    pub(super) fn row<const STRIDE: usize>(&self, row: &[u8], found: impl FnMut(usize, usize)) {
        match &self.packed {
            Packed::Narrow(nodes) => self.row_in::<STRIDE, _>(nodes, row, found),
            Packed::Wide(nodes) => self.row_in::<STRIDE, _>(nodes, row, found),
        }
    }

    #[inline(always)]
    fn row_in<const STRIDE: usize, N: Node>(&self, nodes: &[N], row: &[u8], mut found: impl FnMut(usize, usize)) {
        for (group, trees) in self.trees.chunks(ABREAST).enumerate() {
            let mut walked = [&nodes[..0]; ABREAST];
            for (lane, walked) in walked.iter_mut().enumerate() {
                // The last group may be short: what is left over walks through its first tree again.
                *walked = &nodes[trees.get(lane).unwrap_or(&trees[0]).nodes.clone()];
            }
            let depth = trees.iter().map(|tree| tree.depth).max().unwrap_or(0);
            let mut places = [0; ABREAST];
            abreast(&mut places, depth, |lane, place| step::<STRIDE, N>(walked[lane], place, row));
            for (lane, (tree, place)) in trees.iter().zip(places).enumerate() {
                found(group * ABREAST + lane, self.leaves[tree.nodes.start + place] as usize);
            }
        }
    }

    /// Leads [`ABREAST`] rows of a block, given its codes from the first of these rows on, through one tree; gives their leaves.
    #[inline]
    pub(super) fn rows(&self, tree: usize, block: &[u8]) -> [u32; ABREAST] {
        let Root { nodes: range, depth } = &self.trees[tree];
        let mut places = [0; ABREAST];
        match &self.packed {
            Packed::Narrow(nodes) => rows_in(&nodes[range.clone()], &mut places, *depth, block),
            Packed::Wide(nodes) => rows_in(&nodes[range.clone()], &mut places, *depth, block),
        }
        places.map(|place| self.leaves[range.start + place])
    }
}

#[inline(always)]
fn rows_in<N: Node>(nodes: &[N], places: &mut [usize; ABREAST], depth: usize, block: &[u8]) {
    abreast(places, depth, |lane, place| step::<LANES, N>(nodes, place, &block[lane..]));
}

/// Takes up to `depth` steps in each lane.
#[inline(always)]
pub(super) fn abreast(places: &mut [usize; ABREAST], depth: usize, step: impl Fn(usize, usize) -> usize) {
    let mut taken = 0;
    while taken < depth {
        for _ in 1..STEPS.min(depth - taken) {
            for (lane, place) in places.iter_mut().enumerate() {
                *place = step(lane, *place);
            }
        }
        let mut moved = 0;
        for (lane, place) in places.iter_mut().enumerate() {
            let next = step(lane, *place);
            moved |= next ^ *place;
            *place = next;
        }
        // Trees that grow leaf by leaf have few deep leaves: most walks end long before the last level.
        if moved == 0 {
            break;
        }
        taken += STEPS;
    }
}

#[inline(always)]
fn step<const STRIDE: usize, N: Node>(nodes: &[N], place: usize, row: &[u8]) -> usize {
    let node = nodes[place];
    node.child() + usize::from(row[node.code() * STRIDE] > node.cut())
}
