//! The cache under a clock that is turned by hand.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use proptest::prelude::*;
use tokio::sync::Notify;

use super::*;

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
    Arc::new(AnswerCache::new(1 << 20, TTL, clock.clock()).unwrap())
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

fn ask(cache: &AnswerCache, deployment: u64, revision: u64, inputs: &[Tensor]) -> LookUp {
    cache.look_up(&Question { deployment, revision, wanted: &[], inputs })
}

fn miss(cache: &AnswerCache, deployment: u64, inputs: &[Tensor]) -> Key {
    match ask(cache, deployment, 0, inputs) {
        LookUp::Miss(key) => key,
        other => panic!("expected a miss, got {other:?}"),
    }
}

fn refused() -> Error {
    Error::Run(RunError::Failed { reason: "told to".to_owned() })
}

#[derive(Clone, Debug)]
enum Event {
    Ask { deployment: u64, question: u64, fails: bool },
    Turn(u64),
    Revise(u64),
    Remove(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (0..3_u64, 0..4_u64, prop::bool::weighted(0.2))
            .prop_map(|(deployment, question, fails)| Event::Ask { deployment, question, fails }),
        4 => (0..7_u64).prop_map(Event::Turn),
        1 => (0..3_u64).prop_map(Event::Revise),
        1 => (0..3_u64).prop_map(Event::Remove),
    ]
}

