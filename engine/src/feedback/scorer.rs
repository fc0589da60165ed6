//! How one row is scored, by task: reading the label, and the losses of `contract::LossKind` on the remembered scores.
//!
//! Scores are kept as the model gave them: the predicted number or quantiles, or class probabilities. Margins are made here: the
//! log-odds of class 1 (binary), and the true class's log-probability over that of the best other (multiclass).

use contract::{LabelRange, Levels, LossKind, SMALLEST_PROBABILITY, Task, TaskSpec, Tensor, Value};

use crate::{Error, Result};

/// Most values that a scored row has: its losses, then what quality is computed from.
pub(super) const MEASURES: usize = 4;

/// The values of one scored row; what they are, the scorer's [`Scorer::losses`] and [`Scorer::quality`] tell.
pub(super) type Measured = [f64; MEASURES];

/// A label that fits the task.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Label {
    Number(f64),
    Class(usize),
}

/// Which columns of the score output are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    /// Columns of the output.
    pub(super) total: usize,
    /// The first one remembered.
    pub(super) first: usize,
    /// How many are remembered.
    pub(super) kept: usize,
}

/// Scores the rows of one version.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scorer {
    /// The predicted number is kept.
    Regression { tau: f64 },
    /// The predicted quantiles are kept.
    Quantiles { levels: Levels },
    /// The probability of class 1 is kept.
    Binary { classes: Vec<String> },
    /// The probabilities of all classes are kept.
    Multiclass { classes: Vec<String> },
}

impl Scorer {
    /// The scorer of a task, or why there is none.
    pub(super) fn new(task: &TaskSpec) -> Result<Self, String> {
        let classes = &task.classes;
        match task.task {
            Task::Regression => Ok(match task.loss {
                LossKind::Quantiles(levels) => Self::Quantiles { levels },
                LossKind::Quantile(tau) => Self::Regression { tau },
                LossKind::Squared
                | LossKind::Classic
                | LossKind::Huber(_)
                | LossKind::Poisson
                | LossKind::Hinge
                | LossKind::Logistic
                | LossKind::Softmax => Self::Regression { tau: 0.5 },
            }),
            Task::Binary if classes.len() == 2 => Ok(Self::Binary { classes: classes.clone() }),
            Task::Multiclass if classes.len() >= 2 => Ok(Self::Multiclass { classes: classes.clone() }),
            Task::Binary => Err(format!("a binary task has two classes, got {}", classes.len())),
            Task::Multiclass => Err(format!("a multiclass task has at least two classes, got {}", classes.len())),
        }
    }

