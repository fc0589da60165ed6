//! `emberline train`: a table becomes a registered version.
//!
//! With `--json` each event is one line on standard output; that is also how a training job talks to the server that
//! started it. Ctrl-C ends training with the best weights so far; a second one ends the program.

mod net;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use clap::{Args, ValueEnum};
use contract::{DeviceSelector, LossKind, Task, TrainEvent};
use engine::{jobs::on_parent_end, registry::check_name};
use models::{
    neural::{NetName, Split, TrainControl, TrainOptions, train},
    table::NumericEncoding,
};
use net::NetArguments;
use parking_lot::Mutex;
use server::settings::{StoreSettings, parse_duration};

use crate::{
    commands::sentence,
    home::{control_runtime, open_registry},
    terminal::{TrainingBar, note, print, print_json_line, quality},
};

/// Train a model on a table and register it as a new version.
#[derive(Args)]
pub(crate) struct Arguments {
    /// CSV or Parquet file with a header
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Column to predict; all others are features
    #[arg(long, value_name = "COLUMN")]
    target: String,
    /// Model name; a new version of it is made
    #[arg(long)]
    name: String,
    /// What is predicted; told from the target column by auto
    #[arg(long, default_value = "auto")]
    task: TaskChoice,
    /// Net: mlp, resnet, mlp-plr, mlp-ple, tabm or ft-transformer
    #[arg(long, default_value = "mlp", value_name = "NET")]
    model: NetName,
    /// Loss: auto, squared, classic, quantile:TAU, quantile:TAU,TAU,… (one net for several), huber:DELTA, poisson, hinge, logistic or softmax; chosen by the task by auto
    #[arg(long, default_value = "auto", value_parser = parse_loss)]
    loss: LossChoice,
    /// Device to train on: auto, cpu, gpu, gpu:N, vulkan:N or cuda:N
    #[arg(long, env = "EMBERLINE_DEVICE", default_value = "auto")]
    device: DeviceSelector,
    /// Longest time of training, such as 90s or 5m; then the best so far is registered
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    time_budget: Option<Duration>,
    /// Share of the rows held out to measure quality and to decide when to stop
    #[arg(long, default_value_t = 0.2, value_name = "SHARE")]
    valid: f64,
    /// Column that says of each row whether it is trained on (train), held out (valid) or neither; no feature
    #[arg(long, value_name = "COLUMN", conflicts_with = "valid")]
    split: Option<String>,
    /// Seed of split, initial weights, order of rows and dropout
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Go on where a run with the same settings was cut off
    #[arg(long)]
    resume: bool,
    /// Columns that are no features, such as identifiers
    #[arg(long, value_delimiter = ',', value_name = "COLUMN,…")]
    ignore: Vec<String>,
    /// Column that says what each row weighs; no feature
    #[arg(long, value_name = "COLUMN")]
    weight: Option<String>,
    /// How numbers become inputs of the net; by auto standardise for an mlp, else noisy-quantile-normal
    #[arg(long, default_value = "auto")]
    encoding: EncodingChoice,
    #[command(flatten)]
    net: NetArguments,
    /// Version that this one is made from, for the record
    #[arg(long, value_name = "VERSION")]
    parent: Option<u32>,
    /// Who trains it
    #[arg(long, env = "EMBERLINE_AUTHOR")]
    author: Option<String>,
    #[command(flatten)]
    stores: StoreSettings,
    /// Print every event as one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum TaskChoice {
    Auto,
    Regression,
    Binary,
    Multiclass,
}

#[derive(Clone, Copy, ValueEnum)]
enum EncodingChoice {
    /// By the net.
    Auto,
    /// Mean 0, standard deviation 1.
    Standardise,
    /// Quantiles mapped to those of the normal distribution.
    QuantileNormal,
    /// The same, with values that many rows share told apart by a little noise.
    NoisyQuantileNormal,
}

/// A loss, or none to choose it by the task.
#[derive(Clone, Copy)]
pub(super) struct LossChoice(pub(super) Option<LossKind>);

pub(super) fn parse_loss(text: &str) -> Result<LossChoice, String> {
    if text == "auto" {
        return Ok(LossChoice(None));
    }
    text.parse().map(|loss| LossChoice(Some(loss))).map_err(|error: contract::ParseLossError| error.to_string())
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let teller = Arc::new(Teller::new(&arguments.name, arguments.json));
    let outcome = run_with(arguments, &teller);
    if let Err(error) = &outcome {
        teller.tell(&TrainEvent::Failed { error: sentence(error) });
    }
    outcome?;
    teller.broken.lock().take().map_or(Ok(()), Err)
}

