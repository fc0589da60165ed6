//! The cache under a clock that is turned by hand.

mod contention;
mod model;
mod speed;
mod urgency;

use std::sync::atomic::{AtomicUsize, Ordering};

use contract::{RunError, Tensor};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

use super::*;
use crate::serve::request::CacheUse;

const TTL: Duration = Duration::from_secs(10);

/// A clock that stands still unless it is turned.
#[derive(Clone)]
struct HandClock(Arc<Mutex<Instant>>);

impl HandClock {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    fn turn(&self, by: Duration) {
        *self.0.lock() += by;
    }

    fn clock(&self) -> Clock {
        let time = Arc::clone(&self.0);
        Arc::new(move || *time.lock())
    }
}

fn cache(clock: &HandClock) -> Arc<AnswerCache> {
    Arc::new(AnswerCache::new(1 << 20, clock.clock()).unwrap())
}

fn inputs(value: u64) -> Vec<Tensor> {
    vec![Tensor::from_values("x", vec![1], &[value]).unwrap()]
}

/// An answer that says for what and when it was made.
fn answer(marks: &[u64]) -> Answer {
    Answer { outputs: Arc::from([Tensor::from_values("y", vec![marks.len()], marks).unwrap()]), rows: 1 }
}

fn marks(answer: &Answer) -> Vec<u64> {
    answer.outputs[0].values::<u64>().unwrap().to_vec()
}

/// The urgency of a request that names none.
fn usual(cache: &AnswerCache) -> Urgency {
    Urgency { level: 2, deadline: (cache.clock)() + Duration::from_secs(30) }
}

/// Asks at revision 0 for all outputs, on terms.
fn ask_on(cache: &AnswerCache, deployment: u64, inputs: &[Tensor], cache_use: CacheUse, ttl: Duration) -> LookUp {
    let terms = Terms { cache: cache_use, ttl, asked: (cache.clock)(), urgency: usual(cache) };
    cache.look_up(&Question { deployment, revision: 0, wanted: &[], inputs, terms })
}

fn ask(cache: &AnswerCache, deployment: u64, inputs: &[Tensor]) -> LookUp {
    ask_on(cache, deployment, inputs, CacheUse::FULL, TTL)
}

fn missed(look_up: LookUp) -> Miss {
    match look_up {
        LookUp::Miss(miss) => miss,
        other => panic!("expected a miss, got {other:?}"),
    }
}

fn miss(cache: &AnswerCache, deployment: u64, inputs: &[Tensor]) -> Miss {
    missed(ask(cache, deployment, inputs))
}

fn refused() -> Error {
    Error::Run(RunError::Failed { reason: "told to".to_owned() })
}

