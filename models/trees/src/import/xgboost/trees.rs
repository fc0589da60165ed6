//! One tree. XGBoost goes left below a threshold, and left when a category is not in a node's set.

use super::{
    number,
    schema::{Flag, Float, TreeFile},
};
use crate::{
    Error, Result,
    ensemble::{CategorySet, Leaves, Linked, Missing, Node, Split, Test, Tree, pre_order},
};

/// What a tree has to fit.
pub(super) struct Place {
    /// Features of the model.
    pub(super) features: usize,
    /// Outputs of the model.
    pub(super) width: usize,
    /// The tree's entry in `tree_info`.
    pub(super) output: i32,
    /// The tree's entry in `weight_drop`.
    pub(super) weight: Option<f32>,
}

/// Words that category sets may take, in all. A single code can ask for 2^24 bits, so the file's size has to say how
/// many there may be: what a file of real splits takes is far below 64 times its own size, and a MiB needs no size.
pub(super) struct Budget(usize);

impl Budget {
    pub(super) fn new(bytes: usize) -> Self {
        Self(bytes.saturating_mul(16).saturating_add(1 << 18))
    }

    fn take(&mut self, words: usize) -> Result<()> {
        self.0 = self.0.checked_sub(words).ok_or_else(|| {
            Error::unsupported(
                "category sets of more than 64 times the file's size",
                "train with categories whose codes lie closer together",
            )
        })?;
        Ok(())
    }
}

pub(super) fn convert(file: &TreeFile, fits: &Place, budget: &mut Budget) -> Result<Tree> {
    let TreeFile {
        tree_param,
        left_children,
        right_children,
        split_indices,
        split_conditions,
        default_left,
        split_type,
        categories: _,
        categories_nodes: _,
        categories_segments: _,
        categories_sizes: _,
        sum_hessian,
        base_weights: _,
        leaf_weights: _,
    } = file;
    let count = left_children.len();
    let declared = number(tree_param, "num_nodes", Some(count))?;
    let lengths = [
        ("num_nodes", declared, false),
        ("right_children", right_children.len(), false),
        ("split_indices", split_indices.len(), false),
        ("split_conditions", split_conditions.len(), false),
        ("default_left", default_left.len(), false),
        ("split_type", split_type.len(), true),
        ("sum_hessian", sum_hessian.len(), true),
    ];
    for (field, got, optional) in lengths {
        if got != count && !(optional && got == 0) {
            let expected = format!("{count} nodes in `{field}`, as in `left_children`");
            return Err(Error::content(expected, got));
        }
    }
    let (sets, set_of) = category_sets(file, count, budget)?;

    // By places below `count`, which all arrays have that are asked.
    let is_leaf = |place: usize| left_children[place] == -1;
    let by_category = |place: usize| split_type.get(place).is_some_and(|Flag(by_category)| *by_category);
    let order = pre_order(count, 0, |place| {
        if is_leaf(place) {
            return Ok(Linked::Leaf);
        }
        let child = |field: &str, child: i32| {
            let found = usize::try_from(child).ok().filter(|child| *child < count);
            found.ok_or_else(|| Error::content(format!("a node below {count} in `{field}` of node {place}"), child))
        };
        let left = child("left_children", left_children[place])?;
        let right = child("right_children", right_children[place])?;
        // Our left is where the test holds: where the category is in the set.
        Ok(if by_category(place) { Linked::Split { left: right, right: left } } else { Linked::Split { left, right } })
    })?;

    let split = |place: usize, right: u32| {
        let index = split_indices[place];
        let feature = u32::try_from(index).ok().filter(|feature| (*feature as usize) < fits.features);
        let feature = feature.ok_or_else(|| {
            Error::content(format!("a feature below {} in `split_indices` of node {place}", fits.features), index)
        })?;
        let Flag(default_left) = default_left[place];
        let (test, missing_left) = if by_category(place) {
            let set = set_of[place].ok_or_else(|| Error::content(format!("categories of node {place}"), "none"))?;
            (Test::In(set), !default_left)
        } else {
            let Float(threshold) = split_conditions[place];
            if threshold.is_nan() {
                return Err(Error::content(format!("a number in `split_conditions` of node {place}"), "NaN"));
            }
            (Test::Below(f64::from(threshold)), default_left)
        };
        let missing = if missing_left { Missing::Left } else { Missing::Right };
        Ok(Split { feature, test, missing, right })
    };
    let mut nodes = Vec::with_capacity(order.len());
    let mut leaves = 0;
    for (place, right) in &order {
        if let Some(right) = right {
            nodes.push(Node::Split(split(*place, *right)?));
        } else {
            nodes.push(Node::Leaf(leaves));
            leaves += 1;
        }
    }
    let leaf_places = order.iter().map(|(place, _)| *place).filter(|place| is_leaf(*place));
    let covers = if sum_hessian.is_empty() {
        Vec::new()
    } else {
        order.iter().map(|(place, _)| f64::from(sum_hessian[*place].0)).collect()
    };
    Ok(Tree { nodes, leaves: leaf_values(file, fits, leaf_places)?, sets, covers, linear: Vec::new() })
}

