//! XGBoost's models against what XGBoost answers: the project's own golden files, then the shared ones.

use std::path::{Path, PathBuf};

use fs_err as fs;
use serde_json::Value;
use trees::{
    Ensemble, Error,
    ensemble::{Categories, ColumnKind, Link, Task},
    import::xgboost::{read_json, read_ubj},
};

use crate::support::{numbers, shared};

pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/xgboost").join(name)
}

/// A model of the project's own, in both forms.
pub(crate) fn model(name: &str) -> Ensemble {
    let json = read_json(&fs::read(data(&format!("{name}.json"))).unwrap()).unwrap();
    let mut ubj = read_ubj(&fs::read(data(&format!("{name}.ubj"))).unwrap()).unwrap();
    assert_eq!(ubj.origin.format, "xgboost-ubj");
    ubj.origin.format.clone_from(&json.origin.format);
    // NaN is a leaf value of one model, and differs from itself.
    assert_eq!(format!("{json:?}"), format!("{ubj:?}"), "{name}: JSON and UBJ hold the same, to the bit");
    json
}

/// A row as the model takes it: names become codes.
fn encode(ensemble: &Ensemble, row: &[Value]) -> Vec<f64> {
    let code = |place: Option<usize>| place.map_or(f64::NAN, |place| place as f64);
    let cells = row.iter().zip(&ensemble.columns);
    cells
        .map(|(cell, column)| match (&column.kind, cell) {
            (_, Value::Null) => f64::NAN,
            (ColumnKind::Category(Categories::Strings(names)), Value::String(name)) => {
                code(names.iter().position(|known| known == name))
            }
            (ColumnKind::Category(Categories::Integers(known)), cell) => {
                code(known.iter().position(|known| *known as f64 == cell.as_f64().unwrap()))
            }
            (_, cell) => cell.as_f64().unwrap(),
        })
        .collect()
}

/// Rows, margins and answers of a golden model.
pub(crate) struct Golden {
    pub(crate) rows: Vec<Vec<f64>>,
    pub(crate) margins: Vec<Vec<f64>>,
    pub(crate) answers: Vec<Vec<f64>>,
}

/// Numbers that Python's `json` wrote, which has `-Infinity` and `NaN`.
fn parse(text: &str) -> Value {
    serde_json::from_str(&text.replace("NaN", "\"NaN\"").replace("-Infinity", "\"-Infinity\"")).unwrap()
}

pub(crate) fn golden(name: &str, ensemble: &Ensemble) -> Golden {
    let file = parse(&fs::read_to_string(data(&format!("{name}.expected"))).unwrap());
    let list = |value: &Value| value.as_array().unwrap().clone();
    let number = |value: &Value| match value {
        Value::String(text) if text == "NaN" => f64::NAN,
        Value::String(text) if text == "-Infinity" => f64::NEG_INFINITY,
        other => other.as_f64().unwrap(),
    };
    let table = |field: &str| {
        let rows = list(&file[field]).into_iter().map(|row| list(&row).iter().map(number).collect());
        rows.collect()
    };
    Golden {
        rows: list(&file["rows"]).iter().map(|row| encode(ensemble, &list(row))).collect(),
        margins: table("margins"),
        answers: table("answers"),
    }
}

/// The largest difference, relative to numbers beyond 1.
pub(crate) fn difference(got: &[Vec<f64>], expected: &[Vec<f64>]) -> f64 {
    assert_eq!(got.len(), expected.len(), "rows");
    let mut largest = 0.0_f64;
    for (got, expected) in got.iter().zip(expected) {
        assert_eq!(got.len(), expected.len(), "numbers a row");
        for (got, expected) in got.iter().zip(expected) {
            let same = got == expected || (got.is_nan() && expected.is_nan());
            let each = if same { 0.0 } else { (got - expected).abs() / expected.abs().max(1.0) };
            largest = if each.is_nan() { f64::INFINITY } else { largest.max(each) };
        }
    }
    largest
}

pub(crate) fn margins(ensemble: &Ensemble, rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
    rows.iter().map(|row| ensemble.margins(&ensemble.features_of(row))).collect()
}

pub(crate) fn answers(ensemble: &Ensemble, rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
    rows.iter().map(|row| ensemble.answer(row)).collect()
}

/// Place of the greatest number, as `multi:softmax` answers it.
fn class(probabilities: &[f64]) -> f64 {
    let mut best = 0;
    for (place, probability) in probabilities.iter().enumerate() {
        if *probability > probabilities[best] {
            best = place;
        }
    }
    best as f64
}