/// Has `mark` kept as the answer to `question` of deployment 0.
async fn keep(cache: &AnswerCache, question: u64, mark: u64) {
    let miss = missed(ask_on(cache, 0, &inputs(question), CacheUse { read: false, ..CacheUse::FULL }, TTL));
    let (_answer, status) = cache.compute_once(&miss, async { Ok(answer(&[mark])) }).await.unwrap();
    assert_eq!(status, CacheStatus::Miss);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn equal_requests_in_flight_are_computed_once() {
    for round in 0..20 {
        let cache = cache(&HandClock::new());
        let (computed, begin) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let key = miss(&cache, 0, &inputs(round));
        let tasks: Vec<_> = (0..50)
            .map(|_| {
                let (cache, computed, begin) = (Arc::clone(&cache), Arc::clone(&computed), Arc::clone(&begin));
                let key = key.clone();
                tokio::spawn(async move {
                    let compute = async {
                        computed.fetch_add(1, Ordering::SeqCst);
                        let _begun = begin.acquire().await.unwrap();
                        Ok(answer(&[round]))
                    };
                    cache.compute_once(&key, compute).await.unwrap()
                })
            })
            .collect();
        begin.add_permits(50);
        let mut hits = 0;
        for task in tasks {
            let (answer, status) = task.await.unwrap();
            assert_eq!(marks(&answer), [round]);
            hits += usize::from(matches!(status, CacheStatus::Hit { .. }));
        }
        let computed = computed.load(Ordering::SeqCst);
        assert_eq!(computed + hits, 50);
        // Who found a lock taken did not wait for it.
        let CacheStatistics { contended_look_ups, contended_joins, contended_inserts, .. } = cache.statistics();
        let contended = usize::try_from(contended_look_ups + contended_joins + contended_inserts).unwrap();
        assert!(computed <= 1 + contended, "{computed} of 50 computed, and {contended} found a lock taken");
    }
}

/// On one thread no lock is ever taken, so nobody has a reason to compute beside another.
#[tokio::test]
async fn of_equal_requests_on_one_thread_one_computes() {
    let cache = cache(&HandClock::new());
    let begin = Semaphore::new(0);
    let computed = AtomicUsize::new(0);
    let requests = (0..50).map(|_| async {
        let miss = miss(&cache, 0, &inputs(1));
        let compute = async {
            computed.fetch_add(1, Ordering::SeqCst);
            let _begun = begin.acquire().await.unwrap();
            Ok(answer(&[1]))
        };
        cache.compute_once(&miss, compute).await.unwrap().1
    });
    let mut all = std::pin::pin!(futures::future::join_all(requests));
    assert!(futures::poll!(&mut all).is_pending());
    begin.add_permits(1);
    let statuses = all.await;
    assert_eq!(computed.load(Ordering::SeqCst), 1);
    assert_eq!(statuses.iter().filter(|status| matches!(status, CacheStatus::Hit { .. })).count(), 49);
    assert_eq!(cache.statistics().coalesced, 49);
    assert_eq!(cache.flights.listed(), 0);
}

#[tokio::test]
async fn a_failure_is_told_to_those_that_wait_and_not_kept() {
    let cache = cache(&HandClock::new());
    let (computed, begin) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let (cache, computed, begin) = (Arc::clone(&cache), Arc::clone(&computed), Arc::clone(&begin));
            tokio::spawn(async move {
                let key = miss(&cache, 0, &inputs(1));
                let compute = async {
                    computed.fetch_add(1, Ordering::SeqCst);
                    begin.notified().await;
                    Err(refused())
                };
                cache.compute_once(&key, compute).await
            })
        })
        .collect();
    // One thread polls them all in turn, so they all wait behind this.
    tokio::task::yield_now().await;
    begin.notify_one();
    for task in tasks {
        let error = task.await.unwrap().unwrap_err();
        assert!(matches!(error, Error::Run(RunError::Failed { .. })), "{error}");
    }
    assert_eq!(computed.load(Ordering::SeqCst), 1);
    assert_eq!(cache.statistics().entries, 0);
    let key = miss(&cache, 0, &inputs(1));
    let (answer, status) = cache.compute_once(&key, async { Ok(answer(&[7])) }).await.unwrap();
    assert_eq!((marks(&answer), status), (vec![7], CacheStatus::Miss));
}

#[tokio::test]
async fn one_that_gives_up_leaves_the_work_to_the_next() {
    let cache = cache(&HandClock::new());
    let key = miss(&cache, 0, &inputs(1));
    let waiting = {
        let (cache, key) = (Arc::clone(&cache), key.clone());
        async move { cache.compute_once(&key, async { Ok(answer(&[2])) }).await }
    };
    // The first one is cancelled in the middle of its computation.
    let mut first = Box::pin(cache.compute_once(&key, std::future::pending()));
    assert!(futures::poll!(&mut first).is_pending());
    let waiting = tokio::spawn(waiting);
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    drop(first);
    assert_eq!(marks(&waiting.await.unwrap().unwrap().0), [2]);

    // The first one runs out of time: its error is its own.
    let key = miss(&cache, 1, &inputs(1));
    let begin = Notify::new();
    let late = cache.compute_once(&key, async {
        begin.notified().await;
        Err(Error::DeadlineExceeded { after: TTL })
    });
    let next = cache.compute_once(&key, async { Ok(answer(&[3])) });
    let (late, next, ()) = tokio::join!(late, next, async { begin.notify_one() });
    assert!(matches!(late, Err(Error::DeadlineExceeded { .. })));
    assert_eq!(marks(&next.unwrap().0), [3]);
}

