//! One HTTP/1.1 connection: writes a request that is made already, reads the answer and forgets its body.

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Answer, LONGEST_COMPLAINT, Outcome, excerpt};

/// Room for what comes in at once.
const BUFFER: usize = 16 << 10;
/// Longest head of an answer.
const LONGEST_HEAD: usize = 64 << 10;
/// Most headers of an answer.
const MOST_HEADERS: usize = 64;

/// A connection that stays open between requests.
#[derive(Debug)]
pub(crate) struct HttpConnection {
    stream: TcpStream,
    buffer: Vec<u8>,
    reusable: bool,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct HttpAnswer {
    pub(crate) status: u16,
    /// As much of the body as was asked for.
    pub(crate) body: Vec<u8>,
}

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
    Close,
}

struct Head {
    status: u16,
    length: usize,
    framing: Framing,
    keep_alive: bool,
}

impl HttpConnection {
    pub(crate) async fn open(address: &str) -> io::Result<Self> {
        let stream = super::connect(address).await?;
        Ok(Self { stream, buffer: Vec::with_capacity(BUFFER), reusable: true })
    }

    /// Whether another request may be sent: the server has not closed the connection since the last answer.
    ///
    /// Costs no system call as long as nothing has come in.
    pub(crate) fn is_usable(&mut self) -> bool {
        let mut byte = [0];
        self.reusable
            && matches!(self.stream.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Sends a request and reads its answer as part of a load.
    pub(crate) async fn infer(&mut self, request: &[u8], keep_complaint: bool) -> Answer {
        let keep = |status| if keep_complaint && status != 200 { LONGEST_COMPLAINT } else { 0 };
        match self.exchange(request, keep).await {
            Ok(HttpAnswer { status, body }) => {
                Answer { outcome: Outcome::of_http(status), status: Some(status), complaint: excerpt(&body) }
            }
            Err(complaint) => {
                self.reusable = false;
                Answer::broken(complaint)
            }
        }
    }

    /// Sends a request and reads its answer; `keep` says how much of the body is of interest.
    pub(crate) async fn exchange(&mut self, request: &[u8], keep: impl Fn(u16) -> usize) -> Result<HttpAnswer, String> {
        // Whoever gives up half-way must not read the rest of this answer as the next one's.
        self.reusable = false;
        self.stream.write_all(request).await.map_err(|error| format!("cannot send: {error}"))?;
        self.buffer.clear();
        let head = loop {
            if let Some(head) = parse_head(&self.buffer)? {
                if head.status >= 200 {
                    break head;
                }
                // An interim answer (100 Continue); the real one follows.
                self.buffer.drain(..head.length);
                continue;
            }
            if self.buffer.len() > LONGEST_HEAD {
                return Err(format!("expected a head of at most {LONGEST_HEAD} bytes"));
            }
            if self.fill().await? == 0 {
                return Err(if self.buffer.is_empty() {
                    "the connection was closed before the answer".to_owned()
                } else {
                    "the connection was closed within the answer's head".to_owned()
                });
            }
        };
        let mut body = Vec::new();
        self.buffer.drain(..head.length);
        let keep = keep(head.status);
        match head.framing {
            Framing::Length(length) => self.read_exactly(length, keep, &mut body).await?,
            Framing::Chunked => self.read_chunks(keep, &mut body).await?,
            Framing::Close => {
                while {
                    take(&mut self.buffer, usize::MAX, keep, &mut body);
                    self.fill().await? > 0
                } {}
            }
        }
        if !self.buffer.is_empty() {
            return Err(format!("expected the end of the answer, got {} bytes more", self.buffer.len()));
        }
        self.reusable = head.keep_alive && head.framing != Framing::Close;
        Ok(HttpAnswer { status: head.status, body })
    }

    async fn fill(&mut self) -> Result<usize, String> {
        // Never a read into no room, which would look like the end.
        if self.buffer.spare_capacity_mut().is_empty() {
            self.buffer.reserve(BUFFER);
        }
        self.stream.read_buf(&mut self.buffer).await.map_err(|error| format!("cannot receive: {error}"))
    }

    async fn read_exactly(&mut self, length: usize, keep: usize, body: &mut Vec<u8>) -> Result<(), String> {
        let mut left = length;
        loop {
            left -= take(&mut self.buffer, left, keep, body);
            if left == 0 {
                return Ok(());
            }
            if self.fill().await? == 0 {
                return Err(format!("the connection was closed {left} bytes before the answer's end"));
            }
        }
    }

    async fn read_chunks(&mut self, keep: usize, body: &mut Vec<u8>) -> Result<(), String> {
        loop {
            let line = self.read_line().await?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(digits, 16)
                .map_err(|_| format!("expected the size of a chunk, got '{}'", excerpt(line.as_bytes())))?;
            if size == 0 {
                while !self.read_line().await?.is_empty() {}
                return Ok(());
            }
            self.read_exactly(size, keep, body).await?;
            if !self.read_line().await?.is_empty() {
                return Err("expected the end of a line behind a chunk".to_owned());
            }
        }
    }

    async fn read_line(&mut self) -> Result<String, String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.drain(..end + 2);
                return Ok(line);
            }
            if self.buffer.len() > LONGEST_HEAD {
                return Err("expected the end of a line".to_owned());
            }
            if self.fill().await? == 0 {
                return Err("the connection was closed within the answer".to_owned());
            }
        }
    }
}

/// Takes up to `most` bytes out of the buffer and keeps those that fit into what is kept; gives how many were taken.
fn take(buffer: &mut Vec<u8>, most: usize, keep: usize, body: &mut Vec<u8>) -> usize {
    let taken = buffer.len().min(most);
    let kept = taken.min(keep.saturating_sub(body.len()));
    body.extend_from_slice(&buffer[..kept]);
    if taken == buffer.len() {
        buffer.clear();
    } else {
        buffer.drain(..taken);
    }
    taken
}

/// None while the head is not whole.
fn parse_head(bytes: &[u8]) -> Result<Option<Head>, String> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(bytes).map_err(|error| format!("expected an HTTP answer: {error}"))?;
    let httparse::Status::Complete(length) = parsed else { return Ok(None) };
    let status = response.code.unwrap_or_default();
    let mut keep_alive = response.version == Some(1);
    let mut framing = if matches!(status, 100..=199 | 204 | 304) { Framing::Length(0) } else { Framing::Close };
    for header in response.headers {
        if header.name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(header.value).unwrap_or_default().trim();
            let length = text.parse().map_err(|_| format!("expected a number as Content-Length, got '{text}'"))?;
            if framing == Framing::Close {
                framing = Framing::Length(length);
            }
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            framing = Framing::Chunked;
        } else if header.name.eq_ignore_ascii_case("connection") {
            if header.value.eq_ignore_ascii_case(b"close") {
                keep_alive = false;
            } else if header.value.eq_ignore_ascii_case(b"keep-alive") {
                keep_alive = true;
            }
        }
    }
    Ok(Some(Head { status, length, framing, keep_alive }))
}
