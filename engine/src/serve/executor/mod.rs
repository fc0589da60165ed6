//! One thread per device that owns the device's replicas and its queue.
//!
//! [`Executor`] is the handle: it admits requests (see [`super::admission`]; what cannot be answered in time is refused at once),
//! hands them over through a bounded channel and waits for the answer. The thread itself is in [`worker`]: everything
//! about a replica, its birth and its drop included, happens there.
//!
//! A panic of a model fails its batch and nothing else. A lost device is sticky: everything that waits or comes later
//! gets that error.

mod courtesy;
mod guarded;
mod loading;
mod waiter;
mod worker;

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use contract::{Device, MemoryUse, Model, RowBlock, RunError};
use tokio::sync::{oneshot, watch};

pub(super) use self::guarded::guarded;
use self::{loading::Placement, waiter::Waiter, worker::Worker};
use super::{
    admission::{DeviceLoad, LaneLoad, Permit, Refusal},
    batcher::{Computed, Failure, LaneId, LaneShape, Work},
    channel::{NotSent, Outbox, channel},
    settings::{LaneSettings, ServingSettings},
};
use crate::{
    Error, Result,
    monitor::{DeviceMonitor, VersionMonitor},
};

/// Places in the channel beside those for requests, so that orders find room when the queue is full.
const ORDER_PLACES: usize = 256;
/// Most places for requests; the channel's memory is taken when it is made.
const MOST_REQUEST_PLACES: usize = 1 << 16;
/// How long an order waits before it tries a full channel again.
const ORDER_RETRY: Duration = Duration::from_millis(1);

/// Who counts a lane's batches: nobody until it is set, so that a self-test's are not counted.
pub(super) type LaneMonitor = Arc<OnceLock<Arc<VersionMonitor>>>;

/// What the thread is told.
enum Command {
    Predict(Box<Work<Waiter>>),
    Place(Box<Placement>),
    Configure(LaneId, Box<LaneSettings>),
    Remove { lane: LaneId, done: Option<oneshot::Sender<()>> },
    Stop,
}

/// What handle and thread both see.
#[derive(Debug)]
pub(super) struct Shared {
    device: Device,
    monitor: Arc<DeviceMonitor>,
    load: Arc<DeviceLoad>,
    /// Lanes that take requests. Changed by the thread alone.
    lanes: ArcSwap<HashMap<LaneId, Arc<LaneLoad>>>,
    /// Set once the device is gone.
    lost: OnceLock<RunError>,
}

/// The handle to one device's thread. The thread ends when it is told to or when the handle goes.
pub(super) struct Executor {
    shared: Arc<Shared>,
    commands: Outbox<Command>,
    /// Turns true when the thread has dropped its last replica.
    gone: watch::Receiver<bool>,
}

impl Executor {
    /// Starts the thread of `device`.
    pub(super) fn start(device: Device, settings: &ServingSettings, monitor: Arc<DeviceMonitor>) -> Result<Self> {
        let shared = Arc::new(Shared {
            device,
            monitor,
            load: Arc::new(DeviceLoad::new(settings.max_queue_rows, Instant::now())),
            lanes: ArcSwap::default(),
            lost: OnceLock::new(),
        });
        // Each request has a row at least, so the bound in rows bounds the requests in the channel too.
        let (commands, inbox) = channel(settings.max_queue_rows.min(MOST_REQUEST_PLACES) + ORDER_PLACES);
        let (told_gone, gone) = watch::channel(false);
        let worker_shared = Arc::clone(&shared);
        std::thread::Builder::new()
            .name(format!("executor-{}", shared.device))
            .spawn(move || Worker::new(worker_shared, inbox, told_gone).run())?;
        Ok(Self { shared, commands, gone })
    }

    pub(super) fn device(&self) -> &Device {
        &self.shared.device
    }

    /// Why this device can answer nothing any more; none while it can.
    pub(super) fn failure(&self) -> Option<RunError> {
        let shared = &self.shared;
        if let Some(error) = shared.lost.get() {
            return Some(error.clone());
        }
        if !self.commands.has_ended() {
            return None;
        }
        let reason = "its executor has ended".to_owned();
        Some(RunError::DeviceLost { device: shared.device.to_string(), reason })
    }

    /// Its name in metrics.
    pub(super) fn monitored(&self) -> &str {
        self.shared.monitor.device()
    }

    /// Time until all that is on the device and waits for it should be computed.
    pub(super) fn expected_wait(&self, now: Instant) -> Duration {
        self.shared.load.expected_wait(now)
    }

    /// Rows that wait for the device.
    pub(super) fn queued_rows(&self) -> usize {
        self.shared.load.queued_rows()
    }

