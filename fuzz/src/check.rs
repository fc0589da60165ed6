//! What must hold.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use peak_alloc::PeakAlloc;

use crate::Target;

/// Counts what is allocated.
#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Longest time for an input, with its proof. Some milliseconds are usual, so that only what grows faster than its input takes it,
/// however busy the machine.
const LONGEST_TIME: Duration = Duration::from_secs(5);

/// What became of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A request or a model, and it means one thing only.
    Accepted,
    /// None.
    Refused,
}

/// Runs `target` on `input`. Memory is counted for the whole process: nothing else may run meanwhile.
///
/// # Errors
/// What does not hold, in a sentence.
pub fn check(target: &Target, input: &[u8]) -> Result<Verdict, String> {
    let started = Instant::now();
    let verdict = catch_unwind(AssertUnwindSafe(|| {
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        let accepted = (target.decode)(input);
        let taken = MEMORY.peak_usage().saturating_sub(before);
        let most = target.memory.at_all + target.memory.per_byte * input.len();
        if taken > most {
            return Err(format!(
                "expected at most {most} bytes of memory for {} bytes of input, got {taken}",
                input.len()
            ));
        }
        match accepted {
            Some(proof) => proof().map(|()| Verdict::Accepted),
            None => Ok(Verdict::Refused),
        }
    }))
    .unwrap_or_else(|_panic| Err("it panicked".to_owned()))?;
    let taken = started.elapsed();
    if taken > LONGEST_TIME {
        return Err(format!("expected at most {LONGEST_TIME:?} for {} bytes of input, got {taken:?}", input.len()));
    }
    Ok(verdict)
}
