//! The calls of the Open Inference Protocol, over the engine: where each is answered.

use std::sync::Arc;

use contract::TensorSpec;
use engine::{registry::VersionSelector, serve::VersionState};
use tonic::{Request, Response, Status, Streaming};

use super::{
    codec::UnreadInfer,
    generated::{
        CudaSharedMemoryRegisterRequest, CudaSharedMemoryRegisterResponse, CudaSharedMemoryStatusRequest,
        CudaSharedMemoryStatusResponse, CudaSharedMemoryUnregisterRequest, CudaSharedMemoryUnregisterResponse,
        LogSettingsRequest, LogSettingsResponse, ModelConfigRequest, ModelConfigResponse, ModelInferResponse,
        ModelMetadataRequest, ModelMetadataResponse, ModelReadyRequest, ModelReadyResponse, ModelStatisticsRequest,
        ModelStatisticsResponse, RepositoryIndexRequest, RepositoryIndexResponse, RepositoryModelLoadRequest,
        RepositoryModelLoadResponse, RepositoryModelUnloadRequest, RepositoryModelUnloadResponse, ServerLiveRequest,
        ServerLiveResponse, ServerMetadataRequest, ServerMetadataResponse, ServerReadyRequest, ServerReadyResponse,
        SystemSharedMemoryRegisterRequest, SystemSharedMemoryRegisterResponse, SystemSharedMemoryStatusRequest,
        SystemSharedMemoryStatusResponse, SystemSharedMemoryUnregisterRequest, SystemSharedMemoryUnregisterResponse,
        TraceSettingRequest, TraceSettingResponse, grpc_inference_service_server::GrpcInferenceService,
        model_metadata_response::TensorMetadata,
    },
    guard::{Deadline, MODEL_INFER},
    infer::{infer, selector},
    repository,
    response::described,
    settings, shared_memory, statistics,
    stream::{Answers, answers},
};
use crate::{
    ApiError, cache_control,
    oip::{PLATFORM, extensions, ready_versions},
    state::State,
};

type Answer<T> = Result<Response<T>, Status>;

/// The service.
pub(super) struct InferenceService {
    state: Arc<State>,
}

impl InferenceService {
    pub(super) const fn new(state: Arc<State>) -> Self {
        Self { state }
    }
}

#[tonic::async_trait]
impl GrpcInferenceService for InferenceService {
    async fn server_live(&self, _: Request<ServerLiveRequest>) -> Answer<ServerLiveResponse> {
        Ok(Response::new(ServerLiveResponse { live: true }))
    }

    async fn server_ready(&self, _: Request<ServerReadyRequest>) -> Answer<ServerReadyResponse> {
        Ok(Response::new(ServerReadyResponse { ready: self.state.ready().is_ok() }))
    }

    /// False, and no error, for a model that is unknown: clients ask until it is there.
    async fn model_ready(&self, request: Request<ModelReadyRequest>) -> Answer<ModelReadyResponse> {
        let ModelReadyRequest { name, version } = request.into_inner();
        let selector = selector(&name, &version)?;
        let takes_requests = |state: VersionState| state == VersionState::Ready;
        let ready = self.state.ready().is_ok()
            && self
                .state
                .engine
                .deployment(&name, &selector)
                .is_ok_and(|deployment| takes_requests(deployment.state()));
        Ok(Response::new(ModelReadyResponse { ready }))
    }

    async fn server_metadata(&self, _: Request<ServerMetadataRequest>) -> Answer<ServerMetadataResponse> {
        Ok(Response::new(ServerMetadataResponse {
            name: PLATFORM.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            extensions: extensions(&self.state).map(str::to_owned).collect(),
        }))
    }

    async fn model_metadata(&self, request: Request<ModelMetadataRequest>) -> Answer<ModelMetadataResponse> {
        let ModelMetadataRequest { name, version } = request.into_inner();
        let selector = selector(&name, &version)?;
        let deployment = self.state.engine.deployment(&name, &selector).map_err(ApiError::from)?;
        let versions = match selector {
            VersionSelector::Version(version) => vec![version.to_string()],
            VersionSelector::Default | VersionSelector::Alias(_) => ready_versions(&self.state.engine, &name),
        };
        let signature = deployment.model().signature();
        Ok(Response::new(ModelMetadataResponse {
            name,
            versions,
            platform: PLATFORM.to_owned(),
            inputs: tensor_metadata(&signature.inputs),
            outputs: tensor_metadata(&signature.outputs),
        }))
    }

