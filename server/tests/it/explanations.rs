//! `explain`: what each column adds to an answer. The fake model adds its columns and its offset up, so each adds itself.

use std::{thread, time::Duration};

use engine::{serve::ServingSettings, testing::FakeSettings};
use serde_json::json;

use crate::harness::{Api, wait_until};

fn api(explain_micros: Option<u64>) -> Api {
    let settings = FakeSettings { offset: 10.0, explain_micros, ..FakeSettings::default() };
    Api::with(&[("sum", settings)], &[], ServingSettings::default())
}

fn body(parameters: &str) -> String {
    format!(
        r#"{{{parameters}"inputs":[{{"name":"features","shape":[2,2],"datatype":"FP32","data":[1,2,3,-4.5]}}],"outputs":[{{"name":"y"}}]}}"#
    )
}

#[test]
fn outputs_are_followed_by_what_explains_them() {
    let api = api(Some(0));
    let answer = api.post("/v2/models/sum/infer", &body(r#""parameters":{"explain":true},"#));
    assert_eq!(
        answer.json()["outputs"],
        json!([
            { "name": "y", "datatype": "FP32", "shape": [2, 1], "data": [13.0, 8.5] },
            { "name": "shap_values", "datatype": "FP64", "shape": [2, 2], "data": [1.0, 2.0, 3.0, -4.5] },
            { "name": "shap_expected", "datatype": "FP64", "shape": [2], "data": [10.0, 10.0] },
        ]),
    );
    // It is a prediction like any other, and its rows can be given their labels.
    let id = answer.header("x-emberline-prediction-id").unwrap();
    let labelled = api.post("/v1/feedback", &format!(r#"{{"prediction":"{id}#1","label":8}}"#));
    assert_eq!(labelled.status, 200, "{}", labelled.body);
    // What is held in the cache is not the explanation.
    let cached = api.post("/v2/models/sum/infer", &body(""));
    assert_eq!(cached.header("x-emberline-cache"), Some("hit"));
    assert_eq!(cached.json()["outputs"].as_array().unwrap().len(), 1);
    assert_eq!(api.probe().explained(), 2);
}

#[test]
fn people_and_tensorflow_ask_beside_the_rows() {
    let api = api(Some(0));
    let rows = api.post("/v1/predict/sum", r#"{"rows":[{"x0":1,"x1":2}],"explain":true}"#).json();
    let row = &rows["predictions"][0];
    assert_eq!(
        (&row["y"], &row["shap_values"], &row["shap_expected"]),
        (&json!(13.0), &json!([1.0, 2.0]), &json!(10.0))
    );
    let rows = api.post("/v1/predict/sum", r#"{"rows":[{"x0":1,"x1":2}],"explain":false}"#).json();
    assert!(rows["predictions"][0].get("shap_values").is_none());

    let by_row = api.post("/v1/models/sum:predict", r#"{"instances":[[1,2],[3,4]],"explain":true}"#).json();
    let plain = api.post("/v1/models/sum:predict", r#"{"instances":[[1,2],[3,4]]}"#).json();
    assert_eq!(by_row["predictions"], plain["predictions"]);
    let explained = |values: [f64; 2]| json!({ "shap_values": values, "shap_expected": 10.0 });
    assert_eq!(by_row["explanations"], json!([explained([1.0, 2.0]), explained([3.0, 4.0])]));
    let by_column = api.post("/v1/models/sum:predict", r#"{"inputs":[[1,2]],"explain":true}"#).json();
    assert_eq!(by_column["explanations"], json!({ "shap_values": [[1.0, 2.0]], "shap_expected": [10.0] }));
}

#[test]
fn explaining_is_a_stage_of_its_own() {
    let api = api(Some(20_000));
    for explain in ["", r#""parameters":{"explain":true},"#] {
        assert_eq!(api.post("/v2/models/sum/infer", &body(explain)).status, 200);
    }
    let metrics = api.get("/metrics").body;
    let of = |stage: &str, what: &str| {
        let name = format!(r#"emberline_stage_duration_seconds_{what}{{model="sum",version="1",stage="{stage}"}} "#);
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name)).unwrap_or_else(|| panic!("{metrics}"));
        line.parse::<f64>().unwrap()
    };
    assert_eq!((of("explain", "count"), of("encode", "count"), of("total", "count")), (1.0, 2.0, 2.0));
    // Two rows of 20 ms each, which are in no other stage.
    assert!(of("explain", "sum") >= 0.04, "{metrics}");
    assert!(of("encode", "sum") < 0.04 && of("total", "sum") < 0.04, "{metrics}");
}

#[test]
fn what_cannot_be_explained_is_refused_in_a_sentence() {
    let api = api(None);
    let answer = api.post("/v2/models/sum/infer", &body(r#""parameters":{"explain":true},"#));
    let told = "expected a model that can be explained: the fake model was told not to";
    assert_eq!((answer.status, answer.json()["error"].as_str()), (400, Some(told)));
    let answer = api.post("/v2/models/sum/infer", &body(r#""parameters":{"explain":1},"#));
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("expected true or false as 'explain', got '1'"), "{}", answer.body);
    let answer = api.post("/v1/models/sum:predict", r#"{"instances":[[1,2]],"explain":null}"#);
    assert!(answer.body.contains("expected true or false as 'explain'"), "{}", answer.body);
}

#[test]
fn no_more_are_computed_at_once_than_there_are_cores() {
    // Two seconds for the first of two rows, behind which nobody waits any more.
    let api = api(Some(2_000_000));
    let cores = thread::available_parallelism().unwrap().get();
    let (address, probe) = (api.http, api.probe());
    let asked = body(r#""parameters":{"explain":true,"timeout":200000},"#);
    thread::scope(|scope| {
        let ask = || {
            let agent: ureq::Agent =
                ureq::Agent::config_builder().timeout_global(Some(Duration::from_millis(500))).build().into();
            // Nobody waits for these to the end.
            let _gone = agent.post(format!("http://{address}/v2/models/sum/infer")).send(&asked);
        };
        for _ in 0..cores {
            scope.spawn(ask);
        }
        wait_until("all cores explain", || probe.explained() == cores);
        let refused = api.post("/v2/models/sum/infer", &asked);
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{}", refused.body);
        let plain = api.post("/v2/models/sum/infer", &body(""));
        assert_eq!(plain.status, 200, "{}", plain.body);
    });
}
