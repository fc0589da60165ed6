//! The table of figures of the request path: against what an engineer writes by hand, against the peers, and against itself.
//!
//! One file for each group of rows. Servers under comparison run at the same time and take turns under load; the one that is
//! not under load is idle. All share the cores with the load generator, and the ratio is what counts.

mod all_on;
mod bare_handler;
mod bounds;
mod generator;
mod loading;
mod memory;
mod nets;
mod overload;
mod pairs;
mod peers;
mod report;
mod trees;
mod wrk;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use self::{
    report::{Mark, Outcome, Report, Row},
    wrk::{Input, Load, Requests},
};
use crate::{
    say,
    servers::{
        Running,
        emberline::{self, Options},
        net::Net,
    },
};

/// Path of the requests to the net of the figures.
const INFER: &str = "/v2/models/mlp/infer";

/// Settings of the run.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Rows to measure; all when not given.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Group>,
    /// A short run of little worth, to see that every row runs.
    #[arg(long)]
    quick: bool,
    /// Interleaved pairs of measurements [default: 10, or 2 when quick]
    #[arg(long)]
    pairs: Option<usize>,
    /// Seconds of one measurement [default: 3, or 1 when quick]
    #[arg(long)]
    seconds: Option<u64>,
    /// Connections kept open.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// The binary to measure; the one beside this program when not given.
    #[arg(long)]
    emberline: Option<PathBuf>,
    /// Scripts that install and start the peers.
    #[arg(long, default_value = "benches/peers")]
    peers: PathBuf,
    /// Keeps the tree model here, so that another run need not train it.
    #[arg(long, value_name = "FOLDER")]
    models: Option<PathBuf>,
    /// Folder of the results, serve.json and serve.md; rows that are not measured again stay.
    #[arg(long, default_value = "benches/results")]
    out: PathBuf,
}

/// Rows that are measured together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Group {
    /// Cached JSON against a bare handler.
    Cached,
    /// Uncached JSON against a bare handler.
    Uncached,
    /// JSON that the cache looks for, does not have, and keeps, against a bare handler.
    Missed,
    /// Against Triton.
    Triton,
    /// Against a handler that computes the net with loops.
    Dense,
    /// Against a handler that calls ONNX Runtime.
    Onnx,
    /// Binary tensors against JSON.
    Binary,
    /// One connection against a bare handler.
    One,
    /// Deadlines, priorities and bounds against none.
    AllOn,
    /// More load than a model can bear.
    Overload,
    /// Another model comes and goes.
    Loading,
    /// Memory after many requests, loads and unloads.
    Memory,
    /// Boosted trees against the net of the figures.
    Trees,
    /// Against `MLServer`.
    Mlserver,
    /// Against mosec.
    Mosec,
    /// The marks of other rows at handlers that do next to nothing.
    Bounds,
}

impl Group {
    /// What the ids of its rows begin with.
    const fn id(self) -> &'static str {
        match self {
            Self::Cached => "cached",
            Self::Uncached => "uncached",
            Self::Missed => "missed",
            Self::Triton => "triton",
            Self::Dense => "dense",
            Self::Onnx => "onnx",
            Self::Binary => "binary",
            Self::One => "one-connection",
            Self::AllOn => "all-on",
            Self::Overload => "overload",
            Self::Loading => "loading",
            Self::Memory => "memory",
            Self::Trees => "trees",
            Self::Mlserver => "mlserver",
            Self::Mosec => "mosec",
            Self::Bounds => "bound",
        }
    }

    fn measure(self, bench: &Bench<'_>) -> Result<Vec<Row>> {
        match self {
            Self::Cached => bare_handler::cached(bench),
            Self::Uncached => bare_handler::uncached(bench),
            Self::Missed => bare_handler::missed(bench),
            Self::Triton => peers::triton(bench),
            Self::Dense => nets::dense(bench),
            Self::Onnx => nets::onnx(bench),
            Self::Binary => bare_handler::binary(bench),
            Self::One => bare_handler::one_connection(bench),
            Self::AllOn => all_on::all_on(bench),
            Self::Overload => overload::overload(bench),
            Self::Loading => loading::loading(bench),
            Self::Memory => memory::memory(bench),
            Self::Trees => trees::trees(bench),
            Self::Mlserver => peers::mlserver(bench),
            Self::Mosec => peers::mosec(bench),
            Self::Bounds => bounds::bounds(bench),
        }
    }
}

/// Measures the rows and writes them as they come.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let order = Group::value_variants().iter().copied().map(Group::id).collect();
    let mut report = Report::open(&arguments.out, order)?;
    let groups = if arguments.only.is_empty() { Group::value_variants() } else { &arguments.only };
    let bench = Bench { arguments, commit: report.commit().to_owned() };
    let mut failed = Vec::new();
    for group in groups {
        say(&format!("\n== {}", group.id()));
        let rows = group.measure(&bench).unwrap_or_else(|error| {
            let outcome = Outcome::Failed(format!("{error:#}"));
            vec![bench.row(group.id(), ["the whole row", "–", "–"], None, outcome)]
        });
        for row in &rows {
            say(&row.line());
            if let Outcome::Failed(_) = row.outcome {
                failed.push(row.id.clone());
            }
        }
        report.add(group.id(), rows)?;
    }
    say(&format!("\nwritten to {}", arguments.out.join("serve.md").display()));
    if !failed.is_empty() {
        bail!("these rows failed: {}", failed.join(", "));
    }
    Ok(())
}

/// What the rows share.
struct Bench<'a> {
    arguments: &'a Arguments,
    commit: String,
}

impl Bench<'_> {
    fn pairs(&self) -> usize {
        self.arguments.pairs.unwrap_or(if self.arguments.quick { 2 } else { 10 }).max(1)
    }

    fn seconds(&self) -> u64 {
        self.arguments.seconds.unwrap_or(if self.arguments.quick { 1 } else { 3 }).max(1)
    }

    /// `full`, or `quick` in a quick run.
    fn amount(&self, full: usize, quick: usize) -> usize {
        if self.arguments.quick { quick } else { full }
    }

    fn scripts(&self) -> &Path {
        &self.arguments.peers
    }

    /// A load with the connections and seconds of the run.
    fn load<'a>(&self, path: &'a str, requests: Requests) -> Load<'a> {
        let input = Input::NET;
        Load { path, input, requests, rows: 1, seconds: self.seconds(), connections: self.arguments.connections }
    }

    /// Our server with nothing to serve yet.
    fn options(&self) -> Options<'_> {
        Options { binary: self.arguments.emberline.as_deref(), nets: &[], files: &[], arguments: &[], cpu: None }
    }

    /// Our server with `nets`.
    fn serve(&self, nets: &[Net<'_>], arguments: &[&str]) -> Result<Running> {
        emberline::start(&Options { nets, arguments, ..self.options() })
    }

    /// Our server with the net of the figures and no cache.
    fn serve_uncached(&self) -> Result<Running> {
        self.serve(&[Net::mlp()], &["--cache-bytes", "0"])
    }

    /// A row; `words` say what is measured, against what, and of which quantity.
    fn row(&self, id: &str, words: [&str; 3], mark: Option<Mark>, outcome: Outcome) -> Row {
        let [what, against, figure] = words.map(str::to_owned);
        Row {
            id: id.to_owned(),
            what,
            against,
            figure,
            mark,
            outcome,
            note: String::new(),
            commit: self.commit.clone(),
        }
    }
}
