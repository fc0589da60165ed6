//! The flags that say what net is trained and how: what is not given is by the net's own defaults.

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use contract::Device;
use models::neural::{
    EmbeddingSettings, NetName, NetSettings, Precision, Schedule,
    nets::{Body, Transformer},
};

/// Settings of the net and its optimiser.
#[derive(Args)]
pub(super) struct NetArguments {
    /// Units of the hidden layers [mlp: 128,128; mlp-plr, mlp-ple: 384,384; tabm: 512,512]
    #[arg(long, value_delimiter = ',', value_name = "UNITS,…")]
    hidden: Option<Vec<usize>>,
    /// Share of hidden units switched off in a training step [by the net: 0.1 or 0.15]
    #[arg(long, value_name = "SHARE")]
    dropout: Option<f64>,
    /// How numbers are embedded [mlp-plr: periodic; mlp-ple, tabm: piecewise-linear; others: none]
    #[arg(long)]
    embedding: Option<EmbeddingChoice>,
    /// Values that a number becomes [periodic: 24; piecewise-linear: 16]
    #[arg(long, value_name = "VALUES")]
    embedding_width: Option<usize>,
    /// Most bins of a number, with a piecewise-linear embedding [48]
    #[arg(long)]
    bins: Option<usize>,
    /// Frequencies of a number, with a periodic embedding [48]
    #[arg(long)]
    frequencies: Option<usize>,
    /// Standard deviation of the frequencies at the start [0.01]
    #[arg(long, value_name = "DEVIATION")]
    frequency_scale: Option<f32>,
    /// Perceptrons in the ensemble of a tabm [32]
    #[arg(long)]
    members: Option<usize>,
    /// Blocks of a resnet [2] or an ft-transformer [3]
    #[arg(long)]
    blocks: Option<usize>,
    /// Values between the blocks of a resnet or in a token of an ft-transformer [192]
    #[arg(long, value_name = "VALUES")]
    width: Option<usize>,
    /// Units inside a block of a resnet [384] or an ft-transformer [256]
    #[arg(long, value_name = "UNITS")]
    block_units: Option<usize>,
    /// Attention heads of an ft-transformer [8]
    #[arg(long)]
    heads: Option<usize>,
    /// Share of the attention switched off in a training step of an ft-transformer [0.2]
    #[arg(long, value_name = "SHARE")]
    attention_dropout: Option<f64>,
    /// Share of a block's result switched off in a training step [0]
    #[arg(long, value_name = "SHARE")]
    residual_dropout: Option<f64>,
    /// Step size of AdamW [0.001; tabm: 0.002; ft-transformer: 0.0001]
    #[arg(long, value_name = "RATE")]
    learning_rate: Option<f64>,
    /// How the step size moves over the run
    #[arg(long, default_value = "constant")]
    schedule: ScheduleChoice,
    /// Decoupled weight decay of AdamW [0.00001; tabm: 0.0003]
    #[arg(long, value_name = "RATE")]
    weight_decay: Option<f64>,
    /// Rows of a training step
    #[arg(long, default_value_t = 256, value_name = "ROWS")]
    batch_size: usize,
    /// Parts that a batch is computed in, one behind the other, for less memory
    #[arg(long, default_value_t = 1, value_name = "PARTS")]
    accumulation: usize,
    /// Most passes over the training rows
    #[arg(long, default_value_t = 200)]
    epochs: usize,
    /// Stop when the validation loss has not fallen for this many epochs
    #[arg(long, default_value_t = 16, value_name = "EPOCHS")]
    patience: usize,
    /// Longest gradient; a longer one is shortened to this
    #[arg(long, default_value_t = 1.0, value_name = "NORM")]
    gradient_clip: f64,
    /// Keep a moving average of the weights, of which each step keeps this share
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    average: f64,
    /// Share of each label that is spread over all classes, against wrong labels
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    label_smoothing: f64,
    /// Let all classes weigh the same
    #[arg(long)]
    balanced: bool,
    /// What matrices are multiplied in while training: f32, f16 or bf16, where the device has it; all else stays f32. By auto, half on a GPU that has it
    #[arg(long, default_value = "f32", value_parser = parse_precision)]
    precision: PrecisionChoice,
}

/// A precision, or none to choose it by the device.
#[derive(Clone, Copy)]
struct PrecisionChoice(Option<Precision>);

fn parse_precision(text: &str) -> Result<PrecisionChoice, String> {
    if text == "auto" {
        return Ok(PrecisionChoice(None));
    }
    text.parse().map(|precision| PrecisionChoice(Some(precision))).map_err(|_: String| {
        let known = Precision::ALL.map(Precision::as_str).join(", ");
        format!("expected one of auto, {known}, got '{text}'")
    })
}

#[derive(Clone, Copy, ValueEnum)]
enum EmbeddingChoice {
    /// Numbers stay numbers.
    None,
    /// Cosines and sines of trained frequencies.
    Periodic,
    /// How far a number has come through each of its bins.
    PiecewiseLinear,
}

#[derive(Clone, Copy, ValueEnum)]
enum ScheduleChoice {
    /// It stays.
    Constant,
    /// It rises over a twentieth of the most steps, then falls to zero as half a cosine.
    Cosine,
}

