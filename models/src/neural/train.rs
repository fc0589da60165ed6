//! Training end to end: a table on disk becomes an artifact with its metadata.
//!
//! Rows without a label are left out. Encoders, the target's scaling and the net see the training rows only; the held-out
//! rows decide when to stop and give the metrics, which are taken through the same encoders, replica and decoding that serve.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use contract::{ColumnSpec, Device, DeviceKind, LossKind, Task, TrainEvent, VersionMetadata};

use serde::Serialize;

use super::{
    checkpoint::Checkpoint,
    fit::{FitJob, Fitted, TrainControl, fit},
    head::Head,
    prepare::{Prepared, prepare},
    save::save,
    settings::NetSettings,
};
use crate::{
    Error, Result,
    device::to_burn,
    table::{EncoderOptions, TableOptions},
};

/// How long training goes on without a checkpoint inside of an epoch.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(30);

/// Which rows are trained on, and which are held out.
#[derive(Clone, Debug, Serialize)]
pub enum Split {
    /// As this column says of each row: `train`, `valid`, or anything else for neither. It is no feature.
    Column(String),
    /// These rows of the table.
    Rows {
        /// Rows that are trained on.
        training: Vec<usize>,
        /// Rows that decide when to stop.
        validation: Vec<usize>,
    },
}

/// What to train, on what, and where to put it.
#[derive(Clone, Debug)]
pub struct TrainOptions {
    /// CSV or Parquet file.
    pub data: PathBuf,
    /// How the file is read.
    pub table: TableOptions,
    /// Column to predict.
    pub target: String,
    /// Columns that are no features, such as identifiers.
    pub ignore: Vec<String>,
    /// Column that says what each row weighs, and is no feature.
    pub weight: Option<String>,
    /// Task; told from the target column when none.
    pub task: Option<Task>,
    /// Loss; the task's own when none: squared, logistic or softmax.
    pub loss: Option<LossKind>,
    /// Sizes and training of the net.
    pub model: NetSettings,
    /// How columns are encoded.
    pub encoders: EncoderOptions,
    /// Where to train.
    pub device: Device,
    /// Training ends after this long, reading the table included, with the best net so far.
    pub time_budget: Option<Duration>,
    /// Part of the rows that is held out, above 0 and below 1.
    pub valid: f64,
    /// Which rows are trained on and which are held out, in place of that part.
    pub split: Option<Split>,
    /// Decides the split, the net's start, the order of rows and the dropout.
    pub seed: u64,
    /// Directory of the artifact; must not exist.
    pub directory: PathBuf,
    /// File that holds the training state after every epoch.
    pub checkpoint: Option<PathBuf>,
    /// Go on from the checkpoint.
    pub resume: bool,
    /// Who trains, for the metadata.
    pub author: Option<String>,
    /// The version that this one is made from, for the metadata.
    pub parent: Option<u32>,
}

impl TrainOptions {
    /// Predict column `target` of `data`, save to `directory`; everything else as by default, on the CPU.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>, target: &str, directory: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            table: TableOptions::default(),
            target: target.to_owned(),
            ignore: Vec::new(),
            weight: None,
            task: None,
            loss: None,
            model: NetSettings::default(),
            encoders: EncoderOptions::default(),
            device: Device::cpu(),
            time_budget: None,
            valid: 0.2,
            split: None,
            seed: 0,
            directory: directory.into(),
            checkpoint: None,
            resume: false,
            author: None,
            parent: None,
        }
    }

    fn validate(&self) -> Result<()> {
        self.model.validate()?;
        let refuse = |message: String| Err(Error::Setting(message));
        if !(self.valid > 0.0 && self.valid < 1.0) {
            return refuse(format!("expected a held-out part above 0 and below 1, got {}", self.valid));
        }
        if self.resume && self.checkpoint.is_none() {
            return refuse("expected the path of a checkpoint to resume from, got none".to_owned());
        }
        if fs_err::symlink_metadata(&self.directory).is_ok() {
            return refuse(format!(
                "expected a new directory for the artifact, but {} exists",
                self.directory.display()
            ));
        }
        Ok(())
    }
}

