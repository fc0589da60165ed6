//! A model's outputs as columns of a table.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Float32Array, LargeStringArray, RecordBatch},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use contract::{Axis, LossKind, Signature, Tensor};

use crate::{Error, Result};

/// The columns that a model adds to a table: an output of one value a row is a column of its own name; one of several is a
/// column each, named after the class (`probability_red`), the level (`quantile_0.9`) or the position (`y_0`).
pub(super) struct OutputColumns {
    fields: Vec<Field>,
}

impl OutputColumns {
    /// The columns of `signature`'s outputs, for a table that has `present` already.
    ///
    /// # Errors
    /// [`Error::Column`] when the table has a column of that name.
    pub(super) fn new(signature: &Signature, present: &[String]) -> Result<Self> {
        let mut fields = Vec::new();
        for output in &signature.outputs {
            let text = output.datatype == contract::DataType::Bytes;
            let kind = if text { DataType::LargeUtf8 } else { DataType::Float32 };
            let width = match output.shape.as_slice() {
                [Axis::Batch, Axis::Fixed(width)] => *width,
                _ => 1,
            };
            let task = signature.task.as_ref().filter(|task| task.score == output.name);
            let levels = match task.map(|task| &task.loss) {
                Some(LossKind::Quantiles(levels)) => levels.as_slice(),
                _ => &[],
            };
            for index in 0..width {
                let name = match (task.and_then(|task| task.classes.get(index)), levels.get(index)) {
                    (Some(class), _) => format!("probability_{class}"),
                    (None, Some(level)) => format!("quantile_{level}"),
                    (None, None) if width == 1 => output.name.clone(),
                    (None, None) => format!("{}_{index}", output.name),
                };
                if present.contains(&name) {
                    let reason = "the table has a column of this name, which the model's output would take".to_owned();
                    return Err(Error::Column { column: name, reason });
                }
                fields.push(Field::new(name, kind.clone(), true));
            }
        }
        Ok(Self { fields })
    }

    /// The table's columns, then the model's.
    pub(super) fn schema(&self, table: &SchemaRef) -> SchemaRef {
        let own = self.fields.iter().cloned().map(Arc::new);
        Arc::new(Schema::new(table.fields().iter().cloned().chain(own).collect::<Vec<_>>()))
    }

    /// A batch of the table with its answers.
    pub(super) fn join(&self, batch: &RecordBatch, answers: &[Tensor]) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
        for answer in answers {
            let rows = answer.rows().max(1);
            let width = answer.len() / rows;
            for index in 0..width {
                if let Some(values) = answer.values::<f32>() {
                    let column = values.iter().skip(index).step_by(width).copied();
                    columns.push(Arc::new(Float32Array::from_iter_values(column)));
                } else if let Some(strings) = answer.strings() {
                    let column = strings.iter().skip(index).step_by(width);
                    let column = column.map(|text| Some(String::from_utf8_lossy(text).into_owned()));
                    columns.push(Arc::new(column.collect::<LargeStringArray>()));
                } else {
                    let datatype = answer.datatype();
                    return Err(Error::Column {
                        column: answer.name().to_owned(),
                        reason: format!("expected an output of FP32 or BYTES, got {datatype}"),
                    });
                }
            }
        }
        RecordBatch::try_new(self.schema(&batch.schema()), columns)
            .map_err(|error| Error::Setting(format!("the outputs do not fit the table: {error}")))
    }
}
