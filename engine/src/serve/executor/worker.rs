//! The thread of a device: takes commands, keeps up to two batches on the device, loads models in between.
//!
//! It sleeps only in the channel, when nothing is on the device and nothing is due, until a command comes or a batch that
//! was held back is due; so a lone request wakes it at once and an idle device costs nothing.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use contract::{DeviceKind, Replica, RowBlock, RunError, Ticket};
use crossbeam::channel::RecvTimeoutError;
use tokio::sync::watch;

use super::{
    super::{
        admission::LaneLoad,
        batcher::{Batch, BatchTimes, Batcher, Failure, LaneId, Reply},
        channel::Inbox,
        settings::LaneSettings,
    },
    Command, LaneMonitor, Shared,
    courtesy::Courtesy,
    guarded,
    loading::{Loading, Placement, Step},
    waiter::Waiter,
};

/// Batches on an accelerator at most, so that the next one uploads while the last one computes.
const MOST_IN_FLIGHT: usize = 2;
/// Commands taken in one go at most, so that a flood of them does not keep the device waiting.
const MOST_COMMANDS: usize = 4096;
/// While rows wait, live batches get this many times what the last step of a load took before the next step.
const LIVE_SHARE: u32 = 4;

struct Lane {
    replica: Box<dyn Replica>,
    monitor: LaneMonitor,
}

struct InFlight {
    batch: Batch,
    ticket: Ticket,
    formed: Instant,
    submitted: Instant,
}

