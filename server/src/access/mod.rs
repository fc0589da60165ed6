//! The access log and the payload log: what was asked and how it went, one JSON object a line, of a sample of the predictions.
//!
//! ```json
//! {"time":"2026-07-28T12:00:00.000001Z","id":"0198…","protocol":"http","method":"POST","path":"/v2/models/wine/infer",…}
//! ```
//!
//! A line is written when its request ends, so lines stand in the order of the ends; `time` is when the request came. The payload
//! log has the same lines with the request's own bytes, from which `emberline bench serve --replay` sends it again; payloads may be
//! personal data, so that log is off unless it is asked for, and nobody but the server's user may read it.
//!
//! Which requests are logged is drawn before anything is made for a line, so that an unlogged one costs a branch, and with the logs
//! on a few nanoseconds. What is logged waits in a bounded queue for a thread that formats and writes it ([`sink`]); what finds the
//! queue full is lost and counted, and no request waits for a disk.

mod entry;
mod file;
mod sink;

use std::{
    cell::Cell,
    hash::{BuildHasher, RandomState},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{HttpResponse, ResponseError, dev::RequestHead};
use bytes::Bytes;
use chrono::Utc;
use engine::{
    monitor::{Family, Sample, families},
    serve::Prediction,
};

use self::{
    entry::{Entry, Payload},
    file::LogFile,
    sink::Sink,
};
use crate::{error::ApiError, settings::ServerSettings};

/// Headers of a request without which its body means nothing.
const KEPT_HEADERS: [&str; 2] = ["content-type", "inference-header-content-length"];
/// Status of a request that was given up before it was answered: nginx's for a client that closed its connection.
const GIVEN_UP: u16 = 499;
/// One more than the largest draw.
const ALL: u64 = 1 << 32;

/// The logs.
pub(crate) struct AccessLog {
    access: Option<Log>,
    payload: Option<Log>,
    /// The larger threshold of both: 0 with the logs off.
    either: u64,
    /// Longest body that is kept, in bytes.
    max_body: usize,
}

struct Log {
    /// Draws below this are logged.
    threshold: u64,
    sink: Sink,
}

impl AccessLog {
    /// Starts the threads of the logs that the settings ask for.
    pub(crate) fn new(settings: &ServerSettings) -> Self {
        let log = |name, target: &str, sample: f64| {
            let private = name == "payload";
            (!target.is_empty()).then(|| Log {
                threshold: threshold(sample),
                sink: Sink::start(
                    name,
                    LogFile::new(target, private, settings.access_file_bytes, settings.access_total_bytes),
                ),
            })
        };
        let access = log("access", &settings.access_log, settings.access_sample);
        let payload = log("payload", &settings.payload_log, settings.payload_sample);
        let either = [&access, &payload].into_iter().flatten().map(|log| log.threshold).max().unwrap_or(0);
        let max_body = usize::try_from(settings.payload_max_body).unwrap_or(usize::MAX);
        Self { access, payload, either, max_body }
    }

    /// Begins the line of an HTTP request, if it is to have one.
    pub(crate) fn http(&self, request: &RequestHead) -> Access<'_> {
        let Some(draw) = self.draw() else { return Access(None) };
        let path = request.uri.path_and_query().map_or_else(|| request.uri.path(), |path| path.as_str());
        let mut open = self.open(draw, Entry::new("http", request.method.as_str(), path, request.peer_addr));
        if let Some(payload) = &mut open.entry.payload {
            let kept = |name: &&'static str| {
                let value = request.headers().get(*name)?.to_str().ok()?;
                Some((*name, value.to_owned()))
            };
            payload.headers.extend(KEPT_HEADERS.iter().filter_map(kept));
        }
        Access(Some(open))
    }

    /// Begins the line of a gRPC call, or of a message of a stream, if it is to have one.
    pub(crate) fn grpc(&self, path: &str, remote: Option<SocketAddr>) -> Access<'_> {
        let Some(draw) = self.draw() else { return Access(None) };
        Access(Some(self.open(draw, Entry::new("grpc", "POST", path, remote))))
    }

    /// The draw of a request that is logged.
    fn draw(&self) -> Option<u64> {
        if self.either == 0 {
            return None;
        }
        // One for both logs, so that what is in the rarer one is in the other as well.
        Some(draw()).filter(|draw| *draw < self.either)
    }

    fn open(&self, draw: u64, mut entry: Entry) -> Box<Open<'_>> {
        let chosen = |log: &Option<Log>| log.as_ref().is_some_and(|log| draw < log.threshold);
        let (access, payload) = (chosen(&self.access), chosen(&self.payload));
        entry.payload = payload.then(Payload::default);
        entry.time = Utc::now();
        Box::new(Open { log: self, entry, began: Instant::now(), access })
    }

    /// The lines that were lost, by log, of those that are on.
    pub(crate) fn dropped(&self) -> Family {
        let logs = [("access", &self.access), ("payload", &self.payload)];
        let sample = |(name, log): (&str, &Option<Log>)| Some(Sample::count(&[name], log.as_ref()?.sink.dropped()));
        families::ACCESS_LOG_DROPPED.family(logs.into_iter().filter_map(sample).collect())
    }

    /// Waits until what was logged so far is written, or a second.
    pub(crate) fn close(&self) {
        for log in [&self.access, &self.payload].into_iter().flatten() {
            log.sink.flush();
        }
    }
}

