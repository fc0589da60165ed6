//! Models, their immutable versions, aliases, metadata and history, shared by every process that opens the same URLs.
//!
//! Metadata lives in SQLite, the files in an artifact store (a directory by default). Invariants:
//! - Versions of a model are 1, 2, 3… A number is never given twice, also after a deletion, and a published version
//!   never changes.
//! - A change is one transaction with one history row; `generation` moves with it. Two processes at once lose nothing.
//! - A version is visible when all its files are on the disk, not before. A process that is killed while it publishes
//!   leaves files that nobody sees; they are swept once no process has claimed to be at work on them for an hour.
//! - A model exists while it has a version.
//!
//! Database and disk work runs on the control runtime given to [`Registry::open`], never on the caller's, and a call
//! that is dropped half-way still ends as a whole. What is inside an artifact is not looked at here.

mod artifacts;
mod change;
mod database;
mod files;
mod loose;
mod publish;
mod read;
mod selector;
#[cfg(test)]
mod tests;
mod types;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::{DateTime, TimeDelta, Utc};
use contract::VersionMetadata;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use self::{artifacts::Artifacts, database::Database};
pub use self::{
    selector::{VersionSelector, is_name, parse_model_reference},
    types::{Change, HistoryEntry, ModelVersion, RegisteredModel},
};
use crate::{Error, Result, serve::ModelServing};

/// The alias that is meant when a request names no version.
pub const CHAMPION: &str = "champion";

/// An upload whose process has not been seen for this long is swept.
const STALE_AFTER: TimeDelta = TimeDelta::hours(1);

/// Where a registry is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrySettings {
    /// `sqlite:///path/registry.db`.
    pub database_url: String,
    /// `file:///path/artifacts`, or the URL of an object store that this build supports.
    pub artifacts_url: String,
    /// Where artifacts from elsewhere than a directory are kept.
    pub cache_dir: PathBuf,
}

/// A registry. Clones share everything.
#[derive(Clone)]
pub struct Registry {
    house: Arc<House>,
    actor: Option<Arc<str>>,
}

struct House {
    database: Database,
    artifacts: Artifacts,
    control: Handle,
}

impl Registry {
    /// Opens the registry, creates it if there is none, and sweeps what killed processes left behind.
    ///
    /// `control` runs all work of the registry; it needs its timers enabled.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for URLs that this build does not support, [`Error::Conflict`] for a registry of a newer
    /// build, and what database and disk answer.
    pub async fn open(settings: RegistrySettings, control: Handle) -> Result<Self> {
        let runtime = control.clone();
        let opening = async move {
            let RegistrySettings { database_url, artifacts_url, cache_dir } = settings;
            let database = Database::open(&database_url).await?;
            let artifacts = Artifacts::open(&artifacts_url, &cache_dir, control.clone()).await?;
            let house = House { database, artifacts, control };
            house.sweep(Utc::now() - STALE_AFTER).await;
            Ok(house)
        };
        let house = on(&runtime, opening).await?;
        Ok(Self { house: Arc::new(house), actor: None })
    }

    /// The same registry, for changes that `actor` makes: the name goes into the history.
    #[must_use]
    pub fn acting_as(&self, actor: &str) -> Self {
        Self { house: Arc::clone(&self.house), actor: Some(Arc::from(actor)) }
    }

    /// Publishes the files in `artifact_directory` as the next version of model `name`. The files are copied.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for a name that is not of its form, for metadata that JSON cannot hold (numbers that are
    /// not finite) and for an artifact that is empty or holds special files. After an error no version was made.
    pub async fn publish(
        &self,
        name: &str,
        artifact_directory: &Path,
        metadata: VersionMetadata,
    ) -> Result<ModelVersion> {
        check_name("model name", name)?;
        let (name, directory) = (name.to_owned(), artifact_directory.to_owned());
        let actor = self.actor.clone();
        self.run(async move |house| house.publish(&name, &directory, metadata, actor.as_deref()).await).await
    }

