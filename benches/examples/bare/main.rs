//! What an engineer writes by hand in place of a prediction server, with actix-web alone: the yardstick of
//! `cargo xtask bench serve`.
//!
//! - `bytes FILE` reads the body of a request and answers with the bytes of a file: as fast as this web server goes.
//! - `dense FILE` reads the request as JSON, computes the dense net of a safetensors file, and writes the answer as JSON.
//! - `onnx FILE --library LIB` does the same with ONNX Runtime, which it loads from `LIB`.
//!
//! Try it: `cargo run --release --package benches --example bare -- --http 127.0.0.1:9000 dense net.safetensors`.

mod dense;
mod onnx;
mod protocol;

use std::{io::Write as _, path::PathBuf, sync::Arc, thread, time::Duration};

use actix_web::{App, HttpResponse, HttpServer, http::KeepAlive, web};
use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use self::{
    dense::Dense,
    onnx::OnnxNet,
    protocol::{Answer, Request},
};

const MODEL: &str = "/v2/models/{model}";
const PATH: &str = "/v2/models/{model}/infer";
/// Answered as soon as the server runs.
const READY: &str = "/ready";

#[derive(Parser)]
struct Cli {
    /// Address to serve on; port 0 takes any free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    http: String,
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Subcommand)]
enum Kind {
    /// Answers with the bytes of a file.
    Bytes {
        file: PathBuf,
        /// The answer's content type.
        #[arg(long, default_value = "application/json")]
        content_type: String,
        /// File that describes the model, for clients that ask for it before they begin.
        #[arg(long)]
        metadata: Option<PathBuf>,
    },
    /// Computes a dense net with loops.
    Dense { file: PathBuf },
    /// Computes a net with ONNX Runtime.
    Onnx {
        file: PathBuf,
        /// The shared library of ONNX Runtime.
        #[arg(long)]
        library: PathBuf,
    },
}

/// A net that computes one row; each of the web server's threads has one of its own.
trait Net {
    fn run(&mut self, row: &[f32]) -> Result<Vec<f32>>;
}

fn main() -> Result<()> {
    let Cli { http, kind } = Cli::parse();
    match kind {
        Kind::Bytes { file, content_type, metadata } => {
            let bytes = web::Bytes::from(fs_err::read(file)?);
            let metadata = metadata.map(fs_err::read).transpose()?.map(web::Bytes::from);
            serve(&http, move |config| {
                let (bytes, content_type) = (bytes.clone(), content_type.clone());
                let answer = move |body: web::Bytes| {
                    // The body is read whole, as any server must.
                    let _ = std::hint::black_box(body.len());
                    let (bytes, content_type) = (bytes.clone(), content_type.clone());
                    async move { HttpResponse::Ok().content_type(content_type).body(bytes) }
                };
                config.route(PATH, web::post().to(answer));
                if let Some(metadata) = metadata.clone() {
                    let tell = move || {
                        let metadata = metadata.clone();
                        async move { HttpResponse::Ok().content_type("application/json").body(metadata) }
                    };
                    config.route(MODEL, web::get().to(tell));
                }
            })
        }
        Kind::Dense { file } => {
            let net = Arc::new(Dense::read(&file)?);
            serve(&http, move |config| computing(config, net.scratch()))
        }
        Kind::Onnx { file, library } => {
            let environment = onnx::load(&library)?;
            // What cannot be opened should be told now, and once.
            drop(OnnxNet::open(&environment, &file)?);
            serve(&http, move |config| match OnnxNet::open(&environment, &file) {
                Ok(net) => computing(config, net),
                // It could be opened a moment ago; without its route, every request fails.
                Err(error) => say(&format!("{error:#}")),
            })
        }
    }
}

/// Serves what `configure` adds until the process ends, with as many threads as Emberline has, one a core, and tells the
/// address in a line.
fn serve(address: &str, configure: impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static) -> Result<()> {
    let workers = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let ready = || async { HttpResponse::Ok().finish() };
    let app = move || App::new().configure(configure.clone()).route(READY, web::get().to(ready));
    let server = HttpServer::new(app)
        .workers(workers)
        .tcp_nodelay(true)
        .keep_alive(KeepAlive::Timeout(Duration::from_secs(75)))
        .client_request_timeout(Duration::from_secs(5))
        .bind(address)
        .with_context(|| format!("cannot serve on {address}"))?;
    let address = server.addrs().first().copied().context("there is no address")?;
    say(&address.to_string());
    Ok(actix_web::rt::System::new().block_on(server.run())?)
}

/// Adds the route of a net. Each thread of the server calls this for itself.
fn computing(config: &mut web::ServiceConfig, net: impl Net + 'static) {
    let net = web::Data::new(std::cell::RefCell::new(net));
    let handler = move |model: web::Path<String>, request: web::Json<Request>| {
        let net = net.clone();
        async move {
            let row = match request.row() {
                Ok(row) => row,
                Err(wrong) => return HttpResponse::BadRequest().body(wrong),
            };
            match net.borrow_mut().run(row) {
                Ok(y) => HttpResponse::Ok().json(Answer::new(&model, y)),
                Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
            }
        }
    };
    config.route(PATH, web::post().to(handler));
}

#[expect(clippy::print_stdout, reason = "whoever started it reads the address")]
fn say(line: &str) {
    println!("{line}");
    // Nobody may be listening.
    let _ = std::io::stdout().flush();
}
