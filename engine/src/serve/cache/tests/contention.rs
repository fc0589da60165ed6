//! The cache under many threads, and under locks that are not let go.

use std::{
    sync::{atomic::AtomicU64, mpsc},
    thread,
};

use rand::{RngExt, SeedableRng, rngs::SmallRng};

use super::{
    urgency::{overloaded, urgent},
    *,
};

/// Longer than any of this takes unless somebody waits for the lock.
const LONG: Duration = Duration::from_secs(20);

/// Runs `work` on a thread, and fails when it does not end while the caller holds a lock.
fn not_waiting<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, ended) = mpsc::channel();
    thread::spawn(move || done.send(work()));
    ended.recv_timeout(LONG).expect("it waited for a lock")
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(work)
}

#[test]
fn nobody_waits_for_a_shard() {
    let cache = cache(&HandClock::new());
    block_on(keep(&cache, 1, 1));
    let walked = AtomicUsize::new(0);
    // There is one shard, and it is locked while it is walked through.
    cache.answers.retain(|_key, _held| {
        walked.fetch_add(1, Ordering::SeqCst);
        let cache = Arc::clone(&cache);
        let (found, status) = not_waiting(move || {
            let miss = miss(&cache, 0, &inputs(1));
            block_on(cache.compute_once(&miss, async { Ok(answer(&[2])) })).unwrap()
        });
        assert_eq!((marks(&found), status), (vec![2], CacheStatus::Miss));
        true
    });
    assert_eq!(walked.into_inner(), 1);
    let CacheStatistics { entries, contended_look_ups, contended_inserts, contended_joins, .. } = cache.statistics();
    // The leader of a flight looks again.
    assert_eq!((entries, contended_look_ups, contended_inserts, contended_joins), (1, 2, 1, 0));
    assert!(matches!(ask(&cache, 0, &inputs(1)), LookUp::Hit(found, _) if marks(&found) == [1]));
}

#[test]
fn nobody_waits_for_a_stripe_of_flights() {
    let cache = cache(&HandClock::new());
    let key = miss(&cache, 0, &inputs(1));
    let held = cache.flights.hold(&key.key);
    let (compute, work) = (Arc::clone(&cache), key.clone());
    let (_answer, status) =
        not_waiting(move || block_on(compute.compute_once(&work, async { Ok(answer(&[1])) })).unwrap());
    assert_eq!(status, CacheStatus::Miss);
    drop(held);
    assert_eq!(cache.statistics().contended_joins, 1);
    assert!(matches!(ask(&cache, 0, &inputs(1)), LookUp::Hit(..)), "it was kept all the same");
}

#[test]
fn a_flight_that_could_not_be_taken_off_is_not_joined() {
    let cache = cache(&HandClock::new());
    let key = miss(&cache, 0, &inputs(1));
    let (leader, work) = (Arc::clone(&cache), key.clone());
    block_on(async {
        let mut lead = Box::pin(leader.compute_once(&work, std::future::pending()));
        assert!(futures::poll!(&mut lead).is_pending());
        let held = cache.flights.hold(&key.key);
        drop(lead);
        drop(held);
        assert_eq!(cache.flights.listed(), 1);
        let (found, status) = cache.compute_once(&key, async { Ok(answer(&[2])) }).await.unwrap();
        assert_eq!((marks(&found), status), (vec![2], CacheStatus::Miss));
    });
    assert_eq!(cache.flights.listed(), 0);
}

/// Requests of a few questions from many tasks; some are urgent, some give up, some fail, some are refused, some go past the cache,
/// and deployments go. Each gets
/// an answer to its own question, and nothing is left behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn stands_many_threads_and_cancelling() {
    const TASKS: u64 = 64;
    const REQUESTS: u64 = 200;
    let cache = Arc::new(AnswerCache::new(1 << 20, Arc::new(Instant::now)).unwrap());
    let (answered, cancelled) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (cache, answered, cancelled) = (Arc::clone(&cache), Arc::clone(&answered), Arc::clone(&cancelled));
            tokio::spawn(async move {
                let mut random = SmallRng::seed_from_u64(task);
                for _ in 0..REQUESTS {
                    let (deployment, question) = (random.random_range(0..2), random.random_range(0..4));
                    let wish = CacheUse {
                        read: random.random_bool(0.9),
                        store: random.random_bool(0.9),
                        max_age: random.random_bool(0.5).then_some(Duration::ZERO),
                        only_cached: false,
                    };
                    let miss = match ask_on(&cache, deployment, &inputs(question), wish, Duration::from_millis(1)) {
                        LookUp::Hit(found, _age) => {
                            assert_eq!(marks(&found), [deployment, question]);
                            continue;
                        }
                        LookUp::Miss(miss) => urgent(miss, random.random_range(1..4), random.random_range(0..100)),
                        LookUp::Past => continue,
                    };
                    let (pause, fails) = (random.random_range(0..4), random.random_bool(0.1));
                    let full = random.random_bool(0.1);
                    let compute = async {
                        for _ in 0..pause {
                            tokio::task::yield_now().await;
                        }
                        if full {
                            Err(overloaded())
                        } else if fails {
                            Err(refused())
                        } else {
                            Ok(answer(&[deployment, question]))
                        }
                    };
                    let patience = Duration::from_micros(random.random_range(0..300));
                    match tokio::time::timeout(patience, cache.compute_once(&miss, compute)).await {
                        Ok(Ok((found, _status))) => {
                            answered.fetch_add(1, Ordering::Relaxed);
                            assert_eq!(marks(&found), [deployment, question]);
                        }
                        Ok(Err(Error::Run(_) | Error::Overloaded { .. })) => {}
                        Ok(Err(error)) => panic!("expected an answer or one of two errors, got {error}"),
                        Err(_elapsed) => {
                            cancelled.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    if random.random_bool(0.02) {
                        cache.remove_deployment(deployment);
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        tokio::time::timeout(LONG, task).await.expect("a request was forgotten").unwrap();
    }
    assert!(answered.load(Ordering::SeqCst) > 0);
    assert!(cache.statistics().overtaken > 0);
    // At most one for each question: a lock was taken when the flight was over.
    assert!(cache.flights.listed() <= 8, "{} flights are left", cache.flights.listed());
    (0..2).for_each(|deployment| cache.remove_deployment(deployment));
    assert_eq!((cache.statistics().entries, cache.statistics().bytes), (0, 0));
}
