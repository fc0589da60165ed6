//! Faults of every kind at once, from a seed: `cargo run --release --package soak -- --seed 1 --minutes 30`.
//!
//! Clients ask over HTTP and gRPC, leave, stall, reset and send garbage; deadlines pass; models panic and fail; versions are
//! published, loaded, renamed, unloaded and deleted, right and wrong ones. Every request that was accepted must get exactly
//! one answer: its own, from a version that was live and meant at some moment between the two. In the end nothing may be left
//! over: no request inside a gate, no row in a queue, no replica on its device, and no more memory than before.
//!
//! A seed gives every client the same sequence of decisions; what they meet depends on how threads run. A violation names the
//! seed, the client and its decision.

mod client;
mod history;
mod operator;
mod plan;
mod tally;
mod verdict;
mod world;

use std::{
    collections::BTreeMap,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use clap::Parser;
use serde::Serialize;
use tonic::transport::Endpoint;

use self::{
    client::Client,
    tally::{Tally, Violation},
    world::World,
};

/// Faults of every kind at once, from a seed.
#[derive(Parser)]
struct Cli {
    /// What the decisions come from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long, in minutes; parts of one are allowed.
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// Clients at once.
    #[arg(long, default_value_t = 24)]
    clients: u64,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
}

/// What a run came to.
#[derive(Serialize)]
struct Summary {
    seed: u64,
    seconds: f64,
    /// Requests by transport and by end.
    requests: BTreeMap<String, u64>,
    /// Changes of versions and aliases.
    changes: u64,
    memory_mib: Memory,
    violations: Vec<Violation>,
}

#[derive(Serialize)]
struct Memory {
    after_a_quarter: f64,
    at_the_end: f64,
}

/// Memory may grow by this share behind the first quarter of a run…
const GROWTH: f64 = 1.15;
/// …and by this besides, because short runs have hardly begun.
const GRACE_MIB: f64 = 24.0;
const PROGRESS: Duration = Duration::from_secs(5);

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    // The models panic on demand, thousands of times.
    std::panic::set_hook(Box::new(|_panic| {}));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let summary = runtime.block_on(run(&cli))?;
    print(&summary, cli.json)?;
    Ok(if summary.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run(cli: &Cli) -> Result<Summary> {
    let Cli { seed, minutes, clients, json: _ } = cli;
    let length = Duration::try_from_secs_f64(minutes * 60.0).context("expected a number of minutes")?;
    let started = Instant::now();
    let until = started + length;
    let world = Arc::new(World::start().await?);
    let tally = Arc::new(Tally::default());
    let mut tasks = Vec::new();
    for number in 0..*clients {
        let channel = Endpoint::from_shared(format!("http://{}", world.grpc))?.connect_lazy();
        let (world, tally) = (Arc::clone(&world), Arc::clone(&tally));
        let client = Client { number, world, tally, channel, connection: None };
        tasks.push(tokio::spawn(client.work(*seed, until)));
    }
    let operator = tokio::spawn({
        let (world, seed) = (Arc::clone(&world), *seed);
        async move { operator::work(&world, seed, until).await }
    });
    let after_a_quarter = watch(&tally, started, length).await?;
    for task in tasks {
        if let Err(error) = task.await {
            tally.violated(Violation { what: format!("a client panicked: {error}"), event: String::new() });
        }
    }
    let changes = match operator.await {
        Ok(Ok(changes)) => changes,
        Ok(Err(error)) => {
            tally.violated(Violation { what: format!("{error:#}"), event: "the operator".to_owned() });
            0
        }
        Err(error) => {
            tally.violated(Violation { what: format!("the operator panicked: {error}"), event: String::new() });
            0
        }
    };
    let at_the_end = memory_mib()?;
    if at_the_end > after_a_quarter * GROWTH + GRACE_MIB {
        let what = format!("memory grew from {after_a_quarter:.0} MiB after a quarter to {at_the_end:.0} MiB");
        tally.violated(Violation { what, event: "the whole run".to_owned() });
    }
    let world = Arc::into_inner(world).context("somebody still holds the world")?;
    for what in world.end().await? {
        tally.violated(Violation { what, event: "the end".to_owned() });
    }
    Ok(Summary {
        seed: *seed,
        seconds: started.elapsed().as_secs_f64(),
        requests: tally.counts(),
        changes,
        memory_mib: Memory { after_a_quarter, at_the_end },
        violations: tally.violations(),
    })
}

/// Tells how it goes until it is over; gives the memory after a quarter of the time.
async fn watch(tally: &Tally, started: Instant, length: Duration) -> Result<f64> {
    let mut after_a_quarter = None;
    let mut told = Instant::now();
    while started.elapsed() < length && !tally.is_full() {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if after_a_quarter.is_none() && started.elapsed() > length / 4 {
            after_a_quarter = Some(memory_mib()?);
        }
        if told.elapsed() > PROGRESS {
            told = Instant::now();
            let counts = tally.counts();
            let count = |name: &str| counts.get(name).copied().unwrap_or_default();
            say(&format!(
                "{:>4.0} of {:.0} s: {} answered, {} refused, {} left, {} closed, {:.0} MiB",
                started.elapsed().as_secs_f64(),
                length.as_secs_f64(),
                count("answered"),
                counts.iter().filter(|(name, _)| name.starts_with("status")).map(|(_, count)| count).sum::<u64>(),
                count("left"),
                count("closed"),
                memory_mib()?
            ));
        }
    }
    after_a_quarter.map_or_else(memory_mib, Ok)
}

/// Resident memory of this process: server and clients.
fn memory_mib() -> Result<f64> {
    let pid = sysinfo::Pid::from_u32(std::process::id());
    let mut system = sysinfo::System::new()?;
    system.refresh_processes(sysinfo::ProcessesToUpdate::Some(&[pid]), true);
    let process = system.process(pid).context("there is no such process as this one")?;
    Ok(process.memory() as f64 / f64::from(1 << 20))
}

#[expect(clippy::print_stdout, reason = "this is a command line tool")]
fn print(summary: &Summary, json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(summary)?);
        return Ok(());
    }
    let Summary { seed, seconds, requests, changes, memory_mib, violations } = summary;
    let requests: Vec<String> = requests.iter().map(|(name, count)| format!("{count} {name}")).collect();
    println!("seed {seed}, {seconds:.0} s: {}; {changes} changes of versions and aliases", requests.join(", "));
    let Memory { after_a_quarter, at_the_end } = memory_mib;
    println!("memory {after_a_quarter:.0} MiB after a quarter, {at_the_end:.0} MiB at the end");
    match violations.len() {
        0 => println!("nothing went wrong"),
        count => println!("{count} VIOLATIONS; again with --seed {seed}"),
    }
    Ok(())
}

#[expect(clippy::print_stderr, reason = "this is a command line tool")]
fn say(text: &str) {
    eprintln!("{text}");
}
