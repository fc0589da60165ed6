//! What stands behind the embeddings: a perceptron, an ensemble of them, a residual net, or a transformer.

use burn::tensor::{
    Tensor,
    activation::relu,
    module::{batch_norm, batch_norm_train},
};
use serde::{Deserialize, Serialize};

use super::{
    Mode,
    layout::{Init, Layout, Role},
    leaves::Cursor,
    transformer::Transformer,
};

/// Added to a variance before its root is taken: `PyTorch`'s default.
pub(crate) const EPSILON: f64 = 1e-5;
/// Part of a batch's statistics that the kept ones take up at each step: `PyTorch`'s default.
const MOMENTUM: f64 = 0.1;

/// The net behind the embeddings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", deny_unknown_fields)]
pub enum Body {
    /// Linear, `ReLU` and dropout, layer by layer, and a Linear.
    Mlp {
        /// Units of each hidden layer.
        hidden: Vec<usize>,
        /// Part of the units that a training step switches off.
        dropout: f64,
    },
    /// Perceptrons that share their weights but for vectors (Gorishniy et al., "`TabM`", 2024, after `BatchEnsemble`): member m's layer
    /// is `((x ∘ r_m) W) ∘ s_m + b_m`; their outputs are their own.
    Tabm {
        /// Number of perceptrons.
        members: usize,
        /// Units of each hidden layer.
        hidden: Vec<usize>,
        /// Part of the units that a training step switches off.
        dropout: f64,
    },
    /// Blocks of batch norm, Linear, `ReLU`, dropout, Linear, dropout, added to what came (Gorishniy et al., "Revisiting Deep
    /// Learning Models for Tabular Data", 2021).
    Resnet {
        /// Number of blocks.
        blocks: usize,
        /// Values between blocks.
        width: usize,
        /// Units inside a block.
        hidden: usize,
        /// Part of the units inside that a training step switches off.
        dropout: f64,
        /// Part of a block's result that a training step switches off.
        residual_dropout: f64,
    },
    /// Attention between one token a column, of the same paper.
    FtTransformer(Transformer),
}

impl Body {
    /// Members whose scores are averaged.
    pub(crate) const fn members(&self) -> usize {
        match self {
            Self::Tabm { members, hidden: _, dropout: _ } => *members,
            Self::Mlp { .. } | Self::Resnet { .. } | Self::FtTransformer(_) => 1,
        }
    }

    /// Values that a row holds at once, all layers together; without those of attention.
    pub(crate) fn activations(&self) -> usize {
        match self {
            Self::Mlp { hidden, dropout: _ } => hidden.iter().sum(),
            Self::Tabm { members, hidden, dropout: _ } => members * hidden.iter().sum::<usize>(),
            Self::Resnet { blocks, width, hidden, dropout: _, residual_dropout: _ } => {
                blocks * (width + hidden) + width
            }
            Self::FtTransformer(transformer) => transformer.activations(),
        }
    }

    /// Adds the parameters over `inputs` values a row; `sections` says which of them belong together, `random` how the members of an
    /// ensemble start to differ.
    pub(super) fn lay(&self, inputs: usize, outputs: usize, random: Init, layout: &mut Layout) {
        match self {
            Self::Mlp { hidden, dropout: _ } => {
                let mut width = inputs;
                for (layer, units) in hidden.iter().chain([&outputs]).enumerate() {
                    layout.linear(&format!("layers.{layer}"), width, *units);
                    width = *units;
                }
            }
            Self::Tabm { members, hidden, dropout: _ } => {
                let mut width = inputs;
                let mut start = Some(random);
                for (layer, units) in hidden.iter().enumerate() {
                    let key = |part: &str| format!("layers.{layer}.{part}");
                    let r = start.take().unwrap_or(Init::Ones);
                    layout.add(key("r"), &[*members, width], Role::Weight, r);
                    layout.add(key("weight"), &[width, *units], Role::Weight, Init::linear(width));
                    layout.add(key("s"), &[*members, *units], Role::Weight, Init::Ones);
                    let bias = Init::SharedRow((width.max(1) as f32).sqrt().recip());
                    layout.add(key("bias"), &[*members, *units], Role::Exempt, bias);
                    width = *units;
                }
                layout.add("output.weight", &[*members, width, outputs], Role::Weight, Init::linear(width));
                layout.add("output.bias", &[*members, outputs], Role::Exempt, Init::linear(width));
            }
            Self::Resnet { blocks, width, hidden, dropout: _, residual_dropout: _ } => {
                layout.linear("input", inputs, *width);
                for block in 0..*blocks {
                    lay_batch_norm(&format!("blocks.{block}.norm"), *width, layout);
                    layout.linear(&format!("blocks.{block}.first"), *width, *hidden);
                    layout.linear(&format!("blocks.{block}.second"), *hidden, *width);
                }
                lay_batch_norm("norm", *width, layout);
                layout.linear("output", *width, outputs);
            }
            // Its tokens are made of the row itself.
            Self::FtTransformer(_) => {}
        }
    }

