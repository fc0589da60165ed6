//! The losses, each once, in scalar form: what training minimises, and what feedback is scored with.
//!
//! Values and gradients follow Vowpal Wabbit (`loss_functions.cc`), but for Huber's, which it has not. Predictions are scores
//! before the link: a number for squared, classic, quantile and Huber; the logarithm of a rate for Poisson; a margin (log-odds) for
//! hinge and logistic, whose labels are -1 and 1.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Levels;

/// Probabilities are kept at least this far from 0 and 1 before their logarithm is taken, as scikit-learn's `log_loss`
/// does for f32 input, so that one confident mistake does not make a mean infinite.
pub const SMALLEST_PROBABILITY: f64 = 1.192_092_9e-7;

/// Added to a count before its logarithm is taken in [`LossKind::Poisson`].
const POISSON_SHIFT: f64 = 1e-6;

/// A loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum LossKind {
    /// (p − y)² inside the range of labels, going on linearly outside of it.
    Squared,
    /// (p − y)² everywhere.
    Classic,
    /// The pinball loss for the quantile `tau` in (0, 1).
    Quantile(f64),
    /// The mean of the pinball losses of several quantiles, each predicted by a score of its own: [`Levels::loss`]. The scalar form is
    /// that of one score for all.
    Quantiles(Levels),
    /// e²/2 of the error e = p − y as long as |e| is at most this, and the tangent there beyond (Huber, 1964).
    Huber(f64),
    /// Twice the logarithm of the likelihood that a Poisson distribution of rate e^p loses on the count y, beside one of rate y.
    Poisson,
    /// max(0, 1 − y·p) with y in {−1, 1}.
    Hinge,
    /// ln(1 + e^(−y·p)) with y in {−1, 1}.
    Logistic,
    /// −ln of the softmax probability of the true class; over several scores, so it has no scalar form.
    Softmax,
}

/// The range of labels seen so far, which bounds [`LossKind::Squared`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabelRange {
    /// Smallest label.
    pub min: f64,
    /// Largest label.
    pub max: f64,
}

impl LabelRange {
    /// Contains nothing; the first label makes it that label.
    pub const EMPTY: Self = Self { min: f64::INFINITY, max: f64::NEG_INFINITY };

    /// Contains every number.
    pub const ALL: Self = Self { min: f64::NEG_INFINITY, max: f64::INFINITY };

    /// The range with `label` in it.
    #[must_use]
    pub const fn including(self, label: f64) -> Self {
        Self { min: self.min.min(label), max: self.max.max(label) }
    }
}

impl LossKind {
    /// The loss of prediction `p` for label `y`, both as the module says.
    /// [`LossKind::Softmax`] is taken on one probability: `p` is the probability of the true class and `y` is not read.
    #[must_use]
    pub fn value(self, p: f64, y: f64, range: LabelRange) -> f64 {
        match self {
            Self::Squared => {
                let (edge, beyond) = if p < range.min {
                    (range.min, range.min - p)
                } else if p > range.max {
                    (range.max, p - range.max)
                } else {
                    return (p - y).powi(2);
                };
                // At the bound itself a prediction beyond it is as good as the bound.
                let distance = (edge - y).abs();
                if distance == 0.0 { 0.0 } else { distance.powi(2) + 2.0 * distance * beyond }
            }
            Self::Classic => (p - y).powi(2),
            Self::Quantile(tau) => {
                let error = y - p;
                if error > 0.0 { tau * error } else { (tau - 1.0) * error }
            }
            Self::Quantiles(levels) => levels.mean(|tau| Self::Quantile(tau).value(p, y, range)),
            Self::Huber(delta) => {
                let error = (p - y).abs();
                if error <= delta { error * error / 2.0 } else { delta * (error - delta / 2.0) }
            }
            Self::Poisson => 2.0 * (y * ((y + POISSON_SHIFT).ln() - p) - (y - p.exp())),
            Self::Hinge => (1.0 - y * p).max(0.0),
            Self::Logistic => {
                // ln(1 + e^x) without overflow for large x.
                let x = -y * p;
                x.max(0.0) + (-x.abs()).exp().ln_1p()
            }
            Self::Softmax => -p.clamp(SMALLEST_PROBABILITY, 1.0).ln(),
        }
    }

