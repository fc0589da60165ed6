//! A model on its way to the device: placed, then warmed one bucket at a time, so that live batches run in between.

use std::{collections::VecDeque, sync::Arc};

use contract::{Device, MemoryUse, Model, Replica, RunError};
use tokio::sync::oneshot;

use super::{
    super::{
        batcher::{LaneId, LaneShape},
        settings::LaneSettings,
    },
    LaneMonitor, guarded,
};

/// The order to place a model.
pub(super) struct Placement {
    pub(super) lane: LaneId,
    pub(super) model: Arc<dyn Model>,
    pub(super) shape: LaneShape,
    pub(super) settings: LaneSettings,
    pub(super) monitor: LaneMonitor,
    pub(super) done: oneshot::Sender<Result<MemoryUse, RunError>>,
}

/// A model on its way.
pub(super) struct Loading {
    placement: Placement,
    replica: Option<Box<dyn Replica>>,
    cold: VecDeque<usize>,
}

/// What a step came to.
pub(super) enum Step {
    /// There are more steps.
    More(Loading),
    /// The replica is warm.
    Warm { placement: Placement, replica: Box<dyn Replica>, memory: MemoryUse },
    /// It failed, or nobody waits for it any more; what there is of it is to be dropped.
    Over { placement: Placement, replica: Option<Box<dyn Replica>>, error: RunError },
}

impl Loading {
    pub(super) fn new(placement: Placement) -> Self {
        let cold = placement.shape.buckets().iter().copied().collect();
        Self { placement, replica: None, cold }
    }

    pub(super) fn lane(&self) -> LaneId {
        self.placement.lane
    }

    pub(super) fn configure(&mut self, settings: LaneSettings) {
        self.placement.settings = settings;
    }

    /// Gives up what there is of it.
    pub(super) fn abandon(self, error: RunError) -> Step {
        let Self { placement, replica, cold: _ } = self;
        Step::Over { placement, replica, error }
    }

    /// Places the model, or warms its next bucket.
    pub(super) fn step(self, device: &Device) -> Step {
        if self.placement.done.is_closed() {
            return self.abandon(RunError::Failed { reason: "nobody waits for it to be loaded".to_owned() });
        }
        let Self { placement, replica, mut cold } = self;
        let Some(mut replica) = replica else {
            return match guarded(|| placement.model.place(device)) {
                Ok(replica) => Step::More(Self { placement, replica: Some(replica), cold }),
                Err(error) => Step::Over { placement, replica: None, error },
            };
        };
        let result = match cold.pop_front() {
            Some(bucket) => guarded(|| replica.warm(bucket)).map(|()| None),
            None => guarded(|| Ok(Some(replica.memory()))),
        };
        match result {
            Ok(None) => Step::More(Self { placement, replica: Some(replica), cold }),
            Ok(Some(memory)) => Step::Warm { placement, replica, memory },
            Err(error) => Step::Over { placement, replica: Some(replica), error },
        }
    }
}
