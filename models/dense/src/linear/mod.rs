//! Layers of `inputs × units` weights, laid out once in the order that they are read in.
//!
//! A unit adds its products in the order of the inputs, one fused multiply-add each, from its bias on; units of a layer that has
//! only a few add 16 sums of every sixteenth product, and then those. Neither depends on the rows beside a row, so a row has the
//! same bits in every batch.

mod kernel;

use crate::{
    error::{Result, expect_len, expect_some},
    simd::{LANES, Line, Machine},
    team::Help,
};

use kernel::{Dots, Out, Panels};
pub(crate) use kernel::{Finish, Rows, RowsMut};

/// Up to so many units, lanes hold inputs and not units: vectors of units would be almost empty.
const FEW_UNITS: usize = 4;

/// Rows below which a layer takes as long for fewer: it waits for its weights.
pub(crate) const LEAST_ROWS: usize = 4;
/// Multiplications of a layer that are worth a word between threads: some microseconds.
const HELPED_FROM: usize = 1 << 17;

/// A layer as its parameters come: `[inputs, units]` weights, the units of an input side by side.
#[derive(Clone, Copy, Debug)]
pub struct Linear<'a> {
    /// Values that come in.
    pub inputs: usize,
    /// Values that go out.
    pub units: usize,
    /// `[inputs, units]`.
    pub weight: &'a [f32],
    /// `[units]`, or none at all.
    pub bias: &'a [f32],
}

impl Linear<'_> {
    /// That there are as many parameters as the sizes say.
    pub(crate) fn check(&self, what: &str) -> Result<()> {
        let Self { inputs, units, weight, bias } = *self;
        expect_some(&format!("{what} inputs"), inputs)?;
        expect_some(&format!("{what} units"), units)?;
        expect_len(&format!("{what} weights"), &[inputs, units], weight.len())?;
        if bias.is_empty() { Ok(()) } else { expect_len(&format!("{what} biases"), &[units], bias.len()) }
    }
}

/// A layer that is laid out.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) inputs: usize,
    pub(crate) units: usize,
    weights: Vec<Line>,
    /// With zeros up to whole panels.
    bias: Vec<Line>,
    few: bool,
    machine: Machine,
}

impl Layer {
    /// Lays out a layer that was checked, for the machine.
    pub(crate) fn new(linear: &Linear<'_>, machine: Machine) -> Self {
        let abreast = machine.abreast();
        let Linear { inputs, units, weight, bias } = *linear;
        let few = units <= FEW_UNITS;
        let mut lines = Vec::new();
        if few {
            for unit in 0..units {
                for first in (0..inputs).step_by(LANES) {
                    let mut line = Line::ZERO;
                    for (lane, input) in line.0.iter_mut().zip(first..inputs) {
                        *lane = weight[input * units + unit];
                    }
                    lines.push(line);
                }
            }
        } else {
            for first in (0..units).step_by(abreast * LANES) {
                let width = abreast.min((units - first).div_ceil(LANES));
                for row in weight.chunks_exact(units) {
                    lines.extend((0..width).map(|vector| line(row, first + vector * LANES)));
                }
            }
        }
        let panels = units.div_ceil(abreast * LANES);
        let bias = (0..panels * abreast).map(|vector| line(bias, vector * LANES)).collect();
        Self { inputs, units, weights: lines, bias, few, machine }
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        (self.weights.len() + self.bias.len()) * size_of::<Line>()
    }

    /// Multiplications a row.
    pub(crate) const fn products(&self) -> usize {
        self.inputs * self.units
    }

    /// Answers `count` rows, with those who help where that is worth it.
    pub(crate) fn forward(
        &self,
        count: usize,
        rows: Rows<'_>,
        out: RowsMut<'_>,
        finish: Finish,
        help: &mut Option<Help<'_>>,
    ) {
        if self.few {
            return self.machine.call(Dots { layer: self, count, rows, out, finish });
        }
        let panels = self.units.div_ceil(self.machine.abreast() * LANES);
        let out = Out::new(out);
        let part = |panels| self.machine.call(Panels { layer: self, count, rows, out, finish, panels });
        // One row has its sums over two panels at least, so that the adders are busy.
        let each = if count == 1 { 2 } else { 1 };
        match help {
            Some(help) if self.products() * count.max(LEAST_ROWS) >= HELPED_FROM => {
                help.share(panels.div_ceil(each), &|at| part(at * each..((at + 1) * each).min(panels)));
            }
            Some(_) | None => part(0..panels),
        }
    }
}

/// The values from `first` on, and zeros behind the last.
fn line(values: &[f32], first: usize) -> Line {
    let mut line = Line::ZERO;
    line.0.iter_mut().zip(values.get(first..).unwrap_or_default()).for_each(|(lane, value)| *lane = *value);
    line
}
