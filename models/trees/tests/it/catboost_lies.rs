//! `CatBoost` files that are cut, contradict themselves, or are none.

use serde_json::{Value, json};
use trees::import::catboost::read_json;

use crate::{
    golden::{bytes, data, names},
    mutate::{answers, mutate},
    random::Draw,
};

fn json(name: &str) -> Value {
    serde_json::from_slice(&bytes(data(&format!("catboost/{name}.json")))).unwrap()
}

/// A model, the place whose value is replaced, what stands there then, and what the error begins with.
const LIES: [(&str, &str, &str, &str); 24] = [
    ("rmse", "/oblivious_trees/1/leaf_values", "[1, 2]", "expected in tree 1, 8 `leaf_values`, got 2"),
    ("rmse", "/oblivious_trees/1/leaf_weights", "[1, 2]", "expected in tree 1, 8 `leaf_weights`, got 2"),
    ("rmse", "/oblivious_trees/0/leaf_values", "[]", "expected in tree 0, 8 `leaf_values`, got 0"),
    ("rmse", "/oblivious_trees", "[]", "expected at least one tree, got none"),
    ("rmse", "/oblivious_trees", "null", "expected `oblivious_trees` or `trees`, got none"),
    (
        "rmse",
        "/oblivious_trees/1/splits/0/float_feature_index",
        "5",
        "expected in tree 1, in split 0, the index of one of `float_features`, got 5",
    ),
    (
        "rmse",
        "/oblivious_trees/1/splits/0/float_feature_index",
        "-1",
        "expected a model of CatBoost in JSON, got invalid value: integer `-1`",
    ),
    (
        "rmse",
        "/oblivious_trees/1/splits/0/border",
        "null",
        "expected in tree 1, in split 0, `float_feature_index` and `border` in a split, got none",
    ),
    (
        "rmse",
        "/oblivious_trees/1/splits/0/border",
        r#""x""#,
        "expected a model of CatBoost in JSON, got invalid type: string",
    ),
    (
        "rmse",
        "/oblivious_trees/1/splits/0/split_type",
        r#""OnlineCtr""#,
        "a split by target statistics of categories (`OnlineCtr`) is not supported",
    ),
    (
        "rmse",
        "/oblivious_trees/1/splits/0/split_type",
        r#""EstimatedFeature""#,
        "a split of type `EstimatedFeature` is not supported",
    ),
    (
        "rmse",
        "/oblivious_trees/1/splits/0/split_type",
        r#""OneHotFeature""#,
        "expected in tree 1, in split 0, `cat_feature_index` and `value` in a split, got none",
    ),
    (
        "rmse",
        "/features_info/float_features/1/flat_feature_index",
        "4000000000",
        "expected a column of `flat_feature_index` 1, got 2",
    ),
    (
        "rmse",
        "/features_info/float_features/4/flat_feature_index",
        "4000000000",
        "expected a column of `flat_feature_index` 4, got 4000000000",
    ),
    ("rmse", "/features_info/float_features/1/feature_index", "0", "expected each `float_features` index once, got 0"),
    (
        "rmse",
        "/features_info/float_features/1/nan_value_treatment",
        r#""AsIf""#,
        "expected a model of CatBoost in JSON, got unknown variant `AsIf`",
    ),
    ("rmse", "/scale_and_bias", "[1, [1, 2, 3]]", "expected 1 biases in `scale_and_bias`, got 3"),
    ("rmse", "/model_info/params/loss_function/type", r#""Hinge""#, "the loss `Hinge` is not supported"),
    ("logloss", "/model_info/class_params/class_names", "[1]", "expected 2 `class_names`, got 1"),
    (
        "multiclass",
        "/model_info/class_params/class_names",
        "[1, 2, 3, 4]",
        "1 classes that no training row had (of 4 `class_names`) is not supported",
    ),
    (
        "multiclass",
        "/model_info/params/loss_function/type",
        r#""Logloss""#,
        "expected one number a leaf for the loss Logloss, got 3",
    ),
    (
        "onehot",
        "/features_info/categorical_features/0/values/0",
        "12",
        "the hash 12 in place of a category of the column `region` is not supported",
    ),
    (
        "lossguide",
        "/trees/1/left",
        "null",
        "expected in tree 1, `value`, or `split` with `left` and `right`, in each node, got another node",
    ),
    ("lossguide", "/trees/1/left", r#"{"value": [1, 2]}"#, "expected in tree 1, 1 numbers as `value` of a leaf, got 2"),
];

#[test]
fn lies_are_named_with_their_place() {
    for (name, at, value, expected) in LIES {
        let mut model = json(name);
        *model.pointer_mut(at).unwrap_or_else(|| panic!("{name} has no {at}")) = serde_json::from_str(value).unwrap();
        let error = read_json(model.to_string().as_bytes()).expect_err(at).to_string();
        assert!(error.starts_with(expected), "{at}: {error}");
    }
    for (kind, name) in [("text_features", "text features"), ("embedding_features", "embedding features")] {
        let mut model = json("rmse");
        model["features_info"][kind] = json!([{}]);
        let error = read_json(model.to_string().as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{name} is not supported; ")), "{error}");
    }
}

#[test]
fn trees_too_deep_are_refused() {
    let mut model = json("rmse");
    let split = model["oblivious_trees"][0]["splits"][0].clone();
    for depth in [17, 64, 1000] {
        model["oblivious_trees"][0]["splits"] = json!(vec![split.clone(); depth]);
        let error = read_json(model.to_string().as_bytes()).unwrap_err().to_string();
        let expected = "is not supported; train with a depth of at most 16";
        assert_eq!(error, format!("a symmetric tree of depth {depth} {expected}"));
    }
    let deep =
        format!("{{\"features_info\":{{}},\"trees\":[{}{}]}}", "{\"left\":".repeat(100_000), "}".repeat(100_000));
    let error = read_json(deep.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("recursion limit exceeded"), "{error}");
}

#[test]
fn cut_files_are_refused() {
    for name in ["rmse", "onehot", "lossguide"] {
        let whole = bytes(data(&format!("catboost/{name}.json")));
        for cut in (0..whole.len()).step_by(13) {
            assert!(read_json(&whole[..cut]).is_err(), "{name} cut at {cut}");
        }
    }
}

#[test]
fn whatever_is_accepted_answers() {
    let mut draw = Draw::new(11);
    let mut accepted = 0;
    for name in names("catboost") {
        let mut model = json(&name);
        // Most of a file, and hardly read.
        let info = &mut model["model_info"];
        *info = json!({
            "class_params": info["class_params"],
            "params": { "loss_function": info["params"]["loss_function"] },
        });
        let whole = model.to_string();
        for _ in 0..150 {
            let Ok(ensemble) = read_json(&mutate(whole.as_bytes(), &mut draw)) else { continue };
            answers(&ensemble);
            accepted += 1;
        }
    }
    assert!(accepted > 300, "{accepted} of the mutations were accepted");
}
