//! The logs by themselves; what servers write is in `tests/it` and `tests/grpc`.

use std::{
    fs::Permissions,
    path::{Path, PathBuf},
};

use chrono::DateTime;
use contract::Tensor;
use engine::{
    monitor::ComputeTimes,
    serve::{CacheStatus, PredictionId, Timing},
    testing::FakeModel,
};

use super::*;

const US: fn(u64) -> Duration = Duration::from_micros;

fn entry(path: &str) -> Entry {
    Entry::new("http", "POST", path, None)
}

fn lines(path: &Path) -> Vec<String> {
    fs_err::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn answered(mut timing: Timing) -> Prediction {
    timing.decode = Some(US(7));
    Prediction {
        id: PredictionId::from_bytes([1; 16]),
        model: Arc::from("wine"),
        version: 3,
        outputs: Arc::<[Tensor]>::from([]),
        explanation: Vec::new(),
        rows: 2,
        cache: CacheStatus::Off,
        host: Arc::new(FakeModel::with_offset(0.0)),
        timing,
    }
}

#[test]
fn a_line_has_what_is_known_and_nothing_else() {
    let mut entry = Entry::new("http", "POST", "/v2/models/wine/infer", Some("127.0.0.1:5".parse().unwrap()));
    entry.time = DateTime::from_timestamp_micros(1_785_000_000_000_001).unwrap();
    entry.duration = US(321);
    let mut written = Vec::new();
    entry.status = 503;
    entry.error = Some("the queue is full".to_owned());
    entry.append(&mut written, true).unwrap();
    (entry.status, entry.error, entry.request_id) = (200, None, Some("7".to_owned()));
    let body = |bytes: &'static [u8]| Payload {
        headers: [("content-type", "application/json".to_owned())].into(),
        body: Some(Bytes::from_static(bytes)),
        length: bytes.len(),
    };
    entry.payload = Some(body("{\"é\"\n:1}".as_bytes()));
    let mut timing = Timing::default();
    timing.computed = Some(ComputeTimes { input: US(1), queue: US(2), batch: US(3), compute: US(4), ..<_>::default() });
    entry.predicted(&answered(timing), US(9));
    entry.append(&mut written, false).unwrap();
    entry.append(&mut written, true).unwrap();
    let mut timing = Timing::default();
    timing.cache = US(1);
    entry.predicted(
        &Prediction { cache: CacheStatus::Hit { age: US(1) }, ..answered(timing) },
        Duration::from_nanos(1234),
    );
    entry.payload = Some(body(b"\xff\x00"));
    entry.append(&mut written, true).unwrap();
    entry.payload = Some(Payload { length: 1 << 30, ..Payload::default() });
    entry.append(&mut written, true).unwrap();
    insta::assert_snapshot!(String::from_utf8(written).unwrap());
}

/// The logs with these flags, in files `access` and `payload` of a directory that is gone with the first value.
fn logs(flags: &[&str]) -> (tempfile::TempDir, PathBuf, PathBuf, AccessLog) {
    let directory = tempfile::tempdir().unwrap();
    let (access, payload) = (directory.path().join("logs/access"), directory.path().join("logs/payload"));
    let files = [("--access-log", &access), ("--payload-log", &payload)];
    let files = files.iter().map(|(flag, path)| format!("{flag}={}", path.display()));
    let settings = ServerSettings::from_flags(files.chain(flags.iter().map(ToString::to_string))).unwrap();
    let log = AccessLog::new(&settings);
    (directory, access, payload, log)
}

#[test]
fn a_sample_is_the_fraction_that_is_asked_for() {
    let (_directory, access, payload, log) = logs(&["--access-sample", "0.25", "--payload-sample", "0.05"]);
    let asked = 20_000_u32;
    let mut chosen = [0_u32; 3];
    for _ in 0..asked {
        if let Access(Some(open)) = &log.grpc("/p", None) {
            chosen[0] += u32::from(open.access);
            chosen[1] += u32::from(open.entry.payload.is_some());
            // The rarer one is a part of the other.
            chosen[2] += u32::from(open.entry.payload.is_some() && !open.access);
        }
    }
    // Seven standard deviations.
    assert!(chosen[0].abs_diff(asked / 4) < 430 && chosen[1].abs_diff(asked / 20) < 216, "{chosen:?}");
    assert_eq!(chosen[2], 0);
    log.close();
    let dropped = log.dropped().samples;
    assert_eq!(dropped, [Sample::count(&["access"], 0), Sample::count(&["payload"], 0)]);
    assert_eq!([lines(&access).len(), lines(&payload).len()], [chosen[0], chosen[1]].map(|count| count as usize));

    let (_directory, _, _, none) = logs(&["--access-sample", "0", "--payload-sample", "0"]);
    assert!((0..1000).all(|_| none.grpc("/p", None).0.is_none()));
    let off = AccessLog::new(&ServerSettings::from_flags([""; 0]).unwrap());
    assert!(off.grpc("/p", None).0.is_none() && off.dropped().samples.is_empty());
}

