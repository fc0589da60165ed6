//! Triton's own load generator against our server, unchanged: what an engineer who knows it will run first.
//!
//! A closed loop over each transport: with a concurrency of `n`, `n` requests of one row are always under way. The cache is
//! off, so every answer is computed. Rounds over all points are interleaved, and a point is the median of its rounds.

mod analyzer;

use std::{fmt::Write as _, net::TcpListener, path::PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;

use self::analyzer::{Analyzer, Measured, Transport};
use crate::{
    machine, say,
    servers::{
        emberline::{self, Options},
        net::Net,
    },
    statistics,
};

/// Settings of the run.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The binary to measure; the one beside this program when not given.
    #[arg(long)]
    emberline: Option<PathBuf>,
    /// `perf_analyzer`, or a script that runs it.
    #[arg(long, default_value = "benches/peers/perf_analyzer.sh")]
    perf_analyzer: PathBuf,
    /// Transports to measure.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "http-json,http-binary,grpc")]
    transports: Vec<Transport>,
    /// Requests under way at once.
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8,16,32,64")]
    concurrency: Vec<usize>,
    /// Rounds over all points.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Milliseconds of one window; `perf_analyzer` measures at least three.
    #[arg(long, default_value_t = 2000)]
    interval: u64,
    /// Where the result is written; the same in Markdown stands beside it.
    #[arg(long, default_value = "benches/results/perf-analyzer.json")]
    out: PathBuf,
}

#[derive(Serialize)]
struct Outcome {
    what: &'static str,
    machine: machine::Machine,
    rounds: usize,
    interval_milliseconds: u64,
    tables: Vec<Table>,
}

/// One transport.
#[derive(Serialize)]
struct Table {
    transport: &'static str,
    rows: Vec<Row>,
}

/// One point: medians over the rounds, times in microseconds.
#[derive(Serialize)]
struct Row {
    concurrency: usize,
    requests_per_second: f64,
    slowest_round: f64,
    fastest_round: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    /// What the server's own statistics say of a request on average.
    server_queue: f64,
    server_compute: f64,
}

/// Runs the benchmark and writes its result.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let grpc = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let served = emberline::start(&Options {
        binary: arguments.emberline.as_deref(),
        files: &[],
        nets: &[Net::mlp()],
        arguments: &["--cache-bytes", "0", "--grpc", &grpc],
        cpu: None,
    })?;
    let analyzer = Analyzer { program: &arguments.perf_analyzer, interval: arguments.interval };
    let points: Vec<(Transport, usize)> = arguments
        .concurrency
        .iter()
        .flat_map(|concurrency| arguments.transports.iter().map(|transport| (*transport, *concurrency)))
        .collect();
    let mut measured: Vec<Vec<Measured>> = points.iter().map(|_| Vec::new()).collect();
    for round in 1..=arguments.rounds {
        for ((transport, concurrency), measured) in points.iter().zip(&mut measured) {
            let address = if *transport == Transport::Grpc { &grpc } else { &served.address };
            let found = analyzer.run(*transport, address, *concurrency)?;
            say(&format!("round {round}: {} at {concurrency}: {found}", transport.name()));
            measured.push(found);
        }
    }
    let table = |transport: &Transport| Table {
        transport: transport.name(),
        rows: points
            .iter()
            .zip(&measured)
            .filter(|((other, _concurrency), _measured)| other == transport)
            .map(|((_transport, concurrency), measured)| row(*concurrency, measured))
            .collect(),
    };
    let outcome = Outcome {
        what: "perf_analyzer of Triton 2.50.0, closed loop, one row of 30 FP32 a request, dense net 30-64-1 on the CPU, \
               cache off, on the server's own machine",
        machine: machine::describe()?,
        rounds: arguments.rounds,
        interval_milliseconds: arguments.interval,
        tables: arguments.transports.iter().map(table).collect(),
    };
    write(&arguments.out, &(serde_json::to_string_pretty(&outcome)? + "\n"))?;
    let markdown = markdown(&outcome)?;
    write(&arguments.out.with_extension("md"), &markdown)?;
    say(&format!("{markdown}\nwritten to {}", arguments.out.display()));
    Ok(())
}

fn row(concurrency: usize, measured: &[Measured]) -> Row {
    let all = |pick: fn(&Measured) -> f64| measured.iter().map(pick).collect::<Vec<_>>();
    let median = |pick| statistics::median(&all(pick)).median;
    let rates = all(|one| one.rate);
    Row {
        concurrency,
        requests_per_second: median(|one| one.rate),
        slowest_round: rates.iter().copied().fold(f64::INFINITY, f64::min),
        fastest_round: rates.iter().copied().fold(0.0, f64::max),
        p50: median(|one| one.p50),
        p90: median(|one| one.p90),
        p99: median(|one| one.p99),
        server_queue: median(|one| one.server_queue),
        server_compute: median(|one| one.server_compute),
    }
}

fn markdown(outcome: &Outcome) -> Result<String> {
    let Outcome { what, machine, rounds, interval_milliseconds, tables } = outcome;
    let mut text = format!(
        "# perf_analyzer\n\n{what}. {machine}. Medians of {rounds} rounds, windows of {interval_milliseconds} ms.\n\n\
         `cargo run --release --package benches -- perf-analyzer`\n"
    );
    for Table { transport, rows } in tables {
        write!(
            text,
            "\n## {transport}\n\n| concurrency | requests/s | p50 µs | p90 µs | p99 µs | in the queue µs | computing µs |\n\
             | --- | --- | --- | --- | --- | --- | --- |\n"
        )?;
        for row in rows {
            let Row { concurrency, requests_per_second, slowest_round, fastest_round, .. } = row;
            let Row { p50, p90, p99, server_queue, server_compute, .. } = row;
            writeln!(
                text,
                "| {concurrency} | {requests_per_second:.0} [{slowest_round:.0}, {fastest_round:.0}] | {p50:.0} | {p90:.0} \
                 | {p99:.0} | {server_queue:.0} | {server_compute:.0} |"
            )?;
        }
    }
    Ok(text)
}

fn write(path: &std::path::Path, text: &str) -> Result<()> {
    #[expect(clippy::disallowed_methods, reason = "the context names the file")]
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
