//! Our own resources.

use serde_json::{Value, json};
use utoipa::openapi::{Content, HttpMethod, Required};

use super::describe::{Call, JSON, any, content, get, list, map, named, object, post, string, whole};

pub(super) const PREDICTIONS: &str = "Predictions and feedback";
pub(super) const MODELS: &str = "Models and training";
pub(super) const MONITORING: &str = "Monitoring";

/// What requests for predictions say to the cache.
pub(super) const CACHE_CONTROL: &str = "What the prediction cache may do (RFC 9111): `no-cache`, `no-store`, `max-age=N`, \
    `only-if-cached` (504 when the answer is not held).";

pub(super) fn calls() -> Vec<Call> {
    let mut calls = Vec::from(predictions());
    calls.extend(features());
    calls.push(feedback());
    calls.extend(models());
    calls.extend(jobs());
    calls.extend(monitoring());
    calls
}

fn predictions() -> [Call; 2] {
    let path = &["/v1/predict/{model}"];
    let versions = |call: Call| {
        let call = call.query("version", Required::False, "Number of the version.");
        call.query("alias", Required::False, "An alias, in place of a version.")
    };
    let rows = object([
        ("rows", list(map(any("A value or null."), "Values by column."), "One per prediction.")),
        ("explain?", any("Whether each prediction shall have its `shap_values`, one a column, and `shap_expected`.")),
    ]);
    let entities = get(path, PREDICTIONS, "Predict entities from their feature rows.")
        .query("ids", Required::True, "Entity ids, separated by commas; a comma of an id itself is `%2C`.")
        .query("view", Required::False, "The feature view; the model's name when absent.")
        .about(
            "The answer's `ETag` is weak: bodies hold prediction ids, and it says that all else is equal. A request that names \
            it by `If-None-Match` is answered 304 without a body, with `x-emberline-prediction-id` for feedback. \
            `Cache-Control` tells how long after it was computed the client may use it again, and `Age` how long ago that was.",
        )
        .header("If-None-Match", "Tags of answers that the client holds, or `*`.");
    let rows = post(path, PREDICTIONS, "Predict rows as they are.")
        .takes(rows, json!({ "rows": [{ "alcohol": 9.4, "colour": "red" }] }));
    [versions(entities), versions(rows)].map(|call| {
        let call = call.header("Cache-Control", CACHE_CONTROL);
        call.answers("One prediction per row.", named("Predictions"), predicted()).fails(&[400, 404, 500, 503, 504])
    })
}

fn predicted() -> Value {
    json!({ "model": "wine", "version": 1, "predictions": [{ "id": "0199-a#0", "y": 5.4 }] })
}

fn features() -> [Call; 2] {
    let rows = object([("rows", list(map(any(""), "`id`, and values by feature."), "All rows are stored, or none."))]);
    let stored = object([("view", string("")), ("rows", whole("Rows stored."))]);
    let shown = object([
        ("view", string("")),
        ("id", string("")),
        ("values", map(any(""), "Values by feature.")),
        ("updated_at", string("When it was stored.")),
    ]);
    let row = json!({ "view": "wine", "id": "w1", "values": { "alcohol": 9.4 }, "updated_at": "2026-01-01T00:00:00Z" });
    [
        Call::new(HttpMethod::Put, &["/v1/features/{view}"], PREDICTIONS, "Store feature rows by entity id.")
            .takes(rows, json!({ "rows": [{ "id": "w1", "alcohol": 9.4 }] }))
            .answers("They are on disk.", stored, json!({ "view": "wine", "rows": 1 }))
            .fails(&[400, 500]),
        get(&["/v1/features/{view}/{id}"], PREDICTIONS, "The feature row of an entity.")
            .answers("The row.", shown, row)
            .fails(&[404]),
    ]
}

fn feedback() -> Call {
    let scored = json!({ "prediction": "0199-a#0", "model": "wine", "version": 1, "losses": { "squared": 0.16 } });
    post(&["/v1/feedback"], PREDICTIONS, "Say what turned out to be true.")
        .about(
            "One label answers with its losses or an error. An array of labels answers 200 with `accepted`, their number, and \
            `results`: for each label its losses, or `{\"error\": …}`.",
        )
        .takes(named("Label"), json!({ "prediction": "0199-a#0", "label": 5 }))
        .answers("Its losses.", named("Scored"), scored)
        .fails(&[400, 404, 409])
}

