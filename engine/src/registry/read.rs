//! Reading the registry. Each answer is of one moment, because all its queries run in one read transaction.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::{CHAMPION, Change, HistoryEntry, House, ModelVersion, RegisteredModel, VersionSelector};
use crate::{Error, Result, serve::ModelServing};

impl House {
    /// All models, by name.
    pub(super) async fn models(self: Arc<Self>) -> Result<Vec<RegisteredModel>> {
        let mut transaction = self.database.read().await?;
        let versions =
            sqlx::query("SELECT * FROM versions ORDER BY model, version").fetch_all(&mut *transaction).await?;
        let aliases = sqlx::query("SELECT model, alias, version FROM aliases").fetch_all(&mut *transaction).await?;
        let models =
            sqlx::query("SELECT name, created_at FROM models ORDER BY name").fetch_all(&mut *transaction).await?;
        let serving = sqlx::query("SELECT model, settings FROM serving").fetch_all(&mut *transaction).await?;
        drop(transaction);
        self.assemble(&models, &aliases, &serving, &versions)
    }

    /// The model `name`.
    pub(super) async fn model(self: Arc<Self>, name: &str) -> Result<RegisteredModel> {
        let mut transaction = self.database.read().await?;
        let select = "SELECT * FROM versions WHERE model = ?1 ORDER BY version";
        let versions = sqlx::query(select).bind(name).fetch_all(&mut *transaction).await?;
        let select = "SELECT model, alias, version FROM aliases WHERE model = ?1";
        let aliases = sqlx::query(select).bind(name).fetch_all(&mut *transaction).await?;
        let select = "SELECT name, created_at FROM models WHERE name = ?1";
        let models = sqlx::query(select).bind(name).fetch_all(&mut *transaction).await?;
        let select = "SELECT model, settings FROM serving WHERE model = ?1";
        let serving = sqlx::query(select).bind(name).fetch_all(&mut *transaction).await?;
        drop(transaction);
        let model = self.assemble(&models, &aliases, &serving, &versions)?.pop();
        model.ok_or_else(|| Error::UnknownModel { model: name.to_owned() })
    }

    /// Joins rows of models with those of their versions, aliases and settings. Models without a version are left out: they were
    /// deleted, and their rows only keep count.
    fn assemble(
        &self,
        models: &[SqliteRow],
        aliases: &[SqliteRow],
        serving: &[SqliteRow],
        versions: &[SqliteRow],
    ) -> Result<Vec<RegisteredModel>> {
        let mut versions_of: BTreeMap<String, Vec<ModelVersion>> = BTreeMap::new();
        for row in versions {
            let version = self.version_from(row)?;
            versions_of.entry(version.name.clone()).or_default().push(version);
        }
        let mut aliases_of: BTreeMap<String, BTreeMap<String, u32>> = BTreeMap::new();
        for row in aliases {
            aliases_of.entry(row.try_get("model")?).or_default().insert(row.try_get("alias")?, row.try_get("version")?);
        }
        let mut serving_of: BTreeMap<String, ModelServing> = BTreeMap::new();
        for row in serving {
            let model: String = row.try_get("model")?;
            serving_of.insert(model.clone(), serving_from(&model, row.try_get("settings")?)?);
        }
        let mut registered = Vec::with_capacity(models.len());
        for row in models {
            let name: String = row.try_get("name")?;
            let Some(versions) = versions_of.remove(&name) else { continue };
            let aliases = aliases_of.remove(&name).unwrap_or_default();
            let serving = serving_of.remove(&name).unwrap_or_default();
            let created_at = time(row.try_get("created_at")?)?;
            registered.push(RegisteredModel { name, created_at, aliases, serving, versions });
        }
        Ok(registered)
    }

