//! Weights from elsewhere: dense nets whose layers are named `W1`, `b1`, `W2`, `b2`, … in a safetensors or npz file.
//!
//! Layer i computes `y = x·Wi + bi` with `Wi` of shape `[inputs, outputs]` and `bi` of shape `[outputs]`; all layers but
//! the last are followed by a `ReLU`. Elements are F32 or F64 (rounded to F32). What a file declares is checked against
//! what it holds before anything is allocated.

mod dense;
mod npz;
mod safetensors;

use std::{fmt, io::Read, path::Path};

use contract::OpenError;
pub use dense::{DenseLayer, DenseWeights};

/// A tensor by name, as a file holds it: row-major.
struct NamedTensor {
    name: String,
    shape: Vec<usize>,
    values: Vec<f32>,
}

/// Builds the error of one file.
struct Source<'a>(&'a Path);

impl Source<'_> {
    fn wrong(&self, expected: impl fmt::Display, got: impl fmt::Display) -> OpenError {
        OpenError::Content { path: self.0.to_owned(), expected: expected.to_string(), got: got.to_string() }
    }
}

/// Whether a file of weights begins so: a zip, which .npz is; or a length in eight bytes and JSON, which .safetensors is.
#[must_use]
pub fn begins_weights(head: &[u8]) -> bool {
    head.starts_with(b"PK") || head.get(8) == Some(&b'{')
}

impl DenseWeights {
    /// Reads a dense net from a safetensors or npz file; which of the two is told by its content.
    ///
    /// # Errors
    /// [`OpenError`] when the file cannot be read, is neither, or does not hold a dense net.
    pub fn read(path: &Path) -> Result<Self, OpenError> {
        let unreadable = |error: std::io::Error| OpenError::Read {
            path: path.to_owned(),
            reason: std::error::Error::source(&error).map_or_else(|| error.kind().to_string(), ToString::to_string),
        };
        let metadata = fs_err::metadata(path).map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(Source(path).wrong("a safetensors or npz file", "something that is not a file"));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
        fs_err::File::open(path).map_err(unreadable)?.read_to_end(&mut bytes).map_err(unreadable)?;
        Self::from_bytes(path, &bytes)
    }

    /// Reads a dense net from the content of a safetensors or npz file; `path` is where it came from, for messages.
    ///
    /// # Errors
    /// [`OpenError::Content`] when `bytes` are neither, or do not hold a dense net.
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self, OpenError> {
        let source = Source(path);
        let tensors =
            if bytes.starts_with(b"PK") { npz::read(&source, bytes)? } else { safetensors::read(&source, bytes)? };
        dense::from_tensors(&source, tensors)
    }

    /// The net as a safetensors file, in the form that [`DenseWeights::read`] reads.
    ///
    /// # Errors
    /// [`crate::Error::Setting`] when the format cannot hold it.
    pub fn to_safetensors(&self) -> crate::Result<Vec<u8>> {
        safetensors::write(self)
    }
}
