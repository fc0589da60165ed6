//! One job: its status, its events, and who waits for them.

use std::{collections::VecDeque, sync::Arc};

use chrono::Utc;
use contract::TrainEvent;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{JobState, JobStatus};

/// Events that are kept for those who subscribe late or read slowly; of longer trainings the oldest are left out.
const KEPT_EVENTS: usize = 4096;

/// A job, shared by its supervisor and by those who ask.
pub(super) struct Job {
    id: String,
    content: Mutex<Content>,
    /// Sent after each change of the content.
    changed: watch::Sender<()>,
    cancel: watch::Sender<bool>,
}

struct Content {
    status: JobStatus,
    events: VecDeque<TrainEvent>,
    /// Events that were left out.
    left_out: usize,
}

impl Job {
    /// A job with its first status.
    pub(super) fn new(status: JobStatus) -> Self {
        Self {
            id: status.id.clone(),
            content: Mutex::new(Content { status, events: VecDeque::new(), left_out: 0 }),
            changed: watch::channel(()).0,
            cancel: watch::channel(false).0,
        }
    }

    /// Its id.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// How it stands.
    pub(super) fn status(&self) -> JobStatus {
        self.content.lock().status.clone()
    }

    /// Asks its supervisor to end it.
    pub(super) fn request_cancel(&self) {
        self.cancel.send_replace(true);
    }

    /// Turns true when it is to be ended.
    pub(super) fn cancelled(&self) -> watch::Receiver<bool> {
        self.cancel.subscribe()
    }

    /// Its process runs.
    pub(super) fn begin(&self) {
        self.update(|content| {
            content.status.state = JobState::Running;
            content.status.started_at = Some(Utc::now());
        });
    }

    /// Its process told something.
    pub(super) fn take(&self, event: TrainEvent) {
        self.update(|content| {
            content.status.take(&event);
            if content.events.len() == KEPT_EVENTS {
                content.events.pop_front();
                content.left_out += 1;
            }
            content.events.push_back(event);
        });
    }

    /// It ended; the first call counts.
    pub(super) fn end(&self, state: JobState, error: Option<String>) {
        self.update(|content| {
            if !content.status.state.is_final() {
                content.status.state = state;
                content.status.error = error;
                content.status.ended_at = Some(Utc::now());
            }
        });
    }

    /// Waits until it has ended.
    pub(super) async fn ended(&self) -> JobStatus {
        let mut changed = self.changed.subscribe();
        loop {
            let status = self.status();
            if status.state.is_final() || changed.changed().await.is_err() {
                return status;
            }
        }
    }

    fn update(&self, change: impl FnOnce(&mut Content)) {
        change(&mut self.content.lock());
        self.changed.send_replace(());
    }
}

/// What a job tells, from its beginning to its end.
pub struct JobEvents {
    job: Arc<Job>,
    changed: watch::Receiver<()>,
    /// Number of the next event, from the job's first.
    next: usize,
}

impl JobEvents {
    pub(super) fn new(job: Arc<Job>) -> Self {
        let changed = job.changed.subscribe();
        Self { job, changed, next: 0 }
    }

    /// The next event; waits for it. None when the job has ended and all was told.
    ///
    /// A reader that is thousands of events behind misses the oldest. Nothing is lost if the call is dropped.
    pub async fn recv(&mut self) -> Option<TrainEvent> {
        loop {
            {
                let content = self.job.content.lock();
                let index = self.next.saturating_sub(content.left_out);
                if let Some(event) = content.events.get(index) {
                    self.next = content.left_out + index + 1;
                    return Some(event.clone());
                }
                if content.status.state.is_final() {
                    return None;
                }
            }
            self.changed.changed().await.ok()?;
        }
    }
}

impl std::fmt::Debug for JobEvents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobEvents").field("job", &self.job.id).field("next", &self.next).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[tokio::test]
    async fn a_late_reader_sees_all_events_that_are_kept() {
        let job = Arc::new(Job::new(JobStatus::queued("1".to_owned(), Vec::new(), PathBuf::new())));
        let mut early = JobEvents::new(Arc::clone(&job));
        let event = |number: usize| TrainEvent::Failed { error: number.to_string() };
        job.take(event(0));
        assert_eq!(early.recv().await, Some(event(0)));
        for number in 1..KEPT_EVENTS + 10 {
            job.take(event(number));
        }
        job.end(JobState::Failed, None);
        let mut late = JobEvents::new(job);
        for number in 10..KEPT_EVENTS + 10 {
            assert_eq!(late.recv().await, Some(event(number)));
            assert_eq!(early.recv().await, Some(event(number)));
        }
        assert_eq!((late.recv().await, early.recv().await), (None, None));
    }

    #[test]
    fn ends_once() {
        let job = Job::new(JobStatus::queued("1".to_owned(), Vec::new(), PathBuf::new()));
        job.end(JobState::Cancelled, None);
        job.end(JobState::Failed, Some("late".to_owned()));
        assert_eq!((job.status().state, job.status().error), (JobState::Cancelled, None));
    }
}
