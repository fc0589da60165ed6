//! The nets that tables are learned with: what they are made of ([`NetShape`]), their parameters as one flat vector, and their
//! forward pass on a device. Nothing here knows losses, tables or training.
//!
//! A row of encoded numbers is made of [`Segment`]s. Its plain numbers may be embedded ([`Embedding`]); the vectors, one number
//! behind the other, and then everything else that the row has, go into the body ([`Body`]). An ensemble gives scores for each
//! of its members, which [`NetShape::averaged`] makes one.

mod body;
mod embed;
mod layout;
mod leaves;
#[cfg(test)]
pub(super) mod tests;
mod transformer;

use std::sync::Arc;

pub use body::Body;
pub(crate) use body::EPSILON as NORM_EPSILON;
use burn::tensor::{
    Device, FloatDType, Gradients, Int, Tensor, TensorData,
    activation::{log_sigmoid, log_softmax},
};
pub use embed::Embedding;
use embed::Encoding;
pub(crate) use embed::quantile_edges;
use layout::Init;
pub(crate) use layout::{Layout, Parameter, Role};
use leaves::Leaves;
use serde::{Deserialize, Serialize};
pub use transformer::Transformer;

use super::{mlp::MlpShape, precision::Precision, sampler::Noise};
pub use crate::table::Segment;

/// What a net is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetShape {
    /// Values per row.
    pub inputs: usize,
    /// The parts of a row, in order, without gaps.
    pub segments: Vec<Segment>,
    /// What its numbers become.
    pub embedding: Embedding,
    /// The net behind them.
    pub body: Body,
    /// Scores per row.
    pub outputs: usize,
}

/// What scores are averaged as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Average {
    /// Numbers.
    Scores,
    /// Logarithms of rates, as the rates.
    Rates,
    /// Margins, as the probabilities that they stand for.
    Margins,
    /// Log-probabilities but for a constant a row.
    Classes,
}

impl NetShape {
    /// A perceptron over plain values.
    pub(crate) fn mlp(shape: &MlpShape) -> Self {
        let MlpShape { inputs, hidden, outputs } = shape.clone();
        let body = Body::Mlp { hidden, dropout: 0.0 };
        Self { inputs, segments: vec![Segment::Other(0..inputs)], embedding: Embedding::None, body, outputs }
    }

    /// The sizes of a perceptron without embeddings; none of another net.
    pub(crate) fn as_mlp(&self) -> Option<MlpShape> {
        match (&self.embedding, &self.body) {
            (Embedding::None, Body::Mlp { hidden, dropout: _ }) => {
                Some(MlpShape { inputs: self.inputs, hidden: hidden.clone(), outputs: self.outputs })
            }
            _ => None,
        }
    }

    /// What is wrong with the sizes, as what was expected and what came.
    pub(crate) fn check(&self) -> Result<(), (String, String)> {
        let Self { inputs, segments, embedding, body, outputs } = self;
        let mut end = 0;
        for segment in segments {
            let places = match segment {
                Segment::Number(place) => *place..place.saturating_add(1),
                Segment::Other(places) => places.clone(),
            };
            if places.start != end || places.end <= places.start {
                return Err((format!("a part of the row from place {end}"), format!("{segment:?}")));
            }
            end = places.end;
        }
        if end != *inputs || end == 0 {
            return Err((format!("parts of a row of {inputs} values"), format!("of {end}")));
        }
        if *outputs == 0 {
            return Err(("at least one score a row".to_owned(), "none".to_owned()));
        }
        embedding.check(self.numbers().len())?;
        let positive = |sizes: &[usize]| sizes.iter().all(|size| *size > 0);
        let (good, what) = match body {
            Body::Mlp { hidden, dropout: _ } => (positive(hidden), "layers of one unit or more"),
            Body::Tabm { members, hidden, dropout: _ } => {
                let fits = *members > 0 && !hidden.is_empty() && positive(hidden);
                (fits, "one member or more, and a layer or more of one unit or more")
            }
            Body::Resnet { blocks: _, width, hidden, .. } => {
                (positive(&[*width, *hidden]), "blocks of one unit or more")
            }
            Body::FtTransformer(Transformer { blocks, width, heads, hidden, .. }) => {
                let fits = positive(&[*blocks, *width, *heads, *hidden]) && width.is_multiple_of(*heads);
                (
                    fits && *embedding == Embedding::None,
                    "a width of so many heads, one block or more, and no embedding before",
                )
            }
        };
        if good { Ok(()) } else { Err((what.to_owned(), format!("{body:?}"))) }
    }

