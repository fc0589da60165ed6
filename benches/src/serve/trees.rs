//! Boosted trees through the server, against the net of the figures in the same server.

use anyhow::Result;

use super::{
    Bench, INFER,
    pairs::{self, Figure},
    report::{Mark, Outcome, Row},
    wrk::{Input, Load, Requests},
};
use crate::{
    servers::{
        emberline::{self, Options},
        net::Net,
    },
    trees::{self, FIGURES_FEATURES},
};

const MARK: Mark = Mark::AtLeast(0.9);

/// One-row requests to 500 trees of 31 leaves against those to the net, both uncached.
pub(super) fn trees(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let words = [
        "uncached JSON infer on LightGBM's 500 trees of 31 leaves",
        "the same server's net 30-64-1",
        Figure::Rate.name(),
    ];
    let scratch = tempfile::TempDir::new()?;
    let folder = bench.arguments.models.as_deref().unwrap_or(scratch.path());
    let model = match trees::figures_model(bench.scripts(), folder) {
        Ok(model) => model,
        Err(missing) => {
            return Ok(vec![bench.row("trees", words, Some(MARK), Outcome::Skipped(format!("{missing:#}")))]);
        }
    };
    let (nets, files) = ([Net::mlp()], [("trees", model.as_path())]);
    let served = emberline::start(&Options {
        nets: &nets,
        files: &files,
        arguments: &["--cache-bytes", "0"],
        ..bench.options()
    })?;
    let net = bench.load(INFER, Requests::Json);
    let trees = Load {
        path: "/v2/models/trees/infer",
        input: Input { name: "features", features: FIGURES_FEATURES },
        ..bench.load(INFER, Requests::Json)
    };
    let pairs = pairs::of_servers(bench, (&served, &trees), (&served, &net))?;
    Ok(vec![bench.row("trees", words, Some(MARK), pairs.outcome(Figure::Rate, Some(MARK)))])
}
