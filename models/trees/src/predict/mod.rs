//! Fast answers on the CPU: the same bits as [`reference`](crate::reference), whatever the batch and the machine.
//!
//! Rows become bytes ([`codes`]); then one of several ways finds each tree's leaf, chosen by the shape of the trees, the number
//! of rows and the machine:
//!
//! | way | for | rows at a time |
//! | --- | --- | --- |
//! | [`bits`] | trees of up to 64 leaves, with AVX-512 | 1 or 4 |
//! | [`masks`] | trees of up to 256 leaves | 64 |
//! | [`walk`] | all | 1 or 8 |
//! | [`reference`](crate::reference) | linear leaves; the least or the greatest of the trees | 1 |
//!
//! All of them add leaf values in the order of the trees and in the source's precision, so a row's answer does not depend on
//! the rows beside it, nor on the way, nor on the number of threads.

#![expect(
    clippy::inline_always,
    reason = "what runs per value has to be compiled with its caller's vector instructions"
)]

#[cfg(target_arch = "x86_64")]
mod avx512;
mod bits;
mod codes;
mod engine;
mod forest;
mod masks;
mod search;
mod walk;

pub use codes::Value;
use engine::Engine;
pub use engine::{Scratch, Way};

use crate::{Ensemble, Error, Result, ensemble::Precision};

/// An ensemble made ready to answer. Shared by all threads; a call takes no lock and, with a [`Scratch`] that has been used
/// before, allocates nothing.
pub struct Predictor {
    ensemble: Ensemble,
    engine: Laid,
}

enum Laid {
    F32(Engine<f32>),
    F64(Engine<f64>),
    /// What only the reference answers.
    Plain,
}

impl Predictor {
    /// Lays out an ensemble.
    ///
    /// # Errors
    /// As [`Ensemble::check`].
    pub fn new(ensemble: Ensemble) -> Result<Self> {
        ensemble.check()?;
        let engine = match ensemble.rules.sum {
            Precision::F32 => Engine::new(&ensemble).map(Laid::F32),
            Precision::F64 => Engine::new(&ensemble).map(Laid::F64),
        };
        Ok(Self { engine: engine.unwrap_or(Laid::Plain), ensemble })
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
    /// ([`Output::width`](crate::ensemble::Output::width) a row), the way that suits their number.
    ///
    /// # Errors
    /// [`Error::Content`] when `rows` or `out` are not whole rows, or not of the same number.
    pub fn margins<T: Value>(&self, rows: &[T], scratch: &mut Scratch, out: &mut [f64]) -> Result<()> {
        self.margins_by(None, rows, scratch, out)
    }

    /// As [`Predictor::margins`], a way of one's own choice; one that this model cannot go is passed over.
    ///
    /// # Errors
    /// As [`Predictor::margins`].
    pub fn margins_by<T: Value>(
        &self,
        way: Option<Way>,
        rows: &[T],
        scratch: &mut Scratch,
        out: &mut [f64],
    ) -> Result<()> {
        let (features, width) = (self.ensemble.features.len(), self.ensemble.output.width);
        let count = out.len() / width;
        if out.len() != count * width || rows.len() != count * features {
            let expected = format!("rows of {features} features and {width} margins each");
            return Err(Error::content(expected, format!("{} features and {} margins", rows.len(), out.len())));
        }
        match &self.engine {
            Laid::F32(engine) => engine.margins(way, rows, scratch, out),
            Laid::F64(engine) => engine.margins(way, rows, scratch, out),
            Laid::Plain => {
                for (row, out) in out.chunks_exact_mut(width).enumerate() {
                    let row: Vec<f64> = rows[row * features..][..features]
                        .iter()
                        .map(|value| value.wide(self.ensemble.rules))
                        .collect();
                    out.copy_from_slice(&self.ensemble.margins(&row));
                }
            }
        }
        Ok(())
    }
}
