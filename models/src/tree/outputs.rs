//! From margins to a model's outputs.
//!
//! | task | outputs |
//! | --- | --- |
//! | regression | `prediction` FP32 `[-1, k]`, k being 1 for a model of one target |
//! | binary, multiclass | `label` BYTES `[-1, 1]`, `probabilities` FP32 `[-1, classes]` |
//! | ranking, anomaly detection | `score` FP32 `[-1, 1]` |

use contract::{DataType, InputError, LossKind, Signature, Strings, TaskSpec, Tensor, TensorSpec};
use trees::{
    Ensemble,
    ensemble::{Output, Precision, Task},
};

use crate::neural::{LABEL, PREDICTION, PROBABILITIES};

/// Name of the output of models that order rows.
const SCORE: &str = "score";

/// The labels of a model's classes: the source's, or their numbers; none for a model that does not classify.
fn classes(output: &Output) -> Vec<String> {
    let count = match output.task {
        Task::Binary => output.width.max(2),
        Task::Multiclass => output.width,
        Task::Regression | Task::Ranking | Task::Anomaly => return Vec::new(),
    };
    (0..count).map(|class| output.classes.get(class).cloned().unwrap_or_else(|| class.to_string())).collect()
}

/// The outputs of the signature.
pub(super) fn specs(ensemble: &Ensemble) -> Vec<TensorSpec> {
    let output = &ensemble.output;
    match output.task {
        Task::Regression => vec![TensorSpec::rows(PREDICTION, DataType::Fp32, output.width)],
        Task::Ranking | Task::Anomaly => vec![TensorSpec::rows(SCORE, DataType::Fp32, output.width)],
        Task::Binary | Task::Multiclass => vec![
            TensorSpec::rows(LABEL, DataType::Bytes, 1),
            TensorSpec::rows(PROBABILITIES, DataType::Fp32, classes(output).len()),
        ],
    }
}

/// How feedback reads the outputs; none for several targets and for scores that only order.
pub(super) fn task(ensemble: &Ensemble) -> Option<TaskSpec> {
    let output = &ensemble.output;
    let (task, score, loss) = match output.task {
        Task::Regression if output.width == 1 => (contract::Task::Regression, PREDICTION, LossKind::Classic),
        Task::Binary => (contract::Task::Binary, PROBABILITIES, LossKind::Logistic),
        Task::Multiclass => (contract::Task::Multiclass, PROBABILITIES, LossKind::Softmax),
        Task::Regression | Task::Ranking | Task::Anomaly => return None,
    };
    Some(TaskSpec { task, classes: classes(output), score: score.to_owned(), loss })
}

/// The outputs named in `wanted` (all of the signature's when it is empty) of rows of margins, which are turned into answers
/// in place.
///
/// # Errors
/// [`InputError::UnknownOutput`].
pub(super) fn decode(
    ensemble: &Ensemble,
    signature: &Signature,
    margins: &mut [f64],
    wanted: &[String],
) -> Result<Vec<Tensor>, InputError> {
    let (output, precision) = (&ensemble.output, ensemble.rules.sum);
    for row in margins.chunks_exact_mut(output.width) {
        output.link.apply(row, precision);
    }
    let make = |spec: &TensorSpec| {
        let rows = margins.len() / output.width;
        match output.task {
            Task::Binary | Task::Multiclass if spec.name == LABEL => {
                let classes = signature.task.as_ref().map(|task| task.classes.as_slice()).unwrap_or_default();
                let label = |row: &[f64]| classes.get(likeliest(row)).map_or(&b""[..], |label| label.as_bytes());
                let labels: Strings = margins.chunks_exact(output.width).map(label).collect();
                Tensor::from_strings(&spec.name, vec![rows, 1], labels)
            }
            Task::Binary if output.width == 1 => {
                let both = |second: &f64| [complement(*second, precision), *second];
                values(&spec.name, rows, margins.iter().flat_map(both))
            }
            Task::Regression | Task::Ranking | Task::Anomaly | Task::Binary | Task::Multiclass => {
                values(&spec.name, rows, margins.iter().copied())
            }
        }
    };
    if wanted.is_empty() {
        return signature.outputs.iter().map(make).collect();
    }
    let named = |name: &String| match signature.outputs.iter().find(|spec| spec.name == *name) {
        Some(spec) => make(spec),
        None => Err(InputError::UnknownOutput { name: name.clone(), expected: signature.describe_outputs() }),
    };
    wanted.iter().map(named).collect()
}

fn values(name: &str, rows: usize, values: impl Iterator<Item = f64>) -> Result<Tensor, InputError> {
    let values: Vec<f32> = values.map(|value| value as f32).collect();
    let width = values.len().checked_div(rows).unwrap_or(0);
    Tensor::from_values(name, vec![rows, width], &values)
}

/// The first class's probability, in the precision in which the sources take it.
fn complement(second: f64, precision: Precision) -> f64 {
    precision.round(1.0 - second)
}

/// The class of a row of probabilities: of one, the second when it is above one half; of several the first of the greatest.
fn likeliest(row: &[f64]) -> usize {
    if let [second] = row {
        return usize::from(*second > 0.5);
    }
    let mut best = 0;
    for (class, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = class;
        }
    }
    best
}
