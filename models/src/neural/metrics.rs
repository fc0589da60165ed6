//! Quality of predictions on the held-out rows, in plain Rust and f64: RMSE, MAE and R² for numbers; pinball loss, coverage and
//! width for quantiles; accuracy, log loss and ROC AUC for classes. A figure that the rows cannot give is left out with a sentence that says why, never NaN.

use std::{cmp::Ordering, collections::BTreeMap};

use contract::{LabelRange, Levels, LossKind};

/// Figures by name, and why some are missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// `rmse`, `mae`, `r2`; `pinball_loss`, `coverage`, `width`; or `accuracy`, `log_loss`, `roc_auc`.
    pub values: BTreeMap<String, f64>,
    /// One sentence for each figure that is missing.
    pub notes: Vec<String>,
}

impl Metrics {
    pub(crate) fn set(&mut self, name: &str, value: f64) {
        if value.is_finite() {
            self.values.insert(name.to_owned(), value);
        } else {
            self.notes.push(format!("{name} is left out: it is not a finite number"));
        }
    }
}

/// Root mean squared error, mean absolute error and coefficient of determination of `predictions` for `labels`, both in
/// the target's own units.
#[must_use]
pub fn regression(predictions: &[f64], labels: &[f64]) -> Metrics {
    let mut metrics = Metrics::default();
    if predictions.is_empty() {
        metrics.notes.push("rmse, mae and r2 are left out: no row was held out".to_owned());
        return metrics;
    }
    let count = labels.len() as f64;
    let squared: f64 = predictions.iter().zip(labels).map(|(p, y)| (p - y).powi(2)).sum();
    let absolute: f64 = predictions.iter().zip(labels).map(|(p, y)| (p - y).abs()).sum();
    let mean = labels.iter().sum::<f64>() / count;
    let spread: f64 = labels.iter().map(|y| (y - mean).powi(2)).sum();
    metrics.set("rmse", (squared / count).sqrt());
    metrics.set("mae", absolute / count);
    if spread > 0.0 {
        metrics.set("r2", 1.0 - squared / spread);
    } else {
        metrics.notes.push("r2 is left out: the held-out rows all have the same label".to_owned());
    }
    metrics
}

/// The mean pinball loss over the levels of `predictions`, row-major `[rows, levels]`, for `labels`; the part of the labels between
/// the lowest and the highest quantile, and how far apart these are in the mean.
#[must_use]
pub fn quantiles(predictions: &[f64], levels: &Levels, labels: &[f64]) -> Metrics {
    let mut metrics = Metrics::default();
    if labels.is_empty() {
        metrics.notes.push("pinball_loss, coverage and width are left out: no row was held out".to_owned());
        return metrics;
    }
    let count = labels.len() as f64;
    let rows = || predictions.chunks_exact(levels.count()).zip(labels.iter().copied());
    let ends = |row: &[f64]| (row[0], row[row.len() - 1]);
    let covered = rows().filter(|(row, y)| ends(row).0 <= *y && *y <= ends(row).1).count();
    metrics.set("pinball_loss", rows().map(|(row, y)| levels.loss(row, y)).sum::<f64>() / count);
    metrics.set("coverage", covered as f64 / count);
    metrics.set("width", rows().map(|(row, _)| ends(row).1 - ends(row).0).sum::<f64>() / count);
    metrics
}

/// Accuracy, log loss and area under the ROC curve of `probabilities`, row-major `[rows, classes]`, for the class indices
/// `labels`. With two classes the area is that of class 1; with more it is the mean over one class against the rest.
#[must_use]
pub fn classification(probabilities: &[f32], classes: usize, labels: &[usize]) -> Metrics {
    let mut metrics = Metrics::default();
    if labels.is_empty() || classes == 0 {
        metrics.notes.push("accuracy, log_loss and roc_auc are left out: no row was held out".to_owned());
        return metrics;
    }
    let count = labels.len() as f64;
    let rows = || probabilities.chunks_exact(classes).zip(labels);
    let right = rows().filter(|(row, label)| most_likely(row) == **label).count();
    let loss: f64 = rows().map(|(row, label)| log_loss(row, *label)).sum();
    metrics.set("accuracy", right as f64 / count);
    metrics.set("log_loss", loss / count);

    let ranked: Vec<usize> = if classes == 2 { vec![1] } else { (0..classes).collect() };
    let areas: Vec<Option<f64>> = ranked
        .into_iter()
        .map(|class| {
            let scores: Vec<f64> = probabilities.chunks_exact(classes).map(|row| f64::from(row[class])).collect();
            let positive: Vec<bool> = labels.iter().map(|label| *label == class).collect();
            roc_auc(&scores, &positive)
        })
        .collect();
    let known: Vec<f64> = areas.iter().copied().flatten().collect();
    if known.is_empty() {
        metrics.notes.push("roc_auc is left out: the held-out rows are all of one class".to_owned());
    } else {
        metrics.set("roc_auc", known.iter().sum::<f64>() / known.len() as f64);
        let absent = areas.len() - known.len();
        if absent > 0 {
            metrics.notes.push(format!(
                "roc_auc is the mean over {} of {classes} classes: no held-out row is of the other {absent}",
                known.len()
            ));
        }
    }
    metrics
}

