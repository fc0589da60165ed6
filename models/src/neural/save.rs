//! From fitted parameters to an artifact: metrics and golden predictions through the served path, then the files.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use contract::{AlignedBuffer, Device, Golden, Model, RowBlock, Signature, Tensor, VersionMetadata};

use super::{
    fit::Fitted,
    head::{Head, PREDICTION},
    judge::judged,
    metrics::Metrics,
    net::{InputForm, TableNet, Weights},
    nets::NetShape,
    prepare::Prepared,
    train::TrainOptions,
    weights,
};
use crate::{
    Error, Result,
    artifact::{ArtifactWriter, GOLDEN_ROLE, Manifest, WEIGHTS_ROLE, write_golden},
    table::{Encoders, TargetEncoder, tensors},
};

/// Held-out rows whose answers are saved for the self-test.
const GOLDEN_ROWS: usize = 8;

/// How far another device's answers may be from the saved ones.
const GOLDEN_TOLERANCE: f32 = 1e-3;

/// Writes the artifact and completes `metadata` with the metrics; gives the notes of the whole run.
pub(crate) fn save(
    options: &TrainOptions,
    prepared: Prepared,
    shape: NetShape,
    head: Head,
    fitted: Fitted,
    metadata: &mut VersionMetadata,
) -> Result<Vec<String>> {
    let Prepared {
        table,
        digest: _,
        encoders,
        target,
        target_kind: _,
        task: _,
        objective: _,
        loss,
        training_rows: _,
        validation_rows,
        training: _,
        validation,
        fingerprint: _,
        mut notes,
    } = prepared;
    let signature = Signature {
        inputs: encoders.inputs(),
        outputs: head.outputs(PREDICTION),
        columns: encoders.columns(),
        task: head.task_spec(loss),
    };
    let weights = Arc::new(Weights { shape, parameters: fitted.parameters });
    let input = InputForm::Table(Box::new(encoders.clone()));
    let net = TableNet::new(signature.clone(), input, head, weights.clone(), None, false);
    net.check().map_err(|(expected, got)| Error::Setting(format!("expected {expected}, got {got}")))?;

    let labels = target.encode(&table, &options.target, &validation_rows)?;
    let Metrics { values, notes: missing } = quality(&net, &options.device, &validation.features, &target, &labels)?;
    metadata.metrics = values;
    notes.extend(missing);

    let sample = table.take(&validation_rows[..validation_rows.len().min(GOLDEN_ROWS)])?;
    let golden = golden(&net, tensors(&sample, &encoders.columns())?)?;
    let hyper_parameters = metadata.hyper_parameters.clone();
    let kind = options.model.name().as_str();
    write(&options.directory, kind, signature, Some((encoders, target)), hyper_parameters, &weights, &golden)?;
    Ok(notes)
}

/// Writes the files of a net.
pub(crate) fn write(
    directory: &Path,
    kind: &str,
    signature: Signature,
    table: Option<(Encoders, TargetEncoder)>,
    hyper_parameters: BTreeMap<String, serde_json::Value>,
    weights: &Weights,
    golden: &Golden,
) -> Result<()> {
    let (encoders, target) = table.unzip();
    let manifest = Manifest { encoders, target, hyper_parameters, ..Manifest::new(kind, signature) };
    let bytes = weights::write(&weights.shape, &weights.parameters).map_err(Error::Setting)?;
    let mut writer = ArtifactWriter::create(directory)?;
    writer.add(WEIGHTS_ROLE, "weights.safetensors", &bytes)?;
    writer.add(GOLDEN_ROLE, "golden.json", &write_golden(golden)?)?;
    writer.finish(manifest)?;
    Ok(())
}

/// The answers of `net` to `inputs` on the CPU, through encoding, replica and decoding.
pub(crate) fn golden(net: &TableNet, inputs: Vec<Tensor>) -> Result<Golden> {
    let mut rows = RowBlock::default();
    net.encode(&inputs, &mut rows)?;
    let mut replica = net.place(&Device::cpu())?;
    let scores = net.score(replica.as_mut(), &rows)?;
    let outputs = net.decode(&scores, &[])?;
    Ok(Golden { inputs, outputs, tolerance: GOLDEN_TOLERANCE })
}

/// The metrics of `net` on encoded rows with encoded `labels`.
fn quality(net: &TableNet, device: &Device, rows: &[f32], target: &TargetEncoder, labels: &[f32]) -> Result<Metrics> {
    let mut block = RowBlock::new(net.width() * size_of::<f32>());
    *block.data_mut() = AlignedBuffer::from_slice(rows);
    let mut replica = net.place(device)?;
    let scores = net.score(replica.as_mut(), &block)?;
    let Some(task) = &net.signature().task else { return Ok(Metrics::default()) };
    let outputs = net.decode(&scores, std::slice::from_ref(&task.score))?;
    let values = outputs.first().and_then(Tensor::values::<f32>).unwrap_or_default();
    Ok(judged(task, target, values, labels).metrics)
}
