use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    harness::{Emberline, Server, close},
    imports::{write_net, write_small_net},
};

fn small_net() -> Emberline {
    let emberline = Emberline::new();
    let file = emberline.file("net.safetensors");
    write_small_net(&file);
    emberline.ok(&["import", file.to_str().unwrap(), "--format", "mlp", "--name", "net"]);
    emberline
}

fn request(values: [f64; 3]) -> Value {
    json!({ "inputs": [{ "name": "x", "datatype": "FP32", "shape": [1, 3], "data": values }] })
}

/// Sends requests from a few threads while `meanwhile` runs; gives how many were answered, and all complaints.
fn under_load<R>(server: &Server, meanwhile: impl FnOnce(&AtomicU64) -> R) -> (u64, Vec<String>, R) {
    let (stop, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|client| {
                let (stop, answered) = (&stop, &answered);
                scope.spawn(move || {
                    let agent = ureq::Agent::new_with_defaults();
                    let mut complaints = Vec::new();
                    let mut number = 0.0;
                    while !stop.load(Ordering::Relaxed) {
                        number += 1.0;
                        let body = request([number, f64::from(client), 0.0]).to_string();
                        let url = format!("http://{}/v2/models/net/infer", server.address);
                        match agent.post(url).send(body) {
                            Ok(mut response) => {
                                let answer: Value = response.body_mut().read_json().unwrap();
                                // Version 1 answers 2(a + b) + 0.5, version 2 ten times that.
                                let factor = if answer["model_version"] == "1" { 1.0 } else { 10.0 };
                                let expected = factor * (2.0 * (number + f64::from(client)) + 0.5);
                                let found = answer["outputs"][0]["data"][0].as_f64().unwrap();
                                if !close(found, expected) {
                                    complaints.push(format!("{found} for {expected}: {answer}"));
                                }
                                answered.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(error) => complaints.push(error.to_string()),
                        }
                    }
                    complaints
                })
            })
            .collect();
        let result = meanwhile(&answered);
        stop.store(true, Ordering::Relaxed);
        let complaints = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        (answered.load(Ordering::Relaxed), complaints, result)
    })
}

#[test]
fn a_new_version_takes_over_without_a_dropped_request() {
    let emberline = small_net();
    let server = emberline.serve(&[]);
    let (answered, complaints, ()) = under_load(&server, |_| {
        thread::sleep(Duration::from_millis(300));
        let file = emberline.file("other.safetensors");
        write_net(
            &file,
            &[
                ("W1", vec![3, 2], vec![1., 0., 1., 0., 0., 1.]),
                ("b1", vec![2], vec![0., -1.]),
                ("W2", vec![2, 1], vec![20., 10.]),
                ("b2", vec![1], vec![5.]),
            ],
        );
        emberline.ok(&["import", file.to_str().unwrap(), "--format", "mlp", "--name", "net"]);
        let serves = |version: &str| {
            server.post("/v2/models/net/infer", &request([1., 1., 0.])).json()["model_version"] == version
        };
        wait_until("version 2 answers", || serves("2"));
        emberline.ok(&["models", "alias", "net", "champion", "1"]);
        wait_until("the champion answers", || serves("1"));
        emberline.ok(&["models", "alias", "net", "champion", "2"]);
        wait_until("the new champion answers", || serves("2"));
        thread::sleep(Duration::from_millis(200));
    });
    assert!(complaints.is_empty(), "{} complaints, the first: {}", complaints.len(), complaints[0]);
    assert!(answered > 500, "{answered} answers");
}

#[test]
fn sigterm_drains_and_exits_0() {
    let emberline = small_net();
    let mut server = emberline.serve(&[]);
    let (_, complaints, status) = under_load(&server, |answered| {
        wait_until("requests are answered", || answered.load(Ordering::Relaxed) > 100);
        server.signal("TERM");
        let pid = server.child.id();
        wait_until("the server is gone", || !std::path::Path::new(&format!("/proc/{pid}/exe")).exists());
    });
    let () = status;
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    // After the signal connections are told to close, and a moment later no new one is taken; a client that connects in that
    // very moment is cut off. Whatever was answered was answered whole and right.
    let expected = ["refused", "Connection reset", "Broken pipe", "Peer disconnected", "503"];
    for complaint in complaints {
        assert!(expected.iter().any(|one| complaint.contains(one)), "{complaint}");
    }
}

fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let started = Instant::now();
    while !happened() {
        assert!(started.elapsed() < Duration::from_secs(30), "waited in vain until {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn features_predictions_and_labels_meet() {
    let emberline = small_net();
    let server = emberline.serve(&[]);
    let first = server.post("/v2/models/net/infer", &request([1., 2., 3.]));
    assert_eq!((first.status, first.header("x-emberline-cache")), (200, "miss"));
    let again = server.post("/v2/models/net/infer", &request([1., 2., 3.]));
    assert_eq!((again.status, again.header("x-emberline-cache")), (200, "hit"));
    assert_eq!(again.body, first.body);
    assert_ne!(again.header("x-emberline-prediction-id"), first.header("x-emberline-prediction-id"));
    assert_eq!((again.header("x-emberline-version"), again.header("age")), ("1", "0"));

    let monitor = server.get("/v1/monitor").json();
    let version = &monitor["versions"][0];
    assert_eq!((&version["requests"], &version["cache"]["hits"]), (&json!(2), &json!(1)), "{monitor}");
    let metrics = server.get("/metrics");
    assert_eq!(metrics.status, 200);
    assert!(metrics.body.contains("emberline_"), "{}", metrics.body);
}

#[test]
fn answers_and_errors_over_http() {
    let emberline = small_net();
    let server = emberline.serve(&[]);
    let mut seen = Vec::new();
    for path in [
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/net",
        "/v2/models/net/versions/1",
        "/v2/models/net/ready",
        "/v2/models/net/versions/2",
        "/v2/models/nope",
        "/v2/models/nope/ready",
        "/v1/models/nope",
        "/nope",
        "/v1/predict/net?ids=x",
        "/v2/models/net/infer",
    ] {
        let answer = server.get(path);
        seen.push(format!(
            "GET {path}\n  {} {}",
            answer.status,
            answer.body.replace(env!("CARGO_PKG_VERSION"), "VERSION")
        ));
    }
    let input = |name: &str, datatype: &str, shape: Value, data: Value| json!({ "inputs": [{ "name": name, "datatype": datatype, "shape": shape, "data": data }] });
    for body in [
        input("x", "FP32", json!([1, 3]), json!([1, 2, 3])),
        input("x", "FP32", json!([2, 3]), json!([[1, 2, 3], [4, 5, 6]])),
        input("x", "FP32", json!([1, 4]), json!([1, 2, 3, 4])),
        input("x", "FP32", json!([1, 3]), json!([1, 2])),
        input("x", "INT64", json!([1, 3]), json!([1, 2, 3])),
        input("x", "FP33", json!([1, 3]), json!([1, 2, 3])),
        input("z", "FP32", json!([1, 3]), json!([1, 2, 3])),
        input("x", "FP32", json!([1, 3]), json!([1, "two", 3])),
        json!({ "inputs": [] }),
        json!({}),
        json!({ "inputs": [{ "name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3] }], "outputs": [{ "name": "z" }] }),
    ] {
        let answer = server.post("/v2/models/net/infer", &body);
        seen.push(format!("POST {body}\n  {} {}", answer.status, answer.body));
    }
    insta::assert_snapshot!(seen.join("\n"));
}

#[test]
fn a_server_without_models_is_alive_and_says_so() {
    let server = Emberline::new().serve(&[]);
    assert_eq!(server.get("/v1/models").json()["models"], json!([]));
    let answer = server.post("/v2/models/net/infer", &request([1., 2., 3.]));
    assert_eq!(answer.status, 404);
    assert!(answer.json()["error"].as_str().unwrap().contains("net"));
}
