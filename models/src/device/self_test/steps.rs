//! The steps of the self-test: seeded inputs, what the device does with them, and what plain Rust says.

use burn::tensor::{Tensor, TensorData, activation::softmax};
use contract::{Device, DeviceKind};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

/// One operation on one shape.
pub(super) struct Step {
    pub(super) operation: String,
    pub(super) limit: f64,
    pub(super) run: Box<dyn Fn() -> Result<Vec<f32>, String>>,
    pub(super) expected: Expected,
}

/// What plain Rust computes in `f64`, and against what an error is measured.
pub(super) struct Expected {
    values: Vec<f64>,
    /// For each value, the sum of the sizes of the terms it is made of.
    scales: Vec<f64>,
}

impl Expected {
    /// The largest relative error, or why `result` is none at all.
    pub(super) fn largest_error(&self, result: &[f32]) -> Result<f64, String> {
        if result.len() != self.values.len() {
            return Err(format!("expected {} values, got {}", self.values.len(), result.len()));
        }
        let mut largest = 0.0_f64;
        for (place, (got, (expected, scale))) in result.iter().zip(self.values.iter().zip(&self.scales)).enumerate() {
            let error = (f64::from(*got) - expected).abs() / scale.max(f64::MIN_POSITIVE);
            if !error.is_finite() {
                return Err(format!("expected {expected} at place {place}, got {got}"));
            }
            largest = largest.max(error);
        }
        Ok(largest)
    }
}

/// Relative error of one correctly rounded `f32` operation.
const ROUNDING: f64 = 1.0 / (1 << 24) as f64;

/// All steps for a device: shapes of one element, odd ones, and ones that fill several tiles. There are few matrix products,
/// because each class of shapes is tuned on its own, which takes a software adapter seconds.
pub(super) fn all(device: &Device, burn_device: &burn::tensor::Device) -> Vec<Step> {
    let mut noise = Noise(ChaCha8Rng::seed_from_u64(0xe3b0_c442));
    let mut steps = Vec::new();
    for (rows, inner, columns) in [(7, 13, 5), (129, 257, 65)] {
        steps.push(matmul(&mut noise, device, burn_device, rows, inner, columns));
    }
    for (rows, columns) in [(1, 1), (3, 1001), (129, 65)] {
        steps.push(sum(&mut noise, burn_device, rows, columns));
        steps.push(max(&mut noise, burn_device, rows, columns));
        steps.push(row_softmax(&mut noise, burn_device, rows, columns));
    }
    #[cfg(feature = "gpu")]
    if device.kind != DeviceKind::Cpu {
        steps.push(bin(&mut noise, device, 513, 7));
    }
    steps
}

fn matmul(
    noise: &mut Noise,
    device: &Device,
    burn_device: &burn::tensor::Device,
    rows: usize,
    inner: usize,
    columns: usize,
) -> Step {
    let left = noise.values(rows * inner, 1.0);
    let right = noise.values(inner * columns, 1.0);
    let mut expected = Expected { values: Vec::new(), scales: Vec::new() };
    for row in 0..rows {
        for column in 0..columns {
            let terms = (0..inner).map(|k| f64::from(left[row * inner + k]) * f64::from(right[k * columns + column]));
            expected.values.push(terms.clone().sum());
            expected.scales.push(terms.map(f64::abs).sum());
        }
    }
    // CubeCL multiplies `f32` on NVIDIA's tensor cores as TF32, which keeps 11 bits of each factor.
    let factors = if device.kind == DeviceKind::Cuda { 2.0 / f64::from(1 << 11) } else { 0.0 };
    let burn_device = burn_device.clone();
    Step {
        operation: format!("matmul {rows}x{inner}x{columns}"),
        limit: factors + (inner + 2) as f64 * ROUNDING,
        run: Box::new(move || {
            let left = matrix(&left, rows, inner, &burn_device);
            read(left.matmul(matrix(&right, inner, columns, &burn_device)))
        }),
        expected,
    }
}

/// Sums down the columns: the axis along which memory is not contiguous.
fn sum(noise: &mut Noise, burn_device: &burn::tensor::Device, rows: usize, columns: usize) -> Step {
    let values = noise.values(rows * columns, 1.0);
    let column = |column: usize| values.iter().skip(column).step_by(columns).map(|value| f64::from(*value));
    let expected = Expected {
        values: (0..columns).map(|at| column(at).sum()).collect(),
        scales: (0..columns).map(|at| column(at).map(f64::abs).sum()).collect(),
    };
    let burn_device = burn_device.clone();
    Step {
        operation: format!("sum of columns {rows}x{columns}"),
        limit: (rows + 2) as f64 * ROUNDING,
        run: Box::new(move || read(matrix(&values, rows, columns, &burn_device).sum_dim(0))),
        expected,
    }
}

