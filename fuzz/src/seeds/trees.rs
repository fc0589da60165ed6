//! Small model files of every format: golden files of the crate `trees` cut to one tree or a few, and what its exporters write of
//! them. Called when the corpus is written, and by nobody else.

use std::path::Path;

use serde_json::{Value, json};
use trees::{Ensemble, ensemble::Output, export, import};

use crate::mutate::LONGEST;

/// Trees that are left where so many fit; otherwise one is.
const TREES: [usize; 2] = [2, 1];

/// A golden file.
fn golden(path: &str) -> Option<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/trees/tests/data");
    fs_err::read(folder.join(path)).ok()
}

/// Each golden file as `cut` leaves it, with as many trees as fit.
fn small(folder: &str, extension: &str, names: &[&str], cut: impl Fn(&[u8], usize) -> Option<Vec<u8>>) -> Vec<Vec<u8>> {
    let small = |name: &&str| {
        let file = golden(&format!("{folder}/{name}.{extension}"))?;
        TREES.into_iter().filter_map(|trees| cut(&file, trees)).find(|file| file.len() <= LONGEST)
    };
    names.iter().filter_map(small).collect()
}

/// One for each form that XGBoost's models take: boosters, leaves, missing values, categories, names, versions.
const XGBOOST: [&str; 20] = [
    "logistic",
    "logistic_old",
    "softprob",
    "softprob_old",
    "missing",
    "missing_old",
    "dart",
    "dart_old",
    "codes",
    "frame",
    "labels",
    "quantiles",
    "vectors",
    "vectors_old",
    "parallel",
    "rank_map",
    "aft",
    "leaf",
    "no_trees",
    "untrained_old",
];

pub(crate) fn xgboost_json() -> Vec<Vec<u8>> {
    small("xgboost", "json", &XGBOOST, |file, trees| serde_json::to_vec(&cut_xgboost(file, trees)?).ok())
}

pub(crate) fn xgboost_ubj() -> Vec<Vec<u8>> {
    small("xgboost", "json", &XGBOOST, |file, trees| {
        let mut ubj = Vec::new();
        write_ubj(&cut_xgboost(file, trees)?, "", &mut ubj)?;
        Some(ubj)
    })
}

fn cut_xgboost(file: &[u8], trees: usize) -> Option<Value> {
    let mut file: Value = serde_json::from_slice(file).ok()?;
    let booster = file.pointer_mut("/learner/gradient_booster")?;
    truncate(booster, "weight_drop", trees);
    let model =
        if booster.get("gbtree").is_some() { booster.pointer_mut("/gbtree/model") } else { booster.get_mut("model") }?;
    truncate(model, "tree_info", trees);
    truncate(model, "trees", trees);
    truncate(model, "iteration_indptr", trees + 1);
    let left = model.get("trees")?.as_array()?.len();
    *model.pointer_mut("/gbtree_model_param/num_trees")? = json!(left.to_string());
    Some(file)
}

fn truncate(object: &mut Value, name: &str, length: usize) {
    if let Some(Value::Array(list)) = object.get_mut(name) {
        list.truncate(length);
    }
}

/// The bytes of a number in a typed array.
type NumberBytes = fn(&Value) -> Option<Vec<u8>>;

