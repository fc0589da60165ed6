//! Requests of a payload log, sent again at their times.
//!
//! A log has one JSON object a line. Those with a `payload` can be sent again: `time` in RFC 3339, `protocol` (`http` or `grpc`),
//! `method`, `path`, `model`, and the payload's `headers` and `body` (text) or `body_base64`.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, FixedOffset};
use serde::{Deserialize, Serialize};

use crate::{
    Requests, Result, Target,
    encode::{self, Message},
    error::setting,
    protobuf,
    target::Protocol,
};

/// Longest line read; no server takes a body as large.
const LONGEST_LINE: u64 = 256 << 20;
/// Headers that are made anew for the request.
const OWN_HEADERS: [&str; 8] =
    ["host", "content-length", "connection", "transfer-encoding", "expect", "upgrade", "te", "keep-alive"];

#[derive(Deserialize)]
struct Line {
    time: DateTime<FixedOffset>,
    protocol: String,
    #[serde(default)]
    method: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    rows: Option<u32>,
    #[serde(default)]
    payload: Option<Payload>,
}

#[derive(Deserialize)]
struct Payload {
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    body_base64: Option<String>,
}

/// What was found in a log.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ReplaySummary {
    /// The log.
    pub file: PathBuf,
    /// How much faster than it happened.
    pub speed: f64,
    /// Requests to send.
    pub requests: u64,
    /// Lines without a payload.
    pub without_payload: u64,
    /// Lines of another protocol, or of a gRPC call that is no inference.
    pub other_protocol: u64,
    /// Lines of another model than the one asked for.
    pub other_model: u64,
    /// Lines that are no such JSON.
    pub unreadable: u64,
}

/// Requests of a log, ready to be sent with [`Pace::Replay`](crate::Pace::Replay).
#[derive(Debug)]
pub struct Replay {
    /// The requests with their times.
    pub requests: Requests,
    /// From the first to a moment after the last.
    pub duration: Duration,
    /// What was found.
    pub summary: ReplaySummary,
    /// The model that most of them ask for.
    pub model: Option<String>,
}

impl Replay {
    /// Reads a log for a server; with `model`, only requests of that model.
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File) when it cannot be read, [`Error::Setting`](crate::Error::Setting) when nothing in it can be
    /// sent.
    pub fn read(file: &Path, target: &Target, model: Option<&str>, speed: f64) -> Result<Self> {
        if !(speed.is_finite() && speed > 0.0) {
            return setting(format!("expected a speed above 0, got {speed}"));
        }
        let mut reader = BufReader::new(fs_err::File::open(file)?);
        let mut summary = ReplaySummary { file: file.to_path_buf(), speed, ..ReplaySummary::default() };
        let mut found: Vec<(DateTime<FixedOffset>, Message)> = Vec::new();
        let mut models: BTreeMap<String, u64> = BTreeMap::new();
        let mut text = Vec::new();
        loop {
            text.clear();
            if reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut text)? == 0 {
                break;
            }
            if text.trim_ascii().is_empty() {
                continue;
            }
            let Ok(line) = serde_json::from_slice::<Line>(&text) else {
                summary.unreadable += 1;
                continue;
            };
            if model.is_some_and(|model| line.model.as_deref() != Some(model)) {
                summary.other_model += 1;
                continue;
            }
            match message(target, &line) {
                Ok(message) => {
                    if let Some(model) = line.model {
                        *models.entry(model).or_default() += 1;
                    }
                    found.push((line.time, message));
                }
                Err(Skipped::WithoutPayload) => summary.without_payload += 1,
                Err(Skipped::OtherProtocol) => summary.other_protocol += 1,
                Err(Skipped::Unreadable) => summary.unreadable += 1,
            }
        }
        found.sort_by_key(|(time, _)| *time);
        let Some((first, last)) = found.first().zip(found.last()).map(|((first, _), (last, _))| (*first, *last)) else {
            return setting(format!(
                "{}: expected lines with a payload for {}, got {} without a payload, {} of another protocol, {} of another model and \
                 {} that cannot be read",
                file.display(),
                target.protocol,
                summary.without_payload,
                summary.other_protocol,
                summary.other_model,
                summary.unreadable
            ));
        };
        let offset = |time: DateTime<FixedOffset>| (time - first).to_std().unwrap_or_default().div_f64(speed);
        let duration = offset(last) + Duration::from_millis(1);
        let (times, messages): (Vec<_>, Vec<_>) =
            found.into_iter().map(|(time, message)| (offset(time), message)).unzip();
        summary.requests = messages.len() as u64;
        let model = models.into_iter().max_by_key(|(_, count)| *count).map(|(model, _)| model);
        Ok(Self { requests: Requests::recorded(messages, times), duration, summary, model })
    }
}

enum Skipped {
    WithoutPayload,
    OtherProtocol,
    Unreadable,
}