fn models() -> [Call; 4] {
    let all = object([
        ("models", list(string(""), "Names, as KServe has them.")),
        ("registry", list(named("RegisteredModel"), "In the same order.")),
    ]);
    let serving = &["/v1/models/{model}/serving"];
    let settings = json!({
        "max_batch_rows": null, "max_queue_delay_us": null, "max_queue_rows": null, "request_timeout_us": null,
        "slo_us": 5000, "priority_levels": null, "default_priority": null, "weight": null, "cache_ttl_us": null,
        "instances": 2,
    });
    let model = json!({
        "name": "wine", "ready": true, "created_at": "2026-01-01T00:00:00Z", "aliases": { "champion": 1 },
        "versions": [{ "version": 1, "state": "ready", "serving_device": "cpu", "instances": 1 }],
        "model_version_status": [
            { "version": "1", "state": "AVAILABLE", "status": { "error_code": "OK", "error_message": "" } },
        ],
    });
    [
        get(&["/v1/models"], MODELS, "What is registered and how it serves.")
            .answers("By name.", all, json!({ "models": ["wine"], "registry": [model] }))
            .fails(&[500]),
        get(&["/v1/models/{model}"], MODELS, "One model: ours, KServe's and TensorFlow Serving's answer in one.")
            .answers("The model.", named("RegisteredModel"), model)
            .fails(&[404, 500]),
        get(serving, MODELS, "How a model is served, where that differs from the settings of the process.")
            .answers("All settings; null where the process's hold.", named("ModelServing"), settings.clone())
            .fails(&[404, 500]),
        Call::new(HttpMethod::Put, serving, MODELS, "Say how a model is served.")
            .about(
                "Replaces all settings of the model; null and absent ones are the process's. They are kept in the registry, and \
                every process that serves from it follows within about a second, without a reload.",
            )
            .takes(named("ModelServing"), json!({ "instances": 2, "slo_us": 5000 }))
            .answers("The settings.", named("ModelServing"), settings)
            .fails(&[400, 404, 500]),
    ]
}

fn jobs() -> [Call; 4] {
    let job = json!({
        "id": "0199", "args": ["--data=wine.csv", "--target=quality", "--name=wine"], "state": "running",
        "epoch": null, "epochs": 50, "model": null, "version": null, "error": null,
        "queued_at": "2026-01-01T00:00:00Z", "started_at": "2026-01-01T00:00:01Z", "ended_at": null, "log": "jobs/0199.log",
    });
    let flags = object([
        ("data", string("A file of the server's host.")),
        ("target", string("The column to predict.")),
        ("name", string("Name of the model.")),
    ]);
    let one = &["/v1/jobs/{id}"];
    [
        get(&["/v1/jobs"], MODELS, "The training jobs.").answers(
            "All of them.",
            object([("jobs", list(named("Job"), ""))]),
            json!({ "jobs": [job] }),
        ),
        post(&["/v1/jobs"], MODELS, "Start a training job.")
            .about("The body's members are the flags of `emberline train`, with underscores.")
            .takes(flags, json!({ "data": "wine.csv", "target": "quality", "name": "wine", "epochs": 50 }))
            .answers_as(202, "It waits for its turn.", JSON, content(named("Job"), job.clone()))
            .fails(&[400, 500]),
        get(one, MODELS, "A training job.").answers("How it stands.", named("Job"), job.clone()).fails(&[404]),
        Call::new(HttpMethod::Delete, one, MODELS, "Cancel a training job.")
            .about("The best so far is registered.")
            .answers_as(202, "It ends.", JSON, content(named("Job"), job))
            .fails(&[404, 409]),
    ]
}

fn monitoring() -> [Call; 3] {
    let report = object([
        ("uptime_seconds", any("Since the server began.")),
        ("versions", list(any(""), "Requests, batches and latencies of each version.")),
        ("devices", list(any(""), "How busy each device is.")),
        ("host", any("The machine.")),
        ("process", any("This process.")),
        ("gpus", list(any(""), "GPUs as NVML sees them.")),
        ("gpus_absent", any("Why there are none, or null.")),
        ("feedback", list(any(""), "Online losses of each version.")),
    ]);
    let example = json!({
        "uptime_seconds": 12.5, "versions": [], "devices": [], "host": {}, "process": {}, "gpus": [],
        "gpus_absent": "the NVIDIA management library (libnvidia-ml) is not installed", "feedback": [],
    });
    let text = |text: &str| {
        let mut content = Content::new(Some(string("")));
        content.example = Some(Value::from(text));
        content
    };
    let metric = "nv_inference_request_success{model=\"wine\",version=\"1\"} 3";
    [
        get(&["/v1/monitor"], MONITORING, "What happened, as JSON.").answers("Since the start.", report, example),
        get(&["/metrics", "/monitoring/prometheus/metrics"], MONITORING, "What happened, for Prometheus.")
            .about(
                "OpenMetrics for who prefers it in `Accept`, else the classic text form. `docs/metrics.md` lists all.",
            )
            .answers_as(200, "All metrics.", "text/plain; version=0.0.4", text(metric)),
        get(&["/openapi.json"], MONITORING, "This document.").answers(
            "OpenAPI 3.1.",
            map(any(""), ""),
            json!({ "openapi": "3.1.0" }),
        ),
    ]
}
