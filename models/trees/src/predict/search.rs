//! How many of a feature's thresholds lie below a value.

use crate::ensemble::{Missing, ZERO};

/// Keys that are compared at once.
pub(super) const KEYS: usize = 16;

/// A search tree over ascending cuts: each node holds the last cut of each of its [`KEYS`] children. A level costs one
/// comparison of vectors, so a feature of up to 256 cuts costs two, and nothing depends on where the value lies.
#[derive(Clone, Debug)]
pub(super) struct Search<T> {
    /// From the root to the cuts themselves, one level behind the other; each padded with infinity, which is below nothing.
    nodes: Vec<[T; KEYS]>,
    /// Where each level begins; the first `levels` count.
    starts: [u32; LEVELS],
    levels: usize,
    /// The rank of what is missing.
    missing: usize,
    /// Numbers this near to zero are missing too; below zero for none.
    zero: T,
}

/// Enough for 16 million cuts, more than there are codes for.
const LEVELS: usize = 6;

/// How a machine counts the keys below a value.
pub(super) trait Machine: Copy {
    /// Of f32.
    fn below_f32(self, keys: &[f32; KEYS], x: f32) -> usize;
    /// Of f64.
    fn below_f64(self, keys: &[f64; KEYS], x: f64) -> usize;
}

/// Any machine.
#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Machine for Portable {
    #[inline(always)]
    fn below_f32(self, keys: &[f32; KEYS], x: f32) -> usize {
        keys.iter().map(|key| usize::from(*key < x)).sum()
    }

    #[inline(always)]
    fn below_f64(self, keys: &[f64; KEYS], x: f64) -> usize {
        keys.iter().map(|key| usize::from(*key < x)).sum()
    }
}

/// f32 and f64.
pub(super) trait Float: Copy + PartialOrd {
    const INFINITY: Self;
    const ZERO: Self;
    fn of(x: f64) -> Self;
    fn abs(self) -> Self;
    fn is_nan(self) -> bool;
    fn below(machine: impl Machine, keys: &[Self; KEYS], x: Self) -> usize;
}

macro_rules! float {
    ($float:ty, $below:ident) => {
        impl Float for $float {
            const INFINITY: Self = <$float>::INFINITY;
            const ZERO: Self = 0.0;

            fn of(x: f64) -> Self {
                x as Self
            }

            #[inline(always)]
            fn abs(self) -> Self {
                <$float>::abs(self)
            }

            #[inline(always)]
            fn is_nan(self) -> bool {
                <$float>::is_nan(self)
            }

            #[inline(always)]
            fn below(machine: impl Machine, keys: &[Self; KEYS], x: Self) -> usize {
                machine.$below(keys, x)
            }
        }
    };
}

float!(f32, below_f32);
float!(f64, below_f64);

impl<T: Float> Search<T> {
    /// Over ascending cuts.
    pub(super) fn new(cuts: &[T], missing: Missing) -> Self {
        let node = |keys: &[T]| {
            let mut node = [T::INFINITY; KEYS];
            node[..keys.len()].copy_from_slice(keys);
            node
        };
        let mut levels = vec![cuts.chunks(KEYS).map(node).collect::<Vec<_>>()];
        // A value above all keys of a node would lead behind its last child: there is one key more than there are cuts.
        if cuts.len().is_multiple_of(KEYS) {
            levels[0].push([T::INFINITY; KEYS]);
        }
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let lasts: Vec<T> = below.iter().map(|node| node[KEYS - 1]).collect();
            levels.push(lasts.chunks(KEYS).map(node).collect());
        }
        levels.reverse();
        let mut starts = [0; LEVELS];
        let mut nodes = Vec::with_capacity(levels.iter().map(Vec::len).sum());
        for (start, level) in starts.iter_mut().zip(&levels) {
            *start = nodes.len() as u32;
            nodes.extend_from_slice(level);
        }
        let (zero, rank) = match missing {
            Missing::Left => (T::of(-1.0), 0),
            Missing::Right => (T::of(-1.0), cuts.len()),
            Missing::AsZero => (T::of(-1.0), cuts.iter().filter(|cut| **cut < T::ZERO).count()),
            Missing::ZeroLeft => (T::of(ZERO), 0),
            Missing::ZeroRight => (T::of(ZERO), cuts.len()),
        };
        Self { nodes, starts, levels: levels.len(), missing: rank, zero }
    }

    /// How many cuts lie below `x`.
    #[inline(always)]
    pub(super) fn rank(&self, machine: impl Machine, x: T) -> usize {
        let mut place = 0;
        for start in self.starts.iter().take(self.levels) {
            place = place * KEYS + T::below(machine, &self.nodes[*start as usize + place], x);
        }
        if x.is_nan() | (x.abs() <= self.zero) { self.missing } else { place }
    }
}

