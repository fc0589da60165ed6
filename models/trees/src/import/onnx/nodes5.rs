//! `TreeEnsemble` of `ai.onnx.ml` 5: interior nodes and leaves in lists of their own, and sets.

use super::{
    budget::Budget,
    constant::{Constant, Element},
    forest::{self, Features, Forest, Grown, Join, Post, Weights, as_long, index, tensor},
    proto::Attributes,
    unfold::{Place, Question, Unfolder},
    within,
};
use crate::{Error, Result};

/// Reads the attributes.
pub(super) fn read(attributes: &Attributes, double: bool, features: Features, budget: &Budget) -> Result<Forest> {
    let nodes = Nodes::read(attributes, double, features)?;
    let (width, weights) = weights(attributes, nodes.count, double)?;
    let leaves = weights.iter().count();
    let count = nodes.count + leaves;
    let mut unfolder = Unfolder::new(count, budget, |place| nodes.place(place, leaves));
    let mut trees = Vec::new();
    for (number, root) in attributes.ints("tree_roots")?.iter().enumerate() {
        let within = |error: Error| within(error, format_args!("in tree {number}"));
        let root = nodes.root(*root, leaves).map_err(within)?;
        // Leaves have no `nodes_hitrates`, so there is nothing to make covers of.
        trees.push(Grown::read(&mut unfolder, root, &[]).map_err(within)?);
    }
    let join = match attributes.int("aggregate_function")? {
        Some(0) => Join::Average,
        None | Some(1) => Join::Sum,
        Some(2) => Join::Min,
        Some(3) => Join::Max,
        Some(other) => return Err(Error::content("`aggregate_function` in 0..=3", other)),
    };
    let post = match attributes.int("post_transform")? {
        None | Some(0) => Post::None,
        Some(which @ (1 | 2)) => {
            // ONNX Runtime 1.32 computes LOGISTIC for 1 and SOFTMAX for 2, and neither with one target.
            return Err(Error::unsupported(
                format!("TreeEnsemble's post_transform {which}, which ONNX and ONNX Runtime read differently"),
                "put a Softmax or Sigmoid node behind the TreeEnsemble",
            ));
        }
        Some(3) => Post::SoftmaxZero,
        Some(4) => Post::Probit,
        Some(other) => return Err(Error::content("`post_transform` in 0..=4", other)),
    };
    Ok(Forest { trees, weights, width, base: Vec::new(), join, post, double })
}

/// Number of targets, and the weight of each leaf, whose places lie behind those of the nodes.
fn weights(attributes: &Attributes, nodes: usize, double: bool) -> Result<(usize, Weights)> {
    let targets = attributes.ints("leaf_targetids")?;
    let values = tensor(attributes, "leaf_weights", double)?;
    as_long("leaf_weights", values.len(), targets.len())?;
    let width = forest::targets(attributes, targets.len())?;
    let mut weights = Vec::with_capacity(values.len());
    for (leaf, (target, value)) in targets.iter().zip(values).enumerate() {
        let target = index("leaf_targetids", *target)?;
        if target >= width {
            return Err(Error::content(format!("`leaf_targetids` below {width}"), target));
        }
        weights.push((nodes + leaf, target as u32, value));
    }
    Ok((width, Weights::new(weights)?))
}

/// The `nodes_*` lists, of one length.
struct Nodes<'a> {
    count: usize,
    features: Features,
    asked: &'a [i64],
    modes: Vec<i64>,
    splits: Vec<f64>,
    yes: &'a [i64],
    no: &'a [i64],
    yes_leaf: &'a [i64],
    no_leaf: &'a [i64],
    track: &'a [i64],
    members: Vec<f64>,
    /// Where the members of each node begin and end.
    sets: Vec<(usize, usize)>,
}

/// `BRANCH_MEMBER`.
const MEMBER: i64 = 6;

