//! The embedded feature store: one redb file, one table per view, one compact row per entity.
//!
//! A write is one durable transaction: when it returns, all its rows are on disk, and after a crash all of them are there
//! or none. Readers see the last committed state and wait for no writer. One process opens the file at a time.
//!
//! Reads take microseconds when the pages are cached and a disk access else; writes wait for the disk and belong on a
//! thread that may.

use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::{DateTime, SubsecRound, Utc};
use contract::{OpenError, Value};
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTableMetadata, StorageError, TableDefinition,
    TableError, TableHandle,
};
use serde::{Deserialize, Serialize};

use super::row::{self, FeatureRow};
use crate::{Error, Result};

/// Memory for cached pages; the operating system caches the file beside.
const CACHE_BYTES: usize = 64 << 20;
/// Longest view name and entity id, in bytes.
const LONGEST_VIEW: usize = 128;
const LONGEST_ENTITY: usize = 512;

const fn table(view: &str) -> TableDefinition<'_, &'static str, &'static [u8]> {
    TableDefinition::new(view)
}

/// Feature rows by view and entity id. Clones share it.
#[derive(Clone)]
pub struct FeatureStore {
    inner: Arc<Inner>,
}

struct Inner {
    database: Database,
    path: PathBuf,
}

impl std::fmt::Debug for FeatureStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FeatureStore").field("path", &self.inner.path).finish_non_exhaustive()
    }
}

/// A view and its size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewInfo {
    /// Name.
    pub name: String,
    /// Entities that have a row.
    pub rows: u64,
}

impl FeatureStore {
    /// Opens the store in the file at `path`, which is made if there is none. The whole file is checked, which takes as
    /// long as reading it.
    ///
    /// # Errors
    /// [`Error::Conflict`] when another process has it open; [`Error::Open`], naming the file, when it cannot be read or
    /// is damaged.
    pub fn open(path: &Path) -> Result<Self> {
        if !path.try_exists()? {
            create_beside(path)?;
        }
        let database = open_checked(path)?;
        Ok(Self { inner: Arc::new(Inner { database, path: path.to_owned() }) })
    }

    /// Writes the rows of `view`, each replacing the entity's former row whole, and gives their number. The view is made
    /// with its first row. When an id comes more than once, its last row stays.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for a name or id that cannot be one; [`Error::Io`] when the disk fails. Nothing is written
    /// then.
    pub fn put(&self, view: &str, rows: &[(String, BTreeMap<String, Value>)]) -> Result<usize> {
        check_view(view)?;
        rows.iter().try_for_each(|(id, _)| check_entity(id))?;
        if rows.is_empty() {
            return Ok(0);
        }
        let now: DateTime<Utc> = Utc::now().trunc_subsecs(6);
        let write = self.inner.database.begin_write().map_err(|error| self.failed(error))?;
        {
            let mut table = write.open_table(table(view)).map_err(|error| self.failed(error))?;
            let mut bytes = Vec::new();
            for (id, values) in rows {
                row::encode(values, now, &mut bytes);
                table.insert(id.as_str(), bytes.as_slice()).map_err(|error| self.failed(error))?;
            }
        }
        write.commit().map_err(|error| self.failed(error))?;
        Ok(rows.len())
    }

    /// The rows of `ids` in `view`, in their order; none where an entity has no row.
    ///
    /// # Errors
    /// [`Error::UnknownView`]; [`Error::Io`] when the disk fails; [`Error::Open`] when a row is damaged.
    pub fn get(&self, view: &str, ids: &[&str]) -> Result<Vec<Option<FeatureRow>>> {
        let read = self.inner.database.begin_read().map_err(|error| self.failed(error))?;
        let table = read.open_table(table(view)).map_err(|error| self.view_failed(view, error))?;
        let row = |id: &&str| {
            let Some(bytes) = table.get(*id).map_err(|error| self.failed(error))? else { return Ok(None) };
            let row =
                row::decode(bytes.value()).ok_or_else(|| self.damaged(format!("entity '{id}' of view '{view}'")))?;
            Ok(Some(row))
        };
        ids.iter().map(row).collect()
    }

