//! Random changes through two handles, checked step by step against a model of the registry in memory.

use std::{collections::BTreeMap, sync::LazyLock};

use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::*;

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());

const MODELS: [&str; 2] = ["wine", "beer"];
const ALIASES: [&str; 3] = [CHAMPION, "shadow", "7"];

#[derive(Clone, Debug)]
enum Step {
    Publish,
    SetAlias(&'static str, u32),
    RemoveAlias(&'static str),
    DeleteVersion(u32),
    DeleteModel,
}

fn step() -> impl Strategy<Value = Step> {
    let alias = || proptest::sample::select(&ALIASES[..]);
    prop_oneof![
        4 => Just(Step::Publish),
        3 => (alias(), 1_u32..5).prop_map(|(alias, version)| Step::SetAlias(alias, version)),
        2 => alias().prop_map(Step::RemoveAlias),
        3 => (1_u32..5).prop_map(Step::DeleteVersion),
        1 => Just(Step::DeleteModel),
    ]
}

type Row = (Change, Option<u32>, Option<u32>, Option<&'static str>);

/// What a model of the registry should be.
#[derive(Default)]
struct Expected {
    last_version: u32,
    versions: BTreeMap<u32, String>,
    aliases: BTreeMap<&'static str, u32>,
    history: Vec<Row>,
}

/// How a step should end.
#[derive(Debug, PartialEq)]
enum End {
    Done,
    BadRequest,
    UnknownModel,
    UnknownVersion,
    UnknownAlias,
    Conflict,
}

impl Expected {
    fn take(&mut self, step: &Step, content: &str) -> End {
        match *step {
            Step::SetAlias("7", _) => return End::BadRequest,
            Step::Publish => {}
            Step::SetAlias(..) | Step::RemoveAlias(_) | Step::DeleteVersion(_) | Step::DeleteModel => {
                if self.versions.is_empty() {
                    return End::UnknownModel;
                }
            }
        }
        match *step {
            Step::Publish => {
                self.last_version += 1;
                self.versions.insert(self.last_version, content.to_owned());
                self.history.push((Change::Published, Some(self.last_version), None, None));
            }
            Step::SetAlias(_, version) | Step::DeleteVersion(version) if !self.versions.contains_key(&version) => {
                return End::UnknownVersion;
            }
            Step::SetAlias(alias, version) => {
                let previous = self.aliases.insert(alias, version);
                if previous != Some(version) {
                    self.history.push((Change::AliasSet, Some(version), previous, Some(alias)));
                }
            }
            Step::RemoveAlias(alias) => match self.aliases.remove(alias) {
                Some(previous) => self.history.push((Change::AliasRemoved, None, Some(previous), Some(alias))),
                None => return End::UnknownAlias,
            },
            Step::DeleteVersion(version) => {
                if self.aliases.values().any(|named| *named == version) {
                    return End::Conflict;
                }
                self.versions.remove(&version);
                self.history.push((Change::VersionDeleted, Some(version), None, None));
            }
            Step::DeleteModel => {
                if !self.aliases.is_empty() {
                    return End::Conflict;
                }
                self.versions.clear();
                self.history.push((Change::ModelDeleted, None, None, None));
            }
        }
        End::Done
    }
}

async fn take(bench: &Bench, registry: &Registry, name: &str, step: &Step, content: &str) -> End {
    let result = match *step {
        Step::Publish => {
            let published = registry.publish(name, &bench.artifact(content), VersionMetadata::new("mlp")).await;
            published.map(|_| ())
        }
        Step::SetAlias(alias, version) => registry.set_alias(name, alias, version).await,
        Step::RemoveAlias(alias) => registry.remove_alias(name, alias).await,
        Step::DeleteVersion(version) => registry.delete_version(name, version).await,
        Step::DeleteModel => registry.delete_model(name).await,
    };
    match result {
        Ok(()) => End::Done,
        Err(Error::BadRequest(_)) => End::BadRequest,
        Err(Error::UnknownModel { .. }) => End::UnknownModel,
        Err(Error::UnknownVersion { .. }) => End::UnknownVersion,
        Err(Error::UnknownAlias { .. }) => End::UnknownAlias,
        Err(Error::Conflict(_)) => End::Conflict,
        Err(error) => panic!("{error}"),
    }
}

/// Compares all that can be read with what should be there.
async fn compare(bench: &Bench, registry: &Registry, expected: &BTreeMap<&'static str, Expected>) {
    let models = registry.models().await.unwrap();
    let names: Vec<_> = models.iter().map(|model| model.name.as_str()).collect();
    let existing = expected.iter().filter(|(_, model)| !model.versions.is_empty());
    assert_eq!(names, existing.map(|(name, _)| *name).collect::<Vec<_>>());
    for model in &models {
        let expected = &expected[model.name.as_str()];
        assert_eq!(registry.model(&model.name).await.unwrap(), *model);
        let aliases: Vec<_> = model.aliases.iter().map(|(alias, version)| (alias.as_str(), *version)).collect();
        assert_eq!(aliases, expected.aliases.iter().map(|(alias, version)| (*alias, *version)).collect::<Vec<_>>());
        let numbers: Vec<_> = model.versions.iter().map(|version| version.version).collect();
        assert_eq!(numbers, expected.versions.keys().copied().collect::<Vec<_>>());
        for version in &model.versions {
            assert_eq!(registry.version(&model.name, version.version).await.unwrap(), *version);
            let content = fs_err::read_to_string(registry.fetch(version).await.unwrap().join("weights.bin")).unwrap();
            assert_eq!(content, expected.versions[&version.version]);
        }
        let default = expected.aliases.get(CHAMPION).or(expected.versions.keys().last());
        let resolved = registry.resolve(&model.name, &VersionSelector::Default).await.unwrap();
        assert_eq!(Some(&resolved.version), default);
    }
    for (name, model) in expected {
        let history = registry.history(name).await.unwrap_or_default();
        let rows: Vec<Row> = history
            .iter()
            .map(|entry| {
                let alias = ALIASES.into_iter().find(|alias| entry.alias.as_deref() == Some(alias));
                (entry.change, entry.version, entry.previous_version, alias)
            })
            .collect();
        assert_eq!(rows, model.history);
    }
    let changes: usize = expected.values().map(|model| model.history.len()).sum();
    assert_eq!(registry.generation().await.unwrap(), i64::try_from(changes).unwrap());
    // No file is left of what was deleted.
    assert_eq!(bench.places(), expected.values().map(|model| model.versions.len()).sum::<usize>());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn behaves_like_its_model(steps in proptest::collection::vec((0..2_usize, 0..2_usize, step()), 1..25)) {
        RUNTIME.block_on(async {
            let bench = bench().await;
            let second = Registry::open(settings(bench.directory.path()), Handle::current()).await.unwrap();
            let registries = [&bench.registry, &second];
            let mut expected: BTreeMap<&'static str, Expected> = BTreeMap::new();
            for (number, (model, handle, step)) in steps.iter().enumerate() {
                let (name, content) = (MODELS[*model], number.to_string());
                let end = take(&bench, registries[*handle], name, step, &content).await;
                assert_eq!(end, expected.entry(name).or_default().take(step, &content), "{step:?}");
                compare(&bench, registries[1 - *handle], &expected).await;
            }
        });
    }
}
