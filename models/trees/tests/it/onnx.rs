//! ONNX models against ONNX Runtime, and the libraries that trained them.

use std::path::{Path, PathBuf};

use fs_err as fs;
use serde_json::Value;
use trees::{
    Ensemble, Error,
    ensemble::{Categories, ColumnKind, Output, Precision, Task},
    import,
};

use crate::support::{numbers, shared};

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/onnx")
}

fn golden() -> Value {
    serde_json::from_slice(&fs::read(folder().join("golden.json")).unwrap()).unwrap()
}

fn model(name: &str) -> Vec<u8> {
    fs::read(folder().join(format!("{name}.onnx"))).unwrap()
}

/// A row of the golden table as columns hold it: codes for categories.
fn row(ensemble: &Ensemble, cells: &Value) -> Vec<f64> {
    let code = |found: Option<usize>| found.map_or(f64::NAN, |code| code as f64);
    let cell = |(cell, column): (&Value, &trees::ensemble::Column)| match &column.kind {
        ColumnKind::Category(Categories::Strings(names)) => code(names.iter().position(|name| cell == name)),
        ColumnKind::Category(Categories::Integers(keys)) => {
            code(keys.iter().position(|key| cell.as_f64() == Some(*key as f64)))
        }
        _ => number(cell),
    };
    let cells = cells.as_array().unwrap();
    assert_eq!(cells.len(), ensemble.columns.len(), "columns");
    cells.iter().zip(&ensemble.columns).map(cell).collect()
}

fn number(cell: &Value) -> f64 {
    match cell {
        Value::String(infinite) => infinite.parse().unwrap(),
        other => other.as_f64().unwrap_or(f64::NAN),
    }
}

/// An answer as ONNX writes it: both classes of a model of one margin.
fn answer(ensemble: &Ensemble, columns: &[f64]) -> Vec<f64> {
    let answer = ensemble.answer(columns);
    match answer[..] {
        [second] if ensemble.output.task == Task::Binary => vec![1.0 - second, second],
        _ => answer,
    }
}

/// How far two numbers are from each other, in proportion when they are large.
fn difference(got: f64, expected: f64) -> f64 {
    if got == expected || (got.is_nan() && expected.is_nan()) {
        return 0.0;
    }
    let difference = (got - expected).abs() / expected.abs().max(1.0);
    if difference.is_nan() { f64::INFINITY } else { difference }
}

fn largest(name: &str, ensemble: &Ensemble, case: &Value, field: &str) -> f64 {
    let mut largest = 0.0_f64;
    for (cells, expected) in case["rows"].as_array().unwrap().iter().zip(case[field].as_array().unwrap()) {
        let expected: Vec<f64> = expected.as_array().unwrap().iter().map(number).collect();
        let mut got = answer(ensemble, &row(ensemble, cells));
        if got.len() == 2 && expected.len() == 1 {
            got.remove(0);
        }
        assert_eq!(got.len(), expected.len(), "{name}: numbers a row");
        for (got, expected) in got.iter().zip(&expected) {
            largest = largest.max(difference(*got, *expected));
        }
    }
    largest
}

