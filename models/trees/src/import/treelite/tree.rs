//! One tree of a checkpoint.

use std::collections::HashMap;

use super::{
    bytes::{Array, Cursor, Floats},
    header::Header,
    layout::{Layout, Reach},
};
use crate::{
    Error, Result,
    ensemble::{CategorySet, Leaves, Linked, Missing, Node, Precision, Split, Test, Tree, pre_order},
};

/// What may still be allocated for a file beyond a fixed multiple of what it holds: nodes may share leaf vectors and
/// category lists, and sets take room by their largest code.
pub(super) struct Budget {
    /// Numbers of leaves, when each has one for every margin.
    numbers: usize,
    /// Words of category sets.
    words: usize,
}

impl Budget {
    /// For a file of so many bytes. One that treelite wrote holds at least 4 bytes for a leaf's number, so that the
    /// first is never short unless its trees reach few of many targets; sets get 64 bytes a byte, and never less than 1
    /// MiB.
    pub(super) fn new(bytes: usize) -> Self {
        Self { numbers: bytes, words: bytes.saturating_mul(16).max(1 << 18) }
    }

    fn spend(left: &mut usize, count: usize, what: &str) -> Result<()> {
        match left.checked_sub(count) {
            Some(rest) => {
                *left = rest;
                Ok(())
            }
            None => Err(Error::unsupported(
                format!("a file that takes so many times its size in memory for its {what}"),
                "number categories from 0, and save targets as models of their own",
            )),
        }
    }
}

/// The first code that [`CategoryRule`](crate::ensemble::CategoryRule) gives to no number. GTIL takes f64 models' codes
/// up to 2^32.
const CODES: u32 = 1 << 24;

/// A tree's arrays, by node.
struct Nodes<'a> {
    count: usize,
    /// Features of the model.
    features: usize,
    has_categories: bool,
    node_type: Array<'a, i8>,
    left: Array<'a, i32>,
    right: Array<'a, i32>,
    split_index: Array<'a, i32>,
    default_left: Array<'a, u8>,
    leaf_value: Floats<'a>,
    threshold: Floats<'a>,
    operator: Array<'a, i8>,
    list_right: Array<'a, u8>,
    /// The numbers of all leaf vectors.
    leaf_vector: Floats<'a>,
    vector_begin: Array<'a, u64>,
    vector_end: Array<'a, u64>,
    /// The codes of all category lists.
    category_list: Array<'a, u32>,
    list_begin: Array<'a, u64>,
    list_end: Array<'a, u64>,
    data_count: Array<'a, u64>,
    data_count_present: Array<'a, u8>,
    sum_hess: Array<'a, f64>,
    sum_hess_present: Array<'a, u8>,
}

impl<'a> Nodes<'a> {
    fn read(cursor: &mut Cursor<'a>, precision: Precision, features: usize) -> Result<Self> {
        let declared = cursor.scalar::<i32>("num_nodes")?;
        let count = usize::try_from(declared).unwrap_or(0);
        if count == 0 {
            return Err(Error::content("at least one node in `num_nodes`", declared));
        }
        let nodes = Self {
            count,
            features,
            has_categories: cursor.flag("has_categorical_split")?,
            node_type: cursor.array("node_type")?.counted(count)?,
            left: cursor.array("cleft")?.counted(count)?,
            right: cursor.array("cright")?.counted(count)?,
            split_index: cursor.array("split_index")?.counted(count)?,
            default_left: cursor.array("default_left")?.counted(count)?,
            leaf_value: cursor.floats("leaf_value", precision)?.counted(count)?,
            threshold: cursor.floats("threshold", precision)?.counted(count)?,
            operator: cursor.array("cmp")?.counted(count)?,
            list_right: cursor.array("category_list_right_child")?.counted(count)?,
            leaf_vector: cursor.floats("leaf_vector", precision)?,
            vector_begin: cursor.array("leaf_vector_begin")?.counted(count)?,
            vector_end: cursor.array("leaf_vector_end")?.counted(count)?,
            category_list: cursor.array("category_list")?,
            list_begin: cursor.array("category_list_begin")?.counted(count)?,
            list_end: cursor.array("category_list_end")?.counted(count)?,
            data_count: cursor.array("data_count")?.counted_if_any(count)?,
            data_count_present: cursor.array("data_count_present")?.counted_if_any(count)?,
            sum_hess: cursor.array("sum_hess")?.counted_if_any(count)?,
            sum_hess_present: cursor.array("sum_hess_present")?.counted_if_any(count)?,
        };
        cursor.array::<f64>("gain")?.counted_if_any(count)?;
        cursor.array::<u8>("gain_present")?.counted_if_any(count)?;
        cursor.skip_optional("num_opt_field_per_tree")?;
        cursor.skip_optional("num_opt_field_per_node")?;
        Ok(nodes)
    }

