//! One thread of the load: a runtime, its lanes, and what tells them when to send.

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    sync::{Arc, mpsc::Sender},
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::{
    runtime::{Builder, Handle},
    task::{JoinHandle, LocalSet, spawn_local},
    time::{sleep, timeout, timeout_at},
};

use super::{
    lane::Lane,
    queue::{Job, Queue},
};
use crate::{
    Load, Pace, Requests, Schedule,
    client::{Answer, GrpcConnection, Outcome},
    protobuf,
    recorder::{Interval, Recorder, Settled, Window},
    target::Protocol,
    timer::Timer,
};

/// Numbers are taken in blocks, so that threads seldom meet.
const BLOCK: u64 = 1024;
/// Between attempts of a closed loop to reach a server that is not there.
const PAUSE: Duration = Duration::from_millis(20);

/// What a thread is to do.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) load: Arc<Load>,
    pub(super) requests: Arc<Requests>,
    pub(super) thread: usize,
    pub(super) threads: usize,
    pub(super) start: Instant,
    pub(super) window: Window,
    pub(super) interval: Duration,
    pub(super) reports: Sender<(usize, Interval)>,
}

/// What a thread gives back.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) recorder: Recorder,
    pub(super) connections: usize,
    /// Share of the window in which the thread was not waiting.
    pub(super) busy: f64,
    /// When the last answer of a counted load came.
    pub(super) finished: Instant,
}

/// Runs the part to its end.
pub(super) fn run(part: Part) -> io::Result<Done> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    runtime.block_on(local.run_until(async move {
        let worker = Rc::new(Worker::new(part));
        Worker::run(&worker).await
    }))
}

struct Worker {
    part: Part,
    recorder: RefCell<Recorder>,
    queue: Queue,
    address: Rc<str>,
    grpc: RefCell<Vec<Rc<GrpcConnection>>>,
    lanes: RefCell<Vec<JoinHandle<()>>>,
    random: RefCell<ChaCha8Rng>,
    /// The next number, and where its block ends.
    numbers: Cell<(u64, u64)>,
    /// Requests left of a counted load.
    left: Cell<u64>,
    busy_from: Cell<Duration>,
    finished: Cell<Instant>,
}

