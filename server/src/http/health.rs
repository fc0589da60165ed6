//! `GET /v2/health/live` and `GET /v2/health/ready`: for probes, which look at the status alone.

use actix_web::{HttpResponse, http::Method, web::ServiceConfig};

use super::{Answer, Shared, only};

pub(super) fn resources(config: &mut ServiceConfig) {
    config.service(only(Method::GET, "/v2/health/live", live));
    config.service(only(Method::GET, "/v2/health/ready", ready));
}

async fn live() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({ "live": true }))
}

async fn ready(state: Shared) -> Answer {
    state.ready()?;
    Ok(HttpResponse::Ok().json(serde_json::json!({ "ready": true })))
}
