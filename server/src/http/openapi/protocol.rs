//! The Open Inference Protocol and the statistics extension.

use serde_json::{Value, json};

use super::{
    describe::{Call, flag, get, list, named, object, post, string, word},
    own::CACHE_CONTROL,
    schemas::STATES,
};

pub(super) const TAG: &str = "Open Inference Protocol";

pub(super) fn calls() -> Vec<Call> {
    let mut calls = Vec::from(health());
    calls.extend(metadata());
    calls.extend([infer(), statistics(), all_statistics()]);
    calls
}

fn health() -> [Call; 2] {
    let live = object([("live", flag(""))]);
    let ready = object([("ready", flag(""))]);
    [
        get(&["/v2/health/live"], TAG, "Whether the server runs.").answers("It runs.", live, json!({ "live": true })),
        get(&["/v2/health/ready"], TAG, "Whether requests should be sent here.")
            .answers("They should.", ready, json!({ "ready": true }))
            .fails(&[503]),
    ]
}

fn metadata() -> [Call; 4] {
    let server = object([
        ("name", string("Always `emberline`.")),
        ("version", string("Of the server.")),
        ("extensions", list(string(""), "Extensions of the protocol, by Triton's names.")),
    ]);
    let version = object([
        ("version", string("Number.")),
        ("state", word(&STATES, "Where it stands.")),
        ("reason?", string("Why it is unavailable.")),
    ]);
    let model = object([
        ("name", string("Name.")),
        ("state", word(&STATES, "`READY` when a version is, else that of the newest version.")),
        ("versions", list(version, "Ascending.")),
    ]);
    let listed =
        json!({ "models": [{ "name": "wine", "state": "READY", "versions": [{ "version": "1", "state": "READY" }] }] });
    let described = json!({
        "name": "wine", "versions": ["1"], "platform": "emberline",
        "inputs": [{ "name": "features", "datatype": "FP32", "shape": [-1, 2] }],
        "outputs": [{ "name": "y", "datatype": "FP32", "shape": [-1, 1] }],
    });
    let ready = object([("name", string("")), ("ready", flag(""))]);
    [
        get(&["/v2"], TAG, "Name, version and extensions of the server.").answers(
            "What it is.",
            server,
            json!({ "name": "emberline", "version": "0.1.0", "extensions": ["parameters", "statistics"] }),
        ),
        get(&["/v2/models"], TAG, "The models that serve or should.")
            .about("Not in the protocol; the versions have the states of Triton's repository index.")
            .answers("By name.", object([("models", list(model, ""))]), listed),
        get(&["/v2/models/{model}", "/v2/models/{model}/versions/{version}"], TAG, "Inputs and outputs of a model.")
            .answers("What it takes and gives.", named("ModelMetadata"), described)
            .fails(&[404, 503]),
        get(
            &["/v2/models/{model}/ready", "/v2/models/{model}/versions/{version}/ready"],
            TAG,
            "Whether a model takes requests.",
        )
        .answers("It does.", ready, json!({ "name": "wine", "ready": true }))
        .fails(&[404, 503]),
    ]
}

fn infer() -> Call {
    let request = json!({
        "id": "7",
        "inputs": [{ "name": "features", "shape": [1, 2], "datatype": "FP32", "data": [1.0, 2.0] }],
        "outputs": [{ "name": "y" }],
    });
    let response = json!({
        "id": "7", "model_name": "wine", "model_version": "1",
        "outputs": [{ "name": "y", "datatype": "FP32", "shape": [1, 1], "data": [3.0] }],
    });
    post(&["/v2/models/{model}/infer", "/v2/models/{model}/versions/{version}/infer"], TAG, "Infer.")
        .about(
            "Without a version the alias `champion` answers if it is set, else the highest ready version. The answer's \
            headers are `x-emberline-prediction-id`, which feedback names, `x-emberline-version`, `x-emberline-cache` \
            (`hit`, `miss` or `off`) and, for a hit, `Age`. The parameter `timeout` is in microseconds. With the parameter \
            `explain` (true or false) the outputs of a tree model are followed by `shap_values`, FP64 `[rows, columns]`, what \
            each column adds to the row's margin, and `shap_expected`, FP64 `[rows]`, what is expected of it; a model of several \
            margins has `[rows, margins, columns]` and `[rows, margins]`. With the header \
            `Inference-Header-Content-Length` the body is that many bytes of this JSON with the raw elements of its \
            binary tensors behind, as Triton's binary data extension has it.",
        )
        .header("Inference-Header-Content-Length", "Bytes of the JSON part of a body with raw tensors.")
        .header("Cache-Control", CACHE_CONTROL)
        .takes(named("InferRequest"), request)
        .answers("The outputs.", named("InferResponse"), response)
        .fails(&[400, 404, 500, 503, 504])
}

fn statistics() -> Call {
    get(
        &["/v2/models/{model}/stats", "/v2/models/{model}/versions/{version}/stats"],
        TAG,
        "Counts and times of a model's versions.",
    )
    .answers("In Triton's form.", named("Statistics"), statistics_example())
    .fails(&[400])
}

fn all_statistics() -> Call {
    get(&["/v2/models/stats"], TAG, "Counts and times of all models' versions.").answers(
        "In Triton's form.",
        named("Statistics"),
        statistics_example(),
    )
}

fn statistics_example() -> Value {
    let some = |count: u64, ns: u64| json!({ "count": count, "ns": ns });
    json!({ "model_stats": [{
        "name": "wine", "version": "1", "last_inference": 1_795_330_868_775_u64,
        "inference_count": 4, "execution_count": 2,
        "inference_stats": {
            "success": some(3, 910_000), "fail": some(0, 0), "queue": some(3, 20_000),
            "compute_input": some(2, 9_000), "compute_infer": some(2, 800_000), "compute_output": some(2, 30_000),
            "cache_hit": some(1, 2_000), "cache_miss": some(2, 6_000),
        },
        "response_stats": {},
        "batch_stats": [{
            "batch_size": 2, "compute_input": some(2, 9_000), "compute_infer": some(2, 800_000),
            "compute_output": some(2, 30_000),
        }],
        "memory_usage": [{ "type": "CPU", "id": 0, "byte_size": 4096 }],
    }] })
}
