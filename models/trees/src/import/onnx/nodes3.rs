//! `TreeEnsembleRegressor` and `TreeEnsembleClassifier` of `ai.onnx.ml` 1 and 3.

use std::collections::HashMap;

use super::{
    budget::Budget,
    forest::{Features, Forest, Grown, Join, Post, Weights, as_long, index, numbers, targets},
    proto::Attributes,
    unfold::{Place, Question, Unfolder},
    within,
};
use crate::{Error, Result};

/// Reads the attributes. `width` is the number of classes, and none for a regressor.
pub(super) fn read(
    attributes: &Attributes,
    width: Option<usize>,
    double: bool,
    features: Features,
    budget: &Budget,
) -> Result<Forest> {
    let nodes = Nodes::read(attributes, double, features)?;
    let index_of = nodes.places()?;
    let kind = if width.is_some() { "class" } else { "target" };
    let base = numbers(attributes, "base_values", double)?;
    let width = match width {
        Some(classes) => classes,
        None => targets(attributes, attributes.ints("target_ids")?.len())?,
    };
    let weights = nodes.weights(attributes, kind, width, double, &index_of)?;
    let hits = numbers(attributes, "nodes_hitrates", double)?;

    let mut unfolder = Unfolder::new(nodes.count, budget, |place| nodes.place(place, &index_of));
    let mut trees = Vec::new();
    for root in nodes.roots() {
        let tree = nodes.trees[root];
        let grown = Grown::read(&mut unfolder, root, &hits);
        trees.push(grown.map_err(|error| within(error, format_args!("in tree {tree}")))?);
    }
    if let Some(place) = unfolder.reached.iter().position(|reached| !reached) {
        let (tree, node) = (nodes.trees[place], nodes.ids[place]);
        return Err(Error::content(format!("a way from the root of tree {tree} to node {node}"), "none"));
    }
    // ONNX Runtime takes the value of the node for the weight of a leaf that has none, where there is one target.
    let leaf = |place: &usize| matches!(nodes.questions[*place], Mode::Leaf);
    let strange = |place: &usize| leaf(place) && nodes.values[*place] != 0.0 && weights.of(*place).is_empty();
    if width == 1
        && let Some(place) = (0..nodes.count).find(strange)
    {
        let (tree, node) = (nodes.trees[place], nodes.ids[place]);
        return Err(Error::content(format!("a weight for leaf {node} of tree {tree}"), "none"));
    }
    let aggregate = attributes.text("aggregate_function")?;
    let join = match aggregate.as_deref() {
        None | Some("SUM") => Join::Sum,
        Some("AVERAGE") => Join::Average,
        Some("MIN") => Join::Min,
        Some("MAX") => Join::Max,
        Some(other) => return Err(Error::content("`aggregate_function` SUM, AVERAGE, MIN or MAX", other)),
    };
    let post = attributes.text("post_transform")?;
    let post = match post.as_deref() {
        None | Some("NONE") => Post::None,
        Some("SOFTMAX") => Post::Softmax,
        Some("LOGISTIC") => Post::Logistic,
        Some("SOFTMAX_ZERO") => Post::SoftmaxZero,
        Some("PROBIT") => Post::Probit,
        Some(other) => {
            return Err(Error::content("`post_transform` NONE, SOFTMAX, LOGISTIC, SOFTMAX_ZERO or PROBIT", other));
        }
    };
    Ok(Forest { trees, weights, width, base, join, post, double })
}

/// `nodes_modes`.
#[derive(Clone, Copy, Debug)]
enum Mode {
    Leaf,
    AtMost,
    Below,
    AtLeast,
    Above,
    Equal,
    NotEqual,
}

impl Mode {
    fn read(name: &[u8]) -> Result<Self> {
        match name {
            b"LEAF" => Ok(Self::Leaf),
            b"BRANCH_LEQ" => Ok(Self::AtMost),
            b"BRANCH_LT" => Ok(Self::Below),
            b"BRANCH_GTE" => Ok(Self::AtLeast),
            b"BRANCH_GT" => Ok(Self::Above),
            b"BRANCH_EQ" => Ok(Self::Equal),
            b"BRANCH_NEQ" => Ok(Self::NotEqual),
            other => Err(Error::content("`nodes_modes` BRANCH_… or LEAF", String::from_utf8_lossy(other))),
        }
    }
}

/// The `nodes_*` lists, of one length.
struct Nodes<'a> {
    count: usize,
    features: Features,
    trees: &'a [i64],
    ids: &'a [i64],
    asked: &'a [i64],
    questions: Vec<Mode>,
    values: Vec<f64>,
    yes: &'a [i64],
    no: &'a [i64],
    track: &'a [i64],
}

