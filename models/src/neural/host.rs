//! A net on the CPU: what the crate `dense` computes, with a row's values in the order that it takes them in, and the scores of an
//! ensemble's members made one.
//!
//! A row's scores have the same bits alone, among others, and on any number of threads.

use contract::{AlignedBuffer, Direct, RowBlock, RunError};
use dense::{
    Affines, Embedding as Embedded, FtBlock, FtTransformer, Linear, Mlp, Net, Numbers, Parameters, Periodic,
    PiecewiseLinear, ResNet, ResNetBlock, TabM, TabMLayer,
};

use super::{
    net::Weights,
    nets::{Average, Body, Embedding, NORM_EPSILON, NetShape, Transformer},
};

/// A net laid out for the CPU.
#[derive(Clone, Debug)]
pub(crate) struct HostNet {
    net: Net,
    /// Where each value comes from when numbers have to come first.
    order: Option<Vec<usize>>,
    inputs: usize,
    members: usize,
    outputs: usize,
    average: Average,
}

impl HostNet {
    /// Lays out the net.
    ///
    /// # Errors
    /// One sentence when parameters and sizes disagree.
    pub(crate) fn new(weights: &Weights, average: Average) -> Result<Self, String> {
        let Weights { shape, parameters } = weights;
        let numbers = shape.numbers();
        let first: Vec<usize> = numbers.iter().copied().chain(shape.rest()).collect();
        let apart = matches!(shape.body, Body::FtTransformer(_)) || shape.embedding != Embedding::None;
        let moved = apart && first.iter().enumerate().any(|(place, from)| place != *from);
        let mut parts = Parts { rest: parameters };
        // The pieces of piecewise-linear embeddings lie apart here, number by number.
        let mut pieces = Vec::new();
        let embedding = parts.embedding(shape, &mut pieces);
        let folded = parts.folded(shape);
        let body = parts.body(shape, &folded);
        let net = Net::new(&Parameters { embedding, body }).map_err(|error| error.to_string())?;
        Ok(Self {
            net,
            order: moved.then_some(first),
            inputs: shape.inputs,
            members: shape.body.members(),
            outputs: shape.outputs,
            average,
        })
    }

    /// Values per row.
    pub(crate) const fn inputs(&self) -> usize {
        self.inputs
    }

    /// Bytes of parameters.
    pub(crate) fn bytes(&self) -> usize {
        self.net.bytes()
    }
}

impl Direct for HostNet {
    fn run(&self, rows: &RowBlock, scratch: &mut AlignedBuffer, out: &mut RowBlock) -> Result<(), RunError> {
        let Self { net, order, inputs, members, outputs, average } = self;
        let (expected, got) = (inputs * size_of::<f32>(), rows.row_bytes());
        if got != expected {
            return Err(RunError::Failed { reason: format!("expected rows of {expected} bytes, got {got}") });
        }
        let count = rows.rows();
        let values = rows.data().as_slice::<f32>();
        let (moved, scored) = (order.as_ref().map_or(0, |_| count * inputs), count * members * outputs);
        let apart = if *members > 1 { scored } else { 0 };
        scratch.resize((moved + apart) * size_of::<f32>());
        let (here, scores) = scratch.as_mut_slice::<f32>().split_at_mut(moved);
        let values = match order {
            Some(order) => {
                for (row, here) in values.chunks_exact(*inputs).zip(here.chunks_exact_mut(*inputs)) {
                    order.iter().zip(here).for_each(|(from, value)| *value = row[*from]);
                }
                &*here
            }
            None => values,
        };
        out.reset(outputs * size_of::<f32>());
        out.data_mut().resize(count * outputs * size_of::<f32>());
        let answers = out.data_mut().as_mut_slice::<f32>();
        let failed = |error: dense::Error| RunError::Failed { reason: error.to_string() };
        if *members == 1 {
            return net.run_here(values, answers).map_err(failed);
        }
        net.run_here(values, scores).map_err(failed)?;
        for (scores, answers) in scores.chunks_exact(members * outputs).zip(answers.chunks_exact_mut(*outputs)) {
            average.of(scores, answers);
        }
        Ok(())
    }
}

