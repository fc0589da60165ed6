//! Which device is meant, on machines that this one is not; and what this one really has.

use contract::{Device, DeviceKind, DeviceSelector};

use super::{
    BURN_VERSION, DeviceReport, DeviceType, Feature, choose, doctor, list,
    report::NVIDIA,
    resolve,
    self_test::{self, self_test},
    to_burn,
};
use crate::neural::Precision;

fn report(kind: DeviceKind, index: usize, name: &str, device_type: DeviceType, vendor_id: Option<u32>) -> DeviceReport {
    let device = Device { kind, index, name: name.to_owned() };
    DeviceReport {
        id: device.to_string(),
        device,
        device_type,
        software: device_type == DeviceType::Software,
        interface: String::new(),
        driver: String::new(),
        driver_version: None,
        memory_bytes: None,
        pci_address: None,
        vendor_id,
        drivable_by: Vec::new(),
        selectors: Vec::new(),
        unusable: None,
    }
}

fn cpu() -> DeviceReport {
    report(DeviceKind::Cpu, 0, "CPU", DeviceType::Cpu, None)
}

fn nvidia(kind: DeviceKind, index: usize, name: &str) -> DeviceReport {
    report(kind, index, name, DeviceType::DiscreteGpu, Some(NVIDIA))
}

fn intel(kind: DeviceKind, index: usize) -> DeviceReport {
    report(kind, index, "Iris Xe", DeviceType::IntegratedGpu, Some(0x8086))
}

fn lavapipe(kind: DeviceKind, index: usize) -> DeviceReport {
    report(kind, index, "llvmpipe", DeviceType::Software, Some(0x10005))
}

fn unusable(report: DeviceReport) -> DeviceReport {
    DeviceReport { unusable: Some("it is broken".to_owned()), ..report }
}

const GPU: &[Feature] = &[Feature::Gpu];
const VULKAN: &[Feature] = &[Feature::Gpu, Feature::Vulkan];
const ALL: &[Feature] = &[Feature::Gpu, Feature::Vulkan, Feature::Cuda];

/// On which machine, by a build with which features, what is asked for, and the device or the reason.
type Case = (Vec<DeviceReport>, &'static [Feature], &'static str, Result<&'static str, &'static str>);

#[test]
fn selectors_mean_one_device() {
    use DeviceKind::{Cuda, Vulkan, Wgpu};

    let no_gpu = || vec![cpu()];
    let only_software = || vec![cpu(), lavapipe(Wgpu, 0)];
    let laptop = || vec![cpu(), nvidia(Wgpu, 0, "RTX"), intel(Wgpu, 1), lavapipe(Wgpu, 2)];
    // Two NVIDIA cards that CUDA and Vulkan both show, in opposite order, and one more adapter beside them.
    let node = || {
        vec![
            cpu(),
            nvidia(Cuda, 0, "H100"),
            nvidia(Cuda, 1, "T4"),
            nvidia(Vulkan, 0, "T4"),
            nvidia(Vulkan, 1, "H100"),
            intel(Vulkan, 2),
            unusable(lavapipe(Vulkan, 3)),
        ]
    };
    let without_vulkan_driver = || vec![cpu(), unusable(nvidia(Cuda, 0, "H100"))];

    let table: Vec<Case> = vec![
        (no_gpu(), &[], "auto", Ok("cpu")),
        (no_gpu(), &[], "cpu", Ok("cpu")),
        (
            no_gpu(),
            &[],
            "gpu",
            Err("gpu:0 needs a build with the feature gpu, vulkan or cuda; this build has the CPU only"),
        ),
        (
            no_gpu(),
            &[],
            "cuda:1",
            Err("cuda:1 needs a build with the feature cuda; this build has no GPU feature, and there is cpu"),
        ),
        (no_gpu(), GPU, "auto", Ok("cpu")),
        (
            no_gpu(),
            GPU,
            "gpu:0",
            Err("gpu:0 was asked for, but no usable GPU was found by this build (features: gpu); there is cpu"),
        ),
        (no_gpu(), VULKAN, "vulkan:0", Err("there is no vulkan:0; there is cpu")),
        (only_software(), GPU, "auto", Ok("cpu")),
        (only_software(), GPU, "gpu", Ok("wgpu:0")),
        (only_software(), GPU, "gpu:1", Err("there is no gpu:1; there is gpu:0 (wgpu:0, llvmpipe)")),
        (
            only_software(),
            GPU,
            "vulkan:0",
            Err(
                "vulkan:0 needs a build with the feature vulkan; this build has gpu, and there is cpu, wgpu:0 (llvmpipe)",
            ),
        ),
        (laptop(), GPU, "auto", Ok("wgpu:0")),
        (laptop(), GPU, "cpu", Ok("cpu")),
        (laptop(), GPU, "gpu:1", Ok("wgpu:1")),
        (laptop(), GPU, "gpu:2", Ok("wgpu:2")),
        (node(), ALL, "auto", Ok("cuda:0")),
        (node(), ALL, "gpu:0", Ok("cuda:0")),
        (node(), ALL, "gpu:1", Ok("cuda:1")),
        (node(), ALL, "gpu:2", Ok("vulkan:2")),
        (
            node(),
            ALL,
            "gpu:3",
            Err("there is no gpu:3; there is gpu:0 (cuda:0, H100), gpu:1 (cuda:1, T4), gpu:2 (vulkan:2, Iris Xe)"),
        ),
        (node(), ALL, "vulkan:1", Ok("vulkan:1")),
        (node(), ALL, "vulkan:3", Err("vulkan:3 (llvmpipe) cannot be used: it is broken")),
        (
            node(),
            ALL,
            "cuda:2",
            Err("there is no cuda:2; there is cpu, cuda:0 (H100), cuda:1 (T4), vulkan:0 (T4), vulkan:1 (H100), \
                 vulkan:2 (Iris Xe), vulkan:3 (llvmpipe; unusable: it is broken)"),
        ),
        (without_vulkan_driver(), GPU, "auto", Ok("cpu")),
        (
            without_vulkan_driver(),
            GPU,
            "gpu",
            Err("gpu:0 was asked for, but no usable GPU was found by this build (features: gpu); \
                 there is cpu, cuda:0 (H100; unusable: it is broken)"),
        ),
    ];
    for (devices, built_in, selector, expected) in table {
        let selector: DeviceSelector = selector.parse().unwrap();
        let got = choose::choose(selector, &devices, built_in).map(|device| device.to_string());
        assert_eq!(got.as_deref().map_err(String::as_str), expected, "{selector} by {built_in:?} of {devices:#?}");
    }
}

