//! The short way of inferences, before the application of actix-web.
//!
//! actix-web finds a resource by trying the patterns of all that stand before it, each a regular expression run step by step, and
//! makes a request of its own of every one that comes. So the path of an inference is read by hand here, and it is answered on the
//! layer below, actix-http's. One with an escape in it, and any other verb, takes the way of all others and ends at the same
//! handler.

use actix_http::Request;
use actix_service::{IntoServiceFactory, Service, ServiceFactory};
use actix_web::{
    Error, HttpResponse,
    body::BoxBody,
    dev::{AppConfig, Response, ServiceResponse},
    http::{ConnectionType, Method},
};
use engine::registry::VersionSelector;
use futures::future::LocalBoxFuture;

use super::{Shared, infer};

/// Inferences by the lane, all others by what stands behind it. While the server drains, a connection is told to close behind its
/// answer, so that its client does not send into a closed one. The application's factory makes this as it makes its services: once
/// on each worker's thread.
pub(crate) struct Lane<S> {
    state: Shared,
    behind: S,
}

impl<S> Lane<S> {
    /// Puts the lane before `application`.
    pub(crate) fn before(application: impl IntoServiceFactory<S, Request>, state: Shared) -> Self
    where
        S: ServiceFactory<Request>,
    {
        Self { state, behind: application.into_factory() }
    }
}

impl<S> ServiceFactory<Request> for Lane<S>
where
    S: ServiceFactory<Request, Config = AppConfig, Response = ServiceResponse, Error = Error>,
    S::Future: 'static,
    <S::Service as Service<Request>>::Future: 'static,
{
    type Response = Response<BoxBody>;
    type Error = Error;
    type Config = AppConfig;
    type Service = Lane<S::Service>;
    type InitError = S::InitError;
    type Future = LocalBoxFuture<'static, Result<Self::Service, Self::InitError>>;

    fn new_service(&self, config: AppConfig) -> Self::Future {
        let (state, made) = (Shared::clone(&self.state), self.behind.new_service(config));
        Box::pin(async move { Ok(Lane { state, behind: made.await? }) })
    }
}

impl<S> Service<Request> for Lane<S>
where
    S: Service<Request, Response = ServiceResponse, Error = Error>,
    S::Future: 'static,
{
    type Response = Response<BoxBody>;
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Self::Error>>;

    actix_service::forward_ready!(behind);

    fn call(&self, mut request: Request) -> Self::Future {
        let state = Shared::clone(&self.state);
        if let Some(named) = model(request.method(), request.path()) {
            return Box::pin(async move {
                let payload = request.take_payload();
                let answer = infer::answer(&state, request.head(), payload, || Ok(named)).await;
                Ok(closing(&state, answer.unwrap_or_else(HttpResponse::from_error).into()))
            });
        }
        let answer = self.behind.call(request);
        Box::pin(async move { Ok(closing(&state, answer.await?.into())) })
    }
}

/// Tells the connection to close if the server drains.
fn closing(state: &Shared, mut answer: Response<BoxBody>) -> Response<BoxBody> {
    if state.is_draining() {
        answer.head_mut().set_connection_type(ConnectionType::Close);
    }
    answer
}

/// Model and version that an inference asks for; none when it is no inference, or one for the resources.
fn model(method: &Method, path: &str) -> Option<(String, VersionSelector)> {
    if *method != Method::POST {
        return None;
    }
    named(path).map(|(model, selector)| (model.to_owned(), selector))
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
