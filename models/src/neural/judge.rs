//! What a trained model's answers are worth on rows whose labels are known, for training and comparing alike.

use contract::{LabelRange, LossKind, Task, TaskSpec};

use super::metrics::{self, Metrics};
use crate::table::TargetEncoder;

/// Figures, and a loss by row.
pub(crate) struct Judged {
    pub(crate) metrics: Metrics,
    /// By [`row_loss`].
    pub(crate) losses: Vec<f64>,
}

/// The loss by which rows are told apart: that of the levels for quantiles, the squared error for other numbers, and the log loss
/// for classes.
pub(crate) const fn row_loss(task: Task, loss: Option<LossKind>) -> &'static str {
    match (task, loss) {
        (Task::Regression, Some(LossKind::Quantile(_) | LossKind::Quantiles(_))) => "pinball loss",
        (Task::Regression, _) => "squared error",
        (Task::Binary | Task::Multiclass, _) => "log loss",
    }
}

/// Judges `values`, row-major, which `task` scores, by `labels` as `target` encodes them.
pub(crate) fn judged(task: &TaskSpec, target: &TargetEncoder, values: &[f32], labels: &[f32]) -> Judged {
    match target {
        TargetEncoder::Regression { mean, std } => {
            let predictions: Vec<f64> = values.iter().map(|value| f64::from(*value)).collect();
            let labels: Vec<f64> = labels.iter().map(|label| f64::from(*label) * std + mean).collect();
            let rows = || predictions.iter().zip(&labels);
            match task.loss {
                LossKind::Quantiles(levels) => {
                    let rows = predictions.chunks_exact(levels.count()).zip(&labels);
                    let losses = rows.map(|(row, y)| levels.loss(row, *y)).collect();
                    Judged { metrics: metrics::quantiles(&predictions, &levels, &labels), losses }
                }
                loss @ LossKind::Quantile(_) => {
                    let losses: Vec<f64> = rows().map(|(p, y)| loss.value(*p, *y, LabelRange::ALL)).collect();
                    let mut metrics = metrics::regression(&predictions, &labels);
                    if !losses.is_empty() {
                        metrics.set("pinball_loss", losses.iter().sum::<f64>() / losses.len() as f64);
                    }
                    Judged { metrics, losses }
                }
                _ => {
                    let losses = rows().map(|(p, y)| (p - y).powi(2)).collect();
                    Judged { metrics: metrics::regression(&predictions, &labels), losses }
                }
            }
        }
        TargetEncoder::Classes(classes) => {
            #[expect(clippy::cast_sign_loss, reason = "class numbers are not negative")]
            let labels: Vec<usize> = labels.iter().map(|label| *label as usize).collect();
            let rows = values.chunks_exact(classes.len().max(1)).zip(&labels);
            let losses = rows.map(|(row, label)| metrics::log_loss(row, *label)).collect();
            Judged { metrics: metrics::classification(values, classes.len(), &labels), losses }
        }
    }
}

#[cfg(test)]
mod tests {
    use contract::Levels;

    use super::*;

    fn task(loss: LossKind) -> TaskSpec {
        TaskSpec { task: Task::Regression, classes: Vec::new(), score: "prediction".to_owned(), loss }
    }

    #[test]
    fn numbers_are_judged_in_their_own_units() {
        let target = TargetEncoder::Regression { mean: 10.0, std: 2.0 };
        let labels = [0.0, 1.0];
        let squared = judged(&task(LossKind::Classic), &target, &[11.0, 12.0], &labels);
        assert_eq!(squared.losses, [1.0, 0.0]);
        let pinball = judged(&task(LossKind::Quantile(0.25)), &target, &[11.0, 10.0], &labels);
        assert_eq!(pinball.losses, [0.75, 0.5]);
        assert_eq!(pinball.metrics.values["pinball_loss"], 0.625);
        let levels = Levels::new(&[0.25, 0.75]).unwrap();
        let both = judged(&task(LossKind::Quantiles(levels)), &target, &[9.0, 11.0, 13.0, 14.0], &labels);
        assert_eq!(both.losses, [0.25, f64::midpoint(0.75, 0.5)]);
        assert_eq!(both.metrics.values["coverage"], 0.5);
    }

    #[test]
    fn rows_are_told_apart_by_what_was_learned() {
        assert_eq!(row_loss(Task::Regression, None), "squared error");
        assert_eq!(row_loss(Task::Regression, Some(LossKind::Quantile(0.9))), "pinball loss");
        assert_eq!(row_loss(Task::Binary, Some(LossKind::Hinge)), "log loss");
    }
}
