//! XGBoost's models in JSON and UBJ: what `Booster.save_model` writes since 1.0 (boosters `gbtree` and `dart`).
//!
//! An ensemble answers as `Booster.predict` does, in f32 throughout: a split goes left when `x < threshold`; leaf
//! values are added to the margin of `base_score` in the order of the trees. Three things to know:
//!
//! - **All trees answer**, as in `Booster.predict`, which stops at `best_iteration` only when `iteration_range` says
//!   so. scikit-learn's wrapper (`XGBClassifier`, …) stops there by itself: to have its answers, slice the booster
//!   before it is saved, `booster[: booster.best_iteration + 1]`. `best_iteration` is kept in [`Origin::parameters`].
//! - **`multi:softmax`** answers the probabilities that `multi:softprob` would: its class is the one of the greatest.
//! - **Categories** that have names in the file (`cats`, since 3.1) keep them. A name that training never saw makes
//!   XGBoost fail, and is missing for us; so is a missing one. Codes beyond a node's set are not in it, as in XGBoost.
//!
//! `base_score` is what the objective makes of it (`objective.rs`): one number before 3.1, a list in brackets since.

mod categories;
mod json;
pub(crate) mod objective;
mod schema;
mod trees;
mod ubj;

use std::{collections::BTreeMap, str::FromStr};

use objective::{Base, Objective};
use schema::{Booster, Entry, File, Learner, Model, Parameters, Text};
use trees::{Budget, Place};

use crate::{
    Ensemble, Error, Result,
    ensemble::{CategoryRule, Feature, Origin, Output, Precision, Rules, Task},
    import::{Format, unseen},
};

/// Reads a model in JSON.
///
/// # Errors
/// [`Error::Content`] when the bytes contradict the format or themselves; [`Error::Unsupported`] for XGBoost's old
/// binary format, the booster `gblinear` and unknown objectives.
pub fn read_json(bytes: &[u8]) -> Result<Ensemble> {
    let text = bytes.trim_ascii_start();
    refuse_legacy(text)?;
    if text.starts_with(b"{L") {
        return Err(Error::content("a model in XGBoost's JSON", "one in UBJ"));
    }
    assemble(json::read(text)?, bytes.len(), Format::XgboostJson)
}

/// Reads a model in UBJ.
///
/// # Errors
/// As [`read_json`].
pub fn read_ubj(bytes: &[u8]) -> Result<Ensemble> {
    refuse_legacy(bytes)?;
    if bytes.trim_ascii_start().strip_prefix(b"{").is_some_and(|rest| rest.trim_ascii_start().starts_with(b"\"")) {
        return Err(Error::content("a model in XGBoost's UBJ", "one in JSON"));
    }
    assemble(ubj::read(bytes)?, bytes.len(), Format::XgboostUbj)
}

/// The binary format from before JSON, which XGBoost lost with 3.1. It begins with `binf`, with `bs64` when it was made
/// text, and in its oldest form with `base_score` itself; numbers of 32 bits follow, so there are bytes of 0 among the
/// first.
fn refuse_legacy(bytes: &[u8]) -> Result<()> {
    let bare = bytes.first().is_some_and(|first| *first != b'{') && bytes.iter().take(64).any(|byte| *byte == 0);
    if bare || bytes.starts_with(b"binf") || bytes.starts_with(b"bs64") {
        let instead = "load the model with XGBoost before 3.1 and save it anew: `booster.save_model(\"model.ubj\")`";
        return Err(Error::unsupported("XGBoost's old binary format", instead));
    }
    Ok(())
}

fn assemble(file: File, bytes: usize, format: Format) -> Result<Ensemble> {
    let File { version, learner, snapshot } = file;
    let Some(learner) = learner else {
        return Err(match snapshot {
            Some(_) => Error::unsupported(
                "XGBoost's memory snapshot (pickle)",
                "unpickle it with the XGBoost that made it, then `booster.save_model(\"model.ubj\")`",
            ),
            None => Error::content("`learner` in an XGBoost model", "none"),
        });
    };
    let Learner { attributes, feature_names, feature_types, gradient_booster, learner_model_param, objective } =
        learner;
    let origin_facts = (&attributes, &learner_model_param, &objective);
    let (model, weights) = booster(gradient_booster)?;
    let found = find_objective(&objective)?;
    let features = sized(&learner_model_param, "num_feature", None, bytes)?;
    let classes = sized(&learner_model_param, "num_class", Some(0), bytes)?;
    let targets = sized(&learner_model_param, "num_target", Some(1), bytes)?;
    if classes > 1 && targets > 1 {
        return Err(Error::content("several classes or several targets", format!("{classes} and {targets}")));
    }
    let width = classes.max(targets).max(1);
    let Model { gbtree_model_param, tree_info, trees: files, cats } = model;
    let count = files.len();
    let declared = number(&gbtree_model_param, "num_trees", Some(count))?;
    for (field, got) in [("num_trees", declared), ("tree_info", tree_info.len())] {
        if got != count {
            return Err(Error::content(format!("{count} in `{field}`, as there are `trees`"), got));
        }
    }
    if let Some(weights) = weights.as_ref().filter(|weights| weights.len() != count) {
        return Err(Error::content(format!("{count} numbers in `weight_drop`, as there are `trees`"), weights.len()));
    }
    let origin = origin(origin_facts, &gbtree_model_param, &version, found, format);

    let mut budget = Budget::new(bytes);
    let mut trees = Vec::with_capacity(count);
    for (index, (file, output)) in files.into_iter().zip(tree_info).enumerate() {
        let weight = weights.as_ref().and_then(|weights| weights.get(index)).copied();
        let place = Place { features, width, output, weight };
        trees.push(trees::convert(&file, &place, &mut budget).map_err(|error| in_tree(index, error))?);
    }
    let columns = categories::columns(
        &version,
        feature_names,
        &feature_types,
        cats.as_ref(),
        &trees::categorical(&trees, features),
    )?;
    let mut output =
        Output::sum(width, if width > 1 && found.task == Task::Binary { Task::Regression } else { found.task });
    output.start = start(&learner_model_param, found, width, count == 0)?;
    output.link = found.link;
    let ensemble = Ensemble {
        columns,
        features: (0..features as u32).map(Feature::column).collect(),
        rules: Rules { compare: Precision::F32, sum: Precision::F32, category: CategoryRule::TruncateNonNegative },
        trees,
        output,
        origin,
    };
    ensemble.check()?;
    Ok(ensemble)
}

