//! The replicas of one version: which of them answers a request, and how they come and go while requests run.
//!
//! A request picks the replica with the least before it, and holds it: a replica leaves behind the last request that holds it, so
//! none is lost when replicas are taken away. Picking takes no lock.

use std::{ops::Deref, sync::Arc};

use arc_swap::ArcSwap;
use contract::MemoryUse;
use parking_lot::Mutex;

use super::{
    batcher::{LaneId, LaneShape},
    executor::Executor,
    gate::Gate,
    pool::Place,
};
use crate::{Error, Result};

/// A replica on its executor.
pub(super) struct Replica {
    pub(super) place: Place,
    pub(super) lane: LaneId,
    /// The batches that it was warmed for.
    pub(super) shape: LaneShape,
    pub(super) memory: MemoryUse,
    gate: Gate,
}

impl Replica {
    pub(super) fn new(place: Place, lane: LaneId, shape: LaneShape, memory: MemoryUse) -> Self {
        Self { place, lane, shape, memory, gate: Gate::default() }
    }

    pub(super) const fn executor(&self) -> &Arc<Executor> {
        self.place.executor()
    }

    /// Rows that wait for its executor, whoever sent them, and requests that hold it. Those that can answer nothing come last.
    fn load(&self) -> (bool, usize) {
        let executor = self.executor();
        (executor.failure().is_some(), executor.queued_rows() + self.gate.inside())
    }
}

/// A replica that a request holds.
pub(super) struct Held(Arc<Replica>);

impl Deref for Held {
    type Target = Replica;

    fn deref(&self) -> &Replica {
        &self.0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.gate.leave();
    }
}

/// The replicas of one version.
#[derive(Default)]
pub(super) struct Replicas {
    taking: ArcSwap<Vec<Arc<Replica>>>,
    /// Take no more requests; here until they are gone, so that a change that was dropped half-way can be finished.
    leaving: Mutex<Vec<Arc<Replica>>>,
    /// Held by whoever adds or takes away.
    pub(super) changing: tokio::sync::Mutex<()>,
}

impl Replicas {
    /// The replica that is to answer the next request.
    ///
    /// # Errors
    /// [`Error::Internal`] when there is none: whoever unloads a version waits for its requests first.
    pub(super) fn pick(&self) -> Result<Held> {
        loop {
            let taking = self.taking.load();
            let least = match taking.as_slice() {
                [] => return Err(Error::Internal("a version without a replica was asked".to_owned())),
                [only] => only,
                [first, others @ ..] => {
                    let mut least = (first.load(), first);
                    for replica in others {
                        let load = replica.load();
                        if load < least.0 {
                            least = (load, replica);
                        }
                    }
                    least.1
                }
            };
            // A gate closes only behind a change of the list, so who finds it closed finds another list next.
            if least.gate.enter() {
                return Ok(Held(Arc::clone(least)));
            }
        }
    }

    /// Those that take requests.
    pub(super) fn taking(&self) -> Arc<Vec<Arc<Replica>>> {
        self.taking.load_full()
    }

    /// Lets requests find a replica. Only for who holds [`Replicas::changing`].
    pub(super) fn add(&self, replica: Arc<Replica>) {
        let mut taking = Vec::clone(&self.taking.load());
        taking.push(replica);
        self.taking.store(Arc::new(taking));
    }

    /// Lets no more requests find a replica; [`Replicas::finish`] takes it away. Only for who holds [`Replicas::changing`].
    pub(super) fn dismiss(&self, replica: &Arc<Replica>) {
        self.leaving.lock().push(Arc::clone(replica));
        let mut taking = Vec::clone(&self.taking.load());
        taking.retain(|listed| !Arc::ptr_eq(listed, replica));
        self.taking.store(Arc::new(taking));
        replica.gate.close();
    }

    /// Drops the dismissed replicas on their executors, each behind its last request. When the future is dropped half-way,
    /// another call finishes the work. Only for who holds [`Replicas::changing`].
    pub(super) async fn finish(&self) {
        loop {
            let Some(replica) = self.leaving.lock().last().map(Arc::clone) else { return };
            replica.gate.closed_and_empty().await;
            replica.executor().remove(replica.lane).await;
            self.leaving.lock().retain(|listed| !Arc::ptr_eq(listed, &replica));
        }
    }
}
