//! What one thread saw: counters and histograms, without a lock.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::client::Outcome;

/// Latencies are kept in nanoseconds, to three digits, up to ten minutes.
pub(crate) fn histogram() -> Histogram<u64> {
    // Only bounds that contradict each other are refused.
    Histogram::new_with_bounds(128, 600_000_000_000, 3)
        .unwrap_or_else(|_| Histogram::new(3).unwrap_or_else(|_| empty()))
}

/// Two digits, for the many of a timeline.
fn small_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1024, 600_000_000_000, 2).unwrap_or_else(|_| empty())
}

fn empty() -> Histogram<u64> {
    Histogram::new_from(&small_histogram())
}

/// Requests by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Meant to be sent.
    pub intended: u64,
    /// Answered.
    pub ok: u64,
    /// Turned away at once: 503, 429, `UNAVAILABLE`, `RESOURCE_EXHAUSTED`.
    pub refused: u64,
    /// Given up by the server: 504, `DEADLINE_EXCEEDED`.
    pub deadline: u64,
    /// Answered with another status.
    pub failed: u64,
    /// No connection, a connection that ended, or an answer that is none.
    pub broken: u64,
    /// Sent, and not answered in the time that the load waits.
    pub abandoned: u64,
    /// Never sent, because no connection became free.
    pub unsent: u64,
}

impl Counts {
    fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Ok => self.ok += 1,
            Outcome::Refused => self.refused += 1,
            Outcome::Deadline => self.deadline += 1,
            Outcome::Failed => self.failed += 1,
            Outcome::Broken => self.broken += 1,
            Outcome::Abandoned => self.abandoned += 1,
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        let Self { intended, ok, refused, deadline, failed, broken, abandoned, unsent } = other;
        self.intended += intended;
        self.ok += ok;
        self.refused += refused;
        self.deadline += deadline;
        self.failed += failed;
        self.broken += broken;
        self.abandoned += abandoned;
        self.unsent += unsent;
    }

    /// Those with an answer, or without hope of one.
    #[must_use]
    pub const fn settled(&self) -> u64 {
        self.ok + self.refused + self.deadline + self.failed + self.broken + self.abandoned + self.unsent
    }

    /// Neither answered nor refused nor past a deadline.
    #[must_use]
    pub const fn errors(&self) -> u64 {
        self.failed + self.broken + self.abandoned + self.unsent
    }
}

/// What ended in a span of time.
#[derive(Clone, Debug)]
pub(crate) struct Interval {
    pub(crate) counts: Counts,
    pub(crate) latency: Histogram<u64>,
}

impl Default for Interval {
    fn default() -> Self {
        Self { counts: Counts::default(), latency: small_histogram() }
    }
}

impl Interval {
    pub(crate) fn merge(&mut self, other: &Self) {
        self.counts.merge(&other.counts);
        // The same bounds: this cannot fail.
        let _ = self.latency.add(&other.latency);
    }
}

/// Requests of one level of priority.
#[derive(Clone, Debug)]
pub(crate) struct Level {
    pub(crate) counts: Counts,
    pub(crate) good: u64,
    pub(crate) latency: Histogram<u64>,
}

impl Default for Level {
    fn default() -> Self {
        Self { counts: Counts::default(), good: 0, latency: histogram() }
    }
}

/// Everything of one thread; those of all threads are merged into the report.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    pub(crate) counts: Counts,
    /// Sent within the window of measurement.
    sent: u64,
    /// Answered within the limit.
    pub(crate) good: u64,
    /// Answers that came within the window, and their rows.
    pub(crate) completed: u64,
    pub(crate) completed_rows: u64,
    /// From the intended time of sending to the answer, of answered requests.
    pub(crate) latency: Histogram<u64>,
    /// From the actual time of sending.
    pub(crate) service: Histogram<u64>,
    /// Of refused requests.
    pub(crate) refusal: Histogram<u64>,
    /// How much later than intended requests were sent although a connection was free.
    pub(crate) lateness: Histogram<u64>,
    /// Sent later than intended because no connection was free.
    pub(crate) waited: u64,
    pub(crate) levels: Vec<Level>,
    pub(crate) statuses: BTreeMap<u16, u64>,
    pub(crate) complaint: Option<String>,
    interval: Interval,
}

