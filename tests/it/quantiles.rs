//! Several quantiles by one net: trained, served in order, scored by their labels, compared.

use serde_json::json;

use crate::harness::{Emberline, close, houses};

const LOSS: [&str; 2] = ["--loss", "quantile:0.1,0.5,0.9"];
const COMMON: [&str; 6] = ["--target", "price", "--learning-rate", "0.01", "--batch-size", "32"];

#[test]
fn quantiles_are_served_in_order_and_scored_together() {
    let emberline = Emberline::new();
    let data = emberline.write("houses.csv", &houses(600));
    let flags = ["--data", &data, "--name", "q", "--hidden", "32", "--epochs", "60", "--seed", "3"];
    let registered = emberline.train(&[&flags[..], &LOSS, &COMMON].concat());
    let metadata = &registered["metadata"];
    assert_eq!(metadata["loss"], "quantile:0.1,0.5,0.9");
    let coverage = metadata["metrics"]["coverage"].as_f64().unwrap();
    assert!((0.5..=1.0).contains(&coverage), "{metadata}");
    assert!(metadata["metrics"]["pinball_loss"].as_f64().unwrap() > 0.0 && metadata["metrics"]["rmse"].is_null());

    let out = emberline.file("answers.csv");
    emberline.ok(&["predict", "--model", "q", "--data", &data, "--out", &out.display().to_string()]);
    let answers = fs_err::read_to_string(&out).unwrap();
    assert!(answers.lines().next().unwrap().ends_with("quantile_0.1,quantile_0.5,quantile_0.9"), "{answers}");
    for line in answers.lines().skip(1) {
        let numbers: Vec<f64> = line.rsplit(',').take(3).map(|number| number.parse().unwrap()).collect();
        assert!(numbers[2] <= numbers[1] && numbers[1] <= numbers[0], "{line}");
    }

    let server = emberline.serve(&[]);
    let described = server.get("/v2/models/q").json();
    assert_eq!(described["outputs"], json!([{ "name": "prediction", "datatype": "FP32", "shape": [-1, 3] }]));
    let row = json!({ "area": 100, "rooms": 3, "district": "north", "garden": true, "built": "1990-01-15" });
    let answer = server.post("/v1/predict/q", &json!({ "rows": [row] }));
    assert_eq!(answer.status, 200, "{}", answer.body);
    let answer = answer.json()["predictions"][0].clone();
    let levels: Vec<f64> = serde_json::from_value(answer["prediction"].clone()).unwrap();
    assert_eq!(levels.len(), 3);
    let truth = levels[2] + 10.0;
    let scored = server.post("/v1/feedback", &json!({ "prediction": answer["id"], "label": truth })).json();
    let expected = [0.1, 0.5, 0.9].iter().zip(&levels).map(|(tau, level)| tau * (truth - level)).sum::<f64>() / 3.0;
    assert!(close(scored["losses"]["quantile"].as_f64().unwrap(), expected), "{scored}");
    let monitor = server.get("/v1/monitor").body;
    assert!(monitor.contains("\"coverage\"") && monitor.contains("quantile:0.1,0.5,0.9"), "{monitor}");
    let refused = server.post("/v1/models/q:regress", &json!({ "examples": [row] }));
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("it predicts several numbers a row"), "{}", refused.body);
}

#[test]
fn every_net_learns_quantiles_and_levels_that_make_no_sense_are_refused() {
    let emberline = Emberline::new();
    let data = emberline.write("houses.csv", &houses(200));
    let nets: [&[&str]; 3] = [
        &["--model", "tabm", "--members", "4", "--hidden", "16", "--bins", "8", "--embedding-width", "4"],
        &["--model", "ft-transformer", "--blocks", "1", "--width", "8", "--heads", "2", "--block-units", "8"],
        &["--model", "resnet", "--blocks", "1", "--width", "16", "--block-units", "32"],
    ];
    for net in nets {
        let flags = ["--data", &data, "--name", net[1], "--epochs", "2"];
        let registered = emberline.train(&[&flags[..], net, &LOSS, &COMMON].concat());
        assert!(registered["metadata"]["metrics"]["pinball_loss"].is_f64(), "{registered}");
    }
    // Loading runs the golden self-test.
    let server = emberline.serve(&[]);
    assert_eq!(server.get("/v2/models/tabm/ready").status, 200);

    for loss in ["quantile:0.9,0.1", "quantile:0.5,0.5", "quantile:0.5,1", "quantile:0.1,,0.9"] {
        let run = emberline.run(&["train", "--data", &data, "--target", "price", "--name", "m", "--loss", loss]);
        assert_eq!(run.status.code(), Some(64));
        let complaint = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(complaint.contains("up to 16 of them in rising order") && complaint.contains(loss), "{complaint}");
    }
}

#[test]
fn nets_are_compared_by_the_loss_that_they_learn() {
    let emberline = Emberline::new();
    let data = emberline.write("houses.csv", &houses(200));
    let flags = ["--data", &data, "--target", "price", "--models", "mlp,resnet", "--seeds", "1", "--epochs", "2"];
    let found = emberline.json(&[&["compare", "--json"], &flags[..], &LOSS].concat());
    assert_eq!(found["loss"], "pinball loss");
    assert!(found["models"][0]["metrics"]["coverage"]["mean"].is_f64(), "{found}");
}
