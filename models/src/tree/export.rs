//! A tree model as a file that other tools read.

use std::{io::Write, path::Path};

use super::model::TreeModel;
use crate::{Error, Result};

/// A format that can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TreeExport {
    /// `XGBoost`'s JSON.
    XgboostJson,
    /// treelite's checkpoint.
    Treelite,
}

impl TreeModel {
    /// Writes the trees to a new file; gives its size.
    ///
    /// # Errors
    /// [`Error::Setting`] when the format cannot say what the model does, with the way out; [`Error::Io`] when the file exists or
    /// the disk fails.
    pub fn export(&self, format: TreeExport, file: &Path) -> Result<u64> {
        let written = match format {
            TreeExport::XgboostJson => trees::export::xgboost::write_json(self.ensemble()),
            TreeExport::Treelite => trees::export::treelite::write(self.ensemble()),
        };
        let bytes = written.map_err(|error| Error::Setting(error.to_string()))?;
        // Beside, and then in its place: a file that is there is whole.
        let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut beside = tempfile::NamedTempFile::new_in(directory)?;
        beside.write_all(&bytes)?;
        beside.as_file().sync_all()?;
        beside.persist_noclobber(file).map_err(|error| {
            std::io::Error::new(error.error.kind(), format!("cannot write {}: {}", file.display(), error.error))
        })?;
        Ok(bytes.len() as u64)
    }
}
