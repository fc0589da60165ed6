//! `Classify` and `Regress`: what they ask of a model, and how its answer is theirs.

use std::time::Duration;

use contract::{Axis, DataType, Element, Signature, Task, TaskSpec, Tensor, TensorSpec};
use engine::{
    Engine,
    serve::{CacheUse, PredictRequest, Prediction},
};

use super::ModelName;
use crate::error::ApiError;

/// The answer to `Classify`.
pub(crate) struct Classified {
    pub(crate) prediction: Prediction,
    /// Classes of the model.
    pub(crate) labels: Vec<String>,
    /// One score a class, one row an example.
    pub(crate) scores: Vec<f32>,
}

/// The answer to `Regress`.
pub(crate) struct Regressed {
    pub(crate) prediction: Prediction,
    /// One number an example.
    pub(crate) values: Vec<f32>,
}

/// Scores the classes of examples, which `read` makes tensors of.
///
/// # Errors
/// As [`Engine::predict`], what `read` answers, and [`ApiError::BadRequest`] for a model without classes.
pub(crate) async fn classify(
    engine: &Engine,
    name: &ModelName,
    timeout: Option<Duration>,
    cache: CacheUse,
    read: impl Fn(&Signature) -> Result<Vec<Tensor>, ApiError>,
) -> Result<Classified, ApiError> {
    let ask = |signature: &Signature| {
        let TaskSpec { task: _, classes, score, loss: _ } = classes(&name.model, signature)?;
        let inputs = read(signature)?;
        Ok((
            PredictRequest { outputs: vec![score.clone()], timeout, cache, ..PredictRequest::new("", inputs) },
            classes.clone(),
        ))
    };
    let (prediction, labels) = name.answer(engine, ask).await?;
    let scores = scores(&prediction.outputs);
    Ok(Classified { prediction, labels, scores })
}

/// Predicts a number for each example, which `read` makes tensors of.
///
/// # Errors
/// As [`Engine::predict`], what `read` answers, and [`ApiError::BadRequest`] for a model that predicts something else.
pub(crate) async fn regress(
    engine: &Engine,
    name: &ModelName,
    timeout: Option<Duration>,
    cache: CacheUse,
    read: impl Fn(&Signature) -> Result<Vec<Tensor>, ApiError>,
) -> Result<Regressed, ApiError> {
    let ask = |signature: &Signature| {
        let outputs = vec![number(&name.model, signature)?.to_owned()];
        let inputs = read(signature)?;
        Ok((PredictRequest { outputs, timeout, cache, ..PredictRequest::new("", inputs) }, ()))
    };
    let (prediction, ()) = name.answer(engine, ask).await?;
    let values = scores(&prediction.outputs);
    Ok(Regressed { prediction, values })
}

/// The classes of a model, and the output that scores them: FP32 `[-1, classes]`.
///
/// # Errors
/// [`ApiError::BadRequest`], saying why the model cannot classify.
fn classes<'a>(model: &str, signature: &'a Signature) -> Result<&'a TaskSpec, ApiError> {
    let cannot = |reason: String| Err(ApiError::BadRequest(format!("model '{model}' cannot classify: {reason}")));
    match &signature.task {
        Some(spec) => match spec.task {
            Task::Binary | Task::Multiclass => Ok(spec),
            Task::Regression => cannot("it predicts a number; use regress".to_owned()),
        },
        None => cannot(format!("it has no classes, only {}", signature.describe_outputs())),
    }
}

/// The output that holds one number a row.
///
/// # Errors
/// [`ApiError::BadRequest`], saying why the model cannot regress.
fn number<'a>(model: &str, signature: &'a Signature) -> Result<&'a str, ApiError> {
    let cannot = |reason: String| Err(ApiError::BadRequest(format!("model '{model}' cannot regress: {reason}")));
    match &signature.task {
        Some(spec) => match spec.task {
            Task::Regression => match signature.outputs.iter().find(|output| output.name == spec.score) {
                Some(output) if !is_number(output) => {
                    cannot(format!("it predicts several numbers a row, {output}; use predict"))
                }
                _ => Ok(&spec.score),
            },
            Task::Binary | Task::Multiclass => cannot("it predicts classes; use classify".to_owned()),
        },
        None => match signature.outputs.as_slice() {
            [output] if is_number(output) => Ok(&output.name),
            _ => cannot(format!("expected one output of a number a row, got {}", signature.describe_outputs())),
        },
    }
}

fn is_number(output: &TensorSpec) -> bool {
    !matches!(output.datatype, DataType::Bytes | DataType::Bool)
        && matches!(output.shape.as_slice(), [Axis::Batch] | [Axis::Batch, Axis::Fixed(1)])
}

/// The elements of the answer's only output as FP32.
fn scores(outputs: &[Tensor]) -> Vec<f32> {
    let Some(output) = outputs.first() else { return Vec::new() };
    let halves = || output.bytes().unwrap_or_default().as_chunks::<2>().0.iter().map(|bits| u16::from_le_bytes(*bits));
    match output.datatype() {
        DataType::Uint8 => narrowed::<u8>(output, f32::from),
        DataType::Uint16 => narrowed::<u16>(output, f32::from),
        DataType::Uint32 => narrowed::<u32>(output, |value| value as f32),
        DataType::Uint64 => narrowed::<u64>(output, |value| value as f32),
        DataType::Int8 => narrowed::<i8>(output, f32::from),
        DataType::Int16 => narrowed::<i16>(output, f32::from),
        DataType::Int32 => narrowed::<i32>(output, |value| value as f32),
        DataType::Int64 => narrowed::<i64>(output, |value| value as f32),
        DataType::Fp16 => halves().map(|bits| half::f16::from_bits(bits).to_f32()).collect(),
        DataType::Bf16 => halves().map(|bits| half::bf16::from_bits(bits).to_f32()).collect(),
        DataType::Fp32 => narrowed::<f32>(output, |value| value),
        DataType::Fp64 => narrowed::<f64>(output, |value| value as f32),
        DataType::Bool | DataType::Bytes => Vec::new(),
    }
}

fn narrowed<T: Element>(output: &Tensor, narrow: impl Fn(T) -> f32) -> Vec<f32> {
    output.values::<T>().unwrap_or_default().iter().map(|value| narrow(*value)).collect()
}
