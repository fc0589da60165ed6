//! The cache beside a plain map with a clock.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Event {
    Ask { deployment: usize, question: u64, cache: CacheUse, fails: bool },
    Turn(u64),
    Revise(usize),
    Live(usize, u64),
    Remove(usize),
}

fn cache_use() -> impl Strategy<Value = CacheUse> {
    (prop::bool::weighted(0.8), prop::bool::weighted(0.8), prop::option::weighted(0.3, 0..8_u64)).prop_map(
        |(read, store, seconds)| CacheUse {
            read,
            store,
            max_age: seconds.map(Duration::from_secs),
            only_cached: false,
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (0..3_usize, 0..4_u64, cache_use(), prop::bool::weighted(0.2))
            .prop_map(|(deployment, question, cache, fails)| Event::Ask { deployment, question, cache, fails }),
        4 => (0..7_u64).prop_map(Event::Turn),
        1 => (0..3_usize).prop_map(Event::Revise),
        1 => (0..3_usize, 0..12_u64).prop_map(|(deployment, seconds)| Event::Live(deployment, seconds)),
        1 => (0..3_usize).prop_map(Event::Remove),
    ]
}

/// What should be held: by deployment, revision and question, the serial number of an answer and when it was made.
type Held = HashMap<(usize, u64, u64), (u64, u64)>;

proptest! {
    #[test]
    fn gives_only_what_is_fresh_and_its_own(events in prop::collection::vec(event(), 0..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let clock = HandClock::new();
        let cache = cache(&clock);
        let (mut seconds, mut serial) = (0_u64, 0_u64);
        let (mut revisions, mut ttls) = ([0_u64; 3], [TTL.as_secs(); 3]);
        let mut held = Held::new();
        for event in events {
            match event {
                Event::Ask { deployment, question, cache: wish, fails } => {
                    let (revision, ttl) = (revisions[deployment], ttls[deployment]);
                    let id = (deployment, revision, question);
                    let fresh = |made: u64| {
                        let age = seconds - made;
                        age < ttl && wish.max_age.is_none_or(|max_age| age <= max_age.as_secs())
                    };
                    let expected = held.get(&id).copied().filter(|(_serial, made)| wish.read && fresh(*made));
                    let inputs = inputs(question);
                    let (ttl, asked, urgency) = (Duration::from_secs(ttl), (cache.clock)(), usual(&cache));
                    let terms = Terms { cache: wish, ttl, asked, urgency };
                    let asked = Question { deployment: deployment as u64, revision, wanted: &[], inputs: &inputs, terms };
                    match cache.look_up(&asked) {
                        LookUp::Hit(found, age) => {
                            let (serial, made) = expected.expect("a hit of what is gone or too old");
                            prop_assert_eq!(marks(&found), [deployment as u64, revision, question, serial]);
                            prop_assert_eq!(age.as_secs(), seconds - made);
                        }
                        LookUp::Miss(miss) => {
                            // 1 MiB never evicts so few.
                            prop_assert!(expected.is_none(), "a fresh answer was lost");
                            serial += 1;
                            let made = answer(&[deployment as u64, revision, question, serial]);
                            let compute = async { if fails { Err(refused()) } else { Ok(made) } };
                            match runtime.block_on(cache.compute_once(&miss, compute)) {
                                Ok((found, status)) => {
                                    prop_assert!(!fails);
                                    prop_assert_eq!((marks(&found)[3], status), (serial, CacheStatus::Miss));
                                    if wish.store {
                                        held.insert(id, (serial, seconds));
                                    }
                                }
                                Err(error) => prop_assert!(fails, "{}", error),
                            }
                        }
                        LookUp::Past => prop_assert!(ttl.is_zero() || !(wish.read || wish.store)),
                    }
                }
                Event::Turn(by) => {
                    seconds += by;
                    clock.turn(Duration::from_secs(by));
                }
                Event::Revise(deployment) => revisions[deployment] += 1,
                Event::Live(deployment, seconds) => ttls[deployment] = seconds,
                Event::Remove(deployment) => {
                    cache.remove_deployment(deployment as u64);
                    held.retain(|(held, _revision, _question), _| *held != deployment);
                }
            }
            prop_assert_eq!(cache.statistics().entries, held.len() as u64);
            prop_assert_eq!(cache.flights.listed(), 0);
        }
        (0..3).for_each(|deployment| cache.remove_deployment(deployment));
        let CacheStatistics { entries, bytes, contended_look_ups, contended_joins, contended_inserts, .. } =
            cache.statistics();
        prop_assert_eq!((entries, bytes), (0, 0));
        prop_assert_eq!(contended_look_ups + contended_joins + contended_inserts, 0);
    }
}
