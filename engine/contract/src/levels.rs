//! The levels of several quantiles that one model predicts.

use crate::{LabelRange, LossKind};

/// Levels of quantiles, each in (0, 1), in rising order: two of them or more.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Levels {
    count: usize,
    /// Those behind the first `count` are 0.
    values: [f64; Self::MOST],
}

impl Levels {
    /// Most levels of one model.
    pub const MOST: usize = 16;

    /// These levels; none when they are fewer than two or more than [`Levels::MOST`], not all in (0, 1), or not in rising order.
    #[must_use]
    pub fn new(levels: &[f64]) -> Option<Self> {
        let inside = levels.iter().all(|level| *level > 0.0 && *level < 1.0);
        let rising = levels.windows(2).all(|pair| pair[0] < pair[1]);
        let (count, mut values) = (levels.len(), [0.0; Self::MOST]);
        if count < 2 || !inside || !rising {
            return None;
        }
        values.get_mut(..count)?.copy_from_slice(levels);
        Some(Self { count, values })
    }

    /// The levels, in rising order.
    #[must_use]
    pub fn as_slice(&self) -> &[f64] {
        self.values.get(..self.count).unwrap_or_default()
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// The mean over the levels.
    pub(crate) fn mean(&self, of: impl Fn(f64) -> f64) -> f64 {
        self.as_slice().iter().map(|tau| of(*tau)).sum::<f64>() / self.count as f64
    }

    /// The mean pinball loss of `predictions`, one a level in their order, for the label `y`; not a number when their count differs.
    #[must_use]
    pub fn loss(&self, predictions: &[f64], y: f64) -> f64 {
        if predictions.len() != self.count {
            return f64::NAN;
        }
        let each = self.as_slice().iter().zip(predictions);
        each.map(|(tau, p)| LossKind::Quantile(*tau).value(*p, y, LabelRange::ALL)).sum::<f64>() / self.count as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_rise_between_0_and_1() {
        assert_eq!(Levels::new(&[0.1, 0.5, 0.9]).unwrap().as_slice(), [0.1, 0.5, 0.9]);
        let many: Vec<f64> = (1..=Levels::MOST + 1).map(|level| level as f64 / 20.0).collect();
        assert_eq!(Levels::new(&many[1..]).map(|levels| levels.count()), Some(Levels::MOST));
        for wrong in [&[][..], &[0.5], &[0.5, 0.5], &[0.9, 0.1], &[0.0, 0.5], &[0.5, 1.0], &[f64::NAN, 0.5], &many] {
            assert_eq!(Levels::new(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn the_loss_is_the_mean_over_the_levels() {
        let levels = Levels::new(&[0.25, 0.75]).unwrap();
        // 0.25 · (2 − 1) and 0.25 · (3 − 2).
        assert_eq!(levels.loss(&[1.0, 3.0], 2.0), 0.25);
        assert!(levels.loss(&[1.0], 2.0).is_nan());
        // One prediction for all levels is the scalar form.
        assert_eq!(levels.loss(&[1.0, 1.0], 2.0), LossKind::Quantiles(levels).value(1.0, 2.0, LabelRange::ALL));
    }
}
