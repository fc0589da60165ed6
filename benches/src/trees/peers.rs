//! The engines that people answer tree models with, in a process of their own: `benches/peers/trees.sh`.

use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::script::Script;

/// Names of the engines, as the script knows them: those that answer LightGBM's model, and XGBoost with its own.
pub(super) const ENGINES: [&str; 5] = ["lightgbm", "xgboost", "lleaves", "onnxruntime", "xgboost_trained"];
/// Those that answer LightGBM's model.
pub(super) const SAME_MODEL: [&str; 4] = ["lightgbm", "xgboost", "lleaves", "onnxruntime"];
/// Those that make something of it first, which takes long and is kept.
pub(super) const KEPT: [&str; 2] = ["lleaves", "onnxruntime"];

/// A model to be made, by LightGBM and by XGBoost, of one seeded function.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Shape {
    pub(super) name: String,
    pub(super) trees: usize,
    pub(super) leaves: usize,
    /// Levels allowed at most; -1 for no limit.
    pub(super) depth: i32,
    pub(super) features: usize,
    /// Rows that it is trained on.
    pub(super) rows: usize,
}

/// A call to be timed.
#[derive(Serialize)]
struct Call<'a> {
    time: &'a str,
    model: &'a str,
    batch: usize,
    threads: usize,
    seconds: f64,
}

#[derive(Serialize)]
struct Prepare<'a> {
    prepare: &'a str,
    model: &'a str,
}

#[derive(Deserialize)]
struct Prepared {
    seconds: f64,
}

#[derive(Serialize)]
struct Make<'a> {
    model: &'a Shape,
}

/// What a call took.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Timed {
    seconds: f64,
    /// The same for a model of one split and one row: what is the language's and not the engine's.
    overhead: f64,
}

/// Less than this share of the overhead cannot be told from it: overheads of microseconds vary by more from call to call.
const TOLD: f64 = 0.05;

impl Timed {
    /// Seconds that the engine itself took; none when the overhead hides them.
    pub(super) fn own(self) -> Option<f64> {
        let own = self.seconds - self.overhead;
        (own > TOLD * self.overhead).then_some(own)
    }
}

#[derive(Deserialize)]
struct Made {
    #[serde(rename = "model")]
    _model: String,
}

/// The running script.
pub(super) struct Peers(Script);

impl Peers {
    /// Starts it; it keeps its models in `folder`.
    pub(super) fn start(scripts: &Path, folder: &Path) -> Result<Self> {
        Script::start(&scripts.join("trees.sh"), folder).map(Self)
    }

    /// Makes a model, unless its files are there.
    pub(super) fn make(&mut self, shape: &Shape) -> Result<()> {
        self.0.ask::<Made>(&Make { model: shape }).map(|_made| ())
    }

    /// Makes what an engine makes of a model and keeps; gives its seconds.
    pub(super) fn prepare(&mut self, engine: &str, model: &str) -> Result<f64> {
        self.0.ask(&Prepare { prepare: engine, model }).map(|Prepared { seconds }| seconds)
    }

    /// Times an engine on calls of `batch` rows of a model's table, each of other ones where it has them.
    pub(super) fn time(
        &mut self,
        engine: &str,
        model: &str,
        batch: usize,
        threads: usize,
        seconds: f64,
    ) -> Result<Timed> {
        self.0.ask(&Call { time: engine, model, batch, threads, seconds })
    }
}
