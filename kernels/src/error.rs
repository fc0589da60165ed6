//! What can go wrong with kernels. Each message is one sentence that says what was expected and what came.

/// Result of this crate's calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with kernels.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum Error {
    /// The cut points of a feature cannot be searched.
    #[error("feature {feature}: expected cut points in strictly ascending order and none missing, got {got}")]
    CutPoints { feature: usize, got: String },
    /// More cut points than can be counted in 32 bits.
    #[error("expected at most {limit} cut points in all, got {got}")]
    TooManyCutPoints { limit: usize, got: usize },
    /// The values are no whole number of rows.
    #[error("expected whole rows of {features} features, got {got} values")]
    Rows { features: usize, got: usize },
    /// The output has another length than the values.
    #[error("expected room for {expected} results, got {got}")]
    Length { expected: usize, got: usize },
    /// The matrix does not fit into one buffer of the device.
    #[error("expected at most {limit} values in one launch on this device, got {got}")]
    TooLarge { limit: usize, got: usize },
    /// Rows without a feature cannot be counted.
    #[error("expected at least one feature a row, got none")]
    NoFeatures,
    /// More codes than a node can name.
    #[error("expected at most {limit} codes a row, got {got}")]
    TooManyCodes { limit: usize, got: usize },
    /// A code cannot be made.
    #[error("code {code}: expected {expected}, got {got}")]
    Code { code: usize, expected: String, got: String },
    /// A forest cannot be laid out.
    #[error("expected {expected}, got {got}")]
    Forest { expected: String, got: String },
    /// A tree cannot be walked.
    #[error("tree {tree}: expected {expected}, got {got}")]
    Tree { tree: usize, expected: String, got: String },
    /// Bytes for another forest.
    #[error("expected coded rows of {words} words, got {got} words in all")]
    Words { words: usize, got: usize },
    /// The device is lost: it will not work again in this process.
    #[error("the device is lost: {0}")]
    DeviceLost(String),
    /// The device failed.
    #[error("the device failed: {0}")]
    Device(String),
}
