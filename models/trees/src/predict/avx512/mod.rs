//! The ways of [`masks`](super::masks) and [`bits`](super::bits) with AVX-512, for machines that have it.
//!
//! Each function gives the same leaves as its plain twin, and adds in the same order.

#![expect(unsafe_code, reason = "vector loads take pointers; each is to an array of the register's size")]

mod adds;
mod block;
mod turns;
mod values;

use std::arch::x86_64::{
    __m512i, _CMP_LT_OQ, _mm512_add_epi32, _mm512_add_epi64, _mm512_castsi512_pd, _mm512_castsi512_ps,
    _mm512_cmp_pd_mask, _mm512_cmp_ps_mask, _mm512_cmpgt_epu8_mask, _mm512_loadu_si512, _mm512_lzcnt_epi32,
    _mm512_lzcnt_epi64, _mm512_mask_and_epi32, _mm512_mask_and_epi64, _mm512_mask_blend_epi8,
    _mm512_mask_cmple_epu8_mask, _mm512_mask_mov_epi8, _mm512_movepi8_mask, _mm512_permutex2var_epi8,
    _mm512_permutexvar_epi8, _mm512_set1_epi8, _mm512_set1_epi64, _mm512_set1_pd, _mm512_set1_ps, _mm512_setzero_si512,
    _mm512_storeu_si512,
};

pub(super) use adds::Adds;

use super::{
    bits::{CODES, Groups},
    codes::Codes,
    forest::{Forest, Sum},
    masks::{LEAVES, Lanes, Steps},
    search::{KEYS, Machine},
    value::Value,
};
use crate::ensemble::Rules;

/// Proof that the machine has the instructions that this module uses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512 {
    _asked: (),
}

impl Avx512 {
    /// Asks the machine.
    pub(super) fn new() -> Option<Self> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512cd")
            && is_x86_feature_detected!("popcnt")
            && is_x86_feature_detected!("avx512vbmi");
        has.then_some(Self { _asked: () })
    }

    /// [`Codes::row`].
    pub(super) fn code<T: Value>(_: Self, codes: &Codes, row: &[T], rules: Rules, stride: usize, out: &mut [u8]) {
        // SAFETY: `new` asked for the features.
        unsafe { code(codes, row, rules, stride, out) }
    }

    /// [`Steps::leaves`] of `B` blocks side by side.
    pub(super) fn leaves<const B: usize>(
        _: Self,
        steps: &Steps,
        codes: [&[Lanes]; B],
        masks: &mut Masks<B>,
        out: &mut [Lanes; B],
    ) {
        // SAFETY: `new` asked for the features.
        unsafe { leaves(steps, codes, masks, out) }
    }
}

/// Counts keys by comparisons of registers. Only made in functions with AVX-512.
#[derive(Clone, Copy)]
struct Vectors;

impl Machine for Vectors {
    #[inline(always)]
    fn below_f32(self, keys: &[f32; KEYS], x: f32) -> usize {
        // SAFETY: as said of the type.
        unsafe { below_f32(keys, x) }
    }

    #[inline(always)]
    fn below_f64(self, keys: &[f64; KEYS], x: f64) -> usize {
        // SAFETY: as said of the type.
        unsafe { below_f64(keys, x) }
    }
}

#[inline]
#[target_feature(enable = "avx512f,popcnt")]
fn below_f32(keys: &[f32; KEYS], x: f32) -> usize {
    let keys = _mm512_castsi512_ps(load(keys));
    _mm512_cmp_ps_mask::<_CMP_LT_OQ>(keys, _mm512_set1_ps(x)).count_ones() as usize
}

#[inline]
#[target_feature(enable = "avx512f,popcnt")]
fn below_f64(keys: &[f64; KEYS], x: f64) -> usize {
    let x = _mm512_set1_pd(x);
    let below = |keys: &[f64; 8]| _mm512_cmp_pd_mask::<_CMP_LT_OQ>(_mm512_castsi512_pd(load(keys)), x).count_ones();
    keys.as_chunks::<8>().0.iter().map(|keys| below(keys) as usize).sum()
}

