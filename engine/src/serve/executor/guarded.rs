//! Calls into a model, whose panic must not end our thread.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

use contract::RunError;

/// Calls into a model; a panic becomes [`RunError::Failed`].
///
/// A model is used again after a panic: what it leaves behind is its own, and its next batch is guarded too.
pub(in crate::serve) fn guarded<T>(call: impl FnOnce() -> Result<T, RunError>) -> Result<T, RunError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let reason = format!("it panicked: {}", message(panic.as_ref()));
        // A payload's own drop may panic as well; it is worth less than the thread.
        std::mem::forget(panic);
        Err(RunError::Failed { reason })
    })
}

fn message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_a_panic_into_an_error_with_its_message() {
        let failed = |reason: &str| Err::<(), _>(RunError::Failed { reason: reason.to_owned() });
        assert_eq!(guarded(|| panic!("at row {}", 3)), failed("it panicked: at row 3"));
        assert_eq!(guarded(|| panic!("plain")), failed("it panicked: plain"));
        assert_eq!(guarded(|| std::panic::panic_any(7)), failed("it panicked: no message"));
        assert_eq!(guarded(|| Ok(7)), Ok(7));
    }
}
