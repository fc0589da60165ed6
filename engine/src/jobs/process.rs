//! A child process in a process group of its own, which is killed with the value that stands for it.
//!
//! Signals go to the group, so they reach what the child started, too; and a Ctrl-C at the terminal does not reach the
//! child: its parent decides. A signal is sent only while the child is not reaped, so the id is always the child's.

use std::{
    io,
    path::Path,
    process::{ExitStatus, Stdio},
};

use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::parent::JOB_VARIABLE;

/// A running child.
pub(super) struct Process {
    child: Child,
    /// Its end tells the child that its parent is gone.
    _stdin: Option<ChildStdin>,
}

impl Process {
    /// Starts `executable train ARGS… --json` with its standard error in `log`.
    pub(super) fn start(
        executable: &Path,
        args: &[String],
        id: &str,
        log: std::fs::File,
    ) -> io::Result<(Self, ChildStdout)> {
        let mut command = Command::new(executable);
        command.arg("train").args(args).arg("--json").env(JOB_VARIABLE, id);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::from(log)).kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("the child has no standard output"))?;
        // Waiting for a child closes its standard input, unless it was taken.
        let stdin = child.stdin.take();
        Ok((Self { child, _stdin: stdin }, stdout))
    }

    /// Waits for its end. Nothing is lost if the call is dropped.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Asks it to end, as Ctrl-C does.
    #[cfg(unix)]
    pub(super) fn interrupt(&self) {
        self.signal(nix::sys::signal::Signal::SIGINT);
    }

    /// Ends it: there is nothing gentler that every system has.
    #[cfg(not(unix))]
    pub(super) fn interrupt(&mut self) {
        self.kill();
    }

    /// Ends it at once.
    #[cfg(unix)]
    pub(super) fn kill(&self) {
        self.signal(nix::sys::signal::Signal::SIGKILL);
    }

    /// Ends it at once.
    #[cfg(not(unix))]
    pub(super) fn kill(&mut self) {
        if let Err(error) = self.child.start_kill() {
            tracing::warn!(%error, "cannot kill a training process");
        }
    }

    #[cfg(unix)]
    fn signal(&self, signal: nix::sys::signal::Signal) {
        // None once it is reaped.
        let Some(id) = self.child.id().and_then(|id| i32::try_from(id).ok()) else { return };
        if let Err(error) = nix::sys::signal::killpg(nix::unistd::Pid::from_raw(id), signal) {
            tracing::warn!(id, %signal, %error, "cannot signal a training process");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// How a process ended that did not end well, as the rest of a sentence that begins with "training".
pub(super) fn describe(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(number) = std::os::unix::process::ExitStatusExt::signal(&status) {
        let name =
            nix::sys::signal::Signal::try_from(number).map_or_else(|_| number.to_string(), |signal| signal.to_string());
        // Nothing else sends SIGKILL to a job that was not cancelled.
        let reason = if name == "SIGKILL" { ", most likely because the machine ran out of memory" } else { "" };
        return format!("was killed by signal {name}{reason}");
    }
    match status.code() {
        Some(code) => format!("ended with exit code {code}"),
        None => format!("ended with {status}"),
    }
}
