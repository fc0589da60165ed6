//! How versions come, go and are renamed while requests run, and how the whole ends.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use contract::Model;
use tokio::time::{timeout, timeout_at};

use super::{
    deployment::Deployment,
    direct::DirectRuns,
    gate::Gate,
    pool::Place,
    replicas::Replicas,
    router::Slot,
    scaling::Version,
    serving::{Inner, Serving},
};
use crate::{Error, Result};

/// Time for the executors to end even when the grace is used up, so that those that still can tell who waits.
const LEAST_STOP_TIME: Duration = Duration::from_millis(200);

impl Serving {
    /// Brings a version into service: places it on the device with the fewest, warms each of its buckets between live
    /// batches, compares its answers with those it gave when it was saved, and then lets requests find it. Until then
    /// nothing changes for anyone. A version that failed before may be loaded again. The other replicas that the model's
    /// settings ask for are placed behind the first one, while that serves; those that find no room fail nothing.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the version is here already, [`Error::Run`] when the device has no room or is gone,
    /// [`Error::SelfTest`] when it gives other answers than it did, [`Error::ShuttingDown`]. What was done is undone, and the
    /// version is listed as failed with the reason; likewise when the future is dropped.
    pub async fn load(&self, model: &str, version: u32, loaded: Arc<dyn Model>) -> Result<()> {
        if self.is_closing() {
            return Err(Error::ShuttingDown);
        }
        let place = self.first_place()?;
        let device = place.executor().device().to_string();
        self.inner.router.change(model, |routes| match routes.versions.get(&version) {
            None | Some(Slot::Failed(_)) => {
                routes.versions.insert(version, Slot::Loading);
                Ok(())
            }
            Some(Slot::Loading | Slot::Ready(_) | Slot::Unloading(_)) => {
                Err(Error::Conflict(format!("model '{model}' version {version} is here already")))
            }
        })?;
        let mut attempt = Attempt { inner: &self.inner, model, version, open: true };
        match attempt.bring_up(loaded, place).await {
            Ok(deployment) => {
                attempt.open = false;
                let deployment = Arc::new(deployment);
                self.inner.set(model, version, Slot::Ready(Arc::clone(&deployment)));
                tracing::info!(model, version, device, "version loaded");
                self.inner.reconcile(&deployment).await;
                Ok(())
            }
            Err(error) => {
                attempt.open = false;
                self.inner.fail(model, version, error.to_string());
                tracing::warn!(model, version, %error, "version not loaded");
                Err(error)
            }
        }
    }

    /// Lists a version as failed that could not even be opened. One that serves is left alone.
    pub fn refuse(&self, model: &str, version: u32, reason: &Error) {
        tracing::warn!(model, version, error = %reason, "version not opened");
        let refused = self.inner.router.change(model, |routes| {
            if matches!(routes.versions.get(&version), None | Some(Slot::Failed(_))) {
                routes.versions.insert(version, Slot::Failed(reason.to_string()));
            }
            Ok(())
        });
        debug_assert!(refused.is_ok(), "refusing a version refuses nothing");
    }

    /// Takes a version out of service: no request finds it any more, those it has are answered, its replica is dropped on
    /// its executor, and its answers leave the cache. When the future is dropped half-way, another call finishes the work.
    ///
    /// # Errors
    /// [`Error::UnknownModel`] or [`Error::UnknownVersion`] when it is not here, [`Error::Conflict`] while it is loading.
    pub async fn unload(&self, model: &str, version: u32) -> Result<()> {
        let leaving = self.inner.router.change(model, |routes| {
            let unknown_model = routes.versions.is_empty() && routes.aliases.is_empty();
            match routes.versions.get(&version) {
                None if unknown_model => Err(Error::UnknownModel { model: model.to_owned() }),
                None => Err(Error::UnknownVersion { model: model.to_owned(), version }),
                Some(Slot::Loading) => {
                    Err(Error::Conflict(format!("model '{model}' version {version} is still loading")))
                }
                Some(Slot::Failed(_)) => {
                    routes.versions.remove(&version);
                    Ok(None)
                }
                Some(Slot::Ready(deployment) | Slot::Unloading(deployment)) => {
                    let deployment = Arc::clone(deployment);
                    routes.versions.insert(version, Slot::Unloading(Arc::clone(&deployment)));
                    Ok(Some(deployment))
                }
            }
        })?;
        let Some(deployment) = leaving else { return Ok(()) };
        deployment.gate.close();
        deployment.gate.closed_and_empty().await;
        {
            let _one_at_a_time = deployment.replicas.changing.lock().await;
            for replica in deployment.replicas.taking().iter() {
                deployment.replicas.dismiss(replica);
            }
            deployment.replicas.finish().await;
        }
        if let Some(cache) = &self.inner.cache {
            cache.remove_deployment(deployment.id);
        }
        self.inner.forget(&deployment);
        tracing::info!(model, version, "version unloaded");
        Ok(())
    }

