//! Feedback as its users see it, and against a naive model that keeps every row in one list.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use contract::{LossKind, Task};
use proptest::prelude::*;

use super::*;

fn regression() -> TaskSpec {
    TaskSpec { task: Task::Regression, classes: Vec::new(), score: "y".to_owned(), loss: LossKind::Squared }
}

fn classes(task: Task, classes: &[&str]) -> TaskSpec {
    let classes = classes.iter().map(ToString::to_string).collect();
    TaskSpec { task, classes, score: "p".to_owned(), loss: LossKind::Softmax }
}

fn scores(width: usize, values: &[f32]) -> Tensor {
    Tensor::from_values("y", vec![values.len() / width, width], values).unwrap()
}

fn row(id: &str) -> FeedbackKey {
    FeedbackKey::Prediction(id.to_owned())
}

fn entity(model: Option<&str>, id: &str) -> FeedbackKey {
    FeedbackKey::Entity { model: model.map(str::to_owned), id: id.to_owned() }
}

fn small(remember_predictions: usize, window: usize) -> Feedback {
    Feedback::new(&FeedbackSettings { remember_predictions, window })
}

#[test]
fn scores_a_regression_as_labels_come() {
    let feedback = small(100, 2);
    let model: Arc<str> = Arc::from("wine");
    let id = "0199f6a0-0000-7000-8000-000000000001";
    feedback.record(id, &model, 4, None, &regression(), &scores(1, &[1.0, 2.0, 7.0])).unwrap();
    // The first label is the whole range, so predictions beyond it lose nothing by the squared loss.
    let first = feedback.label(&row(&format!("{id}#0")), &Value::Float(3.0)).unwrap();
    assert_eq!((first.prediction, first.model.as_str(), first.version), (format!("{id}#0"), "wine", 4));
    assert_eq!(first.losses, BTreeMap::from([("squared", 0.0), ("classic", 4.0), ("quantile", 1.0)]));
    // Range 3 to 5; 2 lies one below 3, label 5: 2² + 2·2·1.
    let second = feedback.label(&row(&format!("{id}#1")), &Value::Int(5)).unwrap();
    assert_eq!(second.losses, BTreeMap::from([("squared", 8.0), ("classic", 9.0), ("quantile", 1.5)]));
    let third = feedback.label(&row(&format!("{id}#2")), &Value::Int(7)).unwrap();
    assert_eq!(third.losses, BTreeMap::from([("squared", 0.0), ("classic", 0.0), ("quantile", 0.0)]));
    let report = feedback.report();
    let [report] = &report[..] else { panic!("{report:?}") };
    assert_eq!((report.predictions, report.labelled, report.window_labels), (3, 3, 2));
    assert_eq!(report.trained_loss, "squared");
    assert_eq!(report.losses["squared"], Summary { overall: 8.0 / 3.0, window: 4.0 });
    assert_eq!(report.losses["classic"], Summary { overall: 13.0 / 3.0, window: 4.5 });
    assert_eq!(report.quality["mae"], Summary { overall: 5.0 / 3.0, window: 1.5 });
    assert_eq!(report.quality["rmse"], Summary { overall: (13.0_f64 / 3.0).sqrt(), window: 4.5_f64.sqrt() });
}

#[test]
fn scores_classes_by_what_was_remembered_of_them() {
    let feedback = small(100, 10);
    let model: Arc<str> = Arc::from("m");
    let binary = classes(Task::Binary, &["no", "yes"]);
    feedback.record("b", &model, 1, None, &binary, &scores(2, &[0.25, 0.75, 0.9, 0.1])).unwrap();
    let yes = feedback.label(&row("b#0"), &Value::Text("yes".to_owned())).unwrap();
    assert!((yes.losses["logistic"] + 0.75_f64.ln()).abs() < 1e-6);
    feedback.label(&row("b#1"), &Value::Text("yes".to_owned())).unwrap();
    let multi = classes(Task::Multiclass, &["a", "b", "c"]);
    feedback.record("m", &model, 2, None, &multi, &scores(3, &[0.2, 0.3, 0.5, 0.1, 0.6, 0.3])).unwrap();
    let second = feedback.label(&row("m#1"), &Value::Text("b".to_owned())).unwrap();
    assert!((second.losses["softmax"] + 0.6_f64.ln()).abs() < 1e-6);
    assert!((second.losses["hinge"] - (1.0 - 2_f64.ln())).abs() < 1e-6);
    let report = feedback.report();
    assert_eq!(report[0].quality["accuracy"].overall, 0.5);
    assert_eq!(report[1].quality["accuracy"].overall, 1.0);
    assert_eq!(report[1].losses.keys().collect::<Vec<_>>(), ["hinge", "softmax"]);
}

