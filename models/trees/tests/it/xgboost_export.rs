//! What is written as XGBoost's JSON, and read back.
//!
//! `tests/data/xgboost_export` holds what [`write_json`] writes, with what the ensembles answer;
//! `check_xgboost_export.py` beside it asks the real XGBoost. The test here says when the files are no longer what is
//! written: `EMBERLINE_BLESS=1` writes them anew, and the script is to be run again.

use std::path::{Path, PathBuf};

use fs_err as fs;
use proptest::prelude::*;
use serde_json::json;
use trees::{
    Ensemble, Error,
    ensemble::{
        Aggregate, Categories, CategoryRule, ColumnKind, Leaves, Link, Missing, Node, Precision, Step, Task, Test,
    },
    export::xgboost::write_json,
    import::xgboost::read_json,
};

use crate::{
    random::{Draw, Shape, ensemble, shapes},
    treelite::checkpoints,
    xgboost::{MODELS, answers, difference, golden, margins, model},
};

/// A drawn ensemble, without what XGBoost cannot say.
fn expressible(shape: &Shape) -> Ensemble {
    let mut drawn = ensemble(&Shape { linear: false, ..shape.clone() });
    drawn.rules.category = CategoryRule::TruncateNonNegative;
    if let Aggregate::Min | Aggregate::Max = drawn.output.aggregate {
        drawn.output.aggregate = Aggregate::Sum;
    }
    for tree in &mut drawn.trees {
        for node in &mut tree.nodes {
            if let Node::Split(split) = node {
                let zero_left = match split.test {
                    Test::Below(threshold) => threshold > 1e-30,
                    Test::AtMost(threshold) => threshold >= 1e-30,
                    Test::Equal(_) | Test::In(_) => false,
                };
                let zero_right =
                    matches!(split.test, Test::Below(threshold) | Test::AtMost(threshold) if threshold < -1e-30);
                split.missing = match split.missing {
                    Missing::ZeroLeft if !zero_left => Missing::Left,
                    Missing::ZeroRight if !zero_right => Missing::Right,
                    other => other,
                };
                if let Test::Equal(threshold) = split.test {
                    split.test = Test::AtMost(threshold);
                }
            }
        }
    }
    drawn
}

/// Rows that XGBoost takes: f32, finite or missing.
fn rows(seed: u64, features: usize, levels: usize, count: usize) -> Vec<Vec<f64>> {
    let mut draw = Draw::new(seed ^ 5);
    let narrow = |x: f64| if x.is_infinite() { 0.5 } else { f64::from(x as f32) };
    (0..count).map(|_| draw.row(features, levels).into_iter().map(narrow).collect()).collect()
}

/// Each tree's leaf, and so many times as XGBoost has a tree for it.
fn leaves(ensemble: &Ensemble, times: usize, rows: &[Vec<f64>]) -> Vec<Vec<u32>> {
    let each = |leaves: Vec<u32>| leaves.into_iter().flat_map(|leaf| vec![leaf; times]).collect();
    rows.iter().map(|row| each(ensemble.leaves(&ensemble.features_of(row)))).collect()
}

/// Trees that XGBoost has for each one: several where those with vector leaves become one for each output.
fn times(written: &Ensemble, back: &Ensemble) -> usize {
    if back.trees.len() == written.trees.len() { 1 } else { written.output.width }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_reads_back_with_the_same_leaves(shape in shapes()) {
        let written = expressible(&shape);
        let back = read_json(&write_json(&written).unwrap()).unwrap();
        let rows = rows(shape.seed, shape.features, shape.levels, 60);
        prop_assert_eq!(leaves(&back, 1, &rows), leaves(&written, times(&written, &back), &rows));
        // Up to 40 numbers of up to 53 in f32.
        let apart = difference(&answers(&back, &rows), &answers(&written, &rows));
        prop_assert!(apart <= 1e-3, "{}", apart);
    }

    /// Whatever is drawn is written so that it reads back alike, or refused by name.
    #[test]
    fn what_cannot_be_said_is_refused(shape in shapes()) {
        let drawn = ensemble(&shape);
        match write_json(&drawn) {
            Ok(bytes) => {
                let rows = rows(shape.seed, shape.features, shape.levels, 60);
                let back = read_json(&bytes).unwrap();
                prop_assert_eq!(leaves(&back, 1, &rows), leaves(&drawn, times(&drawn, &back), &rows));
            }
            Err(error) => prop_assert!(matches!(error, Error::Unsupported { .. }), "{error}"),
        }
    }
}

