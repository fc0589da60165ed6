//! The connection to SQLite: one writing connection, a few reading ones, and patience with other processes.
//!
//! Invariants: every write transaction begins with `BEGIN IMMEDIATE`, so a busy database shows before anything was
//! done and beginning again is always right; behind a successful begin nothing can be busy any more (write-ahead log).
//! Every read transaction sees one moment. A commit is on the disk when it returns (`synchronous=FULL`).

use std::{str::FromStr, time::Duration};

use sqlx::{Connection, SqlSafeStr, Transaction};
use sqlx::{
    Sqlite, SqliteConnection, SqliteTransaction,
    migrate::{Migration, MigrationType, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous},
};

use crate::{Error, Result};

/// How long SQLite itself waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a transaction is begun before the caller learns that the database is busy: half a minute in all, while
/// transactions of ours take milliseconds.
const BEGIN_ATTEMPTS: u32 = 6;
/// Connections for reading; each is a thread. Reading is rare: a poll a second and people.
const READERS: u32 = 3;

/// The embedded migrations, by number.
const MIGRATIONS: [(i64, &str, &str); 2] = [
    (1, "registry", include_str!("migrations/0001_registry.sql")),
    (2, "serving", include_str!("migrations/0002_serving.sql")),
];

/// The registry's database.
pub(super) struct Database {
    writer: SqlitePool,
    reader: SqlitePool,
}

impl Database {
    /// Opens the database at `url`, creates it if there is none and brings its tables up to date.
    pub(super) async fn open(url: &str) -> Result<Self> {
        let options = options(url)?;
        if let Some(directory) = options.get_filename().parent() {
            fs_err::create_dir_all(directory)?;
        }
        let mut attempt = 0;
        // Switching a new file to the write-ahead log needs a lock that SQLite does not wait for.
        while let Err(error) = migrate(&options).await {
            attempt += 1;
            if attempt == BEGIN_ATTEMPTS || !is_busy(&error) {
                return Err(migration_error(error));
            }
            tokio::time::sleep(pause(attempt)).await;
        }
        let pool = |connections| {
            let pool = SqlitePoolOptions::new().max_connections(connections).test_before_acquire(false);
            pool.connect_lazy_with(options.clone())
        };
        Ok(Self { writer: pool(1), reader: pool(READERS) })
    }

    /// Begins a transaction that alone may write, in this process and in all others.
    pub(super) async fn write(&self) -> Result<SqliteTransaction<'static>> {
        begin(&self.writer, "BEGIN IMMEDIATE").await
    }

    /// Begins a transaction that reads the database as of one moment.
    pub(super) async fn read(&self) -> Result<SqliteTransaction<'static>> {
        begin(&self.reader, "BEGIN DEFERRED").await
    }

    /// Waits until all connections are closed.
    pub(super) async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}

/// A number that moves with every change.
pub(super) async fn generation(connection: &mut SqliteConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT generation FROM registry").fetch_one(connection).await
}

