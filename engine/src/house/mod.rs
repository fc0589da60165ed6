//! The engine as one: registry, serving, features, feedback, monitor and jobs, tied together.
//!
//! - [`Engine::open`] opens everything and starts the watcher, which keeps what serves in step with what is registered
//!   ([`sync`](self) says how). It does not wait for models to load: [`Engine::not_ready`] says whether that is done.
//! - [`Engine::predict`] and its sisters answer requests, and remember the answers for feedback. They touch no database.
//!
//! It adds no rules of its own to the rooms it ties; what is decided here is only which versions are loaded.

mod explain;
mod hold;
mod import;
mod predict;
mod sync;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use arc_swap::ArcSwap;
use contract::{Device, Format, RunError};
use parking_lot::RwLock;
use tokio::{runtime::Handle, sync::Mutex};

use self::{
    explain::Explaining,
    sync::{Catalogue, Synced},
};
use crate::{
    Error, Result,
    features::FeatureStore,
    feedback::{Feedback, FeedbackSettings},
    jobs::{Jobs, JobsSettings},
    monitor::{Family, Monitor, TextFormat},
    registry::{Registry, RegistrySettings},
    serve::{Serving, ServingSettings},
};

/// Where everything is and how it behaves.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// Where models and versions are.
    pub registry: RegistrySettings,
    /// File of the embedded feature store; its directory is made if need be.
    pub features: PathBuf,
    /// How requests are batched, bounded and cached.
    pub serving: ServingSettings,
    /// How much is remembered for feedback.
    pub feedback: FeedbackSettings,
    /// How training jobs run.
    pub jobs: JobsSettings,
}

/// The engine. Its rooms are open to whoever needs one alone.
pub struct Engine {
    /// Models, versions and aliases.
    pub registry: Registry,
    /// The request path.
    pub serving: Serving,
    /// Feature rows by entity.
    pub features: FeatureStore,
    /// Labels joined to predictions.
    pub feedback: Feedback,
    /// Latencies, outcomes and device use.
    pub monitor: Monitor,
    /// Training jobs.
    pub jobs: Jobs,
    format: Arc<dyn Format>,
    control: Handle,
    /// Explanations under way.
    explaining: Explaining,
    /// Held while a file is imported, so that there is one at a time.
    importing: Mutex<()>,
    /// What the last refresh saw; held while a refresh runs, so that there is one at a time.
    synced: Mutex<Synced>,
    /// The registered versions as of the last refresh, for error messages.
    catalogue: ArcSwap<Catalogue>,
    /// Models that were taken out of service by hand; see [`Engine::unload`].
    held: RwLock<BTreeSet<String>>,
    /// Whether a first refresh has ended.
    loaded: AtomicBool,
}

impl Engine {
    /// Opens everything, and begins to load the registered models onto `devices` by `format`. All work that is neither a
    /// request nor a batch runs on `control`, which needs its timers and I/O enabled.
    ///
    /// # Errors
    /// What the rooms answer when they cannot be opened.
    pub async fn open(
        settings: EngineSettings,
        devices: Vec<Device>,
        format: Arc<dyn Format>,
        control: Handle,
    ) -> Result<Arc<Self>> {
        let EngineSettings { registry, features, serving, feedback, jobs } = settings;
        let registry = Registry::open(registry, control.clone()).await?;
        let features = off_the_web(&control, move || FeatureStore::open(&features)).await?;
        let monitor = Monitor::new();
        let engine = Arc::new(Self {
            registry,
            serving: Serving::new(serving, devices, monitor.clone())?,
            features,
            feedback: Feedback::new(&feedback),
            monitor,
            jobs: Jobs::new(jobs, control.clone())?,
            format,
            control,
            explaining: Explaining::new(),
            importing: Mutex::default(),
            synced: Mutex::default(),
            catalogue: ArcSwap::default(),
            held: RwLock::default(),
            loaded: AtomicBool::new(false),
        });
        engine.watch();
        Ok(engine)
    }

    /// Why requests should not be sent here now; none when they should.
    #[must_use]
    pub fn not_ready(&self) -> Option<String> {
        if let Some(failure) = self.device_failure() {
            return Some(failure.to_string());
        }
        if !self.loaded.load(std::sync::atomic::Ordering::Acquire) {
            return Some("the registered models are being loaded".to_owned());
        }
        (!self.serving.is_ready()).then(|| Error::ShuttingDown.to_string())
    }

    /// Why a device is gone for good; only another process can use it again.
    #[must_use]
    pub fn device_failure(&self) -> Option<RunError> {
        self.serving.device_failure()
    }

    /// What every room counts, as text for Prometheus, with the families of the rooms above.
    ///
    /// # Errors
    /// As [`Monitor::prometheus`].
    pub fn metrics(&self, format: TextFormat, above: Vec<Family>) -> Result<String> {
        let mut extra = self.serving.families();
        extra.extend(self.feedback.families());
        extra.extend(above);
        self.monitor.prometheus(extra, format)
    }

    /// Runs `work`, which may wait for a disk or a probe, on the control runtime.
    ///
    /// # Errors
    /// What `work` answers, and [`Error::Internal`] when it panics.
    pub async fn off_the_web<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        off_the_web(&self.control, work).await
    }

    /// Takes no more requests, waits up to `grace` for those under way, and ends jobs and devices.
    pub async fn shutdown(&self, grace: Duration) {
        tokio::join!(self.serving.shutdown(grace), self.jobs.shutdown(grace));
        self.registry.close().await;
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("registry", &self.registry).finish_non_exhaustive()
    }
}

async fn off_the_web<T: Send + 'static>(
    control: &Handle,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let ended = control.spawn_blocking(work).await;
    ended.map_err(|error| Error::Internal(format!("work beside the request path ended early: {error}")))?
}
