//! What is said about devices: the plain data that `emberline doctor` prints as text or JSON. Nothing here asks the
//! machine anything.

use contract::{Device, DeviceKind};
use serde::{Deserialize, Serialize};

use super::SelfTestReport;

/// A Cargo feature that brings a way to drive devices. Without any of them there is only the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Feature {
    /// wgpu with WGSL kernels: any card.
    Gpu,
    /// SPIR-V kernels on Vulkan adapters.
    Vulkan,
    /// NVIDIA cards through CUDA.
    Cuda,
}

impl Feature {
    /// All of them, in the order in which a build grows.
    pub const ALL: [Self; 3] = [Self::Gpu, Self::Vulkan, Self::Cuda];

    /// The feature's name in `Cargo.toml`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gpu => "gpu",
            Self::Vulkan => "vulkan",
            Self::Cuda => "cuda",
        }
    }

    /// Whether this build has it.
    #[must_use]
    pub fn is_built_in(self) -> bool {
        match self {
            Self::Gpu => cfg!(feature = "gpu"),
            Self::Vulkan => cfg!(feature = "vulkan"),
            Self::Cuda => cfg!(feature = "cuda"),
        }
    }

    /// Those of this build.
    #[must_use]
    pub fn built_in() -> Vec<Self> {
        Self::ALL.into_iter().filter(|feature| feature.is_built_in()).collect()
    }
}

/// What a device is made of, as its driver says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceType {
    /// The host's cores.
    Cpu,
    /// A GPU with memory of its own.
    DiscreteGpu,
    /// A GPU that shares the host's memory.
    IntegratedGpu,
    /// A GPU passed through by a hypervisor.
    VirtualGpu,
    /// An adapter that its driver does not classify.
    Other,
    /// An adapter that computes on the host's cores: lavapipe, llvmpipe, `SwiftShader`, WARP.
    Software,
}

/// One device that this build can see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceReport {
    /// Short form, such as `cpu`, `wgpu:0` or `cuda:1`.
    pub id: String,
    /// How it is driven, its number among the devices of its kind, and its name.
    pub device: Device,
    /// What it is made of.
    pub device_type: DeviceType,
    /// Whether it computes on the host's cores while posing as a GPU; `auto` never takes such a device.
    pub software: bool,
    /// The interface it is reached through: `host`, `Vulkan`, `Metal`, `DirectX 12` or `CUDA`.
    pub interface: String,
    /// Name of its driver.
    pub driver: String,
    /// Version of its driver, where known.
    pub driver_version: Option<String>,
    /// Memory that it computes in, in bytes, where known. For a software adapter that is unknown.
    pub memory_bytes: Option<u64>,
    /// Address on the PCI bus, such as `0000:01:00.0`, where known.
    pub pci_address: Option<String>,
    /// PCI vendor number, where known.
    pub vendor_id: Option<u32>,
    /// Features that can drive this device, in this build or not; empty for the CPU, which needs none.
    pub drivable_by: Vec<Feature>,
    /// What to pass as `--device` to run on it; empty if it cannot be used.
    pub selectors: Vec<String>,
    /// Why it cannot be used, if so.
    pub unusable: Option<String>,
}

/// PCI vendor number of NVIDIA.
pub(super) const NVIDIA: u32 = 0x10de;

impl DeviceReport {
    /// Whether this is a GPU made of silicon that can be used.
    #[must_use]
    pub fn is_real_gpu(&self) -> bool {
        self.device.kind != DeviceKind::Cpu && !self.software && self.unusable.is_none()
    }
}

/// What one feature brings on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureReport {
    /// The feature.
    pub feature: Feature,
    /// Whether this build has it.
    pub built_in: bool,
    /// Names of the devices that it drives, or would drive if it were built in.
    pub devices: Vec<String>,
}

/// What `auto` picks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutoReport {
    /// Short form of the device.
    pub id: String,
    /// The device.
    pub device: Device,
    /// One sentence that says why.
    pub reason: String,
}

/// What `emberline doctor` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DoctorReport {
    /// Operating system and processor architecture, such as `linux x86_64`.
    pub platform: String,
    /// Version of burn, which computes on all of these devices.
    pub burn: String,
    /// What each feature brings here.
    pub features: Vec<FeatureReport>,
    /// All devices, the CPU first.
    pub devices: Vec<DeviceReport>,
    /// What `--device auto` picks.
    pub auto: AutoReport,
    /// One numeric self-test per device.
    pub self_tests: Vec<SelfTestReport>,
    /// Whether no self-test failed.
    pub passed: bool,
}
