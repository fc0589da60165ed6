//! Inputs that are kept: `corpus/TARGET/NAME`, in the order of their names; and behind them, for a reader of model files, the golden
//! files of the crate that has it.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::{Target, targets::Origin};

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
    let folder = corpus_folder(target);
    let mut paths = match target.origin {
        Origin::Golden if !folder.exists() => Vec::new(),
        Origin::Golden | Origin::Written => {
            fs_err::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?
        }
    };
    paths.sort();
    let mut corpus: Vec<Vec<u8>> = paths.into_iter().map(fs_err::read).collect::<std::io::Result<_>>()?;
    if target.origin == Origin::Golden {
        corpus.extend((target.seeds)());
    }
    Ok(corpus)
}

/// Writes the inputs that a target starts from, but for golden files, which are there already. Others stay.
///
/// # Errors
/// When the disk fails.
pub fn write_corpus(target: &Target) -> Result<usize> {
    if target.origin == Origin::Golden {
        return Ok(0);
    }
    let folder = corpus_folder(target);
    fs_err::create_dir_all(&folder)?;
    let seeds = (target.seeds)();
    for (number, seed) in seeds.iter().enumerate() {
        fs_err::write(folder.join(format!("seed_{number:02}")), seed)?;
    }
    Ok(seeds.len())
}
