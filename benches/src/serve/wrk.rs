//! `wrk`, the load generator of the closed loops: it measures throughput, and latencies at that throughput.

use std::{
    fmt,
    io::Write,
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use tempfile::NamedTempFile;

use crate::servers::net::FEATURES;

/// Rows start anew behind this many: their first feature counts up in halves, which FP32 holds exactly so far.
const COUNT: u64 = 1 << 22;
/// Loads so far. Their number is in each row, so that no load repeats the rows of another.
static LOADS: AtomicU64 = AtomicU64::new(0);

/// What is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Requests {
    /// One row in JSON, the same each time: answered from a cache.
    SameJson,
    /// One row in JSON, another each time.
    Json,
    /// One row as raw bytes behind the JSON, answered likewise.
    Binary,
    /// As JSON, with a timeout of two seconds and priorities from 1 to 3 in turns.
    Urgent,
}

/// The tensor of a request.
#[derive(Clone, Copy)]
pub(crate) struct Input {
    pub(crate) name: &'static str,
    /// Width of a row.
    pub(crate) features: usize,
}

impl Input {
    /// Of the nets.
    pub(crate) const NET: Self = Self { name: "x", features: FEATURES };
}

/// One load.
pub(crate) struct Load<'a> {
    /// Path of the requests.
    pub(crate) path: &'a str,
    pub(crate) input: Input,
    pub(crate) requests: Requests,
    /// Rows of each request; no more than one where all requests are the same.
    pub(crate) rows: usize,
    pub(crate) seconds: u64,
    pub(crate) connections: usize,
}

/// What was seen.
#[derive(Clone, Copy, Deserialize)]
pub(crate) struct Measured {
    pub(crate) requests: f64,
    /// Requests per second.
    pub(crate) rate: f64,
    /// Median latency in microseconds.
    pub(crate) p50: f64,
    /// 99th percentile of latency in microseconds.
    pub(crate) p99: f64,
    /// Answers other than 200, and broken connections.
    pub(crate) errors: u64,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests: _, rate, p50, p99, errors } = self;
        write!(f, "{rate:.0}/s p50 {p50:.0} µs p99 {p99:.0} µs")?;
        if *errors > 0 { write!(f, " ({errors} errors)") } else { Ok(()) }
    }
}

/// The body of [`Requests::SameJson`].
pub(crate) fn body() -> String {
    let (head, tail) = halves("", Input::NET, 1);
    format!("{head}0.5,0{tail}")
}

/// A request of `rows` rows around its first two features.
fn halves(parameters: &str, input: Input, rows: usize) -> (String, String) {
    let Input { name, features } = input;
    let value = |index: usize| format!("{:.2}", (index % features) as f64 / 10.0 - 1.5);
    let rest: Vec<String> = (2..rows * features).map(value).collect();
    let head =
        format!(r#"{{{parameters}"inputs":[{{"name":"{name}","shape":[{rows},{features}],"datatype":"FP32","data":["#);
    (head, format!(",{}]}}]}}", rest.join(",")))
}

impl Load<'_> {
    /// Runs the load against `address`. An error when `wrk` cannot run; answers that are errors are counted.
    pub(crate) fn run(&self, address: &str) -> Result<Measured> {
        let mut script = NamedTempFile::new()?;
        script.write_all(self.script(LOADS.fetch_add(1, Ordering::Relaxed)).as_bytes())?;
        let threads = self.connections.min(2);
        let output = Command::new("wrk")
            .args(["--threads", &threads.to_string(), "--connections", &self.connections.to_string()])
            .args(["--duration", &format!("{}s", self.seconds), "--script"])
            .arg(script.path())
            .arg(format!("http://{address}{}", self.path))
            .output()
            .context("cannot run wrk; on Debian: apt-get install wrk")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let Some(line) = text.lines().find(|line| line.starts_with('{')) else {
            bail!("wrk failed: {}{}", text, String::from_utf8_lossy(&output.stderr));
        };
        Ok(serde_json::from_str(line)?)
    }

    /// The Lua program. Each of wrk's threads has a state of its own; `lane` is its number among all threads of all loads.
    fn script(&self, load: u64) -> String {
        let first = load * 2;
        format!(
            "wrk.method = 'POST'\n\
             setup = function(thread) threads = (threads or 0) + 1; thread:set('lane', {first} + threads) end\n\
             count = 0\n\
             {requests}\n\
             done = function(summary, latency)\n\
               local errors = summary.errors\n\
               io.write(string.format('{{\"requests\":%d,\"rate\":%f,\"p50\":%f,\"p99\":%f,\"errors\":%d}}\\n',\n\
                 summary.requests, summary.requests / summary.duration * 1e6,\n\
                 latency:percentile(50), latency:percentile(99),\n\
                 errors.connect + errors.read + errors.write + errors.timeout + errors.status))\n\
             end\n",
            requests = self.requests.lua(self.input, self.rows)
        )
    }
}

impl Requests {
    fn lua(self, input: Input, rows: usize) -> String {
        let Input { name, features } = input;
        let (head, tail) = halves("", input, rows);
        match self {
            Self::SameJson => format!(
                "wrk.headers['Content-Type'] = 'application/json'; wrk.body = '{}'\n\
                 init = function() same = wrk.format() end\n\
                 request = function() return same end",
                body()
            ),
            Self::Json => format!(
                "wrk.headers['Content-Type'] = 'application/json'\n\
                 request = function()\n\
                   count = (count + 1) % {COUNT}\n\
                   return wrk.format(nil, nil, nil, '{head}' .. string.format('%d.5,%d', count, lane) .. '{tail}')\n\
                 end"
            ),
            Self::Urgent => {
                let (head, tail) = halves(r#""parameters":{"timeout":2000000,"priority":PRIORITY},"#, input, rows);
                let heads = ["1", "2", "3"].map(|level| format!("'{}'", head.replace("PRIORITY", level))).join(", ");
                // As little to do as for plain requests: the generator takes its time from the server.
                format!(
                    "wrk.headers['Content-Type'] = 'application/json'\n\
                     local heads = {{ {heads} }}\n\
                     request = function()\n\
                       count = (count + 1) % {COUNT}\n\
                       return wrk.format(nil, nil, nil,\n\
                         heads[count % 3 + 1] .. string.format('%d.5,%d', count, lane) .. '{tail}')\n\
                     end"
                )
            }
            Self::Binary => {
                let values = rows * features;
                let json = format!(
                    r#"{{"inputs":[{{"name":"{name}","shape":[{rows},{features}],"datatype":"FP32","parameters":{{"binary_data_size":{}}}}}],"parameters":{{"binary_data_output":true}}}}"#,
                    values * size_of::<f32>()
                );
                format!(
                    "local ffi = require('ffi')\n\
                     local row = ffi.new('float[{values}]')\n\
                     for value = 2, {values} - 1 do row[value] = value % {features} / 10 - 1.5 end\n\
                     wrk.headers['Content-Type'] = 'application/octet-stream'\n\
                     wrk.headers['Inference-Header-Content-Length'] = '{length}'\n\
                     request = function()\n\
                       count = (count + 1) % {COUNT}\n\
                       row[0], row[1] = count + 0.5, lane\n\
                       return wrk.format(nil, nil, nil, '{json}' .. ffi.string(row, ffi.sizeof(row)))\n\
                     end",
                    length = json.len()
                )
            }
        }
    }
}
