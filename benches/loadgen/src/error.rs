//! Why a load could not be run. What goes wrong with single requests is part of the report.

use std::io;

/// Why a load could not be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting that cannot be: what was expected, and what came.
    #[error("{0}")]
    Setting(String),
    /// No connection to the server.
    #[error("cannot reach {address}: {error}")]
    Unreachable {
        /// Host and port.
        address: String,
        /// What the system said.
        error: io::Error,
    },
    /// The server's answer to a question about the model or its statistics is not what it should be.
    #[error("{question}: {got}")]
    Answer {
        /// What was asked.
        question: String,
        /// What came.
        got: String,
    },
    /// A file that cannot be read.
    #[error(transparent)]
    File(#[from] io::Error),
}

/// The result of what can fail so.
pub type Result<T> = std::result::Result<T, Error>;

pub(crate) fn setting<T>(text: impl Into<String>) -> Result<T> {
    Err(Error::Setting(text.into()))
}
