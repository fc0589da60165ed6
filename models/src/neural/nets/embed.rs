//! Embeddings of numbers (Gorishniy et al., "On Embeddings for Numerical Features in Tabular Deep Learning", 2022), as the
//! package `rtdl_num_embeddings` computes them.

use burn::tensor::{Device, Tensor, TensorData, activation::relu};
use serde::{Deserialize, Serialize};

use super::{
    layout::{Init, Layout, Role},
    leaves::Cursor,
};

/// How each number of a row becomes a vector.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", deny_unknown_fields)]
pub enum Embedding {
    /// It stays a number.
    #[default]
    None,
    /// `ReLU(Linear([cos(2π c x), sin(2π c x)]))` with trained frequencies `c`.
    Periodic {
        /// Frequencies a number.
        frequencies: usize,
        /// Values a vector.
        width: usize,
        /// Standard deviation of the frequencies at the start.
        scale: f32,
        /// Whether all numbers share one Linear ("lite").
        shared: bool,
    },
    /// `w x + b + Linear(e(x))`, where component `i` of `e` is how far x has come from edge `i` to edge `i + 1`: within 0 and 1, but
    /// for the first one, which goes on below, and the last one, which goes on above. The Linear starts at zero.
    PiecewiseLinear {
        /// Ascending edges of the bins, by number; at least two each.
        edges: Vec<Vec<f32>>,
        /// Values a vector.
        width: usize,
    },
}

impl Embedding {
    /// Values that a number becomes.
    pub(crate) const fn width(&self) -> usize {
        match self {
            Self::None => 1,
            Self::Periodic { frequencies: _, width, scale: _, shared: _ }
            | Self::PiecewiseLinear { edges: _, width } => *width,
        }
    }

    /// What is wrong with it for rows of `numbers` numbers, as what was expected and what came.
    pub(crate) fn check(&self, numbers: usize) -> Result<(), (String, String)> {
        match self {
            Self::None => Ok(()),
            Self::Periodic { frequencies, width, scale, shared: _ } => {
                let good = *frequencies > 0 && *width > 0 && scale.is_finite() && *scale > 0.0;
                let got = || format!("{frequencies} frequencies, {width} values and a scale of {scale}");
                if good { Ok(()) } else { Err(("frequencies, values and a scale above 0".to_owned(), got())) }
            }
            Self::PiecewiseLinear { edges, width } => {
                if edges.len() != numbers || *width == 0 {
                    let got = format!("{} and {width} values", edges.len());
                    return Err((format!("edges for {numbers} numbers and at least one value"), got));
                }
                let ascending = |edges: &Vec<f32>| {
                    edges.len() >= 2
                        && edges.iter().all(|x| x.is_finite())
                        && edges.windows(2).all(|pair| pair[0] < pair[1])
                };
                match edges.iter().position(|edges| !ascending(edges)) {
                    Some(number) => {
                        Err(("two or more ascending edges".to_owned(), format!("others for number {number}")))
                    }
                    None => Ok(()),
                }
            }
        }
    }

    /// Components of the longest encoding.
    fn bins(edges: &[Vec<f32>]) -> usize {
        edges.iter().map(|edges| edges.len() - 1).max().unwrap_or(0)
    }

    pub(crate) fn lay(&self, numbers: usize, layout: &mut Layout) {
        match self {
            Self::None => {}
            Self::Periodic { frequencies, width, scale, shared } => {
                let inputs = 2 * frequencies;
                layout.add("embedding.frequencies", &[numbers, *frequencies], Role::Exempt, Init::Normal(*scale));
                if *shared {
                    layout.linear("embedding", inputs, *width);
                } else {
                    layout.add("embedding.weight", &[numbers, inputs, *width], Role::Weight, Init::linear(inputs));
                    layout.add("embedding.bias", &[numbers, *width], Role::Exempt, Init::linear(inputs));
                }
            }
            Self::PiecewiseLinear { edges, width } => {
                let shape = [numbers, *width];
                layout.add("embedding.linear.weight", &shape, Role::Exempt, Init::linear(*width));
                layout.add("embedding.linear.bias", &shape, Role::Exempt, Init::linear(*width));
                layout.add("embedding.weight", &[numbers, Self::bins(edges), *width], Role::Weight, Init::Zeros);
            }
        }
    }

    /// What the forward pass needs beside parameters.
    pub(crate) fn constants(&self, device: &Device) -> Option<Encoding> {
        match self {
            Self::None | Self::Periodic { frequencies: _, width: _, scale: _, shared: _ } => None,
            Self::PiecewiseLinear { edges, width: _ } => Some(Encoding::new(edges, device)),
        }
    }

    /// From numbers `[rows, numbers]` to vectors `[rows, numbers, width]`.
    pub(crate) fn forward(&self, x: Tensor<2>, encoding: Option<&Encoding>, leaves: &mut Cursor<'_>) -> Tensor<3> {
        let [rows, numbers] = x.dims();
        let x = x.unsqueeze_dim::<3>(2);
        match self {
            Self::None => x,
            Self::Periodic { frequencies: _, width, scale: _, shared } => {
                let angle = x.mul(leaves.take::<2>().unsqueeze()).mul_scalar(std::f32::consts::TAU);
                let waves = Tensor::cat(vec![angle.clone().cos(), angle.sin()], 2);
                let inputs = waves.dims()[2];
                relu(if *shared {
                    leaves.linear(waves.reshape([rows * numbers, inputs])).reshape([rows, numbers, *width])
                } else {
                    let weight = leaves.take::<3>();
                    each(waves, weight, leaves).add(leaves.take::<2>().unsqueeze())
                })
            }
            Self::PiecewiseLinear { edges: _, width: _ } => {
                let (weight, bias) = (leaves.take::<2>().unsqueeze::<3>(), leaves.take::<2>().unsqueeze::<3>());
                let linear = x.clone().mul(weight).add(bias);
                let weight = leaves.take::<3>();
                match encoding {
                    Some(encoding) => linear.add(each(encoding.of(x), weight, leaves)),
                    None => linear,
                }
            }
        }
    }
}

