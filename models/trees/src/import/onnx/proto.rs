//! The part of `onnx.proto` that tree models need, with its field numbers (checked against onnx 1.23).
//!
//! Messages that a file repeats are taken as bytes, which share the file's, and decoded one at a time: a few bytes of a
//! hostile file cannot become a few hundred of memory.

use std::collections::BTreeMap;

use prost::{Message, bytes::Bytes};

use crate::{Error, Result};

/// `ModelProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Model {
    #[prost(int64, tag = "1")]
    pub(super) ir_version: i64,
    #[prost(string, tag = "2")]
    pub(super) producer_name: String,
    #[prost(string, tag = "3")]
    pub(super) producer_version: String,
    #[prost(bytes = "bytes", tag = "7")]
    pub(super) graph: Bytes,
    #[prost(bytes = "bytes", repeated, tag = "8")]
    pub(super) opset_import: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "14")]
    pub(super) metadata_props: Vec<Bytes>,
}

/// `OperatorSetIdProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct OperatorSet {
    #[prost(string, tag = "1")]
    pub(super) domain: String,
    #[prost(int64, tag = "2")]
    pub(super) version: i64,
}

/// `StringStringEntryProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Entry {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
}

/// `GraphProto`: nodes, initializers, inputs and outputs.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Graph {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub(super) node: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "5")]
    pub(super) initializer: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "11")]
    pub(super) input: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "12")]
    pub(super) output: Vec<Bytes>,
}

/// `NodeProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Node {
    #[prost(string, repeated, tag = "1")]
    pub(super) input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(super) output: Vec<String>,
    #[prost(string, tag = "3")]
    pub(super) name: String,
    #[prost(string, tag = "4")]
    pub(super) op_type: String,
    #[prost(bytes = "bytes", repeated, tag = "5")]
    attribute: Vec<Bytes>,
    #[prost(string, tag = "7")]
    pub(super) domain: String,
}

/// `AttributeProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Attribute {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(float, tag = "2")]
    f: f32,
    #[prost(int64, tag = "3")]
    i: i64,
    #[prost(bytes = "bytes", tag = "4")]
    s: Bytes,
    #[prost(bytes = "bytes", tag = "5")]
    t: Bytes,
    #[prost(float, repeated, tag = "7")]
    floats: Vec<f32>,
    #[prost(int64, repeated, tag = "8")]
    ints: Vec<i64>,
    #[prost(bytes = "bytes", repeated, tag = "9")]
    strings: Vec<Bytes>,
    #[prost(int32, tag = "20")]
    kind: i32,
    #[prost(string, tag = "21")]
    ref_attr_name: String,
}

/// `TensorProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Tensor {
    #[prost(int64, repeated, tag = "1")]
    pub(super) dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    pub(super) data_type: i32,
    #[prost(float, repeated, tag = "4")]
    pub(super) float_data: Vec<f32>,
    #[prost(int32, repeated, tag = "5")]
    pub(super) int32_data: Vec<i32>,
    #[prost(bytes = "bytes", repeated, tag = "6")]
    pub(super) string_data: Vec<Bytes>,
    #[prost(int64, repeated, tag = "7")]
    pub(super) int64_data: Vec<i64>,
    #[prost(string, tag = "8")]
    pub(super) name: String,
    #[prost(bytes = "bytes", tag = "9")]
    pub(super) raw_data: Bytes,
    #[prost(double, repeated, tag = "10")]
    pub(super) double_data: Vec<f64>,
    #[prost(bytes = "bytes", repeated, tag = "13")]
    pub(super) external_data: Vec<Bytes>,
    #[prost(int32, tag = "14")]
    pub(super) data_location: i32,
}

/// `ValueInfoProto` of a graph's input or output.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ValueInfo {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, optional, tag = "2")]
    pub(super) kind: Option<TypeInfo>,
}

/// `TypeProto`; of its kinds only the tensor.
#[derive(Clone, PartialEq, Message)]
pub(super) struct TypeInfo {
    #[prost(message, optional, tag = "1")]
    pub(super) tensor: Option<TensorType>,
}

/// `TypeProto.Tensor`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct TensorType {
    #[prost(int32, tag = "1")]
    pub(super) elem_type: i32,
    #[prost(message, optional, tag = "2")]
    pub(super) shape: Option<Shape>,
}

