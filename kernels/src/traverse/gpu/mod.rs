//! Traversal as CubeCL kernels: launches, and copies of coders and forests in a device's memory.

mod kernels;

use cubecl::{calculate_cube_count_elemwise, client::Client, prelude::*, server::Handle};
use kernels::{Shape, code_kernel, leaves_kernel, sum_kernel, vector_sum_kernel};

use super::{
    coder::Coder,
    forest::{Forest, Layout},
};
use crate::{Error, Result, buffer};

/// Units a cube, at most: a multiple of every plane size in use (8 to 64) and within every device's limit.
const UNITS: u32 = 256;
/// Rows a cube, unless there are fewer trees than it has units then.
const ROWS: u32 = 32;
/// Cubes that keep a device busy whose number of processors is not known, and cubes a processor where it is.
const CUBES: u32 = 64;
const CUBES_A_PROCESSOR: u32 = 2;
/// Words a sum.
const SUM: usize = 2;

/// A coder in a device's memory.
#[derive(Clone, Debug)]
pub struct DeviceCoder {
    records: Handle,
    data: Handle,
    features: usize,
    words: usize,
}

/// A forest in a device's memory.
#[derive(Clone, Debug)]
pub struct DeviceForest {
    nodes: Handle,
    roots: Handle,
    values: Handle,
    starts: Handle,
    shape: Shape,
}

impl DeviceCoder {
    /// Bytes held on the device.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.records.size_in_used() + self.data.size_in_used()
    }

    /// Copies a coder to the device.
    ///
    /// # Errors
    /// A part of it is larger than one buffer of the device.
    pub fn upload(client: &Client, coder: &Coder) -> Result<Self> {
        let Coder { records, data, .. } = coder;
        Ok(Self {
            records: upload(client, records)?,
            data: upload(client, data)?,
            features: coder.features(),
            words: coder.words(),
        })
    }
}

impl DeviceForest {
    /// Bytes held on the device.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        [&self.nodes, &self.roots, &self.values, &self.starts].iter().map(|part| part.size_in_used()).sum()
    }

    /// Copies a forest to the device.
    ///
    /// # Errors
    /// A part of it is larger than one buffer of the device.
    pub fn upload(client: &Client, forest: &Forest) -> Result<Self> {
        let (perfect, depth) = match forest.layout() {
            Layout::Perfect { depth } => (true, depth),
            Layout::General => (false, 0),
        };
        let units = client.properties().hardware.max_units_per_cube.clamp(1, UNITS);
        Ok(Self {
            nodes: upload(client, &forest.nodes)?,
            roots: upload(client, &forest.roots)?,
            values: upload(client, &forest.values)?,
            starts: upload(client, &forest.starts)?,
            shape: Shape {
                perfect,
                depth,
                words: forest.words() as u32,
                width: forest.width() as u32,
                stride: forest.stride as u32,
                trees: forest.trees() as u32,
                // The largest power of two, for halving.
                units: 1 << units.ilog2(),
                rows: 1,
                staged: false,
            },
        })
    }

    /// The shape of a launch for so many rows: as many a cube as fit into shared memory while there are cubes for all processors,
    /// and no fewer than leave each unit a tree. Sums are the same bits in any shape.
    fn shape(&self, client: &Client, rows: usize) -> Shape {
        let hardware = &client.properties().hardware;
        let cubes = hardware.num_streaming_multiprocessors.map_or(CUBES, |count| count * CUBES_A_PROCESSOR) as usize;
        let Shape { units, trees, width, stride, .. } = self.shape;
        // Trees that one cube walks; at least one unit a row.
        let trees = if stride == 1 { trees / width.max(1) } else { trees };
        let least = units / trees.max(1).next_power_of_two().min(units);
        let room = hardware.max_shared_memory_size.saturating_sub(2 * units as usize * size_of::<u32>());
        let fits = |rows: u32| Shape { rows, staged: true, ..self.shape }.stage() * size_of::<u32>() <= room;
        let mut taken = least.max(ROWS).min(units);
        while taken > 1 && (!fits(taken) || (taken > least && rows.div_ceil(taken as usize) < cubes)) {
            taken /= 2;
        }
        if fits(taken) {
            Shape { rows: taken, staged: true, ..self.shape }
        } else {
            // Not one row fits: caches have to do.
            Shape { rows: least.max(ROWS).min(units), staged: false, ..self.shape }
        }
    }
}

/// A buffer has at least one element; of an empty part, none is read.
fn upload(client: &Client, part: &[u32]) -> Result<Handle> {
    let limit = largest(client);
    if part.len() > limit {
        return Err(Error::TooLarge { limit, got: part.len() });
    }
    let part = if part.is_empty() { &[0] } else { part };
    Ok(client.create_from_slice(bytemuck::cast_slice(part)))
}

/// How many words one buffer holds; at most 2^31 so that places fit into 32 bits.
fn largest(client: &Client) -> usize {
    let bytes = client.properties().memory.max_page_size;
    usize::try_from(bytes / size_of::<u32>() as u64).unwrap_or(usize::MAX).min(1 << 31)
}

/// How many rows one launch takes of a coder and its forest.
#[must_use]
pub fn largest_launch(client: &Client, coder: &DeviceCoder, forest: &DeviceForest) -> usize {
    let width = coder.features.max(coder.words).max(SUM * forest.shape.width as usize);
    (largest(client) / width).min(client.properties().hardware.max_cube_count.0 as usize)
}

