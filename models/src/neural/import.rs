//! A net that another tool trained becomes an artifact: one FP32 tensor in, one out, no encoders.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use contract::{DataType, LossKind, Signature, Task, TaskSpec, Tensor, TensorSpec, VersionMetadata};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    format::DENSE_KIND,
    head::Head,
    mlp::MlpShape,
    net::{InputForm, TableNet, Weights},
    nets::NetShape,
    save::{golden, write},
    weights,
};
use crate::{Error, Result, artifact::sha256_file, import::DenseWeights};

/// Rows of random numbers whose answers are saved for the self-test.
const GOLDEN_ROWS: usize = 4;

/// How an imported net is named.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// Name of the input, FP32 `[-1, n]`.
    pub input: String,
    /// Name of the output, FP32 `[-1, k]`.
    pub output: String,
    /// What a net of one output predicts, so that labels can be joined to its predictions: [`Task::Regression`], or nothing that
    /// is known. A file of weights does not say it.
    pub task: Option<Task>,
    /// Who imports, for the metadata.
    pub author: Option<String>,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self { input: "x".to_owned(), output: "y".to_owned(), task: None, author: None }
    }
}

/// An imported net on disk.
#[derive(Clone, Debug)]
pub struct Imported {
    /// Directory of the artifact.
    pub directory: PathBuf,
    /// What is to be stored with the version.
    pub metadata: VersionMetadata,
}

/// Imports the net in `source` into a new artifact at `directory`: safetensors with the keys and metadata of `docs/nets.md`, or a
/// dense net in safetensors or npz (see [`crate::import`]). Of an ensemble, the scores are averaged.
///
/// # Errors
/// [`Error::Open`] when the file does not hold a net, [`Error::Setting`] when a name is empty, the task is not one that
/// scores alone can be judged by, or the directory exists,
/// [`Error::Io`] when the disk fails.
pub fn import_net(source: &Path, directory: &Path, options: &ImportOptions) -> Result<Imported> {
    let ImportOptions { input, output, task, author } = options;
    if input.is_empty() || output.is_empty() {
        return Err(Error::Setting("expected names for input and output, got an empty one".to_owned()));
    }
    let weights = Arc::new(read(source)?);
    let (digest, _) = sha256_file(source)?;
    let NetShape { inputs, ref body, outputs, .. } = weights.shape;
    let task = task.map(|task| task_spec(task, output, outputs)).transpose()?;
    let signature = Signature {
        inputs: vec![TensorSpec::rows(input, DataType::Fp32, inputs)],
        outputs: vec![TensorSpec::rows(output, DataType::Fp32, outputs)],
        columns: Vec::new(),
        task,
    };
    let form = InputForm::Plain { name: input.clone(), width: inputs };
    let net = TableNet::new(signature.clone(), form, Head::Scores { width: outputs }, weights.clone(), None, false);
    let mut generator = ChaCha8Rng::seed_from_u64(0);
    let values: Vec<f32> = (0..GOLDEN_ROWS * inputs).map(|_| generator.random_range(-1.0..=1.0)).collect();
    let golden = golden(&net, vec![Tensor::from_values(input, vec![GOLDEN_ROWS, inputs], &values)?])?;

    let hyper_parameters = match serde_json::to_value(body) {
        Ok(serde_json::Value::Object(sizes)) => sizes.into_iter().filter(|(name, _)| name != "dropout").collect(),
        Ok(_) | Err(_) => BTreeMap::new(),
    };
    write(directory, DENSE_KIND, signature, None, hyper_parameters.clone(), &weights, &golden)?;
    let file =
        source.file_name().map_or_else(|| source.display().to_string(), |name| name.to_string_lossy().into_owned());
    let metadata = VersionMetadata {
        author: author.clone(),
        hyper_parameters,
        packages: super::provenance::packages(),
        source: Some(format!("{file} sha256:{digest}")),
        ..VersionMetadata::new(DENSE_KIND)
    };
    Ok(Imported { directory: directory.to_owned(), metadata })
}

/// A net whose metadata says its sizes, or a dense net by the names of its tensors.
fn read(source: &Path) -> Result<Weights> {
    let dense = |dense: &DenseWeights| {
        let (shape, parameters) = to_parts(dense);
        Weights { shape: NetShape::mlp(&shape), parameters }
    };
    // Only a regular file is read whole; what else there is, the reader of dense nets refuses by name.
    if fs_err::metadata(source).is_ok_and(|metadata| metadata.is_file()) {
        let bytes = fs_err::read(source)?;
        if weights::says_its_sizes(&bytes) {
            return Ok(weights::read(&bytes, source)?);
        }
        return Ok(dense(&DenseWeights::from_bytes(source, &bytes)?));
    }
    Ok(dense(&DenseWeights::read(source)?))
}

fn task_spec(task: Task, output: &str, outputs: usize) -> Result<TaskSpec> {
    match (task, outputs) {
        (Task::Regression, 1) => {
            Ok(TaskSpec { task, classes: Vec::new(), score: output.to_owned(), loss: LossKind::Squared })
        }
        (Task::Regression, outputs) => {
            Err(Error::Setting(format!("expected one output of a regression, got a net of {outputs}")))
        }
        (Task::Binary | Task::Multiclass, _) => Err(Error::Setting(format!(
            "expected regression as the task of a dense net, got {task}: its scores need not be probabilities"
        ))),
    }
}

fn to_parts(dense: &DenseWeights) -> (MlpShape, Vec<f32>) {
    let last = dense.layers().len().saturating_sub(1);
    let hidden = dense.layers().iter().take(last).map(|layer| layer.outputs).collect();
    let shape = MlpShape { inputs: dense.inputs(), hidden, outputs: dense.outputs() };
    let mut parameters = Vec::with_capacity(dense.parameters());
    for layer in dense.layers() {
        parameters.extend_from_slice(&layer.weights);
        parameters.extend_from_slice(&layer.bias);
    }
    (shape, parameters)
}
