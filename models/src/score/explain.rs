//! SHAP values of the rows of a file, into another file.

use std::path::Path;

use contract::{DataType, Model, RowBlock, Signature, Tensor, TensorSpec};
use trees::Explainer;

use super::{Source, in_file, outputs::OutputColumns};
use crate::{
    Error, Result,
    table::{TableOptions, TableReader, TableWriter},
    tree::TreeModel,
};

/// Explains every row of `data`: writes its columns, followed by one column for each of the model's, `shap_NAME`, and
/// `shap_expected`, to `out`. A row's values and the expected one add up to its margin, which is what the model's trees add up to
/// before they become a probability or the like; a model of several margins has a column for each (`shap_NAME_0`, …). Values
/// are computed in f64 and written as f32. `progress` is told as in [`score`](super::score). Gives the number of rows.
///
/// # Errors
/// As [`score`](super::score), and [`Error::Setting`] when the model does not hold what its values are computed from.
pub fn explain(model: &TreeModel, data: &Path, out: &Path, mut progress: impl FnMut(f64, u64)) -> Result<u64> {
    let explainer = Explainer::new(model.ensemble()).map_err(|error| Error::Setting(error.to_string()))?;
    let width = model.ensemble().output.width;
    let names = model.signature().columns.iter().map(|column| format!("shap_{}", column.name));
    let specs = names.chain(["shap_expected".to_owned()]);
    let outputs: Vec<TensorSpec> = specs.map(|name| TensorSpec::rows(&name, DataType::Fp32, width)).collect();
    let signature = Signature { outputs, task: None, ..model.signature().clone() };

    let mut reader = TableReader::open(data, &TableOptions::default())?;
    let present: Vec<String> = reader.schema().fields().iter().map(|field| field.name().clone()).collect();
    let source = Source::new(&signature, &present)?;
    let columns = OutputColumns::new(&signature, &present)?;
    let mut writer = TableWriter::create(out, &columns.schema(reader.schema()))?;
    let (mut rows, mut block) = (0, RowBlock::default());
    while let Some(batch) = reader.next() {
        let batch = batch?;
        let inputs = source.inputs(&batch).map_err(|error| in_file(error, rows))?;
        model.encode(&inputs, &mut block).map_err(|error| in_file(error.into(), rows))?;
        let answers = values(model, &explainer, &block, &signature.outputs)?;
        rows += batch.num_rows() as u64;
        writer.write(&columns.join(&batch, &answers)?)?;
        progress(reader.fraction_read(), rows);
    }
    writer.finish()?;
    Ok(rows)
}

/// The values of a block of rows, a tensor for each column and one for what is expected.
fn values(model: &TreeModel, explainer: &Explainer, rows: &RowBlock, outputs: &[TensorSpec]) -> Result<Vec<Tensor>> {
    let (count, width) = (rows.rows(), model.ensemble().output.width);
    let mut values = vec![Vec::with_capacity(count * width); outputs.len()];
    let mut row_values = vec![0.0; explainer.values_len()];
    for row in 0..count {
        explainer
            .values(&model.features(rows, row), &mut row_values)
            .map_err(|error| Error::Setting(error.to_string()))?;
        for (column, values) in values.iter_mut().enumerate() {
            values.extend(row_values.iter().skip(column).step_by(outputs.len()).map(|value| *value as f32));
        }
    }
    let tensor =
        |(spec, values): (&TensorSpec, Vec<f32>)| Ok(Tensor::from_values(&spec.name, vec![count, width], &values)?);
    outputs.iter().zip(values).map(tensor).collect()
}
