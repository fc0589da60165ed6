//! The perceptron.

use crate::{
    error::{Error, Result},
    linear::{Finish, Layer, Linear, Rows, RowsMut},
    share::Forward,
    simd::Machine,
    team::Help,
};

/// Parameters of a perceptron: linear layers with a rectifier behind each but the last.
#[derive(Clone, Debug)]
pub struct Mlp<'a> {
    /// In the order that they are passed in; each takes as many values as the one before gives.
    pub layers: Vec<Linear<'a>>,
}

/// A perceptron that is laid out.
#[derive(Clone, Debug)]
pub(crate) struct MlpNet {
    layers: Vec<Layer>,
    /// The most values between two layers.
    widest: usize,
}

impl MlpNet {
    pub(crate) fn new(mlp: &Mlp<'_>, machine: Machine) -> Result<Self> {
        let Mlp { layers } = mlp;
        if layers.is_empty() {
            return Err(Error::shape("at least one layer", "none"));
        }
        for (index, layer) in layers.iter().enumerate() {
            layer.check(&format!("layer {index}"))?;
        }
        for (index, pair) in layers.windows(2).enumerate() {
            if pair[0].units != pair[1].inputs {
                let expected = format!("{} inputs of layer {}", pair[0].units, index + 1);
                return Err(Error::shape(expected, pair[1].inputs));
            }
        }
        let widest = layers[..layers.len() - 1].iter().map(|layer| layer.units).max().unwrap_or(0);
        Ok(Self { layers: layers.iter().map(|layer| Layer::new(layer, machine)).collect(), widest })
    }
}

impl Forward for MlpNet {
    fn inputs(&self) -> usize {
        self.layers.first().map_or(0, |layer| layer.inputs)
    }

    fn outputs(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.units)
    }

    fn products(&self) -> usize {
        self.layers.iter().map(Layer::products).sum()
    }

    fn between(&self) -> usize {
        2 * self.widest
    }

    fn abreast(&self) -> usize {
        1
    }

    fn bytes(&self) -> usize {
        self.layers.iter().map(Layer::bytes).sum()
    }

    fn forward(&self, rows: &[f32], between: &mut [f32], out: &mut [f32], help: &mut Option<Help<'_>>) {
        let count = out.len() / self.outputs();
        let (mut here, mut there) = between.split_at_mut(count * self.widest);
        let Some((last, hidden)) = self.layers.split_last() else { return };
        let out = RowsMut { values: out, stride: last.units };
        let rows = Rows { values: rows, stride: self.inputs() };
        let Some((first, rest)) = hidden.split_first() else {
            return last.forward(count, rows, out, Finish::Plain, help);
        };
        first.forward(count, rows, RowsMut { values: here, stride: first.units }, Finish::Rectified, help);
        let mut stride = first.units;
        for layer in rest {
            let out = RowsMut { values: there, stride: layer.units };
            layer.forward(count, Rows { values: here, stride }, out, Finish::Rectified, help);
            std::mem::swap(&mut here, &mut there);
            stride = layer.units;
        }
        last.forward(count, Rows { values: here, stride }, out, Finish::Plain, help);
    }
}