proptest! {
    #[test]
    fn gives_only_what_is_fresh_and_its_own(events in prop::collection::vec(event(), 0..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let clock = HandClock::new();
        let cache = cache(&clock);
        let (mut seconds, mut serial, mut revisions) = (0_u64, 0_u64, [0_u64; 3]);
        // The serial number of the answer that should be held, and when it was made.
        let mut held = std::collections::HashMap::<(u64, u64, u64), (u64, u64)>::new();
        for event in events {
            match event {
                Event::Ask { deployment, question, fails } => {
                    let revision = revisions[usize::try_from(deployment).unwrap()];
                    let id = (deployment, revision, question);
                    let expected = held.get(&id).filter(|(_serial, made)| seconds - made < TTL.as_secs());
                    match ask(&cache, deployment, revision, &inputs(question)) {
                        LookUp::Hit(found, age) => {
                            let (serial, made) = expected.expect("a hit of what is gone or too old");
                            prop_assert_eq!(marks(&found), [deployment, revision, question, *serial]);
                            prop_assert_eq!(age.as_secs(), seconds - made);
                        }
                        LookUp::Miss(key) => {
                            // 1 MiB never evicts so few.
                            prop_assert!(expected.is_none(), "a fresh answer was lost");
                            serial += 1;
                            let computed = runtime.block_on(cache.compute_once(&key, async {
                                if fails { Err(refused()) } else { Ok(answer(&[deployment, revision, question, serial])) }
                            }));
                            prop_assert_eq!(computed.is_err(), fails);
                            if fails { held.remove(&id) } else { held.insert(id, (serial, seconds)) };
                        }
                        LookUp::TooLarge => prop_assert!(false, "a small question is too large"),
                    }
                }
                Event::Turn(by) => {
                    seconds += by;
                    clock.turn(Duration::from_secs(by));
                }
                Event::Revise(deployment) => revisions[usize::try_from(deployment).unwrap()] += 1,
                Event::Remove(deployment) => {
                    cache.remove_deployment(deployment);
                    held.retain(|(held, _revision, _question), _| *held != deployment);
                    prop_assert_eq!(cache.len(), held.len());
                }
            }
        }
        (0..3).for_each(|deployment| cache.remove_deployment(deployment));
        prop_assert_eq!(cache.len(), 0);
        prop_assert_eq!(cache.weight(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn equal_requests_in_flight_are_computed_once() {
    for round in 0..20 {
        let cache = cache(&HandClock::new());
        let (computed, begin) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let key = miss(&cache, 0, &inputs(round));
        let tasks: Vec<_> = (0..50)
            .map(|_| {
                let (cache, computed, begin) = (Arc::clone(&cache), Arc::clone(&computed), Arc::clone(&begin));
                let key = key.clone();
                tokio::spawn(async move {
                    let compute = async {
                        computed.fetch_add(1, Ordering::SeqCst);
                        begin.notified().await;
                        Ok(answer(&[round]))
                    };
                    cache.compute_once(&key, compute).await.unwrap()
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(5)).await;
        begin.notify_one();
        let mut hits = 0;
        for task in tasks {
            let (answer, status) = task.await.unwrap();
            assert_eq!(marks(&answer), [round]);
            hits += usize::from(matches!(status, CacheStatus::Hit { .. }));
        }
        assert_eq!((computed.load(Ordering::SeqCst), hits), (1, 49));
        assert!(matches!(ask(&cache, 0, 0, &inputs(round)), LookUp::Hit(..)));
    }
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
    assert_eq!(cache.len(), 0);
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
async fn an_answer_that_ages_while_it_is_waited_for_is_computed_again() {
    let clock = HandClock::new();
    let cache = cache(&clock);
    let key = miss(&cache, 0, &inputs(1));
    cache.compute_once(&key, async { Ok(answer(&[1])) }).await.unwrap();
    clock.turn(TTL.saturating_sub(Duration::from_nanos(1)));
    assert!(matches!(ask(&cache, 0, 0, &inputs(1)), LookUp::Hit(..)));
    clock.turn(Duration::from_nanos(1));
    let (answer, status) = cache.compute_once(&key, async { Ok(answer(&[2])) }).await.unwrap();
    assert_eq!((marks(&answer), status), (vec![2], CacheStatus::Miss));
}

#[tokio::test]
async fn stays_within_its_bytes() {
    let clock = HandClock::new();
    let bytes = 256 << 10;
    let cache = AnswerCache::new(bytes, TTL, clock.clock()).unwrap();
    let serial = AtomicU64::new(0);
    for question in 0..5000 {
        let key = miss(&cache, 0, &inputs(question));
        let filled = cache.compute_once(&key, async { Ok(answer(&vec![serial.fetch_add(1, Ordering::SeqCst); 64])) });
        filled.await.unwrap();
        assert!(cache.weight() <= bytes, "{} bytes of {bytes}", cache.weight());
    }
    // 64 numbers of 8 bytes each, and less than twice as much beside.
    assert!(cache.len() > 150, "only {} answers are held", cache.len());
}

#[tokio::test]
async fn too_large_questions_and_answers_are_not_kept() {
    let clock = HandClock::new();
    let cache = AnswerCache::new(64 << 10, TTL, clock.clock()).unwrap();
    let large = vec![Tensor::from_values("x", vec![4096], &[1_u8; 4096]).unwrap()];
    assert!(matches!(ask(&cache, 0, 0, &large), LookUp::TooLarge));
    let key = miss(&cache, 0, &inputs(1));
    let (computed, _status) = cache.compute_once(&key, async { Ok(answer(&vec![1; 100_000])) }).await.unwrap();
    assert_eq!(marks(&computed).len(), 100_000);
    assert_eq!(cache.len(), 0);
}

#[test]
fn is_off_without_room_or_time() {
    assert!(AnswerCache::new(0, TTL, HandClock::new().clock()).is_none());
    assert!(AnswerCache::new(1, Duration::ZERO, HandClock::new().clock()).is_none());
}

#[test]
fn wanted_outputs_are_part_of_the_question() {
    let key = |wanted: &[&str], inputs: &[Tensor]| {
        let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
        let mut key = Vec::new();
        Question { deployment: 0, revision: 0, wanted: &wanted, inputs }.write(&mut key);
        key
    };
    let one = inputs(1);
    let distinct =
        [key(&[], &one), key(&["a"], &one), key(&["a", "b"], &one), key(&["b", "a"], &one), key(&["ab"], &one)];
    for (i, a) in distinct.iter().enumerate() {
        assert!(distinct.iter().skip(i + 1).all(|b| a != b));
    }
}