    /// The derivative of [`LossKind::value`] with respect to `p`; half of it for [`LossKind::Poisson`], as Vowpal Wabbit has it.
    #[must_use]
    pub fn gradient(self, p: f64, y: f64, range: LabelRange) -> f64 {
        match self {
            Self::Squared => {
                if range.min > range.max {
                    2.0 * (p - y)
                } else {
                    2.0 * (p.clamp(range.min, range.max) - y)
                }
            }
            Self::Classic => 2.0 * (p - y),
            Self::Quantile(tau) => {
                let error = y - p;
                if error > 0.0 {
                    -tau
                } else if error < 0.0 {
                    1.0 - tau
                } else {
                    0.0
                }
            }
            Self::Quantiles(levels) => levels.mean(|tau| Self::Quantile(tau).gradient(p, y, range)),
            Self::Huber(delta) => (p - y).clamp(-delta, delta),
            Self::Poisson => p.exp() - y,
            Self::Hinge => {
                if y * p < 1.0 {
                    -y
                } else {
                    0.0
                }
            }
            Self::Logistic => -y / (1.0 + (y * p).exp()),
            Self::Softmax => {
                if p < SMALLEST_PROBABILITY {
                    0.0
                } else {
                    -1.0 / p
                }
            }
        }
    }

    /// The name without its parameter.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Squared => "squared",
            Self::Classic => "classic",
            Self::Quantile(_) | Self::Quantiles(_) => "quantile",
            Self::Huber(_) => "huber",
            Self::Poisson => "poisson",
            Self::Hinge => "hinge",
            Self::Logistic => "logistic",
            Self::Softmax => "softmax",
        }
    }
}

impl fmt::Display for LossKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quantile(tau) => write!(f, "quantile:{tau}"),
            Self::Quantiles(levels) => {
                let levels: Vec<String> = levels.as_slice().iter().map(f64::to_string).collect();
                write!(f, "quantile:{}", levels.join(","))
            }
            Self::Huber(delta) => write!(f, "huber:{delta}"),
            Self::Squared | Self::Classic | Self::Poisson | Self::Hinge | Self::Logistic | Self::Softmax => {
                f.write_str(self.name())
            }
        }
    }
}

impl From<LossKind> for String {
    fn from(loss: LossKind) -> Self {
        loss.to_string()
    }
}

/// The text names no loss.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected squared, classic, quantile, quantile:TAU with 0 < TAU < 1, quantile:TAU,TAU,… with up to {most} of them in rising order, \
     huber, huber:DELTA with DELTA > 0, poisson, hinge, logistic or softmax as loss, got '{0}'",
    most = Levels::MOST
)]
pub struct ParseLossError(pub String);

impl FromStr for LossKind {
    type Err = ParseLossError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "squared" => Ok(Self::Squared),
            "classic" => Ok(Self::Classic),
            "quantile" => Ok(Self::Quantile(0.5)),
            "huber" => Ok(Self::Huber(1.0)),
            "poisson" => Ok(Self::Poisson),
            "hinge" => Ok(Self::Hinge),
            "logistic" => Ok(Self::Logistic),
            "softmax" => Ok(Self::Softmax),
            _ => {
                let number = |name: &str| text.strip_prefix(name).and_then(|number| number.parse::<f64>().ok());
                let quantile = number("quantile:").filter(|tau| *tau > 0.0 && *tau < 1.0).map(Self::Quantile);
                let quantiles = || {
                    let levels = text.strip_prefix("quantile:")?.split(',').map(|level| level.trim().parse().ok());
                    Levels::new(&levels.collect::<Option<Vec<f64>>>()?).map(Self::Quantiles)
                };
                let huber = || number("huber:").filter(|delta| *delta > 0.0 && delta.is_finite()).map(Self::Huber);
                quantile.or_else(quantiles).or_else(huber).ok_or_else(|| ParseLossError(text.to_owned()))
            }
        }
    }
}

impl TryFrom<String> for LossKind {
    type Error = ParseLossError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RANGE: LabelRange = LabelRange { min: -1.0, max: 2.0 };

