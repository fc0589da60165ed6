//! Versions come, go and are renamed; the whole ends.

use std::collections::BTreeMap;

use contract::RunError;

use super::*;
use crate::{
    Error,
    serve::{CacheStatus, VersionState},
};

fn aliases(pairs: &[(&str, u32)]) -> BTreeMap<String, u32> {
    pairs.iter().map(|(alias, version)| ((*alias).to_owned(), *version)).collect()
}

fn selected(selector: VersionSelector) -> PredictRequest {
    PredictRequest { selector, ..request([0.0]) }
}

async fn version(serving: &Serving, selector: VersionSelector) -> Result<u32> {
    serving.predict(selected(selector)).await.map(|prediction| prediction.version)
}

#[tokio::test]
async fn no_version_means_the_champion_or_else_the_highest_that_is_ready() {
    let serving = serving(settings());
    assert!(matches!(version(&serving, VersionSelector::Default).await, Err(Error::UnknownModel { .. })));
    load(&serving, 2, FakeSettings::default()).await;
    load(&serving, 10, FakeSettings::default()).await;
    load(&serving, 3, FakeSettings::default()).await;
    assert_eq!(version(&serving, VersionSelector::Default).await.unwrap(), 10);
    serving.set_aliases("m", aliases(&[("champion", 2), ("next", 3), ("future", 99)]));
    assert_eq!(version(&serving, VersionSelector::Default).await.unwrap(), 2);
    assert_eq!(version(&serving, VersionSelector::Alias("next".to_owned())).await.unwrap(), 3);
    assert_eq!(version(&serving, VersionSelector::Version(10)).await.unwrap(), 10);
    let future = version(&serving, VersionSelector::Alias("future".to_owned())).await;
    assert!(matches!(future, Err(Error::NotReady { version: 99, .. })));
    let unknown = version(&serving, VersionSelector::Alias("x".to_owned())).await;
    assert!(matches!(unknown, Err(Error::UnknownAlias { .. })));
    assert!(matches!(
        version(&serving, VersionSelector::Version(7)).await,
        Err(Error::UnknownVersion { version: 7, .. })
    ));
    serving.set_aliases("m", aliases(&[]));
    serving.unload("m", 10).await.unwrap();
    assert_eq!(version(&serving, VersionSelector::Default).await.unwrap(), 3);
    let served = serving.models();
    assert_eq!(served[0].versions.iter().map(|version| version.version).collect::<Vec<_>>(), [2, 3]);
}

#[tokio::test]
async fn warms_every_bucket_in_use_before_it_serves() {
    let (serving, probe) =
        with_model(ServingSettings { max_batch_rows: 100, ..settings() }, FakeSettings::default()).await;
    assert_eq!(probe.warmed(), [1, 8, 64]);
    assert_eq!(probe.placements(), 1);
    let served = &serving.models()[0].versions[0];
    assert_eq!(
        (&served.state, served.device.as_deref(), served.memory.weights),
        (&VersionState::Ready, Some("wgpu:0"), 8)
    );
}

#[tokio::test]
async fn live_batches_run_between_the_steps_of_a_load() {
    let (serving, _probe) = with_model(settings(), FakeSettings::default()).await;
    let slow = FakeModel::new(FakeSettings { buckets: vec![1, 2, 4, 8], ..FakeSettings::default() });
    let warming = slow.probe();
    warming.brake();
    let loading = {
        let serving = serving.clone();
        tokio::spawn(async move { serving.load("m", 2, Arc::new(slow)).await })
    };
    eventually("the first bucket", || warming.warmed().len() == 1).await;
    assert!(matches!(version(&serving, VersionSelector::Version(2)).await, Err(Error::NotReady { .. })));
    assert!(matches!(serving.unload("m", 2).await, Err(Error::Conflict(_))));
    assert!(matches!(serving.load("m", 2, Arc::new(FakeModel::with_offset(0.0))).await, Err(Error::Conflict(_))));
    // It comes while the first bucket is warmed, and is answered before the last one is.
    let first = PredictRequest { selector: VersionSelector::Version(1), ..request([1.0]) };
    let live = start(&serving, first).await;
    assert!(!live.is_finished());
    warming.release();
    live.await.unwrap().unwrap();
    loading.await.unwrap().unwrap();
    assert_eq!(warming.warmed(), [1, 2, 4, 8]);
    assert_eq!(version(&serving, VersionSelector::Default).await.unwrap(), 2);
}

