use std::{sync::Arc, thread, time::Duration};

use loadgen::{Arrivals, Load, Pace, RequestSpec, Scenario, ScenarioSpec, Sweep};
use parking_lot::Mutex;

use crate::harness::{Bench, Reply, serve};

/// A server that works on one request at a time, for 4 ms each.
fn serial() -> String {
    let one = Arc::new(Mutex::new(()));
    let (address, _) = serve(move |_| {
        let held = one.lock();
        thread::sleep(Duration::from_millis(4));
        drop(held);
        Reply::Status(200)
    });
    address
}

#[test]
fn a_sweep_finds_the_capacity() {
    let mut bench = Bench::new(&serial(), &RequestSpec::default());
    let capacity = bench.run(Pace::Closed { concurrency: 4 }).throughput_per_second;
    bench.load.most_connections = 64;
    bench.load.duration = Duration::from_millis(1200);
    let sweep = Sweep { slo: "100ms@p90".parse().unwrap(), start: 40.0, arrivals: Arrivals::Constant, precision: 0.1 };
    let (reports, found) = sweep.run(&bench.load, &mut |load: &Load| load.run(&bench.requests, &mut |_| {})).unwrap();
    let best = found.best_rate.unwrap();
    // A queue that grows for a second reaches 100 ms at a tenth above the capacity.
    assert!((0.6..1.35).contains(&(best / capacity)), "{best} of {capacity}");
    assert!(found.missed_rate.unwrap() / best <= 1.1001);
    assert!(!found.generator_bound);
    let rates: Vec<f64> = reports.iter().map(|report| report.offered_per_second).collect();
    assert!(rates.is_sorted(), "{rates:?}");
    for report in &reports {
        let Pace::Open { rate, .. } = report.pace else { panic!("{:?}", report.pace) };
        assert_eq!(report.slo.unwrap().met, rate <= best, "{rate} {best}");
    }
}

#[test]
fn a_sweep_that_starts_too_high_comes_down() {
    let mut bench = Bench::new(&serial(), &RequestSpec::default());
    bench.load.most_connections = 64;
    let sweep = Sweep { slo: "60ms@p90".parse().unwrap(), start: 1500.0, arrivals: Arrivals::Constant, precision: 0.5 };
    let (_, found) = sweep.run(&bench.load, &mut |load: &Load| load.run(&bench.requests, &mut |_| {})).unwrap();
    assert!((50.0..500.0).contains(&found.best_rate.unwrap()), "{found:?}");
    let wrong = Sweep { start: 0.0, ..sweep };
    assert!(wrong.run(&bench.load, &mut |_| unreachable!()).unwrap_err().to_string().contains("got 0"));
}

#[test]
fn the_scenarios_measure_what_their_rules_say() {
    let bench = Bench::new(&serial(), &RequestSpec::default());
    let run = |scenario, slo: Option<&str>, rate| {
        let slo = slo.map(|slo| slo.parse().unwrap());
        let spec = ScenarioSpec { scenario, slo, rate, samples: 64, precision: 0.5 };
        spec.run(&bench.load, 1, &mut |load: &Load| load.run(&bench.requests, &mut |_| {}))
    };
    let (reports, single, _) = run(Scenario::SingleStream, None, None).unwrap();
    assert_eq!((single.unit, single.all_answered, single.official_length), ("us", true, false));
    assert_eq!(single.value.unwrap(), reports[0].latency.p90_us);
    assert!((4000.0..60_000.0).contains(&single.value.unwrap()), "{single:?}");

    let (_, offline, _) = run(Scenario::Offline, None, None).unwrap();
    assert!((40.0..255.0).contains(&offline.value.unwrap()), "{offline:?}");
    assert!(offline.all_answered);

    let (_, met, _) = run(Scenario::Server, Some("500ms@p99"), Some(30.0)).unwrap();
    assert_eq!(met.value, Some(30.0));
    let (_, missed, _) = run(Scenario::Server, Some("1ms@p99"), Some(30.0)).unwrap();
    assert_eq!(missed.value, None);
    assert!(run(Scenario::Server, None, None).unwrap_err().to_string().contains("--slo"));
}
