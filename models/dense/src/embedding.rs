//! What numbers become before a net's first layer (Gorishniy, Rubachev and Babenko 2022, and their package
//! `rtdl_num_embeddings`).

#![expect(clippy::inline_always, reason = "only what is inlined into a function gets that function's instructions")]

use crate::{
    error::{Error, Result, expect_len, expect_some},
    linear::{Finish, Layer, Linear, Rows, RowsMut},
    math::cos_sin_turns,
    simd::{LANES, Machine, Simd, Work},
    team::Help,
};

/// Embeddings of the first columns of a row. The others pass through behind them: the net takes `features × width + others` values.
#[derive(Clone, Debug)]
pub struct Embedding<'a> {
    /// Columns behind the numbers that are no numbers, such as one-hot codes.
    pub others: usize,
    /// How numbers are embedded.
    pub numbers: Numbers<'a>,
}

/// Ways to embed numbers.
#[derive(Clone, Debug)]
pub enum Numbers<'a> {
    /// By waves.
    Periodic(Periodic<'a>),
    /// By pieces.
    PiecewiseLinear(Vec<PiecewiseLinear<'a>>),
}

/// `ReLU(Linear([cos(2π c_j x), sin(2π c_j x)]))` of each number.
#[derive(Clone, Copy, Debug)]
pub struct Periodic<'a> {
    /// Numbers.
    pub features: usize,
    /// Waves of each.
    pub waves: usize,
    /// `c`: `[features, waves]`.
    pub frequencies: &'a [f32],
    /// Values that a number becomes.
    pub width: usize,
    /// Whether all numbers share one layer.
    pub shared: bool,
    /// `[features, 2 · waves, width]`, or `[2 · waves, width]` where it is shared; cosines come before sines.
    pub weight: &'a [f32],
    /// `[features, width]`, or `[width]` where it is shared.
    pub bias: &'a [f32],
}

/// Of one number the linear embedding plus the piecewise-linear one, "version B": `x · slope + bias + encoding(x) · weight`.
///
/// Component `i` of the encoding is `(x − e_i) / (e_{i+1} − e_i)`, no less than zero except in the first bin and no more than one except
/// in the last.
#[derive(Clone, Copy, Debug)]
pub struct PiecewiseLinear<'a> {
    /// `[bins + 1]`, each larger than the one before.
    pub edges: &'a [f32],
    /// `[bins, width]`.
    pub weight: &'a [f32],
    /// `[width]`.
    pub slope: &'a [f32],
    /// `[width]`; the width is the same for all numbers.
    pub bias: &'a [f32],
}

/// Embeddings that are laid out.
#[derive(Clone, Debug)]
pub(crate) struct EmbeddingNet {
    features: usize,
    width: usize,
    others: usize,
    numbers: NumbersNet,
    machine: Machine,
}

#[derive(Clone, Debug)]
enum NumbersNet {
    Periodic { waves: usize, frequencies: Vec<f32>, layers: Vec<Layer> },
    Pieces(Vec<Pieces>),
}

/// One number's bins.
#[derive(Clone, Debug)]
struct Pieces {
    /// `[bins + 1]`
    edges: Vec<f32>,
    /// `[bins, width]`
    weight: Vec<f32>,
    /// `[bins, width]`: the bias, and the weights of the bins before, whose components are one.
    start: Vec<f32>,
    slope: Vec<f32>,
}

impl EmbeddingNet {
    pub(crate) fn new(embedding: &Embedding<'_>, machine: Machine) -> Result<Self> {
        let Embedding { others, numbers } = embedding;
        let (features, width, numbers) = match numbers {
            Numbers::Periodic(periodic) => (periodic.features, periodic.width, waves(periodic, machine)?),
            Numbers::PiecewiseLinear(all) => {
                let width = all.first().map_or(0, |feature| feature.bias.len());
                let pieces = all.iter().enumerate().map(|(index, feature)| pieces(index, feature, width));
                (all.len(), width, NumbersNet::Pieces(pieces.collect::<Result<_>>()?))
            }
        };
        expect_some("numbers", features)?;
        expect_some("values of an embedding", width)?;
        Ok(Self { features, width, others: *others, numbers, machine })
    }

    /// Values of a row.
    pub(crate) const fn inputs(&self) -> usize {
        self.features + self.others
    }

    /// Values of an embedded row.
    pub(crate) const fn outputs(&self) -> usize {
        self.features * self.width + self.others
    }

    /// Multiplications a row.
    pub(crate) fn products(&self) -> usize {
        match &self.numbers {
            // A wave takes about as long as 16 multiplications.
            NumbersNet::Periodic { waves, frequencies: _, layers: _ } => self.features * waves * (2 * self.width + 16),
            NumbersNet::Pieces(_) => 4 * self.features * self.width,
        }
    }