/// A mask for each split of a tree, and one for what leads to leaves, for `B` blocks of rows.
pub(super) type Masks<const B: usize> = [[u64; B]; LEAVES];

/// Numbers: every pattern of their bits is one.
trait Number: Copy {}
impl Number for u8 {}
impl Number for u32 {}
impl Number for u64 {}
impl Number for f32 {}
impl Number for f64 {}

#[inline(always)]
fn load<T: Number, const N: usize>(values: &[T; N]) -> __m512i {
    const { assert!(size_of::<[T; N]>() == 64, "a register's bytes") };
    // SAFETY: the array has the register's size, and the load needs no alignment. Only called from functions with AVX-512.
    unsafe { _mm512_loadu_si512(std::ptr::from_ref(values).cast()) }
}

#[inline(always)]
fn store<T: Number, const N: usize>(register: __m512i, out: &mut [T; N]) {
    const { assert!(size_of::<[T; N]>() == 64, "a register's bytes") };
    // SAFETY: as for `load`; every bit pattern is a number.
    unsafe { _mm512_storeu_si512(std::ptr::from_mut(out).cast(), register) }
}

#[target_feature(enable = "avx512f,popcnt")]
fn code<T: Value>(codes: &Codes, row: &[T], rules: Rules, stride: usize, out: &mut [u8]) {
    codes.row(Vectors, row, rules, stride, out);
}

#[target_feature(enable = "avx512f,avx512bw")]
fn leaves<const B: usize>(steps: &Steps, codes: [&[Lanes]; B], masks: &mut Masks<B>, out: &mut [Lanes; B]) {
    masks[0] = [u64::MAX; B];
    let mut found = [_mm512_setzero_si512(); B];
    for (place, step) in steps.steps.iter().enumerate() {
        let (cut, turned) = (_mm512_set1_epi8(step.cut.cast_signed()), _mm512_set1_epi8(step.turned.cast_signed()));
        let mask = masks[place % masks.len()];
        let (mut left, mut right) = ([0; B], [0; B]);
        for block in 0..B {
            let code = load(&codes[block][usize::from(step.code)]);
            left[block] = _mm512_mask_cmple_epu8_mask(mask[block], code, cut);
            right[block] = mask[block] ^ left[block];
            found[block] = _mm512_mask_mov_epi8(found[block], right[block], turned);
        }
        masks[usize::from(step.left) % masks.len()] = left;
        masks[usize::from(step.right) % masks.len()] = right;
    }
    for (found, out) in found.into_iter().zip(out) {
        store(found, out);
    }
}

/// A row's bytes in registers, `TABLES` of them, to be picked from.
#[derive(Clone, Copy)]
struct Table<const TABLES: usize>([__m512i; 4]);

impl<const TABLES: usize> Table<TABLES> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    fn new(row: &[u8; CODES]) -> Self {
        let mut table = [_mm512_setzero_si512(); 4];
        for (register, bytes) in table.iter_mut().zip(row.as_chunks::<64>().0).take(TABLES) {
            *register = load(bytes);
        }
        Self(table)
    }

    /// The byte of each code.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    fn pick(&self, codes: __m512i) -> __m512i {
        let [first, second, third, fourth] = self.0;
        match TABLES {
            1 => _mm512_permutexvar_epi8(codes, first),
            2 => _mm512_permutex2var_epi8(first, codes, second),
            _ => {
                let low = _mm512_permutex2var_epi8(first, codes, second);
                let high = _mm512_permutex2var_epi8(third, codes, fourth);
                _mm512_mask_blend_epi8(_mm512_movepi8_mask(codes), low, high)
            }
        }
    }
}

