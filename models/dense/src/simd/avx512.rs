//! Vectors by AVX-512: one register each.

#![expect(clippy::inline_always, reason = "only what is inlined into a function gets that function's instructions")]
#![expect(
    unsafe_code,
    reason = "what the methods need, `new` asked the machine for; memory is read and written by the array"
)]

use std::arch::x86_64::{
    __m128, __m256, __m512, _CMP_EQ_OQ, _mm_add_ps, _mm_add_ss, _mm_cvtss_f32, _mm_max_ps, _mm_max_ss, _mm_movehl_ps,
    _mm_shuffle_ps, _mm256_add_ps, _mm256_castps256_ps128, _mm256_extractf128_ps, _mm256_max_ps, _mm512_add_epi32,
    _mm512_add_ps, _mm512_castps512_ps256, _mm512_castsi512_ps, _mm512_cmp_ps_mask, _mm512_cvtps_epi32,
    _mm512_extractf32x8_ps, _mm512_fmadd_ps, _mm512_fmsub_ps, _mm512_loadu_ps, _mm512_mask_blend_ps,
    _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_max_ps, _mm512_min_ps, _mm512_mul_ps, _mm512_roundscale_ps,
    _mm512_set1_epi32, _mm512_set1_ps, _mm512_slli_epi32, _mm512_storeu_ps, _mm512_sub_ps,
};

use super::{LANES, Simd, Work};

/// Proof that the machine has the instructions that this module uses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512 {
    _asked: (),
}

impl Avx512 {
    /// Asks the machine.
    pub(crate) fn new() -> Option<Self> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma");
        has.then_some(Self { _asked: () })
    }
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
#[inline(never)]
fn run<W: Work>(machine: Avx512, work: W) -> W::Output {
    work.run(machine)
}

/// The first `count` lanes.
#[inline(always)]
fn first(count: usize) -> u16 {
    if count >= LANES { u16::MAX } else { (1 << count) - 1 }
}

/// `of` each half's lanes with the other's, down to one lane.
macro_rules! fold {
    ($vector:expr, $wide:ident, $narrow:ident, $single:ident) => {{
        let vector: __m512 = $vector;
        // SAFETY: see the head of the module.
        unsafe {
            let wide: __m256 = $wide(_mm512_castps512_ps256(vector), _mm512_extractf32x8_ps::<1>(vector));
            let narrow: __m128 = $narrow(_mm256_castps256_ps128(wide), _mm256_extractf128_ps::<1>(wide));
            let pair = $narrow(narrow, _mm_movehl_ps(narrow, narrow));
            _mm_cvtss_f32($single(pair, _mm_shuffle_ps::<1>(pair, pair)))
        }
    }};
}

macro_rules! lanes {
    ($($name:ident($($argument:ident),+) = $instruction:expr;)+) => {$(
        #[inline(always)]
        fn $name(self, $($argument: Self::V),+) -> Self::V {
            // SAFETY: see the head of the module.
            unsafe { $instruction }
        }
    )+};
}

impl Simd for Avx512 {
    type V = __m512;
    const ABREAST: usize = 2;
    const ROWS: usize = 12;

    #[inline(always)]
    fn call<W: Work>(self, work: W) -> W::Output {
        // SAFETY: `new` asked for the features.
        unsafe { run(self, work) }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> Self::V {
        // SAFETY: see the head of the module.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn load(self, values: &[f32; LANES]) -> Self::V {
        // SAFETY: the array has the register's size.
        unsafe { _mm512_loadu_ps(values.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, vector: Self::V, out: &mut [f32; LANES]) {
        // SAFETY: the array has the register's size.
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), vector) }
    }

    #[inline(always)]
    fn load_part(self, values: &[f32]) -> Self::V {
        // SAFETY: no more lanes are read than there are values.
        unsafe { _mm512_maskz_loadu_ps(first(values.len()), values.as_ptr()) }
    }

    #[inline(always)]
    fn store_part(self, vector: Self::V, out: &mut [f32]) {
        // SAFETY: no more lanes are written than there is room for.
        unsafe { _mm512_mask_storeu_ps(out.as_mut_ptr(), first(out.len()), vector) }
    }

    lanes! {
        add(a, b) = _mm512_add_ps(a, b);
        sub(a, b) = _mm512_sub_ps(a, b);
        mul(a, b) = _mm512_mul_ps(a, b);
        mul_add(a, b, c) = _mm512_fmadd_ps(a, b, c);
        product_error(a, b, product) = _mm512_fmsub_ps(a, b, product);
        max(a, b) = _mm512_max_ps(a, b);
        min(a, b) = _mm512_min_ps(a, b);
        round(a) = _mm512_roundscale_ps::<0>(a);
        power_of_two(exponent) = {
            let biased = _mm512_add_epi32(_mm512_cvtps_epi32(exponent), _mm512_set1_epi32(127));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(biased))
        };
        select_equal(a, b, yes, no) = _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b), no, yes);
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
