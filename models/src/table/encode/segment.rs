//! The parts that an encoded row is made of.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// A part of an encoded row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Segment {
    /// One number at this place, which can be embedded.
    Number(usize),
    /// The values of one column that go together, such as a one-hot category.
    Other(Range<usize>),
}
