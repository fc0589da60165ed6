//! The serving engine whole, against the fake model.

mod arrivals;
mod direct;
mod faults;
mod flow;
mod gate;
mod lifecycle;
mod load;
mod scaling;
mod swap;
mod urgency;

use std::{sync::Arc, time::Duration};

use contract::{Device, DeviceKind, Tensor};

use super::{PredictRequest, Prediction, Serving, ServingSettings, VersionSelector};
use crate::{
    Result,
    monitor::Monitor,
    testing::{FakeModel, FakeProbe, FakeSettings},
};

/// A pretended accelerator: batches overlap there.
fn accelerator(index: usize) -> Device {
    Device { kind: DeviceKind::Wgpu, index, name: "fake".to_owned() }
}

/// Batches of up to 8 rows, no cache.
fn settings() -> ServingSettings {
    ServingSettings { max_batch_rows: 8, cache_bytes: 0, ..ServingSettings::default() }
}

fn serving(settings: ServingSettings) -> Serving {
    Serving::new(settings, vec![accelerator(0)], Monitor::new()).unwrap()
}

/// Loads a fake model as `m:version`.
async fn load(serving: &Serving, version: u32, fake: FakeSettings) -> Arc<FakeProbe> {
    let model = FakeModel::new(fake);
    let probe = model.probe();
    serving.load("m", version, Arc::new(model)).await.unwrap();
    probe
}

/// A serving engine with a fake model `m:1`.
async fn with_model(settings: ServingSettings, fake: FakeSettings) -> (Serving, Arc<FakeProbe>) {
    let serving = serving(settings);
    let probe = load(&serving, 1, fake).await;
    (serving, probe)
}

/// Rows of two features, `value` and 0 each.
fn request(values: impl IntoIterator<Item = f32>) -> PredictRequest {
    let values: Vec<f32> = values.into_iter().flat_map(|value| [value, 0.0]).collect();
    let features = Tensor::from_values("features", vec![values.len() / 2, 2], &values).unwrap();
    PredictRequest::new("m", vec![features])
}

fn timed(values: impl IntoIterator<Item = f32>, timeout: Duration) -> PredictRequest {
    PredictRequest { timeout: Some(timeout), ..request(values) }
}

/// Starts a request, and gives it time to reach the queue.
async fn start(serving: &Serving, request: PredictRequest) -> tokio::task::JoinHandle<Result<Prediction>> {
    let serving = serving.clone();
    let task = tokio::spawn(async move { serving.predict(request).await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    task
}

fn sums(prediction: &Prediction) -> Vec<f32> {
    prediction.outputs[0].values::<f32>().unwrap().to_vec()
}

/// Waits until `met`, or fails.
async fn eventually(what: &str, met: impl Fn() -> bool) {
    let until = std::time::Instant::now() + Duration::from_secs(10);
    while !met() {
        assert!(std::time::Instant::now() < until, "timed out waiting: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
