//! CSV as batches of text columns: the delimiter is told from the content, the first line names the columns.
//!
//! Cells stay text here, as they are written; what they mean is decided by inference (training) or by the encoders
//! (prediction). So nothing is lost that a later row would have needed.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read},
    path::Path,
    sync::Arc,
};

use arrow::{
    array::RecordBatch,
    csv::{
        ReaderBuilder,
        reader::{Decoder, Format},
    },
    datatypes::{DataType, Field, Schema, SchemaRef},
    error::ArrowError,
};
use sha2::{Digest, Sha256};

use super::reader::table_error;
use crate::Result;

/// Delimiters that are looked for, the more common first.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// Bytes that the delimiter is told from.
const SAMPLE: u64 = 64 * 1024;
/// Bytes read at a time.
const CHUNK: usize = 256 * 1024;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Batches of a CSV file, all columns text.
pub(crate) struct CsvBatches {
    reader: BufReader<Hashed>,
    decoder: Decoder,
    schema: SchemaRef,
}

/// A file that is hashed and counted while it is read.
struct Hashed {
    file: fs_err::File,
    hasher: Sha256,
    bytes: u64,
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        self.bytes += read as u64;
        Ok(read)
    }
}

impl CsvBatches {
    /// Opens `path`; none as `delimiter` tells it from the content.
    pub(crate) fn open(path: &Path, delimiter: Option<u8>, batch_rows: usize) -> Result<Self> {
        let delimiter = if let Some(delimiter) = delimiter {
            delimiter
        } else {
            let mut sample = Vec::new();
            fs_err::File::open(path)?.take(SAMPLE).read_to_end(&mut sample)?;
            sniff_delimiter(sample.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&sample))
        };
        let format = Format::default().with_header(true).with_delimiter(delimiter);
        let (header, _) = format.infer_schema(open(path)?, Some(0)).map_err(|error| csv_error(path, &error))?;
        let names = column_names(path, header.fields().iter().map(|field| field.name().as_str()))?;
        let fields: Vec<_> = names.into_iter().map(|name| Field::new(name, DataType::Utf8, true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let decoder =
            ReaderBuilder::new(Arc::clone(&schema)).with_format(format).with_batch_size(batch_rows).build_decoder();
        Ok(Self { reader: open(path)?, decoder, schema })
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Bytes of the file that were read.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.reader.get_ref().bytes
    }

    /// The next rows; none at the end.
    pub(crate) fn next_batch(&mut self, path: &Path) -> Result<Option<RecordBatch>> {
        let failed = |error: ArrowError| csv_error(path, &error);
        loop {
            let decoded = self.decoder.decode(self.reader.fill_buf()?).map_err(failed)?;
            self.reader.consume(decoded);
            // Nothing decoded is the end of the file; no capacity is a full batch.
            if decoded == 0 || self.decoder.capacity() == 0 {
                return self.decoder.flush().map_err(failed);
            }
        }
    }

    /// SHA-256 of the whole file, after its last batch.
    pub(crate) fn into_digest(mut self) -> Result<String> {
        std::io::copy(&mut self.reader, &mut std::io::sink())?;
        Ok(hex::encode(self.reader.into_inner().hasher.finalize()))
    }
}

/// Opens a file behind its byte order mark.
fn open(path: &Path) -> Result<BufReader<Hashed>> {
    let file = Hashed { file: fs_err::File::open(path)?, hasher: Sha256::new(), bytes: 0 };
    let mut reader = BufReader::with_capacity(CHUNK, file);
    if reader.fill_buf()?.starts_with(BYTE_ORDER_MARK) {
        reader.consume(BYTE_ORDER_MARK.len());
    }
    Ok(reader)
}

fn csv_error(path: &Path, error: &ArrowError) -> crate::Error {
    match error {
        ArrowError::CsvError(reason) => table_error(path, reason.trim_start_matches("Encountered ")),
        error => table_error(path, error.to_string()),
    }
}

/// Column names without the space around them. A name that is empty, as that of an index column often is, becomes
/// `column_N`.
fn column_names<'a>(path: &Path, header: impl Iterator<Item = &'a str>) -> Result<Vec<String>> {
    let mut seen = BTreeSet::new();
    let mut names = Vec::new();
    for (number, name) in (1..).zip(header) {
        let name = if name.trim().is_empty() { format!("column_{number}") } else { name.trim().to_owned() };
        if !seen.insert(name.clone()) {
            return Err(table_error(
                path,
                format!("expected a first line with each column name once, got '{name}' twice"),
            ));
        }
        names.push(name);
    }
    if names.is_empty() {
        return Err(table_error(path, "expected a first line with column names, got an empty file"));
    }
    Ok(names)
}

/// The delimiter whose count is the same on most lines of the sample and not zero; a comma when there is none, as in a
/// file of one column.
fn sniff_delimiter(sample: &[u8]) -> u8 {
    let mut best = (0, b',');
    for delimiter in DELIMITERS {
        let counts = delimiters_by_line(sample, delimiter);
        let first = counts.first().copied().unwrap_or(0);
        if first == 0 {
            continue;
        }
        let agreeing = counts.iter().filter(|count| **count == first).count();
        // In per mille, so that lengths of samples do not matter; later delimiters must be better, not equal.
        let score = agreeing * 1000 / counts.len();
        if score > best.0 {
            best = (score, delimiter);
        }
    }
    best.1
}

/// How often `delimiter` stands outside of quotes on each line that is not empty; the last line may be cut, and is left
/// out when there are others.
fn delimiters_by_line(sample: &[u8], delimiter: u8) -> Vec<usize> {
    let mut counts = Vec::new();
    let (mut count, mut quoted, mut empty) = (0, false, true);
    for byte in sample {
        match byte {
            b'\n' if !quoted => {
                if !empty {
                    counts.push(count);
                }
                (count, empty) = (0, true);
            }
            b'\r' => {}
            byte => {
                empty = false;
                quoted ^= *byte == b'"';
                count += usize::from(*byte == delimiter && !quoted);
            }
        }
    }
    if counts.is_empty() {
        counts.push(count);
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_delimiters_apart() {
        assert_eq!(sniff_delimiter(b"a,b\n1,2\n"), b',');
        assert_eq!(sniff_delimiter(b"a;b\n1,5;2\n2,5;3\n"), b';');
        assert_eq!(sniff_delimiter(b"a\tb\nx, y\t2\n"), b'\t');
        assert_eq!(sniff_delimiter(b"a|b|c\n1|2|3\n"), b'|');
        assert_eq!(sniff_delimiter(b"\"a;b\",c\n\"1;2\",3\n"), b',');
        assert_eq!(sniff_delimiter(b"\"a,\n,b\";c\n1;2\n"), b';');
        assert_eq!(sniff_delimiter(b"a;b"), b';');
        assert_eq!(sniff_delimiter(b"one\n1\n"), b',');
        assert_eq!(sniff_delimiter(b""), b',');
    }
}
