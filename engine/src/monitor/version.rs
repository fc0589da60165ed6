//! The recorder of one model version: a slot per recording thread, summed when read.
//!
//! Invariants: nothing recorded is lost when its thread ends; a slot whose thread has ended goes at the next reading, or
//! when the next threads come; a slot whose recorder is gone gives its memory back at once. A thread takes its own
//! slot's lock to record, and only a reading thread ever competes for it, for as long as it takes to swap two values.

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering, fence},
    },
    time::{Duration, Instant, SystemTime},
};

use parking_lot::{Mutex, MutexGuard};

use super::recording::{Answered, FailureReason, Recording};

/// Slots of ended threads are swept when a new thread comes and finds at least this many.
const SWEEP_AT: usize = 16;

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// This thread's slots, by the id of their recorder. Few enough that a scan beats a hash.
    static SLOTS: RefCell<Vec<(u64, Arc<Slot>)>> = const { RefCell::new(Vec::new()) };
}

type Slot = Mutex<Recording<u32>>;

/// Records what happens to requests of one model version. Shared by all threads; recording is cheap.
#[derive(Debug)]
pub struct VersionMonitor {
    id: u64,
    model: Arc<str>,
    version: u32,
    /// One moment on both clocks, so that times recorded on the one are told on the other, and always alike.
    made: (Instant, SystemTime),
    slots: Mutex<Vec<Arc<Slot>>>,
    totals: Mutex<Totals>,
}

/// The sum of all slots, as of the last reading.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) recording: Recording<u64>,
    /// Empty; changes places with a slot's content, so that adding it up holds no recording thread back.
    spare: Recording<u32>,
}

impl Totals {
    fn take(&mut self, slot: &Slot) {
        {
            let mut own = slot.lock();
            if !own.is_dirty() {
                return;
            }
            std::mem::swap(&mut *own, &mut self.spare);
        }
        self.recording.absorb(&self.spare);
        self.spare.clear();
    }
}

impl VersionMonitor {
    pub(super) fn new(model: Arc<str>, version: u32) -> Self {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let made = (Instant::now(), SystemTime::now());
        Self { id, model, version, made, slots: Mutex::default(), totals: Mutex::default() }
    }

    /// Name of the model.
    #[must_use]
    pub const fn model(&self) -> &Arc<str> {
        &self.model
    }

    /// Number of the version.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// Records a request that was answered, with all its stages: percentiles are those of answered requests.
    #[inline]
    pub fn answered(&self, answered: &Answered) {
        self.with_recording(|recording| recording.answered(answered));
    }

    /// Records the [`Stage::Encode`](super::Stage::Encode) of a request that was answered before.
    #[inline]
    pub fn encoded(&self, duration: Duration) {
        self.with_recording(|recording| recording.stage(super::Stage::Encode, duration));
    }

    /// Records the [`Stage::Explain`](super::Stage::Explain) of a request that was answered before.
    pub fn explained(&self, duration: Duration) {
        self.with_recording(|recording| recording.stage(super::Stage::Explain, duration));
    }

    /// Records a request that was not answered, and how long it took to say so.
    #[inline]
    pub fn failed(&self, reason: FailureReason, time: Duration) {
        self.with_recording(|recording| recording.failed(reason, time));
    }

    /// Records a batch of `rows` rows that ran padded to `bucket` rows, and the times of joining and of computing it.
    #[inline]
    pub fn batch(&self, rows: usize, bucket: usize, joining: Duration, computing: Duration) {
        self.with_recording(|recording| recording.batch(rows, bucket, joining, computing));
    }

    /// Forgets everything recorded so far.
    pub fn clear(&self) {
        self.read().recording = Recording::default();
    }

    #[cfg(test)]
    pub(super) fn record(&self, stage: super::Stage, duration: Duration) {
        self.with_recording(|recording| recording.stage(stage, duration));
    }

    #[cfg(test)]
    pub(super) fn request(&self, rows: usize, cache: super::CacheOutcome) {
        self.with_recording(|recording| recording.request(rows, cache));
    }

    /// Milliseconds from the Unix epoch to `at`.
    pub(super) fn epoch_ms(&self, at: Instant) -> u64 {
        let (instant, system) = self.made;
        let time = system + at.saturating_duration_since(instant);
        time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
    }

    #[inline]
    fn with_recording(&self, write: impl Fn(&mut Recording<u32>)) {
        let recorded = SLOTS.try_with(|slots| {
            let mut slots = slots.borrow_mut();
            if let Some((_, slot)) = slots.iter().find(|(id, _)| *id == self.id) {
                self.write(slot, &write);
            } else {
                // A recorder that is gone has left its slots to their threads alone.
                slots.retain(|(_, slot)| Arc::strong_count(slot) > 1);
                let slot = self.add_slot();
                self.write(&slot, &write);
                slots.push((self.id, slot));
            }
        });
        if recorded.is_err() {
            // The thread is ending and its slots are gone already.
            let mut own = Recording::default();
            write(&mut own);
            self.totals.lock().recording.absorb(&own);
        }
    }

    #[inline]
    fn write(&self, slot: &Slot, write: &impl Fn(&mut Recording<u32>)) {
        let mut own = slot.lock();
        write(&mut own);
        if own.is_full() {
            drop(own);
            self.totals.lock().take(slot);
        }
    }

    #[cold]
    fn add_slot(&self) -> Arc<Slot> {
        let slot = Arc::new(Slot::default());
        let ended = {
            let mut slots = self.slots.lock();
            slots.push(Arc::clone(&slot));
            slots.iter().filter(|slot| Arc::strong_count(slot) == 1).count()
        };
        // Never waits for a reading: that one sweeps as well.
        if ended >= SWEEP_AT
            && let Some(mut totals) = self.totals.try_lock()
        {
            self.collect(&mut totals);
        }
        slot
    }

    /// The sum of all slots.
    pub(super) fn read(&self) -> MutexGuard<'_, Totals> {
        let mut totals = self.totals.lock();
        self.collect(&mut totals);
        totals
    }

    fn collect(&self, totals: &mut Totals) {
        // The list is copied so that a thread that comes now does not wait. `totals` is locked, so nobody else holds a copy.
        let slots = self.slots.lock().clone();
        let mut ended = Vec::new();
        for slot in slots {
            // The list and the copy hold a slot; a third holder is its thread.
            if Arc::strong_count(&slot) <= 2 {
                ended.push(Arc::as_ptr(&slot));
            }
            // What an ended thread wrote is seen below: its count was given up after it wrote.
            fence(Ordering::Acquire);
            totals.take(&slot);
        }
        if !ended.is_empty() {
            self.slots.lock().retain(|slot| !ended.contains(&Arc::as_ptr(slot)));
        }
    }

    #[cfg(test)]
    pub(super) fn slot_count(&self) -> usize {
        self.slots.lock().len()
    }
}

impl Drop for VersionMonitor {
    fn drop(&mut self) {
        // Threads keep their empty slots until they next meet a new recorder; the histograms go now.
        for slot in self.slots.get_mut() {
            *slot.lock() = Recording::default();
        }
    }
}
