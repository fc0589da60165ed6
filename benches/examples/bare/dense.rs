//! A dense net as loops: ReLU between the layers. Weights lie as [inputs, outputs], so that the inner loop goes along
//! neighbours in memory and the compiler makes vector instructions of it.

use std::{path::Path, sync::Arc};

use anyhow::{Context, Result, bail, ensure};
use safetensors::{Dtype, SafeTensors};

use super::{Net, protocol::FEATURES};

struct Layer {
    weights: Vec<f32>,
    bias: Vec<f32>,
}

pub(crate) struct Dense {
    layers: Vec<Layer>,
}

impl Dense {
    /// Reads W1, b1, W2, b2, …
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let bytes = fs_err::read(path)?;
        let tensors = SafeTensors::deserialize(&bytes)?;
        let values = |name: &str| -> Result<Option<Vec<f32>>> {
            let Ok(tensor) = tensors.tensor(name) else { return Ok(None) };
            ensure!(tensor.dtype() == Dtype::F32, "expected FP32, got {:?} of {name}", tensor.dtype());
            let (values, _rest) = tensor.data().as_chunks::<4>();
            Ok(Some(values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()))
        };
        let mut layers = Vec::new();
        let mut width = FEATURES;
        while let Some(weights) = values(&format!("W{}", layers.len() + 1))? {
            let bias = values(&format!("b{}", layers.len() + 1))?.context("expected a bias for every layer")?;
            ensure!(weights.len() == width * bias.len(), "expected {width} rows of {} weights", bias.len());
            width = bias.len();
            layers.push(Layer { weights, bias });
        }
        if layers.is_empty() {
            bail!("expected W1, b1, W2, b2, … in {}", path.display());
        }
        Ok(Self { layers })
    }

    /// One for a thread: weights are shared, buffers are not.
    pub(crate) fn scratch(self: &Arc<Self>) -> Runner {
        Runner { net: Arc::clone(self), x: Vec::new(), y: Vec::new() }
    }
}

pub(crate) struct Runner {
    net: Arc<Dense>,
    x: Vec<f32>,
    y: Vec<f32>,
}

impl Net for Runner {
    fn run(&mut self, row: &[f32]) -> Result<Vec<f32>> {
        let Self { net, x, y } = self;
        row.clone_into(x);
        for (index, Layer { weights, bias }) in net.layers.iter().enumerate() {
            if index > 0 {
                for value in &mut *x {
                    *value = value.max(0.0);
                }
            }
            bias.clone_into(y);
            for (value, weights) in x.iter().zip(weights.chunks_exact(bias.len())) {
                for (sum, weight) in y.iter_mut().zip(weights) {
                    *sum += value * weight;
                }
            }
            std::mem::swap(x, y);
        }
        Ok(x.clone())
    }
}
