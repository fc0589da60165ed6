//! The host's cores as a device.

use contract::Device;
use sysinfo::{CpuRefreshKind, System};

use super::{
    BURN_VERSION,
    report::{DeviceReport, DeviceType},
};

/// The CPU, driven by burn's `flex`.
pub(super) fn report() -> DeviceReport {
    let system = System::new().ok().map(|mut system| {
        system.refresh_memory();
        system.refresh_cpu_list(CpuRefreshKind::nothing());
        system
    });
    let brand = system.iter().flat_map(System::cpus).map(|core| core.brand().trim()).next().unwrap_or_default();
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let device = Device::cpu();
    DeviceReport {
        id: device.to_string(),
        device,
        device_type: DeviceType::Cpu,
        software: false,
        interface: if brand.is_empty() {
            format!("host, {threads} threads")
        } else {
            format!("host, {threads} threads of {brand}")
        },
        driver: "burn-flex".to_owned(),
        driver_version: Some(BURN_VERSION.to_owned()),
        memory_bytes: system.as_ref().map(System::total_memory).filter(|bytes| *bytes > 0),
        pci_address: None,
        vendor_id: None,
        drivable_by: Vec::new(),
        selectors: Vec::new(),
        unusable: None,
    }
}