#[tokio::test]
async fn waiting_has_the_deadline_of_the_one_that_waits() {
    let cache = cache(&HandClock::new());
    let key = miss(&cache, 0, &inputs(1));
    let mut stuck = Box::pin(cache.compute_once(&key, std::future::pending()));
    assert!(futures::poll!(&mut stuck).is_pending());
    let impatient = cache.compute_once(&key, async { Ok(answer(&[1])) });
    assert!(tokio::time::timeout(Duration::from_millis(20), impatient).await.is_err());
    assert!(futures::poll!(&mut stuck).is_pending());
}

#[tokio::test]
async fn times_to_live_are_those_of_the_moment() {
    let clock = HandClock::new();
    let cache = cache(&clock);
    keep(&cache, 1, 1).await;
    clock.turn(TTL.saturating_sub(Duration::from_nanos(1)));
    assert!(matches!(ask(&cache, 0, &inputs(1)), LookUp::Hit(..)));
    // A shorter one holds at once, for what is held as well, and so does a longer one.
    assert!(matches!(ask_on(&cache, 0, &inputs(1), CacheUse::FULL, TTL / 2), LookUp::Miss(_)));
    clock.turn(Duration::from_nanos(1));
    assert!(matches!(ask(&cache, 0, &inputs(1)), LookUp::Miss(_)));
    assert!(matches!(ask_on(&cache, 0, &inputs(1), CacheUse::FULL, TTL * 2), LookUp::Hit(..)));
    assert!(matches!(ask_on(&cache, 0, &inputs(1), CacheUse::FULL, Duration::ZERO), LookUp::Past));
    assert_eq!(cache.statistics().expired, 2);
    keep(&cache, 1, 2).await;
    assert_eq!(cache.statistics().entries, 1);
}

#[tokio::test]
async fn requests_get_no_older_answer_than_they_accept() {
    let clock = HandClock::new();
    let cache = cache(&clock);
    keep(&cache, 1, 1).await;
    clock.turn(Duration::from_secs(3));
    let within = |seconds| CacheUse { max_age: Some(Duration::from_secs(seconds)), ..CacheUse::FULL };
    assert!(matches!(ask_on(&cache, 0, &inputs(1), within(3), TTL), LookUp::Hit(_, age) if age.as_secs() == 3));
    let miss = missed(ask_on(&cache, 0, &inputs(1), within(2), TTL));
    // It is not past its time: others may still have it.
    assert_eq!(cache.statistics().expired, 0);
    assert!(matches!(ask(&cache, 0, &inputs(1)), LookUp::Hit(..)));
    let (new, status) = cache.compute_once(&miss, async { Ok(answer(&[2])) }).await.unwrap();
    assert_eq!((marks(&new), status), (vec![2], CacheStatus::Miss));
    assert!(matches!(ask_on(&cache, 0, &inputs(1), within(0), TTL), LookUp::Hit(found, _) if marks(&found) == [2]));
}

#[tokio::test]
async fn reading_and_keeping_are_separate_wishes() {
    let cache = cache(&HandClock::new());
    let question = inputs(1);
    let compute = |mark: u64| async move { Ok(answer(&[mark])) };
    assert!(matches!(ask_on(&cache, 0, &question, CacheUse::NONE, TTL), LookUp::Past));
    let only_reads = CacheUse { store: false, ..CacheUse::FULL };
    let miss = missed(ask_on(&cache, 0, &question, only_reads, TTL));
    cache.compute_once(&miss, compute(1)).await.unwrap();
    assert_eq!(cache.statistics().entries, 0);
    keep(&cache, 1, 2).await;
    assert!(matches!(ask_on(&cache, 0, &question, only_reads, TTL), LookUp::Hit(found, _) if marks(&found) == [2]));
    // It does not take what is held, and its own takes the place.
    keep(&cache, 1, 3).await;
    assert!(matches!(ask(&cache, 0, &question), LookUp::Hit(found, _) if marks(&found) == [3]));
}