    /// Values that a row needs beside its embedding.
    pub(crate) const fn between(&self) -> usize {
        match &self.numbers {
            NumbersNet::Periodic { waves, frequencies: _, layers: _ } => 2 * *waves * self.features,
            NumbersNet::Pieces(_) => 0,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match &self.numbers {
            NumbersNet::Periodic { waves: _, frequencies, layers } => {
                size_of_val(&**frequencies) + layers.iter().map(Layer::bytes).sum::<usize>()
            }
            NumbersNet::Pieces(pieces) => pieces
                .iter()
                .map(|Pieces { edges, weight, start, slope }| {
                    (edges.len() + weight.len() + start.len() + slope.len()) * size_of::<f32>()
                })
                .sum(),
        }
    }

    /// Embeds `count` rows.
    pub(crate) fn forward(
        &self,
        count: usize,
        rows: &[f32],
        between: &mut [f32],
        out: &mut [f32],
        help: &mut Option<Help<'_>>,
    ) {
        let (inputs, outputs, width) = (self.inputs(), self.outputs(), self.width);
        let embedded = self.features * width;
        for (row, out) in rows.chunks_exact(inputs).zip(out.chunks_exact_mut(outputs)) {
            out[embedded..].copy_from_slice(&row[self.features..]);
        }
        match &self.numbers {
            NumbersNet::Periodic { waves, frequencies, layers } => {
                let each = 2 * *waves;
                let all = self.features * each;
                self.machine.call(Waves { rows, inputs, waves: *waves, frequencies, out: between });
                for feature in 0..self.features {
                    let Some(layer) = layers.get(feature).or(layers.first()) else { return };
                    let values = Rows { values: &between[feature * each..], stride: all };
                    let out = RowsMut { values: &mut out[feature * width..], stride: outputs };
                    layer.forward(count, values, out, Finish::Rectified, help);
                }
            }
            NumbersNet::Pieces(features) => {
                self.machine.call(Encode { rows, inputs, features, width, out, outputs });
            }
        }
    }
}

fn waves(periodic: &Periodic<'_>, machine: Machine) -> Result<NumbersNet> {
    let Periodic { features, waves, frequencies, width, shared, weight, bias } = *periodic;
    expect_some("waves", waves)?;
    expect_some("values of an embedding", width)?;
    expect_len("frequencies", &[features, waves], frequencies.len())?;
    let layers = if shared { 1 } else { features };
    expect_len("embedding weights", &[layers, 2, waves, width], weight.len())?;
    expect_len("embedding biases", &[layers, width], bias.len())?;
    let layers = weight.chunks_exact(2 * waves * width).zip(bias.chunks_exact(width));
    let layers =
        layers.map(|(weight, bias)| Layer::new(&Linear { inputs: 2 * waves, units: width, weight, bias }, machine));
    Ok(NumbersNet::Periodic { waves, frequencies: frequencies.to_vec(), layers: layers.collect() })
}

fn pieces(index: usize, feature: &PiecewiseLinear<'_>, width: usize) -> Result<Pieces> {
    let PiecewiseLinear { edges, weight, slope, bias } = *feature;
    let rising = edges.windows(2).all(|pair| pair[0] < pair[1] && (pair[1] - pair[0]).is_finite());
    if edges.len() < 2 || !rising {
        let expected = format!("two edges or more of number {index}, finite and each larger than the one before");
        return Err(Error::shape(expected, format_args!("{edges:?}")));
    }
    let bins = edges.len() - 1;
    expect_len(&format!("number {index} weights"), &[bins, width], weight.len())?;
    expect_len(&format!("number {index} slopes"), &[width], slope.len())?;
    expect_len(&format!("number {index} biases"), &[width], bias.len())?;
    let mut sums: Vec<f64> = bias.iter().map(|bias| f64::from(*bias)).collect();
    let mut start = Vec::with_capacity(weight.len());
    for weight in weight.chunks_exact(width.max(1)) {
        start.extend(sums.iter().map(|sum| *sum as f32));
        sums.iter_mut().zip(weight).for_each(|(sum, weight)| *sum += f64::from(*weight));
    }
    Ok(Pieces { edges: edges.to_vec(), weight: weight.to_vec(), start, slope: slope.to_vec() })
}

/// Cosines and sines: `[rows, features, 2 · waves]`.
struct Waves<'a, 'b> {
    rows: &'a [f32],
    inputs: usize,
    waves: usize,
    frequencies: &'a [f32],
    out: &'b mut [f32],
}

impl Work for Waves<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { rows, inputs, waves, frequencies, out } = self;
        for (row, out) in rows.chunks_exact(inputs).zip(out.chunks_mut(2 * frequencies.len())) {
            let features = frequencies.chunks_exact(waves).zip(out.chunks_exact_mut(2 * waves));
            for (value, (frequencies, out)) in row.iter().zip(features) {
                let value = simd.splat(*value);
                let (cosines, sines) = out.split_at_mut(waves);
                let out = cosines.chunks_mut(LANES).zip(sines.chunks_mut(LANES));
                for (frequencies, (cosines, sines)) in frequencies.chunks(LANES).zip(out) {
                    let (cosine, sine) = cos_sin_turns(simd, simd.load_part(frequencies), value);
                    simd.store_part(cosine, cosines);
                    simd.store_part(sine, sines);
                }
            }
        }
    }
}

/// Of each number its bin's line: all bins before it are one, all behind it zero.
struct Encode<'a, 'b> {
    rows: &'a [f32],
    inputs: usize,
    features: &'a [Pieces],
    width: usize,
    out: &'b mut [f32],
    outputs: usize,
}

impl Work for Encode<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { rows, inputs, features, width, out, outputs } = self;
        for (row, out) in rows.chunks_exact(inputs).zip(out.chunks_exact_mut(outputs)) {
            for ((value, feature), out) in row.iter().zip(features).zip(out.chunks_mut(width)) {
                let Pieces { edges, weight, start, slope } = feature;
                let inner = &edges[1..edges.len() - 1];
                let bin = inner.partition_point(|edge| edge <= value);
                let part = (value - edges[bin]) / (edges[bin + 1] - edges[bin]);
                let (part, value) = (simd.splat(part), simd.splat(*value));
                let (weight, start) = (&weight[bin * width..][..width], &start[bin * width..][..width]);
                let lines = weight.chunks(LANES).zip(start.chunks(LANES)).zip(slope.chunks(LANES));
                for (((weight, start), slope), out) in lines.zip(out.chunks_mut(LANES)) {
                    let sum = simd.mul_add(value, simd.load_part(slope), simd.load_part(start));
                    simd.store_part(simd.mul_add(part, simd.load_part(weight), sum), out);
                }
            }
        }
    }
}
