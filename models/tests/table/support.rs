//! What the tests share.

use std::path::{Path, PathBuf};

use models::table::{Table, TableOptions};

/// A checked-in file; `tests/data/make.py` makes them.
pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// A file of the data folder beside the repository; none, with the reason printed, where there is no such folder.
pub(crate) fn shared(name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    if root.is_dir() {
        return Some(root.join(name));
    }
    println!("skipped: {} is not there", root.display());
    None
}

/// Writes `content` to a file `name` in a directory that lives as long as the first part.
pub(crate) fn file(name: &str, content: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    fs_err::write(&path, content).unwrap();
    (directory, path)
}

pub(crate) fn read_csv(content: &str) -> models::Result<Table> {
    let (_directory, path) = file("table.csv", content.as_bytes());
    Table::read(&path, &TableOptions::default())
}

pub(crate) fn names(table: &Table) -> Vec<String> {
    table.columns().iter().map(|column| column.name.clone()).collect()
}

pub(crate) fn all_rows(table: &Table) -> Vec<usize> {
    (0..table.rows()).collect()
}

pub(crate) fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}
