//! A model file of another tool becomes an artifact.

use std::{
    collections::BTreeMap,
    io::Read,
    path::{Path, PathBuf},
};

use contract::{
    AlignedBuffer, ColumnKind, DataType, Golden, Model, OpenError, RowBlock, Strings, Tensor, VersionMetadata,
};
use trees::{
    Ensemble,
    ensemble::{Categories, Origin},
    import::Format,
    predict::Predictor,
};

use super::{
    format::{ENSEMBLE_ROLE, Measured, TREES_KIND, WAYS, machine},
    model::TreeModel,
};
use crate::{
    Result,
    artifact::{ArtifactWriter, GOLDEN_ROLE, Manifest, sha256_bytes, write_golden},
};

/// Rows whose answers are saved for the self-test.
const GOLDEN_ROWS: usize = 8;
/// How far the answers of another machine may be from the saved ones: links are computed by its own mathematical library.
const GOLDEN_TOLERANCE: f32 = 1e-6;

/// How a file is imported.
#[derive(Clone, Debug, Default)]
pub struct TreeImport {
    /// The file's format; told by its content when absent.
    pub format: Option<Format>,
    /// Who imports, for the metadata.
    pub author: Option<String>,
}

/// An imported tree model on disk.
#[derive(Clone, Debug)]
pub struct ImportedTrees {
    /// Directory of the artifact.
    pub directory: PathBuf,
    /// What is to be stored with the version.
    pub metadata: VersionMetadata,
}

/// Imports the tree model in `source` into a new artifact at `directory`.
///
/// # Errors
/// [`Error::Open`](crate::Error::Open) when the file cannot be read or is no tree model,
/// [`Error::Setting`](crate::Error::Setting) when the directory exists, [`Error::Io`](crate::Error::Io) when the disk fails.
pub fn import_trees(source: &Path, directory: &Path, options: &TreeImport) -> Result<ImportedTrees> {
    let TreeImport { format, author } = options;
    let bytes = read(source)?;
    let wrong = |error: trees::Error| match error {
        trees::Error::Content { expected, got } => OpenError::Content { path: source.to_owned(), expected, got },
        trees::Error::Unsupported { what, instead } => OpenError::Content {
            path: source.to_owned(),
            expected: format!("a model without {what} ({instead})"),
            got: "one with it".to_owned(),
        },
    };
    let ensemble = match format {
        Some(format) => format.read(&bytes),
        None => trees::import::read(&bytes),
    };
    let predictor = Predictor::new(ensemble.map_err(wrong)?).map_err(wrong)?;
    let saved = predictor.ensemble().to_bytes().map_err(wrong)?;
    let hyper_parameters = hyper_parameters(&predictor);
    let model = TreeModel::new(predictor, None);
    let golden = golden(&model)?;
    let signature = model.signature().clone();

    let manifest =
        Manifest { hyper_parameters: hyper_parameters.clone(), ..Manifest::new(TREES_KIND, signature.clone()) };
    let mut writer = ArtifactWriter::create(directory)?;
    writer.add(ENSEMBLE_ROLE, "ensemble.bin", &saved)?;
    writer.add(GOLDEN_ROLE, "golden.json", &write_golden(&golden)?)?;
    writer.finish(manifest)?;

    let file =
        source.file_name().map_or_else(|| source.display().to_string(), |name| name.to_string_lossy().into_owned());
    let task = signature.task.as_ref();
    let metadata = VersionMetadata {
        task: task.map(|task| task.task),
        loss: task.map(|task| task.loss),
        author: author.clone(),
        features: signature.columns,
        hyper_parameters,
        packages: crate::neural::packages(),
        source: Some(format!("{file} sha256:{}", sha256_bytes(&bytes))),
        ..VersionMetadata::new(TREES_KIND)
    };
    Ok(ImportedTrees { directory: directory.to_owned(), metadata })
}

