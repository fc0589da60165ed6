//! Forms batches of rows from requests and gives each request its own rows back.
//!
//! A plain state machine: it has no thread, no clock (the time is passed in) and no device, so that it can be tested
//! with any order of events. Its owner pushes requests, asks for a batch whenever the device can take one, and completes
//! batches in the order in which they were formed.
//!
//! - Every request pushed gets exactly one answer; one whose sender has gone may get none.
//! - A request's answer holds its own rows in their order, however they were spread over batches.
//! - Cancelled and expired requests are not put into a batch, nor those whose deadline would pass before their answer.
//! - A batch holds rows of one lane (a placed replica), one shape class and one row width, at most as many as the lane
//!   allows: the most urgent level first, within it the earliest deadline, then the order of arrival. One batch in
//!   [`FAIR_BATCHES`] goes the other way round through the levels, so that none starves.
//! - Among lanes that wait, the one that had the least device time over its weight goes next (start-time fair queueing, as
//!   deficit round robin in measured time); a lane that did not wait saves nothing up.
//! - How many rows a batch takes follows what batches were measured to take, see [`lane`]: no larger than its requests have
//!   time for, and cut at a bucket where padding would answer fewer rows in a second.
//! - A failed batch fails the requests that have rows in it, and no other.
//!
//! How many rows may wait is bounded in front of it, see [`super::executor`].

mod lane;
mod pending;
mod queue;
mod reserve;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod times;
mod work;

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use contract::{RowBlock, RunError};

use self::{
    lane::Lane,
    pending::{Pending, Pendings, Slot},
    queue::Queue,
    reserve::Reserve,
};
pub(super) use self::{
    lane::LaneShape,
    work::{BatchTimes, Computed, Failure, Reply, Work},
};
use super::{
    admission::{DeviceLoad, LaneLoad},
    settings::{LaneSettings, MOST_PRIORITY_LEVELS},
    sync::Arc,
};

/// A placed replica's name at its executor; never used twice.
pub(super) type LaneId = u64;

/// Queues that stay behind empty, so that a steady class does not allocate for each request.
const KEPT_QUEUES: usize = 64;

/// One batch of a lane in this many starts with its least urgent level.
const FAIR_BATCHES: u32 = 16;

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
    /// What it was expected to take.
    expected: Duration,
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

/// Forms batches of rows from requests and gives each request its own rows back.
#[derive(Debug)]
pub(super) struct Batcher<R> {
    device: Arc<DeviceLoad>,
    lanes: HashMap<LaneId, Lane>,
    queues: BTreeMap<QueueKey, Queue>,
    pendings: Pendings<R>,
    /// Requests pushed so far.
    pushed: u64,
    /// What the lane that was chosen last had been served.
    served: f64,
    /// Batches formed and not completed, and when they should be done.
    in_flight: usize,
    busy_until: Option<Instant>,
    /// Part lists of earlier batches, to be used again.
    spare_parts: Vec<Vec<Part>>,
}

impl<R: Reply> Batcher<R> {
    /// A batcher that tells `device` what it does.
    pub(super) fn new(device: Arc<DeviceLoad>) -> Self {
        Self {
            device,
            lanes: HashMap::new(),
            queues: BTreeMap::new(),
            pendings: Pendings::default(),
            pushed: 0,
            served: 0.0,
            in_flight: 0,
            busy_until: None,
            spare_parts: Vec::new(),
        }
    }

    /// Takes requests for `lane`, whose buckets `warm` are warm, from now on. `seeds` are what warming took, by bucket. Gives what
    /// admission goes by.
    pub(super) fn add_lane(
        &mut self,
        lane: LaneId,
        warm: LaneShape,
        settings: LaneSettings,
        seeds: &[Duration],
        now: Instant,
    ) -> Arc<LaneLoad> {
        let load = Arc::new(LaneLoad::new(Arc::clone(&self.device), warm.buckets(), &settings));
        self.lanes.insert(lane, Lane::new(warm, settings, Arc::clone(&load), seeds, now));
        load
    }

