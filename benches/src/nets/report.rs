//! The figures: JSON for programs, Markdown for people, both written anew behind every cell.

use std::{
    fmt::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Result;
use serde::Serialize;

use crate::{
    machine::{self, Machine},
    statistics::Median,
};

/// One batch size of one net.
#[derive(Serialize)]
pub(super) struct Cell {
    pub(super) net: &'static str,
    pub(super) batch: usize,
    pub(super) pairs: usize,
    /// ONNX Runtime's seconds over ours.
    pub(super) ratio: Median,
    /// Microseconds of a call.
    pub(super) ours_us: f64,
    pub(super) theirs_us: f64,
    /// Its threads, and the form of the net that it took: the best ones.
    pub(super) threads: usize,
    pub(super) form: String,
    /// Ours: billions of multiplications and additions a second.
    pub(super) gigaflops: f64,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { net: _, batch, pairs: _, ratio, ours_us, theirs_us, threads, form, gigaflops } = self;
        let Median { median, low, high } = ratio;
        write!(
            f,
            "batch {batch}: {median:.2} [{low:.2}, {high:.2}] times ONNX Runtime (ours {}, {gigaflops:.0} GFLOP/s, it {} with {threads} threads, {form})",
            micros(*ours_us),
            micros(*theirs_us)
        )
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

#[derive(Serialize)]
struct Document<'a> {
    what: &'static str,
    machine: &'a Machine,
    figures: &'a [Figure],
}

const WHAT: &str = "Nets of f32 on the CPU, library call beside library call, answers compared. ONNX Runtime 1.32 has the better of one \
                    thread and two and the best of the forms that a net can be written in (a transformer: as exporters write \
                    it, with joined products, and with its own operator for attention), and its measured call overhead in \
                    Python is taken away; we have what the library chooses on two cores. A ratio is its time over ours: \
                    the median over interleaved pairs with its 95 % bootstrap interval";

/// Figures as they come.
pub(super) struct Report {
    folder: PathBuf,
    machine: Machine,
    figures: Vec<Figure>,
}

impl Report {
    pub(super) fn new(folder: &Path) -> Result<Self> {
        fs_err::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned(), machine: machine::describe()?, figures: Vec::new() })
    }

    pub(super) fn figure(&mut self, cell: Cell, at_least: f64) -> Result<()> {
        self.figures.push(Figure { at_least, reached: cell.ratio.median >= at_least, cell });
        let Self { folder, machine, figures } = self;
        let document = Document { what: WHAT, machine, figures };
        fs_err::write(folder.join("nets.json"), serde_json::to_string_pretty(&document)? + "\n")?;
        fs_err::write(folder.join("nets.md"), self.markdown()?)?;
        Ok(())
    }

    fn markdown(&self) -> Result<String> {
        let mut text = format!("# Nets on the CPU\n\n{WHAT}.\n\n{}\n", self.machine);
        let mut net = "";
        for Figure { at_least, reached, cell } in &self.figures {
            let Cell { net: of, batch, pairs: _, ratio, ours_us, theirs_us, threads, form: _, gigaflops } = cell;
            if net != *of {
                net = of;
                write!(
                    text,
                    "\n## {of}\n\n| batch | ours | GFLOP/s | ONNX Runtime | its threads | ratio | must reach |\n"
                )?;
                text.push_str("| --- | --- | --- | --- | --- | --- | --- |\n");
            }
            let Median { median, low, high } = ratio;
            let told = if *reached { "reached" } else { "**missed**" };
            let (ours, theirs) = (micros(*ours_us), micros(*theirs_us));
            writeln!(
                text,
                "| {batch} | {ours} | {gigaflops:.0} | {theirs} | {threads} | {median:.2} [{low:.2}, {high:.2}] | {at_least} {told} |"
            )?;
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