impl Average {
    /// One row's scores `[members, outputs]` as one, as [`NetShape::averaged`] has it.
    fn of(self, scores: &[f32], answers: &mut [f32]) {
        let outputs = answers.len();
        let members = (scores.len() / outputs) as f64;
        let each = |output: usize| scores.iter().skip(output).step_by(outputs).map(|score| f64::from(*score));
        let log_sigmoid = |margin: f64| margin.min(0.0) - (-margin.abs()).exp().ln_1p();
        for (output, answer) in answers.iter_mut().enumerate() {
            let value = match self {
                Self::Scores => each(output).sum::<f64>() / members,
                Self::Rates => log_sum(each(output)) - members.ln(),
                Self::Margins => {
                    log_sum(each(output).map(log_sigmoid)) - log_sum(each(output).map(|margin| log_sigmoid(-margin)))
                }
                Self::Classes => {
                    let totals =
                        scores.chunks_exact(outputs).map(|row| log_sum(row.iter().map(|score| f64::from(*score))));
                    log_sum(each(output).zip(totals).map(|(score, total)| score - total)) - members.ln()
                }
            };
            *answer = value as f32;
        }
    }
}

/// The logarithm of the sum of what the logarithms stand for.
fn log_sum(logs: impl Iterator<Item = f64> + Clone) -> f64 {
    let greatest = logs.clone().fold(f64::NEG_INFINITY, f64::max);
    logs.map(|log| (log - greatest).exp()).sum::<f64>().ln() + greatest
}

/// Parameters taken from a flat vector in the order of the layout (see [`NetShape::layout`]).
struct Parts<'a> {
    rest: &'a [f32],
}

/// A number's edges, its weights `[bins, width]`, slope and bias.
type Pieces<'a> = (&'a [f32], Vec<f32>, &'a [f32], &'a [f32]);

impl<'a> Parts<'a> {
    fn take(&mut self, count: usize) -> &'a [f32] {
        let (taken, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    fn linear(&mut self, inputs: usize, units: usize) -> Linear<'a> {
        Linear { inputs, units, weight: self.take(inputs * units), bias: self.take(units) }
    }

