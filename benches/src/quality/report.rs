//! quality.json and quality.md, written anew behind every trained model.

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf};

use anyhow::Result;
use serde::Serialize;

use super::{Run, nets::Settings, tables::Task};
use crate::{
    machine::{self, Machine},
    statistics::{Median, median},
};

const WHAT: &str = "How well nets learn tables beside LightGBM with the published tuned settings (early stopping on the same \
                    held-out rows): the same five splits, one seed each. California: the StatLib file, scikit-learn's eight features, \
                    RMSE over LightGBM's on the same split. Adult: the official test rows, accuracy.";

/// What was measured so far.
pub(super) struct Report {
    folder: PathBuf,
    machine: Machine,
    device: String,
    full: bool,
    /// By table: LightGBM's runs, then those of each net.
    peers: BTreeMap<String, (Task, Vec<Run>)>,
    nets: Vec<Net>,
}

#[derive(Serialize)]
struct Net {
    table: String,
    net: &'static str,
    flags: String,
    note: &'static str,
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
    lightgbm: BTreeMap<&'a str, &'a [Run]>,
    nets: &'a [Net],
}

impl Report {
    pub(super) fn new(folder: &std::path::Path, device: &str, full: bool) -> Result<Self> {
        let machine = machine::describe()?;
        let (peers, nets) = (BTreeMap::new(), Vec::new());
        Ok(Self { folder: folder.to_owned(), machine, device: device.to_owned(), full, peers, nets })
    }

    pub(super) fn peer(&mut self, table: &str, task: Task, run: Run) -> Result<()> {
        self.peers.entry(table.to_owned()).or_insert((task, Vec::new())).1.push(run);
        self.write()
    }

    pub(super) fn net(&mut self, table: &str, task: Task, settings: &Settings, run: Run) -> Result<()> {
        let peer = self.peers.get(table).and_then(|(_, runs)| runs.iter().find(|peer| peer.split == run.split));
        let score = match task {
            Task::Regression => run.score / peer.map_or(f64::NAN, |peer| peer.score),
            Task::Classes => run.score,
        };
        let place = self.nets.iter().position(|net| net.table == table && net.net == settings.name);
        let place = place.unwrap_or_else(|| {
            let Settings { name, flags, note, mark } = settings;
            self.nets.push(Net {
                table: table.to_owned(),
                net: name,
                flags: flags.join(" "),
                note,
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
        self.write()
    }

    fn write(&self) -> Result<()> {
        let Self { folder, machine, device, full, peers, nets } = self;
        fs_err::create_dir_all(folder)?;
        let lightgbm = peers.iter().map(|(table, (_, runs))| (table.as_str(), runs.as_slice())).collect();
        let document = Document { what: WHAT, machine, device, full: *full, lightgbm, nets };
        fs_err::write(folder.join("quality.json"), serde_json::to_string_pretty(&document)? + "\n")?;
        fs_err::write(folder.join("quality.md"), self.page()?)?;
        Ok(())
    }

    fn page(&self) -> Result<String> {
        let mut text = format!("# What nets learn\n\n{WHAT} Trained on {}.\n\n{}\n", self.device, self.machine);
        for (table, (task, peer)) in &self.peers {
            let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
            let scores = |runs: &[Run]| runs.iter().map(|run| run.score).collect::<Vec<_>>();
            let (name, against) = match task {
                Task::Regression => ("RMSE", "over LightGBM's, median"),
                Task::Classes => ("accuracy", "median"),
            };
            writeln!(text, "\n## {table}\n")?;
            writeln!(
                text,
                "| model | {name}, mean of {} | {against} | must be | parameters | seconds | epochs | settings |",
                peer.len()
            )?;
            writeln!(text, "| --- | --- | --- | --- | --- | --- | --- | --- |")?;
            let seconds = |runs: &[Run]| mean(&runs.iter().map(|run| run.seconds).collect::<Vec<_>>());
            let epochs = |runs: &[Run]| mean(&runs.iter().map(|run| run.epochs as f64).collect::<Vec<_>>());
            let trees = epochs(peer);
            writeln!(
                text,
                "| LightGBM | {:.4} | | | | {:.0} | {trees:.0} trees | published |",
                mean(&scores(peer)),
                seconds(peer)
            )?;
            for net in self.nets.iter().filter(|net| net.table == *table) {
                let Some(Median { median, low, high }) = net.score else { continue };
                let word = if net.reached { "reached" } else { "**missed**" };
                let most = match task {
                    Task::Regression => "at most",
                    Task::Classes => "at least",
                };
                let mark = format!("{most} {}: {word}", net.mark);
                let parameters = net.runs.first().map_or(0, |run| run.parameters);
                writeln!(
                    text,
                    "| {} | {:.4} | {median:.4} [{low:.4}, {high:.4}] | {mark} | {parameters} | {:.0} | {:.0} | {} |",
                    net.net,
                    mean(&scores(&net.runs)),
                    seconds(&net.runs),
                    epochs(&net.runs),
                    net.note
                )?;
            }
        }
        Ok(text)
    }
}
