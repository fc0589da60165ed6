//! A server of fake models on free ports, which every binary of tests starts: [`House`] in the runtime that is there, and
//! [`blocking::Api`] around it for tests without one. What only one of them needs stands beside it.

pub(crate) mod blocking;

use std::{
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use contract::{Device, Format, Model, OpenError, Task, VersionMetadata};
use engine::{
    Engine, EngineSettings,
    feedback::FeedbackSettings,
    jobs::JobsSettings,
    registry::RegistrySettings,
    serve::ServingSettings,
    testing::{FakeFormat, FakeModel, FakeProbe, FakeSettings},
};
use parking_lot::Mutex;
use server::{Running, settings::ServerSettings};
use tokio::runtime::Handle;
use tonic::{Code, Status};

/// Opens an artifact of its own kind, and gives none for others.
pub(crate) type Kind = fn(&Path) -> Option<Arc<dyn Model>>;

/// Opens fake models, whose probes it keeps, and models of other kinds.
#[derive(Default)]
struct Formats {
    probes: Mutex<Vec<Arc<FakeProbe>>>,
    /// Whether the next fake model opened has its brake on.
    brake: Mutex<bool>,
    others: Mutex<Vec<Kind>>,
}

impl Format for Formats {
    fn open(&self, directory: &Path) -> Result<Arc<dyn Model>, OpenError> {
        let others = self.others.lock().clone();
        if let Some(model) = others.into_iter().find_map(|open| open(directory)) {
            return Ok(model);
        }
        // Complains where the file is not one.
        FakeFormat.open(directory)?;
        let settings = serde_json::from_slice(&fs_err::read(directory.join("fake.json")).unwrap()).unwrap();
        let model = FakeModel::new(settings);
        if *self.brake.lock() {
            model.probe().brake();
        }
        self.probes.lock().push(model.probe());
        Ok(Arc::new(model))
    }

    fn import(&self, file: &Path, directory: &Path) -> Result<VersionMetadata, OpenError> {
        FakeFormat.import(file, directory)
    }
}

/// A server and the engine below it. One that is dropped without [`House::stop`] is left running.
pub(crate) struct House {
    pub(crate) engine: Arc<Engine>,
    pub(crate) running: Option<Running>,
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    formats: Arc<Formats>,
    directory: tempfile::TempDir,
}

impl House {
    /// A server without models, with these flags and serving settings.
    pub(crate) async fn empty(flags: &[&str], serving: ServingSettings) -> Self {
        Self::start(flags, serving, server::start).await
    }

    /// A server without models that may change its process's logs, which are filtered by `log` at first: one a process.
    pub(crate) async fn with_logs(log: &str) -> Self {
        Self::start(&["--log", log], ServingSettings::default(), |settings, engine| {
            server::start_with_logs(settings, engine, Some(server::logs::start(settings).unwrap()))
        })
        .await
    }

    async fn start(
        flags: &[&str],
        serving: ServingSettings,
        start: impl FnOnce(&ServerSettings, Arc<Engine>) -> Result<Running, server::StartError>,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let settings = EngineSettings {
            registry: RegistrySettings {
                database_url: format!("sqlite://{}", path.join("registry.db").display()),
                artifacts_url: format!("file://{}", path.join("artifacts").display()),
                cache_dir: path.join("cache"),
            },
            features: path.join("features.redb"),
            serving,
            feedback: FeedbackSettings::default(),
            jobs: JobsSettings::new("/bin/false".into(), path.join("jobs")),
        };
        let formats = Arc::new(Formats::default());
        let engine =
            Engine::open(settings, vec![Device::cpu()], Arc::clone(&formats) as _, Handle::current()).await.unwrap();
        let usual = ["--http", "127.0.0.1:0", "--http-workers", "2", "--grpc", "127.0.0.1:0"];
        let mut settings = ServerSettings::from_flags([&usual, flags].concat()).unwrap();
        if !flags.contains(&"--shutdown-delay") {
            settings.shutdown_delay = Duration::ZERO;
        }
        if !flags.contains(&"--shutdown-grace") {
            settings.shutdown_grace = Duration::from_secs(10);
        }
        let running = start(&settings, Arc::clone(&engine)).unwrap();
        let (http, grpc) = (running.address(), running.grpc_address().unwrap());
        Self { engine, running: Some(running), http, grpc, formats, directory }
    }

    /// Registers a version of a fake model.
    pub(crate) async fn register(&self, name: &str, settings: &FakeSettings) -> u32 {
        let mut metadata = VersionMetadata::new("fake");
        metadata.task = Some(Task::Regression);
        let save = |artifact: &Path| {
            FakeFormat::save(artifact, settings).unwrap();
        };
        self.register_saved(name, metadata, save).await
    }

    /// Registers and loads a version of a fake model.
    pub(crate) async fn publish(&self, name: &str, settings: &FakeSettings) -> u32 {
        let version = self.register(name, settings).await;
        self.refresh().await;
        version
    }

    /// Registers and loads a version of a model of another kind, as `save` writes it.
    pub(crate) async fn publish_other(&self, name: &str, kind: Kind, save: impl FnOnce(&Path)) -> u32 {
        self.formats.others.lock().push(kind);
        let version = self.register_saved(name, VersionMetadata::new("fake"), save).await;
        self.refresh().await;
        version
    }

    async fn register_saved(&self, name: &str, metadata: VersionMetadata, save: impl FnOnce(&Path)) -> u32 {
        let artifact = tempfile::tempdir_in(self.directory.path()).unwrap();
        save(artifact.path());
        self.engine.registry.publish(name, artifact.path(), metadata).await.unwrap().version
    }

    /// Loads what is registered, and sees to it that this is what the server knows.
    pub(crate) async fn refresh(&self) {
        self.engine.refresh().await.unwrap();
    }

    /// Sets an alias, and sees to it that the server knows.
    pub(crate) async fn set_alias(&self, model: &str, alias: &str, version: u32) {
        self.engine.registry.set_alias(model, alias, version).await.unwrap();
        self.refresh().await;
    }

    /// The probe of the fake model that was opened last.
    pub(crate) fn probe(&self) -> Arc<FakeProbe> {
        Arc::clone(self.formats.probes.lock().last().unwrap())
    }

    /// Holds the next fake model back while it loads.
    pub(crate) fn brake_next_model(&self) {
        *self.formats.brake.lock() = true;
    }

    /// Takes the brakes off all fake models, so that the server can end.
    fn release(&self) {
        for probe in self.formats.probes.lock().iter() {
            probe.release();
        }
    }

    pub(crate) async fn stop(mut self) {
        self.running.take().unwrap().stop().await.unwrap();
    }
}

/// Code and message of a call that was refused.
pub(crate) fn refusal<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String) {
    let status = answer.unwrap_err();
    (status.code(), status.message().to_owned())
}

/// Waits until something happened, or fails.
pub(crate) async fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let started = Instant::now();
    while !happened() {
        assert!(started.elapsed() < Duration::from_secs(20), "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
