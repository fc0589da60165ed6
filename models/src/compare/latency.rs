//! How long a model takes from a request's tensors to the answer's, without a server around it.

use std::time::{Duration, Instant};

use contract::{Device, Model, RowBlock};
use serde::Serialize;

use crate::{
    Result,
    batches::run_rows,
    table::{Table, tensors},
};

/// Rows of the requests that are timed.
pub const BATCHES: [usize; 3] = [1, 64, 4096];

/// Calls of each batch are timed for this long, and at least [`LEAST`] of them.
const LONG: Duration = Duration::from_millis(200);
const LEAST: usize = 5;

/// What a request takes.
#[derive(Clone, Debug, Serialize)]
pub struct Latency {
    /// Device in its short form, such as `cpu`.
    pub device: String,
    /// Rows of the request.
    pub batch: usize,
    /// Median microseconds of a call: encode, run, decode.
    pub micros: f64,
}

/// The latencies of `model` on each device, with requests made of `rows` of `table`, again from the first when they are too few.
pub(super) fn measured(model: &dyn Model, table: &Table, rows: &[usize], devices: &[Device]) -> Result<Vec<Latency>> {
    let mut latencies = Vec::new();
    for device in devices {
        let mut replica = model.place(device)?;
        for batch in BATCHES {
            let rows: Vec<usize> = rows.iter().copied().cycle().take(batch).collect();
            let inputs = tensors(&table.take(&rows)?, &model.signature().columns)?;
            let mut encoded = RowBlock::default();
            let mut call = || -> Result<Duration> {
                let started = Instant::now();
                model.encode(&inputs, &mut encoded)?;
                let scores = run_rows(model.buckets(device.kind), replica.as_mut(), &encoded)?;
                std::hint::black_box(model.decode(&scores, &[])?);
                Ok(started.elapsed())
            };
            // Kernels are compiled and memory is taken at first.
            call()?;
            let (begun, mut times) = (Instant::now(), Vec::new());
            while times.len() < LEAST || begun.elapsed() < LONG {
                times.push(call()?);
            }
            times.sort_unstable();
            let micros = times[times.len() / 2].as_secs_f64() * 1e6;
            latencies.push(Latency { device: device.to_string(), batch, micros });
        }
    }
    Ok(latencies)
}
