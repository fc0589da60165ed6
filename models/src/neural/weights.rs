//! Weights in safetensors: layer `i` (from 0) is `layers.{i}.weight`, F32 row-major `[inputs, outputs]`, and
//! `layers.{i}.bias`, F32 `[outputs]`. The sizes of the net follow from the tensors' shapes.

use std::path::Path;

use contract::OpenError;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::mlp::MlpShape;

fn weight_key(layer: usize) -> String {
    format!("layers.{layer}.weight")
}

fn bias_key(layer: usize) -> String {
    format!("layers.{layer}.bias")
}

/// The safetensors bytes of a perceptron.
///
/// # Errors
/// One sentence when the sizes and the number of parameters disagree.
pub(crate) fn write(shape: &MlpShape, parameters: &[f32]) -> Result<Vec<u8>, String> {
    if parameters.len() != shape.parameters() {
        return Err(format!("expected {} parameters, got {}", shape.parameters(), parameters.len()));
    }
    let mut views = Vec::new();
    for (index, layer) in shape.layers().into_iter().enumerate() {
        let weight: &[u8] = bytemuck::cast_slice(&parameters[layer.weight]);
        let bias: &[u8] = bytemuck::cast_slice(&parameters[layer.bias]);
        let view = |shape, bytes| TensorView::new(Dtype::F32, shape, bytes).map_err(|error| error.to_string());
        views.push((weight_key(index), view(vec![layer.inputs, layer.outputs], weight)?));
        views.push((bias_key(index), view(vec![layer.outputs], bias)?));
    }
    safetensors::serialize(views, None).map_err(|error| error.to_string())
}

/// Reads what [`write`] wrote; `path` names the file in errors.
///
/// # Errors
/// [`OpenError::Content`] when the bytes are not safetensors or the layers do not fit together.
pub(crate) fn read(bytes: &[u8], path: &Path) -> Result<(MlpShape, Vec<f32>), OpenError> {
    let content =
        |expected: &str, got: String| OpenError::Content { path: path.to_owned(), expected: expected.to_owned(), got };
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| content("safetensors", error.to_string()))?;
    if tensors.is_empty() || !tensors.len().is_multiple_of(2) {
        return Err(content("a weight and a bias for each layer", format!("{} tensors", tensors.len())));
    }
    let mut sizes = Vec::new();
    let mut parameters = Vec::new();
    for layer in 0..tensors.len() / 2 {
        let tensor = |key: String| {
            tensors.tensor(&key).map_err(|_| content(&format!("tensor '{key}'"), "none of this name".to_owned()))
        };
        let weight = tensor(weight_key(layer))?;
        let bias = tensor(bias_key(layer))?;
        let (&[inputs, outputs], &[units]) = (weight.shape(), bias.shape()) else {
            let got = format!("shapes {:?} and {:?} in layer {layer}", weight.shape(), bias.shape());
            return Err(content("a weight [inputs, outputs] and a bias [outputs]", got));
        };
        if weight.dtype() != Dtype::F32 || bias.dtype() != Dtype::F32 {
            let got = format!("{:?} and {:?} in layer {layer}", weight.dtype(), bias.dtype());
            return Err(content("F32 tensors", got));
        }
        let before = *sizes.last().unwrap_or(&inputs);
        if inputs != before || units != outputs || inputs == 0 || outputs == 0 {
            let got = format!(
                "weight {:?} and bias {:?} in layer {layer} behind {before} values",
                weight.shape(),
                bias.shape()
            );
            return Err(content("layers that fit together", got));
        }
        if layer == 0 {
            sizes.push(inputs);
        }
        sizes.push(outputs);
        // The bytes of a file need not be aligned to four.
        for part in [weight.data(), bias.data()] {
            let (values, _) = part.as_chunks::<4>();
            parameters.extend(values.iter().map(|value| f32::from_le_bytes(*value)));
        }
    }
    if let Some(position) = parameters.iter().position(|value: &f32| !value.is_finite()) {
        return Err(content("finite weights", format!("{} at position {position}", parameters[position])));
    }
    let outputs = sizes.pop().unwrap_or_default();
    let inputs = sizes.remove(0);
    Ok((MlpShape { inputs, hidden: sizes, outputs }, parameters))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_wrote_to_the_bit() {
        for hidden in [vec![], vec![4], vec![5, 3, 2], vec![2; 12]] {
            let shape = MlpShape { inputs: 3, hidden, outputs: 2 };
            let parameters = shape.initial_parameters(9);
            let bytes = write(&shape, &parameters).unwrap();
            assert_eq!(read(&bytes, Path::new("w")).unwrap(), (shape, parameters));
        }
    }

    #[test]
    fn refuses_what_is_no_net() {
        let shape = MlpShape { inputs: 3, hidden: vec![4], outputs: 2 };
        let mut parameters = shape.initial_parameters(9);
        assert!(write(&shape, &parameters[1..]).is_err());
        let bytes = write(&shape, &parameters).unwrap();
        assert!(matches!(read(&bytes[..bytes.len() - 1], Path::new("w")), Err(OpenError::Content { .. })));
        parameters[0] = f32::NAN;
        let error = read(&write(&shape, &parameters).unwrap(), Path::new("w")).unwrap_err().to_string();
        assert_eq!(error, "w: expected finite weights, got NaN at position 0");

        let misfit = MlpShape { inputs: 5, hidden: vec![], outputs: 2 };
        let values = misfit.initial_parameters(1);
        let views = [
            ("layers.0.weight", TensorView::new(Dtype::F32, vec![5, 2], bytemuck::cast_slice(&values[..10])).unwrap()),
            ("layers.0.bias", TensorView::new(Dtype::F32, vec![1], bytemuck::cast_slice(&values[..1])).unwrap()),
        ];
        let error = read(&safetensors::serialize(views, None).unwrap(), Path::new("w")).unwrap_err().to_string();
        assert!(error.contains("expected layers that fit together"), "{error}");
    }
}
