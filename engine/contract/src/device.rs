//! Devices by name: what a user asks for, and what it was resolved to.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What `--device` asks for. Which adapters there are is known to the `models` crate, which resolves this to a [`Device`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DeviceSelector {
    /// A real GPU if there is one, else the CPU; never a software adapter.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// GPU number N (0 when none is named), by CUDA, else Vulkan, else wgpu, as far as they are compiled in.
    /// This may be a software adapter, because it was asked for by name.
    Gpu(usize),
    /// Adapter N by Vulkan with SPIR-V kernels.
    Vulkan(usize),
    /// NVIDIA GPU N by CUDA.
    Cuda(usize),
}

/// The text is not one of `auto`, `cpu`, `gpu`, `gpu:N`, `vulkan:N`, `cuda:N`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected auto, cpu, gpu, gpu:N, vulkan:N or cuda:N as device, got '{0}'")]
pub struct ParseDeviceError(pub String);

impl FromStr for DeviceSelector {
    type Err = ParseDeviceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || ParseDeviceError(text.to_owned());
        let (kind, index) = match text.split_once(':') {
            None => (text, None),
            Some((kind, index)) => (kind, Some(index.parse::<usize>().map_err(|_| unknown())?)),
        };
        match (kind, index) {
            ("auto", None) => Ok(Self::Auto),
            ("cpu", None) => Ok(Self::Cpu),
            ("gpu", index) => Ok(Self::Gpu(index.unwrap_or(0))),
            ("vulkan", index) => Ok(Self::Vulkan(index.unwrap_or(0))),
            ("cuda", index) => Ok(Self::Cuda(index.unwrap_or(0))),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for DeviceSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => write!(f, "auto"),
            Self::Cpu => write!(f, "cpu"),
            Self::Gpu(index) => write!(f, "gpu:{index}"),
            Self::Vulkan(index) => write!(f, "vulkan:{index}"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

/// How a device is driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// The host's cores.
    Cpu,
    /// A GPU through wgpu (WGSL kernels): any vendor, software adapters included.
    Wgpu,
    /// A GPU through Vulkan with SPIR-V kernels.
    Vulkan,
    /// An NVIDIA GPU through CUDA.
    Cuda,
}

/// A device that exists on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Device {
    /// How it is driven.
    pub kind: DeviceKind,
    /// Its number among the devices of its kind; 0 for the CPU.
    pub index: usize,
    /// The name its driver gives, such as `NVIDIA H100 80GB HBM3`.
    pub name: String,
}

impl Device {
    /// The host's cores.
    #[must_use]
    pub fn cpu() -> Self {
        Self { kind: DeviceKind::Cpu, index: 0, name: "CPU".to_owned() }
    }
}

impl fmt::Display for Device {
    /// The short form, such as `cpu`, `wgpu:0` or `cuda:1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            DeviceKind::Cpu => write!(f, "cpu"),
            DeviceKind::Wgpu => write!(f, "wgpu:{}", self.index),
            DeviceKind::Vulkan => write!(f, "vulkan:{}", self.index),
            DeviceKind::Cuda => write!(f, "cuda:{}", self.index),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_read_back_what_they_print() {
        for text in ["auto", "cpu", "gpu:0", "gpu:3", "vulkan:1", "cuda:2"] {
            assert_eq!(text.parse::<DeviceSelector>().unwrap().to_string(), text);
        }
        assert_eq!("gpu".parse(), Ok(DeviceSelector::Gpu(0)));
    }

    #[test]
    fn refuses_other_names() {
        for text in ["", "tpu", "gpu:", "gpu:x", "gpu:-1", "cpu:0", "auto:1", "GPU"] {
            assert_eq!(text.parse::<DeviceSelector>(), Err(ParseDeviceError(text.to_owned())));
        }
    }
}
