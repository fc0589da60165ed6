//! Functions of whole vectors.

#![expect(clippy::inline_always, reason = "only what is inlined into a function gets that function's instructions")]

use crate::simd::{LANES, Simd, Work};

/// `e` to the power of `x`, of which two units in the last place are wrong at most; zero below about -87.3, where the result would not
/// be a normal number, and never more than that of 88.
#[inline(always)]
pub(crate) fn exp<S: Simd>(simd: S, x: S::V) -> S::V {
    // Arguments of the order that keeps what is not a number.
    let x = simd.min(simd.splat(88.0), simd.max(simd.splat(-127.0 * std::f32::consts::LN_2), x));
    let whole = simd.round(simd.mul(x, simd.splat(std::f32::consts::LOG2_E)));
    // The logarithm of two in two parts, of which the first has so few bits that its product is exact (Cephes).
    let rest = simd.mul_add(whole, simd.splat(-0.693_359_4), x);
    let rest = simd.mul_add(whole, simd.splat(2.121_944_4e-4), rest);
    // Taylor's series; where it ends, 0.35^8 / 8! is below a tenth of a unit.
    let terms = [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    simd.mul(polynomial(simd, rest, &terms), simd.power_of_two(whole))
}

/// Cosine and sine of `frequency · x` whole turns, of which no more than 2e-7 is wrong: the product is taken exactly, and whole
/// turns are taken from it before it is rounded. Not a number where the product is not finite.
#[inline(always)]
pub(crate) fn cos_sin_turns<S: Simd>(simd: S, frequency: S::V, x: S::V) -> (S::V, S::V) {
    let product = simd.mul(frequency, x);
    let error = simd.product_error(frequency, x, product);
    let turn = simd.add(simd.sub(product, simd.round(product)), simd.sub(error, simd.round(error)));
    let turn = simd.sub(turn, simd.round(turn));
    // Quarters of a turn, and what lies within half a quarter of them.
    let quarter = simd.round(simd.mul(turn, simd.splat(4.0)));
    let angle = simd.mul_add(quarter, simd.splat(-0.25), turn);
    let angle = simd.mul(angle, simd.splat(std::f32::consts::TAU));
    let square = simd.mul(angle, angle);
    // Taylor's series up to π/4: the first terms left out are below 1e-9.
    let sine = [-1.0 / 39_916_800.0, 1.0 / 362_880.0, -1.0 / 5040.0, 1.0 / 120.0, -1.0 / 6.0, 1.0];
    let sine = simd.mul(polynomial(simd, square, &sine), angle);
    let cosine = [-1.0 / 3_628_800.0, 1.0 / 40_320.0, -1.0 / 720.0, 1.0 / 24.0, -0.5, 1.0];
    let cosine = polynomial(simd, square, &cosine);
    // 0, ±1 and ±2 quarters: an odd one swaps the two, and signs follow.
    let size = simd.max(quarter, simd.sub(simd.splat(0.0), quarter));
    let one = simd.splat(1.0);
    let sign = simd.sub(one, size);
    let turned = (simd.mul(simd.sub(simd.splat(0.0), sine), quarter), simd.mul(cosine, quarter));
    let straight = (simd.mul(cosine, sign), simd.mul(sine, sign));
    (simd.select_equal(size, one, turned.0, straight.0), simd.select_equal(size, one, turned.1, straight.1))
}

/// By Horner's rule, the highest power first.
#[inline(always)]
fn polynomial<S: Simd>(simd: S, x: S::V, terms: &[f32]) -> S::V {
    let mut sum = simd.splat(terms[0]);
    for term in &terms[1..] {
        sum = simd.mul_add(sum, x, simd.splat(*term));
    }
    sum
}

/// A row scaled and shifted, each value by a scale and a shift of its own.
pub(crate) struct Affine<'a, 'b> {
    pub(crate) rows: &'a [f32],
    pub(crate) scale: &'a [f32],
    pub(crate) shift: &'a [f32],
    pub(crate) rectified: bool,
    pub(crate) out: &'b mut [f32],
}

impl Work for Affine<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { rows, scale, shift, rectified, out } = self;
        for (row, out) in rows.chunks_exact(scale.len()).zip(out.chunks_exact_mut(scale.len())) {
            let values = row.chunks(LANES).zip(scale.chunks(LANES)).zip(shift.chunks(LANES));
            for (((value, scale), shift), out) in values.zip(out.chunks_mut(LANES)) {
                let value = simd.mul_add(simd.load_part(value), simd.load_part(scale), simd.load_part(shift));
                simd.store_part(if rectified { simd.rectify(value) } else { value }, out);
            }
        }
    }
}

/// Rows, `stride` values apart, of which each is brought to mean zero and variance one, then scaled and shifted.
pub(crate) struct Norm<'a, 'b> {
    pub(crate) rows: &'a [f32],
    pub(crate) stride: usize,
    pub(crate) norm: &'a NormLayer,
    pub(crate) rectified: bool,
    /// Side by side.
    pub(crate) out: &'b mut [f32],
}

