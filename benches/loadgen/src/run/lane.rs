//! A lane carries one request at a time: over a connection of its own (HTTP), or as a stream of a shared one (gRPC).

use std::{io, rc::Rc, time::Instant};

use bytes::Bytes;

use crate::{
    client::{Answer, GrpcConnection, GrpcLane, HttpConnection},
    encode::Message,
};

#[derive(Debug)]
pub(super) enum Lane {
    Http { address: Rc<str>, connection: Option<HttpConnection>, scratch: Vec<u8> },
    Grpc(GrpcLane),
}

impl Lane {
    pub(super) fn http(address: &Rc<str>) -> Self {
        Self::Http { address: Rc::clone(address), connection: None, scratch: Vec::new() }
    }

    pub(super) fn grpc(connection: Rc<GrpcConnection>) -> Self {
        Self::Grpc(GrpcLane::new(connection))
    }

    /// Opens the connection unless it is open.
    pub(super) async fn ready(&mut self) -> io::Result<()> {
        match self {
            Self::Http { address, connection, scratch: _ } => {
                if !connection.as_mut().is_some_and(HttpConnection::is_usable) {
                    *connection = None;
                    *connection = Some(HttpConnection::open(address).await?);
                }
                Ok(())
            }
            Self::Grpc(lane) => lane.connect().await,
        }
    }

    /// Sends the request with its number, and waits for the answer. `sent` is told when.
    pub(super) async fn exchange(
        &mut self,
        message: &Message,
        number: u64,
        keep_complaint: bool,
        sent: impl FnOnce(Instant),
    ) -> Answer {
        if let Err(error) = self.ready().await {
            return Answer::broken(format!("cannot connect: {error}"));
        }
        match self {
            Self::Http { address: _, connection, scratch } => {
                let Some(connection) = connection else { return Answer::broken("cannot connect") };
                let bytes = if let Some(patch) = message.patch {
                    scratch.clear();
                    scratch.extend_from_slice(&message.bytes);
                    patch.apply(scratch, number);
                    &scratch[..]
                } else {
                    &message.bytes[..]
                };
                sent(Instant::now());
                connection.infer(bytes, keep_complaint).await
            }
            Self::Grpc(lane) => {
                let bytes = if let Some(patch) = message.patch {
                    let mut copy = message.bytes.to_vec();
                    patch.apply(&mut copy, number);
                    Bytes::from(copy)
                } else {
                    message.bytes.clone()
                };
                sent(Instant::now());
                lane.exchange(bytes, None).await
            }
        }
    }
}
