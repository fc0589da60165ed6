//! The HTTP resources, one file each, and what they share: routing, reading a path, and the form of an answer.
//!
//! Every path has a fixed set of verbs and answers 405 with `Allow` to others; a path that is not listed answers 404. The
//! extractors of actix that can fail are not used, so every error answer is made by [`ApiError`].

mod body;
mod encoding;
mod features;
mod feedback;
mod health;
mod infer;
mod jobs;
mod lane;
mod metadata;
mod models;
mod monitor;
mod openapi;
mod predict;
mod registry;
mod repository;
mod serving;
mod settings;
mod shared_memory;
mod statistics;
mod tfserving;

use actix_web::{
    FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder,
    http::{
        Method, StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
    web,
};
use engine::{
    registry::VersionSelector,
    serve::{CacheStatus, Prediction},
};

pub(crate) use self::lane::Lane;
use crate::{error::ApiError, state::State};

/// What a handler is given.
pub(crate) type Shared = web::Data<State>;
type Answer = Result<HttpResponse, ApiError>;

/// Adds every resource to an application.
pub(crate) fn configure(state: Shared) -> impl Fn(&mut web::ServiceConfig) + Clone {
    move |config: &mut web::ServiceConfig| {
        config.app_data(Shared::clone(&state));
        resources(config);
    }
}

/// Adds every resource. The first one that a path fits is taken, and what stands behind others waits for all of their
/// patterns to be tried: predictions come first.
fn resources(config: &mut web::ServiceConfig) {
    infer::resources(config);
    predict::resources(config);
    // Before the registry, to whom `model:predict` is the name of a model.
    tfserving::resources(config);
    health::resources(config);
    // Before the metadata, whose models have any name.
    statistics::resources(config);
    models::resources(config);
    metadata::resources(config);
    features::resources(config);
    feedback::resources(config);
    registry::resources(config);
    serving::resources(config);
    repository::resources(config);
    settings::resources(config);
    monitor::resources(config);
    jobs::resources(config);
    shared_memory::resources(config);
    openapi::resources(config);
    config.default_service(web::to(unknown_path));
}

/// A resource with one verb.
fn only<F, Args>(method: Method, path: &str, handler: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let allowed = match method {
        Method::GET => "GET",
        Method::PUT => "PUT",
        _ => "POST",
    };
    refusing_others(web::resource(path).route(web::method(method).to(handler)), allowed)
}

/// Answers 405 to the verbs that `resource` does not have.
fn refusing_others(resource: Resource, allowed: &'static str) -> Resource {
    resource.default_service(web::to(move |request: HttpRequest| async move {
        let (method, path) = (request.method().clone(), request.path().to_owned());
        Answer::Err(ApiError::MethodNotAllowed { method, path, allowed })
    }))
}

async fn unknown_path(request: HttpRequest) -> Answer {
    Err(ApiError::UnknownPath { path: request.path().to_owned() })
}

/// A part of the path, percent-decoded.
fn segment(request: &HttpRequest, name: &str) -> Result<String, ApiError> {
    decoded(request.match_info().query(name))
}

/// Percent-decodes a part of a path or query.
fn decoded(text: &str) -> Result<String, ApiError> {
    match percent_encoding::percent_decode_str(text).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(ApiError::BadRequest(format!("expected percent-encoded UTF-8 text, got '{text}'"))),
    }
}

/// A version number of a model, from path or query.
fn version_number(model: &str, text: &str) -> Result<VersionSelector, ApiError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ApiError::BadRequest(format!("expected a version number, got '{text}'")));
    }
    match text.parse() {
        Ok(number) => Ok(VersionSelector::Version(number)),
        Err(_) => Err(ApiError::NotFound(format!("model '{model}' has no version {text}"))),
    }
}

/// Model name and version selector of a path `…/{model}[/versions/{version}]…`.
fn named_model(request: &HttpRequest) -> Result<(String, VersionSelector), ApiError> {
    let model = segment(request, "model")?;
    let selector = match request.match_info().get("version") {
        Some(version) => version_number(&model, version)?,
        None => VersionSelector::Default,
    };
    Ok((model, selector))
}

static PREDICTION_ID: HeaderName = HeaderName::from_static("x-emberline-prediction-id");
static VERSION: HeaderName = HeaderName::from_static("x-emberline-version");
static CACHE: HeaderName = HeaderName::from_static("x-emberline-cache");

/// A prediction's answer: the body as it is, and what is known about it in headers.
fn predicted(prediction: &Prediction, body: Vec<u8>) -> HttpResponse {
    let mut response = HttpResponse::with_body(StatusCode::OK, body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, mime());
    // An id is a UUID, which a header can hold.
    if let Ok(id) = HeaderValue::from_str(&prediction.id) {
        headers.insert(PREDICTION_ID.clone(), id);
    }
    headers.insert(VERSION.clone(), HeaderValue::from(prediction.version));
    let cache = match prediction.cache {
        CacheStatus::Hit { age } => {
            headers.insert(header::AGE, HeaderValue::from(age.as_secs()));
            "hit"
        }
        CacheStatus::Miss => "miss",
        CacheStatus::Off => "off",
    };
    headers.insert(CACHE.clone(), HeaderValue::from_static(cache));
    response.map_into_boxed_body()
}

fn mime() -> HeaderValue {
    HeaderValue::from_static("application/json")
}