    /// Runs rows on a lane. `priority` is as in a request: 1 is the most urgent, 0 the lane's default. Gives up nothing at the deadline by itself while the device is busy: the caller puts a timeout
    /// around, and dropping the future cancels what has not reached the device.
    pub(super) async fn run(
        &self,
        lane: LaneId,
        class: usize,
        rows: RowBlock,
        priority: u32,
        deadline: Instant,
    ) -> Result<Computed, Refused> {
        let now = Instant::now();
        let permit = self.admit(lane, rows.rows(), priority, now, deadline)?;
        let probe = permit.is_probe();
        let (sender, answer) = oneshot::channel();
        let reply = Waiter::new(sender, permit);
        let work = Work { lane, class, rows, priority, probe, arrived: now, deadline, reply };
        self.commands.send(Command::Predict(Box::new(work))).map_err(|refused| match refused {
            NotSent::Full(_) => Refused::Admission(self.shared.load.overloaded()),
            NotSent::Ended => Refused::Failure(Failure::ShuttingDown),
        })?;
        match answer.await {
            Ok(result) => result.map_err(Refused::Failure),
            // Dropped without an answer: the thread has ended.
            Err(_dropped) => Err(Refused::Failure(Failure::ShuttingDown)),
        }
    }

    /// Places a model and warms the buckets of `shape` one at a time between live batches; `settings` say how it is served.
    /// Dropping the future takes the replica away.
    pub(super) async fn place(
        &self,
        lane: LaneId,
        model: Arc<dyn Model>,
        shape: LaneShape,
        settings: LaneSettings,
        monitor: LaneMonitor,
    ) -> Result<MemoryUse> {
        let (done, placed) = oneshot::channel();
        let placement = Placement { lane, model, shape, settings, monitor, done };
        self.order(Command::Place(Box::new(placement))).await?;
        Ok(placed.await.map_err(|_dropped| Error::ShuttingDown)??)
    }

    /// Changes how a lane is served from now on; what waits already is served so too. Buckets that were not warmed when the
    /// model was placed are not used, whatever `max_batch_rows` says. A lane that is not there is left at that.
    pub(super) async fn configure(&self, lane: LaneId, settings: LaneSettings) -> Result<()> {
        self.order(Command::Configure(lane, Box::new(settings))).await
    }

    /// Drops a lane's replica on the thread; what waits for it is refused.
    pub(super) async fn remove(&self, lane: LaneId) {
        let (done, removed) = oneshot::channel();
        if self.order(Command::Remove { lane, done: Some(done) }).await.is_ok() {
            // Dropped without an answer: the thread has ended, and all replicas with it.
            let _ended = removed.await;
        }
    }

    /// Like [`Executor::remove`] without waiting, for a `drop`.
    pub(super) fn remove_later(&self, lane: LaneId) {
        if let Err(NotSent::Full(_)) = self.commands.send(Command::Remove { lane, done: None }) {
            tracing::warn!(device = %self.shared.device, lane, "no room to order a replica's removal; it goes with the executor");
        }
    }

    /// Answers all that waits with [`Failure::ShuttingDown`], drops all replicas and ends the thread, behind the batches that
    /// run now. Dropping the future does not take the order back.
    pub(super) async fn stop(&self) {
        if self.order(Command::Stop).await.is_ok() {
            let mut gone = self.gone.clone();
            let _thread_ended = gone.wait_for(|gone| *gone).await;
        }
    }

    fn admit(
        &self,
        lane: LaneId,
        rows: usize,
        priority: u32,
        now: Instant,
        deadline: Instant,
    ) -> Result<Permit, Refused> {
        let shared = &self.shared;
        if let Some(error) = shared.lost.get() {
            return Err(Refused::Failure(Failure::Run(error.clone())));
        }
        if self.commands.has_ended() {
            return Err(Refused::Failure(Failure::ShuttingDown));
        }
        let lanes = shared.lanes.load();
        let lane = lanes.get(&lane).ok_or(Refused::Failure(Failure::Unloaded))?;
        let permit = lane.admit(rows, priority, now, deadline).map_err(Refused::Admission)?;
        shared.monitor.set_queue_rows(shared.load.queued_rows());
        Ok(permit)
    }

    /// Sends an order, waiting for room.
    async fn order(&self, command: Command) -> Result<()> {
        let mut command = command;
        loop {
            command = match self.commands.send(command) {
                Ok(()) => return Ok(()),
                Err(NotSent::Ended) => return Err(Error::ShuttingDown),
                Err(NotSent::Full(command)) => command,
            };
            tokio::time::sleep(ORDER_RETRY).await;
        }
    }
}

/// Why rows were not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Not admitted.
    Admission(Refusal),
    /// Admitted, and then something went wrong.
    Failure(Failure),
}