#[tokio::test]
async fn a_version_that_fails_its_self_test_does_not_serve() {
    let (serving, _probe) = with_model(settings(), FakeSettings::default()).await;
    let wrong = FakeModel::new(FakeSettings { wrong_golden: true, ..FakeSettings::default() });
    let probe = wrong.probe();
    let error = serving.load("m", 2, Arc::new(wrong)).await.unwrap_err();
    assert!(matches!(error, Error::SelfTest { version: 2, .. }), "{error}");
    assert_eq!((probe.placements(), probe.drops()), (1, 1));
    assert_eq!(version(&serving, VersionSelector::Default).await.unwrap(), 1);
    assert!(matches!(version(&serving, VersionSelector::Version(2)).await, Err(Error::NotReady { .. })));
    let served = &serving.models()[0].versions[1];
    assert_eq!((served.state.name(), served.error.as_ref().unwrap().contains("self-test")), ("failed", true));
    // It may be tried again.
    load(&serving, 2, FakeSettings::default()).await;
    assert_eq!(version(&serving, VersionSelector::Default).await.unwrap(), 2);
}

#[tokio::test]
async fn a_version_that_finds_no_room_gives_back_what_it_took() {
    let (serving, _probe) = with_model(settings(), FakeSettings::default()).await;
    let large = FakeModel::new(FakeSettings { fail_warming: Some(8), ..FakeSettings::default() });
    let probe = large.probe();
    let error = serving.load("m", 2, Arc::new(large)).await.unwrap_err();
    assert!(matches!(error, Error::Run(RunError::OutOfMemory { .. })), "{error}");
    assert_eq!((probe.warmed(), probe.drops()), (vec![1, 8], 1));
    assert!(
        serving
            .load("m", 3, Arc::new(FakeModel::new(FakeSettings { buckets: vec![], ..FakeSettings::default() })))
            .await
            .is_err()
    );
    serving.unload("m", 2).await.unwrap();
    serving.unload("m", 3).await.unwrap();
    assert_eq!(serving.models()[0].versions.len(), 1);
}

#[tokio::test]
async fn a_load_that_is_dropped_half_way_leaves_nothing() {
    let (serving, _probe) = with_model(settings(), FakeSettings::default()).await;
    let model = FakeModel::with_offset(0.0);
    let probe = model.probe();
    probe.brake();
    let loading = {
        let serving = serving.clone();
        tokio::spawn(async move { serving.load("m", 2, Arc::new(model)).await })
    };
    eventually("the first bucket", || probe.warmed().len() == 1).await;
    loading.abort();
    let _aborted = loading.await;
    probe.release();
    eventually("the drop of the replica", || probe.drops() == 1).await;
    assert_eq!(probe.warmed(), [1]);
    assert_eq!(serving.models()[0].versions[1].state.name(), "failed");
    load(&serving, 2, FakeSettings::default()).await;
}

#[tokio::test]
async fn unloading_answers_what_is_under_way_and_gives_memory_back() {
    let cached = ServingSettings { cache_bytes: 1 << 20, ..settings() };
    let serving = serving(cached);
    let model = Arc::new(FakeModel::with_offset(0.0));
    let (probe, host_half) = (model.probe(), Arc::downgrade(&model));
    serving.load("m", 1, model).await.unwrap();
    serving.predict(request([5.0])).await.unwrap();
    let cache = serving.inner.cache.as_ref().unwrap();
    assert_eq!(cache.statistics().entries, 1);
    probe.brake();
    let under_way = start(&serving, request([1.0])).await;
    let waiting = start(&serving, request([2.0])).await;
    let unloading = {
        let serving = serving.clone();
        tokio::spawn(async move { serving.unload("m", 1).await })
    };
    eventually("the way out", || serving.models()[0].versions[0].state == VersionState::Unloading).await;
    assert!(matches!(version(&serving, VersionSelector::Default).await, Err(Error::NotReady { .. })));
    assert!(!unloading.is_finished() && probe.drops() == 0);
    probe.release();
    assert_eq!(sums(&under_way.await.unwrap().unwrap()), [1.0]);
    assert_eq!(sums(&waiting.await.unwrap().unwrap()), [2.0]);
    unloading.await.unwrap().unwrap();
    assert_eq!((probe.placements(), probe.drops(), cache.statistics().entries), (1, 1, 0));
    assert!(host_half.upgrade().is_none(), "the host half is still held");
    assert!(matches!(version(&serving, VersionSelector::Default).await, Err(Error::UnknownModel { .. })));
    assert!(matches!(serving.unload("m", 1).await, Err(Error::UnknownModel { .. })));
}

