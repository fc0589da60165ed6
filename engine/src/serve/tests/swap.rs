//! Versions and aliases move while many requests run.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use parking_lot::Mutex;

use super::*;

const SWAPS: u32 = 40;
const READERS: usize = 8;

/// When a version may have been meant: from before the change that made it so until after the one that ended it.
#[derive(Clone, Copy)]
struct Reign {
    version: u32,
    from: Instant,
    until: Option<Instant>,
}

#[derive(Default)]
struct Reigns(Mutex<Vec<Reign>>);

impl Reigns {
    fn begin(&self, version: u32) {
        self.0.lock().push(Reign { version, from: Instant::now(), until: None });
    }

    fn end(&self, version: u32) {
        let now = Instant::now();
        for reign in self.0.lock().iter_mut().filter(|reign| reign.version == version && reign.until.is_none()) {
            reign.until = Some(now);
        }
    }

    fn check(&self, seen: &[(u32, Instant, Instant)]) {
        let reigns = self.0.lock();
        for (version, start, end) in seen {
            let meant = reigns.iter().any(|reign| {
                reign.version == *version && reign.from <= *end && reign.until.is_none_or(|until| until >= *start)
            });
            assert!(meant, "version {version} answered although it was not meant");
        }
    }
}

fn fake(version: u32) -> FakeSettings {
    FakeSettings { offset: version as f32 * 1000.0, ..FakeSettings::default() }
}

/// Sends requests until told to stop; gives who answered each, and when.
async fn read(
    serving: Serving,
    selector: VersionSelector,
    reader: usize,
    stop: Arc<AtomicBool>,
) -> Vec<(u32, Instant, Instant)> {
    let mut seen = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        // Few different requests, so that the cache is hit too.
        let value = (seen.len() % 5) as f32;
        let rows = 1 + seen.len() % 11;
        let sent = PredictRequest {
            selector: selector.clone(),
            cache: if reader.is_multiple_of(3) { crate::serve::CacheUse::NONE } else { crate::serve::CacheUse::FULL },
            ..request((0..rows).map(|row| value + row as f32))
        };
        let start = Instant::now();
        let prediction = serving.predict(sent).await.expect("a request was dropped");
        let end = Instant::now();
        let expected: Vec<f32> = (0..rows).map(|row| value + row as f32 + prediction.version as f32 * 1000.0).collect();
        assert_eq!(sums(&prediction), expected, "an answer is not its version's");
        seen.push((prediction.version, start, end));
        if seen.len().is_multiple_of(16) {
            tokio::task::yield_now().await;
        }
    }
    seen
}

/// Runs readers beside `swap`, which moves the version that `selector` means.
async fn swap_under_load(
    serving: Serving,
    selector: impl Fn(usize) -> VersionSelector,
    reigns: &Reigns,
    swap: impl AsyncFnOnce(),
) {
    let stop = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..READERS)
        .map(|reader| tokio::spawn(read(serving.clone(), selector(reader), reader, Arc::clone(&stop))))
        .collect();
    swap().await;
    stop.store(true, Ordering::SeqCst);
    let mut versions = std::collections::BTreeSet::new();
    for reader in readers {
        let seen = reader.await.unwrap();
        assert!(!seen.is_empty());
        versions.extend(seen.iter().map(|(version, ..)| *version));
        reigns.check(&seen);
    }
    assert!(versions.len() > 3, "the load saw only versions {versions:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn moving_an_alias_drops_no_request() {
    let serving = serving(ServingSettings { cache_bytes: 1 << 20, ..settings() });
    let reigns = Reigns::default();
    let name = |version| BTreeMap::from([("champion".to_owned(), version), ("live".to_owned(), version)]);
    let mut previous = load(&serving, 1, fake(1)).await;
    reigns.begin(1);
    serving.set_aliases("m", name(1));
    let selector = |reader: usize| match reader % 2 {
        0 => VersionSelector::Default,
        _ => VersionSelector::Alias("live".to_owned()),
    };
    let swap = async || {
        for version in 2..SWAPS {
            let probe = load(&serving, version, fake(version)).await;
            reigns.begin(version);
            serving.set_aliases("m", name(version));
            reigns.end(version - 1);
            serving.unload("m", version - 1).await.unwrap();
            assert_eq!(previous.drops(), 1, "an unloaded version still holds its memory");
            previous = probe;
        }
    };
    swap_under_load(serving.clone(), selector, &reigns, swap).await;
    assert_eq!(serving.models()[0].versions.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_highest_version_takes_over_and_hands_back_without_a_drop() {
    let serving = serving(ServingSettings { cache_bytes: 1 << 20, ..settings() });
    let reigns = Reigns::default();
    load(&serving, 1, fake(1)).await;
    reigns.begin(1);
    let swap = async || {
        for version in 2..SWAPS {
            reigns.begin(version);
            let probe = load(&serving, version, fake(version)).await;
            reigns.end(1);
            tokio::time::sleep(Duration::from_millis(2)).await;
            reigns.begin(1);
            serving.unload("m", version).await.unwrap();
            reigns.end(version);
            assert_eq!(probe.drops(), 1);
        }
    };
    swap_under_load(serving.clone(), |_reader| VersionSelector::Default, &reigns, swap).await;
}
