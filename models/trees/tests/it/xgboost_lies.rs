//! XGBoost's models that lie, are cut, or are damaged: an error, never a panic, and nothing unsound is let through.

use fs_err as fs;
use serde_json::{Value, json};
use trees::{
    Ensemble, Error,
    import::xgboost::{read_json, read_ubj},
};

use crate::{
    random::Draw,
    xgboost::{MODELS, data},
};

const TREE: &str = "/learner/gradient_booster/model/trees/0";

/// x0 < 1.5 ? (x1 in {3, 5} ? 20.5 : 10) : 30
fn sound() -> Value {
    json!({
        "learner": {
            "attributes": {}, "feature_names": [], "feature_types": [],
            "gradient_booster": {"name": "gbtree", "model": {
                "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": "1"},
                "tree_info": [0],
                "trees": [{
                    "tree_param": {"num_nodes": "5", "size_leaf_vector": "1"},
                    "left_children": [1, 3, -1, -1, -1],
                    "right_children": [2, 4, -1, -1, -1],
                    "split_indices": [0, 1, 0, 0, 0],
                    "split_conditions": [1.5, 1e-45, 30.0, 10, 20.5],
                    "default_left": [1, false, 0, 0, 0],
                    "split_type": [0, 1, 0, 0, 0],
                    "categories": [3, 5], "categories_nodes": [1], "categories_segments": [0], "categories_sizes": [2],
                    "sum_hessian": [5.0, 4.0, 1.0, 3.0, 1.0],
                }],
            }},
            "learner_model_param": {"base_score": "[0E0]", "num_class": "0", "num_feature": "2", "num_target": "1"},
            "objective": {"name": "reg:squarederror"},
        },
        "version": [3, 2, 0],
    })
}

fn changed(place: &str, value: Value) -> Result<Ensemble, Error> {
    let mut model = sound();
    *model.pointer_mut(place).unwrap_or_else(|| panic!("{place}")) = value;
    read_json(&serde_json::to_vec(&model).unwrap())
}

#[track_caller]
fn refused(place: &str, value: Value, expected: &str) {
    let error = changed(place, value).expect_err("a lie").to_string();
    assert_eq!(error, expected);
}

#[test]
fn the_model_without_a_lie_is_read() {
    let ensemble = read_json(&serde_json::to_vec(&sound()).unwrap()).unwrap();
    let cases =
        [([1.0, 5.0], 20.5), ([1.0, 4.0], 10.0), ([1.5, 5.0], 30.0), ([f64::NAN, 3.0], 20.5), ([0.0, f64::NAN], 20.5)];
    for (row, answer) in cases {
        assert_eq!(ensemble.answer(&row), [answer], "{row:?}");
    }
}

