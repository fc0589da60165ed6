//! Everything that can be set, each thing once: as a flag, as an environment variable and as a line of a file.
//!
//! Later wins: defaults, then the file named by `--config`, then `EMBERLINE_…` variables, then flags. clap reads flags and
//! variables and knows the defaults; a value that came from neither flag nor variable gives way to the file. The file is
//! flat TOML with the flags' names, [`DEFAULT_FILE`] is it with every default, and a name it does not know is an error.

mod units;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{ArgMatches, Args, FromArgMatches, parser::ValueSource};
use contract::DeviceSelector;
use figment::{
    Figment, Provider,
    providers::{Format, Serialized, Toml},
    value::Dict,
};
use serde::{Deserialize, Serialize};

pub use units::{parse_bytes, parse_duration};

/// The commented settings file with every default: what `emberline serve --print-config` prints.
pub const DEFAULT_FILE: &str = include_str!("default.toml");

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

/// Where models, artifacts and features are kept: shared by all commands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
pub struct StoreSettings {
    /// Directory that holds registry, artifacts and features [default: emberline in the user's data directory]
    #[arg(long, env = "EMBERLINE_HOME", value_name = "DIR")]
    pub home: Option<PathBuf>,

    /// Database of models and versions, as sqlite://PATH [default: registry.db in the home]
    #[arg(long, env = "EMBERLINE_REGISTRY", value_name = "URL")]
    pub registry: Option<String>,

    /// Store of model files, as file://PATH [default: artifacts in the home]
    #[arg(long, env = "EMBERLINE_ARTIFACTS", value_name = "URL")]
    pub artifacts: Option<String>,
}

impl StoreSettings {
    /// The home directory; it need not exist yet.
    ///
    /// # Errors
    /// [`SettingsError::NoHome`] when none is set and the user has no data directory.
    pub fn home(&self) -> Result<PathBuf, SettingsError> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let data = || {
            if cfg!(target_os = "windows") {
                set("LOCALAPPDATA")
            } else if cfg!(target_os = "macos") {
                set("HOME").map(|home| home.join("Library/Application Support"))
            } else {
                set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share")))
            }
        };
        self.home.clone().or_else(|| data().map(|data| data.join("emberline"))).ok_or(SettingsError::NoHome)
    }

    /// URL of the registry's database.
    ///
    /// # Errors
    /// As [`StoreSettings::home`].
    pub fn registry_url(&self) -> Result<String, SettingsError> {
        match &self.registry {
            Some(url) => Ok(url.clone()),
            None => Ok(format!("sqlite://{}", self.home()?.join("registry.db").display())),
        }
    }

    /// URL of the artifact store.
    ///
    /// # Errors
    /// As [`StoreSettings::home`].
    pub fn artifacts_url(&self) -> Result<String, SettingsError> {
        match &self.artifacts {
            Some(url) => Ok(url.clone()),
            None => Ok(format!("file://{}", self.home()?.join("artifacts").display())),
        }
    }
}

/// Form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Settings of `emberline serve`.
#[derive(Clone, Debug, PartialEq, Args, Serialize, Deserialize)]
pub struct ServerSettings {
    /// Settings file in TOML; flags and environment win over it
    #[arg(long, env = "EMBERLINE_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,

    /// Print the settings file with every default and exit
    #[arg(long)]
    #[serde(skip)]
    pub print_config: bool,

    /// Where models, artifacts and features are kept.
    #[command(flatten)]
    #[serde(flatten)]
    pub stores: StoreSettings,

    /// Device that models run on: auto, cpu, gpu, gpu:N, vulkan:N or cuda:N
    #[arg(long, env = "EMBERLINE_DEVICE", default_value = "auto")]
    #[serde(with = "units::text")]
    pub device: DeviceSelector,

    /// Address to serve HTTP on; port 0 takes any free one
    #[arg(long, env = "EMBERLINE_HTTP", value_name = "HOST:PORT", default_value = "127.0.0.1:8080", value_parser = units::parse_address)]
    pub http: String,

    /// Threads that read and write HTTP; 0 for one a core
    #[arg(long, env = "EMBERLINE_HTTP_WORKERS", value_name = "N", default_value = "0")]
    pub http_workers: usize,

    /// Largest request body
    #[arg(long, env = "EMBERLINE_MAX_BODY", value_name = "SIZE", default_value = "64MiB", value_parser = parse_bytes)]
    #[serde(with = "units::bytes")]
    pub max_body: u64,

