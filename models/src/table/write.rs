//! Writes batches to a CSV or Parquet file: beside its place, fsynced, then renamed.

use std::{
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use arrow::{array::RecordBatch, csv, datatypes::SchemaRef};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::properties::WriterProperties,
};

use super::reader::table_error;
use crate::Result;

/// A CSV or Parquet file being written. Nothing is seen at its place until [`TableWriter::finish`]; a writer that is dropped
/// before removes what it wrote.
pub struct TableWriter {
    path: PathBuf,
    beside: PathBuf,
    /// None once it was finished.
    sink: Option<Sink>,
    rows: u64,
}

enum Sink {
    Csv(Box<csv::Writer<BufWriter<fs_err::File>>>),
    Parquet(Box<ArrowWriter<fs_err::File>>),
}

impl TableWriter {
    /// Starts a file for batches of `schema`: Parquet for `.parquet` and `.pq`, tabs between values for `.tsv`, else CSV with
    /// commas. A file that is there is replaced when this one is finished.
    ///
    /// # Errors
    /// [`crate::Error::Table`] when `path` is a directory, a device or a pipe, or the columns cannot be written.
    pub fn create(path: &Path, schema: &SchemaRef) -> Result<Self> {
        // A link is followed, so that its target is replaced and not the link.
        let path = fs_err::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if fs_err::metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
            return Err(table_error(&path, "expected the name of a file to write, got something that is not a file"));
        }
        let Some(name) = path.file_name() else {
            return Err(table_error(&path, "expected the name of a file to write"));
        };
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        let beside = path.with_file_name(format!(".{}.{}.partial", name.to_string_lossy(), std::process::id()));
        let file = fs_err::File::create(&beside)?;
        let mut writer = Self { path, beside, sink: None, rows: 0 };
        writer.sink = Some(match extension.to_str() {
            Some("parquet" | "pq") => {
                let compression = Compression::ZSTD(ZstdLevel::default());
                let properties = WriterProperties::builder().set_compression(compression).build();
                let parquet = ArrowWriter::try_new(file, schema.clone(), Some(properties));
                Sink::Parquet(Box::new(parquet.map_err(|error| writer.parquet_error(&error))?))
            }
            Some("tsv") => {
                Sink::Csv(Box::new(csv::WriterBuilder::new().with_delimiter(b'\t').build(BufWriter::new(file))))
            }
            Some(_) | None => Sink::Csv(Box::new(csv::WriterBuilder::new().build(BufWriter::new(file)))),
        });
        // So that a file without any row has its header.
        writer.write(&RecordBatch::new_empty(schema.clone()))?;
        Ok(writer)
    }

    /// Appends the rows of `batch`.
    ///
    /// # Errors
    /// [`crate::Error::Table`] when the disk refuses or the columns differ from the schema.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        let result = match &mut self.sink {
            Some(Sink::Csv(writer)) => writer.write(batch).map_err(|error| error.to_string()),
            Some(Sink::Parquet(writer)) => writer.write(batch).map_err(|error| error.to_string()),
            None => Err("expected a file that is not finished".to_owned()),
        };
        result.map_err(|reason| table_error(&self.path, reason))
    }

    /// Puts the file in its place and gives the number of its rows.
    ///
    /// # Errors
    /// [`crate::Error::Table`] when the disk refuses.
    pub fn finish(mut self) -> Result<u64> {
        let file = match self.sink.take() {
            Some(Sink::Csv(writer)) => {
                let mut buffered = writer.into_inner();
                buffered.flush()?;
                buffered.into_inner().map_err(std::io::IntoInnerError::into_error)?
            }
            Some(Sink::Parquet(writer)) => writer.into_inner().map_err(|error| self.parquet_error(&error))?,
            None => return Ok(self.rows),
        };
        file.sync_all()?;
        fs_err::rename(&self.beside, &self.path)?;
        if cfg!(unix) {
            let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            fs_err::File::open(parent)?.sync_all()?;
        }
        Ok(self.rows)
    }

    fn parquet_error(&self, error: &ParquetError) -> crate::Error {
        table_error(&self.path, error.to_string())
    }
}

impl Drop for TableWriter {
    fn drop(&mut self) {
        // After a rename there is nothing to remove; a failure leaves a hidden file that nobody reads.
        if self.beside.exists()
            && let Err(error) = fs_err::remove_file(&self.beside)
        {
            tracing::warn!(%error, "an unfinished table was left behind");
        }
    }
}
