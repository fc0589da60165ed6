//! The manifest: what an artifact holds and how to use it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Component, Path},
};

use contract::{OpenError, Signature};
use serde::{Deserialize, Serialize};

use crate::table::{Encoders, TargetEncoder};

/// The format version that this build writes, and the newest it reads.
pub const FORMAT_VERSION: u32 = 1;

/// What an artifact holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this form; [`FORMAT_VERSION`] when written.
    pub format_version: u32,
    /// Model kind, such as `mlp`.
    pub kind: String,
    /// What the model takes and gives.
    pub signature: Signature,
    /// How raw rows become numbers; absent for a model that takes tensors.
    pub encoders: Option<Encoders>,
    /// How the model's numbers become predictions; absent for an import without a task.
    pub target: Option<TargetEncoder>,
    /// Settings of the model and of its training, by name.
    pub hyper_parameters: BTreeMap<String, serde_json::Value>,
    /// The other files of the directory.
    pub files: Vec<FileEntry>,
    /// The program that wrote it, with its version.
    pub created_by: String,
}

/// A file of an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// What it is for, such as `weights`; each role at most once.
    pub role: String,
    /// Name in the directory.
    pub path: String,
    /// SHA-256 in lowercase hexadecimal.
    pub sha256: String,
    /// Size.
    pub bytes: u64,
}

impl Manifest {
    /// A manifest of a model of kind `kind` with nothing else in it. The writer fills in the files.
    #[must_use]
    pub fn new(kind: &str, signature: Signature) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            kind: kind.to_owned(),
            signature,
            encoders: None,
            target: None,
            hyper_parameters: BTreeMap::new(),
            files: Vec::new(),
            created_by: format!("emberline {}", env!("CARGO_PKG_VERSION")),
        }
    }

    /// Reads and checks a manifest; `path` is where it came from, for messages.
    pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, OpenError> {
        /// The one field that every format version has.
        #[derive(Deserialize)]
        struct Version {
            format_version: u32,
        }
        let garbage = |error: serde_json::Error| OpenError::Content {
            path: path.to_owned(),
            expected: "a manifest in JSON".to_owned(),
            got: error.to_string(),
        };
        let Version { format_version } = serde_json::from_slice(bytes).map_err(garbage)?;
        if format_version > FORMAT_VERSION {
            return Err(OpenError::TooNew { path: path.to_owned(), got: format_version, newest: FORMAT_VERSION });
        }
        if format_version == 0 {
            return Err(OpenError::Content {
                path: path.to_owned(),
                expected: format!("a format version from 1 to {FORMAT_VERSION}"),
                got: "0".to_owned(),
            });
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(garbage)?;
        manifest.check().map_err(|(expected, got)| OpenError::Content { path: path.to_owned(), expected, got })?;
        Ok(manifest)
    }

    /// Checks what types alone do not; an error is what was expected and what came.
    pub(crate) fn check(&self) -> Result<(), (String, String)> {
        let (mut roles, mut paths) = (BTreeSet::new(), BTreeSet::new());
        for entry in &self.files {
            check_file_name(&entry.path).map_err(|expected| (expected, format!("'{}'", entry.path)))?;
            if !roles.insert(&entry.role) || !paths.insert(&entry.path) {
                return Err((
                    "each role and each file once".to_owned(),
                    format!("'{}' as '{}' again", entry.path, entry.role),
                ));
            }
        }
        if let Some(target) = &self.target {
            target.check().map_err(|got| ("a usable target encoder".to_owned(), got))?;
        }
        if let Some(encoders) = &self.encoders
            && encoders.columns() != self.signature.columns
        {
            return Err((
                "the encoders' columns in the signature".to_owned(),
                format!("{} columns that differ", self.signature.columns.len()),
            ));
        }
        Ok(())
    }
}

/// Refuses whatever is not the plain name of a file in the artifact's own directory.
pub(crate) fn check_file_name(name: &str) -> Result<(), String> {
    let expected = || "the name of a file inside the artifact's directory".to_owned();
    let mut components = Path::new(name).components();
    let plain = matches!((components.next(), components.next()), (Some(Component::Normal(_)), None));
    // `Path` forgives a trailing slash, and other systems read a backslash as a separator.
    if !plain || name.contains(['/', '\\', '\0', ':']) {
        return Err(expected());
    }
    if name == super::MANIFEST_FILE || name == super::CHECKSUM_FILE {
        return Err(format!("a name other than {name}"));
    }
    Ok(())
}
