//! What holds for every call: its deadline, and our own words where tonic has others.
//!
//! A call has the time that the client's `grpc-timeout` gives it, and never more than a body and an answer may take together. tonic
//! itself ends a call after `grpc-timeout` with the code `CANCELLED`; this ends it first (its
//! timer is older), with `DEADLINE_EXCEEDED`.

use std::{
    convert::Infallible,
    future::ready,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::time::timeout_at;
use tonic::{
    Code, Status,
    body::Body,
    codegen::{
        BoxFuture, Service,
        http::{HeaderMap, Request, Response},
    },
};

use crate::ApiError;

const TIMEOUT: &str = "grpc-timeout";
const STATUS: &str = "grpc-status";
const MESSAGE: &str = "grpc-message";

/// When the client stops waiting, if it said so: an extension of the request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(pub(super) Instant);

/// Limits of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Longest message in bytes.
    pub(super) max_body: usize,
    /// Longest time for a message to come.
    pub(super) body_timeout: Duration,
    /// Longest time for an answer behind it.
    pub(super) request_timeout: Duration,
}

/// A service with its limits.
#[derive(Clone)]
pub(super) struct Guard<S> {
    inner: S,
    limits: Limits,
}

impl<S> Guard<S> {
    pub(super) const fn new(inner: S, limits: Limits) -> Self {
        Self { inner, limits }
    }
}

impl<S, B> Service<Request<B>> for Guard<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Response<Body>, Infallible>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let arrived = Instant::now();
        let limits = self.limits;
        let asked = match timeout(request.headers()) {
            Ok(asked) => asked,
            Err(error) => return Box::pin(ready(Ok(Status::from(error).into_http()))),
        };
        let longest = limits.body_timeout.saturating_add(limits.request_timeout);
        let (time, late) = match asked.filter(|asked| *asked < longest) {
            Some(asked) => (asked, ApiError::from(engine::Error::DeadlineExceeded { after: asked })),
            // The engine keeps to its own limit, so what is late is the message.
            None => (longest, ApiError::BodyTimeout { limit: limits.body_timeout }),
        };
        let deadline = arrived + time;
        if asked.is_some() {
            request.extensions_mut().insert(Deadline(deadline));
        }
        let uri = request.uri().clone();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let Ok(Ok(response)) = timeout_at(deadline.into(), answer).await else {
                return Ok(Status::from(late).into_http());
            };
            Ok(reworded(response, uri.path(), limits.max_body))
        })
    }
}

/// tonic alone answers `OUT_OF_RANGE`, for a message beyond the limit, and `UNIMPLEMENTED` without a message, for an unknown method.
fn reworded(response: Response<Body>, path: &str, max_body: usize) -> Response<Body> {
    let headers = response.headers();
    let Some(status) = headers.get(STATUS) else { return response };
    match Code::from_bytes(status.as_bytes()) {
        Code::OutOfRange => Status::from(ApiError::BodyTooLarge { limit: max_body }).into_http(),
        Code::Unimplemented if !headers.contains_key(MESSAGE) => {
            Status::unimplemented(format!("unknown method '{path}'")).into_http()
        }
        _ => response,
    }
}

/// The time that a client gives a call: up to eight digits and a unit.
fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, ApiError> {
    let Some(value) = headers.get(TIMEOUT) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let parsed = || {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        let number: u64 = number.parse().ok().filter(|_| digits && number.len() <= 8)?;
        Some(match unit {
            "H" => Duration::from_secs(number * 3600),
            "M" => Duration::from_secs(number * 60),
            "S" => Duration::from_secs(number),
            "m" => Duration::from_millis(number),
            "u" => Duration::from_micros(number),
            "n" => Duration::from_nanos(number),
            _ => return None,
        })
    };
    match parsed() {
        Some(timeout) => Ok(Some(timeout)),
        None => Err(ApiError::BadRequest(format!(
            "expected up to eight digits and one of the units H, M, S, m, u and n as {TIMEOUT}, got '{text}'"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Duration>, String> {
        let mut headers = HeaderMap::new();
        headers.insert(TIMEOUT, text.parse().unwrap());
        timeout(&headers).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_timeouts_of_every_unit() {
        assert_eq!(timeout(&HeaderMap::new()).unwrap(), None);
        let seconds = |text| read(text).unwrap().unwrap().as_secs_f64();
        assert_eq!(["2H", "2M", "2S", "20m", "20u", "20n"].map(seconds), [7200., 120., 2., 2e-2, 2e-5, 2e-8]);
        assert_eq!(seconds("99999999H"), 99_999_999. * 3600.);
        for wrong in ["", "5", "S", "123456789m", "+5m", "-5m", "5x", "5 m", "5\u{e4}"] {
            assert!(read(wrong).unwrap_err().contains("as grpc-timeout, got"), "{wrong}");
        }
    }
}
