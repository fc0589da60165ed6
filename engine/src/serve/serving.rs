//! The door of the serving engine, and a request's way through it. Loading and unloading are in [`super::lifecycle`].

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use contract::{Device, InputError, Model, RowBlock, RunError, Tensor};
use tokio::time::timeout_at;

use super::{
    admission::Refusal,
    batcher::{Computed, Failure, LaneId},
    cache::{Answer, AnswerCache, LookUp, Question},
    deployment::{Deployment, Pass, ServedModel},
    executor::{Executor, Refused, guarded},
    observe::{RequestObserver, Times},
    request::{CacheStatus, PredictRequest, Prediction},
    router::Router,
    settings::ServingSettings,
};
use crate::{
    Error, Result,
    monitor::{ComputeTimes, Family, Monitor, Sample, families},
    registry::VersionSelector,
};

/// The serving engine. Clones share it; when the last one goes without [`Serving::shutdown`], the executors end by
/// themselves.
///
/// Its futures need a tokio runtime with time; they compute nothing but encoding and decoding.
#[derive(Clone)]
pub struct Serving {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) settings: ServingSettings,
    pub(super) executors: Vec<Arc<Executor>>,
    pub(super) router: Router,
    pub(super) cache: Option<AnswerCache>,
    pub(super) monitor: Monitor,
    pub(super) next_id: AtomicU64,
    pub(super) next_executor: AtomicUsize,
    pub(super) closing: AtomicBool,
}

impl Serving {
    /// Starts one executor thread for each of `devices`.
    ///
    /// # Errors
    /// [`Error::BadRequest`] when a setting cannot work or there is no device, [`Error::Io`] when a thread cannot start.
    pub fn new(settings: ServingSettings, devices: Vec<Device>, monitor: Monitor) -> Result<Self> {
        settings.validate()?;
        if devices.is_empty() {
            return Err(Error::BadRequest("expected at least one device to serve on, got none".to_owned()));
        }
        let start = |device: Device| {
            let observed = monitor.device(&device);
            Executor::start(device, &settings, observed).map(Arc::new)
        };
        let executors = devices.into_iter().map(start).collect::<Result<Vec<_>>>()?;
        let cache = AnswerCache::new(settings.cache_bytes, settings.cache_ttl, Arc::new(Instant::now));
        Ok(Self {
            inner: Arc::new(Inner {
                settings,
                executors,
                router: Router::default(),
                cache,
                monitor,
                next_id: AtomicU64::new(0),
                next_executor: AtomicUsize::new(0),
                closing: AtomicBool::new(false),
            }),
        })
    }

    /// The settings it was made with.
    #[must_use]
    pub fn settings(&self) -> &ServingSettings {
        &self.inner.settings
    }

    /// Answers a request. Dropping the future cancels it.
    ///
    /// # Errors
    /// [`Error::UnknownModel`], [`Error::UnknownVersion`], [`Error::UnknownAlias`] and [`Error::NotReady`] when nothing
    /// answers to the name; [`Error::Input`] when the inputs or wanted outputs do not fit; [`Error::BadRequest`] when it has
    /// more rows than the queue may hold; [`Error::Overloaded`] when the queue is full, [`Error::TooLate`] when it is too long for the deadline;
    /// [`Error::DeadlineExceeded`] when its time is over; [`Error::Run`] when the model or device failed;
    /// [`Error::ShuttingDown`].
    pub async fn predict(&self, request: PredictRequest) -> Result<Prediction> {
        let started = Instant::now();
        let pass = self.enter(&request.model, &request.selector)?;
        let observer = RequestObserver::new(&pass.deployment().monitor, started);
        let result = self.answer(pass.deployment(), &request, started).await;
        observer.ended(result)
    }

    /// The deployment that a request for `model` means now.
    ///
    /// # Errors
    /// [`Error::UnknownModel`], [`Error::UnknownVersion`], [`Error::UnknownAlias`] or [`Error::NotReady`].
    pub fn resolve(&self, model: &str, selector: &VersionSelector) -> Result<Arc<Deployment>> {
        self.inner.router.resolve(model, selector)
    }

