//! What users have in place of us, by the scripts under `benches/peers`. Each installs itself on its first call and ends with
//! a reason where it cannot.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Result, bail};
use fs_err::File;

use super::{Running, free_port};

/// A first start fetches packages.
const LIMIT: Duration = Duration::from_mins(15);

/// A server in another process, started by a script of its name.
#[derive(Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) script: &'static str,
    /// As people call it.
    pub(crate) name: &'static str,
    /// Says when it is ready.
    pub(crate) ready: &'static str,
    /// Where it takes requests of the Open Inference Protocol.
    pub(crate) infer: &'static str,
}

pub(crate) const TRITON: Peer = Peer {
    script: "triton.sh",
    name: "Triton 2.51.0, dynamic_batching { }, python backend",
    ready: "/v2/models/mlp/ready",
    infer: "/v2/models/mlp/infer",
};
pub(crate) const MLSERVER: Peer = Peer {
    script: "mlserver.sh",
    name: "MLServer 1.7.1, parallel_workers 0",
    ready: "/v2/models/mlp/ready",
    infer: "/v2/models/mlp/infer",
};
pub(crate) const MOSEC: Peer =
    Peer { script: "mosec.sh", name: "mosec 0.9.8, batches of 128", ready: "/metrics", infer: "/inference" };

impl Peer {
    /// Starts it with the net of `weights`; an error is the reason why it cannot run here.
    pub(crate) fn start(&self, scripts: &Path, weights: &Path) -> Result<Running> {
        let port = free_port()?;
        let log = tempfile::TempDir::new()?;
        let told = log.path().join("output.txt");
        let output = File::create(&told)?;
        let mut command = Command::new(scripts.join(self.script));
        command.arg(weights).arg(port.to_string()).stdin(Stdio::null());
        command.stdout(output.file().try_clone()?).stderr(output.into_file());
        Running::start(command, format!("127.0.0.1:{port}"), self.ready, LIMIT, Some(log))
            .map_err(|error| error.context(last_line(&told)))
    }
}

/// Writes the net of `weights` as ONNX to `model`; gives the library of ONNX Runtime, or the reason why there is none.
pub(crate) fn onnx(scripts: &Path, weights: &Path, model: &Path) -> Result<PathBuf> {
    let output = Command::new(scripts.join("onnx.sh")).arg(weights).arg(model).output()?;
    let library = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() || library.is_empty() {
        let told = String::from_utf8_lossy(&output.stderr);
        bail!("{}", told.lines().last().unwrap_or("onnx.sh found no library"));
    }
    Ok(PathBuf::from(library))
}

fn last_line(path: &Path) -> String {
    let text = fs_err::read_to_string(path).unwrap_or_default();
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_owned()
}
