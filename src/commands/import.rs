//! `emberline import`: what another tool made, as a registered version.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use contract::{Task, VersionMetadata};
use engine::registry::check_name;
use models::{
    identity::import_identity,
    import::begins_weights,
    neural::{ImportOptions, import_net},
    tree::{TreeFormat, TreeImport, import_trees},
};
use server::settings::StoreSettings;

use crate::{
    home::{control_runtime, open_registry},
    terminal::{bytes, print, print_json},
};

/// Register a model that another tool trained.
#[derive(Args)]
pub(crate) struct Arguments {
    /// A tree model of XGBoost, LightGBM, CatBoost, ONNX or treelite; a net as `emberline export` writes it; or tensors W1, b1, W2, b2, … of a dense net (W [inputs,
    /// outputs], y = x·W + b, ReLU between layers) in .safetensors or .npz; or for `identity`, JSON: {"tensors": [{"name": "x",
    /// "datatype": "FP32", "shape": [-1, 4]}]}
    file: PathBuf,
    /// What the file holds
    #[arg(long, default_value = "auto")]
    format: Format,
    /// Model name; a new version of it is made
    #[arg(long)]
    name: String,
    /// Name of a dense net's input [default: x]
    #[arg(long)]
    input: Option<String>,
    /// Name of a dense net's output [default: y]
    #[arg(long)]
    output: Option<String>,
    /// What a dense net of one output predicts: then labels can be joined to its predictions
    #[arg(long)]
    task: Option<DenseTask>,
    /// Who made it
    #[arg(long, env = "EMBERLINE_AUTHOR")]
    author: Option<String>,
    #[command(flatten)]
    stores: StoreSettings,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Formats of files that can be imported.
#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// Told by the file's content.
    Auto,
    /// XGBoost's JSON.
    XgboostJson,
    /// XGBoost's universal binary JSON.
    XgboostUbj,
    /// LightGBM's text.
    Lightgbm,
    /// CatBoost's JSON.
    Catboost,
    /// ONNX with tree ensembles.
    Onnx,
    /// treelite's checkpoint, which scikit-learn's forests become.
    Treelite,
    /// A dense net with ReLU between its layers.
    Mlp,
    /// A model that answers with its inputs, to test and measure the way of a request.
    Identity,
}

/// What scores alone can be judged by.
#[derive(Clone, Copy, ValueEnum)]
enum DenseTask {
    /// A number.
    Regression,
}

/// What reads a file.
enum Reader {
    Trees(Option<TreeFormat>),
    Mlp,
    Identity,
}

impl Format {
    fn reader(self, file: &Path) -> Result<Reader> {
        Ok(match self {
            Self::Auto => {
                let mut head = Vec::new();
                fs_err::File::open(file)?.take(9).read_to_end(&mut head)?;
                if begins_weights(&head) { Reader::Mlp } else { Reader::Trees(None) }
            }
            Self::XgboostJson => Reader::Trees(Some(TreeFormat::XgboostJson)),
            Self::XgboostUbj => Reader::Trees(Some(TreeFormat::XgboostUbj)),
            Self::Lightgbm => Reader::Trees(Some(TreeFormat::Lightgbm)),
            Self::Catboost => Reader::Trees(Some(TreeFormat::Catboost)),
            Self::Onnx => Reader::Trees(Some(TreeFormat::Onnx)),
            Self::Treelite => Reader::Trees(Some(TreeFormat::Treelite)),
            Self::Mlp => Reader::Mlp,
            Self::Identity => Reader::Identity,
        })
    }
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { file: _, format: _, name, input: _, output: _, task: _, author: _, stores, json } = arguments;
    check_name("model name", name)?;
    let scratch = tempfile::tempdir()?;
    let directory = scratch.path().join("artifact");
    let metadata = import(arguments, &directory)?;
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

/// Makes the artifact at `directory`; gives what is to be stored with the version.
fn import(arguments: &Arguments, directory: &Path) -> Result<VersionMetadata> {
    let Arguments { file, format, name: _, input, output, task, author, stores: _, json: _ } = arguments;
    let reader = format.reader(file)?;
    if !matches!(reader, Reader::Mlp) && (input.is_some() || output.is_some() || task.is_some()) {
        bail!("expected inputs, outputs and task to be told by {}, got --input, --output or --task", file.display());
    }
    match reader {
        Reader::Trees(format) => {
            let options = TreeImport { format, author: author.clone() };
            Ok(import_trees(file, directory, &options)?.metadata)
        }
        Reader::Mlp => {
            let name = |given: &Option<String>, default: &str| given.clone().unwrap_or_else(|| default.to_owned());
            let (input, output) = (name(input, "x"), name(output, "y"));
            let task = task.map(|DenseTask::Regression| Task::Regression);
            let options = ImportOptions { input, output, task, author: author.clone() };
            Ok(import_net(file, directory, &options)?.metadata)
        }
        Reader::Identity => Ok(import_identity(file, directory, author.clone())?),
    }
}