/// Every golden model.
pub(crate) const MODELS: [&str; 46] = [
    "absoluteerror",
    "aft",
    "all_alike",
    "codes",
    "cox",
    "dart",
    "dart_old",
    "frame",
    "gamma",
    "hinge",
    "labels",
    "leaf",
    "logistic",
    "logistic_old",
    "logitraw",
    "logitraw_mean",
    "missing",
    "missing_old",
    "nan",
    "no_trees",
    "parallel",
    "parallel_softprob",
    "poisson",
    "poisson_old",
    "pruned",
    "pseudohuber",
    "quantile",
    "quantiles",
    "quantiles_old",
    "rank_map",
    "rank_ndcg",
    "rank_pairwise",
    "reg_logistic",
    "softmax",
    "softprob",
    "softprob_old",
    "squaredlogerror",
    "stopped",
    "targets",
    "tweedie",
    "untrained",
    "untrained_old",
    "vectors",
    "vectors_old",
    "vectors_softprob",
    "zeros",
];

#[test]
fn answers_are_those_of_the_real_library() {
    for name in MODELS {
        let ensemble = model(name);
        let expected = golden(name, &ensemble);
        let got = margins(&ensemble, &expected.rows);
        let apart = difference(&got, &expected.margins);
        let mut answers = answers(&ensemble, &expected.rows);
        if ensemble.origin.objective == "multi:softmax" {
            answers = answers.iter().map(|row| vec![class(row)]).collect();
        }
        let answers_apart = difference(&answers, &expected.answers);
        println!("{name}: margins differ by {apart:e}, answers by {answers_apart:e}");
        // Where margins start with a logarithm, the mathematics library has a say.
        let exact = matches!(ensemble.output.link, Link::Identity | Link::Softmax | Link::Hinge);
        assert!(apart == 0.0 || !exact, "{name}: margins differ by {apart:e}");
        assert!(apart < 1e-6, "{name}: margins differ by {apart:e}");
        assert!(answers_apart < 1e-6, "{name}: answers differ by {answers_apart:e}");
    }
}

#[test]
fn codes_that_training_never_saw_are_in_no_set() {
    let ensemble = model("codes");
    let expected = golden("codes_strange", &ensemble);
    assert_eq!(margins(&ensemble, &expected.rows), expected.margins);
    let different: std::collections::BTreeSet<u64> = expected.margins.iter().map(|row| row[0].to_bits()).collect();
    assert!(different.len() > 4, "the rows are told apart");
}

#[test]
fn what_a_file_says_beside_trees_is_kept() {
    let stopped = model("stopped");
    assert_eq!(stopped.columns[0].name, "côté 0");
    let kinds = stopped.columns.iter().map(|column| column.kind.clone());
    let mut expected = vec![ColumnKind::Float; 6];
    expected.extend([ColumnKind::Integer, ColumnKind::Boolean]);
    assert_eq!(kinds.collect::<Vec<_>>(), expected);
    let parameters = &stopped.origin.parameters;
    let best: usize = parameters["best_iteration"].parse().unwrap();
    assert!(best + 1 < stopped.trees.len(), "all trees are kept behind the best round");
    assert!(parameters["best_score"].parse::<f64>().is_ok());
    assert_eq!(parameters["base_score"], "[6.274165E-1]");
    assert_eq!(stopped.origin.version, "3.2.0");
    assert_eq!(stopped.origin.objective, "binary:logistic");
    assert!(stopped.output.classes.is_empty());

    let tweedie = model("tweedie");
    assert_eq!(tweedie.origin.parameters["tweedie_variance_power"], "1.29999995");
    assert_eq!(tweedie.columns[3].name, "f3");
    assert_eq!(model("missing").trees[0].covers[0], 442.0, "a hessian a row");
    assert_eq!(model("quantiles").origin.parameters["quantile_alpha"], "[1E-1,5E-1,9E-1]");
    assert_eq!(model("parallel").origin.parameters["num_parallel_tree"], "3");
    assert_eq!(model("missing_old").origin.version, "2.1.4");
}

#[test]
fn categories_keep_their_names() {
    let frame = model("frame");
    let names = ["pomme", "apfel", "ringo", "", "a b", "z"].map(str::to_owned).to_vec();
    assert_eq!(frame.columns[1].kind, ColumnKind::Category(Categories::Strings(names)));
    assert_eq!(frame.columns[2].kind, ColumnKind::Category(Categories::Integers(vec![1999, -5, 2024, 7])));
    assert_eq!(model("codes").columns[0].kind, ColumnKind::Category(Categories::Codes));
    // Bytes of "émme" in the place of "pomme", from a library that counts bytes.
    let text = fs::read_to_string(data("frame.json")).unwrap();
    let accents = text.replace("[112,111,109,109,101,", "[-61,-87,109,109,101,").replace("[3,2,0]", "[3,5,0]");
    let ColumnKind::Category(Categories::Strings(names)) =
        read_json(accents.as_bytes()).unwrap().columns[1].kind.clone()
    else {
        panic!("names")
    };
    assert_eq!(names[0], "émme");
    // An unknown name is missing, and goes where a missing one goes.
    let mut row = golden("frame", &frame).rows[1].clone();
    row[1] = f64::NAN;
    let missing = frame.answer(&row);
    let answers: Vec<_> = (0..6)
        .map(|code| {
            row[1] = f64::from(code);
            frame.answer(&row)
        })
        .collect();
    assert!(answers.iter().any(|answer| *answer != missing), "the fruit matters");
}

