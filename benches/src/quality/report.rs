//! quality-TABLE.json and quality-TABLE.md, written anew behind every trained model.

use std::{fmt::Write as _, path::PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::{Run, nets::Settings, tables::Task};
use crate::{
    machine::{self, Machine},
    statistics::{Median, median},
};

const WHAT: &str = "How well nets learn tables beside LightGBM with the published tuned settings (early stopping on the same \
                    held-out rows): the same splits, one seed each. California: the StatLib file, scikit-learn's eight features, \
                    RMSE over LightGBM's on the same split. Adult: the official test rows, accuracy.";

/// What was measured so far.
pub(super) struct Report {
    folder: PathBuf,
    machine: Machine,
    device: String,
    full: bool,
    table: String,
    /// LightGBM's runs.
    peer: Vec<Run>,
    nets: Vec<Net>,
}

#[derive(Serialize, Deserialize)]
struct Net {
    net: String,
    flags: String,
    note: String,
    mark: f64,
    runs: Vec<Run>,
    /// RMSE over LightGBM's by split; accuracy.
    scores: Vec<f64>,
    score: Option<Median>,
    reached: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    what: &'a str,
    machine: &'a Machine,
    device: &'a str,
    full: bool,
    table: &'a str,
    lightgbm: &'a [Run],
    nets: &'a [Net],
}

/// What a run that goes on needs of an earlier one.
#[derive(Deserialize)]
struct Earlier {
    device: String,
    full: bool,
    lightgbm: Vec<Run>,
    nets: Vec<Net>,
}

impl Report {
    pub(super) fn new(folder: &std::path::Path, table: &str, device: &str, full: bool) -> Result<Self> {
        let machine = machine::describe()?;
        let (table, device, folder) = (table.to_owned(), device.to_owned(), folder.to_owned());
        Ok(Self { folder, machine, device, full, table, peer: Vec::new(), nets: Vec::new() })
    }

    /// Takes up what an earlier run wrote, if there is any.
    pub(super) fn go_on(&mut self) -> Result<()> {
        let path = self.folder.join(format!("quality-{}.json", self.table));
        if !path.exists() {
            return Ok(());
        }
        let Earlier { device, full, lightgbm, nets } = serde_json::from_slice(&fs_err::read(&path)?)
            .with_context(|| format!("{} is not a report; remove it", path.display()))?;
        let (expected, got) = ((&self.device, self.full), (&device, full));
        ensure!(expected == got, "expected a report of {expected:?} in {}, got one of {got:?}", path.display());
        (self.peer, self.nets) = (lightgbm, nets);
        Ok(())
    }

    /// Whether LightGBM's run on a split is there.
    pub(super) fn has_peer(&self, split: u64) -> bool {
        self.peer.iter().any(|run| run.split == split)
    }

    /// Whether a net's run on a split is there, with the same settings.
    pub(super) fn has(&self, settings: &Settings, split: u64) -> bool {
        let flags = settings.flags.join(" ");
        let nets = self.nets.iter().filter(|net| net.net == settings.name && net.flags == flags);
        nets.flat_map(|net| &net.runs).any(|run| run.split == split)
    }

    pub(super) fn peer(&mut self, task: Task, run: Run) -> Result<()> {
        self.peer.push(run);
        self.write(task)
    }

    pub(super) fn net(&mut self, task: Task, settings: &Settings, run: Run) -> Result<()> {
        let peer = self.peer.iter().find(|peer| peer.split == run.split);
        let score = match task {
            Task::Regression => run.score / peer.map_or(f64::NAN, |peer| peer.score),
            Task::Classes => run.score,
        };
        let flags = settings.flags.join(" ");
        // Of other settings nothing is kept.
        self.nets.retain(|net| net.net != settings.name || net.flags == flags);
        let place = self.nets.iter().position(|net| net.net == settings.name);
        let place = place.unwrap_or_else(|| {
            let Settings { name, flags: _, note, mark } = settings;
            self.nets.push(Net {
                net: (*name).to_owned(),
                flags,
                note: (*note).to_owned(),
                mark: *mark,
                runs: Vec::new(),
                scores: Vec::new(),
                score: None,
                reached: false,
            });
            self.nets.len() - 1
        });
        let net = &mut self.nets[place];
        net.runs.push(run);
        net.scores.push(score);
        let found = median(&net.scores);
        net.score = Some(found);
        net.reached = match task {
            Task::Regression => found.median <= net.mark,
            Task::Classes => found.median >= net.mark,
        };
        self.write(task)
    }

    fn write(&self, task: Task) -> Result<()> {
        let Self { folder, machine, device, full, table, peer, nets } = self;
        fs_err::create_dir_all(folder)?;
        let document = Document { what: WHAT, machine, device, full: *full, table, lightgbm: peer, nets };
        let path = |end: &str| folder.join(format!("quality-{table}.{end}"));
        fs_err::write(path("json"), serde_json::to_string_pretty(&document)? + "\n")?;
        fs_err::write(path("md"), self.page(task)?)?;
        Ok(())
    }

    fn page(&self, task: Task) -> Result<String> {
        let Self { machine, device, table, peer, nets, .. } = self;
        let mut text = format!(
            "# What nets learn of {table}\n\n{WHAT} Trained on {device}.\n\n{machine} (the last run's; it may have kept those of earlier ones)\n\n"
        );
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let scores = |runs: &[Run]| mean(&runs.iter().map(|run| run.score).collect::<Vec<_>>());
        let seconds = |runs: &[Run]| mean(&runs.iter().map(|run| run.seconds).collect::<Vec<_>>());
        let epochs = |runs: &[Run]| mean(&runs.iter().map(|run| run.epochs as f64).collect::<Vec<_>>());
        let (name, against, most) = match task {
            Task::Regression => ("RMSE", "over LightGBM's, median", "at most"),
            Task::Classes => ("accuracy", "median", "at least"),
        };
        let splits = peer.len();
        writeln!(
            text,
            "| model | {name}, mean of {splits} | {against} | must be | parameters | seconds | epochs | settings |"
        )?;
        writeln!(text, "| --- | --- | --- | --- | --- | --- | --- | --- |")?;
        let (score, time, trees) = (scores(peer), seconds(peer), epochs(peer));
        writeln!(text, "| LightGBM | {score:.4} | | | | {time:.0} | {trees:.0} trees | published |")?;
        for Net { net, note, mark, runs, score, reached, .. } in nets {
            let Some(Median { median, low, high }) = score else { continue };
            let word = if *reached { "reached" } else { "**missed**" };
            let parameters = runs.first().map_or(0, |run| run.parameters);
            let (mean, time, epochs) = (scores(runs), seconds(runs), epochs(runs));
            writeln!(
                text,
                "| {net} | {mean:.4} | {median:.4} [{low:.4}, {high:.4}] | {most} {mark}: {word} | {parameters} | {time:.0} | {epochs:.0} | \
                 {note} |"
            )?;
        }
        Ok(text)
    }
}
