//! What a result was measured on.

use std::{fmt, path::PathBuf, process::Command};

use anyhow::Result;
use serde::Serialize;
use sysinfo::System;

/// The machine, the toolchain and the commit.
#[derive(Serialize)]
pub(crate) struct Machine {
    cpu: String,
    cores: usize,
    memory_gib: u64,
    system: String,
    rustc: String,
    commit: String,
}

impl Machine {
    /// The commit, with what is not committed said so.
    pub(crate) fn commit(&self) -> &str {
        &self.commit
    }
}

impl Machine {
    /// The machine and the toolchain, for results whose rows were measured at commits of their own.
    pub(crate) fn without_commit(&self) -> String {
        let Self { cpu, cores, memory_gib, system, rustc, commit: _ } = self;
        format!("{cpu}, {cores} cores, {memory_gib} GiB, {system}, {rustc}")
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, commit {}", self.without_commit(), self.commit)
    }
}

/// The folder of the benchmarks: where cargo runs them from, else where they were built. Clones may share a target folder.
pub(crate) fn root() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

/// Describes this machine.
pub(crate) fn describe() -> Result<Machine> {
    let system = System::new_all()?;
    Ok(Machine {
        cpu: system.cpus().first().map_or_else(|| "unknown".to_owned(), |cpu| cpu.brand().to_owned()),
        cores: system.cpus().len(),
        memory_gib: system.total_memory() >> 30,
        system: System::long_os_version().unwrap_or_else(|_| "unknown".to_owned()),
        rustc: output("rustc", &["--version"]),
        commit: output("git", &["describe", "--always", "--dirty", "--abbrev=12"]),
    })
}

fn output(program: &str, arguments: &[&str]) -> String {
    Command::new(program)
        .args(arguments)
        .output()
        .map_or_else(|_| "unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
