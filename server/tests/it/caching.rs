//! What the cache says and obeys over HTTP: `Cache-Control`, `Age`, `ETag`, 304.

use std::time::Duration;

use engine::{registry::VersionSelector, serve::ServingSettings, testing::FakeSettings};
use serde_json::json;

use crate::harness::{Answer, Api, infer_body};

const ENTITIES: &str = "/v1/predict/sum?ids=a,b";

fn with_features() -> Api {
    let api = Api::sum();
    store(&api, 1.0);
    api
}

fn store(api: &Api, x0: f64) {
    let rows = json!({ "rows": [{ "id": "a", "x0": x0, "x1": 2 }, { "id": "b", "x0": 0, "x1": 4 }] }).to_string();
    assert_eq!(api.put("/v1/features/sum", &rows).status, 200);
}

fn ask(api: &Api, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    api.try_send(method, path, headers, body.as_bytes()).unwrap()
}

fn cache(answer: &Answer) -> &str {
    answer.header("x-emberline-cache").unwrap()
}

#[test]
fn requests_say_what_the_cache_may_do() {
    let api = with_features();
    let body = infer_body(1.0, 2.0);
    let rows = r#"{"rows":[{"x0":7,"x1":2}]}"#;
    for (method, path, body) in
        [("POST", "/v2/models/sum/infer", body.as_str()), ("POST", "/v1/predict/sum", rows), ("GET", ENTITIES, "")]
    {
        let ask = |control: &str| ask(&api, method, path, &[("cache-control", control)], body);
        let absent = ask("only-if-cached");
        assert_eq!(absent.status, 504, "{}", absent.body);
        assert_eq!(absent.body, r#"{"error":"expected a cached answer, as 'only-if-cached' asks, and none is held"}"#);
        assert_eq!(cache(&ask("no-store")), "off", "{path}");
        assert_eq!(cache(&ask("max-age=60")), "miss", "no-store was kept: {path}");
        assert_eq!(cache(&ask("only-if-cached")), "hit", "{path}");
        assert_eq!(cache(&ask("max-age=0")), "miss", "{path}");
        let again = ask("no-cache");
        assert_eq!((cache(&again), again.header("age")), ("miss", None), "{path}");
        assert_eq!(cache(&ask("No-Store")), "off", "{path}");
        let held = ask("max-age=soon, no-cache=1, nonsense");
        assert_eq!((cache(&held), held.header("age")), ("hit", Some("0")), "{path}");
    }
}

#[test]
fn a_known_answer_is_not_sent_again() {
    let api = with_features();
    let first = api.get(ENTITIES);
    let tag = first.header("etag").unwrap().to_owned();
    assert!(tag.starts_with("W/\"") && tag.ends_with('"'), "{tag}");
    assert_eq!(
        (first.header("cache-control"), first.header("vary"), first.header("age")),
        (Some("private, max-age=60"), Some("accept-encoding"), None)
    );
    // Compared weakly, so its strong form matches as well (RFC 9110, section 8.8.3.2).
    for known in [tag.clone(), format!("\"other\", {tag}"), tag.replacen("W/", "", 1), "*".to_owned()] {
        let answer = ask(&api, "GET", ENTITIES, &[("if-none-match", &known)], "");
        assert_eq!((answer.status, answer.body.as_str()), (304, ""), "{known}");
        assert_eq!(answer.header("etag"), Some(tag.as_str()));
        assert_eq!((cache(&answer), answer.header("age")), ("hit", Some("0")));
        assert_eq!(answer.header("cache-control"), Some("private, max-age=60"));
        assert_eq!(answer.header("vary"), Some("accept-encoding"));
        assert_eq!((answer.header("content-type"), answer.header("content-length")), (None, None));
        // It is a prediction as any other, and feedback finds it.
        let id = answer.header("x-emberline-prediction-id").unwrap();
        assert_ne!(Some(id), first.header("x-emberline-prediction-id"));
        let label = json!({ "prediction": format!("{id}#1"), "label": 5 }).to_string();
        assert_eq!(api.post("/v1/feedback", &label).status, 200);
    }
    for other in ["\"other\"", "W/\"\"", "nonsense", ""] {
        let answer = ask(&api, "GET", ENTITIES, &[("if-none-match", other)], "");
        assert_eq!((answer.status, answer.header("etag")), (200, Some(tag.as_str())), "{other}");
    }
    // Computing it again makes it no other.
    let anew = ask(&api, "GET", ENTITIES, &[("if-none-match", &tag), ("cache-control", "no-cache")], "");
    assert_eq!((anew.status, cache(&anew)), (304, "miss"));
    let unkept = ask(&api, "GET", ENTITIES, &[("cache-control", "no-store")], "");
    assert_eq!(unkept.header("cache-control"), Some("no-store"));
}

#[test]
fn tags_tell_answers_apart_and_processes_not() {
    let api = with_features();
    let tag = |api: &Api, path: &str| api.get(path).header("etag").unwrap().to_owned();
    let one = tag(&api, ENTITIES);
    assert_eq!(one, tag(&with_features(), ENTITIES), "another server answers the same");
    assert_ne!(one, tag(&api, "/v1/predict/sum?ids=b,a"));
    assert_ne!(one, tag(&api, "/v1/predict/sum?ids=a"));
    store(&api, 1.5);
    let changed = tag(&api, ENTITIES);
    assert_ne!(one, changed);
    let stale = ask(&api, "GET", ENTITIES, &[("if-none-match", &one)], "");
    assert_eq!((stale.status, stale.header("etag")), (200, Some(changed.as_str())));
    // The same answers of another version are others.
    api.register("sum", &FakeSettings::default());
    api.refresh();
    assert_eq!(api.get(ENTITIES).header("x-emberline-version"), Some("2"));
    assert_ne!(changed, tag(&api, ENTITIES));
}

#[test]
fn times_to_live_change_while_it_runs() {
    let api = with_features();
    assert_eq!(cache(&api.get(ENTITIES)), "miss");
    let deployment = api.engine.deployment("sum", &VersionSelector::Default).unwrap();
    deployment.set_cache_ttl(Duration::ZERO);
    let off = api.get(ENTITIES);
    assert_eq!((cache(&off), off.header("cache-control")), ("off", Some("private, no-cache")));
    deployment.set_cache_ttl(Duration::from_secs(5));
    let on = api.get(ENTITIES);
    assert_eq!((cache(&on), on.header("cache-control")), ("hit", Some("private, max-age=5")));
}

#[test]
fn large_answers_are_compressed() {
    let api = Api::sum();
    let rows: Vec<_> = (0..100).map(|id| json!({ "id": format!("e{id}"), "x0": id, "x1": 1 })).collect();
    assert_eq!(api.put("/v1/features/sum", &json!({ "rows": rows }).to_string()).status, 200);
    let ids: Vec<_> = (0..100).map(|id| format!("e{id}")).collect();
    let path = format!("/v1/predict/sum?ids={}", ids.join(","));
    let plain = api.get(&path);
    let zipped = ask(&api, "GET", &path, &[("accept-encoding", "gzip")], "");
    assert_eq!((plain.header("content-encoding"), zipped.header("content-encoding")), (None, Some("gzip")));
    assert_eq!((plain.header("vary"), zipped.header("vary")), (Some("accept-encoding"), Some("accept-encoding")));
    // The tag is weak: it means the predictions, not the bytes.
    assert_eq!(plain.header("etag"), zipped.header("etag"));
    assert!(zipped.bytes.len() < plain.bytes.len() / 2);
}

#[test]
fn what_the_cache_did_is_counted() {
    let api = with_features();
    for _ in 0..4 {
        api.get(ENTITIES);
    }
    let report = api.get("/v1/monitor").json();
    assert_eq!(report["versions"][0]["cache"], json!({ "hits": 3, "misses": 1, "off": 0, "hit_ratio": 0.75 }));
    let cache = &report["cache"];
    assert_eq!((&cache["entries"], &cache["capacity_bytes"]), (&json!(1), &json!(64 << 20)));
    assert!((1..5000).contains(&cache["bytes"].as_u64().unwrap()), "{cache}");
    let metrics = api.get("/metrics").body;
    for line in [
        "emberline_cache_requests_total{model=\"sum\",version=\"1\",result=\"hit\"} 3",
        "emberline_cache_hit_ratio{model=\"sum\",version=\"1\"} 0.75",
        "nv_cache_num_hits_per_model{model=\"sum\",version=\"1\"} 3",
        "nv_cache_num_misses_per_model{model=\"sum\",version=\"1\"} 1",
        "emberline_cache_entries 1",
        "emberline_cache_capacity_bytes 67108864",
        "emberline_cache_coalesced_total 0",
        "emberline_cache_contended_total{operation=\"read\"} 0",
        "emberline_cache_expired_total 0",
        "emberline_cache_evicted_total 0",
    ] {
        assert!(metrics.lines().any(|got| got == line), "no line {line:?} in\n{metrics}");
    }
    let off = Api::with(
        &[("sum", FakeSettings::default())],
        &[],
        ServingSettings { cache_bytes: 0, ..ServingSettings::default() },
    );
    assert_eq!(off.get("/v1/monitor").json()["cache"], json!(null));
    assert!(!off.get("/metrics").body.contains("emberline_cache_entries"));
}
