//! What the batcher knows of a placed replica: its buckets and what they take, its share of the device, its objective.

use std::time::{Duration, Instant};

use super::{
    super::{
        admission::{LaneLoad, WHOLE_SHARE, bucket_index, nanos, split_nanos},
        settings::{LaneSettings, MOST_PRIORITY_LEVELS},
        sync::Arc,
    },
    reserve::Reserve,
    times::BucketTimes,
};

const LEVELS: usize = MOST_PRIORITY_LEVELS as usize;
/// While other lanes are active, batches are no larger than what gives this part of the best rate, so that nobody waits long
/// behind one.
const SHARED_RATE: f64 = 0.8;
/// A batch made smaller for one late request has to give this part of the rate that it would have without.
const WORTH_IT: f64 = 0.75;
/// A lane counts as active for this long after its last request.
const ACTIVE_FOR: Duration = Duration::from_millis(100);
/// While a lane is active, the others are told so again after this long.
const TOLD_FOR: Duration = Duration::from_millis(10);
/// How far back the shares of the levels look.
const SHARES_OVER: f64 = 50e6;
/// Answers after which the objective is looked at again.
const JUDGED_ANSWERS: u32 = 100;
/// What remains of the budget when more than one answer in a hundred missed the objective, and what comes back otherwise
/// (additive increase, multiplicative decrease, as in Clipper).
const BUDGET_CUT: f64 = 0.85;
const BUDGET_STEP: f64 = 0.05;
const LEAST_BUDGET: f64 = 0.6;

/// What a lane's batches may look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::serve) struct LaneShape {
    buckets: Vec<usize>,
}

impl LaneShape {
    /// The buckets of a model as far as batches of at most `max_batch_rows` rows use them; none when it has no usable one.
    pub(in crate::serve) fn new(buckets: &[usize], max_batch_rows: usize) -> Option<Self> {
        let mut buckets: Vec<usize> = buckets.iter().copied().filter(|bucket| *bucket > 0).collect();
        buckets.sort_unstable();
        buckets.dedup();
        // A batch is padded to its bucket, so one above the limit would compute more rows than the limit allows; the
        // smallest is needed in any case.
        let used = buckets.iter().filter(|bucket| **bucket <= max_batch_rows).count().max(1);
        buckets.truncate(used);
        (!buckets.is_empty()).then_some(Self { buckets })
    }

    /// Buckets in use, ascending, at least one.
    pub(in crate::serve) fn buckets(&self) -> &[usize] {
        &self.buckets
    }
}

/// A lane as the batcher sees it.
#[derive(Debug)]
pub(super) struct Lane {
    /// Buckets that are warm; the first `used` of them are in use.
    warm: LaneShape,
    used: usize,
    pub(super) settings: LaneSettings,
    times: BucketTimes,
    pub(super) load: Arc<LaneLoad>,
    /// Device time it had, over its weight: who had least goes next.
    pub(super) served: f64,
    /// Requests in its queues.
    pub(super) waiting: usize,
    last_push: Option<Instant>,
    /// When the other lanes were told last that this one is active.
    told: Option<Instant>,
    /// Batches formed.
    pub(super) batches: u32,
    /// Device time of each level, fading.
    level_nanos: [f64; LEVELS],
    faded_at: Option<Instant>,
    /// Part of the objective that admission plans with.
    budget: f64,
    reserve: Reserve,
    answers: u32,
    misses: u32,
}

impl Lane {
    pub(super) fn new(
        warm: LaneShape,
        settings: LaneSettings,
        load: Arc<LaneLoad>,
        seeds: &[Duration],
        now: Instant,
    ) -> Self {
        let times = BucketTimes::new(warm.buckets(), seeds, now);
        load.publish(times.expected().iter().copied(), now);
        let mut lane = Self {
            warm,
            used: 1,
            settings: settings.clone(),
            times,
            load,
            served: 0.0,
            waiting: 0,
            last_push: None,
            told: None,
            batches: 0,
            level_nanos: [0.0; LEVELS],
            faded_at: None,
            budget: 1.0,
            reserve: Reserve::default(),
            answers: 0,
            misses: 0,
        };
        lane.configure(settings);
        lane
    }

    pub(super) fn configure(&mut self, settings: LaneSettings) {
        self.used = self.warm.buckets().iter().filter(|bucket| **bucket <= settings.max_batch_rows).count().max(1);
        self.load.configure(&settings);
        if settings.slo != self.settings.slo {
            self.budget = 1.0;
            self.plan_anew();
        }
        self.settings = settings;
        self.load.set_budget(self.budget);
    }

    pub(super) fn buckets(&self) -> &[usize] {
        &self.warm.buckets()[..self.used]
    }

    pub(super) fn max_rows(&self) -> usize {
        self.buckets().last().copied().unwrap_or(1)
    }

    /// The bucket that `rows` rows are padded to.
    pub(super) fn bucket(&self, rows: usize) -> usize {
        self.buckets().iter().copied().find(|bucket| *bucket >= rows).unwrap_or(rows)
    }

    /// What a batch of `bucket` rows should take.
    pub(super) fn expected(&self, bucket: usize) -> Duration {
        let index = self.warm.buckets().binary_search(&bucket);
        Duration::from_nanos(index.map_or(0, |index| self.times.expected()[index]))
    }

    /// What a batch of `bucket` rows takes on average. What is admitted was planned with more; to be given up, or to leave
    /// others behind, a request has to be late even so.
    pub(super) fn usual(&self, bucket: usize) -> Duration {
        let index = self.warm.buckets().binary_search(&bucket);
        Duration::from_nanos(index.map_or(0, |index| self.times.usual()[index]))
    }

