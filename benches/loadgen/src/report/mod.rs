//! The result of a load: plain data, for programs (`serde`) and pages.

mod latency;

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

pub use self::latency::Latency;
use crate::{
    Counts, Load, Pace, RequestSummary, Requests, ServerStages, Slo, Target,
    recorder::{Interval, Recorder},
};

/// A generator that sends this much later than intended measures itself.
const LATE: Duration = Duration::from_millis(5);
/// Share of the requests that may be that late.
const LATE_SHARE: f64 = 0.01;
/// A thread that is busy for more than this share of the time may be what bounds the result.
const BUSY: f64 = 0.95;

/// The result of a load.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Server and model.
    pub target: Target,
    /// When requests were sent.
    pub pace: Pace,
    /// What was sent.
    pub requests: RequestSummary,
    /// Length of the measured window.
    pub seconds: f64,
    /// Time under load before it.
    pub warmup_seconds: f64,
    /// Requests meant to be sent per second.
    pub offered_per_second: f64,
    /// Answers per second that came within the window.
    pub throughput_per_second: f64,
    /// Rows of these per second.
    pub rows_per_second: f64,
    /// Requests of the window that were answered within the limit, per second.
    pub goodput_per_second: f64,
    /// The limit of goodput in milliseconds; none when every answer is good.
    pub limit_ms: Option<f64>,
    /// Requests of the window by what became of them.
    pub counts: Counts,
    /// By status of HTTP or gRPC.
    pub statuses: BTreeMap<u16, u64>,
    /// What the first failure said.
    pub first_failure: Option<String>,
    /// Of answered requests, from the time they were meant to be sent: what a client waits. Without coordinated omission.
    pub latency: Latency,
    /// Of answered requests, from the time they were sent: what the server took.
    pub service: Latency,
    /// Of refused requests.
    pub refusal: Option<Latency>,
    /// By level of priority.
    pub priorities: Vec<Level>,
    /// Whether the objective was met, where there is one.
    pub slo: Option<SloResult>,
    /// How it went, warm-up included.
    pub timeline: Vec<Moment>,
    /// How the generator did.
    pub generator: Generator,
    /// What the server spent its time on, if it tells.
    pub server: Option<ServerStages>,
}

/// Requests of a level of priority.
#[derive(Clone, Debug, Serialize)]
pub struct Level {
    /// The parameter `priority`.
    pub priority: u32,
    /// By what became of them.
    pub counts: Counts,
    /// Answered within the limit, per second.
    pub goodput_per_second: f64,
    /// Of answered requests, from the time they were meant to be sent.
    pub latency: Latency,
}

/// An objective, and whether it was met.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SloResult {
    /// The objective.
    pub objective: Slo,
    /// Percent of the window's requests that were answered within the bound. Those refused or not answered are none of them.
    pub percent_within: f64,
    /// Whether that is enough.
    pub met: bool,
}

/// A span of time: what ended in it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Moment {
    /// Its end, in seconds from the start of the load.
    pub second: f64,
    /// Whether it was warm-up.
    pub warmup: bool,
    /// Answers per second.
    pub ok_per_second: f64,
    /// Refusals and passed deadlines per second.
    pub refused_per_second: f64,
    /// Errors per second.
    pub errors_per_second: f64,
    /// Median latency in microseconds; none without answers.
    pub p50_us: Option<f64>,
    /// 99th percentile, likewise.
    pub p99_us: Option<f64>,
}

/// How the generator did: whether the numbers are the server's.
#[derive(Clone, Debug, Serialize)]
pub struct Generator {
    /// Whether the generator kept its own times. If not, the latencies are its own, not the server's.
    pub kept_up: bool,
    /// What is to be said about it; none when all is well.
    pub warning: Option<String>,
    /// Its threads.
    pub threads: usize,
    /// Connections that were opened.
    pub connections: usize,
    /// Requests that had to wait because all connections were busy; their waiting is in the latency.
    pub waited_for_connection: u64,
    /// Share of requests sent more than 5 ms late although a connection was free.
    pub late_share: f64,
    /// 99th percentile of how late such requests were sent, in microseconds.
    pub p99_late_us: f64,
    /// Share of the window in which its busiest thread was not waiting, from 0 to 1.
    pub busy: f64,
}

/// How a load ran.
pub(crate) struct Ran {
    pub(crate) measured: Duration,
    pub(crate) interval: Duration,
    pub(crate) timeline: Vec<Interval>,
    pub(crate) connections: usize,
    pub(crate) busy: f64,
    pub(crate) server: Option<ServerStages>,
}

