//! Decides, before anything waits, whether a request can be answered in time.
//!
//! A device's queue is bounded in rows, for all lanes together and for each. Within that bound a request is taken when the time
//! until its answer is expected to fit into its deadline, and, where a lane has a latency objective, into that. Expected are: what is on the
//! device now, the rows ahead of it in its own order (its own and more urgent levels of its lane), what more urgent levels
//! take in the meantime, and the fair share of the other lanes that wait. Times of batches are measured ones, see
//! [`super::batcher`], which also publishes them here.
//!
//! All of it is atomics: an admission reads and adds, and never waits. Two that run at once may both be taken where only one
//! fits; the headroom covers that.

use std::time::{Duration, Instant};

use super::{
    arrivals::Arrivals,
    settings::{LaneSettings, MOST_PRIORITY_LEVELS},
    sync::{Arc, AtomicU32, AtomicU64, AtomicUsize, Ordering},
};

const LEVELS: usize = MOST_PRIORITY_LEVELS as usize;
/// Shares of a device are in parts of this.
pub(super) const WHOLE_SHARE: u32 = 1024;
/// A lane whose forecast refuses everything lets one request through after this long without a measurement, because the
/// forecast may be out of date.
const PROBE_AFTER: Duration = Duration::from_millis(250);
/// For how long a share that was measured says anything.
const SHARE_LASTS: Duration = Duration::from_millis(200);
/// Shortest and longest advice on when to come back.
const RETRY_AFTER: std::ops::RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(30);

/// Why a request is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The queue is full.
    Overloaded { queued: usize, limit: usize, retry_after: Duration },
    /// Its deadline would pass before its answer.
    TooLate { busy: Duration, left: Duration, retry_after: Duration },
    /// The request alone is larger than the queue.
    TooManyRows { rows: usize, limit: usize },
}

/// What waits for one device and what is on it.
#[derive(Debug)]
pub(super) struct DeviceLoad {
    epoch: Instant,
    max_queue_rows: usize,
    /// Rows admitted and not yet in a batch.
    queued_rows: AtomicUsize,
    /// What they are expected to take.
    queued_nanos: AtomicU64,
    /// When they should be done, in nanoseconds since the epoch.
    busy_until: AtomicU64,
    /// Weights of all lanes that wait.
    waiting_weight: AtomicU64,
}

impl DeviceLoad {
    pub(super) fn new(max_queue_rows: usize, epoch: Instant) -> Self {
        Self {
            epoch,
            max_queue_rows,
            queued_rows: AtomicUsize::new(0),
            queued_nanos: AtomicU64::new(0),
            busy_until: AtomicU64::new(0),
            waiting_weight: AtomicU64::new(0),
        }
    }

    pub(super) fn queued_rows(&self) -> usize {
        self.queued_rows.load(Ordering::Relaxed)
    }

    /// Time until all that is on the device and waits for it should be done.
    pub(super) fn expected_wait(&self, now: Instant) -> Duration {
        let running = self.busy_until.load(Ordering::Relaxed).saturating_sub(self.nanos_at(now));
        Duration::from_nanos(running.saturating_add(self.queued_nanos.load(Ordering::Relaxed)))
    }

    /// The refusal of a request that found no room behind its admission.
    pub(super) fn overloaded(&self) -> Refusal {
        let retry_after = advice(self.queued_nanos.load(Ordering::Relaxed));
        Refusal::Overloaded { queued: self.queued_rows(), limit: self.max_queue_rows, retry_after }
    }

    /// Tells what is on the device. For its owner alone.
    pub(super) fn set_running(&self, until: Instant) {
        self.busy_until.store(self.nanos_at(until), Ordering::Relaxed);
    }

    /// Tells the weights of all lanes that wait. For its owner alone.
    pub(super) fn set_waiting_weight(&self, weight: u64) {
        self.waiting_weight.store(weight, Ordering::Relaxed);
    }

    fn nanos_at(&self, at: Instant) -> u64 {
        nanos(at.saturating_duration_since(self.epoch))
    }
}

