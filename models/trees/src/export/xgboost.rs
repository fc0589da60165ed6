//! XGBoost's JSON, which XGBoost from 3.1 on loads, and [`crate::import::xgboost`] reads.
//!
//! `Booster.predict` then answers as the [`Ensemble`] does, with these limits:
//!
//! - XGBoost takes rows of f32, and refuses infinities. For such rows every test goes the same way, also those of
//!   ensembles that compare in f64: `x <= t` becomes `x < u`, u being the least f32 above t.
//! - XGBoost adds in f32. Leaves of an ensemble that adds in f64 are rounded, and answers differ by what that and the
//!   sums lose: some 1e-7 of the largest number on the way.
//! - An average, a scale and a logistic link's alpha are multiplied into the leaves, each of which is rounded once. So
//!   alpha is part of the margins that `output_margin=True` gives.
//! - Margins that no `base_score` gives exactly are added to the leaves of the first trees instead.
//! - XGBoost 3.2 has no categories in trees with vector leaves: these become a tree for each output, where there are
//!   some.
//! - Rows hold categories as XGBoost takes them: names, when the columns have names.
//!
//! What a model of XGBoost's own said of its objective is written again. Other models get an objective of the same link
//! (`reg:squarederror`, `reg:logistic`, `binary:logistic`, `binary:logitraw`, `binary:hinge`, `multi:softprob`,
//! `count:poisson`, `rank:pairwise`). `dart` weights are in the leaves since the model was read.

mod columns;
mod split;
mod sums;
mod text;

use std::borrow::Cow;

use columns::Columns;
use split::Writer;
use sums::{Sums, scalar};
use text::{float, list, object, quoted};

use crate::{
    Ensemble, Error, Result,
    ensemble::{Leaves, Link, Node, Output, Precision, Split, Task, Test},
    import::{
        Format,
        xgboost::objective::{self, Objective},
    },
};

/// Version of XGBoost whose form is written.
const VERSION: &str = "[3,2,0]";

/// Attributes that XGBoost itself reads, for models that came from it.
const ATTRIBUTES: [&str; 3] = ["best_iteration", "best_score", "scikit_learn"];

/// Writes a model in JSON.
///
/// # Errors
/// [`Error::Unsupported`], naming it, for what XGBoost cannot say: linear leaves, steps before features, tests for
/// equality, splits at which zero goes another way than its neighbours, category codes of numbers that are not whole,
/// the least or greatest of the trees, links that XGBoost lacks, leaves beyond f32; [`Error::Content`] for an ensemble
/// that does not pass [`Ensemble::check`].
pub fn write_json(ensemble: &Ensemble) -> Result<Vec<u8>> {
    ensemble.check()?;
    let Ensemble { columns, features, rules: _, trees, output, origin } = ensemble;
    if let Some(feature) = features.iter().find(|feature| !feature.steps.is_empty()) {
        return Err(unsupported(format!(
            "a step between column {} and the trees ({:?})",
            feature.column, feature.steps
        )));
    }
    let objective = objective(ensemble)?;
    let columns = Columns::new(columns)?;
    let sums = Sums::new(output, objective.base)?;
    // XGBoost 3.2 would load categories in trees with vector leaves, and lose them when it saves the model again.
    let by_category =
        |node: &Node| matches!(node, Node::Split(Split { feature: _, test: Test::In(_), missing: _, right: _ }));
    let vectors = output.width > 1
        && trees.iter().any(|tree| matches!(tree.leaves, Leaves::Vector(_)))
        && !trees.iter().flat_map(|tree| &tree.nodes).any(by_category);
    let trees = if vectors { trees.iter().map(Cow::Borrowed).collect() } else { scalar(trees, output.width) };
    let trees = sums.trees(trees, output.width, vectors);

    let mut written = Vec::with_capacity(trees.len());
    for (index, (tree, add)) in trees.iter().enumerate() {
        let writer = Writer { ensemble, tree, columns: &columns, factors: &sums.factors, add, vectors };
        written.push(writer.write(index).map_err(|error| match error {
            Error::Content { expected, got } => Error::content(format!("in tree {index}, {expected}"), got),
            Error::Unsupported { what, instead } => Error::unsupported(format!("in tree {index}, {what}"), instead),
        })?);
    }
    let outputs = trees.iter().map(|(tree, _)| match tree.leaves {
        Leaves::Scalar { output, values: _ } if !vectors => output.to_string(),
        Leaves::Scalar { output: _, values: _ } | Leaves::Vector(_) => "0".to_owned(),
    });
    let outputs = list(outputs);
    let parallel = parallel(ensemble);
    let round = parallel * if vectors { 1 } else { output.width };
    // Rounds of the form that training gives; else all trees make one.
    let (parallel, round) = if trees.len() % round == 0 { (parallel, round) } else { (1, trees.len()) };
    let rounds = (0..=trees.len()).step_by(round.max(1)).map(|tree| tree.to_string());
    let model = object(&[
        ("cats", columns.categories()),
        (
            "gbtree_model_param",
            object(&[
                ("num_parallel_tree", quoted(&parallel.to_string())),
                ("num_trees", quoted(&trees.len().to_string())),
            ]),
        ),
        ("iteration_indptr", list(rounds)),
        ("tree_info", outputs),
        ("trees", list(written.into_iter())),
    ]);
    let from_xgboost = is_xgboost(&origin.format);
    let attribute = |name: &&'static str| {
        let value = origin.parameters.get(*name).filter(|_| from_xgboost);
        value.map(|value| (*name, quoted(value)))
    };
    let attributes: Vec<_> = ATTRIBUTES.iter().filter_map(attribute).collect();
    let several = objective.task == Task::Multiclass;
    let learner = object(&[
        ("attributes", object(&attributes)),
        ("feature_names", columns.names()),
        ("feature_types", columns.types()),
        ("gradient_booster", object(&[("model", model), ("name", quoted("gbtree"))])),
        (
            "learner_model_param",
            object(&[
                ("base_score", quoted(&list(sums.scores.iter().map(|score| float(*score))))),
                // With 1, XGBoost takes a model without trees for one whose `base_score` is still to be found.
                ("boost_from_average", quoted("0")),
                ("num_class", quoted(&if several { output.width } else { 0 }.to_string())),
                ("num_feature", quoted(&columns.count().to_string())),
                ("num_target", quoted(&if several { 1 } else { output.width }.to_string())),
            ]),
        ),
        ("objective", block(ensemble, objective)),
    ]);
    Ok(object(&[("learner", learner), ("version", VERSION.to_owned())]).into_bytes())
}

