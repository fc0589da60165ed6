//! Streams of requests: every one answered, in order, whatever the others are.

use std::time::{Duration, Instant};

use engine::{serve::ServingSettings, testing::FakeSettings};
use futures::{StreamExt, stream};
use prost::Message;
use tokio::sync::mpsc;
use tonic::{
    Code, Streaming,
    codec::CompressionEncoding,
    codegen::http::{Request, Uri},
};

use crate::harness::{
    Api, floats,
    inference::{ModelInferRequest, ModelStreamInferResponse, infer_parameter::ParameterChoice},
    parameter, sum_of, wait_until,
};

const STREAM: &str = "inference.GRPCInferenceService/ModelStreamInfer";

/// Requests that are sent one after the other, and the answers.
struct Call {
    requests: mpsc::UnboundedSender<ModelInferRequest>,
    answers: Streaming<ModelStreamInferResponse>,
}

impl Call {
    async fn open(api: &Api) -> Self {
        let (requests, mut waiting) = mpsc::unbounded_channel();
        let sent = stream::poll_fn(move |context| waiting.poll_recv(context));
        let answers = api.client().await.model_stream_infer(sent).await.unwrap().into_inner();
        Self { requests, answers }
    }

    fn send(&self, request: ModelInferRequest) {
        self.requests.send(request).unwrap();
    }

    async fn next(&mut self) -> ModelStreamInferResponse {
        tokio::time::timeout(Duration::from_secs(20), self.answers.message()).await.unwrap().unwrap().unwrap()
    }
}

fn named(id: usize, one: f32) -> ModelInferRequest {
    ModelInferRequest { id: id.to_string(), ..sum_of(one, 1.0) }
}

