//! Opening an artifact: every file is checked before anything is used.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use contract::{Golden, OpenError};

use super::{CHECKSUM_FILE, FileEntry, GOLDEN_ROLE, MANIFEST_FILE, Manifest, hash, read_golden};

/// No manifest is larger; what is larger is not read into memory.
const MAX_MANIFEST_BYTES: u64 = 256 * 1024 * 1024;

/// An artifact whose files all had the recorded checksums when it was opened.
#[derive(Clone, Debug)]
pub struct Artifact {
    directory: PathBuf,
    manifest: Manifest,
}

impl Artifact {
    /// Opens the artifact in `directory` and checks every file of it against its size and checksum.
    ///
    /// # Errors
    /// [`OpenError`], naming the file that is missing, cut, altered, not a file, or not a manifest of this format.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        let checksum_path = directory.join(CHECKSUM_FILE);
        let recorded = parse_checksum(&checksum_path, &read_whole(&checksum_path, 4096)?)?;
        let manifest_path = directory.join(MANIFEST_FILE);
        let bytes = read_whole(&manifest_path, MAX_MANIFEST_BYTES)?;
        let found = hash::sha256_bytes(&bytes);
        if found != recorded {
            return Err(OpenError::Checksum { path: manifest_path, expected: recorded, got: found });
        }
        let manifest = Manifest::parse(&manifest_path, &bytes)?;
        for entry in &manifest.files {
            let path = directory.join(&entry.path);
            check_size(&path, entry)?;
            let (sha256, bytes) = hash::sha256_file(&path).map_err(|error| unreadable(&path, &error))?;
            check_content(&path, entry, &sha256, bytes)?;
        }
        Ok(Self { directory: directory.to_owned(), manifest })
    }

    /// The directory it was opened from.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What it holds.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The file with `role`, when there is one.
    #[must_use]
    pub fn entry(&self, role: &str) -> Option<&FileEntry> {
        self.manifest.files.iter().find(|entry| entry.role == role)
    }

    /// Path of the file with `role`, for messages and for readers of their own; the manifest's path when there is none.
    #[must_use]
    pub fn path(&self, role: &str) -> PathBuf {
        self.directory.join(self.entry(role).map_or(MANIFEST_FILE, |entry| &entry.path))
    }

    /// Content of the file with `role`, checked again, so that what is used is what was recorded.
    ///
    /// # Errors
    /// [`OpenError`] when there is no such role, or the file was changed since the artifact was opened.
    pub fn read(&self, role: &str) -> Result<Vec<u8>, OpenError> {
        let entry = self.entry(role).ok_or_else(|| OpenError::Content {
            path: self.directory.join(MANIFEST_FILE),
            expected: format!("a file with role '{role}'"),
            got: "none".to_owned(),
        })?;
        let path = self.directory.join(&entry.path);
        check_size(&path, entry)?;
        let bytes = read_whole(&path, entry.bytes)?;
        check_content(&path, entry, &hash::sha256_bytes(&bytes), bytes.len() as u64)?;
        Ok(bytes)
    }

    /// The golden predictions, when there are any.
    ///
    /// # Errors
    /// [`OpenError`] as for [`Artifact::read`], and when the file does not hold golden predictions.
    pub fn golden(&self) -> Result<Option<Golden>, OpenError> {
        if self.entry(GOLDEN_ROLE).is_none() {
            return Ok(None);
        }
        read_golden(&self.path(GOLDEN_ROLE), &self.read(GOLDEN_ROLE)?).map(Some)
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> OpenError {
    // fs_err names the path; OpenError does so itself.
    let reason = std::error::Error::source(error).map_or_else(|| error.kind().to_string(), ToString::to_string);
    OpenError::Read { path: path.to_owned(), reason }
}

/// Size of the file at `path`. Only regular files are opened: reading a pipe would wait for ever.
fn file_size(path: &Path) -> Result<u64, OpenError> {
    let metadata = fs_err::metadata(path).map_err(|error| unreadable(path, &error))?;
    if !metadata.is_file() {
        let got = if metadata.is_dir() { "a directory" } else { "something else" };
        return Err(OpenError::Content { path: path.to_owned(), expected: "a file".to_owned(), got: got.to_owned() });
    }
    Ok(metadata.len())
}

/// Finds a cut file without reading it.
fn check_size(path: &Path, entry: &FileEntry) -> Result<(), OpenError> {
    let size = file_size(path)?;
    if size == entry.bytes { Ok(()) } else { Err(wrong_size(path, entry.bytes, size)) }
}

fn check_content(path: &Path, entry: &FileEntry, sha256: &str, bytes: u64) -> Result<(), OpenError> {
    if bytes != entry.bytes {
        return Err(wrong_size(path, entry.bytes, bytes));
    }
    if sha256 != entry.sha256 {
        let (expected, got) = (entry.sha256.clone(), sha256.to_owned());
        return Err(OpenError::Checksum { path: path.to_owned(), expected, got });
    }
    Ok(())
}

fn wrong_size(path: &Path, expected: u64, got: u64) -> OpenError {
    OpenError::Content { path: path.to_owned(), expected: format!("{expected} bytes"), got: format!("{got} bytes") }
}

/// The whole file when it has at most `limit` bytes; it never takes more memory than the file has bytes.
fn read_whole(path: &Path, limit: u64) -> Result<Vec<u8>, OpenError> {
    let size = file_size(path)?;
    let too_large = |got: u64| OpenError::Content {
        path: path.to_owned(),
        expected: format!("at most {limit} bytes"),
        got: format!("{got} bytes"),
    };
    if size > limit {
        return Err(too_large(size));
    }
    let file = fs_err::File::open(path).map_err(|error| unreadable(path, &error))?;
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| unreadable(path, &error))?;
    if bytes.len() as u64 > limit {
        return Err(too_large(bytes.len() as u64));
    }
    Ok(bytes)
}

/// Reads the one line that `sha256sum manifest.json` writes; nothing else is accepted.
fn parse_checksum(path: &Path, bytes: &[u8]) -> Result<String, OpenError> {
    let line = std::str::from_utf8(bytes).ok().and_then(|text| text.strip_suffix(&format!("  {MANIFEST_FILE}\n")));
    match line {
        Some(sha256) if sha256.len() == 64 && sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) => {
            Ok(sha256.to_owned())
        }
        Some(_) | None => Err(OpenError::Content {
            path: path.to_owned(),
            expected: format!("a SHA-256 and '{MANIFEST_FILE}'"),
            got: format!("{} other bytes", bytes.len()),
        }),
    }
}
