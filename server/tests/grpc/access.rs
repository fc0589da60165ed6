//! The access log and the payload log of a gRPC server.

use std::path::Path;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use engine::{serve::ServingSettings, testing::FakeSettings};
use futures::stream;
use prost::Message;
use serde_json::Value;

use crate::harness::{Api, inference::ModelInferRequest, sum_of, wait_until};

const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";
const STREAM: &str = "/inference.GRPCInferenceService/ModelStreamInfer";

async fn lines(path: &Path, count: usize) -> Vec<Value> {
    let read = || fs_err::read_to_string(path).unwrap_or_default();
    wait_until("the log has its lines", || read().lines().count() >= count).await;
    let lines: Vec<Value> = read().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), count, "{lines:#?}");
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_logged_and_can_be_sent_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("payload");
    let log = format!("--payload-log={}", path.display());
    let flags = [log.as_str(), "--max-body=1kB"];
    let api = Api::sum_with(&FakeSettings::default(), &flags, ServingSettings::default()).await;
    let mut client = api.client().await;
    let asked = ModelInferRequest { id: "mine".to_owned(), ..sum_of(1.5, 300.0) };
    let answer = client.model_infer(asked.clone()).await.unwrap().into_inner();
    let unknown = ModelInferRequest { model_name: "nope".to_owned(), ..asked.clone() };
    client.model_infer(unknown).await.unwrap_err();
    let large = ModelInferRequest { id: "x".repeat(2000), ..asked.clone() };
    client.model_infer(large).await.unwrap_err();
    let mut answers = client.model_stream_infer(stream::iter([asked.clone()])).await.unwrap().into_inner();
    assert_eq!(answers.message().await.unwrap().unwrap().error_message, "");

    let lines = lines(&path, 4).await;
    let shown = |line: &Value| (line["path"].as_str().unwrap().to_owned(), line["status"].as_u64().unwrap());
    let expected = [(INFER, 0), (INFER, 5), (INFER, 8), (STREAM, 0)].map(|(path, status)| (path.to_owned(), status));
    assert_eq!(lines.iter().map(shown).collect::<Vec<_>>(), expected);
    for (line, cache) in [(&lines[0], "miss"), (&lines[3], "hit")] {
        assert_eq!(line["protocol"], "grpc");
        assert_eq!((&line["model"], &line["version"], &line["rows"]), (&"sum".into(), &1.into(), &1.into()));
        assert_eq!((&line["request_id"], &line["cache"]), (&"mine".into(), &cache.into()));
        assert!(line["remote"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
        let sent = BASE64_STANDARD.decode(body(line)).unwrap();
        assert_eq!(ModelInferRequest::decode(sent.as_slice()).unwrap(), asked);
        assert!(line["stages"]["decode_us"].as_f64().unwrap() > 0.0 && line["stages"]["encode_us"].is_number());
    }
    assert_eq!(lines[0]["id"], crate::harness::text(&answer, "emberline_prediction_id").unwrap());
    assert!(lines[1]["error"].as_str().unwrap().contains("'nope'"), "{}", lines[1]);
    assert!(lines[2]["remote"].is_string() && lines[2]["payload"].get("body_bytes").is_none(), "{}", lines[2]);

    let sent = BASE64_STANDARD.decode(body(&lines[0])).unwrap();
    let again = client.model_infer(ModelInferRequest::decode(sent.as_slice()).unwrap()).await.unwrap().into_inner();
    assert_eq!(again.outputs, answer.outputs);
    api.stop().await;
}

/// The body in base64: protobuf is text by chance at best.
fn body(line: &Value) -> &str {
    line["payload"]["body_base64"].as_str().unwrap()
}