#[test]
fn auto_says_why() {
    let reason = |devices: &[DeviceReport], built_in| choose::auto(devices, built_in).reason;
    assert_eq!(reason(&[cpu()], &[]), "this build has no GPU feature");
    assert_eq!(reason(&[cpu()], GPU), "no GPU was found");
    assert_eq!(
        reason(&[cpu(), lavapipe(DeviceKind::Wgpu, 0)], GPU),
        "no GPU was found; wgpu:0 (llvmpipe) is a software adapter, which auto never takes"
    );
    assert_eq!(reason(&[cpu(), nvidia(DeviceKind::Cuda, 0, "H100")], ALL), "H100 is the first GPU");
}

#[test]
fn each_device_tells_how_to_ask_for_it() {
    let mut devices = vec![
        cpu(),
        nvidia(DeviceKind::Cuda, 0, "H100"),
        nvidia(DeviceKind::Vulkan, 0, "H100"),
        intel(DeviceKind::Vulkan, 1),
        unusable(lavapipe(DeviceKind::Vulkan, 2)),
    ];
    choose::fill_selectors(&mut devices);
    let selectors: Vec<String> = devices.iter().map(|found| found.selectors.join(" ")).collect();
    assert_eq!(selectors, ["cpu", "cuda:0 gpu:0", "vulkan:0", "vulkan:1 gpu:1", ""]);
    for found in &devices {
        for selector in &found.selectors {
            assert_eq!(choose::choose(selector.parse().unwrap(), &devices, ALL), Ok(found.device.clone()));
        }
    }
}

#[test]
fn a_feature_counts_each_card_once() {
    let drivable = |report: DeviceReport, by: &[Feature]| DeviceReport { drivable_by: by.to_vec(), ..report };
    let devices = [
        cpu(),
        drivable(nvidia(DeviceKind::Cuda, 0, "H100"), &[Feature::Cuda]),
        drivable(nvidia(DeviceKind::Cuda, 1, "H100"), &[Feature::Cuda]),
        drivable(nvidia(DeviceKind::Vulkan, 0, "H100"), ALL),
        drivable(lavapipe(DeviceKind::Vulkan, 1), GPU),
    ];
    let uses = |feature| doctor::uses(feature, &devices).devices;
    assert_eq!(uses(Feature::Cuda), ["H100", "H100"]);
    assert_eq!(uses(Feature::Vulkan), ["H100"]);
    assert_eq!(uses(Feature::Gpu), ["H100", "llvmpipe (software)"]);
}

#[test]
fn the_version_of_burn_is_the_one_that_is_locked() {
    let lock = fs_err::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock")).unwrap();
    assert!(lock.contains(&format!("name = \"burn\"\nversion = \"{BURN_VERSION}\"\n")), "{BURN_VERSION}");
}

