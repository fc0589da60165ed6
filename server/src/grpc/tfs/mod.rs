//! TensorFlow Serving's calls, over the engine.
//!
//! Requests come as bytes ([`Unread`]) and are read by the calls themselves: predictions straight into tensors ([`tensor`]), examples
//! into those of the model they are for ([`examples`]). Outputs go back in the typed fields, as TensorFlow Serving sends them. What
//! HTTP says of a prediction in headers stands in the metadata of the answer, under the same names.

mod examples;
#[cfg(feature = "fuzzing")]
pub(super) mod fuzzing;
mod message;
mod metadata;
mod tensor;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use engine::serve::{CacheUse, PredictRequest, Prediction};
use tonic::{Request, Response, Status};

use self::{
    generated::serving::{
        Class, ClassificationResponse, ClassificationResult, Classifications, GetModelMetadataResponse,
        GetModelStatusResponse, ModelSpec, MultiInferenceResponse, PredictResponse, Regression, RegressionResponse,
        RegressionResult, ReloadConfigResponse, model_service_server::ModelService, model_spec::VersionChoice,
        prediction_service_server::PredictionService,
    },
    message::{ExamplesMessage, MetadataMessage, PredictMessage},
};
use super::{codec::Incoming, guard::Deadline, response::described};
use crate::{
    ApiError,
    access::Access,
    cache_control,
    state::State,
    tfs::{
        Method, SERVING_DEFAULT,
        results::{self, Classified, Regressed},
        status::model_status,
    },
};

/// What the protobuf compiler wrote; see `build.rs`.
#[expect(
    unused_qualifications,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::pedantic,
    reason = "generated code has habits of its own, and requests are read without it"
)]
pub(super) mod generated {
    tonic::include_proto!("tensorflow");

    pub(crate) mod error {
        tonic::include_proto!("tensorflow.error");
    }

    pub(crate) mod serving {
        tonic::include_proto!("tensorflow.serving");
    }
}

/// A request that its call reads.
#[derive(Clone, Debug)]
pub(crate) struct Unread(Bytes);

impl Incoming for Unread {
    fn read(message: Bytes) -> Result<Self, ApiError> {
        Ok(Self(message))
    }
}

/// Most bytes that repeated elements of a request may take, if bodies may be that long: a request of a few bytes says how many.
const MOST_REPEATED: usize = 4 << 20;

type Answer<T> = Result<Response<T>, Status>;

/// `tensorflow.serving.PredictionService`.
pub(super) struct PredictionCalls {
    state: Arc<State>,
}

impl PredictionCalls {
    pub(super) const fn new(state: Arc<State>) -> Self {
        Self { state }
    }

    /// Bytes that repeated elements of a request may take.
    fn most_repeated(&self) -> usize {
        self.state.max_body.min(MOST_REPEATED)
    }

    /// Begins the line of a call in the access log.
    fn access(&self, method: Method, request: &Request<Unread>) -> Access<'_> {
        let path = match method {
            Method::Predict => "/tensorflow.serving.PredictionService/Predict",
            Method::Classify => "/tensorflow.serving.PredictionService/Classify",
            Method::Regress => "/tensorflow.serving.PredictionService/Regress",
        };
        let mut access = self.state.access.grpc(path, request.remote_addr());
        access.body(&request.get_ref().0);
        access
    }

    async fn predicted(
        &self,
        request: Request<Unread>,
        access: &mut Access<'_>,
    ) -> Result<Response<PredictResponse>, ApiError> {
        let (timeout, cache, Unread(bytes)) = parts(request);
        let received = Some(Instant::now());
        let (head, call) = {
            let message = PredictMessage::read(&bytes)?;
            let name = message.head.named(Method::Predict)?;
            access.asked(&name.model);
            // An unknown model costs no tensors.
            name.deployment(&self.state.engine)?;
            let inputs = message.tensors(self.most_repeated())?;
            let outputs = message.outputs;
            let call = PredictRequest { outputs, timeout, cache, received, ..PredictRequest::new(&name.model, inputs) };
            (message.head, call)
        };
        // They need not wait in the queue.
        drop(bytes);
        let name = head.named(Method::Predict)?;
        let prediction = name.predict(&self.state.engine, call).await?;
        let outputs = prediction.outputs.iter().map(|output| Ok((output.name().to_owned(), tensor::encode(output)?)));
        let message = PredictResponse {
            model_spec: Some(answered(&prediction, head.signature)),
            outputs: outputs.collect::<Result<_, ApiError>>()?,
        };
        access.predicted(&prediction, prediction.timing.encoded());
        Ok(described(message, &prediction))
    }

    async fn classified(
        &self,
        request: Request<Unread>,
        access: &mut Access<'_>,
    ) -> Result<Response<ClassificationResponse>, ApiError> {
        let (timeout, cache, Unread(bytes)) = parts(request);
        let ExamplesMessage { head, input } = ExamplesMessage::read(&bytes)?;
        let name = head.named(Method::Classify)?;
        access.asked(&name.model);
        let read = |signature: &_| examples::read(&input, signature, self.most_repeated());
        let Classified { prediction, labels, scores } =
            results::classify(&self.state.engine, &name, timeout, cache, read).await?;
        let class = |(label, score): (&String, &f32)| Class { label: label.clone(), score: *score };
        let row = |scores: &[f32]| Classifications { classes: labels.iter().zip(scores).map(class).collect() };
        let message = ClassificationResponse {
            result: Some(ClassificationResult {
                classifications: scores.chunks(labels.len().max(1)).map(row).collect(),
            }),
            model_spec: Some(answered(&prediction, head.signature)),
        };
        access.predicted(&prediction, prediction.timing.encoded());
        Ok(described(message, &prediction))
    }

    async fn regressed(
        &self,
        request: Request<Unread>,
        access: &mut Access<'_>,
    ) -> Result<Response<RegressionResponse>, ApiError> {
        let (timeout, cache, Unread(bytes)) = parts(request);
        let ExamplesMessage { head, input } = ExamplesMessage::read(&bytes)?;
        let name = head.named(Method::Regress)?;
        access.asked(&name.model);
        let read = |signature: &_| examples::read(&input, signature, self.most_repeated());
        let Regressed { prediction, values } =
            results::regress(&self.state.engine, &name, timeout, cache, read).await?;
        let regressions = values.into_iter().map(|value| Regression { value }).collect();
        let message = RegressionResponse {
            result: Some(RegressionResult { regressions }),
            model_spec: Some(answered(&prediction, head.signature)),
        };
        access.predicted(&prediction, prediction.timing.encoded());
        Ok(described(message, &prediction))
    }
}

