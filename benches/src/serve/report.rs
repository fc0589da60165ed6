//! The table of figures: JSON for programs, Markdown for people. Both are written anew behind every row, so that a run that
//! is cut short keeps what it has, and a run of single rows leaves the others as they were.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::{
    machine::{self, Machine},
    statistics::Median,
};

/// What a figure must reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mark {
    AtLeast(f64),
    AtMost(f64),
}

impl Mark {
    /// Whether the median reaches it.
    pub(crate) fn reached(self, figure: Median) -> bool {
        match self {
            Self::AtLeast(least) => figure.median >= least,
            Self::AtMost(most) => figure.median <= most,
        }
    }
}

/// One figure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    /// Its place in the table is by this name.
    pub(crate) id: String,
    /// What is measured, of us.
    pub(crate) what: String,
    /// What it is set against.
    pub(crate) against: String,
    /// Of which quantity it is the ratio.
    pub(crate) figure: String,
    pub(crate) mark: Option<Mark>,
    pub(crate) outcome: Outcome,
    /// What a reader must know beside it.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub(crate) note: String,
    /// The commit that was measured.
    pub(crate) commit: String,
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Measured {
        /// The median of the pairs' ratios.
        ratio: Median,
        reached: Option<bool>,
        pairs: usize,
        /// Medians by quantity.
        ours: BTreeMap<String, Median>,
        theirs: BTreeMap<String, Median>,
    },
    /// Why it could not be measured here.
    Skipped(String),
    /// What went wrong.
    Failed(String),
}

/// The whole of it.
#[derive(Serialize)]
struct Document<'a> {
    what: &'static str,
    machine: &'a Machine,
    rows: &'a [Row],
}

#[derive(Deserialize)]
struct Earlier {
    rows: Vec<Row>,
}

const WHAT: &str = "The request path, load generator on the same machine; dense net 30-64-1 on the CPU, one row of 30 FP32 a \
                    request, 64 connections unless said; feedback journal, statistics and histograms on. A ratio is the \
                    median over interleaved pairs with its 95 % bootstrap interval";

/// Rows as they come.
pub(crate) struct Report {
    folder: PathBuf,
    machine: Machine,
    /// All ids, in the order of the table.
    order: Vec<&'static str>,
    rows: Vec<Row>,
}

impl Report {
    /// Continues the report in `folder`, if there is one.
    pub(crate) fn open(folder: &Path, order: Vec<&'static str>) -> Result<Self> {
        let machine = machine::describe()?;
        let path = folder.join("serve.json");
        let rows = if path.exists() {
            let earlier: Earlier = serde_json::from_slice(&fs_err::read(&path)?)
                .with_context(|| format!("{} is not a report; remove it", path.display()))?;
            earlier.rows
        } else {
            Vec::new()
        };
        fs_err::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned(), machine, order, rows })
    }

    /// The commit under measurement.
    pub(crate) fn commit(&self) -> &str {
        self.machine.commit()
    }

    /// Adds the rows of a group, whose ids begin with `group`, in place of their predecessors, and writes everything.
    pub(crate) fn add(&mut self, group: &str, rows: Vec<Row>) -> Result<()> {
        self.rows.retain(|other| !other.id.starts_with(group));
        self.rows.extend(rows);
        let place = |row: &Row| self.order.iter().position(|id| row.id.starts_with(id)).unwrap_or(usize::MAX);
        self.rows.sort_by_key(place);
        let document = Document { what: WHAT, machine: &self.machine, rows: &self.rows };
        fs_err::write(self.folder.join("serve.json"), serde_json::to_string_pretty(&document)? + "\n")?;
        fs_err::write(self.folder.join("serve.md"), self.markdown())?;
        Ok(())
    }

    fn markdown(&self) -> String {
        let mut text = format!(
            "# The request path\n\n{WHAT}. {}.\n\n`cargo xtask bench serve`\n\n\
             | what | against | figure | ours | theirs | ratio | must reach | | commit |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
            self.machine.without_commit()
        );
        for row in &self.rows {
            let _ = writeln!(text, "{}", row.line());
        }
        let notes: Vec<&Row> = self.rows.iter().filter(|row| !row.note.is_empty()).collect();
        if !notes.is_empty() {
            text += "\n";
        }
        for row in notes {
            let _ = writeln!(text, "- **{}, {}, beside {}** {}", row.what, row.figure, row.against, row.note);
        }
        text
    }
}

