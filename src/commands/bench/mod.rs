//! `emberline bench serve`: load on a prediction server, and what its clients would see.

mod show;

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Result;
use clap::{ArgGroup, Args, Subcommand};
use loadgen::{
    Arrivals, Distinct, Load, Pace, PriorityMix, Protocol, Report, RequestSpec, Requests, Signature, Slo, Target,
};
use serde::Serialize;

use super::Failure;
use crate::terminal::{print, print_json};

/// Measure servers.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Load a server of the Open Inference Protocol (Emberline, Triton and others) and report latency and throughput
    Serve(Box<ServeArguments>),
}

/// Load a server of the Open Inference Protocol.
#[derive(Args)]
#[command(group = ArgGroup::new("pace").args(["rate", "steps", "concurrency"]))]
pub(crate) struct ServeArguments {
    /// The server: `http://HOST:PORT`, `grpc://HOST:PORT` or HOST:PORT
    #[arg(value_name = "URL")]
    url: String,
    /// The model
    #[arg(long, value_name = "NAME")]
    model: String,
    /// Its version; the server's choice when not given
    #[arg(long, value_name = "VERSION")]
    model_version: Option<String>,
    /// How requests travel: http-json, http-binary or grpc; by the URL when not given
    #[arg(long, value_name = "PROTOCOL")]
    protocol: Option<Protocol>,
    /// A header for every request, such as `authorization: Bearer …`; may be repeated
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,

    /// Open loop: so many requests per second, whether or not earlier ones are answered
    #[arg(long, value_name = "RATE", value_parser = loadgen::parse_rate, help_heading = "Load")]
    rate: Option<f64>,
    /// Open loop at one rate after the other, such as 100,200,400
    #[arg(long, value_name = "RATES", value_delimiter = ',', value_parser = loadgen::parse_rate, help_heading = "Load")]
    steps: Vec<f64>,
    /// Closed loop: so many requests at a time, the next when one is answered [default: 16]
    #[arg(long, value_name = "N", help_heading = "Load")]
    concurrency: Option<usize>,
    /// Spacing of an open loop: poisson or constant
    #[arg(long, value_name = "KIND", default_value = "poisson", help_heading = "Load")]
    arrivals: Arrivals,
    /// Length of the measured window, of each rate
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = loadgen::parse_duration, help_heading = "Load")]
    duration: Duration,
    /// Time under load before it that is not measured
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = loadgen::parse_duration, help_heading = "Load")]
    warmup: Duration,
    /// Objective such as 5ms@p99: latency that so many percent of all requests must keep; refused and failed ones miss it
    #[arg(long, value_name = "SLO", help_heading = "Load")]
    slo: Option<Slo>,
    /// Connections of an open loop
    #[arg(long, value_name = "N", default_value_t = 64, help_heading = "Load")]
    connections: usize,
    /// Most connections of an open loop, which opens more when all are busy
    #[arg(long, value_name = "N", default_value_t = 1024, help_heading = "Load")]
    max_connections: usize,
    /// Threads of the generator
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Load")]
    threads: usize,
    /// How long an answer is waited for
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = loadgen::parse_duration, help_heading = "Load")]
    patience: Duration,
    /// Of arrivals, rows and priorities
    #[arg(long, value_name = "SEED", default_value_t = 0, help_heading = "Load")]
    seed: u64,

    /// CSV file with rows; drawn at random from the model's signature when not given
    #[arg(long, value_name = "FILE", help_heading = "Requests")]
    data: Option<PathBuf>,
    /// Columns of the file for an input of several numbers per row
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "data", help_heading = "Requests")]
    columns: Vec<String>,
    /// Rows of a request
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Requests")]
    rows: usize,
    /// Different requests; when not given, all rows of the file, or without a file every request is another, so that no cache helps
    #[arg(long, value_name = "N", help_heading = "Requests")]
    distinct: Option<usize>,
    /// Axes of an input that the model leaves open, but for the rows: `NAME:SIZE,SIZE`; may be repeated
    #[arg(long = "shape", value_name = "SHAPE", help_heading = "Requests")]
    shapes: Vec<String>,
    /// The protocol's timeout of every request, and over gRPC the call's deadline; answers within it are goodput
    #[arg(long, value_name = "TIME", value_parser = loadgen::parse_duration, help_heading = "Requests")]
    timeout: Option<Duration>,
    /// Levels of priority with their weights, such as 1:10,2:30,3:60
    #[arg(long, value_name = "MIX", help_heading = "Requests")]
    priority: Option<PriorityMix>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was measured.
