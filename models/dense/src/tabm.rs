//! `TabM`: many perceptrons in one, which share their weights and differ by scales (Gorishniy, Kotelnikov and Babenko 2025; the
//! layers are those of `BatchEnsemble`, Wen, Tran and Ba 2020).

#![expect(clippy::inline_always, reason = "only what is inlined into a function gets that function's instructions")]

use crate::{
    error::{Error, Result, expect_len, expect_some},
    linear::{Finish, Layer, Linear, Rows, RowsMut},
    share::Forward,
    simd::{LANES, Machine, Simd, Work},
    team::Help,
};

/// Parameters of a `TabM`. Its answer is every member's: `[rows, members, outputs]`.
#[derive(Clone, Debug)]
pub struct TabM<'a> {
    /// Perceptrons that share the weights.
    pub members: usize,
    /// A rectifier is behind each.
    pub layers: Vec<TabMLayer<'a>>,
    /// Scores of a member.
    pub outputs: usize,
    /// The members' last layers: `[members, units of the last layer, outputs]`.
    pub weight: &'a [f32],
    /// `[members, outputs]`.
    pub bias: &'a [f32],
}

/// Member `m` computes `((x ∘ r_m) W) ∘ s_m + b_m`.
#[derive(Clone, Copy, Debug)]
pub struct TabMLayer<'a> {
    /// Values that come in.
    pub inputs: usize,
    /// Values that go out.
    pub units: usize,
    /// `W`: `[inputs, units]`.
    pub weight: &'a [f32],
    /// `r`: `[members, inputs]`.
    pub scale_in: &'a [f32],
    /// `s`: `[members, units]`.
    pub scale_out: &'a [f32],
    /// `b`: `[members, units]`.
    pub bias: &'a [f32],
}

/// A `TabM` that is laid out.
#[derive(Clone, Debug)]
pub(crate) struct TabMNet {
    members: usize,
    outputs: usize,
    layers: Vec<Shared>,
    /// One a member.
    heads: Vec<Layer>,
    /// The most values of a member between two layers.
    widest: usize,
    machine: Machine,
}

#[derive(Clone, Debug)]
struct Shared {
    layer: Layer,
    scale_in: Vec<f32>,
    scale_out: Vec<f32>,
    bias: Vec<f32>,
}

impl TabMNet {
    pub(crate) fn new(tabm: &TabM<'_>, machine: Machine) -> Result<Self> {
        let TabM { members, ref layers, outputs, weight, bias } = *tabm;
        expect_some("members", members)?;
        expect_some("outputs", outputs)?;
        let Some(last) = layers.last() else { return Err(Error::shape("at least one layer", "none")) };
        for (index, layer) in layers.iter().enumerate() {
            let TabMLayer { inputs, units, weight, scale_in, scale_out, bias } = *layer;
            Linear { inputs, units, weight, bias: &[] }.check(&format!("layer {index}"))?;
            expect_len(&format!("layer {index} input scales"), &[members, inputs], scale_in.len())?;
            expect_len(&format!("layer {index} output scales"), &[members, units], scale_out.len())?;
            expect_len(&format!("layer {index} biases"), &[members, units], bias.len())?;
            if index > 0 && layers[index - 1].units != inputs {
                return Err(Error::shape(format_args!("{} inputs of layer {index}", layers[index - 1].units), inputs));
            }
        }
        expect_len("last weights", &[members, last.units, outputs], weight.len())?;
        expect_len("last biases", &[members, outputs], bias.len())?;
        let heads = weight.chunks_exact(last.units * outputs).zip(bias.chunks_exact(outputs));
        let heads = heads
            .map(|(weight, bias)| Layer::new(&Linear { inputs: last.units, units: outputs, weight, bias }, machine))
            .collect();
        let widest = layers.iter().map(|layer| layer.units.max(layer.inputs)).max().unwrap_or(0);
        let shared = |layer: &TabMLayer<'_>| {
            let TabMLayer { inputs, units, weight, scale_in, scale_out, bias } = *layer;
            Shared {
                layer: Layer::new(&Linear { inputs, units, weight, bias: &[] }, machine),
                scale_in: scale_in.to_vec(),
                scale_out: scale_out.to_vec(),
                bias: bias.to_vec(),
            }
        };
        Ok(Self { members, outputs, layers: layers.iter().map(shared).collect(), heads, widest, machine })
    }
}

