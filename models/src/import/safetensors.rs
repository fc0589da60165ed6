//! Dense nets in safetensors files. The crate checks header and offsets against the bytes at hand before it hands out a
//! tensor, and tensors are views, so nothing is allocated on the file's word.

use contract::OpenError;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::{DenseWeights, NamedTensor, Source};
use crate::{Error, Result};

pub(super) fn read(source: &Source<'_>, bytes: &[u8]) -> Result<Vec<NamedTensor>, OpenError> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| {
        source.wrong("a safetensors or npz file", format!("{} bytes that are neither ({error})", bytes.len()))
    })?;
    file.iter()
        .map(|(name, view)| {
            let values = values(&view)
                .ok_or_else(|| source.wrong(format!("tensor '{name}' in F32 or F64"), format!("{:?}", view.dtype())))?;
            Ok(NamedTensor { name: name.to_owned(), shape: view.shape().to_vec(), values })
        })
        .collect()
}

fn values(view: &TensorView<'_>) -> Option<Vec<f32>> {
    match view.dtype() {
        Dtype::F32 => Some(view.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()),
        Dtype::F64 => Some(view.data().as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes) as f32).collect()),
        // The crate's list of types grows; none of the others holds the weights of a dense net.
        _ => None,
    }
}

pub(super) fn write(weights: &DenseWeights) -> Result<Vec<u8>> {
    let little_endian = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for (number, layer) in (1..).zip(weights.layers()) {
        tensors.push((format!("W{number}"), vec![layer.inputs, layer.outputs], little_endian(&layer.weights)));
        tensors.push((format!("b{number}"), vec![layer.outputs], little_endian(&layer.bias)));
    }
    let unfit = |error: safetensors::SafeTensorError| {
        Error::Setting(format!("expected weights that safetensors can hold, got {error}"))
    };
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| {
            Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(unfit)?))
        })
        .collect::<Result<Vec<_>>>()?;
    safetensors::serialize(views, None).map_err(unfit)
}
