//! How the replicas of a version are placed, and how a model's settings are changed while it serves.
//!
//! A change reaches all versions of the model without a reload: limits and times hold for the next request, replicas are added
//! or taken away behind live traffic. Where batches may be larger, each replica is replaced by one that is warm for them.
//! A replica that finds no room is not there, and the version serves by those it has; the next change tries again.

use std::{
    sync::{Arc, OnceLock, atomic::Ordering},
    time::{Duration, Instant},
};

use contract::{DeviceKind, Model};
use tokio::time::timeout_at;

use super::{
    batcher::{LaneId, LaneShape},
    deployment::Deployment,
    direct::DirectRuns,
    effective::EffectiveServing,
    executor::{Executor, LaneMonitor},
    pool::Place,
    replicas::{Replica, Replicas},
    selftest,
    serving::{Inner, Run, Serving},
    settings::ModelServing,
};
use crate::{Error, Result, monitor::VersionMonitor};

/// Time for the self-test, which queues with live requests.
const SELF_TEST_TIMEOUT: Duration = Duration::from_mins(1);

impl Serving {
    /// Sets how a model is served, now and when versions of it are loaded. Returns when all its versions have the replicas
    /// that it says, as far as there is room; when the future is dropped half-way, another call finishes the work.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for settings that cannot work; then nothing changes.
    pub async fn configure(&self, model: &str, settings: &ModelServing) -> Result<()> {
        settings.validate()?;
        {
            let mut all = self.inner.model_settings.lock();
            if *settings == ModelServing::default() {
                all.remove(model);
            } else if all.get(model) != Some(settings) {
                all.insert(model.to_owned(), settings.clone());
            }
        }
        // A version that is just loading finds the settings when it has loaded.
        for deployment in self.inner.router.deployments() {
            if *deployment.name == *model {
                self.inner.reconcile(&deployment).await;
            }
        }
        Ok(())
    }

    /// The settings of a model as [`Serving::configure`] set them.
    #[must_use]
    pub fn model_settings(&self, model: &str) -> ModelServing {
        self.inner.model_settings.lock().get(model).cloned().unwrap_or_default()
    }

    /// Forgets the settings of models that `known` does not know.
    pub fn forget_settings(&self, known: impl Fn(&str) -> bool) {
        self.inner.model_settings.lock().retain(|model, _settings| known(model));
    }
}

impl Inner {
    /// How a model is to be served now.
    pub(super) fn effective(&self, model: &str) -> EffectiveServing {
        match self.model_settings.lock().get(model) {
            Some(settings) => settings.effective(&self.settings),
            None => ModelServing::default().effective(&self.settings),
        }
    }

    /// Places a replica, warms it and proves it by the golden answers. After an error, and when the future is dropped, it is
    /// taken away.
    pub(super) async fn place(&self, version: &Version<'_>, place: Place) -> Result<Arc<Replica>> {
        let Version { name: _, number: _, model, settings, monitor, direct: _ } = *version;
        let shape = shape(model.as_ref(), place.device(), settings).ok_or_else(|| version.no_bucket())?;
        let executor = Arc::clone(place.executor());
        let lane = self.next_id.fetch_add(1, Ordering::Relaxed);
        let lane_settings = settings.lane.clone();
        let counted = LaneMonitor::new(OnceLock::new());
        let mut arrival = Arrival { executor: &executor, lane, open: true };
        let arrived = async {
            let memory =
                executor.place(lane, Arc::clone(model), shape.clone(), lane_settings, Arc::clone(&counted)).await?;
            let replica = Arc::new(Replica::new(place, lane, shape, memory));
            version.prove(&replica).await?;
            Ok(replica)
        };
        let arrived = arrived.await;
        match &arrived {
            Ok(_) => {
                // Statistics are those of requests: neither warming nor the self-test's batches are counted.
                let begun = counted.set(Arc::clone(monitor));
                debug_assert!(begun.is_ok(), "a lane begins uncounted");
            }
            Err(_) => executor.remove(lane).await,
        }
        arrival.open = false;
        arrived
    }

    /// Brings a version in step with its model's settings.
    pub(super) async fn reconcile(&self, deployment: &Arc<Deployment>) {
        let replicas = &deployment.replicas;
        let _one_at_a_time = replicas.changing.lock().await;
        replicas.finish().await;
        let wanted = Arc::new(self.effective(&deployment.name));
        let before = deployment.settings.swap(Arc::clone(&wanted));
        deployment.set_cache_ttl(wanted.cache_ttl);
        if before.lane != wanted.lane {
            for replica in replicas.taking().iter() {
                // Fails when the executor has ended, and then there is no lane to be configured.
                let _ended = replica.executor().configure(replica.lane, wanted.lane.clone()).await;
            }
        }
        if let Err(error) = self.resize(deployment, &wanted).await {
            let Deployment { name, version, .. } = &**deployment;
            let (instances, wanted) = (replicas.taking().len(), wanted.instances);
            tracing::warn!(%name, version, instances, wanted, %error, "a replica was not placed; those there are serve");
        }
        replicas.finish().await;
    }