    /// Scores `[rows, members, outputs]` of `x`, `[rows, inputs]`.
    pub(super) fn forward(&self, x: Tensor<2>, leaves: &mut Cursor<'_>, mode: &mut Mode<'_>) -> Tensor<3> {
        match self {
            Self::Mlp { hidden, dropout } => {
                let mut x = x;
                for _ in hidden {
                    x = mode.dropout(relu(leaves.linear(x)), *dropout);
                }
                leaves.linear(x).unsqueeze_dim(1)
            }
            Self::Tabm { members: _, hidden, dropout } => {
                let mut x: Tensor<3> = x.unsqueeze_dim(1);
                for _ in hidden {
                    x = x.mul(leaves.take::<2>().unsqueeze());
                    let [rows, members, inputs] = x.dims();
                    let weight = leaves.take::<2>();
                    let units = weight.dims()[1];
                    x = leaves.product(x.reshape([rows * members, inputs]), weight).reshape([rows, members, units]);
                    x = x.mul(leaves.take::<2>().unsqueeze()).add(leaves.take::<2>().unsqueeze());
                    x = mode.dropout(relu(x), *dropout);
                }
                let (weight, bias) = (leaves.take::<3>(), leaves.take::<2>());
                leaves.product(x.swap_dims(0, 1), weight).swap_dims(0, 1).add(bias.unsqueeze())
            }
            Self::Resnet { blocks, width: _, hidden: _, dropout, residual_dropout } => {
                let mut x = leaves.linear(x);
                for _ in 0..*blocks {
                    let inner = batch_normed(x.clone(), leaves, mode);
                    let inner = mode.dropout(relu(leaves.linear(inner)), *dropout);
                    x = x + mode.dropout(leaves.linear(inner), *residual_dropout);
                }
                let x = relu(batch_normed(x, leaves, mode));
                leaves.linear(x).unsqueeze_dim(1)
            }
            Self::FtTransformer(_) => x.unsqueeze_dim(1),
        }
    }
}

fn lay_batch_norm(key: &str, width: usize, layout: &mut Layout) {
    layout.norm(key, width);
    layout.add(format!("{key}.mean"), &[width], Role::Statistic, Init::Zeros);
    layout.add(format!("{key}.variance"), &[width], Role::Statistic, Init::Ones);
}

/// The next batch norm of `leaves`: by the batch's own statistics in training, which move the kept ones, else by those.
fn batch_normed(x: Tensor<2>, leaves: &mut Cursor<'_>, mode: &Mode<'_>) -> Tensor<2> {
    let (weight, bias, mean, variance) = (leaves.take::<1>(), leaves.take(), leaves.take::<1>(), leaves.take::<1>());
    match mode {
        Mode::Serve => batch_norm(x, weight, bias, mean, variance, EPSILON),
        Mode::Train(_) => {
            let rows = x.dims()[0] as f64;
            let normed = batch_norm_train(x, weight, bias, EPSILON);
            // The kept variance is the unbiased one.
            let unbiased = rows / (rows - 1.0).max(1.0);
            let kept =
                |old: Tensor<1>, new: Tensor<1>| old.mul_scalar(1.0 - MOMENTUM) + new.inner().mul_scalar(MOMENTUM);
            leaves.statistics.push(kept(mean, normed.mean));
            leaves.statistics.push(kept(variance, normed.variance.mul_scalar(unbiased)));
            normed.output
        }
    }
}
