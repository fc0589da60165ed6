//! The median of a few measurements and how far it can be trusted.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// A median with its 95 % bootstrap interval.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Median {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// The median of `values` (at least one), with the interval that holds it in 95 % of 10,000 resamples.
pub(crate) fn median(values: &[f64]) -> Median {
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let mut medians: Vec<f64> = (0..10_000)
        .map(|_| middle((0..values.len()).map(|_| values[random.random_range(0..values.len())]).collect()))
        .collect();
    medians.sort_by(f64::total_cmp);
    Median { median: middle(values.to_vec()), low: medians[250], high: medians[9_749] }
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len().is_multiple_of(2) { f64::midpoint(values[half - 1], values[half]) } else { values[half] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_middle_and_an_interval_around_it() {
        let found = median(&[5.0, 1.0, 3.0, 2.0, 4.0]);
        assert_eq!(found.median, 3.0);
        assert!(found.low < 3.0 && found.high > 3.0 && found.low >= 1.0 && found.high <= 5.0);
        assert_eq!(middle(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
