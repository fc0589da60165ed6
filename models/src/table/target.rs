//! The predicted column: what task it sets, and its values as the numbers that a model is trained on.

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write as _,
};

use contract::{ColumnKind, Task};
use serde::{Deserialize, Serialize};

use super::{
    cell::{Cell, present},
    data::{Table, column_error},
    date,
    encode::moments,
};
use crate::Result;

/// A column with more distinct values is no set of classes but an identifier or a free text.
const MAX_CLASSES: usize = 1000;

/// How a model's numbers stand for the target's values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetEncoder {
    /// The model gives `(y − mean) / std`.
    Regression {
        /// Mean over the training rows.
        mean: f64,
        /// Standard deviation over the training rows; 1 where all values are equal.
        std: f64,
    },
    /// The model gives one number a class; a class stands for its place in this list.
    Classes(Vec<String>),
}

impl TargetEncoder {
    /// The task that predicting column `target` sets, when `asked` leaves it open: strings and booleans are classes; numbers
    /// are a regression, unless they all are 0 or 1. An `asked` task is checked against the column.
    ///
    /// # Errors
    /// [`crate::Error::Column`] when there is no such column or it does not suit a task, or the task asked for.
    pub fn infer_task(table: &Table, target: &str, asked: Option<Task>) -> Result<Task> {
        let index = table.column_index(target)?;
        let kind = table.kind(index);
        let wrong = |reason: String| Err(column_error(target, reason));
        if kind == ColumnKind::Date {
            return wrong("expected a number, boolean or category to predict, got a date".to_owned());
        }
        match (asked, kind) {
            (Some(Task::Regression), ColumnKind::Numeric | ColumnKind::Boolean) => return Ok(Task::Regression),
            (Some(Task::Regression), ColumnKind::Categorical | ColumnKind::Date) => {
                return wrong(format!("expected numbers for a regression, got a {} column", kind.name()));
            }
            (None, ColumnKind::Numeric) if !is_zero_or_one(table, index) => return Ok(Task::Regression),
            (None | Some(Task::Binary | Task::Multiclass), _) => {}
        }
        let rows = table.present_rows(target)?;
        let classes = distinct(table, target, index, &rows)?;
        match (asked, classes.len()) {
            (_, 0 | 1) => wrong(format!("expected at least two classes to predict, got {}", classes.len())),
            (None | Some(Task::Binary), 2) => Ok(Task::Binary),
            (Some(Task::Binary), count) => wrong(format!("expected two classes for a binary task, got {count}")),
            (Some(Task::Multiclass), 2) => {
                wrong("expected three or more classes for a multiclass task, got 2; use binary".to_owned())
            }
            (None | Some(Task::Multiclass), _) => Ok(Task::Multiclass),
            (Some(Task::Regression), _) => Ok(Task::Regression),
        }
    }

    /// Fits the target on the training rows `rows`; the task is the one of [`TargetEncoder::infer_task`].
    ///
    /// # Errors
    /// As [`TargetEncoder::infer_task`], and when a training row has no value or an infinite one, or the training rows hold
    /// fewer than two classes.
    pub fn fit(table: &Table, target: &str, task: Option<Task>, rows: &[usize]) -> Result<(Self, Task)> {
        let task = Self::infer_task(table, target, task)?;
        let index = table.column_index(target)?;
        if rows.is_empty() {
            return Err(column_error(target, "expected at least one training row, got none"));
        }
        let encoder = match task {
            Task::Regression => {
                let values = rows.iter().map(|row| number(table, target, index, *row)).collect::<Result<Vec<_>>>()?;
                let (mean, std) = moments(&values).unwrap_or((values[0], 1.0));
                Self::Regression { mean, std }
            }
            Task::Binary | Task::Multiclass => {
                let mut classes: Vec<String> = distinct(table, target, index, rows)?.into_iter().collect();
                if classes.len() < 2 {
                    return Err(column_error(
                        target,
                        format!("expected two classes in the training rows, got {}", classes.len()),
                    ));
                }
                if table.kind(index) == ColumnKind::Numeric {
                    let value = |class: &String| class.parse::<f64>().unwrap_or(f64::NAN);
                    classes.sort_by(|a, b| value(a).total_cmp(&value(b)));
                }
                Self::Classes(classes)
            }
        };
        Ok((encoder, task))
    }

    /// The target of `rows` as numbers: standardised (regression) or the class's place in the list.
    ///
    /// # Errors
    /// [`crate::Error::Column`] when a row has no value, an infinite one, or a class that was not fitted.
    pub fn encode(&self, table: &Table, target: &str, rows: &[usize]) -> Result<Vec<f32>> {
        let index = table.column_index(target)?;
        match self {
            Self::Regression { mean, std } => {
                rows.iter().map(|row| Ok(((number(table, target, index, *row)? - mean) / std) as f32)).collect()
            }
            Self::Classes(classes) => {
                let places: HashMap<&str, f32> =
                    classes.iter().enumerate().map(|(i, class)| (class.as_str(), i as f32)).collect();
                let mut text = String::new();
                rows.iter()
                    .map(|row| {
                        class(table, target, index, *row, &mut text)?;
                        places.get(text.as_str()).copied().ok_or_else(|| {
                            column_error(
                                target,
                                format!("expected one of the classes {}, got '{text}'", classes.join(", ")),
                            )
                        })
                    })
                    .collect()
            }
        }
    }

