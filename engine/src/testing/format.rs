//! Saved fake models: a directory with one file of settings.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use contract::{Format, Model, OpenError, VersionMetadata};

use super::model::{FakeModel, FakeSettings};

const FILE: &str = "fake.json";

/// Opens fake models that [`FakeFormat::save`] wrote.
#[derive(Clone, Copy, Debug, Default)]
pub struct FakeFormat;

impl FakeFormat {
    /// Writes a model's settings into `directory`, which must exist.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(directory: &Path, settings: &FakeSettings) -> std::io::Result<PathBuf> {
        let path = directory.join(FILE);
        fs_err::write(&path, serde_json::to_vec(settings)?)?;
        Ok(path)
    }
}

impl Format for FakeFormat {
    fn open(&self, directory: &Path) -> Result<Arc<dyn Model>, OpenError> {
        let path = directory.join(FILE);
        let bytes =
            fs_err::read(&path).map_err(|error| OpenError::Read { path: path.clone(), reason: error.to_string() })?;
        let settings: FakeSettings = serde_json::from_slice(&bytes).map_err(|error| OpenError::Content {
            path,
            expected: "settings of a fake model".to_owned(),
            got: error.to_string(),
        })?;
        Ok(Arc::new(FakeModel::new(settings)))
    }

    /// The file holds settings too.
    fn import(&self, file: &Path, directory: &Path) -> Result<VersionMetadata, OpenError> {
        let path = file.to_owned();
        let unreadable = |error: std::io::Error| OpenError::Read { path: path.clone(), reason: error.to_string() };
        let content = fs_err::read(file).map_err(unreadable)?;
        let settings: FakeSettings = serde_json::from_slice(&content).map_err(|_error| OpenError::Content {
            path: path.clone(),
            expected: "settings of a fake model".to_owned(),
            got: "something else".to_owned(),
        })?;
        fs_err::create_dir(directory).map_err(unreadable)?;
        Self::save(directory, &settings).map_err(unreadable)?;
        let source = file.file_name().map(|name| name.to_string_lossy().into_owned());
        Ok(VersionMetadata { source, ..VersionMetadata::new("fake") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_what_it_saved_and_names_what_it_cannot_open() {
        let directory = tempfile::tempdir().unwrap();
        let missing = FakeFormat.open(directory.path()).err().unwrap();
        assert!(matches!(missing, OpenError::Read { .. }));
        let settings = FakeSettings { width: 5, ..FakeSettings::default() };
        let path = FakeFormat::save(directory.path(), &settings).unwrap();
        assert_eq!(FakeFormat.open(directory.path()).unwrap().signature().columns.len(), 5);
        fs_err::write(&path, "{").unwrap();
        let cut = FakeFormat.open(directory.path()).err().unwrap();
        assert!(cut.to_string().contains(FILE), "{cut}");
    }
}