#[test]
fn says_what_is_wrong_with_a_label() {
    let feedback = small(100, 10);
    let model: Arc<str> = Arc::from("m");
    feedback.record("x", &model, 1, None, &regression(), &scores(1, &[1.0, f32::NAN])).unwrap();
    feedback.record("one", &model, 1, None, &regression(), &scores(1, &[1.0])).unwrap();
    let fails = |key: &FeedbackKey, label: &Value| feedback.label(key, label).unwrap_err();
    let one = Value::Int(1);
    for key in ["y", "y#0", "x#2", "x#64", "x#99999999999999999999", "x#", "#", "one#1"] {
        let error = fails(&row(key), &one);
        assert!(
            matches!(&error, Error::UnknownPrediction { key: got } if *got == format!("prediction '{key}'")),
            "{error}"
        );
    }
    let error = fails(&row("x"), &one);
    assert!(matches!(error, Error::BadRequest(_)));
    assert_eq!(error.to_string(), "prediction 'x' has 2 rows; expected one of them, 'x#0' to 'x#1'");
    assert!(matches!(fails(&row("x#0"), &Value::Null), Error::BadRequest(_)));
    assert!(matches!(fails(&row("x#1"), &one), Error::Conflict(_)));
    feedback.label(&row("one"), &one).unwrap();
    assert_eq!(fails(&row("one#0"), &one).to_string(), "prediction 'one#0' already has its label");
    assert!(matches!(fails(&row("one"), &one), Error::Conflict(_)));
    let unknown = "no prediction is remembered for entity 'e' and model 'm'";
    assert_eq!(fails(&entity(Some("m"), "e"), &one).to_string(), unknown);
    // Nothing but the one good label was counted.
    assert_eq!(feedback.report()[0].labelled, 1);
}

#[test]
fn refuses_scores_that_are_not_what_the_task_promises() {
    let feedback = small(100, 10);
    let model: Arc<str> = Arc::from("m");
    let error = feedback.record("x", &model, 1, None, &regression(), &scores(2, &[1.0, 2.0])).unwrap_err();
    let expected = "internal error: output 'y' of model 'm' version 1 has shape [1, 2], expected at least one row of 1";
    assert_eq!(error.to_string(), expected);
    let entities = ["a".to_owned()];
    assert!(feedback.record("x", &model, 1, Some(&entities), &regression(), &scores(1, &[1.0, 2.0])).is_err());
    assert!(feedback.record("x", &model, 2, None, &classes(Task::Binary, &["a"]), &scores(1, &[1.0])).is_err());
    assert_eq!(feedback.remembered_rows(), 0);
}

#[test]
fn an_entity_means_its_last_prediction() {
    let feedback = small(100, 10);
    let (red, white): (Arc<str>, Arc<str>) = (Arc::from("red"), Arc::from("white"));
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let (ab, b) = (names(&["a", "b"]), names(&["b"]));
    feedback.record("1", &red, 1, Some(&ab), &regression(), &scores(1, &[1.0, 2.0])).unwrap();
    feedback.record("2", &white, 1, Some(&b), &regression(), &scores(1, &[3.0])).unwrap();
    feedback.record("3", &red, 2, Some(&b), &regression(), &scores(1, &[4.0])).unwrap();
    let scored = |key: FeedbackKey| feedback.label(&key, &Value::Int(0)).unwrap().prediction;
    assert_eq!(scored(entity(Some("white"), "b")), "2#0");
    assert_eq!(scored(entity(None, "b")), "3#0");
    assert_eq!(scored(entity(None, "a")), "1#0");
    assert!(matches!(feedback.label(&entity(None, "b"), &Value::Int(0)), Err(Error::Conflict(_))));
    assert!(feedback.label(&entity(Some("white"), "a"), &Value::Int(0)).is_err());
}

