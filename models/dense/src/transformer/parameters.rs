//! What an FT-Transformer is made of.

use crate::{
    error::{Error, Result},
    linear::Linear,
    resnet::{Affines, expect_width},
};

/// Parameters of an FT-Transformer. A row is its numbers, then the values of its other columns, such as one-hot categories.
///
/// Blocks are `x += output(attention(norm(x)))`, then `x += down(a ∘ ReLU(b))` where `up(norm(x))` is `a`, then `b`; the first block's
/// attention has no norm. The answer is `head(ReLU(norm(x)))` of the first token.
#[derive(Clone, Debug)]
pub struct FtTransformer<'a> {
    /// Values of a token.
    pub width: usize,
    /// Heads of attention; the width is a multiple of them.
    pub heads: usize,
    /// The norms' epsilon, 1e-5 as a rule.
    pub epsilon: f32,
    /// `[numbers, width]`: a number's token is `x · weight + bias`.
    pub number_weight: &'a [f32],
    /// `[numbers, width]`.
    pub number_bias: &'a [f32],
    /// Of each other column, from its values: `[values, width]`.
    pub others: Vec<Linear<'a>>,
    /// `[width]`: the first token, CLS.
    pub first_token: &'a [f32],
    /// In the order that they are passed in.
    pub blocks: Vec<FtBlock<'a>>,
    /// The norm before the head.
    pub norm: Affines<'a>,
    /// From the width of a token.
    pub head: Linear<'a>,
}

/// Parameters of a block.
#[derive(Clone, Copy, Debug)]
pub struct FtBlock<'a> {
    /// None in the first block, and in no other.
    pub attention_norm: Option<Affines<'a>>,
    /// `[width, width]`.
    pub queries: Linear<'a>,
    /// `[width, width]`.
    pub keys: Linear<'a>,
    /// `[width, width]`.
    pub values: Linear<'a>,
    /// `[width, width]`.
    pub output: Linear<'a>,
    /// The norm before the feed-forward.
    pub hidden_norm: Affines<'a>,
    /// `[width, 2 · hidden]`: first what passes, then what opens.
    pub up: Linear<'a>,
    /// `[hidden, width]`.
    pub down: Linear<'a>,
}

impl FtBlock<'_> {
    /// That block number `index` has the parameters that it should.
    pub(super) fn check(&self, index: usize, width: usize) -> Result<()> {
        let FtBlock { attention_norm, queries, keys, values, output, hidden_norm, up, down } = self;
        match (index, attention_norm) {
            (0, None) => {}
            (0, Some(_)) => return Err(Error::shape("no norm before the first block's attention", "one")),
            (_, None) => return Err(Error::shape(format_args!("a norm before block {index}'s attention"), "none")),
            (_, Some(norm)) => norm.check(&format!("block {index} attention"), width)?,
        }
        for (what, layer) in [("queries", queries), ("keys", keys), ("values", values), ("output", output)] {
            layer.check(&format!("block {index} {what}"))?;
            expect_width(&format!("inputs of block {index}'s {what}"), width, layer.inputs)?;
            expect_width(&format!("units of block {index}'s {what}"), width, layer.units)?;
        }
        hidden_norm.check(&format!("block {index} feed-forward"), width)?;
        up.check(&format!("block {index} up"))?;
        down.check(&format!("block {index} down"))?;
        expect_width(&format!("inputs of block {index}'s feed-forward"), width, up.inputs)?;
        expect_width(&format!("units of block {index}'s up layer"), 2 * down.inputs, up.units)?;
        expect_width(&format!("units of block {index}'s feed-forward"), width, down.units)
    }
}
