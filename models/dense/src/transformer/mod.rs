//! The feature tokenizer and transformer (Gorishniy, Rubachev, Khrulkov and Babenko 2021).

mod attention;
mod parameters;

use crate::{
    error::{Error, Result, expect_len, expect_some},
    linear::{Finish, Layer, Linear, Rows, RowsMut},
    math::{Norm, NormLayer},
    resnet::{Affines, expect_width},
    share::Forward,
    simd::Machine,
    team::Help,
};

use attention::{Attention, Gate, Tokens, memory};
pub use parameters::{FtBlock, FtTransformer};

/// An FT-Transformer that is laid out.
#[derive(Clone, Debug)]
pub(crate) struct FtNet {
    width: usize,
    heads: usize,
    numbers: usize,
    number_weight: Vec<f32>,
    number_bias: Vec<f32>,
    others: Vec<Other>,
    first_token: Vec<f32>,
    blocks: Vec<Block>,
    norm: NormLayer,
    head: Layer,
    /// The most values between a block's layers, for one token.
    widest: usize,
    machine: Machine,
}

#[derive(Clone, Debug)]
struct Block {
    attention_norm: Option<NormLayer>,
    /// Of all tokens at once, but in the last block, where only the first token asks.
    queries: Option<Layer>,
    /// Queries (if they are not apart), keys and values in one.
    joined: Layer,
    output: Layer,
    hidden_norm: NormLayer,
    up: Layer,
    down: Layer,
}

/// What the values of a column become.
#[derive(Clone, Debug)]
struct Other {
    inputs: usize,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Other {
    fn new(layer: &Linear<'_>) -> Self {
        Self { inputs: layer.inputs, weight: layer.weight.to_vec(), bias: layer.bias.to_vec() }
    }

    /// Of one row. Most values of a category are zero, and add nothing.
    fn forward(&self, values: &[f32], out: &mut [f32]) {
        out.copy_from_slice(&self.bias);
        for (value, weights) in
            values.iter().zip(self.weight.chunks_exact(out.len())).filter(|(value, _)| **value != 0.0)
        {
            out.iter_mut().zip(weights).for_each(|(out, weight)| *out += value * weight);
        }
    }
}

impl FtNet {
    pub(crate) fn new(net: &FtTransformer<'_>, machine: Machine) -> Result<Self> {
        let FtTransformer {
            width,
            heads,
            epsilon,
            number_weight,
            number_bias,
            ref others,
            first_token,
            ref blocks,
            norm,
            head,
        } = *net;
        expect_some("values of a token", width)?;
        expect_some("heads", heads)?;
        expect_some("blocks", blocks.len())?;
        if !width.is_multiple_of(heads) {
            return Err(Error::shape(format_args!("a width that is a multiple of {heads} heads"), width));
        }
        let numbers = number_weight.len() / width;
        expect_some("numbers or other columns", numbers + others.len())?;
        expect_len("weights of numbers", &[numbers, width], number_weight.len())?;
        expect_len("biases of numbers", &[numbers, width], number_bias.len())?;
        for (index, other) in others.iter().enumerate() {
            other.check(&format!("column {index}"))?;
            expect_width(&format!("units of column {index}"), width, other.units)?;
            expect_len(&format!("column {index} biases"), &[width], other.bias.len())?;
        }
        expect_len("the first token", &[width], first_token.len())?;
        for (index, block) in blocks.iter().enumerate() {
            block.check(index, width)?;
        }
        norm.check("last", width)?;
        head.check("head")?;
        expect_width("inputs of the head", width, head.inputs)?;
        let last = blocks.len() - 1;
        let widest = blocks.iter().map(|block| block.up.units).max().unwrap_or(0).max(3 * width);
        Ok(Self {
            width,
            heads,
            numbers,
            number_weight: number_weight.to_vec(),
            number_bias: number_bias.to_vec(),
            others: others.iter().map(Other::new).collect(),
            first_token: first_token.to_vec(),
            blocks: blocks.iter().enumerate().map(|(at, block)| laid(block, at == last, epsilon, machine)).collect(),
            norm: norm_layer(&norm, epsilon),
            head: Layer::new(&head, machine),
            widest,
            machine,
        })
    }

