//! Training jobs: `emberline train … --json` as a child process each, so that a crash, a lost device or an
//! out-of-memory in training never touches serving.
//!
//! Invariants: at most `max_running` children run, the others wait in the order they came; a child is never awaited on
//! the caller's runtime; a job ends in exactly one of the final states, with a sentence if it failed; no child outlives
//! its [`Jobs`]. What a job registered is in the registry; a job itself is forgotten with the process, except for its
//! log file.
//!
//! Nothing is known here of what training does: a child tells by [`TrainEvent`](contract::TrainEvent) lines on its standard output, and stops
//! early, keeping the best so far, when it is interrupted or its parent is gone ([`on_parent_end`]).

mod job;
mod lines;
mod parent;
mod process;
mod status;
mod supervise;

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::{runtime::Handle, sync::watch};

use self::job::Job;
pub use self::{
    job::JobEvents,
    parent::{JOB_VARIABLE, on_parent_end},
    status::{JobState, JobStatus},
};
use crate::{Error, Result};

/// Finished jobs that are remembered; older ones are forgotten.
const REMEMBERED: usize = 256;
/// Jobs that may wait. Each holds its arguments only; the limit is there so that no sender can make it grow for ever.
const MOST_WAITING: usize = 1000;

/// How jobs run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobsSettings {
    /// The `emberline` binary.
    pub executable: PathBuf,
    /// Where logs go, one file per job.
    pub directory: PathBuf,
    /// Jobs that run at the same time, at least one.
    pub max_running: usize,
    /// What every job is told before its own arguments, such as which home to use.
    pub common_args: Vec<String>,
    /// How long a cancelled job may take to keep its best weights before it is killed.
    pub cancel_grace: Duration,
}

impl JobsSettings {
    /// One job at a time, half a minute to end after a cancellation.
    #[must_use]
    pub const fn new(executable: PathBuf, directory: PathBuf) -> Self {
        Self { executable, directory, max_running: 1, common_args: Vec::new(), cancel_grace: Duration::from_secs(30) }
    }
}

/// The jobs of this process. Clones share everything; when the last one is dropped, running children are killed.
#[derive(Clone)]
pub struct Jobs {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Arc<JobsSettings>,
    control: Handle,
    state: Mutex<State>,
    /// True when children have to be killed at once; its end means the same.
    kill_all: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    /// All remembered jobs by id; ids ascend in time.
    jobs: BTreeMap<String, Arc<Job>>,
    waiting: VecDeque<Arc<Job>>,
    running: usize,
    closed: bool,
}

impl Jobs {
    /// Jobs whose children are started and watched on `control`, which needs its timers and I/O enabled.
    ///
    /// # Errors
    /// [`Error::BadRequest`] when no job may run at all, and when the directory for logs cannot be made.
    pub fn new(settings: JobsSettings, control: Handle) -> Result<Self> {
        if settings.max_running == 0 {
            return Err(Error::BadRequest("expected at least 1 job to run at a time, got 0".to_owned()));
        }
        fs_err::create_dir_all(&settings.directory)?;
        let (kill_all, _) = watch::channel(false);
        let (settings, state) = (Arc::new(settings), Mutex::new(State::default()));
        Ok(Self { shared: Arc::new(Shared { settings, control, state, kill_all }) })
    }

    /// Starts `executable train ARGS… --json`, or lets it wait for its turn; the job's id.
    ///
    /// # Errors
    /// [`Error::Conflict`] when too many jobs wait, [`Error::ShuttingDown`] after [`Jobs::shutdown`]. That the child
    /// cannot be started is the job's failure, not one of this call.
    pub fn start(&self, args: Vec<String>) -> Result<String> {
        let id = uuid::Uuid::now_v7().to_string();
        let log = self.shared.settings.directory.join(format!("{id}.log"));
        let job = Arc::new(Job::new(JobStatus::queued(id.clone(), args, log)));
        let mut state = self.shared.state.lock();
        if state.closed {
            return Err(Error::ShuttingDown);
        }
        if state.waiting.len() >= MOST_WAITING {
            return Err(Error::Conflict(format!("{MOST_WAITING} jobs are waiting already; cancel some or try later")));
        }
        state.jobs.insert(id.clone(), Arc::clone(&job));
        state.waiting.push_back(job);
        state.forget_old();
        drop(state);
        self.shared.start_waiting();
        Ok(id)
    }

