//! The access log and the payload log of an HTTP server, and what is recorded about its stages.

use std::path::{Path, PathBuf};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use engine::{serve::ServingSettings, testing::FakeSettings};
use serde_json::{Value, json};

use crate::harness::{Answer, Api, infer_body, wait_until};

/// Where the logs of a server are.
struct Logs {
    directory: tempfile::TempDir,
}

impl Logs {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A server of the model `sum` that writes both logs.
    fn api(&self, flags: &[&str], serving: ServingSettings) -> Api {
        let files = [("--access-log", "access"), ("--payload-log", "payload")]
            .map(|(flag, name)| format!("{flag}={}", self.path(name).display()));
        let flags = [&files.each_ref().map(String::as_str), flags].concat();
        Api::with(&[("sum", FakeSettings::default())], &flags, serving)
    }
}

/// The lines of a log, as soon as there are `count`.
fn lines(path: &Path, count: usize) -> Vec<Value> {
    let read = || fs_err::read_to_string(path).unwrap_or_default();
    wait_until("the log has its lines", || read().lines().count() >= count);
    let lines: Vec<Value> = read().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), count, "{lines:#?}");
    lines
}

/// A line without what differs from one run to the next, for snapshots.
fn blotted(line: &Value) -> String {
    let mut line = line.clone();
    for member in ["time", "id", "remote", "duration_us"] {
        if line.get(member).is_some() {
            line[member] = json!(member.to_uppercase());
        }
    }
    if let Some(stages) = line.get_mut("stages") {
        *stages = json!(stages.as_object().unwrap().keys().collect::<Vec<_>>());
    }
    line.to_string()
}

