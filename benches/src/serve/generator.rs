//! Our own load generator, `emberline bench serve`: for open loops, which `wrk` does not have.

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::{Bench, wrk::Measured};
use crate::servers::{Running, emberline, pinned};

/// One load.
pub(super) struct Generate<'a> {
    pub(super) model: &'a str,
    pub(super) pace: Pace,
    /// What each request may take.
    pub(super) deadline: Option<&'a str>,
    /// The one core that the generator may use.
    pub(super) cpu: Option<usize>,
}

/// When requests are sent.
pub(super) enum Pace {
    /// As soon as one of so many is answered.
    Closed(usize),
    /// So many in a second, at random.
    Rate(f64),
}

/// What `emberline bench serve --json` prints, as far as it is needed here.
#[derive(Deserialize)]
struct Printed {
    reports: Vec<Report>,
}

/// What came of a load.
#[derive(Clone, Deserialize)]
pub(super) struct Report {
    pub(super) seconds: f64,
    pub(super) throughput_per_second: f64,
    pub(super) goodput_per_second: f64,
    pub(super) counts: Counts,
    pub(super) generator: Generator,
    latency: Latency,
}

#[derive(Clone, Deserialize)]
pub(super) struct Counts {
    pub(super) intended: u64,
    pub(super) ok: u64,
    pub(super) refused: u64,
    pub(super) deadline: u64,
    pub(super) failed: u64,
    pub(super) broken: u64,
    pub(super) abandoned: u64,
}

#[derive(Clone, Deserialize)]
pub(super) struct Generator {
    pub(super) kept_up: bool,
}

#[derive(Clone, Deserialize)]
struct Latency {
    p50_us: f64,
    p99_us: f64,
}

impl Report {
    /// Of the requests that were not refused, the share that was not answered in time.
    pub(super) fn missed(&self) -> f64 {
        let Counts { ok, deadline, abandoned, .. } = self.counts;
        let admitted = (ok + deadline + abandoned) as f64;
        if admitted == 0.0 { 0.0 } else { (admitted - self.goodput_per_second * self.seconds) / admitted }
    }

    /// As what `wrk` measures.
    pub(super) fn measured(&self) -> Measured {
        let Counts { intended: _, ok, refused, deadline, failed, broken, abandoned } = self.counts;
        let Latency { p50_us: p50, p99_us: p99 } = self.latency;
        let errors = refused + deadline + failed + broken + abandoned;
        Measured { requests: ok as f64, rate: self.throughput_per_second, p50, p99, errors }
    }
}

impl Generate<'_> {
    /// Runs the load against `served` for the seconds of the run.
    pub(super) fn run(&self, bench: &Bench<'_>, served: &Running) -> Result<Report> {
        let mut command = pinned(emberline::binary(bench.arguments.emberline.as_deref())?, self.cpu);
        command.args(["bench", "serve", &format!("http://{}", served.address), "--model", self.model, "--json"]);
        command.args(["--duration", &format!("{}s", bench.seconds()), "--warmup", "1s"]);
        match self.pace {
            Pace::Closed(concurrency) => command.args(["--concurrency", &concurrency.to_string()]),
            Pace::Rate(rate) => command.args(["--rate", &format!("{rate:.0}")]),
        };
        command.args(self.deadline.iter().flat_map(|deadline| ["--timeout", deadline]));
        let output = command.output().context("cannot run the generator")?;
        if !output.status.success() {
            bail!("the generator failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let printed: Printed =
            serde_json::from_slice(&output.stdout).context("the generator printed something else")?;
        printed.reports.into_iter().next().context("the generator gave no report")
    }
}
