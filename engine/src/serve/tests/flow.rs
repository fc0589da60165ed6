//! A request's way when nothing goes wrong but time and room.

use contract::InputError;

use super::*;
use crate::{
    Error,
    serve::{CacheStatus, CacheUse, settings::ModelServing},
};

#[tokio::test]
async fn answers_rows_in_order_with_a_fresh_id() {
    let (serving, probe) = with_model(settings(), FakeSettings { offset: 100.0, ..FakeSettings::default() }).await;
    let warm_up = probe.batches().len();
    let first = serving.predict(request([1.0, 2.0, 3.0])).await.unwrap();
    let second = serving.predict(request([1.0, 2.0, 3.0])).await.unwrap();
    assert_eq!(sums(&first), [101.0, 102.0, 103.0]);
    assert_eq!((first.model.as_ref(), first.version, first.rows, first.cache), ("m", 1, 3, CacheStatus::Off));
    assert_eq!(first.outputs.len(), 2);
    assert_ne!(first.id, second.id);
    assert_eq!(uuid::Uuid::parse_str(&first.id).unwrap().get_version_num(), 7);
    assert_eq!(probe.batches()[warm_up..], [3, 3]);
}

#[tokio::test]
async fn gives_the_wanted_outputs_and_refuses_others() {
    let (serving, probe) = with_model(settings(), FakeSettings::default()).await;
    let wanted = PredictRequest { outputs: vec!["twice".to_owned()], ..request([2.0]) };
    let prediction = serving.predict(wanted).await.unwrap();
    assert_eq!((prediction.outputs.len(), sums(&prediction)), (1, vec![4.0]));
    let encodes = probe.encodes();
    let unknown = PredictRequest { outputs: vec!["z".to_owned()], ..request([2.0]) };
    let error = serving.predict(unknown).await.unwrap_err();
    assert!(matches!(error, Error::Input(InputError::UnknownOutput { .. })), "{error}");
    assert_eq!(probe.encodes(), encodes);
}

#[tokio::test]
async fn splits_a_large_request_and_joins_it_again() {
    let (serving, probe) = with_model(settings(), FakeSettings::default()).await;
    let before = probe.batches().len();
    let values: Vec<f32> = (0..21).map(|value| value as f32).collect();
    let prediction = serving.predict(request(values.clone())).await.unwrap();
    assert_eq!(sums(&prediction), values);
    assert_eq!(probe.batches()[before..], [8, 8, 5]);
    assert_eq!(probe.most_in_flight(), 2);
}

#[tokio::test]
async fn batches_what_comes_while_the_device_is_busy() {
    let (serving, probe) = with_model(settings(), FakeSettings::default()).await;
    let before = probe.batches().len();
    probe.brake();
    let busy = start(&serving, request([0.0])).await;
    let mut waiting = Vec::new();
    for value in 1..=9 {
        waiting.push(start(&serving, request([value as f32])).await);
    }
    probe.release();
    assert_eq!(sums(&busy.await.unwrap().unwrap()), [0.0]);
    for (value, task) in (1..=9).zip(waiting) {
        assert_eq!(sums(&task.await.unwrap().unwrap()), [value as f32]);
    }
    // The first one alone, and then a full batch and the rest.
    assert_eq!(probe.batches()[before..], [1, 8, 1]);
}

#[tokio::test]
async fn a_cpu_runs_one_batch_at_a_time() {
    let serving = Serving::new(settings(), vec![Device::cpu()], Monitor::new()).unwrap();
    let probe = load(&serving, 1, FakeSettings::default()).await;
    serving.predict(request((0..40).map(|value| value as f32))).await.unwrap();
    assert_eq!(probe.most_in_flight(), 1);
}

