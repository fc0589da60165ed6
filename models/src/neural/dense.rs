//! The perceptron on the CPU: dense layers with bias and `ReLU` fused, in plain Rust that the compiler turns into the vector
//! instructions of the machine it runs on (AVX2 and FMA, NEON, or none; chosen at run time by `pulp`).
//!
//! Every unit of a row adds its products in the order of the inputs, one fused multiply-add each, whatever the batch: a row's
//! scores are the same bits alone and among others. Nothing is allocated but what the scratch buffer lacks.

#![expect(clippy::inline_always, reason = "only what is inlined into a function gets that function's instructions")]

use contract::{AlignedBuffer, Direct, RowBlock, RunError};
use pulp::{Arch, Simd, WithSimd};

use super::mlp::MlpShape;

/// Units whose sums are kept in registers at once.
const UNITS: usize = 16;
/// Rows that share a weight once it is loaded.
const ROWS: usize = 4;
/// Layers of so few units are computed as dot products, with lanes over the inputs.
const FEW_UNITS: usize = 2;
/// Lanes of a dot product.
const LANES: usize = 16;

/// A perceptron in the form that the CPU reads best.
#[derive(Clone, Debug)]
pub(crate) struct DenseNet {
    inputs: usize,
    outputs: usize,
    /// Values of the widest layer's output for one row.
    widest: usize,
    layers: Vec<DenseLayer>,
    arch: Arch,
}

#[derive(Clone, Debug)]
struct DenseLayer {
    inputs: usize,
    units: usize,
    weights: Weights,
    /// One a unit, and zeros up to whole blocks of units.
    bias: AlignedBuffer,
    rectified: bool,
}

#[derive(Clone, Debug)]
enum Weights {
    /// `[units / UNITS, inputs, UNITS]`: what a block of units needs stands in the order it is needed.
    Blocks(AlignedBuffer),
    /// `[units, inputs]`, each row filled up with zeros to whole lanes.
    Dots(AlignedBuffer),
}

impl DenseNet {
    /// The net of `shape` with `parameters` in the order of [`MlpShape::layers`].
    pub(crate) fn new(shape: &MlpShape, parameters: &[f32]) -> Self {
        let layers = shape.layers();
        let last = layers.len().saturating_sub(1);
        let dense: Vec<DenseLayer> = layers
            .iter()
            .enumerate()
            .map(|(index, layer)| {
                let weight = &parameters[layer.weight.clone()];
                let units = layer.outputs;
                let few = units <= FEW_UNITS;
                let mut bias = AlignedBuffer::from_slice(&parameters[layer.bias.clone()]);
                bias.resize(units.next_multiple_of(UNITS) * size_of::<f32>());
                DenseLayer {
                    inputs: layer.inputs,
                    units,
                    weights: if few { dots(weight, units) } else { blocks(weight, units) },
                    bias,
                    rectified: index < last,
                }
            })
            .collect();
        let widest = dense.iter().map(DenseLayer::width).max().unwrap_or(0);
        Self { inputs: shape.inputs, outputs: shape.outputs, widest, layers: dense, arch: Arch::new() }
    }

    /// Values per row.
    pub(crate) const fn inputs(&self) -> usize {
        self.inputs
    }

    /// Writes the scores of `rows`, whose values are f32, to `out`.
    pub(crate) fn run(&self, rows: &RowBlock, scratch: &mut AlignedBuffer, out: &mut RowBlock) -> Result<(), RunError> {
        let (expected, got) = (self.inputs * size_of::<f32>(), rows.row_bytes());
        if got != expected {
            let reason = format!("expected rows of {expected} bytes, got {got}");
            return Err(RunError::Failed { reason });
        }
        out.reset(self.outputs * size_of::<f32>());
        self.forward(rows.data().as_slice(), scratch, out.data_mut());
        Ok(())
    }

    /// Bytes of weights and biases.
    pub(crate) fn bytes(&self) -> usize {
        let layer = |layer: &DenseLayer| match &layer.weights {
            Weights::Blocks(weights) | Weights::Dots(weights) => weights.len() + layer.bias.len(),
        };
        self.layers.iter().map(layer).sum()
    }

