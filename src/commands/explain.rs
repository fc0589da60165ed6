//! `emberline explain`: which column moved a tree model's answer how far, row by row.

use std::{path::PathBuf, time::Instant};

use anyhow::Result;
use clap::Args;
use engine::registry::parse_model_reference;
use models::{score::explain, tree::TreeModel};
use serde::Serialize;
use server::settings::StoreSettings;

use crate::{
    home::{control_runtime, open_registry},
    terminal::{print, print_json, progress, thousands},
};

/// Explain the rows of a table by the SHAP values of a registered tree model.
#[derive(Args)]
pub(crate) struct Arguments {
    /// NAME, NAME:VERSION or NAME@ALIAS; without a version the alias `champion`, else the newest
    #[arg(long)]
    model: String,
    /// CSV or Parquet file to explain
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// File to write: the columns of the data, then `shap_NAME` for each of the model's and `shap_expected`, as CSV or (.parquet)
    /// Parquet; they add up to the row's margin
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
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
    let model = TreeModel::open(&directory)?;

    let started = Instant::now();
    // The number of rows is not known before the end of the file: the bar shows the share of it that was read.
    let bar = progress(1000, "‰ of the file", true);
    bar.set_prefix(format!("{name} version {}", version.version));
    let rows = explain(&model, &arguments.data, &arguments.out, |share, rows| {
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
        out: arguments.out.clone(),
    };
    if arguments.json {
        return print_json(&done);
    }
    print(format!(
        "{} rows explained by {} version {} in {seconds:.2} s ({} rows/s), written to {}",
        thousands(rows),
        done.model,
        done.version,
        thousands(done.rows_per_second as u64),
        done.out.display()
    ))
}