/// What waits for one lane, how it is bounded, and how long its batches take.
#[derive(Debug)]
pub(super) struct LaneLoad {
    device: Arc<DeviceLoad>,
    max_queue_rows: AtomicUsize,
    levels: AtomicU32,
    default_level: AtomicU32,
    weight: AtomicU32,
    /// Longest time until an answer; the largest number where there is no objective.
    slo_nanos: AtomicU64,
    /// The part of it that is planned with.
    budget: AtomicU32,
    buckets: Box<[usize]>,
    /// How many of the buckets are in use.
    used: AtomicUsize,
    /// What a batch of each bucket is expected to take at most; 0 while that is unknown.
    nanos: Box<[AtomicU64]>,
    measured_at: AtomicU64,
    rows: [AtomicUsize; LEVELS],
    /// What comes, taken or not.
    arrivals: Arrivals,
    /// The part of a request's time that is not planned with.
    reserve: AtomicU32,
    /// Share of the device that levels more urgent than this one took lately.
    taken_before: [AtomicU32; LEVELS],
    /// Until when other lanes count as active, in nanoseconds since the device's epoch.
    shared_until: AtomicU64,
}

impl LaneLoad {
    pub(super) fn new(device: Arc<DeviceLoad>, buckets: &[usize], settings: &LaneSettings) -> Self {
        let lane = Self {
            device,
            max_queue_rows: AtomicUsize::new(0),
            levels: AtomicU32::new(1),
            default_level: AtomicU32::new(1),
            weight: AtomicU32::new(1),
            slo_nanos: AtomicU64::new(u64::MAX),
            budget: AtomicU32::new(WHOLE_SHARE),
            buckets: buckets.into(),
            used: AtomicUsize::new(buckets.len()),
            nanos: buckets.iter().map(|_| AtomicU64::new(0)).collect(),
            measured_at: AtomicU64::new(0),
            rows: std::array::from_fn(|_| AtomicUsize::new(0)),
            arrivals: Arrivals::new(),
            reserve: AtomicU32::new(WHOLE_SHARE / 8),
            taken_before: std::array::from_fn(|_| AtomicU32::new(0)),
            shared_until: AtomicU64::new(0),
        };
        lane.configure(settings);
        lane
    }

    /// Bounds the lane anew.
    pub(super) fn configure(&self, settings: &LaneSettings) {
        let levels = settings.priority_levels.clamp(1, MOST_PRIORITY_LEVELS);
        self.max_queue_rows.store(settings.max_queue_rows.min(self.device.max_queue_rows), Ordering::Relaxed);
        self.levels.store(levels, Ordering::Relaxed);
        self.default_level.store(settings.default_priority.clamp(1, levels), Ordering::Relaxed);
        self.weight.store(settings.weight.max(1), Ordering::Relaxed);
        self.slo_nanos.store(settings.slo.map_or(u64::MAX, nanos), Ordering::Relaxed);
        let used = self.buckets.iter().filter(|bucket| **bucket <= settings.max_batch_rows).count().max(1);
        self.used.store(used, Ordering::Relaxed);
    }

    /// Sets the part of the latency objective that is planned with. For the device's owner alone.
    pub(super) fn set_budget(&self, budget: f64) {
        self.budget.store((budget * f64::from(WHOLE_SHARE)) as u32, Ordering::Relaxed);
    }

    /// Publishes what batches take, in the order of the buckets. For the device's owner alone.
    pub(super) fn publish(&self, estimates: impl Iterator<Item = u64>, now: Instant) {
        for (shown, estimate) in self.nanos.iter().zip(estimates) {
            shown.store(estimate, Ordering::Relaxed);
        }
        self.measured_at.store(self.device.nanos_at(now), Ordering::Relaxed);
    }

    /// Publishes the shares of the device that each level took lately. For the device's owner alone.
    pub(super) fn publish_shares(&self, shares: impl Iterator<Item = u32>) {
        let mut before = 0;
        for (shown, share) in self.taken_before.iter().zip(shares) {
            shown.store(before, Ordering::Relaxed);
            before += share;
        }
    }

