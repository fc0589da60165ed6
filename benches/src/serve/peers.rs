//! Against other prediction servers with the same net.

use std::cell::Cell;

use anyhow::{Result, ensure};

use super::{
    Bench, INFER,
    bare_handler::Computed,
    generator::{Generate, Pace},
    nets::same_answer,
    pairs::{self, Figure},
    report::{Mark, Outcome, Row},
    wrk::Requests,
};
use crate::servers::{
    Running,
    net::Net,
    peers::{MLSERVER, MOSEC, Peer, TRITON},
};

const WHAT: &str = "uncached JSON infer";

/// Triton has two marks.
pub(super) fn triton(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let figures = [(Figure::Rate, Some(Mark::AtLeast(5.0))), (Figure::P99, Some(Mark::AtMost(1.0 / 3.0)))];
    let mut rows = against(bench, TRITON, &["triton", "triton-p99"], &figures)?;
    for row in &mut rows {
        if !row.note.is_empty() {
            row.note.push(' ');
        }
        row.note.push_str(
            "Triton's python backend is all that runs here: its figure is that of front end, batcher and one hop to \
             Python, not of a native backend.",
        );
    }
    Ok(rows)
}

/// `MLServer`, without a mark.
pub(super) fn mlserver(bench: &Bench<'_>) -> Result<Vec<Row>> {
    against(bench, MLSERVER, &["mlserver", "mlserver-p99"], &[(Figure::Rate, None), (Figure::P99, None)])
}

/// mosec, without a mark.
pub(super) fn mosec(bench: &Bench<'_>) -> Result<Vec<Row>> {
    against(bench, MOSEC, &["mosec", "mosec-p99"], &[(Figure::Rate, None), (Figure::P99, None)])
}

fn against(bench: &Bench<'_>, peer: Peer, ids: &[&str], figures: &[(Figure, Option<Mark>)]) -> Result<Vec<Row>> {
    let files = tempfile::TempDir::new()?;
    let weights = files.path().join("mlp.safetensors");
    Net::mlp().write(&weights)?;
    let rows = |outcome: &dyn Fn(Figure, Option<Mark>) -> Outcome| {
        let row = |(id, (figure, mark)): (&&str, &(Figure, Option<Mark>))| {
            bench.row(id, [WHAT, peer.name, figure.name()], *mark, outcome(*figure, *mark))
        };
        ids.iter().zip(figures).map(row).collect()
    };
    let theirs = match peer.start(bench.scripts(), &weights) {
        Ok(running) => running,
        Err(missing) => return Ok(rows(&|_figure, _mark| Outcome::Skipped(format!("{missing:#}")))),
    };
    let served = bench.serve_uncached()?;
    same_answer(&served, &theirs, peer.infer)?;
    let (our_load, their_load) = (bench.load(INFER, Requests::Json), bench.load(peer.infer, Requests::Json));
    let seen = Computed::before(&served)?;
    let pairs = pairs::of_servers(bench, (&served, &our_load), (&theirs, &their_load))?;
    seen.check(&served, our_load.requests)?;
    let mut measured: Vec<Row> = rows(&|figure, mark| pairs.outcome(figure, mark));

    measured.push(at_half_rate(bench, ids[0], &peer, (&served, &theirs), pairs.their_rate() / 2.0)?);
    Ok(measured)
}

/// Under all the load that it bears a server's latency is that of its queue; this is its own: both are offered `rate` requests a
/// second, half of what the peer answers.
fn at_half_rate(
    bench: &Bench<'_>,
    id: &str,
    peer: &Peer,
    (served, theirs): (&Running, &Running),
    rate: f64,
) -> Result<Row> {
    let load = Generate { model: "mlp", pace: Pace::Rate(rate), deadline: None, cpu: None };
    let what = format!("{WHAT}, both offered {rate:.0}/s, half of what the other answers (open loop)");
    let row = |outcome| bench.row(&format!("{id}-half-rate"), [&what, peer.name, Figure::P99.name()], None, outcome);
    // The generator speaks the Open Inference Protocol and asks for the model's inputs, which not every peer can answer.
    if let Err(reason) = load.run(bench, theirs) {
        return Ok(row(Outcome::Skipped(format!("{reason:#}"))));
    }
    let behind = Cell::new(0);
    let run = |server: &Running| {
        let report = load.run(bench, server)?;
        behind.set(behind.get() + usize::from(!report.generator.kept_up));
        let measured = report.measured();
        ensure!(measured.errors == 0, "{} of {} requests got no answer", measured.errors, report.counts.intended);
        Ok(measured)
    };
    let open = pairs::interleaved(bench, || run(served), || run(theirs))?;
    let mut row = row(open.outcome(Figure::P99, None));
    let loads = 2 * bench.pairs();
    row.note = format!("In {} of {loads} loads the generator did not keep its own times.", behind.get());
    Ok(row)
}
