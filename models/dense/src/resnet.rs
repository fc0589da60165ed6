//! The residual net for tables (Gorishniy, Rubachev, Khrulkov and Babenko 2021).

use crate::{
    error::{Error, Result, expect_len},
    linear::{Finish, Layer, Linear, Rows, RowsMut},
    math::Affine,
    share::Forward,
    simd::Machine,
    team::Help,
};

/// Parameters of a residual net: `first`, then blocks `x + second(ReLU(first(norm(x))))`, then `last(ReLU(norm(x)))`.
#[derive(Clone, Debug)]
pub struct ResNet<'a> {
    /// To the width of the blocks.
    pub first: Linear<'a>,
    /// In the order that they are passed in.
    pub blocks: Vec<ResNetBlock<'a>>,
    /// The norm before the last layer.
    pub norm: Affines<'a>,
    /// From the width of the blocks.
    pub last: Linear<'a>,
}

/// A batch norm with its statistics already in it: `x · scale + shift`, where the scale is `weight / sqrt(variance + epsilon)` and the
/// shift is `bias − mean · scale`. Also the parameters of a layer norm.
#[derive(Clone, Copy, Debug)]
pub struct Affines<'a> {
    /// One a value.
    pub scale: &'a [f32],
    /// One a value.
    pub shift: &'a [f32],
}

/// `x + second(ReLU(first(norm(x))))`
#[derive(Clone, Copy, Debug)]
pub struct ResNetBlock<'a> {
    /// Of the width of the blocks.
    pub norm: Affines<'a>,
    /// From the width of the blocks.
    pub first: Linear<'a>,
    /// To it.
    pub second: Linear<'a>,
}

impl Affines<'_> {
    pub(crate) fn check(&self, what: &str, width: usize) -> Result<()> {
        expect_len(&format!("{what} scales"), &[width], self.scale.len())?;
        expect_len(&format!("{what} shifts"), &[width], self.shift.len())
    }
}

/// That a layer takes, or gives, as many values as its neighbour.
pub(crate) fn expect_width(what: &str, expected: usize, got: usize) -> Result<()> {
    if expected == got { Ok(()) } else { Err(Error::shape(format_args!("{expected} {what}"), got)) }
}

/// A residual net that is laid out.
#[derive(Clone, Debug)]
pub(crate) struct ResNetNet {
    first: Layer,
    blocks: Vec<Block>,
    norm: (Vec<f32>, Vec<f32>),
    last: Layer,
    /// The most values within a block.
    widest: usize,
    machine: Machine,
}

#[derive(Clone, Debug)]
struct Block {
    norm: (Vec<f32>, Vec<f32>),
    first: Layer,
    second: Layer,
}

impl ResNetNet {
    pub(crate) fn new(resnet: &ResNet<'_>, machine: Machine) -> Result<Self> {
        let ResNet { first, blocks, norm, last } = resnet;
        first.check("first")?;
        let width = first.units;
        for (index, ResNetBlock { norm, first, second }) in blocks.iter().enumerate() {
            norm.check(&format!("block {index}"), width)?;
            first.check(&format!("block {index} first"))?;
            second.check(&format!("block {index} second"))?;
            expect_width(&format!("inputs of block {index}"), width, first.inputs)?;
            expect_width(&format!("inputs of the second layer of block {index}"), first.units, second.inputs)?;
            expect_width(&format!("units of block {index}"), width, second.units)?;
        }
        norm.check("last", width)?;
        last.check("last")?;
        expect_width("inputs of the last layer", width, last.inputs)?;
        let affines = |norm: &Affines<'_>| (norm.scale.to_vec(), norm.shift.to_vec());
        let laid = blocks.iter().map(|block| Block {
            norm: affines(&block.norm),
            first: Layer::new(&block.first, machine),
            second: Layer::new(&block.second, machine),
        });
        Ok(Self {
            first: Layer::new(first, machine),
            blocks: laid.collect(),
            norm: affines(norm),
            last: Layer::new(last, machine),
            widest: blocks.iter().map(|block| block.first.units).max().unwrap_or(0),
            machine,
        })
    }
}

impl Forward for ResNetNet {
    fn inputs(&self) -> usize {
        self.first.inputs
    }

    fn outputs(&self) -> usize {
        self.last.units
    }

    fn products(&self) -> usize {
        let blocks: usize = self.blocks.iter().map(|block| block.first.products() + block.second.products()).sum();
        self.first.products() + blocks + self.last.products()
    }

    fn between(&self) -> usize {
        2 * self.first.units + self.widest
    }

    fn abreast(&self) -> usize {
        1
    }

    fn bytes(&self) -> usize {
        let norm = (2 * self.first.units) * size_of::<f32>();
        let blocks: usize = self.blocks.iter().map(|block| block.first.bytes() + block.second.bytes() + norm).sum();
        self.first.bytes() + blocks + norm + self.last.bytes()
    }

    fn forward(&self, rows: &[f32], between: &mut [f32], out: &mut [f32], help: &mut Option<Help<'_>>) {
        let count = out.len() / self.outputs();
        let width = self.first.units;
        let (values, rest) = between.split_at_mut(count * width);
        let (normed, hidden) = rest.split_at_mut(count * width);
        let rows = Rows { values: rows, stride: self.inputs() };
        self.first.forward(count, rows, RowsMut { values, stride: width }, Finish::Plain, help);
        for Block { norm: (scale, shift), first, second } in &self.blocks {
            self.machine.call(Affine { rows: values, scale, shift, rectified: false, out: normed });
            let inner = RowsMut { values: hidden, stride: first.units };
            first.forward(count, Rows { values: normed, stride: width }, inner, Finish::Rectified, help);
            let inner = Rows { values: hidden, stride: first.units };
            second.forward(count, inner, RowsMut { values, stride: width }, Finish::Added, help);
        }
        let (scale, shift) = &self.norm;
        self.machine.call(Affine { rows: values, scale, shift, rectified: true, out: normed });
        let out = RowsMut { values: out, stride: self.last.units };
        self.last.forward(count, Rows { values: normed, stride: width }, out, Finish::Plain, help);
    }
}
