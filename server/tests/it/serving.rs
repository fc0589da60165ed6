//! How a model is served, and requests whose clients have gone.

use std::{
    io::Write as _,
    net::{Shutdown, TcpStream},
};

use engine::{serve::ServingSettings, testing::FakeSettings};
use serde_json::{Value, json};

use crate::harness::{Api, infer_body, wait_until};

#[test]
fn a_model_s_settings_are_shown_replaced_and_followed() {
    let api = Api::sum();
    let path = "/v1/models/sum/serving";
    let plain = api.get(path);
    assert_eq!(plain.status, 200);
    assert!(plain.json().as_object().unwrap().values().all(Value::is_null), "{}", plain.body);

    let wanted =
        json!({ "instances": 2, "priority_levels": 3, "max_queue_delay_us": 150, "request_timeout_us": 900_000 });
    let put = api.put(path, &wanted.to_string());
    assert_eq!((put.status, &put.json()["instances"]), (200, &json!(2)));
    assert_eq!(api.get(path).json(), put.json());
    api.refresh();
    let config = api.get("/v2/models/sum/config").json();
    assert_eq!(config["instance_group"][0]["count"], 2);
    let batching = &config["dynamic_batching"];
    assert_eq!((&batching["priority_levels"], &batching["default_priority_level"]), (&json!(3), &json!(2)));
    assert_eq!(batching["max_queue_delay_microseconds"], 150);
    assert_eq!(batching["default_queue_policy"]["default_timeout_microseconds"], 900_000);
    let shown = api.get("/v1/models/sum").json();
    assert_eq!((&shown["serving"]["instances"], &shown["versions"][0]["instances"]), (&json!(2), &json!(2)));
    assert_eq!(api.post("/v2/models/sum/infer", &infer_body(1., 2.)).status, 200);

    for (body, message) in [
        (r#"{"slo":5}"#, "expected one of the settings max_batch_rows, "),
        (r#"{"slo_us":0}"#, "expected slo_us of at least 1, got 0"),
        (r#"{"default_priority":4,"priority_levels":3}"#, "expected a default_priority among the 3 "),
        ("[]", "expected a JSON object of settings as body"),
    ] {
        let refused = api.put(path, body);
        assert_eq!(refused.status, 400, "{body}");
        assert!(refused.json()["error"].as_str().unwrap().starts_with(message), "{}", refused.body);
    }
    assert_eq!(api.get("/v1/models/other/serving").status, 404);
    assert_eq!(api.put("/v1/models/other/serving", "{}").status, 404);
    let wrong_verb = api.post(path, "{}");
    assert_eq!((wrong_verb.status, wrong_verb.header("allow")), (405, Some("GET, PUT")));
    assert_eq!(api.put(path, "{}").status, 200);
    api.refresh();
    assert_eq!(api.get("/v2/models/sum/config").json()["instance_group"][0]["count"], 1);
}

#[test]
fn a_priority_is_a_whole_number() {
    let api = Api::sum();
    let ask = |priority: &str| {
        let body = infer_body(1., 2.).replacen('{', &format!(r#"{{"parameters":{{"priority":{priority}}},"#), 1);
        api.post("/v2/models/sum/infer", &body)
    };
    // As in Triton, a level that the model does not have is its default one.
    for priority in ["0", "1", "7", "4294967296", "18446744073709551615"] {
        assert_eq!(ask(priority).status, 200, "{priority}");
    }
    for priority in ["18446744073709551616", "-1", "1.5", "\"1\"", "1e30"] {
        let refused = ask(priority);
        assert_eq!(refused.status, 400, "{priority}");
        let message = refused.json()["error"].as_str().unwrap().to_owned();
        assert!(message.contains("expected a whole number as 'priority'"), "{message}");
    }
}

/// What a client that has gone was waiting for is not computed, whether it broke the connection or closed its side only.
#[test]
fn a_client_that_goes_away_cancels_what_waits() {
    for how in [Shutdown::Both, Shutdown::Write] {
        let one_by_one = FakeSettings { buckets: vec![1], golden: false, ..FakeSettings::default() };
        let serving = ServingSettings { max_batch_rows: 1, cache_bytes: 0, ..ServingSettings::default() };
        let api = Api::with(&[("sum", one_by_one)], &[], serving);
        let probe = api.probe();
        probe.brake();
        let body = infer_body(1., 2.);
        let clients: Vec<TcpStream> = (0..20)
            .map(|_| {
                let mut stream = TcpStream::connect(api.http).unwrap();
                let length = body.len();
                let head = format!("POST /v2/models/sum/infer HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
                stream.write_all(head.as_bytes()).unwrap();
                stream.write_all(body.as_bytes()).unwrap();
                stream
            })
            .collect();
        wait_until("all have come", || pending(&api) == 20);
        for client in &clients {
            client.shutdown(how).unwrap();
        }
        // Noticed while the device still holds everything back.
        wait_until("all are noticed to be gone", || pending(&api) == 0);
        probe.release();
        assert_eq!(api.post("/v2/models/sum/infer", &body).status, 200);
        // One was on the device, and one came behind.
        assert!(probe.rows() <= 2, "{} rows were computed after {how:?}", probe.rows());
    }
}

fn pending(api: &Api) -> usize {
    api.engine.serving.deployments().iter().map(|deployment| deployment.pending_requests()).sum()
}
