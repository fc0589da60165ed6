//! The figures: JSON for programs, Markdown for people, both written anew behind every cell.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Result;
use serde::Serialize;
use trees::predict::{Choice, Plan, Way};

use super::peers::Shape;
use crate::{
    machine::{self, Machine},
    statistics::Median,
};

/// One batch size of one model.
#[derive(Serialize)]
pub(super) struct Cell {
    pub(super) model: String,
    pub(super) batch: usize,
    pub(super) threads: usize,
    /// What we answer it by.
    pub(super) way: Option<Way>,
    pub(super) pairs: usize,
    /// The fastest peer's seconds over ours.
    pub(super) ratio: Median,
    pub(super) fastest: String,
    /// Microseconds of a call.
    pub(super) ours_us: f64,
    pub(super) theirs_us: BTreeMap<String, f64>,
    /// Engines whose time cannot be told from their call overhead.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) lost: Vec<String>,
    /// Engines that could not answer, and why.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) failed: BTreeMap<String, String>,
}

/// Who is faster.
#[derive(Clone, Copy, PartialEq)]
enum Verdict {
    Ours,
    Theirs,
    /// The interval reaches 1, or the time of some engine cannot be told from its call overhead.
    Open,
}

impl Cell {
    fn verdict(&self) -> Verdict {
        if self.ratio.high < 1.0 {
            Verdict::Theirs
        } else if self.ratio.low > 1.0 && self.lost.is_empty() {
            Verdict::Ours
        } else {
            Verdict::Open
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { batch, ratio, fastest, ours_us, theirs_us, .. } = self;
        let Median { median, low, high } = ratio;
        write!(f, "batch {batch}: {median:.2} [{low:.2}, {high:.2}] times {fastest} (ours {}", micros(*ours_us))?;
        theirs_us.iter().try_for_each(|(engine, us)| write!(f, ", {engine} {}", micros(*us)))?;
        f.write_str(")")
    }
}

/// A figure with its mark.
#[derive(Serialize)]
struct Figure {
    at_least: f64,
    reached: bool,
    #[serde(flatten)]
    cell: Cell,
}

/// Single rows from several threads at once.
#[derive(Serialize)]
pub(super) struct Threads {
    /// Calls a second of eight threads over those of one.
    pub(super) eight_over_one: Median,
    /// Of two threads, each on a core of its own, the 99.9th percentile of a call over its median.
    pub(super) tail_over_median: Median,
}

/// What these must reach.
const EIGHT: f64 = 1.9;
const TAIL: f64 = 5.0;

#[derive(Serialize)]
struct Document<'a> {
    what: &'static str,
    machine: &'a Machine,
    ways: &'a [Plan],
    figures: &'a [Figure],
    threads: &'a Option<Threads>,
    grid: &'a [Cell],
}

const WHAT: &str = "Tree models on the CPU, library call beside library call, each call of other rows while the table of 60,000 has them. lleaves, \
                    XGBoost and LightGBM's single rows are called by a loop of C, the others from Python, whose measured overhead is \
                    taken away; each with the better of one thread and two where two are said (XGBoost everywhere). The models are LightGBM's, and all answer the same ones: we to LightGBM's last bit, lleaves and ONNX Runtime \
                    compiled and converted, XGBoost as carried over by `emberline export`, and beside it XGBoost with as many \
                    trees (depth 6) that it trained itself on the same function. A ratio is the fastest peer's time over ours: the median over interleaved pairs with its 95 % \
                    bootstrap interval";

/// Figures as they come.
pub(super) struct Report {
    folder: PathBuf,
    machine: Machine,
    head: String,
    ways: Vec<Plan>,
    figures: Vec<Figure>,
    threads: Option<Threads>,
    grid: Vec<Cell>,
}

