//! A request's tensors, column by column, for every model of a table.
//!
//! This is on the request's path: strings are looked up where they lie, and nothing is allocated but one number a column.

use contract::{Bitmap, ColumnKind, ColumnSpec, DataType, InputError, Strings, Tensor, TensorSpec};

use super::cell::{Cell, Unfit};

/// Name of the one input of a table model whose columns are all numeric.
pub(crate) const FEATURES: &str = "features";

/// Marks a column that no input was found for yet.
const NONE: usize = usize::MAX;

/// Who reads a request's columns.
pub(crate) trait Columns {
    /// Number of columns.
    fn count(&self) -> usize;
    /// A column's name.
    fn name(&self, place: usize) -> &str;
    /// What a column holds.
    fn kind(&self, place: usize) -> ColumnKind;
    /// The column of that name.
    fn place(&self, name: &str) -> Option<usize>;
    /// Tells the number of rows, at least one, before the first column.
    fn begin(&mut self, rows: usize);
    /// Reads one column's cells, of all rows.
    ///
    /// # Errors
    /// [`InputError::BadValue`].
    fn read(&mut self, place: usize, cells: &Cells<'_>) -> Result<(), InputError>;
}

/// Reads a request's rows; gives their number.
///
/// Two forms are taken: one tensor `features` of shape `[rows, columns]`, or one tensor per column, by name and in any
/// order, of shape `[rows, 1]` or `[rows]`. Numbers may have any integer type, FP32, FP64 or BOOL, or be BYTES that
/// spell a number; a value is missing where its validity bit is clear, where it is NaN, and where text says so.
///
/// # Errors
/// [`InputError`] when an input is missing, unknown or sent twice, has a type or shape that does not fit, or holds a
/// value that cannot be read as its column's kind.
pub(crate) fn read_request(columns: &mut impl Columns, inputs: &[Tensor]) -> Result<usize, InputError> {
    match inputs {
        [features] if features.name() == FEATURES && columns.place(FEATURES).is_none() => {
            read_features(columns, features)
        }
        inputs => read_columns(columns, inputs),
    }
}

fn read_features(columns: &mut impl Columns, features: &Tensor) -> Result<usize, InputError> {
    let count = columns.count();
    let rows = match features.shape() {
        [rows, width] if *width == count => *rows,
        shape => {
            let expected = format!("[rows, {count}]");
            return Err(InputError::WrongShape { name: FEATURES.to_owned(), expected, got: shape.to_vec() });
        }
    };
    if rows == 0 {
        return Err(InputError::NoRows);
    }
    for place in 0..count {
        require_datatype(features, columns.kind(place))?;
    }
    columns.begin(rows);
    let elements = Elements::of(features);
    for place in 0..count {
        columns.read(place, &Cells { elements, validity: features.validity(), stride: count, start: place })?;
    }
    Ok(rows)
}

fn read_columns(columns: &mut impl Columns, inputs: &[Tensor]) -> Result<usize, InputError> {
    let mut sent = vec![NONE; columns.count()];
    let mut first: Option<&Tensor> = None;
    for (number, input) in inputs.iter().enumerate() {
        let place = place(columns, number, input.name())?;
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
        require_datatype(input, columns.kind(place))?;
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
        return Err(InputError::MissingInput {
            name: columns.name(place).to_owned(),
            expected: format!("{} of shape [rows, 1]", datatype(columns.kind(place))),
        });
    }
    let rows = first.map_or(0, Tensor::rows);
    if rows == 0 {
        return Err(InputError::NoRows);
    }
    columns.begin(rows);
    for (place, number) in sent.into_iter().enumerate() {
        let input = &inputs[number];
        columns
            .read(place, &Cells { elements: Elements::of(input), validity: input.validity(), stride: 1, start: 0 })?;
    }
    Ok(rows)
}

/// The column that input number `number` is for.
fn place(columns: &impl Columns, number: usize, name: &str) -> Result<usize, InputError> {
    // Most requests send the columns in order.
    if number < columns.count() && columns.name(number) == name {
        return Ok(number);
    }
    columns.place(name).ok_or_else(|| {
        let names: Vec<_> = (0..columns.count()).map(|place| columns.name(place)).collect();
        let features = if columns.place(FEATURES).is_some() { "" } else { "'features', or the columns " };
        InputError::UnknownInput { name: name.to_owned(), expected: format!("{features}{}", names.join(", ")) }
    })
}

/// The inputs of a model with these columns: one `features` FP32 `[-1, n]` when all of them are numbers that f32 holds
/// (`plain`), else one input `[-1, 1]` per column: FP64, BOOL, or BYTES for categories and dates.
pub(crate) fn inputs(columns: &[ColumnSpec], plain: bool) -> Vec<TensorSpec> {
    if plain && columns.iter().all(|column| column.kind == ColumnKind::Numeric && column.name != FEATURES) {
        return vec![TensorSpec::rows(FEATURES, DataType::Fp32, columns.len())];
    }
    columns.iter().map(|column| TensorSpec::rows(&column.name, datatype(column.kind), 1)).collect()
}

/// The element type that a column's input is listed with.
const fn datatype(kind: ColumnKind) -> DataType {
    match kind {
        ColumnKind::Numeric => DataType::Fp64,
        ColumnKind::Boolean => DataType::Bool,
        ColumnKind::Categorical | ColumnKind::Date => DataType::Bytes,
    }
}

/// The cells of one column: the elements `start`, `start + stride`, … of a tensor.
pub(crate) struct Cells<'a> {
    elements: Elements<'a>,
    validity: Option<&'a Bitmap>,
    stride: usize,
    start: usize,
}

impl Cells<'_> {
    /// Puts each cell through `encode` into the rows of `out`, `width` values each; `column` is its name and kind, for messages.
    pub(crate) fn each<T>(
        &self,
        out: &mut [T],
        width: usize,
        column: (&str, ColumnKind),
        encode: impl Fn(Cell<'_>, &mut [T]) -> Result<(), Unfit>,
    ) -> Result<(), InputError> {
        let fill = Fill { cells: self, width, column, encode };
        match self.elements {
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
struct Fill<'a, E> {
    cells: &'a Cells<'a>,
    width: usize,
    column: (&'a str, ColumnKind),
    encode: E,
}

impl<E> Fill<'_, E> {
    #[inline]
    fn each<'c, T>(&self, out: &mut [T], cell: impl Fn(usize) -> Cell<'c>) -> Result<(), InputError>
    where
        E: Fn(Cell<'_>, &mut [T]) -> Result<(), Unfit>,
    {
        let Cells { elements: _, validity, stride, start } = self.cells;
        let (name, kind) = self.column;
        for (row, out) in out.chunks_exact_mut(self.width).enumerate() {
            let index = row * stride + start;
            let valid = validity.is_none_or(|validity| validity.get(index));
            let cell = if valid { cell(index) } else { Cell::Missing };
            (self.encode)(cell, out).map_err(|Unfit| cell.bad_value(row, name, kind))?;
        }
        Ok(())
    }
}

/// A tensor's elements by type.
#[derive(Clone, Copy)]
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
