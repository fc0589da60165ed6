//! What is written as a checkpoint, and read back.
//!
//! `tests/data/treelite_export` holds what [`export::treelite`] writes, with what the ensembles answer;
//! `check_treelite_export.py` beside it asks the real treelite. The test here says when the files are no longer what is
//! written: `EMBERLINE_BLESS=1` writes them anew, and the script is to be run again.

use std::path::{Path, PathBuf};

use fs_err as fs;
use proptest::prelude::*;
use serde_json::json;
use trees::{
    Ensemble, Error,
    ensemble::{
        Aggregate, Categories, CategoryRule, CategorySet, ColumnKind, Leaves, LinearLeaf, Link, Missing, Node,
        Precision, Step, Task, Test, Tree, ZERO,
    },
    export::treelite::write,
    import::treelite::read,
};

use crate::{
    random::{Draw, Shape, ensemble, shapes},
    support::{largest_difference, shared},
    treelite::checkpoints,
};

/// A drawn ensemble, without most of what a checkpoint cannot say.
fn expressible(shape: &Shape) -> Ensemble {
    let mut drawn = ensemble(&Shape { linear: false, ..shape.clone() });
    drawn.output.scale = 1.0;
    drawn.rules.category = CategoryRule::TruncateNonNegative;
    if let Aggregate::Mean(_) | Aggregate::Min | Aggregate::Max = drawn.output.aggregate {
        let mut votes = vec![0.0; shape.width];
        for tree in &drawn.trees {
            match &tree.leaves {
                Leaves::Scalar { output, .. } => votes[*output as usize] += 1.0,
                Leaves::Vector(_) => votes.iter_mut().for_each(|votes| *votes += 1.0),
            }
        }
        drawn.output.aggregate = if votes.contains(&0.0) { Aggregate::Sum } else { Aggregate::Mean(votes) };
    }
    let rounds = drawn.rules.compare != drawn.rules.sum;
    if rounds {
        drawn.rules = trees::ensemble::Rules { compare: Precision::F32, sum: Precision::F64, ..drawn.rules };
    }
    for tree in &mut drawn.trees {
        for node in &mut tree.nodes {
            if let Node::Split(split) = node {
                split.missing = match split.missing {
                    Missing::ZeroLeft => Missing::Left,
                    Missing::ZeroRight => Missing::Right,
                    other => other,
                };
                split.test = match split.test {
                    Test::Equal(threshold) | Test::Below(threshold) if rounds => {
                        Test::Below(f64::from(threshold as f32))
                    }
                    Test::AtMost(threshold) if rounds => Test::AtMost(f64::from(threshold as f32)),
                    Test::In(_) if rounds => Test::AtMost(3.0),
                    other => other,
                };
            }
        }
    }
    drawn
}

/// Drawn rows, and rows midway between an f32 and the next, where rounding turns.
fn rows(shape: &Shape) -> Vec<Vec<f64>> {
    let mut draw = Draw::new(shape.seed ^ 5);
    let mut rows: Vec<Vec<f64>> = (0..60).map(|_| draw.row(shape.features, shape.levels)).collect();
    for row in &mut rows[30..] {
        for x in row {
            let narrow = *x as f32;
            *x = match draw.below(4) {
                0 => f64::midpoint(narrow.into(), narrow.next_up().into()),
                1 => f64::midpoint(narrow.into(), narrow.next_up().into()).next_up(),
                2 => f64::midpoint(narrow.next_down().into(), narrow.into()),
                _ => f64::midpoint(narrow.next_down().into(), narrow.into()).next_down(),
            };
        }
    }
    rows
}

fn leaves(ensemble: &Ensemble, rows: &[Vec<f64>]) -> Vec<Vec<u32>> {
    rows.iter().map(|row| ensemble.leaves(&ensemble.features_of(row))).collect()
}

