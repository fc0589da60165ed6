//! From a net's scores to a model's outputs, on the host.
//!
//! | task | scores a row | outputs |
//! | --- | --- | --- |
//! | regression | the standardised target, or with the Poisson loss the logarithm of a rate | `prediction` FP32 `[-1, 1]` |
//! | regression by quantiles | a quantile of the standardised target for each level | `prediction` FP32 `[-1, levels]`, rising |
//! | binary | the margin (log-odds of class 1) | `label` BYTES `[-1, 1]`, `probabilities` FP32 `[-1, 2]` |
//! | multiclass | one per class | `label` BYTES `[-1, 1]`, `probabilities` FP32 `[-1, K]` |
//! | none (an import) | as they are | one FP32 `[-1, k]` of a chosen name |
//!
//! Probabilities of a binary net are the logistic function of its margin. For a net trained with the logistic loss they
//! are estimates of probabilities; one trained with the hinge loss gives no calibrated ones, and these only order its
//! answers as its margins do.

use contract::{AlignedBuffer, DataType, InputError, LossKind, Signature, Strings, Task, TaskSpec, Tensor, TensorSpec};

use super::{metrics::most_likely, nets::Average};
use crate::table::TargetEncoder;

/// Name of the predicted number.
pub const PREDICTION: &str = "prediction";
/// Name of the predicted class.
pub const LABEL: &str = "label";
/// Name of the class probabilities.
pub const PROBABILITIES: &str = "probabilities";

/// Rates are kept within e to this power and its inverse, as Vowpal Wabbit keeps them.
const LARGEST_LOG_RATE: f64 = 50.0;

/// How scores become outputs. Quantiles that were learned one by one may cross; each row's are put in order, and are no further from
/// the true ones for it when taken together (Chernozhukov, Fernández-Val and Galichon, "Quantile and probability curves without
/// crossing", 2010).
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Head {
    /// One score, the target standardised.
    Number { mean: f64, std: f64 },
    /// A score for each of several quantiles, the target standardised.
    Quantiles { mean: f64, std: f64, levels: usize },
    /// One score, the logarithm of a rate.
    Rate,
    /// One score, the margin of the second of two classes.
    Margin { classes: [String; 2] },
    /// One score a class.
    Softmax { classes: Vec<String> },
    /// The scores themselves.
    Scores { width: usize },
}

impl Head {
    /// The head of a net that predicts what `target` encodes, trained with `loss`.
    pub(crate) fn new(target: &TargetEncoder, loss: LossKind) -> Self {
        match target {
            TargetEncoder::Regression { .. } if loss == LossKind::Poisson => Self::Rate,
            TargetEncoder::Regression { mean, std } => match loss {
                LossKind::Quantiles(levels) => Self::Quantiles { mean: *mean, std: *std, levels: levels.count() },
                _ => Self::Number { mean: *mean, std: *std },
            },
            TargetEncoder::Classes(classes) => match classes.as_slice() {
                [first, second] => Self::Margin { classes: [first.clone(), second.clone()] },
                _ => Self::Softmax { classes: classes.clone() },
            },
        }
    }

    /// Scores per row.
    pub(crate) fn scores(&self) -> usize {
        match self {
            Self::Number { mean: _, std: _ } | Self::Rate | Self::Margin { classes: _ } => 1,
            Self::Softmax { classes } => classes.len(),
            Self::Quantiles { mean: _, std: _, levels: width } | Self::Scores { width } => *width,
        }
    }

    /// What the scores of an ensemble's members are averaged as.
    pub(crate) const fn average(&self) -> Average {
        match self {
            Self::Number { mean: _, std: _ }
            | Self::Quantiles { mean: _, std: _, levels: _ }
            | Self::Scores { width: _ } => Average::Scores,
            Self::Rate => Average::Rates,
            Self::Margin { classes: _ } => Average::Margins,
            Self::Softmax { classes: _ } => Average::Classes,
        }
    }

    /// What is predicted; none for plain scores.
    pub(crate) fn task(&self) -> Option<Task> {
        match self {
            Self::Number { mean: _, std: _ } | Self::Quantiles { mean: _, std: _, levels: _ } | Self::Rate => {
                Some(Task::Regression)
            }
            Self::Margin { classes: _ } => Some(Task::Binary),
            Self::Softmax { classes: _ } => Some(Task::Multiclass),
            Self::Scores { width: _ } => None,
        }
    }

    /// How feedback reads the outputs, for a net trained with `loss`; none for plain scores.
    pub(crate) fn task_spec(&self, loss: LossKind) -> Option<TaskSpec> {
        let (classes, score) = match self {
            Self::Number { mean: _, std: _ } | Self::Quantiles { mean: _, std: _, levels: _ } | Self::Rate => {
                (Vec::new(), PREDICTION)
            }
            Self::Margin { classes } => (classes.to_vec(), PROBABILITIES),
            Self::Softmax { classes } => (classes.clone(), PROBABILITIES),
            Self::Scores { width: _ } => return None,
        };
        self.task().map(|task| TaskSpec { task, classes, score: score.to_owned(), loss })
    }

