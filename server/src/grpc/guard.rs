//! What holds for every call: its message comes whole and in time, and it has the time that the client's `grpc-timeout` gives it.
//!
//! tonic itself ends a call after `grpc-timeout`, with the code `CANCELLED`; this ends it first (its clock started earlier), with
//! `DEADLINE_EXCEEDED`. A call of one message begins when that is here whole; a call with a stream of messages begins at once, gets
//! each of them when that is here whole, and has to end itself at its deadline.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::{sync::watch, time::timeout_at};
use tonic::{
    Code, Status,
    body::Body,
    codegen::{
        BoxFuture, Service,
        http::{HeaderMap, Request, Response},
    },
    transport::server::TcpConnectInfo,
};

use super::{body, status::blamed};
use crate::{ApiError, state::State};

/// Longest time that is taken at its word, so that no clock overflows: a year.
const FOREVER: Duration = Duration::from_hours(365 * 24);
const TIMEOUT: &str = "grpc-timeout";
const STATUS: &str = "grpc-status";
const MESSAGE: &str = "grpc-message";
/// Predictions of the Open Inference Protocol, alone and in a stream.
pub(super) const MODEL_INFER: &str = "/inference.GRPCInferenceService/ModelInfer";
pub(super) const MODEL_STREAM_INFER: &str = "/inference.GRPCInferenceService/ModelStreamInfer";
/// The calls that begin with their whole message and predict: those whose refusal is in the access log.
const PREDICTIONS: [&str; 4] = [
    MODEL_INFER,
    "/tensorflow.serving.PredictionService/Predict",
    "/tensorflow.serving.PredictionService/Classify",
    "/tensorflow.serving.PredictionService/Regress",
];
/// The calls whose clients send a stream.
const STREAMS: [&str; 3] = [
    MODEL_STREAM_INFER,
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

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
}

/// A service with its limits.
#[derive(Clone)]
pub(super) struct Guard<S> {
    inner: S,
    limits: Limits,
    /// Turns true when streams have to end.
    stopping: watch::Receiver<bool>,
    state: Arc<State>,
}

impl<S> Guard<S> {
    pub(super) const fn new(inner: S, limits: Limits, stopping: watch::Receiver<bool>, state: Arc<State>) -> Self {
        Self { inner, limits, stopping, state }
    }
}

impl<S> Service<Request<Body>> for Guard<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Response<Body>, Infallible>;

    /// The inner service is asked when its turn comes; generated ones are always ready.
    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let arrived = Instant::now();
        let Self { inner, limits, stopping, state } = self.clone();
        Box::pin(async move {
            let answer = guarded(inner, limits, stopping, &state, request, arrived).await;
            Ok(answer.unwrap_or_else(|error| Status::from(error).into_http()))
        })
    }
}

async fn guarded<S>(
    mut inner: S,
    limits: Limits,
    stopping: watch::Receiver<bool>,
    state: &State,
    request: Request<Body>,
    arrived: Instant,
) -> Result<Response<Body>, ApiError>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let (mut head, body) = request.into_parts();
    let (asked, body) = if STREAMS.contains(&head.uri.path()) {
        (timeout(&head.headers)?, body::messages(body, limits, stopping))
    } else {
        let whole = whole(&head.headers, body, limits, arrived).await;
        if whole.is_err() && PREDICTIONS.contains(&head.uri.path()) {
            let remote = head.extensions.get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr);
            state.access.grpc(head.uri.path(), remote).since(arrived).end_call(whole)?
        } else {
            whole?
        }
    };
    if let Some(asked) = asked {
        head.extensions.insert(Deadline(arrived + asked));
    }
    let uri = head.uri.clone();
    let answer = async move {
        let Ok(()) = poll_fn(|context| inner.poll_ready(context)).await;
        inner.call(Request::from_parts(head, body)).await
    };
    let Ok(response) = match asked {
        Some(asked) => in_time(arrived, asked, answer).await?,
        None => answer.await,
    };
    Ok(reworded(response, uri.path()))
}

/// The time that the client gives a call, and the whole body of it.
async fn whole(
    headers: &HeaderMap,
    body: Body,
    limits: Limits,
    arrived: Instant,
) -> Result<(Option<Duration>, Body), ApiError> {
    let asked = timeout(headers)?;
    let body = body::gather(body, limits.max_body);
    let body = match asked {
        Some(asked) if asked < limits.body_timeout => in_time(arrived, asked, body).await?,
        Some(_) | None => tokio::time::timeout(limits.body_timeout, body)
            .await
            .map_err(|_elapsed| ApiError::BodyTimeout { limit: limits.body_timeout })?,
    }?;
    Ok((asked, body))
}

/// Ends `work` when the time that the client gave is over.
async fn in_time<T>(arrived: Instant, asked: Duration, work: impl Future<Output = T>) -> Result<T, ApiError> {
    let late = |_elapsed| engine::Error::DeadlineExceeded { after: asked };
    Ok(timeout_at((arrived + asked).into(), work).await.map_err(late)?)
}

/// tonic answers `UNIMPLEMENTED` without a message for an unknown method, and blames itself for frames that cannot be read.
fn reworded(response: Response<Body>, path: &str) -> Response<Body> {
    let headers = response.headers();
    // Answers that begin well have their status behind them.
    let Some(code) = headers.get(STATUS).map(|status| Code::from_bytes(status.as_bytes())) else { return response };
    match code {
        Code::Unimplemented if !headers.contains_key(MESSAGE) => {
            Status::unimplemented(format!("unknown method '{path}'")).into_http()
        }
        Code::Internal => Status::from_header_map(headers).map_or(response, |status| blamed(status).into_http()),
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
        Some(timeout) => Ok(Some(timeout.min(FOREVER))),
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
        assert_eq!(seconds("99999999H"), FOREVER.as_secs_f64());
        for wrong in ["", "5", "S", "123456789m", "+5m", "-5m", "5x", "5 m", "5\u{e4}"] {
            assert!(read(wrong).unwrap_err().contains("as grpc-timeout, got"), "{wrong}");
        }
    }
}