    #[test]
    fn values_by_hand() {
        assert_eq!(LossKind::Squared.value(1.5, 0.5, RANGE), 1.0);
        // Two beyond the upper bound 2, label 1: 1² + 2·1·2.
        assert_eq!(LossKind::Squared.value(4.0, 1.0, RANGE), 5.0);
        assert_eq!(LossKind::Squared.value(-3.0, -1.0, RANGE), 0.0);
        assert_eq!(LossKind::Classic.value(4.0, 1.0, RANGE), 9.0);
        assert_eq!(LossKind::Quantile(0.25).value(0.0, 2.0, RANGE), 0.5);
        assert_eq!(LossKind::Quantile(0.25).value(2.0, 0.0, RANGE), 1.5);
        assert_eq!(LossKind::Huber(0.5).value(1.5, 1.0, RANGE), 0.125);
        assert_eq!(LossKind::Huber(0.5).value(3.0, 1.0, RANGE), 0.875);
        // 2 (2 (ln 2 − ln 3) − (2 − 3)).
        assert!((LossKind::Poisson.value(3_f64.ln(), 2.0, RANGE) - 2.0 * (1.0 - 2.0 * 1.5_f64.ln())).abs() < 1e-5);
        assert_eq!(LossKind::Hinge.value(0.25, -1.0, RANGE), 1.25);
        assert!((LossKind::Logistic.value(0.0, 1.0, RANGE) - std::f64::consts::LN_2).abs() < 1e-15);
        assert_eq!(LossKind::Logistic.value(-1e6, 1.0, RANGE), 1e6);
        assert!((LossKind::Softmax.value(0.5, 0.0, RANGE) - std::f64::consts::LN_2).abs() < 1e-15);
        assert!(LossKind::Softmax.value(0.0, 0.0, RANGE).is_finite());
    }

    #[test]
    fn names_read_back() {
        for loss in [
            LossKind::Squared,
            LossKind::Classic,
            LossKind::Quantile(0.1),
            LossKind::Quantiles(Levels::new(&[0.05, 0.5, 0.95]).unwrap()),
            LossKind::Huber(1.5),
            LossKind::Poisson,
            LossKind::Hinge,
            LossKind::Logistic,
            LossKind::Softmax,
        ] {
            assert_eq!(loss.to_string().parse(), Ok(loss));
        }
        for text in [
            "",
            "huber:0",
            "huber:inf",
            "quantile:",
            "quantile:0",
            "quantile:1",
            "quantile:nan",
            "quantile:0.1,",
            "quantile:0.9,0.1",
            "quantile:0.5,0.5",
            "quantile:0.1,x",
        ] {
            assert_eq!(text.parse::<LossKind>(), Err(ParseLossError(text.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn gradients_are_the_slopes_of_values(p in -5.0..5.0_f64, label in -1.0..2.0_f64, positive in any::<bool>()) {
            let sign = if positive { 1.0 } else { -1.0 };
            let kinks = [RANGE.min, RANGE.max, label, sign, label - 0.7, label + 0.7];
            prop_assume!(kinks.iter().all(|kink| (p - kink).abs() > 1e-4));
            for (loss, y) in [
                (LossKind::Squared, label),
                (LossKind::Classic, label),
                (LossKind::Quantile(0.3), label),
                (LossKind::Quantiles(Levels::new(&[0.3, 0.6]).unwrap()), label),
                (LossKind::Huber(0.7), label),
                (LossKind::Hinge, sign),
                (LossKind::Logistic, sign),
            ] {
                let step = 1e-5;
                let slope = (loss.value(p + step, y, RANGE) - loss.value(p - step, y, RANGE)) / (2.0 * step);
                prop_assert!((slope - loss.gradient(p, y, RANGE)).abs() < 1e-6, "{loss} at p={p}, y={y}");
            }
            let (step, count, loss) = (1e-5, label.abs(), LossKind::Poisson);
            let slope = (loss.value(p + step, count, RANGE) - loss.value(p - step, count, RANGE)) / (2.0 * step);
            prop_assert!((slope - 2.0 * loss.gradient(p, count, RANGE)).abs() < 1e-5, "poisson at p={p}, y={count}");
        }
    }
}