    /// Tells until when other lanes of the device count as active, if there are any. For the device's owner alone.
    pub(super) fn set_shared_until(&self, until: Option<Instant>) {
        self.shared_until.store(until.map_or(0, |until| self.device.nanos_at(until)), Ordering::Relaxed);
    }

    /// Whether other lanes wait for the device, or did a moment ago. Admission and the batches that are formed both go by this.
    pub(super) fn is_shared(&self, now: Instant) -> bool {
        let waiting = self.device.waiting_weight.load(Ordering::Relaxed);
        waiting > self.weight.load(Ordering::Relaxed).into()
            || self.device.nanos_at(now) < self.shared_until.load(Ordering::Relaxed)
    }

    /// The level of a request's priority, from 0: 0 is the default, and what lies beyond the last one is the last one.
    pub(super) fn level(&self, priority: u32) -> usize {
        let named = if priority == 0 { self.default_level.load(Ordering::Relaxed) } else { priority };
        named.min(self.levels.load(Ordering::Relaxed)).max(1) as usize - 1
    }

    /// Rows that wait, of all levels.
    pub(super) fn queued_rows(&self) -> usize {
        self.rows.iter().map(|rows| rows.load(Ordering::Relaxed)).sum()
    }

    /// Takes `rows` rows into account, or says why they are refused.
    pub(super) fn admit(
        self: &Arc<Self>,
        rows: usize,
        priority: u32,
        now: Instant,
        deadline: Instant,
    ) -> Result<Permit, Refusal> {
        let limit = self.max_queue_rows.load(Ordering::Relaxed);
        if rows > limit {
            return Err(Refusal::TooManyRows { rows, limit });
        }
        let level = self.level(priority);
        self.arrivals.count(level, rows, self.device.nanos_at(now));
        // Counted before looking, so that the bound holds whoever else counts at this moment.
        self.rows[level].fetch_add(rows, Ordering::Relaxed);
        let on_device = self.device.queued_rows.fetch_add(rows, Ordering::Relaxed);
        let mut permit = Permit { lane: Arc::clone(self), level, rows, row_nanos: 0, probe: false };
        let retry_after = || advice(self.device.queued_nanos.load(Ordering::Relaxed));
        let in_lane = self.queued_rows() - rows.min(self.queued_rows());
        if in_lane + rows > limit {
            return Err(Refusal::Overloaded { queued: in_lane, limit, retry_after: retry_after() });
        }
        if on_device + rows > self.device.max_queue_rows {
            let limit = self.device.max_queue_rows;
            return Err(Refusal::Overloaded { queued: on_device, limit, retry_after: retry_after() });
        }
        let slo = self.slo_nanos.load(Ordering::Relaxed);
        let left = nanos(deadline.saturating_duration_since(now)).min(slo);
        let taken_before = self.taken_before(level, self.device.nanos_at(now));
        let expected = self.expected_nanos(rows, level, taken_before, left, now);
        // More urgent requests come in bursts, and what they take then is not known yet.
        let bursts = left / 10 * 3 * u64::from(taken_before) / u64::from(WHOLE_SHARE);
        let planned = slo.saturating_mul(self.budget.load(Ordering::Relaxed).into()) / u64::from(WHOLE_SHARE);
        let planned = if slo == u64::MAX { left } else { left.min(planned) };
        if expected > self.plannable(planned).saturating_sub(bursts) {
            permit.probe = in_lane == 0 && self.may_probe(now);
            if !permit.probe {
                let (busy, left) = (Duration::from_nanos(expected), Duration::from_nanos(left));
                return Err(Refusal::TooLate { busy, left, retry_after: advice(expected) });
            }
        }
        permit.row_nanos = self.row_nanos();
        self.device.queued_nanos.fetch_add(permit.row_nanos * rows as u64, Ordering::Relaxed);
        Ok(permit)
    }

