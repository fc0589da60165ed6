//! Connections that cost little: HTTP/1.1 written and parsed by hand, gRPC on h2.

mod grpc;
mod http;

use std::{io, time::Duration};

use serde::Serialize;
use tokio::{net::TcpStream, runtime::Builder, time::timeout};

pub(crate) use self::{
    grpc::{GrpcConnection, GrpcLane},
    http::HttpConnection,
};
use crate::{Error, Result, Target, encode};

/// A question about the model must be answered in this time.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest answer to such a question.
const LONGEST_ANSWER: usize = 64 << 20;
/// How much of the text of a failure is kept.
pub(crate) const LONGEST_COMPLAINT: usize = 512;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Answered: 200, or OK.
    Ok,
    /// Turned away: 503 or 429, `UNAVAILABLE` or `RESOURCE_EXHAUSTED`.
    Refused,
    /// Too late, says the server: 504, or `DEADLINE_EXCEEDED`.
    Deadline,
    /// Answered with another status.
    Failed,
    /// No connection, one that ended before the answer, or an answer that is none.
    Broken,
    /// Not answered in the time that the load waits.
    Abandoned,
}

impl Outcome {
    /// What an HTTP status means.
    #[must_use]
    pub const fn of_http(status: u16) -> Self {
        match status {
            200..=299 => Self::Ok,
            429 | 503 => Self::Refused,
            504 => Self::Deadline,
            _ => Self::Failed,
        }
    }

    /// What a gRPC status means.
    #[must_use]
    pub const fn of_grpc(status: u16) -> Self {
        match status {
            0 => Self::Ok,
            8 | 14 => Self::Refused,
            4 => Self::Deadline,
            _ => Self::Failed,
        }
    }
}

/// An answer, or why there is none.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) outcome: Outcome,
    /// Of HTTP or of gRPC; none without an answer.
    pub(crate) status: Option<u16>,
    /// The beginning of what a failure said; empty unless asked for.
    pub(crate) complaint: String,
}

impl Answer {
    pub(crate) fn broken(complaint: impl Into<String>) -> Self {
        Self { outcome: Outcome::Broken, status: None, complaint: complaint.into() }
    }
}

/// Runs a short exchange to its end on a runtime of its own.
pub(crate) fn block_on<T>(exchange: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(exchange)
}

/// Opens a connection that sends at once.
pub(crate) async fn connect(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// `GET path`, which must be answered with 200; gives the body.
pub(crate) async fn get(target: &Target, path: &str, question: &str) -> Result<Vec<u8>> {
    let ask = async {
        let unreachable = |error| Error::Unreachable { address: target.address.clone(), error };
        let mut connection = HttpConnection::open(&target.address).await.map_err(unreachable)?;
        let (request, _) = encode::http_request(target, "GET", path, std::iter::empty(), &[]);
        connection
            .exchange(&request, |_| LONGEST_ANSWER)
            .await
            .map_err(|complaint| Error::Answer { question: question.to_owned(), got: complaint })
    };
    let answer = timeout(PATIENCE, ask).await.map_err(|_| late(question))??;
    if answer.status != 200 {
        let got = format!("status {}: {}", answer.status, excerpt(&answer.body));
        return Err(Error::Answer { question: question.to_owned(), got });
    }
    Ok(answer.body)
}

/// A unary gRPC call, which must be answered with OK; gives the message.
pub(crate) async fn call(target: &Target, path: &str, message: &[u8], question: &str) -> Result<Vec<u8>> {
    let ask = async {
        let unreachable = |error| Error::Unreachable { address: target.address.clone(), error };
        let connection = GrpcConnection::new(target, path, None);
        let mut lane = GrpcLane::new(std::rc::Rc::new(connection));
        lane.connect().await.map_err(unreachable)?;
        let mut body = Vec::new();
        let answer = lane.exchange(encode::framed(message).into(), Some((&mut body, LONGEST_ANSWER))).await;
        Ok::<_, Error>((answer, body))
    };
    let local = tokio::task::LocalSet::new();
    let (answer, mut body) = timeout(PATIENCE, local.run_until(ask)).await.map_err(|_| late(question))??;
    if answer.outcome != Outcome::Ok {
        let status = answer.status.map_or(String::new(), |status| format!("status {status}: "));
        return Err(Error::Answer { question: question.to_owned(), got: format!("{status}{}", answer.complaint) });
    }
    Ok(body.split_off(body.len().min(5)))
}

fn late(question: &str) -> Error {
    Error::Answer { question: question.to_owned(), got: format!("no answer within {} s", PATIENCE.as_secs()) }
}

/// The beginning of what was said, on one line.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST_COMPLAINT)]);
    text.chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect::<String>()
        .trim()
        .to_owned()
}
