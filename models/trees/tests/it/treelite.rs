//! treelite's checkpoints against what GTIL answers, and the library that trained the model.

use std::path::{Path, PathBuf};

use fs_err as fs;
use serde_json::Value;
use trees::{
    Ensemble,
    ensemble::{Aggregate, Categories, ColumnKind, Leaves, Link, Missing, Node, Precision, Task, Test},
    import,
};

use crate::support::{largest_difference, numbers, shared};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/treelite")
}

/// Every golden checkpoint of the project's own, by name.
pub(crate) fn checkpoints() -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "tl") {
            found.push((path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()));
        }
    }
    found.sort();
    assert!(found.len() > 30, "golden checkpoints are missing");
    found
}

fn checkpoint(name: &str) -> Vec<u8> {
    fs::read(folder().join(format!("{name}.tl"))).unwrap()
}

fn golden(name: &str) -> Value {
    serde_json::from_slice(&fs::read(folder().join(format!("{name}.json"))).unwrap()).unwrap()
}

fn rows(golden: &Value, field: &str) -> Option<Vec<Vec<f64>>> {
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    let row = |row: &Value| row.as_array().unwrap().iter().map(number).collect();
    golden.get(field).map(|rows| rows.as_array().unwrap().iter().map(row).collect())
}

fn answers(ensemble: &Ensemble, rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
    rows.iter().map(|row| ensemble.answer(row)).collect()
}

fn margins(ensemble: &Ensemble, rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
    rows.iter().map(|row| ensemble.margins(&ensemble.features_of(row))).collect()
}

