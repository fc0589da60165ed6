use serde_json::json;

use crate::harness::{Emberline, close};

/// Writes a dense net 3 → 2 → 1 whose answers are known by hand: y = 2·relu(a + b) + relu(c − 1) + 0.5.
pub(crate) fn write_small_net(path: &std::path::Path) {
    write_net(
        path,
        &[
            ("W1", vec![3, 2], vec![1., 0., 1., 0., 0., 1.]),
            ("b1", vec![2], vec![0., -1.]),
            ("W2", vec![2, 1], vec![2., 1.]),
            ("b2", vec![1], vec![0.5]),
        ],
    );
}

/// Writes tensors of f32 as safetensors.
pub(crate) fn write_net(path: &std::path::Path, tensors: &[(&str, Vec<usize>, Vec<f32>)]) {
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|(_, _, values)| values.iter().flat_map(|value| value.to_le_bytes()).collect()).collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        (*name, safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes).unwrap())
    });
    safetensors::serialize_to_file(views, None, path).unwrap();
}

#[test]
fn imported_weights_answer_as_computed_by_hand() {
    let emberline = Emberline::new();
    let file = emberline.file("net.safetensors");
    write_small_net(&file);
    let imported = emberline.json(&["import", file.to_str().unwrap(), "--format", "mlp", "--name", "net", "--json"]);
    assert_eq!((&imported["name"], &imported["version"]), (&json!("net"), &json!(1)));

    let server = emberline.serve(&[]);
    let metadata = server.get("/v2/models/net").json();
    assert_eq!(metadata["inputs"], json!([{ "name": "x", "datatype": "FP32", "shape": [-1, 3] }]));
    assert_eq!(metadata["outputs"], json!([{ "name": "y", "datatype": "FP32", "shape": [-1, 1] }]));
    let request = json!({ "id": "7", "inputs": [{
        "name": "x", "datatype": "FP32", "shape": [3, 3], "data": [[1, 2, 3], [-4, 1, 0], [0.25, 0.25, 2]],
    }]});
    let answer = server.post("/v2/models/net/infer", &request);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let answer = answer.json();
    assert_eq!((&answer["id"], &answer["model_version"]), (&json!("7"), &json!("1")));
    let data = answer["outputs"][0]["data"].as_array().unwrap();
    for (found, expected) in data.iter().zip([8.5, 0.5, 2.5]) {
        assert!(close(found.as_f64().unwrap(), expected), "{data:?}");
    }
}

#[test]
fn an_identity_answers_with_its_inputs() {
    let emberline = Emberline::new();
    let spec = json!({ "tensors": [
        { "name": "x", "datatype": "FP32", "shape": [-1, 2] },
        { "name": "s", "datatype": "BYTES", "shape": [-1, 1], "output": "t" },
    ]});
    let spec = emberline.write("echo.json", &spec.to_string());
    emberline.ok(&["import", &spec, "--format", "identity", "--name", "echo"]);
    let complaint = emberline.fails(1, &["import", &spec, "--format", "identity", "--name", "echo", "--input", "x"]);
    assert!(complaint.contains("got --input, --output or --task"), "{complaint}");

    let server = emberline.serve(&[]);
    let metadata = server.get("/v2/models/echo").json();
    assert_eq!(metadata["outputs"][1], json!({ "name": "t", "datatype": "BYTES", "shape": [-1, 1] }));
    // More rows than a batch holds, of strings of very different lengths.
    let rows = 1300;
    let numbers: Vec<f64> = (0..2 * rows).map(f64::from).collect();
    let texts: Vec<String> = (0..rows).map(|row| "ä".repeat(row as usize % 70)).collect();
    let request = json!({ "inputs": [
        { "name": "s", "datatype": "BYTES", "shape": [rows, 1], "data": texts },
        { "name": "x", "datatype": "FP32", "shape": [rows, 2], "data": numbers },
    ]});
    let answer = server.post("/v2/models/echo/infer", &request);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let answer = answer.json();
    assert_eq!(answer["outputs"][0]["data"], json!(numbers));
    assert_eq!(answer["outputs"][1]["data"], json!(texts));
}

