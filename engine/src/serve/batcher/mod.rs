//! Forms batches of rows from requests and gives each request its own rows back.
//!
//! A plain state machine: it has no thread, no clock (the time is passed in) and no device, so that it can be tested
//! with any order of events. Its owner pushes requests, asks for a batch whenever the device can take one, and completes
//! batches in the order in which they were formed.
//!
//! - Every request pushed gets exactly one answer; one whose sender has gone may get none.
//! - A request's answer holds its own rows in their order, however they were spread over batches.
//! - Cancelled and expired requests are not put into a batch.
//! - A batch holds rows of one lane (a placed replica), one shape class and one row width, at most as many as the lane
//!   allows, in the order of arrival; among lanes the oldest request goes first.
//! - A failed batch fails the requests that have rows in it, and no other.
//!
//! How many rows may wait is bounded in front of it, see [`super::executor`].

mod pending;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::{Duration, Instant},
};

use contract::{RowBlock, RunError};

use self::pending::{Pending, Pendings, Slot};
use super::settings::LaneSettings;
use crate::monitor::ComputeTimes;

/// A placed replica's name at its executor; never used twice.
pub(super) type LaneId = u64;

/// Queues that stay behind empty, so that a steady class does not allocate for each request.
const KEPT_QUEUES: usize = 64;

/// Why a request got no rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The model or device failed.
    Run(RunError),
    /// Its deadline passed before it reached the device.
    DeadlinePassed,
    /// The lane was taken away.
    Unloaded,
    /// The executor ends.
    ShuttingDown,
}

/// Where a request's answer goes.
pub(super) trait Reply {
    /// Whether nobody waits for the answer any more.
    fn is_cancelled(&self) -> bool;
    /// Tells that `rows` rows went from the queue into a batch. Rows not told of until the reply is dropped never did.
    fn left_queue(&mut self, rows: usize);
    /// Gives the answer.
    fn answer(self, result: Result<Computed, Failure>);
}

/// A request's output rows, and what became of its time.
#[derive(Debug)]
pub(super) struct Computed {
    pub(super) rows: RowBlock,
    pub(super) times: ComputeTimes,
    /// When the device's answer to its last batch was there.
    pub(super) ended: Option<Instant>,
}

/// What became of a batch's time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BatchTimes {
    /// From its forming until it was joined and submitted.
    pub(super) joining: Duration,
    /// From then until the device's answer was read back.
    pub(super) computing: Duration,
    /// When that was.
    pub(super) ended: Option<Instant>,
}

/// A request as pushed.
#[derive(Debug)]
pub(super) struct Work<R> {
    pub(super) lane: LaneId,
    /// Shape class within the lane.
    pub(super) class: usize,
    /// Encoded rows, at least one.
    pub(super) rows: RowBlock,
    /// As in a request: 1 is the most urgent, 0 the lane's default.
    pub(super) priority: u32,
    pub(super) arrived: Instant,
    pub(super) deadline: Instant,
    pub(super) reply: R,
}

/// What a lane's batches may look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LaneShape {
    buckets: Vec<usize>,
}

impl LaneShape {
    /// The buckets of a model as far as batches of at most `max_batch_rows` rows use them; none when it has no usable one.
    pub(super) fn new(buckets: &[usize], max_batch_rows: usize) -> Option<Self> {
        let mut buckets: Vec<usize> = buckets.iter().copied().filter(|bucket| *bucket > 0).collect();
        buckets.sort_unstable();
        buckets.dedup();
        // A batch is padded to its bucket, so one above the limit would compute more rows than the limit allows; the
        // smallest is needed in any case.
        let used = buckets.iter().filter(|bucket| **bucket <= max_batch_rows).count().max(1);
        buckets.truncate(used);
        (!buckets.is_empty()).then_some(Self { buckets })
    }

    /// Those of its buckets that batches of at most `max_batch_rows` rows use.
    fn up_to(&self, max_batch_rows: usize) -> Self {
        Self::new(&self.buckets, max_batch_rows).unwrap_or_else(|| self.clone())
    }

    /// Buckets in use, ascending, at least one.
    pub(super) fn buckets(&self) -> &[usize] {
        &self.buckets
    }

    fn max_rows(&self) -> usize {
        self.buckets.last().copied().unwrap_or(1)
    }

