//! Rows of a batch as the tensors of a request: one per column, as a client would send them.

use std::fmt::Write as _;

use arrow::array::RecordBatch;
use contract::{AlignedBuffer, Bitmap, ColumnKind, ColumnSpec, DataType, InputError, Strings, Tensor};

use super::{
    cell::{Cell, Unfit},
    column::Column,
    data::column_error,
    date,
};
use crate::Result;

/// The `columns` of `batch` as tensors of shape `[rows, 1]`: numbers as FP64, booleans as BOOL, categories and dates as
/// BYTES; missing values by a clear bit. Columns of text are read as the wanted kind; dates in text stay as they are written.
///
/// # Errors
/// [`crate::Error::Input`] when a column is not in the batch or a value cannot be read as its column's kind;
/// [`crate::Error::Column`] when a column's type is nested or no feature.
pub fn tensors(batch: &RecordBatch, columns: &[ColumnSpec]) -> Result<Vec<Tensor>> {
    columns.iter().map(|spec| tensor(batch, spec)).collect()
}

/// Column `name` of `batch` as cells.
pub(crate) fn batch_column(batch: &RecordBatch, name: &str, kind: ColumnKind) -> Result<Column> {
    let array = batch.column_by_name(name).ok_or_else(|| InputError::MissingInput {
        name: name.to_owned(),
        expected: format!("a {} column of that name", kind.name()),
    })?;
    Column::from_arrow(array).map_err(|reason| column_error(name, reason))
}

fn tensor(batch: &RecordBatch, spec: &ColumnSpec) -> Result<Tensor> {
    let ColumnSpec { name, kind } = spec;
    let column = &batch_column(batch, name, *kind)?;
    let rows = batch.num_rows();
    let bad = |row: usize| move |Unfit| column.cell(row).bad_value(row, name, *kind);
    let mut validity = Bitmap::default();
    let shape = vec![rows, 1];
    let tensor = match kind {
        ColumnKind::Numeric => {
            let mut values = AlignedBuffer::with_capacity(rows * size_of::<f64>());
            for row in 0..rows {
                let value = column.cell(row).number().map_err(bad(row))?;
                validity.push(value.is_some());
                values.push(value.unwrap_or(0.0));
            }
            Tensor::from_buffer(name, DataType::Fp64, shape, values)?
        }
        ColumnKind::Boolean => {
            let mut values = AlignedBuffer::with_capacity(rows);
            for row in 0..rows {
                let value = column.cell(row).boolean().map_err(bad(row))?;
                validity.push(value.is_some());
                values.push(u8::from(value.unwrap_or(false)));
            }
            Tensor::from_buffer(name, DataType::Bool, shape, values)?
        }
        ColumnKind::Categorical => {
            let mut values = Strings::new();
            for row in 0..rows {
                let value = column.cell(row).category().map_err(bad(row))?;
                validity.push(value.is_some());
                values.push(value.unwrap_or_default());
            }
            Tensor::from_strings(name, shape, values)?
        }
        ColumnKind::Date => {
            let mut values = Strings::new();
            let mut text = String::new();
            for row in 0..rows {
                text.clear();
                let present = match column.cell(row) {
                    Cell::Time(micros) => {
                        // Writing to a string does not fail.
                        let _ = write!(text, "{}", date::Iso(micros));
                        Some(text.as_bytes())
                    }
                    // Which of day and month is first is known to the encoder, not here.
                    cell @ Cell::Text(_) => cell.category().map_err(bad(row))?,
                    cell => cell.time(false).map_err(bad(row))?.and(None),
                };
                validity.push(present.is_some());
                values.push(present.unwrap_or_default());
            }
            Tensor::from_strings(name, shape, values)?
        }
    };
    Ok(if validity.count_ones() == rows { tensor } else { tensor.with_validity(validity)? })
}
