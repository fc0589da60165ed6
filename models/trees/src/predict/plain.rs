//! The laid out forest as plain data, for those who walk it elsewhere: on a GPU, say.
//!
//! It says what the ways of this crate go by: how a row of f32 becomes bytes ([`Plain::codes`]), what the trees then ask
//! ([`PlainTree::splits`]: left when `byte[code] ≤ cut`) and what their leaves add. [`Predictor::code`] makes the same bytes here,
//! of f64 as well; [`Predictor::finish`] makes margins of the sums.

use std::sync::Arc;

use super::{
    Laid, Predictor, Value,
    forest::{Forest, Sum},
};
pub use super::{
    codes::Question,
    forest::{Child, LaidSplit as PlainSplit},
};
use crate::{
    Error, Result,
    ensemble::{CategoryRule, CategorySet, Missing},
};

/// A forest whose splits are questions to bytes.
#[derive(Clone, Debug)]
pub struct Plain<'a> {
    /// Features a row.
    pub features: usize,
    /// Margins a row.
    pub width: usize,
    /// How a number becomes a category code.
    pub category: CategoryRule,
    /// What each byte of a row says of it.
    pub codes: Vec<PlainCode>,
    /// The trees, in the order in which they are added.
    pub trees: Vec<PlainTree<'a>>,
}

/// One byte of a coded row.
#[derive(Clone, Debug, PartialEq)]
pub struct PlainCode {
    /// The feature that it codes.
    pub feature: usize,
    /// What NaN does, and whether zero counts as missing.
    pub missing: Missing,
    /// What it says.
    pub test: PlainTest,
}

/// A split that asks whether an f32 lies above a threshold, and no more.
pub(super) struct Above {
    pub(super) feature: usize,
    /// Right above it.
    pub(super) cut: f32,
    /// Whether NaN goes right.
    pub(super) missing_right: bool,
}

impl PlainCode {
    /// What the split asks that compares this byte with `cut`; none when it is something else (categories, zeros that are missing).
    pub(super) fn above(&self, cut: u8) -> Option<Above> {
        let PlainTest::Cuts(cuts) = &self.test else { return None };
        let cut = *cuts.get(usize::from(cut))?;
        let missing_right = match self.missing {
            Missing::Left => false,
            Missing::Right => true,
            Missing::AsZero => 0.0 > cut,
            Missing::ZeroLeft | Missing::ZeroRight => return None,
        };
        Some(Above { feature: self.feature, cut, missing_right })
    }
}

/// What a byte says of an f32 x.
#[derive(Clone, Debug, PartialEq)]
pub enum PlainTest {
    /// How many of these, up to 255 and ascending, lie below x. Each is a threshold of the model rounded down to an f32, so
    /// that every f32 lies on the same side of both.
    Cuts(Vec<f32>),
    /// 0 when x is this number, else 1.
    Equal(f32),
    /// 0 when x's category is in this set, else 1.
    In(Arc<CategorySet>),
}

/// A tree of a [`Plain`] forest.
#[derive(Clone, Debug)]
pub struct PlainTree<'a> {
    /// Its splits in pre-order; none in a tree of one leaf.
    pub splits: &'a [PlainSplit],
    /// What its leaves add, by leaf: one number each, or one for each margin.
    pub values: Vec<f64>,
    /// The margin that they are added to; none for a number for each.
    pub output: Option<usize>,
}

impl Predictor {
    /// The forest as plain data; none when bytes and sums cannot say it (linear leaves, the least or the greatest of the trees,
    /// too many codes).
    #[must_use]
    pub fn plain(&self) -> Option<Plain<'_>> {
        match &self.engine {
            Laid::F32(engine) => Some(plain(engine.forest())),
            Laid::F64(engine) => Some(plain(engine.forest())),
            Laid::Plain => None,
        }
    }

    /// Codes whole rows of features into `bytes`, `stride` a row; what lies behind a row's codes is not touched.
    ///
    /// # Errors
    /// [`Error::Content`] when `rows` and `bytes` are not as many whole rows, `stride` is less than the codes, or there is no
    /// [`Predictor::plain`] forest.
    pub fn code<T: Value>(&self, rows: &[T], stride: usize, bytes: &mut [u8]) -> Result<()> {
        let features = self.ensemble.features.len();
        let codes = match &self.engine {
            Laid::F32(engine) => engine.forest().codes.count(),
            Laid::F64(engine) => engine.forest().codes.count(),
            Laid::Plain => return Err(Error::content("a forest of splits and sums", "another ensemble")),
        };
        let count = bytes.len().checked_div(stride).unwrap_or(0);
        if stride < codes || count * stride != bytes.len() || count * features != rows.len() {
            let expected = format!("rows of {features} features and {codes} bytes or more each");
            let got = format!("{} features and {} bytes, {stride} a row", rows.len(), bytes.len());
            return Err(Error::content(expected, got));
        }
        if features == 0 {
            return Ok(());
        }
        for (row, bytes) in rows.chunks_exact(features).zip(bytes.chunks_exact_mut(stride)) {
            match &self.engine {
                Laid::F32(engine) => engine.code(row, 1, bytes),
                Laid::F64(engine) => engine.code(row, 1, bytes),
                Laid::Plain => {}
            }
        }
        Ok(())
    }

    /// Turns what the trees add to rows, row-major, into margins in place: with what sums begin with, divisors, scale and bias, in
    /// the source's precision.
    ///
    /// # Errors
    /// [`Error::Content`] when `sums` are not whole rows, or there is no [`Predictor::plain`] forest.
    pub fn finish(&self, sums: &mut [f64]) -> Result<()> {
        let width = self.ensemble.output.width;
        if !sums.len().is_multiple_of(width) {
            return Err(Error::content(format!("rows of {width} sums"), format!("{} sums", sums.len())));
        }
        match &self.engine {
            Laid::F32(engine) => finish(engine.forest(), sums),
            Laid::F64(engine) => finish(engine.forest(), sums),
            Laid::Plain => return Err(Error::content("a forest of splits and sums", "another ensemble")),
        }
        Ok(())
    }
}

fn plain<S: Sum>(forest: &Forest<S>) -> Plain<'_> {
    let tree = |tree: &'_ super::forest::Laid| {
        let each = if tree.output.is_some() { 1 } else { forest.width };
        let values = &forest.values[tree.values..][..tree.leaves * each];
        (values.iter().map(|value| value.wide()).collect(), tree.output)
    };
    let trees = forest.trees.iter().map(|laid| {
        let (values, output) = tree(laid);
        PlainTree { splits: &laid.splits, values, output }
    });
    Plain {
        features: forest.features,
        width: forest.width,
        category: forest.rules.category,
        codes: forest.codes.plain(),
        trees: trees.collect(),
    }
}

fn finish<S: Sum>(forest: &Forest<S>, sums: &mut [f64]) {
    for (place, sum) in sums.iter_mut().enumerate() {
        let margin = place % forest.width;
        *sum = forest.finish(margin, S::of(forest.start()[margin].wide() + *sum));
    }
}
