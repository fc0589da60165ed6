//! `emberline train`: a table becomes a registered version.
//!
//! With `--json` each event is one line on standard output; that is also how a training job talks to the server that
//! started it. Ctrl-C ends training with the best weights so far; a second one ends the program.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use clap::{Args, ValueEnum};
use contract::{DeviceSelector, LossKind, Task, TrainEvent};
use engine::jobs::on_parent_end;
use models::neural::{MlpSettings, TrainControl, TrainOptions, train};
use server::settings::{StoreSettings, parse_duration};

use crate::{
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
    /// Kind of model
    #[arg(long, default_value = "mlp")]
    model: ModelChoice,
    /// Loss: auto, squared, classic, quantile:TAU, hinge, logistic or softmax; chosen by the task by auto
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
    /// Seed of split, initial weights, order of rows and dropout
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Go on where a run with the same settings was cut off
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    net: NetArguments,
    /// Who trains it
    #[arg(long, env = "EMBERLINE_AUTHOR")]
    author: Option<String>,
    #[command(flatten)]
    stores: StoreSettings,
    /// Print every event as one line of JSON
    #[arg(long)]
    json: bool,
}

/// Settings of the net and its optimiser.
#[derive(Args)]
struct NetArguments {
    /// Units of the hidden layers
    #[arg(long, value_delimiter = ',', default_value = "128,128", value_name = "UNITS,…")]
    hidden: Vec<usize>,
    /// Share of hidden units switched off in a training step
    #[arg(long, default_value_t = 0.1, value_name = "SHARE")]
    dropout: f64,
    /// Step size of AdamW
    #[arg(long, default_value_t = 0.001, value_name = "RATE")]
    learning_rate: f64,
    /// Decoupled weight decay of AdamW
    #[arg(long, default_value_t = 0.000_01, value_name = "RATE")]
    weight_decay: f64,
    /// Rows of a training step
    #[arg(long, default_value_t = 256, value_name = "ROWS")]
    batch_size: usize,
    /// Most passes over the training rows
    #[arg(long, default_value_t = 200)]
    epochs: usize,
    /// Stop when the validation loss has not fallen for this many epochs
    #[arg(long, default_value_t = 16, value_name = "EPOCHS")]
    patience: usize,
    /// Longest gradient; a longer one is shortened to this
    #[arg(long, default_value_t = 1.0, value_name = "NORM")]
    gradient_clip: f64,
}

#[derive(Clone, Copy, ValueEnum)]
enum TaskChoice {
    Auto,
    Regression,
    Binary,
    Multiclass,
}

#[derive(Clone, Copy, ValueEnum)]
enum ModelChoice {
    /// A multi-layer perceptron.
    Mlp,
}

/// A loss, or none to choose it by the task.
#[derive(Clone, Copy)]
struct LossChoice(Option<LossKind>);

fn parse_loss(text: &str) -> Result<LossChoice, String> {
    if text == "auto" {
        return Ok(LossChoice(None));
    }
    text.parse().map(|loss| LossChoice(Some(loss))).map_err(|error: contract::ParseLossError| error.to_string())
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut bar = TrainingBar::new(&arguments.name, !arguments.json);
    let outcome = run_with(arguments, &mut |event| {
        bar.event(event);
        if arguments.json { print_json_line(event) } else { Ok(()) }
    });
    if let Err(error) = &outcome
        && arguments.json
    {
        print_json_line(&TrainEvent::Failed { error: format!("{error:#}") })?;
    }
    outcome
}

fn run_with(arguments: &Arguments, tell: &mut dyn FnMut(&TrainEvent) -> Result<()>) -> Result<()> {
    let control = control_runtime()?;
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_interrupt(control.handle(), &stop);
    // A job whose server is gone is nobody's: it keeps the best so far and ends.
    let parent_gone = Arc::clone(&stop);
    on_parent_end(move || parent_gone.store(true, Ordering::Relaxed))?;

    let home = std::path::absolute(arguments.stores.home()?)?;
    let scratch = tempfile::tempdir()?;
    let options = options(arguments, &home, scratch.path().join("artifact"));
    let (trained, told) = {
        let mut told = Ok(());
        let mut on_event = |event: &TrainEvent| {
            if told.is_ok() {
                told = tell(event);
            }
        };
        let trained = train(&options, &mut TrainControl { stop, on_event: &mut on_event })?;
        (trained, told)
    };
    told?;

    let version = control.block_on(async {
        let registry = open_registry(&arguments.stores, control.handle()).await?;
        anyhow::Ok(registry.publish(&arguments.name, &trained.directory, trained.metadata.clone()).await?)
    })?;
    trained.forget_checkpoint()?;
    let metadata = Box::new(version.metadata.clone());
    tell(&TrainEvent::Registered { name: version.name.clone(), version: version.version, metadata })?;
    if !arguments.json {
        print(format!("{} version {} registered: {}", version.name, version.version, quality(&version.metadata)))?;
    }
    Ok(())
}

fn options(arguments: &Arguments, home: &std::path::Path, directory: PathBuf) -> TrainOptions {
    let NetArguments { hidden, dropout, learning_rate, weight_decay, batch_size, epochs, patience, gradient_clip } =
        &arguments.net;
    let ModelChoice::Mlp = arguments.model;
    TrainOptions {
        data: arguments.data.clone(),
        target: arguments.target.clone(),
        task: match arguments.task {
            TaskChoice::Auto => None,
            TaskChoice::Regression => Some(Task::Regression),
            TaskChoice::Binary => Some(Task::Binary),
            TaskChoice::Multiclass => Some(Task::Multiclass),
        },
        loss: arguments.loss.0,
        device: arguments.device,
        time_budget: arguments.time_budget,
        valid: arguments.valid,
        seed: arguments.seed,
        author: arguments.author.clone(),
        settings: MlpSettings {
            hidden: hidden.clone(),
            dropout: *dropout,
            learning_rate: *learning_rate,
            weight_decay: *weight_decay,
            batch_size: *batch_size,
            epochs: *epochs,
            patience: *patience,
            gradient_clip: *gradient_clip,
        },
        directory,
        checkpoints: home.join("checkpoints").join(&arguments.name),
        resume: arguments.resume,
    }
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
