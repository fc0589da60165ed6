//! How versions come, go and are renamed while requests run, and how the whole ends.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use contract::Model;
use tokio::time::{timeout, timeout_at};

use super::{
    batcher::LaneShape,
    deployment::Deployment,
    executor::Executor,
    gate::Gate,
    router::Slot,
    selftest,
    serving::{Inner, Run, Serving},
};
use crate::{Error, Result};

/// Time for the self-test, which queues with live requests.
const SELF_TEST_TIMEOUT: Duration = Duration::from_mins(1);
/// Time for the executors to end even when the grace is used up, so that those that still can tell who waits.
const LEAST_STOP_TIME: Duration = Duration::from_millis(200);

impl Serving {
    /// Brings a version into service: places it on the device with the fewest, warms each of its buckets between live
    /// batches, compares its answers with those it gave when it was saved, and then lets requests find it. Until then
    /// nothing changes for anyone. A version that failed before may be loaded again.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the version is here already, [`Error::Run`] when the device has no room or is gone,
    /// [`Error::SelfTest`] when it gives other answers than it did, [`Error::ShuttingDown`]. What was done is undone, and the
    /// version is listed as failed with the reason; likewise when the future is dropped.
    pub async fn load(&self, model: &str, version: u32, loaded: Arc<dyn Model>) -> Result<()> {
        if self.is_closing() {
            return Err(Error::ShuttingDown);
        }
        let executor = self.choose_executor()?;
        self.inner.router.change(model, |routes| match routes.versions.get(&version) {
            None | Some(Slot::Failed(_)) => {
                routes.versions.insert(version, Slot::Loading);
                Ok(())
            }
            Some(Slot::Loading | Slot::Ready(_) | Slot::Unloading(_)) => {
                Err(Error::Conflict(format!("model '{model}' version {version} is here already")))
            }
        })?;
        let id = self.inner.next_id.fetch_add(1, Ordering::Relaxed);
        let mut attempt = Attempt { inner: &self.inner, executor: &executor, id, model, version, open: true };
        match attempt.bring_up(loaded).await {
            Ok(deployment) => {
                attempt.open = false;
                self.inner.set(model, version, Slot::Ready(Arc::new(deployment)));
                tracing::info!(model, version, device = %executor.device(), "version loaded");
                Ok(())
            }
            Err(error) => {
                executor.remove(id).await;
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
        deployment.executor.remove(deployment.id).await;
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
        let stops = futures::future::join_all(self.inner.executors.iter().map(|executor| executor.stop()));
        if timeout(left, stops).await.is_err() {
            tracing::warn!("a device did not end in time");
        }
    }

    /// The device with the fewest replicas; in turns among equals, since loads may begin at once.
    fn choose_executor(&self) -> Result<Arc<Executor>> {
        let executors = &self.inner.executors;
        let first = self.inner.next_executor.fetch_add(1, Ordering::Relaxed) % executors.len();
        let in_turn = executors.iter().cycle().skip(first).take(executors.len());
        let usable = in_turn.filter(|executor| executor.failure().is_none());
        usable.min_by_key(|executor| executor.replicas()).map(Arc::clone).ok_or_else(|| {
            if self.is_closing() {
                return Error::ShuttingDown;
            }
            self.device_failure().map_or_else(|| Error::Internal("there is no device".to_owned()), Error::Run)
        })
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
    executor: &'a Arc<Executor>,
    id: u64,
    model: &'a str,
    version: u32,
    open: bool,
}

impl Attempt<'_> {
    async fn bring_up(&self, loaded: Arc<dyn Model>) -> Result<Deployment> {
        let shape = LaneShape::new(loaded.buckets(), self.inner.settings.max_batch_rows)
            .ok_or_else(|| self.self_test_error("expected at least one bucket above zero, got none".to_owned()))?;
        let monitor = self.inner.monitor.version(self.model, self.version);
        let memory = self.executor.place(self.id, Arc::clone(&loaded), shape, Arc::clone(&monitor)).await?;
        self.self_test(loaded.as_ref()).await?;
        // Statistics are those of requests: the self-test's batches are not counted, and warming was not either.
        monitor.clear();
        let deployment = Deployment {
            id: self.id,
            name: Arc::from(self.model),
            version: self.version,
            model: loaded,
            executor: Arc::clone(self.executor),
            memory,
            monitor,
            gate: Gate::default(),
            cache_ttl: AtomicU64::new(0),
        };
        deployment.set_cache_ttl(self.inner.settings.cache_ttl);
        Ok(deployment)
    }

    /// Runs the golden inputs the way requests run.
    async fn self_test(&self, loaded: &dyn Model) -> Result<()> {
        let Some(golden) = loaded.golden() else { return Ok(()) };
        let wanted: Vec<String> = golden.outputs.iter().map(|output| output.name().to_owned()).collect();
        let deadline = Instant::now() + SELF_TEST_TIMEOUT;
        let run = Run { executor: self.executor, lane: self.id, model: loaded };
        let (answer, _times) = timeout_at(deadline.into(), run.answer(&golden.inputs, &wanted, deadline))
            .await
            .map_err(|_elapsed| Error::DeadlineExceeded { after: SELF_TEST_TIMEOUT })??;
        selftest::compare(&golden.outputs, &answer.outputs, golden.tolerance)
            .map_err(|reason| self.self_test_error(reason))
    }

    fn self_test_error(&self, reason: String) -> Error {
        Error::SelfTest { model: self.model.to_owned(), version: self.version, reason }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.open {
            self.executor.remove_later(self.id);
            self.inner.fail(self.model, self.version, "loading was cancelled".to_owned());
        }
    }
}
