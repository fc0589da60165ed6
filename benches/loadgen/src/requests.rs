//! The requests of a load, made before it begins.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use serde::Serialize;

use crate::{
    PriorityMix, Result, Target,
    encode::{self, Extras, Message},
    error::setting,
    rows,
    signature::Signature,
};

/// Requests made before the load, all together.
const MOST_BYTES: usize = 2 << 30;
/// Different requests whose one number is varied, when every request must be another.
const TEMPLATES: usize = 256;
/// Different requests where no number can be varied.
const MANY: usize = 16_384;

/// How many different requests there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Distinct {
    /// Every request is another, in this and in earlier loads, so that no cache can answer it. Needs an input of FP32 or FP64,
    /// whose first element then runs through floats from 1 upwards; without one, there are 16,384 different requests.
    #[default]
    Every,
    /// So many, again and again in the same order.
    Count(usize),
}

/// What the requests are.
#[derive(Clone, Debug)]
pub struct RequestSpec {
    /// Rows of each.
    pub rows: usize,
    /// How many different ones.
    pub distinct: Distinct,
    /// A CSV file that the rows are taken from; drawn at random when none.
    pub data: Option<PathBuf>,
    /// Columns of the file for an input of several elements per row.
    pub columns: Vec<String>,
    /// The protocol's `timeout`, and over gRPC also the call's deadline.
    pub timeout: Option<Duration>,
    /// The protocol's `priority`.
    pub priorities: PriorityMix,
    /// Of everything drawn at random.
    pub seed: u64,
}

impl Default for RequestSpec {
    fn default() -> Self {
        Self {
            rows: 1,
            distinct: Distinct::Every,
            data: None,
            columns: Vec::new(),
            timeout: None,
            priorities: PriorityMix::default(),
            seed: 0,
        }
    }
}

/// What is told about the requests of a load.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RequestSummary {
    /// Rows of each; none where they differ.
    pub rows: Option<usize>,
    /// Different requests; none when every one is another.
    pub distinct: Option<usize>,
    /// Bytes of the first, head and body.
    pub bytes: usize,
    /// The protocol's `timeout` in milliseconds.
    pub timeout_ms: Option<f64>,
}

/// Requests ready to be sent.
#[derive(Debug)]
pub struct Requests {
    /// All bodies of the first level of priority, then of the second.
    messages: Vec<Message>,
    /// Bodies of one level.
    bodies: usize,
    pub(crate) priorities: PriorityMix,
    pub(crate) timeout: Option<Duration>,
    rows: Option<usize>,
    /// When each is due from the start, in a replay.
    pub(crate) times: Vec<Duration>,
    /// What the next request's number is.
    next: AtomicU64,
}

impl Requests {
    /// Makes the requests for a model with this signature.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) when signature, data and settings do not go together,
    /// [`Error::File`](crate::Error::File) when the data cannot be read.
    pub fn prepare(target: &Target, signature: &Signature, spec: &RequestSpec) -> Result<Self> {
        let RequestSpec { rows: count, distinct, data, columns, timeout, priorities, seed } = spec;
        if *count == 0 {
            return setting("expected at least 1 row per request, got 0");
        }
        let many = match distinct {
            Distinct::Every => TEMPLATES,
            Distinct::Count(0) => return setting("expected at least 1 different request, got 0"),
            Distinct::Count(many) => *many,
        };
        let make = |many| match data {
            Some(file) => rows::table(signature, file, columns, *count, many),
            None => rows::random(signature, *count, many, *seed),
        };
        let mut all = make(many)?;
        let vary = *distinct == Distinct::Every && all.first().is_some_and(encode::can_vary);
        if *distinct == Distinct::Every && !vary {
            all = make(MANY)?;
        }
        let levels: Vec<Option<u32>> = match priorities.levels() {
            [] => vec![None],
            levels => levels.iter().map(|(level, _)| Some(*level)).collect(),
        };
        let mut messages = Vec::with_capacity(levels.len() * all.len());
        let mut bytes = 0;
        for priority in levels {
            for rows in &all {
                let extras = Extras { timeout: *timeout, priority, vary };
                let message = encode::encode(target, rows, *count, extras)?;
                bytes += message.bytes.len();
                if bytes > MOST_BYTES {
                    return setting(format!(
                        "expected requests of at most {} GiB together; ask for fewer different ones or fewer rows",
                        MOST_BYTES >> 30
                    ));
                }
                messages.push(message);
            }
        }
        Ok(Self {
            bodies: all.len(),
            messages,
            priorities: priorities.clone(),
            timeout: *timeout,
            rows: Some(*count),
            times: Vec::new(),
            next: AtomicU64::new(if vary { fresh() } else { 0 }),
        })
    }

    /// Requests that are sent once each at their time.
    pub(crate) fn recorded(messages: Vec<Message>, times: Vec<Duration>) -> Self {
        let bodies = messages.len();
        let (priorities, next) = (PriorityMix::default(), AtomicU64::new(0));
        Self { messages, bodies, priorities, timeout: None, rows: None, times, next }
    }

    /// What is told about them.
    #[must_use]
    pub fn summary(&self) -> RequestSummary {
        let every = self.messages.iter().any(|message| message.patch.is_some());
        RequestSummary {
            rows: self.rows,
            distinct: (!every).then_some(self.bodies),
            bytes: self.messages.first().map_or(0, |message| message.bytes.len()),
            timeout_ms: self.timeout.map(|timeout| timeout.as_secs_f64() * 1e3),
        }
    }

    /// Numbers for a thread's requests; no other request has them.
    pub(crate) fn take_numbers(&self, count: u64) -> u64 {
        self.next.fetch_add(count, Ordering::Relaxed)
    }

    /// The body of a number, at a level of priority by its place.
    pub(crate) fn message(&self, number: u64, level: usize) -> Option<&Message> {
        let body = (number % self.bodies.max(1) as u64) as usize;
        self.messages.get(level * self.bodies + body)
    }
}

/// Where numbering begins: elsewhere in every run, so that a server's cache has seen none of the requests.
fn fresh() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // A multiple of the number of templates, so that the order of bodies is the seed's alone.
    (now.as_millis() as u64).wrapping_mul(2_654_435_761) % (1 << 40) * TEMPLATES as u64
}
