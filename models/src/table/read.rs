//! Reads a file into a [`Table`], in two passes: the first looks at every text value to tell what its column holds, the
//! second converts. So no value comes too late to be counted, and memory holds typed columns only.

use std::path::Path;

use arrow::{
    array::{BooleanBuilder, Float64Builder, LargeStringBuilder, TimestampMicrosecondBuilder},
    datatypes::SchemaRef,
};
use contract::ColumnKind;

use super::{
    cell::{Cell, Unfit, expected, parse_boolean, parse_number},
    column::{Column, Holds},
    data::{Table, column_error},
    date,
    infer::Guess,
    reader::{TableOptions, TableReader, table_error},
};
use crate::Result;

impl Table {
    /// Reads a CSV or Parquet file. Types of CSV columns are inferred over the whole file: numeric, boolean (true, false,
    /// yes, no), date or categorical; an empty cell, `?`, `-`, NA, N/A, #N/A, NaN, null and None (in any case) are missing.
    /// Parquet columns keep their types; strings that all are dates become dates.
    ///
    /// # Errors
    /// [`crate::Error::Table`] when the file has no rows or no header, lines of different lengths, text that is not UTF-8,
    /// nested columns, or is damaged; [`crate::Error::Column`] when `options` name a column that is not there.
    pub fn read(path: &Path, options: &TableOptions) -> Result<Self> {
        let reader = TableReader::open(path, options)?;
        let schema = reader.schema().clone();
        for name in options.kinds.keys() {
            schema
                .index_of(name)
                .map_err(|_| column_error(name, format!("expected a column of {}", path.display())))?;
        }
        let is_csv = reader.is_csv();
        let guesses = guess(path, reader, &schema)?;
        let mut builders = Vec::with_capacity(guesses.len());
        for ((kind, day_first), field) in guesses.iter().copied().zip(schema.fields()) {
            let kind = options.kinds.get(field.name()).copied().unwrap_or(kind);
            builders.push(Builder::new(kind, day_first));
        }
        if is_csv {
            require_header(path, &schema, &builders)?;
        }
        let mut reader = TableReader::open(path, options)?;
        for batch in reader.by_ref() {
            let batch = batch?;
            let first_row = reader_row(&builders);
            for ((builder, array), field) in builders.iter_mut().zip(batch.columns()).zip(schema.fields()) {
                let column = Column::from_arrow(array)
                    .map_err(|reason| table_error(path, format!("column '{}': {reason}", field.name())))?;
                for row in 0..batch.num_rows() {
                    let cell = column.cell(row);
                    builder.append(cell).map_err(|Unfit| {
                        let (row, expected, got) = (first_row + row + 1, expected(builder.kind), cell.describe());
                        table_error(
                            path,
                            format!("row {row}, column '{}': expected {expected}, got {got}", field.name()),
                        )
                    })?;
                }
            }
        }
        if reader.rows_read() == 0 {
            return Err(table_error(path, "expected at least one row below the header, got none"));
        }
        let digest = reader.into_digest()?;
        let columns = builders.into_iter().zip(schema.fields());
        let named = columns.map(|(builder, field)| builder.finish(field.name())).collect();
        Self::from_columns(named, Some(digest))
    }
}

/// Rows appended so far.
fn reader_row(builders: &[Builder]) -> usize {
    builders.first().map_or(0, |builder| builder.rows)
}

