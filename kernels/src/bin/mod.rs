//! Binning: which of a feature's bins each value of a row-major matrix falls into.
//!
//! This is the first step of histogram-based gradient boosting: the method of `LightGBM` (Ke et al., 2017) and of
//! `XGBoost`'s `hist` (Chen and Guestrin, 2016), where features are replaced by small integers once, before any tree grows.
//!
//! The bin of a value is the number of cut points strictly below it. So bin `i` holds the values in
//! `(cut[i - 1], cut[i]]`: a value equal to a cut point is in the bin that ends there, as in `LightGBM`, and "bin ≤ i" means
//! "value ≤ cut[i]", which is the test that a tree then stores. A feature with `c` cut points has the bins `0..=c` for
//! values and bin `c + 1` for missing ones (NaN of either sign and any payload).
//!
//! Values are compared as integers ([`order_key`]), never as floats: GPUs flush subnormal numbers to zero and WGSL
//! compilers may assume that there is no NaN, and either would make a device disagree with the host. So both halves give
//! the same bins to the last bit, on every runtime.
//!
//! Not here: where the cut points should lie. That is the caller's choice (quantiles, as a rule).

pub mod cpu;
#[cfg(feature = "gpu")]
pub mod gpu;
#[cfg(test)]
mod tests;

use crate::{Error, Result};

/// All bits but the sign.
pub(crate) const MAGNITUDE: u32 = 0x7fff_ffff;
/// The key of zero.
pub(crate) const ZERO: u32 = 0x8000_0000;

/// A number whose order as an unsigned integer is the order of the float with these bits; -0 and +0 have the same key.
/// Not meant for NaN.
#[inline]
#[must_use]
pub fn order_key(value: f32) -> u32 {
    let bits = value.to_bits();
    if bits & MAGNITUDE == 0 {
        ZERO
    } else if bits > MAGNITUDE {
        !bits
    } else {
        bits | ZERO
    }
}

/// The cut points of all features, checked and ready to be searched.
#[derive(Clone, Debug, PartialEq)]
pub struct Cuts {
    points: Vec<f32>,
    /// [`order_key`] of each point.
    keys: Vec<u32>,
    /// Feature `f` has the points `offsets[f]..offsets[f + 1]`.
    offsets: Vec<u32>,
}

impl Cuts {
    /// Cut points per feature, each feature's in strictly ascending order. A feature may have none: then it has one bin.
    /// Infinities are allowed.
    ///
    /// # Errors
    /// A point is NaN or not above the one before; or there are more than 2^31 points.
    pub fn new<P: AsRef<[f32]>>(features: &[P]) -> Result<Self> {
        let got = features.iter().map(|points| points.as_ref().len()).sum();
        // So that the sum of two places in the kernel's search fits into 32 bits.
        let limit = i32::MAX as usize;
        if got > limit {
            return Err(Error::TooManyCutPoints { limit, got });
        }
        let mut cuts = Self {
            points: Vec::with_capacity(got),
            keys: Vec::with_capacity(got),
            offsets: Vec::with_capacity(features.len() + 1),
        };
        cuts.offsets.push(0);
        for (feature, points) in features.iter().enumerate() {
            let points = points.as_ref();
            let start = cuts.keys.len();
            for point in points {
                if point.is_nan() {
                    return Err(Error::CutPoints { feature, got: "NaN".to_owned() });
                }
                cuts.keys.push(order_key(*point));
            }
            if let Some(place) = cuts.keys[start..].windows(2).position(|pair| pair[0] >= pair[1]) {
                return Err(Error::CutPoints {
                    feature,
                    got: format!("{} after {}", points[place + 1], points[place]),
                });
            }
            cuts.points.extend_from_slice(points);
            cuts.offsets.push(cuts.points.len() as u32);
        }
        Ok(cuts)
    }

    /// Number of features: the columns of a matrix to be binned.
    #[must_use]
    pub fn features(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The cut points of one feature; empty for a feature that does not exist.
    #[must_use]
    pub fn points(&self, feature: usize) -> &[f32] {
        self.points.get(self.range(feature)).unwrap_or_default()
    }

    /// Number of bins of one feature, the one for missing values included.
    #[must_use]
    pub fn bins(&self, feature: usize) -> usize {
        self.range(feature).len() + 2
    }

    /// The bin for missing values of one feature: its last.
    #[must_use]
    pub fn missing_bin(&self, feature: usize) -> u32 {
        self.range(feature).len() as u32 + 1
    }

    fn range(&self, feature: usize) -> std::ops::Range<usize> {
        match (self.offsets.get(feature), self.offsets.get(feature + 1)) {
            (Some(start), Some(end)) => *start as usize..*end as usize,
            _ => 0..0,
        }
    }

    fn keys(&self, feature: usize) -> &[u32] {
        self.keys.get(self.range(feature)).unwrap_or_default()
    }

    /// That `values` are whole rows.
    fn check_rows(&self, values: usize) -> Result<()> {
        let features = self.features();
        if values.checked_rem(features).unwrap_or(values) == 0 {
            Ok(())
        } else {
            Err(Error::Rows { features, got: values })
        }
    }
}