impl<'a> Nodes<'a> {
    fn read(attributes: &'a Attributes, double: bool, features: Features) -> Result<Self> {
        let asked = attributes.ints("nodes_featureids")?;
        let count = asked.len();
        let list = |name: &str| -> Result<&'a [i64]> {
            let list = attributes.ints(name)?;
            as_long(name, list.len(), count)?;
            Ok(list)
        };
        let modes = match attributes.tensor("nodes_modes")? {
            Some(tensor) => Constant::read(tensor)?,
            None => Constant::integers(Vec::new()),
        };
        let modes = match (modes.element, modes.to_integers()) {
            (Element::Integer, Some(modes)) => modes.to_vec(),
            (other, _) => return Err(Error::content("`nodes_modes` of type UINT8", format!("{other:?}"))),
        };
        as_long("nodes_modes", modes.len(), count)?;
        let splits = tensor(attributes, "nodes_splits", double)?;
        as_long("nodes_splits", splits.len(), count)?;
        let track = attributes.ints("nodes_missing_value_tracks_true")?;
        if !track.is_empty() {
            as_long("nodes_missing_value_tracks_true", track.len(), count)?;
        }
        let members = tensor(attributes, "membership_values", double)?;
        let sets = sets(&modes, &members)?;
        Ok(Self {
            count,
            features,
            asked,
            modes,
            splits,
            yes: list("nodes_truenodeids")?,
            no: list("nodes_falsenodeids")?,
            yes_leaf: list("nodes_trueleafs")?,
            no_leaf: list("nodes_falseleafs")?,
            track,
            members,
            sets,
        })
    }

    /// The place of a root: a node, or a leaf when both ways of the node lead to one leaf. Engines then take the leaf of the
    /// root's own number, so the two must agree.
    fn root(&self, root: i64, leaves: usize) -> Result<usize> {
        let place = index("tree_roots", root)?;
        if place >= self.count {
            return Err(Error::content(format!("`tree_roots` below {}", self.count), root));
        }
        let single = self.yes_leaf[place] != 0 && self.no_leaf[place] != 0 && self.yes[place] == self.no[place];
        match single {
            true if self.yes[place] == root && place < leaves => Ok(self.count + place),
            true => Err(Error::content(
                format!("a tree of one leaf whose root has the leaf's number {}", self.yes[place]),
                root,
            )),
            false => Ok(place),
        }
    }

    fn place(&self, place: usize, leaves: usize) -> Result<Place<'_>> {
        if place >= self.count {
            return Ok(Place::Leaf);
        }
        let split = self.splits[place];
        let question = match self.modes[place] {
            0 => Question::AtMost(split),
            1 => Question::Below(split),
            2 => Question::AtLeast(split),
            3 => Question::Above(split),
            4 => Question::Equal(split),
            5 => Question::NotEqual(split),
            MEMBER => Question::Member(&self.members[self.sets[place].0..self.sets[place].1]),
            other => return Err(Error::content(format!("`nodes_modes` in 0..=6 at node {place}"), other)),
        };
        let child = |name: &str, number: i64, leaf: i64| {
            let found = index(name, number)?;
            let (offset, below) = if leaf == 0 { (0, self.count) } else { (self.count, leaves) };
            if found < below {
                return Ok(offset + found);
            }
            Err(Error::content(format!("`{name}` below {below} at node {place}"), number))
        };
        Ok(Place::Branch {
            feature: self.features.at(self.asked[place]).map_err(|error| error.at(format!("node {place}")))?,
            question,
            track: self.track.get(place) == Some(&1),
            yes: child("nodes_truenodeids", self.yes[place], self.yes_leaf[place])?,
            no: child("nodes_falsenodeids", self.no[place], self.no_leaf[place])?,
        })
    }
}

/// Members of each node, in the order of the nodes: those of a node with `BRANCH_MEMBER` end at a NaN.
fn sets(modes: &[i64], members: &[f64]) -> Result<Vec<(usize, usize)>> {
    let (expected, got) =
        (modes.iter().filter(|mode| **mode == MEMBER).count(), members.iter().filter(|x| x.is_nan()).count());
    if expected != got || members.last().is_some_and(|last| !last.is_nan()) {
        return Err(Error::content(format!("{expected} sets in `membership_values`, each with a NaN behind it"), got));
    }
    let mut begin = 0;
    let set = |mode: &i64| {
        if *mode != MEMBER {
            return (begin, begin);
        }
        let end = begin + members[begin..].iter().take_while(|x| !x.is_nan()).count();
        let set = (begin, end);
        begin = end + 1;
        set
    };
    Ok(modes.iter().map(set).collect())
}
