//! The child's side of a job: noticing that the parent is gone, even if it was killed.
//!
//! The parent holds the other end of the child's standard input and never writes to it, so the end of that input is the
//! end of the parent, however it came.

use std::{
    io::{self, Read},
    thread,
};

/// Set to the job's id in the environment of a child.
pub const JOB_VARIABLE: &str = "EMBERLINE_JOB";

/// In a process that [`Jobs`](super::Jobs) started: calls `action` from a thread of its own when the parent is gone.
/// In any other process nothing happens. Whether there is a parent to watch.
///
/// # Errors
/// When the thread cannot be started.
pub fn on_parent_end(action: impl FnOnce() + Send + 'static) -> io::Result<bool> {
    if std::env::var_os(JOB_VARIABLE).is_none() {
        return Ok(false);
    }
    thread::Builder::new().name("parent-watch".to_owned()).spawn(move || {
        let mut buffer = [0; 64];
        while io::stdin().lock().read(&mut buffer).is_ok_and(|bytes| bytes > 0) {}
        action();
    })?;
    Ok(true)
}
