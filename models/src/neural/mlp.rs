//! The multi-layer perceptron: its sizes, its parameters as one flat vector, and its forward pass on a device.
//!
//! Blocks are Linear → ReLU → Dropout; the last Linear gives the scores. All parameters live in one flat vector (layer by
//! layer: the weight row-major `[inputs, outputs]`, then the bias), so that the optimiser, gradient clipping and
//! checkpoints are single operations whatever the number of layers. Nothing here knows losses or tables.

use std::ops::Range;

use burn::tensor::{Device, Gradients, Tensor, TensorData, activation::relu, module::linear};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Sizes of a multi-layer perceptron.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MlpShape {
    /// Values per row.
    pub inputs: usize,
    /// Units of each hidden layer, in order; none makes a linear model.
    pub hidden: Vec<usize>,
    /// Scores per row.
    pub outputs: usize,
}

/// One Linear layer and where its parameters lie in the flat vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Values per row going in.
    pub inputs: usize,
    /// Values per row going out.
    pub outputs: usize,
    /// The weight, row-major `[inputs, outputs]`.
    pub weight: Range<usize>,
    /// The bias, `[outputs]`.
    pub bias: Range<usize>,
}

impl MlpShape {
    /// The layers, in order; at least one.
    #[must_use]
    pub fn layers(&self) -> Vec<Layer> {
        let mut layers = Vec::with_capacity(self.hidden.len() + 1);
        let (mut inputs, mut start) = (self.inputs, 0);
        for &outputs in self.hidden.iter().chain(std::iter::once(&self.outputs)) {
            let weight = start..start + inputs * outputs;
            let bias = weight.end..weight.end + outputs;
            start = bias.end;
            layers.push(Layer { inputs, outputs, weight, bias });
            inputs = outputs;
        }
        layers
    }

    /// Number of trainable parameters.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.layers().last().map_or(0, |layer| layer.bias.end)
    }

    /// Values that one row holds between input and scores, all layers together.
    #[must_use]
    pub fn activations(&self) -> usize {
        self.inputs + self.hidden.iter().sum::<usize>() + self.outputs
    }

    /// Parameters to start training from: weights uniform within ±√(6 / inputs) for layers that a ReLU follows (He) and
    /// within ±√(1 / inputs) for the last, biases zero. Drawn on the host, so that a seed gives the same start on every
    /// device and beside any other use of the device's own generator.
    #[must_use]
    pub fn initial_parameters(&self, seed: u64) -> Vec<f32> {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        let mut parameters = vec![0.0; self.parameters()];
        let layers = self.layers();
        for (index, layer) in layers.iter().enumerate() {
            let gain: f32 = if index + 1 == layers.len() { 1.0 } else { 6.0 };
            let bound = (gain / layer.inputs.max(1) as f32).sqrt();
            for value in &mut parameters[layer.weight.clone()] {
                *value = generator.random_range(-bound..=bound);
            }
        }
        parameters
    }

    /// The same function with at least `least` units in every layer; the added ones are zero and stay so.
    #[must_use]
    pub(crate) fn padded(&self, parameters: &[f32], least: usize) -> (Self, Vec<f32>) {
        let wide = Self {
            inputs: self.inputs,
            hidden: self.hidden.iter().map(|units| (*units).max(least)).collect(),
            outputs: self.outputs.max(least),
        };
        let mut padded = Vec::with_capacity(wide.parameters());
        for (from, to) in self.layers().iter().zip(wide.layers()) {
            for row in 0..from.inputs {
                let start = from.weight.start + row * from.outputs;
                padded.extend_from_slice(&parameters[start..start + from.outputs]);
                padded.resize(to.weight.start + (row + 1) * to.outputs, 0.0);
            }
            padded.resize(to.bias.start, 0.0);
            padded.extend_from_slice(&parameters[from.bias.clone()]);
            padded.resize(to.bias.end, 0.0);
        }
        (wide, padded)
    }
}

/// A multi-layer perceptron on a device.
#[derive(Clone, Debug)]
pub struct Mlp {
    layers: Vec<(Tensor<2>, Tensor<1>)>,
}

impl Mlp {
    /// The perceptron of `shape` whose parameters are the flat vector `parameters` on its device.
    ///
    /// # Panics
    /// When `parameters` does not hold [`MlpShape::parameters`] values: both are the caller's own.
    #[must_use]
    pub fn new(shape: &MlpShape, parameters: &Tensor<1>) -> Self {
        let part = |range: Range<usize>| parameters.clone().slice([range]);
        let layers = shape.layers().into_iter().map(|layer| {
            (part(layer.weight).reshape([layer.inputs, layer.outputs]), part(layer.bias).reshape([layer.outputs]))
        });
        Self { layers: layers.collect() }
    }

    /// The same perceptron as leaves of an autodiff graph.
    #[must_use]
    pub(crate) fn tracked(self) -> Self {
        let track =
            |(weight, bias): (Tensor<2>, Tensor<1>)| (weight.autodiff().require_grad(), bias.autodiff().require_grad());
        Self { layers: self.layers.into_iter().map(track).collect() }
    }

