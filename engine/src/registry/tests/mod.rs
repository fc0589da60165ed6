//! Tests of the registry as a whole. Those with real second processes are in `tests/registry_processes.rs`.

mod model;

use std::time::Duration;

use super::*;

/// A registry in a directory that goes away with it.
pub(super) struct Bench {
    pub(super) registry: Registry,
    pub(super) directory: tempfile::TempDir,
}

pub(super) fn settings(directory: &Path) -> RegistrySettings {
    RegistrySettings {
        database_url: format!("sqlite://{}/registry.db", directory.display()),
        artifacts_url: format!("file://{}/artifacts", directory.display()),
        cache_dir: directory.join("cache"),
    }
}

pub(super) async fn bench() -> Bench {
    let directory = tempfile::tempdir().unwrap();
    let registry = Registry::open(settings(directory.path()), Handle::current()).await.unwrap();
    Bench { registry, directory }
}

impl Bench {
    /// A directory with an artifact that holds `content`.
    pub(super) fn artifact(&self, content: &str) -> PathBuf {
        let directory = self.directory.path().join(format!("source-{content}"));
        fs_err::create_dir_all(&directory).unwrap();
        fs_err::write(directory.join("weights.bin"), content).unwrap();
        directory
    }

    pub(super) async fn publish(&self, name: &str, content: &str) -> ModelVersion {
        self.registry.publish(name, &self.artifact(content), VersionMetadata::new("mlp")).await.unwrap()
    }

