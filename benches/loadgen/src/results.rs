//! Everything that one run of the generator found: one object, as JSON and as a page.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::{ReplaySummary, Report, ScenarioResult, SweepResult};

/// One or several loads, and what they were for.
#[derive(Clone, Debug, Serialize)]
pub struct Results {
    /// When it ended.
    pub time: DateTime<Utc>,
    /// One report, or one for each rate by ascending rate.
    pub reports: Vec<Report>,
    /// Of a search for the highest rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sweep: Option<SweepResult>,
    /// Of a scenario.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scenario: Option<ScenarioResult>,
    /// Of a replay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay: Option<ReplaySummary>,
}

impl Results {
    /// Results that are there already.
    #[must_use]
    pub fn of(reports: Vec<Report>) -> Self {
        Self { time: Utc::now(), reports, sweep: None, scenario: None, replay: None }
    }

    /// The report that says most: of the highest rate that met its objective, else the first.
    #[must_use]
    pub fn main(&self) -> Option<&Report> {
        let met = self.reports.iter().rev().find(|report| report.slo.is_some_and(|slo| slo.met));
        met.or(self.reports.first())
    }

    /// One page of HTML with everything in it: no script, no network.
    #[must_use]
    pub fn page(&self) -> String {
        crate::html::page(self)
    }
}