#[test]
fn lies_about_the_model_are_refused_by_name() {
    let parameters = "/learner/learner_model_param";
    refused("/learner", Value::Null, "expected `learner` in an XGBoost model, got none");
    refused(
        &format!("{parameters}/num_feature"),
        json!("1000000000"),
        &format!("expected at most 65536 as `num_feature` in a file of {} bytes, got 1000000000", size() + 9),
    );
    refused(
        &format!("{parameters}/num_class"),
        json!(1_000_000_000),
        &format!("expected at most 65536 as `num_class` in a file of {} bytes, got 1000000000", size() + 7),
    );
    refused(&format!("{parameters}/num_target"), json!("-1"), "expected a whole number as `num_target`, got -1");
    refused(
        &format!("{parameters}/num_feature"),
        json!("1"),
        "expected in tree 0, a feature below 1 in `split_indices` of node 1, got 1",
    );
    refused(&format!("{parameters}/base_score"), json!("[1,2]"), "expected 1 or 1 numbers as `base_score`, got [1,2]");
    refused(&format!("{parameters}/base_score"), json!("five"), "expected 1 or 1 numbers as `base_score`, got five");
    refused(
        "/learner/feature_names",
        json!(["a"]),
        "expected 2 features in `feature_names`, as in `num_feature`, got 1",
    );
    refused(
        "/learner/feature_types",
        json!(["float", "time"]),
        "expected for feature 1, `int`, `float`, `i`, `q` or `c` in `feature_types`, got time",
    );
    let model = "/learner/gradient_booster/model";
    refused(
        &format!("{model}/gbtree_model_param/num_trees"),
        json!("1000000000"),
        "expected 1 in `num_trees`, as there are `trees`, got 1000000000",
    );
    refused(&format!("{model}/tree_info"), json!([0, 0]), "expected 1 in `tree_info`, as there are `trees`, got 2");
    refused(&format!("{model}/tree_info"), json!([1]), "expected in tree 0, an output below 1 in `tree_info`, got 1");
    refused(
        "/learner/gradient_booster",
        json!({"name": "dart", "gbtree": sound()["learner"]["gradient_booster"], "weight_drop": []}),
        "expected 1 numbers in `weight_drop`, as there are `trees`, got 0",
    );
    refused("/learner/gradient_booster", json!({"name": "dart"}), "expected `gbtree` in the booster `dart`, got none");
    let mut both = sound();
    both["learner"]["learner_model_param"]["num_class"] = json!("3");
    both["learner"]["learner_model_param"]["num_target"] = json!("2");
    let error = read_json(&serde_json::to_vec(&both).unwrap()).unwrap_err().to_string();
    assert_eq!(error, "expected several classes or several targets, got 3 and 2");
}

fn size() -> usize {
    serde_json::to_vec(&sound()).unwrap().len()
}

#[test]
fn lies_about_a_tree_are_refused_by_name() {
    let tree = |place: &str, value: Value, expected: &str| refused(&format!("{TREE}/{place}"), value, expected);
    tree(
        "left_children",
        json!([1, 0, -1, -1, -1]),
        "expected in tree 0, a tree, in which one way leads to each node, got two ways to node 0",
    );
    tree(
        "left_children",
        json!([9, 3, -1, -1, -1]),
        "expected in tree 0, a node below 5 in `left_children` of node 0, got 9",
    );
    tree(
        "left_children",
        json!([-2, 3, -1, -1, -1]),
        "expected in tree 0, a node below 5 in `left_children` of node 0, got -2",
    );
    tree(
        "right_children",
        json!([-1, 4, -1, -1, -1]),
        "expected in tree 0, a node below 5 in `right_children` of node 0, got -1",
    );
    tree(
        "right_children",
        json!([2, 4]),
        "expected in tree 0, 5 nodes in `right_children`, as in `left_children`, got 2",
    );
    tree("left_children", json!([]), "expected in tree 0, 0 nodes in `num_nodes`, as in `left_children`, got 5");
    tree(
        "tree_param/num_nodes",
        json!("6"),
        "expected in tree 0, 5 nodes in `num_nodes`, as in `left_children`, got 6",
    );
    tree("sum_hessian", json!([1]), "expected in tree 0, 5 nodes in `sum_hessian`, as in `left_children`, got 1");
    tree(
        "split_indices",
        json!([-1, 1, 0, 0, 0]),
        "expected in tree 0, a feature below 2 in `split_indices` of node 0, got -1",
    );
    tree(
        "split_indices",
        json!([2, 1, 0, 0, 0]),
        "expected in tree 0, a feature below 2 in `split_indices` of node 0, got 2",
    );
    tree("tree_param/size_leaf_vector", json!("3"), "expected in tree 0, 1 as `size_leaf_vector`, got 3");
    tree(
        "categories_sizes",
        json!([]),
        "expected in tree 0, 1 nodes in `categories_sizes`, as in `categories_nodes`, got 0",
    );
    tree("categories_sizes", json!([3]), "expected in tree 0, categories of node 1 in 0..2, got 3 from 0");
    tree("categories_segments", json!([-1]), "expected in tree 0, categories of node 1 in 0..2, got 2 from -1");
    tree("categories_nodes", json!([5]), "expected in tree 0, nodes below 5 in `categories_nodes`, got 5");
    tree("categories_nodes", json!([2]), "expected in tree 0, categories of node 1, got none");
    tree("categories", json!([3, -5]), "expected in tree 0, category codes below 2^24 at node 1, got -5");
    tree("categories", json!([3, 1 << 24]), "expected in tree 0, category codes below 2^24 at node 1, got 16777216");
    let text = serde_json::to_string(&sound()).unwrap();
    let error = read_json(text.replace("[1.5,", "[NaN,").as_bytes()).unwrap_err().to_string();
    assert_eq!(error, "expected in tree 0, a number in `split_conditions` of node 0, got NaN");
    // A threshold of infinity is one: everything lies below.
    let endless = read_json(text.replace("[1.5,", "[Infinity,").as_bytes()).unwrap();
    assert_eq!(endless.answer(&[1e30, 5.0]), [20.5]);
    let error = changed(&format!("{TREE}/default_left"), json!([2, 0, 0, 0, 0])).unwrap_err().to_string();
    assert!(error.contains("0, 1, true or false"), "{error}");
}

