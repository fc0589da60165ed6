//! Fast answers on the CPU: the same bits as [the reference](mod@crate::reference), whatever the batch and the machine.
//!
//! Rows become bytes (`codes`); then one of several ways finds each tree's leaf, chosen by the shape of the trees, the number
//! of rows and the machine:
//!
//! | way | for | rows at a time |
//! | --- | --- | --- |
//! | `bits` | trees of up to 64 leaves, with AVX-512 | 1 or 4 |
//! | `turns` | trees of up to 256 leaves, with AVX-512 | 1 or 4 |
//! | `masks` | trees of up to 256 leaves | 64 to 256 |
//! | `walk` | all | 1 or 8 |
//! | `direct` | few trees that compare numbers: rows do not become bytes | 1 or 8 |
//! | `values` | few trees of up to 32 leaves that compare numbers, with AVX-512: nor do they here | 1 or 4 |
//! | [the reference](mod@crate::reference) | linear leaves; the least or the greatest of the trees | 1 |
//!
//! All of them add leaf values in the order of the trees and in the source's precision, so a row's answer does not depend on
//! the rows beside it, nor on the way, nor on the number of threads.

#![expect(
    clippy::inline_always,
    reason = "what runs per value has to be compiled with its caller's vector instructions"
)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod bits;
mod codes;
mod direct;
mod engine;
mod forest;
mod machine;
mod masks;
mod plain;
mod search;
mod tune;
mod turns;
mod value;
mod values;
mod walk;

use std::cell::RefCell;

use engine::{BLOCKS, Engine, rows_of};
pub use engine::{Scratch, Way};
pub use machine::Instructions;
use masks::LANES;
use parking_lot::Mutex;
pub use plain::{Child, Plain, PlainCode, PlainSplit, PlainTest, PlainTree, Question};
pub use tune::{Choice, Plan, REVISION};
pub use value::Value;

use crate::{Ensemble, Error, Result, ensemble::Precision};

