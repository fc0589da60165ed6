//! The predicted column: tasks, classes and scaling.

use contract::Task;
use models::table::{TargetEncoder, split};

use crate::support::{all_rows, read_csv};

fn task(content: &str, asked: Option<Task>) -> Result<Task, String> {
    let table = read_csv(content).unwrap();
    TargetEncoder::infer_task(&table, "y", asked).map_err(|error| error.to_string())
}

#[test]
fn tasks_follow_from_the_column() {
    assert_eq!(task("y,x\nyes,1\nno,2\n", None), Ok(Task::Binary));
    assert_eq!(task("y,x\na,1\nb,2\n,3\n", None), Ok(Task::Binary));
    assert_eq!(task("y,x\na,1\nb,2\nc,3\n", None), Ok(Task::Multiclass));
    assert_eq!(task("y,x\n0,1\n1,2\n1.0,3\n", None), Ok(Task::Binary));
    assert_eq!(task("y,x\n3,1\n4,2\n5,3\n", None), Ok(Task::Regression));
    assert_eq!(task("y,x\n0,1\n2,2\n", None), Ok(Task::Regression));
    assert_eq!(task("y,x\n3,1\n4,2\n5,3\n", Some(Task::Multiclass)), Ok(Task::Multiclass));
    assert_eq!(task("y,x\n0,1\n1,2\n", Some(Task::Regression)), Ok(Task::Regression));
}

#[test]
fn unsuitable_targets_are_refused_with_a_reason() {
    for (content, asked, reason) in [
        ("y,x\na,1\na,2\n", None, "expected at least two classes to predict, got 1"),
        ("y,x\na,1\nb,2\n", Some(Task::Regression), "expected numbers for a regression, got a categorical column"),
        ("y,x\na,1\nb,2\nc,3\n", Some(Task::Binary), "expected two classes for a binary task, got 3"),
        ("y,x\na,1\nb,2\n", Some(Task::Multiclass), "got 2; use binary"),
        ("y,x\n2026-05-01,1\n2026-05-02,2\n", None, "got a date"),
        ("z,x\n1,1\n2,2\n", None, "expected one of the table's columns z, x"),
    ] {
        let error = task(content, asked).unwrap_err();
        assert!(error.starts_with("column 'y': ") && error.contains(reason), "{error}");
    }
    let many: Vec<String> = (0..2000).map(|row| format!("id{row},1")).collect();
    assert!(task(&format!("y,x\n{}\n", many.join("\n")), None).unwrap_err().contains("at most 1000 classes"));
}

#[test]
fn regressions_are_standardised_on_the_training_rows() {
    let table = read_csv("y,x\n1,0\n3,0\n1000,0\n").unwrap();
    let (encoder, task) = TargetEncoder::fit(&table, "y", None, &[0, 1]).unwrap();
    assert_eq!(task, Task::Regression);
    assert_eq!(encoder, TargetEncoder::Regression { mean: 2.0, std: 1.0 });
    assert_eq!(encoder.encode(&table, "y", &[0, 1, 2]).unwrap(), [-1.0, 1.0, 998.0]);
    assert_eq!(encoder.decode(998.0), 1000.0);
    assert!(encoder.classes().is_empty());

    let (constant, _) = TargetEncoder::fit(&table, "y", Some(Task::Regression), &[2]).unwrap();
    assert_eq!(constant.encode(&table, "y", &[2]).unwrap(), [0.0]);
    assert_eq!(constant.decode(0.0), 1000.0);
}

#[test]
fn classes_are_places_in_a_sorted_list() {
    let table = read_csv("y,x\n10,0\n9,0\n2,0\n9,0\n").unwrap();
    let (encoder, task) = TargetEncoder::fit(&table, "y", Some(Task::Multiclass), &all_rows(&table)).unwrap();
    assert_eq!((encoder.classes().join(" ").as_str(), task), ("2 9 10", Task::Multiclass));
    assert_eq!(encoder.encode(&table, "y", &[0, 1, 2, 3]).unwrap(), [2.0, 1.0, 0.0, 1.0]);

    let table = read_csv("y,x\nyes,0\nno,0\n").unwrap();
    let (encoder, _) = TargetEncoder::fit(&table, "y", None, &[0, 1]).unwrap();
    assert_eq!(encoder.classes(), ["false", "true"]);
    assert_eq!(encoder.encode(&table, "y", &[0, 1]).unwrap(), [1.0, 0.0]);
}

#[test]
fn rows_without_a_target_are_told_apart_and_refused() {
    let table = read_csv("y,x\na,0\n,1\nb,2\nb,3\nc,4\n").unwrap();
    let rows = table.present_rows("y").unwrap();
    assert_eq!(rows, [0, 2, 3, 4]);
    assert_eq!(TargetEncoder::strata(&table, "y", &rows).unwrap(), [0, 1, 1, 2]);
    let error = TargetEncoder::fit(&table, "y", None, &[0, 1, 2]).unwrap_err().to_string();
    assert_eq!(error, "column 'y': expected a value to predict in row 2, got none");
    let (encoder, _) = TargetEncoder::fit(&table, "y", None, &[0, 2]).unwrap();
    let error = encoder.encode(&table, "y", &[4]).unwrap_err().to_string();
    assert_eq!(error, "column 'y': expected one of the classes a, b, got 'c'");
    assert!(encoder.encode(&table, "y", &[99]).is_err());

    let infinite = read_csv("y,x\n1,0\n2,1\ninf,2\n").unwrap();
    let error = TargetEncoder::fit(&infinite, "y", None, &[0, 1, 2]).unwrap_err().to_string();
    assert!(error.contains("finite number to predict, got inf in row 3"), "{error}");
}

#[test]
fn stratified_splits_leave_every_class_to_train_on() {
    let classes: String = (0..200).map(|row| if row % 50 == 0 { "rare,0\n" } else { "common,1\n" }).collect();
    let table = read_csv(&format!("y,x\n{classes}")).unwrap();
    let rows = table.present_rows("y").unwrap();
    let strata = TargetEncoder::strata(&table, "y", &rows).unwrap();
    for seed in 0..20 {
        let (training, validation) = split(&rows, 0.25, seed, Some(&strata));
        assert_eq!(validation.len(), 50);
        let (encoder, _) = TargetEncoder::fit(&table, "y", None, &training).unwrap();
        let held_out = encoder.encode(&table, "y", &validation).unwrap();
        assert_eq!(held_out.iter().filter(|class| **class == 1.0).count(), 1, "one of four rare rows");
    }
}