    /// Appends the scores of `rows`, row-major, to `scores`. `scratch` is overwritten.
    fn forward(&self, rows: &[f32], scratch: &mut AlignedBuffer, scores: &mut AlignedBuffer) {
        self.arch.dispatch(Forward { net: self, rows, scratch, scores });
    }
}

impl Direct for DenseNet {
    fn run(&self, rows: &RowBlock, scratch: &mut AlignedBuffer, out: &mut RowBlock) -> Result<(), RunError> {
        self.run(rows, scratch, out)
    }
}

/// The whole forward pass, which must be inlined into the function that has the machine's instructions.
struct Forward<'a> {
    net: &'a DenseNet,
    rows: &'a [f32],
    scratch: &'a mut AlignedBuffer,
    scores: &'a mut AlignedBuffer,
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        // Without vectors there may be no fused multiply-add, and then the library's takes a hundred times as long.
        if size_of::<S::f32s>() > size_of::<f32>() { self.run::<true>() } else { self.run::<false>() }
    }
}

impl Forward<'_> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Self { net, rows, scratch, scores } = self;
        let Some((first, rest)) = net.layers.split_first() else { return };
        let half = ROWS * net.widest;
        scratch.resize(2 * half * size_of::<f32>());
        let (mut here, mut there) = scratch.as_mut_slice::<f32>().split_at_mut(half);
        for rows in rows.chunks(ROWS * net.inputs) {
            let count = rows.len() / net.inputs;
            first.forward::<FUSED>(rows, net.inputs, count, here);
            let mut width = first.width();
            for layer in rest {
                layer.forward::<FUSED>(here, width, count, there);
                std::mem::swap(&mut here, &mut there);
                width = layer.width();
            }
            for row in here.chunks(width).take(count) {
                scores.extend_from_slice(&row[..net.outputs]);
            }
        }
    }
}

impl DenseLayer {
    /// Values from the start of a row of output to the next one's.
    fn width(&self) -> usize {
        self.units.next_multiple_of(UNITS)
    }

    /// Writes `count` rows of [`DenseLayer::width`] values; those beyond the units are not to be read.
    #[inline(always)]
    fn forward<const FUSED: bool>(&self, values: &[f32], stride: usize, count: usize, out: &mut [f32]) {
        let width = self.width();
        let bias = self.bias.as_slice::<f32>();
        match &self.weights {
            Weights::Dots(weights) => {
                let weights = weights.as_slice::<f32>();
                for (row, out) in values.chunks(stride).zip(out.chunks_mut(width)).take(count) {
                    let unit = weights.chunks_exact(self.inputs.next_multiple_of(LANES));
                    for ((out, weights), bias) in out.iter_mut().zip(unit).zip(bias) {
                        *out = rectified(dot::<FUSED>(&row[..self.inputs], weights) + bias, self.rectified);
                    }
                }
            }
            Weights::Blocks(weights) => {
                let blocks = weights.as_slice::<f32>().chunks_exact(self.inputs * UNITS);
                for ((block, weights), bias) in blocks.enumerate().zip(bias.chunks_exact(UNITS)) {
                    let place = block * UNITS;
                    let mut give = |row: usize, sums: [f32; UNITS]| {
                        let sums = sums.map(|sum| rectified(sum, self.rectified));
                        out[row * width + place..][..UNITS].copy_from_slice(&sums);
                    };
                    if count == ROWS {
                        let sums = four_rows::<FUSED>(four(values, stride, self.inputs), weights, bias);
                        sums.into_iter().enumerate().for_each(|(row, sums)| give(row, sums));
                    } else {
                        for (row, values) in values.chunks(stride).take(count).enumerate() {
                            give(row, one_row::<FUSED>(&values[..self.inputs], weights, bias));
                        }
                    }
                }
            }
        }
    }
}

/// The sums of one block of units.
#[inline(always)]
fn one_row<const FUSED: bool>(row: &[f32], weights: &[f32], bias: &[f32]) -> [f32; UNITS] {
    let mut sums = first(bias);
    for (value, weights) in row.iter().zip(weights.as_chunks::<UNITS>().0) {
        add::<FUSED>(&mut sums, *value, weights);
    }
    sums
}