impl Forward for TabMNet {
    fn inputs(&self) -> usize {
        self.layers.first().map_or(0, |shared| shared.layer.inputs)
    }

    fn outputs(&self) -> usize {
        self.members * self.outputs
    }

    fn products(&self) -> usize {
        let shared: usize = self.layers.iter().map(|shared| shared.layer.products()).sum();
        self.members * shared + self.heads.iter().map(Layer::products).sum::<usize>()
    }

    fn between(&self) -> usize {
        2 * self.members * self.widest
    }

    fn abreast(&self) -> usize {
        self.members
    }

    fn bytes(&self) -> usize {
        let values = |shared: &Shared| shared.scale_in.len() + shared.scale_out.len() + shared.bias.len();
        let shared = |shared: &Shared| shared.layer.bytes() + values(shared) * size_of::<f32>();
        self.layers.iter().map(shared).sum::<usize>() + self.heads.iter().map(Layer::bytes).sum::<usize>()
    }

    fn forward(&self, rows: &[f32], between: &mut [f32], out: &mut [f32], help: &mut Option<Help<'_>>) {
        let members = self.members;
        let count = out.len() / self.outputs();
        let (mut here, mut there) = between.split_at_mut(count * members * self.widest);
        let Some(first) = self.layers.first() else { return };
        self.machine.call(Spread { rows, scale: &first.scale_in, width: first.layer.inputs, out: here });
        let mut width = first.layer.inputs;
        for (index, shared) in self.layers.iter().enumerate() {
            let Shared { layer, scale_in: _, scale_out, bias } = shared;
            let values = Rows { values: here, stride: width };
            let sums = RowsMut { values: there, stride: layer.units };
            layer.forward(count * members, values, sums, Finish::Plain, help);
            width = layer.units;
            let next = self.layers.get(index + 1).map(|next| &*next.scale_in);
            let values = &mut there[..count * members * width];
            self.machine.call(Scale { values, scale: scale_out, shift: bias, next, width });
            std::mem::swap(&mut here, &mut there);
        }
        for (member, head) in self.heads.iter().enumerate() {
            let values = Rows { values: &here[member * width..], stride: members * width };
            let out = RowsMut { values: &mut out[member * self.outputs..], stride: members * self.outputs };
            head.forward(count, values, out, Finish::Plain, help);
        }
    }
}

/// A copy of each row for every member, scaled.
struct Spread<'a, 'b> {
    rows: &'a [f32],
    scale: &'a [f32],
    width: usize,
    out: &'b mut [f32],
}

impl Work for Spread<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { rows, scale, width, out } = self;
        for (row, out) in rows.chunks_exact(width).zip(out.chunks_mut(scale.len())) {
            for (scale, out) in scale.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
                for ((value, scale), out) in row.chunks(LANES).zip(scale.chunks(LANES)).zip(out.chunks_mut(LANES)) {
                    simd.store_part(simd.mul(simd.load_part(value), simd.load_part(scale)), out);
                }
            }
        }
    }
}

/// Each member's sums scaled and shifted and rectified, and scaled for the next layer.
struct Scale<'a, 'b> {
    values: &'b mut [f32],
    scale: &'a [f32],
    shift: &'a [f32],
    next: Option<&'a [f32]>,
    width: usize,
}

impl Work for Scale<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { values, scale, shift, next, width } = self;
        for values in values.chunks_exact_mut(scale.len()) {
            for (member, values) in values.chunks_exact_mut(width).enumerate() {
                let of =
                    |all: &'_ [f32], at: usize| simd.load_part(&all[member * width + at..][..(width - at).min(LANES)]);
                for (vector, values) in values.chunks_mut(LANES).enumerate() {
                    let at = vector * LANES;
                    let value = simd.mul_add(simd.load_part(values), of(scale, at), of(shift, at));
                    let value = simd.rectify(value);
                    simd.store_part(next.map_or(value, |next| simd.mul(value, of(next, at))), values);
                }
            }
        }
    }
}
