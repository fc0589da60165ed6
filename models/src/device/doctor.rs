//! What `emberline doctor` says, gathered.

use super::{
    BURN_VERSION, choose, list,
    report::{DeviceReport, DoctorReport, Feature, FeatureReport},
    self_test::{SelfTestReport, self_test},
};

/// Lists the devices, says what each feature would use and what `auto` picks, and runs the numeric self-test on every
/// device that can be used. Takes seconds where kernels have to be compiled. Nothing needs to be there but the CPU.
#[must_use]
pub fn doctor() -> DoctorReport {
    let devices = list();
    let self_tests: Vec<SelfTestReport> = devices.iter().map(|found| self_test(&found.device)).collect();
    // A device that cannot be used is no fault; one that can be and computes wrong is.
    let passed = devices.iter().zip(&self_tests).all(|(found, test)| test.passed || found.unusable.is_some());
    DoctorReport {
        platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        burn: BURN_VERSION.to_owned(),
        features: Feature::ALL.into_iter().map(|feature| uses(feature, &devices)).collect(),
        auto: choose::auto(&devices, &Feature::built_in()),
        devices,
        self_tests,
        passed,
    }
}

/// The cards that a feature drives or would drive, each once although several kinds of device may stand for it.
pub(super) fn uses(feature: Feature, devices: &[DeviceReport]) -> FeatureReport {
    let mut counted: Vec<&DeviceReport> = Vec::new();
    for found in devices.iter().filter(|found| found.drivable_by.contains(&feature)) {
        let same_card = |other: &&DeviceReport| {
            other.device.kind != found.device.kind
                && other.device.name == found.device.name
                && (other.pci_address.is_none()
                    || found.pci_address.is_none()
                    || other.pci_address == found.pci_address)
        };
        if !counted.iter().any(same_card) {
            counted.push(found);
        }
    }
    FeatureReport {
        feature,
        built_in: feature.is_built_in(),
        devices: counted
            .into_iter()
            .map(
                |found| {
                    if found.software { format!("{} (software)", found.device.name) } else { found.device.name.clone() }
                },
            )
            .collect(),
    }
}
