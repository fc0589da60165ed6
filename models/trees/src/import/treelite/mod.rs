//! treelite's checkpoints, version 4: what `treelite.Model.serialize` writes.
//!
//! They carry scikit-learn's forests (`treelite.sklearn.import_model`: random forests, extra trees, both kinds of
//! gradient boosting, isolation forests) and whatever else went through treelite. The layout is treelite's
//! `docs/serialization/v4.rst`, as `src/serializer.cc` of 4.8.1 writes it. An ensemble answers as GTIL does, treelite's
//! reference interpreter (`src/gtil/predict.cc`):
//!
//! - **Precision** ([`Rules`]) is the file's: thresholds and leaves are both f32, or both f64. GTIL takes rows of
//!   either type; its Python package turns them into the file's type first, and so do we. So an f32 model rounds an f64
//!   row, as `XGBoost`, where these models come from, does. (GTIL's C interface, when handed f64 rows for an f32 model,
//!   compares without rounding; the leaf differs only for values between a threshold and its f32 neighbour.) An f64
//!   model reads f32 rows exactly.
//! - **scikit-learn** rounds rows to f32 before it asks forests, gradient boosting and isolation forests, although
//!   their thresholds are f64. A checkpoint does not say where it is from, and GTIL does not round: hand over rows that
//!   are rounded to f32, and the answers are scikit-learn's too. Histogram gradient boosting takes f64 as it is.
//! - **Outputs** are flattened: the classes of target 0, then those of target 1, and so on, without the zeros that GTIL
//!   pads targets with that have fewer classes than others. More than one target of classes is a
//!   [`Task::Regression`] of probabilities, since no target's classes exclude another's.
//! - **Averages** (`average_tree_output`) divide by the number of trees that add to an output; base scores are added
//!   behind.
//! - **Postprocessors** are the links of the same meaning. GTIL computes `softmax` in f32 even for f64 models; we
//!   compute it in the model's precision, as scikit-learn and `LightGBM` do, so that probabilities differ from GTIL's
//!   by up to 1e-7.
//! - **Names** of columns come from `feature_names` in the file's attributes, where [`crate::export::treelite`] puts
//!   them; treelite has no names, and without them columns are called x0, x1, … as scikit-learn does.

mod bytes;
mod header;
mod layout;
mod tree;

use std::collections::BTreeMap;

use bytes::Cursor;
use header::{Header, TaskType};
use serde_json::{Map, Value};

use crate::{
    Ensemble, Error, Result,
    ensemble::{
        Aggregate, Categories, CategoryRule, Column, ColumnKind, Feature, Link, Node, Origin, Output, Rules, Task,
        Test, Tree,
    },
    import::Format,
};

/// Name of the attribute that holds the columns' names.
pub(crate) const FEATURE_NAMES: &str = "feature_names";
/// Name of the attribute that holds the class labels.
pub(crate) const CLASSES: &str = "classes";

/// Reads a checkpoint.
///
/// # Errors
/// [`Error::Content`] when the bytes contradict the format or themselves; [`Error::Unsupported`] for other versions,
/// and for postprocessors that GTIL does not have.
pub fn read(bytes: &[u8]) -> Result<Ensemble> {
    let mut cursor = Cursor::new(bytes);
    let header = Header::read(&mut cursor)?;
    let layout = &header.layout;
    let mut budget = tree::Budget::new(bytes.len());
    let mut trees = Vec::new();
    // How many trees add to each output.
    let mut votes = vec![0_u32; layout.width()];
    for index in 0..header.trees {
        let reach = layout.leaf(header.target_id.at(index)?, header.class_id.at(index)?);
        let tree = reach.and_then(|reach| {
            let tree = tree::read(&mut cursor, &header, reach, &mut budget)?;
            for output in layout.places(reach).into_iter().flatten() {
                votes[output] += 1;
            }
            Ok(tree)
        });
        trees.push(tree.map_err(|error| in_tree(index, error))?);
    }
    if cursor.left() > 0 {
        let expected = format!("the end of the file behind {} trees", header.trees);
        return Err(Error::content(expected, format!("{} more bytes", cursor.left())));
    }
    let ensemble = Ensemble {
        columns: columns(header.features, &header.attributes, &trees)?,
        features: (0..header.features).map(|column| Feature::column(column as u32)).collect(),
        rules: Rules { compare: header.precision, sum: header.precision, category: CategoryRule::TruncateNonNegative },
        trees,
        output: output(&header, &votes)?,
        origin: origin(&header),
    };
    ensemble.check()?;
    Ok(ensemble)
}

fn output(header: &Header<'_>, votes: &[u32]) -> Result<Output> {
    let layout = &header.layout;
    let width = layout.width();
    let mut output = Output::sum(width, task(header));
    if header.average {
        if votes.contains(&0) {
            return Err(Error::content(
                "a tree for each target and class where `average_tree_output` is set",
                "none for one",
            ));
        }
        output.aggregate = Aggregate::Mean(votes.iter().map(|votes| f64::from(*votes)).collect());
    }
    output.bias = layout.padded().map(|place| header.base_scores.at(place)).collect::<Result<_>>()?;
    output.link = link(header)?;
    output.classes =
        names(&header.attributes, CLASSES, |count| count == width || (count == 2 && width == 1))?.unwrap_or_default();
    Ok(output)
}

