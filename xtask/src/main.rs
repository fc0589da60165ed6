//! The one list of developer commands: `cargo xtask help` shows it.
//!
//! Everything runs in the `release` profile, because burn is slow to compile and slow to run without optimisation: one
//! profile for running, testing and measuring means one build of it.

mod bench;
mod check;
mod conformance;
mod picture;
mod test;

use std::{
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};

const HELP: &str = "\
usage: cargo xtask COMMAND

commands:
  test [ARGS]   install what the tests need (on Debian: lavapipe, through apt), then run every test
  conformance   the protocols by their own clients, against the real binary; --json, --tensorflow, --only SCRIPT,
                --triton COMMAND (the same cases against Triton), --no-default-features, --features NAMES
  check         formatting, lints, the house's arrows (which crate may depend on which), file sizes
  bench serve   the figures of the request path, into benches/results; --only ROW,…, --quick, --pairs N, --out FOLDER, and
                --features NAMES, --no-default-features, or --built for what is built already
  bench trees   tree models beside the engines that people use; --grid, --pairs N, --models FOLDER, --out FOLDER, --built
  bench nets    nets on the CPU beside ONNX Runtime; --pairs N, --only NET,…, --out FOLDER, --built
  bench quality what nets learn beside LightGBM, with ../shared/data; --splits N, --tables T,…, --nets N,…, --full, --device D
  bench training how fast nets are trained beside JAX; --pairs N, --out FOLDER
  soak [ARGS]   faults of every kind at once, from a seed: --seed N, --minutes M, --clients N, --json; 20 seconds when not said
  picture [ARGS] run the demo and draw its report as docs/demo.svg
  ci            check, test, conformance, then soak: what .ci/run calls
  help          this text

ARGS go to `cargo test` or `cargo run`: `cargo xtask test -p engine` tests one room.
";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_else(|| "help".to_owned());
    let rest: Vec<String> = arguments.collect();
    let outcome = match command.as_str() {
        "test" => test::run(&rest),
        "check" => check::run(),
        "conformance" => conformance::run(&rest),
        "soak" => soak(&rest),
        "bench" => bench::run(&rest),
        "picture" => picture::run(&rest),
        "ci" => {
            let conformance = || conformance::run(&["--tensorflow".to_owned()]);
            check::run().and_then(|()| test::run(&[])).and_then(|()| conformance()).and_then(|()| soak(&[]))
        }
        "help" | "--help" | "-h" => {
            say(HELP);
            Ok(())
        }
        other => Err(anyhow::anyhow!("unknown command '{other}'; `cargo xtask help` lists them")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("xtask: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs the soak, as `arguments` say or for a moment.
fn soak(arguments: &[String]) -> Result<()> {
    let mut command = cargo();
    command.args(["run", "--release", "--package", "soak", "--"]);
    if arguments.is_empty() {
        command.args(["--seed", "1", "--minutes", "0.33"]);
    }
    show(command.args(arguments))
}

/// The workspace's root: that of the clone we were called in, also where clones share one target folder and another one built us.
fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    here.parent().unwrap_or(&here).to_path_buf()
}

/// The cargo that runs us, in the workspace's root.
fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Where cargo builds to.
fn target_directory() -> Result<PathBuf> {
    let metadata = cargo().args(["metadata", "--format-version", "1", "--no-deps"]).output()?;
    let text = String::from_utf8_lossy(&metadata.stdout);
    let target = text.split_once("\"target_directory\":\"").and_then(|(_, rest)| rest.split_once('"'));
    let (target, _) = target.context("cargo metadata names no target directory")?;
    Ok(PathBuf::from(target.replace("\\\\", "\\")))
}

/// Runs a command with its output shown; a failure names it.
fn show(command: &mut Command) -> Result<()> {
    say(&format!("$ {}", line(command)));
    let status = command.status().with_context(|| format!("cannot run {}", line(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", line(command));
    }
    Ok(())
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[expect(clippy::print_stderr, reason = "this is a command line tool")]
fn say(text: &str) {
    eprintln!("{}", text.trim_end());
}
