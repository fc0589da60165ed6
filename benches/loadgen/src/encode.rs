//! Requests as the bytes that go over the wire, made once before the load.
//!
//! A request may leave a place open for a number that makes every sending of it another request, so that no cache of the server
//! has seen it: then sending costs a copy of the request and no more.

use std::{collections::BTreeMap, fmt::Write as _, io::Write as _, time::Duration};

use bytes::Bytes;
use contract::DataType;
use prost::Message as _;

use crate::{
    Error, Result, Target,
    error::setting,
    protobuf::{ModelInferRequest, Parameter, ParameterValue, TensorMetadata},
    rows::{RawTensor, Rows},
    target::Protocol,
};

/// A request ready to be sent: head and body over HTTP, the framed message over gRPC.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) bytes: Bytes,
    pub(crate) patch: Option<Patch>,
    pub(crate) rows: u32,
}

/// The place of the number that makes a request another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patch {
    offset: usize,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    TextFp32,
    TextFp64,
    RawFp32,
    RawFp64,
}

/// Room for the number in JSON; what it does not need is white space.
const TEXT_WIDTH: usize = 24;

impl Form {
    fn of(datatype: DataType, text: bool) -> Option<Self> {
        match (datatype, text) {
            (DataType::Fp32, true) => Some(Self::TextFp32),
            (DataType::Fp64, true) => Some(Self::TextFp64),
            (DataType::Fp32, false) => Some(Self::RawFp32),
            (DataType::Fp64, false) => Some(Self::RawFp64),
            _ => None,
        }
    }
}

/// The `number`th of 2^26 floats from 1 to 256, each another.
fn fp32(number: u64) -> f32 {
    f32::from_bits(0x3f80_0000 + (number % (1 << 26)) as u32)
}

/// The `number`th of 2^40 floats from 1 to 2, each another.
fn fp64(number: u64) -> f64 {
    1.0 + (number % (1 << 40)) as f64 / (1_u64 << 40) as f64
}

impl Patch {
    /// Writes the `number` into a copy of the message.
    pub(crate) fn apply(self, bytes: &mut [u8], number: u64) {
        let Some(place) = bytes.get_mut(self.offset..) else { return };
        match self.form {
            Form::TextFp32 => text(place, fp32(number)),
            Form::TextFp64 => text(place, fp64(number)),
            Form::RawFp32 => raw(place, &fp32(number).to_le_bytes()),
            Form::RawFp64 => raw(place, &fp64(number).to_le_bytes()),
        }
    }
}

fn text(place: &mut [u8], value: impl std::fmt::Display) {
    let Some(place) = place.get_mut(..TEXT_WIDTH) else { return };
    let mut left = &mut place[..];
    // The longest such number has 18 characters.
    let _ = write!(left, "{value}");
    left.fill(b' ');
}

fn raw(place: &mut [u8], value: &[u8]) {
    if let Some(place) = place.get_mut(..value.len()) {
        place.copy_from_slice(value);
    }
}

/// What requests carry beside their tensors.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Extras {
    /// The protocol's parameter `timeout`.
    pub(crate) timeout: Option<Duration>,
    /// The protocol's parameter `priority`.
    pub(crate) priority: Option<u32>,
    /// Leave a place open for a number.
    pub(crate) vary: bool,
}

/// Whether requests of these tensors can be made to differ.
pub(crate) fn can_vary(rows: &Rows) -> bool {
    varied(rows, false).is_some()
}

/// The tensor that is varied, and how: the first with floats.
fn varied(rows: &Rows, text: bool) -> Option<(usize, Form)> {
    rows.tensors.iter().enumerate().find_map(|(place, tensor)| {
        let form = Form::of(tensor.input.datatype, text)?;
        (!tensor.bytes.is_empty()).then_some((place, form))
    })
}

