//! Writing an artifact: beside its place, fsynced, then renamed.

use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use super::{Artifact, CHECKSUM_FILE, FileEntry, MANIFEST_FILE, Manifest, hash, manifest::check_file_name};
use crate::{Error, Result};

/// Tells writers of one process apart; the process id tells processes apart.
static WRITERS: AtomicU64 = AtomicU64::new(0);

/// Writes an artifact. Nothing is seen at its place until [`ArtifactWriter::finish`]; a writer that is dropped before
/// removes what it wrote.
#[derive(Debug)]
pub struct ArtifactWriter {
    target: PathBuf,
    beside: PathBuf,
    files: Vec<FileEntry>,
}

impl ArtifactWriter {
    /// Starts an artifact that will be at `directory`. Missing parent directories are made.
    ///
    /// # Errors
    /// When `directory` exists already, or the disk refuses.
    pub fn create(directory: &Path) -> Result<Self> {
        let Some(name) = directory.file_name() else {
            return Err(Error::Setting(format!("expected a directory to write, got '{}'", directory.display())));
        };
        refuse_existing(directory)?;
        let number = WRITERS.fetch_add(1, Ordering::Relaxed);
        let beside = format!(".{}.{}-{number}.partial", name.to_string_lossy(), std::process::id());
        let beside = parent(directory).join(beside);
        fs_err::create_dir_all(parent(directory))?;
        // What an earlier process with the same id left behind was never finished.
        if beside.exists() {
            fs_err::remove_dir_all(&beside)?;
        }
        fs_err::create_dir(&beside)?;
        Ok(Self { target: directory.to_owned(), beside, files: Vec::new() })
    }

    /// Writes `bytes` as file `name` with `role`.
    ///
    /// # Errors
    /// When the name is not a plain file name, the role or name was used before, or the disk refuses.
    pub fn add(&mut self, role: &str, name: &str, bytes: &[u8]) -> Result<()> {
        check_file_name(name).map_err(|expected| Error::Setting(format!("expected {expected}, got '{name}'")))?;
        if self.files.iter().any(|entry| entry.role == role || entry.path == name) {
            return Err(Error::Setting(format!("file '{name}' or role '{role}' is in the artifact already")));
        }
        write_synced(&self.beside.join(name), bytes)?;
        self.files.push(FileEntry {
            role: role.to_owned(),
            path: name.to_owned(),
            sha256: hash::sha256_bytes(bytes),
            bytes: bytes.len() as u64,
        });
        Ok(())
    }

    /// Writes `manifest` with the files added, and puts the artifact in its place. Then it is opened, which reads every
    /// file back.
    ///
    /// # Errors
    /// When the directory exists by now, the manifest is not usable, or the disk refuses.
    pub fn finish(mut self, mut manifest: Manifest) -> Result<Artifact> {
        manifest.files = std::mem::take(&mut self.files);
        manifest.check().map_err(|(expected, got)| Error::Setting(format!("expected {expected}, got {got}")))?;
        let mut bytes = serde_json::to_vec_pretty(&manifest).map_err(std::io::Error::from)?;
        bytes.push(b'\n');
        write_synced(&self.beside.join(MANIFEST_FILE), &bytes)?;
        let checksum = format!("{}  {MANIFEST_FILE}\n", hash::sha256_bytes(&bytes));
        write_synced(&self.beside.join(CHECKSUM_FILE), checksum.as_bytes())?;
        sync_directory(&self.beside)?;
        refuse_existing(&self.target)?;
        fs_err::rename(&self.beside, &self.target)?;
        sync_directory(parent(&self.target))?;
        Ok(Artifact::open(&self.target)?)
    }
}

impl Drop for ArtifactWriter {
    fn drop(&mut self) {
        // After a rename there is nothing to remove; a failure leaves a hidden directory that nobody reads.
        if self.beside.exists()
            && let Err(error) = fs_err::remove_dir_all(&self.beside)
        {
            tracing::warn!(%error, "an unfinished artifact was left behind");
        }
    }
}

fn refuse_existing(directory: &Path) -> Result<()> {
    if fs_err::symlink_metadata(directory).is_ok() {
        return Err(Error::Setting(format!(
            "expected a new directory for the artifact, but {} exists",
            directory.display()
        )));
    }
    Ok(())
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = fs_err::File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(())
}

/// Makes names in `directory` last through a power cut. Only Unix can (and must) fsync a directory.
fn sync_directory(directory: &Path) -> Result<()> {
    if cfg!(unix) {
        fs_err::File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// Writes a new file: beside, and then in its place, so that a file that is there is whole. One that exists is not written over.
///
/// # Errors
/// [`crate::Error::Io`] when the file exists or the disk fails.
pub(crate) fn write_new(file: &Path, bytes: &[u8]) -> Result<()> {
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut beside = tempfile::NamedTempFile::new_in(directory)?;
    beside.write_all(bytes)?;
    beside.as_file().sync_all()?;
    beside.persist_noclobber(file).map_err(|error| {
        std::io::Error::new(error.error.kind(), format!("cannot write {}: {}", file.display(), error.error))
    })?;
    Ok(())
}
