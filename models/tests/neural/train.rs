//! Training a table end to end, on the CPU.

use std::{sync::Arc, time::Duration};

use contract::{ColumnKind, LossKind, Task, TrainEvent, TrainingEnd};
use models::neural::{NetSettings, TrainControl, TrainOptions, train};
use parking_lot::Mutex;

use crate::tables::{Target, csv, options, run};

#[test]
fn a_regression_learns_its_function_and_tells_everything_about_itself() {
    let directory = tempfile::tempdir().unwrap();
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = events.clone();
    let on_event = Box::new(move |event: &TrainEvent| seen.lock().push(event.clone()));
    let control = TrainControl { on_event, ..TrainControl::default() };
    let model = NetSettings { epochs: 60, batch_size: 64, ..NetSettings::mlp(vec![32, 32], 0.0) };
    let base = options(directory.path(), "price", &csv(1200, 1, Target::Price));
    let learning_rate = 5e-3;
    let all = TrainOptions { model: NetSettings { learning_rate, ..model }, author: Some("me".to_owned()), ..base };
    let trained = train(&all, &control).unwrap();

    let metadata = &trained.metadata;
    // The standard deviation of the target is about 4.7.
    assert!(metadata.metrics["rmse"] < 0.5, "{:?}", metadata.metrics);
    assert!(metadata.metrics["r2"] > 0.98, "{:?}", metadata.metrics);
    assert_eq!(
        (metadata.kind.as_str(), metadata.task, metadata.loss),
        ("mlp", Some(Task::Regression), Some(LossKind::Classic))
    );
    assert_eq!(metadata.features.len(), 4);
    assert_eq!(
        metadata.target.as_ref().map(|target| (target.name.as_str(), target.kind)),
        Some(("y", ColumnKind::Numeric))
    );
    assert_eq!((metadata.training_rows, metadata.device.as_deref()), (Some(960), Some("cpu")));
    assert_eq!(metadata.data_digest.as_ref().map(String::len), Some(64));
    assert_eq!(metadata.hyper_parameters["hidden"], serde_json::json!([32, 32]));
    assert_eq!(metadata.hyper_parameters["seed"], 5);
    assert_eq!(metadata.packages["burn"], "0.22.1");
    assert_eq!(metadata.author.as_deref(), Some("me"));
    assert!(metadata.seconds_trained.unwrap() > 0.0);
    assert!(trained.notes.is_empty(), "{:?}", trained.notes);
    // Curves are in the target's own units: the best squared loss is the squared RMSE, up to rounding.
    let best = metadata.curves.iter().map(|point| point.validation_loss).fold(f64::INFINITY, f64::min);
    assert!((best.sqrt() / metadata.metrics["rmse"] - 1.0).abs() < 1e-3);

    let events = events.lock();
    let Some(TrainEvent::Started {
        training_rows: 960, validation_rows: 240, features: 4, parameters, precision, ..
    }) = events.first()
    else {
        panic!("{:?}", events.first());
    };
    assert!(*parameters > 32 * 32);
    assert_eq!(precision, "f32");
    assert_eq!(events.len(), metadata.curves.len() + 1);
}

#[test]
fn a_seed_gives_the_same_artifact_and_a_resumed_run_too() {
    let directory = tempfile::tempdir().unwrap();
    let table = csv(400, 2, Target::Dear);
    let base = |name: &str| options(directory.path(), name, &table);
    let weights = |name: &str| fs_err::read(directory.path().join(name).join("weights.safetensors")).unwrap();
    let golden = |name: &str| fs_err::read(directory.path().join(name).join("golden.json")).unwrap();

    let one = run(&base("one"));
    let two = run(&base("two"));
    assert_eq!(weights("one"), weights("two"));
    assert_eq!(golden("one"), golden("two"));
    assert_eq!(one.metadata.metrics, two.metadata.metrics);
    run(&TrainOptions { seed: 6, ..base("other seed") });
    assert_ne!(weights("one"), weights("other seed"));

    let checkpoint = Some(directory.path().join("state/checkpoint"));
    let short = NetSettings { epochs: 5, ..base("part").model };
    run(&TrainOptions { model: short, checkpoint: checkpoint.clone(), ..base("part") });
    assert_ne!(weights("one"), weights("part"));
    let resumed = run(&TrainOptions { checkpoint: checkpoint.clone(), resume: true, ..base("whole") });
    assert_eq!(weights("one"), weights("whole"));
    assert_eq!(one.metadata.metrics, resumed.metadata.metrics);
    let losses = |curves: &[contract::CurvePoint]| {
        curves.iter().map(|point| (point.epoch, point.training_loss, point.validation_loss)).collect::<Vec<_>>()
    };
    assert_eq!(losses(&one.metadata.curves), losses(&resumed.metadata.curves));

    let other = TrainOptions { checkpoint, resume: true, seed: 6, ..base("never") };
    let error = train(&other, &TrainControl::default()).unwrap_err().to_string();
    assert!(error.contains("the checkpoint of another run"), "{error}");
}

