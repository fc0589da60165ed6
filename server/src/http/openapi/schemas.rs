//! Forms that several calls share.

use utoipa::openapi::{Components, ComponentsBuilder};

use super::describe::{any, failures, flag, list, map, named, object, string, whole, word};

const DATATYPES: [&str; 14] = [
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "BF16", "FP32", "FP64",
    "BYTES",
];

/// Where a version stands, in Triton's words.
pub(super) const STATES: [&str; 4] = ["LOADING", "READY", "UNLOADING", "UNAVAILABLE"];

pub(super) fn components() -> Components {
    let parameters = || map(any("A string, a number or a boolean."), "Parameters of the protocol.");
    let shape = |about: &str| list(whole(""), about);
    let input = object([
        ("name", string("Name of the input.")),
        ("shape", shape("Length of each axis.")),
        ("datatype", word(&DATATYPES, "Type of the elements.")),
        ("parameters?", parameters()),
        (
            "data?",
            any("Elements in row-major order, flat or nested as the shape says; `NaN` and `Infinity` are taken. \
            Absent when the elements follow as raw bytes."),
        ),
    ]);
    let wanted = object([("name", string("Name of the output.")), ("parameters?", parameters())]);
    let infer_request = object([
        ("id?", string("The client's own name for the request; comes back in the answer.")),
        ("parameters?", parameters()),
        ("inputs", list(input, "The inputs by name.")),
        ("outputs?", list(wanted, "Outputs wanted, in this order; all when absent.")),
    ]);
    let output = object([
        ("name", string("Name of the output.")),
        ("datatype", word(&DATATYPES, "Type of the elements.")),
        ("shape", shape("Length of each axis.")),
        ("parameters?", parameters()),
        ("data?", any("Elements in row-major order, flat. Absent when they follow as raw bytes.")),
    ]);
    let infer_response = object([
        ("id?", string("As in the request.")),
        ("model_name", string("The model that answered.")),
        ("model_version", string("The version that answered.")),
        ("outputs", list(output, "The outputs.")),
    ]);
    ComponentsBuilder::new()
        .schema("Error", object([("error", string("One sentence: what was expected, and what came."))]))
        .schema("InferRequest", infer_request)
        .schema("InferResponse", infer_response)
        .schema("TensorMetadata", tensor_metadata())
        .schema("ModelMetadata", model_metadata())
        .schema("StatisticDuration", statistic_duration())
        .schema("Statistics", statistics())
        .schema("SharedMemoryRegion", shared_memory_region())
        .schema("Settings", map(any(""), "Settings by name."))
        .schema("Predictions", predictions())
        .schema("Label", label())
        .schema("Scored", scored())
        .schema("RegisteredModel", registered_model())
        .schema("ModelServing", model_serving())
        .schema("Job", job())
        .responses_from_iter(failures())
        .build()
}

type AnySchema = utoipa::openapi::RefOr<utoipa::openapi::Schema>;

fn tensor_metadata() -> AnySchema {
    object([
        ("name", string("Name.")),
        ("datatype", word(&DATATYPES, "Type of the elements.")),
        ("shape", list(whole(""), "Length of each axis; -1 for any.")),
    ])
}

fn model_metadata() -> AnySchema {
    object([
        ("name", string("Name of the model.")),
        ("versions", list(string(""), "Versions that take requests, or the one asked for.")),
        ("platform", string("Always `emberline`.")),
        ("inputs", list(named("TensorMetadata"), "")),
        ("outputs", list(named("TensorMetadata"), "")),
    ])
}

fn statistic_duration() -> AnySchema {
    object([("count", whole("How often.")), ("ns", whole("Sum of the times, in nanoseconds."))])
}