#[test]
fn sets_that_overlap_or_fill_memory_are_refused() {
    let mut model = sound();
    let nodes = 4001;
    let chain = |child: &dyn Fn(i32) -> i32| {
        (0..nodes).map(|node| if node < nodes / 2 { child(node) } else { -1 }).collect::<Vec<_>>()
    };
    let tree = model.pointer_mut(TREE).unwrap();
    let splits = nodes / 2;
    tree["tree_param"]["num_nodes"] = json!(nodes);
    tree["left_children"] = json!(chain(&|node| 2 * node + 1));
    tree["right_children"] = json!(chain(&|node| 2 * node + 2));
    for field in ["split_indices", "split_conditions", "default_left", "sum_hessian"] {
        tree[field] = json!(vec![0; nodes as usize]);
    }
    tree["split_type"] = json!((0..nodes).map(|node| i32::from(node < splits)).collect::<Vec<_>>());
    tree["categories_nodes"] = json!((0..splits).collect::<Vec<_>>());
    tree["categories_segments"] = json!((0..splits).collect::<Vec<_>>());
    tree["categories_sizes"] = json!(vec![1; splits as usize]);
    tree["categories"] = json!(vec![40; splits as usize]);
    let read = |model: &Value| read_json(&serde_json::to_vec(model).unwrap());
    assert_eq!(read(&model).unwrap().trees[0].sets.len(), splits as usize);
    // Each set holds all codes.
    let mut overlapping = model.clone();
    let tree = overlapping.pointer_mut(TREE).unwrap();
    tree["categories_segments"] = json!(vec![0; splits as usize]);
    tree["categories_sizes"] = json!(vec![splits; splits as usize]);
    let error = read(&overlapping).unwrap_err().to_string();
    assert_eq!(error, "expected in tree 0, categories of node 1 in 2000..2000, got 2000 from 0");
    // Two megabytes a code.
    model.pointer_mut(TREE).unwrap()["categories"] = json!(vec![(1 << 24) - 1; splits as usize]);
    let error = read(&model).unwrap_err().to_string();
    assert!(error.starts_with("category sets of more than 64 times the file's size"), "{error}");
}