#[tonic::async_trait]
impl PredictionService for PredictionCalls {
    async fn classify(&self, request: Request<Unread>) -> Answer<ClassificationResponse> {
        let mut access = self.access(Method::Classify, &request);
        let answer = self.classified(request, &mut access).await;
        Ok(access.end_call(answer)?)
    }

    async fn regress(&self, request: Request<Unread>) -> Answer<RegressionResponse> {
        let mut access = self.access(Method::Regress, &request);
        let answer = self.regressed(request, &mut access).await;
        Ok(access.end_call(answer)?)
    }

    async fn predict(&self, request: Request<Unread>) -> Answer<PredictResponse> {
        let mut access = self.access(Method::Predict, &request);
        let answer = self.predicted(request, &mut access).await;
        Ok(access.end_call(answer)?)
    }

    async fn multi_inference(&self, _: Request<Unread>) -> Answer<MultiInferenceResponse> {
        Err(Status::unimplemented("expected one method a call (Predict, Classify or Regress), got MultiInference"))
    }

    async fn get_model_metadata(&self, request: Request<Unread>) -> Answer<GetModelMetadataResponse> {
        let Unread(bytes) = request.into_inner();
        let name = MetadataMessage::read(&bytes)?;
        Ok(Response::new(metadata::metadata_response(&*name.deployment(&self.state.engine)?)))
    }
}

/// `tensorflow.serving.ModelService`.
pub(super) struct ModelCalls {
    state: Arc<State>,
}

impl ModelCalls {
    pub(super) const fn new(state: Arc<State>) -> Self {
        Self { state }
    }
}

#[tonic::async_trait]
impl ModelService for ModelCalls {
    async fn get_model_status(&self, request: Request<Unread>) -> Answer<GetModelStatusResponse> {
        let Unread(bytes) = request.into_inner();
        let name = message::StatusMessage::read(&bytes)?;
        let status = model_status(&self.state.engine, &name).await?;
        Ok(Response::new(metadata::status_response(status)))
    }

    async fn handle_reload_config_request(&self, _: Request<Unread>) -> Answer<ReloadConfigResponse> {
        Err(Status::unimplemented(
            "expected models and labels to be changed in the registry, from where they are loaded, got a config to reload",
        ))
    }
}

/// How long the client still waits, what the cache may do for it, and the message.
fn parts(request: Request<Unread>) -> (Option<Duration>, CacheUse, Unread) {
    let left = request.extensions().get().map(|Deadline(deadline)| deadline.saturating_duration_since(Instant::now()));
    let cache = cache_control::of_metadata(request.metadata());
    (left, cache, request.into_inner())
}

/// The model, version and signature that answered.
fn answered(prediction: &Prediction, asked: String) -> ModelSpec {
    let signature_name = if asked.is_empty() { SERVING_DEFAULT.to_owned() } else { asked };
    ModelSpec {
        name: prediction.model.to_string(),
        version_choice: Some(VersionChoice::Version(prediction.version.into())),
        signature_name,
    }
}
