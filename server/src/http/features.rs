//! `PUT /v1/features/{view}` stores feature rows by entity id; `GET /v1/features/{view}/{id}` shows one.
//!
//! `{"rows":[{"id":"w1","alcohol":9.4,…},…]}`: each row replaces what was known of its entity, all rows or none.

use actix_web::{
    HttpRequest, HttpResponse,
    http::Method,
    web::{Payload, ServiceConfig},
};

use super::{Answer, Shared, body, only, segment};
use crate::wire::decode_entity_rows;

pub(super) fn resources(config: &mut ServiceConfig) {
    config.service(only(Method::PUT, "/v1/features/{view}", put));
    config.service(only(Method::GET, "/v1/features/{view}/{id}", get));
}

async fn put(state: Shared, request: HttpRequest, payload: Payload) -> Answer {
    let view = segment(&request, "view")?;
    let body = body::read(&state, &request, payload).await?;
    let rows = state.engine.put_features(&view, decode_entity_rows(&body)?).await?;
    Ok(HttpResponse::Ok().json(serde_json::json!({ "view": view, "rows": rows })))
}

async fn get(state: Shared, request: HttpRequest) -> Answer {
    let (view, id) = (segment(&request, "view")?, segment(&request, "id")?);
    let row = state.engine.feature_row(&view, &id)?;
    Ok(HttpResponse::Ok().json(serde_json::json!({
        "view": view,
        "id": id,
        "values": row.values,
        "updated_at": row.updated_at,
    })))
}
