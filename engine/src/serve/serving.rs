//! The door of the serving engine, and a request's way through it. Loading and unloading are in [`super::lifecycle`].

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use contract::{Cost, Device, InputError, Model, RowBlock, RunError, Tensor};
use parking_lot::Mutex;
use tokio::time::timeout_at;

use super::{
    admission::Refusal,
    batcher::{Computed, Failure},
    cache::{Answer, AnswerCache, CacheStatistics, LookUp, Question, Terms, Urgency},
    deployment::{Deployment, Pass, ServedModel},
    direct::DirectRuns,
    executor::{Executor, Refused, guarded},
    observe::RequestObserver,
    pool::Pool,
    prediction_id::PredictionId,
    replicas::{Replica, Replicas},
    request::{CacheStatus, PredictRequest, Prediction, Timing},
    router::Router,
    settings::{ModelServing, ServingSettings},
};
use crate::{
    Error, Result,
    monitor::{ComputeTimes, Family, Monitor, Sample, VersionMonitor, families},
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
    pub(super) pool: Pool,
    pub(super) model_settings: Mutex<HashMap<String, ModelServing>>,
    pub(super) router: Router,
    pub(super) cache: Option<AnswerCache>,
    pub(super) monitor: Monitor,
    pub(super) next_id: AtomicU64,
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
        let pool = Pool::new(settings.clone(), devices, monitor.clone())?;
        let cache = AnswerCache::new(settings.cache_bytes, Arc::new(Instant::now));
        Ok(Self {
            inner: Arc::new(Inner {
                settings,
                pool,
                model_settings: Mutex::default(),
                router: Router::default(),
                cache,
                monitor,
                next_id: AtomicU64::new(0),
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
    /// [`Error::DeadlineExceeded`] when its time is over; [`Error::NotCached`] when it shall not be computed; [`Error::Run`] when the model or device failed;
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

    /// What the prediction cache holds and did; none when it has no room.
    #[must_use]
    pub fn cache_statistics(&self) -> Option<CacheStatistics> {
        self.inner.cache.as_ref().map(AnswerCache::statistics)
    }

    /// The metric families that only the serving engine knows.
    #[must_use]
    pub fn families(&self) -> Vec<Family> {
        let pending = self.deployments().into_iter().map(|deployment| {
            let labels = [&*deployment.name, &deployment.version.to_string()];
            Sample::count(&labels, deployment.pending_requests() as u64)
        });
        let mut all = vec![families::NV_PENDING_REQUESTS.family(pending.collect())];
        all.extend(self.cache_statistics().iter().flat_map(CacheStatistics::families));
        let now = Instant::now();
        let wait = |executor: &Arc<Executor>| {
            Sample::number(&[executor.monitored()], executor.expected_wait(now).as_secs_f64())
        };
        all.push(families::DEVICE_EXPECTED_WAIT.family(self.inner.pool.executors().iter().map(wait).collect()));
        all
    }

    /// Whether requests are taken: it is not shutting down and every device is there.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.is_closing() && self.device_failure().is_none()
    }

    /// Why a device can answer nothing any more. This stays until the process restarts.
    #[must_use]
    pub fn device_failure(&self) -> Option<RunError> {
        self.inner.pool.failure()
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

    async fn answer(&self, deployment: &Deployment, request: &PredictRequest, started: Instant) -> Result<Prediction> {
        let PredictRequest {
            model: _,
            selector: _,
            inputs,
            outputs: wanted,
            timeout,
            priority,
            cache: cache_use,
            explain: _,
            received,
        } = request;
        check_wanted(deployment.model.as_ref(), wanted)?;
        let (longest, priority) = {
            let settings = deployment.settings.load();
            (settings.request_timeout, settings.level(*priority))
        };
        let timeout = timeout.map_or(longest, |timeout| timeout.min(longest));
        let deadline = started + timeout;
        let run = Run {
            replicas: &deployment.replicas,
            model: deployment.model.as_ref(),
            priority,
            direct: deployment.direct.as_ref().map(|direct| (direct, &*deployment.monitor)),
        };
        let mut timed = None;
        let late = |_elapsed| Error::DeadlineExceeded { after: timeout };

        let cache = self.inner.cache.as_ref();
        let found = cache.map_or(LookUp::Past, |cache| {
            let urgency = Urgency { level: priority, deadline };
            let terms = Terms { cache: *cache_use, ttl: deployment.cache_ttl(), asked: started, urgency };
            let revision = deployment.model.revision();
            cache.look_up(&Question { deployment: deployment.id, revision, wanted, inputs, terms })
        });
        let (answer, status) = match (found, cache) {
            (LookUp::Hit(answer, age), _) => (answer, CacheStatus::Hit { age }),
            (LookUp::Miss(_) | LookUp::Past, _) if cache_use.only_cached => return Err(Error::NotCached),
            (LookUp::Miss(miss), Some(cache)) => {
                let computed = run.timed_answer(inputs, wanted, deadline, &mut timed);
                // On the heap, so that hits need no room for it.
                timeout_at(deadline.into(), Box::pin(cache.compute_once(&miss, computed))).await.map_err(late)??
            }
            (LookUp::Miss(_) | LookUp::Past, _) => {
                let computed = run.timed_answer(inputs, wanted, deadline, &mut timed);
                (timeout_at(deadline.into(), computed).await.map_err(late)??, CacheStatus::Off)
            }
        };
        let ended = Instant::now();
        let total = ended - started;
        let timing = Timing {
            decode: received.map(|received| started.saturating_duration_since(received)),
            cache: match status {
                CacheStatus::Off => Duration::ZERO,
                CacheStatus::Hit { age: _ } | CacheStatus::Miss => {
                    total.saturating_sub(timed.map_or(Duration::ZERO, |times| times.whole))
                }
            },
            computed: timed,
            total,
            explain: None,
            ended: Some(ended),
            monitor: None,
        };
        let Answer { outputs, rows } = answer;
        Ok(Prediction {
            id: PredictionId::fresh(),
            model: Arc::clone(&deployment.name),
            version: deployment.version,
            outputs,
            explanation: Vec::new(),
            rows,
            cache: status,
            host: Arc::clone(&deployment.model),
            timing,
        })
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

/// A model on its devices.
pub(super) struct Run<'a> {
    pub(super) replicas: &'a Replicas,
    pub(super) model: &'a dyn Model,
    pub(super) priority: u32,
    /// How it runs past the executor, if it can.
    pub(super) direct: Option<(&'a DirectRuns, &'a VersionMonitor)>,
}

impl Run<'_> {
    /// As [`Run::answer`]; on success `timed` tells what became of the time.
    async fn timed_answer(
        &self,
        inputs: &[Tensor],
        wanted: &[String],
        deadline: Instant,
        timed: &mut Option<ComputeTimes>,
    ) -> Result<Answer> {
        let (answer, times) = self.answer(inputs, wanted, deadline).await?;
        *timed = Some(times);
        Ok(answer)
    }

    /// Encodes, runs and decodes, and tells what became of the time. A panic of the model is its failure.
    pub(super) async fn answer(
        &self,
        inputs: &[Tensor],
        wanted: &[String],
        deadline: Instant,
    ) -> Result<(Answer, ComputeTimes)> {
        let began = Instant::now();
        let mut rows = RowBlock::default();
        let cost = guarded(|| Ok(self.model.encode(inputs, &mut rows)?)).map_err(unwrapped)?;
        if cost.rows != rows.rows() {
            let reason = format!("it announced {} rows and encoded {}", cost.rows, rows.rows());
            return Err(Error::Run(RunError::Failed { reason }));
        }
        if cost.rows == 0 {
            return Err(Error::Input(InputError::NoRows));
        }
        let encoded = Instant::now();
        let budget = deadline.saturating_duration_since(encoded);
        if budget.is_zero() {
            return Err(Error::DeadlineExceeded { after: budget });
        }
        let ran = self.direct.and_then(|(direct, monitor)| direct.run(self.model, &rows, encoded, monitor));
        let Computed { rows: raw, mut times, ended } = if let Some(computed) = ran {
            computed.map_err(unwrapped)?
        } else {
            let replica = self.replicas.pick()?;
            // On the heap, so that those who run past the executor need no room for it.
            let queued = Box::pin(self.queued(&replica, cost, rows, deadline));
            queued.await.map_err(|refused| refusal(refused, budget, deadline))?
        };
        let outputs = guarded(|| Ok(self.model.decode(&raw, wanted)?)).map_err(unwrapped)?;
        let decoded = Instant::now();
        times.input = encoded - began;
        times.output = ended.map_or(Duration::ZERO, |ended| decoded.saturating_duration_since(ended));
        times.whole = decoded - began;
        Ok((Answer { outputs: Arc::from(outputs), rows: cost.rows }, times))
    }
}

impl Run<'_> {
    /// Waits for the executor to run the rows.
    async fn queued(
        &self,
        replica: &Replica,
        cost: Cost,
        rows: RowBlock,
        deadline: Instant,
    ) -> Result<Computed, Refused> {
        let computed = replica.executor().run(replica.lane, cost.class, rows, self.priority, deadline).await?;
        if let Some((direct, _)) = self.direct {
            direct.hint(computed.times.batch_rows, computed.times.compute);
        }
        Ok(computed)
    }
}

/// An input's fault is not the run's.
fn unwrapped(error: RunError) -> Error {
    match error {
        RunError::Input(error) => Error::Input(error),
        other => Error::Run(other),
    }
}

fn refusal(refused: Refused, budget: Duration, deadline: Instant) -> Error {
    match refused {
        Refused::Admission(Refusal::Overloaded { queued, limit, retry_after }) => {
            Error::Overloaded { queued, limit, retry_after }
        }
        Refused::Admission(Refusal::TooLate { busy, left, retry_after }) => Error::TooLate { busy, left, retry_after },
        Refused::Admission(Refusal::TooManyRows { rows, limit }) => {
            Error::BadRequest(format!("expected at most {limit} rows in one request, got {rows}"))
        }
        Refused::Failure(Failure::Run(error)) => unwrapped(error),
        Refused::Failure(Failure::DeadlinePassed) if Instant::now() < deadline => {
            Error::DeadlineUnreachable { within: budget }
        }
        Refused::Failure(Failure::DeadlinePassed) => Error::DeadlineExceeded { after: budget },
        // Nobody is unloaded while a request is inside its gate; a cancelled load's self-test may be.
        Refused::Failure(Failure::Unloaded) => Error::Internal("the version was unloaded under a request".to_owned()),
        Refused::Failure(Failure::ShuttingDown) => Error::ShuttingDown,
    }
}
