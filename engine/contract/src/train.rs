//! What a training run tells while it runs: one JSON object a line on standard output (`emberline train --json`), which
//! is also how a training child process talks to its parent.

use serde::{Deserialize, Serialize};

use crate::{CurvePoint, VersionMetadata};

/// One line of a training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum TrainEvent {
    /// Data is read and encoded; training begins.
    Started {
        /// Rows trained on.
        training_rows: u64,
        /// Rows held out to decide when to stop.
        validation_rows: u64,
        /// Feature columns.
        features: usize,
        /// Trainable parameters of the model.
        parameters: u64,
        /// Largest number of epochs.
        epochs: usize,
        /// Device in its short form, such as `cpu`.
        device: String,
        /// What matrices are multiplied in, such as `f32`.
        precision: String,
    },
    /// An epoch ended.
    Epoch {
        /// Losses of this epoch.
        #[serde(flatten)]
        point: CurvePoint,
        /// Largest number of epochs.
        epochs: usize,
        /// Rows trained per second in this epoch.
        rows_per_second: f64,
        /// Whether this epoch's validation loss is the lowest so far.
        best: bool,
    },
    /// Training ended and the version is registered.
    Registered {
        /// Model name.
        name: String,
        /// Version number given by the registry.
        version: u32,
        /// What is stored with the version.
        metadata: Box<VersionMetadata>,
    },
    /// Training failed; nothing was registered.
    Failed {
        /// One sentence.
        error: String,
    },
}
