//! Places in the artifact store that no version owns: uploads under way and files on their way out.
//!
//! A row stands for a place before the first byte is written there and until the last one is removed. The process that
//! uploads touches its row every minute; a row not touched for an hour belongs to a process that was killed. Sweeping
//! marks a row before it removes files, and publishing takes the row away only if it is unmarked, each in one write
//! transaction, so a version never loses its files to a sweep.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{Row, SqliteConnection};

use super::{House, database::Database, now};
use crate::Result;

/// How often an uploading process says that it is alive.
const ALIVE_EVERY: Duration = Duration::from_mins(1);

/// Notes that an upload to `location` begins.
pub(super) async fn reserve(database: &Database, location: &str) -> Result<()> {
    let mut transaction = database.write().await?;
    let insert = "INSERT INTO loose_artifacts (location, state, alive_at) VALUES (?1, 'uploading', ?2)";
    sqlx::query(insert).bind(location).bind(now().timestamp_micros()).execute(&mut *transaction).await?;
    Ok(transaction.commit().await?)
}

/// Says every minute that the process which uploads to `location` is alive; ends with the task it runs in.
pub(super) async fn keep_alive(house: &House, location: &str) {
    loop {
        tokio::time::sleep(ALIVE_EVERY).await;
        if let Err(error) = touch(&house.database, location).await {
            tracing::warn!(location, %error, "cannot tell the registry that an upload goes on");
        }
    }
}

async fn touch(database: &Database, location: &str) -> Result<()> {
    let mut transaction = database.write().await?;
    let update = "UPDATE loose_artifacts SET alive_at = ?2 WHERE location = ?1 AND state = 'uploading'";
    sqlx::query(update).bind(location).bind(now().timestamp_micros()).execute(&mut *transaction).await?;
    Ok(transaction.commit().await?)
}

/// Takes the row of a finished upload away; false when the upload was swept meanwhile.
pub(super) async fn claim(connection: &mut SqliteConnection, location: &str) -> Result<bool> {
    let delete = "DELETE FROM loose_artifacts WHERE location = ?1 AND state = 'uploading'";
    Ok(sqlx::query(delete).bind(location).execute(connection).await?.rows_affected() == 1)
}

/// Marks `location`, whether an upload's or a deleted version's, for removal.
pub(super) async fn discard(connection: &mut SqliteConnection, location: &str) -> Result<()> {
    let upsert = "INSERT INTO loose_artifacts (location, state, alive_at) VALUES (?1, 'discarded', ?2)
                  ON CONFLICT (location) DO UPDATE SET state = 'discarded'";
    sqlx::query(upsert).bind(location).bind(now().timestamp_micros()).execute(connection).await?;
    Ok(())
}

impl House {
    /// Gives an upload up: marks it and removes its files, unless a version owns them: a commit may have been done
    /// although the database answered with an error.
    pub(super) async fn abandon(&self, location: &str) -> Result<()> {
        let mut transaction = self.database.write().await?;
        let select = "SELECT EXISTS (SELECT 1 FROM versions WHERE location = ?1)";
        if sqlx::query_scalar(select).bind(location).fetch_one(&mut *transaction).await? {
            return Ok(());
        }
        discard(&mut transaction, location).await?;
        transaction.commit().await?;
        self.remove_discarded(location).await
    }

    /// Removes what is marked, and uploads whose process was last seen before `stale_before`. Failures are logged: the
    /// rows stay, and a later sweep tries again.
    pub(super) async fn sweep(&self, stale_before: DateTime<Utc>) {
        let locations = match self.mark_stale(stale_before).await {
            Ok(locations) => locations,
            Err(error) => return tracing::warn!(%error, "cannot look for left-over files of the registry"),
        };
        for location in locations {
            match self.remove_discarded(&location).await {
                Ok(()) => tracing::info!(location, "removed left-over files of the registry"),
                Err(error) => tracing::warn!(location, %error, "cannot remove left-over files of the registry"),
            }
        }
    }

    async fn mark_stale(&self, stale_before: DateTime<Utc>) -> Result<Vec<String>> {
        let stale_before = stale_before.timestamp_micros();
        // Almost always there is nothing to do, and a reader waits for nobody.
        let select = "SELECT COUNT(*) FROM loose_artifacts WHERE state = 'discarded' OR alive_at < ?1";
        let mut transaction = self.database.read().await?;
        let found: i64 = sqlx::query_scalar(select).bind(stale_before).fetch_one(&mut *transaction).await?;
        drop(transaction);
        if found == 0 {
            return Ok(Vec::new());
        }
        let mut transaction = self.database.write().await?;
        let mark = "UPDATE loose_artifacts SET state = 'discarded' WHERE alive_at < ?1";
        sqlx::query(mark).bind(stale_before).execute(&mut *transaction).await?;
        let select = "SELECT location FROM loose_artifacts WHERE state = 'discarded'";
        let rows = sqlx::query(select).fetch_all(&mut *transaction).await?;
        transaction.commit().await?;
        rows.iter().map(|row| Ok(row.try_get("location")?)).collect()
    }

    /// Removes the files of a marked place, then its row.
    pub(super) async fn remove_discarded(&self, location: &str) -> Result<()> {
        self.artifacts.remove(location).await?;
        let mut transaction = self.database.write().await?;
        let delete = "DELETE FROM loose_artifacts WHERE location = ?1 AND state = 'discarded'";
        sqlx::query(delete).bind(location).execute(&mut *transaction).await?;
        Ok(transaction.commit().await?)
    }
}
