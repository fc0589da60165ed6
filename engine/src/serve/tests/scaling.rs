//! Replicas come and go, and settings change, while requests run.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use super::*;
use crate::{Error, serve::ModelServing};

fn on_cpu(settings: ServingSettings) -> Serving {
    Serving::new(settings, vec![Device::cpu()], Monitor::new()).unwrap()
}

fn instances(count: usize) -> ModelServing {
    ModelServing { instances: Some(count), ..ModelServing::default() }
}

fn threads(serving: &Serving) -> usize {
    serving.inner.pool.executors().len()
}

fn served(serving: &Serving) -> (usize, u64) {
    let version = &serving.models()[0].versions[0];
    (version.instances, version.memory.weights)
}

#[tokio::test]
async fn replicas_on_a_cpu_run_at_once_and_give_their_memory_back() {
    let serving = on_cpu(settings());
    let probe = load(&serving, 1, FakeSettings::default()).await;
    assert_eq!((served(&serving), threads(&serving)), ((1, 8), 1));
    serving.configure("m", &instances(3)).await.unwrap();
    assert_eq!((served(&serving), threads(&serving), probe.placements()), ((3, 24), 3, 3));

    // Each of three requests has a replica of its own: the brake holds all of them at once.
    probe.brake();
    let mut held = Vec::new();
    for value in 1..=3 {
        held.push(start(&serving, request([value as f32])).await);
    }
    eventually("three computations at once", || probe.rows() >= 9 + 3).await;
    probe.release();
    for (task, value) in held.into_iter().zip(1..) {
        assert_eq!(sums(&task.await.unwrap().unwrap()), [value as f32]);
    }

    serving.configure("m", &instances(1)).await.unwrap();
    assert_eq!((served(&serving), threads(&serving), probe.drops()), ((1, 8), 1, 2));
    serving.unload("m", 1).await.unwrap();
    assert_eq!(probe.drops(), 3);
    // The settings are the model's, not the version's.
    serving.configure("m", &instances(2)).await.unwrap();
    let next = load(&serving, 2, FakeSettings::default()).await;
    assert_eq!((served(&serving).0, next.placements()), (2, 2));
    serving.shutdown(Duration::from_secs(5)).await;
    assert_eq!(next.drops(), 2);
}

#[tokio::test]
async fn an_accelerator_s_replicas_share_its_thread_and_several_devices_share_the_replicas() {
    let serving = Serving::new(settings(), vec![accelerator(0), accelerator(1)], Monitor::new()).unwrap();
    serving.configure("m", &instances(4)).await.unwrap();
    load(&serving, 1, FakeSettings::default()).await;
    assert_eq!(threads(&serving), 2);
    let deployment = serving.resolve("m", &VersionSelector::Default).unwrap();
    let mut shares: Vec<_> =
        deployment.devices().into_iter().map(|share| (share.device.index, share.instances)).collect();
    shares.sort_unstable();
    assert_eq!(shares, [(0, 2), (1, 2)]);
    assert_eq!(serving.models()[0].versions[0].instances, 4);
}

#[tokio::test]
async fn a_replica_that_cannot_be_placed_fails_no_request() {
    let serving = on_cpu(settings());
    let probe = load(&serving, 1, FakeSettings { fail_warming: None, ..FakeSettings::default() }).await;
    probe.brake();
    let growing = {
        let serving = serving.clone();
        tokio::spawn(async move { serving.configure("m", &instances(2)).await })
    };
    eventually("a second replica on its way", || probe.placements() == 2).await;
    growing.abort();
    assert!(growing.await.unwrap_err().is_cancelled());
    probe.release();
    eventually("what was begun is taken away", || probe.drops() == 1).await;
    assert_eq!(sums(&serving.predict(request([4.0])).await.unwrap()), [4.0]);
    // The next change finishes the work.
    serving.configure("m", &instances(2)).await.unwrap();
    assert_eq!(served(&serving).0, 2);
    let refused = serving.configure("m", &instances(0)).await;
    assert!(matches!(refused, Err(Error::BadRequest(_))), "{refused:?}");
    assert_eq!(served(&serving).0, 2);
}

