//! `GET /v1/monitor` for people and programs, `GET /metrics` for Prometheus: the same numbers.
//!
//! Prometheus gets the text form that its `Accept` prefers, and who does not say gets the classic one. The same is served
//! under the path that TensorFlow Serving uses.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        Method,
        header::{Accept, Header, HeaderValue, VARY},
    },
    web::ServiceConfig,
};
use engine::{
    feedback::VersionFeedback,
    monitor::{MonitorReport, TextFormat},
    serve::CacheStatistics,
};
use serde::Serialize;

use super::{Answer, Shared, only};

pub(super) fn resources(config: &mut ServiceConfig) {
    config.service(only(Method::GET, "/v1/monitor", report));
    config.service(only(Method::GET, "/metrics", metrics));
    config.service(only(Method::GET, "/monitoring/prometheus/metrics", metrics));
}

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    monitor: MonitorReport,
    /// Online losses, by model and version.
    feedback: Vec<VersionFeedback>,
    /// What the prediction cache of all models holds and did; absent when it is off.
    cache: Option<CacheStatistics>,
}

async fn report(state: Shared) -> Answer {
    // Looking at the host takes milliseconds, which no other request shall wait for.
    let engine = state.engine.clone();
    let report = state.engine.off_the_web(move || {
        let cache = engine.serving.cache_statistics();
        Ok(Report { monitor: engine.monitor.snapshot(), feedback: engine.feedback.report(), cache })
    });
    Ok(HttpResponse::Ok().json(report.await?))
}

async fn metrics(state: Shared, request: HttpRequest) -> Answer {
    let format = preferred(&request);
    let (engine, dropped) = (state.engine.clone(), vec![state.access.dropped()]);
    let text = state.engine.off_the_web(move || engine.metrics(format, dropped)).await?;
    let mut answer = HttpResponse::Ok();
    answer.insert_header((VARY, HeaderValue::from_static("Accept")));
    Ok(answer.content_type(HeaderValue::from_static(format.content_type())).body(text))
}

/// The text form that the request prefers among those there are.
fn preferred(request: &HttpRequest) -> TextFormat {
    let Ok(accept) = Accept::parse(request) else { return TextFormat::Classic };
    let format = |essence: &str| match essence {
        "application/openmetrics-text" => Some(TextFormat::OpenMetrics),
        "text/plain" | "text/*" | "*/*" => Some(TextFormat::Classic),
        _ => None,
    };
    accept.ranked().into_iter().find_map(|mime| format(mime.essence_str())).unwrap_or(TextFormat::Classic)
}

#[cfg(test)]
mod tests {
    use actix_web::{http::header, test::TestRequest};

    use super::*;

    #[test]
    fn the_text_form_is_the_one_that_is_preferred() {
        let chosen =
            |accept: &str| preferred(&TestRequest::get().insert_header((header::ACCEPT, accept)).to_http_request());
        // What Prometheus 2 and 3 send.
        for accept in [
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,application/openmetrics-text;q=0.6,text/plain;q=0.5",
        ] {
            assert_eq!(chosen(accept), TextFormat::OpenMetrics, "{accept}");
        }
        for accept in
            ["*/*", "", "text/html", "text/plain", "not a type", "text/plain;q=0.9,application/openmetrics-text;q=0.8"]
        {
            assert_eq!(chosen(accept), TextFormat::Classic, "{accept}");
        }
        assert_eq!(preferred(&TestRequest::get().to_http_request()), TextFormat::Classic);
    }
}
