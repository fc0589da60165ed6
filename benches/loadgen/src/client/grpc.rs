//! gRPC calls on connections that several lanes share.

use std::{cell::RefCell, future::poll_fn, io, rc::Rc};

use bytes::Bytes;
use h2::{
    RecvStream,
    client::{self, SendRequest},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};

use super::{Answer, LONGEST_COMPLAINT, Outcome, excerpt};
use crate::Target;

/// Large enough that answers never wait for the window.
const WINDOW: u32 = 8 << 20;

/// A connection that lanes share; opened anew by whoever finds it broken.
#[derive(Debug)]
pub(crate) struct GrpcConnection {
    address: String,
    uri: Option<Uri>,
    headers: HeaderMap,
    sender: RefCell<Option<SendRequest<Bytes>>>,
}

impl GrpcConnection {
    /// A connection for calls of `path`, not opened yet; the deadline is sent with every call.
    pub(crate) fn new(target: &Target, path: &str, deadline: Option<std::time::Duration>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        if let Some(value) = deadline.and_then(|deadline| HeaderValue::from_str(&grpc_timeout(deadline)).ok()) {
            headers.insert("grpc-timeout", value);
        }
        for (name, value) in &target.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::from_str(value)) {
                headers.insert(name, value);
            }
        }
        let uri = format!("http://{}{path}", target.address).parse().ok();
        Self { address: target.address.clone(), uri, headers, sender: RefCell::new(None) }
    }
}

/// At most eight digits and a unit.
fn grpc_timeout(deadline: std::time::Duration) -> String {
    let micros = deadline.as_micros();
    match micros {
        0..100_000_000 => format!("{micros}u"),
        100_000_000..100_000_000_000 => format!("{}m", micros / 1000),
        _ => format!("{}S", (micros / 1_000_000).min(99_999_999)),
    }
}

/// One call at a time on a shared connection.
#[derive(Debug)]
pub(crate) struct GrpcLane {
    connection: Rc<GrpcConnection>,
}

impl GrpcLane {
    pub(crate) fn new(connection: Rc<GrpcConnection>) -> Self {
        Self { connection }
    }

    /// Opens the connection unless it is open.
    pub(crate) async fn connect(&self) -> io::Result<()> {
        if self.connection.sender.borrow().is_some() {
            return Ok(());
        }
        let stream = super::connect(&self.connection.address).await?;
        let (sender, driver) = client::Builder::new()
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .handshake(stream)
            .await
            .map_err(io::Error::other)?;
        tokio::task::spawn_local(async move {
            // What ends a connection is told to the calls on it.
            let _ = driver.await;
        });
        self.connection.sender.replace(Some(sender));
        Ok(())
    }

    /// Sends a framed message and reads the answer to its end; its bytes go into `body`, up to a limit.
    pub(crate) async fn exchange(&mut self, message: Bytes, body: Option<(&mut Vec<u8>, usize)>) -> Answer {
        if let Err(error) = self.connect().await {
            return Answer::broken(error.to_string());
        }
        match self.try_exchange(message, body).await {
            Ok(answer) => answer,
            Err(error) => {
                // A stream that the server reset leaves the connection as it was.
                if !error.is_reset() {
                    self.connection.sender.replace(None);
                }
                Answer::broken(error.to_string())
            }
        }
    }

    async fn try_exchange(
        &mut self,
        message: Bytes,
        mut body: Option<(&mut Vec<u8>, usize)>,
    ) -> Result<Answer, h2::Error> {
        let Some(sender) = self.connection.sender.borrow().clone() else {
            return Ok(Answer::broken("the connection was closed"));
        };
        let Some(uri) = self.connection.uri.clone() else { return Ok(Answer::broken("no address to send to")) };
        let mut sender = sender.ready().await?;
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        *request.headers_mut() = self.connection.headers.clone();
        let (response, mut stream) = sender.send_request(request, false)?;
        stream.send_data(message, true)?;
        let (head, mut received) = response.await?.into_parts();
        let mut bytes = 0;
        while let Some(chunk) = received.data().await {
            let chunk = chunk?;
            bytes += chunk.len();
            if let Some((body, most)) = &mut body {
                body.extend_from_slice(&chunk[..chunk.len().min(most.saturating_sub(body.len()))]);
            }
            received.flow_control().release_capacity(chunk.len())?;
        }
        let trailers = trailers(&mut received).await?;
        let status = |headers: &HeaderMap| headers.get("grpc-status")?.to_str().ok()?.parse::<u16>().ok();
        // An answer without a message has its status in the head.
        let told = trailers.as_ref().and_then(|trailers| Some((status(trailers)?, trailers)));
        let Some((status, headers)) = told.or_else(|| Some((status(&head.headers)?, &head.headers))) else {
            return Ok(if head.status.is_success() {
                Answer::broken("expected a grpc-status, got none")
            } else {
                let status = head.status.as_u16();
                let complaint = format!("HTTP status {status} from a gRPC call");
                Answer { outcome: Outcome::of_http(status), status: Some(status), complaint }
            });
        };
        let mut outcome = Outcome::of_grpc(status);
        let mut complaint = String::new();
        if outcome != Outcome::Ok {
            let text = headers.get("grpc-message").map_or(&b""[..], HeaderValue::as_bytes);
            complaint = excerpt(&text[..text.len().min(LONGEST_COMPLAINT)]);
        } else if bytes < 5 {
            outcome = Outcome::Broken;
            "expected a message with the status OK, got none".clone_into(&mut complaint);
        }
        Ok(Answer { outcome, status: Some(status), complaint })
    }
}

async fn trailers(stream: &mut RecvStream) -> Result<Option<HeaderMap>, h2::Error> {
    poll_fn(|context| stream.poll_trailers(context)).await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::grpc_timeout;

    #[test]
    fn deadlines_have_at_most_eight_digits() {
        assert_eq!(grpc_timeout(Duration::from_millis(20)), "20000u");
        assert_eq!(grpc_timeout(Duration::from_secs(100)), "100000m");
        assert_eq!(grpc_timeout(Duration::from_hours(100_000)), "99999999S");
    }
}
