//! What goes into the batcher, and what comes out.

use std::time::{Duration, Instant};

use contract::{RowBlock, RunError};

use super::LaneId;
use crate::monitor::ComputeTimes;

/// Why a request got no rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::serve) enum Failure {
    /// The model or device failed.
    Run(RunError),
    /// Its deadline passed, or would have passed, before the device had computed it.
    DeadlinePassed,
    /// The lane was taken away.
    Unloaded,
    /// The executor ends.
    ShuttingDown,
}

/// Where a request's answer goes.
pub(in crate::serve) trait Reply {
    /// Whether nobody waits for the answer any more.
    fn is_cancelled(&self) -> bool;
    /// Tells that `rows` rows went from the queue into a batch. Rows not told of until the reply is dropped never did.
    fn left_queue(&mut self, rows: usize);
    /// Gives the answer.
    fn answer(self, result: Result<Computed, Failure>);
}

/// A request's output rows, and what became of its time.
#[derive(Debug)]
pub(in crate::serve) struct Computed {
    pub(in crate::serve) rows: RowBlock,
    pub(in crate::serve) times: ComputeTimes,
    /// When the device's answer to its last batch was there.
    pub(in crate::serve) ended: Option<Instant>,
}

/// What became of a batch's time.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::serve) struct BatchTimes {
    /// From its forming until it was joined and submitted.
    pub(in crate::serve) joining: Duration,
    /// From then until the device's answer was read back.
    pub(in crate::serve) computing: Duration,
    /// When that was.
    pub(in crate::serve) ended: Option<Instant>,
    /// How long it kept the device from the next one, handing over included.
    pub(in crate::serve) occupied: Duration,
}

/// A request as pushed.
#[derive(Debug)]
pub(in crate::serve) struct Work<R> {
    pub(in crate::serve) lane: LaneId,
    /// Shape class within the lane.
    pub(in crate::serve) class: usize,
    /// Encoded rows, at least one.
    pub(in crate::serve) rows: RowBlock,
    /// As in a request: 1 is the most urgent, 0 the lane's default.
    pub(in crate::serve) priority: u32,
    /// Goes to the device even if it is expected to be late, to measure.
    pub(in crate::serve) probe: bool,
    pub(in crate::serve) arrived: Instant,
    pub(in crate::serve) deadline: Instant,
    pub(in crate::serve) reply: R,
}