#[test]
fn models_of_xgboost_survive_being_written() {
    for name in MODELS {
        let mut first = model(name);
        let mut back = read_json(&write_json(&first).unwrap()).unwrap();
        // `dart` weights are in the leaves, and what is not said again is of the library's version.
        assert_eq!(back.origin.objective, first.origin.objective, "{name}");
        for parameter in
            ["best_iteration", "num_class", "num_target", "quantile_alpha", "num_parallel_tree", "max_delta_step"]
        {
            assert_eq!(back.origin.parameters.get(parameter), first.origin.parameters.get(parameter), "{name}");
        }
        if name == "untrained" {
            // Its margin of 0.5 is no probability's, and there is no leaf to take it.
            assert_eq!(margins(&back, &[vec![0.0; 8]]), [[0.5]]);
            continue;
        }
        back.origin = first.origin.clone();
        if name == "vectors_old" {
            // The old library wrote none.
            assert!(first.trees.iter().all(|tree| tree.covers.is_empty()));
            first.trees.iter_mut().zip(&back.trees).for_each(|(tree, back)| tree.covers.clone_from(&back.covers));
        }
        assert_eq!(format!("{back:?}"), format!("{first:?}"), "{name}");
    }
}

#[test]
fn categories_are_written_as_xgboost_writes_them() {
    let cats = |text: &[u8]| {
        let model: serde_json::Value = serde_json::from_slice(text).unwrap();
        model["learner"]["gradient_booster"]["model"]["cats"].clone()
    };
    let original = fs::read(crate::xgboost::data("frame.json")).unwrap();
    assert_eq!(cats(&write_json(&model("frame")).unwrap()), cats(&original));
}

#[test]
fn a_start_that_no_base_score_gives_moves_into_the_leaves() {
    // No probability gives 20.25, and neither near a half nor near 1 do f32 lie dense enough for a small margin.
    for (name, margin) in [("labels", 20.25_f32), ("labels", 1e-9), ("poisson", 1e-9)] {
        let mut start = model(name);
        let width = start.output.width;
        // The second output has no tree then.
        start.trees.retain(|tree| matches!(tree.leaves, Leaves::Scalar { output: 0, .. }));
        start.output.start = vec![f64::from(margin); width];
        let back = read_json(&write_json(&start).unwrap()).unwrap();
        assert_eq!(back.trees.len(), start.trees.len() + width - 1);
        assert_eq!(back.output.start, vec![0.0; width]);
        let rows = rows(7, start.columns.len(), 3, 40);
        assert_eq!(margins(&back, &rows), margins(&start, &rows), "to the bit");
    }
}

