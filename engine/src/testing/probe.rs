//! What was done to a fake model, and the brake that holds its batches back.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Condvar, Mutex};

/// Counts what was done to a fake model's replicas, and holds their batches back on demand.
#[derive(Debug, Default)]
pub struct FakeProbe {
    pub(super) placements: AtomicUsize,
    pub(super) drops: AtomicUsize,
    pub(super) encodes: AtomicUsize,
    pub(super) direct_runs: AtomicUsize,
    pub(super) explained: AtomicUsize,
    pub(super) in_flight: AtomicUsize,
    pub(super) most_in_flight: AtomicUsize,
    warmed: Mutex<Vec<usize>>,
    batches: Mutex<Vec<usize>>,
    braked: Mutex<bool>,
    released: Condvar,
}

impl FakeProbe {
    /// Replicas placed so far.
    #[must_use]
    pub fn placements(&self) -> usize {
        self.placements.load(Ordering::SeqCst)
    }

    /// Replicas dropped so far.
    #[must_use]
    pub fn drops(&self) -> usize {
        self.drops.load(Ordering::SeqCst)
    }

    /// Requests encoded so far.
    #[must_use]
    pub fn encodes(&self) -> usize {
        self.encodes.load(Ordering::SeqCst)
    }

    /// Requests run on their own threads so far.
    #[must_use]
    pub fn direct_runs(&self) -> usize {
        self.direct_runs.load(Ordering::SeqCst)
    }

    /// Rows explained so far.
    #[must_use]
    pub fn explained(&self) -> usize {
        self.explained.load(Ordering::SeqCst)
    }

    /// Buckets warmed so far, in order.
    #[must_use]
    pub fn warmed(&self) -> Vec<usize> {
        self.warmed.lock().clone()
    }

    /// Rows of each batch submitted so far, in order.
    #[must_use]
    pub fn batches(&self) -> Vec<usize> {
        self.batches.lock().clone()
    }

    /// Rows submitted so far.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.batches.lock().iter().sum()
    }

    /// Most batches that were on the device at once so far.
    #[must_use]
    pub fn most_in_flight(&self) -> usize {
        self.most_in_flight.load(Ordering::SeqCst)
    }

    /// Holds every batch on the device, and every load at its next bucket, until [`FakeProbe::release`].
    pub fn brake(&self) {
        *self.braked.lock() = true;
    }

    /// Lets the device go on.
    pub fn release(&self) {
        *self.braked.lock() = false;
        self.released.notify_all();
    }

    pub(super) fn wait_while_braked(&self) {
        let mut braked = self.braked.lock();
        while *braked {
            self.released.wait(&mut braked);
        }
    }

    pub(super) fn warm(&self, bucket: usize) {
        self.warmed.lock().push(bucket);
    }

    pub(super) fn submitted(&self, rows: usize, listed: bool) {
        if listed {
            self.batches.lock().push(rows);
        }
        let in_flight = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_in_flight.fetch_max(in_flight, Ordering::SeqCst);
    }

    pub(super) fn collected(&self) {
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The panic that the settings ask for.
#[expect(clippy::panic, reason = "tests ask for it")]
pub(super) fn panic_as_told(when: &str) -> ! {
    panic!("the fake model was told to panic {when}")
}
