//! What rows weigh in the loss: by a column of the table, and so that classes weigh the same.

use super::train::TrainOptions;
use crate::{
    Error, Result,
    table::{Table, TargetEncoder},
};

/// Weights of rows.
pub(crate) struct Weigh {
    column: Option<String>,
    /// What a row of each class weighs; empty when all weigh the same.
    classes: Vec<f32>,
    /// What weights are multiplied by, so that training rows weigh 1 on average.
    scale: f64,
}

impl Weigh {
    /// Weights as `options` say, for training rows with encoded `labels`.
    pub(crate) fn new(options: &TrainOptions, table: &Table, target: &TargetEncoder, labels: &[f32]) -> Result<Self> {
        let classes = match (options.model.balanced, target) {
            (false, _) => Vec::new(),
            (true, TargetEncoder::Regression { .. }) => {
                let message = "expected classes to weigh alike, got numbers to predict".to_owned();
                return Err(Error::Setting(message));
            }
            (true, TargetEncoder::Classes(names)) => {
                let mut counts = vec![0_usize; names.len()];
                for label in labels {
                    counts[class(*label)] += 1;
                }
                let mean = labels.len() as f64 / names.len().max(1) as f64;
                counts.into_iter().map(|count| (mean / count.max(1) as f64) as f32).collect()
            }
        };
        if let Some(name) = &options.weight {
            table.column_index(name)?;
        }
        Ok(Self { column: options.weight.clone(), classes, scale: 1.0 })
    }

    /// With weights that are 1 on average over the training `rows`.
    pub(crate) fn scaled(mut self, table: &Table, rows: &[usize], labels: &[f32]) -> Result<Self> {
        let weights = self.rows(table, rows, labels)?;
        if !weights.is_empty() {
            let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
            if total <= 0.0 {
                return Err(Error::Setting("expected training rows that weigh something, got none".to_owned()));
            }
            self.scale = weights.len() as f64 / total;
        }
        Ok(self)
    }

    /// What `rows` with encoded `labels` weigh; nothing when all weigh the same.
    pub(crate) fn rows(&self, table: &Table, rows: &[usize], labels: &[f32]) -> Result<Vec<f32>> {
        let Self { column, classes, scale } = self;
        if column.is_none() && classes.is_empty() {
            return Ok(Vec::new());
        }
        let own = match column {
            Some(name) => table.weights(name, rows)?,
            None => vec![1.0; rows.len()],
        };
        let weight = |(own, label): (f64, &f32)| {
            let of_class = classes.get(class(*label)).copied().map_or(1.0, f64::from);
            (own * of_class * scale) as f32
        };
        Ok(own.into_iter().zip(labels).map(weight).collect())
    }
}

#[expect(clippy::cast_sign_loss, reason = "class numbers are not negative")]
const fn class(label: f32) -> usize {
    label as usize
}
