//! Request bodies: whole, bounded in size and time, whatever their `Content-Type` says.
//!
//! Clients of the protocol send no content type, so none is asked for. A body that its `Content-Length` already says is
//! too long is refused before it is read; memory grows only with what came, also while it is decompressed.

use actix_web::{
    HttpRequest,
    dev::{Payload, RequestHead},
    error::PayloadError,
    http::header::{CONTENT_ENCODING, CONTENT_LENGTH},
    web::{self, Bytes, BytesMut},
};
use futures::StreamExt;

use super::encoding;
use crate::{error::ApiError, state::State};

/// Reads a request's body.
pub(super) async fn read(state: &State, request: &HttpRequest, payload: web::Payload) -> Result<Bytes, ApiError> {
    read_payload(state, request.head(), payload.into_inner()).await
}

/// As [`read`], for a handler that no extractor stands before.
pub(super) async fn read_payload(state: &State, request: &RequestHead, payload: Payload) -> Result<Bytes, ApiError> {
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let limit = state.max_body;
    if text(CONTENT_LENGTH).parse::<u64>().is_ok_and(|length| length > limit as u64) {
        return Err(ApiError::BodyTooLarge { limit });
    }
    match tokio::time::timeout(state.body_timeout, collect(payload, limit)).await {
        Ok(body) => encoding::decompressed(text(CONTENT_ENCODING), body?, limit).await,
        Err(_elapsed) => Err(ApiError::BodyTimeout { limit: state.body_timeout }),
    }
}

async fn collect(mut payload: Payload, limit: usize) -> Result<Bytes, ApiError> {
    let Some(first) = payload.next().await else { return Ok(Bytes::new()) };
    let first = within(first, 0, limit)?;
    // Most bodies come in one piece, which is then not copied.
    let Some(second) = payload.next().await else { return Ok(first) };
    let mut body = BytesMut::from(first.as_ref());
    let mut next = Some(second);
    while let Some(chunk) = next {
        body.extend_from_slice(&within(chunk, body.len(), limit)?);
        next = payload.next().await;
    }
    Ok(body.freeze())
}

fn within(chunk: Result<Bytes, PayloadError>, before: usize, limit: usize) -> Result<Bytes, ApiError> {
    let chunk = chunk.map_err(|error| ApiError::BodyIncomplete { reason: error.to_string() })?;
    if chunk.len() > limit - before { Err(ApiError::BodyTooLarge { limit }) } else { Ok(chunk) }
}