pub(crate) fn of(load: &Load, requests: &Requests, all: Recorder, ran: &Ran) -> Report {
    let seconds = ran.measured.as_secs_f64().max(1e-9);
    let per_second = |count: u64| count as f64 / seconds;
    let priorities = requests
        .priorities
        .levels()
        .iter()
        .zip(&all.levels)
        .map(|((priority, _), level)| Level {
            priority: *priority,
            counts: level.counts,
            goodput_per_second: per_second(level.good),
            latency: Latency::of(&level.latency),
        })
        .collect();
    let slo = load.slo.map(|objective| {
        let bound = objective.bound.as_nanos() as u64;
        let within = all.latency.count_between(0, bound);
        let percent_within = 100.0 * within as f64 / (all.counts.intended.max(1)) as f64;
        let met = all.counts.intended > 0 && percent_within >= objective.percentile;
        SloResult { objective, percent_within, met }
    });
    Report {
        target: load.target.clone(),
        pace: load.pace,
        requests: requests.summary(),
        seconds,
        warmup_seconds: load.warmup.as_secs_f64(),
        offered_per_second: per_second(all.counts.intended),
        throughput_per_second: per_second(all.completed),
        rows_per_second: per_second(all.completed_rows),
        goodput_per_second: per_second(all.good),
        limit_ms: load.limit.map(|limit| limit.as_secs_f64() * 1e3),
        counts: all.counts,
        latency: Latency::of(&all.latency),
        service: Latency::of(&all.service),
        refusal: (all.counts.refused > 0).then(|| Latency::of(&all.refusal)),
        priorities,
        slo,
        timeline: timeline(load, ran),
        generator: generator(load, &all, ran),
        server: ran.server.clone(),
        statuses: all.statuses,
        first_failure: all.complaint,
    }
}

fn timeline(load: &Load, ran: &Ran) -> Vec<Moment> {
    let length = ran.interval.as_secs_f64();
    let moment = |(number, interval): (usize, &Interval)| {
        let Interval { counts, latency } = interval;
        let per_second = |count: u64| count as f64 / length;
        let second = (number + 1) as f64 * length;
        let quantile = |quantile| (counts.ok > 0).then(|| latency.value_at_quantile(quantile) as f64 / 1e3);
        Moment {
            second,
            warmup: second <= load.warmup.as_secs_f64(),
            ok_per_second: per_second(counts.ok),
            refused_per_second: per_second(counts.refused + counts.deadline),
            errors_per_second: per_second(counts.errors()),
            p50_us: quantile(0.5),
            p99_us: quantile(0.99),
        }
    };
    // Answers that came after the end are in the counts; as a rate over time they would mislead.
    let whole = (load.warmup + ran.measured).as_secs_f64();
    ran.timeline.iter().enumerate().map(moment).filter(|moment| moment.second <= whole + length / 2.0).collect()
}

fn generator(load: &Load, all: &Recorder, ran: &Ran) -> Generator {
    let late = all.lateness.count_between(LATE.as_nanos() as u64, u64::MAX);
    let late_share = late as f64 / all.lateness.len().max(1) as f64;
    let open = matches!(load.pace, Pace::Open { rate: _, arrivals: _ } | Pace::Replay);
    let kept_up = !(open && late_share > LATE_SHARE);
    let p99_late_us = all.lateness.value_at_quantile(0.99) as f64 / 1e3;
    let warning = if !kept_up {
        Some(format!(
            "the generator could not keep up: {:.1} % of the requests were sent more than {} ms late (p99 {:.1} ms). These latencies \
             are the generator's, not the server's: lower the rate, or give it more threads or a core of its own",
            late_share * 100.0,
            LATE.as_millis(),
            p99_late_us / 1e3,
        ))
    } else if ran.busy > BUSY {
        Some(format!(
            "the generator's busiest thread was busy for {:.0} % of the time: the server may be faster than this; give the generator \
             more threads or a core of its own",
            ran.busy.min(1.0) * 100.0
        ))
    } else if open && all.waited as f64 > 0.01 * all.counts.intended as f64 {
        Some(format!(
            "{} of {} requests waited for one of {} connections; their waiting is in the latencies. Allow more connections to load \
             the server itself",
            all.waited, all.counts.intended, ran.connections
        ))
    } else {
        None
    };
    Generator {
        kept_up,
        warning,
        threads: load.threads,
        connections: ran.connections,
        waited_for_connection: all.waited,
        late_share,
        p99_late_us,
        busy: ran.busy.min(1.0),
    }
}
