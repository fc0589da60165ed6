//! Nets from elsewhere, served.

use std::path::Path;

use contract::{Device, Format, InputError, Model, Task, Tensor};
use models::neural::{Formats, ImportOptions, export_net, import_net};
use safetensors::SafeTensors;

use crate::{replica::net, tables::answer};

#[test]
fn an_import_computes_the_function_of_its_weights() {
    let (net, weights) = net(&[30, 64, 1]);
    assert_eq!(net.signature().describe_inputs(), "'x' FP32 [-1, 30]");
    assert_eq!(net.signature().describe_outputs(), "'y' FP32 [-1, 1]");
    assert!(net.signature().task.is_none() && net.signature().columns.is_empty());
    let values: Vec<f32> = (0..90).map(|i| (i as f32 * 0.37).sin()).collect();
    let x = Tensor::from_values("x", vec![3, 30], &values).unwrap();
    let y = answer(&net, &Device::cpu(), &[x]);
    for (got, expected) in y[0].values::<f32>().unwrap().iter().zip(weights.forward(&values)) {
        assert!((got - expected).abs() < 1e-5, "{got}, not {expected}");
    }
    let golden = net.golden().unwrap();
    assert_eq!(answer(&net, &Device::cpu(), &golden.inputs), golden.outputs);
}

#[test]
fn nets_of_another_tool_give_its_answers_and_come_out_as_they_went_in() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/nets");
    let expected: serde_json::Value =
        serde_json::from_str(&fs_err::read_to_string(data.join("expected.json")).unwrap()).unwrap();
    let floats = |value: &serde_json::Value| -> Vec<f32> {
        value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32).collect()
    };
    let rows = floats(&expected["rows"]);
    let directory = tempfile::tempdir().unwrap();
    let nets = expected["nets"].as_object().unwrap();
    assert_eq!(nets.len(), 8);
    for (name, answers) in nets {
        let file = data.join(format!("{name}.safetensors"));
        let imported = import_net(&file, &directory.path().join(name), &ImportOptions::default()).unwrap();
        let net = Formats::new().open_net(&imported.directory).unwrap();
        let x = Tensor::from_values("x", vec![5, 7], &rows).unwrap();
        let y = answer(&net, &Device::cpu(), &[x]);
        assert_eq!(y[0].shape(), [5, 2]);
        for (got, expected) in y[0].values::<f32>().unwrap().iter().zip(floats(answers)) {
            assert!((got - expected).abs() <= 2e-5 * expected.abs().max(1.0), "{name}: {got}, not {expected}");
        }
        let out = directory.path().join(format!("{name}.safetensors"));
        export_net(&imported.directory, &out).unwrap();
        let (theirs, ours) = (fs_err::read(&file).unwrap(), fs_err::read(&out).unwrap());
        let (theirs, ours) = (SafeTensors::deserialize(&theirs).unwrap(), SafeTensors::deserialize(&ours).unwrap());
        assert_eq!(theirs.len(), ours.len());
        for (key, tensor) in theirs.iter() {
            let ours = ours.tensor(key).unwrap();
            assert_eq!((tensor.shape(), tensor.data()), (ours.shape(), ours.data()), "{name}: {key}");
        }
        assert!(export_net(&imported.directory, &out).is_err(), "a file that is there is not written over");
    }
}

#[test]
fn names_are_chosen_and_the_source_is_recorded() {
    let (_, weights) = net(&[4, 2]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("theirs.safetensors");
    fs_err::write(&file, weights.to_safetensors().unwrap()).unwrap();
    let options = ImportOptions { input: "in".to_owned(), output: "out".to_owned(), ..ImportOptions::default() };
    let imported = import_net(&file, &directory.path().join("a"), &options).unwrap();
    assert_eq!(imported.metadata.kind, "dense");
    assert!(imported.metadata.source.unwrap().starts_with("theirs.safetensors sha256:"));
    let net = Formats::new().open(&imported.directory).unwrap();
    assert_eq!((net.signature().inputs[0].name.as_str(), net.signature().outputs[0].name.as_str()), ("in", "out"));

    let again = import_net(&file, &directory.path().join("a"), &options).unwrap_err().to_string();
    assert!(again.contains("exists"), "{again}");
    fs_err::write(&file, b"nothing").unwrap();
    let error = import_net(&file, &directory.path().join("b"), &options).unwrap_err().to_string();
    assert!(error.contains("theirs.safetensors"), "{error}");
    assert!(!directory.path().join("b").exists());
}

#[test]
fn a_net_of_one_output_may_be_a_regression() {
    let directory = tempfile::tempdir().unwrap();
    let import = |outputs: usize, task: Task| {
        let file = directory.path().join(format!("{outputs}.safetensors"));
        fs_err::write(&file, net(&[4, outputs]).1.to_safetensors().unwrap()).unwrap();
        let options = ImportOptions { task: Some(task), ..ImportOptions::default() };
        import_net(&file, &directory.path().join(format!("{outputs}-{task}")), &options)
    };
    let imported = import(1, Task::Regression).unwrap();
    let opened = Formats::new().open(&imported.directory).unwrap();
    let task = opened.signature().task.as_ref().unwrap();
    assert_eq!((task.task, task.score.as_str(), task.classes.len()), (Task::Regression, "y", 0));
    let error = import(2, Task::Regression).unwrap_err().to_string();
    assert_eq!(error, "expected one output of a regression, got a net of 2");
    let error = import(3, Task::Multiclass).unwrap_err().to_string();
    assert!(error.starts_with("expected regression as the task of a dense net, got multiclass"), "{error}");
}

#[test]
fn requests_that_do_not_fit_are_told_why() {
    let (net, _) = net(&[4, 2]);
    let encode = |inputs: &[Tensor]| net.encode(inputs, &mut contract::RowBlock::default()).unwrap_err();
    let x = |shape: Vec<usize>| Tensor::from_values("x", shape.clone(), &vec![0_f32; shape.iter().product()]).unwrap();
    assert!(matches!(encode(&[]), InputError::MissingInput { .. }));
    assert!(matches!(encode(&[x(vec![1, 4]), x(vec![1, 4])]), InputError::DuplicateInput { .. }));
    assert!(matches!(encode(&[x(vec![1, 5])]), InputError::WrongShape { .. }));
    assert!(matches!(encode(&[x(vec![4])]), InputError::WrongShape { .. }));
    assert!(matches!(encode(&[x(vec![0, 4])]), InputError::NoRows));
    let other = Tensor::from_values("z", vec![1, 4], &[0_f32; 4]).unwrap();
    assert!(matches!(encode(&[other]), InputError::UnknownInput { .. }));
    let double = Tensor::from_values("x", vec![1, 4], &[0_f64; 4]).unwrap();
    let error = encode(&[double]).to_string();
    assert_eq!(error, "input 'x' has datatype FP64, expected FP32");
    let mut validity = contract::Bitmap::filled(6, true);
    validity.push(false);
    validity.push(true);
    let gap = x(vec![2, 4]).with_validity(validity).unwrap();
    assert_eq!(encode(&[gap]).to_string(), "row 1, column 'x[2]': expected a number, got null");
}