thread_local! {
    /// For the pieces that a thread of the pool takes, and for [`Predictor::margins_here`].
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// An ensemble made ready to answer. Shared by all threads; a call takes no lock and, with a [`Scratch`] that has been used
/// for as many rows before, allocates nothing.
pub struct Predictor {
    ensemble: Ensemble,
    engine: Laid,
    choice: Choice,
}

enum Laid {
    F32(Engine<f32>),
    F64(Engine<f64>),
    /// What only the reference answers.
    Plain,
}

impl Predictor {
    /// Lays out an ensemble and measures which way is the fastest on this machine.
    ///
    /// # Errors
    /// As [`Ensemble::check`].
    pub fn new(ensemble: Ensemble) -> Result<Self> {
        let mut predictor = Self::untuned(ensemble)?;
        let choice = Choice::measured(&predictor);
        predictor.choose(choice);
        Ok(predictor)
    }

    /// Lays out an ensemble for all ways.
    ///
    /// # Errors
    /// As [`Ensemble::check`].
    pub fn untuned(ensemble: Ensemble) -> Result<Self> {
        Self::untuned_with(ensemble, Instructions::best())
    }

    /// Lays out an ensemble for all ways, to be gone with these instructions; those that the machine lacks are not used.
    ///
    /// # Errors
    /// As [`Ensemble::check`].
    pub fn untuned_with(ensemble: Ensemble, instructions: Instructions) -> Result<Self> {
        ensemble.check()?;
        let engine = match ensemble.rules.sum {
            Precision::F32 => Engine::new(&ensemble, instructions).map(Laid::F32),
            Precision::F64 => Engine::new(&ensemble, instructions).map(Laid::F64),
        };
        Ok(Self { engine: engine.unwrap_or(Laid::Plain), ensemble, choice: Choice::default() })
    }

    /// Answers by `choice` from now on, and gives back the memory of the ways that it does not name.
    pub fn choose(&mut self, choice: Choice) {
        let ways: Vec<Way> = choice.plans.iter().map(|plan| plan.way).collect();
        match &mut self.engine {
            Laid::F32(engine) => engine.keep(&ways),
            Laid::F64(engine) => engine.keep(&ways),
            Laid::Plain => {}
        }
        self.choice = choice;
    }

    /// What it answers by.
    #[must_use]
    pub const fn choice(&self) -> &Choice {
        &self.choice
    }

    /// The ensemble.
    #[must_use]
    pub const fn ensemble(&self) -> &Ensemble {
        &self.ensemble
    }

    /// The ways that this model can go on this machine.
    #[must_use]
    pub fn ways(&self) -> Vec<Way> {
        match &self.engine {
            Laid::F32(engine) => engine.ways(),
            Laid::F64(engine) => engine.ways(),
            Laid::Plain => vec![Way::Reference],
        }
    }

    /// Margins of `rows` (row-major features, as wide as [`Ensemble::features`]), row-major into `out`
    /// ([`Output::width`](crate::ensemble::Output::width) a row), the way that was the fastest for their number. Large batches
    /// are spread over rayon's pool where that was faster.
    ///
    /// # Errors
    /// [`Error::Content`] when `rows` or `out` are not whole rows, or not of the same number.
    pub fn margins<T: Value>(&self, rows: &[T], scratch: &mut Scratch, out: &mut [f64]) -> Result<()> {
        match self.choice.plan(rows_of(out.len(), self.ensemble.output.width)) {
            Some(Plan { rows: _, way, parallel: true, nanos_a_row: _ }) => self.in_parallel(*way, rows, scratch, out),
            Some(Plan { rows: _, way, parallel: false, nanos_a_row: _ }) => self.margins_by(*way, rows, scratch, out),
            None => self.margins_by(Way::Walk, rows, scratch, out),
        }
    }

    /// As [`Predictor::margins`], a way of one's own choice, on this thread alone; instead of one that this model cannot go, it
    /// walks.
    ///
    /// # Errors
    /// As [`Predictor::margins`].
    pub fn margins_by<T: Value>(&self, way: Way, rows: &[T], scratch: &mut Scratch, out: &mut [f64]) -> Result<()> {
        self.check_rows(rows, out)?;
        self.answer(way, rows, scratch, out);
        Ok(())
    }

    /// As [`Predictor::margins_by`], on the threads of rayon's current pool.
    ///
    /// # Errors
    /// As [`Predictor::margins`].
    pub fn margins_in_parallel<T: Value>(&self, way: Way, rows: &[T], out: &mut [f64]) -> Result<()> {
        // Taken and not borrowed: a thread of the pool may be handed a piece while it waits for its own.
        let mut scratch = SCRATCH.take();
        let answered = self.in_parallel(way, rows, &mut scratch, out);
        SCRATCH.set(scratch);
        answered
    }

    /// On this thread with `scratch`, and on others with their own.
    fn in_parallel<T: Value>(&self, way: Way, rows: &[T], scratch: &mut Scratch, out: &mut [f64]) -> Result<()> {
        self.check_rows(rows, out)?;
        let (features, width) = (self.ensemble.features.len(), self.ensemble.output.width);
        if features == 0 {
            self.answer(way, rows, scratch, out);
            return Ok(());
        }
        // This thread works too, and whoever is free takes the next piece: a thread of the pool that is still waking up, or that
        // has other work, gets fewer. Pieces are whole blocks. The lock is this call's own.
        let threads = rayon::current_num_threads();
        let count = out.len() / width;
        let most = BLOCKS * LANES;
        let piece = count.div_ceil(threads * 8).next_multiple_of(most);
        // Few rows: an equal part for each thread.
        let piece = piece.min(count.div_ceil(threads).next_multiple_of(LANES)).max(LANES);
        let pieces = Mutex::new(rows.chunks(piece * features).zip(out.chunks_mut(piece * width)));
        let work = |scratch: &mut Scratch| {
            loop {
                let piece = pieces.lock().next();
                let Some((rows, out)) = piece else { break };
                self.answer(way, rows, scratch, out);
            }
        };
        rayon::in_place_scope(|scope| {
            for _ in 1..threads.min(count.div_ceil(piece)) {
                scope.spawn(|_scope| {
                    let mut scratch = SCRATCH.take();
                    work(&mut scratch);
                    SCRATCH.set(scratch);
                });
            }
            work(scratch);
        });
        Ok(())
    }

    /// As [`Predictor::margins`], with memory that this thread keeps for all models.
    ///
    /// # Errors
    /// As [`Predictor::margins`].
    pub fn margins_here<T: Value>(&self, rows: &[T], out: &mut [f64]) -> Result<()> {
        // As in `margins_in_parallel`.
        let mut scratch = SCRATCH.take();
        let answered = self.margins(rows, &mut scratch, out);
        SCRATCH.set(scratch);
        answered
    }

    /// Bytes that the laid out trees take, beside the ensemble itself.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.engine {
            Laid::F32(engine) => engine.bytes(),
            Laid::F64(engine) => engine.bytes(),
            Laid::Plain => 0,
        }
    }

    fn check_rows<T>(&self, rows: &[T], out: &[f64]) -> Result<()> {
        let (features, width) = (self.ensemble.features.len(), self.ensemble.output.width);
        let count = rows_of(out.len(), width);
        if out.len() == count * width && rows.len() == count * features {
            return Ok(());
        }
        let expected = format!("rows of {features} features and {width} margins each");
        Err(Error::content(expected, format!("{} features and {} margins", rows.len(), out.len())))
    }

    fn answer<T: Value>(&self, way: Way, rows: &[T], scratch: &mut Scratch, out: &mut [f64]) {
        match &self.engine {
            Laid::F32(engine) => engine.margins(way, rows, scratch, out),
            Laid::F64(engine) => engine.margins(way, rows, scratch, out),
            Laid::Plain => {
                let (features, width) = (self.ensemble.features.len(), self.ensemble.output.width);
                for (row, out) in out.chunks_exact_mut(width).enumerate() {
                    let row = &rows[row * features..][..features];
                    let row: Vec<f64> = row.iter().map(|value| value.wide(self.ensemble.rules)).collect();
                    out.copy_from_slice(&self.ensemble.margins(&row));
                }
            }
        }
    }

    /// `count` rows of columns whose values lie on the trees' own thresholds, each as likely as the others; the same rows each time.
    #[must_use]
    pub fn sample(&self, count: usize) -> Vec<f32> {
        let columns = self.ensemble.columns.len();
        let features = self.ensemble.features.len();
        let drawn = tune::draw(self, count);
        let mut rows = vec![0.0; count * columns];
        for row in 0..count {
            for (place, feature) in
                self.ensemble.features.iter().enumerate().filter(|(_, feature)| feature.steps.is_empty())
            {
                rows[row * columns + feature.column as usize] = drawn[row * features + place];
            }
        }
        rows
    }

    fn thresholds(&self) -> Vec<(usize, Vec<f64>)> {
        match &self.engine {
            Laid::F32(engine) => engine.thresholds(),
            Laid::F64(engine) => engine.thresholds(),
            Laid::Plain => Vec::new(),
        }
    }
}
