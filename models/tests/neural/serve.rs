//! A trained net, loaded and served on the CPU.

use contract::{ColumnKind, Device, Format, Invariance, Model, OpenError, Task};
use models::neural::{Formats, TrainOptions};

use crate::tables::{Target, answer, csv, open, options, request, run};

#[test]
fn a_saved_net_gives_the_bits_it_gave() {
    let directory = tempfile::tempdir().unwrap();
    for (name, target) in [("price", Target::Price), ("dear", Target::Dear), ("class", Target::Class)] {
        let trained = run(&options(directory.path(), name, &csv(300, 1, target)));
        let net = open(&trained);
        let golden = net.golden().unwrap();
        assert_eq!(golden.inputs[0].rows(), 8);
        let again = answer(&net, &Device::cpu(), &golden.inputs);
        assert_eq!(again, golden.outputs, "{name}");
    }
}

#[test]
fn the_signature_says_what_goes_in_and_out() {
    let directory = tempfile::tempdir().unwrap();
    let class = open(&run(&options(directory.path(), "class", &csv(300, 1, Target::Class))));
    let signature = class.signature();
    let inputs: Vec<String> = signature.inputs.iter().map(ToString::to_string).collect();
    assert_eq!(inputs, ["'x' FP64 [-1, 1]", "'z' FP64 [-1, 1]", "'region' BYTES [-1, 1]", "'sold' BYTES [-1, 1]"]);
    let outputs: Vec<String> = signature.outputs.iter().map(ToString::to_string).collect();
    assert_eq!(outputs, ["'label' BYTES [-1, 1]", "'probabilities' FP32 [-1, 3]"]);
    assert_eq!(signature.columns[3].kind, ColumnKind::Date);
    let task = signature.task.as_ref().unwrap();
    assert_eq!(
        (task.task, task.classes.as_slice()),
        (Task::Multiclass, ["high", "low", "middle"].map(str::to_owned).as_slice())
    );
    assert_eq!(task.score, "probabilities");

    let base = options(directory.path(), "numbers", &csv(300, 1, Target::Price));
    let numbers = open(&run(&TrainOptions { ignore: vec!["region".to_owned(), "sold".to_owned()], ..base }));
    assert_eq!(numbers.signature().describe_inputs(), "'features' FP32 [-1, 2]");
    assert_eq!(numbers.signature().describe_outputs(), "'prediction' FP32 [-1, 1]");
    let features = contract::Tensor::from_values("features", vec![2, 2], &[0.5_f32, 0.1, f32::NAN, -0.2]).unwrap();
    let prices = answer(&numbers, &Device::cpu(), &[features]);
    assert!(prices[0].values::<f32>().unwrap().iter().all(|price| (5.0..35.0).contains(price)));
}

#[test]
fn unseen_categories_and_missing_values_are_answered() {
    let directory = tempfile::tempdir().unwrap();
    let net = open(&run(&options(directory.path(), "price", &csv(400, 1, Target::Price))));
    let rows = [
        (Some(0.5), 0.1, Some("north"), "2024-03-05"),
        (Some(0.5), 0.1, Some("atlantis"), "2024-03-05"),
        (None, 0.1, None, "2024-03-05"),
    ];
    let together = answer(&net, &Device::cpu(), &request(&rows));
    let prices = together[0].values::<f32>().unwrap();
    assert!(prices.iter().all(|price| price.is_finite()));
    assert!((prices[0] - prices[1]).abs() > 0.3, "the north is dearer: {prices:?}");
}

#[test]
fn a_row_gets_the_same_bits_in_any_batch_on_the_cpu() {
    let directory = tempfile::tempdir().unwrap();
    let trained = run(&options(directory.path(), "price", &csv(400, 1, Target::Price)));
    let net = open(&trained);
    assert_eq!(net.invariance(), Invariance::Exact);
    let rows: Vec<_> = (0..70).map(|i| (Some(f64::from(i) / 70.0), -0.3, Some("south"), "2024-03-05")).collect();
    let together = answer(&net, &Device::cpu(), &request(&rows));
    for (index, row) in rows.iter().enumerate() {
        let alone = answer(&net, &Device::cpu(), &request(&[*row]));
        assert_eq!(alone[0].values::<f32>().unwrap()[0], together[0].values::<f32>().unwrap()[index]);
    }
    let anywhere = Formats::new().open(&trained.directory).unwrap();
    assert!(matches!(anywhere.invariance(), Invariance::Within(tolerance) if tolerance <= 1e-3));
}

#[test]
fn damage_and_unknown_kinds_are_errors_that_name_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let trained = run(&options(directory.path(), "price", &csv(100, 1, Target::Price)));
    let weights = trained.directory.join("weights.safetensors");
    let bytes = fs_err::read(&weights).unwrap();
    let mut altered = bytes.clone();
    *altered.last_mut().unwrap() ^= 1;
    let open = || Formats::new().open(&trained.directory).map(drop);
    fs_err::write(&weights, &altered).unwrap();
    assert!(matches!(open(), Err(OpenError::Checksum { path, .. }) if path == weights));
    fs_err::write(&weights, &bytes[..100]).unwrap();
    assert!(matches!(open(), Err(OpenError::Content { path, .. }) if path == weights));
    fs_err::remove_file(&weights).unwrap();
    assert!(matches!(open(), Err(OpenError::Read { path, .. }) if path == weights));

    let other = directory.path().join("other");
    let signature = contract::Signature { inputs: vec![], outputs: vec![], columns: vec![], task: None };
    let writer = models::artifact::ArtifactWriter::create(&other).unwrap();
    writer.finish(models::artifact::Manifest::new("forest", signature)).unwrap();
    let error = Formats::new().open(&other).map(drop).unwrap_err().to_string();
    assert_eq!(
        error,
        "model kind 'forest' is unknown to this build; known: mlp, resnet, mlp-plr, mlp-ple, tabm, \
                       ft-transformer, dense, identity, trees"
    );
}
