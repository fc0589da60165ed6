//! treelite's checkpoints, version 4: what `treelite.Model.deserialize` loads, and [`crate::import::treelite`] reads.
//!
//! GTIL and everything else that takes treelite's models then answers as the [`Ensemble`] does, with these limits:
//!
//! - Margins that start at a number are written with that number as a base score, which treelite adds behind the trees:
//!   they differ by rounding.
//! - GTIL computes `softmax` in f32 even for f64 models: probabilities differ by up to 1e-7.
//! - An ensemble that compares in f32 and sums in f64 (`CatBoost`, ONNX) becomes an f64 model, whose rows treelite does
//!   not round. Its thresholds are moved to where rounding turns, so that each row still goes the same way.
//! - Rows hold category codes where the ensemble's columns do: treelite knows no names of categories.
//!
//! Several outputs are written as classes of one target where the task has classes, and as targets of one class each
//! where it has none. Names of columns and classes go into the attributes, as `feature_names` and `classes`.

mod split;

use serde_json::{Map, Value, json};
use split::Writer;

use crate::{
    Ensemble, Error, Result,
    ensemble::{Aggregate, Leaves, Link, Output, Precision, Rules, Task, Tree},
    import::treelite::{CLASSES, FEATURE_NAMES},
};

/// Version of treelite that the layout is of.
const VERSION: [i32; 3] = [4, 8, 1];

/// Writes a checkpoint.
///
/// # Errors
/// [`Error::Unsupported`], naming it, for what a checkpoint cannot say: linear leaves, steps before features, splits
/// that take zero for missing, the least or greatest of the trees, scales, links that treelite lacks;
/// [`Error::Content`] for an ensemble that does not pass [`Ensemble::check`].
pub fn write(ensemble: &Ensemble) -> Result<Vec<u8>> {
    ensemble.check()?;
    let Ensemble { columns, features, rules, trees, output, origin } = ensemble;
    let float = float_type(*rules)?;
    if let Some(feature) = features.iter().find(|feature| !feature.steps.is_empty()) {
        return Err(Error::unsupported(
            format!("a step between column {} and the trees ({:?})", feature.column, feature.steps),
            "keep the file that it was read from",
        ));
    }
    let shape = Shape::of(ensemble);
    let mut file = Bytes { bytes: Vec::new(), float };
    for number in VERSION {
        file.put(number.to_le_bytes());
    }
    let type_info = match float {
        Precision::F32 => 2_u8,
        Precision::F64 => 3,
    };
    file.put([type_info, type_info]);
    file.put((trees.len() as u64).to_le_bytes());
    file.put(int("columns", columns.len())?.to_le_bytes());
    file.put([task_type(output)]);
    file.put([u8::from(is_average(output, trees, shape)?)]);
    let classes = vec![int("classes", shape.classes)?; shape.targets];
    file.put(int("targets", classes.len())?.to_le_bytes());
    file.array(classes.iter().map(|classes| classes.to_le_bytes()));
    let leaf = if shape.vectors { [shape.targets, shape.classes] } else { [1, 1] };
    file.array([int("targets", leaf[0])?.to_le_bytes(), int("classes", leaf[1])?.to_le_bytes()].into_iter());
    let ids = trees.iter().map(|tree| shape.ids(tree)).collect::<Result<Vec<_>>>()?;
    file.array(ids.iter().map(|(target, _)| target.to_le_bytes()));
    file.array(ids.iter().map(|(_, class)| class.to_le_bytes()));
    let (postprocessor, alpha, ratio) = postprocessor(output.link, shape)?;
    file.array(postprocessor.bytes().map(|byte| [byte]));
    file.put(alpha.to_le_bytes());
    file.put(ratio.to_le_bytes());
    file.array(base_scores(output)?.iter().map(|score| score.to_le_bytes()));
    let mut attributes = Map::new();
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    attributes.insert(FEATURE_NAMES.to_owned(), json!(names));
    if !output.classes.is_empty() {
        attributes.insert(CLASSES.to_owned(), json!(output.classes));
    }
    // What scikit-learn's decision_function takes from an isolation forest's scores; treelite keeps it here.
    let offset = origin.parameters.get(ISOLATION_OFFSET).and_then(|offset| offset.parse::<f64>().ok());
    if let Some(offset) = offset {
        attributes.insert(ISOLATION_OFFSET.to_owned(), json!(offset));
    }
    file.array(Value::Object(attributes).to_string().bytes().map(|byte| [byte]));
    file.put(0_i32.to_le_bytes());
    for (index, tree) in trees.iter().enumerate() {
        let writer = Writer { ensemble, tree, shape };
        writer.write(&mut file).map_err(|error| match error {
            Error::Content { expected, got } => Error::content(format!("in tree {index}, {expected}"), got),
            Error::Unsupported { what, instead } => Error::unsupported(format!("in tree {index}, {what}"), instead),
        })?;
    }
    Ok(file.bytes)
}