    /// Scores `[rows, outputs]` of `rows`, `[rows, inputs]`. Mask number `i`, `[rows, hidden_i]`, multiplies hidden layer
    /// `i`; layers beyond the last mask are not masked.
    #[must_use]
    pub fn forward(&self, rows: Tensor<2>, masks: &[Tensor<2>]) -> Tensor<2> {
        let last = self.layers.len().saturating_sub(1);
        let mut values = rows;
        for (index, (weight, bias)) in self.layers.iter().enumerate() {
            values = linear(values, weight.clone(), Some(bias.clone()));
            if index < last {
                values = relu(values);
                if let Some(mask) = masks.get(index) {
                    values = values.mul(mask.clone());
                }
            }
        }
        values
    }

    /// The gradient of all parameters as one flat vector, in the order of the parameters. A parameter that the loss does
    /// not depend on has gradient zero.
    #[must_use]
    pub(crate) fn flat_gradient(&self, gradients: &mut Gradients) -> Tensor<1> {
        let mut parts = Vec::with_capacity(2 * self.layers.len());
        for (weight, bias) in &self.layers {
            let of_weight = weight.grad_remove(gradients).unwrap_or_else(|| weight.clone().inner().zeros_like());
            let of_bias = bias.grad_remove(gradients).unwrap_or_else(|| bias.clone().inner().zeros_like());
            parts.push(of_weight.reshape([-1]));
            parts.push(of_bias);
        }
        Tensor::cat(parts, 0)
    }
}

/// A vector of values on `device`.
#[must_use]
pub(crate) fn vector(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), device)
}

/// A row-major matrix of `width` columns on `device`.
#[must_use]
pub(crate) fn matrix(values: Vec<f32>, width: usize, device: &Device) -> Tensor<2> {
    let rows = values.len() / width.max(1);
    Tensor::from_data(TensorData::new(values, [rows, width]), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> MlpShape {
        MlpShape { inputs: 3, hidden: vec![4, 2], outputs: 1 }
    }

    /// The same function in plain Rust.
    fn by_hand(shape: &MlpShape, parameters: &[f32], row: &[f32]) -> Vec<f32> {
        let layers = shape.layers();
        let mut values = row.to_vec();
        for (index, layer) in layers.iter().enumerate() {
            values = (0..layer.outputs)
                .map(|output| {
                    let weight = |input: usize| parameters[layer.weight.start + input * layer.outputs + output];
                    let sum: f32 = values.iter().enumerate().map(|(input, value)| value * weight(input)).sum();
                    let value = sum + parameters[layer.bias.start + output];
                    if index + 1 == layers.len() { value } else { value.max(0.0) }
                })
                .collect();
        }
        values
    }

    #[test]
    fn layers_tile_the_flat_vector() {
        let layers = shape().layers();
        assert_eq!(layers.len(), 3);
        assert_eq!((layers[0].weight.clone(), layers[0].bias.clone()), (0..12, 12..16));
        assert_eq!((layers[2].weight.clone(), layers[2].bias.clone()), (26..28, 28..29));
        assert_eq!((layers[1].inputs, layers[1].outputs), (4, 2));
        assert_eq!(shape().parameters(), 29);
    }

    #[test]
    fn forward_is_the_function_by_hand() {
        let shape = shape();
        let mut parameters = shape.initial_parameters(3);
        parameters.iter_mut().enumerate().for_each(|(i, value)| *value += (i as f32).sin() / 10.0);
        let rows = [0.5_f32, -1.0, 2.0, 1.5, 0.25, -0.75];
        let device = Device::flex();
        let mlp = Mlp::new(&shape, &vector(parameters.clone(), &device));
        let scores = mlp.forward(matrix(rows.to_vec(), 3, &device), &[]).into_data().try_into_vec::<f32>().unwrap();
        for (score, row) in scores.iter().zip(rows.chunks(3)) {
            assert!((score - by_hand(&shape, &parameters, row)[0]).abs() < 1e-6);
        }
    }

    #[test]
    fn padding_adds_zero_scores_and_changes_no_other() {
        let shape = shape();
        let mut parameters = shape.initial_parameters(1);
        parameters.iter_mut().enumerate().for_each(|(i, value)| *value += (i as f32).cos() / 10.0);
        let (wide, padded) = shape.padded(&parameters, 4);
        assert_eq!((wide.hidden.as_slice(), padded.len()), ([4, 4].as_slice(), wide.parameters()));
        let row = [0.3, -0.2, 0.9];
        let scores = by_hand(&wide, &padded, &row);
        assert_eq!(scores, [by_hand(&shape, &parameters, &row)[0], 0.0, 0.0, 0.0]);
    }

    #[test]
    fn a_seed_decides_the_start() {
        assert_eq!(shape().initial_parameters(7), shape().initial_parameters(7));
        assert_ne!(shape().initial_parameters(7), shape().initial_parameters(8));
    }
}
