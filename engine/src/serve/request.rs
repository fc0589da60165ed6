//! What goes into the serving engine and what comes out.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use contract::{Model, Tensor};

use super::PredictionId;
use crate::{
    monitor::{ComputeTimes, VersionMonitor},
    registry::VersionSelector,
};

/// A request for predictions, decoded.
#[derive(Clone, Debug)]
pub struct PredictRequest {
    /// Model name.
    pub model: String,
    /// Which of its versions.
    pub selector: VersionSelector,
    /// The inputs by name.
    pub inputs: Vec<Tensor>,
    /// Names of the wanted outputs, in the order they are wanted; empty for all.
    pub outputs: Vec<String>,
    /// Longest time to the answer; the settings' `request_timeout` when absent or longer than that.
    pub timeout: Option<Duration>,
    /// Urgency: 1 is the most urgent level, larger numbers wait behind smaller ones; 0, and as in Triton what is beyond the
    /// model's last level, is the model's default level.
    pub priority: u32,
    /// What the cache may do for it.
    pub cache: CacheUse,
    /// Whether the answer shall be explained.
    pub explain: bool,
    /// When its bytes were there, if it came as bytes: decoding them took from then until the engine was asked.
    pub received: Option<Instant>,
}

/// What the cache may do for a request (RFC 9111, `Cache-Control` of a request).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheUse {
    /// Whether the answer may come from the cache, or from an equal request that is under way.
    pub read: bool,
    /// Whether the answer may be kept for others.
    pub store: bool,
    /// Oldest answer that will do; none for the model's own time to live.
    pub max_age: Option<Duration>,
    /// Whether an answer that is not held shall not be computed either ([`Error::NotCached`](crate::Error::NotCached)).
    pub only_cached: bool,
}

impl CacheUse {
    /// Reads and keeps.
    pub const FULL: Self = Self { read: true, store: true, max_age: None, only_cached: false };
    /// Goes past the cache.
    pub const NONE: Self = Self { read: false, store: false, max_age: None, only_cached: false };
}

impl Default for CacheUse {
    fn default() -> Self {
        Self::FULL
    }
}

impl PredictRequest {
    /// A request for all outputs of the default version, with the default timeout, through the cache.
    #[must_use]
    pub fn new(model: &str, inputs: Vec<Tensor>) -> Self {
        Self {
            model: model.to_owned(),
            selector: VersionSelector::Default,
            inputs,
            outputs: Vec::new(),
            timeout: None,
            priority: 0,
            cache: CacheUse::FULL,
            explain: false,
            received: None,
        }
    }
}

/// An answer. Row `i` of it is known as `id#i`.
#[derive(Clone)]
pub struct Prediction {
    /// Fresh for every answer, cached or not.
    pub id: PredictionId,
    /// The model that answered.
    pub model: Arc<str>,
    /// The version that answered.
    pub version: u32,
    /// The outputs in the wanted order.
    pub outputs: Arc<[Tensor]>,
    /// What explains the outputs, if that was asked for: `shap_values`, FP64 `[rows, columns]`, what each column adds to a row's
    /// margin, and `shap_expected`, FP64 `[rows]`, what is expected of it; for a model of several margins `[rows, margins, columns]`
    /// and `[rows, margins]`.
    pub explanation: Vec<Tensor>,
    /// Number of rows.
    pub rows: usize,
    /// Where the answer came from.
    pub cache: CacheStatus,
    /// The host half that answered. It is here because the version may be out of service by now.
    pub host: Arc<dyn Model>,
    /// What became of its time.
    pub timing: Timing,
}

/// What became of an answered request's time.
#[derive(Clone, Debug, Default)]
pub struct Timing {
    /// From the request's bytes to its tensors, if it came as bytes.
    pub decode: Option<Duration>,
    /// Looking for the answer in the cache and keeping it, or waiting for an equal request in flight; zero past the cache.
    pub cache: Duration,
    /// Set when it was computed for this request.
    pub computed: Option<ComputeTimes>,
    /// From the inputs to the outputs.
    pub total: Duration,
    /// Explaining the outputs, if that was asked for.
    pub explain: Option<Duration>,
    /// When it was answered, and explained.
    pub ended: Option<Instant>,
    /// Where the rest of its time is recorded.
    pub(super) monitor: Option<Arc<VersionMonitor>>,
}

impl Timing {
    /// Records that the outputs are explained now, which took `duration`.
    pub(crate) fn explained(&mut self, duration: Duration) {
        self.explain = Some(duration);
        self.ended = Some(Instant::now());
        if let Some(monitor) = &self.monitor {
            monitor.explained(duration);
        }
    }

    /// Records that the outputs are bytes now; gives the time that took from the moment they were there. Call it once.
    #[expect(clippy::must_use_candidate, reason = "recording is what it is for")]
    pub fn encoded(&self) -> Duration {
        let duration = self.ended.map_or(Duration::ZERO, |ended| ended.elapsed());
        if let Some(monitor) = &self.monitor {
            monitor.encoded(duration);
        }
        duration
    }
}

impl fmt::Debug for Prediction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, model, version, outputs, explanation: _, rows, cache, host: _, timing: _ } = self;
        let mut shown = f.debug_struct("Prediction");
        shown.field("id", id).field("model", model).field("version", version);
        shown.field("outputs", outputs).field("rows", rows).field("cache", cache).finish_non_exhaustive()
    }
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheStatus {
    /// From the cache, or computed by an equal request that was under way.
    Hit {
        /// Time since it was computed.
        age: Duration,
    },
    /// Computed for this request, and kept unless it is too large or another thread was at the same part of the cache.
    Miss,
    /// Computed for this request, past the cache: it is off, was not to be used, or the request is too large for it.
    Off,
}