/// `TensorShapeProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Shape {
    #[prost(message, repeated, tag = "1")]
    pub(super) dim: Vec<Dimension>,
}

/// `TensorShapeProto.Dimension`; one with a name or nothing has no value.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Dimension {
    #[prost(int64, optional, tag = "1")]
    pub(super) dim_value: Option<i64>,
}

/// Decodes a message, named in the error.
pub(super) fn decode<M: Message + Default>(bytes: Bytes, what: &str) -> Result<M> {
    M::decode(bytes).map_err(|error| Error::content(format!("{what} of onnx.proto"), error))
}

/// More than any operator has.
const MOST_ATTRIBUTES: usize = 64;

impl Node {
    /// Its attributes by name.
    pub(super) fn attributes(&mut self) -> Result<Attributes> {
        let bytes = std::mem::take(&mut self.attribute);
        if bytes.len() > MOST_ATTRIBUTES {
            return Err(Error::content(format!("at most {MOST_ATTRIBUTES} attributes"), bytes.len()));
        }
        let mut found = BTreeMap::new();
        for bytes in bytes {
            let attribute: Attribute = decode(bytes, "an AttributeProto")?;
            if !attribute.ref_attr_name.is_empty() {
                return Err(Error::unsupported("an attribute of a function", "export without local functions"));
            }
            if let Some(twice) = found.insert(attribute.name.clone(), attribute) {
                return Err(Error::content("each attribute once", format!("{} twice", twice.name)));
            }
        }
        Ok(Attributes(found))
    }
}

/// The attributes of a node by name.
pub(super) struct Attributes(BTreeMap<String, Attribute>);

/// `AttributeProto.AttributeType`, as far as it is needed.
#[derive(Clone, Copy, Debug)]
#[repr(i32)]
enum Kind {
    Float = 1,
    Int = 2,
    String = 3,
    Tensor = 4,
    Floats = 6,
    Ints = 7,
    Strings = 8,
}

impl Attributes {
    fn get(&self, name: &str, kind: Kind) -> Result<Option<&Attribute>> {
        let Some(attribute) = self.0.get(name) else { return Ok(None) };
        // Files of IR versions before 2 leave the type out.
        if attribute.kind != 0 && attribute.kind != kind as i32 {
            let expected = format!("attribute `{name}` of type {} ({kind:?})", kind as i32);
            return Err(Error::content(expected, format!("type {}", attribute.kind)));
        }
        Ok(Some(attribute))
    }

    /// Whether there is one of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn float(&self, name: &str) -> Result<Option<f32>> {
        Ok(self.get(name, Kind::Float)?.map(|attribute| attribute.f))
    }

    pub(super) fn int(&self, name: &str) -> Result<Option<i64>> {
        Ok(self.get(name, Kind::Int)?.map(|attribute| attribute.i))
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<String>> {
        self.get(name, Kind::String)?.map(|attribute| text(&attribute.s, name)).transpose()
    }

    /// Empty when there is none of this name, as for the lists below.
    pub(super) fn floats(&self, name: &str) -> Result<&[f32]> {
        Ok(self.get(name, Kind::Floats)?.map_or(&[], |attribute| &attribute.floats))
    }

    pub(super) fn ints(&self, name: &str) -> Result<&[i64]> {
        Ok(self.get(name, Kind::Ints)?.map_or(&[], |attribute| &attribute.ints))
    }

    pub(super) fn texts(&self, name: &str) -> Result<Vec<String>> {
        let strings = self.get(name, Kind::Strings)?.map_or(&[][..], |attribute| &attribute.strings);
        strings.iter().map(|bytes| text(bytes, name)).collect()
    }

    /// Strings as they are, without a copy of each.
    pub(super) fn strings(&self, name: &str) -> Result<&[Bytes]> {
        Ok(self.get(name, Kind::Strings)?.map_or(&[], |attribute| &attribute.strings))
    }

    pub(super) fn tensor(&self, name: &str) -> Result<Option<Tensor>> {
        let bytes = self.get(name, Kind::Tensor)?.map(|attribute| attribute.t.clone());
        bytes.map(|bytes| decode(bytes, "a TensorProto")).transpose()
    }
}

/// UTF-8 of a string that the format holds as bytes.
pub(super) fn text(bytes: &Bytes, what: &str) -> Result<String> {
    String::from_utf8(bytes.to_vec()).map_err(|error| Error::content(format!("UTF-8 in `{what}`"), error))
}
