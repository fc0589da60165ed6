//! What a person sets about a net and its training, with defaults that suit tables of a thousand to a million rows.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::nets::{Body, Embedding, NetShape, Segment, Transformer, quantile_edges};
use super::precision::Precision;
use crate::{Error, Result, table::NumericEncoding};

/// The nets that can be trained, by the names that they go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NetName {
    /// A multi-layer perceptron.
    Mlp,
    /// Residual blocks with batch norm.
    Resnet,
    /// A perceptron over periodic embeddings of the numbers.
    MlpPlr,
    /// A perceptron over piecewise-linear embeddings of the numbers.
    MlpPle,
    /// An ensemble of perceptrons that share most of their weights.
    Tabm,
    /// Attention between columns.
    FtTransformer,
}

impl NetName {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Mlp, Self::Resnet, Self::MlpPlr, Self::MlpPle, Self::Tabm, Self::FtTransformer];

    /// The name, such as `mlp-ple`; also the kind of a saved net.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mlp => "mlp",
            Self::Resnet => "resnet",
            Self::MlpPlr => "mlp-plr",
            Self::MlpPle => "mlp-ple",
            Self::Tabm => "tabm",
            Self::FtTransformer => "ft-transformer",
        }
    }

    /// How it takes numbers unless told otherwise. All but the plain perceptron do as the papers' code does: numbers of any
    /// distribution become normal ones.
    #[must_use]
    pub const fn numeric_encoding(self) -> NumericEncoding {
        match self {
            Self::Mlp => NumericEncoding::Standardise,
            Self::Resnet | Self::MlpPlr | Self::MlpPle | Self::Tabm | Self::FtTransformer => {
                NumericEncoding::NoisyQuantileNormal
            }
        }
    }

    /// The name of a net with this body behind these embeddings.
    pub(crate) const fn of(body: &Body, embedding: &Embedding) -> Self {
        match (body, embedding) {
            (Body::Mlp { .. }, Embedding::None) => Self::Mlp,
            (Body::Mlp { .. }, Embedding::Periodic { .. }) => Self::MlpPlr,
            (Body::Mlp { .. }, Embedding::PiecewiseLinear { .. }) => Self::MlpPle,
            (Body::Tabm { .. }, _) => Self::Tabm,
            (Body::Resnet { .. }, _) => Self::Resnet,
            (Body::FtTransformer(_), _) => Self::FtTransformer,
        }
    }
}

impl fmt::Display for NetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for NetName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|name| name.as_str() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            format!("expected one of {known}, got '{text}'")
        })
    }
}

/// How the numbers of a row are embedded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum EmbeddingSettings {
    /// Not at all.
    #[default]
    None,
    /// See [`Embedding::Periodic`].
    Periodic {
        /// Frequencies a number.
        frequencies: usize,
        /// Values a number becomes.
        width: usize,
        /// Standard deviation of the frequencies at the start.
        scale: f32,
        /// Whether all numbers share one Linear.
        shared: bool,
    },
    /// See [`Embedding::PiecewiseLinear`].
    PiecewiseLinear {
        /// Most bins a number; their edges are quantiles of the training rows.
        bins: usize,
        /// Values a number becomes.
        width: usize,
    },
}

impl EmbeddingSettings {
    /// Periodic ones, with the defaults of `rtdl_num_embeddings`.
    pub const PERIODIC: Self = Self::Periodic { frequencies: 48, width: 24, scale: 0.01, shared: false };
    /// Piecewise-linear ones.
    pub const PIECEWISE_LINEAR: Self = Self::PiecewiseLinear { bins: 48, width: 16 };
}

/// How the step size moves over a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// It stays.
    #[default]
    Constant,
    /// It rises over the first twentieth of the most steps, then falls to zero as half a cosine.
    Cosine,
}

impl Schedule {
    /// What the step size is multiplied by at step `step` (from 0) of `steps`.
    pub(crate) fn factor(self, step: usize, steps: usize) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Cosine => {
                let (step, steps) = (step as f64, steps.max(1) as f64);
                let rise = steps / 20.0;
                if step < rise {
                    (step + 1.0) / (rise + 1.0)
                } else {
                    let along = ((step - rise) / (steps - rise)).min(1.0);
                    f64::midpoint(1.0, (std::f64::consts::PI * along).cos())
                }
            }
        }
    }
}

