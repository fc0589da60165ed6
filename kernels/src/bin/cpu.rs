//! Binning in plain Rust.

use super::{Cuts, order_key};
use crate::{Error, Result};

/// Writes the bin of each value of a row-major matrix `[rows, features]`; see the [module above](super).
///
/// # Errors
/// The values are no whole rows, or `bins` has another length.
pub fn bin(values: &[f32], cuts: &Cuts, bins: &mut [u32]) -> Result<()> {
    cuts.check_rows(values.len())?;
    if bins.len() != values.len() {
        return Err(Error::Length { expected: values.len(), got: bins.len() });
    }
    if values.is_empty() {
        return Ok(());
    }
    let keys: Vec<&[u32]> = (0..cuts.features()).map(|feature| cuts.keys(feature)).collect();
    for (row, bins) in values.chunks_exact(keys.len()).zip(bins.chunks_exact_mut(keys.len())) {
        for ((value, keys), bin) in row.iter().zip(&keys).zip(bins) {
            *bin = bin_of(*value, keys);
        }
    }
    Ok(())
}

/// The bin of one value, among the keys of its feature's cut points.
#[inline]
fn bin_of(value: f32, keys: &[u32]) -> u32 {
    if value.is_nan() { keys.len() as u32 + 1 } else { count_below(keys, order_key(value)) as u32 }
}

/// How many of the ascending `keys` are below `key`. The loop's length depends on the number of keys alone and the
/// comparison becomes an addition, so there is no branch for the processor to guess wrong.
#[inline]
fn count_below(keys: &[u32], key: u32) -> usize {
    let mut base = 0;
    let mut size = keys.len();
    while size > 1 {
        let half = size / 2;
        base += usize::from(keys[base + half - 1] < key) * half;
        size -= half;
    }
    base + usize::from(keys.get(base).is_some_and(|last| *last < key))
}