#[tokio::test]
async fn larger_batches_meet_a_warm_replica_and_smaller_ones_no_reload() {
    let serving = on_cpu(settings());
    let probe = load(&serving, 1, FakeSettings::default()).await;
    assert_eq!(probe.warmed(), [1, 8]);
    let rows = |count| ModelServing { max_batch_rows: Some(count), ..ModelServing::default() };
    serving.configure("m", &rows(64)).await.unwrap();
    assert_eq!((probe.warmed().as_slice(), probe.drops()), ([1, 8, 1, 8, 64].as_slice(), 1));
    let many: Vec<f32> = (0..64).map(|value| value as f32).collect();
    assert_eq!(sums(&serving.predict(request(many.clone())).await.unwrap()), many);
    assert_eq!(probe.batches().last(), Some(&64));
    serving.configure("m", &rows(8)).await.unwrap();
    assert_eq!(probe.drops(), 1);
    assert_eq!(sums(&serving.predict(request(many.clone())).await.unwrap()), many);
    assert_eq!(probe.batches()[probe.batches().len() - 8..], [8; 8]);
}

#[tokio::test]
async fn a_model_s_own_timeout_holds_at_once() {
    let (serving, probe) = with_model(settings(), FakeSettings::default()).await;
    serving
        .configure("m", &ModelServing { request_timeout_us: Some(30_000), ..ModelServing::default() })
        .await
        .unwrap();
    probe.brake();
    let late = serving.predict(request([1.0])).await.unwrap_err();
    assert!(matches!(late, Error::DeadlineExceeded { after } if after == Duration::from_millis(30)), "{late}");
    probe.release();
}

/// Requests of many clients while the number of replicas changes all the time, on both kinds of devices.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_request_is_lost_while_replicas_come_and_go() {
    for devices in [vec![Device::cpu()], vec![accelerator(0), accelerator(1)]] {
        let serving = Serving::new(settings(), devices, Monitor::new()).unwrap();
        let probe = load(&serving, 1, FakeSettings { batch_micros: 200, ..FakeSettings::default() }).await;
        let stop = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = (0..8_usize)
            .map(|client| {
                let (serving, stop) = (serving.clone(), Arc::clone(&stop));
                tokio::spawn(async move {
                    let mut answered = 0;
                    while !stop.load(Ordering::SeqCst) {
                        let values: Vec<f32> =
                            (0..=(client + answered) % 20).map(|row| (client * 1000 + row) as f32).collect();
                        let asked = serving.predict(request(values.clone()));
                        if answered % 7 == 3 {
                            // Some go away; theirs is the only work that may be dropped.
                            let _gone = tokio::time::timeout(Duration::from_micros(150), asked).await;
                        } else {
                            assert_eq!(sums(&asked.await.expect("a request was lost")), values);
                        }
                        answered += 1;
                    }
                    answered
                })
            })
            .collect();
        let until = Instant::now() + Duration::from_millis(1500);
        let mut changes = 0_usize;
        while Instant::now() < until {
            let count = [1, 4, 2, 5, 3, 1, 6][changes % 7];
            let rows = [8, 64][changes / 5 % 2];
            let settings = ModelServing { max_batch_rows: Some(rows), ..instances(count) };
            let change = serving.configure("m", &settings);
            if changes % 4 == 2 {
                let _dropped_half_way = tokio::time::timeout(Duration::from_micros(500), change).await;
            } else {
                change.await.unwrap();
                assert_eq!(served(&serving).0, count);
                eventually("what left is dropped", || probe.placements() - probe.drops() == count).await;
            }
            changes += 1;
        }
        stop.store(true, Ordering::SeqCst);
        for client in clients {
            assert!(client.await.unwrap() > 20);
        }
        assert!(changes > 10, "{changes}");
        serving.unload("m", 1).await.unwrap();
        eventually("every replica is dropped", || probe.placements() == probe.drops()).await;
        assert_eq!(serving.inner.pool.executors().iter().map(|executor| executor.queued_rows()).sum::<usize>(), 0);
    }
}

#[tokio::test]
async fn a_model_s_own_time_to_live_holds_at_once() {
    use crate::serve::CacheStatus;
    let serving = on_cpu(ServingSettings { cache_bytes: 1 << 20, ..settings() });
    load(&serving, 1, FakeSettings::default()).await;
    let ask = async || serving.predict(request([1.0])).await.unwrap().cache;
    assert_eq!(ask().await, CacheStatus::Miss);
    assert!(matches!(ask().await, CacheStatus::Hit { .. }));
    let ttl = |micros| ModelServing { cache_ttl_us: Some(micros), ..ModelServing::default() };
    serving.configure("m", &ttl(0)).await.unwrap();
    assert_eq!(ask().await, CacheStatus::Off);
    serving.configure("m", &ModelServing::default()).await.unwrap();
    assert!(matches!(ask().await, CacheStatus::Miss | CacheStatus::Hit { .. }));
    assert!(matches!(ask().await, CacheStatus::Hit { .. }));
}