impl NetArguments {
    /// The settings of net `name`, to be trained on `device`, as the flags say.
    pub(super) fn settings(&self, name: NetName, device: &Device) -> Result<NetSettings> {
        let defaults = NetSettings::of(name);
        let mut given = Given { name, flags: Vec::new() };
        let body = self.body(defaults.body, &mut given);
        let embedding = self.embedding(defaults.embedding, &mut given);
        given.refuse_others(self)?;
        Ok(NetSettings {
            embedding,
            body,
            learning_rate: self.learning_rate.unwrap_or(defaults.learning_rate),
            schedule: match self.schedule {
                ScheduleChoice::Constant => Schedule::Constant,
                ScheduleChoice::Cosine => Schedule::Cosine,
            },
            weight_decay: self.weight_decay.unwrap_or(defaults.weight_decay),
            batch_size: self.batch_size,
            accumulation: self.accumulation,
            epochs: self.epochs,
            patience: self.patience,
            gradient_clip: self.gradient_clip,
            average: self.average,
            label_smoothing: self.label_smoothing,
            balanced: self.balanced,
            precision: match self.precision.0 {
                Some(precision) => precision,
                None => Precision::auto(device)?,
            },
        })
    }

    fn body(&self, body: Body, given: &mut Given) -> Body {
        match body {
            Body::Mlp { hidden, dropout } => {
                given.flags.extend(["hidden", "dropout", "embedding"]);
                Body::Mlp { hidden: self.hidden(hidden), dropout: self.dropout.unwrap_or(dropout) }
            }
            Body::Tabm { members, hidden, dropout } => {
                given.flags.extend(["hidden", "dropout", "embedding", "members"]);
                let members = self.members.unwrap_or(members);
                Body::Tabm { members, hidden: self.hidden(hidden), dropout: self.dropout.unwrap_or(dropout) }
            }
            Body::Resnet { blocks, width, hidden, dropout, residual_dropout } => {
                given.flags.extend(["dropout", "embedding", "blocks", "width", "block-units", "residual-dropout"]);
                Body::Resnet {
                    blocks: self.blocks.unwrap_or(blocks),
                    width: self.width.unwrap_or(width),
                    hidden: self.block_units.unwrap_or(hidden),
                    dropout: self.dropout.unwrap_or(dropout),
                    residual_dropout: self.residual_dropout.unwrap_or(residual_dropout),
                }
            }
            Body::FtTransformer(net) => {
                given.flags.extend(["dropout", "blocks", "width", "block-units", "heads"]);
                given.flags.extend(["attention-dropout", "residual-dropout"]);
                Body::FtTransformer(Transformer {
                    blocks: self.blocks.unwrap_or(net.blocks),
                    width: self.width.unwrap_or(net.width),
                    heads: self.heads.unwrap_or(net.heads),
                    hidden: self.block_units.unwrap_or(net.hidden),
                    attention_dropout: self.attention_dropout.unwrap_or(net.attention_dropout),
                    dropout: self.dropout.unwrap_or(net.dropout),
                    residual_dropout: self.residual_dropout.unwrap_or(net.residual_dropout),
                })
            }
        }
    }

    fn hidden(&self, default: Vec<usize>) -> Vec<usize> {
        self.hidden.clone().unwrap_or(default)
    }

    fn embedding(&self, default: EmbeddingSettings, given: &mut Given) -> EmbeddingSettings {
        let chosen = match self.embedding {
            None => default,
            Some(EmbeddingChoice::None) => EmbeddingSettings::None,
            Some(EmbeddingChoice::Periodic) => EmbeddingSettings::PERIODIC,
            Some(EmbeddingChoice::PiecewiseLinear) => EmbeddingSettings::PIECEWISE_LINEAR,
        };
        match chosen {
            EmbeddingSettings::None => chosen,
            EmbeddingSettings::Periodic { frequencies, width, scale, shared } => {
                given.flags.extend(["embedding-width", "frequencies", "frequency-scale"]);
                EmbeddingSettings::Periodic {
                    frequencies: self.frequencies.unwrap_or(frequencies),
                    width: self.embedding_width.unwrap_or(width),
                    scale: self.frequency_scale.unwrap_or(scale),
                    shared,
                }
            }
            EmbeddingSettings::PiecewiseLinear { bins, width } => {
                given.flags.extend(["embedding-width", "bins"]);
                EmbeddingSettings::PiecewiseLinear {
                    bins: self.bins.unwrap_or(bins),
                    width: self.embedding_width.unwrap_or(width),
                }
            }
        }
    }
}

/// The flags that a net takes.
struct Given {
    name: NetName,
    flags: Vec<&'static str>,
}

impl Given {
    /// A flag that says nothing about this net is a mistake of who wrote it.
    fn refuse_others(&self, arguments: &NetArguments) -> Result<()> {
        let NetArguments {
            hidden,
            dropout,
            embedding,
            embedding_width,
            bins,
            frequencies,
            frequency_scale,
            members,
            blocks,
            width,
            block_units,
            heads,
            attention_dropout,
            residual_dropout,
            ..
        } = arguments;
        let all = [
            ("hidden", hidden.is_some()),
            ("dropout", dropout.is_some()),
            ("embedding", embedding.is_some()),
            ("embedding-width", embedding_width.is_some()),
            ("bins", bins.is_some()),
            ("frequencies", frequencies.is_some()),
            ("frequency-scale", frequency_scale.is_some()),
            ("members", members.is_some()),
            ("blocks", blocks.is_some()),
            ("width", width.is_some()),
            ("block-units", block_units.is_some()),
            ("heads", heads.is_some()),
            ("attention-dropout", attention_dropout.is_some()),
            ("residual-dropout", residual_dropout.is_some()),
        ];
        match all.into_iter().find(|(flag, given)| *given && !self.flags.contains(flag)) {
            Some((flag, _)) => {
                bail!("--{flag} says nothing about this {}; expected only --{}", self.name, self.flags.join(", --"))
            }
            None => Ok(()),
        }
    }
}