#[test]
fn vector_leaves_that_are_not_there_are_refused() {
    let vectors = |change: fn(&mut Value)| {
        let mut model: Value = serde_json::from_str(&fs::read_to_string(data("vectors.json")).unwrap()).unwrap();
        change(model.pointer_mut(TREE).unwrap());
        read_json(&serde_json::to_vec(&model).unwrap())
    };
    assert!(vectors(|_| {}).is_ok());
    let error = vectors(|tree| tree["leaf_weights"] = json!([1, 2])).unwrap_err().to_string();
    assert!(
        error.starts_with("expected in tree 0, 3 numbers in `leaf_weights` for each leaf, got none for"),
        "{error}"
    );
    let error = vectors(|tree| {
        tree.as_object_mut().unwrap().remove("leaf_weights");
        tree["base_weights"] = json!([]);
    });
    assert!(error.unwrap_err().to_string().contains("3 numbers in `base_weights` for leaf node"));
    let error = vectors(|tree| {
        let children = tree["right_children"].as_array_mut().unwrap();
        *children.last_mut().unwrap() = json!(i32::MAX);
    });
    assert!(error.unwrap_err().to_string().contains("3 numbers in `leaf_weights`"));
    let dart = fs::read_to_string(data("vectors.json")).unwrap();
    let mut model: Value = serde_json::from_str(&dart).unwrap();
    let inner = model["learner"]["gradient_booster"].clone();
    model["learner"]["gradient_booster"] = json!({"name": "dart", "gbtree": inner, "weight_drop": [1, 1, 1, 1]});
    let error = read_json(&serde_json::to_vec(&model).unwrap()).unwrap_err().to_string();
    assert!(error.starts_with("booster `dart` with vector leaves is not supported"), "{error}");
}

