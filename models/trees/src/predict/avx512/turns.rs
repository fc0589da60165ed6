//! [`Turns`] walked with AVX-512.

use std::arch::x86_64::{
    __m512i, _mm512_add_epi32, _mm512_castsi512_si128, _mm512_cmpgt_epu8_mask, _mm512_cvtepu8_epi32,
    _mm512_extracti32x4_epi32, _mm512_mask_cmpeq_epi8_mask, _mm512_mask_mov_epi8, _mm512_setzero_si512,
};

use super::{Avx512, InLanes, Table, load, store};
use crate::predict::{
    bits::CODES,
    forest::{Forest, Sum},
    turns::{ABREAST, Group, TREES, Turns},
};

impl InLanes for Turns {
    fn walk<S: Sum, const R: usize>(&self, _: Avx512, forest: &Forest<S>, rows: &[[u8; CODES]; R], sums: &mut [S]) {
        // SAFETY: the first argument is made by `Avx512::new`, which asked for the features.
        unsafe {
            match forest.codes.count() {
                0..=64 => walk::<S, R, 1>(forest, self, rows, sums),
                65..=128 => walk::<S, R, 2>(forest, self, rows, sums),
                _ => walk::<S, R, 4>(forest, self, rows, sums),
            }
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn walk<S: Sum, const R: usize, const TABLES: usize>(
    forest: &Forest<S>,
    turns: &Turns,
    rows: &[[u8; CODES]; R],
    sums: &mut [S],
) {
    let mut tables = [Table::<TABLES>([_mm512_setzero_si512(); 4]); R];
    for (table, row) in tables.iter_mut().zip(rows) {
        *table = Table::new(row);
    }
    // Rows side by side do not wait for each other; one that comes alone has its groups side by side.
    let (pairs, rest) = if R == 1 { turns.groups.as_chunks::<ABREAST>() } else { (&[][..], &turns.groups[..]) };
    let rest = rest.as_chunks::<1>().0;
    // Sums of one output stay in registers: through memory, each addition would wait for the one before to be stored.
    if let (1, Ok(mut one)) = (forest.width, <[S; R]>::try_from(&*sums)) {
        let mut behind = Behind { places: [[[0; TREES]; R]; ABREAST], trees: 0 };
        for pair in pairs {
            (one, behind) = step(forest, turns, pair, &tables, one, &behind);
        }
        for group in rest {
            (one, behind) = step(forest, turns, group, &tables, one, &behind);
        }
        for tree in 0..behind.trees {
            behind.add(forest, tree, &mut one);
        }
        sums.copy_from_slice(&one);
        return;
    }
    for pair in pairs {
        add(forest, pair, &leaves(turns, pair, &tables, || ()), sums);
    }
    for group in rest {
        add(forest, group, &leaves(turns, group, &tables, || ()), sums);
    }
}

/// Leaves of the groups before, whose values are still to be added: each addition waits for the one before, which leaves time for
/// the splits of the next groups.
struct Behind<const R: usize> {
    /// By group, row and tree, the place among the forest's values.
    places: [[[u32; TREES]; R]; ABREAST],
    trees: usize,
}

impl<const R: usize> Behind<R> {
    #[inline(always)]
    fn add<S: Sum>(&self, forest: &Forest<S>, tree: usize, sums: &mut [S; R]) {
        let group = &self.places[tree / TREES % ABREAST];
        for (sum, places) in sums.iter_mut().zip(group) {
            *sum = *sum + forest.values[places[tree % TREES] as usize];
        }
    }
}

/// Finds the leaves of `groups` while the values of those `behind` are added; gives the sums, and the new leaves.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn step<S: Sum, const R: usize, const TABLES: usize, const G: usize>(
    forest: &Forest<S>,
    turns: &Turns,
    groups: &[Group; G],
    tables: &[Table<TABLES>; R],
    mut sums: [S; R],
    behind: &Behind<R>,
) -> ([S; R], Behind<R>) {
    let slots = groups[0].slots.len();
    let a_slot = behind.trees.div_ceil(slots.max(1));
    let mut added = 0;
    let found = leaves(turns, groups, tables, || {
        let until = (added + a_slot).min(behind.trees);
        while added < until {
            behind.add(forest, added, &mut sums);
            added += 1;
        }
    });
    while added < behind.trees {
        behind.add(forest, added, &mut sums);
        added += 1;
    }
    let mut next = Behind { places: [[[0; TREES]; R]; ABREAST], trees: 0 };
    for ((group, leaves), places) in groups.iter().zip(&found).zip(&mut next.places) {
        next.trees += group.trees.len();
        for (places, leaves) in places.iter_mut().zip(leaves) {
            let quarters = [
                _mm512_castsi512_si128(*leaves),
                _mm512_extracti32x4_epi32::<1>(*leaves),
                _mm512_extracti32x4_epi32::<2>(*leaves),
                _mm512_extracti32x4_epi32::<3>(*leaves),
            ];
            let values = group.values.as_chunks::<16>().0;
            for ((places, values), leaves) in places.as_chunks_mut::<16>().0.iter_mut().zip(values).zip(quarters) {
                store(_mm512_add_epi32(_mm512_cvtepu8_epi32(leaves), load(values)), places);
            }
        }
    }
    (sums, next)
}

/// The leaves of `G` groups of trees that as many rows as there are tables end in. `meanwhile` is run once a slot.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn leaves<const R: usize, const TABLES: usize, const G: usize>(
    turns: &Turns,
    groups: &[Group; G],
    tables: &[Table<TABLES>; R],
    mut meanwhile: impl FnMut(),
) -> [[__m512i; R]; G] {
    let mut found = [[_mm512_setzero_si512(); R]; G];
    let slots = groups.each_ref().map(|group| &turns.slots[group.slots.clone()]);
    for place in 0..slots[0].len() {
        meanwhile();
        for (found, slots) in found.iter_mut().zip(&slots) {
            let slot = &slots[place];
            let (codes, cuts, firsts, rights) =
                (load(&slot.codes), load(&slot.cuts), load(&slot.firsts), load(&slot.rights));
            for (found, table) in found.iter_mut().zip(tables) {
                let right = _mm512_cmpgt_epu8_mask(table.pick(codes), cuts);
                let turns = _mm512_mask_cmpeq_epi8_mask(right, *found, firsts);
                *found = _mm512_mask_mov_epi8(*found, turns, rights);
            }
        }
    }
    found
}

/// Adds the leaves' values to the sums of several outputs.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn add<S: Sum, const R: usize, const G: usize>(
    forest: &Forest<S>,
    groups: &[Group; G],
    leaves: &[[__m512i; R]; G],
    sums: &mut [S],
) {
    for (group, leaves) in groups.iter().zip(leaves) {
        let mut places = [[0_u8; TREES]; R];
        places.iter_mut().zip(leaves).for_each(|(places, leaves)| store(*leaves, places));
        for (lane, tree) in forest.trees[group.trees.clone()].iter().enumerate() {
            for (places, sums) in places.iter().zip(sums.chunks_exact_mut(forest.width)) {
                forest.add(tree, usize::from(places[lane]), sums);
            }
        }
    }
}
