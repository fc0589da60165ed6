//! Every call, when all goes well.

use contract::Value;
use engine::{feedback::FeedbackKey, testing::FakeSettings};

use crate::harness::{
    Api,
    inference::{
        ModelInferRequest, ModelMetadataRequest, ModelReadyRequest, ServerLiveRequest, ServerMetadataRequest,
        ServerReadyRequest, infer_parameter::ParameterChoice,
    },
    output, parameter, sum_of, text, wait_until,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_tells_about_itself() {
    let api = Api::empty(&[], engine::serve::ServingSettings::default()).await;
    let mut client = api.client().await;
    assert!(client.server_live(ServerLiveRequest {}).await.unwrap().into_inner().live);
    wait_until("nothing is loaded", || api.engine.not_ready().is_none()).await;
    assert!(client.server_ready(ServerReadyRequest {}).await.unwrap().into_inner().ready);
    let metadata = client.server_metadata(ServerMetadataRequest {}).await.unwrap().into_inner();
    assert_eq!((metadata.name.as_str(), metadata.version.as_str()), ("emberline", env!("CARGO_PKG_VERSION")));

    api.running.as_ref().unwrap().drain();
    assert!(!client.server_ready(ServerReadyRequest {}).await.unwrap().into_inner().ready);
    assert!(client.server_live(ServerLiveRequest {}).await.unwrap().into_inner().live);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn models_tell_about_themselves() {
    let api = Api::sum().await;
    api.publish("sum", &FakeSettings { offset: 10.0, ..FakeSettings::default() }).await;
    api.engine.registry.set_alias("sum", "champion", 1).await.unwrap();
    api.engine.refresh().await.unwrap();
    let mut client = api.client().await;
    let mut ready = async |name: &str, version: &str| {
        let request = ModelReadyRequest { name: name.to_owned(), version: version.to_owned() };
        client.model_ready(request).await.unwrap().into_inner().ready
    };
    for (version, expected) in
        [("", true), ("1", true), ("2", true), ("champion", true), ("3", false), ("nobody", false)]
    {
        assert_eq!(ready("sum", version).await, expected, "version '{version}'");
    }
    assert!(!ready("nope", "").await);

    let mut client = api.client().await;
    let mut metadata = async |version: &str| {
        let request = ModelMetadataRequest { name: "sum".to_owned(), version: version.to_owned() };
        client.model_metadata(request).await.unwrap().into_inner()
    };
    let whole = metadata("").await;
    assert_eq!((whole.name.as_str(), whole.platform.as_str()), ("sum", "emberline"));
    assert_eq!(whole.versions, ["1", "2"]);
    let [input] = whole.inputs.as_slice() else { panic!("{whole:?}") };
    assert_eq!(
        (input.name.as_str(), input.datatype.as_str(), input.shape.as_slice()),
        ("features", "FP32", [-1, 2].as_slice())
    );
    let outputs: Vec<_> = whole.outputs.iter().map(|output| (output.name.as_str(), output.shape.as_slice())).collect();
    assert_eq!(outputs, [("y", [-1, 1].as_slice()), ("twice", [-1, 1].as_slice())]);
    assert_eq!(metadata("2").await.versions, ["2"]);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn predictions_come_as_the_request_came() {
    let api = Api::sum().await;
    let mut client = api.client().await;
    let mut request = ModelInferRequest { id: "42".to_owned(), ..sum_of(1.0, 2.5) };
    let typed = client.model_infer(request.clone()).await.unwrap().into_inner();
    assert_eq!((typed.model_name.as_str(), typed.model_version.as_str(), typed.id.as_str()), ("sum", "1", "42"));
    assert_eq!(typed.outputs[0].contents.as_ref().unwrap().fp32_contents, [3.5]);
    assert_eq!(typed.outputs[1].contents.as_ref().unwrap().fp32_contents, [7.0]);
    assert_eq!((typed.outputs[0].datatype.as_str(), typed.outputs[0].shape.as_slice()), ("FP32", [1, 1].as_slice()));
    assert!(typed.raw_output_contents.is_empty());

    // Another row, so that it does not come from the cache.
    request.inputs[0].contents = None;
    request.raw_input_contents = vec![[4.0_f32.to_le_bytes(), 5.0_f32.to_le_bytes()].concat()];
    request.outputs = vec![output("twice"), output("y")];
    let raw = client.model_infer(request).await.unwrap().into_inner();
    assert_eq!(raw.outputs.iter().map(|output| output.name.as_str()).collect::<Vec<_>>(), ["twice", "y"]);
    assert!(raw.outputs.iter().all(|output| output.contents.is_none()));
    assert_eq!(raw.raw_output_contents, [18.0_f32.to_le_bytes(), 9.0_f32.to_le_bytes()]);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_are_asked_for_by_number_or_alias() {
    let api = Api::sum().await;
    api.publish("sum", &FakeSettings { offset: 10.0, ..FakeSettings::default() }).await;
    api.engine.registry.set_alias("sum", "old", 1).await.unwrap();
    api.engine.refresh().await.unwrap();
    let mut client = api.client().await;
    for (asked, version, sum) in [("", "2", 13.0), ("1", "1", 3.0), ("2", "2", 13.0), ("old", "1", 3.0)] {
        let request = ModelInferRequest { model_version: asked.to_owned(), ..sum_of(1.0, 2.0) };
        let answer = client.model_infer(request).await.unwrap().into_inner();
        assert_eq!(answer.model_version, version, "asked for '{asked}'");
        assert_eq!(answer.outputs[0].contents.as_ref().unwrap().fp32_contents, [sum]);
    }
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_tell_what_headers_tell_in_http() {
    let api = Api::sum().await;
    let mut client = api.client().await;
    let first = client.model_infer(sum_of(1.0, 2.0)).await.unwrap().into_inner();
    let second = client.model_infer(sum_of(1.0, 2.0)).await.unwrap().into_inner();
    assert_eq!(text(&first, "emberline_cache").as_deref(), Some("miss"));
    assert_eq!(text(&second, "emberline_cache").as_deref(), Some("hit"));
    assert!(!first.parameters.contains_key("emberline_cache_age_us"));
    let age = second.parameters["emberline_cache_age_us"].parameter_choice.clone();
    assert!(matches!(age, Some(ParameterChoice::Uint64Param(1..))), "{age:?}");
    assert_eq!(first.parameters["emberline_version"], parameter(ParameterChoice::Uint64Param(1)));

    let [first, second] = [first, second].map(|answer| text(&answer, "emberline_prediction_id").unwrap());
    assert_ne!(first, second);
    // What feedback knows the answer by.
    let key = FeedbackKey::Prediction(format!("{second}#0"));
    let scored = api.engine.feedback.label(&key, &Value::Float(4.0)).unwrap();
    assert_eq!((scored.model.as_ref(), scored.version), ("sum", 1));
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_tensors_go_both_ways() {
    let api = Api::sum().await;
    let mut client = api.client().await;
    let rows = 60_000_usize;
    let values: Vec<u8> = (0..rows * 2).flat_map(|value| (value as f32).to_le_bytes()).collect();
    let mut request = sum_of(0.0, 0.0);
    request.inputs[0].contents = None;
    request.inputs[0].shape = vec![i64::try_from(rows).unwrap(), 2];
    request.raw_input_contents = vec![values];
    let answer = client.model_infer(request).await.unwrap().into_inner();
    let sums: Vec<f32> =
        answer.raw_output_contents[0].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    assert_eq!(sums.len(), rows);
    assert!(sums.iter().enumerate().all(|(row, sum)| *sum == (4 * row + 1) as f32));
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_share_a_connection() {
    let api = Api::sum().await;
    let client = api.client().await;
    let calls = (0..500_u16).map(|number| {
        let mut client = client.clone();
        tokio::spawn(async move {
            let request = ModelInferRequest { id: number.to_string(), ..sum_of(f32::from(number), 1.0) };
            let answer = client.model_infer(request).await.unwrap().into_inner();
            assert_eq!(answer.id, number.to_string());
            assert_eq!(answer.outputs[0].contents.as_ref().unwrap().fp32_contents, [f32::from(number) + 1.0]);
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
    api.stop().await;
}
