//! Messages that nobody means well with: refused in a sentence, without memory or time for what they only say.

use std::time::{Duration, Instant};

use engine::serve::ServingSettings;
use prost::Message;
use tonic::Code;

use crate::harness::{
    Api, floats, model_spec, refusal, request, tensor,
    tensorflow::{
        BytesList, DataType, Example, Feature, Features, TensorProto, TensorShapeProto,
        feature::Kind,
        serving::{ExampleListWithContext, Input, PredictRequest, RegressionRequest, input::Kind as InputKind},
    },
};

const LIMIT: usize = 1 << 20;
/// The same as a size in a shape.
const LIMIT_SIZE: i64 = 1 << 20;

fn small() -> Api {
    let api = Api::empty(&["--max-body", "1MiB"], ServingSettings::default());
    api.publish("sum", &engine::testing::FakeSettings::default());
    api
}

#[test]
fn tensors_that_are_not_what_they_say() {
    let api = small();
    let mut client = api.client();
    let mut refused = |tensor: TensorProto| {
        let started = Instant::now();
        let (code, message) = refusal(api.control.block_on(client.predict(request("sum", "features", tensor))));
        assert_eq!(code, Code::InvalidArgument, "{message}");
        assert!(started.elapsed() < Duration::from_secs(5), "{message}");
        message
    };
    let one = |shape: &[i64]| floats(shape, &[1.0]);
    let unknown = TensorShapeProto { dim: vec![], unknown_rank: true };
    let text = |content: &[u8]| TensorProto { tensor_content: content.to_vec(), ..tensor(DataType::DtString, &[2]) };
    let seen = [
        refused(one(&[i64::MAX, i64::MAX])),
        refused(one(&[i64::MAX, 2])),
        refused(one(&[1 << 40])),
        refused(tensor(DataType::DtBool, &[LIMIT_SIZE + 1])),
        refused(tensor(DataType::DtString, &[LIMIT_SIZE])),
        refused(one(&[-1, 2])),
        refused(one(&[1; 65])),
        refused(floats(&[1, 1], &[1.0, 2.0])),
        refused(TensorProto { tensor_shape: Some(unknown), ..one(&[1, 2]) }),
        refused(TensorProto { tensor_content: vec![0; 7], ..tensor(DataType::DtFloat, &[1, 2]) }),
        refused(TensorProto { dtype: 0, ..one(&[1, 2]) }),
        refused(TensorProto { dtype: DataType::DtComplex64.into(), ..one(&[1, 2]) }),
        refused(TensorProto { dtype: 1_000, ..one(&[1, 2]) }),
        refused(TensorProto { double_val: vec![1.0], ..one(&[1, 2]) }),
        refused(TensorProto { int_val: vec![300], ..tensor(DataType::DtUint8, &[1]) }),
        refused(TensorProto { int_val: vec![-1], ..tensor(DataType::DtUint16, &[1]) }),
        refused(TensorProto { half_val: vec![65_536], ..tensor(DataType::DtHalf, &[1]) }),
        refused(TensorProto { tensor_content: vec![2], ..tensor(DataType::DtBool, &[1]) }),
        refused(text(&[1])),
        refused(text(&[1, 200, b'a'])),
        refused(text(&[1, 1, b'a'])),
        refused(text(&[1, 1, b'a', b'b', b'c'])),
        refused(TensorProto::default()),
    ];
    insta::assert_snapshot!(seen.join("\n"));
    // After all this it still answers.
    let answer = api.control.block_on(client.predict(request("sum", "features", floats(&[1, 2], &[1., 2.]))));
    assert_eq!(answer.unwrap().into_inner().outputs["y"].float_val, [3.0]);
}

#[test]
fn repeated_elements_share_one_budget() {
    let api = small();
    let mut client = api.client();
    // Each alone would fit; together they take more than a body may.
    let half = || tensor(DataType::DtBool, &[LIMIT_SIZE / 2 + 1]);
    let inputs = [("a".to_owned(), half()), ("b".to_owned(), half())].into();
    let asked = PredictRequest { model_spec: Some(model_spec("sum", None)), inputs, output_filter: vec![] };
    let (code, message) = refusal(api.control.block_on(client.predict(asked)));
    assert!(code == Code::InvalidArgument && message.contains("bytes more"), "{message}");
}

#[test]
fn contexts_are_not_repeated_without_end() {
    let api = small();
    let long = Feature { kind: Some(Kind::BytesList(BytesList { value: vec![vec![b'a'; 1000]] })) };
    let features = Features { feature: [("city".to_owned(), long)].into() };
    let list = ExampleListWithContext {
        examples: vec![Example::default(); 5000],
        context: Some(Example { features: Some(features) }),
    };
    let input = Some(Input { kind: Some(InputKind::ExampleListWithContext(list)) });
    api.publish_scorer();
    let mut client = api.client();
    let request = RegressionRequest { model_spec: Some(model_spec("scorer", None)), input };
    let asked = crate::harness::tensorflow::serving::ClassificationRequest {
        model_spec: request.model_spec,
        input: request.input,
    };
    let (code, message) = refusal(api.control.block_on(client.classify(asked)));
    assert!(code == Code::InvalidArgument && message.contains("expected a context that takes at most"), "{message}");

    let body = format!(
        r#"{{"context":{{"city":"{}"}},"examples":[{}]}}"#,
        "a".repeat(1000),
        vec![r#"{"age":1,"ok":true}"#; 5000].join(",")
    );
    let error = api.post("/v1/models/scorer:classify", &body).error();
    assert!(error.contains("expected a context that takes at most"), "{error}");
}

#[test]
fn cut_and_altered_messages_are_refused_or_answered() {
    let api = small();
    let whole = request("sum", "features", floats(&[1, 2], &[1., 2.])).encode_to_vec();
    assert!(api.call_raw("Predict", &whole).is_ok());
    for length in 0..whole.len() {
        let Err(status) = api.call_raw("Predict", &whole[..length]) else { panic!("cut at {length}: answered") };
        let expected = matches!(status.code(), Code::InvalidArgument | Code::NotFound);
        assert!(expected && !status.message().is_empty(), "cut at {length}: {status}");
    }
    for place in 0..whole.len() {
        let mut altered = whole.clone();
        altered[place] ^= 0x55;
        if let Err(status) = api.call_raw("Predict", &altered) {
            let expected = matches!(status.code(), Code::InvalidArgument | Code::NotFound);
            assert!(expected && !status.message().is_empty(), "altered at {place}: {status}");
        }
    }
    for method in ["Classify", "Regress", "GetModelMetadata"] {
        let status = api.call_raw(method, &[0xff; 40]).unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{method}: {status}");
        // A submessage that says it is 4 GiB long.
        let status = api.call_raw(method, &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]).unwrap_err();
        assert_eq!(status.message(), "the request message is not valid protobuf: a field ends beyond its message");
    }
}

#[test]
fn bodies_over_the_limit_are_not_read() {
    let api = small();
    let body = format!(r#"{{"instances":[{}]}}"#, vec!["[1,2]"; LIMIT / 6 + 1].join(","));
    assert_eq!(api.post("/v1/models/sum:predict", &body).status, 413);
    let values = vec![1.0; LIMIT / 4 + 1];
    let status = api.call_raw("Predict", &request("sum", "features", floats(&[1, 2], &values)).encode_to_vec());
    assert_eq!(status.unwrap_err().code(), Code::ResourceExhausted);
}
