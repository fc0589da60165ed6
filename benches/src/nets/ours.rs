//! The same calls of our own library.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use dense::{Affines, Body, FtBlock, FtTransformer, Linear, Mlp, Net, Parameters, Scratch};

use super::peers::{Shape, Transformer};
use crate::script::numbers;

/// How far answers may be from ONNX Runtime's, beside the largest of all.
const TOLERANCE: f32 = 1e-4;

/// A net and its rows.
pub(super) struct Ours {
    net: Net,
    rows: Vec<f32>,
    scratch: Scratch,
    out: Vec<f32>,
}

impl Ours {
    /// Reads what the peers' script wrote, and compares all answers.
    pub(super) fn open(folder: &Path, name: &str, shape: &Shape) -> Result<Self> {
        let read = |what: &str| floats(&folder.join(format!("{name}.{what}.npy")));
        let (drawn, rows, expected) = (read("parameters")?, read("rows")?, read("answers")?);
        let mut source = Source(&drawn);
        let parameters = match shape {
            Shape::Mlp(sizes) => source.mlp(sizes),
            Shape::Transformer(transformer) => source.transformer(transformer),
        }
        .context("expected more parameters")?;
        ensure!(source.0.is_empty(), "{name}: {} parameters are too many", source.0.len());
        let net = Net::new(&parameters)?;
        let mut out = vec![0.0; expected.len()];
        let mut scratch = Scratch::default();
        net.run(&rows, &mut scratch, &mut out)?;
        let size = expected.iter().fold(0.0_f32, |size, value| size.max(value.abs()));
        let off = out.iter().zip(&expected).map(|(got, expected)| (got - expected).abs()).fold(0.0_f32, f32::max);
        ensure!(off <= TOLERANCE * size, "{name}: our answers are {off} away from ONNX Runtime's, of up to {size}");
        Ok(Self { net, rows, scratch, out })
    }

    /// Multiplications a row.
    pub(super) fn products(&self) -> usize {
        self.net.products()
    }

    /// The median seconds of a call on the first `batch` rows, over `limit`.
    pub(super) fn time(&mut self, batch: usize, limit: Duration) -> Result<f64> {
        let Self { net, rows, scratch, out } = self;
        let (rows, out) = (&rows[..batch * net.inputs()], &mut out[..batch * net.outputs()]);
        net.run(rows, scratch, out)?;
        let (began, mut times) = (Instant::now(), Vec::new());
        while began.elapsed() < limit || times.len() < 3 {
            let start = Instant::now();
            net.run(rows, scratch, out)?;
            times.push(start.elapsed().as_secs_f64());
        }
        times.sort_by(f64::total_cmp);
        Ok(times[times.len() / 2])
    }
}

fn floats(path: &Path) -> Result<Vec<f32>> {
    Ok(numbers::<4>(&fs_err::read(path)?)?.into_iter().map(f32::from_le_bytes).collect())
}

/// Parameters in the order of the script.
struct Source<'a>(&'a [f32]);

impl<'a> Source<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [f32]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn linear(&mut self, inputs: usize, units: usize) -> Option<Linear<'a>> {
        Some(Linear { inputs, units, weight: self.take(inputs * units)?, bias: self.take(units)? })
    }

    fn norm(&mut self, width: usize) -> Option<Affines<'a>> {
        Some(Affines { scale: self.take(width)?, shift: self.take(width)? })
    }

    fn mlp(&mut self, sizes: &[usize]) -> Option<Parameters<'a>> {
        let layers = sizes.windows(2).map(|pair| self.linear(pair[0], pair[1])).collect::<Option<_>>()?;
        Some(Parameters { embedding: None, body: Body::Mlp(Mlp { layers }) })
    }

    fn transformer(&mut self, shape: &Transformer) -> Option<Parameters<'a>> {
        let Transformer { features, width, blocks, heads, hidden, outputs } = *shape;
        let (number_weight, number_bias) = (self.take(features * width)?, self.take(features * width)?);
        let first_token = self.take(width)?;
        let block = |index: usize| {
            Some(FtBlock {
                attention_norm: if index > 0 { Some(self.norm(width)?) } else { None },
                queries: self.linear(width, width)?,
                keys: self.linear(width, width)?,
                values: self.linear(width, width)?,
                output: self.linear(width, width)?,
                hidden_norm: self.norm(width)?,
                up: self.linear(width, 2 * hidden)?,
                down: self.linear(hidden, width)?,
            })
        };
        let blocks = (0..blocks).map(block).collect::<Option<_>>()?;
        let body = Body::FtTransformer(FtTransformer {
            width,
            heads,
            epsilon: 1e-5,
            number_weight,
            number_bias,
            others: Vec::new(),
            first_token,
            blocks,
            norm: self.norm(width)?,
            head: self.linear(width, outputs)?,
        });
        Some(Parameters { embedding: None, body })
    }
}
