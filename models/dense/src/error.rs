//! What can be wrong with a net's parameters or with its rows.

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why parameters do not become a net, or rows are not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Parameters or rows of another shape, or with values that they cannot have.
    #[error("expected {expected}, got {got}")]
    Shape {
        /// What the net asks for, and where.
        expected: String,
        /// What is there.
        got: String,
    },
}

impl Error {
    pub(crate) fn shape(expected: impl std::fmt::Display, got: impl std::fmt::Display) -> Self {
        Self::Shape { expected: expected.to_string(), got: got.to_string() }
    }
}

/// That a list of values called `what` has as many as the product of `axes`.
pub(crate) fn expect_len(what: &str, axes: &[usize], got: usize) -> Result<()> {
    let product = axes.iter().try_fold(1_usize, |product, axis| product.checked_mul(*axis));
    if product == Some(got) {
        return Ok(());
    }
    let axes: Vec<String> = axes.iter().map(ToString::to_string).collect();
    Err(Error::shape(format_args!("{what} of {} values", axes.join(" × ")), got))
}

/// That a number of columns, units or the like is at least one.
pub(crate) fn expect_some(what: &str, got: usize) -> Result<()> {
    if got == 0 { Err(Error::shape(format_args!("at least one of {what}"), "none")) } else { Ok(()) }
}