    /// All models, by name.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn models(&self) -> Result<Vec<RegisteredModel>> {
        self.run(async move |house| house.models().await).await
    }

    /// The model `name`.
    ///
    /// # Errors
    /// [`Error::UnknownModel`].
    pub async fn model(&self, name: &str) -> Result<RegisteredModel> {
        let name = name.to_owned();
        self.run(async move |house| house.model(&name).await).await
    }

    /// Version number `version` of model `name`.
    ///
    /// # Errors
    /// [`Error::UnknownModel`], [`Error::UnknownVersion`].
    pub async fn version(&self, name: &str, version: u32) -> Result<ModelVersion> {
        self.resolve(name, &VersionSelector::Version(version)).await
    }

    /// The version of model `name` that `selector` names now. [`VersionSelector::Default`] is the one that the alias
    /// [`CHAMPION`] names if it is set, else the highest.
    ///
    /// # Errors
    /// [`Error::UnknownModel`], [`Error::UnknownVersion`], [`Error::UnknownAlias`].
    pub async fn resolve(&self, name: &str, selector: &VersionSelector) -> Result<ModelVersion> {
        let (name, selector) = (name.to_owned(), selector.clone());
        self.run(async move |house| house.resolve(&name, &selector).await).await
    }

    /// Lets `alias` name version number `version` of model `name`, whatever it named before. Naming the same version
    /// again changes nothing.
    ///
    /// # Errors
    /// [`Error::UnknownModel`], [`Error::UnknownVersion`], and [`Error::BadRequest`] for an alias that is not of its
    /// form or is a number.
    pub async fn set_alias(&self, name: &str, alias: &str, version: u32) -> Result<()> {
        check_name("alias", alias)?;
        if alias.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Error::BadRequest(format!(
                "expected an alias that cannot be taken for a version, got '{alias}'"
            )));
        }
        let (name, alias, actor) = (name.to_owned(), alias.to_owned(), self.actor.clone());
        self.run(async move |house| house.set_alias(&name, &alias, version, actor.as_deref()).await).await
    }

    /// Removes `alias` of model `name`.
    ///
    /// # Errors
    /// [`Error::UnknownModel`], [`Error::UnknownAlias`].
    pub async fn remove_alias(&self, name: &str, alias: &str) -> Result<()> {
        let (name, alias, actor) = (name.to_owned(), alias.to_owned(), self.actor.clone());
        self.run(async move |house| house.remove_alias(&name, &alias, actor.as_deref()).await).await
    }

    /// Says how model `name` is served from now on, whatever was said before; settings that leave everything to the process
    /// are those of a model that has none. The same settings again change nothing.
    ///
    /// # Errors
    /// [`Error::UnknownModel`], and [`Error::BadRequest`] for settings that cannot work.
    pub async fn set_serving(&self, name: &str, settings: ModelServing) -> Result<()> {
        settings.validate()?;
        let (name, actor) = (name.to_owned(), self.actor.clone());
        self.run(async move |house| house.set_serving(&name, &settings, actor.as_deref()).await).await
    }

    /// Deletes version number `version` of model `name` with its files. Its number is not given again.
    ///
    /// # Errors
    /// [`Error::UnknownModel`], [`Error::UnknownVersion`], and [`Error::Conflict`] while an alias names it.
    pub async fn delete_version(&self, name: &str, version: u32) -> Result<()> {
        let (name, actor) = (name.to_owned(), self.actor.clone());
        self.run(async move |house| house.delete_version(&name, version, actor.as_deref()).await).await
    }

    /// Deletes model `name` with all its versions and files. Its numbers are not given again.
    ///
    /// # Errors
    /// [`Error::UnknownModel`], and [`Error::Conflict`] while it has an alias.
    pub async fn delete_model(&self, name: &str) -> Result<()> {
        let (name, actor) = (name.to_owned(), self.actor.clone());
        self.run(async move |house| house.delete_model(&name, actor.as_deref()).await).await
    }

    /// All changes of model `name`, the oldest first, also of one that was deleted.
    ///
    /// # Errors
    /// [`Error::UnknownModel`] when there never was such a model.
    pub async fn history(&self, name: &str) -> Result<Vec<HistoryEntry>> {
        let name = name.to_owned();
        self.run(async move |house| house.history(&name).await).await
    }

    /// A local directory with the files of `version`. An artifact store that is a directory is used in place, and what
    /// is in there is checked by whoever opens it; from anywhere else the files are downloaded once and checked.
    ///
    /// # Errors
    /// [`Error::Open`] when the files are gone or not those that were published.
    pub async fn fetch(&self, version: &ModelVersion) -> Result<PathBuf> {
        let (location, digest) = (version.location.clone(), version.digest.clone());
        self.run(async move |house| house.artifacts.fetch(&location, &digest).await).await
    }

    /// A number that moves with every change, by this process or another. Cheap enough to poll every second.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn generation(&self) -> Result<i64> {
        self.run(async move |house| Ok(database::generation(&mut *house.database.read().await?).await?)).await
    }

    /// Closes the database's connections and waits for that. Later calls fail.
    pub async fn close(&self) {
        // It fails only if the control runtime is gone, and the connections with it.
        let _ = self
            .run(async move |house| {
                house.database.close().await;
                Ok(())
            })
            .await;
    }

    /// Runs `work` on the control runtime to its end, whether or not the caller still waits.
    async fn run<T, W, F>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(Arc<House>) -> F,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        on(&self.house.control, work(Arc::clone(&self.house))).await
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("actor", &self.actor).finish_non_exhaustive()
    }
}

async fn on<T: Send + 'static>(control: &Handle, work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    let ended = control.spawn(work).await;
    ended.map_err(|error| Error::Internal(format!("work of the registry ended early: {error}")))?
}

/// Refuses a `name` that is not of the form of model names and aliases; `what` it is goes into the message.
///
/// # Errors
/// [`Error::BadRequest`].
pub fn check_name(what: &str, name: &str) -> Result<()> {
    if is_name(name) {
        return Ok(());
    }
    let form = "up to 128 letters, digits, '.', '_' and '-', beginning with a letter or digit";
    // A longer name is cut, so that a message is never as long as what a sender cares to send.
    let shown: String = name.chars().take(130).collect();
    Err(Error::BadRequest(format!("expected a {what} of {form}, got '{shown}'")))
}

/// Now, to the microsecond that the database keeps.
fn now() -> DateTime<Utc> {
    let now = Utc::now();
    DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
}
