//! burn's device for the contract's.
use contract::{Device, DeviceKind};

use crate::{Error, Result};

pub(crate) fn to_burn(device: &Device) -> Result<burn::tensor::Device> {
    match device.kind {
        DeviceKind::Cpu => Ok(burn::tensor::Device::flex()),
        DeviceKind::Wgpu | DeviceKind::Vulkan | DeviceKind::Cuda => {
            Err(Error::Device(format!("{device} is not known")))
        }
    }
}
