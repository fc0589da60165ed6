//! `wrk`, the load generator: closed loop, so it measures throughput; latencies are those seen at that throughput.

use std::{fmt, io::Write, process::Command};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use tempfile::NamedTempFile;

use super::FEATURES;

/// Whether requests repeat.
#[derive(Clone, Copy)]
pub(crate) enum Bodies {
    /// All the same: answered from the cache.
    Same,
    /// Each another: computed.
    Different,
}

/// One load.
pub(crate) struct Load {
    pub(crate) seconds: u64,
    pub(crate) connections: usize,
    pub(crate) bodies: Bodies,
}

/// What was seen.
#[derive(Deserialize)]
pub(crate) struct Measured {
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
        write!(f, "{:.0}/s p99 {:.0} µs", self.rate, self.p99)
    }
}

/// A request body, the `number`th: its first feature differs.
pub(crate) fn body(number: u64) -> String {
    let (head, tail) = halves();
    format!("{head}{number}.5{tail}")
}

fn halves() -> (String, String) {
    let rest: Vec<String> = (1..FEATURES).map(|feature| format!("{:.2}", feature as f64 / 10.0 - 1.5)).collect();
    let head = format!(r#"{{"inputs":[{{"name":"x","shape":[1,{FEATURES}],"datatype":"FP32","data":["#);
    (head, format!(",{}]}}]}}", rest.join(",")))
}

impl Load {
    /// Runs the load against `address`.
    pub(crate) fn run(&self, address: &str) -> Result<Measured> {
        let mut script = NamedTempFile::new()?;
        script.write_all(self.script().as_bytes())?;
        let output = Command::new("wrk")
            .args(["--threads", "2", "--connections", &self.connections.to_string()])
            .args(["--duration", &format!("{}s", self.seconds), "--script"])
            .arg(script.path())
            .arg(format!("http://{address}/v2/models/mlp/infer"))
            .output()
            .context("cannot run wrk; on Debian: apt-get install wrk")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let Some(line) = text.lines().find(|line| line.starts_with('{')) else {
            bail!("wrk failed: {}{}", text, String::from_utf8_lossy(&output.stderr));
        };
        Ok(serde_json::from_str(line)?)
    }

    fn script(&self) -> String {
        let (head, tail) = halves();
        // Each of wrk's threads has a Lua state of its own: they count in steps so that no two send the same body.
        let next = match self.bodies {
            Bodies::Same => "request = function() return same end",
            Bodies::Different => {
                "setup = function(thread) threads = (threads or 0) + 1; thread:set('count', threads * 1e9) end\n\
                 request = function() count = count + 1; \
                 return wrk.format('POST', nil, nil, head .. string.format('%d.5', count % 16777216) .. tail) end"
            }
        };
        format!(
            "head, tail = '{head}', '{tail}'\n\
             wrk.method = 'POST'; wrk.headers['Content-Type'] = 'application/json'; wrk.body = head .. '0.5' .. tail\n\
             init = function() same = wrk.format() end\n\
             {next}\n\
             done = function(summary, latency)\n\
               local errors = summary.errors\n\
               io.write(string.format('{{\"rate\":%f,\"p50\":%f,\"p99\":%f,\"errors\":%d}}\\n',\n\
                 summary.requests / summary.duration * 1e6, latency:percentile(50), latency:percentile(99),\n\
                 errors.connect + errors.read + errors.write + errors.timeout + errors.status))\n\
             end\n"
        )
    }
}