    fn bucket(&self, rows: usize) -> usize {
        self.buckets.iter().copied().find(|bucket| *bucket >= rows).unwrap_or(rows)
    }
}

/// Rows for the device. To be given back to [`Batcher::complete`], whatever came of it.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) lane: LaneId,
    /// Rows the device half pads to.
    pub(super) bucket: usize,
    /// Rows held.
    pub(super) rows: usize,
    /// Set by whoever ran it, for the requests in it.
    pub(super) times: BatchTimes,
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    slot: Slot,
    start: usize,
    rows: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct QueueKey {
    lane: LaneId,
    class: usize,
    /// Only blocks of one width can be joined; a model that breaks its promise meets itself alone.
    row_bytes: usize,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Slot>,
    /// Rows not yet in a batch, those of requests that are over included until they come to the front.
    rows: usize,
}

#[derive(Debug)]
struct Lane {
    /// Buckets that are warm.
    warm: LaneShape,
    /// Those in use.
    shape: LaneShape,
    settings: LaneSettings,
}

/// Forms batches of rows from requests and gives each request its own rows back.
#[derive(Debug)]
pub(super) struct Batcher<R> {
    lanes: HashMap<LaneId, Lane>,
    queues: BTreeMap<QueueKey, Queue>,
    pendings: Pendings<R>,
}

impl<R> Default for Batcher<R> {
    fn default() -> Self {
        Self { lanes: HashMap::new(), queues: BTreeMap::new(), pendings: Pendings::default() }
    }
}

impl<R: Reply> Batcher<R> {
    /// Takes requests for `lane`, whose buckets `warm` are warm, from now on.
    pub(super) fn add_lane(&mut self, lane: LaneId, warm: LaneShape, settings: LaneSettings) {
        let shape = warm.up_to(settings.max_batch_rows);
        self.lanes.insert(lane, Lane { warm, shape, settings });
    }

    /// Serves a lane differently from now on, if it is there.
    pub(super) fn configure(&mut self, lane: LaneId, settings: LaneSettings) {
        if let Some(lane) = self.lanes.get_mut(&lane) {
            lane.shape = lane.warm.up_to(settings.max_batch_rows);
            lane.settings = settings;
        }
    }

    /// Takes no more requests for `lane` and refuses those that wait.
    pub(super) fn remove_lane(&mut self, lane: LaneId) {
        self.lanes.remove(&lane);
        self.fail_waiting(Some(lane), &Failure::Unloaded);
        self.queues.retain(|key, _queue| key.lane != lane);
    }

    /// Takes a request, or answers it at once when its lane is unknown or it has no rows.
    pub(super) fn push(&mut self, work: Work<R>) {
        let Work { lane, class, rows, priority: _, arrived, deadline, reply } = work;
        if !self.lanes.contains_key(&lane) || rows.rows() == 0 {
            reply.answer(Err(Failure::Unloaded));
            return;
        }
        let key = QueueKey { lane, class, row_bytes: rows.row_bytes() };
        if self.queues.len() > KEPT_QUEUES && !self.queues.contains_key(&key) {
            self.queues.retain(|_key, queue| !queue.waiting.is_empty());
        }
        let queue = self.queues.entry(key).or_default();
        queue.rows += rows.rows();
        queue.waiting.push_back(self.pendings.insert(Pending::new(rows, arrived, deadline, reply)));
    }

    /// The next batch that should run now: a full one, or the oldest one that waited long enough.
    pub(super) fn next_batch(&mut self, now: Instant) -> Option<Batch> {
        let mut oldest: Option<(Instant, QueueKey)> = None;
        for (key, queue) in &mut self.queues {
            Self::discard_dead(queue, &mut self.pendings, now);
            let (Some(slot), Some(lane)) = (queue.waiting.front(), self.lanes.get(&key.lane)) else { continue };
            let Some(head) = self.pendings.get(*slot) else { continue };
            let ready = queue.rows >= lane.shape.max_rows() || head.due(lane.settings.max_queue_delay) <= now;
            if ready && oldest.is_none_or(|(arrived, _key)| head.arrived < arrived) {
                oldest = Some((head.arrived, *key));
            }
        }
        oldest.and_then(|(_arrived, key)| self.form(key, now))
    }

