//! Files of other tools that come by request.

use std::{path::Path, sync::Arc};

use contract::OpenError;

use super::Engine;
use crate::{
    Error, Result,
    registry::{ModelVersion, check_name},
};

impl Engine {
    /// Registers what `content` holds, a file that another tool wrote under the name `file`, as a new version of `model`, and
    /// brings that model into service. One file is imported at a time.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for a name that no model may have, and for a file that is no model, which is registered then
    /// nowhere; else as [`Engine::load`], behind which the version is registered all the same.
    pub async fn import(self: &Arc<Self>, model: &str, file: &str, content: Vec<u8>) -> Result<ModelVersion> {
        check_name("model name", model)?;
        let one_at_a_time = self.importing.lock().await;
        let (format, file) = (Arc::clone(&self.format), file.to_owned());
        let (scratch, metadata) = self
            .off_the_web(move || {
                let scratch = tempfile::tempdir()?;
                // The name is the client's: whatever folders it says, the file is in this one.
                let folder = scratch.path().join("file");
                let path = folder.join(Path::new(&file).file_name().unwrap_or_else(|| "file".as_ref()));
                fs_err::create_dir(folder)?;
                fs_err::write(&path, content)?;
                let imported = format.import(&path, &scratch.path().join("artifact"));
                let metadata = imported.map_err(|error| refused(&file, error))?;
                Ok((scratch, metadata))
            })
            .await?;
        let version = self.registry.publish(model, &scratch.path().join("artifact"), metadata).await?;
        drop(one_at_a_time);
        self.load(model).await?;
        Ok(version)
    }
}

/// What is wrong with a client's file, by the name that the client knows it by.
fn refused(file: &str, error: OpenError) -> Error {
    Error::BadRequest(match error {
        OpenError::Content { path: _, expected, got } => format!("{file}: expected {expected}, got {got}"),
        OpenError::Read { path: _, reason } => {
            return Error::Internal(format!("cannot read the file just written: {reason}"));
        }
        other => format!("{file}: {other}"),
    })
}