    /// What the node at a place asks; none for a leaf. As GTIL does, a node without a left child is a leaf.
    fn question(&self, place: usize) -> Result<Option<Question>> {
        let (left, right) = (self.left.at(place)?, self.right.at(place)?);
        let node_type = self.node_type.at(place)?;
        let kind = match (left, node_type) {
            (-1, 0) if right == -1 => return Ok(None),
            (-1, 0) => return Err(Error::content("no `cright` where there is no `cleft`", format!("node {right}"))),
            (0.., 1) => self.numerical(place)?,
            (0.., 2) if self.has_categories => Kind::Categorical { list_right: self.list_right.flag(place)? },
            (0.., 2) => return Err(Error::content("no categorical node by `has_categorical_split`", "one")),
            _ => {
                return Err(Error::content(
                    "`node_type` 1 or 2 for a node with children, and 0 for a leaf",
                    format!("{node_type} with the left child {left}"),
                ));
            }
        };
        let child = |field: &str, id: i32| {
            let found = usize::try_from(id).ok().filter(|child| *child < self.count);
            found.ok_or_else(|| Error::content(format!("a node below {} in `{field}`", self.count), id))
        };
        Ok(Some(Question { kind, left: child("cleft", left)?, right: child("cright", right)? }))
    }

    fn numerical(&self, place: usize) -> Result<Kind> {
        let threshold = self.threshold.at(place)?;
        if threshold.is_nan() {
            return Err(Error::content("a number as `threshold`", "NaN"));
        }
        // x > t and x ≥ t are what x ≤ t and x < t are not: NaN is asked for beforehand.
        let (test, turned) = match self.operator.at(place)? {
            1 => (Test::Equal(threshold), false),
            2 => (Test::Below(threshold), false),
            3 => (Test::AtMost(threshold), false),
            4 => (Test::AtMost(threshold), true),
            5 => (Test::Below(threshold), true),
            other => return Err(Error::content("1 (==) to 5 (>=) in `cmp`", other)),
        };
        Ok(Kind::Numerical { test, turned })
    }

    /// Weight that passed each node: scikit-learn's weighted counts and `XGBoost`'s hessians if the file has them for
    /// all nodes, `LightGBM`'s counts if not.
    fn covers(&self, order: &[(usize, Option<u32>)]) -> Result<Vec<f64>> {
        let all = |present: &Array<'_, u8>, count: usize| -> Result<bool> {
            if present.len() == 0 || count == 0 {
                return Ok(false);
            }
            order.iter().try_fold(true, |all, (place, _)| Ok(all & present.flag(*place)?))
        };
        if all(&self.sum_hess_present, self.sum_hess.len())? {
            order.iter().map(|(place, _)| self.sum_hess.at(*place)).collect()
        } else if all(&self.data_count_present, self.data_count.len())? {
            order.iter().map(|(place, _)| Ok(self.data_count.at(*place)? as f64)).collect()
        } else {
            Ok(Vec::new())
        }
    }
}

/// What a node asks, and where the answers lead as the file has it.
struct Question {
    kind: Kind,
    left: usize,
    right: usize,
}

enum Kind {
    Numerical {
        test: Test,
        /// Whether the test holds where the file's does not.
        turned: bool,
    },
    Categorical {
        /// Whether the listed categories go right.
        list_right: bool,
    },
}

