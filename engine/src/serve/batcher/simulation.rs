//! Batcher and admission together under load, in virtual time: a device that takes `fixed + row · bucket` with noise, requests that come
//! at random, and what becomes of them.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use super::{
    super::{
        admission::{Permit, Refusal},
        settings::{ModelServing, ServingSettings},
    },
    *,
};

const BUCKETS: [usize; 20] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024];

/// What a model takes on the device, in nanoseconds.
#[derive(Clone, Copy)]
struct Cost {
    fixed: f64,
    row: f64,
}

impl Cost {
    fn batch(self, bucket: usize) -> f64 {
        self.fixed + self.row * bucket as f64
    }
}

/// Requests of one kind.
#[derive(Clone, Copy)]
struct Stream {
    lane: LaneId,
    priority: u32,
    per_second: f64,
    rows: usize,
    deadline: Duration,
}

/// What became of the requests of one kind.
#[derive(Clone, Debug, Default)]
struct Outcome {
    offered: u64,
    refused: u64,
    /// Answered in time.
    good: u64,
    /// Taken, and not answered in time.
    missed: u64,
    latencies: Vec<Duration>,
}

impl Outcome {
    fn percentile(&self, percent: usize) -> Duration {
        let mut latencies = self.latencies.clone();
        latencies.sort_unstable();
        latencies.get(latencies.len() * percent / 100).copied().unwrap_or_default()
    }
}

struct Client {
    outcomes: Rc<RefCell<Vec<Outcome>>>,
    clock: Rc<Cell<Instant>>,
    stream: usize,
    arrived: Instant,
    deadline: Instant,
    permit: Permit,
}

impl Reply for Client {
    fn is_cancelled(&self) -> bool {
        false
    }

    fn left_queue(&mut self, rows: usize) {
        self.permit.release(rows);
    }

    fn answer(self, result: Result<Computed, Failure>) {
        let now = self.clock.get();
        let outcome = &mut self.outcomes.borrow_mut()[self.stream];
        match result {
            Ok(_) if now <= self.deadline => {
                outcome.good += 1;
                outcome.latencies.push(now - self.arrived);
            }
            Ok(_) | Err(Failure::DeadlinePassed) => outcome.missed += 1,
            Err(other) => panic!("unexpected: {other:?}"),
        }
    }
}

/// Numbers between 0 and 1, from a seed (`SplitMix64`).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Time until the next of events that come `per_second` times at random.
    fn gap(&mut self, per_second: f64) -> Duration {
        Duration::from_secs_f64(-(1.0 - self.next()).ln() / per_second)
    }

    /// A factor that strays from 1 by 10 % (the sum of twelve even ones is nearly normal).
    fn noise(&mut self) -> f64 {
        let sum: f64 = (0..12).map(|_| self.next()).sum();
        (1.0 + 0.1 * (sum - 6.0)).max(0.5)
    }
}

struct Simulation {
    batcher: Batcher<Client>,
    clock: Rc<Cell<Instant>>,
    lanes: HashMap<LaneId, (Cost, Arc<LaneLoad>)>,
    outcomes: Rc<RefCell<Vec<Outcome>>>,
    random: Random,
    /// Device time that each lane had.
    had: HashMap<LaneId, f64>,
    device: Option<(Instant, Batch, Duration)>,
    /// From when on all take this many times as long.
    slower: f64,
    /// What each request that comes takes from the device, in nanoseconds: a CPU that also reads and refuses.
    reading: f64,
}

impl Simulation {
    fn new(lanes: &[(Cost, ModelServing)], seed: u64) -> Self {
        let (now, process) = (Instant::now(), ServingSettings::default());
        let device = Arc::new(DeviceLoad::new(process.max_queue_rows, now));
        let mut batcher = Batcher::new(device);
        let mut add = |(id, (cost, serving)): (usize, &(Cost, ModelServing))| {
            let shape = LaneShape::new(&BUCKETS, 1024).unwrap();
            let settings = LaneSettings::new(&process, serving);
            // Warming compiles, and so takes longer than a batch will.
            let seeds = BUCKETS.map(|bucket| Duration::from_nanos(cost.batch(bucket) as u64 * 3));
            (id as LaneId, (*cost, batcher.add_lane(id as LaneId, shape, settings, &seeds, now)))
        };
        let lanes = lanes.iter().enumerate().map(&mut add).collect();
        Self {
            batcher,
            clock: Rc::new(Cell::new(now)),
            lanes,
            outcomes: Rc::default(),
            random: Random(seed),
            had: HashMap::new(),
            device: None,
            slower: 1.0,
            reading: 0.0,
        }
    }

