//! `GET /v1/monitor` for people and programs, `GET /metrics` for Prometheus: the same numbers.

use actix_web::{
    HttpResponse,
    http::{Method, header::HeaderValue},
    web::ServiceConfig,
};
use engine::{
    feedback::VersionFeedback,
    monitor::{MonitorReport, PROMETHEUS_CONTENT_TYPE},
};
use serde::Serialize;

use super::{Answer, Shared, only};

pub(super) fn resources(config: &mut ServiceConfig) {
    config.service(only(Method::GET, "/v1/monitor", report));
    config.service(only(Method::GET, "/metrics", metrics));
}

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    monitor: MonitorReport,
    /// Online losses, by model and version.
    feedback: Vec<VersionFeedback>,
}

async fn report(state: Shared) -> Answer {
    // Looking at the host takes milliseconds, which no other request shall wait for.
    let engine = state.engine.clone();
    let report = state
        .engine
        .off_the_web(move || Ok(Report { monitor: engine.monitor.snapshot(), feedback: engine.feedback.report() }));
    Ok(HttpResponse::Ok().json(report.await?))
}

async fn metrics(state: Shared) -> Answer {
    let engine = state.engine.clone();
    let text = state.engine.off_the_web(move || engine.monitor.prometheus(engine.feedback.families())).await?;
    Ok(HttpResponse::Ok().content_type(HeaderValue::from_static(PROMETHEUS_CONTENT_TYPE)).body(text))
}
