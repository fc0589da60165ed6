//! Runs a fuzz target for a while: `cargo run --release --package fuzz -- run http_json --seconds 600`.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use fuzz::{Mutator, TARGETS, Target, Verdict, check, corpus_folder, read_corpus, write_corpus};

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Fuzz targets of the wire formats.
#[derive(Subcommand)]
enum Command {
    /// Run a target, or all of them one after the other, until an input breaks it or the time is over.
    Run {
        /// Name of the target, or `all`.
        target: String,
        /// How long each runs.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Another seed makes other inputs.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Write the inputs that the targets start from into their corpus.
    Seeds,
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Seeds => {
            for target in &TARGETS {
                say(&format!(
                    "{}: {} inputs in {}",
                    target.name,
                    write_corpus(target)?,
                    corpus_folder(target).display()
                ));
            }
            Ok(())
        }
        Command::Run { target, seconds, seed } => {
            let chosen: Vec<&Target> = TARGETS.iter().filter(|known| target == "all" || known.name == target).collect();
            if chosen.is_empty() {
                let known: Vec<&str> = TARGETS.iter().map(|known| known.name).collect();
                bail!("expected 'all' or one of {}, got '{target}'", known.join(", "));
            }
            chosen.into_iter().try_for_each(|target| run(target, Duration::from_secs(seconds), seed))
        }
    }
}

fn run(target: &Target, time: Duration, seed: u64) -> Result<()> {
    let mut mutator = Mutator::new(target, read_corpus(target)?, seed);
    let (started, mut inputs, mut accepted) = (Instant::now(), 0_u64, 0_u64);
    while started.elapsed() < time {
        let input = mutator.next_input();
        match check(target, &input) {
            Ok(verdict) => {
                inputs += 1;
                accepted += u64::from(verdict == Verdict::Accepted);
                mutator.learn(input, verdict);
            }
            Err(reason) => {
                let path = corpus_folder(target).join(format!("found_{seed}_{inputs}"));
                fs_err::create_dir_all(corpus_folder(target)).context("the input that broke the target is lost")?;
                fs_err::write(&path, &input).context("the input that broke the target is lost")?;
                bail!("{}: {reason}; the input is kept as {}", target.name, path.display());
            }
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    say(&format!(
        "{}: {inputs} inputs in {seconds:.0} s ({:.0} a second), {accepted} accepted, nothing found",
        target.name,
        inputs as f64 / seconds
    ));
    Ok(())
}

#[expect(clippy::print_stderr, reason = "this is a command line tool")]
fn say(text: &str) {
    eprintln!("{text}");
}