    /// All models that serve or should, by name.
    #[must_use]
    pub fn models(&self) -> Vec<ServedModel> {
        self.inner.router.models()
    }

    /// The versions that take or finish requests, by model and number.
    #[must_use]
    pub fn deployments(&self) -> Vec<Arc<Deployment>> {
        let mut deployments = self.inner.router.deployments();
        deployments.sort_unstable_by(|a, b| (&a.name, a.version).cmp(&(&b.name, b.version)));
        deployments
    }

    /// The metric families that only the serving engine knows.
    #[must_use]
    pub fn families(&self) -> Vec<Family> {
        let pending = self.deployments().into_iter().map(|deployment| {
            let labels = [&*deployment.name, &deployment.version.to_string()];
            Sample::count(&labels, deployment.pending_requests() as u64)
        });
        vec![families::NV_PENDING_REQUESTS.family(pending.collect())]
    }

    /// Whether requests are taken: it is not shutting down and every device is there.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.is_closing() && self.device_failure().is_none()
    }

    /// Why a device can answer nothing any more. This stays until the process restarts.
    #[must_use]
    pub fn device_failure(&self) -> Option<RunError> {
        self.inner.executors.iter().find_map(|executor| executor.failure())
    }

    /// Whether [`Serving::shutdown`] has begun.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.inner.closing.load(Ordering::Acquire)
    }

    /// Finds the deployment and steps in.
    fn enter(&self, model: &str, selector: &VersionSelector) -> Result<Pass> {
        loop {
            if self.is_closing() {
                return Err(Error::ShuttingDown);
            }
            // A gate closes only behind a change of the table, so who finds it closed finds another table next.
            if let Some(pass) = Pass::new(self.inner.router.resolve(model, selector)?) {
                return Ok(pass);
            }
        }
    }

    async fn answer(
        &self,
        deployment: &Deployment,
        request: &PredictRequest,
        started: Instant,
    ) -> Result<(Prediction, Times)> {
        let PredictRequest { model: _, selector: _, inputs, outputs: wanted, timeout, priority, cache: cache_use } =
            request;
        check_wanted(deployment.model.as_ref(), wanted)?;
        let longest = self.inner.settings.request_timeout;
        let timeout = timeout.map_or(longest, |timeout| timeout.min(longest));
        let deadline = started + timeout;
        let run = Run {
            executor: &deployment.executor,
            lane: deployment.id,
            model: deployment.model.as_ref(),
            priority: *priority,
        };
        let mut timed = None;
        let late = |_elapsed| Error::DeadlineExceeded { after: timeout };

        let cache = self.inner.cache.as_ref().filter(|_| cache_use.read && cache_use.store);
        let looked = cache.map(|_| Instant::now());
        let (answer, status) = {
            let computed = run.timed_answer(inputs, wanted, deadline, &mut timed);
            match cache {
                None => (timeout_at(deadline.into(), computed).await.map_err(late)??, CacheStatus::Off),
                Some(cache) => {
                    let revision = deployment.model.revision();
                    match cache.look_up(&Question { deployment: deployment.id, revision, wanted, inputs }) {
                        LookUp::Hit(answer, age) => (answer, CacheStatus::Hit { age }),
                        LookUp::TooLarge => {
                            (timeout_at(deadline.into(), computed).await.map_err(late)??, CacheStatus::Off)
                        }
                        LookUp::Miss(key) => {
                            timeout_at(deadline.into(), cache.compute_once(&key, computed)).await.map_err(late)??
                        }
                    }
                }
            }
        };
        let (computed, computing) = timed.unzip();
        let cache = looked.map_or(Duration::ZERO, |looked| looked.elapsed());
        let times = Times { cache: cache.saturating_sub(computing.unwrap_or_default()), computed };
        let Answer { outputs, rows } = answer;
        let prediction = Prediction {
            id: uuid::Uuid::now_v7().to_string(),
            model: Arc::clone(&deployment.name),
            version: deployment.version,
            outputs,
            rows,
            cache: status,
            host: Arc::clone(&deployment.model),
        };
        Ok((prediction, times))
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving").field("settings", &self.inner.settings).finish_non_exhaustive()
    }
}

