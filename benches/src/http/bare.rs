//! The limit: an actix-web handler that reads the body and returns bytes it holds already.

use std::{net::TcpListener, sync::mpsc, thread};

use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::{Context, Result};

/// Starts the server in a thread of its own, where it stays until the program ends, and gives its address.
pub(crate) fn start(answer: Vec<u8>) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    let (started, wait) = mpsc::channel();
    thread::spawn(move || {
        let answer = web::Bytes::from(answer);
        let server = HttpServer::new(move || {
            let answer = answer.clone();
            App::new().route(
                "/v2/models/{model}/infer",
                web::post().to(move |body: web::Bytes| {
                    // The body is read whole, as any server must.
                    let _ = std::hint::black_box(body.len());
                    let answer = answer.clone();
                    async move { HttpResponse::Ok().content_type("application/json").body(answer) }
                }),
            )
        })
        .workers(thread::available_parallelism().map_or(1, std::num::NonZero::get))
        .listen(listener);
        actix_web::rt::System::new().block_on(async move {
            let running = server.map(HttpServer::run);
            let _ = started.send(());
            match running {
                Ok(server) => server.await,
                Err(error) => Err(error),
            }
        })
    });
    wait.recv().context("the bare server did not start")?;
    Ok(address)
}