impl<T> Search<T> {
    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.nodes.as_slice())
    }
}

/// The same cuts as a binary tree, level by level, for [`KEYS`] values side by side: a value at place `p` of a level goes on at
/// `2p`, or at `2p + 1` when it lies above the cut there. Behind the last level its place is the number of cuts below it.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Debug, Default)]
pub(super) struct Levels {
    /// Each level's cuts, padded with infinity to whole registers.
    pub(super) levels: Vec<Vec<[f32; KEYS]>>,
    /// The rank of what is missing.
    pub(super) missing: u32,
    /// Numbers this near to zero are missing too; below zero for none.
    pub(super) zero: f32,
}

#[cfg(target_arch = "x86_64")]
impl Levels {
    /// Of the same cuts as `search`.
    pub(super) fn new(cuts: &[f32], search: &Search<f32>) -> Self {
        // So many places that the last one has no cut of its own.
        let places = (cuts.len() + 1).next_power_of_two();
        let mut levels = Vec::new();
        let mut part = places;
        while part > 1 {
            let middles = (0..places / part).map(|number| number * part + part / 2 - 1);
            let mut level: Vec<f32> = middles.map(|cut| cuts.get(cut).copied().unwrap_or(f32::INFINITY)).collect();
            level.resize(level.len().next_multiple_of(KEYS), f32::INFINITY);
            levels.push(level.as_chunks().0.to_vec());
            part /= 2;
        }
        Self { levels, missing: search.missing as u32, zero: search.zero }
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.levels.iter().map(|level| size_of_val(level.as_slice())).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_lies_below() {
        for count in [0, 1, 15, 16, 17, 31, 32, 255, 256, 257, 4096, 5000] {
            let cuts: Vec<f64> = (0..count).map(|cut| f64::from(cut) * 2.0).collect();
            let search = Search::new(&cuts, Missing::Right);
            for x in -1..=2 * count {
                let expected = cuts.iter().filter(|cut| **cut < f64::from(x)).count();
                assert_eq!(search.rank(Portable, f64::from(x)), expected, "{x} among {count}");
            }
            assert_eq!(search.rank(Portable, f64::INFINITY), cuts.len());
            assert_eq!(search.rank(Portable, f64::NEG_INFINITY), 0);
            assert_eq!(search.rank(Portable, f64::NAN), cuts.len());
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn a_place_behind_the_last_level_is_the_rank() {
        for count in [0, 1, 2, 3, 15, 16, 17, 31, 255, 256, 5000] {
            let cuts: Vec<f32> = (0..count).map(|cut| cut as f32 * 2.0).collect();
            let levels = Levels::new(&cuts, &Search::new(&cuts, Missing::Right)).levels;
            for x in (-1..=2 * count).map(|x| x as f32).chain([f32::INFINITY, f32::NEG_INFINITY]) {
                let step = |place: usize, level: &Vec<_>| 2 * place + usize::from(x > level.as_flattened()[place]);
                let expected = cuts.iter().filter(|cut| **cut < x).count();
                assert_eq!(levels.iter().fold(0, step), expected, "{x} among {count}");
            }
        }
    }

    #[test]
    fn an_infinite_cut_has_nothing_above_it() {
        let cuts: Vec<f32> = (0..15).map(|cut| cut as f32).chain([f32::INFINITY]).collect();
        let search = Search::new(&cuts, Missing::Left);
        assert_eq!(
            (search.rank(Portable, f32::INFINITY), search.rank(Portable, 14.5), search.rank(Portable, f32::NAN)),
            (15, 15, 0)
        );
    }
}
