//! Answers as JSON, written from tensors without a value tree, and the raw tensors behind it.
//!
//! Floats are written with the fewest digits that read back to the same bits; what JSON has no number for is written as
//! `NaN`, `Infinity` and `-Infinity`, as the protocol's other servers do; a missing element is `null`.

use std::ops::Range;

use contract::{DataType, Element, Tensor};
use serde::Serialize;

use super::{
    Result, WireError,
    output::{Place, PlacedOutput},
    raw,
};

/// Appends the protocol's answer to an inference: `id` (when the client gave one), `model_name`, `model_version`, `outputs`,
/// and behind that JSON the outputs that go out as raw bytes. Gives the length of the JSON if there are any.
///
/// # Errors
/// [`WireError::Output`] for an output that its form cannot carry.
pub fn encode_infer(
    out: &mut Vec<u8>,
    id: Option<&str>,
    model: &str,
    version: u32,
    outputs: &[PlacedOutput<'_>],
) -> Result<Option<usize>> {
    let start = out.len();
    out.push(b'{');
    if let Some(id) = id {
        out.extend_from_slice(b"\"id\":");
        scalar(out, "id", id)?;
        out.push(b',');
    }
    out.extend_from_slice(b"\"model_name\":");
    scalar(out, "model_name", model)?;
    out.extend_from_slice(b",\"model_version\":\"");
    scalar(out, "model_version", &version)?;
    out.extend_from_slice(b"\",\"outputs\":[");
    for (number, PlacedOutput { tensor, place }) in outputs.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"name\":");
        scalar(out, tensor.name(), tensor.name())?;
        out.extend_from_slice(b",\"datatype\":\"");
        out.extend_from_slice(tensor.datatype().name().as_bytes());
        out.extend_from_slice(b"\",\"shape\":");
        scalar(out, tensor.name(), tensor.shape())?;
        match place {
            Place::Json => {
                out.extend_from_slice(b",\"data\":[");
                elements(out, tensor, 0..tensor.len())?;
                out.extend_from_slice(b"]}");
            }
            Place::Binary => {
                out.extend_from_slice(b",\"parameters\":{\"binary_data_size\":");
                scalar(out, tensor.name(), &raw::length(tensor))?;
                out.extend_from_slice(b"}}");
            }
            // Triton says no more of it either, and its C++ client takes any parameter for those of a raw tensor.
            Place::Shared(_) => out.push(b'}'),
        }
    }
    out.extend_from_slice(b"]}");
    let json = out.len() - start;
    let binary = || outputs.iter().filter(|output| output.place == Place::Binary).map(|output| &output.tensor);
    out.reserve(binary().map(|tensor| raw::length(tensor)).sum());
    let mut any = false;
    for tensor in binary() {
        raw::append(out, tensor)?;
        any = true;
    }
    Ok(any.then_some(json))
}

