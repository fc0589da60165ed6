//! Artifacts: written whole or not at all, and read back as they were written.

use contract::{Bitmap, DataType, Golden, Signature, Tensor, TensorSpec};
use models::{
    artifact::{Artifact, ArtifactWriter, GOLDEN_ROLE, Manifest, WEIGHTS_ROLE, read_golden, write_golden},
    table::{EncoderOptions, Encoders, TargetEncoder},
};
use proptest::{collection::vec, prelude::*};

use crate::support::{all_rows, names, read_csv};

/// A manifest with everything in it.
pub(crate) fn manifest() -> Manifest {
    let table = read_csv("n,b,c,d\n1.5,yes,p,1970-01-01\n3.25,no,q,1970-01-03\n,,,\n").unwrap();
    let encoders = Encoders::fit(&table, &names(&table), &all_rows(&table), &EncoderOptions::default()).unwrap();
    let signature = Signature {
        inputs: encoders.inputs(),
        outputs: vec![TensorSpec::rows("prediction", DataType::Fp32, 1)],
        columns: encoders.columns(),
        task: None,
    };
    let mut manifest = Manifest::new("mlp", signature);
    manifest.encoders = Some(encoders);
    manifest.target = Some(TargetEncoder::Regression { mean: 0.1, std: 1e-3 });
    manifest.hyper_parameters.insert("learning_rate".to_owned(), serde_json::json!(0.003));
    manifest
}

pub(crate) fn golden() -> Golden {
    let mut gap = Bitmap::filled(1, true);
    gap.push(false);
    Golden {
        inputs: vec![
            Tensor::from_values("n", vec![2, 1], &[0.1_f64, f64::NEG_INFINITY]).unwrap(),
            Tensor::from_strings("c", vec![2, 1], ["p", "ü\n"].into_iter().collect())
                .unwrap()
                .with_validity(gap)
                .unwrap(),
            Tensor::from_bools("b", vec![2, 1], &[true, false]).unwrap(),
        ],
        outputs: vec![Tensor::from_values("prediction", vec![2, 1], &[0.1_f32, -0.0]).unwrap()],
        tolerance: 1e-5,
    }
}

/// Writes an artifact with weights and golden predictions.
pub(crate) fn write(directory: &std::path::Path) -> Artifact {
    let mut writer = ArtifactWriter::create(directory).unwrap();
    writer.add(WEIGHTS_ROLE, "weights.safetensors", &[7; 33]).unwrap();
    writer.add(GOLDEN_ROLE, "golden.json", &write_golden(&golden()).unwrap()).unwrap();
    writer.finish(manifest()).unwrap()
}

#[test]
fn gives_back_what_was_written() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("deep/er/artifact");
    write(&directory);
    let artifact = Artifact::open(&directory).unwrap();
    let mut expected = manifest();
    expected.files = artifact.manifest().files.clone();
    assert_eq!(*artifact.manifest(), expected);
    assert_eq!(artifact.read(WEIGHTS_ROLE).unwrap(), [7; 33]);
    assert_eq!(artifact.golden().unwrap(), Some(golden()));
    assert_eq!(artifact.directory(), directory);
    assert_eq!(artifact.path(WEIGHTS_ROLE), directory.join("weights.safetensors"));
    let error = artifact.read("optimizer").unwrap_err().to_string();
    assert!(error.contains("manifest.json: expected a file with role 'optimizer', got none"), "{error}");
    let mut left: Vec<_> = fs_err::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["golden.json", "manifest.json", "manifest.sha256", "weights.safetensors"]);
}

#[test]
fn is_not_seen_before_it_is_finished() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("artifact");
    let mut writer = ArtifactWriter::create(&directory).unwrap();
    writer.add(WEIGHTS_ROLE, "w", b"1").unwrap();
    assert!(!directory.exists());
    drop(writer);
    assert_eq!(fs_err::read_dir(root.path()).unwrap().count(), 0, "a dropped writer leaves nothing");
    // A manifest whose encoders do not fit its signature is refused, and leaves nothing.
    let mut unfit = manifest();
    unfit.signature.columns.pop();
    assert!(ArtifactWriter::create(&directory).unwrap().finish(unfit).is_err());
    assert_eq!(fs_err::read_dir(root.path()).unwrap().count(), 0);
}

