//! Settings from flags, environment and file, layered and checked.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use clap::{ArgMatches, Args, FromArgMatches, parser::ValueSource};
use figment::{
    Figment, Provider,
    providers::{Format, Serialized, Toml},
    value::Dict,
};

use super::ServerSettings;

/// A file of a log holds some lines at least.
const SMALLEST_LOG_FILE: u64 = 64 << 10;
/// Each is renamed when a new one is begun.
const MOST_LOG_FILES: u64 = 1000;

/// Settings that cannot be used. Each message is one line; the process exits with code 64.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// A flag or variable is unknown or has a value of another form.
    #[error("{}", first_line(.0))]
    Arguments(#[from] clap::Error),
    /// The settings file cannot be read.
    #[error("settings file {}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The settings file holds a name that is not a setting.
    #[error("settings file {}: unknown setting '{name}'; expected one of {known}", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
        /// All names there are.
        known: String,
    },
    /// A value has the right form and makes no sense.
    #[error("setting '{name}': expected {expected}, got {got}")]
    Value {
        /// The setting.
        name: &'static str,
        /// What makes sense.
        expected: &'static str,
        /// What came.
        got: String,
    },
    /// The user has no home directory and `home` is not set.
    #[error(
        "setting 'home': expected a directory, because this user has no data directory; set EMBERLINE_HOME or --home"
    )]
    NoHome,
}

impl ServerSettings {
    /// The settings that a parsed command line (with its environment) and the file it names give.
    ///
    /// # Errors
    /// [`SettingsError`]; its message is one line.
    pub fn from_matches(matches: &ArgMatches) -> Result<Self, SettingsError> {
        let given = Self::from_arg_matches(matches)?;
        let settings = match &given.config {
            None => given,
            Some(path) => {
                let mut settings = layered(&given, path, matches)?;
                settings.config.clone_from(&given.config);
                settings.print_config = given.print_config;
                settings
            }
        };
        settings.check()?;
        Ok(settings)
    }

    /// As [`ServerSettings::from_matches`], from flags alone, for a server that is started by a program: the environment
    /// and the defaults fill in the rest.
    ///
    /// # Errors
    /// As [`ServerSettings::from_matches`].
    pub fn from_flags<T: Into<OsString> + Clone>(flags: impl IntoIterator<Item = T>) -> Result<Self, SettingsError> {
        let command = Self::augment_args(clap::Command::new("serve").no_binary_name(true));
        Self::from_matches(&command.try_get_matches_from(flags)?)
    }

    fn check(&self) -> Result<(), SettingsError> {
        let at_least_one = [
            ("max_batch_rows", self.max_batch_rows),
            ("max_queue_rows", self.max_queue_rows),
            ("max_jobs", self.max_jobs),
            ("feedback_window", self.feedback_window),
        ];
        for (name, value) in at_least_one {
            if value == 0 {
                return Err(SettingsError::Value { name, expected: "at least 1", got: "0".to_owned() });
            }
        }
        let above_zero = [
            ("request_timeout", self.request_timeout),
            ("head_timeout", self.head_timeout),
            ("body_timeout", self.body_timeout),
        ];
        for (name, value) in above_zero {
            if value.is_zero() {
                return Err(SettingsError::Value { name, expected: "a time above 0", got: "0".to_owned() });
            }
        }
        if self.max_queue_rows < self.max_batch_rows {
            let got = format!("{} with max_batch_rows {}", self.max_queue_rows, self.max_batch_rows);
            return Err(SettingsError::Value { name: "max_queue_rows", expected: "at least max_batch_rows", got });
        }
        if self.max_body == 0 || usize::try_from(self.max_body).is_err() {
            let got = self.max_body.to_string();
            return Err(SettingsError::Value { name: "max_body", expected: "a size above 0 that fits in memory", got });
        }
        self.check_access_log()
    }

    fn check_access_log(&self) -> Result<(), SettingsError> {
        for (name, value) in [("access_sample", self.access_sample), ("payload_sample", self.payload_sample)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(SettingsError::Value { name, expected: "a fraction from 0 to 1", got: value.to_string() });
            }
        }
        if self.access_file_bytes < SMALLEST_LOG_FILE {
            let got = self.access_file_bytes.to_string();
            return Err(SettingsError::Value { name: "access_file_bytes", expected: "at least 64KiB", got });
        }
        let files = self.access_total_bytes / self.access_file_bytes;
        if !(1..=MOST_LOG_FILES).contains(&files) {
            let expected = "1 to 1000 times access_file_bytes";
            let got = format!("{} with access_file_bytes {}", self.access_total_bytes, self.access_file_bytes);
            return Err(SettingsError::Value { name: "access_total_bytes", expected, got });
        }
        if !self.payload_log.is_empty() && self.payload_log == self.access_log {
            let got = format!("'{}' for both", self.payload_log);
            return Err(SettingsError::Value { name: "payload_log", expected: "another file than access_log", got });
        }
        Ok(())
    }
}

/// Defaults, then the file, then what flags and environment gave.
fn layered(given: &ServerSettings, path: &Path, matches: &ArgMatches) -> Result<ServerSettings, SettingsError> {
    let wrong = |reason: String| SettingsError::File { path: path.to_owned(), reason };
    let content = std::io::read_to_string(fs_err::File::open(path).map_err(|error| wrong(cause(&error)))?)
        .map_err(|error| wrong(cause(&error)))?;
    let values = |figment: &Figment| match figment.data() {
        Ok(profiles) => Ok(profiles.into_values().next().unwrap_or_default()),
        Err(error) => Err(Box::new(error)),
    };
    let malformed = |error: Box<figment::Error>| {
        wrong(
            error
                .to_string()
                .lines()
                .filter(|line| !line.contains('|') && !line.is_empty())
                .collect::<Vec<_>>()
                .join(": "),
        )
    };

    let all = values(&Figment::from(Serialized::defaults(given))).map_err(|error| wrong(error.to_string()))?;
    let file = Figment::from(Toml::string(&content));
    for name in values(&file).map_err(malformed)?.keys() {
        if !all.contains_key(name) {
            let known = all.keys().cloned().collect::<Vec<_>>().join(", ");
            return Err(SettingsError::Unknown { path: path.to_owned(), name: name.clone(), known });
        }
    }
    let from_user =
        |name: &str| matches!(matches.value_source(name), Some(ValueSource::EnvVariable | ValueSource::CommandLine));
    let explicit: Dict = all.into_iter().filter(|(name, _)| from_user(name)).collect();
    Figment::from(Serialized::defaults(given))
        .merge(file)
        .merge(Serialized::defaults(explicit))
        .extract()
        .map_err(|error| wrong(describe(&error)))
}

/// figment's error in one line, without its own words for where a value came from.
fn describe(error: &figment::Error) -> String {
    match error.path.last() {
        Some(name) => format!("setting '{name}': {}", error.kind),
        None => error.kind.to_string(),
    }
}

/// What the operating system says, without the path that the message names already.
fn cause(error: &std::io::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

/// clap's message without usage and hints.
fn first_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}
