//! Getting ready, taking over, and ending.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

use engine::{serve::ServingSettings, testing::FakeSettings};
use server::{StartError, settings::ServerSettings};

use crate::harness::{Api, infer_body, wait_until};

#[test]
fn it_is_alive_and_says_that_it_is_not_ready_while_the_first_models_load() {
    let api = Api::empty(&[], ServingSettings::default());
    api.refresh();
    assert_eq!(api.get("/v2/health/ready").status, 200);
    api.brake_next_model();
    api.register("sum", &FakeSettings::default());
    // The watcher finds it and hangs in warming it.
    wait_until("the model is loading", || api.get("/v2/models/sum/ready").status == 503);
    assert_eq!(api.get("/v2/health/live").status, 200);
    let expected = "503 retry-after: 1\n    {\"error\":\"model 'sum' version 1 is not ready: loading\"}";
    wait_until("serving knows", || api.get("/v2/models/sum/ready").shown() == expected);
    assert_eq!(api.post("/v2/models/sum/infer", &infer_body(1., 2.)).shown(), expected);
    let status = api.get("/v1/models/sum").json();
    assert_eq!((&status["ready"], &status["model_version_status"][0]["state"]), (&false.into(), &"LOADING".into()));
    api.probe().release();
    wait_until("the model is ready", || api.get("/v2/models/sum/ready").status == 200);
    assert_eq!(api.post("/v2/models/sum/infer", &infer_body(1., 2.)).status, 200);
}

#[test]
fn a_new_version_takes_over_without_a_refused_request() {
    let api = Api::sum();
    let done = std::sync::atomic::AtomicBool::new(false);
    let answered = std::sync::atomic::AtomicUsize::new(0);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..4_i16)
            .map(|client| {
                let (api, done, answered) = (&api, &done, &answered);
                scope.spawn(move || {
                    let mut versions = Vec::new();
                    let mut number = 0_i16;
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        number = (number + 1) % 500;
                        let answer =
                            api.post("/v2/models/sum/infer", &infer_body(f32::from(number), f32::from(client)));
                        assert_eq!(answer.status, 200, "{}", answer.body);
                        let (version, sum) =
                            (answer.json()["model_version"].clone(), answer.json()["outputs"][0]["data"][0].as_f64());
                        let offset = if version == "1" { 0. } else { 1000. };
                        assert_eq!(sum, Some(f64::from(number) + f64::from(client) + offset));
                        if versions.is_empty() {
                            answered.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        }
                        if versions.last() != Some(&version) {
                            versions.push(version);
                        }
                    }
                    versions
                })
            })
            .collect();
        wait_until("each client was answered", || answered.load(std::sync::atomic::Ordering::Relaxed) == clients.len());
        api.register("sum", &FakeSettings { offset: 1000., ..FakeSettings::default() });
        api.refresh();
        wait_until("version 2 answers", || {
            api.post("/v2/models/sum/infer", &infer_body(1., 2.)).json()["model_version"] == "2"
        });
        thread::sleep(Duration::from_millis(50));
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        for client in clients {
            // Each client sees one change, and never an older version again.
            assert_eq!(client.join().unwrap(), ["1", "2"]);
        }
    });
}

#[test]
fn stopping_answers_what_runs_and_takes_nothing_new() {
    let mut api = Api::with(
        &[("sum", FakeSettings { batch_micros: 400_000, golden: false, ..FakeSettings::default() })],
        &[],
        ServingSettings::default(),
    );
    let running = api.running.take().unwrap();
    thread::scope(|scope| {
        let slow = scope.spawn(|| api.post("/v2/models/sum/infer", &infer_body(1., 2.)));
        wait_until("it runs", || api.probe().rows() > 0);
        running.drain();
        let ready = api.get("/v2/health/ready");
        assert_eq!(ready.shown(), "503 retry-after: 1\n    {\"error\":\"not ready: the server is shutting down\"}");
        api.control.block_on(running.stop()).unwrap();
        let answer = slow.join().unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
    });
    assert!(TcpStream::connect(api.http).is_err());
}

/// A client that keeps its connection hears that it closes, and never finds it closed.
#[test]
fn connections_are_told_to_close_before_they_are_closed() {
    let models = [("sum", FakeSettings::default())];
    let mut api = Api::with(&models, &["--shutdown-delay", "400ms"], ServingSettings::default());
    let request = "GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n";
    let running = api.running.take().unwrap();
    let mut stream = TcpStream::connect(api.http).unwrap();
    let mut ask = || {
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = [0; 1024];
        let count = stream.read(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[..count]).to_lowercase()
    };
    assert!(!ask().contains("connection: close"));
    thread::scope(|scope| {
        let stopping = scope.spawn(|| api.control.block_on(running.stop()).unwrap());
        wait_until("it drains", || api.get("/v2/health/ready").status == 503);
        let last = ask();
        assert!(last.starts_with("http/1.1 200") && last.contains("connection: close"), "{last}");
        stopping.join().unwrap();
    });
}

#[test]
fn an_address_in_use_is_one_clear_sentence() {
    let api = Api::sum();
    let address = api.http.to_string();
    let settings = ServerSettings::from_flags(["--http", &address]).unwrap();
    let error: StartError = server::start(&settings, api.engine.clone()).err().unwrap();
    let message = error.to_string();
    assert!(message.starts_with(&format!("cannot serve HTTP on {address}: ")) && !message.contains('\n'), "{message}");
}