    const fn tokens(&self) -> usize {
        1 + self.numbers + self.others.len()
    }

    /// All tokens of `count` rows: `[rows, tokens, width]`.
    fn tokenize(&self, rows: &[f32], out: &mut [f32]) {
        let (width, inputs, stride) = (self.width, self.inputs(), self.tokens() * self.width);
        for (row, out) in rows.chunks_exact(inputs).zip(out.chunks_exact_mut(stride)) {
            out[..width].copy_from_slice(&self.first_token);
            let out = out[(1 + self.numbers) * width..].chunks_exact_mut(width);
            let mut rest = &row[self.numbers..];
            for (other, out) in self.others.iter().zip(out) {
                let (values, behind) = rest.split_at(other.inputs);
                other.forward(values, out);
                rest = behind;
            }
        }
        let rows = Rows { values: rows, stride: inputs };
        let (weight, bias) = (&self.number_weight, &self.number_bias);
        self.machine.call(Tokens { rows, weight, bias, width, out, stride });
    }
}

impl Forward for FtNet {
    fn inputs(&self) -> usize {
        self.numbers + self.others.iter().map(|other| other.inputs).sum::<usize>()
    }

    fn outputs(&self) -> usize {
        self.head.units
    }

    fn products(&self) -> usize {
        let (tokens, width) = (self.tokens(), self.width);
        let block = |block: &Block| {
            let asked = if block.queries.is_some() { 1 } else { tokens };
            let queries = block.queries.as_ref().map_or(0, Layer::products);
            let rest = block.output.products() + block.up.products() + block.down.products();
            queries + tokens * block.joined.products() + asked * (2 * tokens * width + rest)
        };
        self.blocks.iter().map(block).sum::<usize>() + self.head.products()
    }

    fn between(&self) -> usize {
        self.tokens() * (2 * self.width + self.widest) + memory(self.tokens(), self.width / self.heads)
    }

    fn abreast(&self) -> usize {
        self.tokens()
    }

    fn bytes(&self) -> usize {
        let norm = 2 * self.width * size_of::<f32>();
        let block = |block: &Block| {
            let Block { attention_norm: _, queries, joined, output, hidden_norm: _, up, down } = block;
            let queries = queries.as_ref().map_or(0, Layer::bytes);
            queries + joined.bytes() + output.bytes() + up.bytes() + down.bytes() + 2 * norm
        };
        let others: usize =
            self.others.iter().map(|other| size_of_val(&*other.weight) + size_of_val(&*other.bias)).sum();
        let tokens = size_of_val(&*self.number_weight) + size_of_val(&*self.number_bias) + others;
        self.blocks.iter().map(block).sum::<usize>() + tokens + self.head.bytes() + norm
    }

