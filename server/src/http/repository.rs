//! The model repository extension: `POST /v2/repository[/{repository}]/index` and `…/models/{model}/load` and `/unload`; and
//! `GET /v2/models/{model}[/versions/{version}]/config`, the model configuration extension.
//!
//! Clients send no body where it would say nothing.

use actix_web::{
    HttpRequest, HttpResponse,
    http::Method,
    web::{Payload, ServiceConfig},
};
use serde::de::DeserializeOwned;

use super::{Answer, Shared, body, named_model, only, segment};
use crate::{
    error::ApiError,
    oip::{
        config::ModelConfig,
        repository::{self, ChangeRequest, IndexRequest},
    },
};

pub(super) fn resources(config: &mut ServiceConfig) {
    for prefix in ["/v2/repository", "/v2/repository/{repository}"] {
        config.service(only(Method::POST, &format!("{prefix}/index"), index));
        config.service(only(Method::POST, &format!("{prefix}/models/{{model}}/load"), load));
        config.service(only(Method::POST, &format!("{prefix}/models/{{model}}/unload"), unload));
    }
    config.service(only(Method::GET, "/v2/models/{model}/config", configuration));
    config.service(only(Method::GET, "/v2/models/{model}/versions/{version:[0-9]+}/config", configuration));
}

async fn index(state: Shared, request: HttpRequest, payload: Payload) -> Answer {
    check_repository(&request)?;
    let asked: IndexRequest = read(&state, &request, payload, r#"nothing or {"ready":true}"#).await?;
    Ok(HttpResponse::Ok().json(repository::index(&state.engine, asked).await?))
}

async fn load(state: Shared, request: HttpRequest, payload: Payload) -> Answer {
    check_repository(&request)?;
    let asked: ChangeRequest = read(&state, &request, payload, r#"nothing or {"parameters":{}}"#).await?;
    repository::load(&state, &segment(&request, "model")?, asked).await?;
    Ok(done())
}

async fn unload(state: Shared, request: HttpRequest, payload: Payload) -> Answer {
    check_repository(&request)?;
    let expected = r#"nothing or {"parameters":{"unload_dependents":true}}"#;
    let asked: ChangeRequest = read(&state, &request, payload, expected).await?;
    repository::unload(&state.engine, &segment(&request, "model")?, &asked).await?;
    Ok(done())
}

async fn configuration(state: Shared, request: HttpRequest) -> Answer {
    let (name, selector) = named_model(&request)?;
    let deployment = state.engine.deployment(&name, &selector)?;
    Ok(HttpResponse::Ok().json(ModelConfig::of(&deployment, state.engine.serving.settings().cache_bytes > 0)))
}

fn check_repository(request: &HttpRequest) -> Result<(), ApiError> {
    match request.match_info().get("repository") {
        Some(_) => repository::check_repository(&segment(request, "repository")?),
        None => Ok(()),
    }
}

/// Reads a body of JSON; the default when there is none.
async fn read<T: DeserializeOwned + Default>(
    state: &Shared,
    request: &HttpRequest,
    payload: Payload,
    expected: &str,
) -> Result<T, ApiError> {
    let body = body::read(state, request, payload).await?;
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }
    let wrong = |error| ApiError::BadRequest(format!("expected {expected} as body, got something else: {error}"));
    serde_json::from_slice(&body).map_err(wrong)
}

/// Triton answers with an empty JSON body.
fn done() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").finish()
}
