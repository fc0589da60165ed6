//! The devices that tests run on.

use cubecl::{Device, device::WgpuDeviceKind};

/// The first device of each type on each runtime built in, or the printed reason why there is none.
#[expect(clippy::print_stdout, reason = "tests print why they are skipped")]
pub(crate) fn devices() -> Vec<Device> {
    let types = [
        WgpuDeviceKind::DiscreteGpu(0),
        WgpuDeviceKind::IntegratedGpu(0),
        WgpuDeviceKind::VirtualGpu(0),
        WgpuDeviceKind::Cpu,
    ];
    let mut devices = Vec::from_iter(Device::cuda(0));
    for kind in types {
        if kind == WgpuDeviceKind::Cpu && cfg!(feature = "vulkan") {
            println!("skipped software adapters: SPIR-V kernels crash them");
            continue;
        }
        // Not OpenGL: asking for it wants a display.
        for on in [Device::vulkan, Device::dx12, Device::metal_msl] {
            devices.extend(on(kind.clone()));
        }
    }
    if devices.is_empty() {
        println!("skipped: the runtimes built in find no device (is there a Vulkan driver, such as lavapipe?)");
    }
    devices
}