    fn forward(&self, rows: &[f32], between: &mut [f32], out: &mut [f32], help: &mut Option<Help<'_>>) {
        let count = out.len() / self.outputs();
        let (tokens, width) = (self.tokens(), self.width);
        let all = count * tokens;
        let (values, rest) = between.split_at_mut(all * width);
        let (normed, rest) = rest.split_at_mut(all * width);
        let (wide, rest) = rest.split_at_mut(all * self.widest);
        let memory = &mut rest[..memory(tokens, width / self.heads)];
        self.tokenize(rows, values);
        for block in &self.blocks {
            let Block { attention_norm, queries, joined, output, hidden_norm, up, down } = block;
            let input = if let Some(norm) = attention_norm {
                self.machine.call(Norm { rows: values, stride: width, norm, rectified: false, out: normed });
                &*normed
            } else {
                &*values
            };
            joined.forward(
                all,
                Rows { values: input, stride: width },
                RowsMut { values: wide, stride: joined.units },
                Finish::Plain,
                help,
            );
            // In the last block the tokens other than the first are read as keys and values, and no more.
            let (asked, step) = if queries.is_some() { (1, tokens * width) } else { (tokens, width) };
            let (joined_part, alone) = wide.split_at_mut(all * joined.units);
            if let Some(queries) = queries {
                let input = Rows { values: input, stride: step };
                queries.forward(count, input, RowsMut { values: alone, stride: width }, Finish::Plain, help);
            }
            for row in 0..count {
                let of_row = &joined_part[row * tokens * joined.units..][..tokens * joined.units];
                let stride = joined.units;
                let keys = joined.units - 2 * width;
                self.machine.call(Attention {
                    queries: if queries.is_some() {
                        Rows { values: &alone[row * width..], stride: width }
                    } else {
                        Rows { values: of_row, stride }
                    },
                    keys: Rows { values: &of_row[keys..], stride },
                    values: Rows { values: &of_row[keys + width..], stride },
                    asked,
                    tokens,
                    heads: self.heads,
                    each: width / self.heads,
                    memory: &mut *memory,
                    out: &mut normed[row * asked * width..][..asked * width],
                });
            }
            let asking = count * asked;
            let mixed = Rows { values: normed, stride: width };
            output.forward(asking, mixed, RowsMut { values, stride: step }, Finish::Added, help);
            let rows = &values[..(asking - 1) * step + width];
            let norm = hidden_norm;
            self.machine.call(Norm { rows, stride: step, norm, rectified: false, out: &mut normed[..asking * width] });
            let mixed = Rows { values: normed, stride: width };
            up.forward(asking, mixed, RowsMut { values: wide, stride: up.units }, Finish::Plain, help);
            self.machine.call(Gate { rows: &mut wide[..asking * up.units], hidden: down.inputs });
            let gated = Rows { values: wide, stride: up.units };
            down.forward(asking, gated, RowsMut { values, stride: step }, Finish::Added, help);
        }
        let rows = &values[..(count - 1) * tokens * width + width];
        let normed = &mut normed[..count * width];
        self.machine.call(Norm { rows, stride: tokens * width, norm: &self.norm, rectified: true, out: normed });
        let normed = Rows { values: normed, stride: width };
        self.head.forward(count, normed, RowsMut { values: out, stride: self.head.units }, Finish::Plain, help);
    }
}

fn norm_layer(norm: &Affines<'_>, epsilon: f32) -> NormLayer {
    NormLayer { scale: norm.scale.to_vec(), shift: norm.shift.to_vec(), epsilon }
}

fn laid(block: &FtBlock<'_>, last: bool, epsilon: f32, machine: Machine) -> Block {
    let FtBlock { attention_norm, queries, keys, values, output, hidden_norm, up, down } = block;
    let parts = if last { vec![keys, values] } else { vec![queries, keys, values] };
    let width = queries.inputs;
    let mut weight = Vec::with_capacity(parts.len() * width * width);
    for input in 0..width {
        for part in &parts {
            weight.extend_from_slice(&part.weight[input * width..][..width]);
        }
    }
    let mut bias = Vec::with_capacity(parts.len() * width);
    for part in &parts {
        bias.extend_from_slice(part.bias);
        // A layer may have no bias where the others have one.
        bias.resize(bias.len() + width - part.bias.len(), 0.0);
    }
    let joined = Linear { inputs: width, units: parts.len() * width, weight: &weight, bias: &bias };
    Block {
        attention_norm: attention_norm.map(|norm| norm_layer(&norm, epsilon)),
        queries: last.then(|| Layer::new(queries, machine)),
        joined: Layer::new(&joined, machine),
        output: Layer::new(output, machine),
        hidden_norm: norm_layer(hidden_norm, epsilon),
        up: Layer::new(up, machine),
        down: Layer::new(down, machine),
    }
}