    /// Runs for `seconds` and tells what became of each stream after the first fifth of them.
    fn run(&mut self, streams: &[Stream], seconds: f64) -> Vec<Outcome> {
        let started = self.clock.get();
        let end = started + Duration::from_secs_f64(seconds);
        let mut warm_until = Some(started + Duration::from_secs_f64(seconds / 5.0));
        *self.outcomes.borrow_mut() = vec![Outcome::default(); streams.len()];
        let mut next: Vec<Instant> =
            streams.iter().map(|stream| started + self.random.gap(stream.per_second)).collect();
        loop {
            let (stream, arrival) = next.iter().copied().enumerate().min_by_key(|(_, at)| *at).unwrap();
            let wake = match &self.device {
                Some((done, _batch, _took)) => Some(*done),
                None => self.batcher.wake_at(),
            };
            let now = wake.map_or(arrival, |wake| wake.min(arrival)).max(self.clock.get());
            if now >= end {
                return self.outcomes.borrow().clone();
            }
            self.clock.set(now);
            if warm_until.is_some_and(|until| now >= until) {
                warm_until = None;
                self.outcomes.borrow_mut().fill(Outcome::default());
                self.had.clear();
            }
            if self.device.as_ref().is_some_and(|(done, _batch, _took)| *done <= now) {
                self.complete();
            } else if arrival <= now {
                self.arrive(stream, streams[stream]);
                next[stream] = now + self.random.gap(streams[stream].per_second);
            }
            if self.device.is_none() {
                self.form();
            }
        }
    }

    fn arrive(&mut self, stream: usize, kind: Stream) {
        let now = self.clock.get();
        let deadline = now + kind.deadline;
        if let Some((done, _batch, took)) = &mut self.device {
            let reading = Duration::from_nanos(self.reading as u64);
            (*done, *took) = (*done + reading, *took + reading);
        }
        self.outcomes.borrow_mut()[stream].offered += 1;
        match self.lanes[&kind.lane].1.admit(kind.rows, kind.priority, now, deadline) {
            Ok(permit) => {
                let (outcomes, clock) = (Rc::clone(&self.outcomes), Rc::clone(&self.clock));
                let probe = permit.is_probe();
                let reply = Client { outcomes, clock, stream, arrived: now, deadline, permit };
                let mut rows = RowBlock::new(8);
                rows.data_mut().extend_from_slice(&vec![0_u64; kind.rows]);
                let (lane, priority) = (kind.lane, kind.priority);
                self.batcher.push(Work { lane, class: 0, rows, priority, probe, arrived: now, deadline, reply });
            }
            Err(Refusal::TooLate { .. } | Refusal::Overloaded { .. }) => {
                self.outcomes.borrow_mut()[stream].refused += 1;
            }
            Err(other) => panic!("unexpected: {other:?}"),
        }
    }

    fn form(&mut self) {
        let now = self.clock.get();
        let Some(batch) = self.batcher.next_batch(now) else { return };
        let took = self.lanes[&batch.lane].0.batch(batch.bucket) * self.random.noise() * self.slower;
        *self.had.entry(batch.lane).or_default() += took;
        let took = Duration::from_nanos(took as u64);
        self.device = Some((now + took, batch, took));
    }

    fn complete(&mut self) {
        let Some((done, mut batch, took)) = self.device.take() else { return };
        batch.times = BatchTimes { computing: took, ended: Some(done), occupied: took, ..BatchTimes::default() };
        let mut output = RowBlock::new(8);
        output.data_mut().extend_from_slice(&vec![0_u64; batch.rows]);
        self.batcher.complete(batch, Ok(&mut output));
    }
}

const MS: Duration = Duration::from_millis(1);
/// A net of about 2,000 answers in a second, whose rows cost and whose batches nearly do not.
const COMPUTE_BOUND: Cost = Cost { fixed: 100e3, row: 480e3 };
/// A device on which a batch costs, and its rows nearly do not.
const LAUNCH_BOUND: Cost = Cost { fixed: 2e6, row: 20e3 };

fn stream(per_second: f64, deadline: Duration) -> Stream {
    Stream { lane: 0, priority: 0, per_second, rows: 1, deadline }
}

/// A net on a CPU whose weights are read once for each batch.
const WEIGHT_BOUND: Cost = Cost { fixed: 3e6, row: 300e3 };

struct Overload {
    name: &'static str,
    cost: Cost,
    /// What reading and refusing a request takes from the device, in nanoseconds.
    reading: f64,
    seconds: f64,
    /// Least goodput at 1, 2 and 5 times the capacity, as a part of the largest of them.
    least: [f64; 3],
}

