//! `GET /v2/models`: what serves or should, by name. Triton has no such list; its repository index has the same states.

use actix_web::{HttpResponse, http::Method, web::ServiceConfig};
use engine::serve::{ServedModel, ServedVersion, VersionState};
use serde::Serialize;

use super::{Answer, Shared, only};

pub(super) fn resources(config: &mut ServiceConfig) {
    config.service(only(Method::GET, "/v2/models", list));
}

#[derive(Serialize)]
struct ModelList {
    models: Vec<ListedModel>,
}

#[derive(Serialize)]
struct ListedModel {
    name: String,
    /// `READY` when a version is, else the state of the newest one.
    state: &'static str,
    /// Ascending.
    versions: Vec<ListedVersion>,
}

#[derive(Serialize)]
struct ListedVersion {
    version: String,
    state: &'static str,
    /// Why it is unavailable.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

async fn list(state: Shared) -> Answer {
    let models = state.engine.serving.models().into_iter().map(ListedModel::from).collect();
    Ok(HttpResponse::Ok().json(ModelList { models }))
}

impl From<ServedModel> for ListedModel {
    fn from(ServedModel { name, aliases: _, versions }: ServedModel) -> Self {
        let versions: Vec<_> = versions.into_iter().map(ListedVersion::from).collect();
        let ready = versions.iter().find(|version| version.state == READY).or(versions.last());
        let state = ready.map_or(UNAVAILABLE, |version| version.state);
        Self { name, state, versions }
    }
}

const READY: &str = "READY";
const UNAVAILABLE: &str = "UNAVAILABLE";

impl From<ServedVersion> for ListedVersion {
    fn from(ServedVersion { version, state, device: _, instances: _, memory: _, error }: ServedVersion) -> Self {
        let state = match state {
            VersionState::Loading => "LOADING",
            VersionState::Ready => READY,
            VersionState::Unloading => "UNLOADING",
            VersionState::Failed(_) => UNAVAILABLE,
        };
        Self { version: version.to_string(), state, reason: error }
    }
}
