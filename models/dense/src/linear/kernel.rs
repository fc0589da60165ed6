//! The loops over rows, units and inputs.

#![expect(clippy::inline_always, reason = "only what is inlined into a function gets that function's instructions")]
#![expect(unsafe_code, reason = "the innermost loop: its places are checked before it, once for all")]

use std::{marker::PhantomData, ops::Range, slice};

use super::Layer;
use crate::simd::{LANES, Line, Simd, Work};

/// Rows to read, `stride` values apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) stride: usize,
}

/// Rows to write, `stride` values apart.
#[derive(Debug)]
pub(crate) struct RowsMut<'a> {
    pub(crate) values: &'a mut [f32],
    pub(crate) stride: usize,
}

/// Room for rows of answers, of which several threads write different units.
#[derive(Clone, Copy, Debug)]
pub(super) struct Out<'a> {
    pointer: *mut f32,
    room: usize,
    stride: usize,
    rows: PhantomData<&'a mut [f32]>,
}

// SAFETY: `Panels` writes the units of its own panels alone, and those who share a layer have different ones.
unsafe impl Send for Out<'_> {}
// SAFETY: as above.
unsafe impl Sync for Out<'_> {}

impl<'a> Out<'a> {
    pub(super) fn new(rows: RowsMut<'a>) -> Self {
        let RowsMut { values, stride } = rows;
        Self { pointer: values.as_mut_ptr(), room: values.len(), stride, rows: PhantomData }
    }
}

/// What becomes of the sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    /// They are written as they are.
    Plain,
    /// Those below zero become zero.
    Rectified,
    /// They are added to what is there.
    Added,
}

/// Layers whose vectors hold units: panels of a vector or two, each with its weights for all inputs.
pub(super) struct Panels<'a, 'b> {
    pub(super) layer: &'a Layer,
    pub(super) count: usize,
    pub(super) rows: Rows<'a>,
    pub(super) out: Out<'b>,
    pub(super) finish: Finish,
    /// Those that are asked for.
    pub(super) panels: Range<usize>,
}

impl Work for Panels<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { layer, count, rows, out, finish, panels } = self;
        if count == 0 {
            return;
        }
        // Blocks of almost the same size: a last one of a row or two would read all weights for little.
        let blocks = count.div_ceil(S::ROWS);
        let (size, larger) = (count / blocks, count % blocks);
        let lanes = S::ABREAST * LANES;
        let lines = layer.inputs * S::ABREAST;
        // A single row has too few sums to keep the adders busy with one panel.
        let most = match count {
            1 => 4,
            2 => 2,
            _ => 1,
        };
        assert!(
            out.room >= (count - 1) * out.stride + layer.units && panels.end <= layer.units.div_ceil(lanes),
            "a layer's answers"
        );
        let mut panel = panels.start;
        while panel < panels.end {
            let weights = &layer.weights[panel * lines..];
            let narrow = weights.len() < lines;
            let together = most.min(panels.end - panel).min(weights.len() / lines).max(1);
            let first = panel * lanes;
            let mut row = 0;
            for block in 0..blocks {
                let height = size + usize::from(block < larger);
                let tile = Tile {
                    inputs: layer.inputs,
                    values: &rows.values[row * rows.stride..],
                    stride: rows.stride,
                    weights,
                    bias: &layer.bias[panel * S::ABREAST..],
                    // SAFETY: asserted above: the last row has `units` values from its start on, and `first` is one of them.
                    out: unsafe { out.pointer.add(row * out.stride + first) },
                    out_stride: out.stride,
                    units: (layer.units - first).min(together * lanes),
                    finish,
                };
                if S::ABREAST == 1 || narrow {
                    tile.of::<S, 1>(simd, height, together);
                } else {
                    tile.of::<S, 2>(simd, height, together);
                }
                row += height;
            }
            panel += together;
        }
    }
}

/// Some rows and the units of one panel or several.
struct Tile<'a> {
    inputs: usize,
    values: &'a [f32],
    stride: usize,
    /// From the first panel on.
    weights: &'a [Line],
    bias: &'a [Line],
    /// Where there are so many rows of so many units.
    out: *mut f32,
    out_stride: usize,
    units: usize,
    finish: Finish,
}

impl Tile<'_> {
    #[inline(always)]
    fn of<S: Simd, const N: usize>(self, simd: S, height: usize, panels: usize) {
        match (height, panels) {
            (1, 4) => simd.call(Sums::<1, 4, N>(self)),
            (1, 3) => simd.call(Sums::<1, 3, N>(self)),
            (1, 2) => simd.call(Sums::<1, 2, N>(self)),
            (1, _) => simd.call(Sums::<1, 1, N>(self)),
            (2, 2) => simd.call(Sums::<2, 2, N>(self)),
            (2, _) => simd.call(Sums::<2, 1, N>(self)),
            (3, _) => simd.call(Sums::<3, 1, N>(self)),
            (4, _) => simd.call(Sums::<4, 1, N>(self)),
            (5, _) => simd.call(Sums::<5, 1, N>(self)),
            (6, _) => simd.call(Sums::<6, 1, N>(self)),
            (7, _) => simd.call(Sums::<7, 1, N>(self)),
            (8, _) => simd.call(Sums::<8, 1, N>(self)),
            (9, _) => simd.call(Sums::<9, 1, N>(self)),
            (10, _) => simd.call(Sums::<10, 1, N>(self)),
            (11, _) => simd.call(Sums::<11, 1, N>(self)),
            _ => simd.call(Sums::<12, 1, N>(self)),
        }
    }
}

