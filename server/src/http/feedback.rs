//! `POST /v1/feedback`: what turned out to be true, for one prediction or an array of them.
//!
//! One label answers with its losses, or an error status. An array is not all or nothing: each of its labels has its own
//! result in the answer, and the status is 200.

use actix_web::{
    HttpRequest, HttpResponse,
    http::Method,
    web::{Payload, ServiceConfig},
};
use engine::feedback::{FeedbackKey, Scored};
use serde::Serialize;

use super::{Answer, Shared, body, only};
use crate::{
    error::ApiError,
    wire::{FeedbackEntry, FeedbackForm, decode_feedback},
};

pub(super) fn resources(config: &mut ServiceConfig) {
    config.service(only(Method::POST, "/v1/feedback", label));
}

#[derive(Serialize)]
struct Results {
    accepted: usize,
    results: Vec<LabelResult>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum LabelResult {
    Scored(Scored),
    Refused { error: String },
}

async fn label(state: Shared, request: HttpRequest, payload: Payload) -> Answer {
    let body = body::read(&state, &request, payload).await?;
    let score = |entry: FeedbackEntry| {
        let FeedbackEntry { prediction, entity, model, label } = entry;
        let key = match (prediction, entity) {
            (Some(id), _) => FeedbackKey::Prediction(id),
            (None, Some(id)) => FeedbackKey::Entity { model, id },
            (None, None) => {
                return Err(ApiError::BadRequest("expected 'prediction' or 'entity', got neither".to_owned()));
            }
        };
        Ok(state.engine.feedback.label(&key, &label)?)
    };
    match decode_feedback(&body)? {
        FeedbackForm::One(entry) => Ok(HttpResponse::Ok().json(score(entry)?)),
        FeedbackForm::Many(entries) => {
            let result = |entry| match score(entry) {
                Ok(scored) => LabelResult::Scored(scored),
                Err(error) => LabelResult::Refused { error: error.message() },
            };
            let results: Vec<_> = entries.into_iter().map(result).collect();
            let accepted = results.iter().filter(|result| matches!(result, LabelResult::Scored(_))).count();
            Ok(HttpResponse::Ok().json(Results { accepted, results }))
        }
    }
}