    async fn model_infer(&self, request: Request<UnreadInfer>) -> Answer<ModelInferResponse> {
        let deadline = request.extensions().get().map(|Deadline(deadline)| *deadline);
        let cache = cache_control::of_metadata(request.metadata());
        let access = self.state.access.grpc(MODEL_INFER, request.remote_addr());
        let (response, prediction) = infer(&self.state, request.into_inner(), deadline, cache, access).await?;
        Ok(described(response, &prediction))
    }

    type ModelStreamInferStream = Answers;

    async fn model_stream_infer(&self, request: Request<Streaming<UnreadInfer>>) -> Answer<Answers> {
        let deadline = request.extensions().get().map(|Deadline(deadline)| *deadline);
        let cache = cache_control::of_metadata(request.metadata());
        let remote = request.remote_addr();
        Ok(Response::new(answers(Arc::clone(&self.state), request.into_inner(), deadline, cache, remote)))
    }

    async fn model_config(&self, request: Request<ModelConfigRequest>) -> Answer<ModelConfigResponse> {
        let ModelConfigRequest { name, version } = request.into_inner();
        let selector = selector(&name, &version)?;
        let deployment = self.state.engine.deployment(&name, &selector).map_err(ApiError::from)?;
        let config = Some(repository::configuration(&self.state, &deployment));
        Ok(Response::new(ModelConfigResponse { config }))
    }

    async fn model_statistics(&self, request: Request<ModelStatisticsRequest>) -> Answer<ModelStatisticsResponse> {
        Ok(Response::new(statistics::statistics(&self.state, request.get_ref())?))
    }

    async fn repository_index(&self, request: Request<RepositoryIndexRequest>) -> Answer<RepositoryIndexResponse> {
        Ok(Response::new(repository::index(&self.state, request.into_inner()).await?))
    }

    async fn repository_model_load(
        &self,
        request: Request<RepositoryModelLoadRequest>,
    ) -> Answer<RepositoryModelLoadResponse> {
        repository::load(&self.state, request.into_inner()).await?;
        Ok(Response::new(RepositoryModelLoadResponse {}))
    }

    async fn repository_model_unload(
        &self,
        request: Request<RepositoryModelUnloadRequest>,
    ) -> Answer<RepositoryModelUnloadResponse> {
        repository::unload(&self.state, request.into_inner()).await?;
        Ok(Response::new(RepositoryModelUnloadResponse {}))
    }

    async fn system_shared_memory_status(
        &self,
        request: Request<SystemSharedMemoryStatusRequest>,
    ) -> Answer<SystemSharedMemoryStatusResponse> {
        Ok(Response::new(shared_memory::system_status(&self.state, request.get_ref())?))
    }

    async fn system_shared_memory_register(
        &self,
        request: Request<SystemSharedMemoryRegisterRequest>,
    ) -> Answer<SystemSharedMemoryRegisterResponse> {
        Ok(Response::new(shared_memory::system_register(&self.state, request.into_inner())?))
    }

    async fn system_shared_memory_unregister(
        &self,
        request: Request<SystemSharedMemoryUnregisterRequest>,
    ) -> Answer<SystemSharedMemoryUnregisterResponse> {
        Ok(Response::new(shared_memory::system_unregister(&self.state, request.get_ref())))
    }

    async fn cuda_shared_memory_status(
        &self,
        request: Request<CudaSharedMemoryStatusRequest>,
    ) -> Answer<CudaSharedMemoryStatusResponse> {
        Ok(Response::new(shared_memory::cuda_status(request.get_ref())?))
    }

    async fn cuda_shared_memory_register(
        &self,
        request: Request<CudaSharedMemoryRegisterRequest>,
    ) -> Answer<CudaSharedMemoryRegisterResponse> {
        Ok(Response::new(shared_memory::cuda_register(request.get_ref())?))
    }

    async fn cuda_shared_memory_unregister(
        &self,
        request: Request<CudaSharedMemoryUnregisterRequest>,
    ) -> Answer<CudaSharedMemoryUnregisterResponse> {
        Ok(Response::new(shared_memory::cuda_unregister(request.get_ref())))
    }

    async fn trace_setting(&self, request: Request<TraceSettingRequest>) -> Answer<TraceSettingResponse> {
        Ok(Response::new(settings::trace(&self.state, request.into_inner()).await?))
    }

    async fn log_settings(&self, request: Request<LogSettingsRequest>) -> Answer<LogSettingsResponse> {
        Ok(Response::new(settings::logs(&self.state, request.into_inner())?))
    }
}

fn tensor_metadata(specs: &[TensorSpec]) -> Vec<TensorMetadata> {
    let one = |spec: &TensorSpec| TensorMetadata {
        name: spec.name.clone(),
        datatype: spec.datatype.name().to_owned(),
        shape: spec.oip_shape(),
    };
    specs.iter().map(one).collect()
}
