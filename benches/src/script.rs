//! Peers in a process of their own: a script under `benches/peers` that answers lines of JSON.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

#[derive(Deserialize)]
#[serde(untagged)]
enum Answer<T> {
    Good(T),
    Bad { error: String },
}

/// A running script.
pub(crate) struct Script {
    path: PathBuf,
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Script {
    /// Starts it; it keeps its files in `folder`.
    pub(crate) fn start(path: &Path, folder: &Path) -> Result<Self> {
        let mut command = Command::new(path);
        command.arg(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {}", path.display()))?;
        let requests = child.stdin.take().context("the script takes no input")?;
        let answers = BufReader::new(child.stdout.take().context("the script has no output")?);
        Ok(Self { path: path.to_owned(), child, requests, answers })
    }

    /// One request, and its answer.
    pub(crate) fn ask<T: DeserializeOwned>(&mut self, request: &impl Serialize) -> Result<T> {
        let mut line = serde_json::to_string(request)?;
        line.push('\n');
        let ended = || format!("{} ended; what it said is above", self.path.display());
        self.requests.write_all(line.as_bytes()).with_context(ended)?;
        let mut answer = String::new();
        // Libraries print warnings of their own.
        while !answer.starts_with('{') {
            answer.clear();
            if self.answers.read_line(&mut answer)? == 0 {
                bail!(ended());
            }
        }
        match serde_json::from_str(&answer)? {
            Answer::Good(good) => Ok(good),
            Answer::Bad { error } => bail!("{error}"),
        }
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The numbers of a .npy file, `N` bytes each.
pub(crate) fn numbers<const N: usize>(bytes: &[u8]) -> Result<Vec<[u8; N]>> {
    let length = bytes.get(8..10).context("expected a .npy file")?;
    let begin = 10 + usize::from(u16::from_le_bytes([length[0], length[1]]));
    let numbers = bytes.get(begin..).context("expected numbers behind the header")?;
    Ok(numbers.as_chunks::<N>().0.to_vec())
}