/// Trees in the lanes of registers.
pub(super) trait InLanes {
    /// Walks `R` rows through all trees and adds their leaves' values to `sums`: `R` rows of as many as there are outputs.
    fn walk<S: Sum, const R: usize>(
        &self,
        machine: Avx512,
        forest: &Forest<S>,
        rows: &[[u8; CODES]; R],
        sums: &mut [S],
    );
}

macro_rules! lane {
    ($word:ty, $walk:ident, $lanes:literal, $and:ident, $mask:ty, $zeros:ident, $plus:ident) => {
        #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512vbmi")]
        fn $walk<S: Sum, const R: usize, const TABLES: usize>(
            forest: &Forest<S>,
            groups: &Groups<$word>,
            rows: &[[u8; CODES]; R],
            sums: &mut [S],
        ) {
            let mut tables = [Table::<TABLES>([_mm512_setzero_si512(); 4]); R];
            for (table, row) in tables.iter_mut().zip(rows) {
                *table = Table::new(row);
            }
            // Sums of one output stay in registers: through memory, each addition would wait for the one before to be stored.
            let mut one: Option<[S; R]> = if forest.width == 1 { <[S; R]>::try_from(&*sums).ok() } else { None };
            for group in &groups.groups {
                let all = _mm512_set1_epi64(-1);
                let mut words = [all; R];
                for chunk in &groups.chunks[group.chunks.clone()] {
                    let (codes, cuts) = (load(&chunk.codes), load(&chunk.cuts));
                    let mut right = [0_u64; R];
                    for (right, table) in right.iter_mut().zip(&tables) {
                        *right = _mm512_cmpgt_epu8_mask(table.pick(codes), cuts);
                    }
                    for (slot, masks) in chunk.masks.as_chunks::<$lanes>().0.iter().enumerate() {
                        let masks = load(masks);
                        for (words, right) in words.iter_mut().zip(&right) {
                            *words = $and(*words, (right >> (slot * $lanes)) as $mask, *words, masks);
                        }
                    }
                }
                let mut leaves = [[0 as $word; $lanes]; R];
                if let Some(one) = &mut one {
                    let firsts = load(group.firsts.as_chunks::<$lanes>().0.first().unwrap_or(&[0; $lanes]));
                    for (places, words) in leaves.iter_mut().zip(words) {
                        store($plus($zeros(words), firsts), places);
                    }
                    for lane in 0..group.trees.len().min($lanes) {
                        for (sum, places) in one.iter_mut().zip(&leaves) {
                            *sum = *sum + forest.values[places[lane] as usize];
                        }
                    }
                } else {
                    for (leaves, words) in leaves.iter_mut().zip(words) {
                        store($zeros(words), leaves);
                    }
                    let trees = &forest.trees[group.trees.clone()];
                    for (lane, tree) in trees.iter().enumerate() {
                        for (leaves, sums) in leaves.iter().zip(sums.chunks_exact_mut(forest.width)) {
                            forest.add(tree, leaves[lane] as usize, sums);
                        }
                    }
                }
            }
            if let Some(one) = one {
                sums.copy_from_slice(&one);
            }
        }

        impl InLanes for Groups<$word> {
            fn walk<S: Sum, const R: usize>(
                &self,
                _: Avx512,
                forest: &Forest<S>,
                rows: &[[u8; CODES]; R],
                sums: &mut [S],
            ) {
                // SAFETY: the first argument is made by `Avx512::new`, which asked for the features.
                unsafe {
                    match forest.codes.count() {
                        0..=64 => $walk::<S, R, 1>(forest, self, rows, sums),
                        65..=128 => $walk::<S, R, 2>(forest, self, rows, sums),
                        _ => $walk::<S, R, 4>(forest, self, rows, sums),
                    }
                }
            }
        }
    };
}

lane!(u32, walk_u32, 16, _mm512_mask_and_epi32, u16, _mm512_lzcnt_epi32, _mm512_add_epi32);
lane!(u64, walk_u64, 8, _mm512_mask_and_epi64, u8, _mm512_lzcnt_epi64, _mm512_add_epi64);
