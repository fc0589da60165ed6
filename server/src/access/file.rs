//! A log file of bounded size: when it is full it becomes `NAME.1`, what was that becomes `NAME.2`, and the oldest goes.
//!
//! It goes on where the last process stopped. A line that a crash or a full disk cut off is taken away or ended, so that every line
//! stands alone. What is no plain file, such as a pipe or a link (`/dev/stdout` is one), is written to and never rotated.

use std::{
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use fs_err::{File, OpenOptions};

/// The target that means standard output.
const STDOUT: &str = "-";

pub(super) struct LogFile {
    target: Target,
    /// Whether only its owner may read it.
    private: bool,
    /// Most bytes of a file.
    max_bytes: u64,
    /// Files there may be, at least 1.
    files: usize,
    open: Option<Open>,
}

enum Target {
    Stdout,
    File(PathBuf),
}

struct Open {
    file: File,
    /// Bytes in it, of a plain file.
    length: Option<u64>,
}

impl LogFile {
    /// A file under `target`, or standard output for `-`: as many files of `max_bytes` as `total_bytes` hold, at least one.
    pub(super) fn new(target: &str, private: bool, max_bytes: u64, total_bytes: u64) -> Self {
        let files = usize::try_from(total_bytes / max_bytes.max(1)).unwrap_or(usize::MAX).max(1);
        let target = if target == STDOUT { Target::Stdout } else { Target::File(target.into()) };
        Self { target, private, max_bytes, files, open: None }
    }

    /// Most bytes that [`LogFile::write`] takes at once.
    pub(super) const fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Writes whole lines, at most [`LogFile::max_bytes`]; after an error none of them is there, as far as that can be.
    ///
    /// # Errors
    /// What the system says. The next call begins anew.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let Target::File(path) = &self.target else {
            let mut stdout = io::stdout().lock();
            return stdout.write_all(lines).and_then(|()| stdout.flush());
        };
        let open = match self.open.take() {
            Some(open) => open,
            None => open(path, self.private, self.files)?,
        };
        let full = |length: u64| length > 0 && length + lines.len() as u64 > self.max_bytes;
        let mut open = match open.length {
            Some(length) if full(length) => {
                rotate(path, self.files)?;
                self::open(path, self.private, self.files)?
            }
            Some(_) | None => open,
        };
        if let Err(error) = open.file.write_all(lines) {
            if let Some(length) = open.length {
                // Where this fails too, opening it again ends the line that was begun.
                let _ = open.file.set_len(length);
            }
            return Err(error);
        }
        open.length = open.length.map(|length| length + lines.len() as u64);
        self.open = Some(open);
        Ok(())
    }
}

fn open(path: &Path, private: bool, files: usize) -> io::Result<Open> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        fs_err::create_dir_all(directory)?;
    }
    // Of a process with other settings.
    for number in files.. {
        if fs_err::remove_file(numbered(path, number)).is_err() {
            break;
        }
    }
    let cut_off = ends_within_a_line(path)?;
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    if private {
        use fs_err::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    #[cfg(not(unix))]
    let _ = private;
    let mut file = options.open(path)?;
    if cut_off {
        file.write_all(b"\n")?;
    }
    // Of the name, not of what it leads to: that is not ours to rename.
    let metadata = fs_err::symlink_metadata(path)?;
    Ok(Open { file, length: metadata.is_file().then_some(metadata.len()) })
}

/// Whether there is a plain file whose last line is not whole.
fn ends_within_a_line(path: &Path) -> io::Result<bool> {
    // Opening a pipe to look into it would wait for a writer.
    match fs_err::metadata(path) {
        Ok(metadata) if metadata.is_file() && metadata.len() > 0 => {}
        _ => return Ok(false),
    }
    let mut file = File::open(path)?;
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// Makes room for a new file. A process that ends in the middle leaves a gap in the numbers, which the next one closes.
fn rotate(path: &Path, files: usize) -> io::Result<()> {
    if files == 1 {
        return fs_err::remove_file(path);
    }
    for number in (1..files - 1).rev() {
        match fs_err::rename(numbered(path, number), numbered(path, number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    fs_err::rename(path, numbered(path, 1))
}

fn numbered(path: &Path, number: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}
