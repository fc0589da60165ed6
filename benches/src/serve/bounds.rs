//! What nobody could do better here: the marks of other rows, at handlers that do next to nothing.
//!
//! A missed mark is only understood beside its limit. These rows have no marks of their own.

use std::collections::BTreeMap;

use anyhow::Result;

use super::{
    Bench, INFER,
    overload::{GENERATOR_CORE, SERVER_CORE, TARGET},
    pairs::{self, Figure},
    report::{Outcome, Row},
    wrk::{self, Load, Requests},
};
use crate::{
    say,
    servers::{bare, net::Net, peers::TRITON},
    statistics,
};

/// Requests a second that are refused at five times the capacity of the overload rows.
const REFUSED: f64 = 4.0 * TARGET;

pub(super) fn bounds(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let files = tempfile::TempDir::new()?;
    let (weights, answer) = (files.path().join("mlp.safetensors"), files.path().join("answer"));
    Net::mlp().write(&weights)?;
    let dense = bare::dense(&weights)?;
    fs_err::write(&answer, dense.post(INFER, &wrk::body())?)?;

    let mut rows = vec![binary(bench, &answer)?, refusals(bench, &answer)?];
    rows.extend(triton(bench, &weights)?);
    Ok(rows)
}

/// Binary bodies against JSON bodies, where neither is looked at.
fn binary(bench: &Bench<'_>, answer: &std::path::Path) -> Result<Row> {
    let bare = bare::bytes(answer, None)?;
    let (binary, json) = (bench.load(INFER, Requests::Binary), bench.load(INFER, Requests::Json));
    let pairs = pairs::of_servers(bench, (&bare, &binary), (&bare, &json))?;
    let words = ["a bare actix-web handler that reads binary bodies and looks at nothing", "the same with JSON bodies"];
    let mut row =
        bench.row("bound-binary", [words[0], words[1], Figure::Rate.name()], None, pairs.outcome(Figure::Rate, None));
    "What the generator and HTTP leave for the row `binary`, were reading either body free.".clone_into(&mut row.note);
    Ok(row)
}

/// A core's share that goes to reading requests and answering them with ready bytes.
fn refusals(bench: &Bench<'_>, answer: &std::path::Path) -> Result<Row> {
    let bare = bare::bytes(answer, Some(SERVER_CORE))?;
    let load = Load { cpu: Some(GENERATOR_CORE), ..bench.load(INFER, Requests::Json) };
    load.run(&bare.address)?;
    let mut rates = Vec::new();
    for round in 1..=bench.pairs() {
        let measured = load.run(&bare.address)?;
        say(&format!("round {round} of {}: {measured}", bench.pairs()));
        rates.push(measured.rate);
    }
    let shares: Vec<f64> = rates.iter().map(|rate| REFUSED / rate).collect();
    let ours = BTreeMap::from([(Figure::Rate.name().to_owned(), statistics::median(&rates))]);
    let outcome = Outcome::Measured {
        ratio: statistics::median(&shares),
        reached: None,
        pairs: shares.len(),
        ours,
        theirs: BTreeMap::new(),
    };
    let what = format!(
        "a bare actix-web handler alone on core {SERVER_CORE}: share of the core that {REFUSED:.0} requests a second take"
    );
    let mut row = bench.row("bound-refusals", [&what, "the whole core", "share"], None, outcome);
    row.note = format!(
        "So many are refused at 5 × the capacity of the row `overload-5`. Generator on core {GENERATOR_CORE}; wrk keeps 64 requests under way, \
         which shares out the kernel's work better than arrivals one by one."
    );
    Ok(row)
}

/// The handler that computes the net with loops, against Triton.
fn triton(bench: &Bench<'_>, weights: &std::path::Path) -> Result<Vec<Row>> {
    let figures = [("bound-triton", Figure::Rate), ("bound-triton-p99", Figure::P99)];
    let row = |id: &str, figure: Figure, outcome| {
        let what = "actix-web and a dense net written by hand: no batches, no journal, no statistics";
        bench.row(id, [what, TRITON.name, figure.name()], None, outcome)
    };
    let theirs = match TRITON.start(bench.scripts(), weights) {
        Ok(running) => running,
        Err(missing) => {
            let reason = format!("{missing:#}");
            return Ok(figures.map(|(id, figure)| row(id, figure, Outcome::Skipped(reason.clone()))).into());
        }
    };
    let dense = bare::dense(weights)?;
    let (ours, load) = (bench.load(INFER, Requests::Json), bench.load(TRITON.infer, Requests::Json));
    let pairs = pairs::of_servers(bench, (&dense, &ours), (&theirs, &load))?;
    Ok(figures.map(|(id, figure)| row(id, figure, pairs.outcome(figure, None))).into())
}