impl Worker {
    fn new(part: Part) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(part.load.seed);
        // Beside those of the schedules.
        random.set_stream(1000 + part.thread as u64);
        let left = match part.load.pace {
            Pace::Count { concurrency: _, requests } => share(requests as usize, part.thread, part.threads) as u64,
            Pace::Closed { concurrency: _ } | Pace::Open { rate: _, arrivals: _ } | Pace::Replay => u64::MAX,
        };
        Self {
            recorder: RefCell::new(Recorder::new(part.requests.priorities.levels().len())),
            queue: Queue::default(),
            address: part.load.target.address.as_str().into(),
            grpc: RefCell::default(),
            lanes: RefCell::default(),
            random: RefCell::new(random),
            numbers: Cell::new((0, 0)),
            left: Cell::new(left),
            busy_from: Cell::new(Duration::ZERO),
            finished: Cell::new(part.start),
            part,
        }
    }

    async fn run(this: &Rc<Self>) -> io::Result<Done> {
        let (load, part) = (&this.part.load, &this.part);
        let ticker = spawn_local(Self::report(Rc::clone(this)));
        let concurrency = match load.pace {
            Pace::Closed { concurrency } | Pace::Count { concurrency, requests: _ } => concurrency,
            Pace::Open { rate: _, arrivals: _ } | Pace::Replay => load.connections,
        };
        // Open before the first request is due. A server that is not there is noticed by the requests.
        let mut ready = Vec::new();
        for _ in 0..share(concurrency, part.thread, part.threads).max(1) {
            let mut lane = this.new_lane();
            let _ = lane.ready().await;
            ready.push(lane);
        }
        tokio::time::sleep_until(part.start.into()).await;
        match load.pace {
            Pace::Closed { concurrency: _ } | Pace::Count { concurrency: _, requests: _ } => {
                for lane in ready {
                    let lane = spawn_local(Self::closed_lane(Rc::clone(this), lane));
                    this.lanes.borrow_mut().push(lane);
                }
                tokio::time::sleep_until(part.window.from.into()).await;
                this.busy_from.set(busy());
                if !matches!(load.pace, Pace::Count { concurrency: _, requests: _ }) {
                    tokio::time::sleep_until(part.window.to.into()).await;
                }
            }
            Pace::Open { rate, arrivals } => {
                this.open_lanes(ready);
                let schedule = Schedule::new(arrivals, rate, load.seed, part.thread, part.threads);
                Self::dispatch(this, schedule.map(|offset| (offset, None))).await?;
            }
            Pace::Replay => {
                this.open_lanes(ready);
                let times = Arc::clone(&part.requests);
                let mine = (part.thread..times.times.len()).step_by(part.threads);
                Self::dispatch(this, mine.map(|place| (times.times[place], Some(place as u64)))).await?;
            }
        }
        let busy = busy().saturating_sub(this.busy_from.get()).as_secs_f64();
        let measured = part.window.to.min(Instant::now()).saturating_duration_since(part.window.from).as_secs_f64();
        this.queue.close();
        let lanes = std::mem::take(&mut *this.lanes.borrow_mut());
        let connections = match load.target.protocol {
            Protocol::HttpJson | Protocol::HttpBinary => lanes.len(),
            Protocol::Grpc => this.grpc.borrow().len(),
        };
        this.drain(lanes).await;
        ticker.abort();
        // The last answers, for the timeline.
        this.send_interval();
        let mut recorder = this.recorder.borrow().clone();
        recorder.finish();
        Ok(Done { recorder, connections, busy: busy / measured.max(1e-9), finished: this.finished.get() })
    }

    /// Waits for the answers to what was sent, as long as the load is patient.
    async fn drain(&self, lanes: Vec<JoinHandle<()>>) {
        let all = async {
            for lane in lanes {
                // A lane that panicked has no more answers to wait for.
                let _ = lane.await;
            }
        };
        match self.part.load.pace {
            // Every single request has its time.
            Pace::Count { concurrency: _, requests: _ } => all.await,
            Pace::Closed { concurrency: _ } | Pace::Open { rate: _, arrivals: _ } | Pace::Replay => {
                let _ = timeout_at((Instant::now() + self.part.load.patience).into(), all).await;
            }
        }
    }

    /// Sends each request when it is due, whether or not earlier ones are answered.
    async fn dispatch(this: &Rc<Self>, schedule: impl Iterator<Item = (Duration, Option<u64>)>) -> io::Result<()> {
        let part = &this.part;
        let timer = Timer::new()?;
        let mut measured = false;
        for (offset, place) in schedule {
            let due = part.start + offset;
            if due >= part.window.to {
                break;
            }
            while Instant::now() < due {
                timer.sleep_until(due).await?;
            }
            if !measured && due >= part.window.from {
                measured = true;
                this.busy_from.set(busy());
            }
            this.dispatch_one(due, place);
            // Lanes run and answers are read between two requests, also when there is no time to sleep.
            tokio::task::consume_budget().await;
        }
        while Instant::now() < part.window.to {
            timer.sleep_until(part.window.to).await?;
        }
        Ok(())
    }

    fn dispatch_one(self: &Rc<Self>, intended: Instant, place: Option<u64>) {
        let number = place.unwrap_or_else(|| self.number());
        let level = self.level();
        if self.part.window.contains(intended) {
            self.recorder.borrow_mut().intend(level);
        }
        let Err(job) = self.queue.offer(Job { intended, number, level, free: true }) else { return };
        let most = share(self.part.load.most_connections, self.part.thread, self.part.threads).max(1);
        if self.lanes.borrow().len() < most {
            let lane = self.new_lane();
            self.spawn_open_lane(lane, Some(job));
        } else {
            self.queue.push(Job { free: false, ..job });
        }
    }

    fn open_lanes(self: &Rc<Self>, ready: Vec<Lane>) {
        for lane in ready {
            self.spawn_open_lane(lane, None);
        }
    }

    fn spawn_open_lane(self: &Rc<Self>, mut lane: Lane, first: Option<Job>) {
        let this = Rc::clone(self);
        let spawned = spawn_local(async move {
            if let Some(job) = first {
                this.carry(&mut lane, job).await;
            }
            while let Some(job) = this.queue.next().await {
                this.carry(&mut lane, job).await;
            }
        });
        self.lanes.borrow_mut().push(spawned);
    }

    /// Sends the next request when the last one is answered, until the end.
    async fn closed_lane(this: Rc<Self>, mut lane: Lane) {
        loop {
            let now = Instant::now();
            let left = this.left.get();
            if now >= this.part.window.to || left == 0 {
                return;
            }
            this.left.set(left - 1);
            let (number, level) = (this.number(), this.level());
            if this.part.window.contains(now) {
                this.recorder.borrow_mut().intend(level);
            }
            let outcome = this.carry(&mut lane, Job { intended: now, number, level, free: true }).await;
            if outcome == Outcome::Broken {
                sleep(PAUSE).await;
            }
        }
    }

    /// Carries a request to its end.
    async fn carry(&self, lane: &mut Lane, job: Job) -> Outcome {
        let Job { intended, number, level, free } = job;
        let window = self.part.window;
        let sent = Cell::new(None);
        let keep_complaint = self.recorder.borrow().complaint.is_none();
        let (answer, rows) = match self.part.requests.message(number, level) {
            Some(message) => {
                let tell = |now: Instant| {
                    sent.set(Some(now));
                    if window.contains(intended) {
                        self.recorder.borrow_mut().send(now.saturating_duration_since(intended), free);
                    }
                };
                let exchange = lane.exchange(message, number, keep_complaint, tell);
                let answer = timeout(self.part.load.patience, exchange).await.unwrap_or_else(|_| Answer {
                    outcome: Outcome::Abandoned,
                    status: None,
                    complaint: format!("no answer within {} s", self.part.load.patience.as_secs_f64()),
                });
                (answer, message.rows)
            }
            None => (Answer::broken("there is no request to send"), 0),
        };
        let done = Instant::now();
        self.finished.set(done);
        let Answer { outcome, status, complaint } = answer;
        let mut recorder = self.recorder.borrow_mut();
        if outcome != Outcome::Ok && recorder.complaint.is_none() && window.contains(intended) && !complaint.is_empty()
        {
            recorder.complaint = Some(match status {
                Some(status) => format!("status {status}: {complaint}"),
                None => complaint,
            });
        }
        let settled = Settled { intended, sent: sent.get(), done, outcome, status, level, rows };
        recorder.settle(window, self.part.load.limit, &settled);
        outcome
    }

    fn new_lane(&self) -> Lane {
        let load = &self.part.load;
        if load.target.protocol != Protocol::Grpc {
            return Lane::http(&self.address);
        }
        let mut connections = self.grpc.borrow_mut();
        // A connection holds itself and its lanes.
        let room = connections.last().filter(|last| Rc::strong_count(last) <= load.streams);
        let connection = if let Some(last) = room {
            Rc::clone(last)
        } else {
            let fresh = Rc::new(GrpcConnection::new(&load.target, protobuf::INFER, self.part.requests.timeout));
            connections.push(Rc::clone(&fresh));
            fresh
        };
        Lane::grpc(connection)
    }

    fn number(&self) -> u64 {
        let (mut next, mut end) = self.numbers.get();
        if next == end {
            next = self.part.requests.take_numbers(BLOCK);
            end = next + BLOCK;
        }
        self.numbers.set((next + 1, end));
        next
    }

    fn level(&self) -> usize {
        let priorities = &self.part.requests.priorities;
        if priorities.levels().len() < 2 { 0 } else { priorities.pick(self.random.borrow_mut().random()) }
    }

    /// Tells what ended in each interval.
    async fn report(this: Rc<Self>) {
        for number in 1.. {
            tokio::time::sleep_until((this.part.start + this.part.interval * number).into()).await;
            this.send_interval();
        }
    }

    fn send_interval(&self) {
        let elapsed = Instant::now().saturating_duration_since(self.part.start);
        // The ticker wakes a little after the end of the interval that it tells of.
        let number = (elapsed.as_secs_f64() / self.part.interval.as_secs_f64()).round() as usize;
        let interval = self.recorder.borrow_mut().take_interval();
        // Whoever reads this may have gone.
        let _ = self.part.reports.send((number.saturating_sub(1), interval));
    }
}

/// A thread's share of something.
fn share(all: usize, thread: usize, threads: usize) -> usize {
    all / threads + usize::from(thread < all % threads)
}

/// How long the thread's runtime was not waiting so far.
fn busy() -> Duration {
    Handle::current().metrics().worker_total_busy_duration(0)
}
