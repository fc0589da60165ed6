//! Latencies as people and programs read them: microseconds at percentiles.

use hdrhistogram::Histogram;
use serde::Serialize;

/// Latencies in microseconds, exact to three digits.
#[derive(Clone, Debug, Default, Serialize)]
#[expect(missing_docs, reason = "the names of percentiles say it all")]
pub struct Latency {
    /// Requests.
    pub count: u64,
    pub mean_us: f64,
    pub min_us: f64,
    pub p50_us: f64,
    pub p90_us: f64,
    pub p95_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub p9999_us: f64,
    pub max_us: f64,
    /// Percentiles (0 to 100) and their latencies, denser towards 100, as `HdrHistogram` plots them.
    pub curve: Vec<(f64, f64)>,
}

/// Points of the curve for each halving of what is left to 100 %.
const POINTS_PER_HALVING: u32 = 4;

impl Latency {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        let micros = |nanos: u64| nanos as f64 / 1e3;
        let at = |quantile| micros(histogram.value_at_quantile(quantile));
        let mut curve: Vec<(f64, f64)> = Vec::new();
        for step in histogram.iter_quantiles(POINTS_PER_HALVING) {
            let point = (step.quantile_iterated_to() * 100.0, micros(step.value_iterated_to()));
            if curve.last() != Some(&point) {
                curve.push(point);
            }
        }
        Self {
            count: histogram.len(),
            mean_us: histogram.mean() / 1e3,
            min_us: micros(histogram.min()),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p95_us: at(0.95),
            p99_us: at(0.99),
            p999_us: at(0.999),
            p9999_us: at(0.9999),
            max_us: micros(histogram.max()),
            curve,
        }
    }

    /// The latency at a percentile (0 to 100), from the curve: that of its next point.
    #[must_use]
    pub fn at(&self, percentile: f64) -> f64 {
        self.curve.iter().find(|(point, _)| *point >= percentile).map_or(self.max_us, |(_, micros)| *micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::histogram;

    #[test]
    fn percentiles_are_those_recorded() {
        let mut recorded = histogram();
        for micros in 1..=1000_u64 {
            recorded.saturating_record(micros * 1000);
        }
        let latency = Latency::of(&recorded);
        assert_eq!(latency.count, 1000);
        for (found, expected) in [
            (latency.mean_us, 500.5),
            (latency.p50_us, 500.0),
            (latency.p90_us, 900.0),
            (latency.p99_us, 990.0),
            (latency.max_us, 1000.0),
            (latency.at(99.0), 990.0),
        ] {
            assert!((found / expected - 1.0).abs() < 0.005, "{found} {expected}");
        }
        assert!(latency.curve.is_sorted());
        assert_eq!(latency.curve.last().unwrap().0, 100.0);
        assert_eq!(Latency::of(&histogram()).count, 0);
    }
}
