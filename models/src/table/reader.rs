//! Streams a CSV or Parquet file as batches; memory use does not grow with the file.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    path::{Path, PathBuf},
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use contract::ColumnKind;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::{column::Holds, csv::CsvBatches};
use crate::{Error, Result};

/// Rows a batch: enough to hide the work around a batch, few enough to stay in the cache.
const BATCH_ROWS: usize = 8192;

/// How a file is read.
#[derive(Clone, Debug, Default)]
pub struct TableOptions {
    /// Delimiter of a CSV file; told from the content when none.
    pub delimiter: Option<u8>,
    /// Kinds of columns that are not to be inferred, such as numbers that are categories.
    pub kinds: BTreeMap<String, ColumnKind>,
}

/// A CSV or Parquet file, batch by batch. Columns of a CSV file are text as it was written; columns of a Parquet file have
/// their own types. Encoders and [`tensors`](super::tensors) read both.
pub struct TableReader {
    path: PathBuf,
    source: Source,
    rows: u64,
}

enum Source {
    Csv { batches: Box<CsvBatches>, bytes: u64 },
    Parquet { reader: Box<ParquetRecordBatchReader>, schema: SchemaRef, rows: u64 },
}

impl TableReader {
    /// Opens `path`. Parquet is told by its content; whatever is no known other format is read as CSV.
    ///
    /// # Errors
    /// [`Error::Table`] when the file is empty, compressed as a whole, damaged, or has nested or ambiguous columns.
    pub fn open(path: &Path, options: &TableOptions) -> Result<Self> {
        let metadata = fs_err::metadata(path)?;
        if !metadata.is_file() {
            return Err(table_error(path, "expected a CSV or Parquet file, got something that is not a file"));
        }
        let source = if is_parquet(path)? {
            open_parquet(path)?
        } else {
            let batches = Box::new(CsvBatches::open(path, options.delimiter, BATCH_ROWS)?);
            Source::Csv { batches, bytes: metadata.len() }
        };
        Ok(Self { path: path.to_owned(), source, rows: 0 })
    }

    /// The columns of every batch.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        match &self.source {
            Source::Csv { batches, bytes: _ } => batches.schema(),
            Source::Parquet { reader: _, schema, rows: _ } => schema,
        }
    }

    /// Rows given so far.
    #[must_use]
    pub const fn rows_read(&self) -> u64 {
        self.rows
    }

    /// How much of the file was read, from 0 to 1.
    #[must_use]
    pub fn fraction_read(&self) -> f64 {
        let (read, all) = match &self.source {
            Source::Csv { batches, bytes } => (batches.bytes_read(), *bytes),
            Source::Parquet { reader: _, schema: _, rows } => (self.rows, *rows),
        };
        if all == 0 { 1.0 } else { (read as f64 / all as f64).min(1.0) }
    }

    /// Whether cells are text without a declared type.
    pub(crate) const fn is_csv(&self) -> bool {
        matches!(self.source, Source::Csv { batches: _, bytes: _ })
    }

    /// SHA-256 of the file, after its last batch.
    pub(crate) fn into_digest(self) -> Result<String> {
        match self.source {
            Source::Csv { batches, bytes: _ } => batches.into_digest(),
            Source::Parquet { reader: _, schema: _, rows: _ } => Ok(crate::artifact::sha256_file(&self.path)?.0),
        }
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let batch = match &mut self.source {
            Source::Csv { batches, bytes: _ } => batches.next_batch(&self.path)?,
            Source::Parquet { reader, schema: _, rows: _ } => {
                reader.next().transpose().map_err(|error| table_error(&self.path, error.to_string()))?
            }
        };
        self.rows += batch.as_ref().map_or(0, |batch| batch.num_rows() as u64);
        Ok(batch)
    }
}

impl Iterator for TableReader {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch().transpose()
    }
}

/// Tells Parquet from text, and refuses what is neither.
fn is_parquet(path: &Path) -> Result<bool> {
    let mut start = Vec::new();
    fs_err::File::open(path)?.take(4).read_to_end(&mut start)?;
    let refuse = |what: &str| Err(table_error(path, format!("expected CSV or Parquet, got {what}")));
    let named_parquet = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("parquet") || extension.eq_ignore_ascii_case("pq"));
    match start[..] {
        [] => refuse("an empty file"),
        [b'P', b'A', b'R', b'1'] => Ok(true),
        [0x1f, 0x8b, ..] => refuse("a gzip file; unpack it first"),
        [0x28, 0xb5, 0x2f, 0xfd] => refuse("a Zstandard file; unpack it first"),
        [b'P', b'K', 3, 4] => refuse("a zip file (or a workbook); export it as CSV first"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => refuse("UTF-16 text; save it as UTF-8 first"),
        _ if named_parquet => refuse("other content under the name of a Parquet file"),
        _ => Ok(false),
    }
}

fn open_parquet(path: &Path) -> Result<Source> {
    let damaged = |error: &dyn std::fmt::Display| {
        table_error(path, format!("expected a Parquet file, got a damaged one ({error})"))
    };
    let (file, _) = fs_err::File::open(path)?.into_parts();
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| damaged(&error))?;
    let schema = builder.schema().clone();
    let mut names = BTreeSet::new();
    for field in schema.fields() {
        let wrong = |reason: &str| table_error(path, format!("column '{}': {reason}", field.name()));
        Holds::of(field.data_type()).map_err(|reason| wrong(&reason))?;
        if !names.insert(field.name()) {
            return Err(wrong("expected each column name once, got it again"));
        }
    }
    let rows = builder.metadata().file_metadata().num_rows().try_into().map_err(|error| damaged(&error))?;
    let reader = Box::new(builder.with_batch_size(BATCH_ROWS).build().map_err(|error| damaged(&error))?);
    Ok(Source::Parquet { reader, schema, rows })
}

pub(crate) fn table_error(path: &Path, reason: impl Into<String>) -> Error {
    Error::Table { path: path.to_owned(), reason: reason.into() }
}