    /// Places of the numbers.
    pub(crate) fn numbers(&self) -> Vec<usize> {
        let number = |segment: &Segment| match segment {
            Segment::Number(place) => Some(*place),
            Segment::Other(_) => None,
        };
        self.segments.iter().filter_map(number).collect()
    }

    /// Values of each part that is no number.
    pub(crate) fn others(&self) -> impl Iterator<Item = usize> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Number(_) => None,
            Segment::Other(places) => Some(places.len()),
        })
    }

    /// Values that the body takes, but for a transformer, which takes the row itself.
    pub(crate) fn inputs_of_body(&self) -> usize {
        match self.embedding {
            Embedding::None => self.inputs,
            _ => self.numbers().len() * self.embedding.width() + self.rest().len(),
        }
    }

    /// Places of everything else.
    pub(crate) fn rest(&self) -> Vec<usize> {
        let rest = |segment: &Segment| match segment {
            Segment::Number(_) => 0..0,
            Segment::Other(places) => places.clone(),
        };
        self.segments.iter().flat_map(rest).collect()
    }

    /// The parameters.
    pub(crate) fn layout(&self) -> Layout {
        let mut layout = Layout::default();
        let numbers = self.numbers().len();
        if numbers > 0 {
            self.embedding.lay(numbers, &mut layout);
        }
        if let Body::FtTransformer(transformer) = &self.body {
            transformer.lay(&self.segments, self.outputs, &mut layout);
            return layout;
        }
        // Values of one column start to differ between members together.
        let width = self.embedding.width();
        let embedded = self.embedding != Embedding::None;
        let others = |segment: &Segment| match segment {
            Segment::Number(_) => (!embedded).then_some(1),
            Segment::Other(places) => Some(places.len()),
        };
        let vectors = if embedded { numbers } else { 0 };
        let mut sections = vec![width; vectors];
        sections.extend(self.segments.iter().filter_map(others));
        let inputs = sections.iter().sum();
        let random = if embedded { Init::Gains(sections) } else { Init::Signs(sections) };
        self.body.lay(inputs, self.outputs, random, &mut layout);
        layout
    }

    /// Values that one row holds between input and scores.
    pub(crate) fn activations(&self) -> usize {
        let body = match &self.body {
            Body::FtTransformer(_) => self.body.activations() * (self.segments.len() + 1),
            Body::Mlp { .. } | Body::Tabm { .. } | Body::Resnet { .. } => self.body.activations(),
        };
        self.inputs + self.numbers().len() * self.embedding.width() + body + self.body.members() * self.outputs
    }

    /// One score `[rows, outputs]` of the scores of all members `[rows, members, outputs]`: what they stand for is averaged.
    pub(crate) fn averaged(scores: Tensor<3>, average: Average) -> Tensor<2> {
        let [rows, members, outputs] = scores.dims();
        if members == 1 {
            return scores.reshape([rows, outputs]);
        }
        // The logarithm of the mean of what the exponents stand for, without the members' number.
        let summed = |logs: Tensor<3>| {
            let greatest = logs.clone().max_dim(1);
            (logs.sub(greatest.clone()).exp().sum_dim(1).log() + greatest).reshape([rows, outputs])
        };
        match average {
            Average::Scores => scores.mean_dim(1).reshape([rows, outputs]),
            Average::Rates => summed(scores).sub_scalar((members as f64).ln()),
            Average::Margins => summed(log_sigmoid(scores.clone())) - summed(log_sigmoid(scores.neg())),
            Average::Classes => summed(log_softmax(scores, 2)).sub_scalar((members as f64).ln()),
        }
    }
}

/// How a forward pass is meant.
pub(crate) enum Mode<'a> {
    /// To answer: no dropout, kept statistics.
    Serve,
    /// To learn, with this noise.
    Train(&'a mut Noise),
}

impl Mode<'_> {
    /// Switches off a part of the values and scales up the others, in training.
    fn dropout<const D: usize>(&mut self, x: Tensor<D>, part: f64) -> Tensor<D> {
        match self {
            Self::Train(noise) if part > 0.0 => {
                let mask = noise.mask(x.dims(), part);
                x.mul(mask)
            }
            Self::Train(_) | Self::Serve => x,
        }
    }
}