#[tokio::test]
async fn does_not_join_what_it_does_not_want_to_read() {
    let cache = cache(&HandClock::new());
    let leader = miss(&cache, 0, &inputs(1));
    let mut stuck = Box::pin(cache.compute_once(&leader, std::future::pending()));
    assert!(futures::poll!(&mut stuck).is_pending());
    keep(&cache, 1, 2).await;
    assert_eq!(cache.statistics().coalesced, 0);
    assert!(futures::poll!(&mut stuck).is_pending());
}

#[tokio::test]
async fn joins_a_flight_whatever_age_it_accepts() {
    let clock = HandClock::new();
    let cache = cache(&clock);
    let exacting = CacheUse { max_age: Some(Duration::ZERO), ..CacheUse::FULL };
    let [leader, joiner] = [0; 2].map(|_| missed(ask_on(&cache, 0, &inputs(1), exacting, TTL)));
    let begin = Notify::new();
    let lead = cache.compute_once(&leader, async {
        begin.notified().await;
        Ok(answer(&[1]))
    });
    let joined = cache.compute_once(&joiner, async { Ok(answer(&[2])) });
    let release = async {
        clock.turn(Duration::from_secs(2));
        begin.notify_one();
    };
    let (lead, joined, ()) = tokio::join!(lead, joined, release);
    assert_eq!(lead.unwrap().1, CacheStatus::Miss);
    let (found, status) = joined.unwrap();
    assert_eq!((marks(&found), status), (vec![1], CacheStatus::Hit { age: Duration::ZERO }));
    assert_eq!(cache.statistics().coalesced, 1);
}

#[tokio::test]
async fn stays_within_its_bytes() {
    let clock = HandClock::new();
    let bytes = 256 << 10;
    let cache = AnswerCache::new(bytes, clock.clock()).unwrap();
    for question in 0..5000 {
        let key = miss(&cache, 0, &inputs(question));
        cache.compute_once(&key, async { Ok(answer(&[question; 64])) }).await.unwrap();
        assert!(cache.statistics().bytes <= bytes, "{} bytes of {bytes}", cache.statistics().bytes);
    }
    let CacheStatistics { entries, evicted, .. } = cache.statistics();
    // 64 numbers of 8 bytes each, and less than twice as much beside.
    assert!(entries > 150, "only {entries} answers are held");
    assert_eq!(entries + evicted, 5000);
}

#[tokio::test]
async fn too_large_questions_and_answers_are_not_kept() {
    let clock = HandClock::new();
    let cache = AnswerCache::new(64 << 10, clock.clock()).unwrap();
    let large = vec![Tensor::from_values("x", vec![4096], &[1_u8; 4096]).unwrap()];
    assert!(matches!(ask(&cache, 0, &large), LookUp::Past));
    let key = miss(&cache, 0, &inputs(1));
    let (computed, _status) = cache.compute_once(&key, async { Ok(answer(&vec![1; 100_000])) }).await.unwrap();
    assert_eq!(marks(&computed).len(), 100_000);
    assert_eq!(cache.statistics().entries, 0);
}

#[test]
fn is_off_without_room_or_time() {
    assert!(AnswerCache::new(0, HandClock::new().clock()).is_none());
    let cache = cache(&HandClock::new());
    assert!(matches!(ask_on(&cache, 0, &inputs(1), CacheUse::FULL, Duration::ZERO), LookUp::Past));
}

#[test]
fn wanted_outputs_are_part_of_the_question() {
    let key = |wanted: &[&str], inputs: &[Tensor]| {
        let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
        let mut key = Vec::new();
        let asked = Instant::now();
        let urgency = Urgency { level: 1, deadline: asked };
        let terms = Terms { cache: CacheUse::FULL, ttl: TTL, asked, urgency };
        Question { deployment: 0, revision: 0, wanted: &wanted, inputs, terms }.write(&mut key);
        key
    };
    let one = inputs(1);
    let distinct =
        [key(&[], &one), key(&["a"], &one), key(&["a", "b"], &one), key(&["b", "a"], &one), key(&["ab"], &one)];
    for (i, a) in distinct.iter().enumerate() {
        assert!(distinct.iter().skip(i + 1).all(|b| a != b));
    }
}
