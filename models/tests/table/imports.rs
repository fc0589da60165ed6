//! Dense nets made by numpy and safetensors, and files that are none.

use contract::OpenError;
use models::import::{DenseLayer, DenseWeights};
use safetensors::{Dtype, tensor::TensorView};

use crate::support::{data, file};

#[derive(serde::Deserialize)]
struct Expected {
    rows: Vec<Vec<f32>>,
    answers: Vec<Vec<f64>>,
}

fn expected() -> Expected {
    serde_json::from_slice(&fs_err::read(data("dense_expected.json")).unwrap()).unwrap()
}

#[test]
fn reads_what_numpy_wrote_and_gives_its_answers() {
    let Expected { rows, answers } = expected();
    let reference = DenseWeights::read(&data("dense_f32.safetensors")).unwrap();
    for name in ["dense_f32.safetensors", "dense_f64.safetensors", "dense_f32.npz", "dense_mixed.npz"] {
        let weights = DenseWeights::read(&data(name)).unwrap();
        assert_eq!((weights.inputs(), weights.outputs(), weights.parameters()), (5, 2, 48 + 36 + 10), "{name}");
        assert_eq!(weights, reference, "{name}");
    }
    let got = reference.forward(&rows.concat());
    let answers = answers.concat();
    assert_eq!(got.len(), answers.len());
    for (got, answer) in got.iter().zip(&answers) {
        assert!((f64::from(*got) - answer).abs() < 1e-5 * answer.abs().max(1.0), "{got} {answer}");
    }
}

#[test]
fn exports_what_it_reads() {
    let weights = DenseWeights::read(&data("dense_mixed.npz")).unwrap();
    let bytes = weights.to_safetensors().unwrap();
    assert_eq!(DenseWeights::from_bytes("exported".as_ref(), &bytes).unwrap(), weights);
}

/// Names and shapes of tensors.
type Shapes<'a> = &'a [(&'a str, &'a [usize])];

/// A safetensors file of F32 tensors full of `value`.
fn safetensors(tensors: Shapes<'_>, value: f32) -> Vec<u8> {
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|(_, shape)| value.to_le_bytes().repeat(shape.iter().product())).collect();
    let views = tensors.iter().zip(&bytes);
    let views =
        views.map(|((name, shape), bytes)| (*name, TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

#[test]
fn says_what_does_not_fit() {
    let cases: [(Shapes<'_>, &str); 12] = [
        (&[], "expected at least one layer W1, b1, got none"),
        (
            &[("W1", &[2, 3]), ("b1", &[3]), ("W2", &[4, 1]), ("b2", &[1])],
            "expected W2 with 3 rows, because layer 1 gives 3 numbers, got shape [4, 1]",
        ),
        (&[("W1", &[2, 3]), ("b1", &[2])], "expected b1 of shape [3], because W1 has 3 columns, got shape [2]"),
        (&[("W1", &[2, 3])], "expected layer 1 to have both W1 and b1"),
        (&[("b1", &[3])], "expected layer 1 to have both W1 and b1"),
        (&[("W2", &[2, 3]), ("b2", &[3])], "expected layer 1 to have both W1 and b1"),
        (&[("W1", &[6]), ("b1", &[3])], "expected W1 of shape [inputs, outputs], got shape [6]"),
        (&[("W1", &[0, 3]), ("b1", &[3])], "expected W1 with at least one row and column, got shape [0, 3]"),
        (&[("dense.weight", &[2, 3])], "expected tensors named W1, b1, W2, b2, …, got 'dense.weight'"),
        (&[("W01", &[2, 3]), ("b01", &[3])], "01'"),
        (&[("W1", &[2, 3]), ("b1", &[3]), ("b9999999", &[3])], "got 'b9999999'"),
        (&[("W1", &[2, 3]), ("b1", &[3, 1])], "expected b1 of shape [3]"),
    ];
    for (tensors, reason) in cases {
        let error = DenseWeights::from_bytes("net.safetensors".as_ref(), &safetensors(tensors, 0.0)).unwrap_err();
        assert!(error.to_string().contains(reason) && error.to_string().starts_with("net.safetensors: "), "{error}");
    }
    let bytes = safetensors(&[("W1", &[2, 3]), ("b1", &[3])], f32::NAN);
    let error = DenseWeights::from_bytes("net.safetensors".as_ref(), &bytes).unwrap_err().to_string();
    assert!(error.contains("finite numbers in W1 and b1"), "{error}");
    assert!(
        DenseWeights::new(vec![DenseLayer { inputs: 2, outputs: 1, weights: vec![0.0], bias: vec![0.0] }]).is_err()
    );
    assert!(DenseWeights::new(vec![]).is_err());
}

#[test]
fn allocates_nothing_on_the_word_of_a_file() {
    // Headers that claim terabytes in files of a few hundred bytes.
    for name in ["huge_header", "huge_shape", "overflowing_shape", "pickled", "not_npy"] {
        let path = data(&format!("hostile_{name}.npz"));
        let error = DenseWeights::read(&path).unwrap_err();
        assert!(matches!(&error, OpenError::Content { path: named, .. } if *named == path), "{error}");
        assert!(error.to_string().contains("array 'W1'"), "{error}");
    }
    let mut claims = Vec::new();
    for length in [0, 1, 100_000_000, u64::MAX / 2, u64::MAX] {
        let mut bytes = u64::to_le_bytes(length).to_vec();
        bytes.extend_from_slice(b"{}");
        claims.push(bytes);
    }
    let header = br#"{"W1":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}"#;
    claims.push([&(header.len() as u64).to_le_bytes()[..], header, &[0; 4]].concat());
    for bytes in claims {
        assert!(matches!(DenseWeights::from_bytes("claim".as_ref(), &bytes), Err(OpenError::Content { .. })));
    }
}

#[test]
fn cut_and_altered_files_never_panic() {
    for name in ["dense_f32.safetensors", "dense_mixed.npz", "dense_f32.npz"] {
        let bytes = fs_err::read(data(name)).unwrap();
        for length in 0..bytes.len() {
            assert!(DenseWeights::from_bytes(name.as_ref(), &bytes[..length]).is_err(), "{name} cut at {length}");
        }
        for index in 0..bytes.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut altered = bytes.clone();
                altered[index] ^= flip;
                // Altered weights cannot be told without a checksum; whatever is read must still be a sound net.
                if let Ok(weights) = DenseWeights::from_bytes(name.as_ref(), &altered) {
                    assert!(DenseWeights::new(weights.layers().to_vec()).is_ok(), "{name} altered at {index}");
                }
            }
        }
    }
}

#[test]
fn names_files_that_cannot_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let absent = directory.path().join("absent.npz");
    assert!(matches!(DenseWeights::read(&absent), Err(OpenError::Read { path, .. }) if path == absent));
    assert!(matches!(DenseWeights::read(directory.path()), Err(OpenError::Content { .. })));
    let (_directory, path) = file("net.onnx", b"\x08\x07something else");
    let error = DenseWeights::read(&path).unwrap_err().to_string();
    assert!(error.contains("expected a safetensors or npz file"), "{error}");
}