    fn affines(&mut self, width: usize) -> Affines<'a> {
        Affines { scale: self.take(width), shift: self.take(width) }
    }

    fn embedding<'b>(&mut self, shape: &'a NetShape, pieces: &'b mut Vec<Pieces<'a>>) -> Option<Embedded<'b>>
    where
        'a: 'b,
    {
        let features = shape.numbers().len();
        let others = shape.rest().len();
        if features == 0 {
            return None;
        }
        let numbers = match &shape.embedding {
            Embedding::None => return None,
            Embedding::Periodic { frequencies, width, scale: _, shared } => {
                let each = if *shared { 1 } else { features };
                Numbers::Periodic(Periodic {
                    features,
                    waves: *frequencies,
                    frequencies: self.take(features * frequencies),
                    width: *width,
                    shared: *shared,
                    weight: self.take(each * 2 * frequencies * width),
                    bias: self.take(each * width),
                })
            }
            Embedding::PiecewiseLinear { edges, width } => {
                let slopes = self.take(features * width);
                let biases = self.take(features * width);
                let most = edges.iter().map(|edges| edges.len() - 1).max().unwrap_or(0);
                let weights = self.take(features * most * width);
                let lines = slopes.chunks_exact(*width).zip(biases.chunks_exact(*width));
                for ((edges, weights), (slope, bias)) in edges.iter().zip(weights.chunks_exact(most * width)).zip(lines)
                {
                    // The last bin's weights stand in the last place, whatever the number of bins.
                    let inner = (edges.len() - 2) * width;
                    let weights = [&weights[..inner], &weights[(most - 1) * width..]].concat();
                    pieces.push((edges, weights, slope, bias));
                }
                let piece =
                    |(edges, weight, slope, bias): &'b Pieces<'a>| PiecewiseLinear { edges, weight, slope, bias };
                Numbers::PiecewiseLinear(pieces.iter().map(piece).collect())
            }
        };
        Some(Embedded { others, numbers })
    }

    /// Batch norms with their statistics in them, in order: scales and shifts. Looks ahead and takes nothing.
    fn folded(&self, shape: &NetShape) -> Vec<(Vec<f32>, Vec<f32>)> {
        let Body::Resnet { blocks, width, hidden, .. } = &shape.body else { return Vec::new() };
        let inputs = shape.inputs_of_body();
        let mut parts = Parts { rest: self.rest };
        parts.linear(inputs, *width);
        let mut folded = Vec::with_capacity(blocks + 1);
        for block in 0..=*blocks {
            let [weight, bias, mean, variance] = std::array::from_fn(|_| parts.take(*width));
            let root = |variance: f32| (f64::from(variance) + NORM_EPSILON).sqrt();
            let scales: Vec<f64> = weight.iter().zip(variance).map(|(w, v)| f64::from(*w) / root(*v)).collect();
            let shift =
                |((bias, mean), scale): ((&f32, &f32), &f64)| (f64::from(*bias) - f64::from(*mean) * scale) as f32;
            let shifts = bias.iter().zip(mean).zip(&scales).map(shift).collect();
            folded.push((scales.into_iter().map(|scale| scale as f32).collect(), shifts));
            if block < *blocks {
                parts.linear(*width, *hidden);
                parts.linear(*hidden, *width);
            }
        }
        folded
    }

    fn body<'b>(&mut self, shape: &NetShape, folded: &'b [(Vec<f32>, Vec<f32>)]) -> dense::Body<'b>
    where
        'a: 'b,
    {
        let (inputs, outputs) = (shape.inputs_of_body(), shape.outputs);
        match &shape.body {
            Body::Mlp { hidden, dropout: _ } => {
                let mut width = inputs;
                let layers = hidden.iter().chain([&outputs]).map(|units| {
                    let layer = self.linear(width, *units);
                    width = *units;
                    layer
                });
                dense::Body::Mlp(Mlp { layers: layers.collect() })
            }
            Body::Tabm { members, hidden, dropout: _ } => {
                let members = *members;
                let mut width = inputs;
                let layers = hidden.iter().map(|units| {
                    let layer = TabMLayer {
                        inputs: width,
                        units: *units,
                        scale_in: self.take(members * width),
                        weight: self.take(width * units),
                        scale_out: self.take(members * units),
                        bias: self.take(members * units),
                    };
                    width = *units;
                    layer
                });
                let layers = layers.collect();
                let weight = self.take(members * width * outputs);
                dense::Body::TabM(TabM { members, layers, outputs, weight, bias: self.take(members * outputs) })
            }
            Body::Resnet { blocks, width, hidden, .. } => {
                let (first, width) = (self.linear(inputs, *width), *width);
                let mut norms = folded.iter().map(|(scale, shift)| Affines { scale, shift });
                let mut norm = || norms.next().unwrap_or(Affines { scale: &[], shift: &[] });
                let mut each = Vec::with_capacity(*blocks);
                for _ in 0..*blocks {
                    self.take(4 * width);
                    let (first, second) = (self.linear(width, *hidden), self.linear(*hidden, width));
                    each.push(ResNetBlock { norm: norm(), first, second });
                }
                self.take(4 * width);
                dense::Body::ResNet(ResNet { first, blocks: each, norm: norm(), last: self.linear(width, outputs) })
            }
            Body::FtTransformer(transformer) => dense::Body::FtTransformer(self.transformer(transformer, shape)),
        }
    }

    fn transformer(&mut self, transformer: &Transformer, shape: &NetShape) -> FtTransformer<'a> {
        let Transformer { blocks, width, heads, hidden, .. } = transformer;
        let (numbers, width) = (shape.numbers().len(), *width);
        let number_weight = self.take(numbers * width);
        let number_bias = self.take(numbers * width);
        let others = shape.others().map(|values| self.linear(values, width)).collect();
        let first_token = self.take(width);
        let block = |block: usize| FtBlock {
            attention_norm: (block > 0).then(|| self.affines(width)),
            queries: self.linear(width, width),
            keys: self.linear(width, width),
            values: self.linear(width, width),
            output: self.linear(width, width),
            hidden_norm: self.affines(width),
            up: self.linear(width, 2 * hidden),
            down: self.linear(*hidden, width),
        };
        let blocks = (0..*blocks).map(block).collect();
        FtTransformer {
            width,
            heads: *heads,
            epsilon: NORM_EPSILON as f32,
            number_weight,
            number_bias,
            others,
            first_token,
            blocks,
            norm: self.affines(width),
            head: self.linear(width, shape.outputs),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use burn::tensor::Device;

    use super::*;
    use crate::neural::nets::{Mode, Plan, matrix, tests::shapes, vector};

    /// Numbers that look random.
    fn values(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|index| ((index * 7919 + seed * 104_729) % 2003) as f32 / 1001.5 - 1.0).collect()
    }

    fn run(net: &HostNet, rows: &[f32]) -> Vec<f32> {
        let mut block = RowBlock::new(net.inputs() * size_of::<f32>());
        *block.data_mut() = AlignedBuffer::from_slice(rows);
        let (mut scratch, mut out) = (AlignedBuffer::new(), RowBlock::default());
        net.run(&block, &mut scratch, &mut out).unwrap();
        out.data().as_slice::<f32>().to_vec()
    }

    #[test]
    fn every_net_answers_here_as_burn_does_and_alone_as_among_others() {
        for shape in shapes() {
            let layout = shape.layout();
            let mut parameters = layout.initial(3);
            parameters.iter_mut().zip(values(layout.len(), 5)).for_each(|(value, move_by)| *value += 0.2 * move_by);
            let rows = values(9 * shape.inputs, 2);
            for average in [Average::Scores, Average::Rates, Average::Margins, Average::Classes] {
                let device = Device::flex();
                let plan = Arc::new(Plan::new(shape.clone(), &device));
                let net = crate::neural::nets::Net::new(&plan, &vector(parameters.clone(), &device));
                let passed = net.forward(matrix(rows.clone(), shape.inputs, &device), Mode::Serve);
                let expected = NetShape::averaged(passed.scores, average).into_data().try_into_vec::<f32>().unwrap();
                let weights = Weights { shape: shape.clone(), parameters: parameters.clone() };
                let host = HostNet::new(&weights, average).unwrap();
                let answers = run(&host, &rows);
                for (answer, expected) in answers.iter().zip(&expected) {
                    assert!((answer - expected).abs() <= 2e-5 * expected.abs().max(1.0), "{shape:?}, {average:?}");
                }
                for (row, answers) in rows.chunks(shape.inputs).zip(answers.chunks(shape.outputs)) {
                    assert_eq!(run(&host, row), answers, "{shape:?}");
                }
            }
        }
    }

    #[test]
    fn rows_of_another_width_are_refused() {
        let shape = shapes().remove(0);
        let parameters = shape.layout().initial(1);
        let net = HostNet::new(&Weights { shape, parameters }, Average::Scores).unwrap();
        let error = net.run(&RowBlock::new(8), &mut AlignedBuffer::new(), &mut RowBlock::default()).unwrap_err();
        assert_eq!(error.to_string(), "the model failed: expected rows of 28 bytes, got 8");
    }
}
