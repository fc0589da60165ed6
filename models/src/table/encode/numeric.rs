//! Numbers: standardised, or mapped by their quantiles to a normal distribution.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{NumericEncoding, normal};

/// Scaled values are kept within this, so that an absurd input cannot overflow a net.
const LARGEST: f64 = 1e6;
/// Standard deviation of the noise, in the column's own units: that of the published experiments.
const NOISE: f64 = 1e-5;
/// A column keeps double precision when rounding to f32 moves a value by more than this part of a standard deviation.
const COARSE: f64 = 1e-4;

/// Encoder of a numeric column: one number, 0 for a missing value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Numeric {
    /// Whether values are read as f64, because f32 is too coarse for the column (such as seconds since 1970 over a day).
    pub(super) double: bool,
    scale: Scale,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Scale {
    /// All training values were equal: whatever comes is 0, because nothing was learned about it.
    Constant,
    /// `(x − mean) / std`.
    Standardise { mean: f64, std: f64 },
    /// The standard normal quantile at the part of the training values below x, after scikit-learn's `QuantileTransformer`:
    /// ascending quantiles at evenly spaced parts from 0 to 1.
    QuantileNormal { quantiles: Vec<f64> },
}

impl Numeric {
    /// Fits to the finite values among `values`.
    pub(super) fn fit(values: &[f64], encoding: NumericEncoding) -> Self {
        let mut values: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        let double = moments(&values)
            .is_some_and(|(_, std)| values.iter().any(|value| (value - narrow(*value)).abs() > COARSE * std));
        if !double {
            for value in &mut values {
                *value = narrow(*value);
            }
        }
        let scale = match moments(&values) {
            None => Scale::Constant,
            Some((mean, std)) => match encoding {
                NumericEncoding::Standardise => Scale::Standardise { mean, std },
                NumericEncoding::QuantileNormal => Scale::QuantileNormal { quantiles: quantiles(values) },
                NumericEncoding::NoisyQuantileNormal => {
                    Scale::QuantileNormal { quantiles: quantiles(with_noise(values)) }
                }
            },
        };
        Self { double, scale }
    }

    #[inline]
    pub(super) fn encode(&self, value: f64) -> f32 {
        let value = if self.double { value } else { narrow(value) };
        match &self.scale {
            Scale::Constant => 0.0,
            Scale::Standardise { mean, std } => ((value - mean) / std).clamp(-LARGEST, LARGEST) as f32,
            Scale::QuantileNormal { quantiles } => quantile_normal(quantiles, value) as f32,
        }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        match &self.scale {
            Scale::Constant => Ok(()),
            Scale::Standardise { mean, std } if mean.is_finite() && std.is_finite() && *std > 0.0 => Ok(()),
            Scale::Standardise { mean, std } => {
                Err(format!("expected a finite mean and a positive standard deviation, got {mean} and {std}"))
            }
            Scale::QuantileNormal { quantiles } => {
                let ascending = quantiles.windows(2).all(|pair| pair[0] <= pair[1]);
                if quantiles.len() >= 2 && ascending && quantiles.iter().all(|value| value.is_finite()) {
                    Ok(())
                } else {
                    Err("expected at least two ascending quantiles, got others".to_owned())
                }
            }
        }
    }
}

/// Values moved by normal noise of [`NOISE`], the same for the same values.
fn with_noise(mut values: Vec<f64>) -> Vec<f64> {
    let mut random = ChaCha8Rng::seed_from_u64(0);
    for value in &mut values {
        // Strictly between 0 and 1, so that the quantile is finite.
        let part = random.random_range(f64::EPSILON..1.0);
        *value += NOISE * normal::clipped_quantile(part);
    }
    values
}

/// The value as f32 holds it.
#[inline]
fn narrow(value: f64) -> f64 {
    f64::from(value as f32)
}

/// Mean and standard deviation of finite values; none when there are no two different ones. They are scaled by the largest
/// magnitude, so that squares do not overflow.
pub(crate) fn moments(values: &[f64]) -> Option<(f64, f64)> {
    let first = *values.first()?;
    if values.iter().all(|value| *value == first) {
        return None;
    }
    let largest = values.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    let count = values.len() as f64;
    let mean = values.iter().map(|value| value / largest).sum::<f64>() / count;
    let variance = values.iter().map(|value| (value / largest - mean).powi(2)).sum::<f64>() / count;
    let (mean, std) = (mean * largest, variance.sqrt() * largest);
    // A standard deviation below the smallest normal number would make quotients infinite.
    (std >= f64::MIN_POSITIVE && std.is_finite()).then_some((mean, std))
}

/// Quantiles at evenly spaced parts: one for 30 values, at least 10, at most 1000, and no more than values.
fn quantiles(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let count = (values.len() / 30).clamp(10, 1000).min(values.len());
    let last = (values.len() - 1) as f64;
    let mut quantiles: Vec<f64> = Vec::with_capacity(count);
    for index in 0..count {
        let place = part(index, count) * last;
        let below = place.floor();
        let (low, high) = (value_at(&values, below), value_at(&values, below + 1.0));
        // As numpy does it: from the nearer end, so that both ends are hit.
        let along = place - below;
        let value = if along < 0.5 { low + (high - low) * along } else { high - (high - low) * (1.0 - along) };
        // The span of two values may overflow; and rounding may not break the order.
        let value = if value.is_finite() { value } else { low };
        quantiles.push(quantiles.last().map_or(value, |before| value.max(*before)));
    }
    quantiles
}

/// The value at a whole place, the last one beyond the end.
#[expect(clippy::cast_sign_loss, reason = "places are not negative")]
fn value_at(values: &[f64], place: f64) -> f64 {
    values[(place as usize).min(values.len() - 1)]
}

/// The part that quantile `index` of `count` stands at.
#[inline]
fn part(index: usize, count: usize) -> f64 {
    if index + 1 == count { 1.0 } else { index as f64 * (1.0 / (count - 1) as f64) }
}

/// The standard normal quantile of where `value` lies among `quantiles`. A value that several quantiles share lies in
/// their middle: interpolation from the left and from the right is averaged, which differs only there.
fn quantile_normal(quantiles: &[f64], value: f64) -> f64 {
    let count = quantiles.len();
    let (first, last) = (quantiles[0], quantiles[count - 1]);
    let place = if value <= first {
        0.0
    } else if value >= last {
        1.0
    } else {
        // Both are inside, because the value is strictly between the ends.
        let from_left = quantiles.partition_point(|quantile| *quantile <= value) - 1;
        let from_right = quantiles.partition_point(|quantile| *quantile < value);
        if quantiles[from_right] == value {
            0.5 * (part(from_left, count) + part(from_right, count))
        } else {
            let rise = part(from_right, count) - part(from_left, count);
            part(from_left, count) + rise * along(quantiles[from_left], quantiles[from_right], value)
        }
    };
    normal::clipped_quantile(place)
}

/// How far `value` lies on the way from `low` to `high`, from 0 to 1. The way is halved where its length would overflow.
#[inline]
fn along(low: f64, high: f64, value: f64) -> f64 {
    let length = high - low;
    if length.is_finite() { (value - low) / length } else { (value / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0) }
}