/// The file, without memory for more than it holds.
fn read(source: &Path) -> Result<Vec<u8>, OpenError> {
    let unreadable = |error: std::io::Error| OpenError::Read {
        path: source.to_owned(),
        reason: std::error::Error::source(&error).map_or_else(|| error.kind().to_string(), ToString::to_string),
    };
    let metadata = fs_err::metadata(source).map_err(unreadable)?;
    if !metadata.is_file() {
        let (expected, got) = ("a model file".to_owned(), "something that is not a file".to_owned());
        return Err(OpenError::Content { path: source.to_owned(), expected, got });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    fs_err::File::open(source).map_err(unreadable)?.read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

/// What the file says of its training, and what we found out about it.
fn hyper_parameters(predictor: &Predictor) -> BTreeMap<String, serde_json::Value> {
    let ensemble = predictor.ensemble();
    let Origin { format, version, objective, parameters } = &ensemble.origin;
    let mut settings: BTreeMap<String, serde_json::Value> =
        parameters.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    let leaves: usize = ensemble.trees.iter().map(trees::ensemble::Tree::leaf_count).sum();
    let depth = ensemble.trees.iter().map(trees::ensemble::Tree::depth).max().unwrap_or(0);
    settings.extend([
        ("source_format".to_owned(), format.clone().into()),
        ("source_version".to_owned(), version.clone().into()),
        ("objective".to_owned(), objective.clone().into()),
        ("trees".to_owned(), ensemble.trees.len().into()),
        ("leaves".to_owned(), leaves.into()),
        ("depth".to_owned(), depth.into()),
    ]);
    let measured =
        Measured { machine: machine(), revision: trees::predict::REVISION, choice: predictor.choice().clone() };
    settings.extend(serde_json::to_value(measured).ok().map(|measured| (WAYS.to_owned(), measured)));
    settings
}

/// Rows on and around the trees' own thresholds and categories, with the model's answers.
fn golden(model: &TreeModel) -> Result<Golden> {
    let ensemble = model.ensemble();
    let rows = model.predictor().sample(GOLDEN_ROWS);
    let columns = ensemble.columns.len();
    let cell = |row: usize, column: usize| rows.get(row * columns + column).copied().unwrap_or(0.0);
    let mut inputs = Vec::new();
    for spec in &model.signature().inputs {
        let Some(place) = model.signature().columns.iter().position(|column| column.name == spec.name) else {
            // All columns in one.
            let values: Vec<f32> =
                (0..GOLDEN_ROWS * columns).map(|index| cell(index / columns, index % columns)).collect();
            inputs.push(Tensor::from_values(&spec.name, vec![GOLDEN_ROWS, columns], &values)?);
            continue;
        };
        let values: Vec<f32> = (0..GOLDEN_ROWS).map(|row| cell(row, place)).collect();
        let shape = vec![GOLDEN_ROWS, 1];
        inputs.push(match model.signature().columns[place].kind {
            ColumnKind::Numeric => {
                let values: Vec<f64> = values.iter().map(|value| f64::from(*value)).collect();
                Tensor::from_values(&spec.name, shape, &values)?
            }
            ColumnKind::Boolean => {
                let values: Vec<u8> = values.iter().map(|value| u8::from(*value > 0.5)).collect();
                Tensor::from_buffer(&spec.name, DataType::Bool, shape, AlignedBuffer::from_slice(&values))?
            }
            ColumnKind::Categorical | ColumnKind::Date => {
                Tensor::from_strings(&spec.name, shape, names(ensemble, place))?
            }
        });
    }
    let mut encoded = RowBlock::default();
    model.encode(&inputs, &mut encoded)?;
    let mut margins = RowBlock::default();
    let direct = model.direct().ok_or_else(|| crate::Error::Setting("expected trees to run on the host".to_owned()))?;
    direct.run(&encoded, &mut AlignedBuffer::new(), &mut margins)?;
    let outputs = model.decode(&margins, &[])?;
    Ok(Golden { inputs, outputs, tolerance: GOLDEN_TOLERANCE })
}

/// The first categories of a column, again and again.
fn names(ensemble: &Ensemble, column: usize) -> Strings {
    let names = match &ensemble.columns[column].kind {
        trees::ensemble::ColumnKind::Category(Categories::Strings(names)) => names.as_slice(),
        _ => &[],
    };
    (0..GOLDEN_ROWS).map(|row| names.get(row % names.len().max(1)).map_or(&b""[..], |name| name.as_bytes())).collect()
}