/// treelite's attribute for scikit-learn's `IsolationForest.offset_`.
const ISOLATION_OFFSET: &str = "sklearn_iforest_offset";

/// The type of thresholds and leaves.
fn float_type(rules: Rules) -> Result<Precision> {
    let Rules { compare, sum, category: _ } = rules;
    match (compare, sum) {
        (Precision::F32, Precision::F32) => Ok(Precision::F32),
        (Precision::F32 | Precision::F64, Precision::F64) => Ok(Precision::F64),
        (Precision::F64, Precision::F32) => Err(Error::unsupported(
            "an ensemble that compares in f64 and sums in f32",
            "keep the file that it was read from",
        )),
    }
}

/// How outputs become targets and classes.
#[derive(Clone, Copy)]
struct Shape {
    targets: usize,
    /// Of each target.
    classes: usize,
    /// Whether leaves hold a number for every output.
    vectors: bool,
}

impl Shape {
    fn of(ensemble: &Ensemble) -> Self {
        let output = &ensemble.output;
        let task_has_classes = match output.task {
            Task::Binary | Task::Multiclass => true,
            Task::Regression | Task::Ranking | Task::Anomaly => false,
        };
        let has_classes = match output.link {
            Link::Softmax => true,
            Link::Identity | Link::Logistic { alpha: _ } => task_has_classes,
            // treelite's other postprocessors turn the first class of each target alone.
            Link::SoftmaxZero
            | Link::Probit
            | Link::Exp
            | Link::Softplus
            | Link::SignedSquare
            | Link::Hinge
            | Link::Isolation { ratio: _ } => false,
        };
        let (targets, classes) = if has_classes { (1, output.width) } else { (output.width, 1) };
        let is_vector = |tree: &Tree| matches!(tree.leaves, Leaves::Vector(_));
        Self { targets, classes, vectors: output.width > 1 && ensemble.trees.iter().any(is_vector) }
    }

    /// `target_id` and `class_id` of a tree; -1 for all.
    fn ids(self, tree: &Tree) -> Result<(i32, i32)> {
        let output = match &tree.leaves {
            Leaves::Scalar { output, values: _ } => int("outputs", *output as usize)?,
            Leaves::Vector(_) => 0,
        };
        Ok(match (self.vectors, self.classes) {
            (true, 1) => (-1, 0),
            (true, _) => (-1, -1),
            (false, 1) => (output, 0),
            (false, _) => (0, output),
        })
    }
}

/// Whether trees are averaged, as treelite averages: by the number of trees that add to an output.
fn is_average(output: &Output, trees: &[Tree], shape: Shape) -> Result<bool> {
    let divisors = match &output.aggregate {
        Aggregate::Sum => return Ok(false),
        Aggregate::Mean(divisors) => divisors,
        Aggregate::Min => {
            return Err(Error::unsupported("the least of the trees", "keep the file that it was read from"));
        }
        Aggregate::Max => {
            return Err(Error::unsupported("the greatest of the trees", "keep the file that it was read from"));
        }
    };
    let mut votes = vec![0.0; output.width];
    for tree in trees {
        match &tree.leaves {
            Leaves::Scalar { output, values: _ } if !shape.vectors => votes[*output as usize] += 1.0,
            Leaves::Scalar { output: _, values: _ } | Leaves::Vector(_) => {
                for votes in &mut votes {
                    *votes += 1.0;
                }
            }
        }
    }
    if *divisors == votes {
        Ok(true)
    } else {
        Err(Error::unsupported(
            format!("an average over {divisors:?} where {votes:?} trees add to the outputs"),
            "keep the file that it was read from",
        ))
    }
}