fn answers(ensemble: &Ensemble, rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
    rows.iter().map(|row| ensemble.answer(row)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_reads_back_with_the_same_leaves(shape in shapes()) {
        let written = expressible(&shape);
        let back = read(&write(&written).unwrap()).unwrap();
        let rows = rows(&shape);
        prop_assert_eq!(leaves(&back, &rows), leaves(&written, &rows));
        // Starts are added last instead of first, to sums of up to 40 numbers of up to 53.
        let tolerance = if back.rules.sum == Precision::F32 { 0.05 } else { 1e-10 };
        prop_assert!(largest_difference(&answers(&back, &rows), &answers(&written, &rows)) <= tolerance);
    }

    /// Whatever is drawn is written so that it reads back alike, or refused by name.
    #[test]
    fn what_cannot_be_said_is_refused(shape in shapes()) {
        let drawn = ensemble(&shape);
        match write(&drawn) {
            Ok(bytes) => {
                let rows = rows(&shape);
                prop_assert_eq!(leaves(&read(&bytes).unwrap(), &rows), leaves(&drawn, &rows));
            }
            Err(error) => prop_assert!(matches!(error, Error::Unsupported { .. }), "{error}"),
        }
    }
}

#[test]
fn golden_checkpoints_survive_being_written() {
    for (name, bytes) in checkpoints() {
        let read_once = read(&bytes).unwrap();
        let written = match name.as_str() {
            // Trees that add to some of the outputs become trees that add zero to the rest, which would be averaged
            // too.
            "built_one_class" | "built_one_target" => {
                let error = write(&read_once).unwrap_err().to_string();
                assert!(error.starts_with("an average over ["), "{name}: {error}");
                continue;
            }
            _ => write(&read_once).unwrap_or_else(|error| panic!("{name}: {error}")),
        };
        let mut back = read(&written).unwrap();
        // What the file says of itself, and targets of several classes, which become targets of one.
        back.origin = read_once.origin.clone();
        assert_eq!(back, read_once, "{name}");
        assert_eq!(write(&back).unwrap(), written, "{name}");
    }
}

#[test]
fn shared_checkpoints_survive_being_written() {
    let Some(shared) = shared("data/golden") else { return };
    for name in ["treelite_skl_rf.tl", "treelite_skl_hgb.tl", "treelite_xgb_json.tl"] {
        let read_once = read(&fs::read(shared.join(name)).unwrap()).unwrap();
        let mut back = read(&write(&read_once).unwrap()).unwrap();
        back.origin = read_once.origin.clone();
        assert_eq!(back, read_once, "{name}");
    }
}

fn small(compare: Precision, sum: Precision) -> Shape {
    let (seed, trees, leaves, features, levels, width) = (4, 3, 6, 3, 4, 1);
    Shape {
        seed,
        trees,
        leaves,
        features,
        levels,
        width,
        vector: false,
        compare,
        sum,
        plain: true,
        linear: false,
        aggregate: 9,
    }
}

/// A small ensemble with one change.
#[track_caller]
fn refused(expected: &str, change: impl FnOnce(&mut Ensemble)) {
    let mut ensemble = expressible(&small(Precision::F64, Precision::F64));
    assert!(write(&ensemble).is_ok());
    change(&mut ensemble);
    assert_eq!(write(&ensemble).expect_err("refused").to_string(), expected);
}

fn root(ensemble: &mut Ensemble) -> &mut trees::ensemble::Split {
    ensemble.trees[0]
        .nodes
        .iter_mut()
        .find_map(|node| if let Node::Split(split) = node { Some(split) } else { None })
        .unwrap()
}

#[test]
fn refusals_name_what_they_refuse() {
    refused("in tree 0, a linear function as leaf is not supported; train without linear leaves", |e| {
        e.trees[0].linear = vec![LinearLeaf::default(); e.trees[0].leaf_count()];
    });
    refused("the least of the trees is not supported; keep the file that it was read from", |e| {
        e.output.aggregate = Aggregate::Min;
    });
    refused("the greatest of the trees is not supported; keep the file that it was read from", |e| {
        e.output.aggregate = Aggregate::Max;
    });
    refused(
        "an average over [7.0] where [3.0] trees add to the outputs is not supported; keep the file that it was read from",
        |e| {
            e.output.aggregate = Aggregate::Mean(vec![7.0]);
        },
    );
    refused("a scale of 2 behind the trees is not supported; multiply the leaves by it, and set it to 1", |e| {
        e.output.scale = 2.0;
    });
    refused("the link PROBIT is not supported; keep the file that it was read from", |e| e.output.link = Link::Probit);
    refused("the link SOFTMAX_ZERO is not supported; keep the file that it was read from", |e| {
        e.output.link = Link::SoftmaxZero;
    });
    refused("a logistic link's alpha of 0.7, which is no f32, is not supported; round it to f32 first", |e| {
        e.output.link = Link::Logistic { alpha: 0.7 };
    });
    refused(
        "a step between column 0 and the trees ([Impute(1.0)]) is not supported; keep the file that it was read from",
        |e| {
            e.features[0].steps.push(Step::Impute(1.0));
        },
    );
    refused(
        "an ensemble that compares in f64 and sums in f32 is not supported; keep the file that it was read from",
        |e| {
            e.rules.sum = Precision::F32;
            for tree in &mut e.trees {
                let (Leaves::Scalar { values, .. } | Leaves::Vector(values)) = &mut tree.leaves;
                for value in values.iter_mut() {
                    *value = Precision::F32.round(*value);
                }
            }
        },
    );
    let zero = "in tree 0, a split that sends zero left with what is missing (node 0) is not supported; train with \
                zero_as_missing=false";
    refused(zero, |e| {
        *root(e) = trees::ensemble::Split { test: Test::AtMost(-1.0), missing: Missing::ZeroLeft, ..*root(e) }
    });
    refused(
        "in tree 0, a category set that is asked of column 0, whose numbers may have fractions (node 0) is not supported; \
         declare that the column holds categories",
        |e| {
            e.rules.category = CategoryRule::Truncate;
            e.trees[0].sets = vec![CategorySet::default()];
            let split = root(e);
            (split.feature, split.test) = (0, Test::In(0));
        },
    );
    let mut narrow = expressible(&small(Precision::F32, Precision::F64));
    root(&mut narrow).test = Test::Equal(0.5);
    assert_eq!(
        write(&narrow).unwrap_err().to_string(),
        "in tree 0, a split that asks whether a number rounded to f32 is 0.5, in a model that sums in f64 (node 0) is not \
         supported; keep the file that it was read from"
    );
    let mut unsound = expressible(&small(Precision::F32, Precision::F32));
    root(&mut unsound).test = Test::Below(0.1);
    let error = write(&unsound).unwrap_err().to_string();
    assert_eq!(
        error,
        "expected in tree 0, in node 0 in pre-order, an f32 as threshold of what is compared in f32, got 0.1"
    );
}

#[test]
fn zero_as_missing_is_written_where_it_changes_nothing() {
    let mut ensemble = expressible(&small(Precision::F64, Precision::F64));
    for (test, missing, written) in [
        (Test::AtMost(1.0), Missing::ZeroLeft, Missing::Left),
        (Test::Below(-1.0), Missing::ZeroRight, Missing::Right),
        (Test::AtMost(ZERO), Missing::ZeroLeft, Missing::Left),
        (Test::Below(-ZERO), Missing::ZeroRight, Missing::Right),
        (Test::AtMost(0.0), Missing::AsZero, Missing::Left),
        (Test::Below(0.0), Missing::AsZero, Missing::Right),
    ] {
        let split = root(&mut ensemble);
        (split.test, split.missing) = (test, missing);
        let mut back = read(&write(&ensemble).unwrap()).unwrap();
        assert_eq!(root(&mut back).missing, written, "{test:?} {missing:?}");
    }
    for (test, missing) in [(Test::Below(ZERO), Missing::ZeroLeft), (Test::AtMost(-ZERO), Missing::ZeroRight)] {
        let split = root(&mut ensemble);
        (split.test, split.missing) = (test, missing);
        assert!(write(&ensemble).is_err(), "{test:?} {missing:?}");
    }
}

/// By row and tree, the node of the leaf that the row comes to.
fn leaf_nodes(ensemble: &Ensemble, rows: &[Vec<f64>]) -> Vec<Vec<usize>> {
    let node = |(tree, leaf): (&Tree, u32)| tree.nodes.iter().position(|node| *node == Node::Leaf(leaf)).unwrap();
    leaves(ensemble, rows).into_iter().map(|leaves| ensemble.trees.iter().zip(leaves).map(node).collect()).collect()
}

/// The ensembles of `tests/data/treelite_export`.
fn examples() -> Vec<(String, Ensemble, Vec<Vec<f64>>)> {
    let mut examples = Vec::new();
    let golden =
        ["rf_clf_multi", "gb_clf_multi", "hgb_reg", "iforest", "built_ova", "built_vector", "built_hinge_float32"];
    for (name, bytes) in checkpoints() {
        if golden.contains(&name.as_str()) {
            let ensemble = read(&bytes).unwrap();
            let mut draw = Draw::new(name.len() as u64);
            let rows = (0..40).map(|_| draw.row(ensemble.columns.len(), 9)).collect();
            examples.push((name, ensemble, rows));
        }
    }
    let kinds = [
        ("drawn_f32", Precision::F32, Precision::F32, 1, false, 9),
        ("drawn_f64", Precision::F64, Precision::F64, 1, false, 9),
        ("drawn_rounding", Precision::F32, Precision::F64, 1, false, 9),
        ("drawn_vectors", Precision::F32, Precision::F32, 3, true, 9),
        ("drawn_outputs", Precision::F64, Precision::F64, 3, false, 9),
        ("drawn_averages", Precision::F64, Precision::F64, 3, true, 2),
    ];
    for (name, compare, sum, width, vector, aggregate) in kinds {
        let size = small(compare, sum);
        let shape = Shape { trees: 9, leaves: 20, width, vector, aggregate, plain: false, ..size };
        let mut ensemble = expressible(&shape);
        ensemble.output.classes =
            if width == 3 { vec!["a".to_owned(), "é".to_owned(), String::new()] } else { vec![] };
        examples.push((name.to_owned(), ensemble, rows(&shape)));
    }
    // Scalar trees beside trees of vectors, for classes, with weights.
    let shape = Shape { trees: 6, width: 3, vector: true, plain: false, ..small(Precision::F64, Precision::F64) };
    let mut mixed = expressible(&shape);
    let scalar = expressible(&Shape { vector: false, ..shape.clone() });
    mixed.trees.extend(scalar.trees);
    mixed.output.task = Task::Multiclass;
    mixed.output.link = Link::Softmax;
    for tree in &mut mixed.trees {
        tree.covers = (0..tree.nodes.len()).map(|node| node as f64 + 0.5).collect();
    }
    examples.push(("drawn_mixed".to_owned(), mixed, rows(&shape)));
    // LightGBM's rule for categories, in a column of codes.
    let mut codes = expressible(&Shape { plain: false, ..small(Precision::F64, Precision::F64) });
    codes.rules.category = CategoryRule::Truncate;
    for column in &mut codes.columns {
        column.kind = ColumnKind::Category(Categories::Codes);
    }
    let mut draw = Draw::new(8);
    let whole = (0..60).map(|_| (0..3).map(|_| draw.below(80) as f64 - 5.0).collect()).collect();
    examples.push(("drawn_codes".to_owned(), codes, whole));
    examples
}

#[test]
fn written_files_are_those_that_treelite_was_asked_about() {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/treelite_export");
    let bless = std::env::var_os("EMBERLINE_BLESS").is_some();
    for (name, ensemble, rows) in examples() {
        let file = folder.join(format!("{name}.tl"));
        let written = write(&ensemble).unwrap_or_else(|error| panic!("{name}: {error}"));
        let back = read(&written).unwrap();
        assert_eq!(leaves(&back, &rows), leaves(&ensemble, &rows), "{name}");
        if bless {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&file, &written).unwrap();
            let number = |x: &f64| if x.is_finite() { json!(x) } else { json!(x.to_string()) };
            let table = |rows: &[Vec<f64>]| -> Vec<Vec<_>> {
                rows.iter().map(|row| row.iter().map(number).collect()).collect()
            };
            let asked = json!({
                "rows": table(&rows),
                "nodes": leaf_nodes(&ensemble, &rows),
                "answers": table(&answers(&ensemble, &rows)),
            });
            fs::write(folder.join(format!("{name}.json")), format!("{asked}\n")).unwrap();
        }
        assert!(fs::read(&file).unwrap() == written, "{name} is written anew: see the top of this file");
    }
}
