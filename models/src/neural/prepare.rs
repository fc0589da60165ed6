//! From a table on disk to encoded training and held-out rows.

use contract::{ColumnKind, LabelRange, LossKind, Task};

use super::{
    fit::Samples,
    loss::Objective,
    train::{Split, TrainOptions},
};
use crate::{
    Error, Result,
    artifact::sha256_bytes,
    neural::weigh::Weigh,
    table::{Encoders, Table, TargetEncoder, split},
};

/// A table, split and encoded.
pub(crate) struct Prepared {
    pub(crate) table: Table,
    pub(crate) digest: Option<String>,
    pub(crate) encoders: Encoders,
    pub(crate) target: TargetEncoder,
    pub(crate) target_kind: ColumnKind,
    pub(crate) task: Task,
    pub(crate) objective: Objective,
    /// The loss as it was asked for, in the target's own units.
    pub(crate) loss: LossKind,
    pub(crate) training_rows: Vec<usize>,
    pub(crate) validation_rows: Vec<usize>,
    pub(crate) training: Samples,
    pub(crate) validation: Samples,
    /// Tells this run's checkpoints from another's.
    pub(crate) fingerprint: String,
    pub(crate) notes: Vec<String>,
}

/// Reads, splits and encodes the table that `options` name.
pub(crate) fn prepare(options: &TrainOptions) -> Result<Prepared> {
    let table = Table::read(&options.data, &options.table)?;
    let target = options.target.as_str();
    let target_kind = table.columns()[table.column_index(target)?].kind;
    for name in &options.ignore {
        table.column_index(name)?;
    }
    let split_column = match &options.split {
        Some(Split::Column(column)) => Some(column),
        Some(Split::Rows { .. }) | None => None,
    };
    let no_features = options.ignore.iter().chain(&options.weight).chain(split_column);
    let kept = |name: &str| name != target && !no_features.clone().any(|other| other == name);
    let features: Vec<String> =
        table.columns().iter().map(|column| &column.name).filter(|name| kept(name)).cloned().collect();

    let task = TargetEncoder::infer_task(&table, target, options.task)?;
    let loss = Objective::choose(task, options.loss)?;
    let labelled = table.present_rows(target)?;
    if labelled.len() < 2 {
        let reason = format!("expected at least two rows with a value to predict, got {}", labelled.len());
        return Err(Error::Column { column: target.to_owned(), reason });
    }
    let mut notes = Vec::new();
    let unlabelled = table.rows() - labelled.len();
    if unlabelled > 0 {
        notes.push(format!("{unlabelled} of {} rows were left out: they have no value in '{target}'", table.rows()));
    }
    let strata = match task {
        Task::Regression => None,
        Task::Binary | Task::Multiclass => Some(TargetEncoder::strata(&table, target, &labelled)?),
    };
    let (training_rows, validation_rows) = match &options.split {
        Some(Split::Column(column)) => table.split_by(column, &labelled)?,
        Some(Split::Rows { training, validation }) => (training.clone(), validation.clone()),
        None => split(&labelled, options.valid, options.seed, strata.as_deref()),
    };
    if validation_rows.is_empty() {
        let message = "expected rows to hold out, got none: every class has one row only".to_owned();
        return Err(Error::Setting(message));
    }

    let encoders = Encoders::fit(&table, &features, &training_rows, &options.encoders)?;
    let (mut encoder, task) = TargetEncoder::fit(&table, target, Some(task), &training_rows)?;
    if loss == LossKind::Poisson {
        // Counts stay counts: their logarithm is what is learned.
        encoder = TargetEncoder::Regression { mean: 0.0, std: 1.0 };
    }
    let labels = encoder.encode(&table, target, &training_rows)?;
    let objective = objective(loss, &encoder, &labels);
    if loss == LossKind::Poisson
        && let Some(negative) = labels.iter().find(|label| **label < 0.0)
    {
        let reason = format!("expected counts of 0 or more for the poisson loss, got {negative}");
        return Err(Error::Column { column: target.to_owned(), reason });
    }
    let weigh = Weigh::new(options, &table, &encoder, &labels)?.scaled(&table, &training_rows, &labels)?;
    let training = Samples {
        features: encoders.encode_table(&table, &training_rows)?,
        weights: weigh.rows(&table, &training_rows, &labels)?,
        targets: objective.targets(labels),
    };
    let labels = encoder.encode(&table, target, &validation_rows)?;
    let validation = Samples {
        features: encoders.encode_table(&table, &validation_rows)?,
        weights: weigh.rows(&table, &validation_rows, &labels)?,
        targets: objective.targets(labels),
    };
    let digest = table.digest().map(str::to_owned);
    let fingerprint = fingerprint(options, digest.as_deref(), task, loss)?;
    Ok(Prepared {
        table,
        digest,
        encoders,
        target: encoder,
        target_kind,
        task,
        objective,
        loss,
        training_rows,
        validation_rows,
        training,
        validation,
        fingerprint,
        notes,
    })
}

/// The objective in the units trained in, with what its values are multiplied by to be in the target's own.
fn objective(asked: LossKind, target: &TargetEncoder, labels: &[f32]) -> Objective {
    let (loss, range, scale) = match target {
        TargetEncoder::Regression { mean: _, std } => {
            let range = labels.iter().fold(LabelRange::EMPTY, |range, label| range.including(f64::from(*label)));
            let (loss, scale) = match asked {
                LossKind::Squared | LossKind::Classic => (asked, std * std),
                LossKind::Quantile(_) | LossKind::Quantiles(_) => (asked, *std),
                // Where the square ends is told in the target's own units.
                LossKind::Huber(delta) => (LossKind::Huber(delta / std), std * std),
                LossKind::Poisson | LossKind::Hinge | LossKind::Logistic | LossKind::Softmax => (asked, 1.0),
            };
            (loss, range, scale)
        }
        TargetEncoder::Classes(_) => (asked, LabelRange::ALL, 1.0),
    };
    Objective { loss, range, scale }
}

/// A digest of all that decides the course of a run: the data, how it is encoded and split, and how the net is trained. The
/// number of epochs, patience, time budget and device are left out, so that they may change on resume.
fn fingerprint(options: &TrainOptions, digest: Option<&str>, task: Task, loss: LossKind) -> Result<String> {
    let model = super::NetSettings { epochs: 0, patience: 0, ..options.model.clone() };
    let all = serde_json::json!({
        "data": digest,
        "table": format!("{:?}", options.table),
        "target": options.target,
        "ignore": options.ignore,
        "weight": options.weight,
        "split": options.split,
        "task": task,
        "loss": loss,
        "model": model,
        "encoders": format!("{:?}", options.encoders),
        "valid": options.valid,
        "seed": options.seed,
    });
    Ok(sha256_bytes(&serde_json::to_vec(&all).map_err(std::io::Error::from)?))
}