pub(super) struct Worker {
    shared: Arc<Shared>,
    commands: Inbox<Command>,
    batcher: Batcher<Waiter>,
    lanes: HashMap<LaneId, Lane>,
    loading: VecDeque<Loading>,
    /// Until then live batches go before the next step of a load.
    live_until: Instant,
    in_flight: VecDeque<InFlight>,
    most_in_flight: usize,
    /// Since when the device has been busy and that was not yet reported.
    busy_since: Instant,
    /// When the last batch ended, if the thread has not slept or done anything else since: a batch keeps the device from then on.
    turned: Option<Instant>,
    courtesy: Courtesy,
    joined: RowBlock,
    output: RowBlock,
    stopping: bool,
    gone: watch::Sender<bool>,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, commands: Inbox<Command>, gone: watch::Sender<bool>) -> Self {
        // A CPU computes in `submit`: a second batch there would only hold the first one's answer back.
        let most_in_flight = if shared.device.kind == DeviceKind::Cpu { 1 } else { MOST_IN_FLIGHT };
        let (batcher, now) = (Batcher::new(Arc::clone(&shared.load)), Instant::now());
        Self {
            shared,
            commands,
            batcher,
            lanes: HashMap::new(),
            loading: VecDeque::new(),
            live_until: now,
            in_flight: VecDeque::new(),
            most_in_flight,
            busy_since: now,
            turned: None,
            courtesy: Courtesy::default(),
            joined: RowBlock::default(),
            output: RowBlock::default(),
            stopping: false,
            gone,
        }
    }

    pub(super) fn run(mut self) {
        while !self.stopping {
            self.receive();
            if !self.stopping {
                self.step();
            }
        }
    }

    /// Takes the commands that are there; sleeps for one when there is nothing else to do.
    fn receive(&mut self) {
        self.shared.monitor.set_queue_rows(self.shared.load.queued_rows());
        if self.in_flight.is_empty() && self.loading.is_empty() {
            let first = match self.batcher.wake_at() {
                Some(due) if due <= Instant::now() => Err(RecvTimeoutError::Timeout),
                due => {
                    self.turned = None;
                    self.commands.wait(due)
                }
            };
            match first {
                Ok(command) => self.obey(command),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => self.stopping = true,
            }
        }
        for _ in 0..MOST_COMMANDS {
            let Some(command) = self.commands.take() else { break };
            self.obey(command);
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Predict(work) => self.batcher.push(*work),
            Command::Place(placement) => self.loading.push_back(Loading::new(*placement)),
            Command::Configure(lane, settings) => self.configure(lane, *settings),
            Command::Remove { lane, done } => {
                self.remove(lane);
                if let Some(done) = done {
                    let _nobody_waits = done.send(());
                }
            }
            Command::Stop => self.stopping = true,
        }
        if let Some(error) = self.shared.lost.get() {
            self.batcher.fail_waiting(None, &Failure::Run(error.clone()));
        }
    }

    /// Does one thing: a round of live batches, or one step of a load when it is time for one.
    ///
    /// A step is as long as it is, compiling a kernel may take seconds; so while rows wait, live batches have the device for
    /// [`LIVE_SHARE`] times as long before the next one.
    fn step(&mut self) {
        if !self.loading.is_empty() && Instant::now() >= self.live_until {
            self.load();
            return;
        }
        while self.in_flight.len() < self.most_in_flight {
            let Some(batch) = self.batcher.next_batch(Instant::now()) else { break };
            self.submit(batch);
        }
        if !self.collect_oldest() && !self.loading.is_empty() {
            self.load();
        }
    }

    fn submit(&mut self, batch: Batch) {
        let Some(lane) = self.lanes.get_mut(&batch.lane) else {
            let reason = "its replica is gone".to_owned();
            self.batcher.complete(batch, Err(RunError::Failed { reason }));
            return;
        };
        let formed = Instant::now();
        if self.in_flight.is_empty() {
            self.busy_since = formed;
        }
        self.turned.get_or_insert(formed);
        let rows = self.batcher.rows(&batch, &mut self.joined);
        let submitted = Instant::now();
        let result = guarded(|| lane.replica.submit(rows, batch.bucket));
        match result {
            Ok(ticket) => self.in_flight.push_back(InFlight { batch, ticket, formed, submitted }),
            Err(error) => self.fail(batch, error),
        }
    }

    /// Waits for the oldest batch on the device and answers it; false when there is none.
    fn collect_oldest(&mut self) -> bool {
        let Some(InFlight { mut batch, ticket, formed, submitted }) = self.in_flight.pop_front() else { return false };
        // A device computes one batch at a time, so the younger one's time counts from the older one's end.
        let began = submitted.max(self.busy_since);
        let output = &mut self.output;
        let result = match self.lanes.get_mut(&batch.lane) {
            Some(lane) => guarded(|| lane.replica.collect(ticket, output)),
            None => Err(RunError::Failed { reason: "its replica is gone".to_owned() }),
        };
        let ended = Instant::now();
        let occupied = ended.saturating_duration_since(self.turned.unwrap_or(formed));
        self.turned = Some(ended);
        let (joining, computing) = (submitted - formed, ended.duration_since(began));
        batch.times = BatchTimes { joining, computing, ended: Some(ended), occupied };
        // Before its requests are answered, so that whoever has an answer finds its batch counted.
        if let (Ok(()), Some(monitor)) = (&result, self.lanes.get(&batch.lane).and_then(|lane| lane.monitor.get())) {
            monitor.batch(batch.rows, batch.bucket, batch.times.joining, batch.times.computing);
        }
        self.shared.monitor.busy_between(self.busy_since, ended);
        self.busy_since = ended;
        match result {
            Ok(()) => self.batcher.complete(batch, Ok(&mut self.output)),
            Err(error) => self.fail(batch, error),
        }
        if self.shared.device.kind == DeviceKind::Cpu {
            self.courtesy.step_back(computing);
        }
        true
    }

    fn fail(&mut self, batch: Batch, error: RunError) {
        self.note(&error);
        self.batcher.complete(batch, Err(error));
    }

    /// Remembers a lost device for good and refuses all that waits for it.
    fn note(&mut self, error: &RunError) {
        let RunError::DeviceLost { device: _, reason } = error else { return };
        if self.shared.lost.set(error.clone()).is_ok() {
            tracing::error!(device = %self.shared.device, reason, "device lost");
        }
        self.batcher.fail_waiting(None, &Failure::Run(error.clone()));
    }

    /// One step of the oldest load.
    fn load(&mut self) {
        // The device is left alone while a bucket is compiled and tuned, so that its times are its own.
        while self.collect_oldest() {}
        let Some(loading) = self.loading.pop_front() else { return };
        let began = Instant::now();
        let step = match self.shared.lost.get() {
            Some(error) => loading.abandon(error.clone()),
            None => loading.step(&self.shared.device),
        };
        self.after_load_step(step);
        self.turned = None;
        let ended = Instant::now();
        self.live_until = ended + (ended - began) * LIVE_SHARE;
    }

    fn after_load_step(&mut self, step: Step) {
        match step {
            Step::More(loading) => self.loading.push_front(loading),
            Step::Warm { placement, replica, memory, times } => {
                let Placement { lane, model: _, shape, settings, monitor, done } = placement;
                self.lanes.insert(lane, Lane { replica, monitor });
                let load = self.batcher.add_lane(lane, shape, settings, &times, Instant::now());
                self.change_lanes(|lanes| {
                    lanes.insert(lane, load);
                });
                if done.send(Ok(memory)).is_err() {
                    self.remove(lane);
                }
            }
            Step::Over { placement, replica, error } => {
                drop_replica(replica);
                self.note(&error);
                let _nobody_waits = placement.done.send(Err(error));
            }
        }
    }

    /// Changes what admission finds.
    fn change_lanes(&self, change: impl FnOnce(&mut HashMap<LaneId, Arc<LaneLoad>>)) {
        let mut lanes = HashMap::clone(&self.shared.lanes.load());
        change(&mut lanes);
        self.shared.lanes.store(Arc::new(lanes));
    }

    /// Changes a lane that serves or is on its way.
    fn configure(&mut self, lane: LaneId, settings: LaneSettings) {
        if let Some(loading) = self.loading.iter_mut().find(|loading| loading.lane() == lane) {
            loading.configure(settings);
        } else {
            self.batcher.configure(lane, settings);
        }
    }

    /// Drops a lane's replica, behind the batches it has on the device.
    fn remove(&mut self, lane: LaneId) {
        while self.in_flight.iter().any(|in_flight| in_flight.batch.lane == lane) {
            self.collect_oldest();
        }
        if self.lanes.contains_key(&lane) {
            self.change_lanes(|lanes| {
                lanes.remove(&lane);
            });
        }
        self.batcher.remove_lane(lane);
        if let Some(position) = self.loading.iter().position(|loading| loading.lane() == lane)
            && let Some(loading) = self.loading.remove(position)
        {
            let reason = "it was unloaded while it was loading".to_owned();
            self.after_load_step(loading.abandon(RunError::Failed { reason }));
        }
        if let Some(Lane { replica, monitor: _ }) = self.lanes.remove(&lane) {
            drop_replica(Some(replica));
        }
    }
}

impl Drop for Worker {
    /// Ends in order, also when a fault of our own ended the loop: nobody is left waiting, and the replicas are dropped on
    /// this thread before anyone is told.
    fn drop(&mut self) {
        self.commands.end();
        self.batcher.fail_waiting(None, &Failure::ShuttingDown);
        while self.collect_oldest() {}
        while let Some(command) = self.commands.take() {
            if let Command::Predict(work) = command {
                work.reply.answer(Err(Failure::ShuttingDown));
            }
        }
        while let Some(loading) = self.loading.pop_front() {
            let reason = "the server is shutting down".to_owned();
            self.after_load_step(loading.abandon(RunError::Failed { reason }));
        }
        for (_lane, Lane { replica, monitor: _ }) in self.lanes.drain() {
            drop_replica(Some(replica));
        }
        self.gone.send_replace(true);
    }
}

/// Drops a replica, whose drop may panic too.
fn drop_replica(replica: Option<Box<dyn Replica>>) {
    if let Err(error) = guarded(|| {
        drop(replica);
        Ok(())
    }) {
        tracing::error!(%error, "a replica failed when it was dropped");
    }
}