/// The sums of `M` rows and `P` panels of `N` vectors, all in registers.
struct Sums<'a, const M: usize, const P: usize, const N: usize>(Tile<'a>);

impl<const M: usize, const P: usize, const N: usize> Work for Sums<'_, M, P, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self(Tile { inputs, values, stride, weights, bias, out, out_stride, units, finish }) = self;
        assert!(
            values.len() >= (M - 1) * stride + inputs && weights.len() >= P * inputs * N,
            "a tile within its layer"
        );
        let mut start = [[simd.splat(0.0); N]; P];
        for (panel, start) in start.iter_mut().enumerate() {
            for (vector, start) in start.iter_mut().enumerate() {
                *start = simd.load(&bias[panel * N + vector].0);
            }
        }
        let mut sums = [start; M];
        let (values, weights) = (values.as_ptr(), weights.as_ptr());
        for input in 0..inputs {
            for panel in 0..P {
                let mut loaded = [simd.splat(0.0); N];
                for (vector, loaded) in loaded.iter_mut().enumerate() {
                    // SAFETY: asserted above: there are `inputs * N` lines of each of `P` panels.
                    *loaded = simd.load(unsafe { &(*weights.add((panel * inputs + input) * N + vector)).0 });
                }
                for (row, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: asserted above: the last row, which starts at `(M - 1) * stride`, has `inputs` values.
                    let value = simd.splat(unsafe { *values.add(row * stride + input) });
                    for (sum, weight) in sums[panel].iter_mut().zip(&loaded) {
                        *sum = simd.mul_add(value, *weight, *sum);
                    }
                }
            }
        }
        if finish == Finish::Rectified {
            sums.as_flattened_mut().as_flattened_mut().iter_mut().for_each(|sum| *sum = simd.rectify(*sum));
        }
        // Each loop is so short that it is unrolled: a sum that is picked by a number would live in memory all along.
        if units == P * N * LANES {
            for (row, sums) in sums.iter().enumerate() {
                for (vector, sum) in sums.as_flattened().iter().enumerate() {
                    // SAFETY: there are `M` rows of `units` values, which no other thread writes.
                    let out = unsafe { &mut *out.add(row * out_stride + vector * LANES).cast() };
                    let sum = if finish == Finish::Added { simd.add(simd.load(out), *sum) } else { *sum };
                    simd.store(sum, out);
                }
            }
        } else {
            let mut kept = [[[Line::ZERO; N]; P]; M];
            for (kept, sums) in kept.iter_mut().zip(&sums) {
                for (kept, sum) in kept.as_flattened_mut().iter_mut().zip(sums.as_flattened()) {
                    simd.store(*sum, &mut kept.0);
                }
            }
            for (row, kept) in kept.iter().enumerate() {
                // SAFETY: as above.
                let out = unsafe { slice::from_raw_parts_mut(out.add(row * out_stride), units) };
                for (out, kept) in out.chunks_mut(LANES).zip(kept.as_flattened()) {
                    let sum = simd.load(&kept.0);
                    let sum = if finish == Finish::Added { simd.add(simd.load_part(out), sum) } else { sum };
                    simd.store_part(sum, out);
                }
            }
        }
    }
}

/// Layers whose vectors hold inputs: `[units]` rows of weights.
pub(super) struct Dots<'a, 'b> {
    pub(super) layer: &'a Layer,
    pub(super) count: usize,
    pub(super) rows: Rows<'a>,
    pub(super) out: RowsMut<'b>,
    pub(super) finish: Finish,
}

impl Work for Dots<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { layer, count, rows, out, finish } = self;
        let lines = layer.inputs.div_ceil(LANES);
        let bias = layer.bias.first().unwrap_or(&Line::ZERO).0;
        for row in 0..count {
            let values = &rows.values[row * rows.stride..][..layer.inputs];
            let out = &mut out.values[row * out.stride..][..layer.units];
            for ((out, weights), bias) in out.iter_mut().zip(layer.weights.chunks_exact(lines)).zip(bias) {
                let (whole, rest) = values.as_chunks::<LANES>();
                let mut sums = simd.splat(0.0);
                for (values, weights) in whole.iter().zip(weights) {
                    sums = simd.mul_add(simd.load(values), simd.load(&weights.0), sums);
                }
                if let Some(weights) = weights.get(whole.len()) {
                    sums = simd.mul_add(simd.load_part(rest), simd.load(&weights.0), sums);
                }
                let sum = simd.sum(sums) + bias;
                *out = match finish {
                    Finish::Plain => sum,
                    Finish::Rectified => {
                        if sum < 0.0 {
                            0.0
                        } else {
                            sum
                        }
                    }
                    Finish::Added => *out + sum,
                };
            }
        }
    }
}