/// What a net is made of and how it is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetSettings {
    /// What numbers become.
    pub embedding: EmbeddingSettings,
    /// The net behind them.
    pub body: Body,
    /// Step size of `AdamW`.
    pub learning_rate: f64,
    /// How it moves.
    pub schedule: Schedule,
    /// Decoupled weight decay of `AdamW`; biases, norms and what embeddings start with are left out of it.
    pub weight_decay: f64,
    /// Rows per training step. Batches are made equal: an epoch of `n` rows has ⌈n / batch size⌉ steps of ⌊n / steps⌋ rows,
    /// so it leaves out fewer rows than it has steps, others each time.
    pub batch_size: usize,
    /// Parts that a batch is computed in, one behind the other: memory for as many times the rows.
    pub accumulation: usize,
    /// Largest number of passes over the training rows.
    pub epochs: usize,
    /// Training stops when the validation loss has not fallen for this many epochs.
    pub patience: usize,
    /// The gradient of all parameters together is shortened to this length when it is longer.
    pub gradient_clip: f64,
    /// The parameters that are judged and kept are a moving average, which keeps this part at each step; 0 for none.
    pub average: f64,
    /// Part of each label that is spread over all classes, against labels that are wrong.
    pub label_smoothing: f64,
    /// Whether rows weigh so that all classes weigh the same.
    pub balanced: bool,
    /// What matrices are multiplied in while training.
    #[serde(default)]
    pub precision: Precision,
}

impl Default for NetSettings {
    fn default() -> Self {
        Self::of(NetName::Mlp)
    }
}

/// Limits that keep a typing mistake from asking for more memory than there is.
const MOST_LAYERS: usize = 32;
const MOST_UNITS: usize = 65_536;
const MOST_MEMBERS: usize = 1024;

impl NetSettings {
    /// The defaults of a net: where its paper's package has some, those.
    #[must_use]
    pub fn of(name: NetName) -> Self {
        let (embedding, body, learning_rate, weight_decay) = match name {
            NetName::Mlp => (EmbeddingSettings::None, Body::Mlp { hidden: vec![128, 128], dropout: 0.1 }, 1e-3, 1e-5),
            NetName::MlpPlr => {
                (EmbeddingSettings::PERIODIC, Body::Mlp { hidden: vec![384, 384], dropout: 0.15 }, 1e-3, 1e-5)
            }
            NetName::MlpPle => {
                (EmbeddingSettings::PIECEWISE_LINEAR, Body::Mlp { hidden: vec![384, 384], dropout: 0.15 }, 1e-3, 1e-5)
            }
            NetName::Tabm => {
                let body = Body::Tabm { members: 32, hidden: vec![512, 512], dropout: 0.1 };
                (EmbeddingSettings::PIECEWISE_LINEAR, body, 2e-3, 3e-4)
            }
            NetName::Resnet => {
                let body = Body::Resnet { blocks: 2, width: 192, hidden: 384, dropout: 0.15, residual_dropout: 0.0 };
                (EmbeddingSettings::None, body, 1e-3, 1e-5)
            }
            NetName::FtTransformer => {
                let body = Body::FtTransformer(Transformer {
                    blocks: 3,
                    width: 192,
                    heads: 8,
                    hidden: 256,
                    attention_dropout: 0.2,
                    dropout: 0.1,
                    residual_dropout: 0.0,
                });
                (EmbeddingSettings::None, body, 1e-4, 1e-5)
            }
        };
        Self {
            embedding,
            body,
            learning_rate,
            schedule: Schedule::Constant,
            weight_decay,
            batch_size: 256,
            accumulation: 1,
            epochs: 200,
            patience: 16,
            gradient_clip: 1.0,
            average: 0.0,
            label_smoothing: 0.0,
            balanced: false,
            precision: Precision::F32,
        }
    }

    /// A perceptron without embeddings, everything else as by default.
    #[must_use]
    pub fn mlp(hidden: Vec<usize>, dropout: f64) -> Self {
        Self { body: Body::Mlp { hidden, dropout }, ..Self::default() }
    }

    /// What the net is called.
    #[must_use]
    pub const fn name(&self) -> NetName {
        match (&self.body, &self.embedding) {
            (Body::Mlp { .. }, EmbeddingSettings::None) => NetName::Mlp,
            (Body::Mlp { .. }, EmbeddingSettings::Periodic { .. }) => NetName::MlpPlr,
            (Body::Mlp { .. }, EmbeddingSettings::PiecewiseLinear { .. }) => NetName::MlpPle,
            (Body::Tabm { .. }, _) => NetName::Tabm,
            (Body::Resnet { .. }, _) => NetName::Resnet,
            (Body::FtTransformer(_), _) => NetName::FtTransformer,
        }
    }

