//! Tree models answered by us and by the engines that people use, call beside call.
//!
//! Every figure is the median, over interleaved pairs, of their seconds over ours. Peers are called by a loop of C where that can be;
//! what Python and ctypes add to other calls is taken away from their seconds, while ours are taken whole. The fastest peer of a
//! batch is the one with the smallest median.

mod ours;
mod peers;
mod report;
mod threads;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Result, bail, ensure};
use clap::Args;

use self::{
    ours::Ours,
    peers::{ENGINES, KEPT, Peers, SAME_MODEL, Shape, Timed},
    report::{Cell, Report, Threads},
};
use crate::{
    say,
    statistics::{Median, median},
};

/// Settings of a run.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Interleaved pairs a figure
    #[arg(long, default_value_t = 10)]
    pairs: usize,
    /// Seconds each engine is called in a pair
    #[arg(long, default_value_t = 0.2)]
    seconds: f64,
    /// The grid of shapes as well: trees {16, 128, 1024} × depth {2, 4, 8, 12} × features {8, 32, 128} × batch {1, 16, 128, 1024,
    /// 65536}, three pairs a cell, and as many as a figure's where three leave it open who is faster; an engine that is five times
    /// slower than another is timed once
    #[arg(long)]
    grid: bool,
    /// Makes the grid's models and what the engines make of them, and times nothing: more than an hour that needs no quiet machine
    #[arg(long, requires = "models", conflicts_with = "grid")]
    prepare: bool,
    /// Keeps the models here, so that another run need not train them
    #[arg(long, value_name = "FOLDER")]
    models: Option<PathBuf>,
    /// Writes trees.json and trees.md here
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// The model of the figures, and what they must reach at each batch.
const FIGURES: [(usize, f64); 5] = [(1, 1.5), (16, 2.0), (256, 4.0), (4096, 4.0), (60_000, 4.0)];
const GRID_BATCHES: [usize; 5] = [1, 16, 128, 1024, 65_536];
const GRID_PAIRS: usize = 3;
/// An engine that takes this many times the fastest one's first time is not timed again in its cell of the grid.
const HOPELESS: f64 = 5.0;

/// How long a cell is measured.
struct Effort {
    pairs: usize,
    /// Pairs where those leave it open who is faster.
    at_most: usize,
    /// Seconds each engine is called in a pair.
    seconds: f64,
    /// What an engine may take of the fastest one's first time, to be timed in the other pairs.
    within: f64,
}
/// From this batch on, two threads; below, one.
const PARALLEL_FROM: usize = 17;

/// Features of the model of the figures.
pub(crate) const FIGURES_FEATURES: usize = 28;

/// The model of the figures.
fn figures_shape() -> Shape {
    Shape { name: "t500".to_owned(), trees: 500, leaves: 31, depth: -1, features: FIGURES_FEATURES, rows: 60_000 }
}

/// LightGBM's file of the model of the figures, made in `folder` if it is not there.
pub(crate) fn figures_model(scripts: &Path, folder: &Path) -> Result<PathBuf> {
    fs_err::create_dir_all(folder)?;
    let shape = figures_shape();
    Peers::start(scripts, folder)?.make(&shape)?;
    Ok(folder.join(format!("{}.lgb.txt", shape.name)))
}

/// Runs the benchmark.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    ensure!(arguments.pairs > 0, "expected at least one pair");
    let root = crate::machine::root();
    let kept = tempfile::TempDir::new()?;
    let folder = arguments.models.clone().unwrap_or_else(|| kept.path().to_owned());
    fs_err::create_dir_all(&folder)?;
    let mut peers = Peers::start(&root.join("peers"), &folder)?;
    if arguments.prepare {
        return prepare(&mut peers);
    }
    let out = arguments.out.clone().unwrap_or_else(|| root.join("results"));
    let mut report = Report::new(&out)?;

    let shape = figures_shape();
    let mut ours = opened(&mut peers, &folder, &shape)?;
    report.model(&shape, ours.choice());
    let pairs = arguments.pairs;
    let effort = Effort { pairs, at_most: pairs, seconds: arguments.seconds, within: f64::INFINITY };
    for (batch, mark) in FIGURES {
        let cell = measured(&mut peers, &ENGINES, &mut ours, &shape, batch, &effort)?;
        report.figure(cell, mark)?;
    }
    let second = Duration::from_secs(1);
    let (mut ratios, mut tails) = (Vec::new(), Vec::new());
    for _ in 0..arguments.pairs {
        let one = threads::throughput(&ours, 1, second)?;
        ratios.push(threads::throughput(&ours, 8, second)? / one);
        let (usual, slow) = threads::tail(&ours, second)?;
        tails.push(slow / usual);
    }
    report.threads(Threads { eight_over_one: median(&ratios), tail_over_median: median(&tails) })?;
    if arguments.grid {
        let seconds = arguments.seconds / 4.0;
        let effort = Effort { pairs: GRID_PAIRS.min(pairs), at_most: pairs, seconds, within: HOPELESS };
        for shape in grid() {
            let mut ours = opened(&mut peers, &folder, &shape)?;
            for batch in GRID_BATCHES {
                let cell = measured(&mut peers, &SAME_MODEL, &mut ours, &shape, batch, &effort)?;
                report.grid(cell)?;
            }
        }
    }
    Ok(())
}

