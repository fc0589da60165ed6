//! Training jobs: `POST /v1/jobs` starts one, `GET /v1/jobs` lists them, `GET` and `DELETE /v1/jobs/{id}` show and cancel.
//!
//! The body names the flags of `emberline train`: `{"data":"wine.csv","target":"quality","name":"wine","epochs":50}`.
//! The data is a file of the server's host. The job runs as a child process and registers a version when it ends; a
//! cancelled one registers the best so far.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Payload, ServiceConfig},
};
use serde_json::{Map, Value};

use super::{Answer, Shared, body, refusing_others, segment};
use crate::error::ApiError;

/// Flags that a job must have.
const NEEDED: [&str; 3] = ["data", "target", "name"];
/// Flags that a job may have.
const ALLOWED: [&str; 37] = [
    "task",
    "model",
    "loss",
    "device",
    "time_budget",
    "valid",
    "split",
    "seed",
    "author",
    "ignore",
    "weight",
    "encoding",
    "hidden",
    "dropout",
    "embedding",
    "embedding_width",
    "bins",
    "frequencies",
    "frequency_scale",
    "members",
    "blocks",
    "width",
    "block_units",
    "heads",
    "attention_dropout",
    "residual_dropout",
    "learning_rate",
    "schedule",
    "weight_decay",
    "batch_size",
    "accumulation",
    "epochs",
    "patience",
    "gradient_clip",
    "average",
    "label_smoothing",
    "precision",
];

pub(super) fn resources(config: &mut ServiceConfig) {
    let all = web::resource("/v1/jobs").route(web::get().to(list)).route(web::post().to(start));
    config.service(refusing_others(all, "GET, POST"));
    let one = web::resource("/v1/jobs/{id}").route(web::get().to(show)).route(web::delete().to(cancel));
    config.service(refusing_others(one, "GET, DELETE"));
}

async fn start(state: Shared, request: HttpRequest, payload: Payload) -> Answer {
    let body = body::read(&state, &request, payload).await?;
    let flags: Map<String, Value> = serde_json::from_slice(&body)
        .map_err(|error| ApiError::BadRequest(format!("expected a JSON object of training flags, got: {error}")))?;
    let id = state.engine.jobs.start(arguments(&flags)?)?;
    Ok(HttpResponse::Accepted().json(state.engine.jobs.get(&id)?))
}

async fn list(state: Shared) -> Answer {
    Ok(HttpResponse::Ok().json(serde_json::json!({ "jobs": state.engine.jobs.list() })))
}

async fn show(state: Shared, request: HttpRequest) -> Answer {
    Ok(HttpResponse::Ok().json(state.engine.jobs.get(&segment(&request, "id")?)?))
}

async fn cancel(state: Shared, request: HttpRequest) -> Answer {
    let id = segment(&request, "id")?;
    state.engine.jobs.cancel(&id)?;
    Ok(HttpResponse::Accepted().json(state.engine.jobs.get(&id)?))
}

/// The flags as words of a command line. Each value is one word behind its flag, joined by `=`, so that no value can be
/// taken for another flag.
fn arguments(flags: &Map<String, Value>) -> Result<Vec<String>, ApiError> {
    if let Some(missing) = NEEDED.into_iter().find(|name| !flags.contains_key(*name)) {
        return Err(ApiError::BadRequest(format!("expected a member '{missing}', got none")));
    }
    flags
        .iter()
        .map(|(name, value)| {
            if !NEEDED.contains(&name.as_str()) && !ALLOWED.contains(&name.as_str()) {
                let known = NEEDED.into_iter().chain(ALLOWED).collect::<Vec<_>>().join(", ");
                return Err(ApiError::BadRequest(format!("unknown member '{name}'; expected one of {known}")));
            }
            let word = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                Value::Array(parts) if parts.iter().all(Value::is_number) => {
                    parts.iter().map(Value::to_string).collect::<Vec<_>>().join(",")
                }
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                    let expected = "a string, a number or an array of numbers";
                    return Err(ApiError::BadRequest(format!("member '{name}': expected {expected}, got {value}")));
                }
            };
            Ok(format!("--{}={word}", name.replace('_', "-")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn words(value: Value) -> Result<Vec<String>, String> {
        let Value::Object(flags) = value else { panic!("not an object") };
        arguments(&flags).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_become_words_that_cannot_be_other_flags() {
        let flags = json!({ "data": "--home", "target": "y", "name": "n", "hidden": [8, 8], "valid": 0.1 });
        let expected = ["--data=--home", "--hidden=8,8", "--name=n", "--target=y", "--valid=0.1"];
        let mut found = words(flags).unwrap();
        found.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn refuses_what_is_missing_or_unknown() {
        assert_eq!(words(json!({ "data": "d", "target": "t" })).unwrap_err(), "expected a member 'name', got none");
        let other = words(json!({ "data": "d", "target": "t", "name": "n", "home": "/" })).unwrap_err();
        assert!(other.starts_with("unknown member 'home'; expected one of data, target"), "{other}");
        let nested = words(json!({ "data": "d", "target": "t", "name": "n", "seed": {} })).unwrap_err();
        assert_eq!(nested, "member 'seed': expected a string, a number or an array of numbers, got {}");
    }
}
