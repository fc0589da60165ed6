//! Vectors by AVX2 and FMA: two registers each.

#![expect(clippy::inline_always, reason = "only what is inlined into a function gets that function's instructions")]
#![expect(
    unsafe_code,
    reason = "what the methods need, `new` asked the machine for; memory is read and written by the array"
)]

use std::arch::x86_64::{
    __m128, __m256, _CMP_EQ_OQ, _mm_add_ps, _mm_add_ss, _mm_cvtss_f32, _mm_max_ps, _mm_max_ss, _mm_movehl_ps,
    _mm_shuffle_ps, _mm256_add_epi32, _mm256_add_ps, _mm256_blendv_ps, _mm256_castps256_ps128, _mm256_castsi256_ps,
    _mm256_cmp_ps, _mm256_cvtps_epi32, _mm256_extractf128_ps, _mm256_fmadd_ps, _mm256_fmsub_ps, _mm256_loadu_ps,
    _mm256_max_ps, _mm256_min_ps, _mm256_mul_ps, _mm256_round_ps, _mm256_set1_epi32, _mm256_set1_ps, _mm256_slli_epi32,
    _mm256_storeu_ps, _mm256_sub_ps,
};

use super::{LANES, Simd, Work};

/// Proof that the machine has the instructions that this module uses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2 {
    _asked: (),
}

impl Avx2 {
    /// Asks the machine.
    pub(crate) fn new() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self { _asked: () })
    }
}

#[target_feature(enable = "avx2,fma")]
#[inline(never)]
fn run<W: Work>(machine: Avx2, work: W) -> W::Output {
    work.run(machine)
}

/// To the nearest, to the even one of two, without an exception: `_MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC`.
const NEAREST: i32 = 8;

/// `of` each half's lanes with the other's, down to one lane.
macro_rules! fold {
    ($vector:expr, $wide:ident, $narrow:ident, $single:ident) => {{
        let [low, high]: [__m256; 2] = $vector;
        // SAFETY: see the head of the module.
        unsafe {
            let wide = $wide(low, high);
            let narrow: __m128 = $narrow(_mm256_castps256_ps128(wide), _mm256_extractf128_ps::<1>(wide));
            let pair = $narrow(narrow, _mm_movehl_ps(narrow, narrow));
            _mm_cvtss_f32($single(pair, _mm_shuffle_ps::<1>(pair, pair)))
        }
    }};
}

macro_rules! lanes {
    ($($name:ident($first:ident $(, $argument:ident)*) = $instruction:expr;)+) => {$(
        #[inline(always)]
        fn $name(self, $first: Self::V $(, $argument: Self::V)*) -> Self::V {
            let half = |index: usize| ($first[index] $(, $argument[index])*,);
            let low = {
                let ($first $(, $argument)*,) = half(0);
                // SAFETY: see the head of the module.
                unsafe { $instruction }
            };
            let high = {
                let ($first $(, $argument)*,) = half(1);
                // SAFETY: see the head of the module.
                unsafe { $instruction }
            };
            [low, high]
        }
    )+};
}

impl Simd for Avx2 {
    type V = [__m256; 2];
    const ABREAST: usize = 1;
    const ROWS: usize = 6;

    #[inline(always)]
    fn call<W: Work>(self, work: W) -> W::Output {
        // SAFETY: `new` asked for the features.
        unsafe { run(self, work) }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> Self::V {
        // SAFETY: see the head of the module.
        unsafe { [_mm256_set1_ps(value); 2] }
    }

    #[inline(always)]
    fn load(self, values: &[f32; LANES]) -> Self::V {
        // SAFETY: the array has the registers' size.
        unsafe { [_mm256_loadu_ps(values.as_ptr()), _mm256_loadu_ps(values.as_ptr().add(8))] }
    }

    #[inline(always)]
    fn store(self, vector: Self::V, out: &mut [f32; LANES]) {
        // SAFETY: the array has the registers' size.
        unsafe {
            _mm256_storeu_ps(out.as_mut_ptr(), vector[0]);
            _mm256_storeu_ps(out.as_mut_ptr().add(8), vector[1]);
        }
    }

    #[inline(always)]
    fn load_part(self, values: &[f32]) -> Self::V {
        if let Some(values) = values.first_chunk() {
            return self.load(values);
        }
        let mut lanes = [0.0; LANES];
        lanes[..values.len()].copy_from_slice(values);
        self.load(&lanes)
    }

    #[inline(always)]
    fn store_part(self, vector: Self::V, out: &mut [f32]) {
        if let Some(out) = out.first_chunk_mut() {
            return self.store(vector, out);
        }
        let mut lanes = [0.0; LANES];
        self.store(vector, &mut lanes);
        out.copy_from_slice(&lanes[..out.len()]);
    }

    lanes! {
        add(a, b) = _mm256_add_ps(a, b);
        sub(a, b) = _mm256_sub_ps(a, b);
        mul(a, b) = _mm256_mul_ps(a, b);
        mul_add(a, b, c) = _mm256_fmadd_ps(a, b, c);
        product_error(a, b, product) = _mm256_fmsub_ps(a, b, product);
        max(a, b) = _mm256_max_ps(a, b);
        min(a, b) = _mm256_min_ps(a, b);
        round(a) = _mm256_round_ps::<NEAREST>(a);
        power_of_two(exponent) = {
            let biased = _mm256_add_epi32(_mm256_cvtps_epi32(exponent), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))
        };
        select_equal(a, b, yes, no) = _mm256_blendv_ps(no, yes, _mm256_cmp_ps::<_CMP_EQ_OQ>(a, b));
    }

    #[inline(always)]
    fn sum(self, a: Self::V) -> f32 {
        fold!(a, _mm256_add_ps, _mm_add_ps, _mm_add_ss)
    }

    #[inline(always)]
    fn largest(self, a: Self::V) -> f32 {
        fold!(a, _mm256_max_ps, _mm_max_ps, _mm_max_ss)
    }
}
