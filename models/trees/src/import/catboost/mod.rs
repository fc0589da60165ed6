//! `CatBoost`'s JSON files (`save_model(path, format="json", pool=pool)`).
//!
//! Written after `catboost/libs/model/model_export/json_model_helpers.cpp` and `catboost/libs/model/cpu/` of `CatBoost`, and
//! compared with its version 1.2.10. Columns are compared as f32 with the borders, above or not; leaf values are added as f64
//! in the order of the trees, multiplied by the scale, and the bias is added. These margins are `CatBoost`'s to the bit. It
//! then computes exponentials by an approximation of its own, so that probabilities may differ from ours in the last digits.

mod columns;
mod file;
mod loss;
mod tree;

use file::{Branch, Model, Oblivious, OneOrMore};

use crate::{
    Ensemble, Error, Result,
    ensemble::{CategoryRule, Feature, Leaves, Output, Precision, Rules, Tree},
};

/// Reads a model.
///
/// Columns that hold categories are named by the categories that the model asks for ([`Integers`](crate::ensemble::Categories)
/// when all of them are digits); what else a row holds there is alike to the model, and missing.
///
/// # Errors
/// [`Error::Content`] for what is no model or contradicts itself, naming the tree; [`Error::Unsupported`] for target
/// statistics of categories, texts, embeddings, categories without names, classes without rows, and losses with an answer
/// that is not one function of the margins (`RMSEWithUncertainty`).
pub fn read_json(bytes: &[u8]) -> Result<Ensemble> {
    let model: Model =
        serde_json::from_slice(bytes).map_err(|error| Error::content("a model of CatBoost in JSON", error))?;
    let Model { model_info, features_info, oblivious_trees, trees, scale_and_bias } = model;
    let (columns, found) = columns::columns(&features_info)?;
    let within = |index: usize| {
        move |error| match error {
            Error::Content { expected, got } => Error::content(format!("in tree {index}, {expected}"), got),
            unsupported @ Error::Unsupported { what: _, instead: _ } => unsupported,
        }
    };
    let (width, trees) = match (oblivious_trees, trees) {
        (Some(list), None) => {
            let width = list.first().map_or(1, dimensions);
            let read = |(index, tree)| tree::oblivious(tree, &found, width).map_err(within(index));
            (width, list.iter().enumerate().map(read).collect::<Result<Vec<_>>>()?)
        }
        (None, Some(list)) => {
            let width = list.first().map_or(1, leaf_width);
            let read = |(index, tree)| tree::branching(tree, &found, width).map_err(within(index));
            (width, list.iter().enumerate().map(read).collect::<Result<Vec<_>>>()?)
        }
        (Some(_), Some(_)) => return Err(Error::content("`oblivious_trees` or `trees`", "both")),
        (None, None) => return Err(Error::content("`oblivious_trees` or `trees`", "none")),
    };
    if trees.is_empty() {
        return Err(Error::content("at least one tree", "none"));
    }
    let loss = loss::name(&model_info);
    let (link, task) = loss::link(&loss, width)?;
    let mut output = Output::sum(width, task);
    output.link = link;
    output.classes = loss::classes(&model_info, task, width)?;
    if let Some((scale, bias)) = scale_and_bias {
        output.scale = scale;
        output.bias = biases(&bias, width)?;
    }
    let ensemble = Ensemble {
        features: (0..columns.len() as u32).map(Feature::column).collect(),
        columns,
        rules: Rules { compare: Precision::F32, sum: Precision::F64, category: CategoryRule::Exact },
        trees: if width == 1 { trees.into_iter().map(scalar).collect() } else { trees },
        output,
        origin: loss::origin(&model_info, loss),
    };
    ensemble.check()?;
    Ok(ensemble)
}

/// Numbers a leaf of a symmetric tree, by all that it has; at least one, which its reading then asks for.
fn dimensions(tree: &Oblivious) -> usize {
    let depth = tree.splits.as_ref().map_or(0, Vec::len);
    let leaves = u32::try_from(depth).ok().and_then(|depth| 1_usize.checked_shl(depth));
    leaves.map_or(1, |leaves| (tree.leaf_values.len() / leaves).max(1))
}

/// Numbers of a tree's leftmost leaf; at least one.
fn leaf_width(tree: &Branch) -> usize {
    let mut branch = tree;
    while let Some(left) = &branch.left {
        branch = left;
    }
    branch.value.as_ref().map_or(1, |value| value.as_slice().len().max(1))
}

/// A bias a margin; one for all of them, or none, in older files.
fn biases(bias: &OneOrMore, width: usize) -> Result<Vec<f64>> {
    match bias.as_slice() {
        [] => Ok(vec![0.0; width]),
        [one] => Ok(vec![*one; width]),
        some if some.len() == width => Ok(some.to_vec()),
        some => Err(Error::content(format!("{width} biases in `scale_and_bias`"), some.len())),
    }
}

/// A tree with one number a leaf.
fn scalar(mut tree: Tree) -> Tree {
    if let Leaves::Vector(values) = tree.leaves {
        tree.leaves = Leaves::Scalar { output: 0, values };
    }
    tree
}
