//! Encoding a request's tensors. This is on the request's path: strings are looked up where they lie, and nothing is
//! allocated but the rows' own block and one number a column.

use contract::{Bitmap, ColumnKind, DataType, InputError, RowBlock, Strings, Tensor};

use super::{Encoders, FEATURES, datatype};
use crate::table::cell::{Cell, Unfit};

/// Marks a column that no input was found for yet.
const NONE: usize = usize::MAX;

impl Encoders {
    /// A request's rows, encoded into `block`, which is reset first; gives their number.
    ///
    /// Two forms are taken: one tensor `features` of shape `[rows, columns]`, or one tensor per column, by name and in any
    /// order, of shape `[rows, 1]` or `[rows]`. Numbers may have any integer type, FP32, FP64 or BOOL, or be BYTES that
    /// spell a number; a value is missing where its validity bit is clear, where it is NaN, and where text says so.
    ///
    /// # Errors
    /// [`InputError`] when an input is missing, unknown or sent twice, has a type or shape that does not fit, or holds a
    /// value that cannot be read as its column's kind.
    pub fn encode_tensors(&self, inputs: &[Tensor], block: &mut RowBlock) -> Result<usize, InputError> {
        match inputs {
            [features] if features.name() == FEATURES && !self.places.contains_key(FEATURES) => {
                self.encode_features(features, block)
            }
            inputs => self.encode_columns(inputs, block),
        }
    }

    fn encode_features(&self, features: &Tensor, block: &mut RowBlock) -> Result<usize, InputError> {
        let columns = self.columns.len();
        let rows = match features.shape() {
            [rows, width] if *width == columns => *rows,
            shape => {
                let expected = format!("[rows, {columns}]");
                return Err(InputError::WrongShape { name: FEATURES.to_owned(), expected, got: shape.to_vec() });
            }
        };
        if rows == 0 {
            return Err(InputError::NoRows);
        }
        let elements = Elements::of(features);
        for column in &self.columns {
            require_datatype(features, column.kind())?;
        }
        let out = self.zeroed(block, rows);
        for place in 0..columns {
            self.encode_elements(place, &elements, features.validity(), columns, place, out)?;
        }
        Ok(rows)
    }

    fn encode_columns(&self, inputs: &[Tensor], block: &mut RowBlock) -> Result<usize, InputError> {
        let mut sent = vec![NONE; self.columns.len()];
        let mut first: Option<&Tensor> = None;
        for (number, input) in inputs.iter().enumerate() {
            let place = self.place(number, input.name())?;
            if sent[place] != NONE {
                return Err(InputError::DuplicateInput { name: input.name().to_owned() });
            }
            sent[place] = number;
            if !matches!(input.shape(), [_] | [_, 1]) {
                let expected = "[rows, 1] or [rows]".to_owned();
                return Err(InputError::WrongShape {
                    name: input.name().to_owned(),
                    expected,
                    got: input.shape().to_vec(),
                });
            }
            require_datatype(input, self.columns[place].kind())?;
            let other = *first.get_or_insert(input);
            if other.rows() != input.rows() {
                return Err(InputError::RowCount {
                    name: input.name().to_owned(),
                    other: other.name().to_owned(),
                    expected: other.rows(),
                    got: input.rows(),
                });
            }
        }
        if let Some(place) = sent.iter().position(|number| *number == NONE) {
            let column = &self.columns[place];
            return Err(InputError::MissingInput {
                name: column.name.clone(),
                expected: format!("{} of shape [rows, 1]", datatype(column.kind())),
            });
        }
        let rows = first.map_or(0, Tensor::rows);
        if rows == 0 {
            return Err(InputError::NoRows);
        }
        let out = self.zeroed(block, rows);
        for (place, number) in sent.into_iter().enumerate() {
            let input = &inputs[number];
            self.encode_elements(place, &Elements::of(input), input.validity(), 1, 0, out)?;
        }
        Ok(rows)
    }

    /// The column that input number `number` is for.
    fn place(&self, number: usize, name: &str) -> Result<usize, InputError> {
        // Most requests send the columns in order.
        if self.columns.get(number).is_some_and(|column| column.name == name) {
            return Ok(number);
        }
        self.places.get(name).copied().ok_or_else(|| {
            let names: Vec<_> = self.columns.iter().map(|column| column.name.as_str()).collect();
            let features = if self.places.contains_key(FEATURES) { "" } else { "'features', or the columns " };
            InputError::UnknownInput { name: name.to_owned(), expected: format!("{features}{}", names.join(", ")) }
        })
    }

