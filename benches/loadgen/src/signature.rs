//! The inputs of a model, as its server's metadata tells them.

use contract::DataType;
use prost::Message;
use serde::Deserialize;

use crate::{Error, Result, Target, client, error::setting, protobuf, target::Protocol};

/// An input of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// Its elements.
    pub datatype: DataType,
    /// Its axes; -1 where the size varies. A first axis of -1 is taken for the rows.
    pub shape: Vec<i64>,
}

impl Input {
    /// The shape of a request of `rows`.
    pub(crate) fn shape_of(&self, rows: usize) -> Result<Vec<usize>> {
        let mut shape = Vec::with_capacity(self.shape.len());
        for (place, axis) in self.shape.iter().enumerate() {
            match usize::try_from(*axis) {
                Ok(size) => shape.push(size),
                Err(_) if place == 0 => shape.push(rows),
                Err(_) => {
                    return setting(format!(
                        "expected a shape for input '{}', whose axes vary: {:?}; name it as {}:SIZE,SIZE",
                        self.name, self.shape, self.name
                    ));
                }
            }
        }
        if rows != 1 && self.shape.first().is_none_or(|axis| *axis >= 0) {
            return setting(format!(
                "expected 1 row per request, because input '{}' of shape {:?} has no axis of rows; got {rows}",
                self.name, self.shape
            ));
        }
        Ok(shape)
    }
}

/// The inputs of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Signature {
    /// In the order of the metadata.
    pub inputs: Vec<Input>,
}

#[derive(Deserialize)]
struct Metadata {
    inputs: Vec<Tensor>,
}

#[derive(Deserialize)]
struct Tensor {
    name: String,
    datatype: String,
    shape: Vec<i64>,
}

impl Signature {
    /// Asks the server for the model's metadata.
    ///
    /// # Errors
    /// [`Error::Unreachable`] without a connection, [`Error::Answer`] for an answer that is no metadata.
    pub fn fetch(target: &Target) -> Result<Self> {
        client::block_on(fetch(target))
    }

    /// Sets the axes of an input, written `NAME:SIZE,SIZE`, all but the rows.
    ///
    /// # Errors
    /// [`Error::Setting`] for another form, an unknown input, or sizes that contradict the metadata.
    pub fn set_shape(&mut self, text: &str) -> Result<()> {
        let wrong = |got: &str| {
            Error::Setting(format!("expected the sizes of an input's axes such as image:3,224,224, got '{text}'{got}"))
        };
        let (name, sizes) = text.rsplit_once(':').ok_or_else(|| wrong(""))?;
        let sizes: Vec<i64> = sizes
            .split(',')
            .map(|size| size.trim().parse())
            .collect::<std::result::Result<_, _>>()
            .map_err(|_| wrong(""))?;
        let Some(input) = self.inputs.iter_mut().find(|input| input.name == name) else {
            return Err(wrong(", which names no input"));
        };
        let rows = usize::from(input.shape.first().is_some_and(|axis| *axis < 0));
        let fits = |(axis, size): (&i64, &i64)| *size > 0 && (*axis < 0 || axis == size);
        if input.shape.len() - rows != sizes.len() || !input.shape[rows..].iter().zip(&sizes).all(fits) {
            return Err(wrong(&format!(", and the model says {:?}", input.shape)));
        }
        input.shape.truncate(rows);
        input.shape.extend(sizes);
        Ok(())
    }
}

async fn fetch(target: &Target) -> Result<Signature> {
    let question = format!("metadata of model '{}' at {}", target.model, target.address);
    let metadata = if target.protocol == Protocol::Grpc {
        let asked =
            protobuf::ModelRequest { name: target.model.clone(), version: target.version.clone().unwrap_or_default() };
        let bytes = client::call(target, protobuf::METADATA, &asked.encode_to_vec(), &question).await?;
        let answer = protobuf::ModelMetadata::decode(&*bytes)
            .map_err(|error| Error::Answer { question: question.clone(), got: error.to_string() })?;
        let tensor = |tensor: protobuf::TensorMetadata| {
            let protobuf::TensorMetadata { name, datatype, shape } = tensor;
            Tensor { name, datatype, shape }
        };
        Metadata { inputs: answer.inputs.into_iter().map(tensor).collect() }
    } else {
        let body = client::get(target, &target.model_path(), &question).await?;
        serde_json::from_slice(&body)
            .map_err(|error| Error::Answer { question: question.clone(), got: error.to_string() })?
    };
    let mut inputs = Vec::with_capacity(metadata.inputs.len());
    for Tensor { name, datatype, shape } in metadata.inputs {
        // Triton's configuration has the prefix, its metadata does not.
        let known = DataType::ALL.into_iter().find(|known| known.name() == datatype.trim_start_matches("TYPE_"));
        let Some(datatype) = known else {
            let got = format!("expected a known datatype of input '{name}', got '{datatype}'");
            return Err(Error::Answer { question, got });
        };
        inputs.push(Input { name, datatype, shape });
    }
    if inputs.is_empty() {
        return Err(Error::Answer { question, got: "expected inputs, got none".to_owned() });
    }
    Ok(Signature { inputs })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_set_and_checked() {
        let input = |shape: &[i64]| Input { name: "x".to_owned(), datatype: DataType::Fp32, shape: shape.to_vec() };
        assert_eq!(input(&[-1, 30]).shape_of(4).unwrap(), [4, 30]);
        assert_eq!(input(&[3, 8]).shape_of(1).unwrap(), [3, 8]);
        assert!(input(&[3, 8]).shape_of(2).unwrap_err().to_string().contains("no axis of rows"));
        assert!(input(&[-1, -1]).shape_of(2).unwrap_err().to_string().contains("x:SIZE"));
        let mut signature = Signature { inputs: vec![input(&[-1, 3, -1])] };
        for text in ["x", "y:3,4", "x:3", "x:4,4", "x:3,0", "x:3,a", "x:1,3,4"] {
            assert!(signature.set_shape(text).is_err(), "{text}");
        }
        signature.set_shape("x:3,4").unwrap();
        assert_eq!(signature.inputs[0].shape_of(2).unwrap(), [2, 3, 4]);
    }
}