    /// What `rows` rows take on average for a request that has `patience` in all.
    pub(super) fn work(&self, rows: usize, patience: Duration, now: Instant) -> Duration {
        let usual = self.times.usual();
        let gap = self.load.gap(now);
        let time = self.load.plannable(nanos(patience));
        Duration::from_nanos(split_nanos(self.buckets(), |index| usual[index], rows, time, gap))
    }

    /// Counts a request; true when the other lanes should be told that this one is active.
    pub(super) fn pushed(&mut self, now: Instant) -> bool {
        self.last_push = Some(now);
        self.waiting += 1;
        let tell = self.told.is_none_or(|told| now.saturating_duration_since(told) >= TOLD_FOR);
        if tell {
            self.told = Some(now);
        }
        tell
    }

    /// Until when it counts as active, whether it waits or not.
    pub(super) fn active_until(&self) -> Option<Instant> {
        self.last_push.map(|push| push + ACTIVE_FOR)
    }

    /// Rows that the next batch should hold at most when `rows` wait and its most urgent request has `left` of the `patience` it
    /// came with. None when that request is better given up: a batch small enough for
    /// it would cost so many others their turn that they would be late as well (early drop, as in Nexus).
    pub(super) fn batch_rows(&self, rows: usize, left: Duration, patience: Duration, now: Instant) -> Option<usize> {
        let (buckets, expected, usual) = (self.buckets(), self.times.expected(), self.times.usual());
        let estimate = |index: usize| expected[index];
        let rate = |index: usize| buckets[index].min(rows) as f64 / estimate(index).max(1) as f64;
        let patience = self.settings.slo.map_or(patience, |objective| patience.min(objective));
        let most = self.load.largest_index(buckets, estimate, nanos(patience), self.load.gap(now));
        let mut last = most;
        while last > 0 && usual[last] > nanos(left) {
            last -= 1;
        }
        let index = bucket_index(buckets, estimate, rows, last);
        if last < most && rate(index) < WORTH_IT * rate(bucket_index(buckets, estimate, rows, most)) {
            return None;
        }
        if !self.load.is_shared(now) || estimate(index) == 0 {
            return Some(buckets[index]);
        }
        let enough = SHARED_RATE * rate(index);
        let smaller = (0..index).find(|smaller| rate(*smaller) >= enough);
        Some(buckets[smaller.unwrap_or(index)])
    }

    /// When a batch of `rows` rows whose first request came at `arrived` with `patience` should go, full or not.
    pub(super) fn due(&self, rows: usize, arrived: Instant, patience: Duration) -> Instant {
        let delay = self.settings.max_queue_delay;
        if delay.is_zero() {
            return arrived;
        }
        // A request that has little time does not wait for company until it is late.
        let mut delay = delay.min(patience / 2);
        if let Some(objective) = self.settings.slo {
            let (now, full) = (self.bucket(rows), self.max_rows());
            let (takes, full_takes) = (self.expected(now), self.expected(full));
            // Waiting pays only where a fuller batch answers more rows in the same time, and only within the slack.
            let pays = full_takes.as_secs_f64() * (rows as f64) < takes.as_secs_f64() * (full as f64) * 0.95;
            let slack = objective.saturating_sub(full_takes * 2);
            delay = if pays { delay.min(slack) } else { Duration::ZERO };
        }
        arrived + delay
    }

    /// Charges device time to the lane; less than nothing gives back.
    pub(super) fn charge(&mut self, nanos: f64) {
        self.served += nanos / f64::from(self.settings.weight);
    }

    /// Counts a batch that took `took` until `now`.
    pub(super) fn measure(&mut self, bucket: usize, took: Duration, now: Instant) {
        self.times.measure(bucket, took, now);
        self.load.publish(self.times.expected().iter().copied(), now);
    }

    /// Counts device time of a level, and tells what share each level had lately.
    pub(super) fn count_levels(&mut self, levels: &[f64; LEVELS], now: Instant) {
        if self.settings.priority_levels < 2 {
            return;
        }
        let since = self.faded_at.replace(now).map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let fade = (-(nanos(since) as f64) / SHARES_OVER).exp();
        self.level_nanos.iter_mut().for_each(|level| *level *= fade);
        self.level_nanos.iter_mut().zip(levels).for_each(|(level, nanos)| *level += nanos);
        let share = |nanos: &f64| (nanos / SHARES_OVER * f64::from(WHOLE_SHARE)).min(f64::from(WHOLE_SHARE)) as u32;
        self.load.publish_shares(self.level_nanos.iter().map(share));
    }

    /// Forgets late batches: a probe, which admission had given up, was answered in time, or another objective holds.
    pub(super) fn plan_anew(&mut self) {
        self.reserve = Reserve::default();
        self.load.set_reserve(self.reserve.part());
    }

    /// Counts a batch with requests of the most urgent level, which nothing goes before, by whether all of them were in time.
    pub(super) fn count_deadlines(&mut self, kept: bool) {
        // An objective has a budget of its own.
        if self.settings.slo.is_none() {
            self.reserve.count(kept);
            self.load.set_reserve(self.reserve.part());
        }
    }

    /// Counts an answer that took `latency` in all, and plans with less or more of the objective.
    pub(super) fn answered(&mut self, latency: Duration) {
        let Some(slo) = self.settings.slo else { return };
        self.answers += 1;
        self.misses += u32::from(latency > slo);
        if self.answers < JUDGED_ANSWERS {
            return;
        }
        let missed = self.misses * 100 > self.answers;
        self.budget = if missed { self.budget * BUDGET_CUT } else { self.budget + BUDGET_STEP };
        self.budget = self.budget.clamp(LEAST_BUDGET, 1.0);
        (self.answers, self.misses) = (0, 0);
        self.load.set_budget(self.budget);
    }
}
