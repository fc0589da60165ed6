//! A single cell of a table, a feature row or a label.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A cell: a feature of an entity, or the label of a feedback.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// Missing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number; exact beyond 2^53.
    Int(i64),
    /// A number.
    Float(f64),
    /// Text: a category, or a date in ISO 8601.
    Text(String),
}

impl Value {
    /// The value as a number: booleans are 0 and 1; text and missing are none.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Bool(value) => Some(f64::from(u8::from(*value))),
            #[expect(clippy::cast_precision_loss, reason = "a number is asked for")]
            Self::Int(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            Self::Null | Self::Text(_) => None,
        }
    }
}

impl fmt::Display for Value {
    /// Text without quotes, as a class label is written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => write!(f, "null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value}"),
            Self::Text(value) => write!(f, "{value}"),
        }
    }
}
