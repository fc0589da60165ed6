//! Batch scoring: the rows of a file through a model into another file, streaming, so that memory does not grow with it.

mod explain;
mod outputs;

use std::path::Path;

use arrow::array::RecordBatch;
use contract::{
    Axis, ColumnKind, ColumnSpec, DataType, Device, DeviceKind, InputError, Model, Replica, RowBlock, Signature, Tensor,
};

pub use self::explain::explain;
use self::outputs::OutputColumns;
use crate::{
    Error, Result,
    batches::run_rows,
    table::{TableOptions, TableReader, TableWriter, tensors},
};

/// Scores every row of `data` and writes its columns, followed by the outputs of `model`, to `out`. `progress` is told the
/// share of the file read and the number of rows written, after every batch. Gives the number of rows.
///
/// A model of named columns finds them by name, and other columns are carried along. A model of one tensor takes all columns
/// in their order, which have to be as many as the tensor is wide.
///
/// # Errors
/// [`Error::Table`] and [`Error::Column`] for files, [`Error::Input`] for a row that does not fit, [`Error::Run`] when the
/// device fails. Nothing is left at `out` then.
pub fn score(
    model: &dyn Model,
    device: &Device,
    data: &Path,
    out: &Path,
    mut progress: impl FnMut(f64, u64),
) -> Result<u64> {
    let signature = model.signature();
    let mut reader = TableReader::open(data, &TableOptions::default())?;
    let names: Vec<String> = reader.schema().fields().iter().map(|field| field.name().clone()).collect();
    let source = Source::new(signature, &names)?;
    let columns = OutputColumns::new(signature, &names)?;
    let mut writer = TableWriter::create(out, &columns.schema(reader.schema()))?;
    let mut replica = model.place(device)?;
    let mut rows = 0;
    while let Some(batch) = reader.next() {
        let batch = batch?;
        let inputs = source.inputs(&batch).map_err(|error| in_file(error, rows))?;
        let answers = run(model, device.kind, replica.as_mut(), &inputs).map_err(|error| in_file(error, rows))?;
        rows += batch.num_rows() as u64;
        writer.write(&columns.join(&batch, &answers)?)?;
        progress(reader.fraction_read(), rows);
    }
    writer.finish()
}

fn run(model: &dyn Model, device: DeviceKind, replica: &mut dyn Replica, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
    let mut rows = RowBlock::default();
    model.encode(inputs, &mut rows)?;
    let answers = run_rows(model.buckets(device), replica, &rows)?;
    Ok(model.decode(&answers, &[])?)
}

/// How a batch becomes the inputs of a request.
enum Source {
    /// One tensor per named column.
    Columns(Vec<ColumnSpec>),
    /// All columns as one tensor of numbers, `[rows, width]`.
    Matrix { input: String, columns: Vec<ColumnSpec> },
}

impl Source {
    fn new(signature: &Signature, names: &[String]) -> Result<Self> {
        if !signature.columns.is_empty() {
            return Ok(Self::Columns(signature.columns.clone()));
        }
        let [input] = signature.inputs.as_slice() else {
            let inputs = signature.describe_inputs();
            return Err(Error::Setting(format!(
                "expected a model of table columns or of one tensor, got inputs {inputs}"
            )));
        };
        let [Axis::Batch, Axis::Fixed(width)] = input.shape.as_slice() else {
            return Err(Error::Setting(format!("expected a model whose input has the shape [-1, n], got {input}")));
        };
        if input.datatype != DataType::Fp32 || names.len() != *width {
            let found = names.len();
            return Err(Error::Setting(format!(
                "the model takes {input}: expected a table of {width} columns, got {found}"
            )));
        }
        let columns = names.iter().map(|name| ColumnSpec { name: name.clone(), kind: ColumnKind::Numeric }).collect();
        Ok(Self::Matrix { input: input.name.clone(), columns })
    }

    fn inputs(&self, batch: &RecordBatch) -> Result<Vec<Tensor>> {
        match self {
            Self::Columns(columns) => tensors(batch, columns),
            Self::Matrix { input, columns } => {
                let parts = tensors(batch, columns)?;
                let (rows, width) = (batch.num_rows(), parts.len());
                let mut values = vec![f32::NAN; rows * width];
                for (index, part) in parts.iter().enumerate() {
                    for (row, value) in part.values::<f64>().unwrap_or_default().iter().enumerate() {
                        if part.is_valid(row) {
                            values[row * width + index] = *value as f32;
                        }
                    }
                }
                Ok(vec![Tensor::from_values(input, vec![rows, width], &values)?])
            }
        }
    }
}

/// A row's number in its batch becomes its number in the file.
fn in_file(error: Error, before: u64) -> Error {
    match error {
        Error::Input(InputError::BadValue { row, column, expected, got }) => {
            let row = row + usize::try_from(before).unwrap_or(usize::MAX - row);
            Error::Input(InputError::BadValue { row, column, expected, got })
        }
        other => other,
    }
}