fn unsupported(what: impl std::fmt::Display) -> Error {
    Error::unsupported(what, "keep the file that the model was read from")
}

fn is_xgboost(format: &str) -> bool {
    [Format::XgboostJson, Format::XgboostUbj].iter().any(|xgboost| xgboost.name() == format)
}

/// The objective that the model came with, or one of the same link.
fn objective(ensemble: &Ensemble) -> Result<&'static Objective> {
    let Output { width, aggregate: _, start: _, scale: _, bias: _, link, task, classes: _ } = &ensemble.output;
    let origin = &ensemble.origin;
    if is_xgboost(&origin.format)
        && let Some(own) = objective::find(&origin.objective)
        && own.link == *link
    {
        return Ok(own);
    }
    let name = match link {
        Link::Identity => match task {
            Task::Binary if *width == 1 => "binary:logitraw",
            Task::Ranking if *width == 1 => "rank:pairwise",
            Task::Regression | Task::Binary | Task::Multiclass | Task::Ranking | Task::Anomaly => "reg:squarederror",
        },
        Link::Logistic { alpha: _ } if *task == Task::Binary => "binary:logistic",
        Link::Logistic { alpha: _ } => "reg:logistic",
        Link::Softmax if *width > 1 => "multi:softprob",
        Link::Softmax => return Err(unsupported("a softmax over one margin")),
        Link::Exp => "count:poisson",
        Link::Hinge => "binary:hinge",
        Link::SoftmaxZero | Link::Probit | Link::Softplus | Link::SignedSquare | Link::Isolation { ratio: _ } => {
            return Err(unsupported(format!("the link {link:?}")));
        }
    };
    objective::find(name).ok_or_else(|| Error::content("an objective that is known", name))
}

/// The objective with its parameters: the model's own, or XGBoost's defaults.
fn block(ensemble: &Ensemble, objective: &Objective) -> String {
    let origin = &ensemble.origin;
    let name = ("name", quoted(objective.name));
    let Some((block, parameters)) = objective.block else { return object(&[name]) };
    let width = ensemble.output.width.to_string();
    let value = |name: &str, default: &str| match name {
        "num_class" => quoted(&width),
        name => quoted(origin.parameters.get(name).filter(|_| is_xgboost(&origin.format)).map_or(default, |own| own)),
    };
    let parameters: Vec<_> = parameters.iter().map(|(name, default)| (*name, value(name, default))).collect();
    object(&[(block, object(&parameters)), name])
}

/// Trees that grow at once for an output, as the model of XGBoost said that it was.
fn parallel(ensemble: &Ensemble) -> usize {
    let origin = &ensemble.origin;
    let own = origin.parameters.get("num_parallel_tree").filter(|_| is_xgboost(&origin.format));
    own.and_then(|own| own.parse().ok()).filter(|own| (1..=ensemble.trees.len()).contains(own)).unwrap_or(1)
}

/// A number as f32, unless it is too large for one.
fn narrow(value: f64) -> Result<f32> {
    let rounded = Precision::F32.round(value);
    if rounded.is_infinite() && value.is_finite() {
        return Err(unsupported(format!("a leaf of {value:e}, which is beyond f32")));
    }
    Ok(rounded as f32)
}
