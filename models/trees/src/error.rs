//! What can be wrong with a model file.

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a file does not become an [`Ensemble`](crate::Ensemble), or one does not become a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The content contradicts its format or itself.
    #[error("expected {expected}, got {got}")]
    Content {
        /// What the format asks for, and where in the file.
        expected: String,
        /// What is there.
        got: String,
    },
    /// Part of the format, and not of this crate.
    #[error("{what} is not supported; {instead}")]
    Unsupported {
        /// The feature by its name in the source.
        what: String,
        /// What to do instead.
        instead: String,
    },
}

impl Error {
    /// Content that contradicts its format: what was expected, and what came.
    pub fn content(expected: impl std::fmt::Display, got: impl std::fmt::Display) -> Self {
        Self::Content { expected: expected.to_string(), got: got.to_string() }
    }

    /// The same with the place in the model before what was expected.
    #[must_use]
    pub(crate) fn at(self, place: impl std::fmt::Display) -> Self {
        match self {
            Self::Content { expected, got } => Self::Content { expected: format!("in {place}, {expected}"), got },
            unsupported @ Self::Unsupported { what: _, instead: _ } => unsupported,
        }
    }

    /// A feature that is refused by name, with what to do instead.
    pub fn unsupported(what: impl std::fmt::Display, instead: impl std::fmt::Display) -> Self {
        Self::Unsupported { what: what.to_string(), instead: instead.to_string() }
    }
}