fn statistics() -> AnySchema {
    let duration = || named("StatisticDuration");
    let requests = object([
        ("success", duration()),
        ("fail", duration()),
        ("queue", duration()),
        ("compute_input", duration()),
        ("compute_infer", duration()),
        ("compute_output", duration()),
        ("cache_hit", duration()),
        ("cache_miss", duration()),
    ]);
    let batches = object([
        ("batch_size", whole("Rows, padding not counted.")),
        ("compute_input", duration()),
        ("compute_infer", duration()),
        ("compute_output", duration()),
    ]);
    let memory = object([
        ("type", word(&["CPU", "GPU"], "Kind of memory.")),
        ("id", whole("Number of the device.")),
        ("byte_size", whole("Bytes held.")),
    ]);
    let version = object([
        ("name", string("Name of the model.")),
        ("version", string("Number of the version.")),
        ("last_inference", whole("Milliseconds from the Unix epoch to the last answer; 0 before the first.")),
        ("inference_count", whole("Rows computed; the cache's answers are not included.")),
        ("execution_count", whole("Batches run.")),
        ("inference_stats", requests),
        ("response_stats", map(any(""), "Empty: no model gives several responses to one request.")),
        ("batch_stats", list(batches, "By exact number of rows.")),
        ("memory_usage", list(memory, "")),
    ]);
    object([("model_stats", list(version, "One entry per version, since its load; warming is not counted."))])
}

fn shared_memory_region() -> AnySchema {
    object([
        ("name", string("Name of the region.")),
        ("key?", string("Name of the shared memory object, for system memory.")),
        ("offset?", whole("Where the region begins in the object, in bytes.")),
        ("device_id?", whole("Number of the device, for CUDA memory.")),
        ("byte_size", whole("Length in bytes.")),
    ])
}

fn predictions() -> AnySchema {
    object([
        ("model", string("The model that answered.")),
        ("version", whole("The version that answered.")),
        (
            "predictions",
            list(
                map(any(""), "`id`, which feedback names; `entity`, if asked for by entity; outputs by name."),
                "One per row.",
            ),
        ),
    ])
}

fn label() -> AnySchema {
    object([
        ("prediction?", string("A prediction id, with its row (`id#3`) or without (its first row).")),
        ("entity?", string("An entity id, whose last prediction is meant.")),
        ("model?", string("Narrows `entity` to predictions of one model.")),
        ("label", any("What turned out to be true: a number or a class.")),
    ])
}

fn scored() -> AnySchema {
    object([
        ("prediction", string("The predicted row.")),
        ("model", string("The model that predicted it.")),
        ("version", whole("The version that predicted it.")),
        ("losses", map(any(""), "Its losses by name.")),
    ])
}

fn registered_model() -> AnySchema {
    object([
        ("name", string("Name of the model.")),
        ("ready", flag("Whether a request without a version is answered.")),
        ("created_at", string("When it was first published.")),
        ("aliases", map(whole(""), "Versions by alias.")),
        ("serving", named("ModelServing")),
        (
            "versions",
            list(any("What the registry knows of a version, `state`, `serving_device` and `instances`."), "Ascending."),
        ),
        ("model_version_status", list(any("TensorFlow Serving's `version`, `state` and `status`."), "Newest first.")),
    ])
}

fn model_serving() -> AnySchema {
    object([
        ("max_batch_rows?", any("Most rows of one batch, or null.")),
        ("max_queue_delay_us?", any("Longest time that an idle device waits for a batch to fill, or null.")),
        ("max_queue_rows?", any("Most rows that wait for one device, or null.")),
        ("request_timeout_us?", any("Longest time of a request, or null.")),
        ("slo_us?", any("The 99th percentile of latency to stay inside, or null.")),
        ("priority_levels?", any("Number of priority levels, or null; 1 is the most urgent level.")),
        ("default_priority?", any("Level of requests that name none, or null.")),
        ("weight?", any("Share of a device beside other models that wait for it, or null.")),
        ("cache_ttl_us?", any("Longest age of a cached answer, 0 for none, or null.")),
        ("instances?", any("Replicas of a version, spread over the devices, or null.")),
    ])
}

fn job() -> AnySchema {
    object([
        ("id", string("Ids ascend in time.")),
        ("args", list(string(""), "Arguments behind `emberline train`.")),
        ("state", word(&["queued", "running", "succeeded", "failed", "cancelled"], "Where it is in its life.")),
        ("epoch", any("Losses of the last epoch that ended, or null.")),
        ("epochs", any("Largest number of epochs, or null.")),
        ("model", any("Name of the model it registered a version of, or null.")),
        ("version", any("Number of that version, or null.")),
        ("error", any("Why it failed, or null.")),
        ("queued_at", string("When it was asked for.")),
        ("started_at", any("When its process was started, or null.")),
        ("ended_at", any("When it ended, or null.")),
        ("log", string("File with its output.")),
    ])
}
