//! The monitor as its users see it: many threads record, one reads.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::*;

const US: fn(u64) -> Duration = Duration::from_micros;

/// A request of `rows` rows that was computed in a batch of its own, each stage in `each`.
fn computed(rows: usize, each: Duration) -> Answered {
    let times = ComputeTimes {
        input: each,
        queue: each,
        batch: each,
        compute: each,
        output: each,
        whole: 5 * each,
        batch_rows: rows,
    };
    let (cache, cache_time, total) = (CacheOutcome::Miss, US(3), 5 * each);
    Answered { rows, decode: Some(US(1)), cache, cache_time, computed: Some(times), total, ended: Instant::now() }
}

#[test]
fn statistics_are_exact_sums() {
    let version = Monitor::new().version("wine", 3);
    assert_eq!(version.statistics().success, StatisticDuration::default());
    assert_eq!((version.statistics().last_inference, version.statistics().batches), (0, vec![]));
    for (rows, nanos) in [(2, 1001), (2, 1003), (5, 70_000)] {
        let each = Duration::from_nanos(nanos);
        version.batch(rows, 8, each, 2 * each);
        version.answered(&computed(rows, each));
    }
    let hit = Answered { cache: CacheOutcome::Hit, computed: None, total: US(4), ..computed(9, US(0)) };
    thread::scope(|scope| scope.spawn(|| version.answered(&hit)).join()).unwrap();
    version.failed(FailureReason::Backend, US(10));
    version.failed(FailureReason::Rejected, US(20));
    let sum = |count, ns| StatisticDuration { count, ns };
    let statistics = version.statistics();
    assert_eq!((statistics.inference_count, statistics.execution_count), (9, 3));
    assert_eq!(statistics.success, sum(4, 5 * 72_004 + 4000));
    assert_eq!(statistics.fail, sum(2, 30_000));
    assert_eq!(statistics.queue, sum(4, 72_004));
    for stage in [statistics.compute_input, statistics.compute_infer, statistics.compute_output] {
        assert_eq!(stage, sum(3, 72_004));
    }
    assert_eq!((statistics.cache_hit, statistics.cache_miss), (sum(1, 3000), sum(3, 9000)));
    let failures = statistics.failures.into_iter().filter(|(_, count)| *count > 0).collect::<Vec<_>>();
    assert_eq!(failures, [(FailureReason::Rejected, 1), (FailureReason::Backend, 1)]);
    let size = |rows, batches, nanos| BatchStatistics {
        batch_size: rows,
        compute_input: sum(batches, nanos),
        compute_infer: sum(batches, 2 * nanos),
        compute_output: sum(batches, nanos),
    };
    assert_eq!(statistics.batches, [size(2, 2, 2004), size(5, 1, 70_000)]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    assert!((now - 10_000..=now).contains(&statistics.last_inference), "{} at {now}", statistics.last_inference);
    assert_eq!(version.statistics(), statistics);
    version.clear();
    assert_eq!((version.statistics().success, version.statistics().batches), (sum(0, 0), vec![]));
}

#[test]
fn reports_what_was_recorded() {
    let monitor = Monitor::new();
    let version = monitor.version("wine", 3);
    for micros in 1..=100 {
        version.record(Stage::Total, US(micros));
    }
    version.request(2, CacheOutcome::Hit);
    version.request(5, CacheOutcome::Miss);
    version.failed(FailureReason::Rejected, US(7));
    version.batch(3, 4, US(1), US(2));
    version.batch(5, 8, US(1), US(2));
    let report = monitor.snapshot();
    let [version] = &report.versions[..] else { panic!("expected one version: {report:?}") };
    assert_eq!((version.model.as_str(), version.version), ("wine", 3));
    assert_eq!((version.requests, version.rows), (2, 7));
    assert_eq!(version.failures, BTreeMap::from([(FailureReason::Rejected, 1)]));
    assert_eq!(version.cache, CacheReport { hits: 1, misses: 1, off: 0, hit_ratio: Some(0.5) });
    assert_eq!((version.batches, version.mean_batch_rows, version.padding_fraction), (2, 4.0, 4.0 / 12.0));
    let sizes: Vec<_> = version.batch_sizes.iter().map(|size| (size.up_to_rows, size.batches)).collect();
    assert_eq!(sizes, [(Some(4), 1), (Some(8), 1)]);
    assert_eq!(version.stages.keys().copied().collect::<Vec<_>>(), [Stage::Total]);
    let total = version.stages[&Stage::Total];
    assert_eq!((total.count, total.mean_us), (100, 50.5));
    for (got, exact) in [(total.p50_us, 50.0), (total.p90_us, 90.0), (total.p99_us, 99.0), (total.max_us, 100.0)] {
        assert!(got >= exact && got < exact + 0.064, "{got} for {exact}");
    }
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<MonitorReport>(&json).unwrap(), report);
    assert!(
        json.contains(r#""stages":{"total":{"count":100,"#) && json.contains(r#""failures":{"rejected":1}"#),
        "{json}"
    );
}

#[test]
fn a_version_is_one_recorder_until_it_is_removed() {
    let monitor = Monitor::new();
    let first = monitor.version("m", 1);
    assert!(Arc::ptr_eq(&first, &monitor.version("m", 1)));
    assert!(!Arc::ptr_eq(&first, &monitor.version("m", 2)));
    first.request(1, CacheOutcome::Off);
    monitor.remove("m", 1);
    monitor.remove("m", 2);
    monitor.remove("unknown", 1);
    assert_eq!(monitor.snapshot().versions, []);
    first.request(1, CacheOutcome::Off);
    assert_eq!(monitor.version("m", 1).report().requests, 0);
}

#[test]
fn threads_that_end_lose_nothing_and_leave_no_slot() {
    let monitor = Monitor::new();
    let version = monitor.version("m", 1);
    for round in 1..=5_u64 {
        let workers = (0..8_u64).map(|worker| {
            let version = Arc::clone(&version);
            thread::spawn(move || {
                for i in 0..1000 {
                    version.record(Stage::Total, US(worker * 1000 + i));
                    version.request(2, CacheOutcome::Off);
                }
            })
        });
        // A joined thread has given up its thread locals; one that a scope waited for may still be at it.
        workers.collect::<Vec<_>>().into_iter().for_each(|worker| worker.join().unwrap());
        let report = version.report();
        assert_eq!((report.requests, report.rows), (round * 8000, round * 16_000));
        assert_eq!(report.stages[&Stage::Total].count, round * 8000);
        assert_eq!(version.slot_count(), 0);
    }
}

#[test]
fn slots_of_ended_threads_do_not_pile_up_when_nobody_reads() {
    let version = Monitor::new().version("m", 1);
    for _ in 0..200 {
        thread::scope(|scope| scope.spawn(|| version.request(1, CacheOutcome::Off)).join()).unwrap();
        assert!(version.slot_count() <= 17, "{}", version.slot_count());
    }
    assert_eq!(version.report().requests, 200);
}

#[test]
fn counts_only_grow_while_threads_record() {
    let monitor = Monitor::new();
    let version = monitor.version("m", 1);
    let (stop, start) = (AtomicBool::new(false), Barrier::new(5));
    let recorded = thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    let mut recorded = 0_u64;
                    while !stop.load(Ordering::Relaxed) {
                        version.record(Stage::Queue, US(recorded % 5000));
                        version.request(1, CacheOutcome::Miss);
                        recorded += 1;
                    }
                    recorded
                })
            })
            .collect();
        start.wait();
        let (mut requests, mut durations) = (0, 0);
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(200) {
            let report = version.report();
            assert!(report.requests >= requests);
            requests = report.requests;
            let counted = report.stages.get(&Stage::Queue).map_or(0, |stage| stage.count);
            assert!(counted >= durations);
            durations = counted;
        }
        stop.store(true, Ordering::Relaxed);
        workers.into_iter().map(|worker| worker.join().unwrap()).sum::<u64>()
    });
    let report = version.report();
    assert_eq!((report.requests, report.stages[&Stage::Queue].count), (recorded, recorded));
}

