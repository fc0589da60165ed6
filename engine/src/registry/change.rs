//! Changes of what is published: aliases and deletions, each one transaction with one history row.

use std::sync::Arc;

use sqlx::{Row, SqliteConnection};

use super::{
    Change, House, loose, now,
    read::{require_model, require_version, serving_of},
};
use crate::{Error, Result, serve::ModelServing};

/// A history row to be written.
pub(super) struct Entry<'a> {
    pub(super) model: &'a str,
    pub(super) change: Change,
    pub(super) version: Option<u32>,
    pub(super) previous_version: Option<u32>,
    pub(super) alias: Option<&'a str>,
    /// Settings in JSON.
    pub(super) serving: Option<&'a str>,
    pub(super) actor: Option<&'a str>,
}

impl<'a> Entry<'a> {
    /// A row without version and alias.
    pub(super) const fn new(model: &'a str, change: Change, actor: Option<&'a str>) -> Self {
        Self { model, change, version: None, previous_version: None, alias: None, serving: None, actor }
    }
}

/// Writes the history row of a change and moves the generation.
pub(super) async fn record(connection: &mut SqliteConnection, entry: &Entry<'_>) -> Result<()> {
    let insert = "INSERT INTO history (at, model, change, version, previous_version, alias, actor, serving)
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    sqlx::query(insert)
        .bind(now().timestamp_micros())
        .bind(entry.model)
        .bind(entry.change.name())
        .bind(entry.version)
        .bind(entry.previous_version)
        .bind(entry.alias)
        .bind(entry.actor)
        .bind(entry.serving)
        .execute(&mut *connection)
        .await?;
    sqlx::query("UPDATE registry SET generation = generation + 1").execute(connection).await?;
    Ok(())
}

impl House {
    /// Lets `alias` name version number `version`.
    pub(super) async fn set_alias(
        self: Arc<Self>,
        name: &str,
        alias: &str,
        version: u32,
        actor: Option<&str>,
    ) -> Result<()> {
        let mut transaction = self.database.write().await?;
        require_model(&mut transaction, name).await?;
        require_version(&mut transaction, name, version).await?;
        let previous_version = aliased_version(&mut transaction, name, alias).await?;
        if previous_version == Some(version) {
            return Ok(());
        }
        let upsert = "INSERT INTO aliases (model, alias, version) VALUES (?1, ?2, ?3)
                      ON CONFLICT (model, alias) DO UPDATE SET version = ?3";
        sqlx::query(upsert).bind(name).bind(alias).bind(version).execute(&mut *transaction).await?;
        let entry = Entry {
            version: Some(version),
            previous_version,
            alias: Some(alias),
            ..Entry::new(name, Change::AliasSet, actor)
        };
        record(&mut transaction, &entry).await?;
        Ok(transaction.commit().await?)
    }

    /// Removes `alias`.
    pub(super) async fn remove_alias(self: Arc<Self>, name: &str, alias: &str, actor: Option<&str>) -> Result<()> {
        let mut transaction = self.database.write().await?;
        require_model(&mut transaction, name).await?;
        let previous_version = aliased_version(&mut transaction, name, alias).await?;
        if previous_version.is_none() {
            return Err(Error::UnknownAlias { model: name.to_owned(), alias: alias.to_owned() });
        }
        let delete = "DELETE FROM aliases WHERE model = ?1 AND alias = ?2";
        sqlx::query(delete).bind(name).bind(alias).execute(&mut *transaction).await?;
        let entry = Entry { previous_version, alias: Some(alias), ..Entry::new(name, Change::AliasRemoved, actor) };
        record(&mut transaction, &entry).await?;
        Ok(transaction.commit().await?)
    }

