//! What the tree operators say, of whatever version: trees, the weights of their leaves, and what is done with the sums.

use super::{
    budget::Budget,
    constant::{Constant, Element},
    proto::Attributes,
    unfold::{Place, Unfolded, Unfolder},
};
use crate::{
    Error, Result,
    ensemble::{Leaves, Node, Tree},
};

/// `aggregate_function`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Join {
    Sum,
    Average,
    Min,
    Max,
}

impl Join {
    /// What a leaf without a weight for a target adds to it.
    pub(super) fn nothing(self) -> f64 {
        match self {
            Self::Sum | Self::Average => 0.0,
            Self::Min => f64::INFINITY,
            Self::Max => f64::NEG_INFINITY,
        }
    }
}

/// `post_transform`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Post {
    None,
    Softmax,
    Logistic,
    SoftmaxZero,
    Probit,
}

/// The feature that an operator's first one is among all features, and how many it has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Features {
    pub(super) first: usize,
    pub(super) count: usize,
}

impl Features {
    /// The feature of a `nodes_featureids`.
    pub(super) fn at(self, id: i64) -> Result<u32> {
        let below = usize::try_from(id).ok().filter(|id| *id < self.count);
        let feature = below.and_then(|id| u32::try_from(self.first + id).ok());
        feature.ok_or_else(|| Error::content(format!("`nodes_featureids` below {}", self.count), id))
    }
}

/// Trees and the weights of their leaves.
#[derive(Debug)]
pub(super) struct Forest {
    pub(super) trees: Vec<Grown>,
    pub(super) weights: Weights,
    /// Targets, or classes.
    pub(super) width: usize,
    /// `base_values`; empty, or fewer or as many as the width.
    pub(super) base: Vec<f64>,
    pub(super) join: Join,
    pub(super) post: Post,
    /// Whether numbers are doubles.
    pub(super) double: bool,
}

/// A tree before its leaves have values.
#[derive(Debug)]
pub(super) struct Grown {
    tree: Unfolded,
    covers: Vec<f64>,
}

impl Grown {
    /// The tree below `root`. `hits` are the `nodes_hitrates` by place, if there are any: they become covers where they add
    /// up as covers do, which the constants that most converters write do not.
    pub(super) fn read<'a, F: Fn(usize) -> Result<Place<'a>>>(
        unfolder: &mut Unfolder<'_, F>,
        root: usize,
        hits: &[f64],
    ) -> Result<Self> {
        let tree = unfolder.tree(root)?;
        let covers: Option<Vec<f64>> = tree.places.iter().map(|place| hits.get(*place).copied()).collect();
        let covers = covers.filter(|covers| add_up(&tree.nodes, covers)).unwrap_or_default();
        Ok(Self { tree, covers })
    }
}

fn add_up(nodes: &[Node], covers: &[f64]) -> bool {
    nodes.len() > 1
        && nodes.iter().enumerate().all(|(index, node)| match node {
            Node::Leaf(_) => covers[index] > 0.0 && covers[index].is_finite(),
            Node::Split(split) => {
                let children = covers[index + 1] + covers[split.right as usize];
                (covers[index] - children).abs() <= 1e-3 * children
            }
        })
}

/// Weights of leaves: place of the leaf, target, weight; by place, and by target within a place.
#[derive(Debug)]
pub(super) struct Weights(Vec<(usize, u32, f64)>);

impl Weights {
    /// Takes weights in any order.
    pub(super) fn new(mut weights: Vec<(usize, u32, f64)>) -> Result<Self> {
        weights.sort_by_key(|(place, target, _)| (*place, *target));
        match weights.array_windows().find(|[one, other]| (one.0, one.1) == (other.0, other.1)) {
            Some([(place, target, _), _]) => Err(Error::content(
                "one weight of a leaf for each target or class",
                format!("two of node {place} for {target}"),
            )),
            None => Ok(Self(weights)),
        }
    }

    /// Those of a leaf.
    pub(super) fn of(&self, place: usize) -> &[(usize, u32, f64)] {
        let from = self.0.partition_point(|(other, _, _)| *other < place);
        let to = self.0.partition_point(|(other, _, _)| *other <= place);
        &self.0[from..to]
    }

    /// All.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(usize, u32, f64)> {
        self.0.iter()
    }
}

impl Forest {
    /// Whether each target has a tree that weighs it in every leaf, so that each row gets a weight for it.
    pub(super) fn always(&self, budget: &Budget) -> Result<Vec<bool>> {
        let mut always = vec![false; self.width];
        let mut counts = vec![0_usize; self.width];
        for grown in &self.trees {
            let leaves = &grown.tree.leaves;
            for place in leaves {
                let weights = self.weights.of(*place);
                budget.spend(weights.len())?;
                for (_, target, _) in weights {
                    counts[*target as usize] += 1;
                }
            }
            for (_, target, _) in leaves.iter().flat_map(|place| self.weights.of(*place)) {
                let count = std::mem::take(&mut counts[*target as usize]);
                always[*target as usize] |= count == leaves.len();
            }
        }
        Ok(always)
    }