    /// What of `left` may be planned with.
    pub(super) fn plannable(&self, left: u64) -> u64 {
        let kept = u64::from(self.reserve.load(Ordering::Relaxed));
        (left / u64::from(WHOLE_SHARE)).saturating_mul(u64::from(WHOLE_SHARE).saturating_sub(kept))
    }

    /// Sets the part of a request's time that is not planned with. For the device's owner alone.
    pub(super) fn set_reserve(&self, part: f64) {
        self.reserve.store((part * f64::from(WHOLE_SHARE)) as u32, Ordering::Relaxed);
    }

    /// The largest of `buckets` for requests that have `left` in all, by its index.
    pub(super) fn largest_index(
        &self,
        buckets: &[usize],
        estimate: impl Fn(usize) -> u64,
        left: u64,
        gap: u64,
    ) -> usize {
        largest_index(buckets, estimate, self.plannable(left), gap)
    }

    /// How long until rows that were just counted are answered.
    fn expected_nanos(&self, rows: usize, level: usize, taken_before: u32, left: u64, now: Instant) -> u64 {
        let now_nanos = self.device.nanos_at(now);
        let running = self.device.busy_until.load(Ordering::Relaxed).saturating_sub(now_nanos);
        let ahead: usize = self.rows[..=level].iter().map(|rows| rows.load(Ordering::Relaxed)).sum();
        // What more urgent levels take meanwhile is a part of it by itself.
        let own = if taken_before > 0 {
            self.work_nanos(ahead.max(rows), left, now)
        } else {
            self.full_nanos(ahead.max(rows), left, now)
        };
        let own = own.saturating_mul(WHOLE_SHARE.into()) / u64::from(WHOLE_SHARE - taken_before);
        running.saturating_add(own).saturating_add(self.others_nanos(own))
    }

    /// What rows take in full batches, when each has `left` to be answered. Full, for others may come and fill them.
    fn full_nanos(&self, rows: usize, left: u64, now: Instant) -> u64 {
        let used = &self.buckets[..self.used.load(Ordering::Relaxed)];
        let estimate = |index: usize| self.nanos[index].load(Ordering::Relaxed);
        let index = self.largest_index(used, estimate, left, self.gap(now));
        estimate(index).saturating_mul(rows.div_ceil(used[index]) as u64)
    }

    /// What rows take in the batches that they would be put into now, when each has `left` to be answered.
    fn work_nanos(&self, rows: usize, left: u64, now: Instant) -> u64 {
        let used = self.used.load(Ordering::Relaxed);
        let estimate = |index: usize| self.nanos[index].load(Ordering::Relaxed);
        split_nanos(&self.buckets[..used], estimate, rows, self.plannable(left), self.gap(now))
    }

    /// Time between two rows that come, in nanoseconds, as far as it may be planned with: while other lanes are active,
    /// batches are kept short.
    pub(super) fn gap(&self, now: Instant) -> u64 {
        if self.is_shared(now) { u64::MAX } else { self.arrivals.gap() }
    }

    /// The share of the device that levels more urgent than `level` take; it fades when nothing is measured any more.
    fn taken_before(&self, level: usize, now_nanos: u64) -> u32 {
        let share = self.taken_before[level].load(Ordering::Relaxed);
        let age = now_nanos.saturating_sub(self.measured_at.load(Ordering::Relaxed)).min(nanos(SHARE_LASTS));
        let faded = u64::from(share) * (nanos(SHARE_LASTS) - age) / nanos(SHARE_LASTS);
        // The batcher leaves a part for less urgent levels in any case.
        (faded as u32).min(WHOLE_SHARE - WHOLE_SHARE / 16)
    }

    /// What other lanes take while this one works for `own`: all that waits for them, or their fair share.
    fn others_nanos(&self, own: u64) -> u64 {
        let waiting = self.device.queued_nanos.load(Ordering::Relaxed);
        let others = waiting.saturating_sub(self.row_nanos().saturating_mul(self.queued_rows() as u64));
        if others == 0 {
            return 0;
        }
        let weight = u64::from(self.weight.load(Ordering::Relaxed));
        let all = self.device.waiting_weight.load(Ordering::Relaxed);
        let theirs = all.saturating_sub(weight).max(1);
        others.min(own.saturating_mul(theirs) / weight)
    }

