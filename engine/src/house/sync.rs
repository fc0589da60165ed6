//! Keeping what serves in step with what is registered.
//!
//! Served are the versions that an alias names and the newest of each model. Each second the registry's generation is
//! read, and when it moved: settings of models are applied, new versions are loaded, then aliases move, then versions that are deleted, or neither
//! newest nor named any more, are unloaded; a model that was taken out of service by hand ([`hold`](super::hold)) is left out.
//! In this order an alias never moves to a version that cannot answer yet, and no
//! request falls between an old version and its successor.
//!
//! A version that cannot be loaded is marked as failed, with the reason, and stops no other; an alias that moved to it
//! stays where it was as long as that version is registered. It is tried again when the registry changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use super::{Engine, off_the_web};
use crate::{
    Error, Result,
    registry::{ModelVersion, RegisteredModel, VersionSelector},
    serve::{Deployment, ServedModel, VersionState},
};

/// How often the registry is looked at.
const POLL: Duration = Duration::from_secs(1);

/// Registered versions by model.
pub(super) type Catalogue = BTreeMap<String, BTreeSet<u32>>;

/// What the last refresh saw.
#[derive(Debug, Default)]
pub(super) struct Synced {
    generation: Option<i64>,
}

impl Engine {
    /// Brings what serves in step with the registry now, if that has changed since the last time. When this returns, what
    /// was registered and named before the call serves, or is marked as failed.
    ///
    /// # Errors
    /// What the registry answers. That a version cannot be loaded is not an error of this call.
    pub async fn refresh(&self) -> Result<()> {
        let mut synced = self.synced.lock().await;
        // Read first, so that a change in between is seen again by the next refresh.
        let generation = self.registry.generation().await?;
        if synced.generation == Some(generation) {
            return Ok(());
        }
        let registered = self.registry.models().await?;
        self.catalogue.store(Arc::new(catalogue(&registered)));
        for model in &registered {
            self.refresh_model(model).await;
        }
        self.drop_deleted(&registered).await;
        synced.generation = Some(generation);
        self.loaded.store(true, Ordering::Release);
        Ok(())
    }

    /// The deployment that a request for `model` means now.
    ///
    /// # Errors
    /// As [`Serving::resolve`](crate::serve::Serving::resolve), but a version that is registered and does not serve is
    /// [`Error::NotReady`].
    pub fn deployment(&self, model: &str, selector: &VersionSelector) -> Result<Arc<Deployment>> {
        self.serving.resolve(model, selector).map_err(|error| self.explained(error))
    }

    /// Tells a version that does not serve from one that does not exist.
    pub(super) fn explained(&self, error: Error) -> Error {
        let catalogue = self.catalogue.load();
        if let Error::UnknownModel { model }
        | Error::UnknownVersion { model, version: _ }
        | Error::UnknownAlias { model, alias: _ }
        | Error::NotReady { model, version: _, state: _ } = &error
            && self.is_held(model)
        {
            return Error::Unloaded { model: model.clone() };
        }
        match error {
            Error::UnknownVersion { model, version }
                if catalogue.get(&model).is_some_and(|versions| versions.contains(&version)) =>
            {
                let state = "not loaded, because no alias names it and it is not the newest".to_owned();
                Error::NotReady { model, version, state }
            }
            Error::UnknownModel { model } => match catalogue.get(&model).and_then(BTreeSet::last) {
                Some(version) => Error::NotReady { model, version: *version, state: VersionState::Loading.to_string() },
                None => Error::UnknownModel { model },
            },
            other => other,
        }
    }

