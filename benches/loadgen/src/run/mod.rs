//! A load from its start to its report.

mod lane;
mod queue;
mod worker;

use std::{
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;

use self::worker::{Done, Part};
use crate::{
    Arrivals, Error, Report, Requests, Result, Slo, Target,
    error::setting,
    probe,
    recorder::{Interval, Recorder, Window},
    report,
};

/// When requests are sent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "loop", rename_all = "lowercase")]
pub enum Pace {
    /// So many at a time: the next one when one is answered. Says what the server can do, not what its clients wait.
    Closed {
        /// Requests under way at any time.
        concurrency: usize,
    },
    /// At their time, whether or not earlier ones are answered.
    Open {
        /// Requests per second.
        rate: f64,
        /// Their spacing.
        arrivals: Arrivals,
    },
    /// So many in all, so many at a time.
    Count {
        /// Requests under way at any time.
        concurrency: usize,
        /// Requests in all.
        requests: u64,
    },
    /// At the times of a log: see [`replay`](crate::replay).
    Replay,
}

/// A load: what is sent, when, and for how long.
#[derive(Clone, Debug)]
pub struct Load {
    /// Server and model.
    pub target: Target,
    /// When requests are sent.
    pub pace: Pace,
    /// Length of the window of measurement. A counted load ends when all is answered.
    pub duration: Duration,
    /// Time under load before that.
    pub warmup: Duration,
    /// Connections of an open loop that are open from the start. A closed loop has one for each request under way.
    pub connections: usize,
    /// Most connections of an open loop: it opens another when all are busy. Requests beyond these wait, and the waiting counts.
    pub most_connections: usize,
    /// Requests under way at a time on one connection of gRPC.
    pub streams: usize,
    /// Threads of the generator.
    pub threads: usize,
    /// How long an answer is waited for.
    pub patience: Duration,
    /// Answers within this time are good; all are when none.
    pub limit: Option<Duration>,
    /// An objective to check.
    pub slo: Option<Slo>,
    /// Of arrivals and of the mix of priorities.
    pub seed: u64,
    /// Ask the server for the stages of its requests.
    pub stages: bool,
}

impl Load {
    /// A closed loop of 16 for 10 seconds after 2 seconds of warm-up.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self {
            target,
            pace: Pace::Closed { concurrency: 16 },
            duration: Duration::from_secs(10),
            warmup: Duration::from_secs(2),
            connections: 16,
            most_connections: 1024,
            streams: 16,
            threads: 1,
            patience: Duration::from_secs(10),
            limit: None,
            slo: None,
            seed: 0,
            stages: true,
        }
    }

    fn check(&self) -> Result<()> {
        let Self {
            target: _,
            pace,
            duration,
            warmup: _,
            connections,
            most_connections,
            streams,
            threads,
            patience,
            limit: _,
            slo: _,
            seed: _,
            stages: _,
        } = self;
        let at_least_one = [
            (*connections, "connection"),
            (*most_connections, "connection"),
            (*streams, "stream per connection"),
            (*threads, "thread"),
            match pace {
                Pace::Closed { concurrency } | Pace::Count { concurrency, requests: _ } => {
                    (*concurrency, "request at a time")
                }
                Pace::Open { rate: _, arrivals: _ } | Pace::Replay => (1, ""),
            },
        ];
        if let Some((_, what)) = at_least_one.iter().find(|(count, _)| *count == 0) {
            return setting(format!("expected at least 1 {what}, got 0"));
        }
        if let Pace::Open { rate, arrivals: _ } = pace
            && !(rate.is_finite() && *rate > 0.0)
        {
            return setting(format!("expected a rate above 0, got {rate}"));
        }
        if duration.is_zero() || patience.is_zero() {
            return setting("expected a duration and a patience above 0, got 0");
        }
        Ok(())
    }

    /// Runs the load and gives what was seen; `observe` is told how it goes a few times a second. Blocks until the end.
    ///
    /// # Errors
    /// [`Error::Setting`] for settings that cannot be, [`Error::File`] when the system has no more threads or timers. A server
    /// that does not answer is no error: the report says so.
    pub fn run(&self, requests: &Arc<Requests>, observe: &mut dyn FnMut(&Progress)) -> Result<Report> {
        self.check()?;
        let threads = match self.pace {
            // A thread without a lane has nothing to do.
            Pace::Closed { concurrency } | Pace::Count { concurrency, requests: _ } => self.threads.min(concurrency),
            Pace::Open { rate: _, arrivals: _ } | Pace::Replay => self.threads,
        };
        let interval = Duration::from_secs_f64((self.duration.as_secs_f64() / 120.0).clamp(0.1, 1.0));
        // Time to open the connections.
        let start = Instant::now() + Duration::from_millis(20 + self.connections.min(1000) as u64 / 10);
        let window = Window { from: start + self.warmup, to: start + self.warmup + self.duration };
        let stages = self.stages.then(|| probe::watch(&self.target, window)).transpose()?;
        let (reports, timeline) = mpsc::channel();
        let load = Arc::new(self.clone());
        let mut running = Vec::with_capacity(threads);
        for thread in 0..threads {
            let (load, requests, reports) = (Arc::clone(&load), Arc::clone(requests), reports.clone());
            let part = Part { load, requests, thread, threads, start, window, interval, reports };
            running.push(thread::Builder::new().name(format!("load-{thread}")).spawn(move || worker::run(part))?);
        }
        drop(reports);
        let timeline = self.watch(&timeline, threads, interval, observe);
        let mut all = Recorder::new(requests.priorities.levels().len());
        let (mut connections, mut busy, mut finished) = (0, 0.0_f64, start);
        for one in running {
            let panicked = || Error::File(std::io::Error::other("a thread of the load generator panicked"));
            let done = one.join().map_err(|_| panicked())??;
            let Done { recorder, connections: of_thread, busy: share, finished: last } = done;
            all.merge(&recorder);
            connections += of_thread;
            busy = busy.max(share);
            finished = finished.max(last);
        }
        let measured = match self.pace {
            Pace::Count { concurrency: _, requests: _ } => finished.saturating_duration_since(window.from),
            Pace::Closed { concurrency: _ } | Pace::Open { rate: _, arrivals: _ } | Pace::Replay => self.duration,
        };
        let server = stages.and_then(probe::Watch::finish);
        Ok(report::of(self, requests, all, &report::Ran { measured, interval, timeline, connections, busy, server }))
    }

    /// Collects what the threads tell, until all have ended.
    fn watch(
        &self,
        reports: &mpsc::Receiver<(usize, Interval)>,
        threads: usize,
        length: Duration,
        observe: &mut dyn FnMut(&Progress),
    ) -> Vec<Interval> {
        let mut timeline: Vec<Interval> = Vec::new();
        let mut total = crate::Counts::default();
        let mut told = 0;
        while let Ok((number, interval)) = reports.recv() {
            if timeline.len() <= number {
                timeline.resize_with(number + 1, Interval::default);
            }
            total.merge(&interval.counts);
            timeline[number].merge(&interval);
            told += 1;
            if told % threads != 0 {
                continue;
            }
            let Interval { counts, latency } = &timeline[number];
            let elapsed = length * (number as u32 + 1);
            let whole = self.warmup + self.duration;
            observe(&Progress {
                elapsed,
                left: whole.saturating_sub(elapsed),
                warming: elapsed <= self.warmup,
                per_second: counts.ok as f64 / length.as_secs_f64(),
                p50: Duration::from_nanos(latency.value_at_quantile(0.5)),
                p99: Duration::from_nanos(latency.value_at_quantile(0.99)),
                total,
            });
        }
        timeline
    }
}

/// How a load goes.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Since its start, warm-up included.
    pub elapsed: Duration,
    /// To its end.
    pub left: Duration,
    /// Whether this is still warm-up.
    pub warming: bool,
    /// Answers per second in the last interval.
    pub per_second: f64,
    /// Median latency in the last interval.
    pub p50: Duration,
    /// 99th percentile of latency in the last interval.
    pub p99: Duration,
    /// Everything so far, warm-up included.
    pub total: crate::Counts,
}
