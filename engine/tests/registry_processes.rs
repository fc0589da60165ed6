//! Real second processes on one registry: none loses anything, and one that is killed leaves no half version.
//!
//! Each test starts this test binary again, with its own name and a directory in the environment; there it publishes.
#![expect(clippy::unwrap_used, reason = "the helpers are part of the tests")]

use std::{
    env,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use contract::VersionMetadata;
use engine::registry::{Registry, RegistrySettings};
use tokio::runtime::{Handle, Runtime};

/// Names the directory for a process that was started to publish there.
const DIRECTORY: &str = "EMBERLINE_TEST_PUBLISHER_DIRECTORY";
/// How many versions it publishes.
const COUNT: &str = "EMBERLINE_TEST_PUBLISHER_COUNT";
/// Bytes of each of the two files.
const FILE_BYTES: usize = 200_000;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

async fn open(directory: &Path) -> Registry {
    let settings = RegistrySettings {
        database_url: format!("sqlite://{}/registry.db", directory.display()),
        artifacts_url: format!("file://{}/artifacts", directory.display()),
        cache_dir: directory.join("cache"),
    };
    Registry::open(settings, Handle::current()).await.unwrap()
}

/// What a file of an artifact that was made from `seed` holds.
fn content(seed: u64, file: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ file;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..FILE_BYTES).map(|_| next()).collect()
}

fn start_publisher(test: &str, directory: &Path, count: u64) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(DIRECTORY, directory)
        .env(COUNT, count.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// In a process that was started to publish: publishes, and tells so.
fn publishes_here() -> bool {
    let (Ok(directory), Ok(count)) = (env::var(DIRECTORY), env::var(COUNT)) else { return false };
    let directory = PathBuf::from(directory);
    runtime().block_on(async {
        let registry = open(&directory).await;
        let source = tempfile::tempdir_in(&directory).unwrap();
        for number in 0..count.parse().unwrap() {
            let seed = u64::from(std::process::id()) << 32 | number;
            for file in 0..2 {
                fs_err::write(source.path().join(format!("file-{file}.bin")), content(seed, file)).unwrap();
            }
            let mut metadata = VersionMetadata::new("test");
            metadata.hyper_parameters.insert("seed".to_owned(), seed.into());
            registry.publish("wine", source.path(), metadata).await.unwrap();
        }
    });
    true
}

/// Checks that versions are consecutive and that each is whole; their number.
async fn check(registry: &Registry) -> usize {
    let models = registry.models().await.unwrap();
    let Some(model) = models.first() else { return 0 };
    let numbers: Vec<_> = model.versions.iter().map(|version| version.version as usize).collect();
    assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>());
    for version in &model.versions {
        let directory = registry.fetch(version).await.unwrap();
        let seed = version.metadata.hyper_parameters["seed"].as_u64().unwrap();
        for file in 0..2 {
            let got = fs_err::read(directory.join(format!("file-{file}.bin"))).unwrap();
            assert!(got == content(seed, file), "version {} is not what was published", version.version);
        }
        assert_eq!(version.size_bytes, 2 * FILE_BYTES as u64);
        assert_eq!(fs_err::read_dir(directory).unwrap().count(), 2);
    }
    assert_eq!(registry.history("wine").await.unwrap().len(), numbers.len());
    assert_eq!(usize::try_from(registry.generation().await.unwrap()).unwrap(), numbers.len());
    numbers.len()
}

#[test]
fn processes_that_publish_at_once_lose_nothing() {
    if publishes_here() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let start = || start_publisher("processes_that_publish_at_once_lose_nothing", directory.path(), 10);
    // All three create the registry at once, too.
    for mut publisher in [start(), start(), start()] {
        assert!(publisher.wait().unwrap().success());
    }
    runtime().block_on(async { assert_eq!(check(&open(directory.path()).await).await, 30) });
}

#[test]
fn a_process_killed_while_publishing_leaves_no_half_version() {
    if publishes_here() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let artifacts = directory.path().join("artifacts/wine");
    let runtime = runtime();
    let (mut versions, mut half_done) = (0, 0);
    let end = Instant::now() + Duration::from_mins(1);
    for round in 0_u64.. {
        let name = "a_process_killed_while_publishing_leaves_no_half_version";
        let mut publisher = start_publisher(name, directory.path(), u64::MAX);
        // Moments that spread over start, upload and commit.
        std::thread::sleep(Duration::from_millis(20 + round * 37 % 150));
        publisher.kill().unwrap();
        assert!(!publisher.wait().unwrap().success(), "the publisher ended before it was killed");
        versions = runtime.block_on(async { check(&open(directory.path()).await).await });
        let places = fs_err::read_dir(&artifacts).map_or(0, Iterator::count);
        half_done = places - versions;
        if round >= 12 && versions > 0 && half_done >= 3 || Instant::now() > end {
            break;
        }
    }
    // Else no process was killed in the middle, and nothing was tested.
    assert!(versions > 0 && half_done >= 3, "{versions} versions, {half_done} half-done uploads");
}
