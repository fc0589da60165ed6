//! Interleaved pairs of measurements, and the ratios that come of them.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use super::{
    Bench,
    report::{Mark, Outcome},
    wrk::{Load, Measured},
};
use crate::{
    say,
    servers::Running,
    statistics::{self, Median},
};

/// A quantity of a measurement.
#[derive(Clone, Copy)]
pub(super) enum Figure {
    Rate,
    P50,
    P99,
}

impl Figure {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Rate => "requests/s",
            Self::P50 => "p50 µs",
            Self::P99 => "p99 µs",
        }
    }

    const fn of(self, measured: &Measured) -> f64 {
        match self {
            Self::Rate => measured.rate,
            Self::P50 => measured.p50,
            Self::P99 => measured.p99,
        }
    }
}

/// What was seen of both sides, pair by pair.
pub(super) struct Pairs {
    ours: Vec<Measured>,
    theirs: Vec<Measured>,
}

/// Measures both sides by turns. The first load of each warms connections and caches and is not counted.
pub(super) fn interleaved(
    bench: &Bench<'_>,
    mut ours: impl FnMut() -> Result<Measured>,
    mut theirs: impl FnMut() -> Result<Measured>,
) -> Result<Pairs> {
    theirs()?;
    ours()?;
    let mut pairs = Pairs { ours: Vec::new(), theirs: Vec::new() };
    for pair in 1..=bench.pairs() {
        // Taking turns in who goes first keeps a drift of the machine out of the ratio.
        let (our, their) = if pair % 2 == 0 {
            let our = ours()?;
            (our, theirs()?)
        } else {
            let their = theirs()?;
            (ours()?, their)
        };
        say(&format!("pair {pair} of {}: {our} against {their}", bench.pairs()));
        pairs.ours.push(our);
        pairs.theirs.push(their);
    }
    let errors: u64 = pairs.ours.iter().map(|measured| measured.errors).sum();
    ensure!(errors == 0, "{errors} of our answers were errors");
    Ok(pairs)
}

/// As [`interleaved`], for two servers under their loads.
pub(super) fn of_servers(
    bench: &Bench<'_>,
    (ours, our_load): (&Running, &Load<'_>),
    (theirs, their_load): (&Running, &Load<'_>),
) -> Result<Pairs> {
    interleaved(bench, || our_load.run(&ours.address), || their_load.run(&theirs.address))
}

impl Pairs {
    /// The other side's median of requests per second.
    pub(super) fn their_rate(&self) -> f64 {
        statistics::median(&self.theirs.iter().map(|measured| measured.rate).collect::<Vec<_>>()).median
    }

    /// The ratio of one quantity, ours over theirs.
    pub(super) fn outcome(&self, figure: Figure, mark: Option<Mark>) -> Outcome {
        let ratios: Vec<f64> =
            self.ours.iter().zip(&self.theirs).map(|(ours, theirs)| figure.of(ours) / figure.of(theirs)).collect();
        let ratio = statistics::median(&ratios);
        Outcome::Measured {
            ratio,
            reached: mark.map(|mark| mark.reached(ratio)),
            pairs: ratios.len(),
            ours: medians(&self.ours),
            theirs: medians(&self.theirs),
        }
    }
}

fn medians(measured: &[Measured]) -> BTreeMap<String, Median> {
    let one = |figure: Figure| {
        let values: Vec<f64> = measured.iter().map(|one| figure.of(one)).collect();
        (figure.name().to_owned(), statistics::median(&values))
    };
    [Figure::Rate, Figure::P50, Figure::P99].map(one).into()
}
