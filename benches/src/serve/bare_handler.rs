//! Against an actix-web handler that reads the body and returns the same bytes: what the request path costs beside the web
//! server under it.

use anyhow::{Result, ensure};

use super::{
    Bench, INFER,
    pairs::{self, Figure},
    report::{Mark, Row},
    wrk::{self, Load, Requests},
};
use crate::servers::{Running, bare, net::Net};

const BARE: &str = "a bare actix-web handler, same body, same bytes";
/// Largest share of answers from the cache where they should be computed.
const STRAY_HITS: f64 = 0.001;

/// Answers from the cache.
pub(super) fn cached(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let load = bench.load(INFER, Requests::SameJson);
    let mark = Some(Mark::AtLeast(0.8));
    against_bare(bench, &bench.serve(&[Net::mlp()], &[])?, &load, ["cached JSON infer", "cached"], Figure::Rate, mark)
}

/// Without a cache.
pub(super) fn uncached(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let load = bench.load(INFER, Requests::Json);
    let mark = Some(Mark::AtLeast(0.5));
    against_bare(bench, &bench.serve_uncached()?, &load, ["uncached JSON infer", "uncached"], Figure::Rate, mark)
}

/// Each row another, so that the cache has none of them, keeps all, and lets the oldest go.
pub(super) fn missed(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let load = bench.load(INFER, Requests::Json);
    let words = ["JSON infer that misses the cache and fills it", "missed"];
    against_bare(bench, &bench.serve(&[Net::mlp()], &[])?, &load, words, Figure::Rate, None)
}

/// Latency of an idle server.
pub(super) fn one_connection(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let load = Load { connections: 1, ..bench.load(INFER, Requests::Json) };
    let mark = Some(Mark::AtMost(1.5));
    let words = ["uncached JSON infer, one connection", "one-connection"];
    against_bare(bench, &bench.serve_uncached()?, &load, words, Figure::P50, mark)
}

fn against_bare(
    bench: &Bench<'_>,
    served: &Running,
    load: &Load<'_>,
    [what, id]: [&str; 2],
    figure: Figure,
    mark: Option<Mark>,
) -> Result<Vec<Row>> {
    let answer = tempfile::NamedTempFile::new()?;
    fs_err::write(answer.path(), served.post(INFER, &wrk::body())?)?;
    let bare = bare::bytes(answer.path())?;
    let seen = Computed::before(served)?;
    let pairs = pairs::of_servers(bench, (served, load), (&bare, load))?;
    seen.check(served, load.requests)?;
    let mut row = bench.row(id, [what, BARE, figure.name()], mark, pairs.outcome(figure, mark));
    row.note = format!("ready {:.2} s after its start.", served.ready_seconds);
    Ok(vec![row])
}

/// Binary tensors both ways, against JSON of the same server.
pub(super) fn binary(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let served = bench.serve_uncached()?;
    let row = |id: &str, what: &str, rows: usize, mark: Option<Mark>| -> Result<Row> {
        let seen = Computed::before(&served)?;
        let load = |requests: Requests| Load { rows, ..bench.load(INFER, requests) };
        let (binary, json) = (load(Requests::Binary), load(Requests::Json));
        let pairs = pairs::of_servers(bench, (&served, &binary), (&served, &json))?;
        seen.check(&served, Requests::Binary)?;
        Ok(bench.row(id, [what, "our own JSON", Figure::Rate.name()], mark, pairs.outcome(Figure::Rate, mark)))
    };
    // What reading numbers costs shows where there are some.
    Ok(vec![
        row("binary", "uncached infer with binary tensors", 1, Some(Mark::AtLeast(1.2)))?,
        row("binary-64-rows", "uncached infer with binary tensors, 64 rows a request", 64, None)?,
    ])
}

/// Sees to it that what should be computed is: a load whose rows repeat would measure the cache.
pub(super) struct Computed {
    hits: f64,
    answers: f64,
}

impl Computed {
    pub(super) fn before(served: &Running) -> Result<Self> {
        Ok(Self { hits: served.cache_hits()?, answers: served.answers()? })
    }

    pub(super) fn check(&self, served: &Running, requests: Requests) -> Result<()> {
        let (hits, answers) = (served.cache_hits()? - self.hits, served.answers()? - self.answers);
        ensure!(answers > 0.0, "the server counts no answers");
        let share = hits / answers;
        let expected = match requests {
            Requests::SameJson => share > 1.0 - STRAY_HITS,
            Requests::Json | Requests::Binary | Requests::Urgent => share < STRAY_HITS,
        };
        ensure!(expected, "{:.1} % of the answers came from the cache", share * 100.0);
        Ok(())
    }
}
