//! `GET /v1/models` and `GET /v1/models/{model}`: what is registered and how it serves, in one answer for three kinds of
//! reader: ours (everything the registry knows), KServe's (`models`; `name` and `ready`) and TensorFlow Serving's
//! (`model_version_status`).

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, http::Method, web::ServiceConfig};
use chrono::{DateTime, Utc};
use engine::{
    registry::{ModelVersion, RegisteredModel},
    serve::{ModelServing, ServedModel, ServedVersion},
};
use serde::Serialize;

use super::{Answer, Shared, only, segment};
use crate::tfs::status::VersionStatus;

pub(super) fn resources(config: &mut ServiceConfig) {
    config.service(only(Method::GET, "/v1/models", list));
    config.service(only(Method::GET, "/v1/models/{model}", show));
}

#[derive(Serialize)]
struct ModelList {
    /// KServe: names.
    models: Vec<String>,
    /// Ours: everything, in the same order.
    registry: Vec<ModelAnswer>,
}

#[derive(Serialize)]
struct ModelAnswer {
    name: String,
    /// Whether a request without a version is answered.
    ready: bool,
    created_at: DateTime<Utc>,
    aliases: BTreeMap<String, u32>,
    /// Settings of its own; null where those of the process hold.
    serving: ModelServing,
    versions: Vec<VersionAnswer>,
    /// TensorFlow Serving: newest first.
    model_version_status: Vec<VersionStatus>,
}

#[derive(Serialize)]
struct VersionAnswer {
    /// `loading`, `ready`, `unloading`, `failed`, or `unloaded` for a version that is registered and not served.
    state: &'static str,
    /// Why it failed.
    error: Option<String>,
    /// The device that holds it; absent unless it is placed.
    serving_device: Option<String>,
    /// Replicas that take requests.
    instances: usize,
    #[serde(flatten)]
    registered: ModelVersion,
}

async fn list(state: Shared) -> Answer {
    let mut served: BTreeMap<String, ServedModel> =
        state.engine.serving.models().into_iter().map(|model| (model.name.clone(), model)).collect();
    let registered = state.engine.registry.models().await?;
    let registry: Vec<_> = registered
        .into_iter()
        .map(|model| {
            let served = served.remove(&model.name);
            describe(&state, model, served)
        })
        .collect();
    let models = registry.iter().map(|model| model.name.clone()).collect();
    Ok(HttpResponse::Ok().json(ModelList { models, registry }))
}

async fn show(state: Shared, request: HttpRequest) -> Answer {
    let name = segment(&request, "model")?;
    let registered = state.engine.registry.model(&name).await?;
    let served = state.engine.serving.models().into_iter().find(|model| model.name == name);
    Ok(HttpResponse::Ok().json(describe(&state, registered, served)))
}

fn describe(state: &Shared, model: RegisteredModel, served: Option<ServedModel>) -> ModelAnswer {
    let RegisteredModel { name, created_at, aliases, serving, versions } = model;
    let mut served: BTreeMap<u32, ServedVersion> =
        served.into_iter().flat_map(|model| model.versions).map(|version| (version.version, version)).collect();
    let describe_version = |registered: ModelVersion| {
        let served = served.remove(&registered.version);
        let state = served.as_ref().map(|served| (&served.state, served.error.as_deref()));
        let status = VersionStatus::new(registered.version, state);
        let version = match served {
            Some(ServedVersion { version: _, state, device, instances, memory: _, error }) => {
                VersionAnswer { state: state.name(), error, serving_device: device, instances, registered }
            }
            None => VersionAnswer { state: "unloaded", error: None, serving_device: None, instances: 0, registered },
        };
        (version, status)
    };
    let (versions, mut model_version_status): (Vec<_>, Vec<_>) = versions.into_iter().map(describe_version).unzip();
    model_version_status.reverse();
    let ready =
        state.ready().is_ok() && state.engine.deployment(&name, &engine::registry::VersionSelector::Default).is_ok();
    ModelAnswer { name, ready, created_at, aliases, serving, versions, model_version_status }
}
