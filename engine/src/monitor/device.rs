//! How busy a device is, as its executor measures it: on every device, whatever its driver tells.
//!
//! Busy is the time in which at least one batch was submitted and not yet read back. The executor reports each interval
//! when it ends; where intervals overlap (two batches in flight) the time is counted once. Intervals come in the order in
//! which their batches were submitted and ended. A batch that is still running is not seen yet.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use contract::Device;
use parking_lot::Mutex;

use super::report::DeviceReport;

/// The window is kept in steps of this length.
const STEP: Duration = Duration::from_millis(100);
/// Whole steps of the window, and one that is being filled.
const STEPS: usize = 101;
/// Length of the sliding window.
const WINDOW: Duration = Duration::from_secs(10);

/// Records the work of one device. Written by its executor, read by anyone.
#[derive(Debug)]
pub struct DeviceMonitor {
    device: String,
    name: String,
    busy: Mutex<BusyTime>,
    queue_rows: AtomicUsize,
}

impl DeviceMonitor {
    pub(super) fn new(device: &Device) -> Self {
        Self::named(device.to_string(), device.name.clone())
    }

    pub(super) fn named(device: String, name: String) -> Self {
        Self { device, name, busy: Mutex::new(BusyTime::new(Instant::now())), queue_rows: AtomicUsize::new(0) }
    }

    /// The device, as metrics name it.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.device
    }

    /// Records that the device worked for `duration`, until now.
    pub fn busy(&self, duration: Duration) {
        let now = Instant::now();
        self.busy_between(now.checked_sub(duration).unwrap_or(now), now);
    }

    /// Records that the device worked from `start` until `end`; neither lies before that of an earlier interval.
    pub fn busy_between(&self, start: Instant, end: Instant) {
        self.busy.lock().add(start, end);
    }

    /// Sets the number of rows that wait for the device.
    pub fn set_queue_rows(&self, rows: usize) {
        self.queue_rows.store(rows, Ordering::Relaxed);
    }

    /// Rows that wait for the device.
    #[must_use]
    pub fn queue_rows(&self) -> usize {
        self.queue_rows.load(Ordering::Relaxed)
    }

    pub(super) fn report(&self) -> DeviceReport {
        let now = Instant::now();
        let busy = self.busy.lock();
        DeviceReport {
            device: self.device.clone(),
            name: self.name.clone(),
            busy_seconds: busy.total.as_secs_f64(),
            busy_fraction: busy.overall(now),
            busy_fraction_10s: busy.window(now),
            queue_rows: self.queue_rows() as u64,
        }
    }
}

/// Busy time overall and by steps of the window.
#[derive(Debug)]
struct BusyTime {
    started: Instant,
    covered_until: Instant,
    total: Duration,
    /// Step `n` since the start lives at `n % STEPS`, with its number: an old number means an idle step.
    steps: [(u64, Duration); STEPS],
}

impl BusyTime {
    fn new(started: Instant) -> Self {
        Self { started, covered_until: started, total: Duration::ZERO, steps: [(0, Duration::ZERO); STEPS] }
    }

    fn add(&mut self, start: Instant, end: Instant) {
        let start = start.max(self.covered_until);
        if end <= start {
            return;
        }
        self.covered_until = end;
        self.total += end - start;
        // Time that has left the window already need not be spread over it.
        let mut from = start.max(end.checked_sub(WINDOW).unwrap_or(start));
        while from < end {
            let step = self.step(from);
            let step_end = (self.started + STEP.saturating_mul(u32::try_from(step + 1).unwrap_or(u32::MAX))).min(end);
            // Only beyond thirteen years of uptime is a step's end not after its start.
            let until = if step_end > from { step_end } else { end };
            let (number, busy) = &mut self.steps[(step % STEPS as u64) as usize];
            if *number != step {
                *number = step;
                *busy = Duration::ZERO;
            }
            *busy += until - from;
            from = until;
        }
    }

