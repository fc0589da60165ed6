use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use loadgen::{Arrivals, Distinct, Load, Pace, Replay, RequestSpec, Results};
use parking_lot::Mutex;

use crate::harness::{Bench, Reply, serve};

#[test]
fn every_request_is_counted_once() {
    let (address, taken) = serve(|_| Reply::Status(200));
    let bench = Bench::new(&address, &RequestSpec::default());
    let report = bench.run(Pace::Count { concurrency: 4, requests: 500 });
    assert_eq!((report.counts.intended, report.counts.ok, report.counts.settled()), (500, 500, 500));
    // The server saw what was sent, and no more.
    assert_eq!(taken.load(Ordering::SeqCst), 500);
    assert_eq!(report.latency.count, 500);
    assert_eq!(report.statuses[&200], 500);
    assert_eq!(report.generator.connections, 4);
}

#[test]
fn a_closed_loop_keeps_so_many_under_way() {
    let under_way = Arc::new(Mutex::new((0, 0)));
    let seen = Arc::clone(&under_way);
    let (address, _) = serve(move |_| {
        let mut both = under_way.lock();
        both.0 += 1;
        both.1 = both.1.max(both.0);
        drop(both);
        thread::sleep(Duration::from_millis(10));
        under_way.lock().0 -= 1;
        Reply::Status(200)
    });
    let mut bench = Bench::new(&address, &RequestSpec::default());
    bench.load.threads = 2;
    let report = bench.run(Pace::Closed { concurrency: 5 });
    assert_eq!(seen.lock().1, 5);
    // 5 at a time of 10 ms each are at most 500 per second.
    assert!((100.0..505.0).contains(&report.throughput_per_second), "{}", report.throughput_per_second);
    assert!(report.latency.min_us >= 10_000.0, "{}", report.latency.min_us);
    assert_eq!(report.counts.settled(), report.counts.intended);
}

#[test]
fn a_stall_of_the_server_is_in_the_latency_of_all_it_delays() {
    // The server holds every request for half a second, once: a generator that waits for answers would see it in 8 requests.
    let started: Arc<Mutex<Option<Instant>>> = Arc::default();
    let stall = (Duration::from_millis(500), Duration::from_secs(1));
    let (address, _) = serve(move |_| {
        let since = started.lock().get_or_insert_with(Instant::now).elapsed();
        if since >= stall.0 && since < stall.1 {
            thread::sleep(stall.1.saturating_sub(since));
        }
        Reply::Status(200)
    });
    let mut bench = Bench::new(&address, &RequestSpec::default());
    bench.load.duration = Duration::from_secs(2);
    bench.load.warmup = Duration::ZERO;
    bench.load.most_connections = 8;
    let rate = 200.0;
    let report = bench.run(Pace::Open { rate, arrivals: Arrivals::Constant });
    assert_eq!(report.counts.ok, 400, "{:?}", report.counts);
    // A quarter of the requests were due in the stall, and waited for 250 ms in the mean: a share of 20 % waited for 100 ms and more.
    let over = |latency: &loadgen::Latency, micros: f64| {
        let below = latency.curve.iter().rev().find(|(_, at)| *at < micros).map_or(0.0, |(percentile, _)| *percentile);
        100.0 - below
    };
    assert!(over(&report.latency, 100_000.0) > 15.0, "{:?}", report.latency);
    assert!(report.latency.p90_us > 200_000.0, "{:?}", report.latency);
    // From the actual sending, only the 8 requests that the connections carried were slow.
    assert!(over(&report.service, 100_000.0) < 7.0, "{:?}", report.service);
    assert!(report.service.p90_us < 200_000.0, "{:?}", report.service);
    assert!(report.generator.waited_for_connection > 60, "{:?}", report.generator);
    assert!(
        report.generator.warning.as_ref().unwrap().contains("waited for one of 8 connections"),
        "{:?}",
        report.generator
    );
}

#[test]
fn an_open_loop_sends_at_its_rate_and_opens_connections_as_it_needs() {
    let (address, _) = serve(|_| {
        thread::sleep(Duration::from_millis(50));
        Reply::Status(200)
    });
    let mut bench = Bench::new(&address, &RequestSpec::default());
    bench.load.connections = 1;
    let report = bench.run(Pace::Open { rate: 400.0, arrivals: Arrivals::Poisson });
    // 240 in 600 ms: six standard deviations.
    assert!((150..330).contains(&report.counts.intended), "{:?}", report.counts);
    assert_eq!(report.counts.ok, report.counts.intended);
    // 400 per second of 50 ms each need 20 connections.
    assert!((10..100).contains(&report.generator.connections), "{:?}", report.generator);
    assert_eq!(report.generator.waited_for_connection, 0);
}

