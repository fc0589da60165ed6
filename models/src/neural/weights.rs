//! Weights in safetensors: one F32 tensor a parameter, by the keys and shapes of the net's layout (`docs/nets.md` lists them).
//! The header's metadata holds the net's sizes as JSON under `emberline.net`.
//!
//! A perceptron without embeddings needs no metadata: layer `i` (from 0) is `layers.{i}.weight` `[inputs, outputs]` and
//! `layers.{i}.bias` `[outputs]`, and its sizes follow from the shapes.

use std::{collections::HashMap, path::Path};

use contract::OpenError;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::{
    mlp::MlpShape,
    net::Weights,
    nets::{NetShape, Parameter},
};

/// Where the header has the sizes of a net.
const SHAPE_KEY: &str = "emberline.net";

/// What was expected and what came.
type Misfit = (String, String);

/// The safetensors bytes of a net.
///
/// # Errors
/// One sentence when the sizes and the number of parameters disagree.
pub(crate) fn write(shape: &NetShape, parameters: &[f32]) -> Result<Vec<u8>, String> {
    let json = match shape.as_mlp() {
        Some(_) => None,
        None => Some(serde_json::to_string(shape).map_err(|error| error.to_string())?),
    };
    written(shape, parameters, json)
}

fn written(shape: &NetShape, parameters: &[f32], json: Option<String>) -> Result<Vec<u8>, String> {
    let layout = shape.layout();
    if parameters.len() != layout.len() {
        return Err(format!("expected {} parameters, got {}", layout.len(), parameters.len()));
    }
    let view = |parameter: &Parameter| {
        let bytes: &[u8] = bytemuck::cast_slice(&parameters[parameter.range.clone()]);
        TensorView::new(Dtype::F32, parameter.shape.clone(), bytes).map(|view| (parameter.key.clone(), view))
    };
    let views =
        layout.parameters().iter().map(view).collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    let metadata = json.map(|json| HashMap::from([(SHAPE_KEY.to_owned(), json)]));
    safetensors::serialize(views, metadata).map_err(|error| error.to_string())
}

/// As [`write`], with the sizes in the metadata whatever the net.
///
/// # Errors
/// As [`write`].
pub(crate) fn write_whole(shape: &NetShape, parameters: &[f32]) -> Result<Vec<u8>, String> {
    let json = serde_json::to_string(shape).map_err(|error| error.to_string())?;
    written(shape, parameters, Some(json))
}

/// Whether a file's metadata has the sizes of a net.
pub(crate) fn says_its_sizes(bytes: &[u8]) -> bool {
    let metadata = SafeTensors::read_metadata(bytes).ok();
    metadata
        .is_some_and(|(_, header)| header.metadata().as_ref().is_some_and(|entries| entries.contains_key(SHAPE_KEY)))
}

/// Reads what [`write`] wrote; `path` names the file in errors.
///
/// # Errors
/// [`OpenError::Content`] when the bytes are not safetensors or the tensors are not those of the net.
pub(crate) fn read(bytes: &[u8], path: &Path) -> Result<Weights, OpenError> {
    let content = |(expected, got): Misfit| OpenError::Content { path: path.to_owned(), expected, got };
    let unreadable = |error: &dyn std::fmt::Display| content(("safetensors".to_owned(), error.to_string()));
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| unreadable(&error))?;
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| unreadable(&error))?;
    let sizes = header.metadata().as_ref().and_then(|entries| entries.get(SHAPE_KEY));
    let shape = match sizes {
        Some(json) => {
            let shape: NetShape = serde_json::from_str(json)
                .map_err(|error| content(("the sizes of a net".to_owned(), error.to_string())))?;
            shape.check().map_err(content)?;
            shape
        }
        None => NetShape::mlp(&perceptron(&tensors).map_err(content)?),
    };
    let parameters = parameters(&shape, &tensors).map_err(content)?;
    Ok(Weights { shape, parameters })
}

/// The sizes of the perceptron whose layers these are.
fn perceptron(tensors: &SafeTensors<'_>) -> Result<MlpShape, Misfit> {
    if tensors.is_empty() || !tensors.len().is_multiple_of(2) {
        return Err(("a weight and a bias for each layer".to_owned(), format!("{} tensors", tensors.len())));
    }
    let mut sizes = Vec::new();
    for layer in 0..tensors.len() / 2 {
        let shape = |part: &str| {
            let key = format!("layers.{layer}.{part}");
            let tensor = tensors.tensor(&key);
            tensor.map(|tensor| tensor.shape().to_vec()).map_err(|_| absent(&key))
        };
        let (weight, bias) = (shape("weight")?, shape("bias")?);
        let ([inputs, outputs], [units]) = (weight.as_slice(), bias.as_slice()) else {
            let got = format!("shapes {weight:?} and {bias:?} in layer {layer}");
            return Err(("a weight [inputs, outputs] and a bias [outputs]".to_owned(), got));
        };
        let before = *sizes.last().unwrap_or(inputs);
        if *inputs != before || units != outputs || *inputs == 0 || *outputs == 0 {
            let got = format!("weight {weight:?} and bias {bias:?} in layer {layer} behind {before} values");
            return Err(("layers that fit together".to_owned(), got));
        }
        if layer == 0 {
            sizes.push(*inputs);
        }
        sizes.push(*outputs);
    }
    let outputs = sizes.pop().unwrap_or_default();
    let inputs = sizes.remove(0);
    Ok(MlpShape { inputs, hidden: sizes, outputs })
}