    /// Sets the aliases of a model. The next request that names one finds its new version.
    pub fn set_aliases(&self, model: &str, aliases: BTreeMap<String, u32>) {
        let set = self.inner.router.change(model, |routes| {
            routes.aliases = aliases;
            Ok(())
        });
        debug_assert!(set.is_ok(), "setting aliases refuses nothing");
    }

    /// Takes no more requests, waits up to `grace` for those under way, answers what still waits with
    /// [`Error::ShuttingDown`], drops all replicas and ends the executors. A batch that a device does not give back in
    /// time is left behind; its requests end by their deadlines.
    pub async fn shutdown(&self, grace: Duration) {
        self.inner.closing.store(true, Ordering::Release);
        let until = Instant::now() + grace;
        let drained = async {
            for deployment in self.inner.router.deployments() {
                deployment.gate.close();
                deployment.gate.closed_and_empty().await;
            }
        };
        if timeout_at(until.into(), drained).await.is_err() {
            tracing::warn!(
                grace_seconds = grace.as_secs_f64(),
                "requests were still under way when the grace was over"
            );
        }
        let left = until.saturating_duration_since(Instant::now()).max(LEAST_STOP_TIME);
        let executors = self.inner.pool.executors();
        let stops = futures::future::join_all(executors.iter().map(|executor| executor.stop()));
        if timeout(left, stops).await.is_err() {
            tracing::warn!("a device did not end in time");
        }
    }

    /// A place for a version's first replica.
    fn first_place(&self) -> Result<Place> {
        self.inner.pool.reserve(&[]).map_err(|error| if self.is_closing() { Error::ShuttingDown } else { error })
    }
}

impl Inner {
    fn set(&self, model: &str, version: u32, slot: Slot) {
        let set = self.router.change(model, |routes| {
            routes.versions.insert(version, slot);
            Ok(())
        });
        debug_assert!(set.is_ok(), "setting a slot refuses nothing");
    }

    fn fail(&self, model: &str, version: u32, reason: String) {
        self.monitor.remove(model, version);
        self.set(model, version, Slot::Failed(reason));
    }

    /// Forgets an unloaded version, unless it was forgotten, and maybe loaded again, before.
    fn forget(&self, deployment: &Arc<Deployment>) {
        let forgotten = self.router.change(&deployment.name, |routes| {
            if let Some(Slot::Unloading(listed)) = routes.versions.get(&deployment.version)
                && Arc::ptr_eq(listed, deployment)
            {
                routes.versions.remove(&deployment.version);
                // Under the table's lock, so that the next load of this version begins a recorder of its own.
                self.monitor.remove(&deployment.name, deployment.version);
            }
            Ok(())
        });
        debug_assert!(forgotten.is_ok(), "forgetting refuses nothing");
    }
}

/// A load under way, undone when it is dropped open.
struct Attempt<'a> {
    inner: &'a Inner,
    model: &'a str,
    version: u32,
    open: bool,
}

impl Attempt<'_> {
    /// Places the first replica.
    async fn bring_up(&self, loaded: Arc<dyn Model>, place: Place) -> Result<Deployment> {
        let Self { inner, model, version, open: _ } = *self;
        let monitor = inner.monitor.version(model, version);
        let settings = inner.effective(model);
        let direct = DirectRuns::new(loaded.as_ref(), place.executor().device());
        let placed = Version {
            name: model,
            number: version,
            model: &loaded,
            settings: &settings,
            monitor: &monitor,
            direct: direct.as_ref(),
        };
        let replicas = Replicas::default();
        replicas.add(inner.place(&placed, place).await?);
        // Statistics are those of requests: the self-test's own runs are not counted.
        monitor.clear();
        let cache_ttl = settings.cache_ttl;
        let deployment = Deployment {
            id: inner.next_id.fetch_add(1, Ordering::Relaxed),
            name: Arc::from(model),
            version,
            model: loaded,
            replicas,
            settings: ArcSwap::from_pointee(settings),
            monitor,
            gate: Gate::default(),
            direct,
            cache_ttl: AtomicU64::new(0),
        };
        deployment.set_cache_ttl(cache_ttl);
        Ok(deployment)
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.open {
            self.inner.fail(self.model, self.version, "loading was cancelled".to_owned());
        }
    }
}
