//! What is known about a model version: written by training or import, kept by the registry, shown to people.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{LossKind, Task};

/// What a table's column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnKind {
    /// Numbers.
    Numeric,
    /// True or false.
    Boolean,
    /// One of a set of strings.
    Categorical,
    /// A date or a point in time, in ISO 8601.
    Date,
}

impl ColumnKind {
    /// The name in metadata and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Numeric => "numeric",
            Self::Boolean => "boolean",
            Self::Categorical => "categorical",
            Self::Date => "date",
        }
    }
}

/// Name and type of a column.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ColumnSpec {
    /// Name in the table's header.
    pub name: String,
    /// What it holds.
    pub kind: ColumnKind,
}

/// Why training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrainingEnd {
    /// All epochs were run.
    Completed,
    /// The validation loss had not fallen for `patience` epochs.
    EarlyStopped,
    /// The time budget was used up; the best weights so far were kept.
    TimeBudget,
    /// Ctrl-C or a cancelled job; the best weights so far were kept.
    Interrupted,
    /// The loss was no longer a number; the best weights before that were kept.
    Diverged,
}

/// Losses after one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Epoch, from 1.
    pub epoch: usize,
    /// Mean training loss over the epoch.
    pub training_loss: f64,
    /// Loss on the held-out rows after the epoch.
    pub validation_loss: f64,
    /// Seconds since training began.
    pub seconds: f64,
}

/// Everything that training or import knows about a version. The registry adds name, number, time, place and size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VersionMetadata {
    /// Model kind, such as `mlp`.
    pub kind: String,
    /// What it predicts; absent for an import without a task.
    pub task: Option<Task>,
    /// Who made it.
    pub author: Option<String>,
    /// Seconds of training; absent for an import.
    pub seconds_trained: Option<f64>,
    /// Feature columns with their types.
    pub features: Vec<ColumnSpec>,
    /// The predicted column.
    pub target: Option<ColumnSpec>,
    /// Rows trained on.
    pub training_rows: Option<u64>,
    /// SHA-256 of the training data file.
    pub data_digest: Option<String>,
    /// The loss it was trained with.
    pub loss: Option<LossKind>,
    /// Settings of the model and the training, by name.
    pub hyper_parameters: BTreeMap<String, serde_json::Value>,
    /// Quality on the held-out rows, by name (`rmse`, `mae`, `r2`; or `accuracy`, `log_loss`, `roc_auc`).
    pub metrics: BTreeMap<String, f64>,
    /// Losses by epoch.
    pub curves: Vec<CurvePoint>,
    /// Why training ended; absent for an import.
    pub training_end: Option<TrainingEnd>,
    /// Versions of the packages that decide the result, by name.
    pub packages: BTreeMap<String, String>,
    /// Commit of the git work tree that training ran in.
    pub git_commit: Option<String>,
    /// Device it was trained on, in its short form.
    pub device: Option<String>,
    /// The version it was made from.
    pub parent: Option<u32>,
    /// File it was imported from, with its SHA-256.
    pub source: Option<String>,
}

impl VersionMetadata {
    /// Metadata of model kind `kind` with nothing else known.
    #[must_use]
    pub fn new(kind: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            task: None,
            author: None,
            seconds_trained: None,
            features: Vec::new(),
            target: None,
            training_rows: None,
            data_digest: None,
            loss: None,
            hyper_parameters: BTreeMap::new(),
            metrics: BTreeMap::new(),
            curves: Vec::new(),
            training_end: None,
            packages: BTreeMap::new(),
            git_commit: None,
            device: None,
            parent: None,
            source: None,
        }
    }
}