/// A net made ready on a device: all that its forward pass needs beside parameters.
#[derive(Debug)]
pub(crate) struct Plan {
    shape: NetShape,
    layout: Layout,
    encoding: Option<Encoding>,
    numbers: Option<Tensor<1, Int>>,
    rest: Option<Tensor<1, Int>>,
    /// What matrices are multiplied in while training, when it is not F32.
    half: Option<FloatDType>,
}

impl Plan {
    pub(crate) fn new(shape: NetShape, device: &Device) -> Self {
        let places = |places: Vec<usize>| {
            let places: Vec<i32> = places.into_iter().map(|place| i32::try_from(place).unwrap_or(i32::MAX)).collect();
            let count = places.len();
            (count > 0).then(|| Tensor::from_data(TensorData::new(places, [count]), device))
        };
        Self {
            layout: shape.layout(),
            encoding: shape.embedding.constants(device),
            numbers: places(shape.numbers()),
            rest: places(shape.rest()),
            half: None,
            shape,
        }
    }

    /// The same with products in `precision` while training.
    pub(crate) fn in_precision(self, precision: Precision) -> Self {
        Self { half: precision.half(), ..self }
    }

    pub(crate) const fn layout(&self) -> &Layout {
        &self.layout
    }
}

/// A net on a device.
#[derive(Clone, Debug)]
pub(crate) struct Net {
    plan: Arc<Plan>,
    leaves: Leaves,
}

/// What a forward pass gives.
pub(crate) struct Passed {
    /// `[rows, members, outputs]`.
    pub(crate) scores: Tensor<3>,
    /// In training, what the statistics become, in the layout's order.
    pub(crate) statistics: Vec<Tensor<1>>,
}

impl Net {
    /// The net whose parameters are the flat vector `parameters`.
    pub(crate) fn new(plan: &Arc<Plan>, parameters: &Tensor<1>) -> Self {
        Self { leaves: Leaves::new(&plan.layout, parameters), plan: Arc::clone(plan) }
    }

    /// The same net as leaves of an autodiff graph.
    pub(crate) fn tracked(self) -> Self {
        let leaves = self.leaves.tracked(&self.plan.layout);
        Self { leaves, ..self }
    }

    /// Scores of encoded rows, `[rows, inputs]`.
    pub(crate) fn forward(&self, rows: Tensor<2>, mut mode: Mode<'_>) -> Passed {
        let Plan { shape, layout, encoding, numbers, rest, half } = &*self.plan;
        let half = match mode {
            Mode::Serve => None,
            Mode::Train(_) => *half,
        };
        let mut leaves = self.leaves.cursor(layout, half);
        let count = rows.dims()[0];
        let some = |places: &Option<Tensor<1, Int>>| places.clone().map(|places| rows.clone().select(1, places));
        let scores = match (&shape.body, &shape.embedding) {
            (Body::FtTransformer(transformer), _) => {
                transformer.forward(&rows, &shape.segments, some(numbers), &mut leaves, &mut mode)
            }
            (body, Embedding::None) => body.forward(rows, &mut leaves, &mut mode),
            (body, embedding) => {
                let vectors = some(numbers).map(|numbers| {
                    let vectors = embedding.forward(numbers, encoding.as_ref(), &mut leaves);
                    let [_, numbers, width] = vectors.dims();
                    vectors.reshape([count, numbers * width])
                });
                let parts: Vec<Tensor<2>> = vectors.into_iter().chain(some(rest)).collect();
                body.forward(Tensor::cat(parts, 1), &mut leaves, &mut mode)
            }
        };
        debug_assert_eq!(leaves.left(), 0, "parameters that the forward pass did not take");
        Passed { scores, statistics: leaves.statistics }
    }

    /// The gradient of all parameters as one flat vector.
    pub(crate) fn gradient(&self, gradients: &mut Gradients) -> Tensor<1> {
        self.leaves.gradient(&self.plan.layout, gradients)
    }
}

/// A vector of values on `device`.
#[must_use]
pub(crate) fn vector(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), device)
}

/// A row-major matrix of `width` columns on `device`.
#[must_use]
pub(crate) fn matrix(values: Vec<f32>, width: usize, device: &Device) -> Tensor<2> {
    let rows = values.len() / width.max(1);
    Tensor::from_data(TensorData::new(values, [rows, width]), device)
}
