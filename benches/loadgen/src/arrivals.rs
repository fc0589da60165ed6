//! When requests are meant to be sent: the arrivals of an open loop, which do not wait for answers.

use std::{str::FromStr, time::Duration};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::{Error, error::setting};

/// How the arrivals of an open loop are spaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Arrivals {
    /// Evenly.
    Constant,
    /// As those of many independent clients: exponentially distributed gaps.
    #[default]
    Poisson,
}

impl FromStr for Arrivals {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "constant" => Ok(Self::Constant),
            "poisson" => Ok(Self::Poisson),
            _ => setting(format!("expected constant or poisson as arrivals, got '{text}'")),
        }
    }
}

/// The times of one thread's requests, from the start of the load; endless and never falling.
///
/// The threads' schedules together are the whole: evenly spaced ones interleave, and independent Poisson processes add up to one.
#[derive(Clone, Debug)]
pub struct Schedule {
    arrivals: Arrivals,
    /// Of all threads together.
    rate: f64,
    thread: u64,
    threads: u64,
    number: u64,
    seconds: f64,
    random: ChaCha8Rng,
}

impl Schedule {
    /// The schedule of `thread` (from 0) of `threads` that together send `rate` requests per second.
    #[must_use]
    pub fn new(arrivals: Arrivals, rate: f64, seed: u64, thread: usize, threads: usize) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(thread as u64);
        let (thread, threads) = (thread as u64, threads.max(1) as u64);
        Self { arrivals, rate, thread, threads, number: 0, seconds: 0.0, random }
    }
}

impl Iterator for Schedule {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let seconds = match self.arrivals {
            // From the number, not from the last one: errors of rounding do not add up.
            Arrivals::Constant => (self.number * self.threads + self.thread) as f64 / self.rate,
            Arrivals::Poisson => {
                let uniform: f64 = self.random.random();
                self.seconds -= (-uniform).ln_1p() * self.threads as f64 / self.rate;
                self.seconds
            }
        };
        self.number += 1;
        Duration::try_from_secs_f64(seconds).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn merged(arrivals: Arrivals, rate: f64, seed: u64, threads: usize, seconds: f64) -> Vec<f64> {
        let mut all: Vec<f64> = (0..threads)
            .flat_map(|thread| {
                Schedule::new(arrivals, rate, seed, thread, threads)
                    .map(|offset| offset.as_secs_f64())
                    .take_while(|offset| *offset < seconds)
                    .collect::<Vec<_>>()
            })
            .collect();
        all.sort_by(f64::total_cmp);
        all
    }

    proptest! {
        #[test]
        fn constant_arrivals_are_even_over_all_threads(rate in 1.0..50_000.0_f64, threads in 1_usize..5) {
            let all = merged(Arrivals::Constant, rate, 0, threads, 2000.0 / rate);
            prop_assert!((1999..=2001).contains(&all.len()), "{}", all.len());
            for (number, offset) in all.iter().enumerate() {
                // A duration has whole nanoseconds.
                prop_assert!((offset - number as f64 / rate).abs() < 1e-8, "{number}: {offset}");
            }
        }

        #[test]
        fn poisson_arrivals_have_the_rate_and_the_spread(rate in 10.0..50_000.0_f64, seed: u64, threads in 1_usize..5) {
            let expected = 4000.0;
            let all = merged(Arrivals::Poisson, rate, seed, threads, expected / rate);
            // The count of a Poisson process has its mean as variance: six standard deviations.
            prop_assert!((all.len() as f64 - expected).abs() < 6.0 * expected.sqrt(), "{}", all.len());
            let gaps: Vec<f64> = all.windows(2).map(|pair| (pair[1] - pair[0]) * rate).collect();
            let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
            let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
            // Exponential gaps have a standard deviation of their mean.
            prop_assert!((variance.sqrt() / mean - 1.0).abs() < 0.2, "{variance} {mean}");
        }

        #[test]
        fn a_schedule_never_goes_back_and_is_the_same_for_its_seed(rate in 0.1..1e6_f64, seed: u64, poisson: bool) {
            let arrivals = if poisson { Arrivals::Poisson } else { Arrivals::Constant };
            let take = || Schedule::new(arrivals, rate, seed, 1, 3).take(500).collect::<Vec<_>>();
            let first = take();
            prop_assert!(first.is_sorted());
            prop_assert_eq!(&first, &take());
        }
    }

    #[test]
    fn seeds_differ() {
        let take = |seed| Schedule::new(Arrivals::Poisson, 100.0, seed, 0, 1).take(10).collect::<Vec<_>>();
        assert_ne!(take(1), take(2));
    }
}