    /// Encodes a column from the elements `start`, `start + stride`, ….
    fn encode_elements(
        &self,
        place: usize,
        elements: &Elements<'_>,
        validity: Option<&Bitmap>,
        stride: usize,
        start: usize,
        out: &mut [f32],
    ) -> Result<(), InputError> {
        let fill = Fill { encoders: self, place, validity, stride, start };
        match elements {
            Elements::Bool(values) => fill.each(out, |index| Cell::Boolean(values[index] != 0)),
            Elements::Uint8(values) => fill.each(out, |index| Cell::Number(f64::from(values[index]))),
            Elements::Uint16(values) => fill.each(out, |index| Cell::Number(f64::from(values[index]))),
            Elements::Uint32(values) => fill.each(out, |index| Cell::Number(f64::from(values[index]))),
            Elements::Uint64(values) => fill.each(out, |index| Cell::Number(values[index] as f64)),
            Elements::Int8(values) => fill.each(out, |index| Cell::Number(f64::from(values[index]))),
            Elements::Int16(values) => fill.each(out, |index| Cell::Number(f64::from(values[index]))),
            Elements::Int32(values) => fill.each(out, |index| Cell::Number(f64::from(values[index]))),
            Elements::Int64(values) => fill.each(out, |index| Cell::Number(values[index] as f64)),
            Elements::Fp32(values) => fill.each(out, |index| Cell::Number(f64::from(values[index]))),
            Elements::Fp64(values) => fill.each(out, |index| Cell::Number(values[index])),
            Elements::Bytes(strings) => fill.each(out, |index| Cell::Text(strings.get(index).unwrap_or_default())),
            Elements::None => fill.each(out, |_| Cell::Missing),
        }
    }
}

/// Fills one column of all rows; made once per element type, so that the type is not looked at for every value.
struct Fill<'a> {
    encoders: &'a Encoders,
    place: usize,
    validity: Option<&'a Bitmap>,
    stride: usize,
    start: usize,
}

impl Fill<'_> {
    #[inline]
    fn each<'c>(&self, out: &mut [f32], cell: impl Fn(usize) -> Cell<'c>) -> Result<(), InputError> {
        let encoder = &self.encoders.columns[self.place];
        for (row, out) in out.chunks_exact_mut(self.encoders.width).enumerate() {
            let index = row * self.stride + self.start;
            let valid = self.validity.is_none_or(|validity| validity.get(index));
            let cell = if valid { cell(index) } else { Cell::Missing };
            encoder
                .encode(cell, self.encoders.part(self.place, out))
                .map_err(|Unfit| cell.bad_value(row, &encoder.name, encoder.kind()))?;
        }
        Ok(())
    }
}

/// A tensor's elements by type.
enum Elements<'a> {
    Bool(&'a [u8]),
    Uint8(&'a [u8]),
    Uint16(&'a [u16]),
    Uint32(&'a [u32]),
    Uint64(&'a [u64]),
    Int8(&'a [i8]),
    Int16(&'a [i16]),
    Int32(&'a [i32]),
    Int64(&'a [i64]),
    Fp32(&'a [f32]),
    Fp64(&'a [f64]),
    Bytes(&'a Strings),
    /// Types that no column takes; [`require_datatype`] refuses them.
    None,
}

impl<'a> Elements<'a> {
    fn of(tensor: &'a Tensor) -> Self {
        let elements = match tensor.datatype() {
            DataType::Bool => tensor.bytes().map(Self::Bool),
            DataType::Uint8 => tensor.values().map(Self::Uint8),
            DataType::Uint16 => tensor.values().map(Self::Uint16),
            DataType::Uint32 => tensor.values().map(Self::Uint32),
            DataType::Uint64 => tensor.values().map(Self::Uint64),
            DataType::Int8 => tensor.values().map(Self::Int8),
            DataType::Int16 => tensor.values().map(Self::Int16),
            DataType::Int32 => tensor.values().map(Self::Int32),
            DataType::Int64 => tensor.values().map(Self::Int64),
            DataType::Fp32 => tensor.values().map(Self::Fp32),
            DataType::Fp64 => tensor.values().map(Self::Fp64),
            DataType::Bytes => tensor.strings().map(Self::Bytes),
            DataType::Fp16 | DataType::Bf16 => None,
        };
        elements.unwrap_or(Self::None)
    }
}

/// Refuses element types that a column of `kind` cannot be read from.
fn require_datatype(tensor: &Tensor, kind: ColumnKind) -> Result<(), InputError> {
    let expected = match (kind, tensor.datatype()) {
        (_, DataType::Bytes) => return Ok(()),
        (ColumnKind::Categorical | ColumnKind::Date, _) => "BYTES",
        (ColumnKind::Numeric | ColumnKind::Boolean, DataType::Fp16 | DataType::Bf16) => {
            "FP32, FP64, an integer type, BOOL or BYTES"
        }
        (ColumnKind::Numeric | ColumnKind::Boolean, _) => return Ok(()),
    };
    let (name, expected) = (tensor.name().to_owned(), expected.to_owned());
    Err(InputError::WrongDatatype { name, expected, got: tensor.datatype() })
}
