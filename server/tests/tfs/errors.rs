//! Paths, verbs and models that do not exist, in TensorFlow Serving's words and codes.

use engine::testing::FakeSettings;
use tonic::Code;

use crate::harness::{
    Api, floats, model_spec, refusal, request,
    tensorflow::serving::{
        GetModelMetadataRequest, GetModelStatusRequest, MultiInferenceRequest, PredictRequest, ReloadConfigRequest,
        model_spec::VersionChoice,
    },
};

const GOOD: &str = r#"{"instances":[[1,2]]}"#;

#[test]
fn paths_and_verbs() {
    let api = Api::sum();
    api.set_alias("sum", "stable", 1);
    let mut seen = Vec::new();
    for (method, path) in [
        ("POST", "/v1/models/nope:predict"),
        ("POST", "/v1/models/nope/versions/1:predict"),
        ("POST", "/v1/models/nope/labels/stable:predict"),
        ("POST", "/v1/models/sum/versions/9:predict"),
        ("POST", "/v1/models/sum/versions/99999999999:predict"),
        ("POST", "/v1/models/sum/labels/nope:predict"),
        ("POST", "/v1/models/sum/labels/sta%62le:predict"),
        ("POST", "/v1/models/su%6d:predict"),
        ("POST", "/v1/models/sum/versions/1:Predict"),
        ("POST", "/v1/models/sum/versions/1/labels/stable:predict"),
        ("POST", "/v1/models/sum/labels/stable/versions/1:predict"),
        ("POST", "/v1/models/sum/versions/x:predict"),
        ("POST", "/v1/models/sum/versions/:predict"),
        ("POST", "/v1/models/sum/labels/:predict"),
        ("POST", "/v1/models/sum:explain"),
        ("POST", "/v1/models/sum:"),
        ("POST", "/v1/models/%ff:predict"),
        ("GET", "/v1/models/sum:predict"),
        ("PUT", "/v1/models/sum/versions/1:classify"),
        ("OPTIONS", "/v1/models/sum:predict"),
        ("OPTIONS", "/v1/models/sum/metadata"),
        ("POST", "/v1/models/sum/metadata"),
        ("GET", "/v1/models/nope/metadata"),
        ("GET", "/v1/models/sum/versions/9/metadata"),
        ("GET", "/v1/models/sum/labels/nope/metadata"),
        ("GET", "/v1/models/sum/versions/1/labels/stable/metadata"),
        ("GET", "/v1/models/sum/versions/9"),
        ("GET", "/v1/models/nope/versions/9"),
        ("GET", "/v1/models/sum/labels/nope"),
        ("GET", "/v1/models/sum/versions/1/labels/stable"),
        ("GET", "/v1/models/sum/versions/x"),
        ("DELETE", "/v1/models/sum/versions/1"),
    ] {
        let answer = api.send(method, path, GOOD);
        let allow = answer.header("allow").map(|allow| format!(" allow: {allow}")).unwrap_or_default();
        seen.push(format!("{method} {path}\n    {}{allow} {}", answer.status, answer.body));
    }
    insta::assert_snapshot!(seen.join("\n"));
}

