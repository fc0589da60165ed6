//! `Predict` in all its forms, over both protocols.

use std::time::Duration;

use contract::DataType;
use engine::{serve::ServingSettings, testing::FakeSettings};
use tonic::Code;

use crate::{
    echo::Echoed,
    harness::{
        Api, floats, refusal, request,
        tensorflow::serving::{PredictRequest, model_spec::VersionChoice},
    },
};

#[test]
fn rows_go_in_as_instances_and_come_out_as_predictions() {
    let api = Api::sum();
    let post = |body: &str| api.post("/v1/models/sum:predict", body).ok();
    // Several outputs: objects, whose one-number rows stay lists, as TensorFlow Serving leaves them.
    assert_eq!(
        post(r#"{"instances":[[1,2],[3,4.5]]}"#),
        r#"{"predictions":[{"y":[3.0],"twice":[6.0]},{"y":[7.5],"twice":[15.0]}]}"#
    );
    let by_input = post(r#"{"signature_name":"serving_default","instances":[{"features":[1,2]}]}"#);
    assert_eq!(by_input, r#"{"predictions":[{"y":[3.0],"twice":[6.0]}]}"#);
    // A table model takes its columns by name.
    let by_column = post(r#"{"instances":[{"x1":2,"x0":1},{"x0":3,"x1":null}]}"#);
    assert_eq!(by_column, r#"{"predictions":[{"y":[3.0],"twice":[6.0]},{"y":[3.0],"twice":[6.0]}]}"#);
    // Members in any order, unknown ones left alone, names in upper case as the pattern of TensorFlow Serving has it.
    let body = r#" {"x":[{"y":1}], "instances" : [[1, 2]] , "signature_name":""} "#;
    assert_eq!(api.post("/v1/models/sum:PREDICT", body).ok(), r#"{"predictions":[{"y":[3.0],"twice":[6.0]}]}"#);
}

#[test]
fn columns_go_in_as_inputs_and_come_out_as_outputs() {
    let api = Api::sum();
    let post = |body: &str| api.post("/v1/models/sum:predict", body).ok();
    let expected = r#"{"outputs":{"y":[[3.0],[7.5]],"twice":[[6.0],[15.0]]}}"#;
    assert_eq!(post(r#"{"inputs":[[1,2],[3,4.5]]}"#), expected);
    assert_eq!(post(r#"{"inputs":{"features":[[1,2],[3,4.5]]}}"#), expected);
    assert_eq!(post(r#"{"inputs":{"x0":[1,3],"x1":[2,4.5]}}"#), expected);
}

#[test]
fn a_single_output_has_no_name() {
    let api = Api::uncached();
    api.publish_echo("flat", &[Echoed::new("x", "y", DataType::Fp32, &[])]);
    api.publish_echo("cube", &[Echoed::new("x", "y", DataType::Int64, &[2, 2])]);
    let post = |model: &str, body: &str| api.post(&format!("/v1/models/{model}:predict"), body).ok();
    assert_eq!(post("flat", r#"{"instances":[1,2.5,NaN,-Infinity]}"#), r#"{"predictions":[1.0,2.5,NaN,-Infinity]}"#);
    assert_eq!(post("flat", r#"{"inputs":[1,2.5]}"#), r#"{"outputs":[1.0,2.5]}"#);
    let cube = "[[[9007199254740993,2],[3,4]],[[5,6],[7,-9223372036854775808]]]";
    assert_eq!(post("cube", &format!(r#"{{"instances":{cube}}}"#)), format!(r#"{{"predictions":{cube}}}"#));
    assert_eq!(post("cube", &format!(r#"{{"inputs":{cube}}}"#)), format!(r#"{{"outputs":{cube}}}"#));
}

#[test]
fn several_inputs_go_by_name() {
    let api = Api::uncached();
    let tensors = [
        Echoed::new("tag", "tag", DataType::Bytes, &[]),
        Echoed::new("signal", "signal", DataType::Fp64, &[3]),
        Echoed::new("image", "image_bytes", DataType::Bytes, &[1]),
    ];
    api.publish_echo("many", &tensors);
    let rows = concat!(
        r#"[{"tag":"foo","signal":[1.0,2.0,3.0],"image_bytes":[{"b64":"/wAB"}]},"#,
        r#"{"tag":"b\"ar","signal":[0.1,-0.0,1e+300],"image_bytes":[{"b64":""}]}]"#
    );
    let body = format!(r#"{{"instances":{}}}"#, rows.replace("image_bytes", "image"));
    assert_eq!(api.post("/v1/models/many:predict", &body).ok(), format!(r#"{{"predictions":{rows}}}"#));
    let columns = concat!(
        r#"{"tag":["foo","bar"],"signal":[[1.0,2.0,3.0],[4.0,5.0,6.0]],"#,
        r#""image_bytes":[[{"b64":"/wAB"}],[{"b64":"YQ=="}]]}"#
    );
    // Base64 may lack its padding, and text may stand as it is.
    let body = columns.replace("image_bytes", "image").replace("YQ==", "YQ");
    let body = body.replace(r#""foo""#, r#"{"b64":"Zm9v"}"#);
    assert_eq!(
        api.post("/v1/models/many:predict", &format!(r#"{{"inputs":{body}}}"#)).ok(),
        format!(r#"{{"outputs":{columns}}}"#)
    );
}

#[test]
fn every_answer_says_what_other_predictions_say() {
    let api = Api::sum();
    let path = "/v1/models/sum:predict";
    let first = api.post(path, r#"{"instances":[[1,2]]}"#);
    assert_eq!(first.header("x-emberline-cache"), Some("miss"));
    assert_eq!(first.header("x-emberline-version"), Some("1"));
    assert_eq!(first.header("content-type"), Some("application/json"));
    let id = first.header("x-emberline-prediction-id").unwrap().to_owned();
    // What differs in form only is the same request.
    let second = api.post(path, r#"{"inputs":{"features":[[1.0,2e0]]}}"#);
    assert_eq!(second.header("x-emberline-cache"), Some("hit"));
    // Feedback finds the prediction.
    let feedback = api.post("/v1/feedback", &format!(r#"{{"prediction":"{id}#0","label":3}}"#));
    assert_eq!(feedback.status, 200, "{}", feedback.body);

    let mut client = api.client();
    let answer = api.control.block_on(client.predict(request("sum", "features", floats(&[1, 2], &[1., 2.])))).unwrap();
    let header = |name: &str| answer.metadata().get(name).map(|value| value.to_str().unwrap());
    assert_eq!(header("x-emberline-cache"), Some("hit"));
    assert_eq!(header("x-emberline-version"), Some("1"));
    assert_ne!(header("x-emberline-prediction-id").unwrap(), id);
}

#[test]
fn grpc_predicts_with_and_without_a_filter() {
    let api = Api::sum();
    let mut client = api.client();
    let mut ask = |request: PredictRequest| api.control.block_on(client.predict(request));
    let asked = request("sum", "features", floats(&[2, 2], &[1., 2., 3., 4.]));
    let answer = ask(asked.clone()).unwrap().into_inner();
    let spec = answer.model_spec.unwrap();
    assert_eq!((spec.name.as_str(), spec.version_choice), ("sum", Some(VersionChoice::Version(1))));
    assert_eq!(spec.signature_name, "serving_default");
    assert_eq!(answer.outputs.len(), 2);
    assert_eq!(answer.outputs["y"], floats(&[2, 1], &[3., 7.]));
    assert_eq!(answer.outputs["twice"], floats(&[2, 1], &[6., 14.]));

    let filtered = PredictRequest { output_filter: vec!["twice".to_owned()], ..asked.clone() };
    assert_eq!(ask(filtered).unwrap().into_inner().outputs.keys().collect::<Vec<_>>(), ["twice"]);
    let twice = PredictRequest { output_filter: vec!["y".to_owned(); 2], ..asked.clone() };
    assert_eq!(refusal(ask(twice)), (Code::InvalidArgument, "expected each output once, got 'y' twice".to_owned()));
    let unknown = PredictRequest { output_filter: vec!["z".to_owned()], ..asked.clone() };
    assert_eq!(refusal(ask(unknown)).0, Code::InvalidArgument);

    // Columns of a table model, as tensors of their own.
    let columns = PredictRequest {
        inputs: [("x0".to_owned(), floats(&[1], &[1.])), ("x1".to_owned(), floats(&[1, 1], &[2.]))].into(),
        ..asked
    };
    assert_eq!(ask(columns).unwrap().into_inner().outputs["y"], floats(&[1, 1], &[3.]));
}

#[test]
fn what_would_be_late_is_refused_at_once() {
    let serving = ServingSettings { request_timeout: Duration::from_millis(50), ..ServingSettings::default() };
    let api = Api::empty(&[], serving);
    api.publish("sum", &FakeSettings { batch_micros: 2_000_000, golden: false, ..FakeSettings::default() });
    assert_eq!(api.post("/v1/models/sum:predict", r#"{"instances":[[1,2]]}"#).status, 503);
    let mut client = api.client();
    let asked = request("sum", "features", floats(&[1, 2], &[1., 2.]));
    assert_eq!(refusal(api.control.block_on(client.predict(asked))).0, Code::Unavailable);
}
