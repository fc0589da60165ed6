//! `emberline export`: a registered model as a file that other tools read.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use engine::registry::parse_model_reference;
use models::{
    neural::export_net,
    tree::{TreeExport, TreeModel},
};
use serde::Serialize;
use server::settings::StoreSettings;

use crate::{
    home::{control_runtime, open_registry},
    terminal::{bytes, print, print_json},
};

/// Write a registered model as a file of another tool.
#[derive(Args)]
pub(crate) struct Arguments {
    /// NAME, NAME:VERSION or NAME@ALIAS; without a version the alias `champion`, else the newest
    #[arg(long)]
    model: String,
    /// What to write
    #[arg(long)]
    format: Format,
    /// File to write; refused when it exists
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    stores: StoreSettings,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Formats that can be written.
#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// XGBoost's JSON.
    XgboostJson,
    /// treelite's checkpoint.
    Treelite,
    /// The weights of a net, with the keys of docs/nets.md.
    Safetensors,
}

/// What was done.
#[derive(Serialize)]
struct Done {
    model: String,
    version: u32,
    bytes: u64,
    out: PathBuf,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { model, format, out, stores, json } = arguments;
    let (name, selector) = parse_model_reference(model)?;
    let control = control_runtime()?;
    let (version, directory) = control.block_on(async {
        let registry = open_registry(stores, control.handle()).await?;
        let version = registry.resolve(&name, &selector).await?;
        let directory = registry.fetch(&version).await?;
        anyhow::Ok((version, directory))
    })?;
    let written = match format {
        Format::XgboostJson => TreeModel::open(&directory)?.export(TreeExport::XgboostJson, out)?,
        Format::Treelite => TreeModel::open(&directory)?.export(TreeExport::Treelite, out)?,
        Format::Safetensors => export_net(&directory, out)?,
    };
    let done = Done { model: name, version: version.version, bytes: written, out: out.clone() };
    if *json {
        return print_json(&done);
    }
    let Done { model, version, bytes: written, out } = done;
    print(format!("{model} version {version} written to {} ({})", out.display(), bytes(written)))
}
