//! The FT-Transformer (Gorishniy et al., "Revisiting Deep Learning Models for Tabular Data", 2021): a token for each column and
//! one more, attention between them, and scores from that one.

use burn::tensor::{
    Tensor,
    activation::{relu, softmax},
    module::layer_norm,
};
use serde::{Deserialize, Serialize};

use super::{
    Mode, Segment,
    body::EPSILON,
    layout::{Init, Layout, Role},
    leaves::Cursor,
};

/// Sizes of an FT-Transformer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transformer {
    /// Number of blocks.
    pub blocks: usize,
    /// Values a token.
    pub width: usize,
    /// Attention heads; a divisor of the width.
    pub heads: usize,
    /// Units inside a block's feed-forward part.
    pub hidden: usize,
    /// Part of the attention that a training step switches off.
    pub attention_dropout: f64,
    /// Part of the feed-forward units that a training step switches off.
    pub dropout: f64,
    /// Part of a block's results that a training step switches off.
    pub residual_dropout: f64,
}

impl Transformer {
    /// Values that a row holds at once for each token, all blocks together.
    pub(super) const fn activations(&self) -> usize {
        self.blocks * (4 * self.width + 3 * self.hidden)
    }

    /// Adds the parameters over rows of `segments`.
    pub(super) fn lay(&self, segments: &[Segment], outputs: usize, layout: &mut Layout) {
        let Self { blocks, width, heads: _, hidden, .. } = self;
        let numbers = segments.iter().filter(|segment| matches!(segment, Segment::Number(_))).count();
        let start = Init::linear(*width);
        if numbers > 0 {
            layout.add("tokens.numbers.weight", &[numbers, *width], Role::Exempt, start.clone());
            layout.add("tokens.numbers.bias", &[numbers, *width], Role::Exempt, start.clone());
        }
        for (index, places) in others(segments).enumerate() {
            layout.add(format!("tokens.{index}.weight"), &[places.len(), *width], Role::Exempt, start.clone());
            layout.add(format!("tokens.{index}.bias"), &[*width], Role::Exempt, start.clone());
        }
        layout.add("tokens.answer", &[*width], Role::Exempt, start);
        for block in 0..*blocks {
            let key = |part: &str| format!("blocks.{block}.{part}");
            if block > 0 {
                layout.norm(&key("attention_norm"), *width);
            }
            for part in ["query", "key", "value", "out"] {
                layout.linear(&key(part), *width, *width);
            }
            layout.norm(&key("norm"), *width);
            layout.linear(&key("first"), *width, 2 * hidden);
            layout.linear(&key("second"), *hidden, *width);
        }
        layout.norm("norm", *width);
        layout.linear("output", *width, outputs);
    }

    /// Scores `[rows, 1, outputs]` of encoded rows.
    pub(super) fn forward(
        &self,
        rows: &Tensor<2>,
        segments: &[Segment],
        numbers: Option<Tensor<2>>,
        leaves: &mut Cursor<'_>,
        mode: &mut Mode<'_>,
    ) -> Tensor<3> {
        let mut x = self.tokens(rows, segments, numbers, leaves);
        for block in 0..self.blocks {
            // What the last block makes of other tokens is not looked at.
            let last = block + 1 == self.blocks;
            let normed = if block == 0 { x.clone() } else { layer_normed(x.clone(), leaves) };
            let asked = if last { answer(&normed) } else { normed.clone() };
            let kept = if last { answer(&x) } else { x };
            let attended = self.attention(asked, normed, leaves, mode);
            x = kept + mode.dropout(attended, self.residual_dropout);
            let normed = layer_normed(x.clone(), leaves);
            let inner = leaves.linear(normed);
            let inner = mode.dropout(gated(inner), self.dropout);
            x = x + mode.dropout(leaves.linear(inner), self.residual_dropout);
        }
        let x = relu(layer_normed(answer(&x), leaves));
        leaves.linear(x)
    }

    /// One token a column `[rows, columns + 1, width]`, the one that answers first.
    fn tokens(
        &self,
        rows: &Tensor<2>,
        segments: &[Segment],
        numbers: Option<Tensor<2>>,
        leaves: &mut Cursor<'_>,
    ) -> Tensor<3> {
        let count = rows.dims()[0];
        let mut tokens = Vec::with_capacity(segments.len() + 1);
        if let Some(numbers) = numbers {
            let (weight, bias) = (leaves.take::<2>(), leaves.take::<2>());
            tokens.push(numbers.unsqueeze_dim::<3>(2).mul(weight.unsqueeze()).add(bias.unsqueeze()));
        }
        for places in others(segments) {
            let part = rows.clone().narrow(1, places.start, places.len());
            tokens.push(leaves.linear(part).unsqueeze_dim::<3>(1));
        }
        let answer = leaves.take::<1>().reshape([1, 1, self.width]).expand([count, 1, self.width]);
        tokens.insert(0, answer);
        Tensor::cat(tokens, 1)
    }

    /// What the tokens `asked` take from `tokens`.
    fn attention(
        &self,
        asked: Tensor<3>,
        tokens: Tensor<3>,
        leaves: &mut Cursor<'_>,
        mode: &mut Mode<'_>,
    ) -> Tensor<3> {
        let [rows, queries, width] = asked.dims();
        let each = width / self.heads;
        let split = |x: Tensor<3>| -> Tensor<4> {
            let [rows, tokens, _] = x.dims();
            x.reshape([rows, tokens, self.heads, each]).swap_dims(1, 2)
        };
        let query = split(leaves.linear(asked));
        let key = split(leaves.linear(tokens.clone()));
        let value = split(leaves.linear(tokens));
        let weights = softmax(leaves.product(query, key.transpose()).div_scalar((each as f64).sqrt()), 3);
        let weights = mode.dropout(weights, self.attention_dropout);
        let mixed = leaves.product(weights, value).swap_dims(1, 2).reshape([rows, queries, width]);
        leaves.linear(mixed)
    }
}

/// Where the columns lie that are no single number.
fn others(segments: &[Segment]) -> impl Iterator<Item = std::ops::Range<usize>> {
    segments.iter().filter_map(|segment| match segment {
        Segment::Number(_) => None,
        Segment::Other(places) => Some(places.clone()),
    })
}

/// The token that answers, `[rows, 1, width]`.
fn answer(tokens: &Tensor<3>) -> Tensor<3> {
    tokens.clone().narrow(1, 0, 1)
}

/// The next layer norm of `leaves`.
fn layer_normed(x: Tensor<3>, leaves: &mut Cursor<'_>) -> Tensor<3> {
    let weight = leaves.take::<1>();
    layer_norm(x, weight, Some(leaves.take::<1>()), EPSILON)
}

/// `ReGLU`: the first half of the values times the rectified second half.
fn gated(x: Tensor<3>) -> Tensor<3> {
    let half = x.dims()[2] / 2;
    let (value, gate) = (x.clone().narrow(2, 0, half), x.narrow(2, half, half));
    value.mul(relu(gate))
}
