//! Adapters as wgpu lists them, each with the handle that selects that very adapter in burn and CubeCL.
//!
//! CubeCL names an adapter by graphics interface, type and place among the adapters of that type on that interface, in
//! wgpu's order. The same enumeration is walked here, so the handles are right; they are pinned to the interface, so they
//! stay right.

use contract::{Device, DeviceKind};
use cubecl::{
    device::{WgpuBackend, WgpuDevice, WgpuDeviceKind},
    wgpu::{
        AutoGraphicsApi,
        wgpu::{self, Backend},
    },
};

use super::{
    cards::Cards,
    found::Found,
    report::{DeviceReport, DeviceType, Feature, NVIDIA},
};

/// One adapter, before it is numbered.
#[derive(Clone, Debug)]
pub(super) struct Adapter {
    pub(super) info: AdapterFacts,
    /// Its place among the adapters of its type on its interface.
    pub(super) place: usize,
}

/// What matters of wgpu's `AdapterInfo`, in a form that tests can write.
#[derive(Clone, Debug)]
pub(super) struct AdapterFacts {
    pub(super) name: String,
    pub(super) device_type: wgpu::DeviceType,
    pub(super) backend: Backend,
    pub(super) vendor: u32,
    pub(super) driver: String,
    pub(super) driver_info: String,
    pub(super) pci_address: String,
    /// Whether it runs compute shaders with storage buffers at all; old OpenGL does not.
    pub(super) computes: bool,
}

/// All adapters of the first graphics interface that has a real GPU, else of the first that has any adapter: the order
/// that CubeCL goes by. Listing the others too would show one card under several names.
///
/// OpenGL is left out: nothing here is tested on it, and asking for it may load a second software renderer.
pub(super) fn devices(cards: &Cards) -> Vec<Found> {
    let mut software_only = None;
    for backend in AutoGraphicsApi::chain().into_iter().filter(|backend| *backend != Backend::Gl) {
        let adapters = enumerate(backend);
        if adapters.iter().any(|adapter| !is_software(&adapter.info)) {
            return found(adapters, cards);
        }
        if software_only.is_none() && !adapters.is_empty() {
            software_only = Some(adapters);
        }
    }
    software_only.map(|adapters| found(adapters, cards)).unwrap_or_default()
}

fn enumerate(backend: Backend) -> Vec<Adapter> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: backend.into(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let adapters = cubecl::future::block_on(instance.enumerate_adapters(backend.into()));
    placed(adapters.iter().map(facts).collect())
}

fn facts(adapter: &wgpu::Adapter) -> AdapterFacts {
    let info = adapter.get_info();
    let limits = adapter.limits();
    AdapterFacts {
        name: info.name,
        device_type: info.device_type,
        backend: info.backend,
        vendor: info.vendor,
        driver: info.driver,
        driver_info: info.driver_info,
        pci_address: info.device_pci_bus_id,
        computes: limits.max_compute_invocations_per_workgroup > 0 && limits.max_storage_buffers_per_shader_stage > 1,
    }
}

/// Counts each type on its own, in wgpu's order, as CubeCL does.
pub(super) fn placed(adapters: Vec<AdapterFacts>) -> Vec<Adapter> {
    let mut placed: Vec<Adapter> = Vec::with_capacity(adapters.len());
    for info in adapters {
        let place = placed.iter().filter(|before| before.info.device_type == info.device_type).count();
        placed.push(Adapter { info, place });
    }
    placed
}

/// Numbers adapters for the user: usable before unusable, real GPUs before software, discrete before integrated before
/// virtual, else in wgpu's order; Vulkan and wgpu count on their own.
pub(super) fn found(adapters: Vec<Adapter>, cards: &Cards) -> Vec<Found> {
    let mut described: Vec<(Adapter, DeviceKind, Option<String>)> = adapters
        .into_iter()
        .map(|adapter| {
            let kind = kind(&adapter.info);
            let unusable = unusable(&adapter, kind);
            (adapter, kind, unusable)
        })
        .collect();
    described.sort_by_key(|(adapter, _, unusable)| {
        let rank = match adapter.info.device_type {
            wgpu::DeviceType::DiscreteGpu => 0,
            wgpu::DeviceType::IntegratedGpu => 1,
            wgpu::DeviceType::VirtualGpu => 2,
            wgpu::DeviceType::Other => 3,
            wgpu::DeviceType::Cpu => 4,
        };
        (unusable.is_some(), is_software(&adapter.info), rank, adapter.place)
    });
    let mut found: Vec<Found> = Vec::with_capacity(described.len());
    for (adapter, kind, unusable) in described {
        let index = found.iter().filter(|before| before.report.device.kind == kind).count();
        let cube = unusable.is_none().then(|| cubecl::Device::Wgpu(handle(&adapter)));
        found.push(Found { report: report(adapter, kind, index, unusable, cards), cube });
    }
    found
}