/// The price of a request that is not logged: a branch with the logs off, and a draw with a small sample.
#[test]
fn a_request_that_is_not_drawn_has_no_line() {
    let (_directory, access, _, log) = logs(&["--access-sample", "0.0001", "--payload-sample", "0"]);
    for _ in 0..1000 {
        let mut access = log.grpc("/p", None);
        access.asked("m");
        access.body(&Bytes::from_static(b"x"));
        access.end_call(Ok(())).unwrap();
    }
    log.close();
    assert!(lines(&access).len() < 10);
}

#[test]
fn requests_that_are_given_up_or_refused_have_a_line() {
    let (_directory, access, payload, log) = logs(&["--payload-max-body", "3"]);
    drop(log.grpc("/given/up", None));
    let refused = Err(ApiError::NotFound("no such thing".to_owned()));
    assert!(log.grpc("/refused", None).since(Instant::now()).end_call::<()>(refused).is_err());
    let mut fits = log.grpc("/fits", None);
    fits.body(&Bytes::from_static(b"123"));
    fits.end_call(Ok(())).unwrap();
    let mut long = log.grpc("/long", None);
    long.body(&Bytes::from_static(b"1234"));
    long.end_call(Ok(())).unwrap();
    log.close();
    let seen = |path: &Path| -> Vec<serde_json::Value> {
        lines(path).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let access = seen(&access);
    let ends: Vec<_> =
        access.iter().map(|line| (line["path"].as_str().unwrap(), line["status"].as_u64().unwrap())).collect();
    assert_eq!(ends, [("/given/up", 1), ("/refused", 5), ("/fits", 0), ("/long", 0)]);
    assert_eq!(access[0]["error"], "the request was given up before it was answered");
    assert_eq!(access[1]["error"], "no such thing");
    assert!(access.iter().all(|line| line.get("payload").is_none()));
    let bodies: Vec<_> = seen(&payload).into_iter().map(|line| line["payload"].clone()).collect();
    assert_eq!(bodies[2], serde_json::json!({"headers": {}, "body_base64": "MTIz"}));
    assert_eq!(bodies[3], serde_json::json!({"headers": {}, "body_bytes": 4}));
}

#[test]
fn files_are_put_aside_when_full_and_the_oldest_go() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let name = path.to_str().unwrap();
    let line = |number: usize| format!("line {number:04}\n");
    // Five lines fit a file, and three files the whole.
    let mut number = 0;
    for _process in 0..3 {
        let mut file = LogFile::new(name, false, 54, 170);
        for _ in 0..7 {
            file.write(line(number).as_bytes()).unwrap();
            number += 1;
            let sizes: Vec<_> = fs_err::read_dir(directory.path())
                .unwrap()
                .map(|file| file.unwrap().metadata().unwrap().len())
                .collect();
            assert!(sizes.len() <= 3 && sizes.iter().all(|size| *size <= 54), "{sizes:?}");
        }
    }
    let kept: String = ["log.2", "log.1", "log"]
        .iter()
        .map(|name| fs_err::read_to_string(directory.path().join(name)).unwrap())
        .collect();
    assert_eq!(kept, (10..21).map(line).collect::<String>());
    // With room for one file, the next process leaves none of the old ones.
    LogFile::new(name, false, 54, 54).write(line(21).as_bytes()).unwrap();
    let left: Vec<_> = fs_err::read_dir(directory.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left, ["log"]);
    let mut file = LogFile::new(name, false, 20, 20);
    (22..30).for_each(|number| file.write(line(number).as_bytes()).unwrap());
    assert_eq!(lines(&path), ["line 0028", "line 0029"]);
}