#[test]
fn goodput_stays_flat_and_what_is_taken_is_answered_in_time() {
    let compute = Overload { name: "compute", cost: COMPUTE_BOUND, reading: 0.0, seconds: 20.0, least: [0.95; 3] };
    // At its very capacity a device whose batches cost has no queue to fill them from.
    let least = [0.85, 0.9, 0.95];
    let launch = Overload { name: "launch", cost: LAUNCH_BOUND, reading: 0.0, seconds: 4.0, least };
    // At five times the capacity, reading alone takes 15 % of the core.
    let least = [0.85, 0.95, 0.7];
    let weights = Overload { name: "weights", cost: WEIGHT_BOUND, reading: 15e3, seconds: 20.0, least };
    for (overload, seed) in
        [&compute, &launch, &weights].into_iter().flat_map(|one| (1..=3).map(move |seed| (one, seed)))
    {
        let Overload { name, cost, reading, seconds, least } = *overload;
        // What it answers when all batches are the largest that two of fit into the deadline.
        let fits = BUCKETS.iter().rev().find(|bucket| 2.2 * cost.batch(**bucket) <= 20e6).copied().unwrap();
        let capacity = fits as f64 / cost.batch(fits) * 1e9;
        let rates = [1.0, 2.0, 5.0].map(|times| {
            let mut simulation = Simulation::new(&[(cost, ModelServing::default())], seed);
            simulation.reading = reading;
            let outcome = simulation.run(&[stream(capacity * times, 20 * MS)], seconds).remove(0);
            let (taken, missed) = (outcome.good + outcome.missed, outcome.missed);
            let rate = outcome.good as f64 / (0.8 * seconds);
            println!(
                "{name} {times}x: {rate:.0}/s of {capacity:.0}/s, missed {missed} of {taken}, p99 {:?}",
                outcome.percentile(99)
            );
            assert!(missed as f64 <= 0.001 * taken as f64, "{name} {times}x, {seed}: {missed} of {taken} missed");
            rate
        });
        let peak = rates.iter().copied().fold(0.0, f64::max);
        let flat = rates.iter().zip(least).all(|(rate, least)| *rate >= least * peak);
        assert!(flat, "{name}, {seed}: {rates:?}");
        assert!(peak >= 0.85 * capacity, "{name}, {seed}: {peak} of {capacity}");
    }
}

#[test]
fn urgent_levels_go_first_and_the_last_one_does_not_starve() {
    let serving = ModelServing { priority_levels: Some(3), ..ModelServing::default() };
    let mut simulation = Simulation::new(&[(COMPUTE_BOUND, serving)], 11);
    // Two fifths of the capacity, as much again, and twice the capacity.
    let streams = [(1, 800.0), (2, 800.0), (3, 4000.0)]
        .map(|(priority, per_second)| Stream { priority, ..stream(per_second, 20 * MS) });
    let outcomes = simulation.run(&streams, 30.0);
    let taken = |outcome: &Outcome| (outcome.good + outcome.missed) as f64;
    for (level, outcome) in outcomes.iter().enumerate() {
        println!("level {}: {} of {} good, {} missed", level + 1, outcome.good, outcome.offered, outcome.missed);
        // What a burst of urgent requests pushes back cannot be foreseen altogether.
        let most = if level == 2 { 0.01 } else { 0.001 };
        assert!(outcome.missed as f64 <= most * taken(outcome), "{} of {} missed", outcome.missed, taken(outcome));
    }
    let missed = outcomes.iter().map(|outcome| outcome.missed).sum::<u64>() as f64;
    assert!(missed <= 0.001 * outcomes.iter().map(taken).sum::<f64>(), "{missed} missed");
    let part = |level: usize| outcomes[level].good as f64 / outcomes[level].offered as f64;
    assert!(part(0) >= 0.98, "{}", part(0));
    assert!(part(1) >= 0.85 && part(1) <= part(0), "{}", part(1));
    assert!(part(2) > 0.01 && part(2) < 0.4, "{}", part(2));
}

#[test]
fn lanes_share_a_device_by_their_weights() {
    for weight in [1, 3] {
        let heavy = ModelServing { weight: Some(weight), ..ModelServing::default() };
        let mut simulation = Simulation::new(&[(COMPUTE_BOUND, heavy), (LAUNCH_BOUND, ModelServing::default())], 3);
        let streams = [stream(10_000.0, 100 * MS), Stream { lane: 1, ..stream(50_000.0, 100 * MS) }];
        simulation.run(&streams, 5.0);
        let share = simulation.had[&0] / (simulation.had[&0] + simulation.had[&1]);
        let fair = f64::from(weight) / f64::from(weight + 1);
        println!("weight {weight}: share {share:.3}, fair {fair:.3}");
        assert!((share - fair).abs() < 0.03, "weight {weight}: {share} of the device, {fair} would be fair");
    }
}

