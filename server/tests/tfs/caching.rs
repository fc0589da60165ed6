//! `Cache-Control` of all calls that predict, over both protocols.

use tonic::{Code, Request, Response, Status};

use crate::harness::{
    Api, floats, model_spec, refusal, request,
    tensorflow::{
        Example, Feature, Features, FloatList, Int64List,
        feature::Kind,
        serving::{
            ClassificationRequest, ExampleList, Input, PredictRequest, RegressionRequest, input::Kind as InputKind,
        },
    },
};

/// What requests say, one after the other, and where their answers come from.
const STORY: [(&str, &str); 8] = [
    ("no-store", "off"),
    ("max-age=60", "miss"),
    ("only-if-cached", "hit"),
    ("max-age=0", "miss"),
    ("no-cache", "miss"),
    ("No-Store", "off"),
    ("max-age=soon, no-cache=1, nonsense", "hit"),
    ("no-cache, only-if-cached", "refused"),
];

const NOT_HELD: &str = "expected a cached answer, as 'only-if-cached' asks, and none is held";

/// Where an answer came from, and its age, by `header`.
fn told<'a>(control: &str, header: impl Fn(&str) -> Option<&'a str>) -> &'a str {
    let state = header("x-emberline-cache").unwrap();
    assert_eq!(header("age"), (state == "hit").then_some("0"), "{control}");
    state
}

/// A server of the models `sum`, which regresses, and `scorer`, which classifies.
fn both() -> Api {
    let api = Api::sum();
    api.publish_scorer();
    api
}

#[test]
fn calls_over_rest_say_what_the_cache_may_do() {
    let api = both();
    for (path, body) in [
        ("/v1/models/sum:predict", r#"{"instances":[{"x0":1,"x1":2}]}"#),
        ("/v1/models/sum:regress", r#"{"examples":[{"x0":1,"x1":2}]}"#),
        ("/v1/models/scorer:classify", r#"{"examples":[{"age":41,"ok":true,"city":"Bern"}]}"#),
    ] {
        let ask = |control: &str| api.try_send("POST", path, &[("cache-control", control)], body.as_bytes()).unwrap();
        let absent = ask("only-if-cached");
        assert_eq!((absent.status, absent.error().as_str()), (504, NOT_HELD), "{path}");
        for (control, expected) in STORY {
            let answer = ask(control);
            let got = if answer.status == 504 { "refused" } else { told(control, |name| answer.header(name)) };
            assert_eq!(got, expected, "{path}, {control}: {}", answer.body);
        }
    }
}

fn example(features: &[(&str, Kind)]) -> Input {
    let feature = features.iter().map(|(name, kind)| ((*name).to_owned(), Feature { kind: Some(kind.clone()) }));
    let examples = vec![Example { features: Some(Features { feature: feature.collect() }) }];
    Input { kind: Some(InputKind::ExampleList(ExampleList { examples })) }
}

/// Asks by `call` all of the story's requests.
fn tell<M: Clone, A: std::fmt::Debug>(
    method: &str,
    message: &M,
    mut call: impl FnMut(Request<M>) -> Result<Response<A>, Status>,
) {
    let mut ask = |control: &'static str| {
        let mut request = Request::new(message.clone());
        request.metadata_mut().insert("cache-control", control.parse().unwrap());
        call(request)
    };
    let absent = refusal(ask("only-if-cached"));
    assert_eq!(absent, (Code::FailedPrecondition, NOT_HELD.to_owned()), "{method}");
    for (control, expected) in STORY {
        let answer = ask(control);
        let got = match &answer {
            Ok(answer) => told(control, |name| answer.metadata().get(name).map(|value| value.to_str().unwrap())),
            Err(status) if status.code() == Code::FailedPrecondition => "refused",
            Err(status) => panic!("{method}, {control}: {status}"),
        };
        assert_eq!(got, expected, "{method}, {control}");
    }
}

#[test]
fn calls_over_grpc_say_what_the_cache_may_do() {
    let api = both();
    let mut client = api.client();
    let predict: PredictRequest = request("sum", "features", floats(&[1, 2], &[1.0, 2.0]));
    tell("Predict", &predict, |request| api.control.block_on(client.predict(request)));
    let float = |value: f32| Kind::FloatList(FloatList { value: vec![value] });
    let regress = RegressionRequest {
        model_spec: Some(model_spec("sum", None)),
        input: Some(example(&[("x0", float(1.0)), ("x1", float(2.0))])),
    };
    tell("Regress", &regress, |request| api.control.block_on(client.regress(request)));
    let integer = |value: i64| Kind::Int64List(Int64List { value: vec![value] });
    let classify = ClassificationRequest {
        model_spec: Some(model_spec("scorer", None)),
        input: Some(example(&[("age", float(41.0)), ("ok", integer(1)), ("city", integer(7))])),
    };
    tell("Classify", &classify, |request| api.control.block_on(client.classify(request)));
}
