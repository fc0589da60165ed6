//! Our own resources: features, predictions of entities and rows, feedback, what is registered, what is counted.

use engine::{serve::ServingSettings, testing::FakeSettings};
use serde_json::json;

use crate::harness::{Api, infer_body};

fn with_features() -> Api {
    let api = Api::sum();
    let rows = r#"{"rows":[{"id":"a","x0":1.5,"x1":2,"note":"dry"},{"id":"b,c","x0":null,"x1":4}]}"#;
    let stored = api.put("/v1/features/sum", rows);
    assert_eq!((stored.status, stored.body.as_str()), (200, r#"{"view":"sum","rows":2}"#));
    api
}

#[test]
fn entities_are_predicted_from_their_features() {
    let api = with_features();
    let mut seen = Vec::new();
    for path in [
        "/v1/predict/sum?ids=a,b%2Cc",
        "/v1/predict/sum?ids=a&version=1&view=sum",
        "/v1/predict/sum?ids=a,z,y",
        "/v1/predict/sum?ids=a&view=nope",
        "/v1/predict/sum?ids=a&version=7",
        "/v1/predict/sum?ids=a&alias=nope",
        "/v1/predict/sum?id=a",
        "/v1/predict/sum",
        "/v1/predict/nope?ids=a",
        "/v1/features/sum/nope",
        "/v1/features/nope/a",
    ] {
        seen.push(format!("GET {path}\n    {}", api.get(path).shown()));
    }
    insta::assert_snapshot!(seen.join("\n"));
    let mut row = api.get("/v1/features/sum/b%2Cc").json();
    assert!(row["updated_at"].take().is_string());
    assert_eq!(row, json!({ "view": "sum", "id": "b,c", "values": { "x0": null, "x1": 4 }, "updated_at": null }));
}

#[test]
fn rows_are_predicted_as_people_write_them() {
    let api = Api::sum();
    let mut seen = Vec::new();
    for body in [
        r#"{"rows":[{"x0":1.5,"x1":2},{"x1":null,"x0":-1}]}"#,
        r#"{"rows":[]}"#,
        r#"{"rows":[{"x0":1}]}"#,
        r#"{"rows":[{"x0":1,"x1":2,"x2":3}]}"#,
        r#"{"rows":[{"x0":1,"x1":"two"}]}"#,
        r#"{"rows":{"x0":1}}"#,
        r#"{"instances":[]}"#,
    ] {
        seen.push(format!("POST {body}\n    {}", api.post("/v1/predict/sum", body).shown()));
    }
    insta::assert_snapshot!(seen.join("\n"));
}

#[test]
fn labels_find_their_predictions() {
    let api = with_features();
    let by_entity = api.get("/v1/predict/sum?ids=a,b%2Cc").json();
    let by_tensor = api.post("/v2/models/sum/infer", &infer_body(1., 2.));
    let tensor_id = by_tensor.header("x-emberline-prediction-id").unwrap();

    let one =
        api.post("/v1/feedback", &json!({ "prediction": by_entity["predictions"][1]["id"], "label": 5 }).to_string());
    assert_eq!(one.status, 200, "{}", one.body);
    let scored = one.json();
    assert_eq!((&scored["model"], &scored["version"]), (&json!("sum"), &json!(1)));
    assert!(scored["losses"]["squared"].as_f64().is_some(), "{scored}");

    let many = json!([
        { "prediction": format!("{tensor_id}#0"), "label": 2.5 },
        { "entity": "a", "model": "sum", "label": 3 },
        { "entity": "a", "label": 3 },
        { "entity": "nobody", "label": 3 },
        { "prediction": format!("{tensor_id}#7"), "label": 3 },
        { "entity": "b,c", "label": "high" },
    ]);
    let many = api.post("/v1/feedback", &many.to_string());
    assert_eq!((many.status, &many.json()["accepted"]), (200, &json!(2)), "{}", many.body);
    let errors: Vec<String> = many.json()["results"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|result| result["error"].as_str().map(str::to_owned))
        .collect();
    let first = by_entity["predictions"][0]["id"].as_str().unwrap().trim_end_matches("#0");
    insta::assert_snapshot!(errors.join("\n").replace(tensor_id, "TENSOR-ID").replace(first, "ENTITY-ID"));

    let again = api.post("/v1/feedback", &json!({ "prediction": format!("{tensor_id}#0"), "label": 1 }).to_string());
    assert_eq!(again.status, 409, "{}", again.body);
    let unknown = api.post("/v1/feedback", r#"{"prediction":"0-0","label":1}"#);
    assert_eq!(unknown.status, 404, "{}", unknown.body);

    let feedback = &api.get("/v1/monitor").json()["feedback"][0];
    assert_eq!(
        (&feedback["model"], &feedback["version"], &feedback["labelled"]),
        (&json!("sum"), &json!(1), &json!(3))
    );
}

#[test]
fn one_answer_describes_models_to_three_kinds_of_reader() {
    let api = Api::with(
        &[("sum", FakeSettings::default()), ("broken", FakeSettings { wrong_golden: true, ..FakeSettings::default() })],
        &[],
        ServingSettings::default(),
    );
    api.register("sum", &FakeSettings::default());
    api.register("sum", &FakeSettings::default());
    api.set_alias("sum", "champion", 1);
    let redact = |model: &mut serde_json::Value| {
        assert!(model["created_at"].take().is_string());
        for version in model["versions"].as_array_mut().unwrap() {
            for name in ["created_at", "location", "digest", "size_bytes"] {
                assert!(!version[name].take().is_null(), "{name}");
            }
        }
    };
    let mut list = api.get("/v1/models").json();
    assert_eq!(list["models"], json!(["broken", "sum"]));
    let mut sum = api.get("/v1/models/sum").json();
    assert_eq!(list["registry"][1], sum);
    redact(&mut sum);
    redact(&mut list["registry"][0]);
    insta::assert_json_snapshot!(json!([list["registry"][0], sum]));
    assert_eq!(api.get("/v1/models/nope").shown(), "404\n    {\"error\":\"unknown model 'nope'\"}");
}

#[test]
fn the_monitor_counts_what_was_answered() {
    let api = Api::sum();
    for _ in 0..3 {
        api.post("/v2/models/sum/infer", &infer_body(1., 2.));
    }
    api.post("/v2/models/sum/infer", &infer_body(1., 2.).replace("FP32", "BYTES"));
    let report = api.get("/v1/monitor").json();
    let version = &report["versions"][0];
    assert_eq!((&version["model"], &version["version"]), (&json!("sum"), &json!(1)), "{report}");
    assert_eq!(version["cache"], json!({ "hits": 2, "misses": 1, "off": 0, "hit_ratio": 2.0 / 3.0 }));
    assert_eq!(report["devices"][0]["device"], "cpu");
    assert!(report["process"]["rss_bytes"].as_u64().is_some_and(|bytes| bytes > 1_000_000));

    let classic = api.get("/metrics");
    assert_eq!((classic.status, classic.header("vary")), (200, Some("Accept")));
    assert_eq!(classic.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(!classic.body.contains("# EOF"), "{}", classic.body);
    let accept = [("accept", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")];
    let open = api.try_send("GET", "/metrics", &accept, b"").unwrap();
    assert_eq!(open.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert!(open.body.ends_with("# EOF\n"), "{}", open.body);
    // Both forms answer the same queries, Triton's names included.
    let labels = r#"{model="sum",version="1"}"#;
    for metrics in [&classic, &open, &api.get("/monitoring/prometheus/metrics")] {
        for (name, value) in [
            ("emberline_requests_total", 3),
            ("nv_inference_request_success", 3),
            ("nv_inference_count", 1),
            ("nv_inference_exec_count", 1),
            ("nv_inference_pending_request_count", 0),
            ("nv_cache_num_hits_per_model", 2),
            ("nv_cache_num_misses_per_model", 1),
        ] {
            let line = format!("{name}{labels} {value}");
            assert!(metrics.body.lines().any(|got| got == line), "no line {line:?} in\n{}", metrics.body);
        }
        let failures = r#"nv_inference_request_failure{model="sum",version="1",reason="REJECTED"} 0"#;
        assert!(metrics.body.lines().any(|got| got == failures), "{}", metrics.body);
    }
    assert!(classic.body.contains("# TYPE nv_inference_request_success counter\n"), "{}", classic.body);
    assert!(open.body.contains("# TYPE nv_inference_request_success unknown\n"), "{}", open.body);
}