    /// Starts the task that refreshes; it ends with the engine.
    pub(super) fn watch(self: &Arc<Self>) {
        let engine: Weak<Self> = Arc::downgrade(self);
        self.control.spawn(async move {
            let mut tick = tokio::time::interval(POLL);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                let Some(engine) = engine.upgrade() else { return };
                match engine.refresh().await {
                    Ok(()) => {}
                    Err(_) if engine.serving.is_closing() => return,
                    Err(error) => tracing::warn!(%error, "cannot look at the registry; what serves stays as it is"),
                }
            }
        });
    }

    pub(super) async fn refresh_model(&self, model: &RegisteredModel) {
        // What another build wrote may be more than this one takes.
        if let Err(error) = self.serving.configure(&model.name, &model.serving).await {
            tracing::warn!(model = model.name, %error, "serving settings not taken; those before stay");
        }
        let wanted = wanted(model);
        let highest_ready = |served: &ServedModel| {
            let mut versions = served.versions.iter().rev();
            versions.find(|version| version.state == VersionState::Ready).map(|version| version.version)
        };
        if highest_ready(&self.served(&model.name)).is_none() && !self.is_held(&model.name) {
            // Before its versions come, so that the first of them does not answer for another that is named.
            self.serving.set_aliases(&model.name, model.aliases.clone());
        }
        for version in model.versions.iter().rev().filter(|version| wanted.contains(&version.version)) {
            if self.is_held(&model.name) {
                break;
            }
            self.load_version(version).await;
        }
        // It may have been taken out of service while it was loading.
        if self.is_held(&model.name) {
            self.retire(&model.name).await;
            return;
        }
        let served = self.served(&model.name);
        self.serving.set_aliases(&model.name, reachable_aliases(model, &served));
        // The highest that is ready stays when a higher one cannot be loaded, which would otherwise end the service.
        let last_good = highest_ready(&served);
        let kept: BTreeSet<u32> =
            self.served(&model.name).aliases.into_values().chain(wanted).chain(last_good).collect();
        for version in served.versions {
            if !kept.contains(&version.version) {
                self.unload_version(&model.name, version.version).await;
            }
        }
    }

    async fn drop_deleted(&self, registered: &[RegisteredModel]) {
        let catalogue = catalogue(registered);
        self.serving.forget_settings(|model| catalogue.contains_key(model));
        for ServedModel { name, aliases: _, versions } in self.serving.models() {
            let known = catalogue.get(&name);
            if known.is_none() {
                self.serving.set_aliases(&name, BTreeMap::new());
            }
            for version in versions {
                if known.is_none_or(|known| !known.contains(&version.version)) {
                    self.unload_version(&name, version.version).await;
                    self.feedback.forget(&name, version.version);
                }
            }
        }
    }

    /// Loads a version unless it serves already.
    async fn load_version(&self, version: &ModelVersion) {
        let number = version.version;
        let states = self.served(&version.name).versions;
        let state = states.into_iter().find(|served| served.version == number).map(|served| served.state);
        if matches!(state, Some(VersionState::Ready | VersionState::Loading)) {
            return;
        }
        let opened = async {
            let directory = self.registry.fetch(version).await?;
            let format = Arc::clone(&self.format);
            off_the_web(&self.control, move || Ok(format.open(&directory)?)).await
        };
        // Why it failed is logged and kept by the serving engine.
        match opened.await {
            Ok(model) => drop(self.serving.load(&version.name, number, model).await),
            Err(error) => self.serving.refuse(&version.name, number, &error),
        }
    }

    pub(super) async fn unload_version(&self, model: &str, version: u32) {
        if let Err(error) = self.serving.unload(model, version).await {
            tracing::warn!(model, version, %error, "version not unloaded");
        }
    }

    pub(super) fn served(&self, name: &str) -> ServedModel {
        let served = self.serving.models().into_iter().find(|model| model.name == name);
        served.unwrap_or_else(|| ServedModel { name: name.to_owned(), aliases: BTreeMap::new(), versions: Vec::new() })
    }
}

pub(super) fn catalogue(registered: &[RegisteredModel]) -> Catalogue {
    let numbers = |model: &RegisteredModel| model.versions.iter().map(|version| version.version).collect();
    registered.iter().map(|model| (model.name.clone(), numbers(model))).collect()
}

/// The versions of a model that should serve.
pub(super) fn wanted(model: &RegisteredModel) -> BTreeSet<u32> {
    let newest = model.versions.last().map(|version| version.version);
    model.aliases.values().copied().chain(newest).collect()
}

/// The registry's aliases, but one that moved to a version that is not ready stays with a version that is.
fn reachable_aliases(model: &RegisteredModel, served: &ServedModel) -> BTreeMap<String, u32> {
    let ready = |number: u32| {
        served.versions.iter().any(|version| version.version == number && version.state == VersionState::Ready)
    };
    let registered = |number: u32| model.versions.iter().any(|version| version.version == number);
    let one = |(alias, number): (&String, &u32)| {
        let before = served.aliases.get(alias).copied();
        let stays = before.filter(|before| !ready(*number) && ready(*before) && registered(*before));
        (alias.clone(), stays.unwrap_or(*number))
    };
    model.aliases.iter().map(one).collect()
}