fn absent(key: &str) -> Misfit {
    (format!("tensor '{key}'"), "none of this name".to_owned())
}

/// The flat parameters of a net.
fn parameters(shape: &NetShape, tensors: &SafeTensors<'_>) -> Result<Vec<f32>, Misfit> {
    let layout = shape.layout();
    if tensors.len() != layout.parameters().len() {
        return Err((format!("{} tensors", layout.parameters().len()), tensors.len().to_string()));
    }
    // Memory for what the file holds, not for what its header says.
    let mut parameters = Vec::new();
    for Parameter { key, shape, .. } in layout.parameters() {
        let tensor = tensors.tensor(key).map_err(|_| absent(key))?;
        if tensor.dtype() != Dtype::F32 {
            return Err(("F32 tensors".to_owned(), format!("{:?} as '{key}'", tensor.dtype())));
        }
        if tensor.shape() != shape {
            return Err((format!("tensor '{key}' of shape {shape:?}"), format!("{:?}", tensor.shape())));
        }
        // The bytes of a file need not be aligned to four.
        let (values, _) = tensor.data().as_chunks::<4>();
        let start = parameters.len();
        parameters.extend(values.iter().map(|value| f32::from_le_bytes(*value)));
        if let Some(place) = parameters[start..].iter().position(|value| !value.is_finite()) {
            let got = format!("{} at place {place} of '{key}'", parameters[start + place]);
            return Err(("finite weights".to_owned(), got));
        }
    }
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::neural::nets::tests::shapes;

    fn mlp(hidden: Vec<usize>) -> NetShape {
        NetShape::mlp(&MlpShape { inputs: 3, hidden, outputs: 2 })
    }

    #[test]
    fn reads_back_what_it_wrote_to_the_bit() {
        let perceptrons = [vec![], vec![4], vec![5, 3, 2], vec![2; 12]].map(mlp);
        for shape in perceptrons.into_iter().chain(shapes()) {
            let parameters = shape.layout().initial(9);
            let bytes = write(&shape, &parameters).unwrap();
            // Nothing is lost of dropout and of the parts of the row but for a perceptron, which the file knows by its layers.
            let shape = shape.as_mlp().map_or(shape, |mlp| NetShape::mlp(&mlp));
            assert_eq!(read(&bytes, Path::new("w")).unwrap(), Weights { shape, parameters });
        }
    }

    #[test]
    fn refuses_what_is_no_net() {
        let shape = mlp(vec![4]);
        let mut parameters = shape.layout().initial(9);
        assert!(write(&shape, &parameters[1..]).is_err());
        let bytes = write(&shape, &parameters).unwrap();
        assert!(matches!(read(&bytes[..bytes.len() - 1], Path::new("w")), Err(OpenError::Content { .. })));
        parameters[0] = f32::NAN;
        let error = read(&write(&shape, &parameters).unwrap(), Path::new("w")).unwrap_err().to_string();
        assert_eq!(error, "w: expected finite weights, got NaN at place 0 of 'layers.0.weight'");

        let values = [0.5_f32; 10];
        let views = [
            ("layers.0.weight", TensorView::new(Dtype::F32, vec![5, 2], bytemuck::cast_slice(&values)).unwrap()),
            ("layers.0.bias", TensorView::new(Dtype::F32, vec![1], bytemuck::cast_slice(&values[..1])).unwrap()),
        ];
        let error = read(&safetensors::serialize(views, None).unwrap(), Path::new("w")).unwrap_err().to_string();
        assert!(error.contains("expected layers that fit together"), "{error}");
    }

    #[test]
    fn a_header_that_asks_for_too_much_gets_nothing() {
        for mut shape in shapes() {
            let bytes = write(&shape, &shape.layout().initial(1)).unwrap();
            shape.outputs += 1;
            let json = serde_json::to_string(&shape).unwrap();
            let tensors = SafeTensors::deserialize(&bytes).unwrap();
            let views = tensors.tensors();
            let lie = safetensors::serialize(views, Some(HashMap::from([(SHAPE_KEY.to_owned(), json)]))).unwrap();
            let error = read(&lie, Path::new("w")).unwrap_err().to_string();
            assert!(error.contains("of shape"), "{error}");
        }
    }
}