#[test]
fn this_machine_has_a_cpu_and_computes_right_on_it() {
    let devices = list();
    assert_eq!(devices[0].device, Device::cpu());
    assert!(devices[0].memory_bytes > Some(0));
    assert_eq!(resolve(&DeviceSelector::Cpu).unwrap(), Device::cpu());

    let report = self_test(&Device::cpu());
    assert!(report.passed, "{report:#?}");
    assert_eq!(report.steps.len(), 11, "{report:#?}");
}

/// Devices of this machine that can be tested beside the CPU, or the printed reason why there is none.
fn gpus() -> Vec<Device> {
    let gpus: Vec<Device> =
        list().into_iter().filter(|found| found.unusable.is_none()).map(|found| found.device).skip(1).collect();
    if gpus.is_empty() {
        println!("skipped: this build finds no adapter (is there a Vulkan driver, such as lavapipe?)");
    }
    gpus
}

#[test]
fn the_self_test_fails_on_a_wrong_result() {
    for device in std::iter::once(Device::cpu()).chain(gpus()) {
        let report = self_test::run(&device, &|values| {
            let middle = values.len() / 2;
            values[middle] += 0.01 * (1.0 + values[middle].abs());
        });
        assert!(!report.passed);
        for step in &report.steps {
            assert!(!step.passed && step.max_relative_error > Some(step.limit), "{step:?}");
        }

        let report = self_test::run(&device, &|values| values[0] = f32::NAN);
        assert!(!report.passed);
        for step in &report.steps {
            assert!(!step.passed && step.max_relative_error.is_none() && step.error.is_some(), "{step:?}");
        }

        let report = self_test::run(&device, &|values| values.truncate(values.len() - 1));
        assert!(report.steps.iter().all(|step| !step.passed && step.error.is_some()), "{report:#?}");
    }
}

#[test]
fn devices_that_are_not_there_are_refused() {
    for kind in [DeviceKind::Wgpu, DeviceKind::Vulkan, DeviceKind::Cuda] {
        let device = Device { kind, index: 4242, name: "none".to_owned() };
        let error = to_burn(&device).unwrap_err().to_string();
        let expected = if cfg!(feature = "gpu") { "there is no" } else { "needs a build with the feature" };
        assert!(error.contains(expected), "{error}");
        let report = self_test(&device);
        assert!(!report.passed && report.steps.is_empty() && report.skipped.is_some(), "{report:#?}");
    }
}

/// Every adapter of this machine computes right, software ones included.
#[test]
fn the_doctor_tests_every_device_and_reads_back_from_json() {
    let report = doctor();
    assert!(report.passed, "{report:#?}");
    for (found, test) in report.devices.iter().zip(&report.self_tests).skip(1) {
        println!("{}: {:?}", found.id, test.skipped);
        assert_eq!((&found.device, found.unusable.is_none()), (&test.device, test.passed), "{test:#?}");
        assert_eq!(test.steps.len(), if test.passed { 12 } else { 0 }, "{test:#?}");
        assert_eq!(test.precisions.contains(&Precision::F32), test.passed, "{test:#?}");
    }
    assert_eq!(report.devices, list());
    assert_eq!(report.self_tests.len(), report.devices.len());
    assert_eq!(report.auto.device, resolve(&DeviceSelector::Auto).unwrap());
    assert!(!report.devices.iter().any(|found| found.software && found.device == report.auto.device));
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<super::DoctorReport>(&text).unwrap(), report);
}

/// Set in a child process of the test below.
const WITHOUT_DRIVERS: &str = "EMBERLINE_TEST_WITHOUT_DRIVERS";

/// The Vulkan loader reads these when it is first used, so this takes a process.
#[test]
fn without_any_driver_there_is_the_cpu() {
    if std::env::var_os(WITHOUT_DRIVERS).is_some() {
        assert!(!list().iter().any(|found| found.interface == "Vulkan"), "{:#?}", list());
        let report = doctor();
        assert!(report.passed, "{report:#?}");
        if report.devices.len() == 1 {
            assert_eq!(resolve(&DeviceSelector::Auto).unwrap(), Device::cpu());
            let error = resolve(&DeviceSelector::Gpu(0)).unwrap_err().to_string();
            assert!(error.starts_with("gpu:0 ") && error.ends_with("cpu") || error.ends_with("CPU only"), "{error}");
        }
        return;
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "device::tests::without_any_driver_there_is_the_cpu", "--nocapture"])
        .env(WITHOUT_DRIVERS, "1")
        .env("VK_DRIVER_FILES", "/nonexistent")
        .env("VK_ICD_FILENAMES", "/nonexistent")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}