impl Report {
    pub(super) fn new(folder: &Path) -> Result<Self> {
        fs_err::create_dir_all(folder)?;
        let machine = machine::describe()?;
        let (ways, figures, grid) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { folder: folder.to_owned(), machine, head: String::new(), ways, figures, threads: None, grid })
    }

    /// Tells the model of the figures, and how we answer it.
    pub(super) fn model(&mut self, shape: &Shape, choice: &Choice) {
        let Shape { name: _, trees, leaves, depth: _, features, rows: _ } = shape;
        self.head = format!("{trees} trees of {leaves} leaves, {features} features");
        self.ways.clone_from(&choice.plans);
    }

    pub(super) fn figure(&mut self, cell: Cell, at_least: f64) -> Result<()> {
        self.figures.push(Figure { at_least, reached: cell.ratio.median >= at_least, cell });
        self.write()
    }

    pub(super) fn threads(&mut self, threads: Threads) -> Result<()> {
        self.threads = Some(threads);
        self.write()
    }

    pub(super) fn grid(&mut self, cell: Cell) -> Result<()> {
        self.grid.push(cell);
        self.write()
    }

    fn write(&self) -> Result<()> {
        let Self { folder, machine, head: _, ways, figures, threads, grid } = self;
        let document = Document { what: WHAT, machine, ways, figures, threads, grid };
        fs_err::write(folder.join("trees.json"), serde_json::to_string_pretty(&document)? + "\n")?;
        fs_err::write(folder.join("trees.md"), self.markdown()?)?;
        Ok(())
    }

    /// By engine and kind of reason, why it is not in the cells of the grid that it is not in.
    fn absent(&self) -> BTreeMap<(&str, &str), Vec<&str>> {
        let mut absent = BTreeMap::<(&str, &str), Vec<&str>>::new();
        for (engine, reason) in self.grid.iter().flat_map(|cell| &cell.failed) {
            let kind = reason.split(':').next().unwrap_or_default();
            absent.entry((engine, kind)).or_default().push(reason);
        }
        absent
    }

    fn markdown(&self) -> Result<String> {
        let mut text = format!("# Tree models on the CPU\n\n{WHAT}.\n\n{}\n\n## {}\n\n", self.machine, self.head);
        text.push_str("| batch | threads | ours | LightGBM | XGBoost | XGBoost, its own trees | lleaves | ONNX Runtime | against the fastest | must reach |\n");
        text.push_str("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
        for Figure { at_least, reached, cell } in &self.figures {
            let Cell { batch, threads, ratio, ours_us, theirs_us, .. } = cell;
            let theirs = |engine: &str| theirs_us.get(engine).map_or_else(|| "–".to_owned(), |us| micros(*us));
            let Median { median, low, high } = ratio;
            let told = if *reached { "reached" } else { "**missed**" };
            writeln!(
                text,
                "| {batch} | {threads} | {} | {} | {} | {} | {} | {} | {median:.2} [{low:.2}, {high:.2}] | {at_least} {told} |",
                micros(*ours_us),
                theirs("lightgbm"),
                theirs("xgboost"),
                theirs("xgboost_trained"),
                theirs("lleaves"),
                theirs("onnxruntime"),
            )?;
        }
        let ways = self.ways.iter().map(|plan| {
            let threads = if plan.parallel { ", on all threads" } else { "" };
            format!("up to {} rows: {:?}{threads}", plan.rows, plan.way).to_lowercase()
        });
        writeln!(text, "\nThe ways that were measured to be the fastest: {}.", ways.collect::<Vec<_>>().join("; "))?;
        if let Some(Threads { eight_over_one, tail_over_median }) = &self.threads {
            let told = |reached: bool| if reached { "reached" } else { "**missed**" };
            let row = |figure: &Median| format!("{:.2} [{:.2}, {:.2}]", figure.median, figure.low, figure.high);
            text.push_str("\n| single rows from several threads | figure | must be |\n| --- | --- | --- |\n");
            let (eight, tail) = (row(eight_over_one), row(tail_over_median));
            let reached = (told(eight_over_one.median >= EIGHT), told(tail_over_median.median <= TAIL));
            writeln!(
                text,
                "| calls a second of 8 threads over those of 1 | {eight} | at least {EIGHT}: {} |",
                reached.0
            )?;
            writeln!(
                text,
                "| of 2 threads, each pinned to a core, p99.9 of a call over its median | {tail} | at most {TAIL}: {} |",
                reached.1
            )?;
        }
        if !self.grid.is_empty() {
            let count = |verdict| self.grid.iter().filter(|cell| cell.verdict() == verdict).count();
            let (ours, theirs, open) = (count(Verdict::Ours), count(Verdict::Theirs), count(Verdict::Open));
            let cells = self.grid.len();
            writeln!(
                text,
                "\n## The grid\n\nFaster than every peer in {ours} of {cells} cells, slower than one in {theirs}; open in {open}, where \
                 the interval reaches 1 or a peer's time cannot be told from its call overhead.\n"
            )?;
            for ((engine, _kind), reasons) in self.absent() {
                writeln!(text, "- {engine} is not in {} of them; in the first, {}", reasons.len(), reasons[0])?;
            }
            text.push('\n');
            text.push_str(
                "| trees × depth × features | batch | ours | way | fastest peer | ratio | |\n| --- | --- | --- | --- | --- | --- | --- |\n",
            );
            for cell in &self.grid {
                let theirs = cell.theirs_us.get(&cell.fastest).copied().unwrap_or_default();
                let name = cell.model.trim_start_matches('g').replace('x', " × ");
                let Median { median, low, high } = cell.ratio;
                let told = match cell.verdict() {
                    Verdict::Ours => String::new(),
                    Verdict::Theirs => "**slower**".to_owned(),
                    Verdict::Open if cell.lost.is_empty() => "open".to_owned(),
                    Verdict::Open => format!("open: {} lost in its overhead", cell.lost.join(", ")),
                };
                let (ours, theirs) = (micros(cell.ours_us), micros(theirs));
                let way = cell.way.map_or_else(String::new, |way| format!("{way:?}").to_lowercase());
                writeln!(
                    text,
                    "| {name} | {} | {ours} | {way} | {} {theirs} | {median:.2} [{low:.2}, {high:.2}] | {told} |",
                    cell.batch, cell.fastest
                )?;
            }
        }
        Ok(text)
    }
}

fn micros(us: f64) -> String {
    if us < 100.0 {
        format!("{us:.2} µs")
    } else if us < 100_000.0 {
        format!("{us:.0} µs")
    } else {
        format!("{:.0} ms", us / 1000.0)
    }
}
