//! Parameters of any net from a list of numbers.

use dense::{
    Affines, Body, Embedding, FtBlock, FtTransformer, Linear, Mlp, Numbers, Parameters, Periodic, PiecewiseLinear,
    ResNet, ResNetBlock, TabM, TabMLayer,
};

/// Numbers from -1 to 1 that look like chance.
pub(crate) fn values(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    };
    (0..count).map(next).collect()
}

/// Hands out numbers from the front of a list.
pub(crate) struct Source<'a>(pub(crate) &'a [f32]);

impl<'a> Source<'a> {
    pub(crate) fn take(&mut self, count: usize) -> &'a [f32] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn linear(&mut self, inputs: usize, units: usize) -> Linear<'a> {
        Linear { inputs, units, weight: self.take(inputs * units), bias: self.take(units) }
    }

    fn affines(&mut self, width: usize) -> Affines<'a> {
        Affines { scale: self.take(width), shift: self.take(width) }
    }

    pub(crate) fn mlp(&mut self, sizes: &[usize]) -> Parameters<'a> {
        let layers = sizes.windows(2).map(|pair| self.linear(pair[0], pair[1])).collect();
        Parameters { embedding: None, body: Body::Mlp(Mlp { layers }) }
    }

    pub(crate) fn resnet(&mut self, inputs: usize, width: usize, hidden: &[usize], outputs: usize) -> Parameters<'a> {
        let first = self.linear(inputs, width);
        let mut block = |hidden: &usize| ResNetBlock {
            norm: self.affines(width),
            first: self.linear(width, *hidden),
            second: self.linear(*hidden, width),
        };
        let blocks = hidden.iter().map(&mut block).collect();
        let body = ResNet { first, blocks, norm: self.affines(width), last: self.linear(width, outputs) };
        Parameters { embedding: None, body: Body::ResNet(body) }
    }

    pub(crate) fn tabm(&mut self, members: usize, sizes: &[usize], outputs: usize) -> Parameters<'a> {
        let layer = |pair: &[usize]| TabMLayer {
            inputs: pair[0],
            units: pair[1],
            weight: self.take(pair[0] * pair[1]),
            scale_in: self.take(members * pair[0]),
            scale_out: self.take(members * pair[1]),
            bias: self.take(members * pair[1]),
        };
        let layers: Vec<_> = sizes.windows(2).map(layer).collect();
        let width = layers[layers.len() - 1].units;
        let (weight, bias) = (self.take(members * width * outputs), self.take(members * outputs));
        Parameters { embedding: None, body: Body::TabM(TabM { members, layers, outputs, weight, bias }) }
    }

    pub(crate) fn periodic(&mut self, features: usize, waves: usize, width: usize, shared: bool) -> Numbers<'a> {
        let layers = if shared { 1 } else { features };
        Numbers::Periodic(Periodic {
            features,
            waves,
            frequencies: self.take(features * waves),
            width,
            shared,
            weight: self.take(layers * 2 * waves * width),
            bias: self.take(layers * width),
        })
    }

    /// With one list of edges for each number.
    pub(crate) fn piecewise(&mut self, edges: &'a [Vec<f32>], width: usize) -> Numbers<'a> {
        let one = |edges: &'a Vec<f32>| PiecewiseLinear {
            edges,
            weight: self.take((edges.len() - 1) * width),
            slope: self.take(width),
            bias: self.take(width),
        };
        Numbers::PiecewiseLinear(edges.iter().map(one).collect())
    }

    pub(crate) fn transformer(
        &mut self,
        (numbers, entries): (usize, &[usize]),
        (heads, each): (usize, usize),
        hidden: &[usize],
        outputs: usize,
    ) -> Parameters<'a> {
        let width = heads * each;
        let (number_weight, number_bias) = (self.take(numbers * width), self.take(numbers * width));
        let others = entries.iter().map(|values| self.linear(*values, width)).collect();
        let first_token = self.take(width);
        let block = |(index, hidden): (usize, &usize)| FtBlock {
            attention_norm: (index > 0).then(|| self.affines(width)),
            queries: self.linear(width, width),
            keys: self.linear(width, width),
            values: self.linear(width, width),
            output: self.linear(width, width),
            hidden_norm: self.affines(width),
            up: self.linear(width, 2 * hidden),
            down: self.linear(*hidden, width),
        };
        let blocks = hidden.iter().enumerate().map(block).collect();
        let (norm, head) = (self.affines(width), self.linear(width, outputs));
        let body = Body::FtTransformer(FtTransformer {
            width,
            heads,
            epsilon: 1e-5,
            number_weight,
            number_bias,
            others,
            first_token,
            blocks,
            norm,
            head,
        });
        Parameters { embedding: None, body }
    }
}

/// The net behind an embedding.
pub(crate) fn embedded<'a>(numbers: Numbers<'a>, others: usize, net: Parameters<'a>) -> Parameters<'a> {
    Parameters { embedding: Some(Embedding { others, numbers }), body: net.body }
}

/// Rising edges, from the sizes of bins.
pub(crate) fn edges(bins: &[usize], seed: u64) -> Vec<Vec<f32>> {
    let one = |(index, bins): (usize, &usize)| {
        let mut edge = -1.0;
        let steps = values(*bins, seed + index as u64);
        let next = |step: f32| {
            edge += 0.05 + step.abs() / *bins as f32;
            edge
        };
        std::iter::once(-1.0).chain(steps.into_iter().map(next)).collect()
    };
    bins.iter().enumerate().map(one).collect()
}
