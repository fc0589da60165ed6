//! `CatBoost`'s JSON, against the answers of the real one.

use trees::{
    Ensemble,
    ensemble::{Categories, ColumnKind, Leaves, Link, Node, Task},
    import::catboost::read_json,
    predict::{Predictor, Scratch},
};

use crate::{
    golden::{bytes, cases, data, names, ulps, values},
    support::{largest_difference, numbers, shared},
};

/// Models that are refused.
const REFUSED: [&str; 3] = ["ctr", "onehot-unnamed", "rmsewithuncertainty"];

fn model(name: &str) -> Ensemble {
    read_json(&bytes(data(&format!("catboost/{name}.json")))).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn margins_are_catboosts_to_the_bit_and_answers_nearly() {
    let (mut models, mut largest) = (0, 0.0_f64);
    for name in names("catboost") {
        if REFUSED.contains(&&*name) {
            continue;
        }
        let ensemble = model(&name);
        let predictor = Predictor::untuned(ensemble.clone()).unwrap();
        for case in cases(&format!("catboost/{name}")) {
            let row = values(&ensemble, &case.row);
            let margins = ensemble.margins(&ensemble.features_of(&row));
            assert_eq!(ulps(&margins, &case.raw), 0.0, "{name}: {row:?}: {margins:?} for {:?}", case.raw);
            let mut fast = vec![0.0; ensemble.output.width];
            predictor.margins(&row, &mut Scratch::default(), &mut fast).unwrap();
            assert_eq!(ulps(&fast, &case.raw), 0.0, "{name}: {row:?}");
            let answer = ensemble.answer(&row);
            let difference = ulps(&answer, &case.answer);
            largest = largest.max(difference);
            assert!(difference <= 16.0, "{name}: {row:?}: {answer:?} for {:?} {difference}", case.answer);
        }
        models += 1;
    }
    eprintln!("{models} models; the answers differ by {largest} ulp at most");
    assert!(models >= 20, "{models} models");
}

#[test]
fn what_cannot_be_said_is_refused_by_name() {
    let refusal = |name: &str| read_json(&bytes(data(&format!("catboost/{name}.json")))).unwrap_err().to_string();
    assert_eq!(
        refusal("ctr"),
        "target statistics of categories (CTR, `ctrs`) is not supported; train with `one_hot_max_size` at the largest \
         number of categories, or encode them before"
    );
    assert_eq!(
        refusal("rmsewithuncertainty"),
        "the loss `RMSEWithUncertainty` is not supported; train with RMSE, Logloss or MultiClass"
    );
    let unnamed = refusal("onehot-unnamed");
    assert!(
        unnamed.contains("in place of a category of the column `region` is not supported; save the model with"),
        "{unnamed}"
    );
}

#[test]
fn losses_say_what_is_predicted() {
    for (name, link, task, classes) in [
        ("rmse", Link::Identity, Task::Regression, vec![]),
        ("poisson", Link::Exp, Task::Regression, vec![]),
        ("logloss", Link::Logistic { alpha: 1.0 }, Task::Binary, vec!["0", "1"]),
        ("logloss-names", Link::Logistic { alpha: 1.0 }, Task::Binary, vec!["benign one", "malign"]),
        ("multiclass", Link::Softmax, Task::Multiclass, vec!["5", "6", "7"]),
        ("onevsall", Link::Logistic { alpha: 1.0 }, Task::Multiclass, vec!["a", "b", "c"]),
        ("yetirank", Link::Identity, Task::Ranking, vec![]),
    ] {
        let output = model(name).output;
        assert_eq!(
            (output.link, output.task, output.classes),
            (link, task, classes.iter().map(ToString::to_string).collect()),
            "{name}"
        );
    }
}

#[test]
fn the_origin_and_the_names_are_kept() {
    let ensemble = model("onehot");
    let origin = &ensemble.origin;
    assert_eq!([&*origin.format, &*origin.version, &*origin.objective], ["catboost", "1.2.10", "RMSE"]);
    assert_eq!(origin.parameters["one_hot_max_size"], "20");
    let names: Vec<&str> = ensemble.columns.iter().map(|column| &*column.name).collect();
    assert_eq!(names, ["age", "bmi", "region", "year"]);
    assert!(
        matches!(&ensemble.columns[2].kind, ColumnKind::Category(Categories::Strings(names)) if names.contains(&"North East".to_owned()))
    );
    assert!(
        matches!(&ensemble.columns[3].kind, ColumnKind::Category(Categories::Integers(years)) if years.contains(&2000))
    );
    assert_eq!(model("unnamed-columns").columns[4].name, "4");
}

#[test]
fn a_symmetric_tree_becomes_a_full_one_with_its_weights() {
    let tree = &model("deep").trees[0];
    assert_eq!((tree.nodes.len(), tree.depth(), tree.leaf_count()), (1023, 9, 512));
    assert_eq!(tree.covers[0], 442.0);
    assert!(matches!(&tree.leaves, Leaves::Scalar { output: 0, values } if values.len() == 512));
    let Node::Split(root) = tree.nodes[0] else { panic!("a split") };
    assert_eq!(root.right, 512);
}

#[test]
fn the_shared_model_answers_as_recorded() {
    let (Some(path), Some(rows), Some(expected)) = (
        shared("data/golden/cb_california.json"),
        shared("data/golden/california_test500.csv"),
        shared("data/golden/cb_california.pred"),
    ) else {
        return;
    };
    let ensemble = read_json(&bytes(path)).unwrap();
    let answers: Vec<Vec<f64>> = numbers(&rows).iter().map(|row| ensemble.answer(&row[..8])).collect();
    let largest = largest_difference(&answers, &numbers(&expected));
    eprintln!("cb_california: the largest difference is {largest:e}");
    assert_eq!(largest, 0.0);
}
