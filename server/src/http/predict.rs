//! `/v1/predict/{model}`: predictions for people. `GET ?ids=a,b` predicts entities from the feature store; `POST` with
//! `{"rows":[{column: value, …}, …]}` predicts rows as they are; with `"explain": true` beside them, each prediction also has its
//! `shap_values`, one a column, and `shap_expected`. Both answer in the same form.
//!
//! Query of both: `version=N` or `alias=NAME`; of `GET`: `ids`, separated by commas (a comma of an id itself is written
//! `%2C`), and `view`, the feature view, which is the model's name when absent.
//!
//! `GET` speaks RFC 9111: its answers have an `ETag`, and a request that names it by `If-None-Match` is answered 304 without
//! the predictions, under a prediction id of its own all the same. The tag is weak, because bodies hold prediction ids, which
//! are never the same twice: it says that model, version, entities and outputs are equal, and is equal in all processes. Answers
//! may be kept by who asked, for as long as the server keeps them itself, but not by those between: they would hand one
//! prediction id to many.

use actix_web::{
    HttpRequest, HttpResponse,
    body::{BoxBody, None as NoBody},
    http::{
        StatusCode,
        header::{self, EntityTag, Header, HeaderValue, IfNoneMatch},
    },
    web,
    web::{Payload, ServiceConfig},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use engine::{
    registry::VersionSelector,
    serve::{CacheUse, Prediction},
};
use sha2::{Digest, Sha256};

use super::{Answer, Shared, body, decoded, encoding, predicted, refusing_others, segment, version_number};
use crate::{
    access::Access,
    cache_control,
    error::ApiError,
    wire::{decode_rows, encode_predictions},
};

pub(super) fn resources(config: &mut ServiceConfig) {
    let resource = web::resource("/v1/predict/{model}").route(web::get().to(entities)).route(web::post().to(rows));
    config.service(refusing_others(resource, "GET, POST"));
}

async fn entities(state: Shared, request: HttpRequest) -> Answer {
    let mut access = state.access.http(request.head());
    let answer = of_entities(&state, &request, &mut access).await;
    access.end(answer)
}

async fn of_entities(state: &Shared, request: &HttpRequest, access: &mut Access<'_>) -> Answer {
    let model = segment(request, "model")?;
    access.asked(&model);
    let query = Query::read(&model, request.query_string(), &["ids", "view", "version", "alias"])?;
    let ids = query.ids.ok_or_else(|| ApiError::BadRequest("expected '?ids=' with entity ids, got none".to_owned()))?;
    let view = query.view.as_deref().unwrap_or(&model);
    let cache = cache_control::of_headers(request.headers());
    let prediction = state.engine.predict_entities(&model, query.selector, view, &ids, cache).await?;
    let tag = entity_tag(&prediction, &ids);
    let mut response = if is_known(request, &tag) {
        access.predicted(&prediction, prediction.timing.encoded());
        let mut response = predicted(&prediction, Vec::new()).map_body(|_head, _body| BoxBody::new(NoBody::new()));
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().remove(header::CONTENT_TYPE);
        response
    } else {
        answer(request, &prediction, Some(&ids), access).await?
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, text(&tag.to_string()));
    headers.insert(header::CACHE_CONTROL, text(&keeping(state, &prediction, cache)));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    Ok(response)
}

async fn rows(state: Shared, request: HttpRequest, payload: Payload) -> Answer {
    let mut access = state.access.http(request.head());
    let answer = of_rows(&state, &request, payload, &mut access).await;
    access.end(answer)
}

async fn of_rows(state: &Shared, request: &HttpRequest, payload: Payload, access: &mut Access<'_>) -> Answer {
    let model = segment(request, "model")?;
    access.asked(&model);
    let query = Query::read(&model, request.query_string(), &["version", "alias"])?;
    let body = body::read(state, request, payload).await?;
    access.body(&body);
    let cache = cache_control::of_headers(request.headers());
    let (rows, explain) = decode_rows(&body)?;
    let prediction = state.engine.predict_rows(&model, query.selector, rows, cache, explain).await?;
    answer(request, &prediction, None, access).await
}

async fn answer(
    request: &HttpRequest,
    prediction: &Prediction,
    entities: Option<&[String]>,
    access: &mut Access<'_>,
) -> Answer {
    let mut answer = Vec::with_capacity(128 * (prediction.rows + 1));
    let Prediction { id, model, version, outputs, explanation, rows: _, cache: _, host: _, timing: _ } = prediction;
    encode_predictions(&mut answer, id, model, *version, entities, &[outputs, explanation])?;
    access.predicted(prediction, prediction.timing.encoded());
    let Some(encoding) = encoding::wanted(request.headers(), answer.len()) else {
        return Ok(predicted(prediction, answer));
    };
    let mut response: HttpResponse = predicted(prediction, encoding::compressed(encoding, answer).await?);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding.as_str()));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    Ok(response)
}

