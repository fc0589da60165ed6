//! The kinds of net: trained, served, resumed after a kill, compared and drawn.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use serde_json::{Value, json};

use crate::harness::{Emberline, artifact, houses};

/// Each net with flags that make it small.
const NETS: [(&str, &[&str]); 6] = [
    ("mlp", &["--hidden", "16"]),
    ("resnet", &["--blocks", "1", "--width", "16", "--block-units", "32"]),
    ("mlp-plr", &["--hidden", "16", "--frequencies", "8", "--embedding-width", "4", "--frequency-scale", "0.5"]),
    ("mlp-ple", &["--hidden", "16", "--bins", "8", "--embedding-width", "4"]),
    ("tabm", &["--members", "4", "--hidden", "16", "--bins", "8", "--embedding-width", "4"]),
    ("ft-transformer", &["--blocks", "1", "--width", "8", "--heads", "2", "--block-units", "8"]),
];

const COMMON: [&str; 8] = ["--target", "price", "--epochs", "8", "--learning-rate", "0.01", "--batch-size", "32"];

#[test]
fn every_net_is_trained_registered_and_answers_what_it_was_saved_with() {
    let emberline = Emberline::new();
    let data = emberline.write("houses.csv", &houses(400));
    for (net, flags) in NETS {
        let arguments = [&["--data", &data, "--name", net, "--model", net], &COMMON[..], flags].concat();
        let registered = emberline.train(&arguments);
        assert_eq!(registered["metadata"]["kind"], net);
        assert_eq!(registered["metadata"]["hyper_parameters"]["model"], net);
        assert!(registered["metadata"]["metrics"]["rmse"].is_f64(), "{net}");
        let out = emberline.file("answers.csv");
        let told = emberline.json(&[
            "predict",
            "--json",
            "--model",
            net,
            "--data",
            &data,
            "--out",
            &out.display().to_string(),
        ]);
        assert_eq!(told["rows"], 400);
    }
    // Loading runs the golden self-test: rows answered as they were when the version was saved.
    let server = emberline.serve(&[]);
    for (net, _) in NETS {
        let ready = server.get(&format!("/v2/models/{net}/ready"));
        assert_eq!(ready.status, 200, "{net}: {}", ready.body);
    }
}

#[test]
fn flags_of_another_net_are_refused_by_name() {
    let emberline = Emberline::new();
    let data = emberline.write("houses.csv", &houses(100));
    let refused = |more: &[&str]| {
        let base = ["train", "--data", &data, "--target", "price", "--name", "m"];
        emberline.fails(1, &[&base, more].concat())
    };
    assert_eq!(
        refused(&["--members", "4"]),
        "emberline: --members says nothing about this mlp; expected only --hidden, --dropout, --embedding"
    );
    let complaint = refused(&["--model", "mlp-ple", "--frequencies", "4"]);
    assert!(complaint.contains("--frequencies says nothing about this mlp-ple"), "{complaint}");
    let complaint = refused(&["--model", "ft-transformer", "--heads", "7"]);
    assert!(complaint.contains("expected heads that divide the 192 values of a token, got 7"), "{complaint}");
    let complaint = refused(&["--balanced"]);
    assert!(complaint.contains("expected classes to weigh alike, got numbers to predict"), "{complaint}");
    let complaint = refused(&["--weight", "nothing"]);
    assert!(complaint.contains("column 'nothing'"), "{complaint}");
    let unknown = emberline.run(&["train", "--data", &data, "--target", "price", "--name", "m", "--model", "gpt"]);
    assert_eq!(unknown.status.code(), Some(64));
}

/// Rows with a column that says which part they are in; those of the test part have no sense in them.
fn with_parts(rows: usize) -> String {
    let part = |row: usize| ["train", "train", "train", "valid", "test"][row % 5];
    let lines = houses(rows);
    let mut lines = lines.lines();
    let mut text = format!("{},part,times\n", lines.next().unwrap());
    for (row, line) in lines.enumerate() {
        let times = usize::from(row % 5 != 0);
        text += &format!("{line},{},{times}\n", part(row));
    }
    text
}

#[test]
fn columns_say_which_rows_are_trained_on_and_what_they_weigh() {
    let emberline = Emberline::new();
    let data = emberline.write("houses.csv", &with_parts(400));
    let flags = ["--name", "houses", "--split", "part", "--weight", "times", "--hidden", "16"];
    let registered = emberline.train(&[&["--data", &data], &COMMON[..], &flags].concat());
    let metadata = &registered["metadata"];
    assert_eq!(metadata["training_rows"], 240);
    let features = metadata["features"].as_array().unwrap();
    assert!(features.iter().all(|feature| feature["name"] != "part" && feature["name"] != "times"), "{features:?}");
    let both = ["--split", "part", "--valid", "0.5"];
    emberline.fails(64, &[&["train", "--data", &data, "--name", "m"], &COMMON[..], &both].concat());
    let nobody = ["train", "--data", &data, "--name", "m", "--target", "price", "--split", "times"];
    let complaint = emberline.fails(1, &nobody);
    assert!(complaint.contains("expected rows that say 'train', got none"), "{complaint}");
}