#[test]
fn what_xgboost_cannot_say_is_refused_by_name() {
    type Change = fn(&mut Ensemble);
    let cases: [(&str, Change); 14] = [
        ("a step between column 0 and the trees", |e| e.features[0].steps.push(Step::Impute(1.0))),
        ("the least of the trees", |e| e.output.aggregate = Aggregate::Min),
        ("the greatest of the trees", |e| e.output.aggregate = Aggregate::Max),
        ("leaves by inf", |e| e.output.aggregate = Aggregate::Mean(vec![f64::from_bits(1)])),
        ("a sum that starts at NaN", |e| e.output.bias = vec![f64::NAN]),
        ("the link Softplus", |e| e.output.link = Link::Softplus),
        ("the link Isolation", |e| e.output.link = Link::Isolation { ratio: 1.0 }),
        ("a softmax over one margin", |e| e.output.link = Link::Softmax),
        ("a linear function as leaf", |e| {
            let leaves = e.trees[0].leaf_count();
            e.trees[0].linear = vec![trees::ensemble::LinearLeaf::default(); leaves];
        }),
        ("in tree 0, the test for 1 at node 0", |e| test(e, Test::Equal(1.0), Missing::Left)),
        ("zero as a missing value at node 0", |e| test(e, Test::AtMost(0.0), Missing::ZeroRight)),
        ("the category rule Truncate", |e| {
            e.rules.category = CategoryRule::Truncate;
            e.trees[0].sets.push([3].into_iter().collect());
            test(e, Test::In(0), Missing::Right);
        }),
        ("a leaf of 1e39, which is beyond f32", |e| {
            e.rules.sum = Precision::F64;
            let (Leaves::Scalar { values, .. } | Leaves::Vector(values)) = &mut e.trees[0].leaves;
            values[0] = 1e39;
        }),
        ("a category name beyond ASCII", |e| {
            e.columns[0].kind = ColumnKind::Category(Categories::Strings(vec!["é".to_owned()]));
        }),
    ];
    for (expected, change) in cases {
        let mut changed = model("missing");
        change(&mut changed);
        match write_json(&changed) {
            Err(error @ Error::Unsupported { .. }) => assert!(error.to_string().contains(expected), "{error}"),
            other => panic!("expected {expected} to be refused, got {:?}", other.map(|_| "a file")),
        }
    }
}

fn test(ensemble: &mut Ensemble, test: Test, missing: Missing) {
    let Node::Split(split) = &mut ensemble.trees[0].nodes[0] else { panic!("a split") };
    (split.test, split.missing) = (test, missing);
}

/// Ensembles from elsewhere, by name, with rows for them.
fn from_elsewhere() -> Vec<(String, Ensemble, Vec<Vec<f64>>)> {
    let shape = Shape {
        seed: 1,
        trees: 7,
        leaves: 20,
        features: 5,
        levels: 4,
        width: 1,
        vector: false,
        compare: Precision::F64,
        sum: Precision::F64,
        plain: false,
        linear: false,
        aggregate: 9,
    };
    let drawn = |name: &str, shape: Shape, change: fn(&mut Ensemble)| {
        let mut ensemble = expressible(&shape);
        // Small leaves, so that links do not saturate.
        for tree in &mut ensemble.trees {
            let (Leaves::Scalar { values, .. } | Leaves::Vector(values)) = &mut tree.leaves;
            for value in values {
                *value = shape.sum.round(*value / 100.0);
            }
        }
        change(&mut ensemble);
        (format!("drawn_{name}"), ensemble, rows(shape.seed, shape.features, shape.levels, 50))
    };
    let mut all = vec![
        drawn("wide", shape.clone(), |_| {}),
        drawn("narrow", Shape { seed: 2, compare: Precision::F32, sum: Precision::F32, ..shape.clone() }, |_| {}),
        drawn("average", Shape { seed: 3, aggregate: 2, width: 3, ..shape.clone() }, |_| {}),
        drawn("vectors", Shape { seed: 4, vector: true, width: 3, ..shape.clone() }, |e| {
            e.output.task = Task::Multiclass;
        }),
        drawn("classes", Shape { seed: 5, width: 3, trees: 9, ..shape.clone() }, |e| {
            e.output.link = Link::Softmax;
            e.output.task = Task::Multiclass;
        }),
        drawn("vectors_plain", Shape { seed: 14, vector: true, width: 2, plain: true, ..shape.clone() }, |_| {}),
        drawn("mixed", Shape { seed: 6, width: 3, vector: true, ..shape.clone() }, |e| {
            e.trees.extend(
                ensemble(&Shape {
                    seed: 9,
                    width: 3,
                    trees: 3,
                    leaves: 9,
                    features: 5,
                    levels: 4,
                    vector: false,
                    plain: true,
                    linear: false,
                    compare: Precision::F64,
                    sum: Precision::F64,
                    aggregate: 9,
                })
                .trees,
            );
        }),
        drawn("alpha", Shape { seed: 7, ..shape.clone() }, |e| {
            e.output.link = Link::Logistic { alpha: 0.7 };
            e.output.task = Task::Binary;
        }),
        drawn("far_start", Shape { seed: 8, ..shape.clone() }, |e| {
            e.output.link = Link::Logistic { alpha: 1.0 };
            e.output.start = vec![20.25];
            e.output.bias = vec![0.0];
        }),
        drawn("counts", Shape { seed: 9, ..shape.clone() }, |e| e.output.link = Link::Exp),
        drawn("signs", Shape { seed: 10, ..shape.clone() }, |e| {
            e.output.link = Link::Hinge;
            e.output.task = Task::Binary;
        }),
        drawn("order", Shape { seed: 11, ..shape.clone() }, |e| e.output.task = Task::Ranking),
        drawn("codes", Shape { seed: 12, ..shape }, |e| {
            e.columns[1].kind = ColumnKind::Category(Categories::Codes);
            "named".clone_into(&mut e.columns[2].name);
        }),
    ];
    for (name, bytes) in checkpoints() {
        if ["hgb_reg", "rf_clf_multi", "gb_clf_multi"].contains(&name.as_str()) {
            let ensemble = trees::import::treelite::read(&bytes).unwrap();
            let rows = rows(3, ensemble.features.len(), 9, 30);
            all.push((name, ensemble, rows));
        }
    }
    all
}

