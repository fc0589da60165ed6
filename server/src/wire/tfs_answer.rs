//! The answers of TensorFlow Serving's REST calls.
//!
//! Tensors are nested as their shapes say. One output stands without its name, several by name; strings of an output whose name
//! ends in `_bytes` are written as `{"b64": "…"}`.

use std::ops::Range;

use base64::{Engine, engine::general_purpose::STANDARD};
use contract::{DataType, Tensor};
use serde::Serialize;

use super::{
    Result, TfsForm,
    encode::{elements, list, scalar, unwritable},
};

/// Ends the names of outputs whose strings are bytes.
const BYTES_SUFFIX: &str = "_bytes";

/// Appends the answer to `:predict` in the form of the request, and behind it what explains it, if anything does, as `explanations`.
///
/// # Errors
/// [`WireError::Output`](super::WireError::Output) for an output that this form cannot carry.
pub fn encode_tfs_predict(out: &mut Vec<u8>, form: TfsForm, outputs: &[Tensor], explanation: &[Tensor]) -> Result<()> {
    let write = |out: &mut Vec<u8>, tensors| match form {
        TfsForm::Row => rows(out, tensors),
        TfsForm::Columnar => columns(out, tensors),
    };
    out.extend_from_slice(match form {
        TfsForm::Row => b"{\"predictions\":".as_slice(),
        TfsForm::Columnar => b"{\"outputs\":",
    });
    write(out, outputs)?;
    if !explanation.is_empty() {
        out.extend_from_slice(b",\"explanations\":");
        write(out, explanation)?;
    }
    out.push(b'}');
    Ok(())
}

fn rows(out: &mut Vec<u8>, outputs: &[Tensor]) -> Result<()> {
    let count = outputs.first().map_or(0, Tensor::rows);
    if let Some(other) = outputs.iter().find(|output| output.shape().first() != Some(&count)) {
        let reason = format!("expected {count} rows, as the first output has, got the shape {:?}", other.shape());
        return Err(unwritable(other.name(), reason));
    }
    out.push(b'[');
    for row in 0..count {
        if row > 0 {
            out.push(b',');
        }
        let one = |out: &mut Vec<u8>, tensor: &Tensor| {
            let width = tensor.len() / count;
            nested(out, tensor, &tensor.shape()[1..], row * width..(row + 1) * width)
        };
        named(out, outputs, one)?;
    }
    out.push(b']');
    Ok(())
}

fn columns(out: &mut Vec<u8>, outputs: &[Tensor]) -> Result<()> {
    named(out, outputs, |out, tensor| nested(out, tensor, tensor.shape(), 0..tensor.len()))
}

/// The value of the only output, or an object of several.
fn named(out: &mut Vec<u8>, outputs: &[Tensor], one: impl Fn(&mut Vec<u8>, &Tensor) -> Result<()>) -> Result<()> {
    if let [tensor] = outputs {
        return one(out, tensor);
    }
    out.push(b'{');
    for (number, tensor) in outputs.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        scalar(out, tensor.name(), tensor.name())?;
        out.push(b':');
        one(out, tensor)?;
    }
    out.push(b'}');
    Ok(())
}

/// The elements of `range`, nested by `shape`.
fn nested(out: &mut Vec<u8>, tensor: &Tensor, shape: &[usize], range: Range<usize>) -> Result<()> {
    let [size, inner @ ..] = shape else { return values(out, tensor, range) };
    out.push(b'[');
    if inner.is_empty() {
        values(out, tensor, range)?;
    } else {
        let width = range.len() / (*size).max(1);
        for part in 0..*size {
            if part > 0 {
                out.push(b',');
            }
            let start = range.start + part * width;
            nested(out, tensor, inner, start..start + width)?;
        }
    }
    out.push(b']');
    Ok(())
}

/// The elements of `range`, commas between them.
fn values(out: &mut Vec<u8>, tensor: &Tensor, range: Range<usize>) -> Result<()> {
    match tensor.datatype() {
        DataType::Bytes if tensor.name().ends_with(BYTES_SUFFIX) => list(out, tensor, range, |out, index| {
            let bytes = tensor.strings().and_then(|strings| strings.get(index)).unwrap_or_default();
            out.extend_from_slice(b"{\"b64\":\"");
            out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
            out.extend_from_slice(b"\"}");
            Ok(())
        }),
        DataType::Fp16 => halves(out, tensor, range, |bits| half::f16::from_bits(bits).to_f32()),
        DataType::Bf16 => halves(out, tensor, range, |bits| half::bf16::from_bits(bits).to_f32()),
        DataType::Bool
        | DataType::Uint8
        | DataType::Uint16
        | DataType::Uint32
        | DataType::Uint64
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Fp32
        | DataType::Fp64
        | DataType::Bytes => elements(out, tensor, range),
    }
}

fn halves(out: &mut Vec<u8>, tensor: &Tensor, range: Range<usize>, widen: impl Fn(u16) -> f32) -> Result<()> {
    let bytes = tensor.bytes().unwrap_or_default().as_chunks::<2>().0;
    list(out, tensor, range, |out, index| decimal(out, tensor.name(), widen(u16::from_le_bytes(bytes[index]))))
}

/// A number with a decimal point or an exponent, or one of the words that JSON lacks.
fn decimal<T: Serialize + Into<f64> + Copy>(out: &mut Vec<u8>, name: &str, value: T) -> Result<()> {
    let wide: f64 = value.into();
    if wide.is_finite() {
        return scalar(out, name, &value);
    }
    out.extend_from_slice(if wide.is_nan() {
        b"NaN"
    } else if wide > 0.0 {
        b"Infinity"
    } else {
        b"-Infinity"
    });
    Ok(())
}

/// Appends the answer to `:regress`: one number an example.
///
/// # Errors
/// Never, as far as is known: numbers can be written.
pub fn encode_tfs_regressions(out: &mut Vec<u8>, values: &[f32]) -> Result<()> {
    out.extend_from_slice(b"{\"results\":[");
    for (number, value) in values.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        decimal(out, "results", *value)?;
    }
    out.extend_from_slice(b"]}");
    Ok(())
}

/// Appends the answer to `:classify`: pairs of label and score for each example, whose `scores` come one row behind the other.
///
/// # Errors
/// Never, as far as is known: text and numbers can be written.
pub fn encode_tfs_classes(out: &mut Vec<u8>, labels: &[String], scores: &[f32]) -> Result<()> {
    out.extend_from_slice(b"{\"results\":[");
    for (row, scores) in scores.chunks(labels.len().max(1)).enumerate() {
        out.extend_from_slice(if row > 0 { b",[" } else { b"[" });
        for (number, (label, score)) in labels.iter().zip(scores).enumerate() {
            out.extend_from_slice(if number > 0 { b",[" } else { b"[" });
            scalar(out, "results", label)?;
            out.push(b',');
            decimal(out, "results", *score)?;
            out.push(b']');
        }
        out.push(b']');
    }
    out.extend_from_slice(b"]}");
    Ok(())
}