#[tokio::test]
async fn waits_for_company_when_told_to() {
    let delayed = ServingSettings { max_queue_delay: Duration::from_millis(300), ..settings() };
    let (serving, probe) = with_model(delayed, FakeSettings { golden: false, ..FakeSettings::default() }).await;
    let first = start(&serving, request([1.0])).await;
    let second = start(&serving, request([2.0])).await;
    assert!(!first.is_finished() && probe.batches().is_empty());
    let full = start(&serving, request([3.0, 4.0, 5.0, 6.0, 7.0, 8.0])).await;
    assert_eq!(sums(&full.await.unwrap().unwrap()).len(), 6);
    assert_eq!(sums(&first.await.unwrap().unwrap()), [1.0]);
    assert_eq!(sums(&second.await.unwrap().unwrap()), [2.0]);
    assert_eq!(probe.batches(), [8]);
    let started = std::time::Instant::now();
    serving.predict(request([1.0])).await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_deadline_passes_promptly_while_the_device_is_busy() {
    let (serving, probe) = with_model(settings(), FakeSettings::default()).await;
    probe.brake();
    let busy = start(&serving, request([1.0])).await;
    let second = start(&serving, request([2.0])).await;
    let rows = probe.rows();
    let started = std::time::Instant::now();
    let error = serving.predict(timed([3.0], Duration::from_millis(50))).await.unwrap_err();
    assert!(matches!(error, Error::DeadlineExceeded { after } if after == Duration::from_millis(50)), "{error}");
    assert!(started.elapsed() < Duration::from_secs(2), "took {:?}", started.elapsed());
    probe.release();
    busy.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    serving.predict(request([4.0])).await.unwrap();
    // The second one and the fourth: the expired one never reached the device.
    assert_eq!(probe.rows() - rows, 2);
}

#[tokio::test]
async fn a_cancelled_request_does_not_reach_the_device_and_leaves_the_queue() {
    let (serving, probe) = with_model(settings(), FakeSettings::default()).await;
    probe.brake();
    let busy = start(&serving, request([1.0; 16])).await;
    let cancelled = start(&serving, request([2.0, 2.0])).await;
    cancelled.abort();
    let _aborted = cancelled.await;
    let rows = probe.rows();
    probe.release();
    busy.await.unwrap().unwrap();
    serving.predict(request([3.0])).await.unwrap();
    assert_eq!(probe.rows() - rows, 1);
    assert_eq!(serving.inner.pool.executors()[0].queued_rows(), 0);
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_takes_again_when_it_has_room() {
    let bounded = ServingSettings { max_queue_rows: 10, ..settings() };
    let (serving, probe) = with_model(bounded, FakeSettings::default()).await;
    let too_many = serving.predict(request([0.0; 11])).await.unwrap_err();
    assert!(matches!(too_many, Error::BadRequest(_)), "{too_many}");
    probe.brake();
    // One batch is on the device, and ten rows wait.
    let tasks = [start(&serving, request([1.0; 8])).await, start(&serving, request([1.0; 10])).await];
    let error = serving.predict(request([1.0])).await.unwrap_err();
    assert!(
        matches!(error, Error::Overloaded { queued: 10, limit: 10, retry_after } if !retry_after.is_zero()),
        "{error}"
    );
    assert_eq!(serving.inner.pool.executors()[0].queued_rows(), 10);
    probe.release();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(serving.inner.pool.executors()[0].queued_rows(), 0);
    serving.predict(request([1.0])).await.unwrap();
}

#[tokio::test]
async fn refuses_at_once_what_the_queue_would_keep_too_long() {
    let slow = FakeSettings { batch_micros: 50_000, ..FakeSettings::default() };
    let (serving, _probe) = with_model(settings(), slow).await;
    let queue = start(&serving, request([1.0; 80])).await;
    let started = std::time::Instant::now();
    let error = serving.predict(timed([1.0], Duration::from_millis(100))).await.unwrap_err();
    assert!(matches!(error, Error::TooLate { .. }), "{error}");
    assert!(started.elapsed() < Duration::from_millis(50));
    queue.await.unwrap().unwrap();
    serving.predict(timed([1.0], Duration::from_millis(500))).await.unwrap();
}

#[tokio::test]
async fn equal_requests_are_answered_from_the_cache_until_the_model_moves() {
    let cached = ServingSettings { cache_bytes: 1 << 20, ..settings() };
    let serving = serving(cached);
    let model = Arc::new(FakeModel::with_offset(0.0));
    let probe = model.probe();
    serving.load("m", 1, Arc::clone(&model) as Arc<dyn contract::Model>).await.unwrap();
    let rows = probe.rows();
    let first = serving.predict(request([1.0])).await.unwrap();
    let second = serving.predict(request([1.0])).await.unwrap();
    assert_eq!(first.cache, CacheStatus::Miss);
    assert!(matches!(second.cache, CacheStatus::Hit { .. }));
    assert_ne!(first.id, second.id);
    assert_eq!((sums(&second), second.rows, probe.rows() - rows), (vec![1.0], 1, 1));
    let past = serving.predict(PredictRequest { cache: CacheUse::NONE, ..request([1.0]) }).await.unwrap();
    assert_eq!((past.cache, probe.rows() - rows), (CacheStatus::Off, 2));
    model.revise();
    assert_eq!(serving.predict(request([1.0])).await.unwrap().cache, CacheStatus::Miss);
}

#[tokio::test]
async fn equal_requests_in_flight_reach_the_device_once() {
    let cached = ServingSettings { cache_bytes: 1 << 20, ..settings() };
    let (serving, probe) = with_model(cached, FakeSettings::default()).await;
    let rows = probe.rows();
    probe.brake();
    let first = start(&serving, request([1.0])).await;
    let second = start(&serving, request([1.0])).await;
    probe.release();
    assert_eq!(first.await.unwrap().unwrap().cache, CacheStatus::Miss);
    assert!(matches!(second.await.unwrap().unwrap().cache, CacheStatus::Hit { .. }));
    assert_eq!(probe.rows() - rows, 1);
}

#[tokio::test]
async fn statistics_tell_what_requests_did_and_nothing_of_the_self_test() {
    let cached = ServingSettings { cache_bytes: 1 << 20, ..settings() };
    // One bucket, so that no batch is cut however long this machine takes over one.
    let fake = FakeSettings { fail_on: Some(-1.0), batch_micros: 500, buckets: vec![8], ..FakeSettings::default() };
    let (serving, probe) = with_model(cached, fake).await;
    assert!(!probe.batches().is_empty(), "the self-test runs a batch");
    let deployment = serving.resolve("m", &VersionSelector::Default).unwrap();
    let loaded = deployment.statistics();
    assert_eq!((loaded.execution_count, loaded.success.count, loaded.batches.len()), (0, 0, 0));
    serving.predict(request((0..11).map(|value| value as f32))).await.unwrap();
    serving.predict(request([1.0, 2.0, 3.0])).await.unwrap();
    serving.predict(request([1.0, 2.0, 3.0])).await.unwrap();
    serving.predict(request([-1.0])).await.unwrap_err();
    let statistics = deployment.statistics();
    let sizes: Vec<_> = statistics.batches.iter().map(|size| (size.batch_size, size.compute_infer.count)).collect();
    assert_eq!(sizes, [(3, 2), (8, 1)]);
    assert_eq!((statistics.inference_count, statistics.execution_count), (14, 3));
    let counts = [statistics.success, statistics.queue, statistics.compute_input, statistics.compute_infer];
    assert_eq!(counts.map(|duration| duration.count), [3, 3, 2, 2]);
    assert_eq!([statistics.fail.count, statistics.cache_hit.count, statistics.cache_miss.count], [1, 1, 2]);
    // Three batches of half a millisecond each, and only what was answered.
    assert!(statistics.compute_infer.ns >= 1_500_000, "{statistics:?}");
    let stages = [statistics.queue, statistics.compute_input, statistics.compute_infer, statistics.compute_output];
    assert!(stages.iter().map(|stage| stage.ns).sum::<u64>() <= statistics.success.ns, "{statistics:?}");
    assert!(statistics.cache_miss.ns < statistics.compute_infer.ns, "computing is not the cache's: {statistics:?}");
    assert!(statistics.fail.ns > 0 && statistics.cache_hit.ns > 0 && statistics.compute_output.ns > 0);
    assert_eq!(statistics.batches.iter().map(|size| size.compute_output.ns).sum::<u64>(), statistics.compute_output.ns);
}

#[tokio::test]
async fn pending_requests_are_those_under_way() {
    let (serving, probe) = with_model(settings(), FakeSettings::default()).await;
    let deployment = serving.resolve("m", &VersionSelector::Default).unwrap();
    assert_eq!(deployment.pending_requests(), 0);
    probe.brake();
    let tasks = [start(&serving, request([1.0])).await, start(&serving, request([2.0])).await];
    assert_eq!(deployment.pending_requests(), 2);
    probe.release();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(deployment.pending_requests(), 0);
}

#[tokio::test]
async fn tells_the_monitor() {
    let monitor = Monitor::new();
    let cached = ServingSettings { cache_bytes: 1 << 20, ..settings() };
    let serving = Serving::new(cached, vec![accelerator(0)], monitor.clone()).unwrap();
    let fake = FakeSettings { golden: false, fail_on: Some(-1.0), ..FakeSettings::default() };
    let probe = load(&serving, 1, fake).await;
    serving.predict(request([1.0, 2.0, 3.0])).await.unwrap();
    serving.predict(request([1.0, 2.0, 3.0])).await.unwrap();
    serving.predict(request([-1.0])).await.unwrap_err();
    probe.brake();
    serving.predict(timed([5.0], Duration::from_millis(10))).await.unwrap_err();
    let gone = start(&serving, request([6.0])).await;
    gone.abort();
    let _aborted = gone.await;
    probe.release();
    serving.predict(request([7.0])).await.unwrap();
    // The executor tells of its empty queue a moment behind the answer.
    eventually("an empty queue", || monitor.device(&accelerator(0)).queue_rows() == 0).await;
    let families = serving.families();
    let wait = families.iter().find(|family| family.info.name == "device_expected_wait_seconds").unwrap();
    assert_eq!((wait.samples.len(), &*wait.samples[0].labels[0]), (1, "wgpu:0"));
    let report = serde_json::to_value(monitor.snapshot()).unwrap();
    let version = &report["versions"][0];
    assert_eq!((version["requests"].as_u64(), version["rows"].as_u64()), (Some(3), Some(7)), "{version}");
    assert_eq!(version["cache"]["hits"].as_u64(), Some(1), "{version}");
    assert_eq!(version["failures"]["canceled"].as_u64(), Some(1), "{version}");
    assert_eq!(version["failures"]["deadline"].as_u64(), Some(1), "{version}");
    assert_eq!(version["failures"]["backend"].as_u64(), Some(1), "{version}");
    assert!(version["stages"]["compute"]["count"].as_u64().unwrap() >= 2, "{version}");
    assert_eq!(version["stages"]["total"]["count"].as_u64(), Some(3), "{version}");
    assert!(report["devices"][0]["busy_seconds"].as_f64().unwrap() > 0.0, "{report}");
}

#[tokio::test]
async fn a_lane_is_served_by_its_new_settings_from_then_on() {
    let (serving, probe) =
        with_model(settings(), FakeSettings { buckets: vec![1, 4, 8], ..FakeSettings::default() }).await;
    let configure = async |model: ModelServing| serving.configure("m", &model).await.unwrap();
    configure(ModelServing { max_batch_rows: Some(4), ..ModelServing::default() }).await;
    let before = probe.batches().len();
    serving.predict(request([1.0; 8])).await.unwrap();
    assert_eq!(probe.batches()[before..], [4, 4]);
    let (rows, queue) = (Some(4), Some(5));
    configure(ModelServing { max_batch_rows: rows, max_queue_rows: queue, ..ModelServing::default() }).await;
    serving.predict(request([1.0; 5])).await.unwrap();
    let too_many = serving.predict(request([1.0; 6])).await.unwrap_err();
    assert_eq!(too_many.to_string(), "expected at most 5 rows in one request, got 6");
}

#[tokio::test]
async fn urgent_requests_overtake_others() {
    let fake = FakeSettings { fail_on: Some(-1.0), ..FakeSettings::default() };
    let (serving, probe) = with_model(settings(), fake).await;
    let model = ModelServing { priority_levels: Some(2), ..ModelServing::default() };
    serving.configure("m", &model).await.unwrap();
    probe.brake();
    let busy = start(&serving, request([0.0; 8])).await;
    let first = start(&serving, request([1.0; 8])).await;
    let second = start(&serving, request([2.0; 8])).await;
    let urgent = start(&serving, PredictRequest { priority: 1, ..request([-1.0; 7]) }).await;
    probe.release();
    busy.await.unwrap().unwrap();
    // The urgent rows go first, filled up with one of the first request, which fails with them.
    urgent.await.unwrap().unwrap_err();
    first.await.unwrap().unwrap_err();
    second.await.unwrap().unwrap();
}
