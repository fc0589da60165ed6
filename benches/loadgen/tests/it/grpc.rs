use std::{
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use bytes::Bytes;
use h2::server;
use loadgen::{Input, Load, Pace, Protocol, RequestSpec, Requests, Signature, Target};
use parking_lot::Mutex;
use tokio::{net::TcpListener, runtime::Builder};

/// A gRPC server that answers with the statuses of `statuses` in turn, and tells what it got.
fn serve(statuses: &'static [u16]) -> (String, mpsc::Receiver<(http::HeaderMap, Vec<u8>)>) {
    let (told, calls) = mpsc::channel();
    let (started, address) = mpsc::channel();
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            started.send(listener.local_addr().unwrap().to_string()).unwrap();
            let next = Arc::new(Mutex::new(0));
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (told, next) = (told.clone(), Arc::clone(&next));
                tokio::spawn(async move {
                    let Ok(mut connection) = server::handshake(stream).await else { return };
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        let status = {
                            let mut next = next.lock();
                            *next += 1;
                            statuses[(*next - 1) % statuses.len()]
                        };
                        tokio::spawn(answer(request, respond, status, told.clone()));
                    }
                });
            }
        });
    });
    (address.recv().unwrap(), calls)
}

async fn answer(
    request: http::Request<h2::RecvStream>,
    mut respond: server::SendResponse<Bytes>,
    status: u16,
    told: mpsc::Sender<(http::HeaderMap, Vec<u8>)>,
) {
    let (head, mut stream) = request.into_parts();
    let mut body = Vec::new();
    while let Some(Ok(chunk)) = stream.data().await {
        let _ = stream.flow_control().release_capacity(chunk.len());
        body.extend_from_slice(&chunk);
    }
    let _ = told.send((head.headers, body));
    let response = http::Response::builder().header("content-type", "application/grpc");
    if status == 0 {
        let mut send = respond.send_response(response.body(()).unwrap(), false).unwrap();
        let _ = send.send_data(Bytes::from_static(b"\0\0\0\0\x03\n\x01m"), false);
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let _ = send.send_trailers(trailers);
    } else if status == 99 {
        respond.send_reset(h2::Reason::INTERNAL_ERROR);
    } else {
        let response = response.header("grpc-status", status).header("grpc-message", "so it is");
        let _ = respond.send_response(response.body(()).unwrap(), true);
    }
}

fn load(address: &str, spec: &RequestSpec) -> (Load, Arc<Requests>) {
    let target = Target::parse(address, Some(Protocol::Grpc), "m").unwrap();
    let input = Input { name: "x".to_owned(), datatype: contract::DataType::Fp32, shape: vec![-1, 3] };
    let requests = Arc::new(Requests::prepare(&target, &Signature { inputs: vec![input] }, spec).unwrap());
    let load = Load { warmup: Duration::ZERO, stages: false, streams: 4, ..Load::new(target) };
    (load, requests)
}

#[test]
fn calls_share_connections_and_carry_their_deadline() {
    let (address, calls) = serve(&[0]);
    let spec = RequestSpec { timeout: Some(Duration::from_millis(500)), ..RequestSpec::default() };
    let (load, requests) = load(&address, &spec);
    let load = Load { pace: Pace::Count { concurrency: 10, requests: 200 }, ..load };
    let report = load.run(&requests, &mut |_| {}).unwrap();
    assert_eq!(report.counts.ok, 200, "{:?} {:?}", report.counts, report.first_failure);
    // 10 calls at a time, 4 on a connection.
    assert_eq!(report.generator.connections, 3);
    let (headers, body) = calls.recv().unwrap();
    assert_eq!([&headers["grpc-timeout"], &headers["content-type"]], ["500000u", "application/grpc"]);
    assert_eq!(u32::from_be_bytes(body[1..5].try_into().unwrap()) as usize, body.len() - 5);
    let bodies: std::collections::BTreeSet<_> = calls.try_iter().map(|(_, body)| body).collect();
    assert_eq!(bodies.len(), 199);
}

#[test]
fn statuses_are_told_apart() {
    let (address, _calls) = serve(&[0, 8, 14, 4, 13, 99]);
    let (load, requests) = load(&address, &RequestSpec::default());
    let load = Load { pace: Pace::Count { concurrency: 1, requests: 60 }, ..load };
    let report = load.run(&requests, &mut |_| {}).unwrap();
    let counts = report.counts;
    assert_eq!(
        (counts.ok, counts.refused, counts.deadline, counts.failed, counts.broken),
        (10, 20, 10, 10, 10),
        "{counts:?} {:?}",
        report.first_failure
    );
    assert_eq!(report.statuses[&13], 10);
    assert_eq!(report.first_failure.as_deref(), Some("status 8: so it is"));
    // A stream that was reset did not cost the connection.
    assert_eq!(report.generator.connections, 1);
}