#[test]
fn a_thread_may_record_while_it_ends() {
    struct Last(Arc<VersionMonitor>);
    impl Drop for Last {
        fn drop(&mut self) {
            self.0.request(1, CacheOutcome::Off);
            self.0.record(Stage::Total, US(5));
        }
    }
    thread_local! { static LAST: std::cell::RefCell<Option<Last>> = const { std::cell::RefCell::new(None) }; }
    let version = Monitor::new().version("m", 1);
    let own = Arc::clone(&version);
    // Destructors of thread locals run in the order of first use or its reverse; one of the two threads records late.
    for early in [true, false] {
        let own = Arc::clone(&own);
        let work = move || {
            if early {
                own.request(1, CacheOutcome::Off);
            }
            LAST.with(|last| *last.borrow_mut() = Some(Last(Arc::clone(&own))));
            if !early {
                own.request(1, CacheOutcome::Off);
            }
        };
        thread::spawn(work).join().unwrap();
    }
    let report = version.report();
    assert_eq!((report.requests, report.stages[&Stage::Total].count), (4, 2));
}

proptest! {
    #[test]
    fn threads_together_report_what_one_thread_would(
        threads in proptest::collection::vec(proptest::collection::vec((0_usize..4, 0_u64..20_000_000), 0..40), 1..5),
    ) {
        let monitor = Monitor::new();
        let (spread, single) = (monitor.version("m", 1), monitor.version("m", 2));
        thread::scope(|scope| {
            for records in &threads {
                let spread = &spread;
                scope.spawn(move || {
                    for (stage, nanos) in records {
                        spread.record(Stage::ALL[*stage], Duration::from_nanos(*nanos));
                    }
                });
            }
        });
        for (stage, nanos) in threads.iter().flatten() {
            single.record(Stage::ALL[*stage], Duration::from_nanos(*nanos));
        }
        prop_assert_eq!(spread.report().stages, single.report().stages);
    }
}

