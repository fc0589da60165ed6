//! What all handlers share: the engine, the limits of a request, and whether the server drains.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use engine::{Engine, serve::Prediction};

use crate::{
    access::AccessLog,
    error::ApiError,
    logs::LogControl,
    settings::ServerSettings,
    shared_memory::SharedMemory,
    trace::Tracer,
    wire::{PlacedOutput, WantedOutput, WireError, place_outputs},
};

/// What all handlers share.
pub(crate) struct State {
    pub(crate) engine: Arc<Engine>,
    /// Longest request body in bytes.
    pub(crate) max_body: usize,
    /// Longest time for a body to come.
    pub(crate) body_timeout: Duration,
    /// Whether clients may register models.
    pub(crate) allow_import: bool,
    /// Regions of memory that clients on this machine registered.
    pub(crate) shared_memory: SharedMemory,
    /// Changes what is logged, if the program that started the server lets it.
    pub(crate) logs: Option<LogControl>,
    /// Writes down how requests went.
    pub(crate) tracer: Tracer,
    /// Writes down what was asked and how it went.
    pub(crate) access: AccessLog,
    draining: AtomicBool,
}

impl State {
    pub(crate) fn new(engine: Arc<Engine>, settings: &ServerSettings, logs: Option<LogControl>) -> Self {
        let max_body = usize::try_from(settings.max_body).unwrap_or(usize::MAX);
        Self {
            engine,
            max_body,
            body_timeout: settings.body_timeout,
            allow_import: settings.allow_import,
            shared_memory: SharedMemory::new(settings.shared_memory, max_body),
            logs,
            tracer: Tracer::new(settings.trace_dir.clone()),
            access: AccessLog::new(settings),
            draining: AtomicBool::new(false),
        }
    }

    /// From now on the server says that it is not ready; requests that come nevertheless are answered while it can.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether [`State::drain`] was called.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// The outputs of an answer in the forms that were `wanted`; those for shared memory are there when this returns.
    ///
    /// # Errors
    /// [`WireError`] for an output that cannot be classified, and for a part of shared memory that cannot take its output.
    pub(crate) fn placed<'a>(
        &self,
        prediction: &'a Prediction,
        wanted: &[WantedOutput],
        binary: bool,
    ) -> Result<Vec<PlacedOutput<'a>>, WireError> {
        let task = prediction.host.signature().task.as_ref();
        let mut placed = place_outputs(&prediction.outputs, wanted, binary, task)?;
        // What explains the outputs comes behind them, whichever were wanted.
        placed.extend(place_outputs(&prediction.explanation, &[], binary, None)?);
        self.shared_memory.write_outputs(&placed)?;
        Ok(placed)
    }

    /// Whether requests should be sent here.
    ///
    /// # Errors
    /// [`ApiError::NotReady`], saying why not.
    pub(crate) fn ready(&self) -> Result<(), ApiError> {
        if self.is_draining() {
            return Err(ApiError::NotReady { reason: "the server is shutting down".to_owned() });
        }
        match self.engine.not_ready() {
            None => Ok(()),
            Some(reason) => Err(ApiError::NotReady { reason }),
        }
    }
}
