//! Requests that are more urgent than an equal one under way.

use std::future::pending;

use futures::poll;

use super::*;

/// `miss` at a level, with a deadline in so many milliseconds.
pub(super) fn urgent(mut miss: Miss, level: u32, millis: u64) -> Miss {
    let terms = miss.terms;
    let urgency = Urgency { level, deadline: terms.asked + Duration::from_millis(millis) };
    miss.terms = Terms { urgency, ..terms };
    miss
}

pub(super) fn overloaded() -> Error {
    Error::Overloaded { queued: 1, limit: 1, retry_after: TTL }
}

const HIT: CacheStatus = CacheStatus::Hit { age: Duration::ZERO };

/// A cache, and the same question at each of these levels and deadlines.
fn asked<const N: usize>(urgencies: [(u32, u64); N]) -> (Arc<AnswerCache>, [Miss; N]) {
    let cache = cache(&HandClock::new());
    let misses = urgencies.map(|(level, millis)| urgent(miss(&cache, 0, &inputs(1)), level, millis));
    (cache, misses)
}

/// What comes of `work`, which would wait for good if nobody computed.
async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(TTL, work).await.expect("it waited in vain")
}

fn seen(got: Result<(Answer, CacheStatus)>) -> (Vec<u64>, CacheStatus) {
    let (answer, status) = got.unwrap();
    (marks(&answer), status)
}

#[tokio::test]
async fn who_is_more_urgent_computes_and_the_slower_one_gets_its_answer() {
    for (slow, fast) in [((2, 500), (1, 500)), ((2, 500), (1, 9000)), ((2, 500), (2, 400)), ((2, 500), (2, 498))] {
        let (cache, [slow, joiner, fast, later]) = asked([slow, slow, fast, slow]);
        let slow = cache.compute_once(&slow, pending());
        let joiner = cache.compute_once(&joiner, async { unreachable!("it waits for the first") });
        let begin = Notify::new();
        let fast = cache.compute_once(&fast, async {
            begin.notified().await;
            Ok(answer(&[3]))
        });
        let later = cache.compute_once(&later, async { unreachable!("it waits for the third") });
        let release = async { begin.notify_one() };
        let (slow, joiner, fast, later, ()) = in_time(async { tokio::join!(slow, joiner, fast, later, release) }).await;
        assert_eq!(seen(fast), (vec![3], CacheStatus::Miss));
        // The first would never have been answered: it waited for the third.
        for got in [slow, joiner, later] {
            assert_eq!(seen(got), (vec![3], HIT));
        }
        let CacheStatistics { coalesced, overtaken, contended_joins, .. } = cache.statistics();
        assert_eq!((coalesced, overtaken, contended_joins, cache.flights.listed()), (3, 1, 0, 0));
    }
}

#[tokio::test]
async fn who_is_not_more_urgent_waits() {
    // A level counts before a deadline, as in the queue, and a millisecond counts for nothing.
    for joiner in [(2, 500), (2, 900), (2, 499), (3, 1)] {
        let (cache, [leader, joiner]) = asked([(2, 500), joiner]);
        let begin = Notify::new();
        let leader = cache.compute_once(&leader, async {
            begin.notified().await;
            Ok(answer(&[1]))
        });
        let joiner = cache.compute_once(&joiner, async { unreachable!("it waits for the first") });
        let (leader, joiner, ()) = tokio::join!(leader, joiner, async { begin.notify_one() });
        assert_eq!([seen(leader), seen(joiner)], [(vec![1], CacheStatus::Miss), (vec![1], HIT)]);
        assert_eq!(cache.statistics().overtaken, 0);
    }
}

#[tokio::test]
async fn a_slower_one_that_is_answered_first_keeps_its_own_answer() {
    let (cache, [slow, fast]) = asked([(2, 500), (1, 500)]);
    let begin = Notify::new();
    let mut slow = Box::pin(cache.compute_once(&slow, async {
        begin.notified().await;
        Ok(answer(&[1]))
    }));
    assert!(poll!(&mut slow).is_pending());
    let mut fast = Box::pin(cache.compute_once(&fast, async {
        begin.notified().await;
        Ok(answer(&[2]))
    }));
    assert!(poll!(&mut fast).is_pending());
    begin.notify_one();
    assert_eq!(seen(slow.await), (vec![1], CacheStatus::Miss));
    begin.notify_one();
    assert_eq!(seen(fast.await), (vec![2], CacheStatus::Miss));
    assert_eq!(cache.flights.listed(), 0);
}