    /// How job `id` stands.
    ///
    /// # Errors
    /// [`Error::UnknownJob`].
    pub fn get(&self, id: &str) -> Result<JobStatus> {
        Ok(self.job(id)?.status())
    }

    /// All remembered jobs, the oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<JobStatus> {
        let jobs: Vec<_> = self.shared.state.lock().jobs.values().cloned().collect();
        jobs.iter().map(|job| job.status()).collect()
    }

    /// Cancels job `id`: one that waits never starts; one that runs is interrupted, keeps its best so far, and is killed
    /// if it has not ended after the grace time. For a job that has ended nothing happens.
    ///
    /// # Errors
    /// [`Error::UnknownJob`].
    pub fn cancel(&self, id: &str) -> Result<()> {
        let job = self.job(id)?;
        job.request_cancel();
        let mut state = self.shared.state.lock();
        if let Some(place) = state.waiting.iter().position(|waiting| waiting.id() == id) {
            state.waiting.remove(place);
            drop(state);
            job.end(JobState::Cancelled, None);
        }
        Ok(())
    }

    /// Waits until job `id` has ended.
    ///
    /// # Errors
    /// [`Error::UnknownJob`].
    pub async fn wait(&self, id: &str) -> Result<JobStatus> {
        let job = self.job(id)?;
        Ok(job.ended().await)
    }

    /// What job `id` tells, from its beginning.
    ///
    /// # Errors
    /// [`Error::UnknownJob`].
    pub fn subscribe(&self, id: &str) -> Result<JobEvents> {
        Ok(JobEvents::new(self.job(id)?))
    }

    /// Takes no more jobs, cancels all, waits up to `grace` for them to end and kills the rest.
    pub async fn shutdown(&self, grace: Duration) {
        let (waiting, jobs) = self.shared.state.lock().close();
        for job in waiting {
            job.end(JobState::Cancelled, None);
        }
        for job in &jobs {
            job.request_cancel();
        }
        let all_ended = async {
            for job in &jobs {
                job.ended().await;
            }
        };
        if tokio::time::timeout(grace, all_ended).await.is_err() {
            self.shared.kill_all.send_replace(true);
            for job in &jobs {
                job.ended().await;
            }
        }
    }

    fn job(&self, id: &str) -> Result<Arc<Job>> {
        let job = self.shared.state.lock().jobs.get(id).cloned();
        // An id of any length may be asked for; it is repeated only as far as ours go.
        job.ok_or_else(|| Error::UnknownJob { id: id.chars().take(36).collect() })
    }
}

impl Shared {
    /// Starts as many waiting jobs as may run.
    fn start_waiting(self: &Arc<Self>) {
        let mut state = self.state.lock();
        while state.running < self.settings.max_running {
            let Some(job) = state.waiting.pop_front() else { break };
            state.running += 1;
            let (settings, kill_all) = (Arc::clone(&self.settings), self.kill_all.subscribe());
            // Weak, so that a running job does not keep its parent from being dropped.
            let shared = Arc::downgrade(self);
            self.control.spawn(async move {
                supervise::run(job, settings, kill_all).await;
                Self::one_ended(&shared);
            });
        }
    }

    fn one_ended(shared: &Weak<Self>) {
        if let Some(shared) = shared.upgrade() {
            shared.state.lock().running -= 1;
            shared.start_waiting();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        for job in self.state.get_mut().waiting.drain(..) {
            job.end(JobState::Cancelled, None);
        }
    }
}

impl State {
    /// Lets no more jobs in; those that waited, and all that are remembered.
    fn close(&mut self) -> (VecDeque<Arc<Job>>, Vec<Arc<Job>>) {
        self.closed = true;
        (std::mem::take(&mut self.waiting), self.jobs.values().cloned().collect())
    }

    /// Forgets the oldest jobs that have ended.
    fn forget_old(&mut self) {
        let ended: Vec<_> =
            self.jobs.values().filter(|job| job.status().state.is_final()).map(|job| job.id().to_owned()).collect();
        for id in ended.iter().take(ended.len().saturating_sub(REMEMBERED)) {
            self.jobs.remove(id);
        }
    }
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}