impl<'a> Nodes<'a> {
    fn read(attributes: &'a Attributes, double: bool, features: Features) -> Result<Self> {
        let trees = attributes.ints("nodes_treeids")?;
        let count = trees.len();
        let list = |name: &str| -> Result<&'a [i64]> {
            let list = attributes.ints(name)?;
            as_long(name, list.len(), count)?;
            Ok(list)
        };
        let modes = attributes.strings("nodes_modes")?;
        as_long("nodes_modes", modes.len(), count)?;
        let values = numbers(attributes, "nodes_values", double)?;
        as_long("nodes_values", values.len(), count)?;
        let track = attributes.ints("nodes_missing_value_tracks_true")?;
        if !track.is_empty() {
            as_long("nodes_missing_value_tracks_true", track.len(), count)?;
        }
        Ok(Self {
            count,
            features,
            trees,
            ids: list("nodes_nodeids")?,
            asked: list("nodes_featureids")?,
            questions: modes.iter().map(|name| Mode::read(name)).collect::<Result<_>>()?,
            values,
            yes: list("nodes_truenodeids")?,
            no: list("nodes_falsenodeids")?,
            track,
        })
    }

    /// Places by tree and node id. A tree's nodes lie together, as ONNX Runtime requires: it begins a tree, rooted at the
    /// node there, wherever the tree id changes.
    fn places(&self) -> Result<HashMap<(i64, i64), usize>> {
        let mut places = HashMap::with_capacity(self.count);
        for (place, key) in self.trees.iter().copied().zip(self.ids.iter().copied()).enumerate() {
            if places.insert(key, place).is_some() {
                return Err(Error::content("each node once", format!("node {} of tree {} twice", key.1, key.0)));
            }
        }
        let mut seen = std::collections::HashSet::new();
        match self.roots().map(|root| self.trees[root]).find(|tree| !seen.insert(*tree)) {
            Some(tree) => {
                Err(Error::content(format!("the nodes of tree {tree} together"), "nodes of another between them"))
            }
            None => Ok(places),
        }
    }

    /// Places at which trees begin.
    fn roots(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.count).filter(|place| *place == 0 || self.trees[*place] != self.trees[*place - 1])
    }

    fn place(&self, place: usize, places: &HashMap<(i64, i64), usize>) -> Result<Place<'static>> {
        let value = self.values[place];
        let question = match self.questions[place] {
            Mode::Leaf => return Ok(Place::Leaf),
            Mode::AtMost => Question::AtMost(value),
            Mode::Below => Question::Below(value),
            Mode::AtLeast => Question::AtLeast(value),
            Mode::Above => Question::Above(value),
            Mode::Equal => Question::Equal(value),
            Mode::NotEqual => Question::NotEqual(value),
        };
        let child = |name: &str, id: i64| {
            let found = places.get(&(self.trees[place], id)).copied();
            found.ok_or_else(|| {
                Error::content(format!("a node of the same tree in `{name}` of node {}", self.ids[place]), id)
            })
        };
        Ok(Place::Branch {
            feature: self
                .features
                .at(self.asked[place])
                .map_err(|error| error.at(format!("node {}", self.ids[place])))?,
            question,
            track: self.track.get(place) == Some(&1),
            yes: child("nodes_truenodeids", self.yes[place])?,
            no: child("nodes_falsenodeids", self.no[place])?,
        })
    }

    /// The `target_*` or `class_*` lists. Weights of nodes that are no leaves do not count: onnxmltools once wrote them.
    fn weights(
        &self,
        attributes: &Attributes,
        kind: &str,
        width: usize,
        double: bool,
        places: &HashMap<(i64, i64), usize>,
    ) -> Result<Weights> {
        let [ids, nodes, trees] = ["ids", "nodeids", "treeids"].map(|part| format!("{kind}_{part}"));
        let targets = attributes.ints(&ids)?;
        let (of_nodes, of_trees) = (attributes.ints(&nodes)?, attributes.ints(&trees)?);
        as_long(&nodes, of_nodes.len(), targets.len())?;
        as_long(&trees, of_trees.len(), targets.len())?;
        let name = format!("{kind}_weights");
        let values = numbers(attributes, &name, double)?;
        as_long(&name, values.len(), targets.len())?;
        let mut weights = Vec::with_capacity(targets.len());
        for (((target, node), tree), value) in targets.iter().zip(of_nodes).zip(of_trees).zip(values) {
            let Some(place) = places.get(&(*tree, *node)) else {
                return Err(Error::content(
                    format!("nodes of the trees in `{nodes}`"),
                    format!("node {node} of tree {tree}"),
                ));
            };
            let target = index(&ids, *target)?;
            if target >= width {
                return Err(Error::content(format!("`{ids}` below {width}"), target));
            }
            if matches!(self.questions[*place], Mode::Leaf) {
                weights.push((*place, target as u32, value));
            }
        }
        Weights::new(weights)
    }
}