    /// The columns to remember and all values of the score output, or what is wrong with it.
    pub(super) fn columns<'a>(&self, score: &'a Tensor) -> Result<(Columns, &'a [f32]), String> {
        let values = score.values::<f32>().ok_or_else(|| format!("is {}, expected FP32", score.datatype()))?;
        let expected = match self {
            Self::Regression { tau: _ } => 1,
            Self::Quantiles { levels } => levels.count(),
            Self::Binary { classes } | Self::Multiclass { classes } => classes.len(),
        };
        match *score.shape() {
            [rows, total] if rows > 0 && total == expected => {
                let (first, kept) = match self {
                    Self::Regression { tau: _ } => (0, 1),
                    Self::Binary { classes: _ } => (1, 1),
                    Self::Multiclass { classes: _ } | Self::Quantiles { levels: _ } => (0, total),
                };
                Ok((Columns { total, first, kept }, values))
            }
            _ => Err(format!("has shape {:?}, expected at least one row of {expected}", score.shape())),
        }
    }

    /// Reads a label: a finite number for regression, else a class by its text form.
    pub(super) fn parse(&self, label: &Value) -> Result<Label> {
        match self {
            Self::Regression { tau: _ } | Self::Quantiles { levels: _ } => match label {
                Value::Int(_) | Value::Float(_) => {
                    label.as_f64().filter(|number| number.is_finite()).map(Label::Number)
                }
                Value::Null | Value::Bool(_) | Value::Text(_) => None,
            }
            .ok_or_else(|| Error::BadRequest(format!("expected a number as label, got {}", quoted(label)))),
            Self::Binary { classes } | Self::Multiclass { classes } => {
                classes.iter().position(|class| is_class(class, label)).map(Label::Class).ok_or_else(|| {
                    let known = classes.iter().map(|class| format!("'{class}'")).collect::<Vec<_>>().join(", ");
                    Error::BadRequest(format!("expected one of the classes {known} as label, got {}", quoted(label)))
                })
            }
        }
    }

    /// The names of the losses, which come first among the values of a scored row.
    pub(super) const fn losses(&self) -> &'static [&'static str] {
        match self {
            Self::Regression { tau: _ } => &["squared", "classic", "quantile"],
            Self::Quantiles { levels: _ } => &["quantile"],
            Self::Binary { classes: _ } => &["logistic", "hinge"],
            Self::Multiclass { classes: _ } => &["softmax", "hinge"],
        }
    }

    /// Quality by name, from the means of a scored row's values.
    pub(super) fn quality(&self, means: &Measured) -> Vec<(&'static str, f64)> {
        match self {
            Self::Regression { tau: _ } => vec![("rmse", means[1].sqrt()), ("mae", means[3])],
            Self::Quantiles { levels: _ } => vec![("coverage", means[1]), ("width", means[2])],
            Self::Binary { classes: _ } | Self::Multiclass { classes: _ } => vec![("accuracy", means[2])],
        }
    }

    /// The values of one row. `range` holds the labels seen so far, this one included.
    pub(super) fn measure(&self, scores: &[f32], label: Label, range: LabelRange) -> Measured {
        match (self, label) {
            (Self::Regression { tau }, Label::Number(y)) => {
                let p = scores.first().copied().map_or(f64::NAN, f64::from);
                let loss = |kind: LossKind| kind.value(p, y, range);
                [loss(LossKind::Squared), loss(LossKind::Classic), loss(LossKind::Quantile(*tau)), (p - y).abs()]
            }
            (Self::Quantiles { levels }, Label::Number(y)) => {
                let mut predictions = [0.0; Levels::MOST];
                predictions.iter_mut().zip(scores).for_each(|(prediction, score)| *prediction = f64::from(*score));
                let predictions = &predictions[..scores.len().min(Levels::MOST)];
                let (low, high) = (predictions.first(), predictions.last());
                let (low, high) = low.zip(high).map_or((f64::NAN, f64::NAN), |(low, high)| (*low, *high));
                let covered = f64::from(u8::from(low <= y && y <= high));
                [levels.loss(predictions, y), covered, high - low, 0.0]
            }
            (Self::Binary { classes: _ }, Label::Class(class)) => {
                let p = scores.first().copied().map_or(f64::NAN, f64::from);
                let kept = p.clamp(SMALLEST_PROBABILITY, 1.0 - SMALLEST_PROBABILITY);
                let margin = (kept / (1.0 - kept)).ln();
                let y = if class == 1 { 1.0 } else { -1.0 };
                let correct = f64::from(u8::from((p > 0.5) == (class == 1)));
                [LossKind::Logistic.value(margin, y, range), LossKind::Hinge.value(margin, y, range), correct, 0.0]
            }
            (Self::Multiclass { classes: _ }, Label::Class(class)) => {
                let of = |score: f32| f64::from(score).clamp(SMALLEST_PROBABILITY, 1.0).ln();
                let own = scores.get(class).copied().unwrap_or(f32::NAN);
                let (mut best_other, mut correct) = (f64::NEG_INFINITY, true);
                for (other, score) in scores.iter().enumerate().filter(|(other, _)| *other != class) {
                    best_other = best_other.max(of(*score));
                    // Of equal probabilities the first one is the answer.
                    correct &= *score < own || (*score <= own && other > class);
                }
                let softmax = LossKind::Softmax.value(f64::from(own), 1.0, range);
                let hinge = LossKind::Hinge.value(of(own) - best_other, 1.0, range);
                [softmax, hinge, f64::from(u8::from(correct)), 0.0]
            }
            // `parse` gives each task its own kind of label.
            (Self::Regression { tau: _ } | Self::Quantiles { levels: _ }, Label::Class(_))
            | (Self::Binary { classes: _ } | Self::Multiclass { classes: _ }, Label::Number(_)) => [f64::NAN; MEASURES],
        }
    }
}