/// Drivers that compute on the host's cores say so by their type; the names are for those that do not.
fn is_software(info: &AdapterFacts) -> bool {
    const NAMES: [&str; 6] =
        ["llvmpipe", "lavapipe", "softpipe", "swiftshader", "microsoft basic render", "software rasterizer"];
    let named = |text: &str| {
        let text = text.to_lowercase();
        NAMES.iter().any(|name| text.contains(name))
    };
    info.device_type == wgpu::DeviceType::Cpu || named(&info.name) || named(&info.driver)
}

/// With SPIR-V compiled in, CubeCL feeds it to every Vulkan device, so there such a device is a Vulkan device.
fn kind(info: &AdapterFacts) -> DeviceKind {
    if cfg!(feature = "vulkan") && info.backend == Backend::Vulkan { DeviceKind::Vulkan } else { DeviceKind::Wgpu }
}

fn unusable(adapter: &Adapter, kind: DeviceKind) -> Option<String> {
    if !adapter.info.computes {
        return Some("its driver has no compute shaders with storage buffers".to_owned());
    }
    if adapter.info.device_type == wgpu::DeviceType::Cpu && adapter.place > 0 {
        return Some("only the first software adapter can be addressed".to_owned());
    }
    if kind == DeviceKind::Vulkan && is_software(&adapter.info) {
        return Some("SPIR-V kernels crash software adapters; use a build without the feature vulkan".to_owned());
    }
    None
}

/// The handle that selects this adapter and no other.
pub(super) fn handle(adapter: &Adapter) -> WgpuDevice {
    let kind = match adapter.info.device_type {
        wgpu::DeviceType::DiscreteGpu => WgpuDeviceKind::DiscreteGpu(adapter.place),
        wgpu::DeviceType::IntegratedGpu => WgpuDeviceKind::IntegratedGpu(adapter.place),
        wgpu::DeviceType::VirtualGpu => WgpuDeviceKind::VirtualGpu(adapter.place),
        wgpu::DeviceType::Other => WgpuDeviceKind::Other(adapter.place),
        wgpu::DeviceType::Cpu => WgpuDeviceKind::Cpu,
    };
    let backend = match adapter.info.backend {
        Backend::Vulkan => WgpuBackend::Vulkan,
        Backend::Metal => WgpuBackend::Metal,
        Backend::Dx12 => WgpuBackend::Dx12,
        Backend::Gl => WgpuBackend::Gl,
        Backend::BrowserWebGpu => WgpuBackend::WebGpu,
        Backend::Noop => WgpuBackend::Auto,
    };
    WgpuDevice::new(kind).on(backend)
}

fn report(adapter: Adapter, kind: DeviceKind, index: usize, unusable: Option<String>, cards: &Cards) -> DeviceReport {
    let software = is_software(&adapter.info);
    let Adapter { info, place: _ } = adapter;
    let device = Device { kind, index, name: info.name };
    let pci_address = Some(info.pci_address).filter(|address| !address.is_empty());
    let mut drivable_by = vec![Feature::Gpu];
    if info.backend == Backend::Vulkan && !software {
        drivable_by.push(Feature::Vulkan);
    }
    if info.vendor == NVIDIA && !software {
        drivable_by.push(Feature::Cuda);
    }
    DeviceReport {
        id: device.to_string(),
        device,
        device_type: match info.device_type {
            _ if software => DeviceType::Software,
            wgpu::DeviceType::DiscreteGpu => DeviceType::DiscreteGpu,
            wgpu::DeviceType::IntegratedGpu => DeviceType::IntegratedGpu,
            wgpu::DeviceType::VirtualGpu => DeviceType::VirtualGpu,
            wgpu::DeviceType::Cpu => DeviceType::Software,
            wgpu::DeviceType::Other => DeviceType::Other,
        },
        software,
        interface: match info.backend {
            Backend::Vulkan => "Vulkan",
            Backend::Metal => "Metal",
            Backend::Dx12 => "DirectX 12",
            Backend::Gl => "OpenGL",
            Backend::BrowserWebGpu => "WebGPU",
            Backend::Noop => "none",
        }
        .to_owned(),
        driver: if info.driver.is_empty() { "unnamed".to_owned() } else { info.driver },
        driver_version: Some(info.driver_info).filter(|version| !version.is_empty()),
        memory_bytes: pci_address.as_deref().filter(|_| !software).and_then(|address| cards.memory(address)),
        pci_address,
        vendor_id: Some(info.vendor).filter(|vendor| *vendor != 0),
        drivable_by,
        selectors: Vec::new(),
        unusable,
    }
}
