//! What all handlers share: the engine, the limits of a request, and whether the server drains.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use engine::Engine;

use crate::error::ApiError;

/// What all handlers share.
pub(crate) struct State {
    pub(crate) engine: Arc<Engine>,
    /// Longest request body in bytes.
    pub(crate) max_body: usize,
    /// Longest time for a body to come.
    pub(crate) body_timeout: Duration,
    draining: AtomicBool,
}

impl State {
    pub(crate) const fn new(engine: Arc<Engine>, max_body: usize, body_timeout: Duration) -> Self {
        Self { engine, max_body, body_timeout, draining: AtomicBool::new(false) }
    }

    /// From now on the server says that it is not ready; requests that come nevertheless are answered while it can.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether requests should be sent here.
    ///
    /// # Errors
    /// [`ApiError::NotReady`], saying why not.
    pub(crate) fn ready(&self) -> Result<(), ApiError> {
        if self.draining.load(Ordering::Acquire) {
            return Err(ApiError::NotReady { reason: "the server is shutting down".to_owned() });
        }
        match self.engine.not_ready() {
            None => Ok(()),
            Some(reason) => Err(ApiError::NotReady { reason }),
        }
    }
}
