//! Shapes that are said by nesting alone: random ones read back to the bit, ragged ones are refused, and nothing brings the
//! reader down.

use contract::{Axis, DataType, LossKind, Signature, Task, TaskSpec, Tensor, TensorSpec};
use proptest::prelude::*;
use server::wire::{
    TfsForm, TfsPredict, decode_tfs_examples, decode_tfs_predict, encode_tfs_classes, encode_tfs_predict,
    encode_tfs_regressions,
};

/// The signature of a model with these inputs.
fn signature(inputs: &[(&str, DataType, usize)]) -> Signature {
    let input = |(name, datatype, rank): &(&str, DataType, usize)| TensorSpec {
        name: (*name).to_owned(),
        datatype: *datatype,
        shape: (0..*rank).map(|_| Axis::Dynamic { buckets: vec![1] }).collect(),
    };
    Signature { inputs: inputs.iter().map(input).collect(), outputs: vec![], columns: vec![], task: None }
}

/// What the server writes as outputs, as the body of a request.
fn body(form: TfsForm, tensors: &[Tensor]) -> Vec<u8> {
    let mut answer = Vec::new();
    encode_tfs_predict(&mut answer, form, tensors, &[]).unwrap();
    let text = String::from_utf8(answer).unwrap();
    text.replacen("{\"predictions\":", "{\"instances\":", 1).replacen("{\"outputs\":", "{\"inputs\":", 1).into_bytes()
}

fn decode(body: &str, signature: &Signature) -> Result<TfsPredict, String> {
    decode_tfs_predict(body.as_bytes(), signature).map_err(|error| error.to_string())
}

/// A tensor of up to 64 elements in a shape of up to five axes, none empty.
fn tensor(name: &'static str) -> impl Strategy<Value = Tensor> {
    let shape = proptest::collection::vec(1_usize..4, 1..5);
    (shape, any::<u64>(), 0_usize..5).prop_map(move |(shape, seed, kind)| {
        let count: usize = shape.iter().product();
        let bits = (0..count as u64).map(|index| (seed ^ index).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        match kind {
            0 => Tensor::from_values(name, shape, &bits.map(u64::cast_signed).collect::<Vec<_>>()),
            1 => Tensor::from_values(name, shape, &bits.collect::<Vec<_>>()),
            2 => {
                let values: Vec<f64> = bits.map(f64::from_bits).map(|v| if v.is_nan() { 0.5 } else { v }).collect();
                Tensor::from_values(name, shape, &values)
            }
            3 => Tensor::from_bools(name, shape, &bits.map(|bits| bits & 1 == 1).collect::<Vec<_>>()),
            _ => Tensor::from_strings(name, shape, bits.map(u64::to_le_bytes).collect()),
        }
        .unwrap()
    })
}

fn described(tensors: &[Tensor]) -> Signature {
    signature(&tensors.iter().map(|t| (t.name(), t.datatype(), t.shape().len())).collect::<Vec<_>>())
}

/// The same tensors with as many rows as the first one.
fn batched(tensors: Vec<Tensor>) -> Vec<Tensor> {
    let rows = tensors[0].rows();
    tensors.into_iter().filter(|tensor| tensor.rows() == rows).collect()
}

proptest! {
    #[test]
    fn columnar_tensors_read_back(one in tensor("a_bytes"), other in tensor("b_bytes")) {
        for tensors in [vec![one.clone()], vec![one, other]] {
            let read = decode_tfs_predict(&body(TfsForm::Columnar, &tensors), &described(&tensors)).unwrap();
            prop_assert_eq!(read, TfsPredict { signature_name: None, form: TfsForm::Columnar, inputs: tensors, explain: false });
        }
    }

    #[test]
    fn rows_read_back(one in tensor("a_bytes"), other in tensor("b_bytes")) {
        for tensors in [vec![one.clone()], batched(vec![one, other])] {
            let read = decode_tfs_predict(&body(TfsForm::Row, &tensors), &described(&tensors)).unwrap();
            prop_assert_eq!(read, TfsPredict { signature_name: None, form: TfsForm::Row, inputs: tensors, explain: false });
        }
    }

    /// A body that was cut or altered is refused or read, and never more than that.
    #[test]
    fn no_body_brings_the_reader_down(
        tensor in tensor("a_bytes"), place in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
    ) {
        for form in [TfsForm::Row, TfsForm::Columnar] {
            let tensors = [tensor.clone()];
            let mut bytes = body(form, &tensors);
            let at = place.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] = byte }
            let _ = decode_tfs_predict(&bytes, &described(&tensors));
            let _ = decode_tfs_examples(&bytes, &described(&tensors), 1 << 20);
        }
    }
}

