//! [`Values`] walked with AVX-512.

use std::arch::x86_64::{
    __m512, __m512i, _CMP_GT_OQ, _CMP_UNORD_Q, _mm512_add_epi32, _mm512_castsi512_ps, _mm512_cmp_ps_mask,
    _mm512_i32gather_ps, _mm512_lzcnt_epi32, _mm512_mask_and_epi32, _mm512_mask_cmp_ps_mask, _mm512_maskz_loadu_ps,
    _mm512_permutex2var_ps, _mm512_permutexvar_ps, _mm512_set1_epi32, _mm512_setzero_ps,
};

use super::{Avx512, load, store};
use crate::predict::{
    forest::{Forest, Sum},
    values::{TREES, Values},
};

/// Values in a register.
const LANES: usize = 16;

impl Avx512 {
    /// Walks `R` rows of features through all trees and adds their leaves' values to `sums`: `R` rows of as many as there are outputs.
    pub(in crate::predict) fn values<S: Sum, const R: usize>(
        _: Self,
        forest: &Forest<S>,
        values: &Values,
        rows: &[f32],
        sums: &mut [S],
    ) {
        let features = values.features();
        let rows: [&[f32]; R] = std::array::from_fn(|row| &rows[row * features..][..features]);
        // SAFETY: `new` asked for the features of the machine, and each row has the features of the forest.
        unsafe {
            match features {
                0..=16 => walk::<S, R, 1>(forest, values, rows, sums),
                17..=32 => walk::<S, R, 2>(forest, values, rows, sums),
                _ => walk::<S, R, 0>(forest, values, rows, sums),
            }
        }
    }
}

/// A row: in registers, `TABLES` of them, or in memory where that is none.
#[derive(Clone, Copy)]
struct Row<'a, const TABLES: usize> {
    registers: [__m512; 2],
    memory: &'a [f32],
}

impl<'a, const TABLES: usize> Row<'a, TABLES> {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn new(row: &'a [f32]) -> Self {
        let mut registers = [_mm512_setzero_ps(); 2];
        for (register, values) in registers.iter_mut().zip(row.chunks(LANES)).take(TABLES) {
            // SAFETY: as many values are loaded as there are.
            *register = unsafe { _mm512_maskz_loadu_ps(u16::MAX >> (LANES - values.len()), values.as_ptr()) };
        }
        Self { registers, memory: row }
    }

    /// The values of features.
    ///
    /// # Safety
    /// The row has each of them.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn pick(&self, features: __m512i) -> __m512 {
        let [first, second] = self.registers;
        match TABLES {
            1 => _mm512_permutexvar_ps(features, first),
            2 => _mm512_permutex2var_ps(first, features, second),
            // SAFETY: as said.
            _ => unsafe { _mm512_i32gather_ps::<4>(features, self.memory.as_ptr()) },
        }
    }
}

/// # Safety
/// Each row has [`Values::features`].
#[target_feature(enable = "avx512f,avx512cd")]
unsafe fn walk<S: Sum, const R: usize, const TABLES: usize>(
    forest: &Forest<S>,
    values: &Values,
    rows: [&[f32]; R],
    sums: &mut [S],
) {
    let mut tables = [Row::<TABLES> { registers: [_mm512_setzero_ps(); 2], memory: &[] }; R];
    for (table, row) in tables.iter_mut().zip(rows) {
        *table = Row::new(row);
    }
    // Sums of one output stay in registers: through memory, each addition would wait for the one before to be stored.
    let mut one: Option<[S; R]> = if forest.width == 1 { <[S; R]>::try_from(&*sums).ok() } else { None };
    for group in &values.groups {
        let mut words = [_mm512_set1_epi32(-1); R];
        for slot in &values.slots[group.slots.clone()] {
            let (features, cuts, masks) = (load(slot.features()), load(&slot.cuts), load(&slot.masks));
            for (words, table) in words.iter_mut().zip(&tables) {
                // SAFETY: a slot's features are less than the forest's, and the row has those.
                let value = unsafe { table.pick(features) };
                let above = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(value, _mm512_castsi512_ps(cuts));
                let right = above | _mm512_mask_cmp_ps_mask::<_CMP_UNORD_Q>(slot.missing_right, value, value);
                *words = _mm512_mask_and_epi32(*words, right, *words, masks);
            }
        }
        let mut leaves = [[0_u32; TREES]; R];
        if let Some(one) = &mut one {
            let firsts = load(&group.values);
            for (leaves, words) in leaves.iter_mut().zip(words) {
                store(_mm512_add_epi32(_mm512_lzcnt_epi32(words), firsts), leaves);
            }
            for lane in 0..group.trees.len().min(TREES) {
                for (sum, leaves) in one.iter_mut().zip(&leaves) {
                    *sum = *sum + forest.values[leaves[lane] as usize];
                }
            }
            continue;
        }
        for (leaves, words) in leaves.iter_mut().zip(words) {
            store(_mm512_lzcnt_epi32(words), leaves);
        }
        for (lane, tree) in forest.trees[group.trees.clone()].iter().enumerate() {
            for (leaves, sums) in leaves.iter().zip(sums.chunks_exact_mut(forest.width)) {
                forest.add(tree, leaves[lane] as usize, sums);
            }
        }
    }
    if let Some(one) = one {
        sums.copy_from_slice(&one);
    }
}
