//! The disk work of the artifact store: plain blocking functions, run on the control runtime's blocking threads.

use std::{
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// Bytes that travel to the store at a time. Object stores want parts of at least 5 MiB.
pub(super) const PART_BYTES: usize = 8 << 20;
/// Ending of a download under way.
const PARTIAL: &str = ".part";
/// A partial download this old belongs to a process that ended.
const PARTIAL_AGE: Duration = Duration::from_hours(1);

/// A file of an artifact with the SHA-256 of its content.
pub(super) struct FileDigest {
    /// Path below the artifact's directory, with slashes.
    pub(super) name: String,
    /// SHA-256 in hexadecimal.
    pub(super) digest: String,
}

/// SHA-256 of an artifact: of the lines `sha256sum` prints for its files, in the order of their names.
pub(super) fn digest(mut files: Vec<FileDigest>) -> String {
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let mut hasher = Sha256::new();
    for FileDigest { name, digest } in files {
        hasher.update(format!("{digest}  {name}\n"));
    }
    hex::encode(hasher.finalize())
}

/// Names of all files below `directory`, with slashes.
///
/// # Errors
/// [`Error::BadRequest`] for an empty directory, for links and other special files, and for names that do not read the
/// same in every store.
pub(super) fn list(directory: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let mut pending = vec![(directory.to_owned(), String::new())];
    while let Some((directory, prefix)) = pending.pop() {
        for entry in fs_err::read_dir(directory)? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            let name = entry.file_name().into_string().ok().filter(|name| is_portable(name)).ok_or_else(|| {
                let expected = "expected a file name of letters, digits, '.', '_' and '-'";
                Error::BadRequest(format!("{expected} in an artifact, got {}", path.display()))
            })?;
            if kind.is_dir() {
                pending.push((path, format!("{prefix}{name}/")));
            } else if kind.is_file() {
                names.push(format!("{prefix}{name}"));
            } else {
                return Err(Error::BadRequest(format!(
                    "expected files and directories in an artifact, got the special file {}",
                    path.display()
                )));
            }
        }
    }
    if names.is_empty() {
        return Err(Error::BadRequest(format!(
            "expected an artifact in {}, got an empty directory",
            directory.display()
        )));
    }
    names.sort();
    Ok(names)
}

fn is_portable(name: &str) -> bool {
    let portable = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    name.bytes().all(portable) && name != "." && name != ".."
}

/// Reads a file part by part and hashes it on the way.
pub(super) struct Reader {
    file: fs_err::File,
    hasher: Sha256,
    bytes: u64,
    ended: bool,
}

impl Reader {
    /// Opens the file at `path`.
    pub(super) fn open(path: &Path) -> Result<Self> {
        Ok(Self { file: fs_err::File::open(path)?, hasher: Sha256::new(), bytes: 0, ended: false })
    }

    /// The next [`PART_BYTES`] bytes; fewer only at the end of the file.
    pub(super) fn next_part(mut self) -> Result<(Self, Vec<u8>)> {
        let mut part = Vec::new();
        (&mut self.file).take(PART_BYTES as u64).read_to_end(&mut part)?;
        self.hasher.update(&part);
        self.bytes += part.len() as u64;
        self.ended = part.len() < PART_BYTES;
        Ok((self, part))
    }

    /// Whether the end of the file was met.
    pub(super) const fn ended(&self) -> bool {
        self.ended
    }

    /// SHA-256 and size of what was read.
    pub(super) fn finish(self) -> (String, u64) {
        (hex::encode(self.hasher.finalize()), self.bytes)
    }
}

/// Writes a file part by part and hashes it on the way.
pub(super) struct Writer {
    file: fs_err::File,
    hasher: Sha256,
}

impl Writer {
    /// Creates the file at `path` and the directories above it.
    pub(super) fn create(path: &Path) -> Result<Self> {
        if let Some(directory) = path.parent() {
            fs_err::create_dir_all(directory)?;
        }
        Ok(Self { file: fs_err::File::create_new(path)?, hasher: Sha256::new() })
    }

    /// Appends `bytes`.
    pub(super) fn write(mut self, bytes: &[u8]) -> Result<Self> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        Ok(self)
    }

    /// Brings the file to the disk; its SHA-256.
    pub(super) fn finish(self) -> Result<String> {
        self.file.sync_all()?;
        Ok(hex::encode(self.hasher.finalize()))
    }
}

