//! What nobody could do better here: the marks of other rows, at handlers that do next to nothing.
//!
//! A missed mark is only understood beside its limit. These rows have no marks of their own.

use std::thread;

use anyhow::{Result, anyhow, ensure};

use super::{
    Bench, INFER,
    overload::{self, GENERATOR_CORE, SERVER_CORE},
    pairs::{self, Figure},
    report::{Outcome, Row},
    wrk::{self, Measured, Requests},
};
use crate::servers::{bare, net::Net, peers::TRITON};

const REFUSALS: &str = "bound-refusals";
/// Words for its row where it has no figure.
const COMPUTING: [&str; 3] = ["a net beside refusals", "the net alone", "requests/s"];

pub(super) fn bounds(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let files = tempfile::TempDir::new()?;
    let (weights, answer) = (files.path().join("mlp.safetensors"), files.path().join("answer"));
    Net::mlp().write(&weights)?;
    let dense = bare::dense(&weights)?;
    fs_err::write(&answer, dense.post(INFER, &wrk::body())?)?;

    let mut rows = vec![binary(bench, &answer)?];
    // One noisy pair must not cost the other rows.
    rows.push(
        refusals(bench, files.path(), &answer)
            .unwrap_or_else(|error| bench.row(REFUSALS, COMPUTING, None, Outcome::Failed(format!("{error:#}")))),
    );
    rows.extend(triton(bench, &weights)?);
    Ok(rows)
}

/// Binary bodies against JSON bodies, where neither is looked at.
fn binary(bench: &Bench<'_>, answer: &std::path::Path) -> Result<Row> {
    let bare = bare::bytes(answer)?;
    let (binary, json) = (bench.load(INFER, Requests::Binary), bench.load(INFER, Requests::Json));
    let pairs = pairs::of_servers(bench, (&bare, &binary), (&bare, &json))?;
    let words = ["a bare actix-web handler that reads binary bodies and looks at nothing", "the same with JSON bodies"];
    let mut row =
        bench.row("bound-binary", [words[0], words[1], Figure::Rate.name()], None, pairs.outcome(Figure::Rate, None));
    "What the generator and HTTP leave for the row `binary`, were reading either body free.".clone_into(&mut row.note);
    Ok(row)
}

/// What is left of a core for computing when as many requests as are refused under overload are read there and answered at once, by
/// a handler that looks at nothing. They arrive one by one, as in the rows `overload`.
fn refusals(bench: &Bench<'_>, files: &std::path::Path, answer: &std::path::Path) -> Result<Row> {
    if let Some(outcome) = overload::too_few_cores() {
        return Ok(bench.row(REFUSALS, COMPUTING, None, outcome));
    }
    let (computing, width, capacity) = overload::sized(bench)?;
    // Of five times the capacity, four cannot be answered.
    let refused_a_second = 4.0 * capacity;
    let metadata = files.join("metadata.json");
    fs_err::write(&metadata, computing.get(&format!("/v2/models/{}", overload::MODEL))?)?;
    let bare = bare::bytes_on(answer, &metadata, SERVER_CORE)?;
    let compute = || -> Result<Measured> { overload::answered(bench, &computing) };
    let beside = || -> Result<Measured> {
        thread::scope(|scope| {
            let refusing = scope.spawn(|| overload::offered(bench, &bare, refused_a_second));
            let measured = compute()?;
            let refused = refusing.join().map_err(|_panic| anyhow!("the second generator panicked"))??;
            ensure!(
                refused.rate > 0.95 * refused_a_second,
                "{:.0} of {refused_a_second:.0} refusals a second were answered",
                refused.rate
            );
            Ok(measured)
        })
    };
    let pairs = pairs::interleaved(bench, beside, compute)?;
    let what = format!(
        "net 30-{width}-{width}-1 on core {SERVER_CORE}, where a bare actix-web handler answers {refused_a_second:.0} requests/s too"
    );
    let words = [what.as_str(), "the net alone on that core", Figure::Rate.name()];
    let mut row = bench.row(REFUSALS, words, None, pairs.outcome(Figure::Rate, None));
    row.note = format!(
        "As many as are refused when 5 × what the net answers in time is offered. Both generators on core {GENERATOR_CORE}, which \
         lowers the figure somewhat; the handler's an open loop."
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
