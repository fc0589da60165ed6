//! The same calls of our own library.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use trees::predict::{Predictor, Scratch};

use crate::script::numbers;

/// Parts of the table that calls go over, at most.
const PARTS: usize = 2000;

/// Shorter calls are timed [`TOGETHER`].
const SHORT: Duration = Duration::from_micros(20);
const TOGETHER: u32 = 32;

/// A model and its rows.
pub(super) struct Ours {
    predictor: Predictor,
    rows: Vec<f32>,
    features: usize,
    scratch: Scratch,
    out: Vec<f64>,
}

impl Ours {
    /// Reads what the peers' script wrote, checks that every row gives the bits that LightGBM gives, and carries the model over to
    /// XGBoost.
    pub(super) fn open(folder: &Path, model: &str) -> Result<Self> {
        let bytes = fs_err::read(folder.join(format!("{model}.lgb.txt")))?;
        let predictor = Predictor::new(trees::import::read(&bytes)?)?;
        let carried = trees::export::xgboost::write_json(predictor.ensemble())?;
        fs_err::write(folder.join(format!("{model}.xgb.json")), carried)?;
        let features = predictor.ensemble().features.len();
        let rows = numbers::<4>(&fs_err::read(folder.join(format!("{model}.rows.npy")))?)?;
        let rows: Vec<f32> = rows.into_iter().map(f32::from_le_bytes).collect();
        let expected = numbers::<8>(&fs_err::read(folder.join(format!("{model}.lgb.npy")))?)?;
        let count = rows.len() / features;
        let mut ours = Self { predictor, rows, features, scratch: Scratch::default(), out: vec![0.0; count] };
        ours.run(0, count)?;
        let same = ours.out.iter().zip(&expected).all(|(got, expected)| got.to_le_bytes() == *expected);
        ensure!(same && expected.len() == count, "{model}: our answers are not LightGBM's to the last bit");
        Ok(ours)
    }

    /// What it answers by.
    pub(super) fn choice(&self) -> &trees::predict::Choice {
        self.predictor.choice()
    }

    /// The median seconds of a call on `batch` rows, over `limit`; each call is of other rows, as in the peers' script. The clock is
    /// read once for several short calls: reading it takes as long as some of them.
    pub(super) fn time(&mut self, batch: usize, limit: Duration) -> Result<f64> {
        let parts = (self.rows.len() / self.features / batch).clamp(1, PARTS);
        let began = Instant::now();
        self.run(0, batch)?;
        let calls = if began.elapsed() < SHORT { TOGETHER } else { 1 };
        let (began, mut times, mut part) = (Instant::now(), Vec::new(), 0);
        while began.elapsed() < limit || times.len() < 3 {
            let start = Instant::now();
            for _ in 0..calls {
                part = (part + 1) % parts;
                self.run(part * batch, batch)?;
            }
            times.push(start.elapsed().as_secs_f64() / f64::from(calls));
        }
        times.sort_by(f64::total_cmp);
        Ok(times[times.len() / 2])
    }

    /// Answers row number `row`, with the calling thread's own memory.
    pub(super) fn one(&self, row: usize) -> Result<f64> {
        let mut out = [0.0];
        let at = row * self.features % self.rows.len();
        self.predictor.margins_here(&self.rows[at..at + self.features], &mut out)?;
        Ok(out[0])
    }

    fn run(&mut self, first: usize, batch: usize) -> Result<()> {
        // A batch may be larger than the table: then its rows come again, as in the peers' script.
        while self.rows.len() < batch * self.features {
            self.rows.extend_from_within(..);
        }
        self.out.resize(self.out.len().max(batch), 0.0);
        let rows = &self.rows[first * self.features..(first + batch) * self.features];
        self.predictor.margins(rows, &mut self.scratch, &mut self.out[..batch])?;
        Ok(())
    }
}
