//! Against an actix-web handler that parses the JSON, computes the net itself, and writes JSON: no batches, no cache, no
//! journal, no statistics.

use anyhow::{Result, ensure};

use super::{
    Bench, INFER,
    bare_handler::Computed,
    pairs::{self, Figure},
    report::{Mark, Outcome, Row},
    wrk::{self, Requests},
};
use crate::servers::{Running, bare, net::Net, peers};

const WHAT: &str = "uncached JSON infer";
const MARK: Mark = Mark::AtLeast(0.9);

/// The net as loops.
pub(super) fn dense(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let files = tempfile::TempDir::new()?;
    let weights = files.path().join("mlp.safetensors");
    Net::mlp().write(&weights)?;
    let row = against(bench, "dense", "actix-web and a dense net written by hand", &bare::dense(&weights)?)?;
    Ok(vec![row])
}

/// The net in ONNX Runtime.
pub(super) fn onnx(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let against_what = "actix-web and ONNX Runtime 1.32.0, a session a thread";
    let files = tempfile::TempDir::new()?;
    let (weights, model) = (files.path().join("mlp.safetensors"), files.path().join("mlp.onnx"));
    Net::mlp().write(&weights)?;
    let library = match peers::onnx(bench.scripts(), &weights, &model) {
        Ok(library) => library,
        Err(missing) => {
            let words = [WHAT, against_what, Figure::Rate.name()];
            return Ok(vec![bench.row("onnx", words, Some(MARK), Outcome::Skipped(format!("{missing:#}")))]);
        }
    };
    Ok(vec![against(bench, "onnx", against_what, &bare::onnx(&model, &library)?)?])
}

fn against(bench: &Bench<'_>, id: &str, against: &str, theirs: &Running) -> Result<Row> {
    let served = bench.serve_uncached()?;
    same_answer(&served, theirs, INFER)?;
    let load = bench.load(INFER, Requests::Json);
    let seen = Computed::before(&served)?;
    let pairs = pairs::of_servers(bench, (&served, &load), (theirs, &load))?;
    seen.check(&served, load.requests)?;
    let outcome = pairs.outcome(Figure::Rate, Some(MARK));
    Ok(bench.row(id, [WHAT, against, Figure::Rate.name()], Some(MARK), outcome))
}

/// Sees to it that both compute the same function.
pub(super) fn same_answer(ours: &Running, theirs: &Running, path: &str) -> Result<()> {
    let value = |running: &Running, path: &str| -> Result<Option<f64>> {
        let answer: serde_json::Value = serde_json::from_slice(&running.post(path, &wrk::body())?)?;
        Ok(answer.pointer("/outputs/0/data/0").and_then(serde_json::Value::as_f64))
    };
    let (ours, theirs) = (value(ours, INFER)?, value(theirs, path)?);
    let same = ours.zip(theirs).is_some_and(|(ours, theirs)| (ours - theirs).abs() <= 1e-4 * ours.abs().max(1.0));
    ensure!(same, "expected the same answer of both, got {ours:?} and {theirs:?}");
    Ok(())
}