async fn begin(pool: &SqlitePool, statement: &'static str) -> Result<Transaction<'static, Sqlite>> {
    let mut attempt = 0;
    loop {
        match try_begin(pool, statement).await {
            Ok(transaction) => return Ok(transaction),
            Err(error) => {
                attempt += 1;
                if attempt == BEGIN_ATTEMPTS || !is_busy(&error) {
                    return Err(Error::Database(error));
                }
                tokio::time::sleep(pause(attempt)).await;
            }
        }
    }
}

async fn try_begin(pool: &SqlitePool, statement: &'static str) -> sqlx::Result<Transaction<'static, Sqlite>> {
    let mut transaction = pool.begin_with(statement).await?;
    // A deferred transaction takes its view of the database with the first read.
    generation(&mut transaction).await?;
    Ok(transaction)
}

/// Pause before attempt number `attempt` + 1; differs between processes that met once.
fn pause(attempt: u32) -> Duration {
    Duration::from_millis(u64::from(10 * attempt + std::process::id() % 10))
}

/// SQLite's primary result codes `BUSY` (5) and `LOCKED` (6).
fn is_busy(error: &sqlx::Error) -> bool {
    let busy = |error: &sqlx::Error| {
        let code = error.as_database_error().and_then(|error| error.code()?.parse::<i32>().ok());
        code.is_some_and(|code| matches!(code & 0xff, 5 | 6))
    };
    match error {
        sqlx::Error::Migrate(migrate) => match migrate.as_ref() {
            sqlx::migrate::MigrateError::Execute(error) | sqlx::migrate::MigrateError::ExecuteMigration(error, _) => {
                busy(error)
            }
            _ => false,
        },
        error => busy(error),
    }
}

fn options(url: &str) -> Result<SqliteConnectOptions> {
    let Some(path) = url.strip_prefix("sqlite://") else {
        // The URL of another database may hold a password: only its scheme is repeated.
        let scheme = url.split_once(':').map_or("none", |(scheme, _)| scheme);
        return Err(Error::BadRequest(format!(
            "expected a registry URL like sqlite:///path/registry.db, got scheme '{scheme}', which this build does not support"
        )));
    };
    if path.is_empty() || path.contains('?') || path.contains(":memory:") {
        return Err(Error::BadRequest(format!(
            "expected a registry URL like sqlite:///path/registry.db with a file and no parameters, got '{url}'"
        )));
    }
    Ok(SqliteConnectOptions::from_str(url)?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT))
}

/// Applies what is missing, in one transaction, so that processes that open a new registry at once wait for each other.
async fn migrate(options: &SqliteConnectOptions) -> sqlx::Result<()> {
    let migrations = MIGRATIONS.iter().map(|(number, description, sql)| {
        Migration::new(*number, (*description).into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let migrator = Migrator::with_migrations(migrations.collect());
    let mut connection = SqliteConnection::connect_with(options).await?;
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    migrator.run_direct(None, &mut *transaction, false).await?;
    transaction.commit().await?;
    connection.close().await
}

fn migration_error(error: sqlx::Error) -> Error {
    match error {
        sqlx::Error::Migrate(migrate) => match *migrate {
            sqlx::migrate::MigrateError::VersionMissing(number) => Error::Conflict(format!(
                "the registry has migration {number}, this build knows up to {}; use a newer emberline",
                MIGRATIONS.len()
            )),
            other => Error::Database(sqlx::Error::Migrate(Box::new(other))),
        },
        error => Error::Database(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_other_databases_without_repeating_passwords() {
        for url in [
            "postgres://user:secret@host/db",
            "sqlite://",
            "sqlite::memory:",
            "sqlite://:memory:",
            "sqlite:///r?mode=ro",
            "x",
        ] {
            let message = options(url).unwrap_err().to_string();
            assert!(message.starts_with("expected a registry URL") && !message.contains("secret"), "{message}");
        }
        assert_eq!(options("sqlite:///a%20b/r.db").unwrap().get_filename(), std::path::Path::new("/a b/r.db"));
    }

    #[tokio::test]
    async fn a_registry_of_a_newer_build_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/registry.db", directory.path().display());
        let database = Database::open(&url).await.unwrap();
        let mut transaction = database.write().await.unwrap();
        let insert = "INSERT INTO _sqlx_migrations VALUES (99, 'later', CURRENT_TIMESTAMP, TRUE, X'00', 0)";
        sqlx::query(insert).execute(&mut *transaction).await.unwrap();
        transaction.commit().await.unwrap();
        let refusal = Database::open(&url).await.err().unwrap();
        assert!(refusal.to_string().contains("use a newer emberline"), "{refusal}");
    }

    #[tokio::test]
    async fn a_version_row_cannot_be_changed() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(&format!("sqlite://{}/r.db", directory.path().display())).await.unwrap();
        let mut transaction = database.write().await.unwrap();
        for sql in [
            "INSERT INTO models VALUES ('m', 0, 1)",
            "INSERT INTO versions VALUES ('m', 1, 0, 'k', NULL, 'l', 1, 'd', '{}')",
        ] {
            sqlx::query(sql).execute(&mut *transaction).await.unwrap();
        }
        let refusal = sqlx::query("UPDATE versions SET kind = 'x'").execute(&mut *transaction).await.unwrap_err();
        assert!(refusal.to_string().contains("a published version never changes"), "{refusal}");
    }
}