#[test]
fn every_loss_trains_its_task_better_than_chance() {
    let directory = tempfile::tempdir().unwrap();
    let cases = [
        (Target::Price, "classic", "r2", 0.9),
        (Target::Price, "quantile:0.5", "r2", 0.9),
        (Target::Dear, "logistic", "roc_auc", 0.93),
        (Target::Dear, "hinge", "roc_auc", 0.93),
        (Target::Class, "softmax", "roc_auc", 0.92),
    ];
    for (target, loss, metric, least) in cases {
        let base = options(directory.path(), loss, &csv(800, 3, target));
        let trained = run(&TrainOptions { loss: Some(loss.parse().unwrap()), ..base });
        let value = trained.metadata.metrics[metric];
        assert!(value > least, "{loss}: {metric} is {value}");
        assert_eq!(trained.metadata.loss.unwrap().to_string(), loss);
    }
    let quantile = |tau: &str| {
        let base = options(directory.path(), tau, &csv(800, 3, Target::Price));
        let trained = run(&TrainOptions { loss: Some(tau.parse().unwrap()), ..base });
        crate::tables::answer(
            &crate::tables::open(&trained),
            &contract::Device::cpu(),
            &crate::tables::request(&[(None, 0.0, Some("south"), "2024-03-05")]),
        )[0]
        .values::<f32>()
        .unwrap()[0]
    };
    assert!(quantile("quantile:0.05") < quantile("quantile:0.95"));
}

#[test]
fn a_budget_and_rows_without_label_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let mut table = csv(300, 4, Target::Price);
    table.push_str("0.1,0.2,north,2024-03-01,\n0.1,0.2,north,2024-03-01,NA\n");
    let base = options(directory.path(), "short", &table);
    let trained = run(&TrainOptions { time_budget: Some(Duration::ZERO), ..base });
    assert_eq!(trained.metadata.training_end, Some(TrainingEnd::TimeBudget));
    assert_eq!(trained.metadata.curves.len(), 1);
    assert_eq!(trained.notes, ["2 of 302 rows were left out: they have no value in 'y'"]);
    assert_eq!(trained.metadata.training_rows, Some(240));
}

#[test]
fn refuses_what_does_not_fit_before_it_trains() {
    let directory = tempfile::tempdir().unwrap();
    let table = csv(50, 5, Target::Class);
    let base = || options(directory.path(), "never", &table);
    let error = |options: TrainOptions| train(&options, &TrainControl::default()).unwrap_err().to_string();
    let cases = [
        (TrainOptions { target: "z9".to_owned(), ..base() }, "column 'z9'"),
        (TrainOptions { ignore: vec!["q".to_owned()], ..base() }, "column 'q'"),
        (TrainOptions { loss: Some(LossKind::Hinge), ..base() }, "expected softmax"),
        (TrainOptions { task: Some(Task::Binary), ..base() }, "two classes"),
        (TrainOptions { valid: 0.0, ..base() }, "held-out part"),
        (TrainOptions { resume: true, ..base() }, "path of a checkpoint"),
        (TrainOptions { directory: directory.path().to_owned(), ..base() }, "exists"),
        (TrainOptions { data: directory.path().join("none.csv"), ..base() }, "none.csv"),
        (TrainOptions { model: NetSettings::mlp(vec![8], 2.0), ..base() }, "dropout"),
        (TrainOptions { ignore: ["x", "z", "region", "sold"].map(str::to_owned).to_vec(), ..base() }, "feature"),
    ];
    for (options, part) in cases {
        let message = error(options);
        assert!(message.contains(part), "expected '{part}' in '{message}'");
    }
    assert!(!directory.path().join("never").exists());
}