    /// Longest time for a client to send the head of a request
    #[arg(long, env = "EMBERLINE_HEAD_TIMEOUT", value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    #[serde(with = "units::duration")]
    pub head_timeout: Duration,

    /// Longest time for a client to send the body of a request
    #[arg(long, env = "EMBERLINE_BODY_TIMEOUT", value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    #[serde(with = "units::duration")]
    pub body_timeout: Duration,

    /// Longest time an idle connection is kept open
    #[arg(long, env = "EMBERLINE_KEEP_ALIVE", value_name = "TIME", default_value = "75s", value_parser = parse_duration)]
    #[serde(with = "units::duration")]
    pub keep_alive: Duration,

    /// Longest time for running requests to end after SIGTERM or SIGINT
    #[arg(long, env = "EMBERLINE_SHUTDOWN_GRACE", value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    #[serde(with = "units::duration")]
    pub shutdown_grace: Duration,

    /// Longest time for an answer; a request's own `timeout` may be shorter
    #[arg(long, env = "EMBERLINE_REQUEST_TIMEOUT", value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    #[serde(with = "units::duration")]
    pub request_timeout: Duration,

    /// Most rows computed at once
    #[arg(long, env = "EMBERLINE_MAX_BATCH_ROWS", value_name = "ROWS", default_value = "512")]
    pub max_batch_rows: usize,

    /// Longest time an idle device waits for a batch to fill; 0 never lets it wait
    #[arg(long, env = "EMBERLINE_MAX_QUEUE_DELAY", value_name = "TIME", default_value = "0", value_parser = parse_duration)]
    #[serde(with = "units::duration")]
    pub max_queue_delay: Duration,

    /// Most rows that wait; more are refused with status 503
    #[arg(long, env = "EMBERLINE_MAX_QUEUE_ROWS", value_name = "ROWS", default_value = "65536")]
    pub max_queue_rows: usize,

    /// Memory for the cache of predictions; 0 turns it off
    #[arg(long, env = "EMBERLINE_CACHE_BYTES", value_name = "SIZE", default_value = "64MiB", value_parser = parse_bytes)]
    #[serde(with = "units::bytes")]
    pub cache_bytes: u64,

    /// Longest time a cached prediction is given out; 0 turns the cache off
    #[arg(long, env = "EMBERLINE_CACHE_TTL", value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    #[serde(with = "units::duration")]
    pub cache_ttl: Duration,

    /// Predicted rows remembered for feedback; the oldest are forgotten first
    #[arg(long, env = "EMBERLINE_REMEMBER_PREDICTIONS", value_name = "ROWS", default_value = "200000")]
    pub remember_predictions: usize,

    /// Labels in the sliding window of online losses
    #[arg(long, env = "EMBERLINE_FEEDBACK_WINDOW", value_name = "LABELS", default_value = "1000")]
    pub feedback_window: usize,

    /// Training jobs that run at once
    #[arg(long, env = "EMBERLINE_MAX_JOBS", value_name = "N", default_value = "1")]
    pub max_jobs: usize,

    /// What is logged: a level, or a filter such as info,engine=debug
    #[arg(long, env = "EMBERLINE_LOG", value_name = "FILTER", default_value = "info")]
    pub log: String,

    /// Form of log lines
    #[arg(long, env = "EMBERLINE_LOG_FORMAT", value_name = "FORM", default_value = "text")]
    pub log_format: LogFormat,
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
                settings.config = given.config.clone();
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
        Ok(())
    }
}

/// Defaults, then the file, then what flags and environment gave.
fn layered(given: &ServerSettings, path: &Path, matches: &ArgMatches) -> Result<ServerSettings, SettingsError> {
    let wrong = |reason: String| SettingsError::File { path: path.to_owned(), reason };
    let content = std::io::read_to_string(fs_err::File::open(path).map_err(|error| wrong(cause(&error)))?)
        .map_err(|error| wrong(cause(&error)))?;
    let values = |figment: &Figment| -> Result<Dict, figment::Error> {
        Ok(figment.data()?.into_values().next().unwrap_or_default())
    };
    let malformed = |error: figment::Error| {
        wrong(error.to_string().lines().filter(|line| !line.contains('|')).collect::<Vec<_>>().join(": "))
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

#[cfg(test)]
mod tests;