impl Question {
    /// Whether our left child is the file's right one.
    const fn is_turned(&self) -> bool {
        match self.kind {
            Kind::Numerical { test: _, turned } => turned,
            Kind::Categorical { list_right } => list_right,
        }
    }

    const fn linked(&self) -> Linked {
        if self.is_turned() {
            Linked::Split { left: self.right, right: self.left }
        } else {
            Linked::Split { left: self.left, right: self.right }
        }
    }
}

/// Reads one tree, which adds to `reach`.
pub(super) fn read(cursor: &mut Cursor<'_>, header: &Header<'_>, reach: Reach, budget: &mut Budget) -> Result<Tree> {
    let layout = &header.layout;
    let nodes = Nodes::read(cursor, header.precision, header.features)?;
    let order = pre_order(nodes.count, 0, |place| {
        let question = nodes.question(place).map_err(|error| at_node(place, error))?;
        Ok(question.map_or(Linked::Leaf, |question| question.linked()))
    })?;
    let mut tree = Tree {
        nodes: Vec::with_capacity(order.len()),
        leaves: Leaves::Vector(Vec::new()),
        sets: Vec::new(),
        covers: nodes.covers(&order)?,
        linear: Vec::new(),
    };
    let mut sets = Sets { nodes: &nodes, known: HashMap::new(), unread: nodes.category_list.len() };
    let mut leaves = Vec::new();
    for (place, right) in &order {
        let question = nodes.question(*place).map_err(|error| at_node(*place, error))?;
        if let (Some(question), Some(right)) = (question, right) {
            let split = split(&nodes, *place, &question, *right, &mut sets, &mut tree.sets, budget);
            tree.nodes.push(Node::Split(split.map_err(|error| at_node(*place, error))?));
        } else {
            let leaf = u32::try_from(leaves.len());
            tree.nodes.push(Node::Leaf(leaf.map_err(|_| Error::content("fewer than 2^32 leaves", leaves.len()))?));
            leaves.push(*place);
        }
    }
    tree.leaves = leaf_numbers(&nodes, &leaves, layout, reach, budget)?;
    Ok(tree)
}

fn split(
    nodes: &Nodes<'_>,
    place: usize,
    question: &Question,
    right: u32,
    sets: &mut Sets<'_, '_>,
    tree: &mut Vec<CategorySet>,
    budget: &mut Budget,
) -> Result<Split> {
    let index = nodes.split_index.at(place)?;
    let feature = u32::try_from(index).ok().filter(|feature| (*feature as usize) < nodes.features);
    let feature =
        feature.ok_or_else(|| Error::content(format!("a feature below {} in `split_index`", nodes.features), index))?;
    let test = match question.kind {
        Kind::Numerical { test, turned: _ } => test,
        Kind::Categorical { list_right: _ } => Test::In(sets.of(place, tree, budget)?),
    };
    let left = nodes.default_left.flag(place)? != question.is_turned();
    Ok(Split { feature, test, missing: if left { Missing::Left } else { Missing::Right }, right })
}

/// The category sets of a tree.
struct Sets<'t, 'a> {
    nodes: &'t Nodes<'a>,
    /// Number of the set of each range in the category list.
    known: HashMap<(u64, u64), u32>,
    /// Codes that ranges may still take. treelite gives each node a range of its own; more would be read again and
    /// again.
    unread: usize,
}

impl Sets<'_, '_> {
    /// Number of the set of the node at a place, which becomes one of the tree's if it is new.
    fn of(&mut self, place: usize, tree: &mut Vec<CategorySet>, budget: &mut Budget) -> Result<u32> {
        let range = (self.nodes.list_begin.at(place)?, self.nodes.list_end.at(place)?);
        if let Some(known) = self.known.get(&range) {
            return Ok(*known);
        }
        let (begin, count) = span("category_list", range, self.nodes.category_list.len())?;
        let Some(unread) = self.unread.checked_sub(count) else {
            return Err(Error::content("ranges of `category_list` that do not overlap", "some that do"));
        };
        self.unread = unread;
        let mut largest = None;
        for code in begin..begin + count {
            let code = self.nodes.category_list.at(code)?;
            if code >= CODES {
                return Err(Error::unsupported(format!("category code {code}"), "number the categories from 0"));
            }
            largest = largest.max(Some(code));
        }
        let words = largest.map_or(0, |code| code as usize / 32 + 1);
        Budget::spend(&mut budget.words, words, "category sets")?;
        let codes = (begin..begin + count).map(|code| self.nodes.category_list.at(code));
        let set = codes.collect::<Result<CategorySet>>()?;
        let number =
            u32::try_from(tree.len()).map_err(|_| Error::content("fewer than 2^32 category sets", tree.len()))?;
        tree.push(set);
        self.known.insert(range, number);
        Ok(number)
    }
}