#[test]
fn a_line_that_a_crash_cut_off_is_ended() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    fs_err::write(&path, "whole\nha").unwrap();
    LogFile::new(path.to_str().unwrap(), false, 1 << 16, 1 << 16).write(b"next\n").unwrap();
    assert_eq!(lines(&path), ["whole", "ha", "next"]);
}

#[test]
fn a_line_that_is_longer_than_a_file_is_lost_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let sink = Sink::start("access", LogFile::new(path.to_str().unwrap(), false, 300, 900));
    for path in ["/first", &"x".repeat(400), "/last"] {
        sink.write(&Arc::new(entry(path)));
    }
    sink.flush();
    assert_eq!(sink.dropped(), 1);
    let written = ["log.1", "log"].map(|name| lines(&directory.path().join(name)).concat()).concat();
    assert!(written.contains("/first") && written.contains("/last") && !written.contains("xx"), "{written}");
}

#[cfg(unix)]
#[test]
fn a_link_is_followed_and_never_renamed() {
    let directory = tempfile::tempdir().unwrap();
    let [link, file] = ["link", "file"].map(|name| directory.path().join(name));
    fs_err::write(&file, "").unwrap();
    fs_err::os::unix::fs::symlink(&file, &link).unwrap();
    let mut log = LogFile::new(link.to_str().unwrap(), false, 10, 30);
    (0..5).for_each(|_| log.write(b"whole line\n").unwrap());
    assert_eq!(lines(&file).len(), 5);
    assert!(fs_err::symlink_metadata(&link).unwrap().is_symlink());
}

#[cfg(unix)]
#[test]
fn nobody_else_reads_payloads() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_directory, access, payload, log) = logs(&[]);
    drop(log.grpc("/p", None));
    log.close();
    let mode = |path: &Path| Permissions::mode(&fs_err::metadata(path).unwrap().permissions()) & 0o777;
    assert_eq!(mode(&payload), 0o600);
    assert_ne!(mode(&access) & 0o400, 0);
}

#[cfg(target_os = "linux")]
mod disks {
    use std::io::{BufRead as _, BufReader};

    use nix::{sys::stat::Mode, unistd::mkfifo};

    use super::*;

    #[test]
    fn what_a_full_disk_does_not_take_is_counted() {
        let sink = Sink::start("access", LogFile::new("/dev/full", false, 1 << 20, 1 << 20));
        (0..10).for_each(|_| sink.write(&Arc::new(entry("/p"))));
        sink.flush();
        assert_eq!(sink.dropped(), 10);
        // A directory that cannot be made is no other case.
        let sink = Sink::start("access", LogFile::new("/dev/null/logs/access", false, 1 << 20, 1 << 20));
        sink.write(&Arc::new(entry("/p")));
        sink.flush();
        assert_eq!(sink.dropped(), 1);
    }

    /// A pipe that nobody reads holds the thread that writes, and nobody else.
    #[test]
    fn a_stuck_disk_loses_lines_and_holds_nobody_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        let sink = Sink::start("access", LogFile::new(path.to_str().unwrap(), false, 1 << 20, 1 << 20));
        let (all, began) = (20_000_u64, Instant::now());
        let one = Arc::new(entry("/p"));
        (0..all).for_each(|_| sink.write(&one));
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        let dropped = sink.dropped();
        assert!(dropped >= all / 2 && dropped < all, "{dropped}");
        // Nor does it hold up the end.
        let began = Instant::now();
        sink.flush();
        assert!(began.elapsed() < Duration::from_secs(10));
        // What waited is there once somebody reads.
        let pipe = BufReader::new(fs_err::File::open(&path).unwrap());
        let waited = pipe
            .lines()
            .take(usize::try_from(all - dropped).unwrap())
            .filter(|line| line.as_ref().unwrap().ends_with(r#""status":0,"duration_us":0.0}"#));
        assert_eq!(waited.count() as u64, all - dropped);
    }

    #[test]
    fn bodies_that_wait_have_a_bound_as_well() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        let sink = Sink::start("payload", LogFile::new(path.to_str().unwrap(), true, 1 << 20, 1 << 20));
        sink.write(&Arc::new(entry("/p")));
        // It hangs on opening the pipe when this ends without an answer.
        sink.flush();
        let mut large = entry("/p");
        large.payload = Some(Payload { body: Some(Bytes::from(vec![b' '; 40 << 20])), ..Payload::default() });
        let large = Arc::new(large);
        (0..3).for_each(|_| sink.write(&large));
        assert_eq!(sink.dropped(), 2);
    }
}
