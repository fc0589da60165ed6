//! Our own server, started as a user would: import nets, serve them.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::{Running, built, free_port, net::Net, pinned};

/// What is served, and how.
pub(crate) struct Options<'a> {
    /// The binary; the one beside this program when absent.
    pub(crate) binary: Option<&'a Path>,
    pub(crate) nets: &'a [Net<'a>],
    /// Files of other tools, each with the name of its model.
    pub(crate) files: &'a [(&'a str, &'a Path)],
    /// More arguments of `emberline serve`.
    pub(crate) arguments: &'a [&'a str],
    /// The one core that it may use.
    pub(crate) cpu: Option<usize>,
}

/// The program: `named`, or the one beside this program.
pub(crate) fn binary(named: Option<&Path>) -> Result<PathBuf> {
    match named {
        Some(path) => Ok(path.to_path_buf()),
        None => built("emberline", "cargo build --release"),
    }
}

/// Imports the nets and files and serves them over HTTP on the CPU.
pub(crate) fn start(options: &Options<'_>) -> Result<Running> {
    let Options { binary, nets, files, arguments, cpu } = options;
    let binary = self::binary(*binary)?;
    let home = TempDir::new()?;
    let ours = |mut command: Command| {
        command.env("EMBERLINE_HOME", home.path()).stdin(Stdio::null());
        command
    };
    let import = |name: &str, file: &Path, more: &[&str]| {
        let mut import = ours(Command::new(&binary));
        import.arg("import").arg(file).args(["--name", name]).args(more);
        let imported = import.output().with_context(|| format!("cannot run {}", binary.display()))?;
        if !imported.status.success() {
            bail!("import failed: {}", String::from_utf8_lossy(&imported.stderr).trim());
        }
        Ok(())
    };
    for net in *nets {
        let weights = home.path().join("weights.safetensors");
        net.write(&weights)?;
        // With a task, its predictions are remembered until their labels come.
        import(net.name, &weights, &["--task", "regression"])?;
    }
    for (name, file) in *files {
        import(name, file, &[])?;
    }
    let address = format!("127.0.0.1:{}", free_port()?);
    let mut serve = ours(pinned(&binary, *cpu));
    serve
        .args(["serve", "--device", "cpu", "--log", "warn", "--http", &address])
        .args(*arguments)
        .stdout(Stdio::null());
    let first = nets.first().map_or("mlp", |net| net.name);
    Running::start(serve, address, &format!("/v2/models/{first}/ready"), Duration::from_mins(1), Some(home))
}

impl Running {
    /// Answers that came from the cache since the start.
    pub(crate) fn cache_hits(&self) -> Result<f64> {
        self.counted("nv_cache_num_hits_per_model")
    }

    /// Requests answered since the start.
    pub(crate) fn answers(&self) -> Result<f64> {
        self.counted("nv_inference_request_success")
    }

    /// The sum of a metric over its labels.
    fn counted(&self, metric: &str) -> Result<f64> {
        let metrics = String::from_utf8(self.get("/metrics")?)?;
        let named = |line: &&str| line.strip_prefix(metric).is_some_and(|rest| rest.starts_with(['{', '_']));
        let value = |line: &str| Ok(line.rsplit_once(' ').context("expected a value")?.1.parse::<f64>()?);
        metrics.lines().filter(named).map(value).sum()
    }
}
