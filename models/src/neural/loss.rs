//! The losses of [`contract::LossKind`] on tensors, so that autodiff gives the gradients that the scalar forms give.

use burn::tensor::{
    Tensor,
    activation::{log_sigmoid, log_softmax, relu},
};
use contract::{LabelRange, LossKind, Task};

use super::nets::matrix;
use crate::{Error, Result};

/// What a training run minimises, and how its targets are written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Objective {
    /// The loss.
    pub(crate) loss: LossKind,
    /// The range of the training targets, in the units trained in; bounds [`LossKind::Squared`].
    pub(crate) range: LabelRange,
    /// What a loss is multiplied by to be in the target's own units.
    pub(crate) scale: f64,
}

impl Objective {
    /// The loss to train `task` with: `asked`, or the task's own when none is asked for. For numbers that is the classic one: the
    /// squared one leaves predictions beyond the labels' range alone, and such predictions are not cut.
    ///
    /// # Errors
    /// [`Error::Setting`] when the loss does not fit the task.
    pub(crate) fn choose(task: Task, asked: Option<LossKind>) -> Result<LossKind> {
        let loss = asked.unwrap_or(match task {
            Task::Regression => LossKind::Classic,
            Task::Binary => LossKind::Logistic,
            Task::Multiclass => LossKind::Softmax,
        });
        let (fits, expected) = match (task, loss) {
            (
                Task::Regression,
                LossKind::Squared
                | LossKind::Classic
                | LossKind::Quantile(_)
                | LossKind::Quantiles(_)
                | LossKind::Huber(_)
                | LossKind::Poisson,
            )
            | (Task::Binary, LossKind::Hinge | LossKind::Logistic)
            | (Task::Multiclass, LossKind::Softmax) => (true, ""),
            (Task::Regression, LossKind::Hinge | LossKind::Logistic | LossKind::Softmax) => {
                (false, "squared, classic, quantile:TAU, huber:DELTA or poisson")
            }
            (
                Task::Binary,
                LossKind::Squared
                | LossKind::Classic
                | LossKind::Quantile(_)
                | LossKind::Quantiles(_)
                | LossKind::Huber(_)
                | LossKind::Poisson
                | LossKind::Softmax,
            ) => (false, "logistic or hinge"),
            (
                Task::Multiclass,
                LossKind::Squared
                | LossKind::Classic
                | LossKind::Quantile(_)
                | LossKind::Quantiles(_)
                | LossKind::Huber(_)
                | LossKind::Poisson
                | LossKind::Hinge
                | LossKind::Logistic,
            ) => (false, "softmax"),
        };
        if fits {
            Ok(loss)
        } else {
            Err(Error::Setting(format!("loss {loss} does not fit a {task} task; expected {expected}")))
        }
    }

    /// Targets as this loss wants them: class indices 0 and 1 become −1 and 1 for hinge and logistic.
    pub(crate) fn targets(self, mut encoded: Vec<f32>) -> Vec<f32> {
        match self.loss {
            LossKind::Hinge | LossKind::Logistic => {
                for value in &mut encoded {
                    *value = if *value > 0.5 { 1.0 } else { -1.0 };
                }
                encoded
            }
            LossKind::Squared
            | LossKind::Classic
            | LossKind::Quantile(_)
            | LossKind::Quantiles(_)
            | LossKind::Huber(_)
            | LossKind::Poisson
            | LossKind::Softmax => encoded,
        }
    }

    /// As [`Objective::per_row`], with the part `smoothing` of each label of a class spread over all classes (Szegedy et al.,
    /// "Rethinking the Inception Architecture", 2016).
    pub(crate) fn smoothed(self, scores: Tensor<2>, targets: Tensor<2>, smoothing: f64) -> Tensor<2> {
        if smoothing == 0.0 {
            return self.per_row(scores, targets);
        }
        let keep =
            |losses: Tensor<2>, spread: Tensor<2>| losses.mul_scalar(1.0 - smoothing) + spread.mul_scalar(smoothing);
        match self.loss {
            LossKind::Logistic => {
                let spread = (log_sigmoid(scores.clone()) + log_sigmoid(scores.clone().neg())).mul_scalar(-0.5);
                keep(self.per_row(scores, targets), spread)
            }
            LossKind::Softmax => {
                let spread = log_softmax(scores.clone(), 1).mean_dim(1).neg();
                keep(self.per_row(scores, targets), spread)
            }
            LossKind::Squared
            | LossKind::Classic
            | LossKind::Quantile(_)
            | LossKind::Quantiles(_)
            | LossKind::Huber(_)
            | LossKind::Poisson
            | LossKind::Hinge => self.per_row(scores, targets),
        }
    }