/// Starts coding a row-major `f32` matrix in device memory, and gives the buffer of [`Coder::words`] a row. Does not wait.
///
/// # Errors
/// The values are no whole rows, or too many for one launch.
pub fn launch_code(client: &Client, values: Handle, coder: &DeviceCoder) -> Result<Handle> {
    let count = buffer::len::<f32>(&values);
    let limit = largest(client);
    if !count.is_multiple_of(coder.features) {
        return Err(Error::Rows { features: coder.features, got: count });
    }
    let coded = count / coder.features * coder.words;
    if count.max(coded) > limit {
        return Err(Error::TooLarge { limit, got: count.max(coded) });
    }
    let words = client.empty(coded * size_of::<u32>());
    code_kernel::launch(
        client,
        calculate_cube_count_elemwise(client, coded, CubeDim::new_1d(UNITS)),
        CubeDim::new_1d(UNITS),
        buffer::argument::<u32>(values),
        buffer::argument::<u32>(coder.records.clone()),
        buffer::argument::<u32>(coder.data.clone()),
        buffer::argument::<u32>(words.clone()),
        coder.features as u32,
        coder.words as u32,
    );
    Ok(words)
}

/// Starts adding up the trees' leaves for coded rows in device memory, and gives the buffer that [`read_sums`] reads. Does not
/// wait.
///
/// # Errors
/// The words are no whole rows, or too many for one launch.
pub fn launch_sums(client: &Client, words: Handle, forest: &DeviceForest) -> Result<Handle> {
    let count = buffer::len::<u32>(&words);
    let Shape { words: row, width, stride, .. } = forest.shape;
    if !count.is_multiple_of(row as usize) {
        return Err(Error::Words { words: row as usize, got: count });
    }
    let rows = count / row as usize;
    let shape = forest.shape(client, rows);
    let outputs = if stride == 1 { width } else { width.div_ceil(shape.slots()) };
    let (x, y) = (rows.div_ceil(shape.rows as usize), outputs);
    let most = client.properties().hardware.max_cube_count;
    let limit = (largest(client) / (SUM * width as usize)).min(most.0 as usize * shape.rows as usize);
    if rows > limit || y > most.1 {
        return Err(Error::TooLarge { limit, got: rows });
    }
    let sums = client.empty(rows * width as usize * SUM * size_of::<u32>());
    let count = CubeCount::Static(x as u32, y, 1);
    let units = CubeDim::new_1d(shape.units);
    let [words, nodes, roots, values] =
        [words, forest.nodes.clone(), forest.roots.clone(), forest.values.clone()].map(buffer::argument::<u32>);
    if stride == 1 {
        let starts = buffer::argument::<u32>(forest.starts.clone());
        let out = buffer::argument::<u32>(sums.clone());
        sum_kernel::launch(client, count, units, words, nodes, roots, values, starts, out, rows as u32, shape);
    } else {
        let out = buffer::argument::<u32>(sums.clone());
        vector_sum_kernel::launch(client, count, units, words, nodes, roots, values, out, rows as u32, shape);
    }
    Ok(sums)
}

/// Waits for sums and copies them to the host: `[rows, outputs]`, in units of [`Forest::unit`].
///
/// # Errors
/// The device failed.
pub fn read_sums(client: &Client, sums: Handle) -> Result<Vec<i64>> {
    let words = buffer::read::<u32>(client, sums)?;
    Ok(words.as_chunks::<SUM>().0.iter().map(|[low, high]| i64::from(*low) | i64::from(*high) << 32).collect())
}

/// Sends what was launched to the device, which else may wait for more.
///
/// # Errors
/// The device failed.
pub fn flush(client: &Client) -> Result<()> {
    client.flush().map_err(|error| buffer::failed(&error))
}

/// Codes a row-major matrix in host memory, in one launch.
///
/// # Errors
/// As [`launch_code`], or the device failed.
pub fn code(client: &Client, values: &[f32], coder: &Coder) -> Result<Vec<u32>> {
    if coder.rows(values.len())? == 0 {
        return Ok(Vec::new());
    }
    let uploaded = client.create_from_slice(bytemuck::cast_slice(values));
    buffer::read(client, launch_code(client, uploaded, &DeviceCoder::upload(client, coder)?)?)
}

/// The leaf that each tree leads each coded row to, in one launch: `[rows, trees]`, numbered as the trees were given.
///
/// # Errors
/// The words are no whole rows, the rows too many for one launch, or the device failed.
pub fn leaves(client: &Client, words: &[u32], forest: &Forest) -> Result<Vec<u32>> {
    let count = forest.rows(words.len())? * forest.trees();
    let limit = largest(client);
    if count.max(words.len()) > limit {
        return Err(Error::TooLarge { limit, got: count.max(words.len()) });
    }
    if count == 0 {
        return Ok(Vec::new());
    }
    let device = DeviceForest::upload(client, forest)?;
    let found = client.empty(count * size_of::<u32>());
    leaves_kernel::launch(
        client,
        calculate_cube_count_elemwise(client, count, CubeDim::new_1d(UNITS)),
        CubeDim::new_1d(UNITS),
        buffer::argument::<u32>(upload(client, words)?),
        buffer::argument::<u32>(device.nodes),
        buffer::argument::<u32>(device.roots),
        buffer::argument::<u32>(upload(client, &forest.order)?),
        buffer::argument::<u32>(upload(client, &forest.numbers)?),
        buffer::argument::<u32>(found.clone()),
        device.shape,
    );
    buffer::read(client, found)
}

/// What the trees add to each coded row, in one launch: `[rows, outputs]`, in units of [`Forest::unit`].
///
/// # Errors
/// As [`launch_sums`], or the device failed.
pub fn sums(client: &Client, words: &[u32], forest: &Forest) -> Result<Vec<i64>> {
    if forest.rows(words.len())? == 0 {
        return Ok(Vec::new());
    }
    let device = DeviceForest::upload(client, forest)?;
    read_sums(client, launch_sums(client, upload(client, words)?, &device)?)
}