/// The log loss of one row's probabilities for its class.
#[must_use]
pub(crate) fn log_loss(probabilities: &[f32], label: usize) -> f64 {
    let p = probabilities.get(label).copied().map_or(0.0, f64::from);
    LossKind::Softmax.value(p, 0.0, LabelRange::ALL)
}

/// Index of the largest probability; the first of equal ones.
#[must_use]
pub fn most_likely(probabilities: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in probabilities.iter().enumerate() {
        if *value > probabilities[best] {
            best = index;
        }
    }
    best
}

/// The probability that a positive row scores above a negative one, ties counting half (the Mann–Whitney statistic); none
/// when either kind is absent.
fn roc_auc(scores: &[f64], positive: &[bool]) -> Option<f64> {
    let positives = positive.iter().filter(|positive| **positive).count() as f64;
    let negatives = positive.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return None;
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*a].partial_cmp(&scores[*b]).unwrap_or(Ordering::Equal));
    let mut rank_sum = 0.0;
    let mut start = 0;
    while start < order.len() {
        let tied = order[start..].iter().take_while(|row| scores[**row] == scores[order[start]]).count().max(1);
        // Rows of equal score share the mean of their ranks, which count from 1.
        let rank = start as f64 + f64::midpoint(1.0, tied as f64);
        rank_sum += rank * order[start..start + tied].iter().filter(|row| positive[**row]).count() as f64;
        start += tied;
    }
    Some((rank_sum - positives * (positives + 1.0) / 2.0) / (positives * negatives))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regression_by_hand() {
        let metrics = regression(&[1.0, 2.0, 5.0], &[1.0, 3.0, 2.0]);
        assert!((metrics.values["rmse"] - (10.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert!((metrics.values["mae"] - 4.0 / 3.0).abs() < 1e-12);
        assert!((metrics.values["r2"] - (1.0 - 10.0 / 2.0)).abs() < 1e-12);
        assert!(metrics.notes.is_empty());
    }

    #[test]
    fn quantiles_by_hand() {
        let levels = Levels::new(&[0.25, 0.75]).unwrap();
        let metrics = quantiles(&[1.0, 3.0, 0.0, 2.0], &levels, &[2.0, 3.0]);
        // 0.25 · 1 and 0.25 · 1; 0.25 · 3 and 0.75 · 1.
        assert_eq!(metrics.values["pinball_loss"], f64::midpoint(0.25, 0.75));
        assert_eq!((metrics.values["coverage"], metrics.values["width"]), (0.5, 2.0));
        assert_eq!(quantiles(&[], &levels, &[]).notes.len(), 1);
    }

    #[test]
    fn says_what_it_cannot_tell() {
        let same = regression(&[1.0, 2.0], &[3.0, 3.0]);
        assert!(!same.values.contains_key("r2"));
        assert_eq!(same.notes, ["r2 is left out: the held-out rows all have the same label"]);
        let one_class = classification(&[0.5, 0.5], 2, &[1]);
        assert!(!one_class.values.contains_key("roc_auc"));
        assert_eq!(one_class.notes.len(), 1);
        assert_eq!(regression(&[], &[]).values.len(), 0);
        assert_eq!(classification(&[], 3, &[]).notes.len(), 1);
        assert!(!regression(&[f64::NAN], &[1.0]).values.contains_key("rmse"));
    }

    #[test]
    fn binary_by_hand() {
        // Scores of class 1: positives 0.9, 0.4; negatives 0.4, 0.1: of four pairs three are right and one is a tie.
        let metrics = classification(&[0.1, 0.9, 0.6, 0.4, 0.6, 0.4, 0.9, 0.1], 2, &[1, 1, 0, 0]);
        assert_eq!(metrics.values["accuracy"], 0.75);
        assert!((metrics.values["roc_auc"] - 3.5 / 4.0).abs() < 1e-12);
        let expected =
            -(f64::from(0.9_f32).ln() + f64::from(0.4_f32).ln() + f64::from(0.6_f32).ln() + f64::from(0.9_f32).ln())
                / 4.0;
        assert!((metrics.values["log_loss"] - expected).abs() < 1e-12);
    }

    #[test]
    fn multiclass_area_is_the_mean_over_the_classes_that_occur() {
        let probabilities = [0.8, 0.1, 0.1, 0.2, 0.7, 0.1, 0.6, 0.3, 0.1];
        let metrics = classification(&probabilities, 3, &[0, 1, 1]);
        // Class 0: 0.8 against 0.2 and 0.6: 1. Class 1: 0.7 and 0.3 against 0.1: 1. Class 2 does not occur.
        assert_eq!(metrics.values["roc_auc"], 1.0);
        assert_eq!(metrics.notes, ["roc_auc is the mean over 2 of 3 classes: no held-out row is of the other 1"]);
        assert!((metrics.values["accuracy"] - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn a_confident_mistake_costs_a_finite_log_loss() {
        assert!(classification(&[1.0, 0.0], 2, &[1]).values["log_loss"].is_finite());
    }
}