/// The trees, and for `dart` the weight of each.
fn booster(booster: Booster) -> Result<(Model, Option<Vec<f32>>)> {
    let Booster { name, model, gbtree, weight_drop } = booster;
    match name.as_str() {
        "gbtree" => Ok((model.ok_or_else(|| Error::content("`model` in `gradient_booster`", "none"))?, None)),
        "dart" => {
            let inner = gbtree.ok_or_else(|| Error::content("`gbtree` in the booster `dart`", "none"))?;
            Ok((inner.model, Some(weight_drop.into_iter().map(|weight| weight.0).collect())))
        }
        "gblinear" => Err(Error::unsupported(
            "XGBoost's booster `gblinear`",
            "it is a linear model: train with `booster=gbtree`, or serve its weights as a linear model",
        )),
        other => Err(Error::unsupported(format!("XGBoost's booster `{other}`"), "train with `gbtree` or `dart`")),
    }
}

fn find_objective(entries: &BTreeMap<String, Entry>) -> Result<&'static Objective> {
    let Some(Entry::Text(Text(name))) = entries.get("name") else {
        return Err(Error::content("`name` in `objective`", "none"));
    };
    objective::find(name).ok_or_else(|| {
        let instead = "train with one of XGBoost 3.2's objectives";
        Error::unsupported(format!("XGBoost's objective `{name}`"), instead)
    })
}

/// The margins that trees are added to.
fn start(parameters: &Parameters, objective: &Objective, width: usize, no_trees: bool) -> Result<Vec<f64>> {
    let Some(Text(text)) = parameters.get("base_score") else {
        return Err(Error::content("`base_score` in `learner_model_param`", "none"));
    };
    let brackets = text.trim().strip_prefix('[').and_then(|list| list.strip_suffix(']'));
    let list = brackets.unwrap_or(text);
    // Since 3.1 a model that was never trained takes the default `base_score` for its margin (`Learner::NeedFit`).
    let to_find = parameters.get("boost_from_average").is_some_and(|Text(found)| found != "0");
    let base = if brackets.is_some() && no_trees && to_find { Base::Margin } else { objective.base };
    let wrong = || Error::content(format!("1 or {width} numbers as `base_score`"), text);
    let scores = list.split(',').map(|score| f32::from_str(score.trim()));
    let scores = scores.collect::<std::result::Result<Vec<_>, _>>().map_err(|_| wrong())?;
    let margin = |score: &f32| f64::from(base.margin(*score));
    match scores.as_slice() {
        [score] => Ok(vec![margin(score); width]),
        scores if scores.len() == width => Ok(scores.iter().map(margin).collect()),
        _ => Err(wrong()),
    }
}

fn origin(
    (attributes, learner, objective): (&Parameters, &Parameters, &BTreeMap<String, Entry>),
    booster: &Parameters,
    version: &[u32],
    found: &Objective,
    format: Format,
) -> Origin {
    let mut parameters = BTreeMap::new();
    for (name, Text(text)) in attributes.iter().chain(learner).chain(booster) {
        parameters.insert(name.clone(), text.clone());
    }
    let blocks = objective.values().filter_map(|entry| match entry {
        Entry::Block(block) => Some(block),
        Entry::Text(_) | Entry::Other => None,
    });
    for (name, entry) in blocks.flatten() {
        // A block's `num_class` repeats the learner's.
        if let Entry::Text(Text(text)) = entry {
            parameters.entry(name.clone()).or_insert_with(|| text.clone());
        }
    }
    Origin {
        format: format.name().to_owned(),
        version: version.iter().map(u32::to_string).collect::<Vec<_>>().join("."),
        objective: found.name.to_owned(),
        parameters,
    }
}

/// A whole number among parameters.
fn number(parameters: &Parameters, name: &str, absent: Option<usize>) -> Result<usize> {
    match (parameters.get(name), absent) {
        (None, Some(absent)) => Ok(absent),
        (None, None) => Err(Error::content(format!("`{name}` among the parameters"), "none")),
        (Some(Text(text)), _) => text.parse().map_err(|_| Error::content(format!("a whole number as `{name}`"), text)),
    }
}

/// A number of things for which memory is taken before any of them is seen.
fn sized(parameters: &Parameters, name: &str, absent: Option<usize>, bytes: usize) -> Result<usize> {
    let number = number(parameters, name, absent)?;
    let most = unseen(bytes);
    if number > most {
        return Err(Error::content(format!("at most {most} as `{name}` in a file of {bytes} bytes"), number));
    }
    Ok(number)
}

fn in_tree(index: usize, error: Error) -> Error {
    match error {
        Error::Content { expected, got } => Error::content(format!("in tree {index}, {expected}"), got),
        unsupported @ Error::Unsupported { what: _, instead: _ } => unsupported,
    }
}
