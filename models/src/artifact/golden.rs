//! Golden predictions as JSON that a person can read: numbers as numbers, strings as strings, missing values by a list of
//! present flags. Every float reads back to the same bits, NaN's payload aside.

use std::path::Path;

use contract::{AlignedBuffer, Bitmap, DataType, Element, Golden, OpenError, Strings, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, Result};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GoldenFile {
    tolerance: f32,
    inputs: Vec<TensorFile>,
    outputs: Vec<TensorFile>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TensorFile {
    name: String,
    datatype: DataType,
    shape: Vec<usize>,
    data: Vec<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    present: Option<Vec<bool>>,
}

/// The golden predictions as the bytes of a file.
///
/// # Errors
/// When a tensor holds strings that are not UTF-8, or FP16 or BF16 values.
pub fn write_golden(golden: &Golden) -> Result<Vec<u8>> {
    let tensors = |tensors: &[Tensor]| tensors.iter().map(to_file).collect::<Result<Vec<_>>>();
    let file = GoldenFile {
        tolerance: golden.tolerance,
        inputs: tensors(&golden.inputs)?,
        outputs: tensors(&golden.outputs)?,
    };
    Ok(serde_json::to_vec(&file).map_err(std::io::Error::from)?)
}

/// Reads what [`write_golden`] wrote; `path` is where it came from, for messages.
///
/// # Errors
/// [`OpenError::Content`] when `bytes` are not golden predictions.
pub fn read_golden(path: &Path, bytes: &[u8]) -> Result<Golden, OpenError> {
    let wrong = |got: String| OpenError::Content {
        path: path.to_owned(),
        expected: "golden predictions in JSON".to_owned(),
        got,
    };
    let file: GoldenFile = serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
    let tensors = |tensors: Vec<TensorFile>| tensors.into_iter().map(from_file).collect::<Result<Vec<_>, String>>();
    Ok(Golden {
        inputs: tensors(file.inputs).map_err(wrong)?,
        outputs: tensors(file.outputs).map_err(wrong)?,
        tolerance: file.tolerance,
    })
}

/// The elements of `$tensor` as JSON, each by `$each`; none when they are of another type.
macro_rules! values {
    ($tensor:expr, $rust:ty) => {
        $tensor.values::<$rust>().map(|values| values.iter().map(|value| Value::from(*value)).collect())
    };
}

fn to_file(tensor: &Tensor) -> Result<TensorFile> {
    let data: Option<Vec<Value>> = match tensor.datatype() {
        DataType::Bool => tensor.bytes().map(|bytes| bytes.iter().map(|byte| Value::Bool(*byte != 0)).collect()),
        DataType::Uint8 => values!(tensor, u8),
        DataType::Uint16 => values!(tensor, u16),
        DataType::Uint32 => values!(tensor, u32),
        DataType::Uint64 => values!(tensor, u64),
        DataType::Int8 => values!(tensor, i8),
        DataType::Int16 => values!(tensor, i16),
        DataType::Int32 => values!(tensor, i32),
        DataType::Int64 => values!(tensor, i64),
        // Exact: every f32 is an f64.
        DataType::Fp32 => {
            tensor.values::<f32>().map(|values| values.iter().map(|value| float(f64::from(*value))).collect())
        }
        DataType::Fp64 => tensor.values::<f64>().map(|values| values.iter().map(|value| float(*value)).collect()),
        DataType::Bytes => tensor
            .strings()
            .and_then(|strings| strings.iter().map(|text| std::str::from_utf8(text).ok().map(Value::from)).collect()),
        DataType::Fp16 | DataType::Bf16 => None,
    };
    let Some(data) = data else {
        return Err(Error::Setting(format!(
            "expected golden tensor '{}' to hold numbers or UTF-8 strings, got {}",
            tensor.name(),
            tensor.datatype()
        )));
    };
    let present = tensor.validity().map(|validity| (0..validity.len()).map(|index| validity.get(index)).collect());
    Ok(TensorFile {
        name: tensor.name().to_owned(),
        datatype: tensor.datatype(),
        shape: tensor.shape().to_vec(),
        data,
        present,
    })
}

/// A float as JSON; what JSON has no number for, as the protocol's word.
fn float(value: f64) -> Value {
    serde_json::Number::from_f64(value).map_or_else(
        || {
            Value::from(if value.is_nan() {
                "NaN"
            } else if value > 0.0 {
                "Infinity"
            } else {
                "-Infinity"
            })
        },
        Value::Number,
    )
}

fn read_float(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(word) => match word.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Elements as a buffer, each read by `read`.
fn buffer<T: Element>(data: &[Value], read: impl Fn(&Value) -> Option<T>) -> Option<AlignedBuffer> {
    let mut buffer = AlignedBuffer::with_capacity(size_of_val(data));
    for value in data {
        buffer.push(read(value)?);
    }
    Some(buffer)
}

fn unsigned<T: Element + TryFrom<u64>>(data: &[Value]) -> Option<AlignedBuffer> {
    buffer(data, |value| T::try_from(value.as_u64()?).ok())
}

fn signed<T: Element + TryFrom<i64>>(data: &[Value]) -> Option<AlignedBuffer> {
    buffer(data, |value| T::try_from(value.as_i64()?).ok())
}

fn from_file(file: TensorFile) -> Result<Tensor, String> {
    let TensorFile { name, datatype, shape, data, present } = file;
    let wrong = || format!("tensor '{name}' with data that is not {datatype}");
    let tensor = if datatype == DataType::Bytes {
        let strings: Option<Strings> =
            data.iter().map(Value::as_str).collect::<Option<Vec<_>>>().map(Strings::from_iter);
        Tensor::from_strings(&name, shape, strings.ok_or_else(wrong)?)
    } else {
        let buffer = match datatype {
            DataType::Bool => buffer::<u8>(&data, |value| value.as_bool().map(u8::from)),
            DataType::Uint8 => unsigned::<u8>(&data),
            DataType::Uint16 => unsigned::<u16>(&data),
            DataType::Uint32 => unsigned::<u32>(&data),
            DataType::Uint64 => unsigned::<u64>(&data),
            DataType::Int8 => signed::<i8>(&data),
            DataType::Int16 => signed::<i16>(&data),
            DataType::Int32 => signed::<i32>(&data),
            DataType::Int64 => signed::<i64>(&data),
            DataType::Fp32 => buffer::<f32>(&data, |value| read_float(value).map(|value| value as f32)),
            DataType::Fp64 => buffer::<f64>(&data, read_float),
            DataType::Fp16 | DataType::Bf16 | DataType::Bytes => None,
        };
        Tensor::from_buffer(&name, datatype, shape, buffer.ok_or_else(wrong)?)
    };
    let tensor = tensor.map_err(|error| error.to_string())?;
    let Some(present) = present else { return Ok(tensor) };
    let mut validity = Bitmap::default();
    for present in present {
        validity.push(present);
    }
    tensor.with_validity(validity).map_err(|error| error.to_string())
}