#[test]
fn category_names_that_lie_are_refused() {
    let enc = |value: Value| {
        let mut model: Value = serde_json::from_str(&fs::read_to_string(data("frame.json")).unwrap()).unwrap();
        model["learner"]["gradient_booster"]["model"]["cats"]["enc"][1] = value;
        read_json(&serde_json::to_vec(&model).unwrap()).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(enc(json!({"offsets": [0, 2, 3], "values": [97, 98, 99]})), Ok(()));
    let cases = [
        (
            json!({"offsets": [0, 4], "values": [97]}),
            "expected for feature 1, `offsets` up to 1 in `cats.enc`, got 0..4",
        ),
        (
            json!({"offsets": [2, 0], "values": [97, 98]}),
            "expected for feature 1, ascending `offsets` in `cats.enc`, got less after string 0",
        ),
        (
            json!({"offsets": [-1, 0], "values": [97, 98]}),
            "expected for feature 1, `offsets` up to 2 in `cats.enc`, got -1..0",
        ),
        (
            json!({"offsets": [0, 1], "values": [300]}),
            "expected for feature 1, bytes in `values` of `cats.enc`, got 300",
        ),
    ];
    for (value, expected) in cases {
        assert_eq!(enc(value), Err(expected.to_owned()));
    }
}

/// A UBJ file whose `version` is replaced by these bytes.
fn ubj(version: &[u8]) -> Result<Ensemble, Error> {
    ubj_with("version", version)
}

/// A UBJ file whose last field has this name of seven letters, and these bytes as value.
fn ubj_with(name: &str, value: &[u8]) -> Result<Ensemble, Error> {
    let bytes = fs::read(data("no_trees.ubj")).unwrap();
    let at = bytes.windows(7).position(|window| window == b"version").unwrap();
    read_ubj(&[&bytes[..at], name.as_bytes(), value, b"}"].concat())
}

#[test]
fn ubj_is_not_believed_about_lengths() {
    assert!(ubj(b"[i\x03i\x02i\x00]").is_ok());
    assert!(ubj(b"[#i\x02i\x03i\x02").is_ok());
    assert!(ubj(b"[$U#U\x02\x03\x02").is_ok());
    let many = 1_000_000_000_000_000_i64.to_be_bytes();
    let cases: [(Vec<u8>, &str); 10] = [
        ([b"[$d#L", many.as_slice()].concat(), "expected 1000000000000000 values in XGBoost's UBJ"),
        ([b"[#L", many.as_slice()].concat(), "expected 1000000000000000 values in XGBoost's UBJ"),
        // No byte is taken by any of these.
        ([b"[$Z#L", many.as_slice()].concat(), "expected an array of numbers in XGBoost's UBJ"),
        ([b"[$[#L", many.as_slice()].concat(), "expected an array of numbers in XGBoost's UBJ"),
        ([b"SL", many.as_slice()].concat(), "expected 1000000000000000 bytes in XGBoost's UBJ"),
        (b"[#i\xff".to_vec(), "expected a length in XGBoost's UBJ"),
        (b"[$d]".to_vec(), "expected a length behind an array's type in XGBoost's UBJ"),
        (b"Q".to_vec(), "expected a value in XGBoost's UBJ"),
        (b"{$d#L".to_vec(), "expected a sequence in XGBoost's UBJ"),
        (b"[i\x01]}trailing".to_vec(), "expected the end of XGBoost's UBJ"),
    ];
    let error = ubj_with("unknown", b"{$d#L").unwrap_err().to_string();
    assert!(error.starts_with("expected a length"), "{error}");
    for (version, expected) in cases {
        let error = ubj(&version).expect_err(expected).to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn depth_is_bounded_by_us_and_not_by_the_stack() {
    let deep = 1_000_000;
    for nested in [b"[".repeat(deep), b"{i\x01a".repeat(deep), b"[#i\x01".repeat(deep)] {
        let error = ubj_with("unknown", &nested).unwrap_err().to_string();
        assert!(error.starts_with("expected at most 64 levels"), "{error}");
        assert!(ubj_with("learner", &nested).is_err());
    }
    for nested in ["[".repeat(deep), "{\"a\":".repeat(deep)] {
        for field in ["version", "learner", "other"] {
            assert!(read_json(format!("{{\"{field}\":{nested}").as_bytes()).is_err());
        }
        assert!(read_json(format!("{{\"learner\":{{\"objective\":{nested}").as_bytes()).is_err());
    }
}

type Read = fn(&[u8]) -> Result<Ensemble, Error>;

/// The golden models in both forms.
fn files() -> Vec<(Vec<u8>, Read)> {
    let file = |name: String| fs::read(data(&name)).unwrap();
    let both = |name: &str| -> [(Vec<u8>, Read); 2] {
        [(file(format!("{name}.json")), read_json), (file(format!("{name}.ubj")), read_ubj)]
    };
    MODELS.iter().flat_map(|name| both(name)).collect()
}

#[test]
fn a_cut_file_is_an_error() {
    for (bytes, read) in files() {
        let step = bytes.len() / 97 + 1;
        for end in (0..bytes.len()).step_by(step).chain([bytes.len() - 1]) {
            assert!(read(&bytes[..end]).is_err(), "cut at {end} of {}", bytes.len());
        }
    }
}

#[test]
fn damage_is_an_error_or_a_sound_model() {
    let files = files();
    let mut draw = Draw::new(2026);
    let (mut read_anyway, mut tried) = (0, 0);
    for (place, (bytes, read)) in files.iter().enumerate() {
        for _ in 0..60 {
            let mut damaged = bytes.clone();
            for _ in 0..=draw.below(3) {
                let at = draw.below(damaged.len());
                match draw.below(5) {
                    0 => damaged[at] ^= 1 << draw.below(8),
                    1 => damaged[at] = draw.below(256) as u8,
                    // A digit or a letter for another: what stays well-formed reaches further.
                    2 => damaged[at] = b"0123456789-eE.,:[]{}\"LlIUid"[draw.below(27)],
                    3 => {
                        let end = (at + draw.below(40)).min(damaged.len() - 1);
                        damaged.drain(at..end);
                    }
                    _ => {
                        // A piece of another model of the same form.
                        let other = &files[(place + 2 * draw.below(20)) % files.len()].0;
                        let from = draw.below(other.len());
                        let piece = &other[from..(from + draw.below(60)).min(other.len())];
                        damaged.splice(at..at, piece.iter().copied());
                    }
                }
            }
            tried += 1;
            if let Ok(ensemble) = read(&damaged) {
                read_anyway += 1;
                ensemble.check().unwrap();
                for value in [0.5, f64::NAN] {
                    assert_eq!(ensemble.answer(&vec![value; ensemble.columns.len()]).len(), ensemble.output.width);
                }
            }
        }
    }
    println!("{read_anyway} of {tried} damaged files were read");
    assert!(read_anyway > tried / 20, "damage reaches behind the syntax");
}