#[test]
fn every_prediction_has_a_line_and_so_has_every_refusal() {
    let logs = Logs::new();
    let api = logs.api(&["--max-body", "1kB"], ServingSettings::default());
    let infer = "/v2/models/sum/versions/1/infer";
    let named = infer_body(1., 2.).replacen('{', r#"{"id":"mine","#, 1);
    let first = api.post(infer, &named);
    api.post(infer, &named);
    api.post("/v2/models/nope/infer", &infer_body(1., 2.));
    api.post("/v2/models/sum/infer", "{");
    api.post("/v2/models/sum/infer", &" ".repeat(1001));
    api.post("/v1/models/sum:predict", r#"{"instances":[[1,2],[3,4]]}"#);
    api.post("/v1/models/sum:regress", r#"{"examples":[{"features":[1,2]}]}"#);
    api.post("/v1/models/sum/versions/7:predict", r#"{"instances":[[1,2]]}"#);
    api.post("/v1/predict/sum?version=1", r#"{"rows":[{"x0":1,"x1":2}]}"#);
    api.get("/v1/predict/sum?ids=nobody");
    // What is no prediction has none.
    api.get("/v2/models/sum");
    api.get("/v1/models/sum");
    api.get("/metrics");
    let access = lines(&logs.path("access"), 10);
    insta::assert_snapshot!(access.iter().map(blotted).collect::<Vec<_>>().join("\n"));
    assert_eq!(access[0]["id"], first.header("x-emberline-prediction-id").unwrap());
    for line in &access {
        let (time, duration) = (line["time"].as_str().unwrap(), line["duration_us"].as_f64().unwrap());
        let came = chrono::DateTime::parse_from_rfc3339(time).unwrap();
        let ago = chrono::Utc::now().signed_duration_since(came).num_seconds();
        assert!(time.len() == "2026-07-28T12:00:00.000000Z".len() && (0..60).contains(&ago), "{time}");
        let stages = line["stages"].as_object().into_iter().flatten();
        let stages: f64 = stages.map(|(_, micros)| micros.as_f64().unwrap()).sum();
        assert!(duration > stages && duration < 20e6, "{line}");
        assert!(line["remote"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
    }
    let payloads = lines(&logs.path("payload"), 10);
    assert_eq!(payloads[0]["payload"], json!({"headers": {}, "body": named}));
    assert_eq!(payloads[4]["payload"], json!({"headers": {}}), "it was not read");
    assert!(payloads.iter().zip(&access).all(|(payload, access)| payload["time"] == access["time"]));
}

/// Sends what a line of the payload log holds again.
fn replayed(api: &Api, line: &Value) -> Answer {
    let payload = &line["payload"];
    let headers = payload["headers"].as_object().unwrap();
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
    let body = match (&payload["body"], &payload["body_base64"]) {
        (Value::String(text), Value::Null) => text.clone().into_bytes(),
        (Value::Null, Value::String(text)) => BASE64_STANDARD.decode(text).unwrap(),
        _ => panic!("expected one body, got {payload}"),
    };
    api.try_send(line["method"].as_str().unwrap(), line["path"].as_str().unwrap(), &headers, &body).unwrap()
}

#[test]
fn what_the_payload_log_holds_can_be_sent_again() {
    let logs = Logs::new();
    let api = logs.api(&[], ServingSettings { cache_bytes: 0, ..ServingSettings::default() });
    let json = r#"{"inputs":[{"name":"features","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":8}}],"outputs":[{"name":"y","parameters":{"binary_data":true}}]}"#;
    let mut binary = json.as_bytes().to_vec();
    binary.extend([1.5_f32, -300.25].iter().flat_map(|value| value.to_le_bytes()));
    let length = json.len().to_string();
    let headers = [("Inference-Header-Content-Length", length.as_str()), ("Content-Type", "application/octet-stream")];
    let infer = "/v2/models/sum/infer";
    let zipped = {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(infer_body(5., 6.).as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let sent = [
        api.post(infer, &infer_body(1., 2.)),
        api.try_send("POST", infer, &headers, &binary).unwrap(),
        api.try_send("POST", infer, &[("Content-Encoding", "gzip")], &zipped).unwrap(),
        api.post("/v1/models/sum:predict", r#"{"instances":[[1,2],[3,4]]}"#),
        api.post("/v1/predict/sum?version=1", r#"{"rows":[]}"#),
        api.post(infer, "no JSON"),
    ];
    let lines = lines(&logs.path("payload"), sent.len());
    assert!(lines[1]["payload"]["body"].is_null() && lines[2]["payload"]["body_base64"].is_null());
    for (before, line) in sent.iter().zip(&lines) {
        let again = replayed(&api, line);
        assert_eq!((again.status, &again.bytes), (before.status, &before.bytes), "{line}");
        assert_eq!(u64::from(again.status), line["status"].as_u64().unwrap());
    }
    assert_eq!(sent.map(|answer| answer.status), [200, 200, 200, 200, 400, 400]);
}

#[test]
fn a_stopped_server_has_written_everything_and_the_next_goes_on() {
    let logs = Logs::new();
    for process in 1..=2 {
        let api = logs.api(&[], ServingSettings::default());
        for number in 0..50 {
            assert_eq!(api.post("/v2/models/sum/infer", &infer_body(number as f32, 2.)).status, 200);
        }
        drop(api);
        let written = fs_err::read_to_string(logs.path("access")).unwrap();
        assert_eq!(written.lines().count(), process * 50);
    }
}

#[test]
fn every_stage_is_timed() {
    let logs = Logs::new();
    let api = logs.api(&[], ServingSettings::default());
    assert!(api.get("/metrics").body.contains("emberline_access_log_dropped_total{log=\"access\"} 0\n"));
    for _ in 0..3 {
        assert_eq!(api.post("/v2/models/sum/infer", &infer_body(1., 2.)).status, 200);
    }
    api.post("/v2/models/sum/infer", &infer_body(1., 2.).replace("[1,2]", "[1,3]"));
    let report = api.get("/v1/monitor").json();
    let stages = report["versions"][0]["stages"].as_object().unwrap();
    let counts: Vec<_> =
        stages.iter().map(|(stage, report)| (stage.as_str(), report["count"].as_u64().unwrap())).collect();
    let expected = [
        ("batch", 1),
        ("cache", 3),
        ("compute", 1),
        ("decode", 3),
        ("encode", 3),
        ("input", 1),
        ("output", 1),
        ("queue", 1),
        ("total", 3),
    ];
    assert_eq!(counts, expected);
    // The parts of what happens inside of the engine are no more than the whole.
    let mean = |stage: &str| stages[stage]["mean_us"].as_f64().unwrap() * stages[stage]["count"].as_f64().unwrap();
    let parts: f64 = ["cache", "input", "queue", "batch", "compute", "output"].into_iter().map(mean).sum();
    assert!(parts <= mean("total") + 0.01 && mean("decode") > 0.0 && mean("encode") > 0.0, "{stages:#?}");
    let metrics = api.get("/metrics").body;
    for stage in ["decode", "cache", "encode"] {
        let line = format!("emberline_stage_duration_seconds_count{{model=\"sum\",version=\"1\",stage=\"{stage}\"}} 3");
        assert!(metrics.lines().any(|got| got == line), "no {line} in {metrics}");
    }
    // Triton's sums mean what they meant.
    let triton = api.get("/v2/models/sum/stats").json();
    let ns = |name: &str| triton["model_stats"][0]["inference_stats"][name]["ns"].as_f64().unwrap();
    for (theirs, ours) in
        [("success", "total"), ("queue", "queue"), ("compute_input", "batch"), ("compute_infer", "compute")]
    {
        assert!((ns(theirs) / 1e3 - mean(ours)).abs() < 1.0, "{theirs}: {triton:#}");
    }
}
