//! The statistics extension: what happened to requests of each version since it was loaded.

use std::sync::Arc;

use contract::DeviceKind;
use engine::{
    Engine,
    monitor::{BatchStatistics, StatisticDuration, VersionStatistics},
    serve::{Deployment, DeviceShare},
};
use serde::Serialize;

use crate::error::ApiError;

/// The answer, one entry per version.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Statistics {
    pub(crate) model_stats: Vec<ModelStatistics>,
}

/// One version.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ModelStatistics {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Milliseconds from the Unix epoch to its last answer; 0 before the first.
    pub(crate) last_inference: u64,
    /// Rows computed.
    pub(crate) inference_count: u64,
    /// Batches run.
    pub(crate) execution_count: u64,
    pub(crate) inference_stats: InferStatistics,
    pub(crate) response_stats: ResponseStatistics,
    /// By exact number of rows, ascending.
    pub(crate) batch_stats: Vec<BatchStatistics>,
    pub(crate) memory_usage: Vec<MemoryUsage>,
}

/// Requests, by what they spent their time on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct InferStatistics {
    pub(crate) success: StatisticDuration,
    pub(crate) fail: StatisticDuration,
    pub(crate) queue: StatisticDuration,
    pub(crate) compute_input: StatisticDuration,
    pub(crate) compute_infer: StatisticDuration,
    pub(crate) compute_output: StatisticDuration,
    pub(crate) cache_hit: StatisticDuration,
    pub(crate) cache_miss: StatisticDuration,
}

/// Responses of models that give several to one request; no model here does, so there is nothing to tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct ResponseStatistics {}

/// Memory that a version holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct MemoryUsage {
    /// `CPU` or `GPU`.
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    /// Number of the device among those of its kind.
    pub(crate) id: i64,
    pub(crate) byte_size: u64,
}

/// Statistics of one version, of all versions of a model, or of all models.
///
/// # Errors
/// [`ApiError::BadRequest`] for a model or version that does not serve, which is what Triton answers.
pub(crate) fn statistics(engine: &Engine, model: Option<&str>, version: Option<&str>) -> Result<Statistics, ApiError> {
    let deployments = engine.serving.deployments();
    let named = |deployment: &&Arc<Deployment>| model.is_none_or(|model| **deployment.name() == *model);
    let of_model: Vec<_> = deployments.iter().filter(named).collect();
    if let Some(model) = model
        && of_model.is_empty()
    {
        return Err(ApiError::BadRequest(format!("requested model '{model}' is not available")));
    }
    let number = version.map(|version| (version, version.parse::<u32>().ok()));
    let model_stats: Vec<_> = of_model
        .into_iter()
        .filter(|deployment| number.is_none_or(|(_, number)| number == Some(deployment.version())))
        .map(|deployment| ModelStatistics::of(deployment))
        .collect();
    if let Some((version, _)) = number
        && model_stats.is_empty()
    {
        let model = model.unwrap_or_default();
        return Err(ApiError::BadRequest(format!("requested version {version} of model '{model}' is not available")));
    }
    Ok(Statistics { model_stats })
}

impl ModelStatistics {
    fn of(deployment: &Deployment) -> Self {
        let VersionStatistics {
            last_inference,
            inference_count,
            execution_count,
            success,
            fail,
            queue,
            compute_input,
            compute_infer,
            compute_output,
            cache_hit,
            cache_miss,
            failures: _,
            batches,
        } = deployment.statistics();
        let inference_stats = InferStatistics {
            success,
            fail,
            queue,
            compute_input,
            compute_infer,
            compute_output,
            cache_hit,
            cache_miss,
        };
        Self {
            name: deployment.name().to_string(),
            version: deployment.version().to_string(),
            last_inference,
            inference_count,
            execution_count,
            inference_stats,
            response_stats: ResponseStatistics {},
            batch_stats: batches,
            memory_usage: deployment.devices().iter().map(MemoryUsage::of).collect(),
        }
    }
}

impl MemoryUsage {
    fn of(share: &DeviceShare) -> Self {
        let DeviceShare { device, instances: _, memory } = share;
        Self {
            kind: if device.kind == DeviceKind::Cpu { "CPU" } else { "GPU" },
            id: i64::try_from(device.index).unwrap_or(i64::MAX),
            byte_size: memory.weights.saturating_add(memory.activations),
        }
    }
}
