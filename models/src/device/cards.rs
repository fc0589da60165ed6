//! What is known of cards beside the interface that drives them: NVML (NVIDIA) and sysfs (AMD on Linux) know memory
//! sizes, which wgpu does not tell. Both may be absent; then it is unknown.

use contract::{Device, DeviceKind};
use nvml_wrapper::Nvml;

use super::{
    found::Found,
    report::{DeviceReport, DeviceType, Feature, NVIDIA},
};

/// Where cards are asked about; NVML is loaded once for all of them.
#[derive(Default)]
pub(super) struct Cards {
    nvml: Option<Nvml>,
}

impl Cards {
    /// Loads NVML if there is one.
    pub(super) fn new() -> Self {
        Self { nvml: Nvml::init().ok() }
    }

    /// Bytes of memory of the card at a PCI address such as `0000:01:00.0`.
    pub(super) fn memory(&self, pci_address: &str) -> Option<u64> {
        let nvidia =
            self.nvml.as_ref().and_then(|nvml| nvml.device_by_pci_bus_id(pci_address).ok()?.memory_info().ok());
        nvidia.map(|memory| memory.total).or_else(|| amd_memory(pci_address))
    }

    /// NVIDIA cards that no other interface has shown: containers often have CUDA and no Vulkan driver. They cannot be
    /// used without the feature `cuda`, but it helps to know that they are there.
    pub(super) fn only_cuda_can_drive(&self, shown: &[Found]) -> Vec<Found> {
        let Some(nvml) = &self.nvml else { return Vec::new() };
        let mut found: Vec<Found> = Vec::new();
        for card in (0..nvml.device_count().unwrap_or(0)).filter_map(|index| nvml.device_by_index(index).ok()) {
            let pci_address = card.pci_info().ok().map(|pci| short_address(&pci.bus_id));
            if shown.iter().any(|shown| shown.report.pci_address.is_some() && shown.report.pci_address == pci_address) {
                continue;
            }
            let name = card.name().unwrap_or_else(|_| "NVIDIA GPU".to_owned());
            let device = Device { kind: DeviceKind::Cuda, index: found.len(), name };
            let report = DeviceReport {
                id: device.to_string(),
                device,
                device_type: DeviceType::DiscreteGpu,
                software: false,
                interface: "NVML".to_owned(),
                driver: "NVIDIA".to_owned(),
                driver_version: nvml.sys_driver_version().ok(),
                memory_bytes: card.memory_info().ok().map(|memory| memory.total),
                pci_address,
                vendor_id: Some(NVIDIA),
                drivable_by: vec![Feature::Cuda],
                selectors: Vec::new(),
                unusable: Some("it has no Vulkan driver here, and this build lacks the feature cuda".to_owned()),
            };
            found.push(Found { report, cube: None });
        }
        found
    }
}

/// NVML writes the domain with eight digits, everybody else with four.
fn short_address(bus_id: &str) -> String {
    let bus_id = bus_id.to_lowercase();
    match bus_id.split_once(':') {
        Some((domain, rest)) => format!("{}:{rest}", domain.get(domain.len().saturating_sub(4)..).unwrap_or(domain)),
        None => bus_id,
    }
}

/// What amdgpu publishes. The address is checked, because it becomes part of a path.
fn amd_memory(pci_address: &str) -> Option<u64> {
    if !pci_address.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':' || byte == b'.') {
        return None;
    }
    let text = fs_err::read_to_string(format!("/sys/bus/pci/devices/{pci_address}/mem_info_vram_total")).ok()?;
    text.trim().parse().ok()
}

/// What NVML knows of a CUDA device.
#[cfg(feature = "cuda")]
#[derive(Default)]
pub(super) struct Facts {
    pub(super) memory_bytes: Option<u64>,
    pub(super) pci_address: Option<String>,
    pub(super) driver_version: Option<String>,
}

#[cfg(feature = "cuda")]
impl Cards {
    /// The card with a UUID as CUDA gives it. A slice of a card (MIG) has a UUID of another form and stays unknown.
    pub(super) fn by_uuid(&self, uuid: [u8; 16]) -> Facts {
        let Some(nvml) = &self.nvml else { return Facts::default() };
        let digits = hex::encode(uuid);
        let dashed = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-");
        let card = nvml.device_by_uuid(format!("GPU-{dashed}")).ok();
        Facts {
            memory_bytes: card.as_ref().and_then(|card| card.memory_info().ok()).map(|memory| memory.total),
            pci_address: card.as_ref().and_then(|card| card.pci_info().ok()).map(|pci| short_address(&pci.bus_id)),
            driver_version: nvml.sys_driver_version().ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_vulkan_writes_them() {
        assert_eq!(short_address("00000000:3B:00.0"), "0000:3b:00.0");
        assert_eq!(short_address("0000:01:00.0"), "0000:01:00.0");
        assert_eq!(short_address("nonsense"), "nonsense");
    }

    #[test]
    fn no_path_is_made_of_what_is_no_address() {
        assert_eq!(amd_memory("../../../../proc"), None);
        assert_eq!(amd_memory("ffff:ff:1f.7"), None);
    }
}
