//! `LightGBM`'s text, against the answers of the real one.

use trees::{
    Ensemble,
    ensemble::{Aggregate, Categories, ColumnKind, Link, Task},
    import::lightgbm::read,
    predict::{Predictor, Scratch},
};

use crate::{
    golden::{bytes, cases, data, names, table, ulps},
    support::shared,
};

fn model(name: &str) -> Ensemble {
    read(&bytes(data(&format!("lightgbm/{name}.txt")))).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Margins by the fast ways, which the server takes.
fn fast(ensemble: &Ensemble, rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let width = ensemble.output.width;
    let mut out = vec![0.0; rows.len() * width];
    let predictor = Predictor::untuned(ensemble.clone()).unwrap();
    predictor.margins(&rows.concat(), &mut Scratch::default(), &mut out).unwrap();
    out.chunks(width).map(<[f64]>::to_vec).collect()
}

#[test]
fn margins_and_answers_are_lightgbms_to_the_bit() {
    let (mut models, mut largest) = (0, 0.0_f64);
    for name in names("lightgbm") {
        if name.ends_with("pandas-ordered") {
            continue;
        }
        let ensemble = model(&name);
        // Cells are codes here, whatever the names.
        let cases = cases(&format!("lightgbm/{name}"));
        let rows: Vec<Vec<f64>> =
            cases.iter().map(|case| case.row.iter().map(|word| word.parse().unwrap()).collect()).collect();
        for ((case, row), fast) in cases.iter().zip(&rows).zip(fast(&ensemble, &rows)) {
            let margins = ensemble.margins(row);
            // A forest's raw score is not divided in LightGBM.
            let expected: Vec<f64> = match &ensemble.output.aggregate {
                Aggregate::Mean(divisors) => case.raw.iter().zip(divisors).map(|(raw, by)| raw / by).collect(),
                _ => case.raw.clone(),
            };
            assert_eq!(ulps(&margins, &expected), 0.0, "{name}: {row:?}: {margins:?} for {expected:?}");
            assert_eq!(ulps(&fast, &expected), 0.0, "{name}: {row:?}: {fast:?} for {expected:?}");
            let answer = ensemble.answer(row);
            let difference = ulps(&answer, &case.answer);
            largest = largest.max(difference);
            // What lies between is the C library's `exp`, which may differ from machine to machine.
            assert!(difference <= 2.0, "{name}: {row:?}: {answer:?} for {:?}", case.answer);
        }
        models += 1;
    }
    eprintln!("{models} models; the answers differ by {largest} ulp at most");
    assert!(models >= 90, "{models} models");
}

#[test]
fn objectives_say_what_is_predicted() {
    for (name, link, task) in [
        ("4-binary", Link::Logistic { alpha: 0.7 }, Task::Binary),
        ("3-multiclass", Link::Softmax, Task::Multiclass),
        ("2-multiclassova", Link::Logistic { alpha: 1.5 }, Task::Multiclass),
        ("4-sqrt", Link::SignedSquare, Task::Regression),
        ("4-tweedie", Link::Exp, Task::Regression),
        ("4-cross_entropy_lambda", Link::Softplus, Task::Regression),
        ("4-lambdarank", Link::Identity, Task::Ranking),
        ("4-custom", Link::Identity, Task::Regression),
    ] {
        let output = model(name).output;
        assert_eq!((output.link, output.task), (link, task), "{name}");
    }
}

#[test]
fn the_origin_is_kept() {
    let origin = model("4-tweedie").origin;
    assert_eq!([&*origin.format, &*origin.version, &*origin.objective], ["lightgbm", "v4", "tweedie"]);
    assert_eq!(origin.parameters["tweedie_variance_power"], "1.5");
    assert_eq!(origin.parameters["num_leaves"], "6");
    assert_eq!(model("2-dart").origin.parameters["boosting"], "dart");
}

#[test]
fn covers_are_counts_of_rows() {
    let ensemble = model("4-missing-nan");
    for tree in &ensemble.trees {
        assert_eq!(tree.covers.len(), tree.nodes.len());
        assert_eq!(tree.covers[0], 442.0);
    }
    assert_eq!(model("4-linear").trees[1].linear.len(), 6);
}

#[test]
fn categories_of_pandas_name_their_columns() {
    let names = ["c=d", "d", "e", "f", "g", "h", "i", "j", "k", "two words", "Åland"].map(str::to_owned);
    for major in 2..=4 {
        let ensemble = model(&format!("{major}-pandas"));
        let columns: Vec<&str> = ensemble.columns.iter().map(|column| &*column.name).collect();
        assert_eq!(columns, ["age", "bmi_index", "bp", "s5", "s6", "region", "year"]);
        let kinds = |ensemble: &Ensemble| ensemble.columns.iter().map(|column| column.kind.clone()).collect::<Vec<_>>();
        assert_eq!(kinds(&ensemble)[4], ColumnKind::Float);
        let region = ColumnKind::Category(Categories::Strings(names.to_vec()));
        let year = ColumnKind::Category(Categories::Integers(vec![1990, 2000, 2010]));
        assert_eq!(kinds(&ensemble)[5..], [region.clone(), year.clone()]);
        // A third column of categories has codes that none of the two lists holds.
        let more = model(&format!("{major}-pandas-more"));
        assert_eq!(kinds(&more)[1..], [region, ColumnKind::Category(Categories::Codes), year]);

        // An ordered one has a list, and is a number to LightGBM.
        let ordered = bytes(data(&format!("lightgbm/{major}-pandas-ordered.txt")));
        assert_eq!(
            read(&ordered).unwrap_err().to_string(),
            "`pandas_categorical` with 2 lists for the 1 columns whose `feature_infos` name categories, to which they go \
             in no way is not supported; make ordered categories numbers before training, or write \
             `pandas_categorical:null` to serve codes"
        );
        let text = String::from_utf8(ordered).unwrap();
        let null = text[..text.find("pandas_categorical:").unwrap()].to_owned() + "pandas_categorical:null\n";
        let ensemble = read(null.as_bytes()).unwrap();
        let kinds = kinds(&ensemble);
        assert_eq!(kinds, [ColumnKind::Float, ColumnKind::Category(Categories::Codes), ColumnKind::Float]);
        for case in cases(&format!("lightgbm/{major}-pandas-ordered")) {
            let row: Vec<f64> = case.row.iter().map(|word| word.parse().unwrap()).collect();
            assert_eq!(ulps(&ensemble.margins(&row), &case.raw), 0.0);
        }
    }
}

/// Checks a model of the shared data against predictions of the tool that made it, and says how near it comes.
fn check_shared(model: &str, rows: impl Fn(&str) -> Option<Vec<Vec<f64>>>, expected: &str, most: f64) {
    let (Some(path), Some(rows), Some(expected)) = (shared(model), rows(model), shared(expected)) else {
        return;
    };
    let ensemble = read(&bytes(path)).unwrap();
    let expected = table(&expected);
    assert!(rows.len() >= expected.len() && !expected.is_empty());
    let mut largest = 0.0_f64;
    for (row, expected) in rows.iter().zip(&expected) {
        let answer = ensemble.answer(&row[..ensemble.columns.len()]);
        let difference = answer.iter().zip(expected).map(|(got, expected)| (got - expected).abs()).fold(0.0, f64::max);
        assert!(difference <= most, "{model}: {answer:?} for {expected:?}");
        largest = largest.max(difference);
    }
    eprintln!("{model}: the largest difference is {largest:e}");
}

// Where there is an `exp` behind the margins, the tolerance is that of the C library it came from.
#[test]
fn shared_models_answer_as_recorded() {
    let rows = |path: &'static str| move |_: &str| Some(table(&shared(path)?));
    let golden = |name: &str| format!("data/golden/{name}");
    let california = golden("lgb_california.txt");
    check_shared(&california, rows("data/golden/california_test500.csv"), &golden("lgb_california.pred"), 0.0);
    check_shared(&california, rows("data/golden/california_test500_nan.csv"), &golden("lgb_california_nan.pred"), 0.0);
    let adult = golden("lgb_adult_cat.txt");
    check_shared(&adult, rows("data/golden/adult_test1000_codes.csv"), &golden("lgb_adult_cat.pred"), 1e-15);
    let leaves = |name: &str| format!("data/models/leaves/{name}");
    let dart = "lg_dart_breast_cancer_true_predictions.txt";
    let cancer = rows("data/models/leaves/breast_cancer_test.tsv");
    check_shared(&leaves("lg_dart_breast_cancer.model"), cancer, &leaves(dart), 1e-15);
    // The label stands before the features.
    let labelled = |_: &str| {
        let rows = table(&shared("data/models/leaves/multiclass_test.tsv")?);
        Some(rows.into_iter().map(|row| row[1..].to_vec()).collect())
    };
    check_shared(&leaves("lgmulticlass.model"), labelled, &leaves("lgmulticlass_true_predictions.txt"), 1e-15);
    // LibSVM's `label 0:value 1:value`.
    let toy = "data/models/lightgbm/toy_categorical/toy_categorical";
    let sparse = |_: &str| {
        let text = String::from_utf8(bytes(shared(&format!("{toy}.test"))?)).unwrap();
        let row = |line: &str| {
            let mut row = vec![0.0; 2];
            for (place, value) in line.split_ascii_whitespace().skip(1).filter_map(|cell| cell.split_once(':')) {
                row[place.parse::<usize>().unwrap()] = value.parse().unwrap();
            }
            row
        };
        Some(text.lines().map(row).collect())
    };
    check_shared(&format!("{toy}_model.txt"), sparse, &format!("{toy}.test.pred"), 0.0);
}

#[test]
fn a_shared_model_of_version_3_is_read() {
    let Some(path) = shared("data/models/leaves/lg_breast_cancer.txt") else { return };
    let ensemble = read(&bytes(path)).unwrap();
    assert_eq!((&*ensemble.origin.version, ensemble.columns.len()), ("v3", 30));
}
