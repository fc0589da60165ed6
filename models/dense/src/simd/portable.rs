//! Vectors as arrays, which the compiler turns into what the architecture promises.

#![expect(clippy::inline_always, reason = "only what is inlined into a function gets that function's instructions")]

use super::{LANES, Simd, Work};

/// What every machine has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

/// Whether a fused multiply-add is an instruction; the library's function takes a hundred times as long.
const FUSED: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));

#[inline(always)]
fn map2(a: [f32; LANES], b: [f32; LANES], of: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
    let mut out = a;
    for (out, b) in out.iter_mut().zip(b) {
        *out = of(*out, b);
    }
    out
}

#[inline(always)]
fn fold(mut lanes: [f32; LANES], of: impl Fn(f32, f32) -> f32) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] = of(lanes[lane], lanes[lane + width]);
        }
        width /= 2;
    }
    lanes[0]
}

impl Simd for Portable {
    type V = [f32; LANES];
    const ABREAST: usize = 1;
    const ROWS: usize = 2;

    #[inline(never)]
    fn call<W: Work>(self, work: W) -> W::Output {
        work.run(self)
    }

    #[inline(always)]
    fn splat(self, value: f32) -> Self::V {
        [value; LANES]
    }

    #[inline(always)]
    fn load(self, values: &[f32; LANES]) -> Self::V {
        *values
    }

    #[inline(always)]
    fn store(self, vector: Self::V, out: &mut [f32; LANES]) {
        *out = vector;
    }

    #[inline(always)]
    fn load_part(self, values: &[f32]) -> Self::V {
        let mut lanes = [0.0; LANES];
        lanes.iter_mut().zip(values).for_each(|(lane, value)| *lane = *value);
        lanes
    }

    #[inline(always)]
    fn store_part(self, vector: Self::V, out: &mut [f32]) {
        out.iter_mut().zip(vector).for_each(|(out, lane)| *out = lane);
    }

    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        map2(a, b, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        map2(a, b, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        map2(a, b, |a, b| a * b)
    }

    #[inline(always)]
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        let mut out = c;
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            *out = if FUSED { a.mul_add(b, *out) } else { a * b + *out };
        }
        out
    }

    #[inline(always)]
    fn product_error(self, a: Self::V, b: Self::V, product: Self::V) -> Self::V {
        let mut out = product;
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            // A product of two f32 is exact in f64.
            *out = (f64::from(a) * f64::from(b) - f64::from(*out)) as f32;
        }
        out
    }

    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        map2(a, b, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        map2(a, b, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn round(self, a: Self::V) -> Self::V {
        a.map(f32::round_ties_even)
    }

    #[inline(always)]
    fn power_of_two(self, exponent: Self::V) -> Self::V {
        exponent.map(|exponent| f32::from_bits(((exponent as i32 + 127) << 23).cast_unsigned()))
    }

    #[inline(always)]
    fn select_equal(self, a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V {
        let mut out = no;
        for ((out, yes), (a, b)) in out.iter_mut().zip(yes).zip(a.into_iter().zip(b)) {
            *out = if a == b { yes } else { *out };
        }
        out
    }

    #[inline(always)]
    fn sum(self, a: Self::V) -> f32 {
        fold(a, |a, b| a + b)
    }

    #[inline(always)]
    fn largest(self, a: Self::V) -> f32 {
        fold(a, |a, b| if a > b { a } else { b })
    }
}
