use std::time::Duration;

use loadgen::{Arrivals, Pace, RequestSpec, Signature, Target};

use crate::harness::{Bench, Reply, serve};

#[test]
fn failures_are_told_apart() {
    let (address, _) = serve(|request| match request.number % 10 {
        0 => Reply::Status(503),
        1 => Reply::Status(429),
        2 => Reply::Status(504),
        3 => Reply::Status(500),
        4 => Reply::Raw("these are no words of HTTP\r\n\r\n"),
        5 => Reply::Close,
        6 => Reply::Last("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfour"),
        7 => Reply::Raw("HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\n"),
        _ => Reply::Status(200),
    });
    let report = Bench::new(&address, &RequestSpec::default()).run(Pace::Count { concurrency: 1, requests: 200 });
    let counts = report.counts;
    assert_eq!(
        (counts.ok, counts.refused, counts.deadline, counts.failed, counts.broken, counts.settled()),
        (40, 40, 20, 20, 80, 200)
    );
    assert_eq!(report.latency.count, 40);
    assert_eq!(report.statuses[&429], 20);
    assert!(report.first_failure.unwrap().contains("so it is"));
}

#[test]
fn answers_come_in_every_framing() {
    let (address, _) = serve(|request| match request.number % 5 {
        0 => Reply::Raw(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfour\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
        ),
        1 => Reply::Last("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nto the end"),
        2 => Reply::Last("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        3 => Reply::Raw("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-LENGTH: 0\r\n\r\n"),
        _ => Reply::Raw("HTTP/1.1 204 No Content\r\n\r\n"),
    });
    let report = Bench::new(&address, &RequestSpec::default()).run(Pace::Count { concurrency: 2, requests: 100 });
    assert_eq!(report.counts.ok, 100, "{:?} {:?}", report.counts, report.first_failure);
}

#[test]
fn bytes_behind_an_answer_are_not_the_next_ones() {
    let (address, _) = serve(|_| Reply::Raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more"));
    let report = Bench::new(&address, &RequestSpec::default()).run(Pace::Count { concurrency: 1, requests: 3 });
    assert_eq!(report.counts.broken, 3, "{:?}", report.counts);
}

#[test]
fn requests_without_an_answer_are_given_up_and_miss_the_objective() {
    let (address, _) = serve(|request| if request.number % 4 == 3 { Reply::Silence } else { Reply::Status(200) });
    let mut bench = Bench::new(&address, &RequestSpec::default());
    bench.load.patience = Duration::from_millis(150);
    bench.load.slo = Some("1s@p90".parse().unwrap());
    let report = bench.run(Pace::Open { rate: 100.0, arrivals: Arrivals::Constant });
    let counts = report.counts;
    assert_eq!(counts.intended, 60);
    assert!((13..=17).contains(&counts.abandoned), "{counts:?}");
    assert_eq!(counts.ok + counts.abandoned, 60, "{counts:?}");
    let slo = report.slo.unwrap();
    // All answers were fast, and yet a quarter of the requests had none.
    assert!(!slo.met && (70.0..80.0).contains(&slo.percent_within), "{slo:?}");
}

#[test]
fn goodput_is_what_came_in_time() {
    let (address, _) = serve(|request| {
        std::thread::sleep(Duration::from_millis(if request.number.is_multiple_of(2) { 0 } else { 120 }));
        Reply::Status(200)
    });
    let mut bench = Bench::new(&address, &RequestSpec::default());
    bench.load.limit = Some(Duration::from_millis(60));
    let report = bench.run(Pace::Open { rate: 200.0, arrivals: Arrivals::Constant });
    assert_eq!(report.counts.ok, 120);
    assert!((80.0..=102.0).contains(&report.goodput_per_second), "{}", report.goodput_per_second);
}

#[test]
fn a_server_that_is_not_there_is_told_in_a_sentence() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let target = Target::parse(&free, None, "m").unwrap();
    let complaint = Signature::fetch(&target).unwrap_err().to_string();
    assert!(complaint.starts_with(&format!("cannot reach {free}: ")), "{complaint}");
    let (address, _) = serve(|_| Reply::Status(200));
    let target = Target::parse(&address, None, "other").unwrap();
    let complaint = Signature::fetch(&target).unwrap_err().to_string();
    assert!(complaint.contains("model 'other'") && complaint.contains("status 404"), "{complaint}");
}

#[test]
fn a_server_that_goes_away_is_counted_and_does_not_end_the_load() {
    let (address, _) = serve(|_| Reply::Close);
    let report = Bench::new(&address, &RequestSpec::default()).run(Pace::Closed { concurrency: 2 });
    assert!(report.counts.broken > 10, "{:?}", report.counts);
    assert_eq!(report.counts.broken, report.counts.intended);
    assert_eq!((report.latency.count, report.throughput_per_second), (0, 0.0));
}