/// A trained net on disk.
#[derive(Clone, Debug)]
pub struct Trained {
    /// Directory of the artifact.
    pub directory: PathBuf,
    /// What is to be stored with the version.
    pub metadata: VersionMetadata,
    /// What a person should know: rows left out, metrics that could not be taken, why training diverged.
    pub notes: Vec<String>,
}

/// Trains as `options` say, telling `control`.
///
/// # Errors
/// [`Error::Setting`] and [`Error::Column`] when options and table do not fit, [`Error::Table`] when the table cannot be read,
/// [`Error::Training`] when the loss is no number before any epoch was good, [`Error::Run`] when the device fails, and
/// [`Error::Io`] when the disk does.
pub fn train(options: &TrainOptions, control: &TrainControl) -> Result<Trained> {
    let begun = Instant::now();
    options.validate()?;
    let burn_device = to_burn(&options.device)?;
    options.model.precision.check(&burn_device, &options.device.to_string())?;
    let mut prepared = prepare(options)?;
    let head = Head::new(&prepared.target, prepared.loss);
    let encoders = &prepared.encoders;
    let shape = options.model.shape(encoders.segments(), encoders.width(), &prepared.training.features, head.scores());
    shape.check().map_err(|(expected, got)| Error::Setting(format!("expected {expected}, got {got}")))?;
    let layout = shape.layout();
    let checkpoint = options.checkpoint.as_ref().map(|path| Checkpoint::new(path, prepared.fingerprint.clone()));
    let resume = match &checkpoint {
        Some(checkpoint) if options.resume => Some(checkpoint.load(layout.len())?),
        Some(_) | None => None,
    };
    (control.on_event)(&TrainEvent::Started {
        training_rows: prepared.training_rows.len() as u64,
        validation_rows: prepared.validation_rows.len() as u64,
        features: prepared.encoders.columns().len(),
        parameters: layout.trained() as u64,
        epochs: options.model.epochs,
        device: options.device.to_string(),
        precision: options.model.precision.to_string(),
    });
    let device_name = options.device.to_string();
    let job = FitJob {
        shape: &shape,
        settings: &options.model,
        objective: prepared.objective,
        average: head.average(),
        seed: options.seed,
        device: &burn_device,
        device_name: &device_name,
        on_host: options.device.kind == DeviceKind::Cpu,
        deadline: options.time_budget.and_then(|budget| begun.checked_add(budget)),
        checkpoint: checkpoint.as_ref(),
        checkpoint_every: CHECKPOINT_EVERY,
    };
    let training = std::mem::take(&mut prepared.training);
    let validation = prepared.validation.clone();
    // As one of the pool's threads, so that an operation is shared out to the others without being handed over first.
    let fitted = rayon::scope(|_| fit(&job, training, validation, resume, control))?;
    prepared.notes.extend(fitted.note.clone());
    let mut metadata = metadata(options, &prepared, &fitted);
    let notes = save(options, prepared, shape, head, fitted, &mut metadata)?;
    Ok(Trained { directory: options.directory.clone(), metadata, notes })
}

/// Everything known before the metrics are.
fn metadata(options: &TrainOptions, prepared: &Prepared, fitted: &Fitted) -> VersionMetadata {
    let mut hyper_parameters = options.model.by_name();
    hyper_parameters.insert("best_epoch".to_owned(), fitted.best_epoch.into());
    hyper_parameters.insert("seed".to_owned(), options.seed.into());
    hyper_parameters.insert("valid".to_owned(), options.valid.into());
    VersionMetadata {
        task: Some(prepared.task),
        author: options.author.clone(),
        seconds_trained: Some(fitted.seconds),
        features: prepared.encoders.columns(),
        target: Some(ColumnSpec { name: options.target.clone(), kind: prepared.target_kind }),
        training_rows: Some(prepared.training_rows.len() as u64),
        data_digest: prepared.digest.clone(),
        loss: Some(prepared.loss),
        hyper_parameters,
        curves: fitted.curves.clone(),
        training_end: Some(fitted.end),
        packages: super::provenance::packages(),
        git_commit: std::env::current_dir().ok().and_then(|directory| super::provenance::git_commit(&directory)),
        device: Some(options.device.to_string()),
        parent: options.parent,
        ..VersionMetadata::new(options.model.name().as_str())
    }
}
