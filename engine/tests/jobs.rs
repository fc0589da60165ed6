//! Jobs with real child processes: a shell script in the place of `emberline train`, or this test binary itself.
#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "the helpers are part of the tests")]

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use contract::TrainEvent;
use engine::{
    Error,
    jobs::{
        JOB_VARIABLE,
        JobState::{Cancelled, Failed, Queued, Running, Succeeded},
        JobStatus, Jobs, JobsSettings, on_parent_end,
    },
};
use tokio::runtime::{Handle, Runtime};

/// In the environment of a process that was started to be a job's parent: where to leave word.
const PARENT_DIRECTORY: &str = "EMBERLINE_TEST_PARENT_DIRECTORY";

fn settings(directory: &Path) -> JobsSettings {
    let trainer = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/fake_trainer.sh");
    JobsSettings { cancel_grace: Duration::from_secs(20), ..JobsSettings::new(trainer, directory.join("logs")) }
}

fn jobs(directory: &Path) -> Jobs {
    Jobs::new(settings(directory), Handle::current()).unwrap()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Runs the script in `mode` to its end.
async fn run(mode: &str) -> (JobStatus, String) {
    let directory = tempfile::tempdir().unwrap();
    let jobs = jobs(directory.path());
    let id = jobs.start(words(&[mode])).unwrap();
    let status = jobs.wait(&id).await.unwrap();
    assert_eq!(jobs.get(&id).unwrap(), status);
    assert!(status.ended_at >= status.started_at && status.started_at.unwrap() >= status.queued_at);
    let log = fs_err::read(&status.log).unwrap();
    (status, String::from_utf8_lossy(&log).into_owned())
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The ids that a stubborn trainer wrote.
fn processes(file: &Path) -> Vec<u32> {
    until("the trainer runs", || file.exists());
    fs_err::read_to_string(file).unwrap().split_whitespace().map(|id| id.parse().unwrap()).collect()
}

/// Whether the process is there and not merely waiting to be reaped.
fn runs(id: u32) -> bool {
    let stat = fs_err::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.trim_start().starts_with('Z'))
}

#[tokio::test(flavor = "multi_thread")]
async fn tells_what_the_child_tells_and_tolerates_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let jobs = jobs(directory.path());
    let id = jobs.start(words(&["success", "--data", "wine quality.csv"])).unwrap();
    let mut events = jobs.subscribe(&id).unwrap();
    let mut told = Vec::new();
    while let Some(event) = events.recv().await {
        told.push(match event {
            TrainEvent::Started { epochs, .. } => format!("started {epochs}"),
            TrainEvent::Epoch { point, best, .. } => format!("epoch {} {} {best}", point.epoch, point.validation_loss),
            TrainEvent::Registered { name, version, .. } => format!("registered {name} {version}"),
            TrainEvent::Failed { error } => format!("failed {error}"),
        });
    }
    assert_eq!(told, ["started 2", "epoch 1 0.25 true", "epoch 2 0.25 true", "registered wine 3"]);
    let status = jobs.wait(&id).await.unwrap();
    assert_eq!((status.state, status.error.as_deref()), (Succeeded, None));
    assert_eq!((status.model.as_deref(), status.version), (Some("wine"), Some(3)));
    assert_eq!((status.epoch.unwrap().epoch, status.epochs), (2, Some(2)));
    let log = String::from_utf8_lossy(&fs_err::read(&status.log).unwrap()).into_owned();
    assert!(log.contains("not an event") && log.contains(r#"{"event":"unknown"}"#), "{log}");
    assert!(log.contains(&format!("args: train success --data wine quality.csv --json, job: {id}")), "{log}");
    assert_eq!(jobs.list(), [status]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_a_sentence() {
    let cases = [
        ("fails", "column 'price' is missing"),
        ("panics", "training ended with exit code 3; its last words: thread main panicked"),
        ("killed", "training was killed by signal SIGKILL, most likely because the machine ran out of memory"),
        ("silent", "training ended without registering a version"),
    ];
    for (mode, sentence) in cases {
        let (status, _) = run(mode).await;
        assert_eq!((status.state, status.error.as_deref()), (Failed, Some(sentence)), "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binary_that_cannot_be_started_is_the_jobs_failure() {
    let directory = tempfile::tempdir().unwrap();
    let settings = JobsSettings { executable: PathBuf::from("/absent/emberline"), ..settings(directory.path()) };
    let jobs = Jobs::new(settings, Handle::current()).unwrap();
    for _ in 0..2 {
        let id = jobs.start(Vec::new()).unwrap();
        let status = jobs.wait(&id).await.unwrap();
        assert_eq!((status.state, status.started_at), (Failed, None));
        assert!(status.error.unwrap().starts_with("cannot start /absent/emberline: "));
    }
    assert!(matches!(jobs.get("x"), Err(Error::UnknownJob { .. })));
    assert!(matches!(jobs.cancel("x"), Err(Error::UnknownJob { .. })));
    let none = JobsSettings { max_running: 0, ..self::settings(directory.path()) };
    assert!(matches!(Jobs::new(none, Handle::current()), Err(Error::BadRequest(_))));
}

/// The child: waits for its Ctrl-C, then registers what it has.
fn trains_until_interrupted() {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let mut interrupts = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt()).unwrap();
        let (device, precision) = ("cpu".to_owned(), "f32".to_owned());
        let (training_rows, validation_rows, features, parameters, epochs) = (1, 1, 1, 1, 1);
        let started =
            TrainEvent::Started { training_rows, validation_rows, features, parameters, epochs, device, precision };
        println!("\n{}", serde_json::to_string(&started).unwrap());
        interrupts.recv().await;
        let metadata = Box::new(contract::VersionMetadata::new("mlp"));
        let registered = TrainEvent::Registered { name: "wine".to_owned(), version: 8, metadata };
        println!("\n{}", serde_json::to_string(&registered).unwrap());
    });
}

#[test]
fn a_cancelled_job_may_keep_its_best() {
    if env::var_os(JOB_VARIABLE).is_some() {
        return trains_until_interrupted();
    }
    Runtime::new().unwrap().block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let jobs = jobs(directory.path());
        let binary = env::current_exe().unwrap();
        let id =
            jobs.start(words(&["becomes", binary.to_str().unwrap(), "a_cancelled_job_may_keep_its_best"])).unwrap();
        let mut events = jobs.subscribe(&id).unwrap();
        assert!(matches!(events.recv().await, Some(TrainEvent::Started { .. })));
        assert_eq!(jobs.get(&id).unwrap().state, Running);
        jobs.cancel(&id).unwrap();
        let status = jobs.wait(&id).await.unwrap();
        assert_eq!((status.state, status.version, status.error), (Cancelled, Some(8), None));
        jobs.cancel(&id).unwrap();
        assert_eq!(jobs.get(&id).unwrap().state, Cancelled);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_that_does_not_end_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let settings = JobsSettings { cancel_grace: Duration::from_millis(100), ..settings(directory.path()) };
    let jobs = Jobs::new(settings, Handle::current()).unwrap();
    let file = directory.path().join("ids");
    let id = jobs.start(words(&["stubborn", file.to_str().unwrap()])).unwrap();
    let ids = processes(&file);
    let begin = Instant::now();
    jobs.cancel(&id).unwrap();
    assert_eq!(jobs.wait(&id).await.unwrap().state, Cancelled);
    assert!(begin.elapsed() >= Duration::from_millis(100));
    until("the whole group is gone", || !ids.iter().any(|id| runs(*id)));
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_wait_for_their_turn() {
    let directory = tempfile::tempdir().unwrap();
    let jobs = jobs(directory.path());
    let gate = directory.path().join("gate");
    let ids: Vec<_> = (0..4).map(|_| jobs.start(words(&["waits", gate.to_str().unwrap()])).unwrap()).collect();
    let states = || jobs.list().into_iter().map(|job| job.state).collect::<Vec<_>>();
    until("the first runs", || states() == [Running, Queued, Queued, Queued]);
    jobs.cancel(&ids[1]).unwrap();
    assert_eq!(states(), [Running, Cancelled, Queued, Queued]);
    assert_eq!(jobs.wait(&ids[1]).await.unwrap().started_at, None);
    fs_err::write(&gate, b"").unwrap();
    for id in &ids {
        jobs.wait(id).await.unwrap();
    }
    assert_eq!(states(), [Succeeded, Cancelled, Succeeded, Succeeded]);
    // One at a time, in the order they came.
    let list = jobs.list();
    assert!(list[2].started_at >= list[0].ended_at && list[3].started_at >= list[2].ended_at);
    assert!(list.iter().map(|job| &job.id).eq(&ids));
}

#[tokio::test(flavor = "multi_thread")]
async fn children_go_with_their_parent() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ids");
    let jobs = jobs(directory.path());
    let id = jobs.start(words(&["stubborn", file.to_str().unwrap()])).unwrap();
    let waiting = jobs.start(words(&["stubborn", file.to_str().unwrap()])).unwrap();
    let (mut events, mut never) = (jobs.subscribe(&id).unwrap(), jobs.subscribe(&waiting).unwrap());
    let ids = processes(&file);
    assert!(ids.iter().all(|id| runs(*id)));
    drop(jobs);
    until("the whole group is gone", || !ids.iter().any(|id| runs(*id)));
    while events.recv().await.is_some() {}
    assert_eq!(never.recv().await, None);
}

#[test]
fn children_go_with_the_control_runtime() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ids");
    let control = Runtime::new().unwrap();
    let jobs = Jobs::new(settings(directory.path()), control.handle().clone()).unwrap();
    let id = jobs.start(words(&["stubborn", file.to_str().unwrap()])).unwrap();
    let ids = processes(&file);
    drop(control);
    until("the whole group is gone", || !ids.iter().any(|id| runs(*id)));
    assert_eq!(jobs.get(&id).unwrap().state, Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn shutting_down_ends_all_and_takes_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ids");
    let jobs = jobs(directory.path());
    let running = jobs.start(words(&["stubborn", file.to_str().unwrap()])).unwrap();
    let waiting = jobs.start(words(&["success"])).unwrap();
    let ids = processes(&file);
    jobs.shutdown(Duration::from_millis(50)).await;
    assert!(!ids.iter().any(|id| runs(*id)));
    for id in [running, waiting] {
        assert_eq!(jobs.get(&id).unwrap().state, Cancelled);
    }
    assert!(matches!(jobs.start(words(&["success"])), Err(Error::ShuttingDown)));
}

/// The child of a parent that is killed: leaves word when it notices.
fn watches_its_parent(directory: &Path) {
    let gone = directory.join("parent-gone");
    let (noticed, notice) = std::sync::mpsc::channel();
    assert!(on_parent_end(move || noticed.send(()).unwrap()).unwrap());
    fs_err::write(directory.join("child-runs"), b"").unwrap();
    notice.recv_timeout(Duration::from_secs(30)).unwrap();
    fs_err::write(gone, b"").unwrap();
}

#[test]
fn a_child_notices_that_its_parent_was_killed() {
    let name = "a_child_notices_that_its_parent_was_killed";
    let binary = env::current_exe().unwrap();
    if let Ok(directory) = env::var(PARENT_DIRECTORY) {
        let directory = PathBuf::from(directory);
        if env::var_os(JOB_VARIABLE).is_some() {
            return watches_its_parent(&directory);
        }
        let control = Runtime::new().unwrap();
        let jobs = Jobs::new(settings(&directory), control.handle().clone()).unwrap();
        let id = jobs.start(words(&["becomes", binary.to_str().unwrap(), name])).unwrap();
        control.block_on(jobs.wait(&id)).unwrap();
        return;
    }
    assert!(!on_parent_end(|| ()).unwrap(), "this process is nobody's job");
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(&binary);
    command.args(["--exact", name, "--nocapture"]).env(PARENT_DIRECTORY, directory.path()).stdout(Stdio::null());
    let mut parent = command.spawn().unwrap();
    until("the child runs", || directory.path().join("child-runs").exists());
    assert!(!directory.path().join("parent-gone").exists());
    parent.kill().unwrap();
    parent.wait().unwrap();
    until("the child has noticed", || directory.path().join("parent-gone").exists());
}
