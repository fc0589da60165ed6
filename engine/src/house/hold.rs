//! Taking a model out of service by hand, and back: what a model repository's `unload` and `load` mean here.
//!
//! The registry says what serves by itself; a hold says that a model does not, in this process and until it is loaded again or
//! the process ends. The registry and other processes know nothing of it. Other models are not touched.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tokio::task::JoinHandle;

use super::{
    Engine,
    sync::{Catalogue, wanted},
};
use crate::{
    Error, Result,
    registry::RegisteredModel,
    serve::{ServedVersion, VersionState},
};

impl Engine {
    /// Takes all versions of a model out of service until [`Engine::load`]: requests that come are answered with
    /// [`Error::Unloaded`], those under way are answered as ever. Returns when these have been; a version that was just loading
    /// follows as soon as it has loaded. A model that is not registered is out of service already.
    ///
    /// Once begun it is done, also when the future is dropped.
    ///
    /// # Errors
    /// What the registry answers.
    pub async fn unload(self: &Arc<Self>, model: &str) -> Result<()> {
        match self.registry.model(model).await {
            Ok(registered) => self.remember_registered(&registered),
            // Not held, so that nobody fills the memory with names that do not exist.
            Err(Error::UnknownModel { model: _ }) => return Ok(()),
            Err(error) => return Err(error),
        }
        self.held.write().insert(model.to_owned());
        let (engine, name) = (Arc::clone(self), model.to_owned());
        ended(self.control.spawn(async move {
            engine.retire(&name).await;
            // A refresh under way may bring in what it began to load before; the next one at a time comes behind it.
            let (engine, name) = (Arc::clone(&engine), name);
            Arc::clone(&engine).control.spawn(async move {
                let _one_at_a_time = engine.synced.lock().await;
                if engine.is_held(&name) {
                    engine.retire(&name).await;
                }
            });
        }))
        .await
    }

    /// Brings a model into service that was taken out, as the registry has it now; what serves already stays, and a version that
    /// failed is tried again. Returns when its versions are ready.
    ///
    /// Once begun it is done, also when the future is dropped.
    ///
    /// # Errors
    /// [`Error::UnknownModel`]; [`Error::NotReady`] with the reason when a version cannot be loaded, or [`Error::Unloaded`] when it was taken out of
    /// service again meanwhile; [`Error::ShuttingDown`]; what the registry answers.
    pub async fn load(self: &Arc<Self>, model: &str) -> Result<()> {
        // Before anything changes, so that an unknown name changes nothing.
        let registered = self.registry.model(model).await?;
        self.held.write().remove(model);
        let engine = Arc::clone(self);
        ended(self.control.spawn(async move {
            // First without the lock, for which other models wait; what came in between is quickly done behind it.
            engine.finish_unloading(&registered.name).await;
            let _one_at_a_time = engine.synced.lock().await;
            // Read again, now that no refresh can come between: it may have seen a newer version.
            let registered = engine.registry.model(&registered.name).await?;
            engine.remember_registered(&registered);
            engine.finish_unloading(&registered.name).await;
            engine.refresh_model(&registered).await;
            engine.loaded_or_why_not(&registered)
        }))
        .await?
    }

    /// Whether a model is out of service by [`Engine::unload`].
    #[must_use]
    pub fn is_held(&self, model: &str) -> bool {
        self.held.read().contains(model)
    }

    /// Takes whatever serves of a model out of service, and returns when its requests are answered.
    pub(super) async fn retire(&self, model: &str) {
        for ServedVersion { version, state, device: _, instances: _, memory: _, error: _ } in
            self.served(model).versions
        {
            // One that is loading cannot be stopped; whoever loads it looks at the hold behind it. And the model may be wanted
            // again by now.
            if state != VersionState::Loading && self.is_held(model) {
                self.unload_version(model, version).await;
            }
        }
        // Behind its versions, so that none of them answers for the one that was named.
        if self.is_held(model) {
            self.serving.set_aliases(model, BTreeMap::new());
        }
    }

    /// Waits for versions that are on their way out, which cannot come back before.
    async fn finish_unloading(&self, model: &str) {
        for ServedVersion { version, state, device: _, instances: _, memory: _, error: _ } in
            self.served(model).versions
        {
            if state == VersionState::Unloading {
                self.unload_version(model, version).await;
            }
        }
    }

    /// Adds a model to what error messages know.
    fn remember_registered(&self, model: &RegisteredModel) {
        let numbers = model.versions.iter().map(|version| version.version).collect();
        self.catalogue.rcu(|catalogue| {
            let mut catalogue = Catalogue::clone(catalogue);
            catalogue.insert(model.name.clone(), BTreeSet::clone(&numbers));
            catalogue
        });
    }

    fn loaded_or_why_not(&self, model: &RegisteredModel) -> Result<()> {
        if self.serving.is_closing() {
            return Err(Error::ShuttingDown);
        }
        if self.is_held(&model.name) {
            return Err(Error::Unloaded { model: model.name.clone() });
        }
        let served = self.served(&model.name).versions;
        for number in wanted(model) {
            let state = served.iter().find(|served| served.version == number).map(|served| &served.state);
            if state != Some(&VersionState::Ready) {
                let state = state.map_or_else(|| "not loaded".to_owned(), ToString::to_string);
                return Err(Error::NotReady { model: model.name.clone(), version: number, state });
            }
        }
        Ok(())
    }
}

async fn ended<T>(task: JoinHandle<T>) -> Result<T> {
    task.await.map_err(|error| Error::Internal(format!("loading or unloading a model ended early: {error}")))
}
