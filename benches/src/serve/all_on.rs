//! What deadlines, priorities and bounds cost: requests that use them, of a model that has them, against plain requests of a
//! model that has none. Histograms and stage clocks are always on.

use anyhow::Result;

use super::{
    Bench, INFER,
    bare_handler::Computed,
    pairs::{self, Figure},
    report::{Mark, Outcome, Row},
    wrk::Requests,
};
use crate::servers::net::Net;

const SERVING: &str = "/v1/models/mlp/serving";
const SETTINGS: &str =
    r#"{"priority_levels":3,"default_priority":2,"max_queue_rows":4096,"request_timeout_us":2000000}"#;

pub(super) fn all_on(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let mark = Some(Mark::AtLeast(0.97));
    let words = [
        "uncached JSON infer, every request with a deadline and one of 3 priorities, queue bounded",
        "our own, without any",
        Figure::Rate.name(),
    ];
    let (on, off) = (bench.serve(&[Net::mlp()], &[])?, bench.serve(&[Net::mlp()], &[])?);
    if let Err(error) = on.put(SERVING, SETTINGS) {
        let outcome = Outcome::Skipped(format!("PUT {SERVING}: {error:#}"));
        return Ok(vec![bench.row("all-on", words, mark, outcome)]);
    }
    let (urgent, plain) = (bench.load(INFER, Requests::Urgent), bench.load(INFER, Requests::Json));
    let seen = (Computed::before(&on)?, Computed::before(&off)?);
    let pairs = pairs::of_servers(bench, (&on, &urgent), (&off, &plain))?;
    seen.0.check(&on, urgent.requests)?;
    seen.1.check(&off, plain.requests)?;
    let mut row = bench.row("all-on", words, mark, pairs.outcome(Figure::Rate, mark));
    row.note = format!("`PUT {SERVING}` with `{SETTINGS}`; the requests are longer by the two parameters.");
    Ok(vec![row])
}