#[test]
fn a_heavy_model_leaves_a_light_one_its_latency() {
    let light = Cost { fixed: 50e3, row: 5e3 };
    let mut simulation =
        Simulation::new(&[(COMPUTE_BOUND, ModelServing::default()), (light, ModelServing::default())], 5);
    let streams = [stream(10_000.0, Duration::from_secs(10)), Stream { lane: 1, ..stream(200.0, 50 * MS) }];
    let outcomes = simulation.run(&streams, 20.0);
    println!("light p99 {:?}, heavy {}/s", outcomes[1].percentile(99), outcomes[0].good as f64 / 16.0);
    assert_eq!((outcomes[1].refused, outcomes[1].missed), (0, 0));
    assert!(outcomes[1].percentile(99) <= 5 * MS, "{:?}", outcomes[1].percentile(99));
}

#[test]
fn a_lane_under_overload_takes_nothing_beside_a_light_one_that_it_drops_then() {
    let light = Cost { fixed: 50e3, row: 5e3 };
    for (seed, per_second) in [(21, 15.0), (22, 200.0), (23, 5000.0)] {
        let lanes = [(WEIGHT_BOUND, ModelServing::default()), (light, ModelServing::default())];
        let mut simulation = Simulation::new(&lanes, seed);
        let streams = [stream(10_000.0, 20 * MS), Stream { lane: 1, ..stream(per_second, 20 * MS) }];
        let outcomes = simulation.run(&streams, 20.0);
        let (heavy, light) = (&outcomes[0], &outcomes[1]);
        println!(
            "beside {per_second}/s: {} good, {} missed; light {light:?}",
            heavy.good,
            heavy.missed,
            light = light.good
        );
        let taken = heavy.good + heavy.missed;
        assert!(heavy.missed as f64 <= 0.002 * taken as f64, "beside {per_second}/s, {} of {taken}", heavy.missed);
        assert!(light.good as f64 >= 0.9 * light.offered as f64, "{} of {} light ones", light.good, light.offered);
    }
}

#[test]
fn an_objective_is_kept_whatever_is_offered() {
    let serving = ModelServing { slo_us: Some(10_000), max_queue_delay_us: Some(2000), ..ModelServing::default() };
    for (cost, capacity) in [(COMPUTE_BOUND, 1900.0), (LAUNCH_BOUND, 16_000.0)] {
        for times in [0.3, 1.0, 3.0] {
            let mut simulation = Simulation::new(&[(cost, serving.clone())], 9);
            let outcome = simulation.run(&[stream(capacity * times, Duration::from_secs(1))], 10.0).remove(0);
            let (p99, rate) = (outcome.percentile(99), outcome.good as f64 / 8.0);
            println!("objective {times}x: p99 {p99:?}, {rate:.0}/s of {capacity:.0}/s");
            assert!(p99 <= 10 * MS, "{times}x: {p99:?}");
            assert!(rate >= 0.8 * capacity * times.min(1.0), "{times}x: {rate}/s");
        }
    }
}

#[test]
fn a_device_that_gets_faster_again_is_found_out() {
    let mut simulation = Simulation::new(&[(COMPUTE_BOUND, ModelServing::default())], 13);
    let streams = [stream(1000.0, 20 * MS)];
    // So slow that nothing can be answered in time.
    simulation.slower = 60.0;
    let slow = simulation.run(&streams, 5.0).remove(0);
    assert!(slow.refused as f64 > 0.95 * slow.offered as f64, "{slow:?}");
    simulation.slower = 1.0;
    let again = simulation.run(&streams, 20.0).remove(0);
    assert!(again.good as f64 > 0.95 * again.offered as f64, "{} of {}", again.good, again.offered);
}

#[test]
fn late_batches_do_not_refuse_for_good_what_an_idle_device_could_answer() {
    // One batch alone takes two thirds of the deadline.
    let cost = Cost { fixed: 12e6, row: 1e6 };
    let mut simulation = Simulation::new(&[(cost, ModelServing::default())], 17);
    simulation.run(&[stream(5.0, 20 * MS)], 5.0);
    // As after a bad spell: not even one row fits into what is left, so that probes alone get through.
    simulation.lanes[&0].1.set_reserve(0.4);
    let again = simulation.run(&[stream(5.0, 20 * MS)], 60.0).remove(0);
    println!("{} of {} good, {} refused", again.good, again.offered, again.refused);
    assert!(again.good as f64 > 0.8 * again.offered as f64, "{} of {}", again.good, again.offered);
}