fn task_type(output: &Output) -> u8 {
    match (output.task, output.width) {
        (Task::Binary, 1) => 0,
        (Task::Regression, _) => 1,
        (Task::Binary | Task::Multiclass, _) => 2,
        (Task::Ranking, _) => 3,
        (Task::Anomaly, _) => 4,
    }
}

/// Name, `sigmoid_alpha` and `ratio_c`.
fn postprocessor(link: Link, shape: Shape) -> Result<(&'static str, f32, f32)> {
    let of_classes = shape.classes > 1;
    Ok(match link {
        Link::Identity if of_classes => ("identity_multiclass", 1.0, 1.0),
        Link::Identity => ("identity", 1.0, 1.0),
        Link::Logistic { alpha } if of_classes => ("multiclass_ova", f32_of("a logistic link's alpha", alpha)?, 1.0),
        Link::Logistic { alpha } => ("sigmoid", f32_of("a logistic link's alpha", alpha)?, 1.0),
        Link::Softmax => ("softmax", 1.0, 1.0),
        Link::Exp => ("exponential", 1.0, 1.0),
        Link::Softplus => ("logarithm_one_plus_exp", 1.0, 1.0),
        Link::SignedSquare => ("signed_square", 1.0, 1.0),
        Link::Hinge => ("hinge", 1.0, 1.0),
        Link::Isolation { ratio } => ("exponential_standard_ratio", 1.0, f32_of("an isolation forest's ratio", ratio)?),
        Link::SoftmaxZero => {
            return Err(Error::unsupported("the link SOFTMAX_ZERO", "keep the file that it was read from"));
        }
        Link::Probit => return Err(Error::unsupported("the link PROBIT", "keep the file that it was read from")),
    })
}

/// A number that treelite holds as f32.
fn f32_of(what: &str, number: f64) -> Result<f32> {
    if f64::from(number as f32) == number {
        Ok(number as f32)
    } else {
        Err(Error::unsupported(format!("{what} of {number}, which is no f32,"), "round it to f32 first"))
    }
}

/// What treelite adds behind the trees, or behind their average.
fn base_scores(output: &Output) -> Result<Vec<f64>> {
    if output.scale != 1.0 {
        let what = format!("a scale of {} behind the trees", output.scale);
        return Err(Error::unsupported(what, "multiply the leaves by it, and set it to 1"));
    }
    let start = |place: usize, start: f64| match &output.aggregate {
        Aggregate::Mean(divisors) => start / divisors[place],
        Aggregate::Sum | Aggregate::Min | Aggregate::Max => start,
    };
    let starts = output.start.iter().enumerate();
    // A start of 0 adds nothing, even where it would be divided by no trees.
    let score = |((place, number), bias): ((usize, &f64), &f64)| {
        if *number == 0.0 { *bias } else { start(place, *number) + bias }
    };
    Ok(starts.zip(&output.bias).map(score).collect())
}

fn int(what: &str, count: usize) -> Result<i32> {
    i32::try_from(count).map_err(|_| Error::content(format!("fewer than 2^31 {what}"), count))
}

/// A file that is being written.
struct Bytes {
    bytes: Vec<u8>,
    /// Type of thresholds and leaves.
    float: Precision,
}

impl Bytes {
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        self.bytes.extend(bytes);
    }

    /// A length, and as many entries.
    fn array<const N: usize>(&mut self, entries: impl Iterator<Item = [u8; N]>) {
        let at = self.bytes.len();
        self.put([0; 8]);
        let mut count = 0_u64;
        for entry in entries {
            self.put(entry);
            count += 1;
        }
        self.bytes[at..at + 8].copy_from_slice(&count.to_le_bytes());
    }

    /// An array of the model's floating-point type.
    fn floats(&mut self, numbers: &[f64]) {
        match self.float {
            Precision::F64 => self.array(numbers.iter().map(|number| number.to_le_bytes())),
            // Thresholds and leaves of an ensemble that passed its check are f32 then.
            Precision::F32 => self.array(numbers.iter().map(|number| (*number as f32).to_le_bytes())),
        }
    }
}