/// What leaves add, from their places in the file.
fn leaf_values(file: &TreeFile, place: &Place, leaves: impl Iterator<Item = usize>) -> Result<Leaves> {
    let size = number(&file.tree_param, "size_leaf_vector", Some(1))?;
    if size < 2 {
        let output = u32::try_from(place.output).ok().filter(|output| (*output as usize) < place.width);
        let output = output
            .ok_or_else(|| Error::content(format!("an output below {} in `tree_info`", place.width), place.output))?;
        // `Dart::PredictBatchImpl` multiplies a tree's answers, in f32, before it adds them.
        let weigh = |Float(value): Float| f64::from(place.weight.map_or(value, |weight| value * weight));
        return Ok(Leaves::Scalar { output, values: leaves.map(|leaf| weigh(file.split_conditions[leaf])).collect() });
    }
    if size != place.width {
        return Err(Error::content(format!("{} as `size_leaf_vector`", place.width), size));
    }
    if place.weight.is_some() {
        let instead = "train with `multi_strategy=one_output_per_tree`, as XGBoost itself asks for";
        return Err(Error::unsupported("booster `dart` with vector leaves", instead));
    }
    let mut values = Vec::new();
    // Leaves that share a vector would make more of a file than it holds.
    let mut left = file.leaf_weights.as_ref().map_or(usize::MAX, Vec::len);
    for leaf in leaves {
        left = left.checked_sub(size).ok_or_else(|| {
            Error::content(
                format!("{size} numbers in `leaf_weights` for each leaf"),
                format!("none for leaf node {leaf}"),
            )
        })?;
        let (field, weights, row) = match &file.leaf_weights {
            Some(weights) => ("leaf_weights", weights, usize::try_from(file.right_children[leaf]).ok()),
            None => ("base_weights", &file.base_weights, Some(leaf)),
        };
        let begin = row.and_then(|row| row.checked_mul(size));
        let vector = begin.and_then(|begin| weights.get(begin..)).and_then(|weights| weights.get(..size));
        let vector = vector.ok_or_else(|| {
            Error::content(
                format!("{size} numbers in `{field}` for leaf node {leaf}"),
                format!("{} in all", weights.len()),
            )
        })?;
        values.extend(vector.iter().map(|Float(value)| f64::from(*value)));
    }
    Ok(Leaves::Vector(values))
}

/// The tree's category sets, and by node which of them it has.
fn category_sets(file: &TreeFile, count: usize, budget: &mut Budget) -> Result<(Vec<CategorySet>, Vec<Option<u32>>)> {
    let (categories, categories_nodes) = (&file.categories, &file.categories_nodes);
    let (categories_segments, categories_sizes) = (&file.categories_segments, &file.categories_sizes);
    if categories_nodes.is_empty() {
        return Ok((Vec::new(), vec![None; count]));
    }
    let all = categories_nodes.len();
    for (field, got) in
        [("categories_segments", categories_segments.len()), ("categories_sizes", categories_sizes.len())]
    {
        if got != all {
            return Err(Error::content(format!("{all} nodes in `{field}`, as in `categories_nodes`"), got));
        }
    }
    let mut sets = Vec::with_capacity(all);
    let mut set_of = vec![None; count];
    // Segments follow each other, so that all together are read but once.
    let mut free = 0;
    for ((node, segment), size) in categories_nodes.iter().zip(categories_segments).zip(categories_sizes) {
        let slot = usize::try_from(*node).ok().and_then(|node| set_of.get_mut(node));
        match slot {
            None => return Err(Error::content(format!("nodes below {count} in `categories_nodes`"), node)),
            Some(Some(_)) => return Err(Error::content("a node once in `categories_nodes`", format!("{node} twice"))),
            Some(slot) => *slot = u32::try_from(sets.len()).ok(),
        }
        let begin = usize::try_from(*segment).ok().filter(|begin| *begin >= free);
        let end = begin.zip(usize::try_from(*size).ok()).and_then(|(begin, size)| begin.checked_add(size));
        let codes = begin.zip(end).and_then(|(begin, end)| categories.get(begin..end));
        let (Some(codes), Some(end)) = (codes, end) else {
            let expected = format!("categories of node {node} in {free}..{}", categories.len());
            return Err(Error::content(expected, format!("{size} from {segment}")));
        };
        free = end;
        let code = |code: &i32| match u32::try_from(*code) {
            Ok(code) if code < 1 << 24 => Ok(code),
            Ok(_) | Err(_) => Err(Error::content(format!("category codes below 2^24 at node {node}"), code)),
        };
        let codes = codes.iter().map(code).collect::<Result<Vec<_>>>()?;
        budget.take(codes.iter().max().map_or(0, |greatest| *greatest as usize / 32 + 1))?;
        sets.push(codes.into_iter().collect());
    }
    Ok((sets, set_of))
}

/// The features that trees ask for categories.
pub(super) fn categorical(trees: &[Tree], features: usize) -> Vec<bool> {
    let mut asked = vec![false; features];
    for node in trees.iter().flat_map(|tree| &tree.nodes) {
        if let Node::Split(Split { feature, test: Test::In(_), missing: _, right: _ }) = node
            && let Some(asked) = asked.get_mut(*feature as usize)
        {
            *asked = true;
        }
    }
    asked
}
