//! Starting and stopping the servers: HTTP, and gRPC when it has an address.
//!
//! Each runs on a thread of its own, HTTP with actix's workers behind it; nothing of it runs on the control runtime. It
//! listens at once and says that it is not ready until the engine has loaded what it should. Stopping goes in this order:
//! readiness goes false, no connection is taken any more, running requests end within the grace, the engine ends.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use actix_web::{
    App, HttpServer,
    dev::{Server, ServerHandle},
};
use engine::Engine;

use crate::{
    grpc::{GrpcListener, GrpcServer},
    http::{self, Lane, Shared},
    logs::LogControl,
    scheduling,
    settings::ServerSettings,
    state::State,
};

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve {protocol} on {address}: {reason}")]
pub struct StartError {
    /// HTTP or gRPC.
    pub protocol: &'static str,
    /// The address of the settings.
    pub address: String,
    /// What the system said.
    pub reason: io::Error,
}

/// A server that runs. Dropping it leaves it running; see [`Running::stop`].
pub struct Running {
    address: SocketAddr,
    handle: ServerHandle,
    thread: thread::JoinHandle<io::Result<()>>,
    state: Arc<State>,
    grpc: Option<GrpcServer>,
    delay: Duration,
    grace: Duration,
}

/// Starts serving `engine` over HTTP, and over gRPC if the settings have an address for it.
///
/// # Errors
/// [`StartError`] when an address cannot be listened on.
pub fn start(settings: &ServerSettings, engine: Arc<Engine>) -> Result<Running, StartError> {
    start_with_logs(settings, engine, None)
}

/// As [`start`]; clients may change what is logged through `logs`.
///
/// # Errors
/// As [`start`].
pub fn start_with_logs(
    settings: &ServerSettings,
    engine: Arc<Engine>,
    logs: Option<LogControl>,
) -> Result<Running, StartError> {
    let failed = |reason: io::Error| StartError { protocol: "HTTP", address: settings.http.clone(), reason };
    let state = Arc::new(State::new(engine, settings, logs));
    // Both addresses are taken before anything is served.
    let grpc_failed = |reason: io::Error| StartError { protocol: "gRPC", address: settings.grpc.clone(), reason };
    let grpc = GrpcListener::bind(&settings.grpc).map_err(grpc_failed)?;
    let addresses: Vec<SocketAddr> = settings.http.to_socket_addrs().map_err(failed)?.collect();

    let (send, receive) = std::sync::mpsc::channel();
    let (settings_there, state_there) = (settings.clone(), Arc::clone(&state));
    let thread = thread::Builder::new().name("http".to_owned()).spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            match listen(&settings_there, &addresses, state_there) {
                Ok((server, address)) => {
                    // Nobody drops the receiver before it has this.
                    let _ = send.send(Ok((server.handle(), address)));
                    server.await
                }
                Err(error) => {
                    let _ = send.send(Err(error));
                    Ok(())
                }
            }
        })
    });
    let thread = thread.map_err(failed)?;
    let listening = receive.recv().map_err(|_| failed(io::Error::other("the HTTP thread ended early")))?;
    let (handle, address) = listening.map_err(failed)?;
    tracing::info!(%address, "serving HTTP");
    let grpc = grpc.map(|listener| listener.serve(settings, Arc::clone(&state))).transpose().map_err(grpc_failed)?;
    let (delay, grace) = (settings.shutdown_delay, settings.shutdown_grace);
    Ok(Running { address, handle, thread, state, grpc, delay, grace })
}

fn listen(settings: &ServerSettings, addresses: &[SocketAddr], state: Arc<State>) -> io::Result<(Server, SocketAddr)> {
    let state = Shared::from(state);
    let configure = http::configure(Shared::clone(&state));
    let mut server = HttpServer::new(move || {
        // Made once on each worker's thread.
        scheduling::read_in_gulps();
        let state = Shared::clone(&state);
        Lane::before(App::new().configure(configure.clone()), state)
    })
    .disable_signals()
    .tcp_nodelay(true)
    // A client that closes its side has gone: its request is dropped, and what waits of it is not computed.
    .h1_allow_half_closed(false)
    .keep_alive(settings.keep_alive)
    .client_request_timeout(settings.head_timeout)
    .shutdown_timeout(whole_seconds(settings.shutdown_grace));
    if settings.http_workers > 0 {
        server = server.workers(settings.http_workers);
    }
    let server = server.bind(addresses)?;
    let address = server.addrs().first().copied().ok_or(io::ErrorKind::AddrNotAvailable)?;
    Ok((server.run(), address))
}

impl Running {
    /// The address that is listened on, with the port that was found for port 0.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address that gRPC is served on, if it is.
    #[must_use]
    pub fn grpc_address(&self) -> Option<SocketAddr> {
        self.grpc.as_ref().map(GrpcServer::address)
    }

    /// Waits for SIGTERM or SIGINT (Ctrl-C elsewhere), or for a device that is lost for good, after which only another
    /// process can serve; gives the reason then.
    ///
    /// # Errors
    /// When the process cannot listen for signals.
    pub async fn until_signal(&self) -> io::Result<Ended> {
        let mut watch = tokio::time::interval(Duration::from_secs(1));
        let signal = signal();
        tokio::pin!(signal);
        loop {
            tokio::select! {
                arrived = &mut signal => return arrived.map(|()| Ended::BySignal),
                _ = watch.tick() => if let Some(reason) = self.state.engine.device_failure() {
                    return Ok(Ended::ByDevice(reason.to_string()));
                }
            }
        }
    }

    /// Says that the server is not ready, while it still answers: what a load balancer sees first.
    pub fn drain(&self) {
        self.state.drain();
    }

    /// Says that it is not ready and tells connections to close while the delay lasts; then takes no more connections, lets
    /// running requests end within the grace, and ends the engine.
    ///
    /// # Errors
    /// When a server's thread ended with an error.
    pub async fn stop(self) -> io::Result<()> {
        let Self { address, handle, thread, state, grpc, delay, grace } = self;
        state.drain();
        tracing::info!(%address, grace_seconds = grace.as_secs_f64(), "stopping");
        tokio::time::sleep(delay).await;
        let started = Instant::now();
        let stop_grpc = async {
            match grpc {
                Some(grpc) => grpc.stop(grace).await,
                None => Ok(()),
            }
        };
        let ((), grpc_ended) = tokio::join!(handle.stop(true), stop_grpc);
        state.engine.shutdown(grace.saturating_sub(started.elapsed())).await;
        state.tracer.close();
        state.access.close();
        drop(state);
        match thread.join() {
            Ok(result) => result.and(grpc_ended),
            Err(_) => Err(io::Error::other("the HTTP thread panicked")),
        }
    }
}

/// Why serving ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Somebody asked for it: exit code 0.
    BySignal,
    /// A device was lost; the process should exit with another code, so that its supervisor starts it again.
    ByDevice(String),
}

#[cfg(unix)]
async fn signal() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

#[cfg(not(unix))]
async fn signal() -> io::Result<()> {
    tokio::signal::ctrl_c().await
}

fn whole_seconds(grace: Duration) -> u64 {
    grace.as_secs() + u64::from(grace.subsec_nanos() > 0)
}