/// Appends our own answer to a prediction: `model`, `version` and one object a row with its prediction `id`, its `entity`
/// (when rows were asked for by entity) and its outputs by name, a single value or a list as their shape says. The outputs may be in
/// several parts, of as many rows each.
///
/// # Errors
/// [`WireError::Output`] for an output that JSON cannot carry.
pub fn encode_predictions(
    out: &mut Vec<u8>,
    prediction_id: &str,
    model: &str,
    version: u32,
    entities: Option<&[String]>,
    outputs: &[&[Tensor]],
) -> Result<()> {
    let outputs = || outputs.iter().copied().flatten();
    out.extend_from_slice(b"{\"model\":");
    scalar(out, "model", model)?;
    out.extend_from_slice(b",\"version\":");
    scalar(out, "version", &version)?;
    out.extend_from_slice(b",\"predictions\":[");
    for row in 0..outputs().next().map_or(0, Tensor::rows) {
        if row > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"id\":");
        scalar(out, "id", &format!("{prediction_id}#{row}"))?;
        if let Some(entity) = entities.and_then(|entities| entities.get(row)) {
            out.extend_from_slice(b",\"entity\":");
            scalar(out, "entity", entity)?;
        }
        for tensor in outputs() {
            out.push(b',');
            scalar(out, tensor.name(), tensor.name())?;
            out.push(b':');
            let width = tensor.len() / tensor.rows().max(1);
            let row_shape = tensor.shape().get(1..).unwrap_or_default();
            if width == 1 {
                elements(out, tensor, row * width..(row + 1) * width)?;
            } else {
                nested(out, tensor, row_shape, row * width..(row + 1) * width)?;
            }
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    Ok(())
}

/// The elements of `range` as lists of lists, after `shape`.
fn nested(out: &mut Vec<u8>, tensor: &Tensor, shape: &[usize], range: Range<usize>) -> Result<()> {
    out.push(b'[');
    match shape {
        [] | [_] => elements(out, tensor, range)?,
        [size, inner @ ..] => {
            let width = range.len() / (*size).max(1);
            for part in 0..*size {
                if part > 0 {
                    out.push(b',');
                }
                let start = range.start + part * width;
                nested(out, tensor, inner, start..start + width)?;
            }
        }
    }
    out.push(b']');
    Ok(())
}

/// The elements of `range`, commas between them.
pub(super) fn elements(out: &mut Vec<u8>, tensor: &Tensor, range: Range<usize>) -> Result<()> {
    match tensor.datatype() {
        DataType::Bool => list(out, tensor, range, |out, index| {
            let set = tensor.bytes().is_some_and(|bytes| bytes[index] != 0);
            out.extend_from_slice(if set { b"true" } else { b"false" });
            Ok(())
        }),
        DataType::Uint8 => numbers::<u8>(out, tensor, range),
        DataType::Uint16 => numbers::<u16>(out, tensor, range),
        DataType::Uint32 => numbers::<u32>(out, tensor, range),
        DataType::Uint64 => numbers::<u64>(out, tensor, range),
        DataType::Int8 => numbers::<i8>(out, tensor, range),
        DataType::Int16 => numbers::<i16>(out, tensor, range),
        DataType::Int32 => numbers::<i32>(out, tensor, range),
        DataType::Int64 => numbers::<i64>(out, tensor, range),
        DataType::Fp32 => floats::<f32>(out, tensor, range),
        DataType::Fp64 => floats::<f64>(out, tensor, range),
        DataType::Bytes => list(out, tensor, range, |out, index| {
            let bytes = tensor.strings().and_then(|strings| strings.get(index)).unwrap_or_default();
            match std::str::from_utf8(bytes) {
                Ok(text) => scalar(out, tensor.name(), text),
                Err(_) => Err(unwritable(
                    tensor.name(),
                    format!("ask for it as binary data, because element {index} is not UTF-8 text"),
                )),
            }
        }),
        DataType::Fp16 | DataType::Bf16 => Err(unwritable(
            tensor.name(),
            format!("ask for it as binary data, because JSON cannot carry {}", tensor.datatype()),
        )),
    }
}

fn numbers<T: Element + Serialize>(out: &mut Vec<u8>, tensor: &Tensor, range: Range<usize>) -> Result<()> {
    let values = tensor.values::<T>().unwrap_or_default();
    list(out, tensor, range, |out, index| scalar(out, tensor.name(), &values[index]))
}

fn floats<T: Element + Serialize + Into<f64>>(out: &mut Vec<u8>, tensor: &Tensor, range: Range<usize>) -> Result<()> {
    let values = tensor.values::<T>().unwrap_or_default();
    list(out, tensor, range, |out, index| {
        let wide: f64 = values[index].into();
        if wide.is_finite() {
            return scalar(out, tensor.name(), &values[index]);
        }
        out.extend_from_slice(if wide.is_nan() {
            b"NaN"
        } else if wide > 0.0 {
            b"Infinity"
        } else {
            b"-Infinity"
        });
        Ok(())
    })
}

/// Writes each element of `range` by `one`, or `null` where it is missing.
#[inline]
pub(super) fn list(
    out: &mut Vec<u8>,
    tensor: &Tensor,
    range: Range<usize>,
    mut one: impl FnMut(&mut Vec<u8>, usize) -> Result<()>,
) -> Result<()> {
    let start = range.start;
    for index in range {
        if index > start {
            out.push(b',');
        }
        if tensor.is_valid(index) {
            one(out, index)?;
        } else {
            out.extend_from_slice(b"null");
        }
    }
    Ok(())
}

/// Writes a finite number, a string or a shape; `serde_json` prints floats with the fewest digits that read back.
pub(super) fn scalar<T: Serialize + ?Sized>(out: &mut Vec<u8>, name: &str, value: &T) -> Result<()> {
    serde_json::to_writer(out, value).map_err(|error| unwritable(name, error.to_string()))
}

pub(super) fn unwritable(output: &str, reason: String) -> WireError {
    WireError::Output { output: output.to_owned(), reason }
}