/// Makes a request.
pub(crate) fn encode(target: &Target, rows: &Rows, count: usize, extras: Extras) -> Result<Message> {
    let rows_per_request = count as u32;
    match target.protocol {
        Protocol::HttpJson => {
            let mut open = None;
            let varied = if extras.vary { varied(rows, true) } else { None };
            let mut json = parameters(extras, false);
            for (place, tensor) in rows.tensors.iter().enumerate() {
                let comma = if place == 0 { "" } else { "," };
                let _ = write!(json, "{comma}{{{},\"data\":[", described(tensor)?);
                if let Some((varied, form)) = varied
                    && varied == place
                {
                    open = Some(Patch { offset: json.len(), form });
                }
                elements(tensor, open.is_some_and(|patch| patch.offset == json.len()), &mut json)?;
                json.push_str("]}");
            }
            json.push_str("]}");
            Ok(http(target, &[], "application/json", json.as_bytes(), open, rows_per_request))
        }
        Protocol::HttpBinary => {
            let mut json = parameters(extras, true);
            for (place, tensor) in rows.tensors.iter().enumerate() {
                let comma = if place == 0 { "" } else { "," };
                let size = tensor.bytes.len();
                let _ =
                    write!(json, "{comma}{{{},\"parameters\":{{\"binary_data_size\":{size}}}}}", described(tensor)?);
            }
            json.push_str("]}");
            let header = json.len();
            let mut body = json.into_bytes();
            let mut open = None;
            let varied = if extras.vary { varied(rows, false) } else { None };
            for (place, tensor) in rows.tensors.iter().enumerate() {
                if let Some((_, form)) = varied.filter(|(varied, _)| *varied == place) {
                    open = Some(Patch { offset: body.len(), form });
                }
                body.extend_from_slice(&tensor.bytes);
            }
            let length = ("Inference-Header-Content-Length".to_owned(), header.to_string());
            Ok(http(target, &[length], "application/octet-stream", &body, open, rows_per_request))
        }
        Protocol::Grpc => Ok(grpc(target, rows, rows_per_request, extras)),
    }
}

/// The start of the JSON, up to the first input.
fn parameters(extras: Extras, binary: bool) -> String {
    let mut parameters = Vec::new();
    if let Some(timeout) = extras.timeout {
        parameters.push(format!("\"timeout\":{}", timeout.as_micros()));
    }
    if let Some(priority) = extras.priority {
        parameters.push(format!("\"priority\":{priority}"));
    }
    if binary {
        parameters.push("\"binary_data_output\":true".to_owned());
    }
    if parameters.is_empty() {
        return "{\"inputs\":[".to_owned();
    }
    format!("{{\"parameters\":{{{}}},\"inputs\":[", parameters.join(","))
}

fn described(tensor: &RawTensor) -> Result<String> {
    let name = serde_json::to_string(&tensor.input.name).map_err(|error| Error::Setting(error.to_string()))?;
    let shape: Vec<String> = tensor.shape.iter().map(ToString::to_string).collect();
    Ok(format!("\"name\":{name},\"shape\":[{}],\"datatype\":\"{}\"", shape.join(","), tensor.input.datatype.name()))
}

/// The elements, with commas between them. With `open`, the first is written with room for any other.
fn elements(tensor: &RawTensor, open: bool, json: &mut String) -> Result<()> {
    macro_rules! numbers {
        ($kind:ty) => {
            for (place, bytes) in tensor.bytes.as_chunks::<{ size_of::<$kind>() }>().0.iter().enumerate() {
                let value = <$kind>::from_le_bytes(*bytes);
                separate(place, json);
                let _ = write!(json, "{value}");
            }
        };
    }
    macro_rules! floats {
        ($kind:ty) => {
            for (place, bytes) in tensor.bytes.as_chunks::<{ size_of::<$kind>() }>().0.iter().enumerate() {
                let value = <$kind>::from_le_bytes(*bytes);
                separate(place, json);
                let _ = match (open && place == 0, value.is_finite()) {
                    (true, _) => write!(json, "{:<TEXT_WIDTH$}", 1.0),
                    (false, true) => write!(json, "{value:?}"),
                    // JSON has no other way to say that a number is missing.
                    (false, false) => write!(json, "null"),
                };
            }
        };
    }
    match tensor.input.datatype {
        DataType::Bool => {
            for (place, byte) in tensor.bytes.iter().enumerate() {
                separate(place, json);
                json.push_str(if *byte == 0 { "false" } else { "true" });
            }
        }
        DataType::Uint8 => numbers!(u8),
        DataType::Uint16 => numbers!(u16),
        DataType::Uint32 => numbers!(u32),
        DataType::Uint64 => numbers!(u64),
        DataType::Int8 => numbers!(i8),
        DataType::Int16 => numbers!(i16),
        DataType::Int32 => numbers!(i32),
        DataType::Int64 => numbers!(i64),
        DataType::Fp32 => floats!(f32),
        DataType::Fp64 => floats!(f64),
        DataType::Fp16 | DataType::Bf16 => {
            return setting(format!(
                "expected http-binary or grpc as protocol, because input '{}' is {}, which JSON cannot hold; got http-json",
                tensor.input.name,
                tensor.input.datatype.name()
            ));
        }
        DataType::Bytes => {
            let (mut rest, mut place) = (&tensor.bytes[..], 0);
            while let Some((length, after)) = rest.split_first_chunk::<4>() {
                let Some((text, after)) = after.split_at_checked(u32::from_le_bytes(*length) as usize) else { break };
                separate(place, json);
                let text = String::from_utf8_lossy(text);
                json.push_str(&serde_json::to_string(&text).map_err(|error| Error::Setting(error.to_string()))?);
                (rest, place) = (after, place + 1);
            }
        }
    }
    Ok(())
}