#[test]
fn large_predictions_are_kept_over_all_shards_and_memory_stays_bounded() {
    let feedback = Feedback::new(&FeedbackSettings { remember_predictions: 100_000, window: 10 });
    let model: Arc<str> = Arc::from("m");
    let values: Vec<_> = (0..50_000).map(|row| row as f32).collect();
    let entities: Vec<_> = (0..50_000).map(|row| format!("e{row}")).collect();
    feedback.record("big", &model, 1, Some(&entities), &regression(), &scores(1, &values)).unwrap();
    assert_eq!(feedback.remembered_rows(), 50_000);
    for number in [0, 63, 64, 49_999] {
        let scored = feedback.label(&row(&format!("big#{number}")), &Value::Int(number)).unwrap();
        assert_eq!(scored.losses["classic"], 0.0);
    }
    let scored = feedback.label(&entity(None, "e30000"), &Value::Int(30_001)).unwrap();
    assert_eq!((scored.prediction.as_str(), scored.losses["classic"]), ("big#30000", 1.0));
    for i in 0..20 {
        feedback.record(&format!("more{i}"), &model, 1, Some(&entities), &regression(), &scores(1, &values)).unwrap();
        assert!(feedback.remembered_rows() <= 100_000);
    }
    assert!(feedback.label(&row("big#5"), &Value::Int(0)).is_err());
    assert_eq!(feedback.inner.memory.entity_count(), 50_000);
    assert_eq!(feedback.report()[0].predictions, 21 * 50_000);
}