#[test]
fn requests_differ_when_they_should() {
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&bodies);
    let (address, _) = serve(move |request| {
        keep.lock().push(request.body);
        Reply::Status(200)
    });
    let distinct = |distinct: Distinct| {
        let bench = Bench::new(&address, &RequestSpec { distinct, ..RequestSpec::default() });
        bodies.lock().clear();
        bench.run(Pace::Count { concurrency: 2, requests: 600 });
        bodies.lock().drain(..).collect::<BTreeSet<_>>().len()
    };
    assert_eq!(distinct(Distinct::Count(1)), 1);
    assert_eq!(distinct(Distinct::Count(7)), 7);
    assert_eq!(distinct(Distinct::Every), 600);
}

#[test]
fn priorities_are_drawn_by_weight_and_reported_apart() {
    let (address, _) = serve(|request| {
        let json: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        Reply::Status(if json["parameters"]["priority"] == 3 { 503 } else { 200 })
    });
    let spec = RequestSpec { priorities: "1:10,3:90".parse().unwrap(), ..RequestSpec::default() };
    let report = Bench::new(&address, &spec).run(Pace::Count { concurrency: 2, requests: 1000 });
    let [first, third] = &report.priorities[..] else { panic!("{:?}", report.priorities) };
    assert_eq!((first.priority, third.priority), (1, 3));
    assert_eq!((first.counts.ok, first.counts.refused), (first.counts.intended, 0));
    assert_eq!((third.counts.ok, third.counts.refused), (0, third.counts.intended));
    assert!((50..160).contains(&first.counts.intended), "{:?}", first.counts);
    assert_eq!(first.counts.intended + third.counts.intended, 1000);
    assert_eq!(report.refusal.unwrap().count, third.counts.refused);
}

#[test]
fn a_log_is_replayed_at_its_times() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&seen);
    let (address, _) = serve(move |request| {
        keep.lock().push((Instant::now(), request.head, request.body));
        Reply::Status(200)
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("payload.ndjson");
    let line = |millis: u32, body: &str| {
        format!(
            r#"{{"time":"2026-01-01T00:00:00.{millis:03}000Z","protocol":"http","method":"POST","path":"/v2/models/m/infer","payload":{{"headers":{{"content-type":"x/{body}"}},"body":"{body}"}}}}"#
        )
    };
    fs_err::write(&file, [line(0, "a"), line(400, "b"), line(600, "c")].join("\n")).unwrap();
    let bench = Bench::new(&address, &RequestSpec::default());
    let replay = Replay::read(&file, &bench.load.target, None, 2.0).unwrap();
    let load = Load { pace: Pace::Replay, duration: replay.duration, warmup: Duration::ZERO, ..bench.load };
    let report = load.run(&Arc::new(replay.requests), &mut |_| {}).unwrap();
    assert_eq!((report.counts.intended, report.counts.ok), (3, 3));
    let seen = seen.lock();
    let bodies: Vec<&[u8]> = seen.iter().map(|(_, _, body)| &body[..]).collect();
    assert_eq!(bodies, [b"a", b"b", b"c"]);
    assert!(seen[1].1.contains("content-type: x/b\r\n"), "{}", seen[1].1);
    let gap = seen[1].0 - seen[0].0;
    assert!((150..400).contains(&gap.as_millis()), "{gap:?}");
}

#[test]
fn the_page_and_the_json_hold_what_was_measured() {
    let (address, _) = serve(|request| Reply::Status(if request.number % 10 == 0 { 503 } else { 200 }));
    let spec = RequestSpec { timeout: Some(Duration::from_millis(20)), ..RequestSpec::default() };
    let mut bench = Bench::new(&address, &spec);
    bench.load.slo = Some("1s@p50".parse().unwrap());
    let reports: Vec<_> =
        [200.0, 400.0].map(|rate| bench.run(Pace::Open { rate, arrivals: Arrivals::Constant })).into_iter().collect();
    let refused = reports[1].counts.refused;
    assert!(refused > 0);
    let results = Results::of(reports);
    let page = results.page();
    for part in [
        "Latency by percentile",
        "Latency against rate",
        "Throughput over time",
        "<polyline",
        "1000ms@p50 met",
        "400/s",
        &format!("<td>{refused}</td>"),
        "prefers-color-scheme: dark",
    ] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    for part in ["<script", "http://www", "https://", "NaN", "inf,"] {
        assert!(!page.contains(part), "{part}");
    }
    let json = serde_json::to_value(&results).unwrap();
    assert_eq!(json["reports"][1]["counts"]["refused"], refused);
    assert_eq!(json["reports"][0]["pace"]["rate"], 200.0);
    assert_eq!(json["reports"][0]["slo"]["met"], true);
    assert!(json["reports"][0]["timeline"].as_array().unwrap().len() >= 6);
}
