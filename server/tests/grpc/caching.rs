//! `cache-control` in the metadata of a call and in the parameters of a request.

use tonic::{Code, Request};

use crate::harness::{
    Api,
    inference::{ModelInferRequest, infer_parameter::ParameterChoice},
    parameter, refusal, sum_of, text,
};

fn with_metadata(control: &'static str) -> Request<ModelInferRequest> {
    let mut request = Request::new(sum_of(1.0, 2.0));
    request.metadata_mut().insert("cache-control", control.parse().unwrap());
    request
}

fn with_parameter(control: &str) -> ModelInferRequest {
    let mut request = sum_of(1.0, 2.0);
    let control = parameter(ParameterChoice::StringParam(control.to_owned()));
    request.parameters.insert("cache_control".to_owned(), control);
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_say_what_the_cache_may_do() {
    let api = Api::sum().await;
    let mut client = api.client().await;
    let absent = client.model_infer(with_metadata("only-if-cached")).await;
    let (code, message) = refusal(absent);
    assert_eq!((code, message.contains("only-if-cached")), (Code::FailedPrecondition, true), "{message}");
    let mut seen = Vec::new();
    for control in ["no-store", "max-age=60", "only-if-cached", "no-cache", "max-age=0", "malformed=\"", "no-store"] {
        let answer = client.model_infer(with_metadata(control)).await.unwrap();
        let said = |name: &str| answer.metadata().get(name).map(|value| value.to_str().unwrap().to_owned());
        let state = said("x-emberline-cache").unwrap();
        // The message says it as well, as it does in a stream.
        assert_eq!(text(answer.get_ref(), "emberline_cache").as_ref(), Some(&state), "{control}");
        assert_eq!(text(answer.get_ref(), "emberline_prediction_id"), said("x-emberline-prediction-id"), "{control}");
        assert_eq!(said("x-emberline-version").as_deref(), Some("1"), "{control}");
        assert_eq!(said("age").as_deref(), (state == "hit").then_some("0"), "{control}");
        seen.push(state);
    }
    assert_eq!(seen, ["off", "miss", "hit", "miss", "miss", "hit", "off"]);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_of_a_stream_may_say_otherwise_than_its_call() {
    let api = Api::sum().await;
    let mut client = api.client().await;
    // One after the other, for those of a stream are computed at once.
    let mut seen = Vec::new();
    for request in [sum_of(1.0, 2.0), with_parameter("max-age=60"), with_parameter("only-if-cached"), sum_of(1.0, 2.0)]
    {
        let mut call = Request::new(futures::stream::iter([request]));
        call.metadata_mut().insert("cache-control", "no-store".parse().unwrap());
        let mut answers = client.model_stream_infer(call).await.unwrap().into_inner();
        let answer = answers.message().await.unwrap().unwrap();
        seen.push(text(&answer.infer_response.unwrap(), "emberline_cache").unwrap());
    }
    assert_eq!(seen, ["off", "miss", "hit", "off"]);
    let mut wrong = sum_of(1.0, 2.0);
    wrong.parameters.insert("cache_control".to_owned(), parameter(ParameterChoice::Int64Param(1)));
    let (code, message) = refusal(client.model_infer(wrong).await);
    assert_eq!((code, message.as_str()), (Code::InvalidArgument, "expected a string as 'cache_control', got 1"));
    api.stop().await;
}