    /// The net for rows of `segments`, of which `training` are the encoded training rows, with `outputs` scores.
    pub(crate) fn shape(&self, segments: Vec<Segment>, inputs: usize, training: &[f32], outputs: usize) -> NetShape {
        let mut shape = NetShape { inputs, segments, embedding: Embedding::None, body: self.body.clone(), outputs };
        shape.embedding = match &self.embedding {
            EmbeddingSettings::None => Embedding::None,
            EmbeddingSettings::Periodic { frequencies, width, scale, shared } => {
                Embedding::Periodic { frequencies: *frequencies, width: *width, scale: *scale, shared: *shared }
            }
            EmbeddingSettings::PiecewiseLinear { bins, width } => {
                let column = |place: usize| training.iter().skip(place).step_by(inputs.max(1)).copied().collect();
                let edges = quantile_edges(shape.numbers().into_iter().map(column), *bins);
                Embedding::PiecewiseLinear { edges, width: *width }
            }
        };
        shape
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// [`Error::Setting`] that names the first one out of its range.
    pub fn validate(&self) -> Result<()> {
        check_body(&self.body)?;
        match &self.embedding {
            EmbeddingSettings::None => {}
            EmbeddingSettings::Periodic { frequencies, width, scale, shared: _ } => {
                sizes("frequencies and values of an embedding", &[*frequencies, *width], MOST_UNITS)?;
                above_zero("frequency scale", f64::from(*scale))?;
            }
            EmbeddingSettings::PiecewiseLinear { bins, width } => {
                sizes("bins and values of an embedding", &[*bins, *width], MOST_UNITS)?;
            }
        }
        if matches!(self.body, Body::FtTransformer(_)) && self.embedding != EmbeddingSettings::None {
            return refuse("expected no embedding before an ft-transformer, which has its own".to_owned());
        }
        above_zero("learning rate", self.learning_rate)?;
        above_zero("gradient clip", self.gradient_clip)?;
        share("average", self.average)?;
        share("label smoothing", self.label_smoothing)?;
        if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) {
            return refuse(format!("expected a weight decay of 0 or more, got {}", self.weight_decay));
        }
        for (what, number) in [
            ("a batch size of 1", self.batch_size),
            ("1 epoch", self.epochs),
            ("a patience of 1 epoch", self.patience),
            ("an accumulation of 1 part", self.accumulation),
        ] {
            if number == 0 {
                return refuse(format!("expected {what} or more, got 0"));
            }
        }
        Ok(())
    }

    /// The settings by name, as they are stored with a version: those of body and embedding beside the others.
    #[must_use]
    pub fn by_name(&self) -> BTreeMap<String, serde_json::Value> {
        let mut settings = BTreeMap::new();
        let mut take = |value: serde_json::Result<serde_json::Value>, prefix: &str| {
            if let Ok(serde_json::Value::Object(fields)) = value {
                for (name, value) in fields.into_iter().filter(|(name, _)| name != "kind") {
                    settings.insert(format!("{prefix}{name}"), value);
                }
            }
        };
        take(serde_json::to_value(&self.body), "");
        take(serde_json::to_value(&self.embedding), "embedding_");
        take(serde_json::to_value(self), "");
        settings.remove("body");
        settings.remove("embedding");
        settings.insert("model".to_owned(), self.name().as_str().into());
        settings
    }
}

fn refuse<T>(message: String) -> Result<T> {
    Err(Error::Setting(message))
}

fn above_zero(what: &str, value: f64) -> Result<()> {
    if value > 0.0 && !value.is_nan() && (value.is_finite() || what == "gradient clip") {
        Ok(())
    } else {
        refuse(format!("expected a {what} above 0, got {value}"))
    }
}

fn share(what: &str, value: f64) -> Result<()> {
    if (0.0..1.0).contains(&value) { Ok(()) } else { refuse(format!("expected a {what} in [0, 1), got {value}")) }
}

fn sizes(what: &str, sizes: &[usize], most: usize) -> Result<()> {
    if sizes.iter().all(|size| (1..=most).contains(size)) {
        Ok(())
    } else {
        refuse(format!("expected {what} from 1 to {most}, got {sizes:?}"))
    }
}