    /// Replaces the replicas that are warm for smaller batches only, and adds or dismisses some until their number is right.
    async fn resize(&self, deployment: &Arc<Deployment>, wanted: &EffectiveServing) -> Result<()> {
        let replicas = &deployment.replicas;
        let version = Version {
            name: &deployment.name,
            number: deployment.version,
            model: &deployment.model,
            settings: wanted,
            monitor: &deployment.monitor,
            // That way was proven when the version was loaded, whatever its replicas are.
            direct: None,
        };
        loop {
            // One that is being unloaded needs no more replicas.
            if deployment.gate.is_closed() {
                return Ok(());
            }
            let taking = replicas.taking();
            // It is warm for its smaller batches; larger ones would meet a cold device.
            let outdated = taking.iter().find(|replica| {
                let shape = shape(deployment.model.as_ref(), replica.place.device(), wanted);
                shape.is_some_and(|shape| replica.shape.buckets().len() < shape.buckets().len())
            });
            if outdated.is_none() && taking.len() == wanted.instances {
                return Ok(());
            }
            if taking.len() > wanted.instances {
                // The youngest, unless one is of no use any more.
                let useless = taking.iter().find(|replica| replica.executor().failure().is_some());
                if let Some(replica) = useless.or(outdated).or(taking.last()) {
                    replicas.dismiss(replica);
                    replicas.finish().await;
                }
                continue;
            }
            // One that replaces another may go where that is.
            let replaced = |replica: &Arc<Replica>| outdated.is_some_and(|old| Arc::ptr_eq(old, replica));
            let others: Vec<&Place> =
                taking.iter().filter(|replica| !replaced(replica)).map(|replica| &replica.place).collect();
            let replica = self.place(&version, self.pool.reserve(&others)?).await?;
            replicas.add(replica);
            if let Some(old) = outdated {
                replicas.dismiss(old);
                replicas.finish().await;
            }
        }
    }
}

/// A version whose replicas are placed.
pub(super) struct Version<'a> {
    pub(super) name: &'a str,
    pub(super) number: u32,
    pub(super) model: &'a Arc<dyn Model>,
    pub(super) settings: &'a EffectiveServing,
    pub(super) monitor: &'a Arc<VersionMonitor>,
    /// How it runs past the executor, if that is to be proven too.
    pub(super) direct: Option<&'a DirectRuns>,
}

impl Version<'_> {
    /// Runs the golden inputs on each way that requests go: through the executor, and on their own threads.
    async fn prove(&self, replica: &Arc<Replica>) -> Result<()> {
        self.self_test(replica, None).await?;
        match self.direct {
            Some(direct) => self.self_test(replica, Some((direct, self.monitor.as_ref()))).await,
            None => Ok(()),
        }
    }

    async fn self_test(&self, replica: &Arc<Replica>, direct: Option<(&DirectRuns, &VersionMonitor)>) -> Result<()> {
        let Some(golden) = self.model.golden() else { return Ok(()) };
        let wanted: Vec<String> = golden.outputs.iter().map(|output| output.name().to_owned()).collect();
        let deadline = Instant::now() + SELF_TEST_TIMEOUT;
        let alone = Replicas::default();
        alone.add(Arc::clone(replica));
        let run = Run { replicas: &alone, model: self.model.as_ref(), priority: 1, direct };
        let (answer, _times) = timeout_at(deadline.into(), run.answer(&golden.inputs, &wanted, deadline))
            .await
            .map_err(|_elapsed| Error::DeadlineExceeded { after: SELF_TEST_TIMEOUT })??;
        selftest::compare(&golden.outputs, &answer.outputs, golden.tolerance).map_err(|reason| self.failed(reason))
    }

    fn no_bucket(&self) -> Error {
        self.failed("expected at least one bucket above zero, got none".to_owned())
    }

    fn failed(&self, reason: String) -> Error {
        Error::SelfTest { model: self.name.to_owned(), version: self.number, reason }
    }
}

/// A replica on its way, taken away when it is dropped open.
struct Arrival<'a> {
    executor: &'a Arc<Executor>,
    lane: LaneId,
    open: bool,
}

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        if self.open {
            self.executor.remove_later(self.lane);
        }
    }
}

fn shape(model: &dyn Model, device: DeviceKind, settings: &EffectiveServing) -> Option<LaneShape> {
    LaneShape::new(model.buckets(device), settings.max_batch_rows)
}
