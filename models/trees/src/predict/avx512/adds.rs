//! Leaf values added to the sums of a block of rows: a tree's values lie in registers, and permutations pick from them.

use std::arch::x86_64::{
    __m512d, __m512i, _mm_loadu_si64, _mm_loadu_si128, _mm512_add_pd, _mm512_add_ps, _mm512_castpd_si512,
    _mm512_castps_si512, _mm512_castsi512_pd, _mm512_castsi512_ps, _mm512_cvtepu8_epi32, _mm512_cvtepu8_epi64,
    _mm512_mask_blend_epi32, _mm512_mask_blend_epi64, _mm512_maskz_loadu_epi32, _mm512_maskz_loadu_epi64,
    _mm512_permutex2var_epi32, _mm512_permutex2var_epi64, _mm512_set1_epi32, _mm512_set1_epi64, _mm512_setzero_si512,
    _mm512_test_epi32_mask, _mm512_test_epi64_mask,
};

use super::{Avx512, load, store};
use crate::predict::{
    forest::Sum,
    masks::{LANES, Lanes, add},
};

/// Numbers that vectors add.
pub(in crate::predict) trait Adds: Sum {
    /// [`add`].
    fn add_lanes(machine: Avx512, values: &[Self], leaves: &Lanes, sums: &mut [Self; LANES]);
}

macro_rules! adds {
    (
        $float:ty, $lanes:literal, $add:ident, $plus:ident,
        $load:ident, $index:ident, $permute:ident, $all:ident, $bit:ident, $blend:ident
    ) => {
        impl Adds for $float {
            fn add_lanes(_: Avx512, values: &[Self], leaves: &Lanes, sums: &mut [Self; LANES]) {
                // SAFETY: the first argument is made by `Avx512::new`, which asked for the features.
                unsafe {
                    match values.len().div_ceil($lanes) {
                        0..=2 => $add::<2>(values, leaves, sums),
                        3..=4 => $add::<4>(values, leaves, sums),
                        5..=8 => $add::<8>(values, leaves, sums),
                        _ => add(values, leaves, sums),
                    }
                }
            }
        }

        #[target_feature(enable = "avx512f,avx512bw")]
        fn $add<const REGISTERS: usize>(values: &[$float], leaves: &Lanes, sums: &mut [$float; LANES]) {
            let mut table = [_mm512_setzero_si512(); 8];
            for (register, values) in table.iter_mut().zip(values.chunks($lanes)).take(REGISTERS) {
                // SAFETY: as many values are loaded as there are.
                *register = unsafe { $load(u16::MAX >> (16 - values.len()), values.as_ptr()) };
            }
            for (leaves, sums) in leaves.as_chunks::<$lanes>().0.iter().zip(sums.as_chunks_mut::<$lanes>().0) {
                let leaves = $index(leaves);
                // A permutation picks from two registers by the lower bits, and the next bits pick among permutations.
                let pair = |pair: usize| $permute(table[2 * pair], leaves, table[2 * pair + 1]);
                let either = |bit, off, on| $blend($bit(leaves, $all(bit)), off, on);
                let quad = |quad: usize| either(2 * $lanes, pair(2 * quad), pair(2 * quad + 1));
                let picked = match REGISTERS {
                    2 => pair(0),
                    4 => quad(0),
                    _ => either(4 * $lanes, quad(0), quad(1)),
                };
                store($plus(load(sums), picked), sums);
            }
        }
    };
}

adds!(
    f32,
    16,
    add_f32,
    plus_f32,
    load_f32,
    index_f32,
    _mm512_permutex2var_epi32,
    _mm512_set1_epi32,
    _mm512_test_epi32_mask,
    _mm512_mask_blend_epi32
);
adds!(
    f64,
    8,
    add_f64,
    plus_f64,
    load_f64,
    index_f64,
    _mm512_permutex2var_epi64,
    _mm512_set1_epi64,
    _mm512_test_epi64_mask,
    _mm512_mask_blend_epi64
);

/// # Safety
/// `values` points to as many numbers as `mask` has bits.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load_f32(mask: u16, values: *const f32) -> __m512i {
    // SAFETY: as said.
    unsafe { _mm512_maskz_loadu_epi32(mask, values.cast()) }
}

/// # Safety
/// `values` points to as many numbers as `mask` has bits.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load_f64(mask: u16, values: *const f64) -> __m512i {
    // SAFETY: as said.
    unsafe { _mm512_maskz_loadu_epi64(mask as u8, values.cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn index_f32(leaves: &[u8; 16]) -> __m512i {
    // SAFETY: sixteen bytes are loaded of sixteen.
    _mm512_cvtepu8_epi32(unsafe { _mm_loadu_si128(leaves.as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx512f")]
fn index_f64(leaves: &[u8; 8]) -> __m512i {
    // SAFETY: eight bytes are loaded of eight.
    _mm512_cvtepu8_epi64(unsafe { _mm_loadu_si64(leaves.as_ptr()) })
}

#[inline]
#[target_feature(enable = "avx512f")]
fn plus_f32(a: __m512i, b: __m512i) -> __m512i {
    _mm512_castps_si512(_mm512_add_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b)))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn plus_f64(a: __m512i, b: __m512i) -> __m512i {
    let sum: __m512d = _mm512_add_pd(_mm512_castsi512_pd(a), _mm512_castsi512_pd(b));
    _mm512_castpd_si512(sum)
}