    /// Places that hold files, whether a version owns them or not.
    pub(super) fn places(&self) -> usize {
        let models = fs_err::read_dir(self.directory.path().join("artifacts")).unwrap();
        models.map(|model| fs_err::read_dir(model.unwrap().path()).unwrap().count()).sum()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_back_what_was_published() {
    let bench = bench().await;
    let mut metadata = VersionMetadata::new("mlp");
    metadata.task = Some(contract::Task::Regression);
    metadata.author = Some("ada".to_owned());
    metadata.metrics.insert("rmse".to_owned(), 0.1 + 0.2);
    metadata.hyper_parameters.insert("width".to_owned(), 64.into());
    let published = bench.registry.publish("wine", &bench.artifact("a"), metadata.clone()).await.unwrap();
    assert_eq!((published.version, published.size_bytes, &published.metadata), (1, 1, &metadata));
    assert!(published.location.starts_with("file://"), "{}", published.location);

    let other = Registry::open(settings(bench.directory.path()), Handle::current()).await.unwrap();
    assert_eq!(other.version("wine", 1).await.unwrap(), published);
    let fetched = other.fetch(&published).await.unwrap();
    assert_eq!(fs_err::read_to_string(fetched.join("weights.bin")).unwrap(), "a");
    let json = serde_json::to_string(&published).unwrap();
    assert_eq!(serde_json::from_str::<ModelVersion>(&json).unwrap(), published);

    // The author is the actor unless one was named.
    other.acting_as("bob").publish("wine", &bench.artifact("b"), metadata).await.unwrap();
    let actors: Vec<_> = other.history("wine").await.unwrap().into_iter().map(|entry| entry.actor).collect();
    assert_eq!(actors, [Some("ada".to_owned()), Some("bob".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_is_the_champion_else_the_highest() {
    let bench = bench().await;
    for content in ["a", "b", "c"] {
        bench.publish("wine", content).await;
    }
    let resolve = async |selector| bench.registry.resolve("wine", &selector).await.map(|version| version.version);
    assert_eq!(resolve(VersionSelector::Default).await.unwrap(), 3);
    bench.registry.set_alias("wine", "shadow", 1).await.unwrap();
    assert_eq!(resolve(VersionSelector::Default).await.unwrap(), 3);
    bench.registry.set_alias("wine", CHAMPION, 2).await.unwrap();
    assert_eq!(resolve(VersionSelector::Default).await.unwrap(), 2);
    assert_eq!(resolve(VersionSelector::Alias("shadow".to_owned())).await.unwrap(), 1);
    assert!(matches!(resolve(VersionSelector::Version(4)).await, Err(Error::UnknownVersion { version: 4, .. })));
    assert!(matches!(resolve(VersionSelector::Alias("x".to_owned())).await, Err(Error::UnknownAlias { .. })));
    assert!(matches!(bench.registry.version("beer", 1).await, Err(Error::UnknownModel { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_publishes_leave_nothing() {
    let bench = bench().await;
    let mut metadata = VersionMetadata::new("mlp");
    metadata.metrics.insert("rmse".to_owned(), f64::NAN);
    let refusal = bench.registry.publish("wine", &bench.artifact("a"), metadata).await.unwrap_err();
    assert!(refusal.to_string().contains("finite"), "{refusal}");

    let artifact = bench.artifact("b");
    fs_err::write(artifact.join("not portable"), b"1").unwrap();
    let absent = bench.directory.path().join("absent");
    let too_long = "m".repeat(129);
    for (name, directory) in
        [("wine", &artifact), ("wine", &absent), ("../x", &artifact), (too_long.as_str(), &artifact)]
    {
        let refusal = bench.registry.publish(name, directory, VersionMetadata::new("mlp")).await;
        assert!(refusal.is_err(), "{name} {}", directory.display());
    }
    assert_eq!(bench.registry.models().await.unwrap(), []);
    assert_eq!((bench.places(), bench.registry.generation().await.unwrap()), (0, 0));
    assert_eq!(bench.publish("wine", "c").await.version, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn sweeps_what_a_killed_process_left_but_not_what_another_is_at() {
    let bench = bench().await;
    bench.publish("wine", "a").await;
    let house = &bench.registry.house;
    // What a process that is killed before its commit leaves behind.
    loose::reserve(&house.database, "wine/killed").await.unwrap();
    house.artifacts.upload(&bench.artifact("b"), "wine/killed").await.unwrap();

    house.sweep(Utc::now() - STALE_AFTER).await;
    assert_eq!(bench.places(), 2, "an upload under way was swept");
    house.sweep(Utc::now() + TimeDelta::seconds(1)).await;
    assert_eq!(bench.places(), 1, "an upload of a killed process was not swept");
    assert_eq!(
        bench
            .registry
            .fetch(&bench.registry.version("wine", 1).await.unwrap())
            .await
            .unwrap()
            .read_dir()
            .unwrap()
            .count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_was_swept_makes_no_version() {
    let bench = bench().await;
    let house = &bench.registry.house;
    loose::reserve(&house.database, "wine/slow").await.unwrap();
    house.sweep(Utc::now() + TimeDelta::seconds(1)).await;
    let metadata = VersionMetadata::new("mlp");
    let result = house.upload_and_commit("wine", "wine/slow", &bench.artifact("a"), "{}", metadata, None).await;
    assert!(matches!(result, Err(Error::Conflict(_))), "{result:?}");
    assert_eq!(bench.registry.models().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_keeps_its_files_whatever_its_publisher_was_told() {
    let bench = bench().await;
    let version = bench.publish("wine", "a").await;
    let places: Vec<_> = version.location.rsplitn(3, '/').take(2).collect();
    bench.registry.house.abandon(&format!("{}/{}", places[1], places[0])).await.unwrap();
    assert!(bench.registry.fetch(&version).await.unwrap().join("weights.bin").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_could_not_be_removed_are_swept_later() {
    let bench = bench().await;
    bench.publish("wine", "a").await;
    bench.publish("wine", "b").await;
    // A process that is killed between the commit of a deletion and the removal of its files.
    let location = bench.registry.version("wine", 1).await.unwrap().location;
    let mut transaction = bench.registry.house.database.write().await.unwrap();
    sqlx::query("DELETE FROM versions WHERE version = 1").execute(&mut *transaction).await.unwrap();
    let places: Vec<_> = location.rsplitn(3, '/').take(2).collect();
    loose::discard(&mut transaction, &format!("{}/{}", places[1], places[0])).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(bench.places(), 2);
    Registry::open(settings(bench.directory.path()), Handle::current()).await.unwrap();
    assert_eq!(bench.places(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_handles_that_publish_at_once_lose_nothing() {
    let bench = bench().await;
    let mut publishing = tokio::task::JoinSet::new();
    for worker in 0..4 {
        let registry = Registry::open(settings(bench.directory.path()), Handle::current()).await.unwrap();
        let artifact = bench.artifact(&worker.to_string());
        publishing.spawn(async move {
            let mut numbers = Vec::new();
            for _ in 0..5 {
                numbers.push(registry.publish("wine", &artifact, VersionMetadata::new("mlp")).await.unwrap().version);
            }
            numbers
        });
    }
    let mut numbers: Vec<u32> = publishing.join_all().await.concat();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=20).collect::<Vec<_>>());
    let model = bench.registry.model("wine").await.unwrap();
    assert_eq!(model.versions.len(), 20);
    assert_eq!(bench.registry.generation().await.unwrap(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_dropped_ends_as_a_whole() {
    let bench = bench().await;
    let artifact = bench.artifact("a");
    let publish = bench.registry.publish("wine", &artifact, VersionMetadata::new("mlp"));
    let dropped = tokio::time::timeout(Duration::from_micros(1), publish).await;
    if dropped.is_err() {
        let mut waited = 0;
        while bench.registry.model("wine").await.is_err() {
            waited += 1;
            assert!(waited < 1000, "the dropped publish never ended");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    assert_eq!(bench.registry.version("wine", 1).await.unwrap().size_bytes, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_that_is_gone_is_an_error_that_names_it() {
    let bench = bench().await;
    let version = bench.publish("wine", "a").await;
    fs_err::remove_dir_all(bench.registry.fetch(&version).await.unwrap()).unwrap();
    let refusal = bench.registry.fetch(&version).await.unwrap_err();
    assert!(matches!(refusal, Error::Open(contract::OpenError::Read { .. })), "{refusal}");
    let foreign = ModelVersion { location: "file:///etc/wine/x".to_owned(), ..version };
    assert!(matches!(bench.registry.fetch(&foreign).await, Err(Error::BadRequest(_))));
}

#[test]
fn all_work_is_done_by_the_control_runtime() {
    let control = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    // A caller whose runtime has no timer, no I/O and no thread to spare.
    let caller = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    fs_err::create_dir_all(&source).unwrap();
    fs_err::write(source.join("weights.bin"), b"a").unwrap();
    caller.block_on(async {
        let registry = Registry::open(settings(directory.path()), control.handle().clone()).await.unwrap();
        let version = registry.publish("wine", &source, VersionMetadata::new("mlp")).await.unwrap();
        assert_eq!(registry.models().await.unwrap()[0].versions, [version]);
        registry.close().await;
        assert!(matches!(registry.generation().await, Err(Error::Database(sqlx::Error::PoolClosed))));
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn serving_settings_are_kept_with_their_history() {
    let bench = bench().await;
    bench.publish("wine", "a").await;
    let registry = bench.registry.acting_as("ada");
    let serving = async || bench.registry.model("wine").await.unwrap().serving;
    assert_eq!(serving().await, ModelServing::default());
    let generation = registry.generation().await.unwrap();
    let settings = ModelServing { instances: Some(2), slo_us: Some(5000), ..ModelServing::default() };
    registry.set_serving("wine", settings.clone()).await.unwrap();
    // The same again changes nothing.
    registry.set_serving("wine", settings.clone()).await.unwrap();
    assert_eq!(registry.generation().await.unwrap(), generation + 1);
    assert_eq!(serving().await, settings);
    assert_eq!(registry.models().await.unwrap()[0].serving, settings);
    registry.set_serving("wine", ModelServing::default()).await.unwrap();
    assert_eq!(serving().await, ModelServing::default());
    let history = registry.history("wine").await.unwrap();
    let changes: Vec<_> = history[1..].iter().map(|entry| (entry.change, entry.serving.clone())).collect();
    assert_eq!(changes, [(Change::ServingSet, Some(settings)), (Change::ServingSet, Some(ModelServing::default()))]);
    assert_eq!(history[1].actor.as_deref(), Some("ada"));

    let unknown = registry.set_serving("beer", ModelServing::default()).await;
    assert!(matches!(unknown, Err(Error::UnknownModel { .. })), "{unknown:?}");
    let wrong = registry.set_serving("wine", ModelServing { instances: Some(0), ..ModelServing::default() }).await;
    assert!(matches!(wrong, Err(Error::BadRequest(_))), "{wrong:?}");
    // A new model of the same name begins anew.
    registry.set_serving("wine", ModelServing { weight: Some(3), ..ModelServing::default() }).await.unwrap();
    registry.delete_model("wine").await.unwrap();
    bench.publish("wine", "b").await;
    assert_eq!(serving().await, ModelServing::default());
}
