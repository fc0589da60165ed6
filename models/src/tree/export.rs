//! A tree model as a file that other tools read.

use std::path::Path;

use super::model::TreeModel;
use crate::{Error, Result, artifact::write_new};

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
        write_new(file, &bytes)?;
        Ok(bytes.len() as u64)
    }
}