    /// The loss of every row, `[rows, 1]`, for scores `[rows, outputs]` and targets `[rows, 1]` (class indices for softmax).
    pub(crate) fn per_row(self, scores: Tensor<2>, targets: Tensor<2>) -> Tensor<2> {
        match self.loss {
            LossKind::Squared if self.range.min.is_finite() && self.range.max.is_finite() => {
                // (c − y)² + 2 (c − y)(p − c) with c, p kept inside the range, taken as a constant: inside the range this
                // is (p − y)², outside of it the tangent at the bound, and the slope is 2 (c − y) everywhere.
                let kept = scores.clone().detach().clamp(self.range.min, self.range.max);
                let distance = kept.clone() - targets;
                distance.clone().square() + distance.mul_scalar(2.0) * (scores - kept)
            }
            LossKind::Squared | LossKind::Classic => (scores - targets).square(),
            LossKind::Quantile(tau) => {
                let error = targets - scores;
                relu(error.clone()).mul_scalar(tau) + relu(error.neg()).mul_scalar(1.0 - tau)
            }
            LossKind::Quantiles(levels) => {
                let taus = |of: fn(f64) -> f64| {
                    let taus: Vec<f32> = levels.as_slice().iter().map(|tau| of(*tau) as f32).collect();
                    matrix(taus, levels.count(), &scores.device())
                };
                let [rows, _] = scores.dims();
                let error = targets.expand([rows, levels.count()]) - scores.clone();
                let (above, below) = (taus(|tau| tau), taus(|tau| 1.0 - tau));
                (relu(error.clone()) * above + relu(error.neg()) * below).mean_dim(1)
            }
            LossKind::Huber(delta) => {
                // Half the square of the error inside, and the slope times what lies beyond.
                let error = scores - targets;
                let inside = error.clone().clamp(-delta, delta);
                let beyond = (error - inside.clone()).abs().mul_scalar(delta);
                inside.square().mul_scalar(0.5) + beyond
            }
            LossKind::Poisson => {
                // The value, with the slope that the scalar form has: half of the value's own.
                let logs = targets.clone().add_scalar(1e-6).log();
                let held = scores.clone().detach();
                let value =
                    (targets.clone() * (logs - held.clone()) - targets.clone() + held.clone().exp()).mul_scalar(2.0);
                value + (held.clone().exp() - targets) * (scores - held)
            }
            LossKind::Hinge => relu((scores * targets).neg().add_scalar(1.0)),
            LossKind::Logistic => log_sigmoid(scores * targets).neg(),
            LossKind::Softmax => log_softmax(scores, 1).gather(1, targets.int()).neg(),
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use contract::Levels;

    use super::*;

    const RANGE: LabelRange = LabelRange { min: -1.5, max: 1.25 };

    /// Per-row losses and the gradient of their sum with respect to the scores.
    fn by_autodiff(loss: LossKind, scores: &[f32], targets: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let device = Device::flex();
        let width = scores.len() / targets.len();
        let scores = matrix(scores.to_vec(), width, &device).autodiff().require_grad();
        let objective = Objective { loss, range: RANGE, scale: 1.0 };
        let losses = objective.per_row(scores.clone(), matrix(targets.to_vec(), 1, &device));
        let mut gradients = losses.clone().sum().backward();
        let gradient = scores.grad_remove(&mut gradients).unwrap();
        (losses.inner().into_data().try_into_vec().unwrap(), gradient.into_data().try_into_vec().unwrap())
    }

    fn assert_close(got: f32, expected: f64, context: &str) {
        assert!(
            (f64::from(got) - expected).abs() <= 1e-6 * expected.abs().max(1.0),
            "{context}: {got}, not {expected}"
        );
    }

    #[test]
    fn values_and_gradients_are_those_of_the_scalar_forms() {
        // Inside the range, outside of it on both sides, at its bounds, and at every kink.
        let scores = [-3.0_f32, -1.5, -1.0, -0.3, 0.0, 0.4, 1.0, 1.25, 2.0, 6.0];
        for label in [-1.5_f32, -1.0, 0.4, 1.0, 1.25] {
            for loss in [
                LossKind::Squared,
                LossKind::Classic,
                LossKind::Quantile(0.2),
                LossKind::Huber(0.6),
                LossKind::Poisson,
                LossKind::Hinge,
                LossKind::Logistic,
            ] {
                let label = match loss {
                    LossKind::Hinge | LossKind::Logistic => label.signum(),
                    LossKind::Poisson => label.abs(),
                    _ => label,
                };
                let (losses, gradients) = by_autodiff(loss, &scores, &vec![label; scores.len()]);
                for (index, score) in scores.iter().enumerate() {
                    let (p, y) = (f64::from(*score), f64::from(label));
                    assert_close(losses[index], loss.value(p, y, RANGE), &format!("{loss} at p={p}, y={y}"));
                    assert_close(
                        gradients[index],
                        loss.gradient(p, y, RANGE),
                        &format!("slope of {loss} at p={p}, y={y}"),
                    );
                }
            }
        }
    }

    #[test]
    fn quantiles_are_the_scalar_forms_of_their_levels() {
        let levels = Levels::new(&[0.1, 0.5, 0.8]).unwrap();
        // Below the label, above it, at it, and crossed.
        let scores = [-1.0_f32, 0.0, 1.5, 0.4, 0.4, 0.4, 2.0, 0.1, -3.0];
        let labels = [0.4_f32; 3];
        let (losses, gradients) = by_autodiff(LossKind::Quantiles(levels), &scores, &labels);
        for (row, (scores, label)) in scores.chunks(3).zip(labels).enumerate() {
            let scores: Vec<f64> = scores.iter().map(|score| f64::from(*score)).collect();
            assert_close(losses[row], levels.loss(&scores, f64::from(label)), "quantiles");
            for (place, (tau, score)) in levels.as_slice().iter().zip(&scores).enumerate() {
                let slope = LossKind::Quantile(*tau).gradient(*score, f64::from(label), RANGE) / 3.0;
                assert_close(gradients[row * 3 + place], slope, &format!("slope at level {tau} of {score}"));
            }
        }
    }

    #[test]
    fn softmax_is_the_scalar_form_of_the_true_class_probability() {
        let scores = [0.5_f32, -1.0, 2.0, 0.0, 0.0, 0.0, 3.0, 1.0, -2.0];
        let classes = [2_usize, 0, 1];
        let targets = classes.map(|class| class as f32);
        let (losses, gradients) = by_autodiff(LossKind::Softmax, &scores, &targets);
        for (row, truth) in classes.into_iter().enumerate() {
            let row_scores: Vec<f64> = scores[row * 3..row * 3 + 3].iter().map(|score| f64::from(*score)).collect();
            let total: f64 = row_scores.iter().map(|score| score.exp()).sum();
            let probabilities: Vec<f64> = row_scores.iter().map(|score| score.exp() / total).collect();
            let p = probabilities[truth];
            assert_close(losses[row], LossKind::Softmax.value(p, 0.0, RANGE), "softmax");
            for (index, other) in probabilities.iter().enumerate() {
                // The chain rule: dp/dz_j = p (δ − p_j).
                let inner = p * (f64::from(u8::from(index == truth)) - other);
                let expected = LossKind::Softmax.gradient(p, 0.0, RANGE) * inner;
                assert_close(gradients[row * 3 + index], expected, "slope of softmax");
            }
        }
    }

    #[test]
    fn smoothed_labels_are_the_mean_over_the_labels_they_stand_for() {
        let device = Device::flex();
        let part = 0.3;
        let row = |loss, scores: &[f32], target: f32, smoothing| -> f32 {
            let objective = Objective { loss, range: LabelRange::ALL, scale: 1.0 };
            let scores = matrix(scores.to_vec(), scores.len(), &device);
            let losses = objective.smoothed(scores, matrix(vec![target], 1, &device), smoothing);
            losses.into_data().try_into_vec::<f32>().unwrap()[0]
        };
        let scores = [0.7_f32, -1.1, 0.2];
        let plain: Vec<f32> = (0..3).map(|class| row(LossKind::Softmax, &scores, class as f32, 0.0)).collect();
        let expected = (1.0 - part) * plain[1] + part * plain.iter().sum::<f32>() / 3.0;
        assert!((row(LossKind::Softmax, &scores, 1.0, f64::from(part)) - expected).abs() < 1e-6);
        let plain = |label| row(LossKind::Logistic, &scores[..1], label, 0.0);
        let expected = (1.0 - part) * plain(-1.0) + part * f32::midpoint(plain(1.0), plain(-1.0));
        assert!((row(LossKind::Logistic, &scores[..1], -1.0, f64::from(part)) - expected).abs() < 1e-6);
    }

    #[test]
    fn a_loss_must_fit_its_task() {
        assert_eq!(Objective::choose(Task::Regression, None).unwrap(), LossKind::Classic);
        assert_eq!(Objective::choose(Task::Binary, Some(LossKind::Hinge)).unwrap(), LossKind::Hinge);
        let error = Objective::choose(Task::Multiclass, Some(LossKind::Hinge)).unwrap_err().to_string();
        assert_eq!(error, "loss hinge does not fit a multiclass task; expected softmax");
    }
}
