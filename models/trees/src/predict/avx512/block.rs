//! [`Codes`] of a block of rows, [`KEYS`] rows to a register: a binary search costs a few instructions for all of them, where a row
//! on its own pays them for itself.

use std::arch::x86_64::{
    __m512, __m512i, _CMP_GT_OQ, _CMP_LE_OQ, _CMP_UNORD_Q, _MM_HINT_T0, _mm_prefetch, _mm_storeu_si128, _mm512_abs_ps,
    _mm512_add_epi32, _mm512_castpd_ps, _mm512_castps_pd, _mm512_castps_si512, _mm512_castsi512_ps, _mm512_cmp_ps_mask,
    _mm512_cvtusepi32_epi8, _mm512_i32gather_ps, _mm512_mask_add_epi32, _mm512_mask_blend_ps, _mm512_mask_mov_epi32,
    _mm512_maskz_loadu_ps, _mm512_max_epi32, _mm512_permutex2var_ps, _mm512_permutexvar_ps, _mm512_set1_epi32,
    _mm512_set1_ps, _mm512_setzero_ps, _mm512_setzero_si512, _mm512_shuffle_f32x4, _mm512_sub_epi32,
    _mm512_test_epi32_mask, _mm512_unpackhi_pd, _mm512_unpackhi_ps, _mm512_unpacklo_pd, _mm512_unpacklo_ps,
};

use super::{Avx512, load, store};
use crate::{
    ensemble::Rules,
    predict::{
        codes::{CUTS, Codes},
        masks::{LANES, Lanes},
        search::{KEYS, Levels},
    },
};

/// A feature's values of [`KEYS`] rows.
pub(in crate::predict) type Column = [f32; KEYS];

impl Avx512 {
    /// The codes of up to [`LANES`] rows, one [`Lanes`] a code, as [`Codes::row`] gives them; what lies in lanes behind the last row
    /// is of no row.
    pub(in crate::predict) fn block(
        _: Self,
        codes: &Codes,
        rows: &[f32],
        features: usize,
        rules: Rules,
        columns: &mut Vec<Column>,
        out: &mut [Lanes],
    ) {
        columns.resize(features.next_multiple_of(KEYS), [0.0; KEYS]);
        // SAFETY: `new` asked for the features.
        unsafe { block(codes, rows, features, rules, columns, out) }
    }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn block(codes: &Codes, rows: &[f32], features: usize, rules: Rules, columns: &mut [Column], out: &mut [Lanes]) {
    for (group, rows) in rows.chunks(KEYS * features).enumerate().take(LANES / KEYS) {
        for ((strip, columns), asked) in columns.as_chunks_mut::<KEYS>().0.iter_mut().enumerate().zip(&codes.strips) {
            if *asked {
                transpose(rows, features, strip * KEYS, columns);
            }
        }
        for rank in &codes.ranks {
            let number = ranks(&rank.levels, _mm512_castsi512_ps(load(&columns[rank.feature])));
            for chunk in 0..rank.codes() {
                let above = _mm512_sub_epi32(number, _mm512_set1_epi32(((chunk * CUTS) as u32).cast_signed()));
                // Above 255 is 255.
                let bytes = _mm512_cvtusepi32_epi8(_mm512_max_epi32(above, _mm512_setzero_si512()));
                let Some(out) = out[rank.first + chunk].as_chunks_mut::<KEYS>().0.get_mut(group) else { break };
                // SAFETY: the array has the register's size, and the store needs no alignment.
                unsafe { _mm_storeu_si128(std::ptr::from_mut(out).cast(), bytes) };
            }
        }
        for (lane, row) in rows.chunks_exact(features).enumerate() {
            codes.tests(row, rules, LANES, &mut out.as_flattened_mut()[group * KEYS + lane..]);
        }
    }
}

/// The columns of [`KEYS`] features from `first` on; zero in lanes without a row, and in columns without a feature.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(rows: &[f32], features: usize, first: usize, out: &mut [Column; KEYS]) {
    let width = (features - first).min(KEYS);
    let mut inputs = [_mm512_setzero_ps(); KEYS];
    for (input, row) in inputs.iter_mut().zip(rows.chunks_exact(features)) {
        let values = &row[first..][..width];
        // The same of the next rows will be asked for when these are coded.
        _mm_prefetch::<_MM_HINT_T0>(values.as_ptr().wrapping_add(KEYS * features).cast());
        // SAFETY: as many values are loaded as there are.
        *input = unsafe { _mm512_maskz_loadu_ps(u16::MAX >> (KEYS - width), values.as_ptr()) };
    }
    // Pairs of rows, then fours; then quarters of registers change places.
    let pairs: [__m512; KEYS] = std::array::from_fn(|at| {
        let (even, odd) = (inputs[at & !1], inputs[at | 1]);
        if at % 2 == 0 { _mm512_unpacklo_ps(even, odd) } else { _mm512_unpackhi_ps(even, odd) }
    });
    let fours: [__m512; KEYS] = std::array::from_fn(|at| {
        let from = (at & !3) + (at % 4) / 2;
        let (upper, lower) = (_mm512_castps_pd(pairs[from]), _mm512_castps_pd(pairs[from + 2]));
        _mm512_castpd_ps(if at % 2 == 0 { _mm512_unpacklo_pd(upper, lower) } else { _mm512_unpackhi_pd(upper, lower) })
    });
    // `fours[4 * quarter + column]`: that column of each quarter of four columns, of the quarter's four rows.
    for column in 0..4 {
        let (first, second) = (fours[column], fours[4 + column]);
        let (third, fourth) = (fours[8 + column], fours[12 + column]);
        let low = (_mm512_shuffle_f32x4::<0x88>(first, second), _mm512_shuffle_f32x4::<0x88>(third, fourth));
        store(_mm512_castps_si512(_mm512_shuffle_f32x4::<0x88>(low.0, low.1)), &mut out[column]);
        store(_mm512_castps_si512(_mm512_shuffle_f32x4::<0xdd>(low.0, low.1)), &mut out[8 + column]);
        let high = (_mm512_shuffle_f32x4::<0xdd>(first, second), _mm512_shuffle_f32x4::<0xdd>(third, fourth));
        store(_mm512_castps_si512(_mm512_shuffle_f32x4::<0x88>(high.0, high.1)), &mut out[4 + column]);
        store(_mm512_castps_si512(_mm512_shuffle_f32x4::<0xdd>(high.0, high.1)), &mut out[12 + column]);
    }
}

