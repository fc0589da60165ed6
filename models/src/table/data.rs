//! A table in memory: typed columns with missing values.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{ArrayRef, RecordBatch, UInt64Array},
    compute::take_record_batch,
    datatypes::{DataType, Field, Schema, TimeUnit},
};
use contract::{ColumnKind, ColumnSpec, Value};

use super::{
    cell::{self, Cell},
    column::Column,
    date,
};
use crate::{Error, Result};

/// A table in memory. Numbers are f64, categories are trimmed text, dates are microseconds since 1970-01-01 UTC.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<ColumnSpec>,
    data: Vec<Column>,
    day_first: Vec<bool>,
    batch: RecordBatch,
    digest: Option<String>,
}

impl Table {
    /// A table over a batch whose types say what its columns hold; strings are categories.
    ///
    /// # Errors
    /// [`Error::Column`] when a name is not unique or a column's type is nested or no feature.
    pub fn from_batch(batch: &RecordBatch) -> Result<Self> {
        let schema = batch.schema();
        let mut named = Vec::with_capacity(batch.num_columns());
        for (field, array) in schema.fields().iter().zip(batch.columns()) {
            let data = Column::from_arrow(array).map_err(|reason| column_error(field.name(), reason))?;
            named.push((field.name().clone(), data, false));
        }
        Self::from_columns(named, None)
    }

    /// A table of columns in their final form; the flag says whether the column's dates named the day first.
    pub(crate) fn from_columns(named: Vec<(String, Column, bool)>, digest: Option<String>) -> Result<Self> {
        let mut columns = Vec::with_capacity(named.len());
        let (mut data, mut day_first) = (Vec::with_capacity(named.len()), Vec::with_capacity(named.len()));
        let (mut fields, mut arrays) = (Vec::with_capacity(named.len()), Vec::with_capacity(named.len()));
        for (name, column, days) in named {
            if columns.iter().any(|column: &ColumnSpec| column.name == name) {
                return Err(column_error(&name, "expected each column name once, got it again"));
            }
            let (data_type, array): (DataType, ArrayRef) = match &column {
                Column::Numbers(array) => (DataType::Float64, Arc::new(array.clone())),
                Column::Booleans(array) => (DataType::Boolean, Arc::new(array.clone())),
                Column::Times(array) => (DataType::Timestamp(TimeUnit::Microsecond, None), Arc::new(array.clone())),
                Column::Text(array) => (DataType::LargeUtf8, Arc::new(array.clone())),
            };
            fields.push(Field::new(&name, data_type, true));
            arrays.push(array);
            columns.push(ColumnSpec { name, kind: column.kind() });
            data.push(column);
            day_first.push(days);
        }
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
            .map_err(|error| Error::Setting(format!("expected columns of one length: {error}")))?;
        Ok(Self { columns, data, day_first, batch, digest })
    }

    /// Names and kinds of the columns, in the file's order.
    #[must_use]
    pub fn columns(&self) -> &[ColumnSpec] {
        &self.columns
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    /// SHA-256 of the file it was read from; none for a table that was made in memory.
    #[must_use]
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// The columns in Arrow's form: Float64, Boolean, Timestamp(µs) and `LargeUtf8`, missing values as nulls.
    #[must_use]
    pub const fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    /// Number of column `name`.
    ///
    /// # Errors
    /// [`Error::Column`] naming the columns there are.
    pub fn column_index(&self, name: &str) -> Result<usize> {
        self.columns.iter().position(|column| column.name == name).ok_or_else(|| {
            let known: Vec<_> = self.columns.iter().map(|column| column.name.as_str()).collect();
            column_error(
                name,
                format!("expected one of the table's columns {}, got none of that name", known.join(", ")),
            )
        })
    }

    /// The rows that have a value in column `name`.
    ///
    /// # Errors
    /// [`Error::Column`] when there is no such column.
    pub fn present_rows(&self, name: &str) -> Result<Vec<usize>> {
        let column = self.column(self.column_index(name)?);
        let missing = |cell: Cell<'_>| match cell {
            Cell::Missing => true,
            Cell::Number(value) => value.is_nan(),
            Cell::Text(text) => cell::present(text).is_none(),
            Cell::Boolean(_) | Cell::Time(_) => false,
        };
        Ok((0..self.rows()).filter(|row| !missing(column.cell(*row))).collect())
    }