#[cfg(feature = "gpu")]
mod adapters {
    use cubecl::{
        device::{WgpuBackend, WgpuDevice, WgpuDeviceKind},
        wgpu::wgpu::{Backend, DeviceType as WgpuType},
    };

    use super::super::{
        adapters::{AdapterFacts, found, placed},
        cards::Cards,
        found::Found,
    };
    use super::*;

    fn facts(name: &str, device_type: WgpuType, backend: Backend) -> AdapterFacts {
        AdapterFacts {
            name: name.to_owned(),
            device_type,
            backend,
            vendor: 0,
            driver: String::new(),
            driver_info: String::new(),
            pci_address: String::new(),
            computes: true,
        }
    }

    fn handle(found: &Found) -> Option<WgpuDevice> {
        match &found.cube {
            Some(cubecl::Device::Wgpu(device)) => Some(device.clone()),
            _ => None,
        }
    }

    /// Numbers are ours, handles are CubeCL's: the place among the adapters of that type, in wgpu's order.
    #[test]
    fn numbers_put_real_gpus_first_and_handles_keep_the_drivers_order() {
        let adapters = placed(vec![
            facts("llvmpipe", WgpuType::Cpu, Backend::Gl),
            facts("Iris", WgpuType::IntegratedGpu, Backend::Gl),
            facts("old", WgpuType::DiscreteGpu, Backend::Gl),
            facts("virtio", WgpuType::VirtualGpu, Backend::Gl),
            facts("H100", WgpuType::DiscreteGpu, Backend::Gl),
            facts("renderer", WgpuType::Other, Backend::Gl),
            facts("softpipe", WgpuType::Other, Backend::Gl),
            facts("SwiftShader Device", WgpuType::Cpu, Backend::Gl),
        ]);
        let mut adapters = adapters;
        adapters[2].info.computes = false;
        let found = found(adapters, &Cards::default());
        let listed: Vec<(String, bool, Option<WgpuDeviceKind>)> = found
            .iter()
            .map(|found| {
                let name = format!("{} {}", found.report.id, found.report.device.name);
                (name, found.report.software, handle(found).map(|device| device.kind))
            })
            .collect();
        let expected = [
            ("wgpu:0 H100", false, Some(WgpuDeviceKind::DiscreteGpu(1))),
            ("wgpu:1 Iris", false, Some(WgpuDeviceKind::IntegratedGpu(0))),
            ("wgpu:2 virtio", false, Some(WgpuDeviceKind::VirtualGpu(0))),
            ("wgpu:3 renderer", false, Some(WgpuDeviceKind::Other(0))),
            ("wgpu:4 softpipe", true, Some(WgpuDeviceKind::Other(1))),
            ("wgpu:5 llvmpipe", true, Some(WgpuDeviceKind::Cpu)),
            ("wgpu:6 old", false, None),
            ("wgpu:7 SwiftShader Device", true, None),
        ]
        .map(|(name, software, handle)| (name.to_owned(), software, handle));
        assert_eq!(listed, expected);
        assert!(found.iter().filter_map(handle).all(|device| device.backend == WgpuBackend::Gl));
        assert!(found.iter().all(|found| found.cube.is_some() == found.report.unusable.is_none()));
    }

    #[test]
    fn vulkan_adapters_are_vulkan_devices_where_spirv_is_built_in() {
        let adapters = placed(vec![
            facts("H100", WgpuType::DiscreteGpu, Backend::Vulkan),
            facts("llvmpipe", WgpuType::Cpu, Backend::Vulkan),
        ]);
        let found = found(adapters, &Cards::default());
        let spirv = cfg!(feature = "vulkan");
        let kind = if spirv { DeviceKind::Vulkan } else { DeviceKind::Wgpu };
        assert!(found.iter().all(|found| found.report.device.kind == kind));
        assert_eq!(found[1].report.unusable.is_some(), spirv);
        let pinned = WgpuDevice::new(WgpuDeviceKind::DiscreteGpu(0)).on(WgpuBackend::Vulkan);
        assert_eq!(handle(&found[0]), Some(pinned));
    }

    /// What is listed as `wgpu:N` is what runs: the opened device has the listed name.
    #[test]
    fn the_listed_adapter_is_the_one_that_is_opened() {
        for device in gpus() {
            let opened = super::super::to_cube(&device).unwrap().client();
            assert_eq!(opened.properties().identity.name, device.name, "{device}");
            let cube = super::super::to_cube(&device).unwrap();
            assert_eq!(to_burn(&device).unwrap(), burn::tensor::Device::new(cube));
        }
    }
}
