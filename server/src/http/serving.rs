//! `GET` and `PUT /v1/models/{model}/serving`: how a model is served, where that differs from the settings of the process.
//!
//! Both speak of all settings by their names, null for those that are the process's. `PUT` replaces them all; they are kept in
//! the registry, and every process that serves from it follows within about a second, without a reload.

use actix_web::{
    HttpRequest, HttpResponse, web,
    web::{Payload, ServiceConfig},
};
use engine::serve::ModelServing;
use serde_json::{Map, Value};

use super::{Answer, Shared, body, refusing_others, segment};
use crate::error::ApiError;

pub(super) fn resources(config: &mut ServiceConfig) {
    let resource = web::resource("/v1/models/{model}/serving").route(web::get().to(show)).route(web::put().to(replace));
    config.service(refusing_others(resource, "GET, PUT"));
}

async fn show(state: Shared, request: HttpRequest) -> Answer {
    let registered = state.engine.registry.model(&segment(&request, "model")?).await?;
    Ok(HttpResponse::Ok().json(registered.serving))
}

async fn replace(state: Shared, request: HttpRequest, payload: Payload) -> Answer {
    let model = segment(&request, "model")?;
    let settings = read(&body::read(&state, &request, payload).await?)?;
    state.engine.registry.set_serving(&model, settings.clone()).await?;
    Ok(HttpResponse::Ok().json(settings))
}

fn read(body: &[u8]) -> Result<ModelServing, ApiError> {
    let wrong = |error| {
        ApiError::BadRequest(format!("expected a JSON object of settings as body, got something else: {error}"))
    };
    let asked: Map<String, Value> = serde_json::from_slice(body).map_err(wrong)?;
    let mut settings = ModelServing::default();
    for (name, value) in &asked {
        let number = match value {
            Value::Null => None,
            Value::Number(number) if number.is_u64() => number.as_u64(),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                // An unknown name is told before its value.
                settings.set(name, None)?;
                let got: String = value.to_string().chars().take(64).collect();
                return Err(ApiError::BadRequest(format!("expected a whole number or null as {name}, got {got}")));
            }
        };
        settings.set(name, number)?;
    }
    settings.validate()?;
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(body: &str) -> String {
        read(body.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn reads_settings_by_name() {
        let settings = read(br#"{"instances":2,"slo_us":5000,"weight":null}"#).unwrap();
        let wanted = ModelServing { instances: Some(2), slo_us: Some(5000), ..ModelServing::default() };
        assert_eq!(settings, wanted);
        assert_eq!(read(&serde_json::to_vec(&settings).unwrap()).unwrap(), settings);
        assert_eq!(read(b"{}").unwrap(), ModelServing::default());
    }

    #[test]
    fn refuses_others_in_one_sentence() {
        let known = "max_batch_rows, max_queue_delay_us, max_queue_rows, request_timeout_us, slo_us, priority_levels, \
                     default_priority, weight, cache_ttl_us, instances";
        assert_eq!(refusal(r#"{"slo":"5ms"}"#), format!("expected one of the settings {known}, got 'slo'"));
        assert_eq!(refusal(r#"{"slo_us":"5ms"}"#), r#"expected a whole number or null as slo_us, got "5ms""#);
        assert_eq!(refusal(r#"{"weight":1.5}"#), "expected a whole number or null as weight, got 1.5");
        assert_eq!(refusal(r#"{"weight":-1}"#), "expected a whole number or null as weight, got -1");
        assert_eq!(refusal(r#"{"instances":0}"#), "expected instances of at least 1, got 0");
        assert!(refusal("[1]").starts_with("expected a JSON object of settings as body"), "{}", refusal("[1]"));
        assert!(refusal(&format!(r#"{{"{}":1}}"#, "x".repeat(10_000))).len() < 400);
    }
}
