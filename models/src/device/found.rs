//! The devices of this machine, asked for once per process.

use std::sync::OnceLock;

use super::{choose, host, report::DeviceReport};

/// A device and the handle that drives it.
pub(super) struct Found {
    pub(super) report: DeviceReport,
    /// None for the CPU, and for adapters that cannot be used.
    #[cfg(feature = "gpu")]
    pub(super) cube: Option<cubecl::Device>,
}

/// All devices, the CPU first. The first call asks the drivers, some 100 ms where there are GPUs; no driver, loader or
/// library needs to be there.
pub(super) fn all() -> &'static [Found] {
    static ALL: OnceLock<Vec<Found>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut found = vec![Found {
            report: host::report(),
            #[cfg(feature = "gpu")]
            cube: None,
        }];
        #[cfg(feature = "gpu")]
        {
            let cards = super::cards::Cards::new();
            #[cfg(feature = "cuda")]
            found.extend(probe("CUDA", || super::cuda::devices(&cards)));
            found.extend(probe("wgpu", || super::adapters::devices(&cards)));
            #[cfg(not(feature = "cuda"))]
            found.extend(cards.only_cuda_can_drive(&found));
        }
        let mut reports: Vec<DeviceReport> = found.iter().map(|found| found.report.clone()).collect();
        choose::fill_selectors(&mut reports);
        for (found, report) in found.iter_mut().zip(reports) {
            found.report = report;
        }
        found
    })
}

/// Asks one interface for its devices. Drivers are other people's code: should one make its library panic, then that
/// interface has no devices here, and the rest of the machine can be used all the same.
#[cfg(feature = "gpu")]
fn probe(interface: &str, ask: impl FnOnce() -> Vec<Found>) -> Vec<Found> {
    // Nothing outlives the panic but the handle of NVML, which is only read.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(ask)).unwrap_or_else(|_| {
        tracing::warn!(interface, "asking for devices panicked; going on without them");
        Vec::new()
    })
}
