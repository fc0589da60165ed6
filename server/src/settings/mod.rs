//! Everything that can be set, each thing once: as a flag, as an environment variable and as a line of a file.
//!
//! Later wins: defaults, then the file named by `--config`, then `EMBERLINE_…` variables, then flags. clap reads flags and
//! variables and knows the defaults; a value that came from neither flag nor variable gives way to the file. The file is
//! flat TOML with the flags' names, [`DEFAULT_FILE`] is it with every default, and a name it does not know is an error.

mod load;
mod units;

use std::{path::PathBuf, time::Duration};

use clap::Args;
use contract::DeviceSelector;
use serde::{Deserialize, Serialize};

pub use load::SettingsError;
pub use units::{parse_bytes, parse_duration};

/// The commented settings file with every default: what `emberline serve --print-config` prints.
pub const DEFAULT_FILE: &str = include_str!("default.toml");

/// Where models, artifacts and features are kept: shared by all commands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
pub struct StoreSettings {
    /// Directory that holds registry, artifacts and features [default: emberline in the user's data directory]
    #[arg(long, env = "EMBERLINE_HOME", value_name = "DIR")]
    pub home: Option<PathBuf>,

    /// Database of models and versions, as `sqlite://PATH` [default: registry.db in the home]
    #[arg(long, env = "EMBERLINE_REGISTRY", value_name = "URL")]
    pub registry: Option<String>,

    /// Store of model files, as `file://PATH` [default: artifacts in the home]
    #[arg(long, env = "EMBERLINE_ARTIFACTS", value_name = "URL")]
    pub artifacts: Option<String>,
}

impl StoreSettings {
    /// The home directory, as an absolute path; it need not exist yet.
    ///
    /// # Errors
    /// [`SettingsError::NoHome`] when none is set and the user has no data directory, [`SettingsError::Value`] when what is
    /// set cannot be made absolute.
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
        let home =
            self.home.clone().or_else(|| data().map(|data| data.join("emberline"))).ok_or(SettingsError::NoHome)?;
        std::path::absolute(&home).map_err(|error| SettingsError::Value {
            name: "home",
            expected: "a directory",
            got: format!("'{}': {error}", home.display()),
        })
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

    /// Address to serve gRPC on; empty for none, port 0 takes any free one
    #[arg(long, env = "EMBERLINE_GRPC", value_name = "HOST:PORT", default_value = "", value_parser = units::parse_optional_address)]
    pub grpc: String,

    /// Largest request body
    #[arg(long, env = "EMBERLINE_MAX_BODY", value_name = "SIZE", default_value = "64MiB", value_parser = parse_bytes)]
    #[serde(with = "units::bytes")]
    pub max_body: u64,

    /// Whether clients on this machine may pass tensors in system shared memory
    #[arg(long, env = "EMBERLINE_SHARED_MEMORY", value_name = "BOOL", default_value = "true", action = clap::ArgAction::Set)]
    pub shared_memory: bool,

    /// Whether clients may register models, by a file that comes with the model repository extension's load
    #[arg(long, env = "EMBERLINE_ALLOW_IMPORT", value_name = "BOOL", default_value = "false", action = clap::ArgAction::Set)]
    pub allow_import: bool,

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

    /// Time after SIGTERM or SIGINT in which requests are still taken and connections told to close
    #[arg(long, env = "EMBERLINE_SHUTDOWN_DELAY", value_name = "TIME", default_value = "500ms", value_parser = parse_duration)]
    #[serde(with = "units::duration")]
    pub shutdown_delay: Duration,

    /// Longest time for running requests to end after that
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

    /// Directory that traces of requests may be written to, when a client asks for them; without it none are
    #[arg(long, env = "EMBERLINE_TRACE_DIR", value_name = "DIR")]
    pub trace_dir: Option<PathBuf>,

    /// File that predictions are logged to, one JSON object a line; - for standard output, empty for none
    #[arg(long, env = "EMBERLINE_ACCESS_LOG", value_name = "FILE", default_value = "")]
    pub access_log: String,

    /// Fraction of the predictions that the access log has, from 0 to 1
    #[arg(long, env = "EMBERLINE_ACCESS_SAMPLE", value_name = "FRACTION", default_value = "1", value_parser = units::parse_fraction)]
    pub access_sample: f64,

    /// File that predictions are logged to with what clients sent, which may be personal data; - for standard output, empty for none
    #[arg(long, env = "EMBERLINE_PAYLOAD_LOG", value_name = "FILE", default_value = "")]
    pub payload_log: String,

    /// Fraction of the predictions that the payload log has, from 0 to 1
    #[arg(long, env = "EMBERLINE_PAYLOAD_SAMPLE", value_name = "FRACTION", default_value = "1", value_parser = units::parse_fraction)]
    pub payload_sample: f64,

    /// Largest request body that the payload log holds; of a larger one it has the size
    #[arg(long, env = "EMBERLINE_PAYLOAD_MAX_BODY", value_name = "SIZE", default_value = "1MiB", value_parser = parse_bytes)]
    #[serde(with = "units::bytes")]
    pub payload_max_body: u64,

    /// Size at which a file of the access or payload log is put aside and a new one begun
    #[arg(long, env = "EMBERLINE_ACCESS_FILE_BYTES", value_name = "SIZE", default_value = "64MiB", value_parser = parse_bytes)]
    #[serde(with = "units::bytes")]
    pub access_file_bytes: u64,

    /// Most disk space of the access log and of the payload log, each; the oldest files go first
    #[arg(long, env = "EMBERLINE_ACCESS_TOTAL_BYTES", value_name = "SIZE", default_value = "512MiB", value_parser = parse_bytes)]
    #[serde(with = "units::bytes")]
    pub access_total_bytes: u64,
}

#[cfg(test)]
mod tests;
