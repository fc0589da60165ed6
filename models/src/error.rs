//! What can go wrong with tables, training and artifacts. Each message is one sentence that names what was expected.
#![expect(missing_docs, reason = "the fields are explained by the messages that carry them")]

use std::path::PathBuf;

use contract::{InputError, OpenError, RunError};

/// Result of the models' calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with tables, training and artifacts.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A table cannot be read or written.
    #[error("{}: {reason}", path.display())]
    Table { path: PathBuf, reason: String },
    /// A column is not there or does not fit.
    #[error("column '{column}': {reason}")]
    Column { column: String, reason: String },
    /// A setting does not fit the data or the model.
    #[error("{0}")]
    Setting(String),
    /// No device fits what was asked for.
    #[error("{0}")]
    Device(String),
    /// Training cannot go on.
    #[error("training stopped at epoch {epoch}: {reason}")]
    Training { epoch: usize, reason: String },
    /// A row does not fit the signature.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A saved model cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A device failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Disk or another local resource failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}
