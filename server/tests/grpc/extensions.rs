//! Triton's extensions, as they are over HTTP.

use std::collections::BTreeMap;

use engine::{serve::ServingSettings, testing::FakeSettings};
use tonic::Code;

use crate::harness::{
    Api,
    inference::{
        CudaSharedMemoryRegisterRequest, CudaSharedMemoryStatusRequest, CudaSharedMemoryUnregisterRequest, DataType,
        LogSettingsRequest, ModelConfigRequest, ModelRepositoryParameter, RepositoryIndexRequest,
        RepositoryModelLoadRequest, RepositoryModelUnloadRequest, TraceSettingRequest,
        infer_parameter::ParameterChoice as ParameterOfRequest, model_config::SchedulingChoice,
        model_instance_group::Kind, model_repository_parameter::ParameterChoice, trace_setting_request::SettingValue,
    },
    parameter, refusal, sum_of, wait_until,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configuration_is_that_of_triton() {
    let serving = ServingSettings { max_batch_rows: 64, ..ServingSettings::default() };
    let api = Api::sum_with(&FakeSettings::default(), &[], serving).await;
    let mut client = api.client().await;
    let request = ModelConfigRequest { name: "sum".to_owned(), version: String::new() };
    let config = client.model_config(request).await.unwrap().into_inner().config.unwrap();
    assert_eq!((config.name.as_str(), config.backend.as_str(), config.max_batch_size), ("sum", "emberline", 64));
    assert_eq!((config.input[0].name.as_str(), config.input[0].data_type()), ("features", DataType::TypeFp32));
    assert_eq!((config.input[0].dims.as_slice(), config.output[1].dims.as_slice()), (&[2_i64][..], &[1_i64][..]));
    let Some(SchedulingChoice::DynamicBatching(batching)) = config.scheduling_choice else { panic!("{config:?}") };
    assert_eq!(batching.preferred_batch_size, [1, 8, 64]);
    assert_eq!(batching.default_queue_policy.unwrap().max_queue_size, 65_536);
    assert_eq!((config.instance_group[0].kind(), config.instance_group[0].gpus.len()), (Kind::Cpu, 0));
    assert!(config.response_cache.unwrap().enable);
    let request = ModelConfigRequest { name: "nope".to_owned(), version: String::new() };
    assert_eq!(refusal(client.model_config(request).await), (Code::NotFound, "unknown model 'nope'".to_owned()));
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_explained_when_asked() {
    let api = Api::sum().await;
    let mut client = api.client().await;
    let with = |explain: ParameterOfRequest| {
        let mut request = sum_of(1.0, 2.0);
        request.parameters.insert("explain".to_owned(), parameter(explain));
        request
    };
    let answer = client.model_infer(with(ParameterOfRequest::BoolParam(true))).await.unwrap().into_inner();
    let shown: Vec<_> = answer.outputs.iter().map(|output| (output.name.as_str(), output.shape.as_slice())).collect();
    let expected: [(&str, &[i64]); 4] =
        [("y", &[1, 1]), ("twice", &[1, 1]), ("shap_values", &[1, 2]), ("shap_expected", &[1])];
    assert_eq!(shown, expected);
    assert_eq!(answer.outputs[2].contents.as_ref().unwrap().fp64_contents, [1.0, 2.0]);
    let refused = refusal(client.model_infer(with(ParameterOfRequest::Int64Param(1))).await);
    assert_eq!(refused.0, Code::InvalidArgument, "{}", refused.1);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn models_leave_and_come_back() {
    let api = Api::sum().await;
    let mut client = api.client().await;
    let index = async |repository: &str, ready: bool| {
        let request = RepositoryIndexRequest { repository_name: repository.to_owned(), ready };
        let mut client = api.client().await;
        let index = client.repository_index(request).await.map(|answer| answer.into_inner().models);
        index.map(|models| {
            models.into_iter().map(|m| [m.name, m.version, m.state, m.reason].join(" ")).collect::<Vec<_>>()
        })
    };
    let load = |name: &str| RepositoryModelLoadRequest { model_name: name.to_owned(), ..Default::default() };
    let unload = |name: &str| RepositoryModelUnloadRequest { model_name: name.to_owned(), ..Default::default() };
    let parameter = |key: &str, choice| {
        BTreeMap::from([(key.to_owned(), ModelRepositoryParameter { parameter_choice: Some(choice) })])
            .into_iter()
            .collect()
    };
    assert_eq!(index("", true).await.unwrap(), ["sum 1 READY "]);
    let dependents = parameter("unload_dependents", ParameterChoice::BoolParam(true));
    let request = RepositoryModelUnloadRequest { parameters: dependents, ..unload("sum") };
    client.repository_model_unload(request).await.unwrap();
    assert_eq!(index("", false).await.unwrap(), ["sum 1 UNAVAILABLE unloaded"]);
    assert_eq!(index("registry", true).await.unwrap(), [""; 0]);
    let gone = "model 'sum' has no available versions: it was unloaded".to_owned();
    assert_eq!(refusal(client.model_infer(sum_of(1.0, 2.0)).await), (Code::NotFound, gone));
    client.repository_model_load(load("sum")).await.unwrap();
    client.model_infer(sum_of(1.0, 2.0)).await.unwrap();

    client.repository_model_unload(unload("nope")).await.unwrap();
    let refused = refusal(client.repository_model_load(load("nope")).await);
    assert_eq!(refused, (Code::NotFound, "unknown model 'nope'".to_owned()));
    for (key, choice) in [
        ("color", ParameterChoice::StringParam("red".to_owned())),
        ("file:1/model.onnx", ParameterChoice::BytesParam(vec![0; 10])),
        ("file:1/base64.onnx", ParameterChoice::StringParam("AAAA".to_owned())),
    ] {
        let request = RepositoryModelLoadRequest { parameters: parameter(key, choice), ..load("sum") };
        let (code, message) = refusal(client.repository_model_load(request).await);
        assert!(code == Code::InvalidArgument && message.ends_with(&format!("got '{key}'")), "{code} {message}");
    }
    assert_eq!(index("other", true).await.unwrap_err().code(), Code::NotFound);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_comes_with_load_becomes_the_next_version() {
    let flags = ["--allow-import", "true"];
    let api = Api::sum_with(&FakeSettings::default(), &flags, ServingSettings::default()).await;
    let mut client = api.client().await;
    let parameter = |choice| ModelRepositoryParameter { parameter_choice: Some(choice) };
    let parameters = [
        ("config", ParameterChoice::StringParam("{}".to_owned())),
        ("file:1/model.json", ParameterChoice::BytesParam(br#"{"offset":10.0}"#.to_vec())),
    ];
    let parameters = parameters.map(|(key, choice)| (key.to_owned(), parameter(choice))).into_iter().collect();
    let request = RepositoryModelLoadRequest {
        model_name: "sum".to_owned(),
        parameters,
        ..RepositoryModelLoadRequest::default()
    };
    client.repository_model_load(request).await.unwrap();
    let answer = client.model_infer(sum_of(1.0, 2.0)).await.unwrap().into_inner();
    assert_eq!(answer.model_version, "2");
    assert_eq!(answer.outputs[0].contents.as_ref().unwrap().fp32_contents, [13.0]);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traces_are_asked_for_as_over_http() {
    let directory = tempfile::tempdir().unwrap();
    let flags = ["--trace-dir", directory.path().to_str().unwrap()];
    let api = Api::sum_with(&FakeSettings::default(), &flags, ServingSettings::default()).await;
    let mut client = api.client().await;
    let mut set = async |model: &str, settings: &[(&str, &[&str])]| {
        let value = |values: &[&str]| SettingValue { value: values.iter().map(|value| (*value).to_owned()).collect() };
        let settings = settings.iter().map(|(name, values)| ((*name).to_owned(), value(values))).collect();
        let answer = client.trace_setting(TraceSettingRequest { settings, model_name: model.to_owned() }).await;
        answer.map(|answer| {
            let settings = answer.into_inner().settings.into_iter();
            settings.map(|(name, value)| (name, value.value.join(","))).collect::<BTreeMap<_, _>>()
        })
    };
    let settings = set("sum", &[("trace_level", &["TIMESTAMPS"]), ("trace_rate", &["1"])]).await.unwrap();
    let expected = [
        ("log_frequency", "0"),
        ("trace_count", "-1"),
        ("trace_file", "trace.json"),
        ("trace_level", "TIMESTAMPS"),
        ("trace_mode", "triton"),
        ("trace_rate", "1"),
    ];
    assert_eq!(settings, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    assert_eq!(set("", &[]).await.unwrap()["trace_level"], "OFF");
    assert_eq!(set("sum", &[("trace_rate", &[])]).await.unwrap()["trace_rate"], "1000");
    assert_eq!(set("sum", &[("trace_rate", &["1"])]).await.unwrap()["trace_rate"], "1");
    assert_eq!(set("", &[("trace_rate", &["x"])]).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(set("", &[("trace_level", &["TIMESTAMPS", "TENSORS"])]).await.unwrap_err().code(), Code::Unimplemented);
    assert_eq!(set("nope", &[]).await.unwrap_err().code(), Code::NotFound);

    api.client().await.model_infer(sum_of(1.0, 2.0)).await.unwrap();
    let file = directory.path().join("trace.json");
    wait_until("a trace is there", || fs_err::read_to_string(&file).is_ok_and(|text| text.ends_with('\n'))).await;
    let trace: serde_json::Value = serde_json::from_str(&fs_err::read_to_string(&file).unwrap()).unwrap();
    let stamps = trace["timestamps"].as_array().unwrap();
    let events: Vec<_> = stamps.iter().map(|stamp| stamp["name"].as_str().unwrap()).collect();
    assert_eq!(events, ["REQUEST_START", "REQUEST_END", "GRPC_SEND_START"]);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_are_changed_as_over_http() {
    use crate::harness::inference::{
        log_settings_request::{SettingValue, setting_value::ParameterChoice as Asked},
        log_settings_response::setting_value::ParameterChoice as Told,
    };
    let api = Api::with_logs("off").await;
    let mut client = api.client().await;
    let mut set = async |settings: Vec<(&str, Asked)>| {
        let one = |(name, choice): (&str, _)| (name.to_owned(), SettingValue { parameter_choice: Some(choice) });
        let request = LogSettingsRequest { settings: settings.into_iter().map(one).collect() };
        let answer = client.log_settings(request).await;
        answer.map(|answer| {
            let settings = answer.into_inner().settings.into_iter();
            settings.map(|(name, value)| (name, value.parameter_choice.unwrap())).collect::<BTreeMap<_, _>>()
        })
    };
    let before = set(vec![]).await.unwrap();
    assert_eq!((before.len(), &before["log_info"]), (6, &Told::BoolParam(true)));
    let after = set(vec![("log_info", Asked::BoolParam(false)), ("log_verbose_level", Asked::Uint32Param(1))]).await;
    let after = after.unwrap();
    assert_eq!((&after["log_info"], &after["log_verbose_level"]), (&Told::BoolParam(false), &Told::Uint32Param(1)));
    let refused = set(vec![("log_file", Asked::StringParam("/tmp/log".to_owned()))]).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    let refused = set(vec![("log_info", Asked::Uint32Param(1))]).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::InvalidArgument, "expected true or false as 'log_info', got 1")
    );
    set(vec![("log_info", Asked::BoolParam(true)), ("log_verbose_level", Asked::Uint32Param(0))]).await.unwrap();
    assert_eq!(set(vec![]).await.unwrap(), before);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_says_so() {
    let api = Api::sum().await;
    let mut client = api.client().await;
    let (code, message) = refusal(client.log_settings(LogSettingsRequest::default()).await);
    assert!(code == Code::Unimplemented && message.contains("program that started it"), "{message}");
    let status = client.cuda_shared_memory_status(CudaSharedMemoryStatusRequest::default()).await.unwrap().into_inner();
    assert!(status.regions.is_empty());
    client.cuda_shared_memory_unregister(CudaSharedMemoryUnregisterRequest::default()).await.unwrap();
    let request = CudaSharedMemoryRegisterRequest { name: "r".to_owned(), ..Default::default() };
    let (code, message) = refusal(client.cuda_shared_memory_register(request).await);
    assert!(code == Code::Unimplemented && message.contains("use system shared memory"), "{message}");
    let request = CudaSharedMemoryStatusRequest { name: "r".to_owned() };
    assert_eq!(refusal(client.cuda_shared_memory_status(request).await).0, Code::NotFound);
    api.stop().await;
}