    /// The trees with a leaf value for each of the targets.
    pub(super) fn plain(self, budget: &Budget) -> Result<Vec<Tree>> {
        let Self { trees, weights, width, base: _, join, post: _, double: _ } = self;
        let leaves = |places: &[usize]| {
            let mut targets = places.iter().flat_map(|place| weights.of(*place)).map(|(_, target, _)| *target);
            let first = targets.next().unwrap_or(0);
            if targets.all(|target| target == first) {
                let value = |place: &usize| weights.of(*place).first().map_or(join.nothing(), |(_, _, weight)| *weight);
                return Ok(Leaves::Scalar { output: first, values: places.iter().map(value).collect() });
            }
            budget.spend(places.len().saturating_mul(width))?;
            let mut values = vec![join.nothing(); places.len() * width];
            for (place, values) in places.iter().zip(values.chunks_mut(width)) {
                for (_, target, weight) in weights.of(*place) {
                    values[*target as usize] = *weight;
                }
            }
            Ok(Leaves::Vector(values))
        };
        trees.into_iter().map(|grown| Ok(finish(leaves(&grown.tree.leaves)?, grown))).collect()
    }

    /// The trees with two leaf values, minus the weight of class 0 and that weight.
    pub(super) fn mirrored(self) -> Vec<Tree> {
        let Self { trees, weights, width: _, base: _, join: _, post: _, double: _ } = self;
        let leaf = |place: &usize| {
            let weight = weights.of(*place).first().map_or(0.0, |(_, _, weight)| *weight);
            [-weight, weight]
        };
        trees
            .into_iter()
            .map(|grown| finish(Leaves::Vector(grown.tree.leaves.iter().flat_map(leaf).collect()), grown))
            .collect()
    }
}

fn finish(leaves: Leaves, grown: Grown) -> Tree {
    let Grown { tree: Unfolded { nodes, sets, places: _, leaves: _ }, covers } = grown;
    Tree { nodes, leaves, sets, covers, linear: Vec::new() }
}

/// Targets that a file may declare without a weight for each.
const FREE_TARGETS: usize = 256;

/// `n_targets` of a file with so many weights: memory is not taken on its word alone.
pub(super) fn targets(attributes: &Attributes, weights: usize) -> Result<usize> {
    let declared = attributes.int("n_targets")?.unwrap_or(0);
    let most = weights.max(FREE_TARGETS);
    let fits = usize::try_from(declared).ok().filter(|count| (1..=most).contains(count));
    fits.ok_or_else(|| Error::content(format!("`n_targets` in 1..={most} with {weights} weights"), declared))
}

/// Numbers of an attribute that is a list of floats, or (with `_as_tensor` behind its name) a tensor of the input's type.
pub(super) fn numbers(attributes: &Attributes, name: &str, double: bool) -> Result<Vec<f64>> {
    let as_tensor = format!("{name}_as_tensor");
    let floats = attributes.floats(name)?;
    if !attributes.has(&as_tensor) {
        return Ok(floats.iter().map(|value| f64::from(*value)).collect());
    }
    if !floats.is_empty() {
        return Err(Error::content(format!("`{name}` or `{as_tensor}`"), "both"));
    }
    tensor(attributes, &as_tensor, double)
}

/// Numbers of an attribute that is a tensor of the input's type; none when there is no such attribute.
pub(super) fn tensor(attributes: &Attributes, name: &str, double: bool) -> Result<Vec<f64>> {
    let Some(tensor) = attributes.tensor(name)? else { return Ok(Vec::new()) };
    let constant = Constant::read(tensor)?;
    let expected = if double { Element::Double } else { Element::Single };
    match constant.to_numbers() {
        Some(numbers) if constant.element == expected => Ok(numbers),
        // An empty list says nothing about its type.
        _ if constant.len() == 0 => Ok(Vec::new()),
        _ => {
            Err(Error::content(format!("`{name}` of the input's type {expected:?}"), format!("{:?}", constant.element)))
        }
    }
}

/// A list as long as the nodes, or the sentence that says it is not.
pub(super) fn as_long(name: &str, got: usize, count: usize) -> Result<()> {
    if got == count { Ok(()) } else { Err(Error::content(format!("{count} values in `{name}`"), got)) }
}

/// An index of the file.
pub(super) fn index(name: &str, value: i64) -> Result<usize> {
    usize::try_from(value).map_err(|_| Error::content(format!("`{name}` of zero or more"), value))
}