/// Refuses a wrong output name before anything is computed for it.
fn check_wanted(model: &dyn Model, wanted: &[String]) -> Result<(), InputError> {
    let signature = model.signature();
    match wanted.iter().find(|name| signature.outputs.iter().all(|output| output.name != **name)) {
        Some(name) => Err(InputError::UnknownOutput { name: name.clone(), expected: signature.describe_outputs() }),
        None => Ok(()),
    }
}

/// A model on its device.
pub(super) struct Run<'a> {
    pub(super) executor: &'a Executor,
    pub(super) lane: LaneId,
    pub(super) model: &'a dyn Model,
    pub(super) priority: u32,
}

impl Run<'_> {
    /// As [`Run::answer`]; on success `timed` tells what became of the time, and how long it was in all.
    async fn timed_answer(
        &self,
        inputs: &[Tensor],
        wanted: &[String],
        deadline: Instant,
        timed: &mut Option<(ComputeTimes, Duration)>,
    ) -> Result<Answer> {
        let began = Instant::now();
        let (answer, times) = self.answer(inputs, wanted, deadline).await?;
        *timed = Some((times, began.elapsed()));
        Ok(answer)
    }

    /// Encodes, runs and decodes, and tells what became of the time. A panic of the model is its failure.
    pub(super) async fn answer(
        &self,
        inputs: &[Tensor],
        wanted: &[String],
        deadline: Instant,
    ) -> Result<(Answer, ComputeTimes)> {
        let mut rows = RowBlock::default();
        let cost = guarded(|| Ok(self.model.encode(inputs, &mut rows)?)).map_err(unwrapped)?;
        if cost.rows != rows.rows() {
            let reason = format!("it announced {} rows and encoded {}", cost.rows, rows.rows());
            return Err(Error::Run(RunError::Failed { reason }));
        }
        if cost.rows == 0 {
            return Err(Error::Input(InputError::NoRows));
        }
        let budget = deadline.saturating_duration_since(Instant::now());
        let Computed { rows: raw, mut times, ended } = self
            .executor
            .run(self.lane, cost.class, rows, self.priority, deadline)
            .await
            .map_err(|refused| refusal(refused, budget))?;
        let outputs = guarded(|| Ok(self.model.decode(&raw, wanted)?)).map_err(unwrapped)?;
        times.output = ended.map_or(Duration::ZERO, |ended| ended.elapsed());
        Ok((Answer { outputs: Arc::from(outputs), rows: cost.rows }, times))
    }
}

/// An input's fault is not the run's.
fn unwrapped(error: RunError) -> Error {
    match error {
        RunError::Input(error) => Error::Input(error),
        other => Error::Run(other),
    }
}

fn refusal(refused: Refused, budget: Duration) -> Error {
    match refused {
        Refused::Admission(Refusal::Overloaded { queued, limit, retry_after }) => {
            Error::Overloaded { queued, limit, retry_after }
        }
        Refused::Admission(Refusal::TooLate { busy, left, retry_after }) => Error::TooLate { busy, left, retry_after },
        Refused::Admission(Refusal::TooManyRows { rows, limit }) => {
            Error::BadRequest(format!("expected at most {limit} rows in one request, got {rows}"))
        }
        Refused::Failure(Failure::Run(error)) => unwrapped(error),
        Refused::Failure(Failure::DeadlinePassed) => Error::DeadlineExceeded { after: budget },
        // Nobody is unloaded while a request is inside its gate; a cancelled load's self-test may be.
        Refused::Failure(Failure::Unloaded) => Error::Internal("the version was unloaded under a request".to_owned()),
        Refused::Failure(Failure::ShuttingDown) => Error::ShuttingDown,
    }
}