#[test]
fn threads_that_record_and_label_lose_nothing() {
    let feedback = Feedback::new(&FeedbackSettings::default());
    let conflicts = AtomicUsize::new(0);
    thread::scope(|scope| {
        for worker in 0..4 {
            let (feedback, conflicts) = (&feedback, &conflicts);
            scope.spawn(move || {
                let model: Arc<str> = Arc::from("m");
                for i in 0..2000 {
                    let id = format!("{worker}-{i}");
                    let names = [format!("e{}-{worker}", i % 50)];
                    feedback.record(&id, &model, 1, Some(&names), &regression(), &scores(1, &[1.0])).unwrap();
                    feedback.label(&row(&id), &Value::Int(2)).unwrap();
                    if let Err(Error::Conflict(_)) = feedback.label(&entity(None, &names[0]), &Value::Int(2)) {
                        conflicts.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(conflicts.into_inner(), 8000);
    let report = feedback.report();
    assert_eq!((report[0].labelled, report[0].predictions), (8000, 8000));
    assert_eq!(report[0].losses["classic"].overall, 1.0);
}

#[test]
fn a_forgotten_version_leaves_the_report() {
    let feedback = small(100, 10);
    let model: Arc<str> = Arc::from("m");
    for version in [1, 2] {
        feedback.record(&format!("{version}"), &model, version, None, &regression(), &scores(1, &[1.0])).unwrap();
    }
    feedback.forget("m", 1);
    feedback.forget("other", 1);
    assert_eq!(feedback.report().iter().map(|report| report.version).collect::<Vec<_>>(), [2]);
    let metrics = feedback.families();
    assert_eq!(metrics[0].samples, [Sample::count(&["m", "2"], 1)]);
    assert_eq!(metrics[2].samples, []);
}

#[test]
fn nothing_is_remembered_when_told_so() {
    let feedback = small(0, 0);
    let model: Arc<str> = Arc::from("m");
    feedback.record("x", &model, 1, None, &regression(), &scores(1, &[1.0])).unwrap();
    assert_eq!(feedback.remembered_rows(), 0);
    assert!(matches!(feedback.label(&row("x"), &Value::Int(1)), Err(Error::UnknownPrediction { key: _ })));
}

/// What may happen to a memory of few rows, models and entities.
#[derive(Clone, Debug)]
enum Step {
    Record { model: usize, entities: Option<Vec<usize>>, scores: Vec<f32> },
    Label { prediction: usize, row: usize, label: i64 },
    LabelEntity { model: Option<usize>, entity: usize, label: i64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let several = proptest::collection::vec((0_usize..4, -5.0..5.0_f32), 1..70);
    // Single rows are kept in another form.
    let rows = prop_oneof![several, proptest::collection::vec((0_usize..4, -5.0..5.0_f32), 1)];
    let record = (0_usize..2, any::<bool>(), rows).prop_map(|(model, named, rows)| Step::Record {
        model,
        entities: named.then(|| rows.iter().map(|(entity, _)| *entity).collect()),
        scores: rows.iter().map(|(_, score)| *score).collect(),
    });
    let label = (0_usize..12, 0_usize..70, -5_i64..5).prop_map(|(prediction, row, label)| Step::Label {
        prediction,
        row,
        label,
    });
    let label_entity = (proptest::option::of(0_usize..2), 0_usize..4, -5_i64..5)
        .prop_map(|(model, entity, label)| Step::LabelEntity { model, entity, label });
    proptest::collection::vec(prop_oneof![2 => record, 3 => label, 1 => label_entity], 1..40)
}

/// Every other prediction has a name as the server makes them.
fn prediction_name(number: usize) -> String {
    if number.is_multiple_of(2) { format!("p{number}") } else { uuid::Uuid::from_u128(number as u128).to_string() }
}

/// A row of the naive model.
#[derive(Clone, Debug)]
struct NaiveRow {
    id: String,
    model: usize,
    entity: Option<usize>,
    score: f32,
    labelled: bool,
}

proptest! {
    #[test]
    fn agrees_with_a_list_of_rows(steps in steps(), capacity in 1_usize..150, window in 1_usize..5) {
        const MODELS: [&str; 2] = ["m0", "m1"];
        let feedback = small(capacity, window);
        let models = MODELS.map(Arc::<str>::from);
        let mut rows: Vec<NaiveRow> = Vec::new();
        let mut losses: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
        let mut predictions = 0;
        for step in steps {
            let (key, found, label) = match step {
                Step::Record { model, entities, scores: values } => {
                    let names: Option<Vec<_>> =
                        entities.as_ref().map(|entities| entities.iter().map(|entity| format!("e{entity}")).collect());
                    let id = prediction_name(predictions);
                    feedback.record(&id, &models[model], 1, names.as_deref(), &regression(), &scores(1, &values)).unwrap();
                    for (i, score) in values.into_iter().enumerate() {
                        let entity = entities.as_ref().map(|entities| entities[i]);
                        rows.push(NaiveRow { id: format!("{id}#{i}"), model, entity, score, labelled: false });
                    }
                    rows.drain(..rows.len().saturating_sub(capacity));
                    predictions += 1;
                    prop_assert_eq!(feedback.remembered_rows(), rows.len());
                    continue;
                }
                Step::Label { prediction, row: number, label } => {
                    let id = format!("{}#{number}", prediction_name(prediction));
                    let found = rows.iter_mut().find(|row| row.id == id);
                    (row(&id), found, label)
                }
                Step::LabelEntity { model, entity: name, label } => {
                    let mine = |row: &&mut NaiveRow| row.entity == Some(name) && model.is_none_or(|model| row.model == model);
                    let found = rows.iter_mut().rfind(mine);
                    (entity(model.map(|model| MODELS[model]), &format!("e{name}")), found, label)
                }
            };
            let got = feedback.label(&key, &Value::Int(label));
            match found {
                None => prop_assert!(matches!(got, Err(Error::UnknownPrediction { key: _ })), "{:?}", got),
                Some(row) if row.labelled => prop_assert!(matches!(got, Err(Error::Conflict(_))), "{:?}", got),
                Some(row) => {
                    row.labelled = true;
                    let scored = got.unwrap();
                    prop_assert_eq!(&scored.prediction, &row.id);
                    prop_assert_eq!(scored.model.as_str(), MODELS[row.model]);
                    let loss = (f64::from(row.score) - label as f64).powi(2);
                    prop_assert_eq!(scored.losses["classic"], loss);
                    losses[row.model].push(loss);
                }
            }
        }
        for report in feedback.report() {
            let losses = &losses[usize::from(report.model == "m1")];
            prop_assert_eq!(report.labelled, losses.len() as u64);
            let Some(got) = report.losses.get("classic") else { continue };
            let last = &losses[losses.len().saturating_sub(window)..];
            let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
            prop_assert_eq!(report.window_labels, last.len() as u64);
            prop_assert!((got.overall - mean(losses)).abs() < 1e-9 && (got.window - mean(last)).abs() < 1e-9);
        }
        let entities: std::collections::BTreeSet<_> = rows.iter().filter_map(|row| row.entity).collect();
        prop_assert_eq!(feedback.inner.memory.entity_count(), entities.len());
    }
}

/// The figures for the documents: run with `--ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn remembering_takes_about_a_microsecond() {
    const COUNT: usize = 400_000;
    let feedback = Feedback::new(&FeedbackSettings::default());
    let (model, task, score): (Arc<str>, _, _) = (Arc::from("m"), regression(), scores(1, &[1.0]));
    for named in [false, true] {
        let ids: Vec<_> = (0..COUNT).map(|_| uuid::Uuid::now_v7().to_string()).collect();
        let names: Vec<_> = (0..COUNT).map(|i| [format!("entity-{}", i % 50_000)]).collect();
        let started = std::time::Instant::now();
        for (id, names) in ids.iter().zip(&names) {
            feedback.record(id, &model, 1, named.then_some(names.as_slice()), &task, &score).unwrap();
        }
        let each = started.elapsed() / COUNT as u32;
        println!("record of one row, entity named: {named}: {each:?}");
        assert!(each < std::time::Duration::from_micros(50));
    }
}