fn message(target: &Target, line: &Line) -> std::result::Result<Message, Skipped> {
    let Line { time: _, protocol, method, path, model: _, rows, payload } = line;
    let grpc = target.protocol == Protocol::Grpc;
    if (protocol == "grpc") != grpc || (grpc && path != protobuf::INFER) {
        return Err(Skipped::OtherProtocol);
    }
    let Some(Payload { headers, body, body_base64 }) = payload else { return Err(Skipped::WithoutPayload) };
    let body = match (body, body_base64) {
        (Some(text), _) => text.as_bytes().to_vec(),
        (None, Some(text)) => STANDARD.decode(text).map_err(|_| Skipped::Unreadable)?,
        (None, None) => Vec::new(),
    };
    let rows = rows.unwrap_or(1);
    if grpc {
        return Ok(Message { bytes: encode::framed(&body).into(), patch: None, rows });
    }
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !plain(method) || !plain(path) || !path.starts_with('/') {
        return Err(Skipped::Unreadable);
    }
    let headers: Vec<(String, String)> = headers
        .iter()
        .filter(|(name, value)| {
            let own = OWN_HEADERS.iter().any(|own| name.eq_ignore_ascii_case(own));
            !own && plain(name) && !name.contains(':') && !value.chars().any(char::is_control)
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let path = format!("{}{path}", target.prefix);
    let (bytes, _) = encode::http_request(target, method, &path, headers.iter(), &body);
    Ok(Message { bytes: bytes.into(), patch: None, rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = r#"{"time":"2026-01-02T03:04:06.500000Z","protocol":"http","method":"POST","path":"/v2/models/m/infer","model":"m","status":200,"rows":3,"payload":{"headers":{"content-type":"application/json","Host":"elsewhere","x-bad":"a\r\nb"},"body":"{}"}}
{"time":"2026-01-02T03:04:05.500000Z","protocol":"http","method":"POST","path":"/v2/models/m/infer","model":"m","payload":{"headers":{"content-type":"application/octet-stream","inference-header-content-length":"1"},"body_base64":"AP8="}}
{"time":"2026-01-02T03:04:05.600000Z","protocol":"http","method":"POST","path":"/v2/models/m/infer","model":"m"}
{"time":"2026-01-02T03:04:05.700000Z","protocol":"grpc","method":"POST","path":"/inference.GRPCInferenceService/ModelInfer","model":"m","payload":{"headers":{},"body_base64":"CgFt"}}
{"time":"2026-01-02T03:04:05.800000Z","protocol":"http","method":"POST","path":"/v2/models/o/infer","model":"o","payload":{"headers":{},"body":"{}"}}

{"time":"2026-01-02T03:04:05.9
"#;

    fn read(protocol: Protocol, model: Option<&str>, speed: f64) -> Result<Replay> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("log.ndjson");
        fs_err::write(&file, LOG).unwrap();
        let target = Target::parse("h:1/base", Some(protocol), "m").unwrap();
        Replay::read(&file, &target, model, speed)
    }

    #[test]
    fn logs_are_sent_again_in_their_order_and_time() {
        let replay = read(Protocol::HttpJson, Some("m"), 2.0).unwrap();
        let ReplaySummary { requests, without_payload, other_protocol, other_model, unreadable, .. } = replay.summary;
        assert_eq!((requests, without_payload, other_protocol, other_model, unreadable), (2, 1, 1, 1, 1));
        assert_eq!(replay.requests.times, [Duration::ZERO, Duration::from_millis(500)]);
        let text = |number| {
            let message = replay.requests.message(number, 0).unwrap();
            (message.bytes.clone(), message.rows)
        };
        let (first, _) = text(0);
        assert!(first.starts_with(b"POST /base/v2/models/m/infer HTTP/1.1\r\nHost: h:1\r\n"));
        assert!(first.ends_with(b"Content-Length: 2\r\n\r\n\x00\xff"));
        let (second, rows) = text(1);
        let second = String::from_utf8(second.to_vec()).unwrap();
        assert!(
            second.contains("\r\ncontent-type: application/json\r\n") && second.ends_with("\r\n\r\n{}"),
            "{second}"
        );
        assert!(!second.contains("elsewhere") && !second.contains("x-bad"), "{second}");
        assert_eq!(rows, 3);
    }

    #[test]
    fn grpc_logs_are_messages() {
        let replay = read(Protocol::Grpc, None, 1.0).unwrap();
        assert_eq!((replay.summary.requests, replay.summary.other_protocol), (1, 4));
        assert_eq!(replay.requests.message(0, 0).unwrap().bytes[..], *b"\0\0\0\0\x03\n\x01m");
        assert_eq!(replay.model.as_deref(), Some("m"));
    }

    #[test]
    fn a_log_with_nothing_to_send_is_refused_in_a_sentence() {
        let complaint = read(Protocol::Grpc, Some("o"), 1.0).unwrap_err().to_string();
        assert!(complaint.contains("4 of another model"), "{complaint}");
        assert!(read(Protocol::Grpc, None, 0.0).is_err());
    }
}
