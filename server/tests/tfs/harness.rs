//! A server of fake models on free ports, and clients for it.

use std::{
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use contract::{DataType, Device, Format, Model, OpenError, VersionMetadata};
use engine::{
    Engine, EngineSettings,
    feedback::FeedbackSettings,
    jobs::JobsSettings,
    registry::RegistrySettings,
    serve::ServingSettings,
    testing::{FakeFormat, FakeModel, FakeProbe, FakeSettings},
};
use parking_lot::Mutex;
use serde_json::Value;
use server::{Running, settings::ServerSettings};
use tokio::runtime::Runtime;
use tonic::{Code, Response, Status, transport::Channel};

use self::tensorflow::{
    TensorProto, TensorShapeProto,
    serving::{
        ModelSpec, PredictRequest, model_service_client::ModelServiceClient, model_spec::VersionChoice,
        prediction_service_client::PredictionServiceClient,
    },
    tensor_shape_proto::Dim,
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

/// Opens all kinds of fake models, and keeps the probes of the first kind.
#[derive(Default)]
struct Formats {
    probes: Mutex<Vec<Arc<FakeProbe>>>,
    /// Whether the next model opened has its brake on.
    brake: Mutex<bool>,
}

impl Format for Formats {
    fn open(&self, directory: &Path) -> Result<Arc<dyn Model>, OpenError> {
        if directory.join(SCORER_FILE).exists() {
            return Ok(Arc::new(ScorerModel::default()));
        }
        if let Ok(tensors) = fs_err::read(directory.join(ECHO_FILE)) {
            return Ok(Arc::new(EchoModel::new(serde_json::from_slice(&tensors).unwrap())));
        }
        // Complains where the file is not one.
        FakeFormat.open(directory)?;
        let settings = serde_json::from_slice(&fs_err::read(directory.join("fake.json")).unwrap()).unwrap();
        let model = FakeModel::new(settings);
        if *self.brake.lock() {
            model.probe().brake();
        }
        self.probes.lock().push(model.probe());
        Ok(Arc::new(model))
    }
}

pub(crate) struct Api {
    pub(crate) engine: Arc<Engine>,
    running: Option<Running>,
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) control: Runtime,
    formats: Arc<Formats>,
    directory: tempfile::TempDir,
}

impl Api {
    /// A server without models.
    pub(crate) fn empty(flags: &[&str], serving: ServingSettings) -> Self {
        let control = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let settings = EngineSettings {
            registry: RegistrySettings {
                database_url: format!("sqlite://{}", path.join("registry.db").display()),
                artifacts_url: format!("file://{}", path.join("artifacts").display()),
                cache_dir: path.join("cache"),
            },
            features: path.join("features.redb"),
            serving,
            feedback: FeedbackSettings::default(),
            jobs: JobsSettings::new("/bin/false".into(), path.join("jobs")),
        };
        let formats = Arc::new(Formats::default());
        let opening = Engine::open(settings, vec![Device::cpu()], Arc::clone(&formats) as _, control.handle().clone());
        let engine = control.block_on(opening).unwrap();
        let flags = [&["--http", "127.0.0.1:0", "--http-workers", "1", "--grpc", "127.0.0.1:0"], flags].concat();
        let settings = ServerSettings::from_flags(flags).unwrap();
        let running = server::start(&settings, Arc::clone(&engine)).unwrap();
        let (http, grpc) = (running.address(), running.grpc_address().unwrap());
        Self { engine, running: Some(running), http, grpc, control, formats, directory }
    }

    /// A server of the model `sum`, which adds two numbers up.
    pub(crate) fn sum() -> Self {
        let api = Self::empty(&[], ServingSettings::default());
        api.publish_sum(&FakeSettings::default());
        api
    }

    /// A server without a cache, so that every answer is computed.
    pub(crate) fn uncached() -> Self {
        Self::empty(&[], ServingSettings { cache_bytes: 0, ..ServingSettings::default() })
    }

    /// Registers and loads a version of `sum`.
    pub(crate) fn publish_sum(&self, settings: &FakeSettings) -> u32 {
        let version = self.register_sum(settings);
        self.refresh();
        version
    }

    /// Registers a version of `sum`.
    pub(crate) fn register_sum(&self, settings: &FakeSettings) -> u32 {
        let artifact = tempfile::tempdir_in(self.directory.path()).unwrap();
        FakeFormat::save(artifact.path(), settings).unwrap();
        self.register("sum", artifact.path())
    }

    /// Registers and loads a model that answers what it is given.
    pub(crate) fn publish_echo(&self, name: &str, tensors: &[Echoed]) {
        let artifact = tempfile::tempdir_in(self.directory.path()).unwrap();
        fs_err::write(artifact.path().join(ECHO_FILE), serde_json::to_vec(tensors).unwrap()).unwrap();
        self.register(name, artifact.path());
        self.refresh();
    }

    /// Registers and loads the model `scorer`.
    pub(crate) fn publish_scorer(&self) {
        let artifact = tempfile::tempdir_in(self.directory.path()).unwrap();
        fs_err::write(artifact.path().join(SCORER_FILE), "").unwrap();
        self.register("scorer", artifact.path());
        self.refresh();
    }

    fn register(&self, name: &str, artifact: &Path) -> u32 {
        let publishing = self.engine.registry.publish(name, artifact, VersionMetadata::new("fake"));
        self.control.block_on(publishing).unwrap().version
    }

    pub(crate) fn refresh(&self) {
        self.control.block_on(self.engine.refresh()).unwrap();
    }

    pub(crate) fn set_alias(&self, model: &str, alias: &str, version: u32) {
        self.control.block_on(self.engine.registry.set_alias(model, alias, version)).unwrap();
        self.refresh();
    }

    /// Holds the next model back while it loads.
    pub(crate) fn brake_next_model(&self) {
        *self.formats.brake.lock() = true;
    }

    /// The probe of the fake model that was opened last.
    pub(crate) fn probe(&self) -> Arc<FakeProbe> {
        Arc::clone(self.formats.probes.lock().last().unwrap())
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "")
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Answer {
        self.send("POST", path, body)
    }

    pub(crate) fn send(&self, method: &str, path: &str, body: &str) -> Answer {
        self.send_with(method, path, &[], body)
    }

    pub(crate) fn send_with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let config =
            ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(20)));
        let agent: ureq::Agent = config.allow_non_standard_methods(true).build().into();
        let mut request = ureq::http::Request::builder().method(method).uri(format!("http://{}{path}", self.http));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.as_bytes().to_vec()).unwrap();
        let request = agent.configure_request(request).allow_non_standard_methods(true).build();
        let mut response = agent.run(request).unwrap();
        Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.body_mut().read_to_string().unwrap(),
        }
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

impl Drop for Api {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            for probe in self.formats.probes.lock().iter() {
                probe.release();
            }
            self.control.block_on(running.stop()).unwrap();
        }
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

/// What the server answered over HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

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

pub(crate) fn refusal<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String) {
    let status = answer.unwrap_err();
    (status.code(), status.message().to_owned())
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

pub(crate) fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let started = Instant::now();
    while !happened() {
        assert!(started.elapsed() < Duration::from_secs(20), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
