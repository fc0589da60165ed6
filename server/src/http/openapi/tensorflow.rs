//! TensorFlow Serving's REST API. The state of a model without a version is among our own models, whose answer holds it.

use serde_json::json;

use super::{
    describe::{Call, any, get, list, map, object, post, string, word},
    own::CACHE_CONTROL,
};

pub(super) const TAG: &str = "TensorFlow Serving";

pub(super) fn calls() -> Vec<Call> {
    vec![status(), metadata(), predict(), classify(), regress()]
}

fn status() -> Call {
    let version = object([
        ("version", string("Number.")),
        ("state", word(&["LOADING", "AVAILABLE", "UNLOADING", "END"], "Where it stands.")),
        ("status", object([("error_code", string("`OK` unless it failed.")), ("error_message", string(""))])),
    ]);
    let example = json!({ "model_version_status": [
        { "version": "1", "state": "AVAILABLE", "status": { "error_code": "OK", "error_message": "" } },
    ] });
    get(&["/v1/models/{model}/versions/{version}", "/v1/models/{model}/labels/{label}"], TAG, "Where a version stands.")
        .answers("Its state.", object([("model_version_status", list(version, ""))]), example)
        .fails(&[400, 404])
}

fn metadata() -> Call {
    let tensor = json!({
        "dtype": "DT_FLOAT", "name": "features",
        "tensor_shape": { "dim": [{ "size": "-1", "name": "" }, { "size": "2", "name": "" }], "unknown_rank": false },
    });
    let signature = json!({
        "inputs": { "features": tensor }, "outputs": {}, "method_name": "tensorflow/serving/predict", "defaults": {},
    });
    let example = json!({
        "model_spec": { "name": "wine", "signature_name": "", "version": "1" },
        "metadata": { "signature_def": { "signature_def": { "serving_default": signature } } },
    });
    let schema = object([("model_spec", map(any(""), "")), ("metadata", map(any(""), ""))]);
    get(
        &[
            "/v1/models/{model}/metadata",
            "/v1/models/{model}/versions/{version}/metadata",
            "/v1/models/{model}/labels/{label}/metadata",
        ],
        TAG,
        "Inputs and outputs of a model, as a SignatureDef.",
    )
    .answers("Its signature.", schema, example)
    .fails(&[400, 404, 503])
}

fn predict() -> Call {
    let request = object([
        ("signature_name?", string("`serving_default` when absent.")),
        ("instances?", list(any(""), "Row by row: values, or objects of values by input. Or `inputs`.")),
        ("inputs?", any("Column by column: values, or an object of values by input.")),
        ("explain?", any("Whether the answer shall be explained; an extension of ours.")),
    ]);
    let response = object([
        ("predictions?", list(any(""), "Answers `instances`.")),
        ("outputs?", any("Answers `inputs`.")),
        ("explanations?", any("`shap_values` and `shap_expected` in the form of the answer, when `explain` was true.")),
    ]);
    post(
        &[
            "/v1/models/{model}:predict",
            "/v1/models/{model}/versions/{version}:predict",
            "/v1/models/{model}/labels/{label}:predict",
        ],
        TAG,
        "Predict.",
    )
    .header("Cache-Control", CACHE_CONTROL)
    .takes(request, json!({ "instances": [[1.0, 2.0]] }))
    .answers("The outputs.", response, json!({ "predictions": [[3.0]] }))
    .fails(&[400, 404, 500, 503, 504])
}

fn classify() -> Call {
    post(
        &[
            "/v1/models/{model}:classify",
            "/v1/models/{model}/versions/{version}:classify",
            "/v1/models/{model}/labels/{label}:classify",
        ],
        TAG,
        "Classify examples.",
    )
    .header("Cache-Control", CACHE_CONTROL)
    .takes(examples(), json!({ "examples": [{ "alcohol": 9.4 }] }))
    .answers(
        "For each example its classes with their scores.",
        object([("results", list(list(any("Label and score."), ""), ""))]),
        json!({ "results": [[["red", 0.9], ["white", 0.1]]] }),
    )
    .fails(&[400, 404, 500, 503, 504])
}

fn regress() -> Call {
    post(
        &[
            "/v1/models/{model}:regress",
            "/v1/models/{model}/versions/{version}:regress",
            "/v1/models/{model}/labels/{label}:regress",
        ],
        TAG,
        "Predict one number for each example.",
    )
    .header("Cache-Control", CACHE_CONTROL)
    .takes(examples(), json!({ "examples": [{ "alcohol": 9.4 }] }))
    .answers(
        "For each example its number.",
        object([("results", list(any("A number."), ""))]),
        json!({ "results": [5.4] }),
    )
    .fails(&[400, 404, 500, 503, 504])
}

fn examples() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
    object([
        ("signature_name?", string("`serving_default` when absent.")),
        ("context?", map(any(""), "Features that all examples share.")),
        ("examples", list(map(any(""), "Values by feature."), "One per row.")),
    ])
}