    /// What a row takes in a full batch.
    fn row_nanos(&self) -> u64 {
        let last = self.used.load(Ordering::Relaxed) - 1;
        self.nanos[last].load(Ordering::Relaxed) / self.buckets[last] as u64
    }

    /// Whether it is time to try what the forecast says cannot be; true once for each time.
    fn may_probe(&self, now: Instant) -> bool {
        let (now, last) = (self.device.nanos_at(now), self.measured_at.load(Ordering::Relaxed));
        now.saturating_sub(last) >= nanos(PROBE_AFTER)
            && self.measured_at.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// Below this a batch is not cut to save padding: what a cut costs elsewhere is more.
const WORTH_CUTTING: u64 = 200_000;

/// The bucket, by its index up to `last`, that the first of `rows` rows are put into: the one they fit into, or the one below
/// where that answers more rows in a second than padding does.
pub(super) fn bucket_index(buckets: &[usize], estimate: impl Fn(usize) -> u64, rows: usize, last: usize) -> usize {
    let index = buckets[..last].partition_point(|bucket| *bucket < rows);
    let padded = estimate(index);
    if index == 0 || buckets[index] <= rows || padded < WORTH_CUTTING {
        return index;
    }
    let cut = estimate(index - 1).saturating_mul(rows as u64) < padded.saturating_mul(buckets[index - 1] as u64);
    if cut { index - 1 } else { index }
}

/// The largest bucket, by its index, that is used for requests that may take `left` in all when a row comes every `gap` nanoseconds.
///
/// What comes just behind the start of a batch waits for all of it and then for its own: where everything shall be answered,
/// two batches have to fit. Under overload something has to be refused in any case; then it is what comes early in a batch,
/// and only what fills the next one just before it starts has to find its time: a longer batch answers more rows in a second.
fn largest_index(buckets: &[usize], estimate: impl Fn(usize) -> u64, left: u64, gap: u64) -> usize {
    let fits = |index: &usize| {
        let (batch, filling) = (estimate(*index), gap.saturating_mul(buckets[*index] as u64));
        batch.saturating_add(batch.min(filling)) <= left
    };
    (1..buckets.len()).rev().find(fits).unwrap_or(0)
}

/// What `rows` rows take when they are put into batches as [`super::batcher`] does.
pub(super) fn split_nanos(buckets: &[usize], estimate: impl Fn(usize) -> u64, rows: usize, left: u64, gap: u64) -> u64 {
    let last = largest_index(buckets, &estimate, left, gap);
    let mut total = estimate(last).saturating_mul((rows / buckets[last]) as u64);
    let mut rows = rows % buckets[last];
    while rows > 0 {
        let index = bucket_index(buckets, &estimate, rows, last);
        total = total.saturating_add(estimate(index));
        rows = rows.saturating_sub(buckets[index]);
    }
    total
}

/// Rows counted as waiting, until they leave the queue or are dropped.
#[derive(Debug)]
pub(super) struct Permit {
    lane: Arc<LaneLoad>,
    level: usize,
    rows: usize,
    row_nanos: u64,
    probe: bool,
}

impl Permit {
    /// Whether it goes to the device although it may be late, to measure.
    pub(super) fn is_probe(&self) -> bool {
        self.probe
    }

    pub(super) fn release(&mut self, rows: usize) {
        let rows = rows.min(self.rows);
        self.rows -= rows;
        self.lane.rows[self.level].fetch_sub(rows, Ordering::Relaxed);
        self.lane.device.queued_rows.fetch_sub(rows, Ordering::Relaxed);
        self.lane.device.queued_nanos.fetch_sub(self.row_nanos * rows as u64, Ordering::Relaxed);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.release(self.rows);
    }
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn advice(nanos: u64) -> Duration {
    Duration::from_nanos(nanos).clamp(*RETRY_AFTER.start(), *RETRY_AFTER.end())
}