    /// Serves a lane differently from now on, if it is there.
    pub(super) fn configure(&mut self, lane: LaneId, settings: LaneSettings) {
        if let Some(lane) = self.lanes.get_mut(&lane) {
            lane.configure(settings);
        }
    }

    /// Takes no more requests for `lane` and refuses those that wait.
    pub(super) fn remove_lane(&mut self, lane: LaneId) {
        self.fail_waiting(Some(lane), &Failure::Unloaded);
        self.lanes.remove(&lane);
        self.queues.retain(|key, _queue| key.lane != lane);
        self.tell_active();
    }

    /// Takes a request, or answers it at once when its lane is unknown or it has no rows.
    pub(super) fn push(&mut self, work: Work<R>) {
        let Work { lane: id, class, rows, priority, probe, arrived, deadline, reply } = work;
        let Some(lane) = self.lanes.get_mut(&id).filter(|_| rows.rows() > 0) else {
            reply.answer(Err(Failure::Unloaded));
            return;
        };
        let key = QueueKey { lane: id, class, row_bytes: rows.row_bytes() };
        if self.queues.len() > KEPT_QUEUES && !self.queues.contains_key(&key) {
            self.queues.retain(|_key, queue| !queue.is_empty());
        }
        let level = lane.load.level(priority);
        if lane.waiting == 0 {
            // Who did not wait saved nothing up.
            lane.served = lane.served.max(self.served);
        }
        let tell = lane.pushed(arrived);
        let queue = self.queues.entry(key).or_default();
        queue.rows += rows.rows();
        let slot = self.pendings.insert(Pending::new(rows, level, probe, arrived, deadline, reply));
        self.pushed += 1;
        queue.push(level, deadline, self.pushed, slot);
        if lane.waiting == 1 {
            self.tell_waiting();
        }
        if tell {
            self.tell_active();
        }
    }

    /// The next batch that should run now: one that is full or waited long enough, of the lane that had the least.
    pub(super) fn next_batch(&mut self, now: Instant) -> Option<Batch> {
        loop {
            let key = self.next_queue(now)?;
            if let Some(batch) = self.form(key, now) {
                return Some(batch);
            }
            // All that was ready was over or too late, and is answered.
        }
    }

    /// The queue whose turn it is, of those that are ready.
    fn next_queue(&mut self, now: Instant) -> Option<QueueKey> {
        let mut next: Option<(f64, usize, Instant, QueueKey)> = None;
        for (key, queue) in &mut self.queues {
            let Some(lane) = self.lanes.get_mut(&key.lane) else { continue };
            Self::discard_dead(queue, lane, &mut self.pendings, now);
            let ready = Self::due(queue, lane, &self.pendings).is_some_and(|due| due <= now);
            if !ready {
                continue;
            }
            let Some(head) = queue.heads().next().and_then(|slot| self.pendings.get(slot)) else { continue };
            let turn = (lane.served, head.level, head.deadline);
            if next.is_none_or(|(served, level, deadline, _key)| turn < (served, level, deadline)) {
                next = Some((turn.0, turn.1, turn.2, *key));
            }
        }
        let (served, _level, _deadline, key) = next?;
        self.served = self.served.max(served);
        Some(key)
    }

    /// When a queue should go: at once when a batch is full, else when one of its heads has waited long enough.
    fn due(queue: &Queue, lane: &Lane, pendings: &Pendings<R>) -> Option<Instant> {
        let heads = queue.heads().filter_map(|slot| pendings.get(slot));
        if queue.rows >= lane.max_rows() {
            return heads.map(|head| head.arrived).min();
        }
        heads.map(|head| lane.due(queue.rows, head.arrived, head.patience())).min()
    }

