use std::{collections::BTreeMap, path::Path};

use contract::{LossKind, Tensor, Value, VersionMetadata};

use super::*;
use crate::{
    feedback::FeedbackKey,
    registry::VersionSelector,
    serve::{CacheUse, PredictRequest, VersionState},
    testing::{FakeFormat, FakeModel, FakeSettings},
};

struct House {
    engine: Arc<Engine>,
    directory: tempfile::TempDir,
}

impl House {
    async fn open() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let engine = open(directory.path()).await;
        Self { engine, directory }
    }

    async fn publish(&self, settings: &FakeSettings) -> u32 {
        let artifact = tempfile::tempdir_in(self.directory.path()).unwrap();
        FakeFormat::save(artifact.path(), settings).unwrap();
        let mut metadata = VersionMetadata::new("fake");
        metadata.loss = Some(LossKind::Squared);
        self.engine.registry.publish("sum", artifact.path(), metadata).await.unwrap().version
    }

    async fn publish_offset(&self, offset: f32) -> u32 {
        self.publish(&FakeSettings { offset, ..FakeSettings::default() }).await
    }

    async fn ask(&self, selector: VersionSelector) -> Result<(u32, f32)> {
        let input = FakeModel::with_offset(0.0).input(&[1.0, 2.0]).unwrap();
        let request = PredictRequest { selector, ..PredictRequest::new("sum", vec![input]) };
        let prediction = self.engine.predict(request, None).await?;
        Ok((prediction.version, prediction.outputs[0].values::<f32>().unwrap()[0]))
    }

    fn states(&self) -> Vec<(u32, VersionState)> {
        let models = self.engine.serving.models();
        models.into_iter().flat_map(|model| model.versions).map(|version| (version.version, version.state)).collect()
    }
}

