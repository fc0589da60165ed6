//! What a model notices of another that is loaded, warmed and unloaded every second.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};

use super::{
    Bench, INFER,
    pairs::{self, Figure},
    report::{Mark, Row},
    wrk::{Measured, Requests},
};
use crate::servers::{
    Running,
    net::{MLP, Net},
};

/// Times between two loads.
const PERIOD: Duration = Duration::from_secs(1);
/// Wider than the model under measurement, so that warming its buckets is work.
const OTHER: &[usize] = &[256, 256, 1];

pub(super) fn loading(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let served = bench.serve(&[Net { name: "mlp", layers: MLP }, Net { name: "other", layers: OTHER }], &[])?;
    change(&served, "unload")?;
    let load = bench.load(INFER, Requests::Json);
    let cycles = AtomicUsize::new(0);
    let busy = || while_loading(&served, &cycles, || load.run(&served.address));
    let pairs = pairs::interleaved(bench, busy, || load.run(&served.address))?;
    ensure!(cycles.load(Ordering::Relaxed) > 0, "the other model was never loaded");
    let mark = Some(Mark::AtMost(1.5));
    let words = [
        "uncached JSON infer, another model (30-256-256-1) loaded, warmed and unloaded every second",
        "its own, without that",
        Figure::P99.name(),
    ];
    let mut row = bench.row("loading", words, mark, pairs.outcome(Figure::P99, mark));
    row.note = format!("{} times loaded and unloaded.", cycles.load(Ordering::Relaxed));
    Ok(vec![row])
}

/// Loads and unloads the other model each [`PERIOD`] while `measure` runs.
pub(super) fn while_loading(
    served: &Running,
    cycles: &AtomicUsize,
    measure: impl FnOnce() -> Result<Measured>,
) -> Result<Measured> {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let loader = scope.spawn(|| -> Result<()> {
            while !done.load(Ordering::Acquire) {
                let began = Instant::now();
                cycle(served)?;
                cycles.fetch_add(1, Ordering::Relaxed);
                while began.elapsed() < PERIOD && !done.load(Ordering::Acquire) {
                    thread::sleep(Duration::from_millis(5));
                }
            }
            Ok(())
        });
        let measured = measure();
        done.store(true, Ordering::Release);
        loader.join().map_err(|_panic| anyhow!("the loading thread panicked"))??;
        measured
    })
}

/// Loads the other model and unloads it.
pub(super) fn cycle(served: &Running) -> Result<()> {
    change(served, "load")?;
    change(served, "unload")
}

pub(super) fn change(served: &Running, verb: &str) -> Result<()> {
    served.post(&format!("/v2/repository/models/other/{verb}"), "{}").with_context(|| format!("cannot {verb} it"))?;
    Ok(())
}
