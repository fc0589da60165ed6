//! The highest rate that meets an objective: doubled until it is missed, then halved in between.

use serde::Serialize;

use crate::{Arrivals, Load, Pace, Report, Result, Slo, error::setting};

/// Loads below this rate say nothing.
const LOWEST_RATE: f64 = 0.1;
/// Most rates tried; each doubling and each halving of what is left is one.
const MOST_POINTS: usize = 40;

/// A search for the highest rate.
#[derive(Clone, Copy, Debug)]
pub struct Sweep {
    /// What each rate must keep.
    pub slo: Slo,
    /// The first rate tried.
    pub start: f64,
    /// Spacing of the requests.
    pub arrivals: Arrivals,
    /// The search ends when the rates that met and missed the objective are this close, such as 0.05 for 5 %.
    pub precision: f64,
}

/// What a search found.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SweepResult {
    /// The objective.
    pub objective: Slo,
    /// The highest rate that met it; none if none did.
    pub best_rate: Option<f64>,
    /// The lowest rate that missed it; none if none did.
    pub missed_rate: Option<f64>,
    /// Whether the generator, not the server, ended the search.
    pub generator_bound: bool,
}

impl Sweep {
    /// Searches; `run` runs one load. Gives the reports by ascending rate.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) for a start or a precision that cannot be, and whatever `run` returns.
    pub fn run(&self, load: &Load, run: &mut dyn FnMut(&Load) -> Result<Report>) -> Result<(Vec<Report>, SweepResult)> {
        let Self { slo, start, arrivals, precision } = *self;
        if !(start.is_finite() && start >= LOWEST_RATE) {
            return setting(format!("expected a first rate of at least {LOWEST_RATE}, got {start}"));
        }
        if !(0.001..=1.0).contains(&precision) {
            return setting(format!("expected a precision from 0.001 to 1, got {precision}"));
        }
        let mut reports: Vec<Report> = Vec::new();
        let mut result = SweepResult { objective: slo, best_rate: None, missed_rate: None, generator_bound: false };
        let mut rate = start;
        for _ in 0..MOST_POINTS {
            let pace = Pace::Open { rate, arrivals };
            // Answers that come much later than the bound have missed it however late they are.
            let patience = load.patience.min((slo.bound * 20).max(std::time::Duration::from_secs(1)));
            let report = run(&Load { pace, slo: Some(slo), patience, ..load.clone() })?;
            let met = report.slo.is_some_and(|slo| slo.met);
            let kept_up = report.generator.kept_up;
            reports.push(report);
            if met {
                result.best_rate = Some(rate);
            } else {
                result.missed_rate = Some(rate);
                result.generator_bound = !kept_up;
            }
            rate = match (result.best_rate, result.missed_rate) {
                (Some(best), None) => best * 2.0,
                (None, Some(missed)) => missed / 2.0,
                (Some(best), Some(missed)) if missed / best > 1.0 + precision => (best * missed).sqrt(),
                (Some(_), Some(_)) | (None, None) => break,
            };
            if rate < LOWEST_RATE {
                break;
            }
        }
        let offered = |report: &Report| match report.pace {
            Pace::Open { rate, arrivals: _ } => rate,
            Pace::Closed { concurrency: _ } | Pace::Count { concurrency: _, requests: _ } | Pace::Replay => 0.0,
        };
        reports.sort_by(|one, other| offered(one).total_cmp(&offered(other)));
        Ok((reports, result))
    }
}
