//! Devices: what this machine has, which one a `--device` means, and whether it computes right.
//!
//! Every adapter is listed once, under the one graphics interface that drives it best, and is pinned to it: what
//! [`list`] calls `wgpu:1` is what [`to_burn`] gives for `wgpu:1`. The machine is asked once per process, before the
//! first GPU is opened, because the Vulkan loader crashes when instances come and go on several threads at once.
//!
//! Opening is lazy: [`to_burn`] checks that the device was found and touches no driver. A driver that then refuses makes
//! burn panic at the first operation; executors and the self-test catch that.

#[cfg(feature = "gpu")]
mod adapters;
#[cfg(feature = "gpu")]
mod cards;
mod choose;
#[cfg(feature = "cuda")]
mod cuda;
mod doctor;
mod found;
mod host;
mod report;
mod self_test;

#[cfg(test)]
mod tests;

use contract::{Device, DeviceKind, DeviceSelector};

pub use doctor::doctor;
pub use report::{AutoReport, DeviceReport, DeviceType, DoctorReport, Feature, FeatureReport};
pub use self_test::{SelfTestReport, SelfTestStep, self_test};

use crate::{Error, Result};

/// Version of burn, which is pinned in the workspace's `Cargo.toml`.
pub const BURN_VERSION: &str = "0.22.1";

/// All devices that this build can see, the CPU first.
#[must_use]
pub fn list() -> Vec<DeviceReport> {
    found::all().iter().map(|found| found.report.clone()).collect()
}

/// The host's cores in words, such as `host, 8 threads of AMD EPYC 9654`.
#[must_use]
pub(crate) fn host_name() -> String {
    host::report().interface
}

/// The device that `selector` means on this machine.
///
/// `auto` is the first real GPU, else the CPU, and never a software adapter. `gpu:N` counts each card once: CUDA devices,
/// then Vulkan adapters, then wgpu adapters, and software adapters last.
///
/// # Errors
/// One sentence that says what there is, and which feature is missing if that is why.
pub fn resolve(selector: &DeviceSelector) -> Result<Device> {
    // The CPU is there without asking a driver, which takes some 100 ms where there are GPUs.
    let devices = if *selector == DeviceSelector::Cpu { Vec::new() } else { list() };
    choose::choose(*selector, &devices, &Feature::built_in()).map_err(Error::Device)
}

/// The burn device behind `device`. Nothing is opened yet.
///
/// # Errors
/// No such device was found on this machine by this build, or it cannot be used.
pub fn to_burn(device: &Device) -> Result<burn::tensor::Device> {
    match device.kind {
        DeviceKind::Cpu => Ok(burn::tensor::Device::flex()),
        #[cfg(feature = "gpu")]
        DeviceKind::Wgpu | DeviceKind::Vulkan | DeviceKind::Cuda => to_cube(device).map(burn::tensor::Device::new),
        #[cfg(not(feature = "gpu"))]
        DeviceKind::Wgpu | DeviceKind::Vulkan | DeviceKind::Cuda => Err(Error::Device(format!(
            "{device} needs a build with the feature gpu, vulkan or cuda; this build has the CPU only"
        ))),
    }
}

/// The CubeCL device behind a GPU, for kernels of our own. Its client and streams are those of [`to_burn`]'s device.
///
/// # Errors
/// As for [`to_burn`]; the CPU is no CubeCL device.
#[cfg(feature = "gpu")]
pub fn to_cube(device: &Device) -> Result<cubecl::Device> {
    let found = found::all()
        .iter()
        .find(|found| found.report.device.kind == device.kind && found.report.device.index == device.index)
        .ok_or_else(|| Error::Device(format!("there is no {device} on this machine")))?;
    match (&found.report.unusable, &found.cube) {
        (Some(reason), _) => {
            Err(Error::Device(format!("{device} ({}) cannot be used: {reason}", found.report.device.name)))
        }
        (None, Some(cube)) => Ok(cube.clone()),
        (None, None) => Err(Error::Device(format!("{device} is no GPU"))),
    }
}
