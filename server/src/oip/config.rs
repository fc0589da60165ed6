//! The configuration of a version in Triton's form: what its clients ask for before they send batches.
//!
//! It is read off the signature, the buckets, the replicas and the serving settings; nothing of it can be set here. Fields that mean nothing
//! for this server are there with Triton's defaults, because clients expect them.

use std::collections::BTreeMap;

use contract::{Axis, DataType, DeviceKind, TensorSpec};
use engine::serve::{Deployment, DeviceShare};
use serde::Serialize;

use super::PLATFORM;

/// No entries, where Triton has a map.
type Empty = BTreeMap<String, String>;

/// `ModelConfig`; the fields are Triton's, in its order.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ModelConfig {
    pub(crate) name: String,
    pub(crate) platform: &'static str,
    pub(crate) backend: &'static str,
    runtime: &'static str,
    version_policy: VersionPolicy,
    /// Most rows that are computed at once. A longer request is split, so this is no limit of requests.
    pub(crate) max_batch_size: i32,
    pub(crate) input: Vec<Input>,
    pub(crate) output: Vec<Output>,
    batch_input: [Empty; 0],
    batch_output: [Empty; 0],
    optimization: Optimization,
    pub(crate) dynamic_batching: DynamicBatching,
    /// One per device.
    pub(crate) instance_group: Vec<InstanceGroup>,
    default_model_filename: &'static str,
    cc_model_filenames: Empty,
    metric_tags: Empty,
    parameters: Empty,
    model_warmup: [Empty; 0],
    pub(crate) response_cache: Enabled,
}

/// `ModelVersionPolicy`: the versions that aliases name and the newest serve, whatever their number.
#[derive(Clone, Debug, Default, Serialize)]
struct VersionPolicy {
    all: Empty,
}

/// `ModelInput`.
#[derive(Clone, Debug, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "it is Triton's")]
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) data_type: &'static str,
    format: &'static str,
    /// Without the axis of rows.
    pub(crate) dims: Vec<i64>,
    is_shape_tensor: bool,
    allow_ragged_batch: bool,
    optional: bool,
    is_non_linear_format_io: bool,
}

/// `ModelOutput`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Output {
    pub(crate) name: String,
    pub(crate) data_type: &'static str,
    /// Without the axis of rows.
    pub(crate) dims: Vec<i64>,
    label_filename: &'static str,
    is_shape_tensor: bool,
    is_non_linear_format_io: bool,
}

#[derive(Clone, Debug, Serialize)]
struct Optimization {
    priority: &'static str,
    input_pinned_memory: Enabled,
    output_pinned_memory: Enabled,
    gather_kernel_buffer_threshold: u32,
    eager_batching: bool,
}

/// Something that is on or off.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Enabled {
    pub(crate) enable: bool,
}

/// `ModelDynamicBatching`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct DynamicBatching {
    /// The buckets: sizes that batches are padded to, each of them warm.
    pub(crate) preferred_batch_size: Vec<i32>,
    pub(crate) max_queue_delay_microseconds: u64,
    preserve_ordering: bool,
    pub(crate) priority_levels: u64,
    pub(crate) default_priority_level: u64,
    pub(crate) default_queue_policy: QueuePolicy,
    priority_queue_policy: Empty,
}

/// `ModelQueuePolicy`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct QueuePolicy {
    timeout_action: &'static str,
    pub(crate) default_timeout_microseconds: u64,
    pub(crate) allow_timeout_override: bool,
    /// In rows.
    pub(crate) max_queue_size: u32,
}

/// `ModelInstanceGroup`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct InstanceGroup {
    pub(crate) name: String,
    kind: &'static str,
    pub(crate) count: i32,
    /// The GPU's number; none on the CPU.
    pub(crate) gpus: Vec<i32>,
    secondary_devices: [Empty; 0],
    profile: [String; 0],
    passive: bool,
    host_policy: &'static str,
}

impl ModelConfig {
    /// The configuration that a version is served with, in a process that caches answers or does not.
    pub(crate) fn of(deployment: &Deployment, caches: bool) -> Self {
        let serving = deployment.settings();
        // Triton has no levels where ours has one.
        let levels = |level: u32| if serving.priority_levels > 1 { u64::from(level) } else { 0 };
        let signature = deployment.model().signature();
        let name = deployment.name().to_string();
        let devices = deployment.devices();
        // Those of its first device: one of another kind may use others, which the protocol has no place for.
        let kind = devices.first().map_or(DeviceKind::Cpu, |share| share.device.kind);
        let batches = buckets(deployment.model().buckets(kind), serving.max_batch_rows);
        Self {
            platform: PLATFORM,
            backend: PLATFORM,
            runtime: "",
            version_policy: VersionPolicy::default(),
            max_batch_size: batches.last().copied().unwrap_or(1),
            input: signature.inputs.iter().map(Input::of).collect(),
            output: signature.outputs.iter().map(Output::of).collect(),
            batch_input: [],
            batch_output: [],
            optimization: Optimization {
                priority: "PRIORITY_DEFAULT",
                input_pinned_memory: Enabled { enable: false },
                output_pinned_memory: Enabled { enable: false },
                gather_kernel_buffer_threshold: 0,
                eager_batching: false,
            },
            dynamic_batching: DynamicBatching {
                preferred_batch_size: batches,
                max_queue_delay_microseconds: micros(serving.max_queue_delay),
                preserve_ordering: false,
                priority_levels: levels(serving.priority_levels),
                default_priority_level: levels(serving.default_priority),
                default_queue_policy: QueuePolicy {
                    timeout_action: "REJECT",
                    default_timeout_microseconds: micros(serving.request_timeout),
                    allow_timeout_override: true,
                    max_queue_size: u32::try_from(serving.max_queue_rows).unwrap_or(u32::MAX),
                },
                priority_queue_policy: Empty::new(),
            },
            instance_group: devices.iter().enumerate().map(|(n, share)| InstanceGroup::of(&name, n, share)).collect(),
            default_model_filename: "",
            cc_model_filenames: Empty::new(),
            metric_tags: Empty::new(),
            parameters: Empty::new(),
            model_warmup: [],
            response_cache: Enabled { enable: caches && !serving.cache_ttl.is_zero() },
            name,
        }
    }
}

