//! Whoever runs the server: publishes versions, right and wrong ones, moves aliases, deletes, unloads and loads, without end.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use engine::serve::VersionState;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{
    history::CHAMPION,
    plan::Model,
    world::{World, Wrong},
};

/// Versions of a model that are kept.
const KEPT: usize = 4;
const ALIASES: [&str; 2] = [CHAMPION, "stable"];
/// What ended so long ago is of no request any more.
const MEMORY: Duration = Duration::from_mins(1);

/// What is registered of a model.
#[derive(Debug, Default)]
struct Registered {
    /// Numbers, and whether they can be loaded.
    versions: BTreeMap<u32, bool>,
    aliases: BTreeMap<&'static str, u32>,
    held: bool,
}

/// Works until `until`; gives the number of changes. An error is a violation: a change that must succeed did not, or what
/// serves is not what should.
pub(crate) async fn work(world: &World, seed: u64, until: Instant) -> Result<u64> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(u64::MAX);
    let start = || Registered {
        versions: BTreeMap::from([(1, true)]),
        aliases: ALIASES.map(|alias| (alias, 1)).into(),
        held: false,
    };
    let mut moving = start();
    let mut coming = start();
    let mut changes = 0;
    while Instant::now() < until {
        let (model, registered) =
            if random.random_bool(0.5) { (Model::Moving, &mut moving) } else { (Model::Coming, &mut coming) };
        change(world, model, registered, &mut random).await?;
        changes += 1;
        world.history.forget(Instant::now().checked_sub(MEMORY).unwrap_or_else(Instant::now));
        tokio::time::sleep(Duration::from_millis(random.random_range(0..60))).await;
    }
    Ok(changes)
}

async fn change(world: &World, model: Model, registered: &mut Registered, random: &mut ChaCha8Rng) -> Result<()> {
    let registry = &world.engine.registry;
    let name = model.name();
    let good: Vec<u32> = registered.versions.iter().filter(|(_, good)| **good).map(|(version, _)| *version).collect();
    let chosen = good[random.random_range(0..good.len())];
    let alias = ALIASES[random.random_range(0..ALIASES.len())];
    match random.random_range(0..10) {
        0..3 => {
            let wrong = match random.random_range(0..6) {
                0 => Wrong::Golden,
                1 => Wrong::Warming,
                _ => Wrong::Nothing,
            };
            let version = world.publish(model, wrong).await?;
            registered.versions.insert(version, wrong == Wrong::Nothing);
        }
        3..7 => {
            world.history.names(model, alias, Some(chosen));
            // One that no alias named and that is not the newest may have been unloaded.
            world.history.returns(model, chosen);
            registry.set_alias(name, alias, chosen).await?;
            registered.aliases.insert(alias, chosen);
        }
        7 => {
            world.history.names(model, alias, None);
            if registered.aliases.remove(alias).is_some() {
                registry.remove_alias(name, alias).await?;
            }
        }
        8 if model == Model::Coming => {
            if registered.held {
                for version in good {
                    world.history.returns(model, version);
                }
                // A newest version that cannot be loaded is told of; the others serve.
                let loaded = world.engine.load(name).await;
                let newest_is_good = registered.versions.last_key_value().is_some_and(|(_, good)| *good);
                ensure!(loaded.is_ok() || !newest_is_good, "loading '{name}' failed: {loaded:?}");
            } else {
                world.engine.unload(name).await?;
            }
            registered.held = !registered.held;
        }
        _ => {}
    }
    delete_old(world, model, registered).await?;
    world.engine.refresh().await?;
    compare(world, model, registered)
}

/// Deletes the oldest versions that no alias names.
async fn delete_old(world: &World, model: Model, registered: &mut Registered) -> Result<()> {
    let named: BTreeSet<u32> = registered.aliases.values().copied().collect();
    while registered.versions.len() > KEPT {
        let good = registered.versions.values().filter(|good| **good).count();
        let last_good = |is_good: bool| is_good && good == 1;
        let mut versions = registered.versions.iter();
        let unnamed = versions.find(|(version, is_good)| !named.contains(version) && !last_good(**is_good));
        let Some((version, _good)) = unnamed else { break };
        let version = *version;
        world.engine.registry.delete_version(model.name(), version).await?;
        registered.versions.remove(&version);
    }
    Ok(())
}

/// Compares what serves with what is registered, and tells the history what serves no more.
fn compare(world: &World, model: Model, registered: &Registered) -> Result<()> {
    let name = model.name();
    let served = world.engine.serving.models().into_iter().find(|served| served.name == name);
    let ready: BTreeSet<u32> = served
        .iter()
        .flat_map(|served| &served.versions)
        .filter(|version| version.state == VersionState::Ready)
        .map(|version| version.version)
        .collect();
    for version in &ready {
        let wrong = registered.versions.get(version) == Some(&false);
        ensure!(!wrong, "version {version} of '{name}' serves, which fails its self-test or cannot be warmed");
    }
    if registered.held {
        ensure!(ready.is_empty(), "'{name}' is unloaded and its versions {ready:?} serve");
    } else {
        let newest = registered.versions.last_key_value().map(|(version, _good)| *version);
        for version in registered.aliases.values().copied().chain(newest) {
            let good = registered.versions.get(&version) == Some(&true);
            ensure!(!good || ready.contains(&version), "version {version} of '{name}' should serve, and {ready:?} do");
        }
        for alias in ALIASES {
            let serves = served.as_ref().and_then(|served| served.aliases.get(alias)).copied();
            let expected = registered.aliases.get(alias).copied();
            ensure!(serves == expected, "alias '{alias}' of '{name}' names {serves:?}, and should {expected:?}");
            world.history.named(model, alias, expected);
        }
    }
    // All that are not ready, those that were deleted long ago included.
    world.history.keeps(model, &ready);
    Ok(())
}
