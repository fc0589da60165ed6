//! Splitting rows into a training and a validation part.

use std::collections::BTreeMap;

use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::data::{Table, column_error};
use crate::Result;

/// Splits `rows` into training and validation rows, both ascending. The same arguments give the same split on every machine.
///
/// `valid` is the part that is held out, from 0 to below 1; as long as there are two rows, a part above 0 holds out at
/// least one row and leaves at least one. With `strata` (a class number for each of `rows`) every class is held out in
/// proportion, and every class keeps at least one row to train on.
#[must_use]
pub fn split(rows: &[usize], valid: f64, seed: u64, strata: Option<&[u32]>) -> (Vec<usize>, Vec<usize>) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut groups: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (position, row) in rows.iter().enumerate() {
        let stratum = strata.and_then(|strata| strata.get(position)).copied().unwrap_or(0);
        groups.entry(stratum).or_default().push(*row);
    }
    let part = if valid.is_finite() { valid.clamp(0.0, 1.0) } else { 0.0 };
    let wanted = held_out(rows.len(), part);
    let sizes: Vec<usize> = groups.values().map(Vec::len).collect();
    let quotas = quotas(&sizes, part, wanted);
    let (mut training, mut validation) = (Vec::with_capacity(rows.len() - wanted), Vec::with_capacity(wanted));
    for (mut group, quota) in groups.into_values().zip(quotas) {
        group.shuffle(&mut random);
        training.extend_from_slice(&group[quota..]);
        validation.extend_from_slice(&group[..quota]);
    }
    training.sort_unstable();
    validation.sort_unstable();
    (training, validation)
}

impl Table {
    /// Splits `rows` by what column `name` says of each: `train` or `valid`. Rows that say anything else, such as `test`, are in
    /// neither part.
    ///
    /// # Errors
    /// [`crate::Error::Column`] when there is no such column, or no row of one of the parts.
    pub(crate) fn split_by(&self, name: &str, rows: &[usize]) -> Result<(Vec<usize>, Vec<usize>)> {
        let column = self.column(self.column_index(name)?);
        let part = |word: &str| -> Result<Vec<usize>> {
            let says = |row: &usize| column.cell(*row).category().is_ok_and(|text| text == Some(word.as_bytes()));
            let part: Vec<usize> = rows.iter().copied().filter(says).collect();
            if part.is_empty() {
                return Err(column_error(name, format!("expected rows that say '{word}', got none with a label")));
            }
            Ok(part)
        };
        Ok((part("train")?, part("valid")?))
    }
}

/// Rows to hold out of `rows`.
#[expect(clippy::cast_sign_loss, reason = "the part is not negative")]
fn held_out(rows: usize, part: f64) -> usize {
    if part == 0.0 || rows < 2 { 0 } else { ((rows as f64 * part).round() as usize).clamp(1, rows - 1) }
}

/// Rows to hold out of each group: its share rounded down, then one more for the largest remainders until `wanted` is
/// reached, and never a whole group.
#[expect(clippy::cast_sign_loss, reason = "the part is not negative")]
fn quotas(sizes: &[usize], part: f64, wanted: usize) -> Vec<usize> {
    let mut quotas: Vec<usize> =
        sizes.iter().map(|size| ((*size as f64 * part) as usize).min(size.saturating_sub(1))).collect();
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    let remainder = |group: usize| (sizes[group] as f64 * part).fract();
    order.sort_by(|a, b| remainder(*b).total_cmp(&remainder(*a)));
    let mut missing = wanted.saturating_sub(quotas.iter().sum());
    while missing > 0 {
        let before = missing;
        for group in &order {
            if missing > 0 && quotas[*group] + 1 < sizes[*group] {
                quotas[*group] += 1;
                missing -= 1;
            }
        }
        // Every class is down to the one row that it keeps.
        if missing == before {
            break;
        }
    }
    quotas
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn holds_classes_out_in_proportion() {
        let rows: Vec<usize> = (0..100).collect();
        let strata: Vec<u32> = (0..100)
            .map(|row| {
                if row < 90 {
                    7
                } else if row < 99 {
                    1
                } else {
                    3
                }
            })
            .collect();
        let (training, validation) = split(&rows, 0.2, 1, Some(&strata));
        assert_eq!((training.len(), validation.len()), (80, 20));
        let held = |from: usize, to: usize| validation.iter().filter(|row| (from..to).contains(*row)).count();
        assert_eq!(held(0, 90), 18);
        assert_eq!(held(90, 99), 2);
        assert_eq!(held(99, 100), 0, "the one row of a class is trained on");
    }

    #[test]
    fn seeds_decide() {
        let rows: Vec<usize> = (0..1000).collect();
        assert_eq!(split(&rows, 0.2, 5, None), split(&rows, 0.2, 5, None));
        assert_ne!(split(&rows, 0.2, 5, None), split(&rows, 0.2, 6, None));
        assert_eq!(split(&rows, 0.0, 5, None), (rows, vec![]));
        assert_eq!(split(&[4, 9], 0.01, 5, None).1.len(), 1);
        assert_eq!(split(&[4], 0.5, 5, None), (vec![4], vec![]));
    }

    proptest! {
        #[test]
        fn every_row_is_in_one_part(
            strata in proptest::collection::vec(0_u32..5, 0..200),
            valid in prop_oneof![0.0..1.0_f64, Just(f64::NAN), Just(-1.0), Just(7.0)],
            seed in any::<u64>(),
        ) {
            let rows: Vec<usize> = (0..strata.len()).map(|row| row * 3).collect();
            let (training, validation) = split(&rows, valid, seed, Some(&strata));
            let mut all: Vec<usize> = training.iter().chain(&validation).copied().collect();
            all.sort_unstable();
            prop_assert_eq!(all, rows);
            for class in &strata {
                prop_assert!(training.iter().any(|row| strata[row / 3] == *class));
            }
        }
    }
}
