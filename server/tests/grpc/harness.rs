//! The server of fake models, and gRPC clients for it.

#[expect(dead_code, reason = "other tests need more of it")]
#[path = "../harness/mod.rs"]
mod shared;

use std::sync::Arc;

use contract::Model;
use engine::{serve::ServingSettings, testing::FakeSettings};
use tonic::{
    Status,
    codegen::http::{HeaderMap, Request, Uri},
    transport::Channel,
};

use self::inference::{
    InferParameter, InferTensorContents, ModelInferRequest, ModelInferResponse,
    grpc_inference_service_client::GrpcInferenceServiceClient,
    infer_parameter::ParameterChoice,
    model_infer_request::{InferInputTensor, InferRequestedOutputTensor},
};
pub(crate) use self::shared::{House as Api, refusal, wait_until};
use crate::datatypes::EchoModel;

/// A client as anyone would generate it.
#[expect(
    unused_qualifications,
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    clippy::enum_variant_names,
    clippy::pedantic,
    reason = "generated code has habits of its own"
)]
pub(crate) mod inference {
    include!(concat!(env!("OUT_DIR"), "/client/inference.rs"));
}

/// The standard health checks, likewise.
#[expect(
    unused_qualifications,
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    clippy::pedantic,
    reason = "generated code has habits of its own"
)]
pub(crate) mod health {
    include!(concat!(env!("OUT_DIR"), "/client/grpc.health.v1.rs"));
}

/// File that marks the artifact of an [`EchoModel`].
const ECHO_FILE: &str = "echo";

pub(crate) type Client = GrpcInferenceServiceClient<Channel>;

impl Api {
    /// A server of the model `sum`, which adds two numbers up.
    pub(crate) async fn sum() -> Self {
        Self::sum_with(&FakeSettings::default(), &[], ServingSettings::default()).await
    }

    /// The same with other settings.
    pub(crate) async fn sum_with(settings: &FakeSettings, flags: &[&str], serving: ServingSettings) -> Self {
        let api = Self::empty(flags, serving).await;
        api.publish("sum", settings).await;
        api
    }

    /// Registers and loads the model `echo`.
    pub(crate) async fn publish_echo(&self) {
        let open = |directory: &std::path::Path| {
            directory.join(ECHO_FILE).exists().then(|| Arc::new(EchoModel::default()) as Arc<dyn Model>)
        };
        self.publish_other("echo", open, |artifact| fs_err::write(artifact.join(ECHO_FILE), "").unwrap()).await;
    }

    pub(crate) async fn client(&self) -> Client {
        let client = GrpcInferenceServiceClient::connect(format!("http://{}", self.grpc)).await.unwrap();
        client.max_decoding_message_size(usize::MAX)
    }

    /// Status and `error` of an HTTP request.
    pub(crate) fn http_error(&self, path: &str, body: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.http);
        tokio::task::block_in_place(|| {
            let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
            let mut response = agent.post(url).send(body).unwrap();
            let answer: serde_json::Value = response.body_mut().read_json().unwrap();
            (response.status().as_u16(), answer["error"].as_str().unwrap_or_default().to_owned())
        })
    }

    /// Sends the head of a call, and a body that ends unless `unfinished`, as bare HTTP/2; gives the status.
    pub(crate) async fn bare(
        &self,
        method: &str,
        headers: &[(&'static str, &str)],
        body: &[u8],
        unfinished: bool,
    ) -> Status {
        let stream = tokio::net::TcpStream::connect(self.grpc).await.unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        let connection = tokio::spawn(connection);
        let uri: Uri = format!("http://{}/{method}", self.grpc).parse().unwrap();
        let mut request = Request::post(uri).header("te", "trailers").header("content-type", "application/grpc");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut client = client.ready().await.unwrap();
        let (response, mut sender) = client.send_request(request.body(()).unwrap(), false).unwrap();
        // The server may answer by the head alone, before this is sent.
        let _ = sender.send_data(body.to_vec().into(), !unfinished);
        let head: HeaderMap = response.await.unwrap().into_parts().0.headers;
        connection.abort();
        Status::from_header_map(&head).expect("expected an answer without a body, got one")
    }
}

/// An input of type FP32 with typed contents.
pub(crate) fn floats(name: &str, shape: &[i64], values: &[f32]) -> InferInputTensor {
    InferInputTensor {
        name: name.to_owned(),
        datatype: "FP32".to_owned(),
        shape: shape.to_vec(),
        contents: Some(InferTensorContents { fp32_contents: values.to_vec(), ..InferTensorContents::default() }),
        ..InferInputTensor::default()
    }
}

/// A request for model `sum` of one row.
pub(crate) fn sum_of(one: f32, other: f32) -> ModelInferRequest {
    ModelInferRequest {
        model_name: "sum".to_owned(),
        inputs: vec![floats("features", &[1, 2], &[one, other])],
        ..ModelInferRequest::default()
    }
}

pub(crate) fn output(name: &str) -> InferRequestedOutputTensor {
    InferRequestedOutputTensor { name: name.to_owned(), ..InferRequestedOutputTensor::default() }
}

pub(crate) fn parameter(choice: ParameterChoice) -> InferParameter {
    InferParameter { parameter_choice: Some(choice) }
}

/// A parameter of an answer as text.
pub(crate) fn text(answer: &ModelInferResponse, key: &str) -> Option<String> {
    match answer.parameters.get(key)?.parameter_choice.clone()? {
        ParameterChoice::StringParam(text) => Some(text),
        other => panic!("expected text as {key}, got {other:?}"),
    }
}
