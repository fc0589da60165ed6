//! Which way is the fastest, by measurement.
//!
//! It depends on the trees, on how many rows come at a time and on the machine, and no constants of ours would be right for
//! all. So a model is measured where it is loaded, which takes some ten milliseconds. What was found can be kept and given to the
//! next one that loads the model on the same kind of machine.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Predictor, Scratch, Way};

/// Of the ways and of how they are measured: raised when either changes, so that what was found before is not held on to.
pub const REVISION: u32 = 3;

/// Numbers of rows that are measured; the largest one stands for all above it.
const ROWS: [usize; 7] = [1, 4, 16, 64, 256, 1024, 4096];
/// A way is measured for this long, and at least [`ROUNDS`] times.
const LONG_ENOUGH: Duration = Duration::from_millis(1);
const ROUNDS: usize = 3;
/// When a batch takes longer than this, larger ones go the same way.
const TOO_LONG: Duration = Duration::from_millis(10);

/// How a model is answered best on a machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// By number of rows, ascending; the first entry that has as many rows as are asked for counts, or the last one.
    pub plans: Vec<Plan>,
}

/// The best way for a number of rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Up to so many rows.
    pub rows: usize,
    /// The way.
    pub way: Way,
    /// Whether the rows are spread over threads.
    pub parallel: bool,
    /// What a row took when it was measured, in nanoseconds.
    pub nanos_a_row: f64,
}

impl Choice {
    /// What suits so many rows.
    #[must_use]
    pub fn plan(&self, rows: usize) -> Option<&Plan> {
        self.plans.iter().find(|plan| rows <= plan.rows).or(self.plans.last())
    }

    /// Measures `predictor` with rows drawn from its own thresholds, on this thread and on rayon's pool.
    #[must_use]
    pub fn measured(predictor: &Predictor) -> Self {
        let ways = predictor.ways();
        let (features, width) = (predictor.ensemble().features.len(), predictor.ensemble().output.width);
        let rows = draw(predictor, ROWS[ROWS.len() - 1]);
        let mut out = vec![0.0; ROWS[ROWS.len() - 1] * width];
        let mut scratch = Scratch::default();
        let mut plans: Vec<Plan> = Vec::new();
        for count in ROWS {
            let out = &mut out[..count * width];
            let parts = ROWS[ROWS.len() - 1] / count;
            let mut best: Option<(Duration, Way, bool)> = None;
            for (way, parallel) in ways.iter().flat_map(|way| [(*way, false), (*way, true)]) {
                if parallel && (count < 2 * super::LANES || rayon::current_num_threads() < 2) {
                    continue;
                }
                let took = typical(|round| {
                    // Other rows each time: those of a moment ago would be in the caches, and so would the nodes that they visit.
                    let rows = &rows[round % parts * count * features..][..count * features];
                    let result = if parallel {
                        predictor.margins_in_parallel(way, rows, out)
                    } else {
                        predictor.margins_by(way, rows, &mut scratch, out)
                    };
                    debug_assert!(result.is_ok(), "the rows were made for this model");
                });
                if best.is_none_or(|(least, _, _)| took < least) {
                    best = Some((took, way, parallel));
                }
            }
            let Some((took, way, parallel)) = best else { break };
            let nanos_a_row = took.as_nanos() as f64 / count as f64;
            plans.push(Plan { rows: count, way, parallel, nanos_a_row });
            if took > TOO_LONG {
                break;
            }
        }
        Self { plans }
    }
}

/// The median of several runs.
fn typical(mut run: impl FnMut(usize)) -> Duration {
    let (began, mut times) = (Instant::now(), Vec::new());
    while times.len() < ROUNDS || began.elapsed() < LONG_ENOUGH {
        let start = Instant::now();
        run(times.len());
        times.push(start.elapsed());
        if times.last().is_some_and(|took| *took > TOO_LONG) {
            break;
        }
    }
    let middle = times.len() / 2;
    *times.select_nth_unstable(middle).1
}

/// Rows whose values lie on thresholds, each as likely as the others, so that all branches are taken.
pub(super) fn draw(predictor: &Predictor, count: usize) -> Vec<f32> {
    let features = predictor.ensemble().features.len();
    let thresholds = predictor.thresholds();
    let mut rows = vec![0.0; count * features];
    // A fixed sequence (a linear congruential generator, Knuth's constants): nothing here depends on chance.
    let mut state = 1_u64;
    for row in rows.chunks_exact_mut(features.max(1)) {
        for (feature, cuts) in &thresholds {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if let Some(cut) = cuts.get((state >> 33) as usize % cuts.len().max(1)) {
                row[*feature] = *cut as f32;
            }
        }
    }
    rows
}