/// Maxima of the rows, which must be exact.
fn max(noise: &mut Noise, burn_device: &burn::tensor::Device, rows: usize, columns: usize) -> Step {
    let values = noise.values(rows * columns, 1.0);
    let maxima = values.chunks(columns).map(|row| row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let expected = Expected { values: maxima.map(f64::from).collect(), scales: vec![1.0; rows] };
    let burn_device = burn_device.clone();
    Step {
        operation: format!("max of rows {rows}x{columns}"),
        limit: 0.0,
        run: Box::new(move || read(matrix(&values, rows, columns, &burn_device).max_dim(1))),
        expected,
    }
}

fn row_softmax(noise: &mut Noise, burn_device: &burn::tensor::Device, rows: usize, columns: usize) -> Step {
    let largest = 8.0;
    let values = noise.values(rows * columns, largest);
    let mut expected = Vec::with_capacity(values.len());
    for row in values.chunks(columns) {
        let exponentials: Vec<f64> = row.iter().map(|value| f64::from(*value).exp()).collect();
        let sum: f64 = exponentials.iter().sum();
        expected.extend(exponentials.iter().map(|exponential| exponential / sum));
    }
    // Exponents reach down to -16: their own rounding counts 16 times, and Vulkan allows exp an error of 3 + 2|x| units
    // in the last place (two roundings each). That is there in the numerator and in each term of the sum, which adds
    // a rounding per term; Vulkan allows a division 2.5 units.
    let range = 2.0 * f64::from(largest);
    let exponential = range + 2.0 * (3.0 + 2.0 * range);
    let burn_device = burn_device.clone();
    Step {
        operation: format!("softmax of rows {rows}x{columns}"),
        limit: (2.0 * exponential + columns as f64 + 5.0) * ROUNDING,
        run: Box::new(move || read(softmax(matrix(&values, rows, columns, &burn_device), 1))),
        expected: Expected { scales: expected.clone(), values: expected },
    }
}

/// Binning by our own kernel, which must agree with its twin to the bit.
#[cfg(feature = "gpu")]
fn bin(noise: &mut Noise, device: &Device, rows: usize, features: usize) -> Step {
    let points: Vec<Vec<f32>> = (0..features)
        .map(|feature| {
            let mut points = noise.values(1 << feature, 1.0);
            points.sort_by(f32::total_cmp);
            points.dedup();
            points
        })
        .collect();
    let mut values = noise.values(rows * features, 1.0);
    // Some are missing, and some lie on a cut point.
    for (place, value) in values.iter_mut().enumerate() {
        match place % 10 {
            3 => *value = f32::NAN,
            6 => *value = points[place % features][0],
            _ => {}
        }
    }
    let cuts = kernels::bin::Cuts::new(&points).map_err(|error| error.to_string());
    let mut bins = vec![0; values.len()];
    let twin = cuts.clone().and_then(|cuts| {
        kernels::bin::cpu::bin(&values, &cuts, &mut bins).map_err(|error| error.to_string())?;
        Ok(cuts)
    });
    let device = device.clone();
    Step {
        operation: format!("bin {rows}x{features} (own kernel)"),
        limit: 0.0,
        run: Box::new(move || {
            let cuts = twin.as_ref().map_err(Clone::clone)?;
            let client = crate::device::to_cube(&device).map_err(|error| error.to_string())?.client();
            let bins = kernels::bin::gpu::bin(&client, &values, cuts).map_err(|error| error.to_string())?;
            // Exact: bins are far below 2^24.
            Ok(bins.into_iter().map(|bin| bin as f32).collect())
        }),
        expected: Expected { scales: vec![1.0; bins.len()], values: bins.into_iter().map(f64::from).collect() },
    }
}

fn matrix(values: &[f32], rows: usize, columns: usize, device: &burn::tensor::Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), [rows, columns]), device)
}

fn read(tensor: Tensor<2>) -> Result<Vec<f32>, String> {
    let data = tensor.try_into_data().map_err(|error| {
        // The rest is a backtrace.
        error.to_string().lines().next().unwrap_or_default().to_owned()
    })?;
    data.try_into_vec::<f32>().map_err(|error| format!("expected f32 values: {error:?}"))
}

/// Seeded inputs, the same on every machine.
struct Noise(ChaCha8Rng);

impl Noise {
    /// Uniform from `-largest` to `largest`, on a grid of 2^24 steps.
    fn values(&mut self, count: usize, largest: f32) -> Vec<f32> {
        (0..count).map(|_| ((self.0.next_u32() >> 8) as f32 / (1 << 23) as f32 - 1.0) * largest).collect()
    }
}
