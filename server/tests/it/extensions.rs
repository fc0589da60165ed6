//! Triton's extensions of the protocol: repository, configuration, logging and traces.

use base64::{Engine, engine::general_purpose::STANDARD};
use engine::{serve::ServingSettings, testing::FakeSettings};
use serde_json::{Value, json};

use crate::harness::{Api, infer_body, wait_until};

#[test]
fn the_configuration_is_that_of_triton() {
    let serving = ServingSettings { max_batch_rows: 64, ..ServingSettings::default() };
    let api = Api::with(&[("sum", FakeSettings::default())], &[], serving);
    let whole = api.get("/v2/models/sum/config");
    insta::assert_snapshot!(whole.shown());
    assert_eq!(api.get("/v2/models/sum/versions/1/config").body, whole.body);
    let seen: Vec<_> =
        ["/v2/models/nope/config", "/v2/models/sum/versions/9/config", "/v2/models/sum/versions/x/config"]
            .iter()
            .map(|path| format!("GET {path}\n    {}", api.get(path).shown()))
            .collect();
    insta::assert_snapshot!(seen.join("\n"));
}

#[test]
fn models_leave_and_come_back() {
    let api = Api::sum();
    api.register("sum", &FakeSettings { offset: 10., ..FakeSettings::default() });
    api.register("sum", &FakeSettings { offset: 20., ..FakeSettings::default() });
    api.set_alias("sum", "old", 1);
    api.register("bad", &FakeSettings { wrong_golden: true, ..FakeSettings::default() });
    api.refresh();
    let mut seen = Vec::new();
    let mut post = |path: &str, body: &str| {
        seen.push(format!("POST {path} {body}\n    {}", api.post(path, body).shown()));
    };
    post("/v2/repository/index", "");
    post("/v2/repository/index", r#"{"ready":true}"#);
    post("/v2/repository/registry/index", " ");
    post("/v2/repository/models/sum/unload", r#"{"parameters":{"unload_dependents":true}}"#);
    post("/v2/repository/index", r#"{"ready":false}"#);
    post("/v2/models/sum/infer", &infer_body(1., 2.));
    post("/v2/models/sum/versions/1/infer", &infer_body(1., 2.));
    post("/v2/repository/models/sum/unload", "");
    post("/v2/repository/models/sum/load", "");
    post("/v2/models/sum/infer", &infer_body(1., 2.));
    post("/v2/repository/index", r#"{"ready":true}"#);
    post("/v2/repository/registry/models/sum/load", "{}");
    // What is refused.
    post("/v2/repository/other/index", "");
    post("/v2/repository/index", "[1]");
    post("/v2/repository/index", r#"{"raedy":true}"#);
    post("/v2/repository/models/nope/unload", "");
    post("/v2/repository/models/nope/load", "");
    post("/v2/repository/models/bad/load", "");
    post("/v2/repository/models/sum/load", r#"{"parameters":{"config":"{}"}}"#);
    post("/v2/repository/models/sum/load", r#"{"parameters":{"file:1/model.onnx":"AAAA"}}"#);
    post("/v2/repository/models/sum/unload", r#"{"parameters":{"unload_dependents":1}}"#);
    post("/v2/repository/models/sum/unload", "{");
    for path in ["/v2/repository/index", "/v2/repository/models/sum/load"] {
        seen.push(format!("GET {path}\n    {}", api.get(path).shown()));
    }
    insta::assert_snapshot!(seen.join("\n"));
    assert_eq!(api.get("/v2/health/ready").status, 200);
}

/// What is under way when a model leaves is answered.
#[test]
fn unloading_waits_for_requests() {
    let api = Api::sum();
    let probe = api.probe();
    probe.brake();
    // Those of the self-test.
    let before = probe.batches().len();
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| api.post("/v2/models/sum/infer", &infer_body(1., 2.)));
        wait_until("it runs", || probe.batches().len() > before);
        let unloading = scope.spawn(|| api.post("/v2/repository/models/sum/unload", ""));
        wait_until("it is on its way out", || api.get("/v2/models/sum").status == 404);
        assert!(!slow.is_finished() && !unloading.is_finished());
        let index = api.post("/v2/repository/index", "").json();
        assert_eq!(index, json!([{"name": "sum", "version": "1", "state": "UNLOADING"}]));
        probe.release();
        assert_eq!(slow.join().unwrap().status, 200);
        assert_eq!(unloading.join().unwrap().status, 200);
    });
    let index = api.post("/v2/repository/index", "").json();
    assert_eq!(index, json!([{"name": "sum", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"}]));
}

#[test]
fn logs_belong_to_who_started_the_server() {
    let api = Api::sum();
    for answer in [api.get("/v2/logging"), api.post("/v2/logging", r#"{"log_info":false}"#)] {
        assert_eq!(
            answer.shown(),
            "501\n    {\"error\":\"the log settings of this server are the affair of the program that started it\"}"
        );
    }
}

#[test]
fn log_settings_are_changed_or_refused_as_a_whole() {
    let api = Api::with_logs("off");
    let mut seen = vec![format!("GET\n    {}", api.get("/v2/logging").shown())];
    for body in [
        r#"{"log_verbose_level":2,"log_warning":false,"log_format":"default","log_file":""}"#,
        r#"{"log_info":false,"log_error":"yes"}"#,
        r#"{"log_info":false,"log_level":1}"#,
        r#"{"log_verbose_level":-1}"#,
        r#"{"log_verbose_level":99999999999}"#,
        r#"{"log_format":"foo"}"#,
        r#"{"log_file":"/tmp/log"}"#,
        "7",
        "",
        r#"{"log_verbose_level":0,"log_warning":true}"#,
    ] {
        seen.push(format!("POST {body}\n    {}", api.post("/v2/logging", body).shown()));
    }
    insta::assert_snapshot!(seen.join("\n"));
}

#[test]
fn traces_need_a_directory() {
    let api = Api::sum();
    let mut seen = vec![format!("GET\n    {}", api.get("/v2/trace/setting").shown())];
    for body in [r#"{"trace_level":["TIMESTAMPS"]}"#, r#"{"trace_level":["OFF"],"trace_rate":"5"}"#] {
        seen.push(format!("POST {body}\n    {}", api.post("/v2/trace/setting", body).shown()));
    }
    insta::assert_snapshot!(seen.join("\n"));
}

#[test]
fn requests_are_traced_as_the_settings_say() {
    let directory = tempfile::tempdir().unwrap();
    let flags = ["--trace-dir", directory.path().to_str().unwrap()];
    let api = Api::with(&[("sum", FakeSettings::default())], &flags, ServingSettings::default());
    let mut seen = Vec::new();
    for (path, body) in [
        ("/v2/trace/setting", r#"{"trace_level":["TIMESTAMPS"],"trace_rate":"2","trace_count":"1"}"#),
        ("/v2/models/sum/trace/setting", r#"{"trace_rate":1,"trace_file":"own","trace_count":2}"#),
        ("/v2/models/nope/trace/setting", r#"{"trace_rate":1}"#),
        ("/v2/trace/setting", r#"{"trace_rate":"0"}"#),
        ("/v2/trace/setting", r#"{"trace_rate":"x"}"#),
        ("/v2/trace/setting", r#"{"trace_count":"-2"}"#),
        ("/v2/trace/setting", r#"{"log_frequency":-1}"#),
        ("/v2/trace/setting", r#"{"trace_level":["FOO"]}"#),
        ("/v2/trace/setting", r#"{"trace_level":["TIMESTAMPS","TENSORS"]}"#),
        ("/v2/trace/setting", r#"{"trace_level":[]}"#),
        ("/v2/trace/setting", r#"{"trace_file":"../passwd"}"#),
        ("/v2/trace/setting", r#"{"trace_mode":"opentelemetry"}"#),
        ("/v2/trace/setting", r#"{"trace_rate":"7","traec_rate":"1"}"#),
        ("/v2/trace/setting", r#"{"trace_mode":"triton"}"#),
    ] {
        seen.push(format!("POST {path} {body}\n    {}", api.post(path, body).shown()));
    }
    insta::assert_snapshot!(seen.join("\n"));

    let body = r#"{"id":"a","inputs":[{"name":"features","shape":[1,2],"datatype":"FP32","data":[1,2]}]}"#;
    assert_eq!(api.post("/v2/models/sum/infer", body).status, 200);
    assert_eq!(api.post("/v2/models/sum/infer", "{}").status, 400);
    assert_eq!(api.post("/v2/models/sum/infer", body).status, 200);
    let file = directory.path().join("own");
    wait_until("two traces are there", || fs_err::read_to_string(&file).is_ok_and(|text| text.lines().count() == 2));
    let text = fs_err::read_to_string(&file).unwrap();
    let traces: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events = |trace: &Value| {
        let stamps = trace["timestamps"].as_array().unwrap().clone();
        assert!(stamps.windows(2).all(|pair| pair[0]["ns"].as_u64() <= pair[1]["ns"].as_u64()));
        stamps.into_iter().map(|stamp| stamp["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let whole = ["HTTP_RECV_START", "HTTP_RECV_END", "REQUEST_START", "REQUEST_END", "HTTP_SEND_START"];
    assert_eq!(events(&traces[0]), whole);
    assert_eq!(
        (&traces[0]["model_name"], &traces[0]["model_version"], &traces[0]["request_id"]),
        (&"sum".into(), &1.into(), &"a".into())
    );
    // The refused one, as far as it came.
    assert_eq!(events(&traces[1]), whole[..2]);
    assert_eq!(traces[1].get("model_version"), None);
    assert_eq!(api.get("/v2/models/sum/trace/setting").json()["trace_count"], "0");
    // Cleared, it has the global settings: every second, and one.
    let cleared = r#"{"trace_rate":null,"trace_file":null,"trace_count":null}"#;
    let settings = api.post("/v2/models/sum/trace/setting", cleared).json();
    assert_eq!((&settings["trace_rate"], &settings["trace_count"]), (&"2".into(), &"1".into()));
    for _ in 0..6 {
        assert_eq!(api.post("/v2/models/sum/infer", body).status, 200);
    }
    drop(api);
    assert_eq!(fs_err::read_to_string(directory.path().join("trace.json")).unwrap().lines().count(), 1);
}

/// As Triton's client sends it.
fn with_file(name: &str, content: &str) -> String {
    let content = STANDARD.encode(content);
    json!({ "parameters": { "config": "{\"backend\":\"fake\"}", name: content } }).to_string()
}

#[test]
fn a_file_that_comes_with_load_becomes_the_next_version() {
    let api = Api::with(&[], &["--allow-import", "true"], ServingSettings::default());
    let load = |model: &str, body: &str| {
        let answer = api.post(&format!("/v2/repository/models/{model}/load"), body);
        (answer.status, answer.body)
    };
    let file = |offset: f32| format!(r#"{{"offset":{offset}}}"#);
    for (number, path) in ["file:1/model.json", "file:1/model.json", "file:7/../../model.json"].into_iter().enumerate()
    {
        assert_eq!(load("new", &with_file(path, &file(10.0 * number as f32))), (200, String::new()));
        let answer = api.post("/v2/models/new/infer", &infer_body(1.0, 2.0)).json();
        assert_eq!(answer["model_version"], (number + 1).to_string());
        assert_eq!(answer["outputs"][0]["data"], json!([10.0 * number as f64 + 3.0]));
    }
    let versions = api.get("/v1/models/new").json();
    assert!(versions.to_string().contains(r#""source":"model.json""#), "{versions}");

    let expected = "model.json: expected settings of a fake model, got something else";
    for (model, body, told) in [
        ("bad", with_file("file:1/model.json", "{"), expected),
        ("../bad", with_file("file:1/model.json", &file(0.0)), "model name"),
        (
            "bad",
            with_file("file:model.json", &file(0.0)),
            "expected a version and a name, as in 'file:1/model.json', got",
        ),
        ("bad", r#"{"parameters":{"file:1/m":"!"}}"#.to_owned(), "expected a file in base64, got 'file:1/m'"),
        ("bad", r#"{"parameters":{"file:1/m":"AA==","file:1/n":"AA=="}}"#.to_owned(), "expected one file, got"),
        ("bad", r#"{"parameters":{"config":"{","file:1/m":"AA=="}}"#.to_owned(), "expected JSON, and a file beside it"),
        ("bad", r#"{"parameters":{"color":"red"}}"#.to_owned(), "expected a file and its configuration as parameters"),
    ] {
        let model = model.replace('/', "%2F");
        let (status, answer) = load(&model, &body);
        assert!(status == 400 && answer.contains(told), "{model} {body}: {status} {answer}");
    }
    assert_eq!(api.get("/v2/models/bad").status, 404);
}
