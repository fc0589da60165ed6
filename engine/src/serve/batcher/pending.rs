//! Requests on their way through the batcher, and the slots that hold them.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use contract::{RowBlock, RunError};

use super::{BatchTimes, Computed, Failure, Reply};
use crate::monitor::ComputeTimes;

/// Slots kept when no request is held.
const KEPT_SLOTS: usize = 4096;

/// A request from its push to its answer; it stays until no batch holds rows of it.
#[derive(Debug)]
pub(super) struct Pending<R> {
    pub(super) rows: RowBlock,
    pub(super) arrived: Instant,
    pub(super) deadline: Instant,
    pub(super) level: usize,
    /// Goes to the device whether it is late or not, to measure.
    pub(super) probe: bool,
    /// Rows put into batches so far.
    pub(super) dispatched: usize,
    /// Whether a queue holds its slot.
    pub(super) queued: bool,
    /// Batches under way that hold rows of it.
    in_flight: usize,
    /// Output rows so far.
    output: RowBlock,
    /// What became of its time so far.
    times: ComputeTimes,
    ended: Option<Instant>,
    /// Gone once answered.
    reply: Option<R>,
}

impl<R: Reply> Pending<R> {
    pub(super) fn new(
        rows: RowBlock,
        level: usize,
        probe: bool,
        arrived: Instant,
        deadline: Instant,
        reply: R,
    ) -> Self {
        Self {
            rows,
            arrived,
            deadline,
            level,
            probe,
            dispatched: 0,
            queued: true,
            in_flight: 0,
            output: RowBlock::default(),
            times: ComputeTimes::default(),
            ended: None,
            reply: Some(reply),
        }
    }

    pub(super) fn waiting_rows(&self) -> usize {
        self.rows.rows() - self.dispatched
    }

    /// The time it came with.
    pub(super) fn patience(&self) -> Duration {
        self.deadline.saturating_duration_since(self.arrived)
    }

    /// Whether no more of it should reach the device.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        now >= self.deadline || self.reply.as_ref().is_none_or(Reply::is_cancelled)
    }

    /// Moves up to `most` rows into a batch; gives how many.
    pub(super) fn dispatch(&mut self, most: usize, now: Instant) -> usize {
        if self.dispatched == 0 {
            self.times.queue = now.saturating_duration_since(self.arrived);
        }
        let taken = self.waiting_rows().min(most);
        self.dispatched += taken;
        self.in_flight += 1;
        if let Some(reply) = &mut self.reply {
            reply.left_queue(taken);
        }
        taken
    }

    /// Adds the times of a batch of `rows` rows that holds rows of it.
    pub(super) fn count(&mut self, times: BatchTimes, rows: usize) {
        self.times.batch += times.joining;
        self.times.compute += times.computing;
        self.times.batch_rows = rows;
        self.ended = times.ended;
    }

    /// Takes its next output rows, `range` of a batch's output, and answers when they are the last ones; gives how long it
    /// took then.
    pub(super) fn receive(&mut self, batch: &mut RowBlock, range: Range<usize>) -> Option<Duration> {
        self.in_flight -= 1;
        self.reply.as_ref()?;
        let whole = range.len() == batch.rows() && range.len() == self.rows.rows();
        if whole {
            self.output = std::mem::take(batch);
        } else if self.output.row_bytes() == 0 {
            self.output.reset(batch.row_bytes());
            self.output.append_rows(batch, range);
        } else if self.output.row_bytes() == batch.row_bytes() {
            self.output.append_rows(batch, range);
        } else {
            let (first, now) = (self.output.row_bytes(), batch.row_bytes());
            let reason = format!("expected output rows of {first} bytes as in the request's first batch, got {now}");
            self.answer(Err(Failure::Run(RunError::Failed { reason })));
            return None;
        }
        if self.output.rows() < self.rows.rows() {
            return None;
        }
        let rows = std::mem::take(&mut self.output);
        self.answer(Ok(Computed { rows, times: self.times, ended: self.ended }));
        self.ended.map(|ended| ended.saturating_duration_since(self.arrived))
    }

    /// Takes the failure of a batch that holds rows of it.
    pub(super) fn lose(&mut self, failure: &Failure) {
        self.in_flight -= 1;
        self.fail(failure);
    }

    /// Answers with a failure, unless answered before.
    pub(super) fn fail(&mut self, failure: &Failure) {
        self.answer(Err(failure.clone()));
    }

    /// Answers that its deadline passed; true when it was of the most urgent level and somebody still waited, so that more
    /// time should have been kept back for it.
    pub(super) fn give_up(&mut self) -> bool {
        let waited = self.reply.as_ref().is_some_and(|reply| !reply.is_cancelled());
        self.fail(&Failure::DeadlinePassed);
        waited && self.level == 0 && !self.probe
    }

    fn answer(&mut self, result: Result<Computed, Failure>) {
        if let Some(reply) = self.reply.take() {
            reply.answer(result);
        }
    }
}

/// Names a pending request; used again for another one once it is released.
pub(super) type Slot = usize;

/// Requests by slot.
#[derive(Debug)]
pub(super) struct Pendings<R> {
    slots: Vec<Option<Pending<R>>>,
    free: Vec<Slot>,
}

impl<R> Default for Pendings<R> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }
}

impl<R> Pendings<R> {
    pub(super) fn insert(&mut self, pending: Pending<R>) -> Slot {
        if let Some(slot) = self.free.pop() {
            self.slots[slot] = Some(pending);
            return slot;
        }
        self.slots.push(Some(pending));
        self.slots.len() - 1
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Pending<R>> {
        self.slots.get(slot)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Pending<R>> {
        self.slots.get_mut(slot)?.as_mut()
    }

    /// Frees the slot once no queue and no batch holds it.
    pub(super) fn release(&mut self, slot: Slot) {
        if self.get(slot).is_some_and(|pending| !pending.queued && pending.in_flight == 0) {
            self.slots[slot] = None;
            self.free.push(slot);
        }
        // The memory of a burst goes back once it is over.
        if self.slots.len() > KEPT_SLOTS && self.free.len() == self.slots.len() {
            self.slots = Vec::new();
            self.free = Vec::new();
        }
    }

    /// Notes that no queue holds the slot any more.
    pub(super) fn leave_queue(&mut self, slot: Slot) {
        if let Some(pending) = self.get_mut(slot) {
            pending.queued = false;
        }
        self.release(slot);
    }

    /// Number of requests held.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}
