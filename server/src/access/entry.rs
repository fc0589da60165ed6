//! What is logged about a request, and its form.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use engine::{
    monitor::ComputeTimes,
    serve::{CacheStatus, Prediction, Timing},
};
use serde::Serialize;

/// A request that ended.
#[derive(Debug)]
pub(super) struct Entry {
    /// When it came.
    pub(super) time: DateTime<Utc>,
    /// What the client calls it.
    pub(super) request_id: Option<String>,
    pub(super) protocol: &'static str,
    pub(super) method: String,
    /// With its query.
    pub(super) path: String,
    pub(super) model: Option<Arc<str>>,
    /// The HTTP status, or the number of the gRPC code.
    pub(super) status: u16,
    /// From its head to the last byte of its answer.
    pub(super) duration: Duration,
    pub(super) error: Option<String>,
    pub(super) remote: Option<SocketAddr>,
    pub(super) payload: Option<Payload>,
    answered: Option<Answered>,
}

#[derive(Debug)]
struct Answered {
    id: String,
    version: u32,
    rows: usize,
    cache: &'static str,
    stages: Stages,
}

/// What a request brought.
#[derive(Debug, Default)]
pub(super) struct Payload {
    pub(super) headers: BTreeMap<&'static str, String>,
    /// Absent when it did not come, or is too long to be kept.
    pub(super) body: Option<Bytes>,
    /// Its length in bytes.
    pub(super) length: usize,
}

impl Entry {
    pub(super) fn new(protocol: &'static str, method: &str, path: &str, remote: Option<SocketAddr>) -> Self {
        Self {
            time: DateTime::UNIX_EPOCH,
            request_id: None,
            protocol,
            method: method.to_owned(),
            path: path.to_owned(),
            model: None,
            status: 0,
            duration: Duration::ZERO,
            error: None,
            remote,
            payload: None,
            answered: None,
        }
    }

    pub(super) fn predicted(&mut self, prediction: &Prediction, encode: Duration) {
        let Prediction { id, model, version, outputs: _, explanation: _, rows, cache, host: _, timing } = prediction;
        let cache = match cache {
            CacheStatus::Hit { age: _ } => "hit",
            CacheStatus::Miss => "miss",
            CacheStatus::Off => "off",
        };
        let stages = Stages::new(timing, encode);
        self.model = Some(Arc::clone(model));
        self.answered = Some(Answered { id: id.to_string(), version: *version, rows: *rows, cache, stages });
    }

    /// Bytes of the body that it keeps in memory.
    pub(super) fn kept_bytes(&self) -> usize {
        self.payload.as_ref().and_then(|payload| payload.body.as_ref()).map_or(0, Bytes::len)
    }

    /// Appends its line.
    ///
    /// # Errors
    /// What the encoder answers.
    pub(super) fn append(&self, lines: &mut Vec<u8>, with_payload: bool) -> serde_json::Result<()> {
        let answered = self.answered.as_ref();
        let line = Line {
            time: self.time.to_rfc3339_opts(SecondsFormat::Micros, true),
            id: answered.map(|answered| answered.id.as_str()),
            request_id: self.request_id.as_deref(),
            protocol: self.protocol,
            method: &self.method,
            path: &self.path,
            model: self.model.as_deref(),
            version: answered.map(|answered| answered.version),
            status: self.status,
            rows: answered.map(|answered| answered.rows),
            cache: answered.map(|answered| answered.cache),
            duration_us: micros(self.duration),
            stages: answered.map(|answered| answered.stages),
            error: self.error.as_deref(),
            remote: self.remote,
            payload: self
                .payload
                .as_ref()
                .filter(|_| with_payload)
                .map(|payload| PayloadLine::new(payload, self.protocol)),
        };
        serde_json::to_writer(&mut *lines, &line)?;
        lines.push(b'\n');
        Ok(())
    }
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    protocol: &'static str,
    method: &'a str,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache: Option<&'static str>,
    duration_us: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stages: Option<Stages>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<PayloadLine<'a>>,
}

/// Microseconds by stage, in the order of a request; those that it did not have are absent.
#[derive(Clone, Copy, Debug, Serialize)]
struct Stages {
    #[serde(skip_serializing_if = "Option::is_none")]
    decode_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compute_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explain_us: Option<f64>,
    encode_us: f64,
}

impl Stages {
    fn new(timing: &Timing, encode: Duration) -> Self {
        let of = |stage: fn(&ComputeTimes) -> Duration| timing.computed.as_ref().map(|times| micros(stage(times)));
        Self {
            decode_us: timing.decode.map(micros),
            cache_us: (!timing.cache.is_zero()).then(|| micros(timing.cache)),
            input_us: of(|times| times.input),
            queue_us: of(|times| times.queue),
            batch_us: of(|times| times.batch),
            compute_us: of(|times| times.compute),
            output_us: of(|times| times.output),
            explain_us: timing.explain.map(micros),
            encode_us: micros(encode),
        }
    }
}

/// The body of HTTP as text where it is text, so that people can read it; protobuf would be so by chance.
#[derive(Serialize)]
struct PayloadLine<'a> {
    headers: &'a BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
    /// Length of a body that is too long to be here.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_bytes: Option<usize>,
}

impl<'a> PayloadLine<'a> {
    fn new(Payload { headers, body, length }: &'a Payload, protocol: &str) -> Self {
        let text = body.as_ref().filter(|_| protocol != "grpc").and_then(|body| std::str::from_utf8(body).ok());
        Self {
            headers,
            body: text,
            body_base64: body.as_ref().filter(|_| text.is_none()).map(|body| BASE64_STANDARD.encode(body)),
            body_bytes: (body.is_none() && *length > 0).then_some(*length),
        }
    }
}

/// To the tenth of a microsecond.
fn micros(duration: Duration) -> f64 {
    (duration.as_nanos() / 100) as f64 / 10.0
}