/// The form that XGBoost gives a value under this name; none for numbers that it never writes.
fn write_ubj(value: &Value, name: &str, out: &mut Vec<u8>) -> Option<()> {
    let long = |length: usize| [&b"L"[..], &(length as u64).to_be_bytes()].concat();
    match value {
        Value::Null => out.push(b'Z'),
        Value::Bool(yes) => out.push(if *yes { b'T' } else { b'F' }),
        Value::Number(number) => {
            out.push(b'l');
            out.extend(i32::try_from(number.as_i64()?).ok()?.to_be_bytes());
        }
        Value::String(text) => {
            out.push(b'S');
            out.extend(long(text.len()));
            out.extend(text.bytes());
        }
        Value::Array(items) => {
            let number: Option<NumberBytes> = match name {
                "base_weights" | "loss_changes" | "split_conditions" | "sum_hessian" | "leaf_weights"
                | "weight_drop" => {
                    out.extend(b"[$d#");
                    Some(|item| Some((item.as_f64()? as f32).to_be_bytes().to_vec()))
                }
                "left_children" | "right_children" | "parents" | "split_indices" | "categories"
                | "categories_nodes" | "offsets" => {
                    out.extend(b"[$l#");
                    Some(|item| Some(i32::try_from(item.as_i64()?).ok()?.to_be_bytes().to_vec()))
                }
                "categories_segments" | "categories_sizes" => {
                    out.extend(b"[$L#");
                    Some(|item| Some(item.as_i64()?.to_be_bytes().to_vec()))
                }
                "default_left" | "split_type" => {
                    out.extend(b"[$U#");
                    Some(|item| {
                        Some(vec![u8::try_from(item.as_u64().unwrap_or_else(|| u64::from(item == &json!(true)))).ok()?])
                    })
                }
                _ => {
                    out.extend(b"[#");
                    None
                }
            };
            out.extend(long(items.len()));
            for item in items {
                match number {
                    Some(number) => out.extend(number(item)?),
                    None => write_ubj(item, "", out)?,
                }
            }
        }
        Value::Object(members) => {
            out.push(b'{');
            for (name, member) in members {
                out.extend(long(name.len()));
                out.extend(name.bytes());
                write_ubj(member, name, out)?;
            }
            out.push(b'}');
        }
    }
    Some(())
}

pub(crate) fn lightgbm() -> Vec<Vec<u8>> {
    let names = [
        "2-binary",
        "2-category",
        "2-missing-zero",
        "2-pandas",
        "3-linear",
        "3-linear-category",
        "3-missing-nan",
        "3-forest",
        "3-multiclassova",
        "4-binary",
        "4-category",
        "4-category-one",
        "4-constant",
        "4-custom",
        "4-dart",
        "4-forest-multiclass",
        "4-lambdarank",
        "4-linear-constant",
        "4-multiclass",
        "4-pandas",
        "4-sqrt",
    ];
    small("lightgbm", "txt", &names, |file, iterations| cut_lightgbm(std::str::from_utf8(file).ok()?, iterations))
}

fn cut_lightgbm(file: &str, iterations: usize) -> Option<Vec<u8>> {
    let (header, rest) = file.split_once("\nTree=")?;
    let behind = ["end of trees", "\nfeature importances:", "\nfeature_importances:"];
    let end = behind.into_iter().filter_map(|behind| rest.find(behind)).min()?;
    let (trees, rest) = rest.split_at(end);
    let each = header.lines().find_map(|line| line.strip_prefix("num_tree_per_iteration="))?.parse::<usize>().ok()?;
    let trees: Vec<&str> = trees.split("Tree=").take(iterations * each).collect();
    // The sizes count the `Tree=` that the parts were taken apart by.
    let sizes: Vec<String> = trees.iter().map(|tree| (tree.len() + "Tree=".len()).to_string()).collect();
    let header: Vec<String> =
        header
            .lines()
            .map(|line| {
                if line.starts_with("tree_sizes=") {
                    format!("tree_sizes={}", sizes.join(" "))
                } else {
                    line.to_owned()
                }
            })
            .collect();
    // Two of a hundred parameters are as good.
    let mut parameters = 0;
    let rest = rest.lines().filter(|line| {
        parameters += usize::from(line.starts_with('['));
        !line.starts_with('[') || parameters <= 2
    });
    let rest: Vec<&str> = rest.collect();
    Some(format!("{}\nTree={}{}\n", header.join("\n"), trees.join("Tree="), rest.join("\n")).into_bytes())
}

