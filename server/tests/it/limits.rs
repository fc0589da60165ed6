//! Bodies that are too long, too slow or cut; queues that are full; time that is over.

use std::{io::Write, net::TcpStream, thread, time::Duration};

use engine::{serve::ServingSettings, testing::FakeSettings};

use crate::harness::{Api, infer_body, wait_until};

const TOO_LARGE: &str = r#"{"error":"the request body is larger than the limit of 1024 bytes"}"#;

fn small() -> Api {
    let flags = ["--max-body", "1KiB", "--body-timeout", "300ms", "--head-timeout", "1s"];
    Api::with(&[("sum", FakeSettings::default())], &flags, ServingSettings::default())
}

#[test]
fn bodies_over_the_limit_are_refused_by_their_length_or_by_what_came() {
    let api = small();
    let long = " ".repeat(1025);
    for path in ["/v2/models/sum/infer", "/v1/predict/sum", "/v1/feedback"] {
        let answer = api.post(path, &long);
        assert_eq!((answer.status, answer.body.as_str()), (413, TOO_LARGE), "{path}");
    }
    assert_eq!(api.put("/v1/features/sum", &long).status, 413);
    // Exactly the limit is read, and is then no JSON.
    assert_eq!(api.post("/v2/models/sum/infer", &long[..1024]).status, 400);
    // Chunked: no length is said, so what comes is counted.
    let head = "POST /v2/models/sum/infer HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunks = format!("{head}200\r\n{0}\r\n200\r\n{0}\r\n10\r\n{1}\r\n0\r\n\r\n", " ".repeat(512), " ".repeat(16));
    let answer = api.raw(chunks.as_bytes(), Duration::from_secs(2));
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains(TOO_LARGE), "{answer}");
    // A length that lies about a huge body costs nothing and is refused before it is read.
    let huge = "POST /v2/models/sum/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 999999999999\r\n\r\n";
    let answer = api.raw(huge.as_bytes(), Duration::from_secs(2));
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains(TOO_LARGE), "{answer}");
    assert_eq!(api.post("/v2/models/sum/infer", &infer_body(1., 2.)).status, 200);
}

#[test]
fn bodies_that_do_not_arrive_time_out() {
    let api = small();
    let half = "POST /v2/models/sum/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{\"inputs\":";
    let answer = api.raw(half.as_bytes(), Duration::from_secs(3));
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.ends_with(r#"{"error":"the request body did not arrive within 300 ms"}"#), "{answer}");
}

#[test]
fn connections_that_break_harm_nobody() {
    let api = small();
    for sent in [
        "POST /v2/models/sum/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{\"inputs\":",
        "POST /v2/mod",
        "\0\0\0\r\n\r\n",
        "",
    ] {
        let mut stream = TcpStream::connect(api.http).unwrap();
        stream.write_all(sent.as_bytes()).unwrap();
        drop(stream);
    }
    assert_eq!(api.post("/v2/models/sum/infer", &infer_body(1., 2.)).status, 200);
}

/// A server whose device holds everything back: one row runs, one waits prefetched, two fill the queue.
fn held_back() -> Api {
    let serving =
        ServingSettings { max_batch_rows: 1, max_queue_rows: 2, cache_bytes: 0, ..ServingSettings::default() };
    let settings = FakeSettings { buckets: vec![1], golden: false, ..FakeSettings::default() };
    let api = Api::with(&[("sum", settings)], &[], serving);
    api.probe().brake();
    api
}

#[test]
fn a_full_queue_refuses_at_once() {
    let api = held_back();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|client| {
                let api = &api;
                scope.spawn(move || api.post("/v2/models/sum/infer", &infer_body(1., client as f32)))
            })
            .collect();
        // Those that are refused do not wait for the brake.
        wait_until("some are refused", || clients.iter().filter(|client| client.is_finished()).count() >= 3);
        api.probe().release();
        let answers: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        let refused: Vec<_> = answers.iter().filter(|answer| answer.status != 200).collect();
        assert!(refused.len() >= 3 && refused.len() < 8, "{answers:?}");
        for answer in refused {
            assert_eq!(answer.status, 503);
            assert!(
                answer.header("retry-after").is_some_and(|after| after.parse::<u64>().is_ok_and(|after| after >= 1))
            );
            assert!(answer.json()["error"].as_str().unwrap().starts_with("overloaded: "), "{}", answer.body);
        }
    });
}

#[test]
fn a_request_ends_by_its_own_deadline() {
    let api = held_back();
    let body = infer_body(1., 2.).replacen('{', r#"{"parameters":{"timeout":50000},"#, 1);
    let answer = api.post("/v2/models/sum/infer", &body);
    assert_eq!((answer.status, answer.body.as_str()), (504, r#"{"error":"deadline passed after 50 ms"}"#));
    api.probe().release();
    assert_eq!(api.post("/v2/models/sum/infer", &infer_body(1., 2.)).status, 200);
}
