//! `PUT /v1/features/{view}` stores feature rows by entity id; `GET /v1/features/{view}/{id}` shows one.
//!
//! `{"rows":[{"id":"w1","alcohol":9.4,…},…]}`: each row replaces what was known of its entity, all rows or none.

use actix_web::{
    HttpRequest, HttpResponse,
    http::Method,
    web::{Payload, ServiceConfig},
};
use engine::features::FeatureRow;
use serde::Serialize;

use super::{Answer, Shared, body, only, segment};
use crate::wire::decode_entity_rows;

pub(super) fn resources(config: &mut ServiceConfig) {
    config.service(only(Method::PUT, "/v1/features/{view}", put));
    config.service(only(Method::GET, "/v1/features/{view}/{id}", get));
}

#[derive(Serialize)]
struct Stored {
    view: String,
    rows: usize,
}

#[derive(Serialize)]
struct Shown {
    view: String,
    id: String,
    #[serde(flatten)]
    row: FeatureRow,
}

async fn put(state: Shared, request: HttpRequest, payload: Payload) -> Answer {
    let view = segment(&request, "view")?;
    let body = body::read(&state, &request, payload).await?;
    let rows = state.engine.put_features(&view, decode_entity_rows(&body)?).await?;
    Ok(HttpResponse::Ok().json(Stored { view, rows }))
}

async fn get(state: Shared, request: HttpRequest) -> Answer {
    let (view, id) = (segment(&request, "view")?, segment(&request, "id")?);
    let row = state.engine.feature_row(&view, &id)?;
    Ok(HttpResponse::Ok().json(Shown { view, id, row }))
}
