//! What can go wrong in the engine. `server` maps each variant to a status code in one place.
#![expect(missing_docs, reason = "the fields are explained by the messages that carry them")]

use std::time::Duration;

use contract::{InputError, OpenError, RunError};

/// Result of the engine's calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in the engine, by who has to act.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request does not fit the model.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Some other argument of the caller is wrong; one sentence says what was expected and what came.
    #[error("{0}")]
    BadRequest(String),
    /// No model of this name is registered.
    #[error("unknown model '{model}'")]
    UnknownModel { model: String },
    /// The model has no such version.
    #[error("model '{model}' has no version {version}")]
    UnknownVersion { model: String, version: u32 },
    /// The model has no such alias.
    #[error("model '{model}' has no alias '{alias}'")]
    UnknownAlias { model: String, alias: String },
    /// The feature store has no such view.
    #[error("unknown feature view '{view}'")]
    UnknownView { view: String },
    /// The feature store has no row for these entities.
    #[error("feature view '{view}' has no row for {}", quoted(ids))]
    UnknownEntities { view: String, ids: Vec<String> },
    /// No remembered prediction has this id or entity.
    #[error("no prediction is remembered for {key}")]
    UnknownPrediction { key: String },
    /// No such job.
    #[error("unknown job '{id}'")]
    UnknownJob { id: String },
    /// The change contradicts the present state, such as deleting a version that an alias names.
    #[error("{0}")]
    Conflict(String),
    /// The version exists but does not serve yet.
    #[error("model '{model}' version {version} is not ready: {state}")]
    NotReady { model: String, version: u32, state: String },
    /// The model was taken out of service by hand.
    #[error("model '{model}' has no available versions: it was unloaded")]
    Unloaded { model: String },
    /// The queue is full.
    #[error("overloaded: {queued} rows are queued, the limit is {limit}")]
    Overloaded { queued: usize, limit: usize, retry_after: Duration },
    /// As many explanations are being computed as there may be.
    #[error("overloaded: {limit} explanations are being computed, the limit is {limit}")]
    Explaining { limit: usize, retry_after: Duration },
    /// The device is busy for longer than the request has time.
    #[error(
        "overloaded: the device is busy for about {} ms more, and the deadline is in {} ms",
        busy.as_millis(), left.as_millis()
    )]
    TooLate { busy: Duration, left: Duration, retry_after: Duration },
    /// The request's time was over before its answer.
    #[error("deadline passed after {} ms", after.as_millis())]
    DeadlineExceeded { after: Duration },
    /// The request was taken, but the device fell behind what was predicted, and it could no longer be answered in time.
    #[error("the deadline, {} ms after the request, can no longer be met", within.as_millis())]
    DeadlineUnreachable { within: Duration },
    /// The request asked for a cached answer or none, and there is none that it accepts.
    #[error("expected a cached answer, as 'only-if-cached' asks, and none is held")]
    NotCached,
    /// The server drains and takes no more requests.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// The model or device failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A saved model cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The self-test of a loaded model gave another answer than when it was saved.
    #[error("model '{model}' version {version} failed its self-test: {reason}")]
    SelfTest { model: String, version: u32, reason: String },
    /// The metadata database failed.
    #[error("registry database: {0}")]
    Database(#[from] sqlx::Error),
    /// The artifact store failed.
    #[error("artifact store: {0}")]
    ObjectStore(#[from] object_store::Error),
    /// Disk or another local resource failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A store of ours holds something it cannot hold, or a task of ours ended early: our own fault.
    #[error("internal error: {0}")]
    Internal(String),
}

fn quoted(ids: &[String]) -> String {
    ids.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(", ")
}
