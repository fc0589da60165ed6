//! Trees whose nodes may share subtrees, as trees.
//!
//! ONNX before `BRANCH_MEMBER` says "is one of these" by a chain of `BRANCH_EQ` nodes with one true child; that becomes one
//! test of a set. What a set cannot hold (numbers that are negative, fractional or large) stays a chain, and the shared
//! child is written again for each; so is whatever else is shared.

use super::budget::Budget;
use crate::{
    Error, Result,
    ensemble::{CategorySet, Missing, Node, Split, Test},
};

/// What a split asks: `nodes_modes` of ONNX.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Question<'a> {
    /// `BRANCH_LEQ`: x ≤ t
    AtMost(f64),
    /// `BRANCH_LT`: x < t
    Below(f64),
    /// `BRANCH_GTE`: x ≥ t
    AtLeast(f64),
    /// `BRANCH_GT`: x > t
    Above(f64),
    /// `BRANCH_EQ`: x = t
    Equal(f64),
    /// `BRANCH_NEQ`: x ≠ t
    NotEqual(f64),
    /// `BRANCH_MEMBER`: x is one of these.
    Member(&'a [f64]),
}

/// A node as the file holds it; places are the file's.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'a> {
    Leaf,
    Branch {
        feature: u32,
        question: Question<'a>,
        /// `nodes_missing_value_tracks_true`: NaN counts as a yes.
        track: bool,
        yes: usize,
        no: usize,
    },
}

/// A tree in pre-order.
#[derive(Debug, Default)]
pub(super) struct Unfolded {
    pub(super) nodes: Vec<Node>,
    pub(super) sets: Vec<CategorySet>,
    /// The file's place of each node.
    pub(super) places: Vec<usize>,
    /// The file's place of each leaf, by leaf number.
    pub(super) leaves: Vec<usize>,
}

/// Sets hold codes below this, or below 64 a member: what a set costs stays in proportion to what the file spends on it.
const SET_CODES: usize = 8192;

/// Reads trees out of one pool of nodes.
pub(super) struct Unfolder<'a, F> {
    /// The node at a place.
    node: F,
    budget: &'a Budget,
    /// Whether a place is above the current one.
    above: Vec<bool>,
    /// Whether a place was reached by some tree.
    pub(super) reached: Vec<bool>,
}

enum Frame {
    /// A place, and the new node whose right child it is.
    Visit(usize, Option<usize>),
    /// What remains of a question that takes several tests, and the new node whose right child it is.
    Rest(Asked, usize),
    /// The subtree of these places is done.
    Leave(Vec<usize>),
}

/// A question in our words.
struct Asked {
    place: usize,
    feature: u32,
    missing: Missing,
    /// Asked one after the other, the last one first; each leads left when it holds, and the last right when it does not.
    tests: Vec<Test>,
    left: usize,
    right: usize,
}

impl<'a, 'b, F: Fn(usize) -> Result<Place<'a>>> Unfolder<'b, F> {
    /// Over `count` places, which the caller holds.
    pub(super) fn new(count: usize, budget: &'b Budget, node: F) -> Self {
        Self { node, budget, above: vec![false; count], reached: vec![false; count] }
    }

    /// The tree below a place.
    pub(super) fn tree(&mut self, root: usize) -> Result<Unfolded> {
        let mut tree = Unfolded::default();
        let mut open = vec![Frame::Visit(root, None)];
        while let Some(frame) = open.pop() {
            match frame {
                Frame::Leave(places) => places.into_iter().for_each(|place| self.above[place] = false),
                Frame::Rest(asked, parent) => self.write(&mut tree, &mut open, asked, Some(parent))?,
                Frame::Visit(place, parent) => {
                    self.enter(place)?;
                    match (self.node)(place)? {
                        Place::Leaf => {
                            self.budget.spend(1)?;
                            link(&mut tree.nodes, parent)?;
                            let leaf = u32::try_from(tree.leaves.len())
                                .map_err(|_| Error::content("fewer than 2^32 leaves a tree", tree.leaves.len()))?;
                            tree.nodes.push(Node::Leaf(leaf));
                            tree.places.push(place);
                            tree.leaves.push(place);
                            self.above[place] = false;
                        }
                        Place::Branch { feature, question, track, yes, no } => {
                            let mut places = vec![place];
                            let asked = self.ask(&mut tree.sets, &mut places, feature, question, track, yes, no)?;
                            open.push(Frame::Leave(places));
                            self.write(&mut tree, &mut open, asked, parent)?;
                        }
                    }
                }
            }
        }
        Ok(tree)
    }

    fn enter(&mut self, place: usize) -> Result<()> {
        match self.above.get_mut(place) {
            None => Err(Error::content(format!("a node below {}", self.reached.len()), format!("node {place}"))),
            Some(true) => Err(Error::content("a tree", format!("a way from node {place} back to itself"))),
            Some(above) => {
                *above = true;
                self.reached[place] = true;
                Ok(())
            }
        }
    }