/// The line of a request, if it has one. A request that goes away before [`Access::end`] was given up.
pub(crate) struct Access<'a>(Option<Box<Open<'a>>>);

struct Open<'a> {
    log: &'a AccessLog,
    entry: Entry,
    began: Instant,
    /// Whether it has a line in the access log.
    access: bool,
}

impl Access<'_> {
    /// Notes that the request came before its line was begun.
    pub(crate) fn since(mut self, arrived: Instant) -> Self {
        if let Some(open) = &mut self.0 {
            let before = open.began.saturating_duration_since(arrived);
            open.entry.time -= before;
            open.began = arrived;
        }
        self
    }

    /// Notes the request's body, decompressed.
    pub(crate) fn body(&mut self, body: &Bytes) {
        if let Some(open) = &mut self.0
            && let Some(payload) = &mut open.entry.payload
        {
            payload.length = body.len();
            payload.body = (body.len() <= open.log.max_body).then(|| body.clone());
        }
    }

    /// Notes which model is asked for, before anything can go wrong with it.
    pub(crate) fn asked(&mut self, model: &str) {
        if let Some(open) = &mut self.0 {
            open.entry.model = Some(Arc::from(model));
        }
    }

    /// Notes what the client calls its request.
    pub(crate) fn request_id(&mut self, id: &str) {
        if let Some(open) = &mut self.0
            && !id.is_empty()
        {
            open.entry.request_id = Some(id.to_owned());
        }
    }

    /// Notes what was answered, and how long it took to make bytes of it.
    pub(crate) fn predicted(&mut self, prediction: &Prediction, encode: Duration) {
        if let Some(open) = &mut self.0 {
            open.entry.predicted(prediction, encode);
        }
    }

    /// Notes how an HTTP request ended, and has its line written.
    pub(crate) fn end(mut self, answer: Result<HttpResponse, ApiError>) -> Result<HttpResponse, ApiError> {
        if let Some(open) = self.0.take() {
            match &answer {
                Ok(response) => open.end(response.status().as_u16(), None),
                Err(error) => open.end(error.status_code().as_u16(), Some(error.message())),
            }
        }
        answer
    }

    /// Notes how a gRPC call ended, by the number of its code, and has its line written.
    pub(crate) fn end_call<T>(mut self, answer: Result<T, ApiError>) -> Result<T, ApiError> {
        if let Some(open) = self.0.take() {
            match &answer {
                Ok(_) => open.end(tonic::Code::Ok as u16, None),
                Err(error) => open.end(error.grpc_code() as u16, Some(error.message())),
            }
        }
        answer
    }
}

impl Drop for Access<'_> {
    fn drop(&mut self) {
        if let Some(open) = self.0.take() {
            let status = if open.entry.protocol == "grpc" { tonic::Code::Cancelled as u16 } else { GIVEN_UP };
            open.end(status, Some("the request was given up before it was answered".to_owned()));
        }
    }
}

impl Open<'_> {
    fn end(self, status: u16, error: Option<String>) {
        let Self { log, mut entry, began, access } = self;
        entry.duration = began.elapsed();
        entry.status = status;
        entry.error = error;
        let entry = Arc::new(entry);
        if let Some(log) = log.payload.as_ref().filter(|_| entry.payload.is_some()) {
            log.sink.write(&entry);
        }
        if let Some(log) = log.access.as_ref().filter(|_| access) {
            log.sink.write(&entry);
        }
    }
}

fn threshold(sample: f64) -> u64 {
    // At most 2^32, which a double holds exactly.
    (sample.clamp(0.0, 1.0) * ALL as f64) as u64
}

/// A random number below [`ALL`] from this thread's own generator (`SplitMix64`, Steele, Lea and Flood 2014).
fn draw() -> u64 {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0));
    }
    let next = |state: &Cell<u64>| {
        state.set(state.get().wrapping_add(0x9E37_79B9_7F4A_7C15));
        let mut z = state.get();
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) >> 32
    };
    // A thread that ends logs nothing more.
    STATE.try_with(next).unwrap_or(ALL)
}

#[cfg(test)]
mod tests;
