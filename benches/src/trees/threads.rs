//! Single rows from several threads at once: whether calls wait for each other.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
#[cfg(target_os = "linux")]
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};

use super::ours::Ours;

/// Calls a second of `threads` threads that each answer one row after another, over `limit`.
pub(super) fn throughput(ours: &Ours, threads: usize, limit: Duration) -> Result<f64> {
    let (start, stop) = (Barrier::new(threads + 1), AtomicBool::new(false));
    let calls = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|worker| {
                scope.spawn({
                    let (start, stop) = (&start, &stop);
                    move || {
                        start.wait();
                        let mut calls = 0_usize;
                        while !stop.load(Ordering::Relaxed) {
                            // Rows of its own: no thread reads what another has just brought into its cache.
                            ours.one(worker * 1000 + calls % 1000)?;
                            calls += 1;
                        }
                        anyhow::Ok(calls)
                    }
                })
            })
            .collect();
        start.wait();
        let began = Instant::now();
        thread::sleep(limit);
        stop.store(true, Ordering::Relaxed);
        let took = began.elapsed().as_secs_f64();
        let mut calls = 0;
        for worker in workers {
            calls += worker.join().map_err(|_panic| anyhow::anyhow!("a thread panicked"))??;
        }
        anyhow::Ok(calls as f64 / took)
    })?;
    Ok(calls)
}

/// Nanoseconds of single calls of two threads at once, each pinned to a core, over `limit`: the median and the 99.9th percentile.
pub(super) fn tail(ours: &Ours, limit: Duration) -> Result<(f64, f64)> {
    let start = Barrier::new(2);
    let mut all = thread::scope(|scope| {
        let workers: Vec<_> = (0..2)
            .map(|worker: usize| {
                scope.spawn({
                    let start = &start;
                    move || {
                        // Room for all of them, so that no call waits for memory.
                        let mut times = Vec::with_capacity(4_000_000);
                        // The other thread waits for this one, whatever comes of it.
                        let pinned = pin(worker);
                        start.wait();
                        pinned?;
                        let began = Instant::now();
                        while began.elapsed() < limit && times.len() < times.capacity() {
                            let call = Instant::now();
                            ours.one(worker * 1000 + times.len() % 1000)?;
                            times.push(call.elapsed().as_secs_f64() * 1e9);
                        }
                        anyhow::Ok(times)
                    }
                })
            })
            .collect();
        let mut all = Vec::new();
        for worker in workers {
            all.extend(worker.join().map_err(|_panic| anyhow::anyhow!("a thread panicked"))??);
        }
        anyhow::Ok(all)
    })?;
    all.sort_by(f64::total_cmp);
    Ok((all[all.len() / 2], all[all.len() * 999 / 1000]))
}

/// Keeps this thread on one core.
#[cfg(target_os = "linux")]
fn pin(core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core)?;
    sched_setaffinity(Pid::from_raw(0), &cores)?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn pin(_core: usize) -> Result<()> {
    anyhow::bail!("expected Linux, where threads can be pinned to cores")
}