/// Makes what [`run`] needs of the grid and can keep.
fn prepare(peers: &mut Peers) -> Result<()> {
    for shape in grid() {
        say(&shape.name);
        peers.make(&shape)?;
        for engine in KEPT {
            match peers.prepare(engine, &shape.name) {
                Ok(seconds) => say(&format!("  {engine}: {seconds:.0} s")),
                Err(error) => say(&format!("  {engine}: {error:#}")),
            }
        }
    }
    Ok(())
}

fn grid() -> impl Iterator<Item = Shape> {
    let sizes = [8, 32, 128].into_iter().flat_map(|features| [2, 4, 8, 12].map(|depth| (features, depth)));
    sizes.flat_map(|(features, depth)| {
        [16, 128, 1024].map(|trees| Shape {
            name: format!("g{trees}x{depth}x{features}"),
            trees,
            leaves: 1 << depth,
            depth,
            features,
            rows: 60_000,
        })
    })
}

fn opened(peers: &mut Peers, folder: &Path, shape: &Shape) -> Result<Ours> {
    say(&format!(
        "{}: {} trees of up to {} leaves, {} features",
        shape.name, shape.trees, shape.leaves, shape.features
    ));
    peers.make(shape)?;
    Ours::open(folder, &shape.name)
}

/// One batch size by all engines, by turns.
fn measured(
    peers: &mut Peers,
    engines: &[&'static str],
    ours: &mut Ours,
    shape: &Shape,
    batch: usize,
    effort: &Effort,
) -> Result<Cell> {
    let &Effort { pairs, at_most, seconds, within } = effort;
    let threads = if batch < PARALLEL_FROM { 1 } else { 2 };
    let mut own = Vec::new();
    // Of each pair that an engine was timed in, its time and ours.
    let mut theirs: Vec<(&str, Vec<[f64; 2]>)> = engines.iter().map(|engine| (*engine, Vec::new())).collect();
    let (mut failed, mut lost) = (BTreeMap::new(), BTreeMap::<String, usize>::new());
    let (engine, times) = loop {
        let ours = ours.time(batch, Duration::from_secs_f64(seconds))?;
        own.push(ours);
        let first = |times: &[[f64; 2]]| times.first().map_or(0.0, |[first, _ours]| *first);
        let fastest = theirs.iter().map(|(_engine, times)| first(times)).filter(|time| *time > 0.0).reduce(f64::min);
        for (engine, times) in &mut theirs {
            let hopeless = fastest.is_some_and(|fastest| first(times) > within * fastest);
            if hopeless || failed.contains_key(*engine) {
                continue;
            }
            match peers.time(engine, &shape.name, batch, threads, seconds).map(Timed::own) {
                Ok(Some(time)) => times.push([time, ours]),
                Ok(None) => *lost.entry((*engine).to_owned()).or_default() += 1,
                Err(error) => drop(failed.insert((*engine).to_owned(), format!("{error:#}"))),
            }
        }
        let answered = theirs.iter().filter(|(engine, times)| !times.is_empty() && !failed.contains_key(*engine));
        let fastest = answered.min_by(|(_, a), (_, b)| typical(a).total_cmp(&typical(b)));
        let Some((engine, times)) = fastest else { bail!("no engine answered: {failed:?}") };
        let Median { low, high, .. } = over_ours(times);
        if own.len() >= at_most || (own.len() >= pairs && !(low..=high).contains(&1.0)) {
            break (*engine, times);
        }
    };
    // One that could be told from its overhead half of the time is judged by those.
    lost.retain(|engine, lost| *lost * 2 > own.len() && theirs.iter().any(|(name, _times)| name == engine));
    let cell = Cell {
        model: shape.name.clone(),
        batch,
        threads,
        way: ours.choice().plan(batch).map(|plan| plan.way),
        pairs: own.len(),
        ratio: over_ours(times),
        fastest: engine.to_owned(),
        ours_us: median(&own).median * 1e6,
        theirs_us: theirs
            .iter()
            .filter(|(engine, times)| !times.is_empty() && !failed.contains_key(*engine))
            .map(|(engine, times)| ((*engine).to_owned(), typical(times) * 1e6))
            .collect(),
        lost: lost.into_keys().collect(),
        failed,
    };
    say(&format!("  {cell}"));
    Ok(cell)
}

/// The median of an engine's times.
fn typical(times: &[[f64; 2]]) -> f64 {
    median(&times.iter().map(|[theirs, _ours]| *theirs).collect::<Vec<_>>()).median
}

/// Its times over ours.
fn over_ours(times: &[[f64; 2]]) -> Median {
    median(&times.iter().map(|[theirs, ours]| theirs / ours).collect::<Vec<_>>())
}
