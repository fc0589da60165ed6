//! Benchmarks against peers: `cargo run --release --package benches -- COMMAND`.
//!
//! A figure is the median ratio of interleaved pairs, measured in one run on one machine, with its bootstrap interval;
//! the result is written as JSON together with the machine's description and committed under `benches/results/`.

mod machine;
mod nets;
mod perf_analyzer;
mod quality;
mod script;
mod serve;
mod servers;
mod statistics;
mod training;
mod trees;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Benchmarks against peers.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Nets on the CPU, against ONNX Runtime.
    Nets(nets::Arguments),
    /// Triton's load generator over HTTP (JSON and binary tensors) and gRPC.
    PerfAnalyzer(perf_analyzer::Arguments),
    /// How well nets learn tables, beside LightGBM with the published tuned settings.
    Quality(quality::Arguments),
    /// The figures of the request path, against handlers written by hand, other servers, and itself.
    Serve(serve::Arguments),
    /// How fast nets are trained on the CPU, beside JAX.
    Training(training::Arguments),
    /// Tree models on the CPU, against LightGBM, XGBoost, lleaves and ONNX Runtime.
    Trees(trees::Arguments),
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Nets(arguments) => nets::run(&arguments),
        Command::PerfAnalyzer(arguments) => perf_analyzer::run(&arguments),
        Command::Quality(arguments) => quality::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Training(arguments) => training::run(&arguments),
        Command::Trees(arguments) => trees::run(&arguments),
    }
}

#[expect(clippy::print_stderr, reason = "this is a command line tool")]
fn say(text: &str) {
    eprintln!("{text}");
}