fn sum(answer: &ModelStreamInferResponse) -> (String, f32) {
    assert_eq!(answer.error_message, "");
    let answer = answer.infer_response.as_ref().unwrap();
    (answer.id.clone(), answer.outputs[0].contents.as_ref().unwrap().fp32_contents[0])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_requests_are_answered_in_order() {
    let api = Api::sum().await;
    let requests = (0..1000_usize).map(|number| named(number, number as f32));
    let mut answers = api.client().await.model_stream_infer(stream::iter(requests)).await.unwrap().into_inner();
    for number in 0..1000_usize {
        let answer = answers.message().await.unwrap().unwrap();
        assert_eq!(sum(&answer), (number.to_string(), number as f32 + 1.0));
    }
    assert_eq!(answers.message().await.unwrap(), None);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_request_is_answered_and_the_stream_goes_on() {
    let api = Api::sum().await;
    let mut call = Call::open(&api).await;
    call.send(named(0, 1.0));
    call.send(ModelInferRequest { model_name: "nope".to_owned(), ..named(1, 1.0) });
    call.send(ModelInferRequest { inputs: vec![floats("features", &[2, 2], &[1.0])], ..named(2, 1.0) });
    let mut last = named(3, 5.0);
    last.parameters
        .insert("triton_enable_empty_final_response".to_owned(), parameter(ParameterChoice::BoolParam(true)));
    call.send(last);
    assert_eq!(sum(&call.next().await), ("0".to_owned(), 2.0));
    for (id, part) in [("1", "unknown model 'nope'"), ("2", "asks for 4 elements")] {
        let answer = call.next().await;
        assert!(answer.error_message.contains(part), "{answer:?}");
        let response = answer.infer_response.unwrap();
        assert_eq!((response.id.as_str(), response.outputs.len()), (id, 0));
    }
    let answer = call.next().await;
    assert_eq!(sum(&answer), ("3".to_owned(), 6.0));
    let parameters = answer.infer_response.unwrap().parameters;
    assert_eq!(parameters["triton_final_response"], parameter(ParameterChoice::BoolParam(true)));
    drop(call.requests);
    assert_eq!(call.answers.message().await.unwrap(), None);
    api.stop().await;
}

/// Bytes that are no request, between two that are, by a client of bare HTTP/2.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_cannot_be_read_is_answered_too() {
    let api = Api::sum().await;
    let broken = [&[0, 0, 0, 0, 5][..], &[0x1a, 1, b'x', 0x0a, 0x50]].concat();
    let sent = [frame(&named(0, 1.0)), broken, frame(&named(2, 2.0))].concat();
    // In pieces of every kind: within prefixes, within messages, over several messages.
    for size in [1, 3, 7, 64, sent.len()] {
        let (answers, code) = bare(&api, &sent, size).await;
        assert_eq!(code, Code::Ok, "pieces of {size}");
        let [first, second, third] = answers.as_slice() else { panic!("{answers:?}") };
        assert_eq!((sum(first), sum(third)), (("0".to_owned(), 2.0), ("2".to_owned(), 3.0)));
        assert!(second.error_message.contains("not valid protobuf"), "{second:?}");
        assert_eq!(second.infer_response.as_ref().unwrap().id, "x");
    }
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_message_ends_the_stream_behind_the_others() {
    let api = Api::sum_with(&FakeSettings::default(), &["--max-body", "1kB"], ServingSettings::default()).await;
    for (end, code) in [
        // Announced as too long; of an unknown form; cut off.
        (&[0, 255, 255, 255, 255][..], Code::ResourceExhausted),
        (&[9, 0, 0, 0, 1, 1], Code::InvalidArgument),
        (&[0, 0, 0, 0, 9, 1], Code::InvalidArgument),
        (&[0, 0], Code::InvalidArgument),
    ] {
        let (answers, ended) = bare(&api, &[&frame(&named(0, 1.0)), end].concat(), 1000).await;
        assert_eq!((answers.len(), ended), (1, code), "{end:?}");
        assert_eq!(sum(&answers[0]).1, 2.0);
    }
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_has_begun_comes_in_time_and_the_next_may_wait() {
    let api = Api::sum_with(&FakeSettings::default(), &["--body-timeout", "150ms"], ServingSettings::default()).await;
    let mut call = Call::open(&api).await;
    for number in 0..3 {
        call.send(named(number, 1.0));
        assert_eq!(sum(&call.next().await).0, number.to_string());
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    drop(call);
    let (mut sender, response) = head(&api, &[]).await;
    sender.send_data([frame(&named(0, 1.0)), vec![0, 0]].concat().into(), false).unwrap();
    let (answers, code) = read(response).await;
    assert_eq!((answers.len(), code), (1, Code::DeadlineExceeded));
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compressed_requests_are_taken() {
    let api = Api::sum().await;
    let mut client = api.client().await.send_compressed(CompressionEncoding::Gzip);
    let requests = stream::iter((0..10).map(|number| named(number, 1.0)));
    let answers: Vec<_> = client.model_stream_infer(requests).await.unwrap().into_inner().collect().await;
    assert_eq!(answers.len(), 10);
    assert!(answers.iter().all(|answer| sum(answer.as_ref().unwrap()).1 == 2.0));
    api.stop().await;
}

/// A client that reads nothing is not written to for ever: the server stops taking requests from it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_holds_up_itself_alone() {
    let api = Api::sum().await;
    let taken = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&taken);
    let rows = 2000_usize;
    let total = 600_usize;
    let requests = stream::iter(0..total).map(move |number| {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let values = vec![number as f32; 2 * rows];
        let shape = [i64::try_from(rows).unwrap(), 2];
        ModelInferRequest {
            id: number.to_string(),
            inputs: vec![floats("features", &shape, &values)],
            ..sum_of(0.0, 0.0)
        }
    });
    let mut answers = api.client().await.model_stream_infer(requests).await.unwrap().into_inner();
    let mut before = usize::MAX;
    let standing = || {
        let now = taken.load(std::sync::atomic::Ordering::Relaxed);
        std::mem::replace(&mut before, now) == now
    };
    let mut standing = standing;
    let started = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_millis(300)).await;
        if standing() {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "it takes more and more");
    }
    let held = taken.load(std::sync::atomic::Ordering::Relaxed);
    assert!(held < total, "all {held} were taken");
    // Others are served meanwhile, and then everything comes.
    assert!(api.client().await.model_infer(sum_of(1.0, 2.0)).await.is_ok());
    for number in 0..total {
        let answer = answers.message().await.unwrap().unwrap();
        assert_eq!(sum(&answer), (number.to_string(), 2.0 * number as f32));
    }
    assert_eq!(answers.message().await.unwrap(), None);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_cancels_what_waits() {
    let one_by_one = FakeSettings { buckets: vec![1], golden: false, ..FakeSettings::default() };
    let serving = ServingSettings { max_batch_rows: 1, cache_bytes: 0, ..ServingSettings::default() };
    let api = Api::sum_with(&one_by_one, &[], serving).await;
    let probe = api.probe();
    probe.brake();
    let call = Call::open(&api).await;
    for number in 0..20 {
        call.send(named(number, number as f32));
    }
    wait_until("some are on the device", || probe.rows() > 0).await;
    drop(call);
    // The connection's end has to arrive.
    tokio::time::sleep(Duration::from_millis(300)).await;
    probe.release();
    let mut client = api.client().await;
    assert!(client.model_infer(sum_of(1.0, 2.0)).await.is_ok());
    // Two tickets may have been in flight; the others never reached the device.
    assert!(probe.rows() < 10, "{} rows were computed", probe.rows());
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_given_up_is_not_computed() {
    let one_by_one = FakeSettings { buckets: vec![1], golden: false, ..FakeSettings::default() };
    let serving = ServingSettings { max_batch_rows: 1, cache_bytes: 0, ..ServingSettings::default() };
    let api = Api::sum_with(&one_by_one, &[], serving).await;
    let probe = api.probe();
    probe.brake();
    let client = api.client().await;
    let calls: Vec<_> = (0..20_u8)
        .map(|number| {
            let mut client = client.clone();
            tokio::spawn(async move { client.model_infer(sum_of(f32::from(number), 0.0)).await })
        })
        .collect();
    let pending = || api.engine.serving.deployments()[0].pending_requests();
    wait_until("all have come", || pending() == 20).await;
    for call in &calls {
        call.abort();
    }
    // The streams are reset, and that is noticed while the device still holds everything back.
    wait_until("all are noticed to be gone", || pending() == 0).await;
    probe.release();
    assert!(api.client().await.model_infer(sum_of(1.0, 2.0)).await.is_ok());
    assert!(probe.rows() <= 2, "{} rows were computed", probe.rows());
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_has_the_time_its_header_gives() {
    let api = Api::sum().await;
    let (mut sender, response) = head(&api, &[("grpc-timeout", "300m")]).await;
    sender.send_data(frame(&named(0, 1.0)).into(), false).unwrap();
    let started = Instant::now();
    let (answers, code) = read(response).await;
    assert_eq!((answers.len(), code), (1, Code::DeadlineExceeded));
    assert!(started.elapsed() < Duration::from_secs(10));
    api.stop().await;
}

/// What was sent is answered, and then the client is told that the server goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_stream_does_not_hold_up_the_end() {
    let mut api = Api::sum().await;
    let probe = api.probe();
    let mut call = Call::open(&api).await;
    call.send(named(0, 1.0));
    assert_eq!(sum(&call.next().await).1, 2.0);
    probe.brake();
    let before = probe.batches().len();
    call.send(named(1, 5.0));
    wait_until("it is on the device", || probe.batches().len() > before).await;
    let started = Instant::now();
    let stopping = tokio::spawn(api.running.take().unwrap().stop());
    tokio::time::sleep(Duration::from_millis(100)).await;
    probe.release();
    assert_eq!(sum(&call.next().await), ("1".to_owned(), 6.0));
    let ended = call.answers.message().await.unwrap_err();
    assert_eq!((ended.code(), ended.message()), (Code::Unavailable, "the server is shutting down"));
    stopping.await.unwrap().unwrap();
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

fn frame(request: &ModelInferRequest) -> Vec<u8> {
    let message = request.encode_to_vec();
    [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), &message].concat()
}

/// Opens a call of bare HTTP/2.
async fn head(
    api: &Api,
    headers: &[(&'static str, &str)],
) -> (h2::SendStream<bytes::Bytes>, h2::client::ResponseFuture) {
    let stream = tokio::net::TcpStream::connect(api.grpc).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let uri: Uri = format!("http://{}/{STREAM}", api.grpc).parse().unwrap();
    let mut request = Request::post(uri).header("te", "trailers").header("content-type", "application/grpc");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut client = client.ready().await.unwrap();
    let (response, sender) = client.send_request(request.body(()).unwrap(), false).unwrap();
    (sender, response)
}

/// Sends bytes in pieces and reads all answers.
async fn bare(api: &Api, sent: &[u8], size: usize) -> (Vec<ModelStreamInferResponse>, Code) {
    let (mut sender, response) = head(api, &[]).await;
    let mut pieces = sent.chunks(size).peekable();
    while let Some(piece) = pieces.next() {
        // The server may have ended the call before.
        if sender.send_data(piece.to_vec().into(), pieces.peek().is_none()).is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    read(response).await
}

async fn read(response: h2::client::ResponseFuture) -> (Vec<ModelStreamInferResponse>, Code) {
    let (head, mut body) = tokio::time::timeout(Duration::from_secs(20), response).await.unwrap().unwrap().into_parts();
    let mut came = Vec::new();
    while let Some(data) = tokio::time::timeout(Duration::from_secs(20), body.data()).await.unwrap() {
        came.extend_from_slice(&data.unwrap());
    }
    let trailers = body.trailers().await.unwrap();
    let status = trailers.as_ref().unwrap_or(&head.headers).get("grpc-status").unwrap();
    let code = Code::from_bytes(status.as_bytes());
    let mut answers = Vec::new();
    let mut rest = came.as_slice();
    while let Some((prefix, behind)) = rest.split_first_chunk::<5>() {
        let length = usize::try_from(u32::from_be_bytes(prefix[1..].try_into().unwrap())).unwrap();
        let (message, behind) = behind.split_at(length);
        answers.push(ModelStreamInferResponse::decode(message).unwrap());
        rest = behind;
    }
    (answers, code)
}