fn task(header: &Header<'_>) -> Task {
    let targets = header.layout.classes().len();
    match header.task {
        TaskType::BinaryClf | TaskType::MultiClf if targets > 1 => Task::Regression,
        TaskType::BinaryClf if header.layout.width() == 1 => Task::Binary,
        TaskType::BinaryClf | TaskType::MultiClf => Task::Multiclass,
        TaskType::Regressor => Task::Regression,
        TaskType::LearningToRank => Task::Ranking,
        TaskType::IsolationForest => Task::Anomaly,
    }
}

fn link(header: &Header<'_>) -> Result<Link> {
    let name = header.postprocessor;
    let alpha = positive("sigmoid_alpha", header.sigmoid_alpha);
    let (link, of_classes) = match name {
        "identity" | "identity_multiclass" => (Link::Identity, true),
        "softmax" => (Link::Softmax, true),
        "multiclass_ova" => (Link::Logistic { alpha: alpha? }, true),
        "sigmoid" => (Link::Logistic { alpha: alpha? }, false),
        "signed_square" => (Link::SignedSquare, false),
        "hinge" => (Link::Hinge, false),
        "exponential" => (Link::Exp, false),
        "exponential_standard_ratio" => (Link::Isolation { ratio: positive("ratio_c", header.ratio_c)? }, false),
        "logarithm_one_plus_exp" => (Link::Softplus, false),
        "max_index" => {
            return Err(Error::unsupported(
                "treelite's postprocessor `max_index`",
                "set `postprocessor` to `softmax`, as treelite 4 does, and take the greatest probability",
            ));
        }
        other => {
            let known = "set `postprocessor` to one that treelite's GTIL knows, or to `identity` for margins";
            return Err(Error::unsupported(format!("treelite's postprocessor `{other}`"), known));
        }
    };
    let classes = header.layout.classes();
    if link == Link::Softmax && classes.len() > 1 {
        return Err(Error::unsupported(
            "treelite's postprocessor `softmax` over several targets",
            "save a model for each",
        ));
    }
    // GTIL turns the first class of each target alone.
    match classes.iter().find(|count| **count > 1) {
        Some(count) if !of_classes => {
            Err(Error::content(format!("one class a target with postprocessor `{name}`"), count))
        }
        Some(_) | None => Ok(link),
    }
}

fn positive(field: &str, number: f32) -> Result<f64> {
    if number > 0.0 && number.is_finite() {
        Ok(f64::from(number))
    } else {
        Err(Error::content(format!("a positive number as `{field}`"), number))
    }
}

/// The columns: those that only categorical splits ask hold codes.
fn columns(count: usize, attributes: &Map<String, Value>, trees: &[Tree]) -> Result<Vec<Column>> {
    let names = names(attributes, FEATURE_NAMES, |names| names == count)?;
    let names = names.unwrap_or_else(|| (0..count).map(|column| format!("x{column}")).collect());
    let mut asked = vec![(false, false); count];
    for node in trees.iter().flat_map(|tree| &tree.nodes) {
        if let Node::Split(split) = node
            && let Some((numbers, codes)) = asked.get_mut(split.feature as usize)
        {
            match split.test {
                Test::Below(_) | Test::AtMost(_) | Test::Equal(_) => *numbers = true,
                Test::In(_) => *codes = true,
            }
        }
    }
    let kind = |asked| match asked {
        (false, true) => ColumnKind::Category(Categories::Codes),
        (true, _) | (false, false) => ColumnKind::Float,
    };
    Ok(names.into_iter().zip(asked).map(|(name, asked)| Column { name, kind: kind(asked) }).collect())
}

/// An attribute that lists names, if there is one.
fn names(
    attributes: &Map<String, Value>,
    attribute: &str,
    counts: impl Fn(usize) -> bool,
) -> Result<Option<Vec<String>>> {
    let Some(value) = attributes.get(attribute) else { return Ok(None) };
    let strings = value.as_array().map(|values| values.iter().map(|value| value.as_str().map(str::to_owned)));
    match strings.and_then(Iterator::collect::<Option<Vec<_>>>) {
        Some(names) if counts(names.len()) => Ok(Some(names)),
        Some(names) => {
            Err(Error::content(format!("as many names in the attribute `{attribute}` as the model has"), names.len()))
        }
        None => Err(Error::content(format!("a list of strings as the attribute `{attribute}`"), "something else")),
    }
}

fn origin(header: &Header<'_>) -> Origin {
    let classes = header.layout.classes();
    let facts = [
        ("task_type", header.task.name().to_owned()),
        ("postprocessor", header.postprocessor.to_owned()),
        ("num_target", classes.len().to_string()),
        ("max_num_class", classes.iter().copied().max().unwrap_or(0).to_string()),
    ];
    let mut parameters: BTreeMap<_, _> = facts.map(|(name, value)| (name.to_owned(), value)).into();
    for (name, value) in &header.attributes {
        if name != FEATURE_NAMES && name != CLASSES {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            parameters.insert(name.clone(), text);
        }
    }
    Origin {
        format: Format::Treelite.name().to_owned(),
        version: header.version.clone(),
        objective: String::new(),
        parameters,
    }
}

fn in_tree(index: usize, error: Error) -> Error {
    match error {
        Error::Content { expected, got } => Error::content(format!("in tree {index}, {expected}"), got),
        unsupported @ Error::Unsupported { what: _, instead: _ } => unsupported,
    }
}
