//! Encoding rows of tables and of streamed batches.

use arrow::array::RecordBatch;
use contract::{InputError, RowBlock};

use super::Encoders;
use crate::{
    Error, Result,
    table::{Table, cell::Unfit, column::Column, tensors::batch_column},
};

impl Encoders {
    /// The rows `rows` of `table`, encoded: row-major, [`Encoders::width`] numbers each.
    ///
    /// # Errors
    /// [`Error::Column`] when a column is not in the table, [`Error::Setting`] for a row beyond it, and
    /// [`InputError::BadValue`] for a value of another kind than the column had in training.
    pub fn encode_table(&self, table: &Table, rows: &[usize]) -> Result<Vec<f32>> {
        if let Some(row) = rows.iter().find(|row| **row >= table.rows()) {
            return Err(Error::Setting(format!("expected rows below {}, got {row}", table.rows())));
        }
        let mut out = vec![0.0; rows.len() * self.width];
        for place in 0..self.columns.len() {
            let column = table.column(table.column_index(&self.columns[place].name)?);
            self.encode_column(place, column, rows.iter().copied(), &mut out)?;
        }
        Ok(out)
    }

    /// All rows of `batch`, encoded into `block`, which is reset first; gives their number. Columns of text, as a CSV file
    /// has them, are read as the kind that the column had in training; other columns of the batch are not looked at.
    ///
    /// # Errors
    /// [`InputError::MissingInput`] when a column is not in the batch, [`InputError::BadValue`] (row counted from 0 in the
    /// batch) for a value of another kind than the column had in training, [`Error::Column`] for a type that is no feature.
    pub fn encode_batch(&self, batch: &RecordBatch, block: &mut RowBlock) -> Result<usize> {
        let rows = batch.num_rows();
        let out = self.zeroed(block, rows);
        for (place, encoder) in self.columns.iter().enumerate() {
            let column = batch_column(batch, &encoder.name, encoder.kind())?;
            self.encode_column(place, &column, 0..rows, out)?;
        }
        Ok(rows)
    }

    fn encode_column(
        &self,
        place: usize,
        column: &Column,
        rows: impl Iterator<Item = usize>,
        out: &mut [f32],
    ) -> Result<(), InputError> {
        let encoder = &self.columns[place];
        for (row, out) in rows.zip(out.chunks_exact_mut(self.width)) {
            let cell = column.cell(row);
            encoder
                .encode(cell, self.part(place, out))
                .map_err(|Unfit| cell.bad_value(row, &encoder.name, encoder.kind()))?;
        }
        Ok(())
    }

    /// Room for `rows` encoded rows in `block`, all zero.
    pub(super) fn zeroed<'a>(&self, block: &'a mut RowBlock, rows: usize) -> &'a mut [f32] {
        let row_bytes = self.width * size_of::<f32>();
        block.reset(row_bytes);
        block.data_mut().resize(rows * row_bytes);
        block.data_mut().as_mut_slice()
    }
}
