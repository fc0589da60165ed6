//! The yardsticks: `examples/bare`, one process each.

use std::{
    ffi::OsStr,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::Result;

use super::{Running, built, free_port};

/// Answers with the bytes of a file.
pub(crate) fn bytes(answer: &Path) -> Result<Running> {
    start(&["bytes".as_ref(), answer.as_ref()])
}

/// Computes the dense net of a safetensors file with loops.
pub(crate) fn dense(weights: &Path) -> Result<Running> {
    start(&["dense".as_ref(), weights.as_ref()])
}

/// Computes an ONNX model with ONNX Runtime.
pub(crate) fn onnx(model: &Path, library: &Path) -> Result<Running> {
    start(&["onnx".as_ref(), model.as_ref(), "--library".as_ref(), library.as_ref()])
}

fn start(arguments: &[&OsStr]) -> Result<Running> {
    let binary = built("examples/bare", "cargo build --release --package benches --example bare")?;
    let address = format!("127.0.0.1:{}", free_port()?);
    let mut command = Command::new(binary);
    command.args(["--http", &address]).args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    Running::start(command, address, "/ready", Duration::from_secs(20), None)
}
