use std::{path::Path, sync::Arc};

use arrow::array::{ArrayRef, BooleanArray, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray};
use parquet::arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder};
use serde_json::{Value, json};

use crate::harness::{Emberline, close, houses};

fn csv_column(csv: &str, name: &str) -> Vec<f64> {
    let mut lines = csv.lines();
    let index = lines.next().unwrap().split(',').position(|column| column == name).unwrap();
    lines.map(|line| line.split(',').nth(index).unwrap().parse().unwrap()).collect()
}

/// The unseen houses of the test below.
fn write_parquet(path: &Path) {
    let columns: [(&str, ArrayRef); 5] = [
        ("area", Arc::new(Float64Array::from(vec![Some(120.0), None, Some(75.5)]))),
        ("rooms", Arc::new(Int64Array::from(vec![Some(3), Some(2), None]))),
        ("district", Arc::new(StringArray::from(vec!["north", "atlantis", "west"]))),
        ("garden", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        ("built", Arc::new(StringArray::from(vec![Some("1990-05-15"), None, Some("2001-01-01")]))),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap();
    let mut writer = ArrowWriter::try_new(fs_err::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn read_parquet(path: &Path, column: &str) -> Vec<f32> {
    let file = fs_err::File::open(path).unwrap().into_file();
    let batches = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap().map(Result::unwrap);
    let values = |batch: RecordBatch| {
        batch.column_by_name(column).unwrap().as_any().downcast_ref::<Float32Array>().unwrap().values().to_vec()
    };
    batches.flat_map(values).collect()
}

/// A table, a row of raw values with strings and gaps, and the same row over HTTP: one answer.
#[test]
fn batch_scoring_and_serving_give_the_same_answers() {
    let emberline = Emberline::new();
    let data = emberline.write("houses.csv", &houses(600));
    let trained = emberline.train(&["--data", &data, "--target", "price", "--name", "houses", "--epochs", "40"]);
    let r2 = trained["metadata"]["metrics"]["r2"].as_f64().unwrap();
    assert!(r2 > 0.8, "R² is {r2}");

    let unseen =
        "area,rooms,district,garden,built\n120,3,north,true,1990-05-15\n,2,atlantis,,\n75.5,,west,false,2001-01-01\n";
    let unseen = emberline.write("unseen.csv", unseen);
    let csv = emberline.file("out.csv").display().to_string();
    let told = emberline.json(&["predict", "--model", "houses:1", "--data", &unseen, "--out", &csv, "--json"]);
    assert_eq!(told["rows"], 3);
    let scored = csv_column(&fs_err::read_to_string(&csv).unwrap(), "prediction");

    // The same rows as Parquet, with columns of types; and the answers as Parquet.
    let parquet = emberline.file("unseen.parquet");
    write_parquet(&parquet);
    let out = emberline.file("out.parquet");
    let paths = [&parquet, &out].map(|path| path.to_str().unwrap());
    emberline.ok(&["predict", "--model", "houses", "--data", paths[0], "--out", paths[1]]);
    assert_eq!(read_parquet(&out, "prediction"), scored.iter().map(|value| *value as f32).collect::<Vec<_>>());
    // A table that has the output's column already is refused rather than overwritten.
    let again = emberline.fails(1, &["predict", "--model", "houses", "--data", paths[1], "--out", &csv]);
    assert!(again.contains("column 'prediction'"), "{again}");

    let server = emberline.serve(&[]);
    let rows = json!({ "rows": [
        { "area": 120, "rooms": 3, "district": "north", "garden": true, "built": "1990-05-15" },
        { "area": null, "rooms": 2, "district": "atlantis", "garden": null, "built": null },
        { "area": 75.5, "rooms": null, "district": "west", "garden": false, "built": "2001-01-01" },
    ]});
    let answer = server.post("/v1/predict/houses", &rows);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let served: Vec<f64> = answer.json()["predictions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["prediction"].as_f64().unwrap())
        .collect();
    assert!(scored.iter().zip(&served).all(|(one, other)| close(*one, *other)), "{scored:?} {served:?}");

    // One tensor a column, as the metadata of a table with strings lists them.
    let inputs = server.get("/v2/models/houses").json()["inputs"].clone();
    let names: Vec<&str> = inputs.as_array().unwrap().iter().map(|input| input["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["area", "rooms", "district", "garden", "built"]);
    let tensor = |name: &str, datatype: &str, data: Value| json!({ "name": name, "datatype": datatype, "shape": [3, 1], "data": data });
    let request = json!({ "inputs": [
        tensor("district", "BYTES", json!(["north", "atlantis", "west"])),
        tensor("area", "FP64", json!([120, null, 75.5])),
        tensor("rooms", "INT64", json!([3, 2, null])),
        tensor("garden", "BOOL", json!([true, null, false])),
        tensor("built", "BYTES", json!(["1990-05-15", null, "2001-01-01"])),
    ]});
    let answer = server.post("/v2/models/houses/infer", &request);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let inferred = answer.json()["outputs"][0]["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|value| value.as_f64().unwrap())
        .collect::<Vec<_>>();
    assert!(scored.iter().zip(&inferred).all(|(one, other)| close(*one, *other)), "{scored:?} {inferred:?}");
}

#[test]
fn classes_are_answered_by_label_and_probability() {
    let emberline = Emberline::new();
    let mut csv = "x,y,kind\n".to_owned();
    for index in 0..300 {
        let (x, y) = (f64::from(index * 37 % 100) / 50.0 - 1.0, f64::from(index * 61 % 100) / 50.0 - 1.0);
        let kind = if x > 0.2 {
            "ember"
        } else if y > 0.0 {
            "ash"
        } else {
            "smoke"
        };
        csv += &format!("{x},{y},{kind}\n");
    }
    let data = emberline.write("fire.csv", &csv);
    let trained = emberline.train(&[
        "--data",
        &data,
        "--target",
        "kind",
        "--name",
        "fire",
        "--epochs",
        "80",
        "--learning-rate",
        "0.01",
    ]);
    assert_eq!(trained["metadata"]["task"], "multiclass");
    assert!(trained["metadata"]["metrics"]["accuracy"].as_f64().unwrap() > 0.9, "{trained}");
    for metric in ["log_loss", "roc_auc"] {
        assert!(trained["metadata"]["metrics"][metric].is_f64(), "{metric}");
    }
    let server = emberline.serve(&[]);
    let rows = json!({ "rows": [{ "x": 0.9, "y": 0.9 }, { "x": -0.8, "y": 0.8 }, { "x": -0.8, "y": -0.8 }] });
    let answer = server.post("/v1/predict/fire", &rows).json();
    let predictions = answer["predictions"].as_array().unwrap();
    let labels: Vec<&Value> = predictions.iter().map(|row| &row["label"]).collect();
    assert_eq!(labels, ["ember", "ash", "smoke"]);
    for row in predictions {
        let sum: f64 = row["probabilities"].as_array().unwrap().iter().map(|share| share.as_f64().unwrap()).sum();
        assert!(close(sum, 1.0));
    }
    let label = json!({ "prediction": predictions[0]["id"], "label": "ember" });
    let scored = server.post("/v1/feedback", &label);
    assert_eq!(scored.status, 200, "{}", scored.body);
    let unknown = json!({ "prediction": predictions[1]["id"], "label": "water" });
    assert_eq!(server.post("/v1/feedback", &unknown).status, 400);
}