/// Whether `label` is the class: by text ("1" is 1 and 1.0, "true" is true), by number where both are one ("1.0" is 1),
/// and "True" is true as well.
fn is_class(class: &str, label: &Value) -> bool {
    match label {
        Value::Null => false,
        Value::Text(text) => class == text,
        Value::Bool(value) => class.eq_ignore_ascii_case(if *value { "true" } else { "false" }),
        Value::Int(value) => {
            class == value.to_string() || class.parse().is_ok_and(|class: f64| Some(class) == label.as_f64())
        }
        Value::Float(value) => class.parse().is_ok_and(|class: f64| class == *value),
    }
}

fn quoted(label: &Value) -> String {
    match label {
        Value::Text(text) => format!("'{text}'"),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => label.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(task: Task, classes: &[&str], loss: LossKind) -> TaskSpec {
        TaskSpec { task, classes: classes.iter().map(ToString::to_string).collect(), score: "y".to_owned(), loss }
    }

    fn close(got: Measured, expected: Measured) {
        for (got, expected) in got.into_iter().zip(expected) {
            assert!((got - expected).abs() < 1e-6, "{got} for {expected}");
        }
    }

    #[test]
    fn regression_by_hand() {
        let scorer = Scorer::new(&task(Task::Regression, &[], LossKind::Quantile(0.25))).unwrap();
        let range = LabelRange { min: 0.0, max: 2.0 };
        // Two beyond the largest label so far, label 1: squared goes on linearly.
        close(scorer.measure(&[4.0], Label::Number(1.0), range), [5.0, 9.0, 0.75 * 3.0, 3.0]);
        close(scorer.measure(&[0.5], Label::Number(1.0), range), [0.25, 0.25, 0.25 * 0.5, 0.5]);
        assert_eq!(scorer.quality(&[0.0, 9.0, 0.0, 2.5]), [("rmse", 3.0), ("mae", 2.5)]);
        let plain = Scorer::new(&task(Task::Regression, &[], LossKind::Squared)).unwrap();
        assert_eq!(plain, Scorer::Regression { tau: 0.5 });
    }

    #[test]
    fn quantiles_by_hand() {
        let levels = Levels::new(&[0.1, 0.5, 0.9]).unwrap();
        let scorer = Scorer::new(&task(Task::Regression, &[], LossKind::Quantiles(levels))).unwrap();
        let score = Tensor::from_values("y", vec![1, 3], &[1.0_f32, 2.0, 4.0]).unwrap();
        let (columns, values) = scorer.columns(&score).unwrap();
        assert_eq!(columns, Columns { total: 3, first: 0, kept: 3 });
        // 0.1 · 2, 0.5 · 1 and 0.1 · 1, over three; between 1 and 4.
        let inside = scorer.measure(values, Label::Number(3.0), LabelRange::ALL);
        close(inside, [0.8 / 3.0, 1.0, 3.0, 0.0]);
        close(scorer.measure(values, Label::Number(5.0), LabelRange::ALL), [(0.4 + 1.5 + 0.9) / 3.0, 0.0, 3.0, 0.0]);
        assert_eq!(scorer.losses(), ["quantile"]);
        assert_eq!(scorer.quality(&[0.5, 0.75, 3.0, 0.0]), [("coverage", 0.75), ("width", 3.0)]);
        let one = Tensor::from_values("y", vec![1, 1], &[1.0_f32]).unwrap();
        assert_eq!(scorer.columns(&one).unwrap_err(), "has shape [1, 1], expected at least one row of 3");
        assert!(scorer.parse(&Value::Text("x".to_owned())).is_err());
    }

    #[test]
    fn binary_by_hand() {
        let scorer = Scorer::new(&task(Task::Binary, &["no", "yes"], LossKind::Logistic)).unwrap();
        // Log-odds of 0.75 are ln 3.
        let margin = 3_f64.ln();
        let range = LabelRange::ALL;
        close(scorer.measure(&[0.75], Label::Class(1), range), [-(0.75_f64.ln()), 0.0, 1.0, 0.0]);
        close(scorer.measure(&[0.75], Label::Class(0), range), [-(0.25_f64.ln()), 1.0 + margin, 0.0, 0.0]);
        close(scorer.measure(&[0.5], Label::Class(0), range), [2_f64.ln(), 1.0, 1.0, 0.0]);
        let sure = scorer.measure(&[1.0], Label::Class(0), range);
        assert!((sure[0] + SMALLEST_PROBABILITY.ln()).abs() < 1e-6, "{sure:?}");
    }

    #[test]
    fn multiclass_by_hand() {
        let scorer = Scorer::new(&task(Task::Multiclass, &["a", "b", "c"], LossKind::Softmax)).unwrap();
        let range = LabelRange::ALL;
        let probabilities = [0.125, 0.5, 0.375];
        close(
            scorer.measure(&probabilities, Label::Class(1), range),
            [2_f64.ln(), 1.0 - (0.5_f64 / 0.375).ln(), 1.0, 0.0],
        );
        close(scorer.measure(&probabilities, Label::Class(0), range), [8_f64.ln(), 1.0 + 4_f64.ln(), 0.0, 0.0]);
        let tie = [0.4, 0.4, 0.2];
        assert_eq!(scorer.measure(&tie, Label::Class(0), range)[2], 1.0);
        assert_eq!(scorer.measure(&tie, Label::Class(1), range)[2], 0.0);
        assert!(scorer.measure(&[1.0, 0.0, 0.0], Label::Class(2), range).iter().all(|value| value.is_finite()));
    }

    #[test]
    fn labels_of_regression_are_numbers() {
        let scorer = Scorer::new(&task(Task::Regression, &[], LossKind::Squared)).unwrap();
        assert_eq!(scorer.parse(&Value::Int(3)).unwrap(), Label::Number(3.0));
        assert_eq!(scorer.parse(&Value::Float(2.5)).unwrap(), Label::Number(2.5));
        for label in [Value::Null, Value::Bool(true), Value::Text("3".to_owned()), Value::Float(f64::NAN)] {
            let message = scorer.parse(&label).unwrap_err().to_string();
            assert!(message.starts_with("expected a number as label, got "), "{message}");
        }
    }

    #[test]
    fn classes_match_by_their_text_form() {
        let parse = |classes: &[&str], label: Value| {
            Scorer::new(&task(Task::Binary, classes, LossKind::Logistic)).unwrap().parse(&label)
        };
        for label in [Value::Int(1), Value::Float(1.0), Value::Text("1".to_owned())] {
            assert_eq!(parse(&["0", "1"], label).unwrap(), Label::Class(1));
        }
        assert_eq!(parse(&["0.0", "1.0"], Value::Int(1)).unwrap(), Label::Class(1));
        assert_eq!(parse(&["false", "true"], Value::Bool(true)).unwrap(), Label::Class(1));
        assert_eq!(parse(&["False", "True"], Value::Bool(false)).unwrap(), Label::Class(0));
        for label in [Value::Null, Value::Bool(true), Value::Text("1.0".to_owned()), Value::Int(2), Value::Float(0.5)] {
            let message = parse(&["0", "1"], label.clone()).unwrap_err().to_string();
            let expected = format!("expected one of the classes '0', '1' as label, got {}", quoted(&label));
            assert_eq!(message, expected);
        }
    }

    #[test]
    fn refuses_tasks_and_scores_that_do_not_fit() {
        assert!(Scorer::new(&task(Task::Binary, &["a"], LossKind::Logistic)).is_err());
        assert!(Scorer::new(&task(Task::Multiclass, &["a"], LossKind::Softmax)).is_err());
        let scorer = Scorer::new(&task(Task::Binary, &["a", "b"], LossKind::Logistic)).unwrap();
        let wrong = Tensor::from_values("y", vec![1, 2], &[0.5_f64, 0.5]).unwrap();
        assert_eq!(scorer.columns(&wrong).unwrap_err(), "is FP64, expected FP32");
        for shape in [vec![2], vec![2, 1], vec![1, 2, 1]] {
            let wrong = Tensor::from_values("y", shape.clone(), &[0.5_f32, 0.5]).unwrap();
            let message = format!("has shape {shape:?}, expected at least one row of 2");
            assert_eq!(scorer.columns(&wrong).unwrap_err(), message);
        }
    }
}
