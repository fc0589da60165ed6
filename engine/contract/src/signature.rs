//! What a model takes and gives.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ColumnSpec, DataType, LossKind};

/// One axis of a tensor's shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// Rows: as many as the request holds.
    Batch,
    /// Always this size.
    Fixed(usize),
    /// Any size up to the largest bucket; padded on the device to the next bucket.
    Dynamic {
        /// Ascending sizes.
        buckets: Vec<usize>,
    },
}

impl Axis {
    /// The size as the Open Inference Protocol writes it: -1 where it varies.
    #[must_use]
    pub fn oip(&self) -> i64 {
        match self {
            Self::Batch | Self::Dynamic { buckets: _ } => -1,
            Self::Fixed(size) => i64::try_from(*size).unwrap_or(i64::MAX),
        }
    }
}

/// Name, element type and shape of an input or output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorSpec {
    /// Name in requests and answers.
    pub name: String,
    /// Element type.
    pub datatype: DataType,
    /// Axes, the batch first.
    pub shape: Vec<Axis>,
}

impl TensorSpec {
    /// A tensor of `width` elements a row: shape `[-1, width]`.
    #[must_use]
    pub fn rows(name: &str, datatype: DataType, width: usize) -> Self {
        Self { name: name.to_owned(), datatype, shape: vec![Axis::Batch, Axis::Fixed(width)] }
    }

    /// The shape as the Open Inference Protocol writes it, such as `[-1, 30]`.
    #[must_use]
    pub fn oip_shape(&self) -> Vec<i64> {
        self.shape.iter().map(Axis::oip).collect()
    }
}

impl fmt::Display for TensorSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' {} {:?}", self.name, self.datatype, self.oip_shape())
    }
}

/// What a supervised model predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// One number.
    Regression,
    /// One of two classes.
    Binary,
    /// One of three or more classes.
    Multiclass,
}

impl Task {
    /// The name in settings, metadata and answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Regression => "regression",
            Self::Binary => "binary",
            Self::Multiclass => "multiclass",
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How to read a model's answer as a prediction of its target, so that feedback can be scored against it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// What is predicted.
    pub task: Task,
    /// Class labels in the order of the probabilities; empty for regression.
    pub classes: Vec<String>,
    /// The output that holds the score: FP32 `[-1, 1]`, the predicted number (regression), or FP32 `[-1, classes]`, the
    /// class probabilities (binary and multiclass).
    pub score: String,
    /// The loss the model was trained with.
    pub loss: LossKind,
}

/// What a model takes and gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signature {
    /// Inputs, in order. A table model lists one input `features` FP32 `[-1, n]` when all its columns are numeric, else one
    /// input per column of shape `[-1, 1]`; requests in either form are accepted.
    pub inputs: Vec<TensorSpec>,
    /// Outputs, in order.
    pub outputs: Vec<TensorSpec>,
    /// Columns of a table model, in order; empty for a model that takes tensors only.
    pub columns: Vec<ColumnSpec>,
    /// How to score the answer against a label; absent for a model that was imported without a task.
    pub task: Option<TaskSpec>,
}

impl Signature {
    /// The inputs in words, for error messages.
    #[must_use]
    pub fn describe_inputs(&self) -> String {
        describe(&self.inputs)
    }

    /// The outputs in words, for error messages.
    #[must_use]
    pub fn describe_outputs(&self) -> String {
        describe(&self.outputs)
    }
}

fn describe(specs: &[TensorSpec]) -> String {
    specs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
