//! Requests over HTTP/1.1, byte by byte under control, so that they can go wrong in every way.

use std::{fmt::Write as _, io, net::SocketAddr, time::Duration};

use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    plan::{Act, Transport},
    verdict::{Answer, End},
};

/// A connection that stays.
pub(crate) struct Connection {
    stream: TcpStream,
    /// What came behind the last answer.
    rest: Vec<u8>,
}

/// A request in its two parts.
pub(crate) struct Request {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// What came back.
struct Response {
    status: u16,
    /// Length of the JSON in front of raw tensors.
    json: Option<usize>,
    body: Vec<u8>,
    closes: bool,
}

#[derive(Deserialize)]
struct InferAnswer {
    model_name: String,
    model_version: String,
    #[serde(default)]
    id: String,
    outputs: Vec<Output>,
}

#[derive(Deserialize)]
struct Output {
    name: String,
    #[serde(default)]
    data: Vec<f32>,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Deserialize, Default)]
struct Parameters {
    binary_data_size: Option<usize>,
}

/// The request of an act; `number` is the version it names, if it names one.
pub(crate) fn request(act: &Act, id: &str, number: Option<u32>) -> Request {
    let values: Vec<f32> = act.rows.iter().flat_map(|row| [f32::from(*row), act.fault.marker()]).collect();
    let binary = act.transport == Transport::Binary;
    let mut parameters = vec![format!(r#""binary_data_output":{binary}"#)];
    if let Some(timeout) = act.timeout {
        parameters.push(format!(r#""timeout":{}"#, timeout.as_micros()));
    }
    if act.priority > 0 {
        parameters.push(format!(r#""priority":{}"#, act.priority));
    }
    let data = if binary {
        format!(r#""parameters":{{"binary_data_size":{}}}"#, values.len() * size_of::<f32>())
    } else {
        format!(r#""data":{values:?}"#)
    };
    let json = format!(
        r#"{{"id":"{id}","parameters":{{{}}},"inputs":[{{"name":"features","datatype":"FP32","shape":[{},2],{data}}}]}}"#,
        parameters.join(","),
        act.rows.len()
    );
    let length = json.len();
    let mut body = json.into_bytes();
    let path = match number {
        Some(number) => format!("/v2/models/{}/versions/{number}/infer", act.model.name()),
        None => format!("/v2/models/{}/infer", act.model.name()),
    };
    let mut head = format!("POST {path} HTTP/1.1\r\nhost: soak\r\n");
    if binary {
        body.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        let _ = write!(head, "inference-header-content-length: {length}\r\n");
    }
    if act.no_cache {
        head += "cache-control: no-cache\r\n";
    }
    let _ = write!(head, "content-length: {}\r\n\r\n", body.len());
    Request { head, body }
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, rest: Vec::new() })
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Sends what is left of a request.
    pub(crate) async fn send_whole(&mut self, request: &Request) -> io::Result<()> {
        self.send(&[request.head.as_bytes(), &request.body].concat()).await
    }

    /// Sends the body in pieces of a few bytes.
    pub(crate) async fn send_bytewise(&mut self, request: &Request) -> io::Result<()> {
        self.send(request.head.as_bytes()).await?;
        for piece in request.body.chunks(7) {
            self.send(piece).await?;
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        Ok(())
    }

    /// Says that nothing more comes.
    pub(crate) async fn close_half(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Goes without a good-bye.
    pub(crate) fn reset(self) -> io::Result<()> {
        self.stream.set_zero_linger()
    }

    /// Whether bytes came that belong to no request.
    pub(crate) fn has_more(&mut self) -> bool {
        let mut buffer = [0; 64];
        match self.stream.try_read(&mut buffer) {
            Ok(read) => self.rest.extend_from_slice(&buffer[..read]),
            Err(_nothing) => {}
        }
        !self.rest.is_empty()
    }

    /// Reads an answer; says whether the connection can be used again.
    pub(crate) async fn read(&mut self) -> (End, bool) {
        match self.response().await {
            Ok(response) => {
                let stays = !response.closes;
                (end(&response), stays)
            }
            Err(error) => (End::Closed(error.to_string()), false),
        }
    }

    async fn response(&mut self) -> io::Result<Response> {
        let head_length = loop {
            if let Some(at) = self.rest.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let head = String::from_utf8_lossy(&self.rest[..head_length]).to_lowercase();
        let status = head.get(9..12).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status in '{head}'")))?;
        let header = |name: &str| {
            let value = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.map(str::trim)
        };
        let number = |name: &str| header(name).and_then(|value| value.parse::<usize>().ok());
        let length = number("content-length").ok_or_else(|| io::Error::other(format!("no length in '{head}'")))?;
        let json = number("inference-header-content-length");
        let closes = header("connection") == Some("close");
        while self.rest.len() < head_length + length {
            self.more().await?;
        }
        let rest = self.rest.split_off(head_length + length);
        let body = std::mem::replace(&mut self.rest, rest).split_off(head_length);
        Ok(Response { status, json, body, closes })
    }

    async fn more(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer).await? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was closed")),
            read => {
                self.rest.extend_from_slice(&buffer[..read]);
                Ok(())
            }
        }
    }
}

fn end(response: &Response) -> End {
    let Response { status, json, body, closes: _ } = response;
    if *status != 200 {
        return End::Refused(*status, String::from_utf8_lossy(body).into_owned());
    }
    let (json, mut raw) = body.split_at_checked(json.unwrap_or(body.len())).unwrap_or((body, &[]));
    let answer: InferAnswer = match serde_json::from_slice(json) {
        Ok(answer) => answer,
        Err(error) => return End::Closed(format!("an answer that is none: {error}")),
    };
    let mut outputs = Vec::new();
    for Output { name, data, parameters } in answer.outputs {
        let data = match parameters.binary_data_size {
            None => data,
            Some(size) => {
                let Some((bytes, rest)) = raw.split_at_checked(size) else {
                    return End::Closed(format!("an answer that is too short for {name}"));
                };
                raw = rest;
                bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
            }
        };
        outputs.push((name, data));
    }
    let mut values = |wanted: &str| {
        let found = outputs.iter_mut().find(|(name, _data)| name == wanted);
        found.map(|(_name, data)| std::mem::take(data)).unwrap_or_default()
    };
    let (y, twice) = (values("y"), values("twice"));
    End::Answered(Answer { model: answer.model_name, version: answer.model_version, id: answer.id, y, twice })
}