    /// Writes the first test of what is left to ask, and leaves the rest for later.
    fn write(&self, tree: &mut Unfolded, open: &mut Vec<Frame>, mut asked: Asked, parent: Option<usize>) -> Result<()> {
        let Some(test) = asked.tests.pop() else {
            return Err(Error::content("a question at a branch", "none"));
        };
        self.budget.spend(1)?;
        link(&mut tree.nodes, parent)?;
        let new = tree.nodes.len();
        // The right child is linked when it is written.
        tree.nodes.push(Node::Split(Split { feature: asked.feature, test, missing: asked.missing, right: 0 }));
        tree.places.push(asked.place);
        let left = asked.left;
        open.push(if asked.tests.is_empty() { Frame::Visit(asked.right, Some(new)) } else { Frame::Rest(asked, new) });
        open.push(Frame::Visit(left, None));
        Ok(())
    }

    /// Puts a question into our words, together with those that continue it.
    #[expect(clippy::too_many_arguments, reason = "the parts of a branch, taken apart by a match")]
    fn ask(
        &mut self,
        sets: &mut Vec<CategorySet>,
        places: &mut Vec<usize>,
        feature: u32,
        question: Question<'a>,
        track: bool,
        yes: usize,
        no: usize,
    ) -> Result<Asked> {
        let place = places[0];
        let side = |left: bool| if left { Missing::Left } else { Missing::Right };
        let one = |test, missing, left, right| Asked { place, feature, missing, tests: vec![test], left, right };
        match question {
            Question::AtMost(t) => Ok(one(Test::AtMost(t), side(track), yes, no)),
            Question::Below(t) => Ok(one(Test::Below(t), side(track), yes, no)),
            // For numbers, x ≥ t is what x < t is not; NaN is neither, and so a no unless it is tracked.
            Question::AtLeast(t) => Ok(one(Test::Below(t), side(!track), no, yes)),
            Question::Above(t) => Ok(one(Test::AtMost(t), side(!track), no, yes)),
            // NaN ≠ t holds, tracked or not.
            Question::NotEqual(t) => Ok(one(Test::Equal(t), Missing::Right, no, yes)),
            Question::Member(members) => {
                self.budget.spend(members.len())?;
                let tests = among(members, sets);
                Ok(Asked { place, feature, missing: side(track), tests, left: yes, right: no })
            }
            Question::Equal(t) => {
                let (members, track, no) = self.follow(places, feature, t, track, yes, no)?;
                let tests = among(&members, sets);
                Ok(Asked { place, feature, missing: side(track), tests, left: yes, right: no })
            }
        }
    }

    /// Follows a chain of `BRANCH_EQ` on one feature with one true child: its numbers, whether NaN is tracked, its end.
    fn follow(
        &mut self,
        places: &mut Vec<usize>,
        feature: u32,
        first: f64,
        mut track: bool,
        yes: usize,
        mut no: usize,
    ) -> Result<(Vec<f64>, bool, usize)> {
        let mut members = vec![first];
        while no != yes && no < self.above.len() {
            match (self.node)(no)? {
                Place::Branch { feature: same, question: Question::Equal(t), track: also, yes: shared, no: next }
                    if same == feature && shared == yes =>
                {
                    self.budget.spend(1)?;
                    self.enter(no)?;
                    places.push(no);
                    members.push(t);
                    track |= also;
                    no = next;
                }
                Place::Branch { feature: _, question: _, track: _, yes: _, no: _ } | Place::Leaf => break,
            }
        }
        Ok((members, track, no))
    }
}

/// The tests that hold for these numbers, the last one to ask first.
fn among(members: &[f64], sets: &mut Vec<CategorySet>) -> Vec<Test> {
    if let [only] = members {
        return vec![Test::Equal(*only)];
    }
    // Beyond 2^24 no number has a category code.
    let most = SET_CODES.max(members.len().saturating_mul(64)).min(1 << 24) as f64;
    let fits = |x: &f64| *x >= 0.0 && *x < most && x.fract() == 0.0;
    // Nothing equals NaN.
    let mut tests: Vec<Test> =
        members.iter().filter(|x| !fits(x) && !x.is_nan()).map(|member| Test::Equal(*member)).collect();
    let set: CategorySet = members.iter().filter(|x| fits(x)).map(|member| *member as u32).collect();
    if !set.words.is_empty() || tests.is_empty() {
        tests.push(Test::In(sets.len() as u32));
        sets.push(set);
    }
    tests
}

/// Notes that the next node is the right child of `parent`.
fn link(nodes: &mut [Node], parent: Option<usize>) -> Result<()> {
    let next = u32::try_from(nodes.len()).map_err(|_| Error::content("fewer than 2^32 nodes a tree", nodes.len()))?;
    if let Some(Node::Split(split)) = parent.and_then(|parent| nodes.get_mut(parent)) {
        split.right = next;
    }
    Ok(())
}
