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

use contract::{Device, MemoryUse, Model};
use serde::{Serialize, Serializer};

use super::{executor::Executor, gate::Gate};
use crate::monitor::{VersionMonitor, VersionStatistics};

/// A version of a model, placed on a device and warm.
///
/// Holding one keeps the host half alive. It does not keep the version serving: requests go through
/// [`Serving::predict`](super::Serving::predict), which finds the version anew.
pub struct Deployment {
    /// Never used twice, so that a version that is loaded again shares nothing with its earlier load.
    pub(super) id: u64,
    pub(super) name: Arc<str>,
    pub(super) version: u32,
    pub(super) model: Arc<dyn Model>,
    pub(super) executor: Arc<Executor>,
    pub(super) memory: MemoryUse,
    pub(super) monitor: Arc<VersionMonitor>,
    pub(super) gate: Gate,
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

    /// The device that holds it.
    #[must_use]
    pub fn device(&self) -> &Device {
        self.executor.device()
    }

    /// Memory it holds on the device.
    #[must_use]
    pub const fn memory(&self) -> MemoryUse {
        self.memory
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
        match self.executor.failure() {
            _ if self.gate.is_closed() => VersionState::Unloading,
            Some(error) => VersionState::Failed(error.to_string()),
            None => VersionState::Ready,
        }
    }
}

impl fmt::Debug for Deployment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Deployment({}:{} on {})", self.name, self.version, self.device())
    }
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
    /// The device that holds it, in its short form; absent unless it is placed.
    pub device: Option<String>,
    /// Memory it holds on the device.
    pub memory: MemoryUse,
    /// Why it failed.
    pub error: Option<String>,
}