/// As [`one_row`] for four rows, whose values are multiplied with a weight while it is in a register.
#[inline(always)]
fn four_rows<const FUSED: bool>(rows: [&[f32]; ROWS], weights: &[f32], bias: &[f32]) -> [[f32; UNITS]; ROWS] {
    let [mut a, mut b, mut c, mut d] = [first(bias); ROWS];
    let [rows_a, rows_b, rows_c, rows_d] = rows;
    let values = rows_a.iter().zip(rows_b).zip(rows_c).zip(rows_d);
    for ((((value_a, value_b), value_c), value_d), weights) in values.zip(weights.as_chunks::<UNITS>().0) {
        add::<FUSED>(&mut a, *value_a, weights);
        add::<FUSED>(&mut b, *value_b, weights);
        add::<FUSED>(&mut c, *value_c, weights);
        add::<FUSED>(&mut d, *value_d, weights);
    }
    [a, b, c, d]
}

#[inline(always)]
fn first(bias: &[f32]) -> [f32; UNITS] {
    bias.first_chunk().copied().unwrap_or([0.0; UNITS])
}

#[inline(always)]
fn add<const FUSED: bool>(sums: &mut [f32; UNITS], value: f32, weights: &[f32; UNITS]) {
    for (sum, weight) in sums.iter_mut().zip(weights) {
        *sum = multiply_add::<FUSED>(value, *weight, *sum);
    }
}

/// The first four rows, cut to `inputs` values; empty ones where there are fewer.
#[inline(always)]
fn four(values: &[f32], stride: usize, inputs: usize) -> [&[f32]; ROWS] {
    std::array::from_fn(|row| values.get(row * stride..row * stride + inputs).unwrap_or_default())
}