    /// Says how the model is served.
    pub(super) async fn set_serving(
        self: Arc<Self>,
        name: &str,
        settings: &ModelServing,
        actor: Option<&str>,
    ) -> Result<()> {
        let mut transaction = self.database.write().await?;
        require_model(&mut transaction, name).await?;
        if serving_of(&mut transaction, name).await? == *settings {
            return Ok(());
        }
        let json = serde_json::to_string(settings)
            .map_err(|error| Error::Internal(format!("settings of model '{name}' as JSON: {error}")))?;
        if *settings == ModelServing::default() {
            sqlx::query("DELETE FROM serving WHERE model = ?1").bind(name).execute(&mut *transaction).await?;
        } else {
            let upsert = "INSERT INTO serving (model, settings) VALUES (?1, ?2)
                          ON CONFLICT (model) DO UPDATE SET settings = ?2";
            sqlx::query(upsert).bind(name).bind(&json).execute(&mut *transaction).await?;
        }
        let entry = Entry { serving: Some(&json), ..Entry::new(name, Change::ServingSet, actor) };
        record(&mut transaction, &entry).await?;
        Ok(transaction.commit().await?)
    }

    /// Deletes version number `version`, then its files.
    pub(super) async fn delete_version(self: Arc<Self>, name: &str, version: u32, actor: Option<&str>) -> Result<()> {
        let mut transaction = self.database.write().await?;
        require_model(&mut transaction, name).await?;
        require_version(&mut transaction, name, version).await?;
        let select = "SELECT alias FROM aliases WHERE model = ?1 AND version = ?2 ORDER BY alias LIMIT 1";
        let alias: Option<String> =
            sqlx::query_scalar(select).bind(name).bind(version).fetch_optional(&mut *transaction).await?;
        if let Some(alias) = alias {
            return Err(Error::Conflict(format!(
                "model '{name}' version {version} cannot be deleted while alias '{alias}' names it; move or remove the alias first"
            )));
        }
        let delete = "DELETE FROM versions WHERE model = ?1 AND version = ?2 RETURNING location";
        let location: String = sqlx::query_scalar(delete).bind(name).bind(version).fetch_one(&mut *transaction).await?;
        loose::discard(&mut transaction, &location).await?;
        let entry = Entry { version: Some(version), ..Entry::new(name, Change::VersionDeleted, actor) };
        record(&mut transaction, &entry).await?;
        transaction.commit().await?;
        self.remove_files(&[location]).await;
        Ok(())
    }

    /// Deletes all versions, then their files.
    pub(super) async fn delete_model(self: Arc<Self>, name: &str, actor: Option<&str>) -> Result<()> {
        let mut transaction = self.database.write().await?;
        require_model(&mut transaction, name).await?;
        let select = "SELECT alias, version FROM aliases WHERE model = ?1 ORDER BY alias LIMIT 1";
        if let Some(row) = sqlx::query(select).bind(name).fetch_optional(&mut *transaction).await? {
            let (alias, version): (String, u32) = (row.try_get("alias")?, row.try_get("version")?);
            return Err(Error::Conflict(format!(
                "model '{name}' cannot be deleted while alias '{alias}' names its version {version}; remove the alias first"
            )));
        }
        let delete = "DELETE FROM versions WHERE model = ?1 RETURNING location";
        let locations: Vec<String> = sqlx::query_scalar(delete).bind(name).fetch_all(&mut *transaction).await?;
        // Another model of this name is another model. One whose last version is deleted alone keeps them, as it keeps count.
        sqlx::query("DELETE FROM serving WHERE model = ?1").bind(name).execute(&mut *transaction).await?;
        for location in &locations {
            loose::discard(&mut transaction, location).await?;
        }
        record(&mut transaction, &Entry::new(name, Change::ModelDeleted, actor)).await?;
        transaction.commit().await?;
        self.remove_files(&locations).await;
        Ok(())
    }

    /// Removes the files of deleted versions. The deletion stands either way: what fails here is swept later.
    async fn remove_files(&self, locations: &[String]) {
        for location in locations {
            if let Err(error) = self.remove_discarded(location).await {
                tracing::warn!(location, %error, "cannot remove the files of a deleted version; a later sweep does");
            }
        }
    }
}

async fn aliased_version(connection: &mut SqliteConnection, name: &str, alias: &str) -> Result<Option<u32>> {
    let select = "SELECT version FROM aliases WHERE model = ?1 AND alias = ?2";
    Ok(sqlx::query_scalar(select).bind(name).bind(alias).fetch_optional(connection).await?)
}
