//! How the threads that read requests share a core with those that compute.

/// Has the calling thread wait for its turn when it wakes, in place of taking the core from whoever computes on it.
///
/// A model on the CPU computes for milliseconds, and under load a request comes every tenth of one: a thread that is woken
/// for each of them interrupts the model as often, and both find their caches cold. Under `SCHED_BATCH` (sched(7)) what came
/// meanwhile is read in one go when the core is free, between two batches at the latest every few milliseconds; on a free core
/// it is read at once as ever. See `benches/results/serve.md`, overload.
///
/// Nothing is lost where the system refuses it or has no such thing.
#[cfg(target_os = "linux")]
pub(crate) fn read_in_gulps() {
    use thread_priority::{NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, unix};

    let usual = Ok(ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other));
    // The call sets the nice value too; what an operator chose is left as it is.
    if nice() != Some(0) || unix::thread_schedule_policy() != usual {
        return;
    }
    let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Batch);
    // The crate's number for the nice value 0, of 0 to 99.
    let kept = 47_u8.try_into().map(ThreadPriority::Crossplatform);
    let done = kept.map(|kept| unix::set_thread_priority_and_policy(unix::thread_native_id(), kept, policy));
    if !matches!(done, Ok(Ok(()))) {
        tracing::debug!(?done, "the scheduling policy of a thread was left as it is");
    }
}

/// See there.
#[cfg(not(target_os = "linux"))]
pub(crate) fn read_in_gulps() {}

/// The nice value of the calling thread: the 19th field of `proc_pid_stat`(5), whose 2nd is a name in parentheses.
#[cfg(target_os = "linux")]
fn nice() -> Option<i32> {
    let stat = fs_err::read_to_string("/proc/thread-self/stat").ok()?;
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(16)?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use thread_priority::{
        NormalThreadSchedulePolicy::{Batch, Other},
        ThreadSchedulePolicy::Normal,
        unix,
    };

    use super::*;

    #[test]
    fn a_thread_becomes_one_that_waits_for_its_turn() {
        std::thread::spawn(|| {
            let before = (nice(), unix::thread_schedule_policy());
            read_in_gulps();
            let after = if before == (Some(0), Ok(Normal(Other))) { (Some(0), Ok(Normal(Batch))) } else { before };
            assert_eq!((nice(), unix::thread_schedule_policy()), after);
        })
        .join()
        .unwrap();
    }
}
