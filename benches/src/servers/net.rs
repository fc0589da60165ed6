//! Dense nets with weights from a fixed seed.

use std::path::Path;

use anyhow::Result;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::{Dtype, tensor::TensorView};

/// Width of a row.
pub(crate) const FEATURES: usize = 30;
/// The net of the figures: 30 → 64 → 1.
pub(crate) const MLP: &[usize] = &[64, 1];

/// A dense net with ReLU between its layers.
pub(crate) struct Net<'a> {
    /// Name that it is served by.
    pub(crate) name: &'a str,
    /// Outputs of each layer; the first has [`FEATURES`] inputs.
    pub(crate) layers: &'a [usize],
}

impl Net<'_> {
    /// The net of the figures, as `mlp`.
    pub(crate) const fn mlp() -> Self {
        Self { name: "mlp", layers: MLP }
    }

    /// Writes the weights as W1, b1, W2, b2, … in safetensors.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let mut random = ChaCha8Rng::seed_from_u64(0);
        let mut tensors = Vec::new();
        let mut inputs = FEATURES;
        for (index, outputs) in self.layers.iter().copied().enumerate() {
            // Keeps the size of the numbers from layer to layer (He et al. 2015).
            let scale = (24.0 / inputs as f32).sqrt();
            let weights: Vec<f32> = (0..inputs * outputs).map(|_| (random.random::<f32>() - 0.5) * scale).collect();
            tensors.push((format!("W{}", index + 1), vec![inputs, outputs], weights));
            tensors.push((format!("b{}", index + 1), vec![outputs], vec![0.0; outputs]));
            inputs = outputs;
        }
        let views: Vec<(&str, TensorView<'_>)> = tensors
            .iter()
            .map(|(name, shape, values)| {
                Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytemuck::cast_slice(values))?))
            })
            .collect::<Result<_>>()?;
        Ok(safetensors::serialize_to_file(views, None, path)?)
    }
}
