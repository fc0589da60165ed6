//! The way of commands to a device's thread, which may end at any moment.
//!
//! Whatever was sent is either received or dropped, and never left behind: the receiver says that it ended and then empties
//! the channel; a sender looks for that after it has sent, and empties the channel itself. One of the two sees the other.

use std::time::Instant;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use super::sync::{Arc, AtomicBool, Ordering};

/// Why something was not sent.
#[derive(Debug)]
pub(super) enum NotSent<T> {
    Full(T),
    Ended,
}

/// The sending end.
#[derive(Debug)]
pub(super) struct Outbox<T> {
    sender: Sender<T>,
    /// For what is sent at the moment the receiver ends.
    leftovers: Receiver<T>,
    ended: Arc<AtomicBool>,
}

/// The receiving end.
#[derive(Debug)]
pub(super) struct Inbox<T> {
    receiver: Receiver<T>,
    ended: Arc<AtomicBool>,
}

/// A channel with room for `places`.
pub(super) fn channel<T>(places: usize) -> (Outbox<T>, Inbox<T>) {
    let (sender, receiver) = bounded(places);
    let ended = Arc::new(AtomicBool::new(false));
    let leftovers = receiver.clone();
    (Outbox { sender, leftovers, ended: Arc::clone(&ended) }, Inbox { receiver, ended })
}

impl<T> Outbox<T> {
    /// Sends without waiting.
    pub(super) fn send(&self, value: T) -> Result<(), NotSent<T>> {
        if self.has_ended() {
            return Err(NotSent::Ended);
        }
        self.sender.try_send(value).map_err(|error| match error {
            TrySendError::Full(value) => NotSent::Full(value),
            TrySendError::Disconnected(_) => NotSent::Ended,
        })?;
        // What came in behind the receiver's end is dropped here, which tells whoever waits for it.
        if self.has_ended() {
            self.leftovers.try_iter().for_each(drop);
        }
        Ok(())
    }

    /// Whether nothing is received any more.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }
}

impl<T> Inbox<T> {
    /// Waits for the next value, until `due` if that is given.
    pub(super) fn wait(&self, due: Option<Instant>) -> Result<T, RecvTimeoutError> {
        match due {
            None => self.receiver.recv().map_err(|_disconnected| RecvTimeoutError::Disconnected),
            Some(due) => self.receiver.recv_deadline(due),
        }
    }

    /// The next value, if there is one.
    pub(super) fn take(&self) -> Option<T> {
        self.receiver.try_recv().ok()
    }

    /// Says that nothing is received any more but what [`Inbox::take`] still finds: to be called until there is nothing.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }
}
