//! What it costs to hand a row to the executor's thread and back: the same model, which computes nothing, run on its request's
//! own thread and by the executor, by turns.
//!
//! Try it: `cargo run --release --package engine --features testing --example handover`. What wins is kept, see
//! `serve/direct`: models on the CPU that are predicted to take less than 50 µs run on their requests' own threads.

#![expect(clippy::print_stdout, reason = "what it is for")]

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use contract::{Device, Tensor};
use engine::{
    monitor::Monitor,
    serve::{PredictRequest, Serving, ServingSettings},
    testing::{FakeModel, FakeSettings},
};

const ROUNDS: usize = 10;
const REQUESTS: usize = 20_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let settings = ServingSettings { cache_bytes: 0, ..ServingSettings::default() };
    let serving = Serving::new(settings, vec![Device::cpu()], Monitor::new())?;
    for (name, direct) in [("caller", true), ("executor", false)] {
        let fake = FakeSettings { direct, list_batches: false, ..FakeSettings::default() };
        serving.load(name, 1, Arc::new(FakeModel::new(fake))).await?;
    }
    println!("round | caller runs, median µs | executor, median µs | a hand-over and back");
    let mut ratios = Vec::with_capacity(ROUNDS);
    for round in 1..=ROUNDS {
        let (caller, executor) = (median(&serving, "caller").await?, median(&serving, "executor").await?);
        println!("{round:5} | {caller:22.2} | {executor:19.2} | {:.2} µs", executor - caller);
        ratios.push(executor / caller);
    }
    ratios.sort_by(f64::total_cmp);
    println!("the executor takes {:.1} times as long (median of {ROUNDS} rounds)", ratios[ROUNDS / 2]);
    serving.shutdown(Duration::from_secs(1)).await;
    Ok(())
}

/// Median time of a request, in microseconds, one at a time.
async fn median(serving: &Serving, model: &str) -> Result<f64, Box<dyn Error>> {
    let mut times = Vec::with_capacity(REQUESTS);
    for number in 0..REQUESTS {
        let row = Tensor::from_values("features", vec![1, 2], &[number as f32, 0.0])?;
        let request = PredictRequest::new(model, vec![row]);
        let began = Instant::now();
        serving.predict(request).await?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    Ok(times[REQUESTS / 2].as_secs_f64() * 1e6)
}
