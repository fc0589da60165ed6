//! How many of a feature's thresholds lie below a value.

use crate::ensemble::{Missing, ZERO};

/// Keys that are compared at once.
pub(super) const KEYS: usize = 16;

/// A search tree over ascending cuts: each node holds the last cut of each of its [`KEYS`] children. A level costs one
/// comparison of vectors, so a feature of up to 256 cuts costs two, and nothing depends on where the value lies.
#[derive(Clone, Debug)]
pub(super) struct Search<T> {
    /// From the root to the cuts themselves; each padded with infinity, which is below nothing.
    levels: Vec<Vec<[T; KEYS]>>,
    /// The rank of what is missing.
    missing: usize,
    /// Numbers this near to zero are missing too; below zero for none.
    zero: T,
}

/// How a machine counts the keys below a value.
pub trait Machine: Copy {
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
        let (zero, rank) = match missing {
            Missing::Left => (T::of(-1.0), 0),
            Missing::Right => (T::of(-1.0), cuts.len()),
            Missing::AsZero => (T::of(-1.0), cuts.iter().filter(|cut| **cut < T::ZERO).count()),
            Missing::ZeroLeft => (T::of(ZERO), 0),
            Missing::ZeroRight => (T::of(ZERO), cuts.len()),
        };
        Self { levels, missing: rank, zero }
    }

    /// How many cuts lie below `x`.
    #[inline(always)]
    pub(super) fn rank(&self, machine: impl Machine, x: T) -> usize {
        let mut place = 0;
        for level in &self.levels {
            place = place * KEYS + T::below(machine, &level[place], x);
        }
        if x.is_nan() | (x.abs() <= self.zero) { self.missing } else { place }
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
