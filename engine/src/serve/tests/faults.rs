//! What a model or device does wrong stays with those it concerns.

use contract::RunError;

use super::*;
use crate::Error;

fn reason(error: &Error) -> String {
    match error {
        Error::Run(RunError::Failed { reason }) => reason.clone(),
        other => panic!("expected a failed run, got {other}"),
    }
}

#[tokio::test]
async fn a_panic_fails_its_batch_and_nothing_else() {
    let fake = FakeSettings { panic_on: Some(-1.0), panic_late_on: Some(-2.0), ..FakeSettings::default() };
    let (serving, _probe) = with_model(settings(), fake).await;
    let error = serving.predict(request([-1.0])).await.unwrap_err();
    assert_eq!(reason(&error), "it panicked: the fake model was told to panic at once");
    let error = serving.predict(request([-2.0])).await.unwrap_err();
    assert_eq!(reason(&error), "it panicked: the fake model was told to panic late");
    assert_eq!(sums(&serving.predict(request([3.0])).await.unwrap()), [3.0]);
    assert!(serving.is_ready());
}

#[tokio::test]
async fn a_failed_batch_fails_all_that_share_it_and_no_other() {
    let fake = FakeSettings { fail_on: Some(-1.0), ..FakeSettings::default() };
    let (serving, probe) = with_model(settings(), fake).await;
    probe.brake();
    // Fills the device, so that what comes now shares batches in the order it comes.
    let busy = start(&serving, request([0.0; 16])).await;
    let shares = start(&serving, request([1.0; 4])).await;
    let fails = start(&serving, request([-1.0])).await;
    let large = start(&serving, request([2.0; 10])).await;
    let apart = start(&serving, request([3.0])).await;
    probe.release();
    busy.await.unwrap().unwrap();
    for task in [shares, fails, large] {
        assert_eq!(reason(&task.await.unwrap().unwrap_err()), "the fake model was told to fail");
    }
    assert_eq!(sums(&apart.await.unwrap().unwrap()), [3.0]);
}

#[tokio::test]
async fn a_panic_while_encoding_fails_its_request_alone() {
    let fake = FakeSettings { panic_encoding_on: Some(-1.0), ..FakeSettings::default() };
    let (serving, _probe) = with_model(settings(), fake).await;
    let error = serving.predict(request([-1.0])).await.unwrap_err();
    assert_eq!(reason(&error), "it panicked: the fake model was told to panic while encoding");
    serving.predict(request([1.0])).await.unwrap();
}

#[tokio::test]
async fn wrong_inputs_are_refused_before_the_queue() {
    let (serving, probe) = with_model(settings(), FakeSettings::default()).await;
    let rows = probe.rows();
    let wide = Tensor::from_values("features", vec![1, 3], &[1_f32, 2.0, 3.0]).unwrap();
    let empty = Tensor::from_values::<f32>("features", vec![0, 2], &[]).unwrap();
    for inputs in [vec![], vec![wide], vec![empty]] {
        let error = serving.predict(PredictRequest::new("m", inputs)).await.unwrap_err();
        assert!(matches!(error, Error::Input(_)), "{error}");
    }
    assert_eq!(probe.rows(), rows);
}

#[tokio::test]
async fn a_lost_device_is_lost_for_good() {
    let fake = FakeSettings { lose_device_on: Some(-1.0), ..FakeSettings::default() };
    let (serving, probe) = with_model(settings(), fake).await;
    let lost = |error: Error| matches!(error, Error::Run(RunError::DeviceLost { .. }));
    probe.brake();
    // One computes, the second will lose the device, and the third waits behind it.
    let first = start(&serving, request([0.0; 8])).await;
    let second = start(&serving, request([-1.0; 8])).await;
    let third = start(&serving, request([1.0; 8])).await;
    probe.release();
    first.await.unwrap().unwrap();
    assert!(lost(second.await.unwrap().unwrap_err()));
    assert!(lost(third.await.unwrap().unwrap_err()));
    assert!(!serving.is_ready());
    assert!(lost(serving.predict(request([1.0])).await.unwrap_err()));
    assert!(lost(serving.load("m", 2, Arc::new(FakeModel::with_offset(0.0))).await.unwrap_err()));
    let served = serving.models();
    assert_eq!(served[0].versions[0].state.name(), "failed");
    assert!(served[0].versions[0].error.as_ref().unwrap().contains("told to lose it"));
    serving.unload("m", 1).await.unwrap();
    assert_eq!(probe.drops(), 1);
    assert!(!serving.is_ready());
}

#[tokio::test]
async fn a_lost_device_leaves_the_others_alone() {
    let serving = Serving::new(settings(), vec![accelerator(0), accelerator(1)], Monitor::new()).unwrap();
    load(&serving, 1, FakeSettings { lose_device_on: Some(-1.0), ..FakeSettings::default() }).await;
    load(&serving, 2, FakeSettings { offset: 10.0, ..FakeSettings::default() }).await;
    let device =
        |version| serving.resolve("m", &VersionSelector::Version(version)).unwrap().devices()[0].device.to_string();
    assert_ne!(device(1), device(2));
    let first = |values: [f32; 1]| PredictRequest { selector: VersionSelector::Version(1), ..request(values) };
    serving.predict(first([-1.0])).await.unwrap_err();
    assert!(!serving.is_ready());
    assert_eq!(sums(&serving.predict(request([1.0])).await.unwrap()), [11.0]);
    // New versions go to what is left.
    load(&serving, 3, FakeSettings::default()).await;
    assert_eq!(device(3), device(2));
}
