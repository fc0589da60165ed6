//! `emberline import`: weights that another tool trained, as a registered version.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use engine::registry::check_name;
use models::neural::{ImportOptions, Imported, import_dense};
use server::settings::StoreSettings;

use crate::{
    home::{control_runtime, open_registry},
    terminal::{bytes, print, print_json},
};

/// Register weights that another tool trained.
#[derive(Args)]
pub(crate) struct Arguments {
    /// File with tensors W1, b1, W2, b2, …: W [inputs, outputs], y = x·W + b, ReLU between layers; .safetensors or .npz
    file: PathBuf,
    /// What the weights are
    #[arg(long)]
    kind: Kind,
    /// Model name; a new version of it is made
    #[arg(long)]
    name: String,
    /// Name of the model's input
    #[arg(long, default_value = "x")]
    input: String,
    /// Name of the model's output
    #[arg(long, default_value = "y")]
    output: String,
    /// Who made the weights
    #[arg(long, env = "EMBERLINE_AUTHOR")]
    author: Option<String>,
    #[command(flatten)]
    stores: StoreSettings,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Kinds of models that can be imported.
#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// A dense net with ReLU between its layers.
    Mlp,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { file, kind: Kind::Mlp, name, input, output, author, stores, json } = arguments;
    check_name("model name", name)?;
    let scratch = tempfile::tempdir()?;
    let directory = scratch.path().join("artifact");
    let options = ImportOptions { input: input.clone(), output: output.clone(), author: author.clone() };
    let Imported { directory, metadata } = import_dense(file, &directory, &options)?;
    let control = control_runtime()?;
    let version = control.block_on(async {
        let registry = open_registry(stores, control.handle()).await?;
        anyhow::Ok(registry.publish(name, &directory, metadata).await?)
    })?;
    if *json {
        return print_json(&version);
    }
    print(format!(
        "{name} version {} registered ({}); `emberline serve` serves it",
        version.version,
        bytes(version.size_bytes)
    ))
}