#[test]
fn files_that_are_no_weights_are_refused_in_a_sentence() {
    let emberline = Emberline::new();
    let import = |file: &str| emberline.fails(1, &["import", file, "--format", "mlp", "--name", "net"]);
    let mut complaints = vec![import("/no/such/file.safetensors")];
    complaints.push(import(&emberline.write("text.safetensors", "these are no weights")));
    complaints.push(import(&emberline.write("text.npz", "these are no weights")));
    complaints.push(import(&emberline.write("net.gguf", "")));
    let odd = emberline.file("odd.safetensors");
    write_net(&odd, &[("W1", vec![3, 2], vec![0.; 6]), ("b1", vec![3], vec![0.; 3])]);
    complaints.push(import(odd.to_str().unwrap()));
    write_net(&odd, &[("weights", vec![3, 2], vec![0.; 6])]);
    complaints.push(import(odd.to_str().unwrap()));
    assert_eq!(emberline.json(&["models", "list", "--json"]), json!([]));
    insta::assert_snapshot!(complaints.join("\n"));
}

#[test]
fn a_tree_model_is_imported_served_explained_and_given_back() {
    let emberline = Emberline::new();
    let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models/trees/tests/data");
    let file = data.join("xgboost/absoluteerror.json");
    let imported = emberline.json(&["import", file.to_str().unwrap(), "--name", "trees", "--json"]);
    assert_eq!((&imported["name"], &imported["kind"]), (&json!("trees"), &json!("trees")));
    let golden: serde_json::Value =
        serde_json::from_slice(&fs_err::read(data.join("xgboost/absoluteerror.expected")).unwrap()).unwrap();
    let rows = golden["rows"].as_array().unwrap();

    let server = emberline.serve(&[]);
    let metadata = server.get("/v2/models/trees").json();
    let columns = rows[0].as_array().unwrap().len();
    assert_eq!(metadata["inputs"], json!([{ "name": "features", "datatype": "FP32", "shape": [-1, columns] }]));
    let request = json!({ "inputs": [{
        "name": "features", "datatype": "FP32", "shape": [rows.len(), columns], "data": rows,
    }]});
    let answer = server.post("/v2/models/trees/infer", &request);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let answers = answer.json()["outputs"][0]["data"].as_array().unwrap().clone();
    for (found, expected) in answers.iter().zip(golden["answers"].as_array().unwrap()) {
        let (found, expected) = (found.as_f64().unwrap(), expected[0].as_f64().unwrap());
        assert!((found - expected).abs() <= 1e-6 * expected.abs().max(1.0), "{found}, not {expected}");
    }

    let back = emberline.file("back.json");
    let export = ["export", "--model", "trees", "--format", "xgboost-json", "--out", back.to_str().unwrap()];
    emberline.ok(&export);
    assert!(emberline.fails(1, &export).contains("back.json"), "a file is not overwritten");
    emberline.ok(&["import", back.to_str().unwrap(), "--name", "trees"]);

    let names: Vec<String> = emberline.json(&["models", "show", "trees", "--json"])["features"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| column["name"].as_str().unwrap().to_owned())
        .collect();
    let line = rows[0].as_array().unwrap().iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let table = emberline.write("rows.csv", &format!("{}\n{line}\n", names.join(",")));
    let out = emberline.file("explained.csv");
    let explain = ["explain", "--model", "trees", "--data", &table, "--out", out.to_str().unwrap(), "--json"];
    assert_eq!(emberline.json(&explain)["rows"], json!(1));
    assert!(fs_err::read_to_string(&out).unwrap().lines().next().unwrap().ends_with("shap_expected"));
}