#[test]
fn grpc_says_the_same() {
    let api = Api::sum();
    let mut client = api.client();
    let mut predict = |name: &str, version: Option<VersionChoice>| {
        let asked = PredictRequest {
            model_spec: Some(model_spec(name, version)),
            ..request("", "features", floats(&[1, 2], &[1., 2.]))
        };
        refusal(api.control.block_on(client.predict(asked)))
    };
    let label = |label: &str| Some(VersionChoice::VersionLabel(label.to_owned()));
    let number = |number| Some(VersionChoice::Version(number));
    for (name, version, code, path) in [
        ("nope", None, Code::NotFound, "nope:predict"),
        ("nope", number(1), Code::NotFound, "nope/versions/1:predict"),
        ("sum", number(9), Code::NotFound, "sum/versions/9:predict"),
        ("sum", number(99_999_999_999), Code::NotFound, "sum/versions/99999999999:predict"),
        ("sum", label("nope"), Code::InvalidArgument, "sum/labels/nope:predict"),
    ] {
        let (got, message) = predict(name, version);
        assert_eq!(got, code, "{path}");
        assert_eq!(message, api.post(&format!("/v1/models/{path}"), GOOD).error(), "{path}");
    }
    let (code, message) = predict("sum", number(-1));
    assert_eq!((code, message.as_str()), (Code::NotFound, "Servable not found for request: Specific(sum, -1)"));

    let mut asked = request("sum", "features", floats(&[1, 2], &[1., 2.]));
    asked.model_spec.as_mut().unwrap().signature_name = "other".to_owned();
    let said = "Serving signature name: \"other\" not found in signature def; expected \"serving_default\"";
    assert_eq!(refusal(api.control.block_on(client.predict(asked))), (Code::InvalidArgument, said.to_owned()));
    let body = r#"{"instances":[[1,2]],"signature_name":"other"}"#;
    assert_eq!(api.post("/v1/models/sum:predict", body).error(), said);
}

#[test]
fn a_model_must_be_named() {
    let api = Api::sum();
    let message = "expected a 'model_spec' with the name of a model, got none";
    let unnamed = (Code::InvalidArgument, message.to_owned());
    for model_spec in [None, Some(model_spec("", None))] {
        let asked = PredictRequest { model_spec: model_spec.clone(), ..PredictRequest::default() };
        assert_eq!(refusal(api.control.block_on(api.client().predict(asked))), unnamed);
        let asked = GetModelStatusRequest { model_spec };
        assert_eq!(refusal(api.control.block_on(api.models().get_model_status(asked))), unnamed);
    }
}

#[test]
fn calls_that_are_not_served() {
    let api = Api::sum();
    let (mut client, mut models) = (api.client(), api.models());
    let (code, message) = refusal(api.control.block_on(client.multi_inference(MultiInferenceRequest {})));
    assert!(code == Code::Unimplemented && message.contains("got MultiInference"), "{message}");
    let reload = api.control.block_on(models.handle_reload_config_request(ReloadConfigRequest {}));
    let (code, message) = refusal(reload);
    assert!(code == Code::Unimplemented && message.contains("registry"), "{message}");
    let (code, message) = refusal(api.call_raw("PredictStreamed", &[]));
    assert!(code == Code::Unimplemented && message.contains("PredictionService/PredictStreamed"), "{message}");

    let mut metadata = |name: &str, fields: &[&str]| {
        let metadata_field = fields.iter().map(ToString::to_string).collect();
        let request = GetModelMetadataRequest { model_spec: Some(model_spec(name, None)), metadata_field };
        refusal(api.control.block_on(client.get_model_metadata(request)))
    };
    let (code, message) = metadata("sum", &[]);
    assert!(code == Code::InvalidArgument && message.contains("at least one metadata_field"), "{message}");
    let (code, message) = metadata("sum", &["other"]);
    assert_eq!((code, message.as_str()), (Code::InvalidArgument, "Metadata field other is not supported"));
    assert_eq!(metadata("nope", &["signature_def"]).0, Code::NotFound);
    let request = GetModelStatusRequest { model_spec: Some(model_spec("nope", None)) };
    let (code, message) = refusal(api.control.block_on(models.get_model_status(request)));
    assert_eq!((code, message.as_str()), (Code::NotFound, "Could not find any versions of model nope"));
}

#[test]
fn a_model_that_fails_is_our_fault_and_a_lost_device_passes() {
    let api = Api::empty(&[], engine::serve::ServingSettings::default());
    api.publish("sum", &FakeSettings { fail_on: Some(13.0), lose_device_on: Some(14.0), ..FakeSettings::default() });
    assert_eq!(api.post("/v1/models/sum:predict", r#"{"instances":[[13,0]]}"#).status, 500);
    let lost = api.post("/v1/models/sum:predict", r#"{"instances":[[14,0]]}"#);
    assert_eq!((lost.status, lost.header("retry-after")), (503, Some("1")));
}
