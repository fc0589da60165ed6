//! Whether memory grows: after many requests, loads and unloads, against after the first hundredth of them.

use std::{collections::BTreeMap, thread, time::Duration};

use anyhow::{Result, ensure};

use super::{
    Bench, INFER, loading,
    report::{Mark, Outcome, Row},
    wrk::{Load, Requests},
};
use crate::{
    say,
    servers::{
        Running,
        net::{MLP, Net},
    },
    statistics::Median,
};

/// Loads and unloads in all.
const CYCLES: usize = 200;
/// Requests in all.
const REQUESTS: usize = 10_000_000;
/// Time for what was just freed to be given back.
const REST: Duration = Duration::from_secs(2);
/// Of the same form as the requests' other model of the figures, so that a load is quick.
const OTHER: Net<'static> = Net { name: "other", layers: MLP };
/// What is kept by design is full within the first hundredth.
const BOUNDS: &[&str] = &["--cache-bytes", "8MiB", "--remember-predictions", "50000"];

pub(super) fn memory(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let (requests, cycles) = (bench.amount(REQUESTS, 1_000_000), bench.amount(CYCLES, 100));
    let served = bench.serve(&[Net::mlp(), OTHER], BOUNDS)?;
    loading::change(&served, "unload")?;
    // Seconds at a time: the loader goes on between them.
    let load = Load { seconds: 2, ..bench.load(INFER, Requests::Json) };
    let mut work = Work { served: &served, load, requests: 0.0, cycles: 0 };
    work.until(requests / 100, cycles / 100)?;
    thread::sleep(REST);
    let first = served.memory_mib()?;
    say(&format!("{first:.1} MiB after {:.0} requests and {} loads", work.requests, work.cycles));
    let mut most = first;
    for part in 1..=10 {
        work.until(requests * part / 10, cycles * part / 10)?;
        let now = served.memory_mib()?;
        most = most.max(now);
        say(&format!("{now:.1} MiB after {:.0} requests and {} loads", work.requests, work.cycles));
    }
    thread::sleep(REST);
    let last = served.memory_mib()?;

    let exactly = |value: f64| Median { median: value, low: value, high: value };
    let mark = Mark::AtMost(1.05);
    let ratio = exactly(last / first);
    let outcome = Outcome::Measured {
        ratio,
        reached: Some(mark.reached(ratio)),
        pairs: 1,
        ours: BTreeMap::from([("MiB".to_owned(), exactly(last)), ("most MiB".to_owned(), exactly(most))]),
        theirs: BTreeMap::from([("MiB".to_owned(), exactly(first))]),
    };
    let what =
        format!("resident memory after {cycles} load/unload cycles and {:.1} million requests", work.requests / 1e6);
    let mut row = bench.row("memory", [&what, "after the first hundredth", "MiB"], Some(mark), outcome);
    row.note = format!("With {}, so that what is kept by design is full early.", BOUNDS.join(" "));
    Ok(vec![row])
}

struct Work<'a> {
    served: &'a Running,
    load: Load<'a>,
    requests: f64,
    cycles: usize,
}

impl Work<'_> {
    /// Sends requests and loads and unloads the other model until there were so many of both.
    fn until(&mut self, requests: usize, cycles: usize) -> Result<()> {
        while self.requests < requests as f64 || self.cycles < cycles {
            let (served, load) = (self.served, &self.load);
            let wanted = cycles.saturating_sub(self.cycles).min(8);
            let measured = thread::scope(|scope| {
                let loader = scope.spawn(move || (0..wanted).try_for_each(|_| loading::cycle(served)));
                let measured = load.run(&served.address);
                match loader.join() {
                    Ok(loaded) => loaded.and(measured),
                    Err(_panic) => Err(anyhow::anyhow!("the loading thread panicked")),
                }
            })?;
            ensure!(measured.errors == 0, "{} answers were errors", measured.errors);
            self.requests += measured.requests;
            self.cycles += wanted;
        }
        Ok(())
    }
}