impl Input {
    fn of(spec: &TensorSpec) -> Self {
        Self {
            name: spec.name.clone(),
            data_type: data_type(spec.datatype),
            format: "FORMAT_NONE",
            dims: dims(spec),
            is_shape_tensor: false,
            allow_ragged_batch: false,
            optional: false,
            is_non_linear_format_io: false,
        }
    }
}

impl Output {
    fn of(spec: &TensorSpec) -> Self {
        Self {
            name: spec.name.clone(),
            data_type: data_type(spec.datatype),
            dims: dims(spec),
            label_filename: "",
            is_shape_tensor: false,
            is_non_linear_format_io: false,
        }
    }
}

impl InstanceGroup {
    fn of(model: &str, number: usize, share: &DeviceShare) -> Self {
        let DeviceShare { device, instances, memory: _ } = share;
        let (kind, gpus) = match device.kind {
            DeviceKind::Cpu => ("KIND_CPU", Vec::new()),
            DeviceKind::Wgpu | DeviceKind::Vulkan | DeviceKind::Cuda => {
                ("KIND_GPU", vec![i32::try_from(device.index).unwrap_or(i32::MAX)])
            }
        };
        Self {
            name: format!("{model}_{number}"),
            kind,
            count: i32::try_from(*instances).unwrap_or(i32::MAX),
            gpus,
            secondary_devices: [],
            profile: [],
            passive: false,
            host_policy: "",
        }
    }

    /// Whether it is on a GPU.
    pub(crate) fn on_gpu(&self) -> bool {
        !self.gpus.is_empty()
    }
}

/// The sizes that batches are padded to, ascending, as the batcher uses them: at most `max_batch_rows`, but for the smallest.
fn buckets(buckets: &[usize], max_batch_rows: usize) -> Vec<i32> {
    let mut buckets: Vec<usize> = buckets.iter().copied().filter(|bucket| *bucket > 0).collect();
    buckets.sort_unstable();
    buckets.dedup();
    let used = buckets.iter().filter(|bucket| **bucket <= max_batch_rows).count().max(1);
    buckets.truncate(used);
    buckets.into_iter().map(|bucket| i32::try_from(bucket).unwrap_or(i32::MAX)).collect()
}

fn dims(spec: &TensorSpec) -> Vec<i64> {
    spec.shape.iter().filter(|axis| !matches!(axis, Axis::Batch)).map(Axis::oip).collect()
}

/// The name of an element type in Triton's configuration.
fn data_type(datatype: DataType) -> &'static str {
    match datatype {
        DataType::Bool => "TYPE_BOOL",
        DataType::Uint8 => "TYPE_UINT8",
        DataType::Uint16 => "TYPE_UINT16",
        DataType::Uint32 => "TYPE_UINT32",
        DataType::Uint64 => "TYPE_UINT64",
        DataType::Int8 => "TYPE_INT8",
        DataType::Int16 => "TYPE_INT16",
        DataType::Int32 => "TYPE_INT32",
        DataType::Int64 => "TYPE_INT64",
        DataType::Fp16 => "TYPE_FP16",
        DataType::Bf16 => "TYPE_BF16",
        DataType::Fp32 => "TYPE_FP32",
        DataType::Fp64 => "TYPE_FP64",
        DataType::Bytes => "TYPE_STRING",
    }
}

fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use contract::{Device, MemoryUse};

    use super::*;

    #[test]
    fn batches_are_the_buckets_in_use() {
        assert_eq!(buckets(&[64, 1, 8, 8, 0], 512), [1, 8, 64]);
        assert_eq!(buckets(&[64, 1, 8], 63), [1, 8]);
        assert_eq!(buckets(&[64, 128], 8), [64]);
    }

    #[test]
    fn a_gpu_is_named_by_its_number() {
        let on = |kind, index| {
            let device = Device { kind, index, name: String::new() };
            let group = InstanceGroup::of("m", 1, &DeviceShare { device, instances: 3, memory: MemoryUse::default() });
            assert_eq!((group.name.as_str(), group.count), ("m_1", 3));
            (group.kind, group.gpus)
        };
        assert_eq!(on(DeviceKind::Cpu, 0), ("KIND_CPU", vec![]));
        assert_eq!(on(DeviceKind::Cuda, 1), ("KIND_GPU", vec![1]));
    }
}
