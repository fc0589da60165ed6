//! The one form of every tree model.
//!
//! It says what a model computes, in the words of its source and without loss: the precision in which it compares and
//! sums, what it does with missing values and categories, how margins become answers. How fast it is computed is the
//! affair of others.

mod column;
mod link;
mod saved;
mod tree;

use std::collections::BTreeMap;

pub use column::{Categories, Column, ColumnKind, Feature, Step};
pub use link::Link;
use serde::{Deserialize, Serialize};
pub use tree::{CategorySet, Leaves, LinearLeaf, Linked, Missing, Node, Split, Test, Tree, ZERO, pre_order};

use crate::{Error, Result};

/// Trees with all that turns a row into an answer.
///
/// The way of a row: its columns become features ([`Feature::steps`]); each tree leads it to a leaf; the leaves' values are
/// added up to [`Output::width`] margins; [`Output::link`] turns these into the answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ensemble {
    /// What a row holds, in order.
    pub columns: Vec<Column>,
    /// What splits ask, in order; mostly the columns as they are.
    pub features: Vec<Feature>,
    /// How numbers are compared and added.
    pub rules: Rules,
    /// The trees, in the order in which they are added.
    pub trees: Vec<Tree>,
    /// From the trees' leaves to the answer.
    pub output: Output,
    /// Where it comes from.
    pub origin: Origin,
}

/// How numbers are compared and added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rules {
    /// Features are rounded to this precision before they meet a threshold. With [`Precision::F32`] every threshold is an
    /// f32, held as f64.
    pub compare: Precision,
    /// Leaf values are added, and margins linked, in this precision. With [`Precision::F32`] every leaf value is an f32, and so is
    /// what the sums begin with.
    pub sum: Precision,
    /// How a number becomes a category code.
    pub category: CategoryRule,
}

/// A floating-point type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Precision {
    /// 32 bits.
    F32,
    /// 64 bits.
    F64,
}

/// How a number becomes a category code. What becomes none is in no set, and is not missing either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CategoryRule {
    /// Its whole part; none below zero after that, so that -0.5 has code 0 (`LightGBM`).
    Truncate,
    /// Its whole part; none below zero before that (`XGBoost`, treelite).
    TruncateNonNegative,
    /// Itself; none when it has a fraction (ONNX).
    Exact,
}

impl CategoryRule {
    /// Codes are below this: beyond, an f32 cannot tell neighbours apart, and no source has so many categories.
    pub const CODES: usize = 1 << 24;

    /// The code of `x`; none for one that no set can hold. NaN has none: whether it is missing is the split's to say.
    #[must_use]
    pub fn code(self, x: f64) -> Option<u32> {
        let whole = x.trunc();
        let none = match self {
            Self::Truncate => whole < 0.0,
            Self::TruncateNonNegative => x < 0.0,
            Self::Exact => x < 0.0 || whole != x,
        };
        (!none && whole < Self::CODES as f64).then_some(whole as u32)
    }
}

/// From the trees' leaves to the answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// Margins a row.
    pub width: usize,
    /// How the trees' values come together.
    pub aggregate: Aggregate,
    /// What the sums begin with, by margin.
    pub start: Vec<f64>,
    /// The aggregate is multiplied by this.
    pub scale: f64,
    /// Added behind the scale, by margin.
    pub bias: Vec<f64>,
    /// From margins to the answer.
    pub link: Link,
    /// What is predicted.
    pub task: Task,
    /// Class labels in order, when the source has them; two for a binary model of one margin. Empty otherwise.
    pub classes: Vec<String>,
}

impl Output {
    /// A sum of the trees alone: starts at zero, no scale, no bias, no link.
    #[must_use]
    pub fn sum(width: usize, task: Task) -> Self {
        Self {
            width,
            aggregate: Aggregate::Sum,
            start: vec![0.0; width],
            scale: 1.0,
            bias: vec![0.0; width],
            link: Link::Identity,
            task,
            classes: Vec::new(),
        }
    }
}

/// How the trees' values come together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Aggregate {
    /// Added, in the order of the trees.
    Sum,
    /// Added, what the sums began with included, then divided by these, by margin: finite numbers other than 0.
    Mean(Vec<f64>),
    /// The least; there is at least one tree.
    Min,
    /// The greatest; there is at least one tree.
    Max,
}

/// What a tree model predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Task {
    /// A number, or several.
    Regression,
    /// One of two classes. One margin gives the probability of the second.
    Binary,
    /// One of several classes.
    Multiclass,
    /// A score to order rows by.
    Ranking,
    /// How unusual a row is.
    Anomaly,
}

/// Where a model comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Format, such as `xgboost-json`; see [`crate::import::Format::name`].
    pub format: String,
    /// Version of the tool or of the format, as the file says it.
    pub version: String,
    /// The source's name of its objective, such as `reg:squarederror`; empty when the file has none.
    pub objective: String,
    /// Training parameters that the file holds, by name.
    pub parameters: BTreeMap<String, String>,
}

impl Precision {
    /// Whether a number is one of this precision.
    fn holds(self, x: f64) -> bool {
        x.is_nan() || self.round(x) == x
    }
}

impl Output {
    fn check(&self, rules: Rules, trees: usize) -> Result<()> {
        let Self { width, aggregate, start, scale: _, bias, link: _, task: _, classes } = self;
        let width = *width;
        if width == 0 {
            return Err(Error::content("at least one output", 0));
        }
        let mut counts = vec![("starts", start.len()), ("biases", bias.len())];
        match aggregate {
            Aggregate::Mean(divisors) => {
                counts.push(("divisors", divisors.len()));
                if let Some(divisor) = divisors.iter().find(|divisor| !divisor.is_finite() || **divisor == 0.0) {
                    return Err(Error::content("a finite number other than 0 as divisor of a mean", divisor));
                }
            }
            Aggregate::Min | Aggregate::Max if trees == 0 => {
                return Err(Error::content("at least one tree to take the least or the greatest of", 0));
            }
            Aggregate::Sum | Aggregate::Min | Aggregate::Max => {}
        }
        if let Some((what, got)) = counts.iter().find(|(_, got)| *got != width) {
            return Err(Error::content(format!("{width} {what}"), got));
        }
        if let Some(start) = start.iter().find(|start| !rules.sum.holds(**start)) {
            return Err(Error::content("an f32 to begin sums of f32 with", start));
        }
        // One margin is the probability of the second of two.
        let fits = classes.is_empty() || classes.len() == width || (width == 1 && classes.len() == 2);
        if fits { Ok(()) } else { Err(Error::content(format!("class labels for {width} outputs"), classes.len())) }
    }
}

impl Ensemble {
    /// Checks what the docs of the fields promise, so that no walk over it can fail.
    ///
    /// # Errors
    /// [`Error::Content`], naming the tree, and the split by its place in [`Tree::nodes`].
    pub fn check(&self) -> Result<()> {
        let Self { columns, features, rules, trees, output, origin: _ } = self;
        if let Some(place) = features.iter().position(|feature| feature.column as usize >= columns.len()) {
            let expected = format!("a column below {} for feature {place}", columns.len());
            return Err(Error::content(expected, features[place].column));
        }
        output.check(*rules, trees.len())?;
        for (index, tree) in trees.iter().enumerate() {
            tree.check(features.len(), output.width, *rules).map_err(|error| error.at(format!("tree {index}")))?;
        }
        Ok(())
    }
}