/// Tells a run's events: as a progress bar, or as lines of JSON.
struct Teller {
    bar: Mutex<TrainingBar>,
    json: bool,
    /// Why standard output cannot be written any more.
    broken: Mutex<Option<anyhow::Error>>,
}

impl Teller {
    fn new(name: &str, json: bool) -> Self {
        Self { bar: Mutex::new(TrainingBar::new(name, !json)), json, broken: Mutex::new(None) }
    }

    fn tell(&self, event: &TrainEvent) {
        self.bar.lock().event(event);
        if self.json
            && let Err(error) = print_json_line(event)
        {
            *self.broken.lock() = Some(error);
        }
    }
}

fn run_with(arguments: &Arguments, teller: &Arc<Teller>) -> Result<()> {
    check_name("model name", &arguments.name)?;
    let control = control_runtime()?;
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_interrupt(control.handle(), &stop);
    // A job whose server is gone is nobody's: it keeps the best so far and ends.
    let parent_gone = Arc::clone(&stop);
    on_parent_end(move || parent_gone.store(true, Ordering::Relaxed))?;

    let home = std::path::absolute(arguments.stores.home()?)?;
    let scratch = tempfile::tempdir()?;
    let options = options(arguments, &home, scratch.path().join("artifact"))?;
    let listener = Arc::clone(teller);
    let trained = train(&options, &TrainControl { stop, on_event: Box::new(move |event| listener.tell(event)) })?;
    for line in &trained.notes {
        note(format!("{}: {line}", arguments.name));
    }

    let version = control.block_on(async {
        let registry = open_registry(&arguments.stores, control.handle()).await?;
        anyhow::Ok(registry.publish(&arguments.name, &trained.directory, trained.metadata).await?)
    })?;
    if let Some(checkpoint) = &options.checkpoint
        && checkpoint.exists()
    {
        // The version is registered: there is nothing to resume any more.
        fs_err::remove_file(checkpoint)?;
    }
    let metadata = Box::new(version.metadata.clone());
    teller.tell(&TrainEvent::Registered { name: version.name.clone(), version: version.version, metadata });
    if !arguments.json {
        print(format!("{} version {} registered: {}", version.name, version.version, quality(&version.metadata)))?;
    }
    Ok(())
}

fn options(arguments: &Arguments, home: &Path, directory: PathBuf) -> Result<TrainOptions> {
    let mut options = TrainOptions::new(&arguments.data, &arguments.target, directory);
    options.task = match arguments.task {
        TaskChoice::Auto => None,
        TaskChoice::Regression => Some(Task::Regression),
        TaskChoice::Binary => Some(Task::Binary),
        TaskChoice::Multiclass => Some(Task::Multiclass),
    };
    options.loss = arguments.loss.0;
    options.device = models::device::resolve(&arguments.device)?;
    options.model = arguments.net.settings(arguments.model, &options.device)?;
    options.encoders.numeric = match arguments.encoding {
        EncodingChoice::Auto => options.model.name().numeric_encoding(),
        EncodingChoice::NoisyQuantileNormal => NumericEncoding::NoisyQuantileNormal,
        EncodingChoice::Standardise => NumericEncoding::Standardise,
        EncodingChoice::QuantileNormal => NumericEncoding::QuantileNormal,
    };
    options.ignore.clone_from(&arguments.ignore);
    options.weight.clone_from(&arguments.weight);
    options.valid = arguments.valid;
    options.split = arguments.split.clone().map(Split::Column);
    options.seed = arguments.seed;
    options.author.clone_from(&arguments.author);
    options.parent = arguments.parent;
    // Named after everything that decides the run, so that runs of one model side by side do not share a checkpoint, and a
    // resumed run finds the one that it goes on from.
    let mut hasher = DefaultHasher::new();
    format!("{:?}", TrainOptions { directory: PathBuf::new(), ..options.clone() }).hash(&mut hasher);
    let folder = home.join("checkpoints");
    fs_err::create_dir_all(&folder)?;
    options.checkpoint = Some(folder.join(format!("{}-{:016x}.checkpoint", arguments.name, hasher.finish())));
    // Neither changes where a resumed run goes on.
    options.time_budget = arguments.time_budget;
    options.resume = arguments.resume;
    Ok(options)
}

/// The first Ctrl-C (or SIGTERM) ends training with the best so far, the second one the program.
fn stop_on_interrupt(control: &tokio::runtime::Handle, stop: &Arc<AtomicBool>) {
    let stop = Arc::clone(stop);
    control.spawn(async move {
        crate::home::interrupted().await;
        note("ending training with the best weights so far; Ctrl-C again to give up");
        stop.store(true, Ordering::Relaxed);
        crate::home::interrupted().await;
        #[expect(clippy::exit, reason = "asked for twice")]
        std::process::exit(130);
    });
}
