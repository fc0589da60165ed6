//! Durations, rates, objectives and mixes of priorities as text.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Serialize, Serializer};

use crate::{Error, error::setting};

/// Reads a duration: a number with `us`, `ms`, `s`, `m` or `h`, such as `1.5ms`.
///
/// # Errors
/// One sentence that says what was expected and what came.
pub fn parse_duration(text: &str) -> Result<Duration, Error> {
    let wrong = || Error::Setting(format!("expected a duration such as 200us, 1.5ms, 30s, 5m or 2h, got '{text}'"));
    let end = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit.trim_start() {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "" if number == 0.0 => 0.0,
        _ => return Err(wrong()),
    };
    // A year is longer than any load.
    let seconds = number * seconds;
    if seconds > 31_536_000.0 {
        return Err(wrong());
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// Reads a rate: requests per second, such as `250`, `0.5` or `20k`.
///
/// # Errors
/// One sentence that says what was expected and what came.
pub fn parse_rate(text: &str) -> Result<f64, Error> {
    let (number, factor) = match text.strip_suffix(['k', 'K']) {
        Some(number) => (number, 1000.0),
        None => (text, 1.0),
    };
    match number.trim().parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 && rate * factor <= 1e8 => Ok(rate * factor),
        _ => setting(format!("expected requests per second above 0 such as 250, 0.5 or 20k, got '{text}'")),
    }
}

/// A service level objective: a share of all requests must be answered within a bound.
///
/// Requests that are refused, fail, or are never answered miss it. Written `5ms@p99`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slo {
    /// Longest latency.
    pub bound: Duration,
    /// Percent of the requests that must keep it.
    pub percentile: f64,
}

impl FromStr for Slo {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || Error::Setting(format!("expected an objective such as 5ms@p99 or 800us@p99.9, got '{text}'"));
        let (bound, percentile) = text.split_once('@').ok_or_else(wrong)?;
        let bound = parse_duration(bound.trim()).map_err(|_| wrong())?;
        let percentile: f64 =
            percentile.trim().trim_start_matches(['p', 'P']).trim_end_matches('%').parse().map_err(|_| wrong())?;
        if bound.is_zero() || !(percentile > 0.0 && percentile < 100.0) {
            return Err(wrong());
        }
        Ok(Self { bound, percentile })
    }
}

impl fmt::Display for Slo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.bound.as_secs_f64() * 1e6;
        if micros >= 1000.0 {
            write!(f, "{}ms@p{}", micros / 1000.0, self.percentile)
        } else {
            write!(f, "{micros}us@p{}", self.percentile)
        }
    }
}

impl Serialize for Slo {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Levels of priority with their shares of the requests. Written `1:10,2:30,3:60`; the shares need not add up to 100.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PriorityMix {
    levels: Vec<(u32, f64)>,
}

impl PriorityMix {
    /// The levels with their weights; empty for requests without a priority.
    #[must_use]
    pub fn levels(&self) -> &[(u32, f64)] {
        &self.levels
    }

    /// The place of the level that falls on `draw`, from 0 to 1.
    pub(crate) fn pick(&self, draw: f64) -> usize {
        let total: f64 = self.levels.iter().map(|(_, weight)| weight).sum();
        let mut left = draw * total;
        for (index, (_, weight)) in self.levels.iter().enumerate() {
            left -= weight;
            if left < 0.0 {
                return index;
            }
        }
        self.levels.len().saturating_sub(1)
    }
}

impl FromStr for PriorityMix {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || {
            Error::Setting(format!(
                "expected levels of priority with their weights such as 1:10,2:30,3:60, got '{text}'"
            ))
        };
        let mut levels: Vec<(u32, f64)> = Vec::new();
        for one in text.split(',') {
            let (level, weight) = one.split_once(':').ok_or_else(wrong)?;
            let level: u32 = level.trim().parse().map_err(|_| wrong())?;
            let weight: f64 = weight.trim().parse().map_err(|_| wrong())?;
            if !weight.is_finite() || weight <= 0.0 || levels.iter().any(|(other, _)| *other == level) {
                return Err(wrong());
            }
            levels.push((level, weight));
        }
        Ok(Self { levels })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations_and_rates() {
        assert_eq!(parse_duration("1.5ms").unwrap(), Duration::from_micros(1500));
        assert_eq!(parse_duration("200us").unwrap(), Duration::from_micros(200));
        assert_eq!(parse_duration("2m").unwrap(), Duration::from_mins(2));
        assert_eq!(parse_duration("0").unwrap(), Duration::ZERO);
        for text in ["", "5", "ms", "-1s", "1..5s", "1d", "9999999h", "1e5s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert_eq!(parse_rate("20k").unwrap(), 20_000.0);
        assert_eq!(parse_rate("0.5").unwrap(), 0.5);
        for text in ["", "0", "-5", "k", "inf", "NaN", "1e300", "ten"] {
            let complaint = parse_rate(text).unwrap_err().to_string();
            assert!(complaint.ends_with(&format!("got '{text}'")), "{complaint}");
        }
    }

    #[test]
    fn reads_objectives() {
        let slo: Slo = "5ms@p99".parse().unwrap();
        assert_eq!(slo, Slo { bound: Duration::from_millis(5), percentile: 99.0 });
        assert_eq!(slo.to_string(), "5ms@p99");
        assert_eq!("800us@p99.9".parse::<Slo>().unwrap().to_string(), "800us@p99.9");
        for text in ["5ms", "p99@5ms", "5ms@p100", "5ms@p0", "0@p99", "@", "5ms@"] {
            assert!(text.parse::<Slo>().is_err(), "{text}");
        }
    }

    #[test]
    fn reads_mixes_and_draws_by_weight() {
        let mix: PriorityMix = "1:10,2:30,3:60".parse().unwrap();
        assert_eq!(mix.levels(), [(1, 10.0), (2, 30.0), (3, 60.0)]);
        let picked = [0.0, 0.09, 0.11, 0.39, 0.41, 0.999].map(|draw| mix.pick(draw));
        assert_eq!(picked, [0, 0, 1, 1, 2, 2]);
        for text in ["", "1", "1:0", "1:-2", "a:1", "1:1,1:2", "1:inf", "1:1,"] {
            assert!(text.parse::<PriorityMix>().is_err(), "{text}");
        }
    }
}
