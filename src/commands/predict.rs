//! `emberline predict`: the rows of a table through a registered model.

use std::{path::PathBuf, time::Instant};

use anyhow::Result;
use clap::Args;
use contract::{DeviceSelector, Format};
use engine::registry::parse_model_reference;
use serde::Serialize;
use server::settings::StoreSettings;

use crate::{
    home::{control_runtime, open_registry},
    terminal::{print, print_json, progress, thousands},
};

/// Score the rows of a table with a registered model.
#[derive(Args)]
pub(crate) struct Arguments {
    /// NAME, NAME:VERSION or NAME@ALIAS; without a version the alias `champion`, else the newest
    #[arg(long)]
    model: String,
    /// CSV or Parquet file to score
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// File to write: the columns of the data and the model's outputs, as CSV or (.parquet) Parquet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Device to run on: auto, cpu, gpu, gpu:N, vulkan:N or cuda:N
    #[arg(long, env = "EMBERLINE_DEVICE", default_value = "auto")]
    device: DeviceSelector,
    #[command(flatten)]
    stores: StoreSettings,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was done.
#[derive(Serialize)]
struct Done {
    model: String,
    version: u32,
    rows: u64,
    seconds: f64,
    rows_per_second: f64,
    device: String,
    out: PathBuf,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (name, selector) = parse_model_reference(&arguments.model)?;
    let control = control_runtime()?;
    let (version, directory) = control.block_on(async {
        let registry = open_registry(&arguments.stores, control.handle()).await?;
        let version = registry.resolve(&name, &selector).await?;
        let directory = registry.fetch(&version).await?;
        anyhow::Ok((version, directory))
    })?;
    let device = ::models::device::resolve(&arguments.device)?;
    let model = ::models::neural::Formats::for_devices(std::slice::from_ref(&device)).open(&directory)?;

    let started = Instant::now();
    // The number of rows is not known before the end of the file: the bar shows the share of it that was read.
    let bar = progress(1000, "‰ of the file", true);
    bar.set_prefix(format!("{name} version {} on {device}", version.version));
    let rows = ::models::score::score(model.as_ref(), &device, &arguments.data, &arguments.out, |share, rows| {
        bar.set_position((share * 1000.0) as u64);
        bar.set_message(format!("{} rows", thousands(rows)));
    })?;
    bar.finish_and_clear();
    let seconds = started.elapsed().as_secs_f64();
    let done = Done {
        model: name,
        version: version.version,
        rows,
        seconds,
        rows_per_second: rows as f64 / seconds,
        device: device.to_string(),
        out: arguments.out.clone(),
    };
    if arguments.json {
        return print_json(&done);
    }
    print(format!(
        "{} rows scored by {} version {} on {} in {seconds:.2} s ({} rows/s), written to {}",
        thousands(rows),
        done.model,
        done.version,
        done.device,
        thousands(done.rows_per_second as u64),
        done.out.display()
    ))
}
