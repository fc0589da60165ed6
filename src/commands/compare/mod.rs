//! `emberline compare`: kinds of model beside each other on one table, as a table, JSON or a page.

mod page;

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Result;
use clap::Args;
use contract::{DeviceKind, DeviceSelector};
use models::{
    compare::{BATCHES, CompareOptions, Compared, Comparison, Interval, compare},
    neural::{NetName, NetSettings, TrainOptions},
};
use parking_lot::Mutex;
use server::settings::parse_duration;

use super::train::{LossChoice, parse_loss};
use crate::terminal::{TrainingBar, bytes, micros, note, print, print_json, table, thousands};

/// Train several kinds of model on one split of a table and compare them.
#[derive(Args)]
pub(crate) struct Arguments {
    /// CSV or Parquet file with a header
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Column to predict; all others are features
    #[arg(long, value_name = "COLUMN")]
    target: String,
    /// What to train: mlp, resnet, mlp-plr, mlp-ple, tabm, ft-transformer
    #[arg(long, value_delimiter = ',', value_name = "NET,…", default_value = "mlp,mlp-ple,tabm")]
    models: Vec<NetName>,
    /// Loss that all learn: auto, squared, classic, quantile:TAU, quantile:TAU,TAU,…, huber:DELTA, poisson, hinge, logistic or softmax
    #[arg(long, default_value = "auto", value_parser = parse_loss)]
    loss: LossChoice,
    /// Trainings of each model, from other seeds
    #[arg(long, default_value_t = 5)]
    seeds: u64,
    /// Share of the rows that quality is measured on, and no training sees
    #[arg(long, default_value_t = 0.2, value_name = "SHARE")]
    test: f64,
    /// Share of the other rows that decides when to stop
    #[arg(long, default_value_t = 0.2, value_name = "SHARE")]
    valid: f64,
    /// Seed of the split
    #[arg(long, default_value_t = 0)]
    split_seed: u64,
    /// Columns that are no features, such as identifiers
    #[arg(long, value_delimiter = ',', value_name = "COLUMN,…")]
    ignore: Vec<String>,
    /// Column that says what each row weighs in training; no feature
    #[arg(long, value_name = "COLUMN")]
    weight: Option<String>,
    /// Most passes over the training rows
    #[arg(long, default_value_t = 200)]
    epochs: usize,
    /// Stop when the validation loss has not fallen for this many epochs
    #[arg(long, default_value_t = 16, value_name = "EPOCHS")]
    patience: usize,
    /// Longest time of one training
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    time_budget: Option<Duration>,
    /// Device to train on; latencies are measured on the CPU, and here when it is another
    #[arg(long, env = "EMBERLINE_DEVICE", default_value = "auto")]
    device: DeviceSelector,
    /// Write a page with plots
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let device = models::device::resolve(&arguments.device)?;
    let mut base = TrainOptions::new(&arguments.data, &arguments.target, scratch.path());
    base.device = device.clone();
    base.seed = arguments.split_seed;
    base.loss = arguments.loss.0;
    base.valid = arguments.valid;
    base.ignore.clone_from(&arguments.ignore);
    base.weight.clone_from(&arguments.weight);
    base.time_budget = arguments.time_budget;
    let of = |name: &NetName| {
        let settings = NetSettings { epochs: arguments.epochs, patience: arguments.patience, ..NetSettings::of(*name) };
        (settings, name.numeric_encoding())
    };
    let mut devices = vec![contract::Device::cpu()];
    if device.kind != DeviceKind::Cpu {
        devices.push(device);
    }
    let models = arguments.models.iter().map(of).collect();
    let options = CompareOptions { base, models, seeds: arguments.seeds, test: arguments.test, devices };
    let shown = !arguments.json;
    let bar: Mutex<Option<((String, u64), TrainingBar)>> = Mutex::new(None);
    let comparison = compare(
        &options,
        &(Arc::new(move |name: &str, seed: u64, event: &contract::TrainEvent| {
            let mut bar = bar.lock();
            let run = (name.to_owned(), seed);
            if let Some((_, bar)) = bar.as_mut().filter(|(of, _)| *of == run) {
                bar.event(event);
            } else {
                let mut next = TrainingBar::new(&format!("{name}, seed {seed}"), shown);
                next.event(event);
                *bar = Some((run, next));
            }
        }) as models::compare::OnEvent),
    )?;
    if let Some(report) = &arguments.report {
        fs_err::write(report, page::page(&arguments.target, &comparison)?)?;
        note(format!("report written to {}", report.display()));
    }
    if arguments.json { print_json(&comparison) } else { print(summary(&comparison)) }
}

