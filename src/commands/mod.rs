//! The subcommands, one file each.

pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod import;
pub(crate) mod models;
pub(crate) mod predict;
pub(crate) mod serve;
pub(crate) mod train;

use server::settings::SettingsError;

/// How a subcommand fails.
pub(crate) enum Failure {
    /// Wrong settings: one line, exit code 64.
    Usage(String),
    /// Anything else: exit code 1.
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        // Settings are wrong wherever they are noticed.
        match error.downcast::<SettingsError>() {
            Ok(settings) => Self::Usage(settings.to_string()),
            Err(error) => Self::Failed(error),
        }
    }
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Self {
        Self::Usage(error.to_string())
    }
}
