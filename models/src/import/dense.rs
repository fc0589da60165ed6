//! A dense net's weights, checked so that its layers chain.

use std::collections::BTreeMap;

use contract::OpenError;

use super::{NamedTensor, Source};
use crate::{Error, Result};

/// More layers than any dense net has; a bound on what a file may ask for.
const MAX_LAYERS: usize = 1024;

/// One layer: `y = x·weights + bias`.
#[derive(Clone, Debug, PartialEq)]
pub struct DenseLayer {
    /// Numbers in.
    pub inputs: usize,
    /// Numbers out.
    pub outputs: usize,
    /// Row-major `[inputs, outputs]`.
    pub weights: Vec<f32>,
    /// `[outputs]`.
    pub bias: Vec<f32>,
}

/// The weights of a dense net with a `ReLU` after every layer but the last. It has at least one layer, every layer takes
/// what the one before gives, and all numbers are finite.
#[derive(Clone, Debug, PartialEq)]
pub struct DenseWeights {
    layers: Vec<DenseLayer>,
}

impl DenseWeights {
    /// A net of `layers`.
    ///
    /// # Errors
    /// [`Error::Setting`] when there is no layer, a layer's numbers do not fit its sizes, sizes do not chain, or a number
    /// is not finite.
    pub fn new(layers: Vec<DenseLayer>) -> Result<Self> {
        check(&layers).map_err(|(expected, got)| Error::Setting(format!("expected {expected}, got {got}")))?;
        Ok(Self { layers })
    }

    /// The layers, first to last.
    #[must_use]
    pub fn layers(&self) -> &[DenseLayer] {
        &self.layers
    }

    /// Numbers a row that the net takes.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.layers.first().map_or(0, |layer| layer.inputs)
    }

    /// Numbers a row that the net gives.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.outputs)
    }

    /// Number of weights and biases.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.layers.iter().map(|layer| layer.weights.len() + layer.bias.len()).sum()
    }

    /// The net's answer to `rows` (row-major, [`DenseWeights::inputs`] numbers each), summed in f64 and rounded once a
    /// layer: the plain twin that devices are checked against. Numbers behind the last whole row are left out.
    #[must_use]
    pub fn forward(&self, rows: &[f32]) -> Vec<f32> {
        let last = self.layers.len().saturating_sub(1);
        let mut answers = Vec::new();
        for row in rows.chunks_exact(self.inputs().max(1)) {
            let mut values = row.to_vec();
            for (number, layer) in self.layers.iter().enumerate() {
                let mut sums: Vec<f64> = layer.bias.iter().map(|bias| f64::from(*bias)).collect();
                for (value, weights) in values.iter().zip(layer.weights.chunks_exact(layer.outputs)) {
                    for (sum, weight) in sums.iter_mut().zip(weights) {
                        *sum += f64::from(*value) * f64::from(*weight);
                    }
                }
                let floor = if number < last { 0.0 } else { f64::NEG_INFINITY };
                values = sums.into_iter().map(|sum| sum.max(floor) as f32).collect();
            }
            answers.extend_from_slice(&values);
        }
        answers
    }
}

/// What is wrong with `layers`: what was expected and what came.
fn check(layers: &[DenseLayer]) -> Result<(), (String, String)> {
    if layers.is_empty() {
        return Err(("at least one layer W1, b1".to_owned(), "none".to_owned()));
    }
    let mut before: Option<usize> = None;
    for (number, DenseLayer { inputs, outputs, weights, bias }) in (1..).zip(layers) {
        if *inputs == 0 || *outputs == 0 {
            return Err((
                format!("W{number} with at least one row and column"),
                format!("shape [{inputs}, {outputs}]"),
            ));
        }
        if before.is_some_and(|before| before != *inputs) {
            let before = before.unwrap_or(0);
            let got = format!("shape [{inputs}, {outputs}]");
            return Err((
                format!("W{number} with {before} rows, because layer {} gives {before} numbers", number - 1),
                got,
            ));
        }
        if inputs.checked_mul(*outputs) != Some(weights.len()) {
            return Err((format!("W{number} of shape [{inputs}, {outputs}]"), format!("{} numbers", weights.len())));
        }
        if bias.len() != *outputs {
            return Err((
                format!("b{number} with {outputs} numbers, because W{number} has {outputs} columns"),
                format!("{} numbers", bias.len()),
            ));
        }
        if !weights.iter().chain(bias).all(|value| value.is_finite()) {
            return Err((format!("finite numbers in W{number} and b{number}"), "NaN or an infinity".to_owned()));
        }
        before = Some(*outputs);
    }
    Ok(())
}

/// Puts the tensors of a file together.
pub(super) fn from_tensors(source: &Source<'_>, tensors: Vec<NamedTensor>) -> Result<DenseWeights, OpenError> {
    let mut parts: BTreeMap<usize, (Option<NamedTensor>, Option<NamedTensor>)> = BTreeMap::new();
    for tensor in tensors {
        let number = tensor.name.get(1..).and_then(layer_number);
        let (slot, number) = match (tensor.name.as_bytes().first(), number) {
            (Some(b'W'), Some(number)) => (&mut parts.entry(number).or_default().0, number),
            (Some(b'b'), Some(number)) => (&mut parts.entry(number).or_default().1, number),
            _ => return Err(source.wrong("tensors named W1, b1, W2, b2, …", format!("'{}'", tensor.name))),
        };
        if slot.is_some() {
            return Err(source.wrong("each tensor once", format!("layer {number} twice")));
        }
        *slot = Some(tensor);
    }
    let mut layers = Vec::with_capacity(parts.len());
    for (expected, (number, (weights, bias))) in (1..).zip(parts) {
        let (Some(weights), Some(bias), true) = (weights, bias, number == expected) else {
            return Err(source.wrong(
                format!("layer {expected} to have both W{expected} and b{expected}"),
                format!("no complete layer {expected}"),
            ));
        };
        layers.push(layer(source, weights, bias)?);
    }
    check(&layers).map_err(|(expected, got)| source.wrong(expected, got))?;
    Ok(DenseWeights { layers })
}

/// Reads `1`, `2`, … in its one spelling.
fn layer_number(text: &str) -> Option<usize> {
    text.parse().ok().filter(|number| (1..=MAX_LAYERS).contains(number) && *text == number.to_string())
}

fn layer(source: &Source<'_>, weights: NamedTensor, bias: NamedTensor) -> Result<DenseLayer, OpenError> {
    let [inputs, outputs] = weights.shape[..] else {
        return Err(
            source.wrong(format!("{} of shape [inputs, outputs]", weights.name), format!("shape {:?}", weights.shape))
        );
    };
    // A bias saved as one row, [1, outputs], means the same.
    if bias.shape != [outputs] && bias.shape != [1, outputs] {
        return Err(source.wrong(
            format!("{} of shape [{outputs}], because {} has {outputs} columns", bias.name, weights.name),
            format!("shape {:?}", bias.shape),
        ));
    }
    Ok(DenseLayer { inputs, outputs, weights: weights.values, bias: bias.values })
}
