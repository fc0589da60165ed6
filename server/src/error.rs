//! The one map from what can go wrong to HTTP and gRPC: a status code, `{"error":"…"}` as body, and `Retry-After` where
//! trying again helps.
//!
//! Every error answer of this server is made here, those for unknown paths, wrong verbs and large bodies included. Only
//! bytes that are no HTTP request at all are answered by actix itself, with a bare 400 (a head that never ends: 408, 431).
//! 500 is for our own faults alone; what they are goes to the log, not to the client.

use std::time::Duration;

use actix_web::{
    HttpResponse, ResponseError,
    http::{Method, StatusCode, header},
};
use contract::RunError;
use tonic::Code;

use crate::wire::WireError;

/// Seconds after which a client may try again when nothing better is known.
const SOON: Duration = Duration::from_secs(1);

/// Longest message in bytes. In gRPC it travels in a header, where a byte may become three, and clients refuse headers of more
/// than 8 KiB; in HTTP nobody shall have an answer as long as a name that was sent.
pub(crate) const LONGEST_MESSAGE: usize = 2048;

/// Why a request is not answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// The engine refused it or failed.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// The body cannot be read, or the answer not be written.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Another part of the request is wrong; one sentence says what was expected and what came.
    #[error("{0}")]
    BadRequest(String),
    /// Nothing is served under this path.
    #[error("unknown path '{path}'")]
    UnknownPath {
        /// The path.
        path: String,
    },
    /// What the path names does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The path exists, the verb does not.
    #[error("method {method} is not allowed on '{path}'; expected {allowed}")]
    MethodNotAllowed {
        /// The verb.
        method: Method,
        /// The path.
        path: String,
        /// The verbs there are, as in the header `Allow`.
        allowed: &'static str,
    },
    /// The body is longer than the setting `max_body`.
    #[error("the request body is larger than the limit of {limit} bytes")]
    BodyTooLarge {
        /// The limit.
        limit: usize,
    },
    /// The body did not come in the time that the setting `body_timeout` gives.
    #[error("the request body did not arrive within {} ms", limit.as_millis())]
    BodyTimeout {
        /// The limit.
        limit: Duration,
    },
    /// The connection broke in the middle of the body.
    #[error("the request body ended early: {reason}")]
    BodyIncomplete {
        /// What the connection said.
        reason: String,
    },
    /// The body is compressed in a way that is not read.
    #[error("expected a request body in the encoding gzip, deflate or identity, got '{encoding}'")]
    Encoding {
        /// Value of the header `Content-Encoding`.
        encoding: String,
    },
    /// The protocol has it and this server does not; one sentence says so.
    #[error("{0}")]
    NotImplemented(String),
    /// The server as a whole does not take requests.
    #[error("not ready: {reason}")]
    NotReady {
        /// Why.
        reason: String,
    },
}

/// Status code, and after which time the client may try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Answer {
    status: StatusCode,
    retry_after: Option<Duration>,
}

impl Answer {
    const fn new(status: StatusCode) -> Self {
        Self { status, retry_after: None }
    }

    const fn unavailable(retry_after: Duration) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, retry_after: Some(retry_after) }
    }
}

impl ApiError {
    fn answer(&self) -> Answer {
        match self {
            Self::Engine(error) => engine_answer(error),
            Self::Wire(_) | Self::BadRequest(_) | Self::BodyIncomplete { reason: _ } => {
                Answer::new(StatusCode::BAD_REQUEST)
            }
            Self::UnknownPath { path: _ } | Self::NotFound(_) => Answer::new(StatusCode::NOT_FOUND),
            Self::MethodNotAllowed { method: _, path: _, allowed: _ } => Answer::new(StatusCode::METHOD_NOT_ALLOWED),
            Self::BodyTooLarge { limit: _ } => Answer::new(StatusCode::PAYLOAD_TOO_LARGE),
            Self::BodyTimeout { limit: _ } => Answer::new(StatusCode::REQUEST_TIMEOUT),
            Self::Encoding { encoding: _ } => Answer::new(StatusCode::UNSUPPORTED_MEDIA_TYPE),
            Self::NotImplemented(_) => Answer::new(StatusCode::NOT_IMPLEMENTED),
            Self::NotReady { reason: _ } => Answer::unavailable(SOON),
        }
    }

    /// The gRPC code: the HTTP status in gRPC's words, so that both protocols refuse alike. But no time was over where nothing
    /// was cached.
    #[must_use]
    pub fn grpc_code(&self) -> Code {
        if matches!(self, Self::Engine(engine::Error::NotCached)) {
            return Code::FailedPrecondition;
        }
        match self.answer().status {
            StatusCode::BAD_REQUEST => Code::InvalidArgument,
            StatusCode::NOT_FOUND => Code::NotFound,
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::UNSUPPORTED_MEDIA_TYPE | StatusCode::NOT_IMPLEMENTED => {
                Code::Unimplemented
            }
            StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => Code::DeadlineExceeded,
            StatusCode::CONFLICT => Code::FailedPrecondition,
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::TOO_MANY_REQUESTS => Code::ResourceExhausted,
            StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
            _ => Code::Internal,
        }
    }