/// Equal for equal predictions: a hash of all that an answer says but for its prediction id.
fn entity_tag(prediction: &Prediction, entities: &[String]) -> EntityTag {
    let Prediction { id: _, model, version, outputs, explanation: _, rows: _, cache: _, host: _, timing: _ } =
        prediction;
    let mut said = Vec::with_capacity(256);
    for name in [&**model].into_iter().chain(entities.iter().map(String::as_str)) {
        said.extend_from_slice(&(name.len() as u64).to_le_bytes());
        said.extend_from_slice(name.as_bytes());
    }
    said.extend_from_slice(&version.to_le_bytes());
    for output in outputs.iter() {
        output.append_key(&mut said);
    }
    let hash = Sha256::digest(&said);
    // Half of it is more than chance can make equal.
    let (half, _) = hash.split_at(16);
    EntityTag::new_weak(URL_SAFE_NO_PAD.encode(half))
}

/// Whether the client holds an answer of this tag. A header that cannot be read is as none.
fn is_known(request: &HttpRequest, tag: &EntityTag) -> bool {
    request.headers().contains_key(header::IF_NONE_MATCH)
        && match IfNoneMatch::parse(request) {
            Ok(IfNoneMatch::Any) => true,
            Ok(IfNoneMatch::Items(known)) => known.iter().any(|known| known.weak_eq(tag)),
            Err(_) => false,
        }
}

/// `Cache-Control` of an answer: whether, and how long after it was computed, its client may use it again.
fn keeping(state: &Shared, prediction: &Prediction, asked: CacheUse) -> String {
    let version = VersionSelector::Version(prediction.version);
    let ttl = state.engine.deployment(&prediction.model, &version).map_or(0, |found| found.cache_ttl().as_secs());
    match ttl {
        _ if !asked.store => "no-store".to_owned(),
        0 => "private, no-cache".to_owned(),
        seconds => format!("private, max-age={seconds}"),
    }
}

/// A header's value of characters that it may hold.
fn text(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// The query of this resource. A parameter that is not known is refused: it is a misspelling.
#[derive(Debug, Default)]
struct Query {
    ids: Option<Vec<String>>,
    view: Option<String>,
    selector: VersionSelector,
}

impl Query {
    fn read(model: &str, text: &str, known: &[&str]) -> Result<Self, ApiError> {
        let mut query = Self::default();
        let mut seen: Vec<&str> = Vec::new();
        for part in text.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            if !known.contains(&name) {
                let message = format!("expected one of the query parameters {}, got '{name}'", known.join(", "));
                return Err(ApiError::BadRequest(message));
            }
            let twice = seen.contains(&name);
            // Both name a version, so they exclude each other.
            if twice || (name == "alias" && seen.contains(&"version")) || (name == "version" && seen.contains(&"alias"))
            {
                let message = "expected each query parameter once, and either version or alias";
                return Err(ApiError::BadRequest(format!("{message}, got '{text}'")));
            }
            seen.push(name);
            match name {
                "ids" => query.ids = Some(Self::ids(value)?),
                "view" => query.view = Some(decoded(value)?),
                "version" => query.selector = version_number(model, value)?,
                _ => query.selector = VersionSelector::Alias(decoded(value)?),
            }
        }
        Ok(query)
    }

    /// Split first and decoded then, so that an id may hold a comma.
    fn ids(value: &str) -> Result<Vec<String>, ApiError> {
        let ids = value.split(',').map(|id| decoded(&id.replace('+', " "))).collect::<Result<Vec<_>, _>>()?;
        if ids.iter().any(String::is_empty) {
            return Err(ApiError::BadRequest(format!("expected entity ids separated by commas, got '{value}'")));
        }
        Ok(ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Query, String> {
        Query::read("m", text, &["ids", "view", "version", "alias"]).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_ids_version_and_view() {
        let query = read("ids=a,b%2Cc,d+e,%C3%A9&version=3&view=v%20w").unwrap();
        assert_eq!(query.ids.unwrap(), ["a", "b,c", "d e", "é"]);
        assert_eq!(query.selector, VersionSelector::Version(3));
        assert_eq!(query.view.as_deref(), Some("v w"));
        assert_eq!(read("alias=champion").unwrap().selector, VersionSelector::Alias("champion".to_owned()));
        assert_eq!(read("").unwrap().selector, VersionSelector::Default);
    }

    #[test]
    fn refuses_what_is_unclear() {
        for text in [
            "id=a",
            "ids=",
            "ids=a,,b",
            "ids",
            "ids=a&ids=b",
            "version=1&alias=b",
            "version=",
            "version=-1",
            "version=+1",
            "version=x",
            "ids=%ff",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert_eq!(read("version=99999999999").unwrap_err(), "model 'm' has no version 99999999999");
    }
}