    /// The outputs; `scores` names them for plain scores.
    pub(crate) fn outputs(&self, scores: &str) -> Vec<TensorSpec> {
        let classes = match self {
            Self::Number { mean: _, std: _ } | Self::Rate => {
                return vec![TensorSpec::rows(PREDICTION, DataType::Fp32, 1)];
            }
            Self::Quantiles { mean: _, std: _, levels } => {
                return vec![TensorSpec::rows(PREDICTION, DataType::Fp32, *levels)];
            }
            Self::Scores { width } => return vec![TensorSpec::rows(scores, DataType::Fp32, *width)],
            Self::Margin { classes: _ } => 2,
            Self::Softmax { classes } => classes.len(),
        };
        vec![TensorSpec::rows(LABEL, DataType::Bytes, 1), TensorSpec::rows(PROBABILITIES, DataType::Fp32, classes)]
    }

    /// The outputs named in `wanted` (all of the signature's when it is empty) of `scores`, row-major.
    ///
    /// # Errors
    /// [`InputError::UnknownOutput`].
    pub(crate) fn decode(
        &self,
        scores: &[f32],
        signature: &Signature,
        wanted: &[String],
    ) -> Result<Vec<Tensor>, InputError> {
        let all = || signature.outputs.iter().map(|spec| &spec.name);
        let unknown =
            |name: &String| InputError::UnknownOutput { name: name.clone(), expected: signature.describe_outputs() };
        if let Some(name) = wanted.iter().find(|name| !all().any(|known| known == *name)) {
            return Err(unknown(name));
        }
        let names: Vec<&String> = if wanted.is_empty() { all().collect() } else { wanted.iter().collect() };
        let probabilities = self.probabilities(scores);
        names.into_iter().map(|name| self.output(name, scores, &probabilities)).collect()
    }

    fn output(&self, name: &str, scores: &[f32], probabilities: &[f32]) -> Result<Tensor, InputError> {
        match self {
            Self::Number { mean, std } => {
                let values: Vec<f32> = scores.iter().map(|score| (f64::from(*score) * std + mean) as f32).collect();
                Tensor::from_values(name, vec![values.len(), 1], &values)
            }
            Self::Quantiles { mean, std, levels } => {
                let mut values: Vec<f32> = scores.iter().map(|score| (f64::from(*score) * std + mean) as f32).collect();
                let levels = (*levels).max(1);
                values.chunks_exact_mut(levels).for_each(|row| row.sort_unstable_by(f32::total_cmp));
                Tensor::from_values(name, vec![values.len() / levels, levels], &values)
            }
            Self::Rate => {
                let rate = |score: &f32| f64::from(*score).clamp(-LARGEST_LOG_RATE, LARGEST_LOG_RATE).exp() as f32;
                let values: Vec<f32> = scores.iter().map(rate).collect();
                Tensor::from_values(name, vec![values.len(), 1], &values)
            }
            Self::Scores { width } => {
                let shape = vec![scores.len() / (*width).max(1), *width];
                Tensor::from_buffer(name, DataType::Fp32, shape, AlignedBuffer::from_slice(scores))
            }
            Self::Margin { classes } => class_output(name, classes, probabilities),
            Self::Softmax { classes } => class_output(name, classes, probabilities),
        }
    }

    /// Class probabilities of `scores`, row-major; empty for numbers and plain scores. Taken in f64, so that they sum to
    /// one as far as f32 can say.
    fn probabilities(&self, scores: &[f32]) -> Vec<f32> {
        match self {
            Self::Number { mean: _, std: _ }
            | Self::Quantiles { mean: _, std: _, levels: _ }
            | Self::Rate
            | Self::Scores { width: _ } => Vec::new(),
            Self::Margin { classes: _ } => scores
                .iter()
                .flat_map(|margin| {
                    // Each side from its own sign: 1 − p would lose what is small.
                    let side = |margin: f64| (1.0 / (1.0 + (-margin).exp())) as f32;
                    [side(-f64::from(*margin)), side(f64::from(*margin))]
                })
                .collect(),
            Self::Softmax { classes } => {
                let mut probabilities = Vec::with_capacity(scores.len());
                for row in scores.chunks_exact(classes.len().max(1)) {
                    let largest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
                    let total: f64 = row.iter().map(|score| (f64::from(*score) - largest).exp()).sum();
                    probabilities.extend(row.iter().map(|score| ((f64::from(*score) - largest).exp() / total) as f32));
                }
                probabilities
            }
        }
    }
}

