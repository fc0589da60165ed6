//! How well nets learn tables, beside LightGBM with the published tuned settings: the same splits, one seed each.
//!
//! Tables and settings are those of the published figures (Gorishniy et al., "`TabM`", 2024), but for the split, which was not
//! published; so nets and trees are compared with each other here, not with the published figures. Every net is trained, saved
//! and asked through the binary, as a person would.

mod nets;
mod report;
mod tables;

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use tables::Task;

use crate::{say, servers};

/// What to train, and how often.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Splits of each table
    #[arg(long, default_value_t = 5)]
    splits: u64,
    /// Only these tables: california, adult
    #[arg(long, value_delimiter = ',', value_name = "TABLE,…")]
    tables: Vec<String>,
    /// Only these nets, by the names in the results
    #[arg(long, value_delimiter = ',', value_name = "NET,…")]
    nets: Vec<String>,
    /// Train with the published settings where two cores take hours for them
    #[arg(long)]
    full: bool,
    /// Where to train: cpu, cuda:0, …
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Folder with `tabular/` of the shared data
    #[arg(long, default_value = "../shared/data", value_name = "FOLDER")]
    data: PathBuf,
    /// The binary to measure; by default the one that is built beside this one
    #[arg(long, value_name = "FILE")]
    emberline: Option<PathBuf>,
    /// Keep what quality-TABLE.json has, and train what it has not: a run that was cut goes on
    #[arg(long)]
    r#continue: bool,
    /// Writes quality-TABLE.json and quality-TABLE.md here
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// One trained model's quality on rows that it has never seen.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) split: u64,
    /// RMSE, or accuracy.
    pub(crate) score: f64,
    pub(crate) seconds: f64,
    pub(crate) epochs: usize,
    pub(crate) parameters: u64,
}

/// Runs the benchmark.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    ensure!(arguments.splits > 0, "expected at least one split");
    let root = crate::machine::root();
    let binary = match &arguments.emberline {
        Some(binary) => binary.clone(),
        None => servers::built("emberline", "cargo build --release")?,
    };
    let folder = tempfile::tempdir()?;
    let out = arguments.out.clone().unwrap_or_else(|| root.join("results"));
    let wanted = |list: &[String], name: &str| list.is_empty() || list.iter().any(|other| other == name);
    for table in tables::all().into_iter().filter(|table| wanted(&arguments.tables, table.name)) {
        let mut report = report::Report::new(&out, table.name, &arguments.device, arguments.full)?;
        if arguments.r#continue {
            report.go_on()?;
        }
        let nets: Vec<_> =
            nets::of(table.name, arguments.full).into_iter().filter(|net| wanted(&arguments.nets, net.name)).collect();
        for split in 0..arguments.splits {
            let files = table.write(&arguments.data.join("tabular"), split, folder.path())?;
            if !report.has_peer(split) {
                let run = lightgbm(&root.join("peers"), &table, &files, split)?;
                report.peer(table.task, run)?;
            }
            for net in nets.iter().filter(|net| !report.has(net, split)).collect::<Vec<_>>() {
                let home = folder.path().join(format!("{}-{}-{split}", table.name, net.name));
                let run = train(&binary, &home, &arguments.device, net, &table, &files, split)?;
                fs_err::remove_dir_all(&home)?;
                report.net(table.task, net, run)?;
            }
        }
    }
    Ok(())
}

fn train(
    binary: &Path,
    home: &Path,
    device: &str,
    net: &nets::Settings,
    table: &tables::Table,
    files: &tables::Files,
    split: u64,
) -> Result<Run> {
    let started = Instant::now();
    let seed = split.to_string();
    let mut command = Command::new(binary);
    command.args(["train", "--json", "--name", "m", "--target", table.target, "--split", tables::SPLIT]);
    command.args(["--encoding", "noisy-quantile-normal", "--device", device, "--seed", &seed]);
    command.arg("--data").arg(&files.training).arg("--home").arg(home).args(&net.flags);
    let lines = printed(&mut command)?;
    let events: Vec<serde_json::Value> =
        lines.lines().map(serde_json::from_str).collect::<Result<_, _>>().context("events of training")?;
    let seconds = started.elapsed().as_secs_f64();
    let parameters = events.iter().find_map(|event| event["parameters"].as_u64()).unwrap_or_default();
    let epochs = events.iter().filter(|event| event["event"] == "epoch").count();
    let answers = home.join("answers.csv");
    let mut command = Command::new(binary);
    command.args(["predict", "--json", "--model", "m", "--device", device]);
    command.arg("--data").arg(&files.test).arg("--out").arg(&answers).arg("--home").arg(home);
    printed(&mut command)?;
    let score = table.task.score(&fs_err::read_to_string(&answers)?, table.target)?;
    say(&format!("{} {} split {split}: {score:.4} in {seconds:.0} s, {epochs} epochs", table.name, net.name));
    Ok(Run { split, score, seconds, epochs, parameters })
}

/// The same splits by LightGBM with the published tuned settings.
fn lightgbm(scripts: &Path, table: &tables::Table, files: &tables::Files, split: u64) -> Result<Run> {
    #[derive(serde::Deserialize)]
    struct Found {
        score: f64,
        seconds: f64,
        trees: usize,
    }
    let task = match table.task {
        Task::Regression => "regression",
        Task::Classes => "binary",
    };
    let mut command = Command::new(scripts.join("quality.sh"));
    command.arg(&files.training).arg(&files.test).args([table.target, task, table.name, &split.to_string()]);
    let found: Found = serde_json::from_str(&printed(&mut command)?).context("the answer of quality.sh")?;
    let Found { score, seconds, trees } = found;
    say(&format!("{} lightgbm split {split}: {score:.4} in {seconds:.0} s, {trees} trees", table.name));
    Ok(Run { split, score, seconds, epochs: trees, parameters: 0 })
}

fn printed(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if !output.status.success() {
        let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let last = errors.lines().chain(said.lines()).last().unwrap_or_default().to_owned();
        bail!("{} failed: {last}", command.get_program().display());
    }
    Ok(String::from_utf8(output.stdout)?)
}