/// Creates the directory of a store, durably; its path without links.
pub(super) fn create_root(root: &Path) -> Result<PathBuf> {
    fs_err::create_dir_all(root)?;
    let root = fs_err::canonicalize(root)?;
    sync_directory(root.parent().unwrap_or(&root))?;
    Ok(root)
}

/// Brings `directory` and the directories above it up to `root` to the disk.
pub(super) fn sync_directories(directory: &Path, root: &Path) -> Result<()> {
    for directory in directory.ancestors().take_while(|directory| directory.starts_with(root)) {
        sync_directory(directory)?;
    }
    Ok(())
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    // Elsewhere a directory cannot be opened as a file.
    if cfg!(unix) { fs_err::File::open(directory)?.sync_all() } else { Ok(()) }
}

/// A fresh path in `cache_dir` for a download.
pub(super) fn partial_download(cache_dir: &Path) -> PathBuf {
    cache_dir.join(format!("{}{PARTIAL}", uuid::Uuid::now_v7()))
}

/// Renames a finished download to `directory` below `root`. Another process may have been first: its copy is as good.
pub(super) fn move_into_place(partial: &Path, directory: &Path, root: &Path) -> Result<()> {
    sync_tree(partial)?;
    let parent = directory.parent().unwrap_or(root);
    fs_err::create_dir_all(parent)?;
    if let Err(error) = fs_err::rename(partial, directory) {
        if !directory.is_dir() {
            return Err(error.into());
        }
        fs_err::remove_dir_all(partial)?;
    }
    sync_directories(parent, root)
}

fn sync_tree(directory: &Path) -> io::Result<()> {
    for entry in fs_err::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        }
    }
    sync_directory(directory)
}

/// Removes downloads that a process left behind when it was killed.
pub(super) fn sweep_partial_downloads(cache_dir: &Path) -> Result<()> {
    fs_err::create_dir_all(cache_dir)?;
    for entry in fs_err::read_dir(cache_dir)? {
        let entry = entry?;
        let age = SystemTime::now().duration_since(entry.metadata()?.modified()?).unwrap_or_default();
        if age > PARTIAL_AGE && entry.file_name().to_string_lossy().ends_with(PARTIAL) {
            fs_err::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_sha256sum() {
        // printf '{}' | sha256sum, printf '' | sha256sum, then sha256sum over both lines.
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let braces = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        let file = |name: &str, digest: &str| FileDigest { name: name.to_owned(), digest: digest.to_owned() };
        let lines = format!("{empty}  a\n{braces}  b\n");
        let expected = hex::encode(Sha256::digest(lines));
        assert_eq!(digest(vec![file("b", braces), file("a", empty)]), expected);
        assert_ne!(digest(vec![file("a", braces), file("b", empty)]), expected);
    }

    #[test]
    fn lists_files_only_and_refuses_what_no_store_can_hold() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        assert!(list(path).unwrap_err().to_string().contains("an empty directory"));
        fs_err::create_dir_all(path.join("a/b")).unwrap();
        fs_err::write(path.join("a/b/x.bin"), b"1").unwrap();
        fs_err::write(path.join("manifest.json"), b"1").unwrap();
        assert_eq!(list(path).unwrap(), ["a/b/x.bin", "manifest.json"]);
        fs_err::write(path.join("we ird"), b"1").unwrap();
        assert!(matches!(list(path), Err(Error::BadRequest(_))));
        fs_err::remove_file(path.join("we ird")).unwrap();
        #[cfg(unix)]
        {
            fs_err::os::unix::fs::symlink("/etc/passwd", path.join("link")).unwrap();
            assert!(list(path).unwrap_err().to_string().contains("special file"));
        }
        assert!(list(&path.join("absent")).is_err());
    }

    #[test]
    fn sweeps_only_old_partial_downloads() {
        let directory = tempfile::tempdir().unwrap();
        let (old, fresh, done) =
            (partial_download(directory.path()), partial_download(directory.path()), directory.path().join("wine"));
        for path in [&old, &fresh, &done] {
            fs_err::create_dir_all(path).unwrap();
        }
        let past = SystemTime::now() - PARTIAL_AGE * 2;
        for path in [&old, &done] {
            fs_err::File::open(path).unwrap().file().set_modified(past).unwrap();
        }
        sweep_partial_downloads(directory.path()).unwrap();
        assert_eq!((old.exists(), fresh.exists(), done.exists()), (false, true, true));
    }
}