#[test]
fn shows_prometheus_everything_in_the_table() {
    let monitor = Monitor::new();
    let version = monitor.version("wine \"red\"", 1);
    version.record(Stage::Total, Duration::from_millis(2));
    version.record(Stage::Total, Duration::from_millis(20));
    version.request(4, CacheOutcome::Hit);
    version.failed(FailureReason::Canceled, US(7));
    version.failed(FailureReason::TooLate, US(7));
    version.batch(3, 4, US(1), US(2));
    let device = monitor.device(&Device::cpu());
    device.set_queue_rows(3);
    thread::sleep(sysinfo::MINIMUM_CPU_UPDATE_INTERVAL);
    let extra = families::FEEDBACK_LOSS.family(vec![Sample::number(&["wine", "1", "squared", "all"], 0.25)]);
    let text = monitor.prometheus(vec![extra.clone()], TextFormat::OpenMetrics).unwrap();
    let labels = r#"model="wine \"red\"",version="1""#;
    for line in [
        "# TYPE emberline_requests counter".to_owned(),
        format!("emberline_requests_total{{{labels}}} 1"),
        format!("emberline_request_rows_total{{{labels}}} 4"),
        format!("emberline_request_failures_total{{{labels},reason=\"canceled\"}} 1"),
        format!("emberline_request_failures_total{{{labels},reason=\"too_late\"}} 1"),
        format!("emberline_request_failures_total{{{labels},reason=\"backend\"}} 0"),
        format!("emberline_cache_requests_total{{{labels},result=\"hit\"}} 1"),
        format!("emberline_cache_hit_ratio{{{labels}}} 1.0"),
        format!("emberline_padding_rows_total{{{labels}}} 1"),
        format!("emberline_batch_rows_bucket{{le=\"2.0\",{labels}}} 0"),
        format!("emberline_batch_rows_bucket{{le=\"4.0\",{labels}}} 1"),
        format!("emberline_batch_rows_sum{{{labels}}} 3.0"),
        format!("emberline_stage_duration_seconds_bucket{{le=\"0.001\",{labels},stage=\"total\"}} 0"),
        format!("emberline_stage_duration_seconds_bucket{{le=\"0.0025\",{labels},stage=\"total\"}} 1"),
        format!("emberline_stage_duration_seconds_bucket{{le=\"+Inf\",{labels},stage=\"total\"}} 2"),
        format!("emberline_stage_duration_seconds_count{{{labels},stage=\"total\"}} 2"),
        format!("emberline_stage_duration_seconds_sum{{{labels},stage=\"total\"}} 0.022"),
        "emberline_device_queue_rows{device=\"cpu\"} 3".to_owned(),
        "emberline_feedback_loss{model=\"wine\",version=\"1\",loss=\"squared\",over=\"all\"} 0.25".to_owned(),
    ] {
        assert!(text.lines().any(|got| got == line), "no line {line:?} in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
    // What the table promises is there in both forms, but for GPUs on a machine without one, and families of other rooms.
    let classic = monitor.prometheus(vec![extra], TextFormat::Classic).unwrap();
    let here = |metric: &&MetricInfo| {
        !metric.name.contains("gpu_")
            && !metric.name.starts_with("feedback_")
            && !metric.name.starts_with("access_log_")
            && !["nv_inference_pending_request_count", "device_expected_wait_seconds"].contains(&metric.name)
            && (!metric.name.starts_with("cache_") || ["cache_requests", "cache_hit_ratio"].contains(&metric.name))
    };
    for metric in METRICS.iter().filter(here) {
        let (name, help, kind) = (metric.full_name(), metric.help, metric.kind.name());
        assert!(classic.contains(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n")), "{metric:?} in\n{classic}");
        let (name, kind) = match (metric.naming, metric.kind) {
            (Naming::Triton, MetricKind::Counter) => (name.as_str(), "unknown"),
            (_, _) => (name.trim_end_matches("_total"), kind),
        };
        assert!(text.contains(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n")), "{metric:?} in\n{text}");
    }
    // The two forms differ in comments alone.
    let samples = |text: &str| -> Vec<String> {
        let moving = ["_cpu_", "uptime", "_memory_"];
        let counted = |line: &&str| !line.starts_with('#') && moving.iter().all(|name| !line.contains(name));
        text.lines().filter(counted).map(str::to_owned).collect()
    };
    assert_eq!(samples(&classic), samples(&text));
    assert!(!classic.contains("# EOF"));
    for line in [
        format!("nv_inference_request_failure{{{labels},reason=\"CANCELED\"}} 1"),
        format!("nv_inference_exec_count{{{labels}}} 1"),
        format!("nv_inference_request_duration_us{{{labels}}} 22000"),
        format!("nv_inference_count{{{labels}}} 0"),
        format!("nv_cache_num_hits_per_model{{{labels}}} 1"),
    ] {
        assert!(classic.lines().any(|got| got == line), "no line {line:?} in\n{classic}");
    }
    let quantile = text.lines().find(|line| line.contains("quantile=\"0.5\"")).unwrap();
    let seconds: f64 = quantile.rsplit(' ').next().unwrap().parse().unwrap();
    assert!((seconds - 0.002).abs() < 2e-6);
}

#[test]
fn refuses_a_sample_that_does_not_fit_its_family() {
    let monitor = Monitor::new();
    for sample in [Sample::count(&["m"], 1), Sample::count(&[], 1)] {
        assert!(monitor.prometheus(vec![families::STAGE_DURATION.family(vec![sample])], TextFormat::Classic).is_err());
    }
}

/// The figures for the documents: run with `--ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn recording_takes_nanoseconds() {
    const COUNT: u32 = 1_000_000;
    let monitor = Monitor::new();
    let versions: Vec<_> = (0..8).map(|number| monitor.version("m", number)).collect();
    let best_of_five = |run: &dyn Fn(u32)| {
        let once = |_| {
            let started = Instant::now();
            (0..COUNT).for_each(run);
            started.elapsed().as_secs_f64() * 1e9 / f64::from(COUNT)
        };
        (0..5).map(once).fold(f64::INFINITY, f64::min)
    };
    for version in &versions {
        version.request(1, CacheOutcome::Off);
    }
    let stage = best_of_five(&|i| versions[7].record(Stage::Total, Duration::from_nanos(u64::from(i % 1_000_000))));
    let request = best_of_five(&|_| versions[7].answered(&computed(1, US(100))));
    let reading = {
        let started = Instant::now();
        (0..100).for_each(|_| _ = monitor.snapshot());
        started.elapsed() / 100
    };
    println!("stage: {stage:.1} ns, computed request: {request:.1} ns, snapshot of 8 versions: {reading:?}");
    assert!(stage < 2000.0 && request < 2000.0);
}
