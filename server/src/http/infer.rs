//! `POST /v2/models/{model}[/versions/{version}]/infer`: the protocol's inference, with tensors in JSON, as raw bytes behind
//! it, and in shared memory.

use std::time::Instant;

use actix_web::{
    HttpRequest,
    dev::{Payload, RequestHead},
    http::{
        Method,
        header::{self, HeaderValue},
    },
    web::{self, ServiceConfig},
};
use engine::{registry::VersionSelector, serve::PredictRequest};

use super::{Answer, Shared, body, encoding, named_model, only, predicted};
use crate::{
    access::Access,
    cache_control,
    error::ApiError,
    state::State,
    wire::{InferRequest, decode_infer, decode_raw_infer, encode_infer},
};

/// Room for an answer of a few numbers; longer ones grow.
const USUAL_ANSWER: usize = 512;
/// Length of the JSON in front of raw tensors, in requests and answers.
const HEADER_LENGTH: &str = "inference-header-content-length";

pub(super) fn resources(config: &mut ServiceConfig) {
    config.service(only(Method::POST, "/v2/models/{model}/infer", infer));
    config.service(only(Method::POST, "/v2/models/{model}/versions/{version:[0-9]+}/infer", infer));
}

async fn infer(state: Shared, request: HttpRequest, payload: web::Payload) -> Answer {
    answer(&state, request.head(), payload.into_inner(), || named_model(&request)).await
}

/// Answers `request`, whose path names model and version as `named` reads it.
pub(super) async fn answer(
    state: &State,
    request: &RequestHead,
    payload: Payload,
    named: impl FnOnce() -> Result<(String, VersionSelector), ApiError>,
) -> Answer {
    let mut access = state.access.http(request);
    let answer = match named() {
        Ok(named) => answered(state, request, payload, named, &mut access).await,
        Err(error) => Err(error),
    };
    access.end(answer)
}

async fn answered(
    state: &State,
    request: &RequestHead,
    payload: Payload,
    (model, selector): (String, VersionSelector),
    access: &mut Access<'_>,
) -> Answer {
    access.asked(&model);
    let mut trace = state.tracer.begin(&model, "HTTP_RECV_START");
    let body = body::read_payload(state, request, payload).await?;
    let received = Some(Instant::now());
    access.body(&body);
    trace.mark("HTTP_RECV_END");
    let asked = match header_length(request)? {
        // Nothing but the bytes of the only input.
        Some(0) => decode_raw_infer(&body, state.engine.deployment(&model, &selector)?.model().signature())?,
        json => decode_infer(&body, json, &state.shared_memory.for_request())?,
    };
    // It may wait for long in the queue; its bytes need not.
    drop(body);
    let names = asked.output_names();
    let InferRequest { id, timeout, priority, inputs, outputs, binary, explain } = asked;
    access.request_id(id.as_deref().unwrap_or_default());
    let cache = cache_control::of_headers(request.headers());
    let call = PredictRequest { model, selector, inputs, outputs: names, timeout, priority, cache, explain, received };
    trace.mark("REQUEST_START");
    let prediction = state.engine.predict(call, None).await?;
    trace.mark("REQUEST_END");
    trace.answered(id.as_deref().unwrap_or_default(), prediction.version);
    let mut answer = Vec::with_capacity(USUAL_ANSWER);
    let placed = state.placed(&prediction, &outputs, binary)?;
    let json = encode_infer(&mut answer, id.as_deref(), &prediction.model, prediction.version, &placed)?;
    drop(placed);
    let encoding = encoding::wanted(request.headers(), answer.len());
    if let Some(encoding) = encoding {
        answer = Box::pin(encoding::compressed(encoding, answer)).await?;
    }
    access.predicted(&prediction, prediction.timing.encoded());
    trace.mark("HTTP_SEND_START");
    let mut response = predicted(&prediction, answer);
    let headers = response.headers_mut();
    if let Some(encoding) = encoding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding.as_str()));
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    if let Some(json) = json {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(header::HeaderName::from_static(HEADER_LENGTH), HeaderValue::from(json));
    }
    Ok(response)
}

/// The header of the length of the JSON, if it came.
fn header_length(request: &RequestHead) -> Result<Option<usize>, ApiError> {
    let Some(value) = request.headers().get(HEADER_LENGTH) else { return Ok(None) };
    let length = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    length.map(Some).ok_or_else(|| {
        let got = String::from_utf8_lossy(value.as_bytes());
        ApiError::BadRequest(format!("expected a number of bytes as Inference-Header-Content-Length, got '{got}'"))
    })
}