fn class_output(name: &str, classes: &[String], probabilities: &[f32]) -> Result<Tensor, InputError> {
    let rows = probabilities.len() / classes.len().max(1);
    if name == LABEL {
        let labels: Strings =
            probabilities.chunks_exact(classes.len().max(1)).map(|row| classes[most_likely(row)].as_bytes()).collect();
        return Tensor::from_strings(name, vec![rows, 1], labels);
    }
    Tensor::from_values(name, vec![rows, classes.len()], probabilities)
}

#[cfg(test)]
mod tests {
    use contract::Levels;

    use super::*;

    fn signature(head: &Head) -> Signature {
        let task = head.task_spec(LossKind::Logistic);
        Signature { inputs: vec![], outputs: head.outputs("y"), columns: vec![], task }
    }

    fn decode(head: &Head, scores: &[f32], wanted: &[&str]) -> Result<Vec<Tensor>, InputError> {
        let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
        head.decode(scores, &signature(head), &wanted)
    }

    #[test]
    fn numbers_are_in_the_units_of_the_target() {
        let head = Head::Number { mean: 10.0, std: 2.0 };
        let outputs = decode(&head, &[0.0, -1.5], &[]).unwrap();
        assert_eq!((outputs[0].name(), outputs[0].shape()), ("prediction", [2, 1].as_slice()));
        assert_eq!(outputs[0].values::<f32>(), Some([10.0, 7.0].as_slice()));
    }

    #[test]
    fn quantiles_are_in_order() {
        let loss = LossKind::Quantiles(Levels::new(&[0.1, 0.5, 0.9]).unwrap());
        let head = Head::new(&TargetEncoder::Regression { mean: 10.0, std: 2.0 }, loss);
        assert_eq!((head.scores(), head.average()), (3, Average::Scores));
        let outputs = decode(&head, &[-1.0, 0.0, 1.0, 0.5, -2.0, 0.25], &[]).unwrap();
        assert_eq!((outputs[0].name(), outputs[0].shape()), ("prediction", [2, 3].as_slice()));
        assert_eq!(outputs[0].values::<f32>(), Some([8.0, 10.0, 12.0, 6.0, 10.5, 11.0].as_slice()));
    }

    #[test]
    fn logarithms_become_rates_that_are_finite() {
        let head = Head::new(&TargetEncoder::Regression { mean: 0.0, std: 1.0 }, LossKind::Poisson);
        let outputs = decode(&head, &[0.0, 2.0, 1e9, -1e9], &[]).unwrap();
        let rates = outputs[0].values::<f32>().unwrap();
        assert_eq!((rates[0], rates[1]), (1.0, 2_f32.exp()));
        assert!(rates[2].is_finite() && rates[3] > 0.0);
    }

    #[test]
    fn margins_become_labels_and_probabilities() {
        let head = Head::new(&TargetEncoder::Classes(vec!["no".to_owned(), "yes".to_owned()]), LossKind::Logistic);
        let outputs = decode(&head, &[0.0, 40.0, -1.0], &[]).unwrap();
        let labels: Vec<&[u8]> = outputs[0].strings().unwrap().iter().collect();
        assert_eq!(labels, [b"no".as_slice(), b"yes", b"no"]);
        let probabilities = outputs[1].values::<f32>().unwrap();
        assert_eq!(outputs[1].shape(), [3, 2]);
        assert_eq!(&probabilities[..2], [0.5, 0.5]);
        assert!(probabilities[2] > 0.0 && probabilities[2] < 1e-16, "small probabilities are not lost");
        assert!((probabilities[5] - 1.0 / (1.0 + 1_f32.exp())).abs() < 1e-7);
    }

    #[test]
    fn scores_become_softmax_probabilities_without_overflow() {
        let classes = ["a", "b", "c"].map(str::to_owned).to_vec();
        let head = Head::new(&TargetEncoder::Classes(classes), LossKind::Softmax);
        let outputs = decode(&head, &[1e4, 0.0, 1e4, 1.0, 3.0, 2.0], &["probabilities", "label"]).unwrap();
        let probabilities = outputs[0].values::<f32>().unwrap();
        assert_eq!(&probabilities[..3], [0.5, 0.0, 0.5]);
        let total: f32 = probabilities[3..].iter().sum();
        assert!((total - 1.0).abs() < 1e-6);
        assert_eq!(outputs[1].strings().unwrap().get(1), Some(b"b".as_slice()));
    }

    #[test]
    fn names_the_outputs_there_are() {
        let error = decode(&Head::Scores { width: 2 }, &[1.0, 2.0], &["z"]).unwrap_err().to_string();
        assert_eq!(error, "unknown output 'z'; expected 'y' FP32 [-1, 2]");
        let outputs = decode(&Head::Scores { width: 2 }, &[1.0, 2.0], &["y"]).unwrap();
        assert_eq!(outputs[0].values::<f32>(), Some([1.0, 2.0].as_slice()));
    }
}
