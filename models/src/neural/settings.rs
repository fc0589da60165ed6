//! What a person sets about a net and its training, with defaults that suit tables of a thousand to a million rows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Sizes of the net and settings of its training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MlpSettings {
    /// Units of each hidden layer.
    pub hidden: Vec<usize>,
    /// Share of hidden units switched off in each training step, in `[0, 1)`.
    pub dropout: f64,
    /// Step size of AdamW.
    pub learning_rate: f64,
    /// Decoupled weight decay of AdamW.
    pub weight_decay: f64,
    /// Rows per training step. Batches are made equal: an epoch of `n` rows has ⌈n / batch size⌉ steps of ⌊n / steps⌋ rows,
    /// so it leaves out fewer rows than it has steps, others each time.
    pub batch_size: usize,
    /// Largest number of passes over the training rows.
    pub epochs: usize,
    /// Training stops when the validation loss has not fallen for this many epochs.
    pub patience: usize,
    /// The gradient of all parameters together is shortened to this length when it is longer.
    pub gradient_clip: f64,
}

impl Default for MlpSettings {
    fn default() -> Self {
        Self {
            hidden: vec![128, 128],
            dropout: 0.1,
            learning_rate: 1e-3,
            weight_decay: 1e-5,
            batch_size: 256,
            epochs: 200,
            patience: 16,
            gradient_clip: 1.0,
        }
    }
}

/// Limits that keep a typing mistake from asking for more memory than there is.
const MOST_LAYERS: usize = 32;
const MOST_UNITS: usize = 65_536;

impl MlpSettings {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`Error::Setting`] that names the first one out of its range.
    pub fn validate(&self) -> Result<()> {
        let Self { hidden, dropout, learning_rate, weight_decay, batch_size, epochs, patience, gradient_clip } = self;
        let checks = [
            (
                hidden.len() <= MOST_LAYERS && hidden.iter().all(|units| (1..=MOST_UNITS).contains(units)),
                format!("expected at most {MOST_LAYERS} hidden layers of 1 to {MOST_UNITS} units, got {hidden:?}"),
            ),
            ((0.0..1.0).contains(dropout), format!("expected a dropout in [0, 1), got {dropout}")),
            (
                *learning_rate > 0.0 && learning_rate.is_finite(),
                format!("expected a learning rate above 0, got {learning_rate}"),
            ),
            (
                *weight_decay >= 0.0 && weight_decay.is_finite(),
                format!("expected a weight decay of 0 or more, got {weight_decay}"),
            ),
            (*batch_size > 0, "expected a batch size of 1 or more, got 0".to_owned()),
            (*epochs > 0, "expected 1 epoch or more, got 0".to_owned()),
            (*patience > 0, "expected a patience of 1 epoch or more, got 0".to_owned()),
            (*gradient_clip > 0.0, format!("expected a gradient clip above 0, got {gradient_clip}")),
        ];
        match checks.into_iter().find(|(holds, _)| !holds) {
            Some((_, message)) => Err(Error::Setting(message)),
            None => Ok(()),
        }
    }

    /// The settings by name, as they are stored with a version.
    #[must_use]
    pub fn by_name(&self) -> BTreeMap<String, serde_json::Value> {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(settings)) => settings.into_iter().collect(),
            Ok(_) | Err(_) => BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_setting_that_is_out_of_range() {
        assert!(MlpSettings::default().validate().is_ok());
        assert!(MlpSettings { hidden: vec![], ..MlpSettings::default() }.validate().is_ok());
        let base = MlpSettings::default;
        for (settings, word) in [
            (MlpSettings { hidden: vec![0], ..base() }, "hidden"),
            (MlpSettings { hidden: vec![1_000_000], ..base() }, "hidden"),
            (MlpSettings { dropout: 1.0, ..base() }, "dropout"),
            (MlpSettings { dropout: f64::NAN, ..base() }, "dropout"),
            (MlpSettings { learning_rate: 0.0, ..base() }, "learning rate"),
            (MlpSettings { weight_decay: -1.0, ..base() }, "weight decay"),
            (MlpSettings { batch_size: 0, ..base() }, "batch size"),
            (MlpSettings { epochs: 0, ..base() }, "epoch"),
            (MlpSettings { patience: 0, ..base() }, "patience"),
            (MlpSettings { gradient_clip: 0.0, ..base() }, "gradient clip"),
        ] {
            let error = settings.validate().unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn settings_are_stored_by_name() {
        let stored = MlpSettings::default().by_name();
        assert_eq!(stored["hidden"], serde_json::json!([128, 128]));
        assert_eq!(stored.len(), 8);
    }
}
