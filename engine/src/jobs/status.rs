//! How a job stands, as people and the API see it.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use contract::{CurvePoint, TrainEvent};
use serde::{Deserialize, Serialize};

/// Where a job is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It waits for its turn.
    Queued,
    /// Its process runs.
    Running,
    /// It registered a version.
    Succeeded,
    /// It did not; `error` says why.
    Failed,
    /// It was cancelled; a version may have been registered with the best so far.
    Cancelled,
}

impl JobState {
    /// Whether it stays so.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Queued | Self::Running => false,
            Self::Succeeded | Self::Failed | Self::Cancelled => true,
        }
    }
}

/// A job as of one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobStatus {
    /// Id; ids ascend in time.
    pub id: String,
    /// Arguments behind `emberline train`.
    pub args: Vec<String>,
    /// Where it is in its life.
    pub state: JobState,
    /// Losses of the last epoch that ended.
    pub epoch: Option<CurvePoint>,
    /// Largest number of epochs.
    pub epochs: Option<usize>,
    /// Name of the model that it registered a version of.
    pub model: Option<String>,
    /// Number of that version.
    pub version: Option<u32>,
    /// Why it failed, in one sentence.
    pub error: Option<String>,
    /// When it was asked for.
    pub queued_at: DateTime<Utc>,
    /// When its process was started.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// File with its standard error and with what it printed besides events.
    pub log: PathBuf,
}

impl JobStatus {
    /// A job that waits for its turn.
    pub(super) fn queued(id: String, args: Vec<String>, log: PathBuf) -> Self {
        Self {
            id,
            args,
            state: JobState::Queued,
            epoch: None,
            epochs: None,
            model: None,
            version: None,
            error: None,
            queued_at: Utc::now(),
            started_at: None,
            ended_at: None,
            log,
        }
    }

    /// Takes over what an event tells.
    pub(super) fn take(&mut self, event: &TrainEvent) {
        match event {
            TrainEvent::Started {
                training_rows: _,
                validation_rows: _,
                features: _,
                parameters: _,
                epochs,
                device: _,
                precision: _,
            } => {
                self.epochs = Some(*epochs);
            }
            TrainEvent::Epoch { point, epochs, rows_per_second: _, best: _ } => {
                self.epoch = Some(*point);
                self.epochs = Some(*epochs);
            }
            TrainEvent::Registered { name, version, metadata: _ } => {
                self.model = Some(name.clone());
                self.version = Some(*version);
            }
            TrainEvent::Failed { error } => self.error = Some(error.clone()),
        }
    }
}