fn separate(place: usize, json: &mut String) {
    if place > 0 {
        json.push(',');
    }
}

fn http(
    target: &Target,
    headers: &[(String, String)],
    content_type: &str,
    body: &[u8],
    patch: Option<Patch>,
    rows: u32,
) -> Message {
    let path = format!("{}/infer", target.model_path());
    let content = [("Content-Type".to_owned(), content_type.to_owned())];
    let all = content.iter().chain(headers);
    let (bytes, body_at) = http_request(target, "POST", &path, all, body);
    let patch = patch.map(|patch| Patch { offset: patch.offset + body_at, form: patch.form });
    Message { bytes: bytes.into(), patch, rows }
}

/// A whole HTTP request, and where its body begins.
pub(crate) fn http_request<'a>(
    target: &'a Target,
    method: &str,
    path: &str,
    headers: impl Iterator<Item = &'a (String, String)>,
    body: &[u8],
) -> (Vec<u8>, usize) {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", target.address);
    for (name, value) in headers.chain(&target.headers) {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    if method != "GET" {
        let _ = write!(head, "Content-Length: {}\r\n", body.len());
    }
    head.push_str("\r\n");
    let body_at = head.len();
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    (bytes, body_at)
}

fn grpc(target: &Target, rows: &Rows, count: u32, extras: Extras) -> Message {
    let mut parameters = BTreeMap::new();
    // As Triton's own client sends them.
    if let Some(timeout) = extras.timeout {
        let value = ParameterValue::Int64(i64::try_from(timeout.as_micros()).unwrap_or(i64::MAX));
        parameters.insert("timeout".to_owned(), Parameter { value: Some(value) });
    }
    if let Some(priority) = extras.priority {
        let value = ParameterValue::Uint64(u64::from(priority));
        parameters.insert("priority".to_owned(), Parameter { value: Some(value) });
    }
    let request = ModelInferRequest {
        model_name: target.model.clone(),
        model_version: target.version.clone().unwrap_or_default(),
        parameters,
        inputs: rows
            .tensors
            .iter()
            .map(|tensor| TensorMetadata {
                name: tensor.input.name.clone(),
                datatype: tensor.input.datatype.name().to_owned(),
                shape: tensor.shape.iter().map(|size| *size as i64).collect(),
            })
            .collect(),
        raw_input_contents: rows.tensors.iter().map(|tensor| tensor.bytes.clone()).collect(),
    };
    let bytes = framed(&request.encode_to_vec());
    let patch = if extras.vary { varied(rows, false) } else { None };
    let patch = patch.map(|(place, form)| {
        // The contents are the last fields: counted from the end, each is behind a tag of one byte and its length.
        let behind: usize = rows.tensors[place + 1..]
            .iter()
            .map(|tensor| 1 + prost::length_delimiter_len(tensor.bytes.len()) + tensor.bytes.len())
            .sum();
        Patch { offset: bytes.len() - behind - rows.tensors[place].bytes.len(), form }
    });
    Message { bytes: bytes.into(), patch, rows: count }
}

/// A message as gRPC frames it: not compressed, its length in four bytes.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(5 + message.len());
    bytes.push(0);
    bytes.extend((message.len() as u32).to_be_bytes());
    bytes.extend_from_slice(message);
    bytes
}

#[cfg(test)]
mod tests;