    /// After which time trying again may help.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.answer().retry_after
    }

    /// The message for the client, cut if it is very long. Messages of databases, disks and stores name paths and hosts, so they stay in the log.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Engine(engine::Error::Database(_)) => {
                "the registry's database failed; the server's log says why".to_owned()
            }
            Self::Engine(engine::Error::ObjectStore(_)) => {
                "the artifact store failed; the server's log says why".to_owned()
            }
            Self::Engine(engine::Error::Io(_) | engine::Error::Open(_) | engine::Error::Internal(_)) => {
                "internal error; the server's log says why".to_owned()
            }
            other => shortened(other.to_string()),
        }
    }
}

fn shortened(mut message: String) -> String {
    const DOTS: &str = "…";
    if message.len() > LONGEST_MESSAGE {
        message.truncate(message.floor_char_boundary(LONGEST_MESSAGE - DOTS.len()));
        message.push_str(DOTS);
    }
    message
}

/// The engine's errors by who has to act: 400 and 404 the client, 409 the operator, 503 and 504 time, 500 us.
fn engine_answer(error: &engine::Error) -> Answer {
    use engine::Error;
    match error {
        Error::Input(_) | Error::BadRequest(_) | Error::Run(RunError::Input(_)) => Answer::new(StatusCode::BAD_REQUEST),
        Error::UnknownModel { .. }
        | Error::UnknownVersion { .. }
        | Error::UnknownAlias { .. }
        | Error::Unloaded { .. }
        | Error::UnknownView { .. }
        | Error::UnknownEntities { .. }
        | Error::UnknownPrediction { .. }
        | Error::UnknownJob { .. } => Answer::new(StatusCode::NOT_FOUND),
        Error::Conflict(_) => Answer::new(StatusCode::CONFLICT),
        Error::Overloaded { queued: _, limit: _, retry_after }
        | Error::Explaining { limit: _, retry_after }
        | Error::TooLate { busy: _, left: _, retry_after } => Answer::unavailable(*retry_after),
        // RFC 9111 says so of the last.
        Error::DeadlineExceeded { after: _ } | Error::DeadlineUnreachable { within: _ } | Error::NotCached => {
            Answer::new(StatusCode::GATEWAY_TIMEOUT)
        }
        // All of these pass: memory is free when other batches end, a lost device comes back with another process.
        Error::NotReady { .. }
        | Error::ShuttingDown
        | Error::Run(RunError::OutOfMemory { .. } | RunError::DeviceLost { .. }) => Answer::unavailable(SOON),
        _ => Answer::new(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.answer().status
    }

    fn error_response(&self) -> HttpResponse {
        let Answer { status, retry_after } = self.answer();
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(error = %self, "request failed");
        }
        let mut response = HttpResponse::build(status);
        if let Some(after) = retry_after {
            // The header has whole seconds; 0 would mean at once.
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            response.insert_header((header::RETRY_AFTER, seconds.max(1)));
        }
        if let Self::MethodNotAllowed { method: _, path: _, allowed } = self {
            response.insert_header((header::ALLOW, *allowed));
        }
        response.json(serde_json::json!({ "error": self.message() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(error: impl Into<ApiError>) -> u16 {
        error.into().status_code().as_u16()
    }

    #[test]
    fn codes_say_who_has_to_act() {
        use engine::Error;
        assert_eq!(status(Error::BadRequest(String::new())), 400);
        assert_eq!(status(Error::Run(RunError::Input(contract::InputError::NoRows))), 400);
        assert_eq!(status(Error::UnknownModel { model: "m".to_owned() }), 404);
        assert_eq!(status(Error::Conflict(String::new())), 409);
        assert_eq!(status(Error::ShuttingDown), 503);
        assert_eq!(status(Error::DeadlineExceeded { after: SOON }), 504);
        assert_eq!(status(Error::DeadlineUnreachable { within: SOON }), 504);
        assert_eq!(status(Error::Run(RunError::Failed { reason: String::new() })), 500);
        assert_eq!(status(Error::Run(RunError::DeviceLost { device: String::new(), reason: String::new() })), 503);
        assert_eq!(status(Error::Internal(String::new())), 500);
    }

    #[test]
    fn retry_after_is_in_whole_seconds_and_never_zero() {
        let header = |retry_after: Duration| {
            let error = ApiError::from(engine::Error::Overloaded { queued: 1, limit: 1, retry_after });
            error.error_response().headers().get("retry-after").unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(header(Duration::from_millis(1)), "1");
        assert_eq!(header(Duration::from_millis(1001)), "2");
    }

    #[test]
    fn faults_of_ours_keep_their_details_in_the_log() {
        let error = ApiError::from(engine::Error::Io(std::io::Error::other("/secret/path is full")));
        assert!(!error.message().contains("secret"));
    }
}
