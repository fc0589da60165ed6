//! What the house knows about its own work: latencies and outcomes per model version, how busy each device is, and the
//! state of the host.
//!
//! Recording is for the request path: a thread writes to its own recorder and touches no memory that another thread
//! writes. Reading merges the recorders and is for people and scrapers, some times a second. Everything counts from the
//! start of the process, or from the load of the version; nothing is kept on disk.
//!
//! It does not know about models, requests or HTTP, and it decides nothing.

mod device;
mod gpu;
mod host;
mod latency;
mod metrics;
mod prometheus;
mod recording;
mod report;
mod statistics;
mod triton;
mod version;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use contract::Device;
use parking_lot::RwLock;

pub use device::DeviceMonitor;
pub use metrics::{Family, METRICS, MetricInfo, MetricKind, Naming, Sample, SampleValue, families};
pub use prometheus::TextFormat;
pub use recording::{Answered, CacheOutcome, ComputeTimes, FailureReason, Stage};
pub use report::{
    BatchSizeReport, CacheReport, DeviceReport, GpuReport, HostReport, MonitorReport, ProcessReport, StageReport,
    VersionReport,
};
pub use statistics::{BatchStatistics, StatisticDuration, VersionStatistics};
pub use version::VersionMonitor;

use crate::Result;

/// All that is recorded. Clones share it.
#[derive(Clone, Debug)]
pub struct Monitor {
    inner: Arc<Inner>,
}

/// Recorders by model and version.
type Versions = BTreeMap<Arc<str>, BTreeMap<u32, Arc<VersionMonitor>>>;

#[derive(Debug)]
struct Inner {
    started: Instant,
    versions: RwLock<Versions>,
    devices: RwLock<BTreeMap<String, Arc<DeviceMonitor>>>,
    host: host::HostProbe,
}

impl Default for Monitor {
    fn default() -> Self {
        Self::new()
    }
}

impl Monitor {
    /// A monitor that has recorded nothing. The first look at the host is taken now, because CPU use is a difference.
    #[must_use]
    pub fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                started: Instant::now(),
                versions: RwLock::default(),
                devices: RwLock::default(),
                host: host::HostProbe::new(),
            }),
        }
    }

    /// The recorder of a version, made when it is first asked for. Keep it: finding it takes a lock, recording does not.
    #[must_use]
    pub fn version(&self, model: &str, version: u32) -> Arc<VersionMonitor> {
        if let Some(found) = self.inner.versions.read().get(model).and_then(|versions| versions.get(&version)) {
            return Arc::clone(found);
        }
        let mut models = self.inner.versions.write();
        let name = models.get_key_value(model).map_or_else(|| Arc::from(model), |(name, _)| Arc::clone(name));
        let versions = models.entry(Arc::clone(&name)).or_default();
        Arc::clone(versions.entry(version).or_insert_with(|| Arc::new(VersionMonitor::new(name, version))))
    }

    /// Forgets a version. Whoever still holds its recorder may go on recording; nobody reads that any more.
    pub fn remove(&self, model: &str, version: u32) {
        let mut models = self.inner.versions.write();
        if let Some(versions) = models.get_mut(model) {
            versions.remove(&version);
            if versions.is_empty() {
                models.remove(model);
            }
        }
    }

    /// The recorder of a device, made when it is first asked for.
    #[must_use]
    pub fn device(&self, device: &Device) -> Arc<DeviceMonitor> {
        let mut devices = self.inner.devices.write();
        Arc::clone(devices.entry(device.to_string()).or_insert_with(|| Arc::new(DeviceMonitor::new(device))))
    }

    /// The recorder of executor thread `number` of a device: the device's own for the first one, and `NAME#NUMBER` for the
    /// others, which a CPU has when a version has several replicas there.
    #[must_use]
    pub fn device_thread(&self, device: &Device, number: usize) -> Arc<DeviceMonitor> {
        if number == 0 {
            return self.device(device);
        }
        let key = format!("{device}#{number}");
        let mut devices = self.inner.devices.write();
        let made = || Arc::new(DeviceMonitor::named(key.clone(), device.name.clone()));
        Arc::clone(devices.entry(key.clone()).or_insert_with(made))
    }

    /// Time since this monitor was made.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.inner.started.elapsed()
    }

    /// Everything recorded so far, merged. The host and the GPUs are looked at once a second at most.
    #[must_use]
    pub fn snapshot(&self) -> MonitorReport {
        let sampled = self.inner.host.sample();
        MonitorReport {
            uptime_seconds: self.uptime().as_secs_f64(),
            versions: self.versions().iter().map(|version| version.report()).collect(),
            devices: self.devices().iter().map(|device| device.report()).collect(),
            host: sampled.host,
            process: sampled.process,
            gpus: sampled.gpus,
            gpus_absent: sampled.gpus_absent,
        }
    }

    /// Everything recorded so far in a text form that Prometheus scrapes, with `extra` families of other rooms (see
    /// [`families`]).
    ///
    /// # Errors
    /// [`crate::Error::Internal`] when a family holds a sample that does not fit its kind.
    pub fn prometheus(&self, extra: Vec<Family>, format: TextFormat) -> Result<String> {
        prometheus::encode(self, extra, format)
    }

    fn versions(&self) -> Vec<Arc<VersionMonitor>> {
        self.inner.versions.read().values().flat_map(|versions| versions.values().cloned()).collect()
    }

    fn devices(&self) -> Vec<Arc<DeviceMonitor>> {
        self.inner.devices.read().values().cloned().collect()
    }
}

#[cfg(test)]
mod tests;