    fn form(&mut self, key: QueueKey, now: Instant) -> Option<Batch> {
        let lane = self.lanes.get_mut(&key.lane)?;
        let queue = self.queues.get_mut(&key)?;
        let fair = (lane.batches + 1).is_multiple_of(FAIR_BATCHES) && lane.settings.priority_levels > 1;
        let (mut parts, mut rows, mut target) = (self.spare_parts.pop().unwrap_or_default(), 0, None);
        let mut level_rows = [0_usize; MOST_PRIORITY_LEVELS as usize];
        let mut late = false;
        'levels: for step in 0..queue.levels() {
            let level = if fair { queue.levels() - 1 - step } else { step };
            while target.is_none_or(|target| rows < target) {
                let Some(slot) = queue.head(level) else { break };
                let Some(pending) = self.pendings.get_mut(slot) else { break };
                let (left, patience) = (pending.deadline.saturating_duration_since(now), pending.patience());
                // A probe goes as if it had all the time.
                let time = if pending.probe { Duration::MAX } else { left };
                let hopeless = pending.is_over(now) || lane.work(pending.waiting_rows(), patience, now) > time;
                let target_now = target.or_else(|| lane.batch_rows(queue.rows, time, patience, now));
                let Some(target_now) = target_now.filter(|_| !hopeless) else {
                    queue.rows -= pending.waiting_rows();
                    late |= pending.give_up();
                    queue.pop(level);
                    lane.waiting -= 1;
                    self.pendings.leave_queue(slot);
                    continue;
                };
                target = Some(target_now);
                let target = target_now;
                if !pending.probe && rows > 0 && lane.usual(target) > left {
                    // In this batch it would be late; the next one is made for it.
                    break 'levels;
                }
                let start = pending.dispatched;
                let taken = pending.dispatch(target - rows, now);
                parts.push(Part { slot, start, rows: taken });
                rows += taken;
                level_rows[level] += taken;
                queue.rows -= taken;
                if pending.waiting_rows() == 0 {
                    pending.queued = false;
                    queue.pop(level);
                    lane.waiting -= 1;
                }
            }
        }
        if late {
            lane.count_deadlines(false);
        }
        if rows == 0 {
            self.spare_parts.push(parts);
            self.tell_waiting();
            return None;
        }
        lane.batches = lane.batches.wrapping_add(1);
        let bucket = lane.bucket(rows);
        let expected = lane.expected(bucket);
        lane.charge(expected.as_nanos() as f64);
        let row_nanos = expected.as_nanos() as f64 / rows as f64;
        lane.count_levels(&level_rows.map(|rows| rows as f64 * row_nanos), now);
        self.in_flight += 1;
        let busy_until = self.busy_until.map_or(now, |until| until.max(now)) + expected;
        self.busy_until = Some(busy_until);
        self.device.set_running(busy_until);
        self.tell_waiting();
        Some(Batch { lane: key.lane, bucket, rows, times: BatchTimes::default(), expected, parts })
    }

    /// Tells admission the weights of the lanes that wait.
    fn tell_waiting(&self) {
        let waiting = self.lanes.values().filter(|lane| lane.waiting > 0);
        self.device.set_waiting_weight(waiting.map(|lane| u64::from(lane.settings.weight)).sum());
    }

    /// Tells each lane's admission until when others are active.
    fn tell_active(&self) {
        // Of all lanes but one, the latest is the latest of all, or, for that one itself, the second.
        let (mut first, mut second) = (None::<(Instant, LaneId)>, None::<Instant>);
        for (id, lane) in &self.lanes {
            let Some(until) = lane.active_until() else { continue };
            match first {
                Some((latest, _)) if until <= latest => second = second.max(Some(until)),
                _ => (first, second) = (Some((until, *id)), first.map(|(latest, _)| latest)),
            }
        }
        for (id, lane) in &self.lanes {
            let others = first.filter(|(_, latest)| latest != id).map(|(until, _)| until).or(second);
            lane.load.set_shared_until(others);
        }
    }

    /// When the batcher wants to be asked for a batch again if nothing else happens; none when nothing waits.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let due = |(key, queue): (&QueueKey, &Queue)| Self::due(queue, self.lanes.get(&key.lane)?, &self.pendings);
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
        self.count(&batch, output.is_ok());
        let Batch { lane, times, rows, mut parts, .. } = batch;
        match output {
            Ok(output) => {
                let (mut offset, mut kept) = (0, None);
                for part in parts.drain(..) {
                    if let Some(pending) = self.pendings.get_mut(part.slot) {
                        pending.count(times, rows);
                        let latency = pending.receive(output, offset..offset + part.rows);
                        if let (Some(latency), Some(lane)) = (latency, self.lanes.get_mut(&lane)) {
                            lane.answered(latency);
                            let late = Reserve::is_late(latency, pending.patience());
                            if pending.probe && !late {
                                lane.plan_anew();
                            } else if pending.level == 0 && !pending.probe {
                                kept = Some(kept.unwrap_or(true) && !late);
                            }
                        }
                    }
                    offset += part.rows;
                    self.pendings.release(part.slot);
                }
                if let (Some(kept), Some(lane)) = (kept, self.lanes.get_mut(&lane)) {
                    lane.count_deadlines(kept);
                }
            }
            Err(error) => {
                for part in parts.drain(..) {
                    if let Some(pending) = self.pendings.get_mut(part.slot) {
                        pending.lose(&Failure::Run(error.clone()));
                    }
                    self.pendings.release(part.slot);
                }
            }
        }
        self.spare_parts.push(parts);
    }

    /// Counts what a batch took, which later ones are planned with.
    fn count(&mut self, batch: &Batch, good: bool) {
        self.in_flight -= 1;
        let planned = self.busy_until.and_then(|until| until.checked_sub(batch.expected));
        // One that did not get to the device has no end.
        let until =
            if self.in_flight == 0 { batch.times.ended } else { batch.times.ended.map(|end| end + batch.expected) };
        self.busy_until = until.or(planned);
        if let Some(until) = self.busy_until {
            self.device.set_running(until);
        }
        let Some(lane) = self.lanes.get_mut(&batch.lane) else { return };
        lane.charge(batch.times.occupied.as_nanos() as f64 - batch.expected.as_nanos() as f64);
        if let Some(now) = batch.times.ended.filter(|_| good) {
            lane.measure(batch.bucket, batch.times.occupied, now);
        }
    }

    /// Answers every request that has rows waiting, of one lane or of all, with `failure`.
    pub(super) fn fail_waiting(&mut self, lane: Option<LaneId>, failure: &Failure) {
        for (key, queue) in &mut self.queues {
            if lane.is_some_and(|lane| lane != key.lane) {
                continue;
            }
            for slot in queue.drain() {
                if let Some(pending) = self.pendings.get_mut(slot) {
                    pending.fail(failure);
                }
                self.pendings.leave_queue(slot);
            }
        }
        for (id, waits) in &mut self.lanes {
            if lane.is_none_or(|lane| lane == *id) {
                waits.waiting = 0;
            }
        }
        self.tell_waiting();
    }

    /// Takes requests that are over from the front of each level, answering those out of time.
    fn discard_dead(queue: &mut Queue, lane: &mut Lane, pendings: &mut Pendings<R>, now: Instant) {
        let mut late = false;
        for level in 0..queue.levels() {
            while let Some(slot) = queue.head(level)
                && let Some(pending) = pendings.get_mut(slot)
                && pending.is_over(now)
            {
                queue.rows -= pending.waiting_rows();
                late |= pending.give_up();
                queue.pop(level);
                lane.waiting -= 1;
                pendings.leave_queue(slot);
            }
        }
        if late {
            lane.count_deadlines(false);
        }
    }
}