    /// What `rows` weigh by the numbers of column `name`.
    ///
    /// # Errors
    /// [`Error::Column`] when there is no such column, or one of the rows has no number that is 0 or more.
    pub(crate) fn weights(&self, name: &str, rows: &[usize]) -> Result<Vec<f64>> {
        let column = self.column(self.column_index(name)?);
        let weight = |row: &usize| match column.cell(*row).number() {
            Ok(Some(weight)) if weight >= 0.0 && weight.is_finite() => Ok(weight),
            Ok(Some(other)) => {
                Err(column_error(name, format!("expected a weight of 0 or more in row {row}, got {other}")))
            }
            Ok(None) | Err(_) => Err(column_error(name, format!("expected a weight in row {row}, got none"))),
        };
        rows.iter().map(weight).collect()
    }

    /// The value in `row` of column number `column`; whole numbers are integers, dates are ISO 8601 text, and what is
    /// outside of the table is missing.
    #[must_use]
    pub fn value(&self, row: usize, column: usize) -> Value {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        let Some(data) = self.data.get(column).filter(|_| row < self.rows()) else { return Value::Null };
        match data.cell(row) {
            Cell::Number(value) if value.trunc() == value && value.abs() < EXACT => Value::Int(value as i64),
            Cell::Number(value) if !value.is_nan() => Value::Float(value),
            Cell::Missing | Cell::Number(_) => Value::Null,
            Cell::Boolean(value) => Value::Bool(value),
            Cell::Time(micros) => Value::Text(date::Iso(micros).to_string()),
            Cell::Text(text) => {
                cell::present(text).map_or(Value::Null, |text| Value::Text(String::from_utf8_lossy(text).into_owned()))
            }
        }
    }

    /// The values of `row` by column name, missing ones left out, as a feature store takes them.
    #[must_use]
    pub fn record(&self, row: usize) -> BTreeMap<String, Value> {
        let values =
            self.columns.iter().enumerate().map(|(index, column)| (column.name.clone(), self.value(row, index)));
        values.filter(|(_, value)| *value != Value::Null).collect()
    }

    /// The rows `rows`, in that order, as a batch.
    ///
    /// # Errors
    /// [`Error::Setting`] when a row is beyond the end.
    pub fn take(&self, rows: &[usize]) -> Result<RecordBatch> {
        let beyond =
            |error: &dyn std::fmt::Display| Error::Setting(format!("expected rows below {}: {error}", self.rows()));
        if let Some(row) = rows.iter().find(|row| **row >= self.rows()) {
            return Err(beyond(&format_args!("got {row}")));
        }
        let indices: UInt64Array = rows.iter().map(|row| Some(*row as u64)).collect();
        take_record_batch(&self.batch, &indices).map_err(|error| beyond(&error))
    }

    /// Column number `index`; the number came from [`Table::column_index`].
    pub(crate) fn column(&self, index: usize) -> &Column {
        &self.data[index]
    }

    /// Whether dates of column number `index` were written with the day first.
    pub(crate) fn day_first(&self, index: usize) -> bool {
        self.day_first[index]
    }

    /// Kind of column number `index`.
    pub(crate) fn kind(&self, index: usize) -> ColumnKind {
        self.columns[index].kind
    }
}

pub(crate) fn column_error(column: &str, reason: impl Into<String>) -> Error {
    Error::Column { column: column.to_owned(), reason: reason.into() }
}
