//! How sure one can be of a mean, and of a difference.

use serde::Serialize;

/// A mean and where it lies with 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// The mean.
    pub mean: f64,
    /// The lower end; the mean when there is one value only.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// The 97.5 % quantiles of Student's t distribution with 1 to 30 degrees of freedom; beyond, the normal one is near enough.
const STUDENT: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];
const NORMAL: f64 = 1.960;

impl Interval {
    /// The mean of `values` with Student's interval.
    #[must_use]
    pub fn of(values: &[f64]) -> Self {
        let (mean, error) = mean_and_error(values);
        let width = error * STUDENT.get(values.len().wrapping_sub(2)).copied().unwrap_or(NORMAL);
        Self { mean, low: mean - width, high: mean + width }
    }
}

/// By how much one model's losses lie above another's, on the same rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The mean of the differences with its 95 % interval.
    pub loss: Interval,
    /// How likely so large a difference would be between models of the same mean loss: the two-sided paired t-test, with the
    /// normal distribution in place of Student's, as the rows are many.
    pub p: f64,
}

impl Difference {
    /// Of `losses` above `others`, row by row; both of one length.
    #[must_use]
    pub fn paired(losses: &[f64], others: &[f64]) -> Self {
        let differences: Vec<f64> = losses.iter().zip(others).map(|(a, b)| a - b).collect();
        let loss = Interval::of(&differences);
        let (mean, error) = mean_and_error(&differences);
        let p = if error > 0.0 {
            libm::erfc((mean / error).abs() / std::f64::consts::SQRT_2)
        } else if mean == 0.0 {
            1.0
        } else {
            0.0
        };
        Self { loss, p }
    }
}

/// The mean of `values` and its standard error; 0 of fewer than two.
fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count.max(1.0);
    if values.len() < 2 {
        return (mean, 0.0);
    }
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, (variance / count).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_students() {
        // Mean 3, standard deviation √2.5, standard error √0.5, four degrees of freedom.
        let interval = Interval::of(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        assert!((interval.mean - 3.0).abs() < 1e-12);
        assert!((interval.high - (3.0 + 2.776 * 0.5_f64.sqrt())).abs() < 1e-12);
        assert_eq!(Interval::of(&[2.0]), Interval { mean: 2.0, low: 2.0, high: 2.0 });
    }

    #[test]
    fn paired_tests_see_what_means_do_not() {
        // Rows differ by far more than models do.
        let easy: Vec<f64> = (0..400).map(|row| f64::from(row % 40)).collect();
        let worse: Vec<f64> = easy.iter().enumerate().map(|(row, loss)| loss + 0.02 * (row % 3) as f64).collect();
        let difference = Difference::paired(&worse, &easy);
        assert!(difference.p < 1e-6 && difference.loss.low > 0.0, "{difference:?}");
        let shuffled: Vec<f64> = easy.iter().enumerate().map(|(row, loss)| loss + [0.1, -0.1][row % 2]).collect();
        let same = Difference::paired(&shuffled, &easy);
        assert!(same.p > 0.9 && same.loss.low < 0.0 && same.loss.high > 0.0, "{same:?}");
        // 1.96 standard errors are the edge of 95 %.
        let edge: Vec<f64> = (0..1000).map(|row| 1.96 / 1000_f64.sqrt() + [1.0, -1.0][row % 2]).collect();
        assert!((Difference::paired(&edge, &vec![0.0; 1000]).p - 0.05).abs() < 1e-3);
        assert_eq!(Difference::paired(&easy, &easy).p, 1.0);
    }
}
