//! What a result was measured on.

use std::{fmt, process::Command};

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

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu, cores, memory_gib, system, rustc, commit } = self;
        write!(f, "{cpu}, {cores} cores, {memory_gib} GiB, {system}, {rustc}, commit {commit}")
    }
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
