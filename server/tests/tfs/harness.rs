//! The server of fake models, and clients for its side of TensorFlow Serving.

#[expect(dead_code, reason = "other tests need more of it")]
#[path = "../harness/mod.rs"]
mod shared;

use std::sync::Arc;

use bytes::Bytes;
use contract::{DataType, Model};
use engine::serve::ServingSettings;
use tonic::{Response, Status, transport::Channel};

pub(crate) use self::shared::{
    blocking::{Api, wait_until},
    refusal,
};
use self::{
    shared::blocking::Answer,
    tensorflow::{
        TensorProto, TensorShapeProto,
        serving::{
            ModelSpec, PredictRequest, model_service_client::ModelServiceClient, model_spec::VersionChoice,
            prediction_service_client::PredictionServiceClient,
        },
        tensor_shape_proto::Dim,
    },
};
use crate::{
    echo::{EchoModel, Echoed},
    scorer::ScorerModel,
};

/// A client as anyone would generate it.
#[expect(
    unused_qualifications,
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    clippy::enum_variant_names,
    clippy::pedantic,
    reason = "generated code has habits of its own"
)]
pub(crate) mod tensorflow {
    include!(concat!(env!("OUT_DIR"), "/client/tensorflow.rs"));

    pub(crate) mod error {
        include!(concat!(env!("OUT_DIR"), "/client/tensorflow.error.rs"));
    }

    pub(crate) mod serving {
        include!(concat!(env!("OUT_DIR"), "/client/tensorflow.serving.rs"));
    }
}

/// Files that mark the artifacts of an [`EchoModel`] and of a [`ScorerModel`].
const ECHO_FILE: &str = "echo.json";
const SCORER_FILE: &str = "scorer";

impl Api {
    /// A server without a cache, so that every answer is computed.
    pub(crate) fn uncached() -> Self {
        Self::empty(&[], ServingSettings { cache_bytes: 0, ..ServingSettings::default() })
    }

    /// Registers and loads a model that answers what it is given.
    pub(crate) fn publish_echo(&self, name: &str, tensors: &[Echoed]) {
        let open = |directory: &std::path::Path| {
            let tensors = fs_err::read(directory.join(ECHO_FILE)).ok()?;
            Some(Arc::new(EchoModel::new(serde_json::from_slice(&tensors).unwrap())) as Arc<dyn Model>)
        };
        let tensors = serde_json::to_vec(tensors).unwrap();
        self.publish_other(name, open, |artifact| fs_err::write(artifact.join(ECHO_FILE), tensors).unwrap());
    }

    /// Registers and loads the model `scorer`.
    pub(crate) fn publish_scorer(&self) {
        let open = |directory: &std::path::Path| {
            directory.join(SCORER_FILE).exists().then(|| Arc::new(ScorerModel::default()) as Arc<dyn Model>)
        };
        self.publish_other("scorer", open, |artifact| fs_err::write(artifact.join(SCORER_FILE), "").unwrap());
    }

    fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.grpc)).unwrap();
        self.control.block_on(endpoint.connect()).unwrap()
    }

    pub(crate) fn client(&self) -> PredictionServiceClient<Channel> {
        PredictionServiceClient::new(self.channel()).max_decoding_message_size(usize::MAX)
    }

    pub(crate) fn models(&self) -> ModelServiceClient<Channel> {
        ModelServiceClient::new(self.channel())
    }

    /// Sends `message` as it is to a method of the prediction service; gives the status.
    pub(crate) fn call_raw(&self, method: &'static str, message: &[u8]) -> Result<(), Status> {
        let mut client = tonic::client::Grpc::new(self.channel());
        let path = format!("/tensorflow.serving.PredictionService/{method}").parse().unwrap();
        self.control.block_on(async {
            client.ready().await.unwrap();
            let request = tonic::Request::new(RawMessage(Bytes::copy_from_slice(message)));
            let codec = tonic_prost::ProstCodec::<RawMessage, RawMessage>::default();
            client.unary(request, path, codec).await.map(|_: Response<RawMessage>| ())
        })
    }
}

/// A message as bytes, whatever is in them.
#[derive(Clone, Debug, Default)]
struct RawMessage(Bytes);

impl prost::Message for RawMessage {
    fn encode_raw(&self, buffer: &mut impl bytes::BufMut) {
        buffer.put_slice(&self.0);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: prost::encoding::WireType,
        buffer: &mut impl bytes::Buf,
        context: prost::encoding::DecodeContext,
    ) -> Result<(), prost::DecodeError> {
        prost::encoding::skip_field(wire_type, tag, buffer, context)
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

impl Answer {
    /// The body of an answer that is no error.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body
    }

    /// The sentence of an error, which is the whole of its body.
    pub(crate) fn error(&self) -> String {
        let body = self.json();
        let members = body.as_object().unwrap();
        assert!(self.status >= 400 && members.len() == 1, "{self:?}");
        members["error"].as_str().unwrap().to_owned()
    }
}

/// A model as requests name it.
pub(crate) fn model_spec(name: &str, version: Option<VersionChoice>) -> ModelSpec {
    ModelSpec { name: name.to_owned(), version_choice: version, signature_name: String::new() }
}

/// A tensor without elements.
pub(crate) fn tensor(datatype: tensorflow::DataType, shape: &[i64]) -> TensorProto {
    let dim = |size: &i64| Dim { size: *size, name: String::new() };
    let tensor_shape = TensorShapeProto { dim: shape.iter().map(dim).collect(), unknown_rank: false };
    TensorProto { dtype: datatype.into(), tensor_shape: Some(tensor_shape), ..TensorProto::default() }
}

/// A tensor of FP32.
pub(crate) fn floats(shape: &[i64], values: &[f32]) -> TensorProto {
    TensorProto { float_val: values.to_vec(), ..tensor(tensorflow::DataType::DtFloat, shape) }
}

/// A request for all outputs of a model with one input.
pub(crate) fn request(model: &str, input: &str, tensor: TensorProto) -> PredictRequest {
    PredictRequest {
        model_spec: Some(model_spec(model, None)),
        inputs: [(input.to_owned(), tensor)].into(),
        output_filter: Vec::new(),
    }
}

/// TensorFlow's number of a datatype.
pub(crate) const fn dtype(datatype: DataType) -> tensorflow::DataType {
    use tensorflow::DataType as Dtype;
    match datatype {
        DataType::Bool => Dtype::DtBool,
        DataType::Uint8 => Dtype::DtUint8,
        DataType::Uint16 => Dtype::DtUint16,
        DataType::Uint32 => Dtype::DtUint32,
        DataType::Uint64 => Dtype::DtUint64,
        DataType::Int8 => Dtype::DtInt8,
        DataType::Int16 => Dtype::DtInt16,
        DataType::Int32 => Dtype::DtInt32,
        DataType::Int64 => Dtype::DtInt64,
        DataType::Fp16 => Dtype::DtHalf,
        DataType::Bf16 => Dtype::DtBfloat16,
        DataType::Fp32 => Dtype::DtFloat,
        DataType::Fp64 => Dtype::DtDouble,
        DataType::Bytes => Dtype::DtString,
    }
}
