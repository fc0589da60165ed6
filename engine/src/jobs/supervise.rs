//! Watches over the child of one job from its start to its end.

use std::{
    future::pending,
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
    sync::Arc,
    time::Duration,
};

use contract::TrainEvent;
use tokio::{
    process::ChildStdout,
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use super::{
    JobState, JobsSettings,
    job::Job,
    lines::Lines,
    process::{Process, describe},
};

/// How long output is read after the child's end; a process of its own that it left behind may hold the output open.
const DRAIN: Duration = Duration::from_secs(2);
/// Bytes at the end of a log in which the reason for a failure is looked for.
const LOG_TAIL: u64 = 4096;
/// Characters of a log line that are repeated in a job's status.
const LONGEST_REASON: usize = 300;

/// Runs `job` to its end. It is killed when `kill_all` turns true or its sender is gone.
pub(super) async fn run(job: Arc<Job>, settings: Arc<JobsSettings>, kill_all: watch::Receiver<bool>) {
    // Whoever waits for the job hears of its end also when this task is dropped with its runtime.
    let _ending = Ending(Arc::clone(&job));
    match supervise(&job, &settings, kill_all).await {
        // The child may have told why it could not even keep its best.
        Ok(JobState::Cancelled) => job.end(JobState::Cancelled, job.status().error),
        Ok(state) => job.end(state, None),
        Err(error) => job.end(JobState::Failed, Some(error)),
    }
}

struct Ending(Arc<Job>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end(JobState::Cancelled, None);
    }
}

/// The final state, or why the job failed.
async fn supervise(
    job: &Job,
    settings: &JobsSettings,
    mut kill_all: watch::Receiver<bool>,
) -> Result<JobState, String> {
    let mut cancelled = job.cancelled();
    if *cancelled.borrow() {
        return Ok(JobState::Cancelled);
    }
    let status = job.status();
    let cannot_start = |error: std::io::Error| format!("cannot start {}: {error}", settings.executable.display());
    let mut log = fs_err::OpenOptions::new().create(true).append(true).open(&status.log).map_err(cannot_start)?;
    let child_log = log.try_clone().map_err(cannot_start)?.into_file();
    let args: Vec<String> = settings.common_args.iter().chain(&status.args).cloned().collect();
    let (mut process, stdout) =
        Process::start(&settings.executable, &args, &status.id, child_log).map_err(cannot_start)?;
    job.begin();

    let mut output = Output { lines: Lines::new(stdout), open: true };
    let mut kill_at = None;
    let mut killed = false;
    let exit = loop {
        tokio::select! {
            line = output.next() => take_line(job, &mut log, &line),
            exit = process.wait() => break exit,
            _ = cancelled.wait_for(|cancelled| *cancelled), if kill_at.is_none() => {
                process.interrupt();
                kill_at = Some(Instant::now() + settings.cancel_grace);
            }
            () = sleep_until(kill_at.unwrap_or_else(Instant::now)), if kill_at.is_some() && !killed => {
                process.kill();
                killed = true;
            }
            _ = kill_all.wait_for(|kill| *kill), if !killed => {
                process.kill();
                killed = true;
                job.request_cancel();
            }
        }
    };
    let drained = timeout(DRAIN, async {
        while output.open {
            let line = output.next_or_end().await;
            if let Some(line) = line {
                take_line(job, &mut log, &line);
            }
        }
    });
    if drained.await.is_err() {
        tracing::debug!(job = job.id(), "the output of a training process stayed open after its end");
    }

    let exit = exit.map_err(|error| format!("cannot learn how training ended: {error}"))?;
    let told = job.status();
    if *job.cancelled().borrow() {
        Ok(JobState::Cancelled)
    } else if exit.success() && told.version.is_some() {
        Ok(JobState::Succeeded)
    } else if let Some(error) = told.error {
        Err(error)
    } else if exit.success() {
        Err("training ended without registering a version".to_owned())
    } else {
        let reason = last_line(&told.log).map_or_else(String::new, |line| format!("; its last words: {line}"));
        Err(format!("training {}{reason}", describe(exit)))
    }
}

/// The child's output until its end.
struct Output {
    lines: Lines<ChildStdout>,
    open: bool,
}

impl Output {
    /// The next line; never ends once there is none any more.
    async fn next(&mut self) -> Vec<u8> {
        while self.open {
            if let Some(line) = self.next_or_end().await {
                return line;
            }
        }
        pending().await
    }

    async fn next_or_end(&mut self) -> Option<Vec<u8>> {
        let line = self.lines.next().await.ok().flatten();
        self.open = line.is_some();
        line
    }
}

/// Takes an event over; whatever else a library may print on standard output goes to the log.
fn take_line(job: &Job, log: &mut fs_err::File, line: &[u8]) {
    if let Ok(event) = serde_json::from_slice::<TrainEvent>(line) {
        return job.take(event);
    }
    let written = log.write_all(line).and_then(|()| log.write_all(b"\n"));
    if let Err(error) = written {
        tracing::warn!(job = job.id(), %error, "cannot write to the log of a job");
    }
}

/// The last line of a log that says something.
fn last_line(log: &Path) -> Option<String> {
    let mut file = fs_err::File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL))).ok()?;
    let mut tail = Vec::new();
    file.take(LOG_TAIL).read_to_end(&mut tail).ok()?;
    let tail = String::from_utf8_lossy(&tail);
    let line = tail.lines().map(str::trim).rfind(|line| !line.is_empty())?;
    Some(line.chars().filter(|character| !character.is_control()).take(LONGEST_REASON).collect())
}
