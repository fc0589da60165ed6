//! TensorFlow Serving's REST API: `/v1/models/{model}[/versions/{version}|/labels/{label}]`, alone (its state), with `/metadata`
//! behind it, and with `:predict`, `:classify` or `:regress`.
//!
//! `:predict` is KServe's first protocol too. The state of all versions of a model is a part of what [`super::registry`] answers.
//! Paths of this form that mean nothing are malformed requests, as they are to TensorFlow Serving.

use actix_web::{
    HttpRequest, HttpResponse, Resource,
    http::{Method as Verb, header},
    web::{self, Payload, ServiceConfig},
};
use contract::{Signature, Tensor};
use engine::{
    registry::VersionSelector,
    serve::{CacheUse, PredictRequest},
};

use super::{Answer, Shared, body, decoded, predicted, refusing_others, segment};
use crate::{
    access::Access,
    cache_control,
    error::ApiError,
    tfs::{
        Method, ModelName,
        results::{self, Classified, Regressed},
        signature::ModelMetadata,
        status::model_status,
    },
    wire::{
        TfsExamples, TfsPredict, WireError, decode_tfs_examples, decode_tfs_predict, encode_tfs_classes,
        encode_tfs_predict, encode_tfs_regressions, tfs_signature_name,
    },
};

/// Room for an answer of a few numbers; longer ones grow.
const USUAL_ANSWER: usize = 512;

pub(super) fn resources(config: &mut ServiceConfig) {
    let one = ["/versions/{version:[0-9]+}", "/labels/{label:[^/:]+}"];
    for version in ["", one[0], one[1]] {
        config
            .service(resource(&Verb::POST, &format!("{MODEL}{version}:{{method:[^/:]*}}")).route(web::post().to(call)));
        config.service(resource(&Verb::GET, &format!("{MODEL}{version}/metadata")).route(web::get().to(metadata)));
    }
    for version in one {
        config.service(resource(&Verb::GET, &format!("{MODEL}{version}")).route(web::get().to(status)));
    }
    for rest in ["/versions/{rest:.*}", "/labels/{rest:.*}"] {
        config.service(web::resource(format!("{MODEL}{rest}")).to(malformed));
    }
}

const MODEL: &str = "/v1/models/{model:[^/:]+}";

/// A resource with one verb, and `OPTIONS` to say so.
fn resource(verb: &Verb, path: &str) -> Resource {
    let allowed = if *verb == Verb::GET { "GET, OPTIONS" } else { "POST, OPTIONS" };
    let options = move || async move { HttpResponse::Ok().insert_header((header::ALLOW, allowed)).finish() };
    refusing_others(web::resource(path).route(web::method(Verb::OPTIONS).to(options)), allowed)
}

async fn malformed(request: HttpRequest) -> Answer {
    Err(malformed_request(&request))
}

fn malformed_request(request: &HttpRequest) -> ApiError {
    ApiError::BadRequest(format!("Malformed request: {} {}", request.method(), request.path()))
}

async fn status(state: Shared, request: HttpRequest) -> Answer {
    Ok(HttpResponse::Ok().json(model_status(&state.engine, &named(&request)?).await?))
}

async fn metadata(state: Shared, request: HttpRequest) -> Answer {
    let deployment = named(&request)?.deployment(&state.engine)?;
    let signature = deployment.model().signature();
    Ok(HttpResponse::Ok().json(ModelMetadata::new(deployment.name(), deployment.version(), signature)))
}

async fn call(state: Shared, request: HttpRequest, payload: Payload) -> Answer {
    let mut access = state.access.http(request.head());
    let answer = answered(&state, &request, payload, &mut access).await;
    access.end(answer)
}

async fn answered(state: &Shared, request: &HttpRequest, payload: Payload, access: &mut Access<'_>) -> Answer {
    let method = Method::parse(request.match_info().query("method")).ok_or_else(|| malformed_request(request))?;
    let name = named(request)?;
    access.asked(&name.model);
    let body = body::read(state, request, payload).await?;
    access.body(&body);
    let cache = cache_control::of_headers(request.headers());
    match method {
        Method::Predict => predict(state, &name, &body, cache, access).await,
        Method::Classify => classify(state, &name, &body, cache, access).await,
        Method::Regress => regress(state, &name, &body, cache, access).await,
    }
}

async fn predict(state: &Shared, name: &ModelName, body: &[u8], cache: CacheUse, access: &mut Access<'_>) -> Answer {
    let read = |signature: &Signature| {
        let TfsPredict { signature_name, form, inputs, explain } =
            decode_tfs_predict(body, signature).map_err(|error| misfit(Method::Predict, body, error))?;
        Method::Predict.check_signature(signature_name.as_deref().unwrap_or_default())?;
        Ok((PredictRequest { cache, explain, ..PredictRequest::new("", inputs) }, form))
    };
    let (prediction, form) = name.answer(&state.engine, read).await?;
    let mut answer = Vec::with_capacity(USUAL_ANSWER);
    encode_tfs_predict(&mut answer, form, &prediction.outputs, &prediction.explanation)?;
    access.predicted(&prediction, prediction.timing.encoded());
    Ok(predicted(&prediction, answer))
}

async fn classify(state: &Shared, name: &ModelName, body: &[u8], cache: CacheUse, access: &mut Access<'_>) -> Answer {
    let read = |signature: &Signature| read_examples(state, Method::Classify, body, signature);
    let Classified { prediction, labels, scores } = results::classify(&state.engine, name, None, cache, read).await?;
    let mut answer = Vec::with_capacity(USUAL_ANSWER);
    encode_tfs_classes(&mut answer, &labels, &scores)?;
    access.predicted(&prediction, prediction.timing.encoded());
    Ok(predicted(&prediction, answer))
}

async fn regress(state: &Shared, name: &ModelName, body: &[u8], cache: CacheUse, access: &mut Access<'_>) -> Answer {
    let read = |signature: &Signature| read_examples(state, Method::Regress, body, signature);
    let Regressed { prediction, values } = results::regress(&state.engine, name, None, cache, read).await?;
    let mut answer = Vec::with_capacity(USUAL_ANSWER);
    encode_tfs_regressions(&mut answer, &values)?;
    access.predicted(&prediction, prediction.timing.encoded());
    Ok(predicted(&prediction, answer))
}

fn read_examples(state: &Shared, method: Method, body: &[u8], signature: &Signature) -> Result<Vec<Tensor>, ApiError> {
    let TfsExamples { signature_name, inputs } =
        decode_tfs_examples(body, signature, state.max_body).map_err(|error| misfit(method, body, error))?;
    method.check_signature(signature_name.as_deref().unwrap_or_default())?;
    Ok(inputs)
}

/// Why a body does not fit: because it is for another signature, which is then the better thing to say, or for `error`.
fn misfit(method: Method, body: &[u8], error: WireError) -> ApiError {
    let named = tfs_signature_name(body).unwrap_or_default();
    method.check_signature(&named).err().unwrap_or_else(|| error.into())
}

/// The model and version that a path names.
fn named(request: &HttpRequest) -> Result<ModelName, ApiError> {
    let model = segment(request, "model")?;
    let path = request.match_info();
    if let Some(version) = path.get("version") {
        return ModelName::version(model, version);
    }
    let selector = match path.get("label") {
        Some(label) => VersionSelector::Alias(decoded(label)?),
        None => VersionSelector::Default,
    };
    Ok(ModelName { model, selector })
}
