//! A gate that requests pass while they use something, so that it can be taken away behind the last of them.
//!
//! Passing costs one atomic addition and never waits. Once closed, the gate lets nobody in and can be waited for to be
//! empty. It does not say what it guards: see [`Deployment`](super::Deployment).

use tokio::sync::Notify;

use super::sync::{AtomicUsize, Ordering};

/// Set when nobody may enter any more; the other bits count who is inside.
const CLOSED: usize = 1 << (usize::BITS - 1);

#[derive(Debug, Default)]
pub(super) struct Gate {
    state: AtomicUsize,
    emptied: Notify,
}

impl Gate {
    /// Steps in, unless the gate is closed. Who got in calls [`Gate::leave`] once.
    pub(super) fn enter(&self) -> bool {
        if self.state.fetch_add(1, Ordering::AcqRel) & CLOSED == 0 {
            return true;
        }
        self.leave();
        false
    }

    pub(super) fn leave(&self) {
        if self.state.fetch_sub(1, Ordering::AcqRel) == CLOSED | 1 {
            self.emptied.notify_waiters();
        }
    }

    /// Lets nobody in from now on.
    pub(super) fn close(&self) {
        self.state.fetch_or(CLOSED, Ordering::AcqRel);
    }

    /// How many are inside.
    pub(super) fn inside(&self) -> usize {
        self.state.load(Ordering::Relaxed) & !CLOSED
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Waits until the gate is closed and everybody has left.
    pub(super) async fn closed_and_empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            tokio::pin!(emptied);
            // Listens before looking, so that a leave between the two is not missed.
            emptied.as_mut().enable();
            if self.state.load(Ordering::Acquire) == CLOSED {
                return;
            }
            emptied.await;
        }
    }
}