/// Parameters of a layer norm that is laid out.
#[derive(Clone, Debug)]
pub(crate) struct NormLayer {
    pub(crate) scale: Vec<f32>,
    pub(crate) shift: Vec<f32>,
    pub(crate) epsilon: f32,
}

impl Work for Norm<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { rows, stride, norm: NormLayer { scale, shift, epsilon }, rectified, out } = self;
        let width = scale.len();
        for (row, out) in rows.chunks(stride).zip(out.chunks_exact_mut(width)) {
            let row = &row[..width];
            let mut sums = simd.splat(0.0);
            for values in row.chunks(LANES) {
                sums = simd.add(sums, simd.load_part(values));
            }
            let mean = simd.sum(sums) / width as f32;
            let means = simd.splat(mean);
            let mut squares = simd.splat(0.0);
            let (whole, rest) = row.as_chunks::<LANES>();
            for values in whole {
                let off = simd.sub(simd.load(values), means);
                squares = simd.mul_add(off, off, squares);
            }
            let mut variance = simd.sum(squares);
            for value in rest {
                variance += (value - mean) * (value - mean);
            }
            let by = simd.splat(1.0 / (variance / width as f32 + epsilon).sqrt());
            let values = row.chunks(LANES).zip(scale.chunks(LANES)).zip(shift.chunks(LANES));
            for (((value, scale), shift), out) in values.zip(out.chunks_mut(LANES)) {
                let value = simd.mul(simd.sub(simd.load_part(value), means), by);
                let value = simd.mul_add(value, simd.load_part(scale), simd.load_part(shift));
                simd.store_part(if rectified { simd.rectify(value) } else { value }, out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Instructions, Machine};

    struct Apply<'a, F>(&'a [f32], &'a [f32], F);

    impl<F: Fn(usize, f32, f32)> Work for Apply<'_, F> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            for (a, b) in self.0.chunks(LANES).zip(self.1.chunks(LANES)) {
                let (frequency, x) = (simd.load_part(a), simd.load_part(b));
                let (cosine, sine) = cos_sin_turns(simd, frequency, x);
                let power = exp(simd, x);
                let mut out = [[0.0; LANES]; 3];
                simd.store(cosine, &mut out[0]);
                simd.store(sine, &mut out[1]);
                simd.store(power, &mut out[2]);
                for (lane, (a, b)) in a.iter().zip(b).enumerate() {
                    for (kind, out) in out.iter().enumerate() {
                        let expected = match kind {
                            0 => (std::f64::consts::TAU * turns(*a, *b)).cos(),
                            1 => (std::f64::consts::TAU * turns(*a, *b)).sin(),
                            _ => f64::from(*b).exp(),
                        };
                        (self.2)(kind, out[lane], expected as f32);
                    }
                }
            }
        }
    }

    /// The product without whole turns.
    fn turns(frequency: f32, x: f32) -> f64 {
        let product = f64::from(frequency) * f64::from(x);
        product - product.round()
    }

    #[test]
    fn cosine_and_sine_are_right_to_2e_7() {
        let x: Vec<f32> = (0..40_000_i32).map(|index| (index - 20_000) as f32 * 0.013).collect();
        for frequency in [1.0, 0.037, -2.5, 311.7, 4.0e3] {
            let frequencies = vec![frequency; x.len()];
            for instructions in Instructions::here() {
                Machine::with(instructions).call(Apply(&frequencies, &x, |kind, got: f32, expected: f32| {
                    if kind < 2 {
                        assert!((got - expected).abs() <= 2e-7, "{instructions} {kind}: {got} beside {expected}");
                    }
                }));
            }
        }
    }

    #[test]
    fn powers_are_right_to_two_units_in_the_last_place() {
        let x: Vec<f32> = (0..40_000_i32).map(|index| -87.0 + index as f32 * 0.0043).collect();
        for instructions in Instructions::here() {
            Machine::with(instructions).call(Apply(&x, &x, |kind, got: f32, expected: f32| {
                if kind == 2 && expected < 1.6e38 {
                    assert!((got - expected).abs() <= 2.4e-7 * expected, "{instructions}: {got} beside {expected}");
                }
            }));
        }
    }

    #[test]
    fn what_is_not_finite_gives_what_is_no_number_or_zero() {
        for instructions in Instructions::here() {
            let x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -200.0];
            let found = parking_lot::Mutex::new(Vec::new());
            Machine::with(instructions)
                .call(Apply(&[1.0; 4], &x, |kind, got: f32, _: f32| found.lock().push((kind, got))));
            let found = found.into_inner();
            assert!(found[..9].iter().all(|(kind, got)| *kind == 2 || got.is_nan()), "{found:?}");
            assert!(found[2].1.is_nan() && found[8].1 == 0.0 && found[11].1 == 0.0, "{found:?}");
        }
    }
}
