//! Equal requests in flight of which one is more urgent.

use super::*;
use crate::{
    Error,
    serve::{CacheStatus, settings::ModelServing},
};

/// A cached model of two priority levels, whose batches fail with a row of -1.
async fn of_two_levels() -> (Serving, Arc<FakeProbe>) {
    let cached = ServingSettings { cache_bytes: 1 << 20, ..settings() };
    let fake = FakeSettings { fail_on: Some(-1.0), ..FakeSettings::default() };
    let (serving, probe) = with_model(cached, fake).await;
    let model = ModelServing { priority_levels: Some(2), default_priority: Some(2), ..ModelServing::default() };
    serving.configure("m", &model).await.unwrap();
    (serving, probe)
}

#[tokio::test]
async fn an_urgent_request_does_not_wait_for_an_equal_one_behind_others() {
    let long = Duration::from_secs(10);
    for urgent in [PredictRequest { priority: 1, ..request([-1.0; 7]) }, timed([-1.0; 7], long)] {
        let (serving, probe) = of_two_levels().await;
        probe.brake();
        let busy = start(&serving, request([0.0; 8])).await;
        let first = start(&serving, request([2.0; 8])).await;
        let second = start(&serving, request([3.0; 8])).await;
        let slow = start(&serving, request([-1.0; 7])).await;
        let urgent = start(&serving, urgent).await;
        probe.release();
        busy.await.unwrap().unwrap();
        // Its rows go before those that came earlier, filled up with one of the first request, which fails with them.
        urgent.await.unwrap().unwrap_err();
        first.await.unwrap().unwrap_err();
        second.await.unwrap().unwrap();
        slow.await.unwrap().unwrap_err();
        assert_eq!(serving.cache_statistics().unwrap().overtaken, 1);
    }
}

#[tokio::test]
async fn what_an_urgent_request_computed_is_the_answer_to_equal_ones() {
    let (serving, probe) = of_two_levels().await;
    probe.brake();
    let busy = start(&serving, request([0.0; 8])).await;
    let rows = probe.rows();
    let slow = start(&serving, request([2.0; 8])).await;
    let urgent = start(&serving, PredictRequest { priority: 1, ..request([2.0; 8]) }).await;
    let later = start(&serving, request([2.0; 8])).await;
    probe.release();
    assert_eq!(urgent.await.unwrap().unwrap().cache, CacheStatus::Miss);
    for task in [slow, later] {
        let answer = task.await.unwrap().unwrap();
        assert!(matches!(answer.cache, CacheStatus::Hit { .. }), "{answer:?}");
        assert_eq!(sums(&answer), [2.0; 8]);
    }
    busy.await.unwrap().unwrap();
    let statistics = serving.cache_statistics().unwrap();
    assert_eq!((statistics.overtaken, statistics.coalesced), (1, 2));
    // Perhaps the slow one was on the device as well before it was told.
    assert!((8..=16).contains(&(probe.rows() - rows)), "{} rows", probe.rows() - rows);
}

#[tokio::test]
async fn who_waits_for_an_equal_request_has_its_own_deadline() {
    let (serving, probe) = of_two_levels().await;
    let rows = probe.rows();
    probe.brake();
    let leader = start(&serving, PredictRequest { priority: 1, ..request([1.0]) }).await;
    // Less urgent by its level, so it waits, and more urgent by its deadline.
    let short = Duration::from_millis(30);
    let started = std::time::Instant::now();
    let impatient = serving.predict(timed([1.0], short)).await;
    assert!(matches!(impatient, Err(Error::DeadlineExceeded { after }) if after == short), "{impatient:?}");
    assert!((short..Duration::from_secs(2)).contains(&started.elapsed()), "took {:?}", started.elapsed());
    probe.release();
    assert_eq!(leader.await.unwrap().unwrap().cache, CacheStatus::Miss);
    assert_eq!((probe.rows() - rows, serving.cache_statistics().unwrap().overtaken), (1, 0));
}

#[tokio::test]
async fn who_overtakes_an_equal_request_has_its_own_deadline() {
    let (serving, probe) = of_two_levels().await;
    probe.brake();
    let leader = start(&serving, request([1.0])).await;
    let short = Duration::from_millis(30);
    let started = std::time::Instant::now();
    let impatient = serving.predict(PredictRequest { priority: 1, ..timed([1.0], short) }).await;
    assert!(matches!(impatient, Err(Error::DeadlineExceeded { after }) if after == short), "{impatient:?}");
    assert!((short..Duration::from_secs(2)).contains(&started.elapsed()), "took {:?}", started.elapsed());
    // It is not in the way of those that come behind it.
    let later = start(&serving, request([1.0])).await;
    probe.release();
    assert_eq!(leader.await.unwrap().unwrap().cache, CacheStatus::Miss);
    assert!(matches!(later.await.unwrap().unwrap().cache, CacheStatus::Hit { .. }));
    assert_eq!(serving.cache_statistics().unwrap().overtaken, 1);
}