/// How many cuts lie below each value.
#[inline]
#[target_feature(enable = "avx512f")]
fn ranks(tree: &Levels, values: __m512) -> __m512i {
    let mut places = _mm512_setzero_si512();
    for level in &tree.levels {
        let cuts = pick(level, places);
        let above = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(values, cuts);
        let twice = _mm512_add_epi32(places, places);
        places = _mm512_mask_add_epi32(twice, above, twice, _mm512_set1_epi32(1));
    }
    let near = _mm512_cmp_ps_mask::<_CMP_LE_OQ>(_mm512_abs_ps(values), _mm512_set1_ps(tree.zero));
    let missing = near | _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(values, values);
    _mm512_mask_mov_epi32(places, missing, _mm512_set1_epi32(tree.missing.cast_signed()))
}

/// The cut at each place of a level. A permutation picks from two registers, and a bit of the place from two permutations; from
/// 256 places on it is cheaper to fetch each from memory.
#[inline]
#[target_feature(enable = "avx512f")]
fn pick(level: &[[f32; KEYS]], places: __m512i) -> __m512 {
    let register = |at: usize| _mm512_castsi512_ps(load(&level[at]));
    let pair = |at: usize| _mm512_permutex2var_ps(register(2 * at), places, register(2 * at + 1));
    let either = |bit, off, on| _mm512_mask_blend_ps(_mm512_test_epi32_mask(places, _mm512_set1_epi32(bit)), off, on);
    let quad = |at: usize| either(32, pair(2 * at), pair(2 * at + 1));
    match level.len() {
        1 => _mm512_permutexvar_ps(places, register(0)),
        2 => pair(0),
        4 => quad(0),
        8 => either(64, quad(0), quad(1)),
        // SAFETY: a place is less than the level's length, as it doubles from level to level.
        _ => unsafe { _mm512_i32gather_ps::<4>(places, level.as_ptr().cast()) },
    }
}
