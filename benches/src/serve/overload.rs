//! More load than a model can bear: what is still answered in time, and whether what was taken is.
//!
//! The model is a net sized to about [`TARGET`] answers a second on one core, so that computing is all that counts; the
//! server has that core, and the generator (`emberline bench serve`, an open loop with Poisson arrivals) the other.

use std::{collections::BTreeMap, thread};

use anyhow::{Result, bail, ensure};

use super::{
    Bench,
    generator::{Counts, Generate, Pace, Report},
    report::{Mark, Outcome, Row},
    wrk::Measured,
};
use crate::{
    say,
    servers::{
        Running,
        emberline::{self, Options},
        net::Net,
    },
    statistics::{self, Median},
};

pub(super) const SERVER_CORE: usize = 0;
pub(super) const GENERATOR_CORE: usize = 1;
/// Answers per second that the net is sized for, and how far off is near enough.
const TARGET: f64 = 2_000.0;
const NEAR: std::ops::Range<f64> = 0.8..1.25;
const ATTEMPTS: usize = 6;
/// Requests at a time while the net is sized: so few that their batches fit into the deadline.
const AT_A_TIME: usize = 16;
/// Loads, in multiples of that, that find the capacity under the deadline, where batches are larger. The first ones find a server
/// that has not met overload yet.
const SATURATING: [f64; 4] = [1.5, 2.0, 1.25, 1.5];
/// Width of the hidden layers to begin with.
const FIRST_WIDTH: usize = 1024;
pub(super) const MODEL: &str = "heavy";
const DEADLINE: &str = "20ms";
/// Offered load in multiples of the capacity; those between the marks are there to find the peak.
const LOADS: [f64; 5] = [1.0, 1.5, 2.0, 3.0, 5.0];
const MARKED: [f64; 3] = [1.0, 2.0, 5.0];
const GOODPUT: &str = "goodput/s";
const MISSED: &str = "share";

pub(super) fn overload(bench: &Bench<'_>) -> Result<Vec<Row>> {
    if let Some(outcome) = too_few_cores() {
        return Ok(vec![bench.row("overload", ["a compute-bound model under overload", "–", GOODPUT], None, outcome)]);
    }
    let (served, width, capacity) = sized(bench)?;
    let mut rounds = Vec::new();
    for round in 1..=bench.pairs() {
        let loads: Vec<Report> =
            LOADS.iter().map(|load| generate(bench, &served, Pace::Rate(load * capacity))).collect::<Result<_>>()?;
        for (load, report) in LOADS.iter().zip(&loads) {
            let Counts { intended, refused, deadline, failed, broken, .. } = report.counts;
            say(&format!(
                "round {round} of {} at {load} ×: goodput {:.0}/s, {refused} of {intended} refused, {deadline} too late, \
                 {:.3} % of the admitted missed",
                bench.pairs(),
                report.goodput_per_second,
                report.missed() * 100.0
            ));
            ensure!(failed == 0 && broken == 0, "{failed} answers were errors and {broken} were none");
        }
        rounds.push(loads);
    }
    let what = format!("net 30-{width}-{width}-1 ({capacity:.0} answers/s in time on one core), deadline {DEADLINE}");
    let behind = rounds.iter().flatten().filter(|report| !report.generator.kept_up).count();
    let mut rows: Vec<Row> = MARKED.iter().map(|load| goodput(bench, &what, *load, &rounds)).collect();
    rows.push(missed(bench, &what, &rounds));
    for row in &mut rows {
        row.note = format!(
            "Generator on core {GENERATOR_CORE}, server on core {SERVER_CORE}; in {behind} of {} loads the generator did not keep \
             its own times.",
            rounds.len() * LOADS.len()
        );
    }
    Ok(rows)
}

/// Why nothing can be measured where the generator would share the server's core.
pub(super) fn too_few_cores() -> Option<Outcome> {
    (thread::available_parallelism().map_or(1, std::num::NonZero::get) <= GENERATOR_CORE)
        .then(|| Outcome::Skipped("it needs a core for the server and one for the generator".to_owned()))
}

