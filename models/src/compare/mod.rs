//! Kinds of model beside each other on one table: one split for all, several seeds each, quality on rows that none has seen.

mod latency;
mod statistics;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use contract::{Device, Format, Model, RowBlock, Task, Tensor, TrainEvent};
pub use latency::{BATCHES, Latency};
use serde::Serialize;
pub use statistics::{Difference, Interval};

use crate::{
    Error, Result,
    artifact::Artifact,
    batches::run_rows,
    neural::{
        Formats, NetSettings, Split, TrainControl, TrainOptions,
        judge::{Judged, judged, row_loss},
        metrics::Metrics,
        train,
    },
    table::{EncoderOptions, NumericEncoding, Table, TargetEncoder, split, tensors},
};

/// What to compare.
#[derive(Clone, Debug)]
pub struct CompareOptions {
    /// Table, target and everything else that holds for all; its seed decides the split, its directory holds what is trained and
    /// must not exist.
    pub base: TrainOptions,
    /// The models and how numbers are encoded for each.
    pub models: Vec<(NetSettings, NumericEncoding)>,
    /// Trainings of each model, from other seeds.
    pub seeds: u64,
    /// Part of the rows that no training sees, above 0 and below 1.
    pub test: f64,
    /// Where latencies are measured.
    pub devices: Vec<Device>,
}

/// How a caller follows a comparison.
pub type OnEvent = Arc<dyn Fn(&str, u64, &TrainEvent) + Send + Sync>;

/// Models beside each other.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// What is predicted.
    pub task: Task,
    /// The loss by row that models are told apart by: `squared error`, `pinball loss` or `log loss`.
    pub loss: &'static str,
    /// Rows trained on.
    pub training_rows: usize,
    /// Rows that decide when to stop.
    pub validation_rows: usize,
    /// Rows that quality is measured on.
    pub test_rows: usize,
    /// The models, the one with the lowest loss first.
    pub models: Vec<Compared>,
}

/// One model of a comparison.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    /// Its name, such as `tabm`.
    pub name: String,
    /// Parameters that are trained.
    pub parameters: u64,
    /// Bytes of the artifact.
    pub artifact_bytes: u64,
    /// Each training.
    pub runs: Vec<Run>,
    /// Each metric over the seeds: the mean and where it lies with 95 % confidence (Student's t).
    pub metrics: BTreeMap<String, Interval>,
    /// Seconds of training.
    pub seconds: Interval,
    /// Mean loss on the test rows.
    pub loss: f64,
    /// How much higher its loss is than the first model's, row by row; none for the first.
    pub difference: Option<Difference>,
    /// Microseconds from request to answer.
    pub latencies: Vec<Latency>,
}

/// One training.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// Its seed.
    pub seed: u64,
    /// Quality on the test rows.
    pub metrics: BTreeMap<String, f64>,
    /// Seconds of training.
    pub seconds: f64,
    /// Validation loss by epoch.
    pub curve: Vec<f64>,
}

/// Trains and measures as `options` say.
///
/// # Errors
/// As [`train`], and [`Error::Setting`] when the parts leave nothing.
pub fn compare(options: &CompareOptions, on_event: &OnEvent) -> Result<Comparison> {
    let CompareOptions { base, models, seeds, test, devices } = options;
    if !(*test > 0.0 && *test < 1.0) {
        return Err(Error::Setting(format!("expected a test part above 0 and below 1, got {test}")));
    }
    if models.is_empty() || *seeds == 0 {
        return Err(Error::Setting("expected at least one model and one seed, got none".to_owned()));
    }
    for (settings, _) in models {
        settings.validate()?;
    }
    let table = Table::read(&base.data, &base.table)?;
    let task = TargetEncoder::infer_task(&table, &base.target, base.task)?;
    let labelled = table.present_rows(&base.target)?;
    let strata = |rows: &[usize]| match task {
        Task::Regression => Ok(None),
        Task::Binary | Task::Multiclass => TargetEncoder::strata(&table, &base.target, rows).map(Some),
    };
    let (rest, unseen) = split(&labelled, *test, base.seed, strata(&labelled)?.as_deref());
    let (training, validation) = split(&rest, base.valid, base.seed, strata(&rest)?.as_deref());
    if unseen.is_empty() || training.is_empty() || validation.is_empty() {
        let got = format!("{}, {} and {}", training.len(), validation.len(), unseen.len());
        return Err(Error::Setting(format!("expected rows to train on, to stop by and to test on, got {got}")));
    }
    let held = Held { table: &table, rows: &unseen, target: &base.target, device: &base.device };
    let mut compared = Vec::with_capacity(models.len());
    for (place, (settings, encoding)) in models.iter().enumerate() {
        let name = settings.name().to_string();
        let mut all = Seeds::default();
        for seed in 0..*seeds {
            let directory = base.directory.join(format!("{place}-{seed}"));
            let run = TrainOptions {
                task: Some(task),
                model: settings.clone(),
                encoders: EncoderOptions { numeric: *encoding, ..base.encoders.clone() },
                split: Some(Split::Rows { training: training.clone(), validation: validation.clone() }),
                seed,
                directory,
                ..base.clone()
            };
            all.add(seed, &name, &run, &held, on_event)?;
        }
        compared.push(all.compared(name, &held, devices)?);
    }
    let (training_rows, validation_rows, test_rows) = (training.len(), validation.len(), unseen.len());
    let (loss, models) = (row_loss(task, base.loss), ranked(compared));
    Ok(Comparison { task, loss, training_rows, validation_rows, test_rows, models })
}

