//! burn's execution errors in the contract's words.

use burn::tensor::{ExecutionError, Tensor};
use contract::RunError;

/// `error` of the device with short form `device`.
pub(crate) fn run_error(device: &str, error: &ExecutionError) -> RunError {
    let device = device.to_owned();
    match error {
        ExecutionError::DevicePoisoned { reason } => RunError::DeviceLost { device, reason: one_line(reason) },
        ExecutionError::WithContext { reason } | ExecutionError::Generic { reason, backtrace: _ } => {
            failure(device, one_line(reason))
        }
    }
}

/// What a device gave as its `reason`: that there is no memory, or anything else.
pub(crate) fn failure(device: String, reason: String) -> RunError {
    // burn and CubeCL have no variant for it; these are the words of wgpu, Vulkan and CUDA.
    let words = ["out of memory", "OutOfMemory", "OUT_OF_MEMORY", "out of device memory"];
    if words.iter().any(|word| reason.contains(word)) {
        RunError::OutOfMemory { device, reason }
    } else {
        RunError::Failed { reason: format!("device {device}: {reason}") }
    }
}

/// Reads a tensor's f32 values back, row-major; waits for the device.
pub(crate) fn read_values<const D: usize>(device: &str, tensor: Tensor<D>) -> Result<Vec<f32>, RunError> {
    let data = tensor.try_into_data().map_err(|error| run_error(device, &error))?;
    data.try_into_vec::<f32>()
        .map_err(|error| RunError::Failed { reason: format!("device {device}: expected f32 values, {error}") })
}

/// Errors are one sentence; burn's carry a trace behind the first line.
fn one_line(reason: &str) -> String {
    reason.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_lost_devices_and_missing_memory_from_other_failures() {
        let lost = ExecutionError::DevicePoisoned { reason: "trap\ntrace".to_owned() };
        let expected = RunError::DeviceLost { device: "cuda:0".to_owned(), reason: "trap".to_owned() };
        assert_eq!(run_error("cuda:0", &lost), expected);
        let full = ExecutionError::WithContext { reason: "CUDA_ERROR_OUT_OF_MEMORY".to_owned() };
        assert!(matches!(run_error("cuda:0", &full), RunError::OutOfMemory { .. }));
        let other = ExecutionError::WithContext { reason: "\n bad shader".to_owned() };
        assert_eq!(run_error("wgpu:1", &other).to_string(), "the model failed: device wgpu:1: bad shader");
    }
}
