//! Who waits for an answer, and its share of the queue.

use tokio::sync::oneshot;

use super::super::{
    admission::Permit,
    batcher::{Computed, Failure, Reply},
};

/// Who waits for an answer.
#[derive(Debug)]
pub(super) struct Waiter {
    sender: oneshot::Sender<Result<Computed, Failure>>,
    permit: Permit,
}

impl Waiter {
    pub(super) fn new(sender: oneshot::Sender<Result<Computed, Failure>>, permit: Permit) -> Self {
        Self { sender, permit }
    }
}

impl Reply for Waiter {
    fn is_cancelled(&self) -> bool {
        self.sender.is_closed()
    }

    fn left_queue(&mut self, rows: usize) {
        self.permit.release(rows);
    }

    fn answer(self, result: Result<Computed, Failure>) {
        let Self { sender, permit } = self;
        // First, so that who reads the answer finds the room.
        drop(permit);
        // Fails when the other side has gone, which is then nobody's loss.
        let _nobody_waits = sender.send(result);
    }
}
