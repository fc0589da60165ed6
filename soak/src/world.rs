//! The server under test, in this process: the real engine and the real servers over fake models.

use std::{
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use contract::{Device, Format, Model as HostModel, OpenError, VersionMetadata};
use engine::{
    Engine, EngineSettings,
    feedback::FeedbackSettings,
    jobs::JobsSettings,
    monitor::TextFormat,
    registry::RegistrySettings,
    serve::ServingSettings,
    testing::{FakeFormat, FakeModel, FakeProbe, FakeSettings},
};
use parking_lot::Mutex;
use server::{Running, settings::ServerSettings};
use tokio::runtime::Handle;

use crate::{
    history::History,
    plan::{Fault, Model, NUMBERS},
};

/// Longest time for a body to come: clients that stall are told so by then.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest time of a request that names none.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Time of a batch of the slow model.
const SLOW: u64 = 3_000;
/// Offsets before they start anew. Offsets are multiples of [`NUMBERS`], so that an answer names the version and the row; the
/// largest are still small enough for the self-test, whose tolerance is relative, to see that a golden answer is wrong by 1.
const OFFSETS: u32 = 120;
/// Time for what runs to end.
const DRAIN: Duration = Duration::from_secs(15);

/// Opens fake models and keeps their probes.
#[derive(Default)]
struct Formats {
    probes: Mutex<Vec<Arc<FakeProbe>>>,
}

impl Format for Formats {
    fn open(&self, directory: &Path) -> Result<Arc<dyn HostModel>, OpenError> {
        // Tells what is wrong with a file.
        FakeFormat.open(directory)?;
        let path = directory.join("fake.json");
        let failed = |reason: String| OpenError::Read { path: path.clone(), reason };
        let bytes = fs_err::read(&path).map_err(|error| failed(error.to_string()))?;
        let settings: FakeSettings = serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))?;
        let model = FakeModel::new(settings);
        self.probes.lock().push(model.probe());
        Ok(Arc::new(model))
    }
}

/// How a version is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    Nothing,
    /// It gives other answers than it was saved with.
    Golden,
    /// A bucket cannot be warmed.
    Warming,
}

pub(crate) struct World {
    pub(crate) engine: Arc<Engine>,
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) history: History,
    running: Running,
    formats: Arc<Formats>,
    directory: tempfile::TempDir,
    published: Mutex<u32>,
}