#[inline(always)]
fn dot<const FUSED: bool>(row: &[f32], weights: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (whole, rest) = row.as_chunks::<LANES>();
    let (weights, _) = weights.as_chunks::<LANES>();
    for (values, weights) in whole.iter().zip(weights) {
        for ((lane, value), weight) in lanes.iter_mut().zip(values).zip(weights) {
            *lane = multiply_add::<FUSED>(*value, *weight, *lane);
        }
    }
    if let Some(weights) = weights.get(whole.len()) {
        for ((lane, value), weight) in lanes.iter_mut().zip(rest).zip(weights) {
            *lane = multiply_add::<FUSED>(*value, *weight, *lane);
        }
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}

#[inline(always)]
fn multiply_add<const FUSED: bool>(value: f32, weight: f32, sum: f32) -> f32 {
    if FUSED { value.mul_add(weight, sum) } else { value * weight + sum }
}

/// What is not a number stays so.
#[inline(always)]
fn rectified(value: f32, on: bool) -> f32 {
    if on && value < 0.0 { 0.0 } else { value }
}

/// From `[inputs, units]`.
fn blocks(weight: &[f32], units: usize) -> Weights {
    let mut blocks =
        AlignedBuffer::with_capacity(weight.len() / units * units.next_multiple_of(UNITS) * size_of::<f32>());
    for first in (0..units).step_by(UNITS) {
        for row in weight.chunks_exact(units) {
            let part = &row[first..units.min(first + UNITS)];
            blocks.extend_from_slice(part);
            blocks.resize(blocks.len() + (UNITS - part.len()) * size_of::<f32>());
        }
    }
    Weights::Blocks(blocks)
}

/// From `[inputs, units]`.
fn dots(weight: &[f32], units: usize) -> Weights {
    let mut dots = AlignedBuffer::new();
    let inputs = weight.len() / units;
    for unit in 0..units {
        for row in weight.chunks_exact(units) {
            dots.push(row[unit]);
        }
        dots.resize(dots.len() + (inputs.next_multiple_of(LANES) - inputs) * size_of::<f32>());
    }
    Weights::Dots(dots)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::neural::nets::{Mode, Net, NetShape, Plan, matrix, vector};

    fn values(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|index| ((index * 7919 + seed * 104_729) % 2003) as f32 / 1001.5 - 1.0).collect()
    }

    /// The same function in f64, without any of the above.
    fn by_hand(shape: &MlpShape, parameters: &[f32], row: &[f32]) -> Vec<f64> {
        let layers = shape.layers();
        let mut values: Vec<f64> = row.iter().map(|value| f64::from(*value)).collect();
        for (index, layer) in layers.iter().enumerate() {
            let unit = |unit: usize| {
                let weight = |input: usize| f64::from(parameters[layer.weight.start + input * layer.outputs + unit]);
                let sum: f64 = values.iter().enumerate().map(|(input, value)| value * weight(input)).sum();
                let value = sum + f64::from(parameters[layer.bias.start + unit]);
                if index + 1 == layers.len() { value } else { value.max(0.0) }
            };
            values = (0..layer.outputs).map(unit).collect();
        }
        values
    }

    fn run(net: &DenseNet, rows: &[f32]) -> Vec<f32> {
        let (mut scratch, mut scores) = (AlignedBuffer::new(), AlignedBuffer::new());
        net.forward(rows, &mut scratch, &mut scores);
        scores.as_slice::<f32>().to_vec()
    }

    proptest! {
        #[test]
        fn is_the_function_by_hand_whatever_the_batch(
            inputs in 1_usize..40,
            hidden in proptest::collection::vec(1_usize..70, 0..3),
            outputs in 1_usize..20,
            count in 1_usize..11,
        ) {
            let shape = MlpShape { inputs, hidden, outputs };
            let parameters = values(shape.parameters(), 1);
            let rows = values(count * inputs, 2);
            let net = DenseNet::new(&shape, &parameters);
            let scores = run(&net, &rows);
            prop_assert_eq!(scores.len(), count * outputs);
            for (row, scores) in rows.chunks(inputs).zip(scores.chunks(outputs)) {
                for (score, expected) in scores.iter().zip(by_hand(&shape, &parameters, row)) {
                    let difference = (f64::from(*score) - expected).abs();
                    prop_assert!(difference <= 1e-4 * expected.abs().max(1.0), "{score} beside {expected}");
                }
                let alone: Vec<u32> = run(&net, row).iter().map(|score| score.to_bits()).collect();
                let among: Vec<u32> = scores.iter().map(|score| score.to_bits()).collect();
                prop_assert_eq!(alone, among);
            }
        }
    }

    #[test]
    fn what_is_no_number_stays_so() {
        let shape = MlpShape { inputs: 2, hidden: vec![3], outputs: 1 };
        let net = DenseNet::new(&shape, &values(shape.parameters(), 3));
        assert!(run(&net, &[f32::NAN, 1.0])[0].is_nan());
        assert_eq!(net.inputs(), 2);
    }

    /// `cargo test --release -p models --no-default-features dense_times -- --ignored --nocapture`
    #[test]
    #[ignore = "tells times"]
    fn dense_times() {
        for sizes in [vec![30, 64, 1], vec![11, 128, 128, 1], vec![8, 512, 512, 512, 1], vec![30, 2048, 2048, 1]] {
            let shape = MlpShape { inputs: sizes[0], hidden: sizes[1..sizes.len() - 1].to_vec(), outputs: 1 };
            let net = DenseNet::new(&shape, &values(shape.parameters(), 1));
            let device = burn::tensor::Device::flex();
            let plan = Arc::new(Plan::new(NetShape::mlp(&shape), &device));
            let flex = Net::new(&plan, &vector(values(shape.parameters(), 1), &device));
            for count in [1, 4, 64, 512] {
                let rows = values(count * sizes[0], 2);
                let (mut scratch, mut scores) = (AlignedBuffer::new(), AlignedBuffer::new());
                // The quickest of many: what others do on the machine is not in it.
                let times = (40_000_000 / (shape.parameters() * count)).max(5);
                let quickest = |run: &mut dyn FnMut()| {
                    let one = |_| {
                        let started = std::time::Instant::now();
                        run();
                        started.elapsed()
                    };
                    (0..times).map(one).min().unwrap()
                };
                let ours = quickest(&mut || {
                    scores.clear();
                    net.forward(std::hint::black_box(&rows), &mut scratch, &mut scores);
                });
                let theirs = quickest(&mut || {
                    let rows = matrix(rows.clone(), sizes[0], &device);
                    std::hint::black_box(flex.forward(rows, Mode::Serve).scores.into_data());
                });
                eprintln!("{sizes:?} x {count}: {ours:?}, flex {theirs:?}");
            }
        }
    }
}
