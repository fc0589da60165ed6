//! ONNX Runtime, in a process of its own: `benches/peers/nets.sh`.

use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::script::Script;

/// A net to be made, with parameters from a seed.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Shape {
    /// Values before the first layer and behind each.
    Mlp(Vec<usize>),
    /// An FT-Transformer of numbers.
    Transformer(Transformer),
}

/// Sizes of an FT-Transformer.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Transformer {
    pub(super) features: usize,
    /// Values of a token.
    pub(super) width: usize,
    pub(super) blocks: usize,
    pub(super) heads: usize,
    /// Values within a feed-forward, behind the gate.
    pub(super) hidden: usize,
    pub(super) outputs: usize,
}

#[derive(Serialize)]
struct Make<'a> {
    make: Named<'a>,
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
    #[serde(flatten)]
    shape: &'a Shape,
}

#[derive(Serialize)]
struct Call<'a> {
    time: &'a str,
    batch: usize,
    seconds: f64,
}

#[derive(Deserialize)]
struct Made {
    #[serde(rename = "made")]
    _made: String,
}

/// What a call took, the best way.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Timed {
    seconds: f64,
    /// The same for a net of one node and one row: what is the language's and not the net's.
    overhead: f64,
    /// Of the best of one and two.
    pub(super) threads: usize,
    /// Of the best form of those that the net can be written in.
    pub(super) form: String,
}

impl Timed {
    /// Seconds that the net itself took.
    pub(super) fn own(&self) -> f64 {
        (self.seconds - self.overhead).max(0.0)
    }
}

/// The running script.
pub(super) struct Peers(Script);

impl Peers {
    /// Starts it; it keeps its files in `folder`.
    pub(super) fn start(scripts: &Path, folder: &Path) -> Result<Self> {
        Script::start(&scripts.join("nets.sh"), folder).map(Self)
    }

    /// Makes a net.
    pub(super) fn make(&mut self, name: &str, shape: &Shape) -> Result<()> {
        self.0.ask::<Made>(&Make { make: Named { name, shape } }).map(|_made| ())
    }

    /// Times ONNX Runtime on the first `batch` rows of a net.
    pub(super) fn time(&mut self, name: &str, batch: usize, seconds: f64) -> Result<Timed> {
        self.0.ask(&Call { time: name, batch, seconds })
    }
}
