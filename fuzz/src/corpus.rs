//! Inputs that are kept: `corpus/TARGET/NAME`, in the order of their names.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::Target;

/// Where the inputs of a target are.
#[must_use]
pub fn corpus_folder(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name)
}

/// Every input of a target.
///
/// # Errors
/// When the folder cannot be read.
pub fn read_corpus(target: &Target) -> Result<Vec<Vec<u8>>> {
    let mut paths =
        fs_err::read_dir(corpus_folder(target))?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths.into_iter().map(fs_err::read).collect::<std::io::Result<_>>()?)
}

/// Writes the inputs that a target starts from. Others stay.
///
/// # Errors
/// When the disk fails.
pub fn write_corpus(target: &Target) -> Result<usize> {
    let folder = corpus_folder(target);
    fs_err::create_dir_all(&folder)?;
    let seeds = (target.seeds)();
    for (number, seed) in seeds.iter().enumerate() {
        fs_err::write(folder.join(format!("seed_{number:02}")), seed)?;
    }
    Ok(seeds.len())
}
