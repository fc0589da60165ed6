//! Which deployment answers a request: an immutable table behind an atomic pointer.
//!
//! Reading takes no lock and sees one consistent table; a change copies the part that it touches and swaps the pointer.
//! A request that found a deployment may come too late to use it: see [`Gate`](super::gate::Gate). Then the table has
//! changed already, and it looks again.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::deployment::{Deployment, ServedModel, ServedVersion, VersionState, names};
use crate::{Error, Result, registry::VersionSelector};

/// The alias that requests without a version mean.
const CHAMPION: &str = "champion";

/// A version in the table.
#[derive(Clone, Debug)]
pub(super) enum Slot {
    /// On its way in.
    Loading,
    /// Takes requests.
    Ready(Arc<Deployment>),
    /// On its way out.
    Unloading(Arc<Deployment>),
    /// Could not be loaded.
    Failed(String),
}

impl Slot {
    fn state(&self) -> VersionState {
        match self {
            Self::Loading => VersionState::Loading,
            Self::Ready(deployment) => deployment.state(),
            Self::Unloading(_) => VersionState::Unloading,
            Self::Failed(reason) => VersionState::Failed(reason.clone()),
        }
    }
}

/// One model's part of the table.
#[derive(Clone, Debug)]
pub(super) struct ModelRoutes {
    pub(super) name: Arc<str>,
    pub(super) aliases: BTreeMap<String, u32>,
    pub(super) versions: BTreeMap<u32, Slot>,
}

impl ModelRoutes {
    fn resolve(&self, selector: &VersionSelector) -> Result<Arc<Deployment>> {
        let model = || self.name.to_string();
        let version = match selector {
            VersionSelector::Version(version) => *version,
            VersionSelector::Alias(alias) => {
                *self.aliases.get(alias).ok_or_else(|| Error::UnknownAlias { model: model(), alias: alias.clone() })?
            }
            VersionSelector::Default => match self.aliases.get(CHAMPION) {
                Some(version) => *version,
                None => return self.highest_ready(),
            },
        };
        match self.versions.get(&version) {
            Some(Slot::Ready(deployment)) => Ok(Arc::clone(deployment)),
            Some(slot) => Err(Error::NotReady { model: model(), version, state: slot.state().to_string() }),
            None if matches!(selector, VersionSelector::Version(_)) => {
                Err(Error::UnknownVersion { model: model(), version })
            }
            // An alias is right about the version, which is only not here yet.
            None => Err(Error::NotReady { model: model(), version, state: "not loaded".to_owned() }),
        }
    }

    fn highest_ready(&self) -> Result<Arc<Deployment>> {
        let ready = self.versions.values().rev().find_map(|slot| match slot {
            Slot::Ready(deployment) => Some(Arc::clone(deployment)),
            Slot::Loading | Slot::Unloading(_) | Slot::Failed(_) => None,
        });
        ready.ok_or_else(|| match self.versions.last_key_value() {
            Some((version, slot)) => {
                Error::NotReady { model: self.name.to_string(), version: *version, state: slot.state().to_string() }
            }
            None => Error::UnknownModel { model: self.name.to_string() },
        })
    }

    fn served(&self) -> ServedModel {
        let version = |(version, slot): (&u32, &Slot)| {
            let state = slot.state();
            let error = match &state {
                VersionState::Failed(reason) => Some(reason.clone()),
                VersionState::Loading | VersionState::Ready | VersionState::Unloading => None,
            };
            let deployment = match slot {
                Slot::Ready(deployment) | Slot::Unloading(deployment) => Some(deployment),
                Slot::Loading | Slot::Failed(_) => None,
            };
            let devices = deployment.map(|deployment| deployment.devices());
            ServedVersion {
                version: *version,
                state,
                device: devices.as_deref().map(names).filter(|names| !names.is_empty()),
                instances: devices.iter().flatten().map(|share| share.instances).sum(),
                memory: deployment.map(|deployment| deployment.memory()).unwrap_or_default(),
                error,
            }
        };
        ServedModel {
            name: self.name.to_string(),
            aliases: self.aliases.clone(),
            versions: self.versions.iter().map(version).collect(),
        }
    }
}

type Table = HashMap<Arc<str>, Arc<ModelRoutes>>;

/// The table and its one writer at a time.
#[derive(Default)]
pub(super) struct Router {
    table: ArcSwap<Table>,
    writing: Mutex<()>,
}

impl Router {
    /// The deployment that a request means now.
    ///
    /// # Errors
    /// [`Error::UnknownModel`], [`Error::UnknownVersion`], [`Error::UnknownAlias`] or [`Error::NotReady`].
    pub(super) fn resolve(&self, model: &str, selector: &VersionSelector) -> Result<Arc<Deployment>> {
        let table = self.table.load();
        let routes = table.get(model).ok_or_else(|| Error::UnknownModel { model: model.to_owned() })?;
        routes.resolve(selector)
    }

    /// Changes one model's part by `change` and swaps the table if that succeeds. A model that is left without versions
    /// and aliases goes.
    pub(super) fn change<T>(&self, model: &str, change: impl FnOnce(&mut ModelRoutes) -> Result<T>) -> Result<T> {
        let _one_writer = self.writing.lock();
        let mut table = Table::clone(&self.table.load());
        let mut routes = table.get(model).map_or_else(
            || ModelRoutes { name: Arc::from(model), aliases: BTreeMap::new(), versions: BTreeMap::new() },
            |routes| ModelRoutes::clone(routes),
        );
        let changed = change(&mut routes)?;
        if routes.versions.is_empty() && routes.aliases.is_empty() {
            table.remove(model);
        } else {
            table.insert(Arc::clone(&routes.name), Arc::new(routes));
        }
        self.table.store(Arc::new(table));
        Ok(changed)
    }

    /// All models by name.
    pub(super) fn models(&self) -> Vec<ServedModel> {
        let mut models: Vec<_> = self.table.load().values().map(|routes| routes.served()).collect();
        models.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        models
    }

    /// All deployments that take or finish requests.
    pub(super) fn deployments(&self) -> Vec<Arc<Deployment>> {
        let table = self.table.load();
        let slots = table.values().flat_map(|routes| routes.versions.values());
        slots
            .filter_map(|slot| match slot {
                Slot::Ready(deployment) | Slot::Unloading(deployment) => Some(Arc::clone(deployment)),
                Slot::Loading | Slot::Failed(_) => None,
            })
            .collect()
    }
}