    /// A regression's prediction from the model's number; a class encoder gives the number itself.
    #[must_use]
    pub fn decode(&self, value: f32) -> f32 {
        match self {
            Self::Regression { mean, std } => std.mul_add(f64::from(value), *mean) as f32,
            Self::Classes(_) => value,
        }
    }

    /// The class labels in the order of the model's numbers; none for a regression.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        match self {
            Self::Regression { mean: _, std: _ } => &[],
            Self::Classes(classes) => classes,
        }
    }

    /// A number for each of `rows` that is equal where column `target` is, to split classes in proportion.
    ///
    /// # Errors
    /// [`crate::Error::Column`] when there is no such column, or a row has no value.
    pub fn strata(table: &Table, target: &str, rows: &[usize]) -> Result<Vec<u32>> {
        let index = table.column_index(target)?;
        let mut seen: HashMap<String, u32> = HashMap::new();
        let mut text = String::new();
        rows.iter()
            .map(|row| {
                class(table, target, index, *row, &mut text)?;
                let next = u32::try_from(seen.len()).unwrap_or(u32::MAX);
                Ok(seen.get(text.as_str()).copied().unwrap_or_else(|| *seen.entry(text.clone()).or_insert(next)))
            })
            .collect()
    }

    /// What is wrong with an encoder that was read from a file.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self {
            Self::Regression { mean, std } if mean.is_finite() && std.is_finite() && *std > 0.0 => Ok(()),
            Self::Regression { mean, std } => Err(format!("mean {mean} and standard deviation {std}")),
            Self::Classes(classes) => {
                let distinct: BTreeSet<&String> = classes.iter().collect();
                if classes.len() >= 2 && distinct.len() == classes.len() {
                    Ok(())
                } else {
                    Err(format!("{} classes, {} of them distinct", classes.len(), distinct.len()))
                }
            }
        }
    }
}

fn is_zero_or_one(table: &Table, index: usize) -> bool {
    let column = table.column(index);
    let (mut zero, mut one) = (false, false);
    for row in 0..table.rows() {
        match column.cell(row).number() {
            Ok(None) => {}
            Ok(Some(0.0)) => zero = true,
            Ok(Some(1.0)) => one = true,
            Ok(Some(_)) | Err(_) => return false,
        }
    }
    zero && one
}

/// The target's number in `row`.
fn number(table: &Table, target: &str, index: usize, row: usize) -> Result<f64> {
    let value = if row < table.rows() { table.column(index).cell(row).number().unwrap_or(None) } else { None };
    let value = value.ok_or_else(|| missing(target, row))?;
    if value.is_finite() {
        Ok(value)
    } else {
        Err(column_error(target, format!("expected a finite number to predict, got {value} in row {}", row + 1)))
    }
}

/// Writes the class in `row` to `text`: whole numbers without a fraction, booleans as true and false.
fn class(table: &Table, target: &str, index: usize, row: usize, text: &mut String) -> Result<()> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    text.clear();
    let cell = if row < table.rows() { table.column(index).cell(row) } else { Cell::Missing };
    // Writing to a string does not fail.
    let _ = match cell {
        Cell::Number(value) if value.trunc() == value && value.abs() < EXACT => write!(text, "{}", value as i64),
        Cell::Number(value) if !value.is_nan() => write!(text, "{value}"),
        Cell::Boolean(value) => write!(text, "{value}"),
        Cell::Time(micros) => write!(text, "{}", date::Iso(micros)),
        Cell::Text(bytes) => match present(bytes) {
            Some(bytes) => write!(text, "{}", String::from_utf8_lossy(bytes)),
            None => return Err(missing(target, row)),
        },
        Cell::Missing | Cell::Number(_) => return Err(missing(target, row)),
    };
    Ok(())
}

/// The distinct classes of `rows`, ordered as text.
fn distinct(table: &Table, target: &str, index: usize, rows: &[usize]) -> Result<BTreeSet<String>> {
    let mut classes = BTreeSet::new();
    let mut text = String::new();
    for row in rows {
        class(table, target, index, *row, &mut text)?;
        if !classes.contains(text.as_str()) {
            classes.insert(text.clone());
        }
        if classes.len() > MAX_CLASSES {
            return Err(column_error(target, format!("expected at most {MAX_CLASSES} classes to predict, got more")));
        }
    }
    Ok(classes)
}

fn missing(target: &str, row: usize) -> crate::Error {
    column_error(target, format!("expected a value to predict in row {}, got none", row + 1))
}