/// Models of XGBoost that are written for the real one to read.
const ROUND_TRIPS: [&str; 17] = [
    "aft",
    "codes",
    "dart",
    "frame",
    "hinge",
    "labels",
    "leaf",
    "logitraw",
    "nan",
    "no_trees",
    "parallel_softprob",
    "quantiles",
    "rank_ndcg",
    "softmax",
    "stopped",
    "tweedie",
    "vectors_softprob",
];

fn exported(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/xgboost_export").join(name)
}

#[test]
fn the_files_that_the_real_xgboost_read_are_what_is_written() {
    let elsewhere = from_elsewhere();
    assert_eq!(elsewhere.len(), 16);
    let mut files = Vec::new();
    for name in ROUND_TRIPS {
        files.push((format!("{name}.json"), write_json(&model(name)).unwrap()));
    }
    for (name, ensemble, rows) in elsewhere {
        let lists = |rows: &[Vec<f64>]| -> Vec<Vec<Option<f64>>> {
            rows.iter().map(|row| row.iter().map(|x| (!x.is_nan()).then_some(*x)).collect()).collect()
        };
        let (mut margins, answers) = (margins(&ensemble, &rows), answers(&ensemble, &rows));
        // In XGBoost, alpha is part of the margins.
        if let Link::Logistic { alpha } = ensemble.output.link {
            margins.iter_mut().flatten().for_each(|margin| *margin *= alpha);
        }
        assert!(margins.iter().flatten().all(|x| x.is_finite()), "{name}");
        assert!(margins.iter().any(|row| *row != margins[0]), "{name}: rows are told apart");
        let expected = json!({"rows": lists(&rows), "margins": margins, "answers": answers});
        files.push((format!("{name}.json"), write_json(&ensemble).unwrap()));
        files.push((format!("{name}.expected"), (expected.to_string() + "\n").into_bytes()));
    }
    let bless = std::env::var_os("EMBERLINE_BLESS").is_some();
    for (name, bytes) in files {
        if bless {
            fs::create_dir_all(exported("")).unwrap();
            fs::write(exported(&name), &bytes).unwrap();
        }
        assert!(fs::read(exported(&name)).unwrap() == bytes, "{name} is no longer what is written");
    }
}

#[test]
fn round_trips_answer_as_the_real_library_did() {
    for name in ROUND_TRIPS {
        let back = read_json(&fs::read(exported(&format!("{name}.json"))).unwrap()).unwrap();
        let expected = golden(name, &back);
        assert!(difference(&margins(&back, &expected.rows), &expected.margins) < 1e-6, "{name}");
    }
}
