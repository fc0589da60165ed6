//! What a row holds, and what splits ask of it.

use serde::{Deserialize, Serialize};

/// A column of the table that a model takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Name, as the source has it or made up in its manner (`f0`, `Column_0`).
    pub name: String,
    /// What it holds.
    pub kind: ColumnKind,
}

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ColumnKind {
    /// Numbers.
    Float,
    /// Whole numbers.
    Integer,
    /// True or false, as 1 and 0.
    Boolean,
    /// Categories. The column's value is the code; what is unknown is missing.
    Category(Categories),
}

/// How categories are named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Categories {
    /// By their codes; the table holds numbers.
    Codes,
    /// By strings: the code is the place in this list.
    Strings(Vec<String>),
    /// By whole numbers: the code is the place in this list.
    Integers(Vec<i64>),
}

/// What splits ask: a column's value after some steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Feature {
    /// The column.
    pub column: u32,
    /// What is done to its value, in order; nothing, mostly.
    pub steps: Vec<Step>,
}

impl Feature {
    /// A column's value as it is.
    #[must_use]
    pub const fn column(column: u32) -> Self {
        Self { column, steps: Vec::new() }
    }
}

/// A step between a column and a feature: what converters put before trees in an ONNX graph.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Step {
    /// 1 where the value is this one (a category's code), else 0; missing values give 0 (one-hot encoding).
    Indicator(f64),
    /// `(x − offset) · scale`, in f32 (ONNX `Scaler`).
    Scale {
        /// Taken away first.
        offset: f32,
        /// Multiplied by then.
        scale: f32,
    },
    /// What is missing becomes this (ONNX `Imputer`).
    Impute(f64),
    /// This value, which stands for a missing one, becomes NaN.
    Missing(f64),
    /// 1 above the threshold, else 0 (ONNX `Binarizer`).
    Binarize(f64),
    /// This value becomes another; NaN stays (ONNX `Imputer` with a value to replace).
    Replace {
        /// Taken away.
        value: f64,
        /// Put in its place.
        by: f64,
    },
    /// The whole part, towards zero (ONNX `Cast` to an integer).
    Truncate,
}

impl Step {
    /// The value behind the step.
    #[must_use]
    pub fn apply(self, x: f64) -> f64 {
        match self {
            Self::Indicator(value) => f64::from(u8::from(x == value)),
            Self::Scale { offset, scale } => f64::from((x as f32 - offset) * scale),
            Self::Impute(value) if x.is_nan() => value,
            Self::Missing(value) if x == value => f64::NAN,
            Self::Replace { value, by } if x == value => by,
            Self::Impute(_) | Self::Missing(_) | Self::Replace { value: _, by: _ } => x,
            Self::Truncate => x.trunc(),
            Self::Binarize(threshold) => f64::from(u8::from(x > threshold)),
        }
    }
}
