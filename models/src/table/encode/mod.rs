//! Encoders: raw rows to the numbers that a model takes. Fitted on the training rows, saved with the model.
//!
//! A column becomes one or more f32: numbers are scaled, booleans are 0 and 1, categories are one-hot, dates are days and
//! positions in the week and year. A column that had missing values in training has one more number, 1 where the value is
//! missing. What training never saw is answered with what is neutral: a missing number is the mean, a category that was
//! never seen is the bucket of rare ones, or, when there were none, the average category.
//!
//! A number is read as f32 before anything else, unless f32 is too coarse for the column: so FP32 and FP64 requests and the
//! table agree to the last bit, even where a quantile encoder jumps. See [`Numeric::double`](numeric::Numeric).

mod batches;
mod category;
mod date;
mod fit;
mod normal;
mod numeric;
mod segment;

use std::collections::HashMap;

use contract::{ColumnKind, ColumnSpec, InputError, RowBlock, Tensor, TensorSpec};
pub use fit::{EncoderOptions, NumericEncoding};
pub(crate) use numeric::moments;
pub use segment::Segment;
use serde::{Deserialize, Serialize};

use super::{
    cell::{Cell, Unfit},
    columns::{self, Cells, Columns},
};

/// Encoders of all columns of a model.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Record", into = "Record")]
pub struct Encoders {
    columns: Vec<ColumnEncoder>,
    /// Where each column's numbers begin in a row.
    offsets: Vec<usize>,
    width: usize,
    places: HashMap<String, usize>,
}

/// The saved form of [`Encoders`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    columns: Vec<ColumnEncoder>,
}

/// Encoder of one column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ColumnEncoder {
    name: String,
    /// Whether the column's last number is 1 where the value is missing.
    missing_indicator: bool,
    encoding: Encoding,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    Numeric(numeric::Numeric),
    /// What a missing value is: the part of the training rows that were true.
    Boolean(f64),
    Categorical(category::Categories),
    Date(date::Dates),
}

impl Encoders {
    fn from_columns(columns: Vec<ColumnEncoder>) -> Result<Self, String> {
        let (mut offsets, mut width, mut places) = (Vec::with_capacity(columns.len()), 0, HashMap::new());
        for (place, column) in columns.iter().enumerate() {
            column.check()?;
            if places.insert(column.name.clone(), place).is_some() {
                return Err(format!("expected each column once, got '{}' again", column.name));
            }
            offsets.push(width);
            width += column.width();
        }
        if columns.is_empty() {
            return Err("expected at least one feature column, got none".to_owned());
        }
        Ok(Self { columns, offsets, width, places })
    }

    /// Names and kinds of the feature columns, in order.
    #[must_use]
    pub fn columns(&self) -> Vec<ColumnSpec> {
        self.columns.iter().map(|column| ColumnSpec { name: column.name.clone(), kind: column.kind() }).collect()
    }

    /// Numbers (f32) an encoded row.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// The parts of an encoded row: numbers that are scaled, and the numbers of each other column together. What says that a
    /// number is missing is a part of its own.
    pub(crate) fn segments(&self) -> Vec<Segment> {
        let mut segments = Vec::with_capacity(self.columns.len());
        for (column, start) in self.columns.iter().zip(&self.offsets) {
            let end = start + column.width();
            match &column.encoding {
                Encoding::Numeric(_) => {
                    segments.push(Segment::Number(*start));
                    if column.missing_indicator {
                        segments.push(Segment::Other(start + 1..end));
                    }
                }
                Encoding::Boolean(_) | Encoding::Categorical(_) | Encoding::Date(_) => {
                    segments.push(Segment::Other(*start..end));
                }
            }
        }
        segments
    }

    /// The inputs of a model with these columns: one `features` FP32 `[-1, n]` when all columns are numbers that f32 holds,
    /// else one input `[-1, 1]` per column: FP64, BOOL, or BYTES for categories and dates.
    #[must_use]
    pub fn inputs(&self) -> Vec<TensorSpec> {
        let plain = |column: &ColumnEncoder| match &column.encoding {
            Encoding::Numeric(numeric) => !numeric.double,
            Encoding::Boolean(_) | Encoding::Categorical(_) | Encoding::Date(_) => false,
        };
        columns::inputs(&self.columns(), self.columns.iter().all(plain))
    }

    /// A request's rows, encoded into `block`, which is reset first; gives their number. What is taken is said in the docs of
    /// [`Encoders::inputs`]; the columns may also come in one tensor `features`, or each in one of its own, in any order.
    ///
    /// # Errors
    /// [`InputError`] when an input is missing, unknown or sent twice, has a type or shape that does not fit, or holds a
    /// value that cannot be read as its column's kind.
    pub fn encode_tensors(&self, inputs: &[Tensor], block: &mut RowBlock) -> Result<usize, InputError> {
        columns::read_request(&mut Request { encoders: self, block }, inputs)
    }

