//! Against what the libraries say about their own models; see `tests/data/make_shap.py`.

use serde_json::Value;
use trees::{
    Ensemble, Explainer,
    ensemble::{Node, Split, Test},
};

use super::load;
use crate::support::{largest_difference, numbers, shared};

/// Numbers of nested lists, in order; null is NaN.
fn flat(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().flat_map(flat).collect(),
        Value::Null => vec![f64::NAN],
        value => vec![value.as_f64().unwrap()],
    }
}

/// The largest difference, relative to the greatest of the expected numbers.
fn largest(got: &[f64], expected: &[f64]) -> f64 {
    let scale = expected.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    largest_difference(&[got.to_vec()], &[expected.to_vec()]) / scale
}

fn categorical_splits(ensemble: &Ensemble) -> usize {
    let nodes = ensemble.trees.iter().flat_map(|tree| &tree.nodes);
    nodes.filter(|node| matches!(node, Node::Split(Split { test: Test::In(_), .. }))).count()
}

fn compare(name: &str, text: &str, tolerance: f64, load: impl Fn(&Value, usize) -> Ensemble) {
    let golden: Value = serde_json::from_str(text).unwrap();
    let rows: Vec<_> = golden["rows"].as_array().unwrap().iter().map(flat).collect();
    let ensemble = load(&golden["model"], rows[0].len());
    let explainer = Explainer::new(&ensemble).unwrap();

    let expected: Vec<_> = golden["contributions"].as_array().unwrap().iter().map(flat).collect();
    assert_eq!(rows.len(), expected.len());
    assert!(rows.len() >= 15);
    let mut out = vec![0.0; explainer.values_len()];
    let (mut values, mut additive) = (0.0_f64, 0.0_f64);
    for (row, expected) in rows.iter().zip(&expected) {
        let features = ensemble.features_of(row);
        explainer.values(&features, &mut out).unwrap();
        values = values.max(largest(&out, expected));
        let sums: Vec<f64> = out.chunks(rows[0].len() + 1).map(|values| values.iter().sum()).collect();
        additive = additive.max(largest(&sums, &ensemble.margins(&features)));
    }

    let expected: Vec<_> = golden["interactions"].as_array().unwrap().iter().map(flat).collect();
    let mut out = vec![0.0; explainer.interactions_len()];
    let mut pairs = 0.0_f64;
    for (row, expected) in rows.iter().zip(&expected) {
        explainer.interactions(&ensemble.features_of(row), &mut out).unwrap();
        pairs = pairs.max(largest(&out, expected));
    }
    println!("{name}: values {values:.1e}, interactions {pairs:.1e} ({}), additivity {additive:.1e}", expected.len());
    assert!(values <= tolerance, "{name}: {values:e}");
    assert!(pairs <= tolerance, "{name}: interactions {pairs:e}");
    assert!(additive <= 1e-12, "{name}: additivity {additive:e}");
}

/// XGBoost computes in f32.
const F32: f64 = 1e-5;
/// LightGBM and shap compute in f64, by unwinding.
const F64: f64 = 1e-11;

#[test]
fn xgboost_with_missing_values() {
    let text = include_str!("../../data/shap/xgboost_binary_missing.json");
    compare("binary:logistic, missing values", text, F32, |model, _| load::xgboost(model));
}

#[test]
fn xgboost_with_several_classes() {
    let text = include_str!("../../data/shap/xgboost_multiclass.json");
    compare("multi:softprob", text, F32, |model, _| load::xgboost(model));
}

#[test]
fn xgboost_with_categories() {
    let text = include_str!("../../data/shap/xgboost_categories.json");
    compare("XGBoost, categories", text, F32, |model, _| {
        let ensemble = load::xgboost(model);
        assert!(categorical_splits(&ensemble) > 10);
        ensemble
    });
}

#[test]
fn xgboost_with_deep_trees() {
    let text = include_str!("../../data/shap/xgboost_deep.json");
    compare("XGBoost, deep", text, F32, |model, _| load::xgboost(model));
}

#[test]
fn lightgbm_with_categories_and_missing_values() {
    let text = include_str!("../../data/shap/lightgbm_categories.json");
    compare("LightGBM, categories, missing values", text, F64, |model, columns| {
        let ensemble = load::lightgbm(model, columns);
        assert!(categorical_splits(&ensemble) > 10);
        ensemble
    });
}

#[test]
fn lightgbm_with_several_classes() {
    let text = include_str!("../../data/shap/lightgbm_multiclass.json");
    compare("LightGBM, multiclass", text, F64, load::lightgbm);
}

#[test]
fn sklearn_regressor_of_the_shap_package() {
    let text = include_str!("../../data/shap/sklearn_regressor.json");
    compare("RandomForestRegressor", text, F64, load::sklearn);
}

#[test]
fn sklearn_classifier_of_the_shap_package() {
    let text = include_str!("../../data/shap/sklearn_classifier.json");
    compare("RandomForestClassifier", text, F64, load::sklearn);
}

#[test]
fn xgboost_california() {
    let Some(model) = shared("data/golden/xgb_california.json") else { return };
    let read = |path: &str| numbers(&shared(path).unwrap());
    let model: Value = serde_json::from_str(&fs_err::read_to_string(model).unwrap()).unwrap();
    let ensemble = load::xgboost(&model);
    let explainer = Explainer::new(&ensemble).unwrap();
    let rows = read("data/golden/california_test500.csv");
    let expected = read("data/golden/xgb_california.shap");
    assert_eq!(expected.len(), 20);
    let mut out = vec![0.0; explainer.values_len()];
    let (mut difference, mut additive) = (0.0_f64, 0.0_f64);
    for (row, expected) in rows.iter().zip(&expected) {
        let features = ensemble.features_of(&row[..8]);
        explainer.values(&features, &mut out).unwrap();
        difference = difference.max(largest(&out, expected));
        additive = additive.max(largest(&[out.iter().sum()], &ensemble.margins(&features)));
    }
    println!("xgb_california: values {difference:.1e}, additivity {additive:.1e}");
    assert!(difference <= F32, "{difference:e}");
    assert!(additive <= 1e-12, "{additive:e}");
}