/// The server with a net of about the target's answers per second, its width, and its capacity: the most that it answers in time,
/// whatever is offered.
pub(super) fn sized(bench: &Bench<'_>) -> Result<(Running, usize, f64)> {
    let mut width = FIRST_WIDTH;
    for _ in 0..ATTEMPTS {
        let layers = [width, width, 1];
        let served = emberline::start(&Options {
            binary: bench.arguments.emberline.as_deref(),
            files: &[],
            nets: &[Net { name: MODEL, layers: &layers }],
            arguments: &[],
            cpu: Some(SERVER_CORE),
        })?;
        let capacity = generate(bench, &served, Pace::Closed(AT_A_TIME))?.throughput_per_second;
        say(&format!("30-{width}-{width}-1: {capacity:.0} answers/s"));
        ensure!(capacity > 0.0, "the net of width {width} gave no answer");
        if NEAR.contains(&(capacity / TARGET)) {
            let mut most: f64 = 0.0;
            for load in SATURATING {
                most = most.max(generate(bench, &served, Pace::Rate(load * capacity))?.goodput_per_second);
            }
            say(&format!("30-{width}-{width}-1: {most:.0} answers/s in time"));
            return Ok((served, width, most));
        }
        // Work grows with the square of the width; multiples of 32 suit every kernel.
        let better = width as f64 * (capacity / TARGET).sqrt();
        width = ((better / 32.0).round() as usize).clamp(1, 256) * 32;
    }
    bail!("no width gives about {TARGET} answers/s")
}

/// Some requests at a time.
pub(super) fn answered(bench: &Bench<'_>, served: &Running) -> Result<Measured> {
    Ok(generate(bench, served, Pace::Closed(AT_A_TIME))?.measured())
}

/// So many requests a second, one by one.
pub(super) fn offered(bench: &Bench<'_>, served: &Running, rate: f64) -> Result<Measured> {
    Ok(generate(bench, served, Pace::Rate(rate))?.measured())
}

/// One load by the generator.
fn generate(bench: &Bench<'_>, served: &Running, pace: Pace) -> Result<Report> {
    let deadline = matches!(pace, Pace::Rate(_)).then_some(DEADLINE);
    Generate { model: MODEL, pace, deadline, cpu: Some(GENERATOR_CORE) }.run(bench, served)
}

fn goodput(bench: &Bench<'_>, what: &str, load: f64, rounds: &[Vec<Report>]) -> Row {
    let at = LOADS.iter().position(|other| *other == load).unwrap_or_default();
    let goodputs: Vec<f64> = rounds.iter().map(|loads| loads[at].goodput_per_second).collect();
    let peaks: Vec<f64> =
        rounds.iter().map(|loads| loads.iter().map(|one| one.goodput_per_second).fold(0.0, f64::max)).collect();
    let ratios: Vec<f64> =
        goodputs.iter().zip(&peaks).map(|(goodput, peak)| if *peak > 0.0 { goodput / peak } else { 0.0 }).collect();
    let mark = Mark::AtLeast(0.95);
    let named = |values: &[f64]| BTreeMap::from([(GOODPUT.to_owned(), statistics::median(values))]);
    let outcome = measured(&ratios, mark, named(&goodputs), named(&peaks));
    let what = format!("{what}, offered {load} × its capacity");
    bench.row(&format!("overload-{load}"), [&what, "the peak of its round", GOODPUT], Some(mark), outcome)
}

fn missed(bench: &Bench<'_>, what: &str, rounds: &[Vec<Report>]) -> Row {
    let shares: Vec<f64> = rounds.iter().filter_map(|loads| loads.last().map(Report::missed)).collect();
    let mark = Mark::AtMost(0.001);
    let ours = BTreeMap::from([(MISSED.to_owned(), statistics::median(&shares))]);
    let outcome = measured(&shares, mark, ours, BTreeMap::new());
    let what = format!("{what}, offered 5 × its capacity: admitted requests that miss their deadline");
    bench.row("overload-missed", [&what, "all admitted requests", MISSED], Some(mark), outcome)
}

fn measured(ratios: &[f64], mark: Mark, ours: BTreeMap<String, Median>, theirs: BTreeMap<String, Median>) -> Outcome {
    let ratio = statistics::median(ratios);
    Outcome::Measured { ratio, reached: Some(mark.reached(ratio)), pairs: ratios.len(), ours, theirs }
}