#[test]
fn empty_and_zero_dimensional_tensors_have_their_shapes() {
    let shape = |body: &str, rank: usize| {
        let read = decode(body, &signature(&[("x", DataType::Fp32, rank)])).unwrap();
        read.inputs[0].shape().to_vec()
    };
    assert_eq!(shape(r#"{"inputs":5}"#, 0), Vec::<usize>::new());
    assert_eq!(shape(r#"{"inputs":[]}"#, 1), [0]);
    assert_eq!(shape(r#"{"inputs":[[],[]]}"#, 2), [2, 0]);
    assert_eq!(shape(r#"{"instances":[[[1],[2]]]}"#, 3), [1, 2, 1]);
    assert_eq!(shape(r#"{"instances":[{"x":[[1],[2]]},{"x":[[3],[4]]}]}"#, 3), [2, 2, 1]);
}

#[test]
fn messages_say_what_was_expected_and_what_came() {
    let x = signature(&[("x", DataType::Fp32, 2)]);
    let two = signature(&[("a", DataType::Fp32, 1), ("b", DataType::Bytes, 1)]);
    let mut fixed = signature(&[("x", DataType::Int8, 2)]);
    fixed.inputs[0].shape = vec![Axis::Batch, Axis::Fixed(2)];
    let mut seen = Vec::new();
    for (signature, body) in [
        (&x, ""),
        (&x, "[]"),
        (&x, "{}"),
        (&x, r#"{"instances":[[1]],"inputs":[[1]]}"#),
        (&x, r#"{"inputs":[[1]],"inputs":[[1]]}"#),
        (&x, r#"{"instances":5}"#),
        (&x, r#"{"instances":[]}"#),
        (&x, r#"{"instances":{"x":[[1]]}}"#),
        (&x, r#"{"signature_name":5,"inputs":[[1]]}"#),
        (&x, r#"{"instances":[[1,2],[3]]}"#),
        (&x, r#"{"instances":[[1,2],3]}"#),
        (&x, r#"{"instances":[1,[2,3]]}"#),
        (&x, r#"{"instances":[[],[1]]}"#),
        (&x, r#"{"instances":[[[1]]]}"#),
        (&x, r#"{"instances":["a"]}"#),
        (&x, r#"{"instances":[[1],{"b64":"AA=="}]}"#),
        (&x, r#"{"instances":[[1],{"x":[1]}]}"#),
        (&x, r#"{"instances":[{"x":[1]},[1]]}"#),
        (&x, r#"{"instances":[{"x":[1]},{"x":[1,2]}]}"#),
        (&x, r#"{"instances":[[1e39]]}"#),
        (&x, r#"{"instances":[[1]] "#),
        (&x, r#"{"instances":[[1]]} x"#),
        (&two, r#"{"instances":[1,2]}"#),
        (&two, r#"{"inputs":[1,2]}"#),
        (&two, r#"{"instances":[{"a":1,"b":"x"},{"a":1}]}"#),
        (&two, r#"{"instances":[{"a":1},{"a":1,"b":"x"}]}"#),
        (&two, r#"{"instances":[{"a":1,"a":2}]}"#),
        (&two, r#"{"instances":[{"a":1,"c":2}]}"#),
        (&two, r#"{"inputs":{"a":[1],"a":[2]}}"#),
        (&two, r#"{"inputs":{"c":[1]}}"#),
        (&two, r#"{"inputs":{"b":[5]}}"#),
        (&two, r#"{"inputs":{"b":[{"b64":"?"}]}}"#),
        (&two, r#"{"inputs":{"b":[{"b65":"AA=="}]}}"#),
        (&two, r#"{"inputs":{"b":[{"b64":"AA==","c":1}]}}"#),
        (&fixed, r#"{"instances":[[1,2,3]]}"#),
        (&fixed, r#"{"instances":[1,2]}"#),
        (&fixed, r#"{"instances":[[1,128]]}"#),
        (&fixed, r#"{"instances":[[1,1.5]]}"#),
    ] {
        seen.push(format!("{body}\n    {}", decode(body, signature).unwrap_err()));
    }
    insta::assert_snapshot!(seen.join("\n"));
}

#[test]
fn nesting_has_an_end() {
    for open in [r#"{"inputs":"#, r#"{"instances":[{"x":"#] {
        let body = format!("{open}{}", "[".repeat(1_000_000));
        let error = decode(&body, &signature(&[("x", DataType::Fp32, 1)])).unwrap_err();
        assert!(error.contains("at most 100 levels of nesting"), "{error}");
    }
}

#[test]
fn results_are_written_as_the_code_of_tensorflow_serving_does() {
    let mut answer = Vec::new();
    encode_tfs_regressions(&mut answer, &[3.5, -1.0, f32::NAN, f32::INFINITY]).unwrap();
    assert_eq!(String::from_utf8(answer).unwrap(), r#"{"results":[3.5,-1.0,NaN,Infinity]}"#);
    let mut answer = Vec::new();
    encode_tfs_classes(&mut answer, &["a".to_owned(), "b\"".to_owned()], &[0.25, 0.75, 1.0, 0.0]).unwrap();
    let expected = r#"{"results":[[["a",0.25],["b\"",0.75]],[["a",1.0],["b\"",0.0]]]}"#;
    assert_eq!(String::from_utf8(answer).unwrap(), expected);
}

#[test]
fn examples_fill_inputs_of_every_datatype() {
    let mut seen = Vec::new();
    for datatype in DataType::ALL {
        let mut signature = signature(&[]);
        signature.inputs = vec![TensorSpec::rows("x", datatype, 2)];
        signature.task =
            Some(TaskSpec { task: Task::Regression, classes: vec![], score: "y".to_owned(), loss: LossKind::Squared });
        for values in ["[1,0]", "[true,false]", r#"["a",{"b64":"Yg=="}]"#, "[2.5,NaN]", "[1e39,1]", "[1]", "[256,-1]"] {
            let body = format!(r#"{{"examples":[{{"x":{values}}}]}}"#);
            let read = decode_tfs_examples(body.as_bytes(), &signature, 0).map(|mut read| read.inputs.remove(0));
            let shown = match read {
                Ok(tensor) => {
                    let mut shown = Vec::new();
                    encode_tfs_predict(&mut shown, TfsForm::Columnar, &[tensor], &[]).unwrap();
                    String::from_utf8(shown).unwrap()
                }
                Err(error) => error.to_string(),
            };
            seen.push(format!("{datatype} {values}: {shown}"));
        }
    }
    insta::assert_snapshot!(seen.join("\n"));
}
