//! The Open Inference Protocol and TensorFlow Serving's calls ([`tfs`]) over gRPC, on a port of their own.
//!
//! They run beside HTTP on threads of their own and share with it the engine, the readiness and the map of errors. Requests are read
//! straight into tensors ([`request`]), answers written from them ([`response`]), both raw and typed; nothing is allocated on a
//! sender's word, only for bytes that came. A stream is read and answered
//! message by message ([`stream`]). Health checks and server reflection are those of any gRPC server.

mod body;
mod codec;
mod contents;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod guard;
mod health;
mod infer;
mod parameters;
mod protobuf;
mod repository;
mod request;
mod response;
mod service;
mod services;
mod settings;
mod shared_memory;
mod statistics;
mod status;
mod stream;
#[cfg(test)]
mod tests;
pub(crate) mod tfs;

/// What the protobuf compiler wrote; see `build.rs`.
#[expect(
    unused_qualifications,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::enum_variant_names,
    clippy::pedantic,
    reason = "generated code has habits of its own"
)]
mod generated {
    tonic::include_proto!("inference");
}

/// The same of the health checks.
#[expect(
    unused_qualifications,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::pedantic,
    reason = "generated code has habits of its own"
)]
mod generated_health {
    tonic::include_proto!("grpc.health.v1");
}

use std::{
    io,
    net::{SocketAddr, TcpListener, ToSocketAddrs},
    sync::Arc,
    thread,
    time::Duration,
};

use tokio::{
    runtime::Builder,
    sync::{oneshot, watch},
};
use tonic::transport::{Server, server::TcpIncoming};

use self::{
    guard::{Guard, Limits},
    services::Services,
};
use crate::{settings::ServerSettings, state::State};

/// Calls at once on a connection; a client waits with more.
const MOST_STREAMS: u32 = 1024;
/// Bytes that a client may send ahead on one call and on one connection: enough that a large tensor does not wait for
/// acknowledgements on a fast network.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// Largest set of headers, as on the HTTP side of most servers.
const MOST_HEADERS: u32 = 16 << 10;

/// An address that is listened on and not yet served.
pub(crate) struct GrpcListener {
    listener: TcpListener,
    address: SocketAddr,
}

impl GrpcListener {
    /// Listens on an address; none when it is empty.
    ///
    /// # Errors
    /// When it cannot be listened on.
    pub(crate) fn bind(address: &str) -> io::Result<Option<Self>> {
        if address.is_empty() {
            return Ok(None);
        }
        let addresses: Vec<SocketAddr> = address.to_socket_addrs()?.collect();
        let listener = TcpListener::bind(addresses.as_slice())?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Some(Self { listener, address }))
    }

    /// Starts the threads that serve.
    ///
    /// # Errors
    /// When they cannot be started.
    pub(crate) fn serve(self, settings: &ServerSettings, state: Arc<State>) -> io::Result<GrpcServer> {
        let Self { listener, address } = self;
        let limits = Limits { max_body: state.max_body, body_timeout: state.body_timeout };
        let keep_alive = settings.keep_alive;
        let runtime = Builder::new_multi_thread()
            .thread_name("grpc")
            .on_thread_start(crate::scheduling::read_in_gulps)
            .enable_all()
            .build()?;
        let (stop, stopping) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        // The runtime belongs to a thread, because it must not be dropped on another runtime.
        thread::Builder::new().name("grpc".to_owned()).spawn(move || {
            let result = runtime.block_on(serve(listener, state, limits, keep_alive, stopping));
            runtime.shutdown_background();
            // Whoever dropped the server does not ask how it ended.
            let _ = end.send(result);
        })?;
        tracing::info!(%address, "serving gRPC");
        Ok(GrpcServer { address, stop, ended })
    }
}

/// A gRPC server that runs. Dropping it leaves it running; see [`GrpcServer::stop`].
pub(crate) struct GrpcServer {
    address: SocketAddr,
    /// Takes the time that running calls have to end.
    stop: oneshot::Sender<Duration>,
    ended: oneshot::Receiver<io::Result<()>>,
}

impl GrpcServer {
    /// The address that is listened on, with the port that was found for port 0.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections and calls, and lets running calls end within `grace`.
    ///
    /// # Errors
    /// When the server ended with an error before.
    pub(crate) async fn stop(self, grace: Duration) -> io::Result<()> {
        let Self { address: _, stop, ended } = self;
        // When it ended by itself, it says why below.
        let _ = stop.send(grace);
        ended.await.unwrap_or_else(|_| Err(io::Error::other("the gRPC thread panicked")))
    }
}

/// Serves until told to stop; for good when nobody is left to tell.
async fn serve(
    listener: TcpListener,
    state: Arc<State>,
    limits: Limits,
    keep_alive: Duration,
    stopping: oneshot::Receiver<Duration>,
) -> io::Result<()> {
    let incoming = TcpIncoming::from(tokio::net::TcpListener::from_std(listener)?).with_nodelay(Some(true));
    let (end_streams, streams_ending) = watch::channel(false);
    let services = Services::new(&state, limits, streams_ending.clone())?;
    let guard = Guard::new(services, limits, streams_ending, state);
    let (drain, draining) = oneshot::channel();
    let served = Server::builder()
        .max_concurrent_streams(MOST_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_max_header_list_size(MOST_HEADERS)
        // A client that is gone without a word is noticed, an idle one is kept.
        .http2_keepalive_interval((!keep_alive.is_zero()).then_some(keep_alive))
        .serve_with_incoming_shutdown(guard, incoming, async {
            // It is sent below, or never and with the whole future dropped.
            let _ = draining.await;
        });
    tokio::pin!(served);
    let grace = tokio::select! {
        ended = &mut served => return ended.map_err(io::Error::other),
        Ok(grace) = stopping => grace,
    };
    let _ = drain.send(());
    // Streams would go on as long as their clients like.
    end_streams.send_replace(true);
    match tokio::time::timeout(grace, served).await {
        Ok(ended) => ended.map_err(io::Error::other),
        Err(_elapsed) => {
            tracing::warn!(
                grace_seconds = grace.as_secs_f64(),
                "gRPC calls were cut off: they took longer than the grace"
            );
            Ok(())
        }
    }
}
