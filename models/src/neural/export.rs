//! A net's weights as a file that other tools read.

use std::path::Path;

use super::{format::Formats, weights};
use crate::{Error, Result, artifact::write_new};

/// Writes the weights of the net in `directory` to a new safetensors file, with the keys and metadata of `docs/nets.md`; gives its
/// size.
///
/// # Errors
/// [`Error::Open`] when the artifact holds no net, [`Error::Io`] when the file exists or the disk fails.
pub fn export_net(directory: &Path, file: &Path) -> Result<u64> {
    let net = Formats::new().open_net(directory)?;
    let bytes = weights::write_whole(net.shape(), net.parameters()).map_err(Error::Setting)?;
    write_new(file, &bytes)?;
    Ok(bytes.len() as u64)
}
