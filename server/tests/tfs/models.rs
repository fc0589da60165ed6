//! States, labels and signatures of models.

use std::time::{Duration, Instant};

use engine::testing::FakeSettings;
use prost::Message;
use serde_json::json;

use crate::harness::{
    Api, floats, model_spec, request,
    tensorflow::{
        DataType, SignatureDef, TensorInfo,
        serving::{
            GetModelMetadataRequest, GetModelStatusRequest, PredictRequest, SignatureDefMap, model_spec::VersionChoice,
            model_version_status::State,
        },
        tensor_info::Encoding,
    },
    wait_until,
};

fn offset(offset: f32) -> FakeSettings {
    FakeSettings { offset, ..FakeSettings::default() }
}

/// A version's status in JSON.
fn status(version: &str, state: &str) -> serde_json::Value {
    json!({"version": version, "state": state, "status": {"error_code": "OK", "error_message": ""}})
}

#[test]
fn labels_are_aliases() {
    let api = Api::sum();
    api.publish("sum", &offset(100.0));
    api.set_alias("sum", "stable", 1);
    let answered = |path: &str| {
        let answer = api.post(&format!("/v1/models/sum{path}:predict"), r#"{"inputs":[[1,2]]}"#);
        answer.json()["outputs"]["y"][0][0].as_f64().unwrap_or_else(|| panic!("{path}: {}", answer.body))
    };
    assert_eq!([answered(""), answered("/labels/stable"), answered("/versions/1")], [103.0, 3.0, 3.0]);
    let mut client = api.client();
    let mut ask = |version| {
        let asked = request("", "features", floats(&[1, 2], &[1., 2.]));
        let asked = PredictRequest { model_spec: Some(model_spec("sum", version)), ..asked };
        let answer = api.control.block_on(client.predict(asked)).unwrap().into_inner();
        (answer.outputs["y"].float_val[0], answer.model_spec.unwrap().version_choice.unwrap())
    };
    assert_eq!(ask(None), (103.0, VersionChoice::Version(2)));
    assert_eq!(ask(Some(VersionChoice::VersionLabel("stable".to_owned()))), (3.0, VersionChoice::Version(1)));
    assert_eq!(ask(Some(VersionChoice::Version(1))), (3.0, VersionChoice::Version(1)));
}

#[test]
fn states_follow_a_version_through_its_life() {
    let api = Api::sum();
    api.set_alias("sum", "stable", 1);
    let first = json!({"model_version_status": [status("1", "AVAILABLE")]});
    assert_eq!(api.get("/v1/models/sum/versions/1").json(), first);
    assert_eq!(api.get("/v1/models/sum/labels/stable").json(), first);

    // Version 2 is held back while it loads; the server polls the registry by itself.
    api.brake_next_model();
    api.register("sum", &offset(100.0));
    let state = |version: &str| {
        let answer = api.get(&format!("/v1/models/sum/versions/{version}")).json();
        answer["model_version_status"][0]["state"].as_str().unwrap().to_owned()
    };
    wait_until("version 2 loads", || state("2") == "LOADING");
    let both = api.get("/v1/models/sum").json();
    assert_eq!(both["model_version_status"], json!([status("2", "LOADING"), status("1", "AVAILABLE")]));
    // KServe's and our own fields stand beside.
    assert_eq!((&both["name"], &both["ready"]), (&json!("sum"), &json!(true)));
    let loading = api.post("/v1/models/sum/versions/2:predict", r#"{"inputs":[[1,2]]}"#);
    assert_eq!((loading.status, loading.error().as_str()), (503, "model 'sum' version 2 is not ready: loading"));

    let mut models = api.models();
    let mut ask = |version| {
        let request = GetModelStatusRequest { model_spec: Some(model_spec("sum", version)) };
        let answer = api.control.block_on(models.get_model_status(request)).unwrap().into_inner();
        answer.model_version_status.iter().map(|status| (status.version, status.state())).collect::<Vec<_>>()
    };
    assert_eq!(ask(None), [(2, State::Loading), (1, State::Available)]);
    assert_eq!(ask(Some(VersionChoice::VersionLabel("stable".to_owned()))), [(1, State::Available)]);
    api.probe().release();
    wait_until("version 2 serves", || state("2") == "AVAILABLE");
    assert_eq!(ask(Some(VersionChoice::Version(2))), [(2, State::Available)]);
}

#[test]
fn a_version_that_failed_says_why() {
    let api = Api::sum();
    api.publish("sum", &FakeSettings { wrong_golden: true, ..FakeSettings::default() });
    let answer = api.get("/v1/models/sum/versions/2").json();
    let status = &answer["model_version_status"][0];
    assert_eq!((&status["state"], &status["status"]["error_code"]), (&json!("END"), &json!("UNKNOWN")));
    let message = status["status"]["error_message"].as_str().unwrap();
    assert!(message.contains("failed its self-test"), "{message}");
    let request = GetModelStatusRequest { model_spec: Some(model_spec("sum", Some(VersionChoice::Version(2)))) };
    let answer = api.control.block_on(api.models().get_model_status(request)).unwrap().into_inner();
    let got = answer.model_version_status[0].status.as_ref().unwrap();
    assert_eq!((got.error_code().as_str_name(), got.error_message.as_str()), ("UNKNOWN", message));
}

#[test]
fn metadata_is_the_signature() {
    let api = Api::sum();
    let dims = |sizes: [&str; 2]| sizes.map(|size| json!({"size": size, "name": ""}));
    let info = |name: &str, sizes: [&str; 2]| {
        json!({
            "dtype": "DT_FLOAT", "name": format!("{name}:0"),
            "tensor_shape": {"dim": dims(sizes), "unknown_rank": false},
        })
    };
    let expected = json!({
        "model_spec": {"name": "sum", "signature_name": "", "version": "1"},
        "metadata": {"signature_def": {"signature_def": {"serving_default": {
            "inputs": {"features": info("features", ["-1", "2"])},
            "outputs": {"y": info("y", ["-1", "1"]), "twice": info("twice", ["-1", "1"])},
            "method_name": "tensorflow/serving/predict",
            "defaults": {},
        }}}},
    });
    assert_eq!(api.get("/v1/models/sum/metadata").json(), expected);
    assert_eq!(api.get("/v1/models/sum/versions/1/metadata").json(), expected);

    let request = GetModelMetadataRequest {
        model_spec: Some(model_spec("sum", None)),
        metadata_field: vec!["signature_def".to_owned()],
    };
    let answer = api.control.block_on(api.client().get_model_metadata(request)).unwrap().into_inner();
    assert_eq!(answer.model_spec, Some(model_spec("sum", Some(VersionChoice::Version(1)))));
    let packed = &answer.metadata["signature_def"];
    assert_eq!(packed.type_url, "type.googleapis.com/tensorflow.serving.SignatureDefMap");
    let map = SignatureDefMap::decode(packed.value.as_slice()).unwrap();
    let SignatureDef { inputs, outputs, method_name, defaults: _ } = &map.signature_def["serving_default"];
    assert_eq!((outputs.len(), method_name.as_str()), (2, "tensorflow/serving/predict"));
    let TensorInfo { dtype, tensor_shape, encoding } = &inputs["features"];
    assert_eq!(*dtype, i32::from(DataType::DtFloat));
    let sizes: Vec<i64> = tensor_shape.as_ref().unwrap().dim.iter().map(|dim| dim.size).collect();
    assert_eq!(sizes, [-1, 2]);
    assert_eq!(encoding, &Some(Encoding::Name("features:0".to_owned())));
}

#[test]
fn no_request_is_lost_when_a_version_is_replaced() {
    const LAST: u32 = 5;
    let api = Api::uncached();
    api.publish("sum", &offset(1.0));
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let (started, mut seen) = (Instant::now(), Vec::new());
            while seen.last() != Some(&LAST) {
                for (verb, body) in [
                    ("predict", r#"{"instances":[{"x0":1,"x1":2}]}"#),
                    ("regress", r#"{"examples":[{"x0":1,"x1":2}]}"#),
                ] {
                    let answer = api.post(&format!("/v1/models/sum:{verb}"), body);
                    assert_eq!(answer.status, 200, "{}", answer.body);
                    let version: u32 = answer.header("x-emberline-version").unwrap().parse().unwrap();
                    // Version n adds n.
                    let sum = f64::from(version) + 3.0;
                    let got = answer.json();
                    let got = if verb == "predict" { &got["predictions"][0]["y"][0] } else { &got["results"][0] };
                    assert_eq!(got.as_f64(), Some(sum));
                    assert!(started.elapsed() < Duration::from_mins(1), "waited in vain for version {LAST}");
                    seen.push(version);
                }
            }
            seen
        });
        for version in 2..=LAST {
            assert_eq!(api.publish("sum", &offset(version as f32)), version);
        }
        assert!(asking.join().unwrap().is_sorted());
    });
}
