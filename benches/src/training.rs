//! How fast nets are trained on the CPU, beside JAX training the same nets with the same batches.

use std::{
    fmt::Write as _,
    io::{BufRead, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::{
    machine::{self, Machine},
    say, servers,
    statistics::{Median, median},
};

/// How to measure.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Interleaved pairs a net
    #[arg(long, default_value_t = 10)]
    pairs: usize,
    /// Seconds that each trains in a pair
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// The binary to measure; by default the one that is built beside this one
    #[arg(long, value_name = "FILE")]
    emberline: Option<PathBuf>,
    /// Writes training.json and training.md here
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

const WHAT: &str = "Rows a second that nets are trained with on the CPU, beside JAX (one jitted step, donated buffers, optax) training \
                    the same net: batches of 256 of 16,384 rows of 8 numbers, dropout 0.1, AdamW, clipped gradients. Ours is what \
                    `emberline train` tells by epoch, with the validation loss of a hundredth of the rows and a checkpoint on disk; \
                    JAX's is its steps alone, compilation left out. The ratio is ours over JAX's: the median over interleaved pairs \
                    with its 95 % bootstrap interval.";
const ROWS: usize = 16_384;
const FEATURES: usize = 8;
const BATCH: usize = 256;
const MARK: f64 = 0.8;

/// The nets, with the flags that make ours the same as `training_jax.py`'s.
const NETS: [(&str, &str, &[&str]); 2] = [
    ("mlp", "8→512×3→1", &["--model", "mlp", "--hidden", "512,512,512", "--dropout", "0.1"]),
    ("resnet", "two blocks, 192 values, 384 units", &["--model", "resnet", "--dropout", "0.1"]),
];

#[derive(Serialize)]
struct Figure {
    net: &'static str,
    sizes: &'static str,
    ours: Median,
    jax: Median,
    ratio: Median,
    mark: f64,
    reached: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    what: &'a str,
    machine: Machine,
    jax: String,
    figures: Vec<Figure>,
}

/// Runs the benchmark.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    ensure!(arguments.pairs > 0, "expected at least one pair");
    let root = machine::root();
    let binary = match &arguments.emberline {
        Some(binary) => binary.clone(),
        None => servers::built("emberline", "cargo build --release")?,
    };
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("rows.csv");
    fs_err::write(&data, table()?)?;
    let mut jax = Jax::start(&root.join("peers"))?;
    let mut figures = Vec::new();
    for (net, sizes, flags) in NETS {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for pair in 0..arguments.pairs {
            theirs.push(jax.rows_per_second(net, arguments.seconds)?);
            ours.push(rows_per_second(&binary, &data, folder.path(), flags, arguments.seconds)?);
            say(&format!("{net} pair {pair}: {:.0} rows/s, JAX {:.0}", ours[pair], theirs[pair]));
        }
        let ratios: Vec<f64> = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect();
        let ratio = median(&ratios);
        let reached = ratio.median >= MARK;
        figures.push(Figure { net, sizes, ours: median(&ours), jax: median(&theirs), ratio, mark: MARK, reached });
    }
    let out = arguments.out.clone().unwrap_or_else(|| root.join("results"));
    let document = Document { what: WHAT, machine: machine::describe()?, jax: jax.version.clone(), figures };
    fs_err::create_dir_all(&out)?;
    fs_err::write(out.join("training.json"), serde_json::to_string_pretty(&document)? + "\n")?;
    fs_err::write(out.join("training.md"), page(&document)?)?;
    Ok(())
}

fn page(document: &Document<'_>) -> Result<String> {
    let Document { what, machine, jax, figures } = document;
    let mut text = format!("# How fast nets are trained\n\n{what}\n\n{machine}, JAX {jax}\n\n");
    text.push_str("| net | ours, rows/s | JAX, rows/s | ratio | must reach |\n| --- | --- | --- | --- | --- |\n");
    for Figure { net, sizes, ours, jax, ratio, mark, reached } in figures {
        let Median { median, low, high } = ratio;
        let word = if *reached { "reached" } else { "**missed**" };
        let (ours, jax) = (ours.median, jax.median);
        writeln!(
            text,
            "| {net} {sizes} | {ours:.0} | {jax:.0} | {median:.2} [{low:.2}, {high:.2}] | {mark}: {word} |"
        )?;
    }
    Ok(text)
}

/// Rows of a function that can be learned.
fn table() -> Result<String> {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut text = "a,b,c,d,e,f,g,h,y\n".to_owned();
    // A hundredth more, which is held out.
    for _ in 0..ROWS * 100 / 99 {
        let row: [f64; FEATURES] = std::array::from_fn(|_| random.random_range(-1.7..1.7));
        let y = row[0].sin() + row[1] * row[2];
        row.iter().try_for_each(|value| write!(text, "{value:.6},"))?;
        writeln!(text, "{y:.6}")?;
    }
    Ok(text)
}

/// The median over the epochs but the first.
fn rows_per_second(binary: &Path, data: &Path, folder: &Path, flags: &[&str], seconds: f64) -> Result<f64> {
    let home = folder.join("home");
    let mut command = Command::new(binary);
    command.args(["train", "--json", "--name", "m", "--target", "y", "--device", "cpu", "--valid", "0.01"]);
    command.args(["--epochs", "100000", "--patience", "100000", "--time-budget", &format!("{seconds:.0}s")]);
    command.args(["--batch-size", &BATCH.to_string()]).arg("--data").arg(data).arg("--home").arg(&home).args(flags);
    let output = command.output().context("cannot start emberline")?;
    ensure!(output.status.success(), "training failed: {}", String::from_utf8_lossy(&output.stderr));
    fs_err::remove_dir_all(&home)?;
    let mut rates = Vec::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let event: serde_json::Value = serde_json::from_str(line)?;
        if event["event"] == "epoch" && event["epoch"] != 1 {
            rates.extend(event["rows_per_second"].as_f64());
        }
    }
    ensure!(rates.len() >= 2, "expected a few epochs in {seconds} s, got {}", rates.len() + 1);
    // The last epoch may be a part of one.
    rates.pop();
    Ok(median(&rates).median)
}

/// The running script.
struct Jax {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    version: String,
}

impl Jax {
    fn start(scripts: &Path) -> Result<Self> {
        let mut command = Command::new(scripts.join("training.sh"));
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("cannot start training.sh")?;
        let (Some(requests), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("expected pipes to training.sh, got none");
        };
        Ok(Self { child, requests, answers: BufReader::new(answers), version: String::new() })
    }

    fn rows_per_second(&mut self, net: &str, seconds: f64) -> Result<f64> {
        let request = serde_json::json!({
            "net": net, "rows": ROWS, "features": FEATURES, "batch": BATCH, "seconds": seconds,
        });
        writeln!(self.requests, "{request}")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let answer: serde_json::Value = serde_json::from_str(&line).context("the answer of training.sh")?;
        answer["jax"].as_str().unwrap_or_default().clone_into(&mut self.version);
        answer["rows_per_second"].as_f64().context("expected rows a second")
    }
}

impl Drop for Jax {
    fn drop(&mut self) {
        // It ends by itself when its requests end; this is for when it does not.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
