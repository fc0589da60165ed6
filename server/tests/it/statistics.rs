//! The statistics extension and the list of models, over HTTP.

use engine::{serve::ServingSettings, testing::FakeSettings};
use serde_json::{Value, json};

use crate::harness::{Api, infer_body};

fn rows_body(rows: usize) -> String {
    let data: Vec<String> = (0..rows).map(|row| format!("{row},0.5")).collect();
    format!(r#"{{"inputs":[{{"name":"features","shape":[{rows},2],"datatype":"FP32","data":[{}]}}]}}"#, data.join(","))
}

fn counts(of: &Value) -> Value {
    let counted = of.as_object().unwrap().iter().map(|(name, duration)| {
        let members: Vec<_> = duration.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, ["count", "ns"]);
        (name.clone(), duration["count"].clone())
    });
    Value::Object(counted.collect())
}

#[test]
fn statistics_have_tritons_members_and_count_as_it_does() {
    // One bucket, so that no batch is cut however long this machine takes over one.
    let faults = FakeSettings { fail_on: Some(13.), batch_micros: 200, buckets: vec![8], ..FakeSettings::default() };
    let api = Api::with(&[("sum", faults), ("other", FakeSettings::default())], &[], ServingSettings::default());
    let before = api.get("/v2/models/sum/versions/1/stats").json();
    assert_eq!(before["model_stats"][0]["execution_count"], 0, "warming and self-test are not counted");
    assert_eq!(before["model_stats"][0]["last_inference"], 0);
    for body in [rows_body(3), rows_body(3), rows_body(8)] {
        assert_eq!(api.post("/v2/models/sum/infer", &body).status, 200);
    }
    assert_eq!(api.post("/v2/models/sum/infer", &infer_body(13., 0.)).status, 500);
    assert_eq!(api.post("/v2/models/sum/infer", &infer_body(1., 2.).replace("[1,2]", "[2]")).status, 400);

    let all = api.get("/v2/models/stats").json();
    let names: Vec<_> = all["model_stats"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["other", "sum"]);
    let one = api.get("/v2/models/s%75m/stats").json();
    assert_eq!(one, api.get("/v2/models/sum/versions/1/stats").json());
    let sum = &one["model_stats"][0];
    assert_eq!(*sum, all["model_stats"][1]);
    let order: Vec<_> = sum.as_object().unwrap().keys().map(String::as_str).collect();
    let mut members = [
        "name",
        "version",
        "last_inference",
        "inference_count",
        "execution_count",
        "inference_stats",
        "response_stats",
        "batch_stats",
        "memory_usage",
    ];
    members.sort_unstable();
    assert_eq!(order, members);
    assert_eq!((&sum["name"], &sum["version"]), (&json!("sum"), &json!("1")));
    assert!(sum["last_inference"].as_u64().is_some_and(|millis| millis > 1_600_000_000_000), "{sum}");
    assert_eq!((&sum["inference_count"], &sum["execution_count"]), (&json!(11), &json!(2)));
    let expected = json!({
        "success": 3, "fail": 2, "queue": 3, "compute_input": 2, "compute_infer": 2, "compute_output": 2,
        "cache_hit": 1, "cache_miss": 2,
    });
    assert_eq!(counts(&sum["inference_stats"]), expected);
    assert!(sum["inference_stats"]["compute_infer"]["ns"].as_u64().unwrap() >= 400_000, "{sum}");
    let sizes = sum["batch_stats"].as_array().unwrap();
    let batch = |rows, size: &Value| {
        let members = ["batch_size", "compute_infer", "compute_input", "compute_output"];
        assert!(size.as_object().unwrap().keys().eq(members.iter()), "{size}");
        assert_eq!((&size["batch_size"], &size["compute_infer"]["count"]), (&json!(rows), &json!(1)));
    };
    assert_eq!(sizes.len(), 2);
    batch(3, &sizes[0]);
    batch(8, &sizes[1]);
    assert_eq!(sum["response_stats"], json!({}));
    assert_eq!(sum["memory_usage"], json!([{ "type": "CPU", "id": 0, "byte_size": 8 }]));
}

#[test]
fn statistics_of_what_does_not_serve_are_a_bad_request() {
    let api = Api::sum();
    for (path, error) in [
        ("/v2/models/nope/stats", "requested model 'nope' is not available"),
        ("/v2/models/sum/versions/9/stats", "requested version 9 of model 'sum' is not available"),
        ("/v2/models/sum/versions/99999999999/stats", "requested version 99999999999 of model 'sum' is not available"),
    ] {
        let answer = api.get(path);
        assert_eq!((answer.status, answer.json()), (400, json!({ "error": error })), "{path}");
    }
    assert_eq!(api.get("/v2/models/sum/versions/x/stats").status, 404);
    assert_eq!(api.post("/v2/models/stats", "").status, 405);
    assert_eq!(Api::empty(&[], ServingSettings::default()).get("/v2/models/stats").body, r#"{"model_stats":[]}"#);
}

#[test]
fn models_are_listed_with_their_versions_and_states() {
    let broken = FakeSettings { wrong_golden: true, ..FakeSettings::default() };
    let api = Api::with(&[("sum", FakeSettings::default()), ("broken", broken)], &[], ServingSettings::default());
    let list = api.get("/v2/models").json();
    let [broken, sum] = &list["models"].as_array().unwrap()[..] else { panic!("{list}") };
    assert_eq!(*sum, json!({ "name": "sum", "state": "READY", "versions": [{ "version": "1", "state": "READY" }] }));
    assert_eq!((&broken["state"], &broken["versions"][0]["state"]), (&json!("UNAVAILABLE"), &json!("UNAVAILABLE")));
    assert!(broken["versions"][0]["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{broken}");
}
