//! The saved form of a model: a directory with `manifest.json`, its checksum, and the files the manifest lists.
//!
//! Invariants:
//! - a directory that an [`ArtifactWriter`] finished is complete: it was written beside, fsynced and renamed;
//! - [`Artifact::open`] gives a model only when the manifest and every file in it have the recorded size and SHA-256, so
//!   a missing, cut or altered file is an [`OpenError`](contract::OpenError) that names the file, never a wrong answer;
//! - nothing outside of the directory is read, whatever the manifest says.
//!
//! `manifest.sha256` is in the form of `sha256sum`, so `sha256sum --check manifest.sha256` works by hand. What the files
//! mean is up to the model kind; the encoding of golden predictions is here because every kind has them.

mod golden;
mod hash;
mod manifest;
mod read;
mod write;

pub use golden::{read_golden, write_golden};
pub use hash::{sha256_bytes, sha256_file};
pub use manifest::{FORMAT_VERSION, FileEntry, Manifest};
pub use read::Artifact;
pub use write::ArtifactWriter;
pub(crate) use write::write_new;

/// Name of the manifest in an artifact's directory.
pub const MANIFEST_FILE: &str = "manifest.json";
/// Name of the manifest's checksum in an artifact's directory.
pub const CHECKSUM_FILE: &str = "manifest.sha256";
/// Role of the weights file, in safetensors.
pub const WEIGHTS_ROLE: &str = "weights";
/// Role of the golden predictions, see [`write_golden`].
pub const GOLDEN_ROLE: &str = "golden";
