//! The sizes of a multi-layer perceptron, and where its parameters lie in a flat vector: layer by layer the weight, row-major
//! `[inputs, outputs]`, then the bias.

use std::ops::Range;

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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_tile_the_flat_vector() {
        let shape = MlpShape { inputs: 3, hidden: vec![4, 2], outputs: 1 };
        let layers = shape.layers();
        assert_eq!(layers.len(), 3);
        assert_eq!((layers[0].weight.clone(), layers[0].bias.clone()), (0..12, 12..16));
        assert_eq!((layers[2].weight.clone(), layers[2].bias.clone()), (26..28, 28..29));
        assert_eq!((layers[1].inputs, layers[1].outputs), (4, 2));
        assert_eq!(shape.parameters(), 29);
    }
}