pub(crate) fn catboost() -> Vec<Vec<u8>> {
    let names = [
        "rmse",
        "constant",
        "unnamed-columns",
        "nan-min",
        "nan-max",
        "onehot",
        "onehot-depthwise",
        "onehot-unnamed",
        "depthwise",
        "lossguide",
        "logloss",
        "logloss-names",
        "multiclass",
        "multiclass-lossguide",
        "onevsall",
        "multirmse",
        "poisson",
        "ctr",
    ];
    small("catboost", "json", &names, |file, trees| {
        let mut file: Value = serde_json::from_slice(file).ok()?;
        truncate(&mut file, "oblivious_trees", trees);
        truncate(&mut file, "trees", trees);
        // Of the parameters the loss alone counts; they are most of a small file.
        let loss = file.pointer("/model_info/params/loss_function").cloned();
        let info = file.get_mut("model_info")?.as_object_mut()?;
        info.remove("training");
        info.insert(
            "params".to_owned(),
            json!({"loss_function": loss, "flat_params": {"iterations": 2, "depth": "3"}}),
        );
        serde_json::to_vec(&file).ok()
    })
}

pub(crate) fn onnx() -> Vec<Vec<u8>> {
    let names = [
        "after_average_of_two",
        "after_label_chain",
        "after_pair_second",
        "aggregate_average",
        "aggregate_min",
        "before_arithmetic",
        "before_imputer",
        "before_one_hot",
        "before_vectorizer",
        "chain_tracked",
        "double",
        "hitrates",
        "member",
        "member_large",
        "modes",
        "post_probit",
        "random_14",
        "random_28",
        "refused_two_outputs",
        "skl_dtc",
        "skl_dtr",
        "three_softmax_zero",
        "two_mixed_logistic_base",
        "two_columns_softmax",
        "version_five_average",
        "version_five_softmax_node",
        "lgb_binary",
        "xgb_binary",
    ];
    small("onnx", "onnx", &names, |file, _| Some(file.to_vec()))
}

/// Golden files of every source, as the ensembles that are read from them, cut to a few trees.
fn ensembles() -> Vec<Ensemble> {
    let files = [
        "xgboost/softprob.json",
        "xgboost/frame.json",
        "xgboost/vectors.json",
        "xgboost/dart.json",
        "xgboost/untrained.json",
        "lightgbm/4-category.txt",
        "lightgbm/4-linear.txt",
        "lightgbm/4-forest.txt",
        "lightgbm/4-multiclass.txt",
        "lightgbm/4-missing-zero.txt",
        "catboost/multiclass.json",
        "catboost/onehot.json",
        "onnx/before_one_hot.onnx",
        "onnx/before_imputer.onnx",
        "onnx/aggregate_max.onnx",
        "onnx/member_large.onnx",
        "treelite/hgb_clf.tl",
        "treelite/built_grid.tl",
        "treelite/built_ratio.tl",
        "treelite/rf_clf.tl",
    ];
    let ensemble = |path: &str| {
        let mut ensemble = import::read(&golden(path)?).ok()?;
        let Output { width, .. } = ensemble.output;
        ensemble.trees.truncate(width.max(2));
        ensemble.origin.parameters.clear();
        Some(ensemble)
    };
    files.into_iter().filter_map(ensemble).collect()
}

pub(crate) fn treelite() -> Vec<Vec<u8>> {
    let names = [
        "built_grid",
        "built_hinge_float32",
        "built_one_target",
        "built_ova",
        "built_ratio",
        "built_softmax",
        "built_targets",
        "built_vector",
        "xgb_logistic",
    ];
    let mut files = small("treelite", "tl", &names, |file, _| Some(file.to_vec()));
    let exported = ensembles().iter().filter_map(|ensemble| export::treelite::write(ensemble).ok()).collect::<Vec<_>>();
    files.extend(exported.into_iter().filter(|file| file.len() <= LONGEST));
    files
}

pub(crate) fn saved() -> Vec<Vec<u8>> {
    let saved = ensembles().into_iter().filter_map(|ensemble| ensemble.to_bytes().ok());
    saved.filter(|file| file.len() <= LONGEST).collect()
}
