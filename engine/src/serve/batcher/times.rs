//! What batches of a lane take, by bucket: measured, and guessed where nothing was measured yet.

use std::time::{Duration, Instant};

use super::super::admission::nanos;

/// Weight of a new measurement in the moving average: 1 in this many.
const AVERAGED: f64 = 8.0;
/// The same for the mean deviation, which all buckets have in common.
const AVERAGED_DEVIATION: f64 = 32.0;
/// The deviation before there is one, as a part of the average.
const FIRST_DEVIATION: f64 = 0.08;
/// An estimate lies this many mean deviations above the average.
const DEVIATIONS: f64 = 1.5;
/// A single measurement counts as this many averages at most: one hiccup does not refuse a second of requests, and a device
/// that did get slower is followed within a few batches all the same.
const MOST_AVERAGES: f64 = 2.0;
/// After this long a measurement gives way to what other buckets let expect, if that is less.
const STALE_AFTER: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug)]
struct Measured {
    average: f64,
    at: Instant,
}

/// What batches of a lane take, by bucket.
#[derive(Clone, Debug)]
pub(super) struct BucketTimes {
    buckets: Vec<usize>,
    measured: Vec<Option<Measured>>,
    /// Times of the warm-up, which compiled and tuned: upper bounds.
    seeds: Vec<u64>,
    /// How far batches stray from their average, as a part of it.
    deviation: f64,
    /// What is expected of each on average, as of the last measurement; 0 while nothing is known.
    usual: Vec<u64>,
    /// What is expected of each at most.
    expected: Vec<u64>,
}

impl BucketTimes {
    /// `seeds` are times of warm-ups, by bucket, or none.
    pub(super) fn new(buckets: &[usize], seeds: &[Duration], now: Instant) -> Self {
        let mut times = Self {
            buckets: buckets.to_vec(),
            measured: vec![None; buckets.len()],
            seeds: seeds.iter().map(|seed| nanos(*seed)).collect(),
            deviation: FIRST_DEVIATION,
            usual: vec![0; buckets.len()],
            expected: vec![0; buckets.len()],
        };
        times.expect(now);
        times
    }

    /// Counts a batch that ended `now`.
    pub(super) fn measure(&mut self, bucket: usize, took: Duration, now: Instant) {
        let Ok(index) = self.buckets.binary_search(&bucket) else { return };
        let took = (nanos(took) as f64).max(1.0);
        let average = match self.measured[index] {
            None => took,
            Some(Measured { average, at: _ }) => {
                let off = took.min(MOST_AVERAGES * average) - average;
                self.deviation += (off.abs() / average - self.deviation) / AVERAGED_DEVIATION;
                average + off / AVERAGED
            }
        };
        self.measured[index] = Some(Measured { average, at: now });
        self.expect(now);
    }

    /// What a batch of each bucket takes at most, as far as can be told, in nanoseconds.
    pub(super) fn expected(&self) -> &[u64] {
        &self.expected
    }

    /// What a batch of each bucket takes on average, in nanoseconds.
    pub(super) fn usual(&self) -> &[u64] {
        &self.usual
    }

    fn expect(&mut self, now: Instant) {
        let margin = 1.0 + DEVIATIONS * self.deviation;
        for index in 0..self.buckets.len() {
            let average = match self.measured[index] {
                Some(Measured { average, at }) if now.saturating_duration_since(at) < STALE_AFTER => average,
                Some(Measured { average, at: _ }) => self.guess(index).map_or(average, |guess| guess.min(average)),
                None => self.guess(index).unwrap_or(0.0),
            };
            self.usual[index] = average as u64;
            self.expected[index] = (average * margin) as u64;
        }
    }

    /// What other buckets let expect of one: a line through the next ones that were measured, for a device takes a fixed time and one for
    /// each row; else no more for a row than a smaller batch takes, no more in all than a larger one, and no more than warming took.
    fn guess(&self, index: usize) -> Option<f64> {
        let point = |other: usize| self.measured[other].map(|measured| (self.buckets[other] as f64, measured.average));
        let rows = self.buckets[index] as f64;
        let mut below = (0..index).rev().filter_map(point);
        let (first, second) = (below.next(), below.next());
        let above = (index + 1..self.buckets.len()).find_map(point);
        let seed = self.seeds.get(index).map(|seed| *seed as f64);
        let line = |(x, y): (f64, f64), (other_x, other_y): (f64, f64)| y + (other_y - y) / (other_x - x) * (rows - x);
        match (first, second, above) {
            (Some(below), _, Some(above)) => Some(line(below, above)),
            (Some((x, y)), Some(second), None) => Some(line((x, y), second).clamp(y, y * rows / x)),
            (Some((x, y)), None, None) => Some(seed.map_or(y * rows / x, |seed| seed.clamp(y, y * rows / x))),
            (None, _, Some((_x, y))) => Some(seed.map_or(y, |seed| seed.min(y))),
            (None, _, None) => seed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// What is expected, less the margin before anything is known of it, to a tenth of a millisecond.
    fn millis(times: &BucketTimes) -> Vec<f64> {
        let margin = 1.0 + DEVIATIONS * FIRST_DEVIATION;
        times.expected().iter().map(|nanos| (*nanos as f64 / margin / 1e5).round() / 10.0).collect()
    }

    #[test]
    fn guesses_what_was_not_measured_from_what_was() {
        let now = Instant::now();
        let mut times = BucketTimes::new(&[1, 8, 64], &[], now);
        assert_eq!(times.expected(), [0, 0, 0]);
        times.measure(8, 4 * MS, now);
        assert_eq!(millis(&times), [4.0, 4.0, 32.0]);
        times.measure(1, MS / 2, now);
        assert_eq!(millis(&times), [0.5, 4.0, 32.0]);
        times.measure(64, 8 * MS, now);
        assert_eq!(millis(&times), [0.5, 4.0, 8.0]);
        let mut line = BucketTimes::new(&[1, 2, 4, 8], &[], now);
        line.measure(1, 11 * MS, now);
        line.measure(4, 14 * MS, now);
        assert_eq!(millis(&line), [11.0, 12.0, 14.0, 18.0]);
        let seeded = BucketTimes::new(&[1, 8], &[MS, 2 * MS], now);
        assert_eq!(millis(&seeded), [1.0, 2.0]);
    }

    #[test]
    fn a_hiccup_is_not_believed_and_a_slower_device_is() {
        let mut now = Instant::now();
        let mut times = BucketTimes::new(&[1], &[], now);
        (0..20).for_each(|_| times.measure(1, MS, now));
        times.measure(1, 100 * MS, now);
        assert!(times.expected()[0] < 2_000_000, "{times:?}");
        for _ in 0..60 {
            now += MS;
            times.measure(1, 5 * MS, now);
        }
        assert!((4_900_000..6_500_000).contains(&times.expected()[0]), "{times:?}");
    }

    #[test]
    fn an_old_measurement_does_not_stick() {
        let now = Instant::now();
        let mut times = BucketTimes::new(&[1, 8], &[], now);
        times.measure(8, 1000 * MS, now);
        times.measure(1, MS, now);
        assert_eq!(millis(&times)[1], 1000.0);
        times.measure(1, MS, now + 2 * STALE_AFTER);
        assert!(times.expected()[1] < 10_000_000, "{times:?}");
    }
}
