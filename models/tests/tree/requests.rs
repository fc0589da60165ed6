use contract::{AlignedBuffer, Bitmap, DataType, InputError, Model, RowBlock, Strings, Tensor};
use models::tree::TreeModel;
use serde_json::Value;

use crate::{answer, data, imported};

/// A column of strings; none are missing.
fn strings(name: &str, values: &[Option<&str>]) -> Tensor {
    let strings: Strings = values.iter().map(|value| value.unwrap_or("").as_bytes()).collect();
    let mut there = Bitmap::default();
    for value in values {
        there.push(value.is_some());
    }
    Tensor::from_strings(name, vec![values.len(), 1], strings).unwrap().with_validity(there).unwrap()
}

fn predictions(model: &TreeModel, inputs: &[Tensor]) -> Vec<f32> {
    answer(model, inputs)[0].values::<f32>().unwrap().to_vec()
}

#[test]
fn strings_numbers_and_missing_values_answer_as_in_the_source() {
    let (_directory, model) = imported("xgboost/frame.json");
    let golden: Value = serde_json::from_slice(&fs_err::read(data("xgboost/frame.expected")).unwrap()).unwrap();
    let rows = golden["rows"].as_array().unwrap();
    let expected: Vec<f32> =
        golden["answers"].as_array().unwrap().iter().map(|row| row[0].as_f64().unwrap() as f32).collect();
    let names: Vec<String> = model.signature().inputs.iter().map(|spec| spec.name.clone()).collect();
    let types: Vec<DataType> = model.signature().inputs.iter().map(|spec| spec.datatype).collect();
    assert_eq!(types[..3], [DataType::Fp64, DataType::Bytes, DataType::Fp64], "{names:?}");
    let column = |place: usize| {
        if types[place] == DataType::Bytes {
            let values: Vec<Option<&str>> = rows.iter().map(|row| row[place].as_str()).collect();
            return strings(&names[place], &values);
        }
        let number = |row: &Value| row[place].as_f64().unwrap_or(f64::NAN);
        let numbers: Vec<f64> = rows.iter().map(number).collect();
        if types[place] == DataType::Bool {
            let bools: Vec<u8> = numbers.iter().map(|number| u8::from(*number > 0.5)).collect();
            let buffer = AlignedBuffer::from_slice(&bools);
            return Tensor::from_buffer(&names[place], DataType::Bool, vec![rows.len(), 1], buffer).unwrap();
        }
        Tensor::from_values(&names[place], vec![rows.len(), 1], &numbers).unwrap()
    };
    // In an order of the sender's own.
    let inputs: Vec<Tensor> = (0..names.len()).rev().map(column).collect();
    let got = predictions(&model, &inputs);
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(&expected) {
        assert!((got - expected).abs() <= 1e-6 * expected.abs().max(1.0), "{got}, not {expected}");
    }

    // A category that the model never saw is a missing one.
    let replaced = |value: Option<&str>| {
        let mut inputs: Vec<Tensor> = (0..names.len()).map(column).collect();
        inputs[1] = strings(&names[1], &vec![value; rows.len()]);
        predictions(&model, &inputs)
    };
    assert_eq!(replaced(Some("never seen")), replaced(None));
    assert_ne!(replaced(Some("apfel")), replaced(None));
    assert_eq!(replaced(Some(" apfel ")), replaced(Some("apfel")));

    let mut inputs: Vec<Tensor> = (0..names.len()).map(column).collect();
    inputs[1] = Tensor::from_values(&names[1], vec![rows.len(), 1], &vec![1.0_f64; rows.len()]).unwrap();
    let error = model.encode(&inputs, &mut RowBlock::default()).unwrap_err();
    assert!(matches!(&error, InputError::WrongDatatype { expected, .. } if expected == "BYTES"), "{error}");
}

#[test]
fn numbers_come_in_one_tensor_or_in_one_a_column_and_in_any_type() {
    let (_directory, model) = imported("lightgbm/4-binary.txt");
    let columns = model.signature().columns.len();
    let spec = &model.signature().inputs[0];
    assert_eq!((spec.name.as_str(), spec.datatype), ("features", DataType::Fp32));
    let values: Vec<f32> = (0..3 * columns).map(|index| (index as f32 * 0.37).sin() * 40.0).collect();
    let wide: Vec<f64> = values.iter().map(|value| f64::from(*value)).collect();
    let narrow = Tensor::from_values("features", vec![3, columns], &values).unwrap();
    let expected = answer(&model, std::slice::from_ref(&narrow));
    assert_eq!(expected[0].name(), "label");
    let probabilities = expected[1].values::<f32>().unwrap();
    assert_eq!(probabilities.len(), 6);
    for (row, label) in probabilities.chunks(2).zip(expected[0].strings().unwrap().iter()) {
        assert!((row[0] + row[1] - 1.0).abs() < 1e-6);
        assert_eq!(label, if row[1] > 0.5 { b"1" } else { b"0" });
    }
    let doubles = Tensor::from_values("features", vec![3, columns], &wide).unwrap();
    assert_eq!(answer(&model, &[doubles]), expected);
    let column = |place: usize| {
        let values: Vec<f64> = (0..3).map(|row| wide[row * columns + place]).collect();
        Tensor::from_values(&model.signature().columns[place].name, vec![3], &values).unwrap()
    };
    let each: Vec<Tensor> = (0..columns).map(column).collect();
    assert_eq!(answer(&model, &each), expected);

    // What f32 cannot hold is compared as f64, as LightGBM does.
    let (feature, threshold) = model
        .ensemble()
        .trees
        .iter()
        .flat_map(|tree| &tree.nodes)
        .find_map(|node| match node {
            trees::ensemble::Node::Split(split) => match split.test {
                trees::ensemble::Test::AtMost(threshold) if f64::from(threshold as f32) > threshold => {
                    Some((split.feature as usize, threshold))
                }
                _ => None,
            },
            trees::ensemble::Node::Leaf(_) => None,
        })
        .unwrap();
    let row = |value: f64| {
        let mut row = vec![0.0_f64; columns];
        row[feature] = value;
        let mut rows = RowBlock::default();
        model.encode(&[Tensor::from_values("features", vec![1, columns], &row).unwrap()], &mut rows).unwrap();
        model.ensemble().leaves(rows.data().as_slice::<f64>())
    };
    assert_ne!(row(threshold), row(threshold.next_up()), "neighbours in f64 on both sides of a threshold");
    assert_eq!(row(threshold.next_up()), row(f64::from(threshold as f32)));
}

#[test]
fn classes_have_the_labels_of_the_source_or_numbers() {
    let (_directory, model) = imported("xgboost/softprob.json");
    let task = model.signature().task.clone().unwrap();
    assert_eq!(task.task, contract::Task::Multiclass);
    assert_eq!(task.classes, ["0", "1", "2"]);
    let columns = model.signature().columns.len();
    let values: Vec<f32> = (0..5 * columns).map(|index| (index as f32 * 0.71).cos() * 5.0 + 3.0).collect();
    let answers = answer(&model, &[Tensor::from_values("features", vec![5, columns], &values).unwrap()]);
    for (row, label) in answers[1].values::<f32>().unwrap().chunks(3).zip(answers[0].strings().unwrap().iter()) {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        let best = (0..3).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
        assert_eq!(label, best.to_string().as_bytes());
    }
    let unknown = model.decode(&RowBlock::new(24), &["prediction".to_owned()]).unwrap_err();
    assert!(unknown.to_string().contains("expected 'label'"), "{unknown}");
}