#[test]
fn never_replaces_an_artifact() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("artifact");
    let late = ArtifactWriter::create(&directory).unwrap();
    write(&directory);
    for error in [ArtifactWriter::create(&directory).unwrap_err(), late.finish(manifest()).unwrap_err()] {
        assert!(error.to_string().contains("expected a new directory"), "{error}");
    }
    assert_eq!(Artifact::open(&directory).unwrap().read(WEIGHTS_ROLE).unwrap(), [7; 33]);
    assert_eq!(fs_err::read_dir(root.path()).unwrap().count(), 1);
}

#[test]
fn refuses_names_outside_of_the_directory_and_names_in_use() {
    let root = tempfile::tempdir().unwrap();
    let mut writer = ArtifactWriter::create(&root.path().join("artifact")).unwrap();
    for name in ["", ".", "..", "../x", "/x", "a/b", "a/", "a\\b", "c:x", "manifest.json", "manifest.sha256", "a\0"] {
        assert!(writer.add("role", name, b"1").is_err(), "{name:?}");
    }
    writer.add("role", "name", b"1").unwrap();
    assert!(writer.add("role", "other", b"1").is_err());
    assert!(writer.add("other", "name", b"1").is_err());
}

#[test]
fn golden_files_that_are_none_are_refused() {
    let good = String::from_utf8(write_golden(&golden()).unwrap()).unwrap();
    assert!(read_golden("golden.json".as_ref(), good.as_bytes()).is_ok());
    for (from, to) in [
        ("\"FP64\"", "\"FP16\""),
        ("\"FP64\"", "\"INT8\""),
        ("[2,1]", "[3,1]"),
        ("[true,false]", "[1,0]"),
        ("\"-Infinity\"", "\"lots\""),
        ("[true,false]}", "[true]}"),
        ("}", ""),
    ] {
        let bad = good.replace(from, to);
        assert_ne!(bad, good, "{from} is not in {good}");
        let error = read_golden("golden.json".as_ref(), bad.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("golden.json: expected golden predictions in JSON, got "), "{error}");
    }
    let not_utf8 = Tensor::from_strings("c", vec![1], [b"\xff"].into_iter().collect()).unwrap();
    assert!(write_golden(&Golden { inputs: vec![not_utf8], outputs: vec![], tolerance: 0.0 }).is_err());
}

macro_rules! any_tensor {
    ($($rust:ty),*) => { prop_oneof![$(vec(any::<$rust>(), 0..5).prop_map(|values| Tensor::from_values("t", vec![values.len()], &values).unwrap())),*] };
}

proptest! {
    #[test]
    fn golden_predictions_keep_every_bit(
        inputs in vec(any_tensor!(u8, u16, u32, u64, i8, i16, i32, i64, f32, f64), 0..4),
        texts in vec("\\PC*", 0..4),
        present in vec(any::<bool>(), 4),
    ) {
        let mut validity = Bitmap::default();
        texts.iter().zip(present).for_each(|(_, present)| validity.push(present));
        let strings = Tensor::from_strings("s", vec![texts.len()], texts.iter().collect()).unwrap();
        let outputs = vec![strings.with_validity(validity).unwrap()];
        let golden = Golden { inputs, outputs, tolerance: 0.1 };
        let read = read_golden("g".as_ref(), &write_golden(&golden).unwrap()).unwrap();
        prop_assert_eq!(&read.outputs, &golden.outputs);
        prop_assert_eq!(read.tolerance, golden.tolerance);
        for (read, written) in read.inputs.iter().zip(&golden.inputs) {
            prop_assert_eq!((read.datatype(), read.shape()), (written.datatype(), written.shape()));
            // NaN's payload is not kept; everything else is, to the bit.
            let nan = |tensor: &Tensor, index: usize| {
                tensor.values::<f32>().is_some_and(|values| values[index].is_nan()) || tensor.values::<f64>().is_some_and(|values| values[index].is_nan())
            };
            let size = written.datatype().size().unwrap();
            let elements = |tensor: &Tensor| tensor.bytes().unwrap().chunks(size).map(<[u8]>::to_vec).collect::<Vec<_>>();
            for (index, (read_element, written_element)) in elements(read).into_iter().zip(elements(written)).enumerate() {
                if nan(written, index) {
                    prop_assert!(nan(read, index));
                } else {
                    prop_assert_eq!(read_element, written_element);
                }
            }
        }
    }
}
