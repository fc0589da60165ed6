use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::harness::{Emberline, artifact, houses, signal, text};

/// A short training on the houses.
const SHORT: [&str; 12] =
    ["--target", "price", "--name", "houses", "--epochs", "3", "--hidden", "16", "--seed", "5", "--batch-size", "64"];
/// A training that would take very long.
const LONG: [&str; 10] =
    ["--target", "price", "--name", "houses", "--epochs", "1000000", "--patience", "1000000", "--hidden", "16"];

fn weights(emberline: &Emberline, version: u64) -> Vec<u8> {
    let version = emberline.json(&["models", "show", &format!("houses:{version}"), "--json"]);
    fs_err::read(artifact(&version).join("weights.safetensors")).unwrap()
}

#[test]
fn the_same_seed_gives_the_same_model_to_the_bit() {
    let emberline = Emberline::new();
    let data = emberline.write("houses.csv", &houses(400));
    emberline.train(&[&["--data", &data], &SHORT[..]].concat());
    emberline.train(&[&["--data", &data], &SHORT[..]].concat());
    let mut other = SHORT;
    other[9] = "6";
    emberline.train(&[&["--data", &data], &other[..]].concat());
    assert!(weights(&emberline, 1) == weights(&emberline, 2));
    assert!(weights(&emberline, 1) != weights(&emberline, 3));
}

#[test]
fn a_version_knows_where_it_comes_from() {
    let emberline = Emberline::new();
    let data = emberline.write("houses.csv", &houses(400));
    emberline.train(&[&["--data", &data, "--author", "Ada"], &SHORT[..]].concat());
    let shown = emberline.json(&["models", "show", "houses", "--json"]);
    assert_eq!(shown["version"], 1);
    assert_eq!(shown["kind"], "mlp");
    assert_eq!(shown["task"], "regression");
    assert_eq!(shown["author"], "Ada");
    assert_eq!(shown["loss"], "classic");
    assert_eq!(shown["device"], "cpu");
    assert_eq!(shown["target"], json!({ "name": "price", "kind": "numeric" }));
    let kinds: Vec<&Value> = shown["features"].as_array().unwrap().iter().map(|feature| &feature["kind"]).collect();
    assert_eq!(kinds, ["numeric", "numeric", "categorical", "boolean", "date"]);
    assert_eq!(shown["training_rows"], 320);
    assert_eq!(shown["curves"].as_array().unwrap().len(), 3);
    assert_eq!(shown["training_end"], "completed");
    for metric in ["rmse", "mae", "r2"] {
        assert!(shown["metrics"][metric].is_f64(), "{metric}");
    }
    assert!(shown["packages"]["burn"].is_string());
    let digest = Command::new("sha256sum").arg(&data).output().unwrap();
    assert_eq!(shown["data_digest"].as_str().unwrap(), &text(&digest.stdout)[..64]);
    assert!(shown["size_bytes"].as_u64().unwrap() > 1000);
    assert!(shown["seconds_trained"].as_f64().unwrap() > 0.0);
}

#[test]
fn a_time_budget_ends_training_with_the_best_so_far() {
    let emberline = Emberline::new();
    let data = emberline.write("houses.csv", &houses(400));
    let started = Instant::now();
    let last = emberline.train(&[&["--data", &data, "--time-budget", "1s"], &LONG[..]].concat());
    assert!(started.elapsed() < Duration::from_secs(20));
    assert_eq!(last["metadata"]["training_end"], "time_budget");
    assert_eq!(emberline.json(&["models", "show", "houses", "--json"])["training_end"], "time_budget");
}

#[test]
fn an_interrupt_ends_training_with_the_best_so_far() {
    let emberline = Emberline::new();
    let data = emberline.write("houses.csv", &houses(400));
    let mut child = emberline
        .command(&[&["train", "--json", "--data", &data], &LONG[..]].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let third = lines.by_ref().find(|line| line.contains("\"epoch\":3,")).unwrap();
    assert!(third.contains("\"event\":\"epoch\""));
    signal(child.id(), "INT");
    let last: Value = serde_json::from_str(&lines.last().unwrap()).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(last["metadata"]["training_end"], "interrupted", "{last}");
    assert_eq!(emberline.json(&["models", "show", "houses", "--json"])["version"], 1);
}

#[test]
fn a_training_that_was_killed_resumes_to_the_same_model() {
    let emberline = Emberline::new();
    let data = emberline.write("houses.csv", &houses(400));
    let arguments = [
        "--data",
        &data,
        "--target",
        "price",
        "--name",
        "houses",
        "--epochs",
        "60",
        "--hidden",
        "64,64",
        "--patience",
        "60",
        "--batch-size",
        "16",
    ];
    emberline.train(&arguments);
    let mut child = emberline
        .command(&[&["train", "--json"], &arguments[..]].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("\"epoch\":5,")));
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success());
    assert_eq!(emberline.json(&["models", "list", "--json"])[0]["versions"].as_array().unwrap().len(), 1);

    let printed = emberline.ok(&[&["train", "--json", "--resume"], &arguments[..]].concat());
    let first_epoch = printed.lines().find(|line| line.contains("\"event\":\"epoch\"")).unwrap();
    let first_epoch: Value = serde_json::from_str(first_epoch).unwrap();
    assert!(first_epoch["epoch"].as_u64().unwrap() > 5, "{first_epoch}");
    assert!(weights(&emberline, 1) == weights(&emberline, 2));
}

#[test]
fn tables_that_cannot_be_learned_from_are_refused_in_a_sentence() {
    let emberline = Emberline::new();
    let train = |data: &str, target: &str, more: &[&str]| {
        emberline.fails(1, &[&["train", "--data", data, "--target", target, "--name", "m"], more].concat())
    };
    let data = emberline.write("houses.csv", &houses(50));
    let mut complaints = vec![train("/no/such/table.csv", "price", &[])];
    complaints.push(train(&data, "prize", &[]));
    complaints.push(train(&data, "district", &["--task", "regression"]));
    complaints.push(train(&data, "price", &["--loss", "hinge"]));
    complaints.push(train(&data, "price", &["--valid", "1.5"]));
    complaints.push(train(&emberline.write("empty.csv", ""), "y", &[]));
    complaints.push(train(&emberline.write("head.csv", "x,y\n"), "y", &[]));
    complaints.push(train(&emberline.write("one.csv", "x,y\n1,2\n"), "y", &[]));
    complaints.push(train(&emberline.write("class.csv", "x,y\n1,a\n2,a\n3,a\n4,a\n"), "y", &[]));
    assert_eq!(emberline.json(&["models", "list", "--json"]), json!([]));
    insta::assert_snapshot!(complaints.join("\n"));
}
