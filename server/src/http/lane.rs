//! The short way of inferences, past the table of resources.
//!
//! actix finds a resource by trying the patterns of all that stand before it, each a regular expression run step by step: that
//! was a quarter of what a cached inference cost. The path of an inference is read by hand here; one with an escape in it, and
//! any other verb, takes the way of all others and ends at the same handler.

use actix_web::{
    HttpResponse,
    dev::{ServiceRequest, ServiceResponse},
    http::Method,
};
use engine::registry::VersionSelector;

use super::{Shared, infer};

/// Model and version that an inference asks for; none when `request` is no inference, or one for the resources.
pub(super) fn model(request: &ServiceRequest) -> Option<(String, VersionSelector)> {
    if *request.method() != Method::POST {
        return None;
    }
    named(request.path()).map(|(model, selector)| (model.to_owned(), selector))
}

/// Reads `/v2/models/{model}[/versions/{version}]/infer`.
fn named(path: &str) -> Option<(&str, VersionSelector)> {
    let named = path.strip_prefix("/v2/models/")?.strip_suffix("/infer")?;
    let (model, selector) = match named.split_once('/') {
        None => (named, VersionSelector::Default),
        Some((model, rest)) => {
            let digits = rest.strip_prefix("versions/")?;
            // What is no number gets its sentence from the resource.
            if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            (model, VersionSelector::Version(digits.parse().ok()?))
        }
    };
    (!model.is_empty() && !model.contains('%')).then_some((model, selector))
}

/// Answers an inference.
pub(super) async fn infer(
    state: Shared,
    named: (String, VersionSelector),
    request: ServiceRequest,
) -> Result<ServiceResponse, actix_web::Error> {
    let (request, payload) = request.into_parts();
    let answer = infer::answer(&state, &request, payload, || Ok(named)).await;
    Ok(ServiceResponse::new(request, answer.unwrap_or_else(HttpResponse::from_error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_inferences_and_nothing_else() {
        assert_eq!(named("/v2/models/m/infer"), Some(("m", VersionSelector::Default)));
        assert_eq!(named("/v2/models/a.b-c/versions/07/infer"), Some(("a.b-c", VersionSelector::Version(7))));
        for path in [
            "/v2/models/infer",
            "/v2/models//infer",
            "/v2/models/m/infer/",
            "/v2/models/m/x/infer",
            "/v2/models/m/versions/infer",
            "/v2/models/m/versions//infer",
            "/v2/models/m/versions/+1/infer",
            "/v2/models/m/versions/1/2/infer",
            "/v2/models/m/versions/99999999999/infer",
            "/v2/models/a%20b/infer",
            "/v2/models/m/generate",
            "/v1/models/m/infer",
        ] {
            assert_eq!(named(path), None, "{path}");
        }
    }
}
