//! The numeric self-test: does a device compute what plain Rust computes?
//!
//! Each step runs twice on seeded inputs, because the first run compiles and tunes its kernels and the second may run
//! others than the first. Errors are relative to the size of what was added up, and the limits follow from rounding
//! alone, so a step fails when the device is wrong and not when it merely rounds otherwise.

mod steps;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use contract::Device;
use serde::{Deserialize, Serialize};

use steps::Step;

use super::{list, to_burn};
use crate::neural::Precision;

/// What one operation came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SelfTestStep {
    /// The operation and its shape, such as `matmul 129x257x65`.
    pub operation: String,
    /// Largest error over both runs, relative to the size of the terms that were added up; none if there was no
    /// result, or one that is not a number.
    pub max_relative_error: Option<f64>,
    /// Largest error that rounding explains.
    pub limit: f64,
    /// Whether both runs gave a result and the error is within the limit.
    pub passed: bool,
    /// Milliseconds of the first run, compiling and tuning included.
    pub first_ms: f64,
    /// Milliseconds of the second run.
    pub second_ms: f64,
    /// Why there is no result, in one sentence.
    pub error: Option<String>,
}

/// What the self-test of one device came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SelfTestReport {
    /// Short form of the device.
    pub id: String,
    /// The device.
    pub device: Device,
    /// Whether every step passed; false too if the test could not run.
    pub passed: bool,
    /// Why the test was not run, in one sentence.
    pub skipped: Option<String>,
    /// The steps, in the order in which they ran.
    pub steps: Vec<SelfTestStep>,
    /// What nets can be trained in there; empty if the test could not run.
    #[serde(default)]
    pub precisions: Vec<Precision>,
}

/// Computes matrix products, sums, maxima and softmax with burn, and on GPUs bins values with a kernel of our own, and
/// compares each with plain Rust in `f64`. Takes milliseconds on the CPU and seconds on a GPU that has nothing compiled yet.
///
/// It runs on a thread of its own, so that the device memory of that thread's stream goes with it. A driver's panic fails
/// the step and is not passed on (the panic hook still prints it).
#[must_use]
pub fn self_test(device: &Device) -> SelfTestReport {
    let unusable = list().into_iter().find(|found| found.device == *device).and_then(|found| found.unusable);
    if unusable.is_some() {
        return SelfTestReport { skipped: unusable, ..failed(device) };
    }
    let test = {
        let device = device.clone();
        std::thread::Builder::new().name("self-test".to_owned()).spawn(move || run(&device, &|_| {}))
    };
    match test.map(std::thread::JoinHandle::join) {
        Ok(Ok(report)) => report,
        Ok(Err(_)) => SelfTestReport { skipped: Some("the test's thread panicked".to_owned()), ..failed(device) },
        Err(error) => {
            SelfTestReport { skipped: Some(format!("no thread could be started: {error}")), ..failed(device) }
        }
    }
}

fn failed(device: &Device) -> SelfTestReport {
    SelfTestReport {
        id: device.to_string(),
        device: device.clone(),
        passed: false,
        skipped: None,
        steps: Vec::new(),
        precisions: Vec::new(),
    }
}

/// The test itself. `alter` sees every result before it is judged: nothing in the product, a fault in tests.
pub(super) fn run(device: &Device, alter: &dyn Fn(&mut Vec<f32>)) -> SelfTestReport {
    let burn_device = match to_burn(device) {
        Ok(burn_device) => burn_device,
        Err(error) => return SelfTestReport { skipped: Some(error.to_string()), ..failed(device) },
    };
    let steps: Vec<SelfTestStep> =
        steps::all(device, &burn_device).into_iter().map(|step| judge(step, alter)).collect();
    let precisions = Precision::ALL.into_iter().filter(|precision| precision.is_on(&burn_device)).collect();
    SelfTestReport { passed: steps.iter().all(|step| step.passed), steps, precisions, ..failed(device) }
}

fn judge(step: Step, alter: &dyn Fn(&mut Vec<f32>)) -> SelfTestStep {
    let mut worst = Ok(0.0);
    let mut milliseconds = [0.0; 2];
    for milliseconds in &mut milliseconds {
        let started = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| (step.run)()))
            .unwrap_or_else(|panic| Err(format!("the driver panicked: {}", message(panic.as_ref()))));
        *milliseconds = started.elapsed().as_secs_f64() * 1e3;
        let error = result.and_then(|mut result| {
            alter(&mut result);
            step.expected.largest_error(&result)
        });
        worst = worst.and_then(|worst: f64| error.map(|error| worst.max(error)));
    }
    let [first_ms, second_ms] = milliseconds;
    SelfTestStep {
        operation: step.operation,
        passed: worst.as_ref().is_ok_and(|error| *error <= step.limit),
        max_relative_error: worst.as_ref().ok().copied(),
        limit: step.limit,
        first_ms,
        second_ms,
        error: worst.err(),
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.and_then(|text| text.lines().next()).unwrap_or("no message").to_owned()
}