    fn overall(&self, now: Instant) -> f64 {
        fraction(self.total, now.saturating_duration_since(self.started))
    }

    /// The fraction over the last 99 whole steps and the one under way: 9.9 to 10 seconds.
    fn window(&self, now: Instant) -> f64 {
        let current = self.step(now);
        let oldest = current.saturating_sub(STEPS as u64 - 2);
        let busy = self.steps.iter().filter(|(step, _)| (oldest..=current).contains(step)).map(|(_, busy)| *busy).sum();
        let since = STEP.saturating_mul(u32::try_from(oldest).unwrap_or(u32::MAX));
        fraction(busy, now.saturating_duration_since(self.started).saturating_sub(since))
    }

    fn step(&self, at: Instant) -> u64 {
        (at.saturating_duration_since(self.started).as_millis() / STEP.as_millis()) as u64
    }
}

fn fraction(busy: Duration, of: Duration) -> f64 {
    if of.is_zero() { 0.0 } else { (busy.as_secs_f64() / of.as_secs_f64()).min(1.0) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn an_overlap_counts_once() {
        let start = Instant::now();
        let mut busy = BusyTime::new(start);
        busy.add(start, start + MS(400));
        busy.add(start + MS(200), start + MS(500));
        assert_eq!(busy.total, MS(500));
        assert!((busy.overall(start + MS(1000)) - 0.5).abs() < 1e-9);
        assert!((busy.window(start + MS(1000)) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn the_window_forgets_and_the_total_does_not() {
        let start = Instant::now();
        let mut busy = BusyTime::new(start);
        busy.add(start, start + MS(5000));
        assert!((busy.window(start + MS(10_000)) - 0.5).abs() < 0.02);
        assert!((busy.window(start + MS(12_500)) - 0.25).abs() < 0.02);
        assert_eq!(busy.window(start + MS(15_200)), 0.0);
        assert!((busy.overall(start + MS(20_000)) - 0.25).abs() < 1e-9);
    }

    #[test]
    fn work_longer_than_the_window_fills_it() {
        let start = Instant::now();
        let mut busy = BusyTime::new(start);
        busy.add(start + MS(10), start + MS(60_010));
        assert!((busy.window(start + MS(60_010)) - 1.0).abs() < 1e-9);
        assert_eq!(busy.total, MS(60_000));
    }

    #[test]
    fn reports_what_the_executor_told() {
        let device = DeviceMonitor::new(&Device::cpu());
        device.set_queue_rows(7);
        std::thread::sleep(MS(20));
        device.busy(MS(10));
        let report = device.report();
        assert_eq!((report.device.as_str(), report.queue_rows), ("cpu", 7));
        assert!((report.busy_seconds - 0.01).abs() < 1e-9);
        assert!(report.busy_fraction > 0.0 && report.busy_fraction <= 0.5);
    }

    proptest! {
        #[test]
        fn agrees_with_a_list_of_milliseconds(intervals in proptest::collection::vec((0_u64..3000, 0_u64..3000), 1..30)) {
            let start = Instant::now();
            let mut busy = BusyTime::new(start);
            let mut marks = vec![false; 0];
            let (mut from, mut end) = (0, 0);
            for (gap, length) in intervals {
                end += gap;
                from = end.saturating_sub(length).max(from);
                marks.resize(end as usize, false);
                marks[from as usize..].fill(true);
                busy.add(start + MS(from), start + MS(end));
            }
            prop_assert_eq!(busy.total, MS(marks.iter().filter(|mark| **mark).count() as u64));
            let oldest = (end / 100).saturating_sub(99) * 100;
            let span = end - oldest;
            let inside = marks[oldest as usize..].iter().filter(|mark| **mark).count() as u64;
            let expected = if span == 0 { 0.0 } else { inside as f64 / span as f64 };
            prop_assert!((busy.window(start + MS(end)) - expected).abs() < 1e-9);
        }
    }
}
