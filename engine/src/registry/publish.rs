//! Publishing a version: reserve a place, upload the files there, then make the version visible in one transaction.

use std::{path::Path, sync::Arc};

use chrono::Utc;
use contract::VersionMetadata;
use sqlx::SqliteConnection;
use tokio::task::JoinSet;

use super::{
    Change, House, ModelVersion, STALE_AFTER,
    artifacts::Uploaded,
    change::{Entry, record},
    loose, now,
};
use crate::{Error, Result};

impl House {
    /// Publishes the files in `directory` as the next version of model `name`.
    pub(super) async fn publish(
        self: Arc<Self>,
        name: &str,
        directory: &Path,
        metadata: VersionMetadata,
        actor: Option<&str>,
    ) -> Result<ModelVersion> {
        let (json, metadata) = round_trip(&metadata)?;
        self.sweep(Utc::now() - STALE_AFTER).await;

        let location = format!("{name}/{}", uuid::Uuid::now_v7());
        loose::reserve(&self.database, &location).await?;
        let result = self.upload_and_commit(name, &location, directory, &json, metadata, actor).await;
        if result.is_err()
            && let Err(error) = self.abandon(&location).await
        {
            tracing::warn!(location, %error, "cannot remove the files of a failed publish; a later sweep does");
        }
        result
    }

    pub(super) async fn upload_and_commit(
        self: &Arc<Self>,
        name: &str,
        location: &str,
        directory: &Path,
        json: &str,
        metadata: VersionMetadata,
        actor: Option<&str>,
    ) -> Result<ModelVersion> {
        // Ends with this function, however that ends.
        let mut alive = JoinSet::new();
        let (house, place) = (Arc::clone(self), location.to_owned());
        alive.spawn(async move { loose::keep_alive(&house, &place).await });
        let Uploaded { size_bytes, digest } = self.artifacts.upload(directory, location).await?;

        let mut transaction = self.database.write().await?;
        if !loose::claim(&mut transaction, location).await? {
            return Err(Error::Conflict(format!(
                "publishing model '{name}' stood still for so long that its files were swept; publish it again"
            )));
        }
        let created_at = now();
        let version = next_version(&mut transaction, name, created_at.timestamp_micros()).await?;
        let version = ModelVersion {
            name: name.to_owned(),
            version,
            created_at,
            location: self.artifacts.url_of(location),
            size_bytes,
            digest,
            metadata,
        };
        insert(&mut transaction, &version, location, json).await?;
        let actor = actor.or(version.metadata.author.as_deref());
        let entry = Entry { version: Some(version.version), ..Entry::new(name, Change::Published, actor) };
        record(&mut transaction, &entry).await?;
        transaction.commit().await?;
        Ok(version)
    }
}

/// The metadata as JSON, and as it will be read back.
fn round_trip(metadata: &VersionMetadata) -> Result<(String, VersionMetadata)> {
    // JSON has no infinity and no NaN: they would be written as null, and the version could never be read again.
    let refused = |error: serde_json::Error| {
        Error::BadRequest(format!("expected metadata that JSON can hold, with finite numbers only: {error}"))
    };
    let json = serde_json::to_string(metadata).map_err(refused)?;
    let metadata = serde_json::from_str(&json).map_err(refused)?;
    Ok((json, metadata))
}

/// Takes the next number of model `name`. A model that was deleted goes on counting, but is new.
async fn next_version(connection: &mut SqliteConnection, name: &str, now: i64) -> Result<u32> {
    let upsert = "INSERT INTO models (name, created_at, last_version) VALUES (?1, ?2, 1)
                  ON CONFLICT (name) DO UPDATE SET
                      last_version = last_version + 1,
                      created_at = CASE WHEN EXISTS (SELECT 1 FROM versions WHERE model = ?1) THEN created_at ELSE ?2 END
                  RETURNING last_version";
    Ok(sqlx::query_scalar(upsert).bind(name).bind(now).fetch_one(connection).await?)
}

async fn insert(connection: &mut SqliteConnection, version: &ModelVersion, location: &str, json: &str) -> Result<()> {
    let size_bytes = i64::try_from(version.size_bytes)
        .map_err(|_| Error::BadRequest(format!("an artifact of {} bytes is too large", version.size_bytes)))?;
    let insert = "INSERT INTO versions (model, version, created_at, kind, task, location, size_bytes, digest, metadata)
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    sqlx::query(insert)
        .bind(&version.name)
        .bind(version.version)
        .bind(version.created_at.timestamp_micros())
        .bind(&version.metadata.kind)
        .bind(version.metadata.task.map(contract::Task::name))
        .bind(location)
        .bind(size_bytes)
        .bind(&version.digest)
        .bind(json)
        .execute(connection)
        .await?;
    Ok(())
}