#[tokio::test]
async fn a_version_loaded_again_has_nothing_of_its_earlier_load_in_the_cache() {
    let cached = ServingSettings { cache_bytes: 1 << 20, ..settings() };
    let serving = serving(cached);
    load(&serving, 1, FakeSettings { offset: 1.0, ..FakeSettings::default() }).await;
    assert_eq!(sums(&serving.predict(request([0.0])).await.unwrap()), [1.0]);
    serving.unload("m", 1).await.unwrap();
    load(&serving, 1, FakeSettings { offset: 2.0, ..FakeSettings::default() }).await;
    let prediction = serving.predict(request([0.0])).await.unwrap();
    assert_eq!((sums(&prediction), prediction.cache), (vec![2.0], CacheStatus::Miss));
}

#[tokio::test]
async fn shutdown_answers_what_is_under_way_and_takes_no_more() {
    let (serving, probe) =
        with_model(settings(), FakeSettings { batch_micros: 20_000, ..FakeSettings::default() }).await;
    let mut tasks = Vec::new();
    for value in 0..30 {
        let serving = serving.clone();
        tasks.push(tokio::spawn(async move { serving.predict(request([value as f32])).await }));
    }
    tokio::time::sleep(Duration::from_millis(10)).await;
    serving.shutdown(Duration::from_secs(10)).await;
    for (value, task) in tasks.into_iter().enumerate() {
        assert_eq!(sums(&task.await.unwrap().unwrap()), [value as f32]);
    }
    assert_eq!(probe.drops(), 1);
    assert!(!serving.is_ready());
    assert!(matches!(serving.predict(request([1.0])).await, Err(Error::ShuttingDown)));
    assert!(matches!(serving.load("m", 2, Arc::new(FakeModel::with_offset(0.0))).await, Err(Error::ShuttingDown)));
    serving.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn shutdown_tells_those_it_cannot_wait_for() {
    let slow = FakeSettings { batch_micros: 60_000, ..FakeSettings::default() };
    let (serving, probe) = with_model(settings(), slow).await;
    let on_device = start(&serving, request([1.0; 8])).await;
    let queued = start(&serving, request([2.0; 80])).await;
    let started = std::time::Instant::now();
    serving.shutdown(Duration::ZERO).await;
    assert!(started.elapsed() < Duration::from_secs(2));
    assert_eq!(sums(&on_device.await.unwrap().unwrap()), [1.0; 8]);
    assert!(matches!(queued.await.unwrap(), Err(Error::ShuttingDown)));
    eventually("the drop of the replica", || probe.drops() == 1).await;
}

#[tokio::test]
async fn a_stuck_device_does_not_hold_shutdown_up() {
    let (serving, probe) = with_model(settings(), FakeSettings::default()).await;
    probe.brake();
    let stuck = start(&serving, timed([1.0], Duration::from_millis(600))).await;
    let started = std::time::Instant::now();
    serving.shutdown(Duration::from_millis(100)).await;
    assert!(started.elapsed() < Duration::from_millis(550), "took {:?}", started.elapsed());
    assert!(matches!(stuck.await.unwrap(), Err(Error::DeadlineExceeded { .. })));
    probe.release();
    eventually("the drop of the replica", || probe.drops() == 1).await;
}

#[tokio::test]
async fn executors_end_when_the_last_handle_goes() {
    let (serving, probe) = with_model(settings(), FakeSettings::default()).await;
    let other = serving.clone();
    drop(serving);
    other.predict(request([1.0])).await.unwrap();
    assert_eq!(probe.drops(), 0);
    drop(other);
    eventually("the drop of the replica", || probe.drops() == 1).await;
}

#[tokio::test]
async fn needs_a_device() {
    assert!(matches!(Serving::new(settings(), vec![], Monitor::new()), Err(Error::BadRequest(_))));
}