    fn form(&mut self, key: QueueKey, now: Instant) -> Option<Batch> {
        let shape = &self.lanes.get(&key.lane)?.shape;
        let queue = self.queues.get_mut(&key)?;
        let (mut parts, mut rows) = (Vec::new(), 0);
        while rows < shape.max_rows() {
            Self::discard_dead(queue, &mut self.pendings, now);
            let Some(slot) = queue.waiting.front().copied() else { break };
            let Some(pending) = self.pendings.get_mut(slot) else { break };
            let start = pending.dispatched;
            let taken = pending.dispatch(shape.max_rows() - rows, now);
            parts.push(Part { slot, start, rows: taken });
            rows += taken;
            queue.rows -= taken;
            if pending.waiting_rows() == 0 {
                pending.queued = false;
                queue.waiting.pop_front();
            }
        }
        // Empty when the last of them was cancelled at this very moment.
        let times = BatchTimes::default();
        (rows > 0).then(|| Batch { lane: key.lane, bucket: shape.bucket(rows), rows, times, parts })
    }

    /// When the batcher wants to be asked for a batch again if nothing else happens; none when nothing waits.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let due = |(key, queue): (&QueueKey, &Queue)| {
            let delay = self.lanes.get(&key.lane)?.settings.max_queue_delay;
            Some(self.pendings.get(*queue.waiting.front()?)?.due(delay))
        };
        self.queues.iter().filter_map(due).min()
    }

    /// The batch's rows: those of its only request where they are, or joined in `joined`.
    pub(super) fn rows<'a>(&'a self, batch: &Batch, joined: &'a mut RowBlock) -> &'a RowBlock {
        let pending = |part: &Part| self.pendings.get(part.slot);
        if let [part] = batch.parts.as_slice()
            && let Some(pending) = pending(part)
            && part.rows == pending.rows.rows()
        {
            return &pending.rows;
        }
        let width = batch.parts.first().and_then(pending).map_or(0, |pending| pending.rows.row_bytes());
        joined.reset(width);
        for part in &batch.parts {
            if let Some(pending) = pending(part) {
                joined.append_rows(&pending.rows, part.start..part.start + part.rows);
            }
        }
        joined
    }

    /// Gives the requests of a batch their rows of `output`, or its failure. Batches of a lane are completed in the order in
    /// which they were formed. `output` may be left empty.
    pub(super) fn complete(&mut self, batch: Batch, output: Result<&mut RowBlock, RunError>) {
        let output = match output {
            Ok(output) if output.rows() != batch.rows => {
                let reason = format!("expected {} output rows from the device, got {}", batch.rows, output.rows());
                Err(RunError::Failed { reason })
            }
            Ok(output) => Ok(output),
            Err(error) => Err(error),
        };
        match output {
            Ok(output) => {
                let mut offset = 0;
                for part in batch.parts {
                    if let Some(pending) = self.pendings.get_mut(part.slot) {
                        pending.count(batch.times, batch.rows);
                        pending.receive(output, offset..offset + part.rows);
                    }
                    offset += part.rows;
                    self.pendings.release(part.slot);
                }
            }
            Err(error) => {
                for part in batch.parts {
                    if let Some(pending) = self.pendings.get_mut(part.slot) {
                        pending.lose(&Failure::Run(error.clone()));
                    }
                    self.pendings.release(part.slot);
                }
            }
        }
    }

    /// Answers every request that has rows waiting, of one lane or of all, with `failure`.
    pub(super) fn fail_waiting(&mut self, lane: Option<LaneId>, failure: &Failure) {
        for (key, queue) in &mut self.queues {
            if lane.is_some_and(|lane| lane != key.lane) {
                continue;
            }
            queue.rows = 0;
            for slot in queue.waiting.drain(..) {
                if let Some(pending) = self.pendings.get_mut(slot) {
                    pending.fail(failure);
                }
                self.pendings.leave_queue(slot);
            }
        }
    }

    /// Takes requests that are over from the front of a queue, answering those out of time.
    fn discard_dead(queue: &mut Queue, pendings: &mut Pendings<R>, now: Instant) {
        while let Some(slot) = queue.waiting.front().copied()
            && let Some(pending) = pendings.get_mut(slot)
            && pending.is_over(now)
        {
            queue.rows -= pending.waiting_rows();
            pending.fail(&Failure::DeadlinePassed);
            queue.waiting.pop_front();
            pendings.leave_queue(slot);
        }
    }
}