/// Each number's own matrix: `[rows, numbers, inputs]` and `[numbers, inputs, width]` to `[rows, numbers, width]`.
fn each(values: Tensor<3>, weight: Tensor<3>, leaves: &Cursor<'_>) -> Tensor<3> {
    leaves.product(values.swap_dims(0, 1), weight).swap_dims(0, 1)
}

/// The piecewise-linear encoding on a device.
#[derive(Clone, Debug)]
pub(crate) struct Encoding {
    /// Component `i` of number `j` is `x scale[j, i] + shift[j, i]`, kept within `low` and `high`; all `[1, numbers, bins]`.
    scale: Tensor<3>,
    shift: Tensor<3>,
    low: Tensor<3>,
    high: Tensor<3>,
}

impl Encoding {
    fn new(edges: &[Vec<f32>], device: &Device) -> Self {
        let bins = Embedding::bins(edges);
        let mut parts: [Vec<f32>; 4] = std::array::from_fn(|_| Vec::with_capacity(edges.len() * bins));
        for edges in edges {
            let last = edges.len() - 2;
            for bin in 0..bins {
                // The last bin is the last component, whatever the number of bins; what lies between is zero.
                let found = if bin + 1 == bins { Some(last) } else { Some(bin).filter(|bin| *bin < last) };
                let (scale, shift) = found.map_or((0.0, 0.0), |bin| {
                    let scale = (edges[bin + 1] - edges[bin]).recip();
                    (scale, -edges[bin] * scale)
                });
                let low = if found == Some(0) { f32::MIN } else { 0.0 };
                let high = if bin + 1 == bins { f32::MAX } else { 1.0 };
                parts.iter_mut().zip([scale, shift, low, high]).for_each(|(part, value)| part.push(value));
            }
        }
        let [scale, shift, low, high] =
            parts.map(|part| Tensor::from_data(TensorData::new(part, [1, edges.len(), bins]), device));
        Self { scale, shift, low, high }
    }

    /// From `[rows, numbers, 1]` to `[rows, numbers, bins]`.
    fn of(&self, x: Tensor<3>) -> Tensor<3> {
        let line = x.mul(self.scale.clone()).add(self.shift.clone());
        line.max_pair(self.low.clone()).min_pair(self.high.clone())
    }
}

/// Edges of up to `bins` bins a number: the quantiles of its training values, each once. A number of one value has one bin around
/// it.
pub(crate) fn quantile_edges(columns: impl Iterator<Item = Vec<f32>>, bins: usize) -> Vec<Vec<f32>> {
    columns
        .map(|mut values| {
            values.sort_unstable_by(f32::total_cmp);
            let last = values.len().saturating_sub(1);
            let quantile = |bin: usize| {
                let place = bin as f64 / bins.max(1) as f64 * last as f64;
                let (below, along) = (place.floor(), place.fract());
                #[expect(clippy::cast_sign_loss, reason = "a place is not negative")]
                let at = |place: f64| values.get((place as usize).min(last)).copied().unwrap_or(0.0);
                let (low, high) = (f64::from(at(below)), f64::from(at(below + 1.0)));
                (low + (high - low) * along) as f32
            };
            let mut edges: Vec<f32> = (0..=bins.max(1)).map(quantile).collect();
            edges.dedup();
            if let [only] = *edges {
                edges = vec![only - 0.5, only + 0.5];
            }
            edges
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_as_the_paper_says() {
        let edges = vec![vec![0.0, 1.0, 3.0, 4.0], vec![-1.0, 1.0], vec![0.0, 2.0, 4.0]];
        let encoding = Encoding::new(&edges, &Device::flex());
        let encode = |x: f32| -> Vec<f32> {
            let x = Tensor::<3>::full([1, 3, 1], x, &Device::flex());
            encoding.of(x).into_data().try_into_vec().unwrap()
        };
        assert_eq!(encode(2.0), [1.0, 0.5, 0.0, 0.0, 0.0, 1.5, 1.0, 0.0, 0.0]);
        // Below the first edge and above the last one the outer components go on.
        assert_eq!(encode(-2.0), [-2.0, 0.0, 0.0, 0.0, 0.0, -0.5, -1.0, 0.0, 0.0]);
        assert_eq!(encode(6.0), [1.0, 1.0, 3.0, 0.0, 0.0, 3.5, 1.0, 0.0, 2.0]);
    }

    #[test]
    fn edges_are_quantiles_each_once() {
        let values = |values: &[f32]| quantile_edges(std::iter::once(values.to_vec()), 4).remove(0);
        assert_eq!(values(&[4.0, 0.0, 1.0, 3.0, 2.0]), [0.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(values(&[1.0, 1.0, 1.0, 1.0, 2.0]), [1.0, 2.0]);
        assert_eq!(values(&[7.0, 7.0]), [6.5, 7.5]);
        assert!(Embedding::PiecewiseLinear { edges: vec![values(&[7.0]), vec![1.0, 1.0]], width: 2 }.check(2).is_err());
    }
}