/// The lowest loss first, and what the others lose by.
fn ranked(mut compared: Vec<(Compared, Vec<f64>)>) -> Vec<Compared> {
    compared.sort_by(|(a, _), (b, _)| a.loss.total_cmp(&b.loss));
    let best = compared.first().map(|(_, losses)| losses.clone()).unwrap_or_default();
    let others = |(place, (mut compared, losses)): (usize, (Compared, Vec<f64>))| {
        compared.difference = (place > 0).then(|| Difference::paired(&losses, &best));
        compared
    };
    compared.into_iter().enumerate().map(others).collect()
}

/// Rows that no training sees.
struct Held<'a> {
    table: &'a Table,
    rows: &'a [usize],
    target: &'a str,
    device: &'a Device,
}

/// The trainings of one model.
#[derive(Default)]
struct Seeds {
    runs: Vec<Run>,
    /// Loss by row, the sum over the seeds.
    losses: Vec<f64>,
    parameters: u64,
    bytes: u64,
    last: Option<Arc<dyn Model>>,
}

impl Seeds {
    fn add(&mut self, seed: u64, name: &str, run: &TrainOptions, held: &Held<'_>, on_event: &OnEvent) -> Result<()> {
        let parameters = Arc::new(parking_lot::Mutex::new(0));
        let (counted, teller, told) = (Arc::clone(&parameters), Arc::clone(on_event), name.to_owned());
        let on_event = Box::new(move |event: &TrainEvent| {
            if let TrainEvent::Started { parameters, .. } = event {
                *counted.lock() = *parameters;
            }
            teller(&told, seed, event);
        });
        let trained = train(run, &TrainControl { on_event, ..TrainControl::default() })?;
        let (model, Judged { metrics: Metrics { values, notes: _ }, losses }) = quality(&trained.directory, held)?;
        self.losses.resize(losses.len(), 0.0);
        self.losses.iter_mut().zip(losses).for_each(|(sum, loss)| *sum += loss);
        self.parameters = *parameters.lock();
        self.bytes = directory_bytes(&trained.directory)?;
        self.last = Some(model);
        let curve = trained.metadata.curves.iter().map(|point| point.validation_loss).collect();
        let seconds = trained.metadata.seconds_trained.unwrap_or_default();
        self.runs.push(Run { seed, metrics: values, seconds, curve });
        Ok(())
    }

    fn compared(self, name: String, held: &Held<'_>, devices: &[Device]) -> Result<(Compared, Vec<f64>)> {
        let Self { runs, losses, parameters, bytes, last } = self;
        let count = runs.len() as f64;
        let losses: Vec<f64> = losses.into_iter().map(|sum| sum / count).collect();
        let loss = losses.iter().sum::<f64>() / losses.len().max(1) as f64;
        let names: Vec<String> = runs.first().map(|run| run.metrics.keys().cloned().collect()).unwrap_or_default();
        let over_seeds =
            |name: &String| runs.iter().filter_map(|run| run.metrics.get(name).copied()).collect::<Vec<_>>();
        let metrics = names.iter().map(|name| (name.clone(), Interval::of(&over_seeds(name)))).collect();
        let seconds = Interval::of(&runs.iter().map(|run| run.seconds).collect::<Vec<_>>());
        let latencies = match last {
            Some(model) => latency::measured(model.as_ref(), held.table, held.rows, devices)?,
            None => Vec::new(),
        };
        let compared = Compared {
            name,
            parameters,
            artifact_bytes: bytes,
            runs,
            metrics,
            seconds,
            loss,
            difference: None,
            latencies,
        };
        Ok((compared, losses))
    }
}

/// The saved model in `directory`, its metrics on the held rows, and its loss on each of them.
fn quality(directory: &Path, held: &Held<'_>) -> Result<(Arc<dyn Model>, Judged)> {
    let Held { table, rows, target, device } = held;
    let formats = Formats::for_devices(std::slice::from_ref(*device));
    let model = formats.open(directory)?;
    let (encoder, task) = (Artifact::open(directory)?.manifest().target.clone(), model.signature().task.clone());
    let (encoder, task) = encoder
        .zip(task)
        .ok_or_else(|| Error::Setting("expected a model with a target, got one without".to_owned()))?;
    let labels = encoder.encode(table, target, rows)?;
    let inputs = tensors(&table.take(rows)?, &model.signature().columns)?;
    let mut encoded = RowBlock::default();
    model.encode(&inputs, &mut encoded)?;
    let mut replica = model.place(device)?;
    let scores = run_rows(model.buckets(device.kind), replica.as_mut(), &encoded)?;
    let outputs = model.decode(&scores, std::slice::from_ref(&task.score))?;
    let values = outputs.first().and_then(Tensor::values::<f32>).unwrap_or_default();
    let judged = judged(&task, &encoder, values, &labels);
    Ok((model, judged))
}

fn directory_bytes(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs_err::read_dir(directory)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}