#[test]
fn tasks_and_links_follow_the_objective() {
    let cases = [
        ("missing", Task::Regression, Link::Identity, 1),
        ("logistic", Task::Binary, Link::Logistic { alpha: 1.0 }, 1),
        ("logitraw", Task::Binary, Link::Identity, 1),
        ("hinge", Task::Binary, Link::Hinge, 1),
        ("labels", Task::Regression, Link::Logistic { alpha: 1.0 }, 2),
        ("softmax", Task::Multiclass, Link::Softmax, 3),
        ("rank_ndcg", Task::Ranking, Link::Identity, 1),
        ("cox", Task::Regression, Link::Exp, 1),
        ("quantiles", Task::Regression, Link::Identity, 3),
    ];
    for (name, task, link, width) in cases {
        let output = model(name).output;
        assert_eq!((output.task, output.link, output.width), (task, link, width), "{name}");
    }
}

#[test]
fn what_cannot_be_read_is_refused_by_name_with_the_way_out() {
    let file = |name: &str| fs::read(data(name)).unwrap();
    let poisson = String::from_utf8(file("poisson.json")).unwrap();
    let cases = [
        (read_json(&file("gblinear.json")), "gblinear"),
        (read_ubj(&file("gblinear.ubj")), "gblinear"),
        (read_json(&file("legacy.deprecated")), "old binary format"),
        (read_ubj(&file("legacy.raw")), "old binary format"),
        (read_json(&file("legacy.raw")[4..]), "old binary format"),
        (read_json(&file("accents.json")), "category names beyond ASCII"),
        (read_ubj(&file("snapshot.pickled")), "memory snapshot"),
        (read_json(poisson.replace("count:poisson", "count:fish").as_bytes()), "objective `count:fish`"),
        (read_json(poisson.replace("\"gbtree\"", "\"gbforest\"").as_bytes()), "booster `gbforest`"),
    ];
    for (result, what) in cases {
        match result {
            Err(Error::Unsupported { what: got, instead }) => {
                assert!(got.contains(what), "{got}");
                assert!(!instead.is_empty());
            }
            other => panic!("expected {what} to be refused, got {other:?}"),
        }
    }
    let swapped =
        [read_json(&file("leaf.ubj")), read_ubj(&file("leaf.json"))].map(|result| result.unwrap_err().to_string());
    assert_eq!(swapped[0], "expected a model in XGBoost's JSON, got one in UBJ");
    assert_eq!(swapped[1], "expected a model in XGBoost's UBJ, got one in JSON");
}

#[test]
fn the_shared_models_answer_as_xgboost_did() {
    let Some(folder) = shared("data/golden") else { return };
    let read = |name: &str| {
        let json = read_json(&fs::read(folder.join(format!("{name}.json"))).unwrap()).unwrap();
        let ubj = folder.join(format!("{name}.ubj"));
        if ubj.exists() {
            let ubj = read_ubj(&fs::read(ubj).unwrap()).unwrap();
            assert_eq!((&ubj.trees, &ubj.output, &ubj.columns), (&json.trees, &json.output, &json.columns), "{name}");
        }
        json
    };
    // NaN is written as nothing between two commas, which `numbers` does not read.
    let holes = |name: &str| -> Vec<Vec<f64>> {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        let cell = |cell: &str| if cell.is_empty() { f64::NAN } else { cell.parse().unwrap() };
        text.lines().skip(1).map(|line| line.split(',').map(cell).collect()).collect()
    };
    let compare = |what: &str, got: Vec<Vec<f64>>| {
        let expected = numbers(&folder.join(what));
        let apart = difference(&got, &expected);
        println!("{what}: {} rows differ by at most {apart:e}", got.len());
        assert!(apart < 1e-6, "{what}: {apart:e}");
    };
    let california = read("xgb_california");
    compare("xgb_california.pred", answers(&california, &holes("california_test500.csv")));
    compare("xgb_california_nan.pred", answers(&california, &holes("california_test500_nan.csv")));
    let coded = read("xgb_adult_codedcat");
    let rows = holes("adult_test1000_codes.csv");
    compare("xgb_adult_codedcat.margin", margins(&coded, &rows));
    compare("xgb_adult_codedcat.pred", answers(&coded, &rows));

    let strings = read("xgb_adult_stringcat");
    let text = fs::read_to_string(folder.join("adult_test1000_strings.csv")).unwrap();
    let row = |line: &str| {
        let cells = line.split(',').map(|cell| match (cell, cell.parse::<f64>()) {
            ("", _) => Value::Null,
            (_, Ok(number)) => Value::from(number),
            (name, Err(_)) => Value::from(name),
        });
        encode(&strings, &cells.collect::<Vec<_>>())
    };
    compare("xgb_adult_stringcat.pred", answers(&strings, &text.lines().skip(1).map(row).collect::<Vec<_>>()));
}
