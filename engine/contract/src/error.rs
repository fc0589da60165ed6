//! What can go wrong between the rooms. Each message is one sentence that says what was expected and what came.
#![expect(missing_docs, reason = "the fields are explained by the messages that carry them")]

use std::path::PathBuf;

use crate::DataType;

/// A request's inputs do not fit the model's signature. The sender's fault: HTTP 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// An input of the signature was not sent.
    #[error("input '{name}' is missing; expected {expected}")]
    MissingInput { name: String, expected: String },
    /// An input was sent that the signature does not have.
    #[error("unexpected input '{name}'; expected {expected}")]
    UnknownInput { name: String, expected: String },
    /// The same input was sent twice.
    #[error("input '{name}' was sent more than once")]
    DuplicateInput { name: String },
    /// The element type does not match.
    #[error("input '{name}' has datatype {got}, expected {expected}")]
    WrongDatatype { name: String, expected: String, got: DataType },
    /// The shape does not match.
    #[error("input '{name}' has shape {got:?}, expected {expected}")]
    WrongShape { name: String, expected: String, got: Vec<usize> },
    /// Shape and number of elements disagree.
    #[error("input '{name}' has shape {shape:?}, which asks for {expected} elements, but {got} were sent")]
    ElementCount { name: String, shape: Vec<usize>, expected: usize, got: usize },
    /// Inputs of one request hold different numbers of rows.
    #[error("input '{name}' has {got} rows, but input '{other}' has {expected}")]
    RowCount { name: String, other: String, expected: usize, got: usize },
    /// No row was sent.
    #[error("expected at least one row, got none")]
    NoRows,
    /// An output was asked for that the model does not have.
    #[error("unknown output '{name}'; expected {expected}")]
    UnknownOutput { name: String, expected: String },
    /// An explanation was asked of a model that has none.
    #[error("expected a model that can be explained: {reason}")]
    Unexplained { reason: String },
    /// A value cannot be read as the column's type.
    #[error("row {row}, column '{column}': expected {expected}, got {got}")]
    BadValue { row: usize, column: String, expected: String, got: String },
}

/// Running a batch failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The inputs do not fit the signature.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The device has no memory left for this batch; smaller batches may still run.
    #[error("device {device} is out of memory: {reason}")]
    OutOfMemory { device: String, reason: String },
    /// The device is gone; this is sticky until the process restarts.
    #[error("device {device} was lost: {reason}")]
    DeviceLost { device: String, reason: String },
    /// The model failed (a panic included); other models on the device go on.
    #[error("the model failed: {reason}")]
    Failed { reason: String },
}

/// A saved model cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A file cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Read { path: PathBuf, reason: String },
    /// A file does not have the checksum that the manifest gives.
    #[error("{} is damaged: expected SHA-256 {expected}, got {got}", path.display())]
    Checksum { path: PathBuf, expected: String, got: String },
    /// A file's content is not what it should be.
    #[error("{}: expected {expected}, got {got}", path.display())]
    Content { path: PathBuf, expected: String, got: String },
    /// The artifact was written by a newer version of the format.
    #[error("{} has format version {got}, this build reads up to {newest}; use a newer emberline", path.display())]
    TooNew { path: PathBuf, got: u32, newest: u32 },
    /// No format of this build reads the model kind.
    #[error("model kind '{kind}' is unknown to this build; known: {known}")]
    UnknownKind { kind: String, known: String },
}
