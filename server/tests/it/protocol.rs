//! The Open Inference Protocol, and what the headers add to it.

use std::thread;

use engine::testing::FakeSettings;
use serde_json::json;

use crate::harness::{Api, infer_body};

#[test]
fn answers_of_the_protocol() {
    let api = Api::sum();
    api.register("sum", &FakeSettings { offset: 100., ..FakeSettings::default() });
    api.set_alias("sum", "stable", 1);
    let mut seen = Vec::new();
    for path in [
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/sum",
        "/v2/models/sum/versions/1",
        "/v2/models/s%75m/ready",
        "/v2/models/sum/versions/2/ready",
    ] {
        seen.push(format!("GET {path}\n    {}", api.get(path).shown().replace(env!("CARGO_PKG_VERSION"), "VERSION")));
    }
    let two_rows = r#"{"id":"a","parameters":{"priority":1},"inputs":[{"name":"features","shape":[2,2],"datatype":"FP32","data":[[1,2],[3,NaN]]}]}"#;
    let columns = r#"{"outputs":[{"name":"twice"}],"inputs":[{"data":[1,null],"datatype":"INT64","name":"x1","shape":[2,1]},{"name":"x0","shape":[2,1],"datatype":"FP64","data":[0.5,0.25]}]}"#;
    for (path, body) in [
        ("/v2/models/sum/infer", infer_body(1., 2.)),
        ("/v2/models/sum/versions/1/infer", infer_body(1., 2.)),
        ("/v2/models/sum/infer", infer_body(1., 2.)),
        ("/v2/models/sum/versions/1/infer", two_rows.to_owned()),
        ("/v2/models/sum/versions/1/infer", columns.to_owned()),
        ("/v2/models/sum/versions/1/infer", infer_body(f32::MAX, f32::MAX)),
    ] {
        seen.push(format!("POST {path} {body}\n    {}", api.post(path, &body).shown()));
    }
    insta::assert_snapshot!(seen.join("\n"));
}

#[test]
fn headers_say_who_answered_and_from_where() {
    let api = Api::sum();
    let first = api.post("/v2/models/sum/infer", &infer_body(1., 2.));
    let second = api.post("/v2/models/sum/infer", &infer_body(1., 2.));
    assert_eq!((first.status, second.status), (200, 200));
    assert_eq!(first.header("content-type"), Some("application/json"));
    assert_eq!((first.header("x-emberline-cache"), first.header("age")), (Some("miss"), None));
    assert_eq!((second.header("x-emberline-cache"), second.header("age")), (Some("hit"), Some("0")));
    assert_eq!(first.header("x-emberline-version"), Some("1"));
    assert_eq!(first.body, second.body);
    let (one, other) = (first.header("x-emberline-prediction-id"), second.header("x-emberline-prediction-id"));
    assert!(one.is_some() && one != other, "{one:?} {other:?}");
    assert_eq!(api.probe().rows(), api.probe().batches().iter().sum::<usize>());
}

/// `tritonclient` sends no content type; curl sends that of a form.
#[test]
fn any_content_type_is_taken() {
    let api = Api::sum();
    for headers in
        [&[][..], &[("content-type", "application/x-www-form-urlencoded")], &[("content-encoding", "identity")]]
    {
        let answer = api.try_send("POST", "/v2/models/sum/infer", headers, infer_body(1., 2.).as_bytes()).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
}

#[test]
fn every_client_gets_its_own_answer() {
    let api = Api::sum();
    thread::scope(|scope| {
        for client in 0..8_i16 {
            let api = &api;
            scope.spawn(move || {
                for request in 0..50_i16 {
                    let answer =
                        api.post("/v2/models/sum/infer", &infer_body(f32::from(client) * 1000., f32::from(request)));
                    assert_eq!(answer.status, 200, "{}", answer.body);
                    let expected = json!([f32::from(client) * 1000. + f32::from(request)]);
                    assert_eq!(answer.json()["outputs"][0]["data"], expected);
                }
            });
        }
    });
}

/// A body that comes in pieces is put together.
#[test]
fn large_bodies_arrive_whole() {
    let api = Api::sum();
    let rows = 20_000;
    let data: Vec<String> = (0..rows).map(|row| format!("[{row},0.5]")).collect();
    let body = format!(
        r#"{{"inputs":[{{"name":"features","shape":[{rows},2],"datatype":"FP32","data":[{}]}}],"outputs":[{{"name":"y"}}]}}"#,
        data.join(",")
    );
    let answer = api.post("/v2/models/sum/infer", &body);
    assert_eq!(answer.status, 200);
    let sums: Vec<f32> = serde_json::from_value(answer.json()["outputs"][0]["data"].clone()).unwrap();
    assert_eq!(sums.len(), rows);
    assert!(sums.iter().enumerate().all(|(row, sum)| *sum == row as f32 + 0.5));
}