#[test]
fn golden_models_answer_as_onnx_runtime_does() {
    let golden = golden();
    let models = golden["models"].as_object().unwrap();
    assert!(models.len() > 100, "golden models are missing");
    let mut wrong = Vec::new();
    for (name, case) in models {
        match import::onnx::read(&model(name)) {
            Err(error) => wrong.push(format!("{name}: {error}")),
            Ok(ensemble) => {
                let largest = largest(name, &ensemble, case, "expected");
                eprintln!("{name}: {largest:e}");
                if largest > 1e-6 {
                    wrong.push(format!("{name}: {largest:e}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn golden_models_answer_as_the_libraries_do_that_trained_them() {
    let golden = golden();
    let mut compared = 0;
    for (name, case) in golden["models"].as_object().unwrap() {
        if case.get("native").is_none() {
            continue;
        }
        compared += 1;
        let ensemble = import::onnx::read(&model(name)).unwrap();
        let largest = largest(name, &ensemble, case, "native");
        eprintln!("{name}: {largest:e}");
        // The converters round to f32 what the libraries hold in f64.
        assert!(largest < 2e-6, "{name}: {largest:e}");
    }
    assert!(compared > 40, "only {compared} models with answers of their libraries");
}

#[test]
fn what_a_model_says_about_itself_is_kept() {
    let read = |name: &str| import::onnx::read(&model(name)).unwrap();
    let ordinal = read("pipe_ordinal");
    let kinds: Vec<_> = ordinal.columns.into_iter().map(|column| (column.name, column.kind)).collect();
    let wards = ["u", "v", "w"].map(str::to_owned).to_vec();
    let expected = [
        ("size", ColumnKind::Float),
        ("pressure", ColumnKind::Float),
        ("ward", ColumnKind::Category(Categories::Strings(wards))),
        ("code", ColumnKind::Category(Categories::Integers(vec![2, 7]))),
    ];
    assert_eq!(kinds, expected.map(|(name, kind)| (name.to_owned(), kind)));
    assert_eq!(read("pipe_one_hot").columns[3].kind, ColumnKind::Integer);
    for (name, task, width, classes) in [
        ("skl_dtc", Task::Multiclass, 3, vec!["a", "b", "c"]),
        ("cb_multi", Task::Multiclass, 3, vec!["a", "b", "c"]),
        ("lgb_binary", Task::Binary, 1, vec!["0", "1"]),
        ("two_mixed_none", Task::Binary, 2, vec!["no", "yes"]),
        ("two_positive_none", Task::Binary, 1, vec!["no", "yes"]),
        ("two_columns_softmax", Task::Binary, 2, vec!["3", "-4"]),
        ("after_pair_second", Task::Binary, 1, vec!["0", "1"]),
        ("skl_rfr_targets", Task::Regression, 2, vec![]),
    ] {
        let Output { task: found, width: wide, classes: labels, .. } = read(name).output;
        assert_eq!((found, wide, labels), (task, width, classes.into_iter().map(str::to_owned).collect()), "{name}");
    }
    let origin = read("lgb_binary").origin;
    assert_eq!((origin.format.as_str(), origin.version.as_str()), ("onnx", "ai.onnx.ml 1"));
    assert_eq!(origin.parameters["producer_name"], "OnnxMLTools");
    // Doubles are compared and added as such; all else as floats.
    assert_eq!((read("double").rules.compare, read("double").rules.sum), (Precision::F64, Precision::F64));
    assert_eq!((read("lgb_split").rules.compare, read("lgb_split").rules.sum), (Precision::F32, Precision::F64));
    assert_eq!((read("skl_rfr").rules.compare, read("skl_rfr").rules.sum), (Precision::F32, Precision::F32));
}

/// A table may hold doubles where a graph takes floats: what asks for a value sees it rounded.
#[test]
fn columns_of_floats_are_rounded_before_they_are_asked() {
    for (name, float) in [("before_binarizer", 0.05_f32), ("before_one_hot", 1.0), ("before_imputer", 1.0)] {
        let ensemble = import::onnx::read(&model(name)).unwrap();
        let float = f64::from(float);
        for near in [float * (1.0 - 1e-12), float * (1.0 + 1e-12)] {
            assert_eq!(ensemble.answer(&[near, near]), ensemble.answer(&[float, float]), "{name} at {near}");
        }
    }
}

#[test]
fn what_is_not_followed_is_refused_by_name() {
    for (name, what) in golden()["refused"].as_object().unwrap() {
        let error = import::onnx::read(&model(name)).expect_err(name);
        assert!(matches!(error, Error::Unsupported { .. }), "{name}: {error}");
        assert!(error.to_string().contains(what.as_str().unwrap()), "{name}: {error}");
        eprintln!("{name}: {error}");
    }
}

/// The golden data that lies beside the clone: a model, and how far ONNX Runtime's own answers are from those of the
/// library that trained it, in proportion: its sums are of f32.
const SHARED: [(&str, f64); 5] = [
    ("skl_rf_california", 2e-7),
    ("skl_gbc_california", 2e-7),
    ("xgb_california", 2e-6),
    ("lgb_california", 2e-6),
    ("cb_california", 2e-6),
];

#[test]
fn shared_models_answer_as_the_libraries_do_that_trained_them() {
    let Some(table) = shared("data/golden/california_test500.csv") else { return };
    let rows = numbers(&table);
    for (name, tolerance) in SHARED {
        let (Some(path), Some(expected)) =
            (shared(&format!("data/golden/{name}.onnx")), shared(&format!("data/golden/{name}.pred")))
        else {
            return;
        };
        let ensemble = import::onnx::read(&fs::read(path).unwrap()).unwrap();
        let expected = numbers(&expected);
        assert_eq!(rows.len(), expected.len());
        let mut largest = 0.0_f64;
        for (row, expected) in rows.iter().zip(&expected) {
            let got = answer(&ensemble, &row[..8]);
            assert_eq!(got.len(), expected.len(), "{name}");
            largest =
                got.iter().zip(expected).map(|(got, expected)| difference(*got, *expected)).fold(largest, f64::max);
        }
        eprintln!("{name}: {largest:e}");
        assert!(largest <= tolerance, "{name}: {largest:e}");
    }
}

/// A tensor of numbers in a file of its own, as ONNX's node tests have them.
fn tensor(path: &Path) -> Vec<f64> {
    let bytes = fs::read(path).unwrap();
    // TensorProto's `raw_data` (field 9) of FLOAT (data_type 1) or DOUBLE (11), behind the few bytes of its other fields.
    let width = if bytes.windows(2).any(|field| field == [0x10, 11]) { 8 } else { 4 };
    let at = bytes.iter().position(|byte| *byte == 0x4a).unwrap();
    let raw = &bytes[at + 2..][..usize::from(bytes[at + 1])];
    let number = |bytes: &[u8]| match bytes.len() {
        8 => f64::from_le_bytes(bytes.try_into().unwrap()),
        _ => f64::from(f32::from_le_bytes(bytes.try_into().unwrap())),
    };
    raw.chunks(width).map(number).collect()
}

#[test]
fn onnx_node_tests_of_trees_hold() {
    for name in ["set_membership", "single_tree"] {
        let Some(folder) = shared(&format!("data/models/onnx/test_ai_onnx_ml_tree_ensemble_{name}")) else { return };
        let ensemble = import::onnx::read(&fs::read(folder.join("model.onnx")).unwrap()).unwrap();
        let rows = tensor(&folder.join("test_data_set_0/input_0.pb"));
        let expected = tensor(&folder.join("test_data_set_0/output_0.pb"));
        let got: Vec<f64> = rows.chunks(ensemble.columns.len()).flat_map(|row| ensemble.answer(row)).collect();
        assert_eq!(got, expected, "{name}");
    }
}