/// The kind of every column and whether its dates name the day first.
fn guess(path: &Path, reader: TableReader, schema: &SchemaRef) -> Result<Vec<(ColumnKind, bool)>> {
    let of_text = if reader.is_csv() { Guess::of_text() } else { Guess::of_strings() };
    let mut guesses = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let holds = Holds::of(field.data_type())
            .map_err(|reason| table_error(path, format!("column '{}': {reason}", field.name())))?;
        guesses.push(match holds {
            Holds::Numbers => Err((ColumnKind::Numeric, false)),
            Holds::Booleans => Err((ColumnKind::Boolean, false)),
            Holds::Times => Err((ColumnKind::Date, false)),
            Holds::Text => Ok(of_text.clone()),
        });
    }
    if guesses.iter().any(Result::is_ok) {
        for batch in reader {
            let batch = batch?;
            for ((guess, array), field) in guesses.iter_mut().zip(batch.columns()).zip(schema.fields()) {
                let Ok(guess) = guess else { continue };
                let column = Column::from_arrow(array)
                    .map_err(|reason| table_error(path, format!("column '{}': {reason}", field.name())))?;
                (0..batch.num_rows()).for_each(|row| guess.observe(column.cell(row)));
            }
        }
    }
    Ok(guesses.into_iter().map(|guess| guess.map_or_else(|known| known, |guess| guess.finish())).collect())
}

/// Refuses a CSV file whose first line is a row like all others. A column of numbers, booleans or dates votes: for a
/// header when its first line is something else, against it when it is not. Names like 0, 1, 2, … are a header, because
/// that is how matrices are often saved.
fn require_header(path: &Path, schema: &SchemaRef, builders: &[Builder]) -> Result<()> {
    let (mut votes_for, mut against) = (0, None);
    for (builder, field) in builders.iter().zip(schema.fields()) {
        let name = field.name().as_bytes();
        let like_a_value = match builder.kind {
            ColumnKind::Numeric => parse_number(name).is_some(),
            ColumnKind::Boolean => parse_boolean(name).is_some(),
            ColumnKind::Date => date::parse(name, builder.day_first).is_some(),
            ColumnKind::Categorical => continue,
        };
        if like_a_value {
            against = against.or(Some(field.name()));
        } else {
            votes_for += 1;
        }
    }
    let counted =
        |from: usize| schema.fields().iter().enumerate().all(|(i, field)| *field.name() == (from + i).to_string());
    match against {
        Some(name) if votes_for == 0 && !counted(0) && !counted(1) => Err(table_error(
            path,
            format!("expected a first line with column names, got a row with the value '{name}'"),
        )),
        Some(_) | None => Ok(()),
    }
}

/// Collects one column in its final form.
struct Builder {
    kind: ColumnKind,
    day_first: bool,
    rows: usize,
    values: Values,
}

enum Values {
    Numbers(Float64Builder),
    Booleans(BooleanBuilder),
    Times(TimestampMicrosecondBuilder),
    Text(LargeStringBuilder),
}

impl Builder {
    fn new(kind: ColumnKind, day_first: bool) -> Self {
        let values = match kind {
            ColumnKind::Numeric => Values::Numbers(Float64Builder::new()),
            ColumnKind::Boolean => Values::Booleans(BooleanBuilder::new()),
            ColumnKind::Date => Values::Times(TimestampMicrosecondBuilder::new()),
            ColumnKind::Categorical => Values::Text(LargeStringBuilder::new()),
        };
        Self { kind, day_first, rows: 0, values }
    }

    fn append(&mut self, cell: Cell<'_>) -> Result<(), Unfit> {
        match &mut self.values {
            Values::Numbers(builder) => builder.append_option(cell.number()?),
            Values::Booleans(builder) => builder.append_option(cell.boolean()?),
            Values::Times(builder) => builder.append_option(cell.time(self.day_first)?),
            // Arrow's text is UTF-8, and trimming ASCII space keeps it so.
            Values::Text(builder) => {
                builder.append_option(
                    cell.category()?.map(|text| std::str::from_utf8(text).map_err(|_| Unfit)).transpose()?,
                );
            }
        }
        self.rows += 1;
        Ok(())
    }

    fn finish(self, name: &str) -> (String, Column, bool) {
        let column = match self.values {
            Values::Numbers(mut builder) => Column::Numbers(builder.finish()),
            Values::Booleans(mut builder) => Column::Booleans(builder.finish()),
            Values::Times(mut builder) => Column::Times(builder.finish()),
            Values::Text(mut builder) => Column::Text(builder.finish()),
        };
        (name.to_owned(), column, self.day_first)
    }
}
