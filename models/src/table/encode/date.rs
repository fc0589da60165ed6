//! Dates: days since 1970 as a scaled number, and the positions in the year, the week and (when training had times of day)
//! the day, each as a point on a circle, so that December lies beside January.

use std::f64::consts::TAU;

use serde::{Deserialize, Serialize};

use super::{NumericEncoding, numeric::Numeric};
use crate::table::date::{DAY, civil_from_days};

/// Encoder of a date column; a missing date is 0 everywhere, the centre of the circles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Dates {
    /// Whether text like 1/5/2026 names the day first.
    pub(super) day_first: bool,
    /// Whether the time of day is encoded.
    times: bool,
    days: Numeric,
}

impl Dates {
    /// Fits to the moments of the training rows.
    pub(super) fn fit(micros: &[i64], day_first: bool) -> Self {
        let days: Vec<f64> = micros.iter().map(|micros| days(*micros)).collect();
        let times = micros.iter().any(|micros| micros.rem_euclid(DAY) != 0);
        Self { day_first, times, days: Numeric::fit(&days, NumericEncoding::Standardise) }
    }

    pub(super) const fn width(&self) -> usize {
        if self.times { 7 } else { 5 }
    }

    pub(super) fn encode(&self, micros: i64, out: &mut [f32]) {
        let day = micros.div_euclid(DAY);
        let (_, month, _) = civil_from_days(day);
        out[0] = self.days.encode(days(micros));
        point((month - 1) as f64 / 12.0, &mut out[1..3]);
        // 1970-01-01 was a Thursday; Monday is 0.
        point((day + 3).rem_euclid(7) as f64 / 7.0, &mut out[3..5]);
        if self.times {
            point(micros.rem_euclid(DAY) as f64 / DAY as f64, &mut out[5..7]);
        }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        self.days.check()
    }
}

fn days(micros: i64) -> f64 {
    micros as f64 / DAY as f64
}

/// The point at `part` of the way around the circle.
fn point(part: f64, out: &mut [f32]) {
    let (sine, cosine) = (part * TAU).sin_cos();
    out[0] = sine as f32;
    out[1] = cosine as f32;
}