    /// The version of model `name` that `selector` names.
    pub(super) async fn resolve(self: Arc<Self>, name: &str, selector: &VersionSelector) -> Result<ModelVersion> {
        let mut transaction = self.database.read().await?;
        require_model(&mut transaction, name).await?;
        let by_alias =
            "SELECT versions.* FROM versions JOIN aliases USING (model, version) WHERE model = ?1 AND alias = ?2";
        let query = match selector {
            VersionSelector::Default => {
                let select = "SELECT * FROM versions WHERE model = ?1 ORDER BY
                                  version = (SELECT version FROM aliases WHERE model = ?1 AND alias = ?2) DESC NULLS LAST,
                                  version DESC LIMIT 1";
                sqlx::query(select).bind(name).bind(CHAMPION)
            }
            VersionSelector::Version(version) => {
                sqlx::query("SELECT * FROM versions WHERE model = ?1 AND version = ?2").bind(name).bind(version)
            }
            VersionSelector::Alias(alias) => sqlx::query(by_alias).bind(name).bind(alias),
        };
        let row = query.fetch_optional(&mut *transaction).await?;
        let model = name.to_owned();
        match (row, selector) {
            (Some(row), _) => self.version_from(&row),
            (None, VersionSelector::Default) => Err(Error::UnknownModel { model }),
            (None, VersionSelector::Version(version)) => Err(Error::UnknownVersion { model, version: *version }),
            (None, VersionSelector::Alias(alias)) => Err(Error::UnknownAlias { model, alias: alias.clone() }),
        }
    }

    /// All changes of model `name`, the oldest first.
    pub(super) async fn history(self: Arc<Self>, name: &str) -> Result<Vec<HistoryEntry>> {
        let mut transaction = self.database.read().await?;
        let select = "SELECT * FROM history WHERE model = ?1 ORDER BY id";
        let rows = sqlx::query(select).bind(name).fetch_all(&mut *transaction).await?;
        if rows.is_empty() {
            return Err(Error::UnknownModel { model: name.to_owned() });
        }
        rows.iter().map(entry_from).collect()
    }

    fn version_from(&self, row: &SqliteRow) -> Result<ModelVersion> {
        let (name, version): (String, u32) = (row.try_get("model")?, row.try_get("version")?);
        let metadata = serde_json::from_str(row.try_get("metadata")?)
            .map_err(|error| Error::Internal(format!("metadata of model '{name}' version {version}: {error}")))?;
        Ok(ModelVersion {
            created_at: time(row.try_get("created_at")?)?,
            location: self.artifacts.url_of(row.try_get("location")?),
            size_bytes: row.try_get("size_bytes")?,
            digest: row.try_get("digest")?,
            name,
            version,
            metadata,
        })
    }
}

fn entry_from(row: &SqliteRow) -> Result<HistoryEntry> {
    let change: &str = row.try_get("change")?;
    let model: String = row.try_get("model")?;
    let serving: Option<&str> = row.try_get("serving")?;
    Ok(HistoryEntry {
        at: time(row.try_get("at")?)?,
        serving: serving.map(|json| serving_from(&model, json)).transpose()?,
        model,
        change: Change::from_name(change).ok_or_else(|| {
            Error::Internal(format!("the history holds a change '{change}' that this build does not know"))
        })?,
        version: row.try_get("version")?,
        previous_version: row.try_get("previous_version")?,
        alias: row.try_get("alias")?,
        actor: row.try_get("actor")?,
    })
}

/// How model `name` is served.
pub(super) async fn serving_of(connection: &mut SqliteConnection, name: &str) -> Result<ModelServing> {
    let select = "SELECT settings FROM serving WHERE model = ?1";
    let json: Option<String> = sqlx::query_scalar(select).bind(name).fetch_optional(connection).await?;
    json.map_or_else(|| Ok(ModelServing::default()), |json| serving_from(name, &json))
}

fn serving_from(model: &str, json: &str) -> Result<ModelServing> {
    serde_json::from_str(json).map_err(|error| Error::Internal(format!("serving settings of model '{model}': {error}")))
}

/// Fails unless model `name` has a version.
pub(super) async fn require_model(connection: &mut SqliteConnection, name: &str) -> Result<()> {
    let select = "SELECT EXISTS (SELECT 1 FROM versions WHERE model = ?1)";
    let exists: bool = sqlx::query_scalar(select).bind(name).fetch_one(connection).await?;
    if exists { Ok(()) } else { Err(Error::UnknownModel { model: name.to_owned() }) }
}

/// Fails unless the model has version number `version`.
pub(super) async fn require_version(connection: &mut SqliteConnection, name: &str, version: u32) -> Result<()> {
    let select = "SELECT EXISTS (SELECT 1 FROM versions WHERE model = ?1 AND version = ?2)";
    let exists: bool = sqlx::query_scalar(select).bind(name).bind(version).fetch_one(connection).await?;
    if exists { Ok(()) } else { Err(Error::UnknownVersion { model: name.to_owned(), version }) }
}

fn time(microseconds: i64) -> Result<DateTime<Utc>> {
    DateTime::from_timestamp_micros(microseconds)
        .ok_or_else(|| Error::Internal(format!("the registry holds {microseconds} as a time")))
}