/// What the leaves at these places add.
fn leaf_numbers(
    nodes: &Nodes<'_>,
    leaves: &[usize],
    layout: &Layout,
    reach: Reach,
    budget: &mut Budget,
) -> Result<Leaves> {
    // The first leaf's numbers are in the file, and bound what the places take.
    if reach.numbers > 1 && nodes.leaf_vector.len() < reach.numbers {
        return Err(Error::content(
            format!("{} numbers of a leaf in `leaf_vector`", reach.numbers),
            nodes.leaf_vector.len(),
        ));
    }
    let places = layout.places(reach);
    if let [Some(output)] = places.as_slice() {
        let values = leaves.iter().map(|leaf| scalar(nodes, *leaf, reach).map_err(|error| at_node(*leaf, error)));
        let output = u32::try_from(*output).map_err(|_| Error::content("fewer than 2^32 outputs", output))?;
        return Ok(Leaves::Scalar { output, values: values.collect::<Result<_>>()? });
    }
    let width = layout.width();
    Budget::spend(&mut budget.numbers, leaves.len().saturating_mul(width), "leaf vectors")?;
    let mut values = vec![0.0; leaves.len() * width];
    for (leaf, values) in leaves.iter().zip(values.chunks_exact_mut(width)) {
        let range = (nodes.vector_begin.at(*leaf)?, nodes.vector_end.at(*leaf)?);
        let (begin, count) =
            span("leaf_vector", range, nodes.leaf_vector.len()).map_err(|error| at_node(*leaf, error))?;
        if count != places.len() {
            return Err(at_node(*leaf, Error::content(format!("{} numbers in `leaf_vector`", places.len()), count)));
        }
        for (number, output) in (begin..).zip(&places) {
            if let Some(value) = output.and_then(|output| values.get_mut(output)) {
                *value = nodes.leaf_vector.at(number)?;
            }
        }
    }
    Ok(Leaves::Vector(values))
}

/// The one number of a leaf: its value, or a vector of one.
fn scalar(nodes: &Nodes<'_>, leaf: usize, reach: Reach) -> Result<f64> {
    let range = (nodes.vector_begin.at(leaf)?, nodes.vector_end.at(leaf)?);
    let (begin, count) = span("leaf_vector", range, nodes.leaf_vector.len())?;
    match count {
        0 if reach.is_one() => nodes.leaf_value.at(leaf),
        0 => Err(Error::content("a `target_id` and a `class_id` for a tree with scalar leaves", "-1")),
        1 => nodes.leaf_vector.at(begin),
        more => Err(Error::content("one number in `leaf_vector`", more)),
    }
}

/// Where a range begins, and its length; empty ranges may begin anywhere.
fn span(field: &str, (begin, end): (u64, u64), count: usize) -> Result<(usize, usize)> {
    if begin == end {
        return Ok((0, 0));
    }
    let range = usize::try_from(begin).ok().zip(usize::try_from(end).ok());
    match range {
        Some((begin, end)) if begin < end && end <= count => Ok((begin, end - begin)),
        _ => Err(Error::content(format!("a range of the {count} entries of `{field}`"), format!("{begin}..{end}"))),
    }
}

fn at_node(place: usize, error: Error) -> Error {
    match error {
        Error::Content { expected, got } => Error::content(format!("in node {place}, {expected}"), got),
        unsupported @ Error::Unsupported { what: _, instead: _ } => unsupported,
    }
}
