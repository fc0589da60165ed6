//! The rate at which rows come.

use crate::serve::arrivals::Arrivals;

const MS: u64 = 1_000_000;

#[test]
fn follows_the_most_urgent_level_that_rows_come_for() {
    let arrivals = Arrivals::new();
    assert_eq!(arrivals.gap(), u64::MAX);
    // A row every millisecond on the second level.
    let mut now = 5000 * MS;
    for _ in 0..2000 {
        now += MS;
        arrivals.count(1, 1, now);
    }
    let near = |expected: u64| arrivals.gap().abs_diff(expected) < expected / 20;
    assert!(near(MS), "{arrivals:?}");
    // And two rows every fifty on the first.
    for step in 0..3000 {
        now += MS;
        arrivals.count(1, 1, now);
        if step % 50 == 0 {
            arrivals.count(0, 2, now);
        }
    }
    assert!((10 * MS..60 * MS).contains(&arrivals.gap()), "{arrivals:?}");
}

#[test]
fn forgets_what_came_before_a_pause() {
    let arrivals = Arrivals::new();
    (1..=1000).for_each(|step| arrivals.count(0, 1, 5000 * MS + step * MS));
    assert!(arrivals.gap().abs_diff(MS) < MS / 20, "{arrivals:?}");
    arrivals.count(0, 4, 9000 * MS);
    assert!(arrivals.gap() > 100 * MS, "{arrivals:?}");
}
