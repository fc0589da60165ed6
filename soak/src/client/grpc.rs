//! Requests over gRPC, with as much of the protocol's messages as they need.

use std::collections::HashMap;

use prost::Message;
use tonic::{Code, Request, Status, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel};
use tonic_prost::ProstCodec;

use crate::{
    plan::{Act, Wanted},
    verdict::{Answer, End},
};

const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";

#[derive(Clone, PartialEq, Message)]
struct InferRequest {
    #[prost(string, tag = "1")]
    model_name: String,
    #[prost(string, tag = "2")]
    model_version: String,
    #[prost(string, tag = "3")]
    id: String,
    #[prost(map = "string, message", tag = "4")]
    parameters: HashMap<String, Parameter>,
    #[prost(message, repeated, tag = "5")]
    inputs: Vec<Tensor>,
    #[prost(bytes = "vec", repeated, tag = "7")]
    raw_inputs: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct Parameter {
    #[prost(int64, optional, tag = "2")]
    number: Option<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct Tensor {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    datatype: String,
    #[prost(int64, repeated, tag = "3")]
    shape: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct InferResponse {
    #[prost(string, tag = "1")]
    model_name: String,
    #[prost(string, tag = "2")]
    model_version: String,
    #[prost(string, tag = "3")]
    id: String,
    #[prost(message, repeated, tag = "5")]
    outputs: Vec<Tensor>,
    #[prost(bytes = "vec", repeated, tag = "6")]
    raw_outputs: Vec<Vec<u8>>,
}

/// Asks and waits for the answer.
pub(crate) async fn ask(channel: &Channel, act: &Act, id: &str, number: Option<u32>) -> End {
    let version = match act.wanted {
        Wanted::Default => String::new(),
        Wanted::Alias(alias) => alias.to_owned(),
        Wanted::Number(_) => number.map(|number| number.to_string()).unwrap_or_default(),
    };
    let values = act.rows.iter().flat_map(|row| [f32::from(*row), act.fault.marker()]);
    let whole = |number: i64| Parameter { number: Some(number) };
    let mut parameters = HashMap::new();
    if let Some(timeout) = act.timeout {
        parameters.insert("timeout".to_owned(), whole(timeout.as_micros() as i64));
    }
    if act.priority > 0 {
        parameters.insert("priority".to_owned(), whole(i64::from(act.priority)));
    }
    let message = InferRequest {
        model_name: act.model.name().to_owned(),
        model_version: version,
        id: id.to_owned(),
        parameters,
        inputs: vec![Tensor {
            name: "features".to_owned(),
            datatype: "FP32".to_owned(),
            shape: vec![i64::try_from(act.rows.len()).unwrap_or(i64::MAX), 2],
        }],
        raw_inputs: vec![values.flat_map(f32::to_le_bytes).collect()],
    };
    let mut client = Grpc::new(channel.clone());
    if let Err(error) = client.ready().await {
        return End::Closed(error.to_string());
    }
    let codec: ProstCodec<InferRequest, InferResponse> = ProstCodec::default();
    match client.unary(Request::new(message), PathAndQuery::from_static(INFER), codec).await {
        Ok(response) => answered(response.into_inner()),
        Err(status) => refused(&status),
    }
}

fn answered(response: InferResponse) -> End {
    let InferResponse { model_name, model_version, id, outputs, raw_outputs } = response;
    let values = |wanted: &str| {
        let at = outputs.iter().position(|output| output.name == wanted);
        let raw = at.and_then(|at| raw_outputs.get(at)).map(Vec::as_slice).unwrap_or_default();
        raw.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    };
    let (y, twice) = (values("y"), values("twice"));
    End::Answered(Answer { model: model_name, version: model_version, id, y, twice })
}

/// The status that HTTP has for the same.
fn refused(status: &Status) -> End {
    let code = match status.code() {
        Code::InvalidArgument => 400,
        Code::NotFound => 404,
        Code::Unavailable => 503,
        Code::DeadlineExceeded => 504,
        Code::Internal => 500,
        other => return End::Closed(format!("{other:?}: {}", status.message())),
    };
    End::Refused(code, status.message().to_owned())
}
