//! The binary: one subcommand a file. It wires the rooms together and is the only one that knows them all.

mod commands;
mod home;
mod plot;
mod terminal;

use std::process::ExitCode;

use mimalloc::MiMalloc;

use clap::{ArgMatches, Command, CommandFactory, FromArgMatches, Parser, Subcommand};

/// Requests allocate on one thread and may be freed on another; this allocator is made for that, and gives memory back.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// From a table to a monitored, versioned prediction API at GPU speed.
#[derive(Parser)]
#[command(name = "emberline", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Subcommand)]
enum Subcommands {
    /// Train, register, serve and watch a model on a real table, with nothing else at hand
    Demo(commands::demo::Arguments),
    /// Train a model on a table and register it as a new version
    Train(Box<commands::train::Arguments>),
    /// Train several kinds of model on one split of a table and compare them
    Compare(commands::compare::Arguments),
    /// Serve the registered models over HTTP
    Serve(server::settings::ServerSettings),
    /// Score the rows of a table with a registered model
    Predict(commands::predict::Arguments),
    /// Explain the rows of a table by the SHAP values of a registered tree model
    Explain(commands::explain::Arguments),
    /// Register a model that another tool trained
    Import(commands::import::Arguments),
    /// Write a registered model as a file of another tool
    Export(commands::export::Arguments),
    /// List, show, alias and delete registered models
    Models(commands::models::Arguments),
    /// List the devices, and test what they compute
    Doctor(commands::doctor::Arguments),
    /// Load a server and measure what its clients wait
    Bench(commands::bench::Arguments),
}

/// Exit code for a wrong command line or wrong settings: `EX_USAGE` of sysexits.h.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let command: Command = Cli::command();
    let matches: ArgMatches = match command.try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            // `--help` and `--version` are errors to clap too, told on standard output.
            let wrong = error.use_stderr();
            let _ = error.print();
            return if wrong { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let outcome = match Cli::from_arg_matches(&matches) {
        Ok(Cli { command }) => run(command, &matches),
        Err(error) => Err(commands::Failure::Usage(error.to_string())),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(commands::Failure::Usage(line)) => {
            terminal::note(format!("emberline: {line}"));
            ExitCode::from(USAGE)
        }
        Err(commands::Failure::Failed(error)) => {
            terminal::note(format!("emberline: {}", commands::sentence(&error)));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Subcommands, matches: &ArgMatches) -> Result<(), commands::Failure> {
    match command {
        Subcommands::Demo(arguments) => commands::demo::run(&arguments)?,
        Subcommands::Train(arguments) => commands::train::run(&arguments)?,
        Subcommands::Compare(arguments) => commands::compare::run(&arguments)?,
        Subcommands::Serve(_) => {
            // Read again with the knowledge of where each value came from: a file stands between defaults and flags.
            let matches = matches.subcommand().map_or(matches, |(_, matches)| matches);
            commands::serve::run(matches)?;
        }
        Subcommands::Predict(arguments) => commands::predict::run(&arguments)?,
        Subcommands::Explain(arguments) => commands::explain::run(&arguments)?,
        Subcommands::Export(arguments) => commands::export::run(&arguments)?,
        Subcommands::Import(arguments) => commands::import::run(&arguments)?,
        Subcommands::Models(arguments) => commands::models::run(&arguments)?,
        Subcommands::Doctor(arguments) => commands::doctor::run(&arguments)?,
        Subcommands::Bench(arguments) => commands::bench::run(&arguments)?,
    }
    Ok(())
}