/// The two metrics that people look at first, of those that there are.
fn shown_metrics(comparison: &Comparison) -> [&'static str; 2] {
    let known = |metric: &&str| comparison.models.iter().any(|compared| compared.metrics.contains_key(*metric));
    let mut known = ["pinball_loss", "coverage", "rmse", "r2", "accuracy", "log_loss"].into_iter().filter(known);
    [known.next().unwrap_or("loss"), known.next().unwrap_or("loss")]
}

/// A mean with half the width of its interval.
fn with_interval(interval: Option<&Interval>) -> String {
    interval.map_or_else(String::new, |Interval { mean, low, high }| format!("{mean:.4} ± {:.4}", (high - low) / 2.0))
}

/// What a model loses by beside the best one.
fn verdict(compared: &Compared) -> String {
    match &compared.difference {
        None => "lowest loss".to_owned(),
        Some(difference) if difference.p < 0.05 => format!("worse, p = {}", probability(difference.p)),
        Some(difference) => format!("no clear difference, p = {}", probability(difference.p)),
    }
}

fn probability(p: f64) -> String {
    if p < 0.001 { "0.000…".to_owned() } else { format!("{p:.3}") }
}

fn latency(compared: &Compared, device: &str, batch: usize) -> Option<f64> {
    let found = compared.latencies.iter().find(|latency| latency.device == device && latency.batch == batch);
    found.map(|latency| latency.micros)
}

fn devices(comparison: &Comparison) -> Vec<String> {
    let mut devices: Vec<String> = Vec::new();
    for latency in comparison.models.iter().flat_map(|compared| &compared.latencies) {
        if !devices.contains(&latency.device) {
            devices.push(latency.device.clone());
        }
    }
    devices
}

fn summary(comparison: &Comparison) -> String {
    let [first, second] = shown_metrics(comparison);
    let devices = devices(comparison);
    let mut header: Vec<String> =
        ["model", first, second, "beside the best", "trained in", "parameters", "artifact"].map(str::to_owned).to_vec();
    for device in &devices {
        header.extend(BATCHES.map(|batch| format!("{device}, {batch} rows")));
    }
    let row = |compared: &Compared| {
        let mut row = vec![
            compared.name.clone(),
            with_interval(compared.metrics.get(first)),
            with_interval(compared.metrics.get(second)),
            verdict(compared),
            format!("{:.1} s", compared.seconds.mean),
            thousands(compared.parameters),
            bytes(compared.artifact_bytes),
        ];
        for device in &devices {
            let each = |batch| latency(compared, device, batch).map_or_else(String::new, micros);
            row.extend(BATCHES.map(each));
        }
        row
    };
    let rows: Vec<Vec<String>> = comparison.models.iter().map(row).collect();
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let numbers: Vec<usize> = (4..header.len()).collect();
    let Comparison { training_rows, validation_rows, test_rows, loss, models, .. } = comparison;
    let seeds = models.first().map_or(0, |compared| compared.runs.len());
    format!(
        "{}\n{seeds} seeds each; trained on {} rows, stopped by {}, measured on {}. ±: 95 % over the seeds. Beside the best: a paired \
         test of the {loss} by row.",
        table(&header, &rows, &numbers),
        thousands(*training_rows as u64),
        thousands(*validation_rows as u64),
        thousands(*test_rows as u64),
    )
}
