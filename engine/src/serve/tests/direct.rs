//! Requests that run on their own threads, and those that do not.

use contract::RunError;

use super::*;
use crate::Error;

/// A model on the CPU that any thread may run, `micros` for each row.
async fn direct(micros: u64) -> (Serving, Arc<FakeProbe>) {
    let settings = ServingSettings { cache_bytes: 0, ..ServingSettings::default() };
    let serving = Serving::new(settings, vec![Device::cpu()], Monitor::new()).unwrap();
    let fake = FakeSettings {
        direct: true,
        batch_micros: micros,
        panic_on: Some(-1.0),
        fail_on: Some(-2.0),
        offset: 10.0,
        ..FakeSettings::default()
    };
    let probe = load(&serving, 1, fake).await;
    (serving, probe)
}

#[tokio::test]
async fn a_quick_model_never_meets_its_executor() {
    let (serving, probe) = direct(0).await;
    let (batches, direct_runs) = (probe.batches().len(), probe.direct_runs());
    for value in 0..20 {
        let prediction = serving.predict(request([value as f32])).await.unwrap();
        assert_eq!(sums(&prediction), [10.0 + value as f32]);
    }
    assert_eq!((probe.batches().len() - batches, probe.direct_runs() - direct_runs), (0, 20));
    let statistics = serving.deployments()[0].statistics();
    assert_eq!((statistics.inference_count, statistics.execution_count), (20, 20));
}

#[tokio::test]
async fn a_slow_model_is_batched_and_seldom_tried_again() {
    let (serving, probe) = direct(200).await;
    let (batches, direct_runs) = (probe.batches().len(), probe.direct_runs());
    for value in 0..20 {
        assert_eq!(sums(&serving.predict(request([value as f32])).await.unwrap()), [10.0 + value as f32]);
    }
    let tried = probe.direct_runs() - direct_runs;
    assert!(tried <= 2, "{tried} of 20 held a thread up");
    assert_eq!(probe.batches().len() - batches, 20 - tried);
}

#[tokio::test]
async fn many_rows_go_to_the_executor() {
    let (serving, probe) = direct(20).await;
    let (batches, direct_runs) = (probe.batches().len(), probe.direct_runs());
    let prediction = serving.predict(request((0..64).map(|value| value as f32))).await.unwrap();
    assert_eq!(sums(&prediction), (0..64).map(|value| 10.0 + value as f32).collect::<Vec<_>>());
    assert_eq!((probe.batches()[batches..].to_vec(), probe.direct_runs() - direct_runs), (vec![64], 0));
}

#[tokio::test]
async fn a_fault_is_its_request_s_alone() {
    let (serving, _probe) = direct(0).await;
    let failed = |result: Result<Prediction>| match result {
        Err(Error::Run(RunError::Failed { reason })) => reason,
        other => panic!("expected a failed run, got {other:?}"),
    };
    assert_eq!(
        failed(serving.predict(request([-1.0])).await),
        "it panicked: the fake model was told to panic on the caller's thread"
    );
    assert_eq!(failed(serving.predict(request([-2.0])).await), "the fake model was told to fail");
    assert_eq!(sums(&serving.predict(request([1.0])).await.unwrap()), [11.0]);
}
