//! NVIDIA cards as CUDA counts them, asked without opening a context on any (which would take hundreds of megabytes on
//! each card of a node).

use contract::{Device, DeviceKind};
use cubecl::device::CudaDevice;
use cudarc::driver::result;

use super::{
    cards::Cards,
    found::Found,
    report::{DeviceReport, DeviceType, Feature, NVIDIA},
};

/// The CUDA devices, in CUDA's order, which `CUDA_VISIBLE_DEVICES` masks; none where there is no driver.
pub(super) fn devices(cards: &Cards) -> Vec<Found> {
    // CubeCL looks for libcuda before it calls into it; calling first panics where there is none.
    let count = cubecl::Device::enumerate(cubecl::Device::Cuda(CudaDevice::new(0)).to_id()).len();
    if count == 0 {
        return Vec::new();
    }
    (0..count).map(|index| found(index, cards)).collect()
}

fn found(index: usize, cards: &Cards) -> Found {
    let handle = i32::try_from(index).ok().and_then(|ordinal| result::device::get(ordinal).ok());
    let name = handle.and_then(|handle| result::device::get_name(handle).ok());
    let uuid = handle.and_then(|handle| result::device::get_uuid(handle).ok());
    let card = uuid.map(|uuid| cards.by_uuid(bytemuck::cast(uuid.bytes))).unwrap_or_default();
    let device = Device { kind: DeviceKind::Cuda, index, name: name.unwrap_or_else(|| "NVIDIA GPU".to_owned()) };
    let report = DeviceReport {
        id: device.to_string(),
        device,
        device_type: DeviceType::DiscreteGpu,
        software: false,
        interface: "CUDA".to_owned(),
        driver: "NVIDIA".to_owned(),
        driver_version: card.driver_version,
        memory_bytes: card.memory_bytes,
        pci_address: card.pci_address,
        vendor_id: Some(NVIDIA),
        drivable_by: vec![Feature::Cuda],
        selectors: Vec::new(),
        unusable: None,
    };
    Found { report, cube: Some(cubecl::Device::Cuda(CudaDevice::new(index))) }
}