    /// The part of an encoded row that belongs to column number `place`.
    #[inline]
    fn part<'a>(&self, place: usize, row: &'a mut [f32]) -> &'a mut [f32] {
        let start = self.offsets[place];
        &mut row[start..start + self.columns[place].width()]
    }
}

/// Rows on their way from a request into a block.
struct Request<'a> {
    encoders: &'a Encoders,
    block: &'a mut RowBlock,
}

impl Columns for Request<'_> {
    fn count(&self) -> usize {
        self.encoders.columns.len()
    }

    fn name(&self, place: usize) -> &str {
        &self.encoders.columns[place].name
    }

    fn kind(&self, place: usize) -> ColumnKind {
        self.encoders.columns[place].kind()
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.encoders.places.get(name).copied()
    }

    fn begin(&mut self, rows: usize) {
        self.encoders.zeroed(self.block, rows);
    }

    fn read(&mut self, place: usize, cells: &Cells<'_>) -> Result<(), InputError> {
        let (encoders, column) = (self.encoders, &self.encoders.columns[place]);
        let out = self.block.data_mut().as_mut_slice::<f32>();
        let encode = |cell: Cell<'_>, row: &mut [f32]| column.encode(cell, encoders.part(place, row));
        cells.each(out, encoders.width, (&column.name, column.kind()), encode)
    }
}

impl PartialEq for Encoders {
    fn eq(&self, other: &Self) -> bool {
        self.columns == other.columns
    }
}

impl TryFrom<Record> for Encoders {
    type Error = String;

    fn try_from(record: Record) -> Result<Self, Self::Error> {
        Self::from_columns(record.columns)
    }
}

impl From<Encoders> for Record {
    fn from(encoders: Encoders) -> Self {
        Self { columns: encoders.columns }
    }
}

impl ColumnEncoder {
    const fn kind(&self) -> ColumnKind {
        match self.encoding {
            Encoding::Numeric(_) => ColumnKind::Numeric,
            Encoding::Boolean(_) => ColumnKind::Boolean,
            Encoding::Categorical(_) => ColumnKind::Categorical,
            Encoding::Date(_) => ColumnKind::Date,
        }
    }

    /// Numbers that the value itself takes.
    const fn value_width(&self) -> usize {
        match &self.encoding {
            Encoding::Numeric(_) | Encoding::Boolean(_) => 1,
            Encoding::Categorical(categories) => categories.width(),
            Encoding::Date(dates) => dates.width(),
        }
    }

    const fn width(&self) -> usize {
        self.value_width() + self.missing_indicator as usize
    }

    fn check(&self) -> Result<(), String> {
        let checked = match &self.encoding {
            Encoding::Numeric(numeric) => numeric.check(),
            Encoding::Boolean(part) if (0.0..=1.0).contains(part) => Ok(()),
            Encoding::Boolean(part) => Err(format!("expected a part from 0 to 1, got {part}")),
            Encoding::Categorical(categories) => categories.check(),
            Encoding::Date(dates) => dates.check(),
        };
        checked.map_err(|reason| format!("column '{}': {reason}", self.name))
    }

    /// Writes a cell's numbers to `out`, which is [`ColumnEncoder::width`] long and all zero.
    #[inline]
    fn encode(&self, cell: Cell<'_>, out: &mut [f32]) -> Result<(), Unfit> {
        let (value, indicator) = out.split_at_mut(self.value_width());
        let missing = match &self.encoding {
            Encoding::Numeric(numeric) => {
                let number = cell.number()?;
                value[0] = number.map_or(0.0, |number| numeric.encode(number));
                number.is_none()
            }
            Encoding::Boolean(part) => {
                let boolean = cell.boolean()?;
                value[0] = boolean.map_or(*part as f32, |boolean| f32::from(u8::from(boolean)));
                boolean.is_none()
            }
            Encoding::Categorical(categories) => {
                let category = cell.category()?;
                match category {
                    Some(category) => categories.encode(category, value),
                    // The indicator says it all; without one, missing is one more category that was never seen.
                    None if self.missing_indicator => {}
                    None => categories.encode_unknown(value),
                }
                category.is_none()
            }
            Encoding::Date(dates) => {
                let time = cell.time(dates.day_first)?;
                if let Some(micros) = time {
                    dates.encode(micros, value);
                }
                time.is_none()
            }
        };
        if missing {
            indicator.fill(1.0);
        }
        Ok(())
    }
}
