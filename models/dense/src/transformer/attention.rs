//! Attention of one row's tokens to each other.

#![expect(clippy::inline_always, reason = "only what is inlined into a function gets that function's instructions")]

use crate::{
    linear::Rows,
    math::exp,
    simd::{LANES, Simd, Work},
};

/// For each head and query, the values' mean by the softmax of the query's products with the keys over the root of the head's
/// width.
pub(super) struct Attention<'a, 'b> {
    /// One a query, `heads · each` wide.
    pub(super) queries: Rows<'a>,
    /// One a token.
    pub(super) keys: Rows<'a>,
    /// One a token.
    pub(super) values: Rows<'a>,
    /// How many queries there are.
    pub(super) asked: usize,
    pub(super) tokens: usize,
    pub(super) heads: usize,
    /// Values of a head.
    pub(super) each: usize,
    /// Memory of [`memory`] values.
    pub(super) memory: &'b mut [f32],
    /// One a query, side by side.
    pub(super) out: &'b mut [f32],
}

/// Values that attention needs memory for: a head's keys, turned, and a query's scores.
pub(super) const fn memory(tokens: usize, each: usize) -> usize {
    tokens.next_multiple_of(LANES) * (each + 1)
}

impl Work for Attention<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { queries, keys, values, asked, tokens, heads, each, memory, out } = self;
        let scale = 1.0 / (each as f32).sqrt();
        let padded = tokens.next_multiple_of(LANES);
        let (turned, scores) = memory.split_at_mut(padded * each);
        // Lanes hold keys; those behind the last are zero, and do not count.
        turned.fill(0.0);
        for head in 0..heads {
            let first = head * each;
            for (token, key) in keys.values.chunks(keys.stride).take(tokens).enumerate() {
                for (value, line) in key[first..first + each].iter().zip(turned.chunks_exact_mut(padded)) {
                    line[token] = *value;
                }
            }
            for query in 0..asked {
                let of_query = &queries.values[query * queries.stride + first..][..each];
                let (pairs, rest) = of_query.as_chunks::<2>();
                for (block, scores) in scores.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                    // Two sums, so that not every product waits for the one before.
                    let mut sums = [simd.splat(0.0); 2];
                    let lines = turned[block * LANES..].chunks(2 * padded);
                    for (pair, lines) in pairs.iter().zip(lines.clone()) {
                        for (at, (value, sum)) in pair.iter().zip(&mut sums).enumerate() {
                            let keys = simd.load_part(&lines[at * padded..][..LANES]);
                            *sum = simd.mul_add(simd.splat(*value), keys, *sum);
                        }
                    }
                    for (value, lines) in rest.iter().zip(lines.skip(pairs.len())) {
                        sums[0] = simd.mul_add(simd.splat(*value), simd.load_part(&lines[..LANES]), sums[0]);
                    }
                    simd.store(simd.mul(simd.add(sums[0], sums[1]), simd.splat(scale)), scores);
                }
                scores[tokens..].fill(f32::NEG_INFINITY);
                let blocks = scores.as_chunks_mut::<LANES>().0;
                let mut largest = simd.splat(f32::NEG_INFINITY);
                for scores in &*blocks {
                    largest = simd.max(largest, simd.load(scores));
                }
                let largest = simd.splat(simd.largest(largest));
                let mut sums = simd.splat(0.0);
                for scores in blocks {
                    let power = exp(simd, simd.sub(simd.load(scores), largest));
                    sums = simd.add(sums, power);
                    simd.store(power, scores);
                }
                let share = simd.splat(1.0 / simd.sum(sums));
                let out = &mut out[(query * heads + head) * each..][..each];
                for (vector, out) in out.chunks_mut(LANES).enumerate() {
                    let first = first + vector * LANES;
                    let mut sums = simd.splat(0.0);
                    for (token, score) in scores[..tokens].iter().enumerate() {
                        let values = simd.load_part(&values.values[token * values.stride + first..][..out.len()]);
                        sums = simd.mul_add(simd.splat(*score), values, sums);
                    }
                    simd.store_part(simd.mul(sums, share), out);
                }
            }
        }
    }
}

/// `a ∘ ReLU(b)` of rows that hold `a` and then `b`, written to where `a` is.
pub(super) struct Gate<'b> {
    pub(super) rows: &'b mut [f32],
    /// Values of `a`.
    pub(super) hidden: usize,
}

impl Work for Gate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { rows, hidden } = self;
        for row in rows.chunks_exact_mut(2 * hidden) {
            let (left, right) = row.split_at_mut(hidden);
            for (left, right) in left.chunks_mut(LANES).zip(right.chunks(LANES)) {
                simd.store_part(simd.mul(simd.load_part(left), simd.rectify(simd.load_part(right))), left);
            }
        }
    }
}

/// The tokens of numbers: `x · weight + bias`, into rows of tokens with one before them.
pub(super) struct Tokens<'a, 'b> {
    pub(super) rows: Rows<'a>,
    /// `[numbers, width]`
    pub(super) weight: &'a [f32],
    pub(super) bias: &'a [f32],
    pub(super) width: usize,
    pub(super) out: &'b mut [f32],
    /// Values of a row's tokens.
    pub(super) stride: usize,
}

impl Work for Tokens<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { rows, weight, bias, width, out, stride } = self;
        for (row, out) in rows.values.chunks_exact(rows.stride).zip(out.chunks_exact_mut(stride)) {
            let parameters = weight.chunks_exact(width).zip(bias.chunks_exact(width));
            for ((value, (weight, bias)), out) in row.iter().zip(parameters).zip(out[width..].chunks_exact_mut(width)) {
                let value = simd.splat(*value);
                let lines = weight.chunks(LANES).zip(bias.chunks(LANES));
                for ((weight, bias), out) in lines.zip(out.chunks_mut(LANES)) {
                    simd.store_part(simd.mul_add(value, simd.load_part(weight), simd.load_part(bias)), out);
                }
            }
        }
    }
}
