use contract::{Device, Format, Model, OpenError, RowBlock, Tensor};
use models::{
    neural::Formats,
    score::{explain, score},
    tree::{TREES_KIND, TreeExport, TreeImport, TreeModel, import_trees},
};

use crate::{answer, data, imported};

/// Golden files of every format that has to be read; those that have to be refused are told by the reader.
pub(crate) fn files() -> Vec<String> {
    let mut files = Vec::new();
    for folder in ["xgboost", "lightgbm", "catboost", "onnx", "treelite"] {
        let mut found = 0;
        for entry in fs_err::read_dir(data(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let end = name.rsplit('.').next().unwrap();
            let model = matches!(end, "ubj" | "txt" | "onnx" | "tl")
                || (end == "json" && matches!(folder, "xgboost" | "catboost"));
            if model && trees::import::read(&fs_err::read(data(folder).join(&name)).unwrap()).is_ok() {
                files.push(format!("{folder}/{name}"));
                found += 1;
            }
        }
        assert!(found > 20, "{folder} has {found} models");
    }
    files
}

#[test]
fn a_model_of_every_format_answers_as_its_ensemble_does_wherever_it_is_placed() {
    for name in files() {
        let (_directory, model) = imported(&name);
        let golden = model.golden().unwrap().clone();
        for (got, saved) in answer(&model, &golden.inputs).iter().zip(&golden.outputs) {
            // A model whose training went wrong answers NaN, and is served as it is.
            let bits = |tensor: &Tensor| -> Option<Vec<u32>> {
                let number = |value: &f32| if value.is_nan() { f32::NAN.to_bits() } else { value.to_bits() };
                tensor.values::<f32>().map(|values| values.iter().map(number).collect())
            };
            assert_eq!((bits(got), got.strings()), (bits(saved), saved.strings()), "{name}");
        }

        // The same rows through a replica, as margins of the reference.
        let mut rows = RowBlock::default();
        let cost = model.encode(&golden.inputs, &mut rows).unwrap();
        let mut replica = model.place(&Device::cpu()).unwrap();
        let ticket = replica.submit(&rows, 8).unwrap();
        let mut margins = RowBlock::default();
        replica.collect(ticket, &mut margins).unwrap();
        let ensemble = model.ensemble();
        let features: Vec<f64> = if rows.row_bytes() == ensemble.features.len() * 8 {
            rows.data().as_slice::<f64>().to_vec()
        } else {
            rows.data().as_slice::<f32>().iter().map(|value| f64::from(*value)).collect()
        };
        let expected: Vec<u64> = (0..cost.rows)
            .flat_map(|row| ensemble.margins(&features[row * ensemble.features.len()..][..ensemble.features.len()]))
            .map(f64::to_bits)
            .collect();
        let got: Vec<u64> = margins.data().as_slice::<f64>().iter().map(|margin| margin.to_bits()).collect();
        assert_eq!(got, expected, "{name}");
    }
}

#[test]
fn what_the_file_says_of_itself_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let artifact = directory.path().join("a");
    let options = TreeImport { format: None, author: Some("Ada".to_owned()) };
    let metadata = import_trees(&data("lightgbm/4-binary.txt"), &artifact, &options).unwrap().metadata;
    assert_eq!((metadata.kind.as_str(), metadata.author.as_deref()), (TREES_KIND, Some("Ada")));
    assert_eq!(metadata.task, Some(contract::Task::Binary));
    assert!(metadata.source.unwrap().starts_with("4-binary.txt sha256:"));
    let setting = |name: &str| metadata.hyper_parameters.get(name).unwrap_or_else(|| panic!("no {name}")).clone();
    assert_eq!((setting("source_format"), setting("source_version")), ("lightgbm".into(), "v4".into()));
    assert!(setting("objective").as_str().unwrap().starts_with("binary"));
    assert!(setting("trees").as_u64().unwrap() > 1 && setting("leaves").as_u64().unwrap() > 10);
    // Which way is the fastest was measured, and is kept with the machine that it was measured on.
    let ways = setting("ways");
    assert!(ways["machine"].as_str().unwrap().starts_with("host"), "{ways}");
    assert!(!ways["plans"].as_array().unwrap().is_empty(), "{ways}");
    let model = Formats::new().open(&artifact).unwrap();
    assert_eq!(model.signature().outputs.len(), 2);
}

