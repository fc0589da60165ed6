//! The four scenarios of `MLPerf` Inference, by the table "Scenarios" of its rules: how queries are issued, and what is told.
//!
//! Named after the rules, without being a submission: results here have no early-stopping estimate, no accuracy run, and are as
//! long as is asked for (the rules ask for 600 seconds).

use std::{str::FromStr, time::Duration};

use serde::Serialize;

use crate::{Arrivals, Error, Load, Pace, Report, Result, Slo, Sweep, SweepResult, error::setting};

/// Seconds that the rules ask for.
const OFFICIAL_SECONDS: f64 = 600.0;
/// Samples that the rules ask of Offline.
const OFFICIAL_SAMPLES: u64 = 24_576;
/// Of Server.
const HIGHEST_RATE: &str = "highest Poisson rate that keeps the bound";

/// A scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Scenario {
    /// One sample at a time, the next when it is answered; 90th percentile of latency.
    SingleStream,
    /// Eight samples at a time; 99th percentile of latency.
    MultiStream,
    /// Poisson arrivals of one sample; the highest rate whose 99th percentile keeps a bound.
    Server,
    /// All samples at once; throughput.
    Offline,
}

impl FromStr for Scenario {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.to_ascii_lowercase().replace('-', "").as_str() {
            "singlestream" => Ok(Self::SingleStream),
            "multistream" => Ok(Self::MultiStream),
            "server" => Ok(Self::Server),
            "offline" => Ok(Self::Offline),
            _ => setting(format!("expected single-stream, multi-stream, server or offline as scenario, got '{text}'")),
        }
    }
}

/// What a scenario tells.
#[derive(Clone, Debug, Serialize)]
pub struct ScenarioResult {
    /// Which.
    pub scenario: Scenario,
    /// What is measured.
    pub metric: &'static str,
    /// Its value; none when no rate met the bound, or nothing was answered.
    pub value: Option<f64>,
    /// Its unit.
    pub unit: &'static str,
    /// Queries measured.
    pub queries: u64,
    /// Whether every query was answered, which the rules ask for.
    pub all_answered: bool,
    /// Whether it was as long as the rules ask for.
    pub official_length: bool,
}

/// How a scenario is run.
#[derive(Clone, Copy, Debug)]
pub struct ScenarioSpec {
    /// Which.
    pub scenario: Scenario,
    /// Bound of latency: Server needs it.
    pub slo: Option<Slo>,
    /// Rate of Server; searched for when none.
    pub rate: Option<f64>,
    /// Samples of Offline.
    pub samples: u64,
    /// Precision of the search, see [`Sweep`].
    pub precision: f64,
}

impl Scenario {
    /// Rows of a request: samples of a query, or, for Offline, of one of the requests that together are its query.
    #[must_use]
    pub const fn rows(self, asked: Option<usize>) -> usize {
        match (self, asked) {
            (Self::SingleStream | Self::Server, _) => 1,
            (Self::MultiStream, _) => 8,
            (Self::Offline, Some(rows)) => rows,
            (Self::Offline, None) => 1024,
        }
    }
}

impl ScenarioSpec {
    /// Runs the scenario; `run` runs one load whose requests have [`Scenario::rows`].
    ///
    /// # Errors
    /// [`Error::Setting`] without a bound for Server, and whatever `run` returns.
    pub fn run(
        &self,
        load: &Load,
        rows: usize,
        run: &mut dyn FnMut(&Load) -> Result<Report>,
    ) -> Result<(Vec<Report>, ScenarioResult, Option<SweepResult>)> {
        let one_stream = Load { pace: Pace::Closed { concurrency: 1 }, ..load.clone() };
        match self.scenario {
            Scenario::SingleStream => {
                let report = run(&one_stream)?;
                let value = (report.latency.count > 0).then_some(report.latency.p90_us);
                let result = self.result(&report, "90th percentile of latency", value, "us");
                Ok((vec![report], result, None))
            }
            Scenario::MultiStream => {
                let report = run(&one_stream)?;
                let value = (report.latency.count > 0).then_some(report.latency.p99_us);
                let result = self.result(&report, "99th percentile of latency", value, "us");
                Ok((vec![report], result, None))
            }
            Scenario::Server => self.server(load, run),
            Scenario::Offline => {
                let requests = self.samples.div_ceil(rows.max(1) as u64);
                let concurrency = requests.min(load.connections as u64).max(1) as usize;
                if !load.warmup.is_zero() {
                    let pace = Pace::Closed { concurrency };
                    run(&Load { pace, warmup: Duration::ZERO, duration: load.warmup, ..load.clone() })?;
                }
                let pace = Pace::Count { concurrency, requests };
                let patience = load.patience.max(Duration::from_mins(1));
                let report = run(&Load { pace, patience, ..load.clone() })?;
                let value = (report.counts.ok > 0).then_some(report.rows_per_second);
                let mut result = self.result(&report, "throughput", value, "samples/s");
                result.queries = 1;
                result.official_length &= self.samples >= OFFICIAL_SAMPLES;
                Ok((vec![report], result, None))
            }
        }
    }

    fn server(
        &self,
        load: &Load,
        run: &mut dyn FnMut(&Load) -> Result<Report>,
    ) -> Result<(Vec<Report>, ScenarioResult, Option<SweepResult>)> {
        let Some(slo) = self.slo else {
            return setting("expected a bound of latency for scenario server, such as --slo 15ms@p99, got none");
        };
        if let Some(rate) = self.rate {
            let pace = Pace::Open { rate, arrivals: Arrivals::Poisson };
            let report = run(&Load { pace, slo: Some(slo), ..load.clone() })?;
            let met = report.slo.is_some_and(|slo| slo.met);
            let result = self.result(&report, HIGHEST_RATE, met.then_some(rate), "queries/s");
            return Ok((vec![report], result, None));
        }
        let sweep = Sweep { slo, start: 100.0, arrivals: Arrivals::Poisson, precision: self.precision };
        let (reports, found) = sweep.run(load, run)?;
        let best = reports.iter().rev().find(|report| report.slo.is_some_and(|slo| slo.met)).or(reports.first());
        let Some(best) = best else { return setting("expected at least one rate to try") };
        let result = self.result(best, HIGHEST_RATE, found.best_rate, "queries/s");
        Ok((reports, result, Some(found)))
    }

    fn result(&self, report: &Report, metric: &'static str, value: Option<f64>, unit: &'static str) -> ScenarioResult {
        ScenarioResult {
            scenario: self.scenario,
            metric,
            value,
            unit,
            queries: report.counts.intended,
            all_answered: report.counts.ok == report.counts.intended,
            official_length: report.seconds >= OFFICIAL_SECONDS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_have_the_names_of_the_rules() {
        for text in ["SingleStream", "single-stream", "singlestream"] {
            assert_eq!(text.parse::<Scenario>().unwrap(), Scenario::SingleStream);
        }
        assert!("batch".parse::<Scenario>().unwrap_err().to_string().ends_with("got 'batch'"));
        assert_eq!(Scenario::MultiStream.rows(Some(3)), 8);
        assert_eq!((Scenario::Offline.rows(None), Scenario::Offline.rows(Some(64))), (1024, 64));
    }
}
