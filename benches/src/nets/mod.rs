//! Nets answered by us and by ONNX Runtime, call beside call.
//!
//! Every figure is the median, over interleaved pairs, of its seconds over ours. Its call overhead (Python) is taken away from its
//! seconds, while ours are taken whole; it has the better of one thread and two, and the best of the forms that a net can be
//! written in, we what the library chooses.

mod ours;
mod peers;
mod report;

use std::{path::PathBuf, time::Duration};

use anyhow::{Result, ensure};
use clap::Args;

use self::{
    ours::Ours,
    peers::{Peers, Shape, Transformer},
    report::{Cell, Report},
};
use crate::{say, statistics::median};

/// Settings of a run.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Interleaved pairs a figure
    #[arg(long, default_value_t = 10)]
    pairs: usize,
    /// Seconds each is called in a pair
    #[arg(long, default_value_t = 0.2)]
    seconds: f64,
    /// These nets alone: small, wide, transformer
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Writes nets.json and nets.md here
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// Batches, with what must be reached at each.
const BATCHES: [(usize, f64); 3] = [(1, 1.0), (64, 1.0), (4096, 0.8)];
/// What the small net must reach at batch 1.
const SMALL_ALONE: f64 = 2.0;

fn nets() -> [(&'static str, &'static str, Shape); 3] {
    let transformer = Transformer { features: 8, width: 192, blocks: 3, heads: 8, hidden: 256, outputs: 1 };
    [
        ("small", "perceptron 30 → 64 → 1", Shape::Mlp(vec![30, 64, 1])),
        ("wide", "perceptron 8 → 512 × 3 → 1", Shape::Mlp(vec![8, 512, 512, 512, 1])),
        (
            "transformer",
            "FT-Transformer: 8 features, tokens of 192, 3 blocks, 8 heads, 256 within",
            Shape::Transformer(transformer),
        ),
    ]
}

/// Runs the benchmark.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    ensure!(arguments.pairs > 0, "expected at least one pair");
    let root = crate::machine::root();
    let folder = tempfile::TempDir::new()?;
    let mut peers = Peers::start(&root.join("peers"), folder.path())?;
    let out = arguments.out.clone().unwrap_or_else(|| root.join("results"));
    let mut report = Report::new(&out)?;
    for (name, what, shape) in nets() {
        if !arguments.only.is_empty() && !arguments.only.iter().any(|only| only == name) {
            continue;
        }
        say(what);
        peers.make(name, &shape)?;
        let mut ours = Ours::open(folder.path(), name, &shape)?;
        for (batch, mark) in BATCHES {
            let mark = if name == "small" && batch == 1 { SMALL_ALONE } else { mark };
            let cell = measured(&mut peers, &mut ours, (name, what), batch, arguments)?;
            report.figure(cell, mark)?;
        }
    }
    Ok(())
}

/// One batch size by both, by turns.
fn measured(
    peers: &mut Peers,
    ours: &mut Ours,
    (name, what): (&str, &'static str),
    batch: usize,
    arguments: &Arguments,
) -> Result<Cell> {
    let limit = Duration::from_secs_f64(arguments.seconds);
    let (mut own, mut theirs, mut way) = (Vec::new(), Vec::new(), None);
    for _ in 0..arguments.pairs {
        own.push(ours.time(batch, limit)?);
        let timed = peers.time(name, batch, arguments.seconds)?;
        theirs.push(timed.own());
        way = Some(timed);
    }
    let ratios: Vec<f64> = theirs.iter().zip(&own).map(|(theirs, own)| theirs / own).collect();
    let ours_us = median(&own).median * 1e6;
    let cell = Cell {
        net: what,
        batch,
        pairs: arguments.pairs,
        ratio: median(&ratios),
        ours_us,
        theirs_us: median(&theirs).median * 1e6,
        threads: way.as_ref().map_or(0, |way| way.threads),
        form: way.map(|way| way.form).unwrap_or_default(),
        gigaflops: 2e-3 * (ours.products() * batch) as f64 / ours_us,
    };
    say(&format!("  {cell}"));
    Ok(cell)
}