#[derive(Serialize)]
struct Outcome {
    /// One report, or one for each rate.
    reports: Vec<Report>,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::Serve(arguments) => serve(arguments),
    }
}

fn serve(arguments: &ServeArguments) -> Result<(), Failure> {
    let outcome = measure(arguments)?;
    if arguments.json {
        print_json(&outcome)?;
    } else {
        print(show::outcome(&outcome.reports))?;
    }
    Ok(())
}

fn measure(arguments: &ServeArguments) -> Result<Outcome, Failure> {
    let mut target = Target::parse(&arguments.url, arguments.protocol, &arguments.model)?;
    target.version.clone_from(&arguments.model_version);
    target.headers.clone_from(&arguments.headers);
    let mut signature = Signature::fetch(&target)?;
    for shape in &arguments.shapes {
        signature.set_shape(shape)?;
    }
    let requests = Arc::new(Requests::prepare(&target, &signature, &spec(arguments))?);
    let load = Load {
        pace: Pace::Closed { concurrency: arguments.concurrency.unwrap_or(16) },
        duration: arguments.duration,
        warmup: arguments.warmup,
        connections: arguments.connections,
        most_connections: arguments.max_connections.max(arguments.connections),
        threads: arguments.threads,
        patience: arguments.patience,
        limit: arguments.timeout.or(arguments.slo.map(|slo| slo.bound)),
        slo: arguments.slo,
        seed: arguments.seed,
        ..Load::new(target)
    };
    let rates: Vec<f64> = arguments.rate.into_iter().chain(arguments.steps.iter().copied()).collect();
    let mut reports = Vec::new();
    if rates.is_empty() {
        reports.push(one(&load, &requests)?);
    }
    for rate in rates {
        let pace = Pace::Open { rate, arrivals: arguments.arrivals };
        reports.push(one(&Load { pace, ..load.clone() }, &requests)?);
    }
    Ok(Outcome { reports })
}

fn one(load: &Load, requests: &Arc<Requests>) -> Result<Report, Failure> {
    let mut view = show::View::new(load);
    let report = load.run(requests, &mut |progress| view.update(progress))?;
    view.finish();
    Ok(report)
}

fn spec(arguments: &ServeArguments) -> RequestSpec {
    let distinct = match (arguments.distinct, &arguments.data) {
        (Some(count), _) => Distinct::Count(count),
        (None, Some(_)) => Distinct::Count(usize::MAX),
        (None, None) => Distinct::Every,
    };
    RequestSpec {
        rows: arguments.rows,
        distinct,
        data: arguments.data.clone(),
        columns: arguments.columns.clone(),
        timeout: arguments.timeout,
        priorities: arguments.priority.clone().unwrap_or_default(),
        seed: arguments.seed,
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    let wrong = || format!("expected a header such as 'authorization: Bearer KEY', got '{text}'");
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.is_empty() || !name.bytes().all(plain) || value.chars().any(char::is_control) {
        return Err(wrong());
    }
    Ok((name.to_ascii_lowercase(), value.trim().to_owned()))
}

impl From<loadgen::Error> for Failure {
    fn from(error: loadgen::Error) -> Self {
        match error {
            loadgen::Error::Setting(text) => Self::Usage(text),
            other => Self::Failed(other.into()),
        }
    }
}
