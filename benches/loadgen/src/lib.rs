//! A load generator for servers of the Open Inference Protocol, version 2: Emberline, Triton and others.
//!
//! It measures what a client waits. Requests of an open loop are sent at their time whether or not earlier ones are answered,
//! and their latency counts from that time: a server that stalls cannot hide it by keeping the generator from sending
//! (coordinated omission). Refusals and errors are counted apart, warm-up is left out, and when the generator itself is what
//! is slow, the report says so.
//!
//! The generator usually shares a machine with the server, so it is made to cost little: requests are bytes before the load
//! begins, HTTP/1.1 is written and parsed by hand, gRPC runs on h2, and every thread has a runtime, connections and recorders
//! of its own.
//!
//! ```no_run
//! use std::{sync::Arc, time::Duration};
//!
//! use loadgen::{Arrivals, Load, Pace, RequestSpec, Requests, Signature, Target};
//!
//! # fn main() -> loadgen::Result<()> {
//! let target = Target::parse("http://127.0.0.1:8080", None, "mlp")?;
//! let signature = Signature::fetch(&target)?;
//! let requests = Arc::new(Requests::prepare(&target, &signature, &RequestSpec::default())?);
//! let pace = Pace::Open { rate: 5000.0, arrivals: Arrivals::Poisson };
//! let load = Load { pace, duration: Duration::from_secs(30), ..Load::new(target) };
//! let report = load.run(&requests, &mut |_| {})?;
//! assert!(report.generator.kept_up);
//! let p99 = report.latency.p99_us;
//! # Ok(())
//! # }
//! ```
//!
//! A [`Signature`] may also be made by hand, for a server that has no metadata.

mod arrivals;
mod client;
mod encode;
mod error;
mod probe;
mod protobuf;
mod recorder;
mod report;
mod requests;
mod rows;
mod run;
mod signature;
mod target;
mod timer;
mod units;

pub use self::{
    arrivals::{Arrivals, Schedule},
    client::Outcome,
    error::{Error, Result},
    probe::{ServerStages, Stage},
    recorder::Counts,
    report::{Generator, Latency, Level, Moment, Report, SloResult},
    requests::{Distinct, RequestSpec, RequestSummary, Requests},
    run::{Load, Pace, Progress},
    signature::{Input, Signature},
    target::{Protocol, Target},
    units::{PriorityMix, Slo, parse_duration, parse_rate},
};
