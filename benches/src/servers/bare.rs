//! The yardsticks: `examples/bare`, one process each.

use std::{ffi::OsStr, path::Path, process::Stdio, time::Duration};

use anyhow::Result;

use super::{Running, built, free_port, pinned};

/// Answers with the bytes of a file.
pub(crate) fn bytes(answer: &Path) -> Result<Running> {
    start(&["bytes".as_ref(), answer.as_ref()], None)
}

/// The same on one core alone, for a generator that asks for the model's metadata first.
pub(crate) fn bytes_on(answer: &Path, metadata: &Path, cpu: usize) -> Result<Running> {
    start(&["bytes".as_ref(), answer.as_ref(), "--metadata".as_ref(), metadata.as_ref()], Some(cpu))
}

/// Computes the dense net of a safetensors file with loops.
pub(crate) fn dense(weights: &Path) -> Result<Running> {
    start(&["dense".as_ref(), weights.as_ref()], None)
}

/// Computes an ONNX model with ONNX Runtime.
pub(crate) fn onnx(model: &Path, library: &Path) -> Result<Running> {
    start(&["onnx".as_ref(), model.as_ref(), "--library".as_ref(), library.as_ref()], None)
}

fn start(arguments: &[&OsStr], cpu: Option<usize>) -> Result<Running> {
    let binary = built("examples/bare", "cargo build --release --package benches --example bare")?;
    let address = format!("127.0.0.1:{}", free_port()?);
    let mut command = pinned(binary, cpu);
    command.args(["--http", &address]).args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    Running::start(command, address, "/ready", Duration::from_secs(20), None)
}