#[test]
fn golden_checkpoints_answer_as_gtil_and_their_libraries_do() {
    for (name, bytes) in checkpoints() {
        let golden = golden(&name);
        let ensemble = import::treelite::read(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let rows_in = rows(&golden, "rows").unwrap();
        let margin = largest_difference(&margins(&ensemble, &rows_in), &rows(&golden, "gtil_margins").unwrap());
        assert_eq!(margin, 0.0, "{name}: margins are GTIL's to the bit");
        let got = answers(&ensemble, &rows_in);
        let link = largest_difference(&got, &rows(&golden, "gtil").unwrap());
        // GTIL's softmax is f32 whatever the model; so is all of an f32 model, whose exp is the platform's.
        let narrow = ensemble.output.link == Link::Softmax || ensemble.rules.sum == Precision::F32;
        assert!(link <= if narrow { 2e-7 } else { 1e-15 }, "{name}: {link:e} from GTIL's answers");
        print!("{name}: {link:e} from GTIL");
        if let Some(expected) = rows(&golden, "trainer") {
            let difference = largest_difference(&got, &expected);
            let tolerance = match (name.as_str(), ensemble.rules.sum) {
                // treelite holds an isolation forest's ratio as f32.
                ("iforest", _) => 2e-8,
                (_, Precision::F32) => 3e-7,
                (_, Precision::F64) => 5e-13,
            };
            print!(", {difference:e} from the library that trained it");
            assert!(difference <= tolerance, "{name}: {difference:e} from the library that trained it");
        }
        println!();
    }
}

#[test]
fn shared_checkpoints_answer_as_their_engines_do() {
    let Some(shared) = shared("data/golden") else { return };
    let table = numbers(&shared.join("california_test500.csv"));
    let rows: Vec<Vec<f64>> = table.iter().map(|row| row[..8].to_vec()).collect();
    for (model, predictions, tolerance) in [
        ("treelite_skl_rf.tl", "skl_rf_california.pred", 1e-14),
        ("treelite_skl_hgb.tl", "skl_hgb_california.pred", 2e-14),
        // XGBoost adds the base score first, treelite last, both in f32: GTIL itself is 3.8e-6 from XGBoost here.
        ("treelite_xgb_json.tl", "xgb_california.pred", 4e-6),
    ] {
        let ensemble = import::treelite::read(&fs::read(shared.join(model)).unwrap()).unwrap();
        let expected = numbers(&shared.join(predictions));
        // Forests of scikit-learn round rows to f32; these are numbers that were f32 to begin with.
        let rows: Vec<Vec<f64>> = rows.iter().map(|row| row.iter().map(|x| f64::from(*x as f32)).collect()).collect();
        let difference = largest_difference(&answers(&ensemble, &rows[..expected.len()]), &expected);
        println!("{model}: {difference:e}");
        assert!(difference <= tolerance, "{model}: {difference:e}");
    }
}

#[test]
fn a_model_says_what_it_is() {
    let forest = import::treelite::read(&checkpoint("rf_clf_binary")).unwrap();
    assert_eq!((forest.rules.compare, forest.rules.sum), (Precision::F64, Precision::F64));
    assert_eq!((forest.output.task, forest.output.width), (Task::Multiclass, 2));
    assert_eq!(forest.output.aggregate, Aggregate::Mean(vec![9.0; 2]));
    assert_eq!(forest.columns.len(), 30);
    assert_eq!((forest.columns[0].name.as_str(), &forest.columns[0].kind), ("x0", &ColumnKind::Float));
    assert_eq!((forest.origin.format.as_str(), forest.origin.version.as_str()), ("treelite", "4.8.1"));
    // The root's weight is that of the 569 rows that it was grown on.
    assert_eq!(forest.trees[0].covers[0], 569.0);

    let boosted = import::treelite::read(&checkpoint("hgb_reg_poisson")).unwrap();
    assert_eq!((boosted.output.task, boosted.output.link), (Task::Regression, Link::Exp));
    assert_eq!(boosted.output.aggregate, Aggregate::Sum);
    let kinds: Vec<bool> = boosted.columns.iter().map(|column| column.kind != ColumnKind::Float).collect();
    assert_eq!(kinds[..4], [true, false, false, false]);
    assert_eq!(boosted.columns[0].kind, ColumnKind::Category(Categories::Codes));
    assert_eq!(boosted.trees[0].covers[0], 442.0);

    let isolation = import::treelite::read(&checkpoint("iforest")).unwrap();
    assert_eq!(isolation.output.task, Task::Anomaly);
    assert_eq!(isolation.origin.parameters["sklearn_iforest_offset"], "-0.5");
    assert_eq!(isolation.origin.parameters["postprocessor"], "exponential_standard_ratio");

    let binary = import::treelite::read(&checkpoint("gb_clf")).unwrap();
    assert_eq!((binary.output.task, binary.output.link), (Task::Binary, Link::Logistic { alpha: 1.0 }));
    let ranking = import::treelite::read(&checkpoint("built_rank")).unwrap();
    assert_eq!((ranking.output.task, ranking.rules.compare), (Task::Ranking, Precision::F32));
}

#[test]
fn targets_of_different_class_counts_are_flattened_without_padding() {
    // Three classes and two: GTIL pads the second target to three.
    for name in ["rf_clf_multi", "built_grid", "built_one_target"] {
        let ensemble = import::treelite::read(&checkpoint(name)).unwrap();
        assert_eq!((ensemble.output.width, ensemble.output.task), (5, Task::Regression), "{name}");
        assert_eq!(ensemble.origin.parameters["num_target"], "2");
    }
    let grid = import::treelite::read(&checkpoint("built_grid")).unwrap();
    let outputs: Vec<u32> = grid
        .trees
        .iter()
        .map(|tree| match &tree.leaves {
            Leaves::Scalar { output, .. } => *output,
            Leaves::Vector(_) => panic!("scalar leaves"),
        })
        .collect();
    assert_eq!(outputs, [0, 1, 2, 3, 4, 4]);
    assert_eq!(grid.output.aggregate, Aggregate::Mean(vec![1.0, 1.0, 1.0, 1.0, 2.0]));
}

#[test]
fn operators_and_lists_that_name_the_right_child_are_turned() {
    // Tree 1 asks x0 >= 0.3 with NaN going right, then whether x1 is in a list of the left child.
    let ensemble = import::treelite::read(&checkpoint("built_identity_float64")).unwrap();
    let Node::Split(root) = ensemble.trees[1].nodes[0] else { panic!("a split") };
    assert_eq!((root.feature, root.test, root.missing), (0, Test::Below(0.3), Missing::Left));
    // Tree 0 lists the right child's categories, with NaN going right.
    let Node::Split(list) = ensemble.trees[0].nodes[1] else { panic!("a split") };
    assert_eq!((list.test, list.missing), (Test::In(0), Missing::Left));
    assert_eq!(ensemble.trees[0].sets[0].codes().collect::<Vec<_>>(), [0, 2, 40]);
}

#[test]
fn f32_models_round_rows_and_f64_models_do_not() {
    // Between 0.3 as f32 (0.30000001192…) and the f64 just below, where rounding lands on the threshold.
    let threshold = f64::from(0.3_f32);
    let row = [threshold.next_down(), f64::NAN, f64::NAN];
    let narrow = import::treelite::read(&checkpoint("built_identity_float32")).unwrap();
    let Node::Split(root) = narrow.trees[0].nodes[0] else { panic!("a split") };
    assert_eq!(root.test, Test::Below(threshold));
    let goes_left = |ensemble: &Ensemble| {
        let Node::Split(root) = ensemble.trees[0].nodes[0] else { panic!("a split") };
        ensemble.trees[0].goes_left(&root, ensemble.features_of(&row)[0], ensemble.rules)
    };
    assert!(!goes_left(&narrow), "the row is rounded to the threshold, and is not below it");
    let mut wide = narrow;
    wide.rules.compare = Precision::F64;
    assert!(goes_left(&wide), "the row is below the threshold");
}
