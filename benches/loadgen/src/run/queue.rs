//! Requests that are due and lanes that are free, on one thread.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::poll_fn,
    rc::Rc,
    task::{Poll, Waker},
    time::Instant,
};

/// A request that is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    pub(super) intended: Instant,
    pub(super) number: u64,
    /// Place of its level of priority.
    pub(super) level: usize,
    /// Whether a lane was free when it was due.
    pub(super) free: bool,
}

#[derive(Debug, Default)]
struct Slot {
    job: Cell<Option<Job>>,
    waker: RefCell<Option<Waker>>,
}

/// Requests wait here for a lane, or lanes for requests. The lane that is free for the longest is next, so that all take turns.
#[derive(Debug, Default)]
pub(super) struct Queue {
    jobs: RefCell<VecDeque<Job>>,
    free: RefCell<VecDeque<Rc<Slot>>>,
    closed: Cell<bool>,
}

impl Queue {
    /// Gives the request to a free lane; gives it back if there is none.
    pub(super) fn offer(&self, job: Job) -> Result<(), Job> {
        let Some(slot) = self.free.borrow_mut().pop_front() else { return Err(job) };
        slot.job.set(Some(job));
        if let Some(waker) = slot.waker.take() {
            waker.wake();
        }
        Ok(())
    }

    /// Lets the request wait for a lane.
    pub(super) fn push(&self, job: Job) {
        self.jobs.borrow_mut().push_back(job);
    }

    /// No more requests will come.
    pub(super) fn close(&self) {
        self.closed.set(true);
        for slot in self.free.borrow_mut().drain(..) {
            if let Some(waker) = slot.waker.take() {
                waker.wake();
            }
        }
    }

    /// The next request for a lane; none when no more will come.
    pub(super) async fn next(&self) -> Option<Job> {
        if let Some(job) = self.jobs.borrow_mut().pop_front() {
            return Some(job);
        }
        if self.closed.get() {
            return None;
        }
        let slot = Rc::new(Slot::default());
        self.free.borrow_mut().push_back(Rc::clone(&slot));
        poll_fn(|context| {
            if let Some(job) = slot.job.take() {
                return Poll::Ready(Some(job));
            }
            if self.closed.get() {
                return Poll::Ready(None);
            }
            slot.waker.replace(Some(context.waker().clone()));
            Poll::Pending
        })
        .await
    }
}
