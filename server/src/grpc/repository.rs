//! The model repository and the model configuration: [`crate::oip`]'s answers as messages.

use std::collections::BTreeMap;

use engine::serve::Deployment;
use serde_json::Value;

use super::generated::{
    DataType, ModelConfig, ModelDynamicBatching, ModelInput, ModelInstanceGroup, ModelOptimizationPolicy, ModelOutput,
    ModelQueuePolicy, ModelRepositoryParameter, ModelResponseCache, ModelVersionPolicy, RepositoryIndexRequest,
    RepositoryIndexResponse, RepositoryModelLoadRequest, RepositoryModelUnloadRequest, model_config::SchedulingChoice,
    model_instance_group::Kind, model_optimization_policy::PinnedMemoryBuffer,
    model_repository_parameter::ParameterChoice, model_version_policy, repository_index_response::ModelIndex,
};
use crate::{
    ApiError,
    oip::{
        config::{DynamicBatching, InstanceGroup, ModelConfig as Config, QueuePolicy},
        repository::{self, ChangeRequest, IndexRequest},
    },
    state::State,
};

pub(super) async fn index(state: &State, request: RepositoryIndexRequest) -> Result<RepositoryIndexResponse, ApiError> {
    let RepositoryIndexRequest { repository_name, ready } = request;
    repository::check_repository(&repository_name)?;
    let index = repository::index(&state.engine, IndexRequest { ready }).await?;
    let one = |repository::ModelIndex { name, version, state, reason }| ModelIndex {
        name,
        version,
        state: String::from(state),
        reason,
    };
    Ok(RepositoryIndexResponse { models: index.into_iter().map(one).collect() })
}

pub(super) async fn load(state: &State, request: RepositoryModelLoadRequest) -> Result<(), ApiError> {
    let RepositoryModelLoadRequest { repository_name, model_name, parameters } = request;
    repository::check_repository(&repository_name)?;
    repository::load(state, &model_name, change(parameters)).await
}

pub(super) async fn unload(state: &State, request: RepositoryModelUnloadRequest) -> Result<(), ApiError> {
    let RepositoryModelUnloadRequest { repository_name, model_name, parameters } = request;
    repository::check_repository(&repository_name)?;
    repository::unload(&state.engine, &model_name, &change(parameters)).await
}

fn change(parameters: BTreeMap<String, ModelRepositoryParameter>) -> ChangeRequest {
    let mut change = ChangeRequest::default();
    for (name, parameter) in parameters {
        let value = match parameter.parameter_choice {
            Some(ParameterChoice::BytesParam(file)) if name.starts_with(repository::FILE) => {
                change.files.insert(name, file);
                continue;
            }
            // A file here is bytes, never base64.
            Some(ParameterChoice::StringParam(_)) if name.starts_with(repository::FILE) => Value::Null,
            Some(ParameterChoice::BoolParam(value)) => Value::from(value),
            Some(ParameterChoice::Int64Param(value)) => Value::from(value),
            Some(ParameterChoice::StringParam(value)) => Value::from(value),
            // What is in it is nowhere else allowed.
            Some(ParameterChoice::BytesParam(_)) | None => Value::Null,
        };
        change.parameters.insert(name, value);
    }
    change
}

/// The configuration that a version is served with.
pub(super) fn configuration(state: &State, deployment: &Deployment) -> ModelConfig {
    let config = Config::of(deployment, state.engine.serving.settings().cache_bytes > 0);
    let data_type = |name: &str| DataType::from_str_name(name).unwrap_or_default().into();
    let input = |input: &crate::oip::config::Input| ModelInput {
        name: input.name.clone(),
        data_type: data_type(input.data_type),
        dims: input.dims.clone(),
        ..ModelInput::default()
    };
    let output = |output: &crate::oip::config::Output| ModelOutput {
        name: output.name.clone(),
        data_type: data_type(output.data_type),
        dims: output.dims.clone(),
        ..ModelOutput::default()
    };
    ModelConfig {
        input: config.input.iter().map(input).collect(),
        output: config.output.iter().map(output).collect(),
        name: config.name,
        platform: config.platform.to_owned(),
        backend: config.backend.to_owned(),
        version_policy: Some(ModelVersionPolicy {
            policy_choice: Some(model_version_policy::PolicyChoice::All(model_version_policy::All {})),
        }),
        max_batch_size: config.max_batch_size,
        optimization: Some(ModelOptimizationPolicy {
            input_pinned_memory: Some(PinnedMemoryBuffer { enable: false }),
            output_pinned_memory: Some(PinnedMemoryBuffer { enable: false }),
            ..ModelOptimizationPolicy::default()
        }),
        scheduling_choice: Some(SchedulingChoice::DynamicBatching(batching(config.dynamic_batching))),
        instance_group: config.instance_group.iter().map(instance_group).collect(),
        response_cache: Some(ModelResponseCache { enable: config.response_cache.enable }),
        ..ModelConfig::default()
    }
}

fn batching(batching: DynamicBatching) -> ModelDynamicBatching {
    let QueuePolicy { default_timeout_microseconds, allow_timeout_override, max_queue_size, .. } =
        batching.default_queue_policy;
    ModelDynamicBatching {
        preferred_batch_size: batching.preferred_batch_size,
        max_queue_delay_microseconds: batching.max_queue_delay_microseconds,
        priority_levels: batching.priority_levels,
        default_priority_level: batching.default_priority_level,
        default_queue_policy: Some(ModelQueuePolicy {
            // REJECT, as in JSON.
            timeout_action: 0,
            default_timeout_microseconds,
            allow_timeout_override,
            max_queue_size,
        }),
        ..ModelDynamicBatching::default()
    }
}

fn instance_group(group: &InstanceGroup) -> ModelInstanceGroup {
    let kind = if group.on_gpu() { Kind::Gpu } else { Kind::Cpu };
    ModelInstanceGroup {
        name: group.name.clone(),
        kind: kind.into(),
        count: group.count,
        gpus: group.gpus.clone(),
        ..ModelInstanceGroup::default()
    }
}