#[test]
fn what_is_no_model_is_refused_in_a_sentence_and_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let refused = |name: &str, bytes: &[u8]| {
        let (file, artifact) = (directory.path().join(name), directory.path().join("artifact"));
        fs_err::write(&file, bytes).unwrap();
        let error = import_trees(&file, &artifact, &TreeImport::default()).unwrap_err().to_string();
        assert!(!artifact.exists());
        error.replace(&directory.path().display().to_string(), "")
    };
    let known = "a model file of XGBoost (JSON or UBJ), LightGBM (text), CatBoost (JSON), ONNX or treelite";
    assert_eq!(refused("table.csv", b"a,b\n1,2\n"), format!("/table.csv: expected {known}, got something else"));
    let whole = fs_err::read(data("lightgbm/4-binary.txt")).unwrap();
    let cut = refused("cut.txt", &whole[..whole.len() / 2]);
    assert!(cut.starts_with("/cut.txt: expected ") && cut.contains(", got "), "{cut}");
    let linear = refused("linear.json", &fs_err::read(data("xgboost/gblinear.json")).unwrap());
    assert!(linear.contains("gblinear"), "{linear}");
    let missing =
        import_trees(&directory.path().join("none.json"), &directory.path().join("b"), &TreeImport::default());
    assert!(missing.unwrap_err().to_string().contains("none.json"));
}

#[test]
fn a_damaged_file_is_named() {
    let (directory, _model) = imported("catboost/crossentropy.json");
    let file = directory.path().join("artifact/ensemble.bin");
    let mut bytes = fs_err::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs_err::write(&file, &bytes).unwrap();
    let error = TreeModel::open(&directory.path().join("artifact")).err().unwrap();
    assert!(matches!(&error, OpenError::Checksum { path, .. } if path.ends_with("ensemble.bin")), "{error}");
}

#[test]
fn what_is_exported_answers_the_same_when_it_is_imported_again() {
    let (directory, model) = imported("xgboost/softprob.json");
    let golden = model.golden().unwrap().clone();
    for (format, name) in [(TreeExport::XgboostJson, "again.json"), (TreeExport::Treelite, "again.tl")] {
        let file = directory.path().join(name);
        let bytes = model.export(format, &file).unwrap();
        assert_eq!(fs_err::metadata(&file).unwrap().len(), bytes);
        assert!(model.export(format, &file).unwrap_err().to_string().contains(name), "a file is not overwritten");
        let artifact = directory.path().join(format!("{name}.artifact"));
        import_trees(&file, &artifact, &TreeImport::default()).unwrap();
        let again = answer(&TreeModel::open(&artifact).unwrap(), &golden.inputs);
        assert_eq!(again[0].strings(), golden.outputs[0].strings(), "{name}");
        let pairs = again[1].values::<f32>().unwrap().iter().zip(golden.outputs[1].values::<f32>().unwrap());
        for (got, expected) in pairs {
            assert!((got - expected).abs() < 1e-6, "{name}: {got}, not {expected}");
        }
    }
    let (directory, linear) = imported("lightgbm/4-linear.txt");
    let error = linear.export(TreeExport::XgboostJson, &directory.path().join("x.json")).unwrap_err().to_string();
    assert!(error.contains("linear"), "{error}");
}

#[test]
fn explanations_add_up_to_the_margin() {
    let (directory, model) = imported("xgboost/frame.json");
    let names: Vec<&str> = model.signature().columns.iter().map(|column| column.name.as_str()).collect();
    let (table, out) = (directory.path().join("rows.csv"), directory.path().join("explained.csv"));
    let rows = ["0.06,apfel,7,1,-4", "0.01,,1999,0,3", "-0.03,z,2024,1,"];
    fs_err::write(&table, format!("{}\n{}\n", names.join(","), rows.join("\n"))).unwrap();
    assert_eq!(explain(&model, &table, &out, |_share, _rows| {}).unwrap(), 3);
    let text = fs_err::read_to_string(&out).unwrap();
    let header = text.lines().next().unwrap();
    let expected: Vec<String> = names.iter().map(|name| format!("shap_{name}")).collect();
    assert!(header.ends_with(&format!("{},shap_expected", expected.join(","))), "{header}");

    let source = directory.path().join("scored.csv");
    score(&model, &Device::cpu(), &table, &source, |_share, _rows| {}).unwrap();
    let predictions = fs_err::read_to_string(&source).unwrap();
    for (explained, predicted) in text.lines().skip(1).zip(predictions.lines().skip(1)) {
        let values = explained.rsplit(',').take(names.len() + 1).map(|value| value.parse::<f64>().unwrap());
        let prediction: f64 = predicted.rsplit(',').next().unwrap().parse().unwrap();
        let sum: f64 = values.sum();
        // This model's answers are its margins.
        assert!((sum - prediction).abs() < 1e-5 * prediction.abs().max(1.0), "{sum}, not {prediction}");
    }
    let (directory, forest) = imported("onnx/after_add.onnx");
    fs_err::write(directory.path().join("t.csv"), "a\n1\n").unwrap();
    let refused = explain(&forest, &directory.path().join("t.csv"), &directory.path().join("o.csv"), |_, _| {});
    assert!(refused.unwrap_err().to_string().contains("cover"), "what has no covers has no such values");
}
