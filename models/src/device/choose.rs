//! Which device a selector means: pure functions over a list of devices, so that every machine can be tested on any.

use contract::{Device, DeviceKind, DeviceSelector};

use super::report::{AutoReport, DeviceReport, Feature, NVIDIA};

/// The cards that `gpu:N` counts, in order: CUDA, then Vulkan, then wgpu, software adapters last of all.
///
/// A card is meant to be counted once. CUDA and Vulkan number cards differently and a masked CUDA
/// (`CUDA_VISIBLE_DEVICES`) hides some on purpose, so where CUDA drives any card, NVIDIA's adapters are not counted again.
pub(super) fn gpus(devices: &[DeviceReport]) -> Vec<&DeviceReport> {
    let has_cuda = devices.iter().any(|found| found.device.kind == DeviceKind::Cuda && found.unusable.is_none());
    let mut counted: Vec<&DeviceReport> = devices
        .iter()
        .filter(|found| found.device.kind != DeviceKind::Cpu && found.unusable.is_none())
        .filter(|found| found.device.kind == DeviceKind::Cuda || !has_cuda || found.vendor_id != Some(NVIDIA))
        .collect();
    counted.sort_by_key(|found| {
        let preference = match found.device.kind {
            DeviceKind::Cuda => 0,
            DeviceKind::Vulkan => 1,
            DeviceKind::Wgpu => 2,
            DeviceKind::Cpu => 3,
        };
        (found.software, preference, found.device.index)
    });
    counted
}

/// The device that `selector` means among `devices`, or one sentence that says why there is none.
pub(super) fn choose(
    selector: DeviceSelector,
    devices: &[DeviceReport],
    built_in: &[Feature],
) -> Result<Device, String> {
    match selector {
        DeviceSelector::Cpu => Ok(Device::cpu()),
        DeviceSelector::Auto => Ok(auto(devices, built_in).device),
        DeviceSelector::Gpu(index) => {
            let gpus = gpus(devices);
            match gpus.get(index) {
                Some(found) => Ok(found.device.clone()),
                None if built_in.is_empty() => Err(format!(
                    "{selector} needs a build with the feature gpu, vulkan or cuda; this build has the CPU only"
                )),
                None if gpus.is_empty() => Err(format!(
                    "{selector} was asked for, but no usable GPU was found by this build (features: {}); there is {}",
                    names(built_in),
                    inventory(devices)
                )),
                None => {
                    let there: Vec<String> = gpus
                        .iter()
                        .enumerate()
                        .map(|(number, found)| format!("gpu:{number} ({}, {})", found.id, found.device.name))
                        .collect();
                    Err(format!("there is no {selector}; there is {}", there.join(", ")))
                }
            }
        }
        DeviceSelector::Vulkan(index) => {
            by_kind(selector, DeviceKind::Vulkan, index, Feature::Vulkan, devices, built_in)
        }
        DeviceSelector::Cuda(index) => by_kind(selector, DeviceKind::Cuda, index, Feature::Cuda, devices, built_in),
    }
}

fn by_kind(
    selector: DeviceSelector,
    kind: DeviceKind,
    index: usize,
    feature: Feature,
    devices: &[DeviceReport],
    built_in: &[Feature],
) -> Result<Device, String> {
    if !built_in.contains(&feature) {
        return Err(format!(
            "{selector} needs a build with the feature {}; this build has {}, and there is {}",
            feature.name(),
            if built_in.is_empty() { "no GPU feature".to_owned() } else { names(built_in) },
            inventory(devices)
        ));
    }
    let Some(found) = devices.iter().find(|found| found.device.kind == kind && found.device.index == index) else {
        return Err(format!("there is no {selector}; there is {}", inventory(devices)));
    };
    match &found.unusable {
        Some(reason) => Err(format!("{selector} ({}) cannot be used: {reason}", found.device.name)),
        None => Ok(found.device.clone()),
    }
}

/// What `auto` picks: the first real GPU, else the CPU; never a software adapter.
pub(super) fn auto(devices: &[DeviceReport], built_in: &[Feature]) -> AutoReport {
    if let Some(found) = gpus(devices).into_iter().find(|found| found.is_real_gpu()) {
        return AutoReport {
            id: found.id.clone(),
            device: found.device.clone(),
            reason: format!("{} is the first GPU", found.device.name),
        };
    }
    let software = devices.iter().find(|found| found.software);
    let reason = match software {
        _ if built_in.is_empty() => "this build has no GPU feature".to_owned(),
        Some(found) => {
            format!(
                "no GPU was found; {} ({}) is a software adapter, which auto never takes",
                found.id, found.device.name
            )
        }
        None => "no GPU was found".to_owned(),
    };
    AutoReport { id: Device::cpu().to_string(), device: Device::cpu(), reason }
}

/// Fills in, for each device, the values of `--device` that mean it.
pub(super) fn fill_selectors(devices: &mut [DeviceReport]) {
    let numbered: Vec<(DeviceKind, usize)> =
        gpus(devices).iter().map(|found| (found.device.kind, found.device.index)).collect();
    for found in devices {
        found.selectors.clear();
        if found.unusable.is_some() {
            continue;
        }
        match found.device.kind {
            DeviceKind::Cpu => found.selectors.push(DeviceSelector::Cpu.to_string()),
            DeviceKind::Wgpu => {}
            DeviceKind::Vulkan => found.selectors.push(DeviceSelector::Vulkan(found.device.index).to_string()),
            DeviceKind::Cuda => found.selectors.push(DeviceSelector::Cuda(found.device.index).to_string()),
        }
        let place = numbered.iter().position(|place| *place == (found.device.kind, found.device.index));
        found.selectors.extend(place.map(|number| DeviceSelector::Gpu(number).to_string()));
    }
}

fn names(features: &[Feature]) -> String {
    features.iter().map(|feature| feature.name()).collect::<Vec<_>>().join(", ")
}

fn inventory(devices: &[DeviceReport]) -> String {
    let described: Vec<String> = devices
        .iter()
        .map(|found| match &found.unusable {
            Some(reason) => format!("{} ({}; unusable: {reason})", found.id, found.device.name),
            None if found.device.kind == DeviceKind::Cpu => found.id.clone(),
            None => format!("{} ({})", found.id, found.device.name),
        })
        .collect();
    described.join(", ")
}