#[test]
fn an_ensemble_that_was_killed_resumes_to_the_same_model() {
    let emberline = Emberline::new();
    let data = emberline.write("houses.csv", &houses(400));
    let (_, flags) = NETS[4];
    let arguments = [
        &["--data", &data, "--name", "t", "--model", "tabm", "--target", "price", "--epochs", "40", "--patience", "40"]
            [..],
        &["--schedule", "cosine", "--average", "0.9", "--accumulation", "2", "--batch-size", "16"],
        flags,
    ]
    .concat();
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
    emberline.train(&[&["--resume"], &arguments[..]].concat());
    let weights = |version: u32| {
        let version = emberline.json(&["models", "show", &format!("t:{version}"), "--json"]);
        fs_err::read(artifact(&version).join("weights.safetensors")).unwrap()
    };
    assert!(weights(1) == weights(2));
}

#[test]
fn models_are_compared_on_rows_that_none_has_seen_and_drawn() {
    let emberline = Emberline::new();
    let data = emberline.write("houses.csv", &houses(400));
    let page = emberline.file("page.html");
    let base = ["compare", "--data", &data, "--target", "price", "--models", "mlp,mlp-ple", "--seeds", "2"];
    let report = ["--epochs", "3", "--json", "--report", &page.display().to_string()].map(str::to_owned);
    let report: Vec<&str> = report.iter().map(String::as_str).collect();
    let found = emberline.json(&[&base, &report[..]].concat());
    assert_eq!(
        (&found["test_rows"], &found["validation_rows"], &found["training_rows"]),
        (&json!(80), &json!(64), &json!(256))
    );
    let models = found["models"].as_array().unwrap();
    assert_eq!(models.len(), 2);
    assert!(models[0]["difference"].is_null() && models[0]["loss"].as_f64() <= models[1]["loss"].as_f64());
    let p = models[1]["difference"]["p"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&p));
    for model in models {
        assert_eq!(model["runs"].as_array().unwrap().len(), 2);
        assert_ne!(model["runs"][0]["metrics"]["rmse"], model["runs"][1]["metrics"]["rmse"], "seeds differ");
        let batches: Vec<&Value> = model["latencies"].as_array().unwrap().iter().map(|one| &one["batch"]).collect();
        assert_eq!(batches, [&json!(1), &json!(64), &json!(4096)]);
        assert!(model["parameters"].as_u64().unwrap() > 0 && model["artifact_bytes"].as_u64().unwrap() > 0);
    }
    let html = fs_err::read_to_string(&page).unwrap();
    assert_eq!(html.matches("<svg").count(), 4);
    assert!(!html.contains("<script") && !html.contains("href="), "one self-contained page");
    // Nothing is registered by comparing.
    assert_eq!(emberline.json(&["models", "list", "--json"]), json!([]));

    emberline.train(&["--data", &data, "--target", "price", "--name", "houses", "--epochs", "2"]);
    let plot = emberline.file("curves.svg").display().to_string();
    emberline.ok(&["models", "show", "houses", "--plot", &plot]);
    let svg = fs_err::read_to_string(&plot).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("houses version 1") && svg.contains("validation"));
}

#[test]
fn counts_and_outliers_have_losses_of_their_own() {
    let emberline = Emberline::new();
    let data = emberline.write("houses.csv", &houses(400));
    for loss in ["huber:20", "poisson"] {
        let registered = emberline.train(&[&["--data", &data, "--name", "m", "--loss", loss], &COMMON[..]].concat());
        assert_eq!(registered["metadata"]["loss"], loss);
        let curves = registered["metadata"]["curves"].as_array().unwrap();
        let at = |place: usize| curves[place]["validation_loss"].as_f64().unwrap();
        assert!(at(curves.len() - 1) < at(0), "{loss} learns");
    }
    let out = emberline.file("answers.csv").display().to_string();
    emberline.ok(&["predict", "--model", "m", "--data", &data, "--out", &out]);
    let answers = fs_err::read_to_string(&out).unwrap();
    let rates: Vec<f64> =
        answers.lines().skip(1).map(|line| line.rsplit(',').next().unwrap().parse().unwrap()).collect();
    let mean = rates.iter().sum::<f64>() / rates.len() as f64;
    assert!(rates.iter().all(|rate| *rate > 0.0) && mean > 100.0, "prices are some hundreds, and rates their means");

    let debts = emberline.write("debts.csv", &houses(50).replace(",3", ",-3"));
    let complaint =
        emberline.fails(1, &["train", "--data", &debts, "--target", "price", "--name", "m", "--loss", "poisson"]);
    assert!(complaint.contains("expected counts of 0 or more for the poisson loss"), "{complaint}");
}

#[test]
fn a_net_trained_in_half_precision_says_so() {
    let emberline = Emberline::new();
    let data = emberline.write("houses.csv", &houses(200));
    let flags = ["--data", &data, "--name", "half", "--device", "cpu", "--precision", "bf16"];
    let registered = emberline.train(&[&flags[..], &COMMON].concat());
    assert_eq!(registered["metadata"]["hyper_parameters"]["precision"], "bf16");
    // A CPU gains nothing by half precision, so that auto is F32 there, and the run's first event says so.
    let flags = ["train", "--json", "--data", &data, "--name", "auto", "--device", "cpu", "--precision", "auto"];
    let told = emberline.ok(&[&flags[..], &COMMON].concat());
    let started: Value = serde_json::from_str(told.lines().next().unwrap()).unwrap();
    assert_eq!((&started["event"], &started["precision"]), (&json!("started"), &json!("f32")), "{told}");
    let unknown = ["train", "--data", &data, "--target", "price", "--name", "m", "--precision", "fp8"];
    let complaint = emberline.fails(64, &unknown);
    assert!(complaint.contains("expected one of auto, f32, f16, bf16, got 'fp8'"), "{complaint}");
}