impl Row {
    /// A line of the table.
    pub(crate) fn line(&self) -> String {
        let Self { id: _, what, against, figure, mark, outcome, note: _, commit } = self;
        let must = match mark {
            Some(Mark::AtLeast(least)) => format!("≥ {}", trimmed(*least)),
            Some(Mark::AtMost(most)) => format!("≤ {}", trimmed(*most)),
            None => "–".to_owned(),
        };
        let head = format!("| {what} | {against} | {figure} |");
        match outcome {
            Outcome::Measured { ratio, reached, pairs: _, ours, theirs } => {
                let one = |medians: &BTreeMap<String, Median>| {
                    medians.get(figure).map_or_else(|| "–".to_owned(), |median| number(median.median))
                };
                let reached = match reached {
                    Some(true) => "reached",
                    Some(false) => "**not reached**",
                    None => "",
                };
                let Median { median, low, high } = ratio;
                let (median, low, high) = (number(*median), number(*low), number(*high));
                format!(
                    "{head} {} | {} | {median} [{low}, {high}] | {must} | {reached} | {commit} |",
                    one(ours),
                    one(theirs)
                )
            }
            Outcome::Skipped(reason) => format!("{head} | | | {must} | not measured: {} | {commit} |", cell(reason)),
            Outcome::Failed(reason) => format!("{head} | | | {must} | failed: {} | {commit} |", cell(reason)),
        }
    }
}

/// A number with about three digits that matter.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.01 || size == 0.0 => format!("{value:.3}"),
        _ => format!("{value:.5}"),
    }
}

/// A mark: at most three places.
fn trimmed(value: f64) -> String {
    format!("{value:.3}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn cell(text: &str) -> String {
    text.replace('|', "/").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, outcome: Outcome) -> Row {
        Row {
            id: id.to_owned(),
            what: "cached".to_owned(),
            against: "bare".to_owned(),
            figure: "requests/s".to_owned(),
            mark: Some(Mark::AtLeast(0.8)),
            outcome,
            note: "a note".to_owned(),
            commit: "abc".to_owned(),
        }
    }

    fn measured(median: f64) -> Outcome {
        let ratio = Median { median, low: 0.7, high: 0.9 };
        let ours = BTreeMap::from([("requests/s".to_owned(), Median { median: 50_000.0, ..ratio })]);
        let reached = Some(Mark::AtLeast(0.8).reached(ratio));
        Outcome::Measured { ratio, reached, pairs: 10, ours, theirs: BTreeMap::new() }
    }

    #[test]
    fn keeps_the_rows_of_earlier_runs_and_replaces_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let order = vec!["first", "second"];
        let mut report = Report::open(folder.path(), order.clone()).unwrap();
        report.add("second", vec![row("second", Outcome::Skipped("no | python".to_owned()))]).unwrap();
        report.add("first", vec![row("first", measured(0.79)), row("first-p99", measured(0.9))]).unwrap();
        let mut report = Report::open(folder.path(), order).unwrap();
        report.add("first", vec![row("first", measured(0.81))]).unwrap();
        let ids: Vec<_> = report.rows.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(ids, ["first", "second"]);
        let text = fs_err::read_to_string(folder.path().join("serve.md")).unwrap();
        assert!(text.contains("| 50000 | – | 0.810 [0.700, 0.900] | ≥ 0.8 | reached |"), "{text}");
        assert!(text.contains("not measured: no / python"), "{text}");
        assert!(!text.contains("not reached"), "{text}");
        assert!(row("first", measured(0.79)).line().contains("**not reached**"));
    }
}