    /// Deletes the rows of `ids` in `view` and gives how many there were.
    ///
    /// # Errors
    /// [`Error::UnknownView`]; [`Error::Io`] when the disk fails, and nothing is deleted then.
    pub fn delete(&self, view: &str, ids: &[&str]) -> Result<usize> {
        // Asked first, because opening a table for writing makes it.
        self.get(view, &[])?;
        let write = self.inner.database.begin_write().map_err(|error| self.failed(error))?;
        let mut deleted = 0;
        {
            let mut table = write.open_table(table(view)).map_err(|error| self.failed(error))?;
            for id in ids {
                deleted += usize::from(table.remove(*id).map_err(|error| self.failed(error))?.is_some());
            }
        }
        write.commit().map_err(|error| self.failed(error))?;
        Ok(deleted)
    }

    /// All views by name, those included whose rows were all deleted.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk fails.
    pub fn views(&self) -> Result<Vec<ViewInfo>> {
        let read = self.inner.database.begin_read().map_err(|error| self.failed(error))?;
        let tables = read.list_tables().map_err(|error| self.failed(error))?;
        let mut views = Vec::new();
        for handle in tables {
            let name = handle.name();
            let rows = read
                .open_table(table(name))
                .map_err(|error| self.failed(error))?
                .len()
                .map_err(|error| self.failed(error))?;
            views.push(ViewInfo { name: name.to_owned(), rows });
        }
        views.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(views)
    }

    fn view_failed(&self, view: &str, error: TableError) -> Error {
        match error {
            TableError::TableDoesNotExist(_) => Error::UnknownView { view: view.to_owned() },
            other => self.failed(other),
        }
    }

    fn failed(&self, error: impl Into<redb::Error>) -> Error {
        match error.into() {
            redb::Error::Corrupted(reason) => self.damaged(reason),
            error => Error::Io(std::io::Error::other(format!("feature store {}: {error}", self.inner.path.display()))),
        }
    }

    fn damaged(&self, what: String) -> Error {
        damaged(&self.inner.path, what)
    }
}

fn check_view(view: &str) -> Result<()> {
    let starts = view.starts_with(|first: char| first.is_ascii_alphanumeric());
    if starts
        && view.len() <= LONGEST_VIEW
        && view.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    {
        return Ok(());
    }
    Err(Error::BadRequest(format!(
        "expected letters, digits, '.', '_' and '-' as view name, starting with a letter or digit, {LONGEST_VIEW} at most, \
         got '{view}'"
    )))
}

fn check_entity(id: &str) -> Result<()> {
    if (1..=LONGEST_ENTITY).contains(&id.len()) {
        return Ok(());
    }
    Err(Error::BadRequest(format!("expected an entity id of 1 to {LONGEST_ENTITY} bytes, got {} bytes", id.len())))
}

/// Makes an empty store under another name and gives it its own only when it is whole, so that a crash leaves no half file
/// there. When two processes do this at once, the first file stays.
fn create_beside(path: &Path) -> Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs_err::create_dir_all(directory)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let beside = directory.join(name);
    match fs_err::remove_file(&beside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        Ok(()) | Err(_) => {}
    }
    let made = Builder::new().set_cache_size(1 << 20).create(&beside).and_then(Database::close);
    let linked = made.map_err(|error| open_failed(&beside, error)).and_then(|()| link(&beside, path));
    fs_err::remove_file(&beside)?;
    linked?;
    // The name itself is on disk when its directory is.
    fs_err::File::open(directory)?.sync_all()?;
    Ok(())
}

fn link(beside: &Path, path: &Path) -> Result<()> {
    match fs_err::hard_link(beside, path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn open_checked(path: &Path) -> Result<Database> {
    let open = || Builder::new().set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true).open(path);
    // redb reports damage as an error where it looks for it, and asserts where it does not expect any.
    let opened = std::panic::catch_unwind(AssertUnwindSafe(open));
    opened
        .map_err(|_| damaged(path, "one whose structure is broken".to_owned()))?
        .map_err(|error| open_failed(path, error))
}

fn open_failed(path: &Path, error: DatabaseError) -> Error {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => Error::Conflict(format!(
            "feature store {} is in use by another process; stop that one or use another file",
            path.display()
        )),
        DatabaseError::Storage(StorageError::Io(error)) if error.kind() != std::io::ErrorKind::InvalidData => {
            Error::Open(OpenError::Read { path: path.to_owned(), reason: error.to_string() })
        }
        error => damaged(path, error.to_string()),
    }
}

fn damaged(path: &Path, what: String) -> Error {
    Error::Open(OpenError::Content {
        path: path.to_owned(),
        expected: "an undamaged feature store".to_owned(),
        got: what,
    })
}

#[cfg(test)]
mod tests;
