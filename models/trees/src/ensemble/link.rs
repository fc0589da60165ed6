//! From margins to answers, by the names that the sources give to these functions.

use serde::{Deserialize, Serialize};

use super::Precision;

/// From a row's margins to its answer, which is as wide.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Link {
    /// The margins.
    Identity,
    /// `1 / (1 + exp(-alpha · x))` of each margin.
    Logistic {
        /// `LightGBM`'s `sigmoid`, treelite's `sigmoid_alpha`; 1 elsewhere.
        alpha: f64,
    },
    /// `exp(x) / Σ exp(x)` over the margins.
    Softmax,
    /// ONNX's `SOFTMAX_ZERO`: softmax over the margins that are not 0; those stay 0.
    SoftmaxZero,
    /// ONNX's `PROBIT`: `√2 · erf⁻¹(2x − 1)`.
    Probit,
    /// `exp(x)` (Poisson, gamma, Tweedie).
    Exp,
    /// `ln(1 + exp(x))` (`LightGBM`'s `cross_entropy_lambda`, treelite's `logarithm_one_plus_exp`).
    Softplus,
    /// `sign(x) · x²` (`LightGBM`'s `reg_sqrt`, treelite's `signed_square`).
    SignedSquare,
    /// 1 above zero, else 0 (`XGBoost`'s `binary:hinge`).
    Hinge,
    /// `2^(-x / ratio)`: an isolation forest's score (treelite's `exponential_standard_ratio`).
    Isolation {
        /// treelite's `ratio_c`.
        ratio: f64,
    },
}

impl Link {
    /// Turns one row's margins into its answer, in place. With [`Precision::F32`] each operation is rounded to f32, as
    /// the sources that sum in f32 do.
    pub fn apply(self, margins: &mut [f64], precision: Precision) {
        match precision {
            Precision::F64 => self.apply_f64(margins),
            Precision::F32 => self.apply_f32(margins),
        }
    }

    fn apply_f64(self, margins: &mut [f64]) {
        let each = |margins: &mut [f64], link: &dyn Fn(f64) -> f64| {
            for x in margins {
                *x = link(*x);
            }
        };
        match self {
            Self::Identity => {}
            Self::Logistic { alpha } => each(margins, &|x| 1.0 / (1.0 + (-alpha * x).exp())),
            Self::Softmax => softmax_f64(margins, |_| true),
            Self::SoftmaxZero => softmax_f64(margins, |x| x.abs() > SOFTMAX_ZERO),
            Self::Probit => each(margins, &probit),
            Self::Exp => each(margins, &f64::exp),
            Self::Softplus => each(margins, &|x| x.exp().ln_1p()),
            Self::SignedSquare => each(margins, &|x| x.signum() * x * x),
            Self::Hinge => each(margins, &|x| f64::from(u8::from(x > 0.0))),
            Self::Isolation { ratio } => each(margins, &|x| (-x / ratio).exp2()),
        }
    }

    fn apply_f32(self, margins: &mut [f64]) {
        let each = |margins: &mut [f64], link: &dyn Fn(f32) -> f32| {
            for x in margins {
                *x = f64::from(link(*x as f32));
            }
        };
        match self {
            Self::Identity => {}
            Self::Logistic { alpha } => each(margins, &|x| 1.0 / (1.0 + (-(alpha as f32) * x).exp())),
            Self::Softmax => softmax_f32(margins, |_| true),
            Self::SoftmaxZero => softmax_f32(margins, |x| f64::from(x).abs() > SOFTMAX_ZERO),
            Self::Probit => each(margins, &probit_f32),
            Self::Exp => each(margins, &f32::exp),
            Self::Softplus => each(margins, &|x| x.exp().ln_1p()),
            Self::SignedSquare => each(margins, &|x| x.signum() * x * x),
            Self::Hinge => each(margins, &|x| f32::from(u8::from(x > 0.0))),
            Self::Isolation { ratio } => each(margins, &|x| (-x / ratio as f32).exp2()),
        }
    }
}

/// Margins nearer to zero than this count as zero for `SOFTMAX_ZERO`, as in ONNX Runtime.
const SOFTMAX_ZERO: f64 = 1e-7;

fn softmax_f64(margins: &mut [f64], counts: impl Fn(f64) -> bool) {
    let largest = margins.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut total = 0.0;
    for x in margins.iter_mut() {
        *x = if counts(*x) { (*x - largest).exp() } else { 0.0 };
        total += *x;
    }
    for x in margins {
        *x /= total;
    }
}

fn softmax_f32(margins: &mut [f64], counts: impl Fn(f32) -> bool) {
    let largest = margins.iter().map(|x| *x as f32).fold(f32::NEG_INFINITY, f32::max);
    // XGBoost and treelite add in f64 here, and divide in f32.
    let mut total = 0.0;
    for x in margins.iter_mut() {
        let exp = if counts(*x as f32) { (*x as f32 - largest).exp() } else { 0.0 };
        *x = f64::from(exp);
        total += *x;
    }
    for x in margins {
        *x = f64::from(*x as f32 / total as f32);
    }
}

/// `√2 · erf⁻¹(2x − 1)` by Winitzki's approximation, which is what ONNX Runtime computes.
fn probit(x: f64) -> f64 {
    let y = 2.0 * x - 1.0;
    let log = ((1.0 - y) * (1.0 + y)).ln();
    let v = 2.0 / (std::f64::consts::PI * 0.147) + 0.5 * log;
    let root = (-v + (v * v - log / 0.147).sqrt()).sqrt();
    std::f64::consts::SQRT_2 * y.signum() * root
}

/// The same in f32 throughout, where the differences under the roots cost digits that ONNX Runtime's answers lack too.
fn probit_f32(x: f32) -> f32 {
    let y = 2.0 * x - 1.0;
    let log = ((1.0 - y) * (1.0 + y)).ln();
    let v = 2.0 / (std::f32::consts::PI * 0.147) + 0.5 * log;
    let root = (-v + (v * v - 1.0 / 0.147 * log).sqrt()).sqrt();
    std::f32::consts::SQRT_2 * y.signum() * root
}
