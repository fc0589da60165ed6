//! A version that serves, and what is shown of versions that serve or should.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use contract::{Device, MemoryUse, Model};
use serde::{Serialize, Serializer};

use super::{direct::DirectRuns, effective::EffectiveServing, gate::Gate, replicas::Replicas};
use crate::monitor::{VersionMonitor, VersionStatistics};

/// A version of a model, placed on its devices and warm.
///
/// Holding one keeps the host half alive. It does not keep the version serving: requests go through
/// [`Serving::predict`](super::Serving::predict), which finds the version anew.
pub struct Deployment {
    /// Never used twice, so that a version that is loaded again shares nothing with its earlier load.
    pub(super) id: u64,
    pub(super) name: Arc<str>,
    pub(super) version: u32,
    pub(super) model: Arc<dyn Model>,
    pub(super) replicas: Replicas,
    pub(super) settings: ArcSwap<EffectiveServing>,
    pub(super) monitor: Arc<VersionMonitor>,
    pub(super) gate: Gate,
    /// How it runs on its requests' own threads, if it can.
    pub(super) direct: Option<DirectRuns>,
    /// In microseconds.
    pub(super) cache_ttl: AtomicU64,
}

impl Deployment {
    /// Name of the model.
    #[must_use]
    pub const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Number of the version.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// The host half.
    #[must_use]
    pub const fn model(&self) -> &Arc<dyn Model> {
        &self.model
    }

    /// How it is served now.
    #[must_use]
    pub fn settings(&self) -> Arc<EffectiveServing> {
        self.settings.load_full()
    }

    /// The devices that hold it, in the order in which they came to.
    #[must_use]
    pub fn devices(&self) -> Vec<DeviceShare> {
        let mut shares: Vec<DeviceShare> = Vec::new();
        for replica in self.replicas.taking().iter() {
            let MemoryUse { weights, activations } = replica.memory;
            let device = replica.executor().device();
            if let Some(share) = shares.iter_mut().find(|share| share.device == *device) {
                share.instances += 1;
                share.memory.weights += weights;
                share.memory.activations += activations;
            } else {
                shares.push(DeviceShare { device: device.clone(), instances: 1, memory: replica.memory });
            }
        }
        shares
    }

    /// Memory it holds on all its devices.
    #[must_use]
    pub fn memory(&self) -> MemoryUse {
        self.replicas.taking().iter().fold(MemoryUse::default(), |sum, replica| MemoryUse {
            weights: sum.weights + replica.memory.weights,
            activations: sum.activations + replica.memory.activations,
        })
    }

    /// What happened to its requests since it was loaded.
    #[must_use]
    pub fn statistics(&self) -> VersionStatistics {
        self.monitor.statistics()
    }

    /// Requests taken and not answered yet, those on the device included.
    #[must_use]
    pub fn pending_requests(&self) -> usize {
        self.gate.inside()
    }

    /// Longest age of a cached answer; zero when its answers are not cached.
    #[must_use]
    pub fn cache_ttl(&self) -> Duration {
        Duration::from_micros(self.cache_ttl.load(Ordering::Relaxed))
    }

    /// Sets the longest age of a cached answer, those that are held included; zero turns the cache off for it.
    pub fn set_cache_ttl(&self, ttl: Duration) {
        self.cache_ttl.store(u64::try_from(ttl.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Whether it takes requests at this moment.
    #[must_use]
    pub fn state(&self) -> VersionState {
        if self.gate.is_closed() {
            return VersionState::Unloading;
        }
        let replicas = self.replicas.taking();
        let failures: Vec<_> = replicas.iter().filter_map(|replica| replica.executor().failure()).collect();
        match failures.first() {
            Some(error) if failures.len() == replicas.len() => VersionState::Failed(error.to_string()),
            Some(_) | None => VersionState::Ready,
        }
    }
}

impl fmt::Debug for Deployment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Deployment({}:{} on {})", self.name, self.version, names(&self.devices()))
    }
}

/// What one device holds of a version.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceShare {
    /// The device.
    pub device: Device,
    /// Replicas there.
    pub instances: usize,
    /// Memory that they hold there.
    pub memory: MemoryUse,
}

/// The devices in their short form.
pub(super) fn names(shares: &[DeviceShare]) -> String {
    shares.iter().map(|share| share.device.to_string()).collect::<Vec<_>>().join(", ")
}

/// A request's pass through a deployment's gate: while it is held, the replica stays on its device.
pub(super) struct Pass(Arc<Deployment>);

impl Pass {
    /// None when the deployment takes no more requests.
    pub(super) fn new(deployment: Arc<Deployment>) -> Option<Self> {
        deployment.gate.enter().then(|| Self(deployment))
    }

    pub(super) fn deployment(&self) -> &Deployment {
        &self.0
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.gate.leave();
    }
}

/// Where a version stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionState {
    /// Being placed, warmed and tested.
    Loading,
    /// Takes requests.
    Ready,
    /// Takes no more requests; answers those it has.
    Unloading,
    /// Could not be loaded, or its device is gone; says why.
    Failed(String),
}

impl VersionState {
    /// The name in answers.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Ready => "ready",
            Self::Unloading => "unloading",
            Self::Failed(_) => "failed",
        }
    }
}

impl fmt::Display for VersionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loading | Self::Ready | Self::Unloading => f.write_str(self.name()),
            Self::Failed(reason) => write!(f, "failed: {reason}"),
        }
    }
}

impl Serialize for VersionState {
    /// The name alone; the reason of a failure stands in [`ServedVersion::error`].
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A model as it is served.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServedModel {
    /// Name.
    pub name: String,
    /// Aliases and the versions they name, served or not.
    pub aliases: BTreeMap<String, u32>,
    /// Versions that serve or should, ascending.
    pub versions: Vec<ServedVersion>,
}

/// A version as it is served.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServedVersion {
    /// Number.
    pub version: u32,
    /// Where it stands.
    pub state: VersionState,
    /// The devices that hold it, in their short form; absent unless it is placed.
    pub device: Option<String>,
    /// Replicas that take requests.
    pub instances: usize,
    /// Memory it holds on its devices.
    pub memory: MemoryUse,
    /// Why it failed.
    pub error: Option<String>,
}
