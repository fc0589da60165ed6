//! Tensors that a file holds: initializers, `Constant` nodes, attributes.

use prost::bytes::Bytes;

use super::proto::{Tensor, text};
use crate::{Error, Result};

/// Type of a tensor's elements (`TensorProto.DataType`), as far as tables and trees need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    /// `FLOAT`.
    Single,
    /// `DOUBLE`.
    Double,
    /// `INT64` and the narrower ones.
    Integer,
    /// `BOOL`.
    Boolean,
    /// `STRING`.
    Text,
}

impl Element {
    /// The element type of this number in `TensorProto.DataType`.
    pub(super) fn of(number: i64) -> Result<Self> {
        match number {
            1 => Ok(Self::Single),
            2..=7 | 12 => Ok(Self::Integer),
            8 => Ok(Self::Text),
            9 => Ok(Self::Boolean),
            11 => Ok(Self::Double),
            other => Err(Error::unsupported(
                format!("ONNX's element type {other}"),
                "export with float, double, integer or string tensors",
            )),
        }
    }
}

/// A tensor's values, row by row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Values {
    /// Floats and doubles.
    Numbers(Vec<f64>),
    /// Integers and booleans.
    Integers(Vec<i64>),
    /// Strings.
    Texts(Vec<String>),
}

/// A tensor.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Constant {
    /// Lengths of its axes; their product is the number of values.
    pub(super) dims: Vec<usize>,
    pub(super) element: Element,
    pub(super) values: Values,
}

impl Constant {
    /// A tensor of the file.
    pub(super) fn read(tensor: Tensor) -> Result<Self> {
        let name = tensor.name.clone();
        Self::read_unnamed(tensor).map_err(|error| match error {
            Error::Content { expected, got } if !name.is_empty() => {
                Error::content(format!("in tensor `{name}`, {expected}"), got)
            }
            other => other,
        })
    }

    fn read_unnamed(tensor: Tensor) -> Result<Self> {
        let Tensor {
            dims,
            data_type,
            float_data,
            int32_data,
            string_data,
            int64_data,
            name: _,
            raw_data,
            double_data,
            external_data,
            data_location,
        } = tensor;
        if data_location == 1 || !external_data.is_empty() {
            return Err(Error::unsupported(
                "a tensor in external data (data_location EXTERNAL)",
                "save all in one file",
            ));
        }
        let element = Element::of(i64::from(data_type))?;
        let raw = !raw_data.is_empty();
        let values = match data_type {
            1 if raw => Values::Numbers(split(&raw_data, |bytes| f64::from(f32::from_le_bytes(bytes)))?),
            1 => Values::Numbers(float_data.into_iter().map(f64::from).collect()),
            11 if raw => Values::Numbers(split(&raw_data, f64::from_le_bytes)?),
            11 => Values::Numbers(double_data),
            7 if raw => Values::Integers(split(&raw_data, i64::from_le_bytes)?),
            7 => Values::Integers(int64_data),
            6 if raw => Values::Integers(split(&raw_data, |bytes| i64::from(i32::from_le_bytes(bytes)))?),
            2 | 9 if raw => Values::Integers(raw_data.iter().map(|byte| i64::from(*byte)).collect()),
            2 | 6 | 9 => Values::Integers(int32_data.into_iter().map(i64::from).collect()),
            8 => Values::Texts(string_data.iter().map(|bytes| text(bytes, "string_data")).collect::<Result<_>>()?),
            other => {
                return Err(Error::unsupported(
                    format!("a constant tensor of ONNX's element type {other}"),
                    "export with float, double, int64 or string tensors",
                ));
            }
        };
        let dims = dims
            .iter()
            .map(|dim| usize::try_from(*dim).map_err(|_| Error::content("axes of zero or more", dim)))
            .collect::<Result<Vec<_>>>()?;
        let count = dims.iter().try_fold(1_usize, |product, dim| product.checked_mul(*dim));
        let constant = Self { dims, element, values };
        if count != Some(constant.len()) {
            return Err(Error::content(format!("values for the axes {:?}", constant.dims), constant.len()));
        }
        Ok(constant)
    }

    /// A constant of numbers on one axis.
    pub(super) fn numbers(values: Vec<f64>, element: Element) -> Self {
        Self { dims: vec![values.len()], element, values: Values::Numbers(values) }
    }

    /// A constant of integers on one axis.
    pub(super) fn integers(values: Vec<i64>) -> Self {
        Self { dims: vec![values.len()], element: Element::Integer, values: Values::Integers(values) }
    }

    /// Number of values.
    pub(super) fn len(&self) -> usize {
        match &self.values {
            Values::Numbers(values) => values.len(),
            Values::Integers(values) => values.len(),
            Values::Texts(values) => values.len(),
        }
    }

    /// Its values as numbers; none for strings.
    pub(super) fn to_numbers(&self) -> Option<Vec<f64>> {
        match &self.values {
            Values::Numbers(values) => Some(values.clone()),
            Values::Integers(values) => Some(values.iter().map(|value| *value as f64).collect()),
            Values::Texts(_) => None,
        }
    }

    /// Its values as integers; none for what are not.
    pub(super) fn to_integers(&self) -> Option<&[i64]> {
        match &self.values {
            Values::Integers(values) => Some(values),
            Values::Numbers(_) | Values::Texts(_) => None,
        }
    }
}

/// The place that ONNX means by an index below `count`: negative ones count from the end.
pub(super) fn place(index: i64, count: usize) -> Option<usize> {
    let place = match usize::try_from(index) {
        Ok(index) => index,
        Err(_) => count.checked_sub(usize::try_from(index.unsigned_abs()).ok()?)?,
    };
    (place < count).then_some(place)
}

/// Little-endian values of `N` bytes each.
fn split<const N: usize, T>(raw: &Bytes, value: impl Fn([u8; N]) -> T) -> Result<Vec<T>> {
    let (values, rest) = raw.as_chunks::<N>();
    if !rest.is_empty() {
        return Err(Error::content(format!("raw_data in steps of {N} bytes"), format!("{} bytes", raw.len())));
    }
    Ok(values.iter().map(|bytes| value(*bytes)).collect())
}