fn check_body(body: &Body) -> Result<()> {
    let hidden_layers = |hidden: &[usize]| {
        if hidden.len() > MOST_LAYERS {
            return refuse(format!("expected at most {MOST_LAYERS} hidden layers, got {}", hidden.len()));
        }
        sizes("units of hidden layers", hidden, MOST_UNITS)
    };
    match body {
        Body::Mlp { hidden, dropout } => {
            hidden_layers(hidden)?;
            share("dropout", *dropout)
        }
        Body::Tabm { members, hidden, dropout } => {
            hidden_layers(hidden)?;
            if hidden.is_empty() {
                return refuse("expected at least one hidden layer of a tabm, got none".to_owned());
            }
            sizes("members", &[*members], MOST_MEMBERS)?;
            share("dropout", *dropout)
        }
        Body::Resnet { blocks, width, hidden, dropout, residual_dropout } => {
            sizes("blocks", &[*blocks], MOST_LAYERS)?;
            sizes("units of a block", &[*width, *hidden], MOST_UNITS)?;
            share("dropout", *dropout)?;
            share("residual dropout", *residual_dropout)
        }
        Body::FtTransformer(Transformer {
            blocks,
            width,
            heads,
            hidden,
            attention_dropout,
            dropout,
            residual_dropout,
        }) => {
            sizes("blocks", &[*blocks], MOST_LAYERS)?;
            sizes("units of a block", &[*width, *hidden], MOST_UNITS)?;
            if *heads == 0 || !width.is_multiple_of(*heads) {
                return refuse(format!("expected heads that divide the {width} values of a token, got {heads}"));
            }
            share("attention dropout", *attention_dropout)?;
            share("dropout", *dropout)?;
            share("residual dropout", *residual_dropout)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_setting_that_is_out_of_range() {
        for name in NetName::ALL {
            let settings = NetSettings::of(name);
            assert!(settings.validate().is_ok());
            assert_eq!((settings.name(), name.to_string().parse()), (name, Ok(name)));
        }
        assert!(NetSettings::mlp(vec![], 0.1).validate().is_ok());
        let base = NetSettings::default;
        let heads = |heads| match NetSettings::of(NetName::FtTransformer) {
            NetSettings { body: Body::FtTransformer(transformer), .. } => {
                NetSettings { body: Body::FtTransformer(Transformer { heads, ..transformer }), ..base() }
            }
            other => other,
        };
        for (settings, word) in [
            (NetSettings::mlp(vec![0], 0.1), "hidden"),
            (NetSettings::mlp(vec![1_000_000], 0.1), "hidden"),
            (NetSettings::mlp(vec![1], 1.0), "dropout"),
            (NetSettings::mlp(vec![1], f64::NAN), "dropout"),
            (heads(7), "heads"),
            (NetSettings { embedding: EmbeddingSettings::PERIODIC, ..heads(8) }, "embedding"),
            (NetSettings { learning_rate: 0.0, ..base() }, "learning rate"),
            (NetSettings { weight_decay: -1.0, ..base() }, "weight decay"),
            (NetSettings { batch_size: 0, ..base() }, "batch size"),
            (NetSettings { accumulation: 0, ..base() }, "accumulation"),
            (NetSettings { epochs: 0, ..base() }, "epoch"),
            (NetSettings { patience: 0, ..base() }, "patience"),
            (NetSettings { gradient_clip: 0.0, ..base() }, "gradient clip"),
            (NetSettings { average: 1.0, ..base() }, "average"),
            (NetSettings { label_smoothing: -0.1, ..base() }, "label smoothing"),
        ] {
            let error = settings.validate().unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn settings_are_stored_by_name() {
        let stored = NetSettings::default().by_name();
        assert_eq!((&stored["hidden"], &stored["model"]), (&serde_json::json!([128, 128]), &"mlp".into()));
        let stored = NetSettings::of(NetName::Tabm).by_name();
        assert_eq!((&stored["members"], &stored["embedding_bins"]), (&32.into(), &48.into()));
        assert!(!stored.contains_key("body") && !stored.contains_key("kind"));
    }

    #[test]
    fn a_cosine_rises_and_falls() {
        let factors: Vec<f64> = (0..1000).map(|step| Schedule::Cosine.factor(step, 1000)).collect();
        assert!(factors[0] < 0.03 && factors[50] > 0.99 && factors[999] < 1e-4);
        assert!(factors[50..].windows(2).all(|pair| pair[0] > pair[1]));
    }
}
