//! The store on real files: round trips, damage, a second process.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use proptest::prelude::*;
use tempfile::TempDir;

use super::{
    super::row::tests::{same, values},
    *,
};

fn open(directory: &TempDir) -> FeatureStore {
    FeatureStore::open(&directory.path().join("features.redb")).unwrap()
}

fn one(name: &str, value: f64) -> BTreeMap<String, Value> {
    BTreeMap::from([(name.to_owned(), Value::Float(value))])
}

#[test]
fn keeps_rows_by_view_and_entity() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    let before = Utc::now();
    let written = store.put("wine", &[("a".to_owned(), one("x", 1.0)), ("b".to_owned(), one("x", 2.0))]).unwrap();
    assert_eq!(written, 2);
    store.put("beer", &[("a".to_owned(), one("y", 3.0))]).unwrap();
    store.put("wine", &[("a".to_owned(), one("z", 4.0))]).unwrap();
    let rows = store.get("wine", &["b", "none", "a"]).unwrap();
    let found: Vec<_> = rows.iter().map(|row| row.as_ref().map(|row| row.values.clone())).collect();
    assert_eq!(found, [Some(one("x", 2.0)), None, Some(one("z", 4.0))]);
    let updated_at = rows[0].as_ref().unwrap().updated_at;
    assert!(updated_at >= before.trunc_subsecs(6) && updated_at <= Utc::now());
    assert_eq!(store.delete("wine", &["a", "none"]).unwrap(), 1);
    assert_eq!(store.get("wine", &["a"]).unwrap(), [None]);
    let views = store.views().unwrap();
    let named: Vec<_> = views.iter().map(|view| (view.name.as_str(), view.rows)).collect();
    assert_eq!(named, [("beer", 1), ("wine", 1)]);
}

#[test]
fn says_what_is_wrong_with_a_request() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    assert!(matches!(store.get("wine", &["a"]), Err(Error::UnknownView { view }) if view == "wine"));
    assert!(matches!(store.delete("wine", &["a"]), Err(Error::UnknownView { view: _ })));
    for view in ["", "a/b", ".a", "ä", &"v".repeat(129)] {
        let error = store.put(view, &[("a".to_owned(), one("x", 1.0))]).unwrap_err();
        assert!(matches!(&error, Error::BadRequest(message) if message.ends_with(&format!("got '{view}'"))), "{error}");
    }
    for id in [String::new(), "e".repeat(513)] {
        let rows = [("good".to_owned(), one("x", 1.0)), (id, one("x", 1.0))];
        assert!(matches!(store.put("wine", &rows), Err(Error::BadRequest(_))));
    }
    // Neither a refused nor an empty write makes a view.
    assert_eq!(store.put("wine", &[]).unwrap(), 0);
    assert_eq!(store.views().unwrap(), []);
}

#[test]
fn clones_share_the_file_and_readers_do_not_wait_for_a_writer() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    store.put("v", &[("a".to_owned(), one("x", 0.0))]).unwrap();
    std::thread::scope(|scope| {
        let writer = store.clone();
        let writing = scope.spawn(move || {
            for i in 1..=50 {
                writer.put("v", &[("a".to_owned(), one("x", f64::from(i)))]).unwrap();
            }
        });
        let mut last = -1.0;
        while !writing.is_finished() {
            let row = store.get("v", &["a"]).unwrap().remove(0).unwrap();
            let value = row.values["x"].as_f64().unwrap();
            assert!(value >= last);
            last = value;
        }
    });
    assert_eq!(store.get("v", &["a"]).unwrap()[0].as_ref().unwrap().values, one("x", 50.0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn agrees_with_a_map_and_survives_reopening(
        steps in proptest::collection::vec((0_usize..2, 0_usize..5, proptest::option::of(values())), 1..12),
        reopen in 0_usize..12,
    ) {
        const VIEWS: [&str; 2] = ["v0", "v1"];
        let directory = TempDir::new().unwrap();
        let mut store = open(&directory);
        let mut naive: BTreeMap<&str, BTreeMap<String, BTreeMap<String, Value>>> = BTreeMap::new();
        for (i, (view, id, values)) in steps.into_iter().enumerate() {
            let (view, id) = (VIEWS[view], format!("e{id}"));
            if let Some(values) = values {
                store.put(view, &[(id.clone(), values.clone())]).unwrap();
                naive.entry(view).or_default().insert(id, values);
            } else if let Some(rows) = naive.get_mut(view) {
                prop_assert_eq!(store.delete(view, &[&id]).unwrap(), usize::from(rows.remove(&id).is_some()));
            }
            if i == reopen {
                drop(store);
                store = open(&directory);
            }
        }
        drop(store);
        let store = open(&directory);
        let views: Vec<_> = store.views().unwrap().into_iter().map(|view| (view.name, view.rows)).collect();
        let expected: Vec<_> = naive.iter().map(|(view, rows)| ((*view).to_owned(), rows.len() as u64)).collect();
        prop_assert_eq!(views, expected);
        for (view, rows) in &naive {
            for (i, row) in store.get(view, &["e0", "e1", "e2", "e3", "e4"]).unwrap().into_iter().enumerate() {
                match (row, rows.get(&format!("e{i}"))) {
                    (None, None) => {}
                    (Some(row), Some(values)) => prop_assert!(same(&row.values, values)),
                    (row, values) => prop_assert!(false, "{:?} for {:?}", row, values),
                }
            }
        }
    }
}

#[test]
fn names_a_damaged_file() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("features.redb");
    {
        let store = FeatureStore::open(&path).unwrap();
        let rows: Vec<_> = (0..500).map(|i| (format!("e{i}"), one("x", f64::from(i)))).collect();
        store.put("v", &rows).unwrap();
    }
    let whole = fs_err::read(&path).unwrap();
    let fails = |bytes: &[u8]| {
        fs_err::write(&path, bytes).unwrap();
        let error = FeatureStore::open(&path).unwrap_err().to_string();
        assert!(error.contains("features.redb") && !error.contains('\n'), "{error}");
    };
    fails(b"");
    fails(b"entity,alcohol\n1,9.4\n");
    fails(&whole[..5000]);
    fails(&whole[..whole.len() / 2]);
    fails(&vec![0; whole.len()]);
    let page = whole.windows(4).position(|bytes| bytes == b"e250").unwrap();
    let mut flipped = whole.clone();
    flipped[page + 8] ^= 1;
    fails(&flipped);
    // Anywhere else damage is found, or lies where nothing is stored; it never is a panic or a wrong row.
    for at in (0..whole.len()).step_by(whole.len() / 150) {
        let mut flipped = whole.clone();
        flipped[at..(at + 16).min(whole.len())].iter_mut().for_each(|byte| *byte ^= 0x5a);
        fs_err::write(&path, &flipped).unwrap();
        match FeatureStore::open(&path) {
            Err(error) => assert!(error.to_string().contains("features.redb"), "{error}"),
            Ok(store) => {
                let row = store.get("v", &["e499"]).unwrap().remove(0).unwrap();
                assert_eq!(row.values, one("x", 499.0));
            }
        }
    }
    fs_err::write(&path, &whole).unwrap();
    assert_eq!(open(&directory).views().unwrap()[0].rows, 500);
}