/// A request whose fate is known.
pub(crate) struct Settled {
    pub(crate) intended: Instant,
    /// None if it never was.
    pub(crate) sent: Option<Instant>,
    pub(crate) done: Instant,
    pub(crate) outcome: Outcome,
    pub(crate) status: Option<u16>,
    pub(crate) level: usize,
    pub(crate) rows: u32,
}

/// The span of time that is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) from: Instant,
    pub(crate) to: Instant,
}

impl Window {
    pub(crate) fn contains(&self, instant: Instant) -> bool {
        self.from <= instant && instant < self.to
    }
}

impl Recorder {
    pub(crate) fn new(levels: usize) -> Self {
        Self {
            counts: Counts::default(),
            sent: 0,
            good: 0,
            completed: 0,
            completed_rows: 0,
            latency: histogram(),
            service: histogram(),
            refusal: histogram(),
            lateness: histogram(),
            waited: 0,
            levels: (0..levels).map(|_| Level::default()).collect(),
            statuses: BTreeMap::new(),
            complaint: None,
            interval: Interval::default(),
        }
    }

    /// A request of the window is due.
    pub(crate) fn intend(&mut self, level: usize) {
        self.counts.intended += 1;
        if let Some(level) = self.levels.get_mut(level) {
            level.counts.intended += 1;
        }
    }

    /// A request of the window is about to be sent; `free` if it did not have to wait for a connection.
    pub(crate) fn send(&mut self, lateness: Duration, free: bool) {
        self.sent += 1;
        if free {
            self.lateness.saturating_record(nanos(lateness));
        } else {
            self.waited += 1;
        }
    }

    /// The fate of a request is known.
    pub(crate) fn settle(&mut self, window: Window, limit: Option<Duration>, settled: &Settled) {
        let Settled { intended, sent, done, outcome, status, level, rows } = settled;
        let latency = done.saturating_duration_since(*intended);
        let ok = *outcome == Outcome::Ok;
        self.interval.counts.add(*outcome);
        if ok {
            self.interval.latency.saturating_record(nanos(latency));
            if window.contains(*done) {
                self.completed += 1;
                self.completed_rows += u64::from(*rows);
            }
        }
        if !window.contains(*intended) {
            return;
        }
        self.counts.add(*outcome);
        if let Some(status) = status {
            *self.statuses.entry(*status).or_default() += 1;
        }
        let good = ok && limit.is_none_or(|limit| latency <= limit);
        self.good += u64::from(good);
        match outcome {
            Outcome::Ok => {
                self.latency.saturating_record(nanos(latency));
                if let Some(sent) = sent {
                    self.service.saturating_record(nanos(done.saturating_duration_since(*sent)));
                }
            }
            Outcome::Refused => self.refusal.saturating_record(nanos(latency)),
            Outcome::Deadline | Outcome::Failed | Outcome::Broken | Outcome::Abandoned => {}
        }
        if let Some(level) = self.levels.get_mut(*level) {
            level.counts.add(*outcome);
            level.good += u64::from(good);
            if ok {
                level.latency.saturating_record(nanos(latency));
            }
        }
    }

    /// The end: what is still under way has no answer.
    pub(crate) fn finish(&mut self) {
        let settled = self.counts.settled();
        self.counts.abandoned += self.sent.saturating_sub(settled);
        self.counts.unsent = self.counts.intended.saturating_sub(self.counts.settled());
        for level in &mut self.levels {
            level.counts.unsent = level.counts.intended.saturating_sub(level.counts.settled());
        }
    }

    /// Takes what ended since the last time.
    pub(crate) fn take_interval(&mut self) -> Interval {
        std::mem::take(&mut self.interval)
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.counts.merge(&other.counts);
        self.good += other.good;
        self.completed += other.completed;
        self.completed_rows += other.completed_rows;
        self.waited += other.waited;
        let pairs = [
            (&mut self.latency, &other.latency),
            (&mut self.service, &other.service),
            (&mut self.refusal, &other.refusal),
            (&mut self.lateness, &other.lateness),
        ];
        for (ours, theirs) in pairs {
            // The same bounds: this cannot fail.
            let _ = ours.add(theirs);
        }
        for (ours, theirs) in self.levels.iter_mut().zip(&other.levels) {
            ours.counts.merge(&theirs.counts);
            ours.good += theirs.good;
            let _ = ours.latency.add(&theirs.latency);
        }
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        if self.complaint.is_none() {
            self.complaint.clone_from(&other.complaint);
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
