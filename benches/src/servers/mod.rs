//! The servers under measurement, each a process of its own: ours, those written by hand, and the peers.

pub(crate) mod bare;
pub(crate) mod emberline;
pub(crate) mod net;
pub(crate) mod peers;

use std::{
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// Time for a server to end by itself.
const ENDING: Duration = Duration::from_secs(10);

/// A server that answers; ended when dropped.
pub(crate) struct Running {
    child: Child,
    /// Where it serves HTTP.
    pub(crate) address: String,
    /// From the start of the process to the first 200 on readiness.
    pub(crate) ready_seconds: f64,
    /// What it reads while it runs.
    _files: Option<tempfile::TempDir>,
}

impl Running {
    /// Starts `command` and waits until `ready` (a path) is answered with success.
    fn start(
        mut command: Command,
        address: String,
        ready: &str,
        limit: Duration,
        files: Option<tempfile::TempDir>,
    ) -> Result<Self> {
        let started = Instant::now();
        let child = command.spawn().with_context(|| format!("cannot run {}", command.get_program().display()))?;
        let mut running = Self { child, address, ready_seconds: 0.0, _files: files };
        loop {
            if running.get(ready).is_ok() {
                running.ready_seconds = started.elapsed().as_secs_f64();
                return Ok(running);
            }
            if let Some(status) = running.child.try_wait()? {
                bail!("{} ended with {status}", command.get_program().display());
            }
            if started.elapsed() > limit {
                bail!("{} was not ready after {} s", command.get_program().display(), limit.as_secs());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Resident memory of the process.
    pub(crate) fn memory_mib(&self) -> Result<f64> {
        let pid = sysinfo::Pid::from_u32(self.child.id());
        let mut system = sysinfo::System::new()?;
        system.refresh_processes(sysinfo::ProcessesToUpdate::Some(&[pid]), true);
        let process = system.process(pid).context("the server is gone")?;
        Ok(process.memory() as f64 / f64::from(1 << 20))
    }

    /// The body behind a path.
    pub(crate) fn get(&self, path: &str) -> Result<Vec<u8>> {
        Ok(ureq::get(format!("http://{}{path}", self.address)).call()?.body_mut().read_to_vec()?)
    }

    /// What a path answers to a JSON body.
    pub(crate) fn post(&self, path: &str, body: &str) -> Result<Vec<u8>> {
        send(ureq::post(format!("http://{}{path}", self.address)), body)
    }

    /// As [`Running::post`], with the verb PUT.
    pub(crate) fn put(&self, path: &str, body: &str) -> Result<Vec<u8>> {
        send(ureq::put(format!("http://{}{path}", self.address)), body)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Gently, because some have children of their own.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let asked = Instant::now();
        while asked.elapsed() < ENDING {
            if let Ok(Some(_status)) = self.child.try_wait() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn send(request: ureq::RequestBuilder<ureq::typestate::WithBody>, body: &str) -> Result<Vec<u8>> {
    Ok(request.header("content-type", "application/json").send(body)?.body_mut().read_to_vec()?)
}

/// `program`, on one core of the machine if `cpu` says so.
pub(crate) fn pinned(program: impl AsRef<std::ffi::OsStr>, cpu: Option<usize>) -> Command {
    let Some(cpu) = cpu else { return Command::new(program) };
    let mut command = Command::new("taskset");
    command.arg("--cpu-list").arg(cpu.to_string()).arg(program);
    command
}

/// A port that nobody listens on now.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A program of this build.
pub(crate) fn built(name: &str, how: &str) -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    if !path.exists() {
        bail!("{} is missing; run {how} first", path.display());
    }
    Ok(path)
}
