//! Binning as a CubeCL kernel: one unit per value.

use cubecl::{calculate_cube_count_elemwise, client::Client, prelude::*, server::Handle};

use super::{Cuts, MAGNITUDE, ZERO};
use crate::{Error, Result, buffer};

/// Bit pattern of positive infinity. Greater patterns, the sign aside, are NaN.
const INFINITY: u32 = 0x7f80_0000;
/// Units per cube: a multiple of every plane size in use (8 to 64) and within every device's limit.
const UNITS: u32 = 256;

/// Values, keys and bins are bit patterns. `offsets` has one more entry than there are features.
#[cube(launch)]
fn bin_kernel(values: &[u32], keys: &[u32], offsets: &[u32], bins: &mut [u32]) {
    if ABSOLUTE_POS < bins.len() {
        let feature = ABSOLUTE_POS % (offsets.len() - 1);
        let start = offsets[feature];
        let end = offsets[feature + 1];
        let bits = values[ABSOLUTE_POS];
        let magnitude = bits & MAGNITUDE;

        let mut bin = end - start + 1;
        if magnitude <= INFINITY {
            let mut key = bits | ZERO;
            if bits > MAGNITUDE {
                key = u32::MAX - bits;
            }
            if magnitude == 0 {
                key = ZERO.runtime();
            }
            let mut low = start;
            let mut high = end;
            while low < high {
                let middle = (low + high) / 2;
                if keys[middle as usize] < key {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            bin = low - start;
        }
        bins[ABSOLUTE_POS] = bin;
    }
}

/// Cut points in a device's memory.
#[derive(Clone, Debug)]
pub struct DeviceCuts {
    keys: Handle,
    offsets: Handle,
    features: usize,
}

impl DeviceCuts {
    /// Copies cut points to the device.
    #[must_use]
    pub fn upload(client: &Client, cuts: &Cuts) -> Self {
        // A buffer has at least one element; with no cut point at all, none is read.
        let keys: &[u32] = if cuts.keys.is_empty() { &[0] } else { &cuts.keys };
        Self {
            keys: client.create_from_slice(bytemuck::cast_slice(keys)),
            offsets: client.create_from_slice(bytemuck::cast_slice(&cuts.offsets)),
            features: cuts.features(),
        }
    }
}

/// Starts binning a row-major `f32` matrix in device memory and gives the buffer that will hold one `u32` per value.
/// Does not wait.
///
/// # Errors
/// The values are no whole rows, or too many for one launch ([`largest_launch`]).
pub fn launch(client: &Client, values: Handle, cuts: &DeviceCuts) -> Result<Handle> {
    let count = buffer::len::<f32>(&values);
    if count.checked_rem(cuts.features) != Some(0) {
        return Err(Error::Rows { features: cuts.features, got: count });
    }
    let limit = largest_launch(client);
    if count > limit {
        return Err(Error::TooLarge { limit, got: count });
    }
    let bins = client.empty(size_of::<u32>() * count);
    bin_kernel::launch(
        client,
        calculate_cube_count_elemwise(client, count, CubeDim::new_1d(UNITS)),
        CubeDim::new_1d(UNITS),
        buffer::argument::<u32>(values),
        buffer::argument::<u32>(cuts.keys.clone()),
        buffer::argument::<u32>(cuts.offsets.clone()),
        buffer::argument::<u32>(bins.clone()),
    );
    Ok(bins)
}

/// How many values one launch takes: what one buffer holds, and at most 2^31 so that places fit into 32 bits.
#[must_use]
pub fn largest_launch(client: &Client) -> usize {
    let bytes = client.properties().memory.max_page_size;
    usize::try_from(bytes / size_of::<u32>() as u64).unwrap_or(usize::MAX).min(1 << 31)
}

/// Bins a row-major matrix `[rows, features]` in host memory, in as many launches as it takes; see the
/// [module above](super).
///
/// # Errors
/// The values are no whole rows, or the device failed.
pub fn bin(client: &Client, values: &[f32], cuts: &Cuts) -> Result<Vec<u32>> {
    bin_in_launches(client, values, cuts, largest_launch(client))
}

/// As [`bin`], with at most `largest` values in one launch (but at least one row).
pub(super) fn bin_in_launches(client: &Client, values: &[f32], cuts: &Cuts, largest: usize) -> Result<Vec<u32>> {
    cuts.check_rows(values.len())?;
    if values.is_empty() {
        return Ok(Vec::new());
    }
    let on_device = DeviceCuts::upload(client, cuts);
    let rows_per_launch = (largest / cuts.features()).max(1);
    let mut bins = Vec::with_capacity(values.len());
    for rows in values.chunks(rows_per_launch * cuts.features()) {
        let uploaded = client.create_from_slice(bytemuck::cast_slice(rows));
        let result = launch(client, uploaded, &on_device)?;
        bins.extend(buffer::read::<u32>(client, result)?);
    }
    Ok(bins)
}