/// Set for the second process of the test below: the file that it is to open.
const SECOND_PROCESS: &str = "EMBERLINE_TEST_SECOND_PROCESS";

#[test]
fn a_second_process_is_told_so() {
    if let Some(path) = std::env::var_os(SECOND_PROCESS) {
        let error = FeatureStore::open(Path::new(&path)).unwrap_err();
        assert!(matches!(error, Error::Conflict(_)));
        println!("second process: {error}");
        return;
    }
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("features.redb");
    let store = FeatureStore::open(&path).unwrap();
    let second = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "features::store::tests::a_second_process_is_told_so", "--nocapture"])
        .env(SECOND_PROCESS, &path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&second.stdout);
    let expected = format!("feature store {} is in use by another process", path.display());
    assert!(second.status.success() && said.contains(&expected), "{said}");
    drop(store);
    FeatureStore::open(&path).unwrap();
}

#[test]
fn leaves_nothing_beside_the_file_and_makes_its_directory() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("a/b/features.redb");
    drop(FeatureStore::open(&path).unwrap());
    let names: Vec<_> =
        fs_err::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["features.redb"]);
    assert!(FeatureStore::open(directory.path()).is_err());
}

/// The figures for the documents: run with `--ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn a_get_takes_microseconds() {
    fn best_of_five(count: u32, mut run: impl FnMut(usize)) -> Duration {
        let once = |_| {
            let started = Instant::now();
            (0..count as usize).for_each(&mut run);
            started.elapsed() / count
        };
        (0..5).map(once).min().unwrap_or_default()
    }
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    let values: BTreeMap<_, _> =
        (0..11).map(|i| (format!("feature number {i}"), Value::Float(f64::from(i) / 7.0))).collect();
    let rows: Vec<_> = (0..100_000).map(|i| (format!("entity-{i}"), values.clone())).collect();
    let started = Instant::now();
    store.put("wine", &rows).unwrap();
    println!("put of 100,000 rows of 11 features: {:?}", started.elapsed());
    let ids: Vec<_> = (0..100_000).map(|i| format!("entity-{}", i * 7919 % 100_000)).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    let found = |ids: &[&str]| assert!(store.get("wine", ids).unwrap().iter().all(Option::is_some));
    let one = best_of_five(100_000, |i| found(&ids[i..=i]));
    println!("get of 1 of 100,000: {one:?}");
    println!("get of 32 of 100,000: {:?}", best_of_five(3000, |i| found(&ids[i * 32..][..32])));
    println!("get of always the same one: {:?}", best_of_five(100_000, |_| found(&ids[..1])));
    println!("put of one row: {:?}", best_of_five(5, |i| _ = store.put("wine", &rows[i..=i]).unwrap()));
    let megabytes = fs_err::metadata(directory.path().join("features.redb")).unwrap().len() >> 20;
    drop(store);
    println!("open, checking {megabytes} MB: {:?}", best_of_five(1, |_| drop(open(&directory))));
    assert!(one < Duration::from_micros(100), "{one:?}");
}