async fn open(directory: &Path) -> Arc<Engine> {
    let registry = RegistrySettings {
        database_url: format!("sqlite://{}", directory.join("registry.db").display()),
        artifacts_url: format!("file://{}", directory.join("artifacts").display()),
        cache_dir: directory.join("cache"),
    };
    let settings = EngineSettings {
        registry,
        features: directory.join("features.redb"),
        serving: ServingSettings::default(),
        feedback: FeedbackSettings::default(),
        jobs: JobsSettings::new("/bin/false".into(), directory.join("jobs")),
    };
    Engine::open(settings, vec![Device::cpu()], Arc::new(FakeFormat), Handle::current()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serves_the_newest_and_the_named_and_nothing_else() {
    let house = House::open().await;
    for offset in [10., 20., 30.] {
        house.publish_offset(offset).await;
    }
    house.engine.registry.set_alias("sum", "old", 1).await.unwrap();
    house.engine.refresh().await.unwrap();
    assert_eq!(house.states(), [(1, VersionState::Ready), (3, VersionState::Ready)]);
    assert_eq!(house.ask(VersionSelector::Default).await.unwrap(), (3, 33.0));
    assert_eq!(house.ask(VersionSelector::Alias("old".to_owned())).await.unwrap(), (1, 13.0));
    let unserved = house.ask(VersionSelector::Version(2)).await.unwrap_err().to_string();
    assert_eq!(
        unserved,
        "model 'sum' version 2 is not ready: not loaded, because no alias names it and it is not the newest"
    );
    assert!(matches!(house.ask(VersionSelector::Version(4)).await, Err(Error::UnknownVersion { .. })));

    house.engine.registry.set_alias("sum", "champion", 2).await.unwrap();
    house.engine.registry.remove_alias("sum", "old").await.unwrap();
    house.engine.refresh().await.unwrap();
    assert_eq!(house.states(), [(2, VersionState::Ready), (3, VersionState::Ready)]);
    assert_eq!(house.ask(VersionSelector::Default).await.unwrap(), (2, 23.0));

    house.engine.registry.delete_version("sum", 3).await.unwrap();
    house.engine.refresh().await.unwrap();
    assert_eq!(house.states(), [(2, VersionState::Ready)]);
    house.engine.registry.remove_alias("sum", "champion").await.unwrap();
    house.engine.registry.delete_model("sum").await.unwrap();
    house.engine.refresh().await.unwrap();
    assert_eq!(house.engine.serving.models(), []);
    assert!(matches!(house.ask(VersionSelector::Default).await, Err(Error::UnknownModel { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_fails_stops_no_other_and_keeps_its_alias_away() {
    let house = House::open().await;
    house.publish_offset(10.).await;
    house.engine.registry.set_alias("sum", "champion", 1).await.unwrap();
    house.engine.refresh().await.unwrap();
    house.publish(&FakeSettings { wrong_golden: true, ..FakeSettings::default() }).await;
    house.engine.registry.set_alias("sum", "champion", 2).await.unwrap();
    // Not a fake model at all: the format refuses it.
    let other = tempfile::tempdir().unwrap();
    fs_err::write(other.path().join("other.bin"), "x").unwrap();
    house.engine.registry.publish("other", other.path(), VersionMetadata::new("other")).await.unwrap();
    house.engine.refresh().await.unwrap();

    let states = house.states();
    assert!(matches!(&states[0], (1, VersionState::Failed(reason)) if reason.contains("fake.json")), "{states:?}");
    assert_eq!(states[1], (1, VersionState::Ready));
    assert!(matches!(&states[2], (2, VersionState::Failed(reason)) if reason.contains("self-test")), "{states:?}");
    assert_eq!(house.ask(VersionSelector::Default).await.unwrap(), (1, 13.0));
    let failed = house.ask(VersionSelector::Version(2)).await.unwrap_err();
    assert!(matches!(failed, Error::NotReady { version: 2, .. }), "{failed}");
    assert_eq!(house.engine.not_ready(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_watcher_loads_what_another_process_registers() {
    let house = House::open().await;
    house.publish_offset(1.).await;
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while house.ask(VersionSelector::Default).await.is_err() {
        assert!(std::time::Instant::now() < deadline, "nothing was loaded");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(house.engine.not_ready(), None);
    house.engine.shutdown(Duration::from_secs(5)).await;
    assert!(house.engine.not_ready().is_some());
    assert!(matches!(house.ask(VersionSelector::Default).await, Err(Error::ShuttingDown)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entities_and_rows_get_the_answer_of_their_tensor() {
    let house = House::open().await;
    house.publish_offset(0.5).await;
    house.engine.refresh().await.unwrap();
    let row = |one: Value, two: Value| BTreeMap::from([("x0".to_owned(), one), ("x1".to_owned(), two)]);
    let features = vec![
        ("a".to_owned(), row(Value::Float(1.5), Value::Int(2))),
        ("b".to_owned(), row(Value::Null, Value::Float(4.0))),
    ];
    assert_eq!(house.engine.put_features("wines", features.clone()).await.unwrap(), 2);
    let ids = ["b".to_owned(), "a".to_owned()];
    let by_entity =
        house.engine.predict_entities("sum", VersionSelector::Default, "wines", &ids, CacheUse::FULL).await.unwrap();
    assert_eq!(by_entity.outputs[0].values::<f32>(), Some([4.5, 4.0].as_slice()));
    let rows: Vec<_> = features.into_iter().map(|(_, row)| row).rev().collect();
    let by_row = house.engine.predict_rows("sum", VersionSelector::Default, rows, CacheUse::FULL, false).await.unwrap();
    assert_eq!(by_row.outputs[0], by_entity.outputs[0]);

    let scored =
        house.engine.feedback.label(&FeedbackKey::Entity { model: None, id: "a".to_owned() }, &Value::Int(5)).unwrap();
    assert_eq!((scored.prediction, scored.version), (format!("{}#1", by_entity.id), 1));
    let scored = house.engine.feedback.label(&FeedbackKey::Prediction(format!("{}#0", by_row.id)), &Value::Int(5));
    assert!(scored.is_ok());

    let unknown = house
        .engine
        .predict_entities("sum", VersionSelector::Default, "wines", &["a".to_owned(), "z".to_owned()], CacheUse::FULL)
        .await;
    assert!(matches!(unknown, Err(Error::UnknownEntities { ids, .. }) if ids == ["z"]));
    let message = |row| async {
        house
            .engine
            .predict_rows("sum", VersionSelector::Default, vec![row], CacheUse::FULL, false)
            .await
            .unwrap_err()
            .to_string()
    };
    let short = BTreeMap::from([("x0".to_owned(), Value::Null)]);
    assert_eq!(message(short).await, "row 0: expected a numeric value or null for column 'x1', got none");
    let mut long = row(Value::Null, Value::Null);
    long.insert("x2".to_owned(), Value::Null);
    assert_eq!(message(long).await, "row 0: expected the columns 'x0', 'x1', got 'x2'");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_without_its_score_is_not_remembered() {
    let house = House::open().await;
    house.publish_offset(0.).await;
    house.engine.refresh().await.unwrap();
    let input = Tensor::from_values("features", vec![1, 2], &[1_f32, 2.]).unwrap();
    let request = PredictRequest { outputs: vec!["twice".to_owned()], ..PredictRequest::new("sum", vec![input]) };
    let prediction = house.engine.predict(request, None).await.unwrap();
    let label = house.engine.feedback.label(&FeedbackKey::Prediction(prediction.id.to_string()), &Value::Int(1));
    assert!(matches!(label, Err(Error::UnknownPrediction { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_is_out_of_service_until_it_is_loaded_again() {
    let house = House::open().await;
    house.publish_offset(10.).await;
    house.publish_offset(20.).await;
    house.engine.registry.set_alias("sum", "champion", 1).await.unwrap();
    house.engine.refresh().await.unwrap();
    house.engine.unload("sum").await.unwrap();
    assert_eq!(house.states(), []);
    for selector in [
        VersionSelector::Default,
        VersionSelector::Version(1),
        VersionSelector::Version(7),
        VersionSelector::Alias("champion".to_owned()),
    ] {
        let refused = house.ask(selector).await.unwrap_err();
        assert_eq!(refused.to_string(), "model 'sum' has no available versions: it was unloaded");
    }
    assert_eq!(house.engine.not_ready(), None);
    // Neither the watcher nor a new version brings it back.
    house.publish_offset(30.).await;
    house.engine.refresh().await.unwrap();
    assert_eq!(house.states(), []);
    house.engine.unload("sum").await.unwrap();

    house.engine.load("sum").await.unwrap();
    assert_eq!(house.states(), [(1, VersionState::Ready), (3, VersionState::Ready)]);
    assert_eq!(house.ask(VersionSelector::Default).await.unwrap(), (1, 13.0));
    // Loading what serves changes nothing.
    house.engine.load("sum").await.unwrap();
    assert_eq!(house.ask(VersionSelector::Version(3)).await.unwrap(), (3, 33.0));

    house.engine.unload("nope").await.unwrap();
    assert!(!house.engine.is_held("nope"));
    assert!(matches!(house.engine.load("nope").await, Err(Error::UnknownModel { .. })));
    house.publish(&FakeSettings { wrong_golden: true, ..FakeSettings::default() }).await;
    let failed = house.engine.load("sum").await.unwrap_err();
    assert!(matches!(&failed, Error::NotReady { version: 4, state, .. } if state.contains("self-test")), "{failed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unloading_and_loading_one_model_loses_no_request_of_another() {
    let house = House::open().await;
    house.publish_offset(1.).await;
    let artifact = tempfile::tempdir_in(house.directory.path()).unwrap();
    FakeFormat::save(artifact.path(), &FakeSettings::default()).unwrap();
    house.engine.registry.publish("other", artifact.path(), VersionMetadata::new("fake")).await.unwrap();
    house.engine.refresh().await.unwrap();

    let done = Arc::new(AtomicBool::new(false));
    let clients = (0..4_u16).map(|client| {
        let (engine, done) = (Arc::clone(&house.engine), Arc::clone(&done));
        tokio::spawn(async move {
            let mut answered = 1_u16;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let (one, other) = (f32::from(answered), f32::from(client));
                let input = FakeModel::with_offset(0.0).input(&[one, other]).unwrap();
                let prediction = engine.predict(PredictRequest::new("sum", vec![input]), None).await.unwrap();
                assert_eq!(prediction.outputs[0].values::<f32>().unwrap(), [one + other + 1.0]);
                answered = (answered + 1) % 1000;
                // What comes from the cache waits for nothing.
                tokio::task::yield_now().await;
            }
        })
    });
    let clients: Vec<_> = clients.collect();
    // Requests for the model that goes are answered rightly or refused as unloaded, nothing else.
    let (engine, there) = (Arc::clone(&house.engine), Arc::clone(&done));
    let visitor = tokio::spawn(async move {
        let (mut answered, mut refused) = (0, 0);
        while !there.load(std::sync::atomic::Ordering::Relaxed) {
            let input = FakeModel::with_offset(0.0).input(&[1.0, 2.0]).unwrap();
            let request = PredictRequest { cache: CacheUse::NONE, ..PredictRequest::new("other", vec![input]) };
            match engine.predict(request, None).await {
                Ok(prediction) => {
                    assert_eq!(prediction.outputs[0].values::<f32>().unwrap(), [3.0]);
                    answered += 1;
                }
                // Between the hold's end and the load's, it is on its way.
                Err(Error::Unloaded { .. } | Error::NotReady { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
            tokio::task::yield_now().await;
        }
        (answered, refused)
    });
    for _ in 0..20 {
        house.engine.unload("other").await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
        house.engine.load("other").await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    let (answered, refused) = visitor.await.unwrap();
    assert!(answered > 0 && refused > 0, "{answered} answered, {refused} refused");
}

/// The last word counts: a model that is loaded again while its requests drain is there afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_overtakes_an_unload_that_drains() {
    let house = House::open().await;
    house.publish(&FakeSettings { batch_micros: 200_000, golden: false, ..FakeSettings::default() }).await;
    house.engine.refresh().await.unwrap();
    let input = FakeModel::with_offset(0.0).input(&[1.0, 2.0]).unwrap();
    let (engine, again) = (Arc::clone(&house.engine), Arc::clone(&house.engine));
    let slow = tokio::spawn(async move { engine.predict(PredictRequest::new("sum", vec![input]), None).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let unloading = tokio::spawn(async move { again.unload("sum").await });
    while !house.states().contains(&(1, VersionState::Unloading)) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    house.engine.load("sum").await.unwrap();
    assert_eq!(slow.await.unwrap().unwrap().outputs[0].values::<f32>().unwrap(), [3.0]);
    unloading.await.unwrap().unwrap();
    assert_eq!(house.states(), [(1, VersionState::Ready)]);
    assert_eq!(house.ask(VersionSelector::Default).await.unwrap(), (1, 3.0));
}

/// Whoever asks for it may go away half-way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unload_that_nobody_waits_for_is_done() {
    let house = House::open().await;
    house.publish_offset(1.).await;
    house.engine.refresh().await.unwrap();
    {
        let unloading = house.engine.unload("sum");
        tokio::pin!(unloading);
        // As far as the hold, and no further.
        while !house.engine.is_held("sum") {
            let _ = tokio::time::timeout(Duration::from_micros(50), &mut unloading).await;
        }
    }
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !house.states().is_empty() {
        assert!(std::time::Instant::now() < deadline, "it still serves");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    house.engine.load("sum").await.unwrap();
    assert_eq!(house.ask(VersionSelector::Default).await.unwrap(), (1, 4.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serving_settings_reach_what_serves_without_a_reload() {
    let house = House::open().await;
    house.publish_offset(10.).await;
    house.engine.refresh().await.unwrap();
    let settings = crate::serve::ModelServing { instances: Some(2), priority_levels: Some(3), ..Default::default() };
    house.engine.registry.set_serving("sum", settings.clone()).await.unwrap();
    house.engine.refresh().await.unwrap();
    let deployment = house.engine.deployment("sum", &VersionSelector::Default).unwrap();
    assert_eq!((deployment.devices()[0].instances, deployment.settings().priority_levels), (2, 3));
    assert_eq!(house.ask(VersionSelector::Default).await.unwrap(), (1, 13.0));
    // So they do a version that is published later, and are gone with the model.
    house.publish_offset(20.).await;
    house.engine.refresh().await.unwrap();
    assert_eq!(house.engine.deployment("sum", &VersionSelector::Version(2)).unwrap().devices()[0].instances, 2);
    assert_eq!(house.engine.serving.model_settings("sum"), settings);
    house.engine.registry.delete_model("sum").await.unwrap();
    house.engine.refresh().await.unwrap();
    assert_eq!(house.engine.serving.model_settings("sum"), crate::serve::ModelServing::default());
}
