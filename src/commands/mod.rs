//! The subcommands, one file each.

pub(crate) mod bench;
pub(crate) mod compare;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod export;
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

/// An error with its causes in one line. A cause that the text before it tells already is left out.
pub(crate) fn sentence(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if told.is_empty() {
            told = cause;
        } else if !told.contains(&cause) {
            told = format!("{told}: {cause}");
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn causes_are_told_once() {
        let root = std::io::Error::other("the disk is full");
        let error = Err::<(), _>(root).context("cannot write: the disk is full").context("no report").unwrap_err();
        assert_eq!(sentence(&error), "no report: cannot write: the disk is full");
    }
}