impl World {
    /// Starts the servers with one version of each model, ready.
    pub(crate) async fn start() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let path = directory.path();
        let settings = EngineSettings {
            registry: RegistrySettings {
                database_url: format!("sqlite://{}", path.join("registry.db").display()),
                artifacts_url: format!("file://{}", path.join("artifacts").display()),
                cache_dir: path.join("cache"),
            },
            features: path.join("features.redb"),
            // What is kept by design is full early, so that growth is not.
            serving: ServingSettings {
                cache_bytes: 2 << 20,
                cache_ttl: Duration::from_secs(2),
                request_timeout: REQUEST_TIMEOUT,
                ..ServingSettings::default()
            },
            feedback: FeedbackSettings { remember_predictions: 2_000, ..FeedbackSettings::default() },
            jobs: JobsSettings::new("/bin/false".into(), path.join("jobs")),
        };
        let formats = Arc::new(Formats::default());
        let opened = Engine::open(settings, vec![Device::cpu()], Arc::clone(&formats) as _, Handle::current());
        let engine = opened.await?;
        let body_timeout = format!("{}s", BODY_TIMEOUT.as_secs());
        let flags = ["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--body-timeout", &body_timeout];
        let settings = ServerSettings { shutdown_delay: Duration::ZERO, ..ServerSettings::from_flags(flags)? };
        let running = server::start(&settings, Arc::clone(&engine))?;
        let http = running.address();
        let grpc = running.grpc_address().context("there is no address of gRPC")?;
        let world = Self {
            engine,
            http,
            grpc,
            history: History::default(),
            running,
            formats,
            directory,
            published: Mutex::new(0),
        };
        for model in Model::ALL {
            let version = world.publish(model, Wrong::Nothing).await?;
            world.engine.registry.set_alias(model.name(), "champion", version).await?;
            world.engine.registry.set_alias(model.name(), "stable", version).await?;
            world.history.named(model, "champion", Some(version));
            world.history.named(model, "stable", Some(version));
        }
        world.engine.refresh().await?;
        Ok(world)
    }

    /// Publishes a version and gives its number; it is live from now on if it is right.
    pub(crate) async fn publish(&self, model: Model, wrong: Wrong) -> Result<u32> {
        let offset = {
            let mut published = self.published.lock();
            *published += 1;
            ((*published % OFFSETS) * u32::from(NUMBERS)) as f32
        };
        let faulty = |fault: Fault| (model == Model::Faulty).then_some(fault.marker());
        let settings = FakeSettings {
            offset,
            batch_micros: if model == Model::Slow { SLOW } else { 0 },
            panic_encoding_on: faulty(Fault::PanicsEncoding),
            panic_on: faulty(Fault::PanicsAtOnce),
            panic_late_on: faulty(Fault::PanicsLate),
            fail_on: faulty(Fault::Fails),
            fail_warming: (wrong == Wrong::Warming).then_some(8),
            wrong_golden: wrong == Wrong::Golden,
            list_batches: false,
            ..FakeSettings::default()
        };
        let artifact = tempfile::tempdir_in(self.directory.path())?;
        FakeFormat::save(artifact.path(), &settings)?;
        let from = Instant::now();
        let published = self.engine.registry.publish(model.name(), artifact.path(), VersionMetadata::new("fake"));
        let version = published.await?.version;
        if wrong == Wrong::Nothing {
            // The watcher cannot have made anything of it that a request has seen and that this would miss: the time is
            // that before it was published.
            self.history.publishes(model, version, offset, from);
        }
        Ok(version)
    }

    /// Waits until nothing is under way and ends the servers; what is left over is a violation, a sentence each.
    pub(crate) async fn end(self) -> Result<Vec<String>> {
        let mut wrong = Vec::new();
        let asked = Instant::now();
        while let Some(left) = self.under_way()? {
            if asked.elapsed() > DRAIN {
                wrong.push(format!("{} s after the last client, {left}", DRAIN.as_secs()));
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let Self { engine, running, formats, directory, .. } = self;
        running.stop().await?;
        drop(engine);
        // The executors' threads may still be on their way out.
        let stopped = Instant::now();
        loop {
            let (placed, dropped) = {
                let probes = formats.probes.lock();
                let (placed, dropped): (Vec<_>, Vec<_>) =
                    probes.iter().map(|probe| (probe.placements(), probe.drops())).unzip();
                (placed.iter().sum::<usize>(), dropped.iter().sum::<usize>())
            };
            if placed == 0 {
                bail!("no model was ever placed");
            }
            if placed == dropped {
                break;
            }
            if stopped.elapsed() > DRAIN {
                wrong.push(format!("{placed} replicas were placed and {dropped} dropped when all had ended"));
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        drop(directory);
        Ok(wrong)
    }

    /// What is still under way, in words.
    fn under_way(&self) -> Result<Option<String>> {
        for deployment in self.engine.serving.deployments() {
            let pending = deployment.pending_requests();
            if pending > 0 {
                return Ok(Some(format!("{pending} requests are inside the gate of {deployment:?}")));
            }
        }
        let metrics = self.engine.metrics(TextFormat::Classic, Vec::new())?;
        let waiting = metrics.lines().filter(|line| {
            line.contains("device_queue_rows{") && line.rsplit(' ').next().is_some_and(|value| value != "0")
        });
        Ok(waiting.map(|line| format!("rows wait: {line}")).next())
    }
}