#[tokio::test]
async fn one_that_gives_up_leaves_its_place_to_the_one_it_overtook() {
    let (cache, [slow, fast, later]) = asked([(2, 500), (1, 500), (2, 500)]);
    let begin = Notify::new();
    let mut slow = Box::pin(cache.compute_once(&slow, async {
        begin.notified().await;
        Ok(answer(&[1]))
    }));
    assert!(poll!(&mut slow).is_pending());
    let mut fast = Box::pin(cache.compute_once(&fast, pending()));
    assert!(poll!(&mut fast).is_pending());
    drop(fast);
    let mut later = Box::pin(cache.compute_once(&later, async { unreachable!("it waits for the first") }));
    assert!(poll!(&mut later).is_pending());
    begin.notify_one();
    assert_eq!([seen(slow.await), seen(later.await)], [(vec![1], CacheStatus::Miss), (vec![1], HIT)]);
    assert_eq!((cache.statistics().overtaken, cache.flights.listed()), (1, 0));
}

#[tokio::test]
async fn one_that_finds_no_room_waits_after_all() {
    let (cache, [slow, fast]) = asked([(2, 500), (1, 500)]);
    let begin = Notify::new();
    let mut slow = Box::pin(cache.compute_once(&slow, async {
        begin.notified().await;
        Ok(answer(&[1]))
    }));
    assert!(poll!(&mut slow).is_pending());
    let mut fast = Box::pin(cache.compute_once(&fast, async { Err(overloaded()) }));
    assert!(poll!(&mut fast).is_pending());
    begin.notify_one();
    assert_eq!([seen(slow.await), seen(fast.await)], [(vec![1], CacheStatus::Miss), (vec![1], HIT)]);
    assert_eq!((cache.statistics().overtaken, cache.flights.listed()), (1, 0));

    // Where the one that it waits for gives up, it has its own refusal, and so has one that there is nobody to wait for.
    let (cache, [slow, fast, alone]) = asked([(2, 500), (1, 500), (1, 500)]);
    let mut slow = Box::pin(cache.compute_once(&slow, pending()));
    assert!(poll!(&mut slow).is_pending());
    let mut fast = Box::pin(cache.compute_once(&fast, async { Err(overloaded()) }));
    assert!(poll!(&mut fast).is_pending());
    drop(slow);
    for error in [fast.await, cache.compute_once(&alone, async { Err(overloaded()) }).await] {
        assert!(matches!(error, Err(Error::Overloaded { .. })), "{error:?}");
    }
    assert_eq!(cache.flights.listed(), 0);
}

#[tokio::test]
async fn who_waits_looks_again_when_a_less_urgent_one_takes_over() {
    let (cache, [first, second, third, fourth]) = asked([(1, 500), (3, 500), (2, 500), (3, 600)]);
    let mut first = Box::pin(cache.compute_once(&first, pending()));
    let mut second = Box::pin(cache.compute_once(&second, pending()));
    let mut third = Box::pin(cache.compute_once(&third, async { Ok(answer(&[3])) }));
    let mut fourth = Box::pin(cache.compute_once(&fourth, async { unreachable!("it waits for others") }));
    for waiting in [&mut first, &mut second] {
        assert!(poll!(waiting).is_pending());
    }
    assert!(poll!(&mut third).is_pending() && poll!(&mut fourth).is_pending());
    drop(first);
    // It computes now, less urgently than the third, which would wait for it.
    assert!(poll!(&mut second).is_pending());
    assert_eq!(seen(in_time(third).await), (vec![3], CacheStatus::Miss));
    assert_eq!([seen(in_time(second).await), seen(in_time(fourth).await)], [(vec![3], HIT), (vec![3], HIT)]);
    assert_eq!((cache.statistics().overtaken, cache.flights.listed()), (1, 0));
}

#[tokio::test]
async fn a_failure_is_not_brought_to_the_slower_one() {
    let (cache, [slow, fast]) = asked([(2, 500), (1, 500)]);
    let begin = Notify::new();
    let mut slow = Box::pin(cache.compute_once(&slow, async {
        begin.notified().await;
        Ok(answer(&[1]))
    }));
    assert!(poll!(&mut slow).is_pending());
    let failed = cache.compute_once(&fast, async { Err(refused()) }).await;
    assert!(matches!(failed, Err(Error::Run(_))), "{failed:?}");
    begin.notify_one();
    assert_eq!(seen(slow.await), (vec![1], CacheStatus::Miss));
}
