//! The model repository: what is registered and where it stands, and taking models out of service and back.
//!
//! The repository is the registry, and there is one. `load` and `unload` say whether a model serves in this process; see
//! [`Engine::unload`] for what that means. Models come into it by `emberline import` and `emberline train`; and, where the
//! settings allow it, by a file that comes with `load`, as in Triton: the parameter `file:<version>/<name>`, with `config` beside it.
//! The registry numbers its versions itself and never replaces one, so the file becomes the next version, whichever number its path
//! has; and what a configuration says to Triton, the file says itself, so that is not looked into.

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use engine::{
    Engine,
    registry::RegisteredModel,
    serve::{ServedVersion, VersionState},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{ApiError, state::State};

/// The name that requests may give the one repository.
const REPOSITORY: &str = "registry";

/// A version of the index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ModelIndex {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) state: &'static str,
    /// Why it is not ready.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) reason: String,
}

/// What the index is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct IndexRequest {
    /// Only versions that take requests.
    pub(crate) ready: bool,
}

/// What loading and unloading are told.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct ChangeRequest {
    pub(crate) parameters: BTreeMap<String, Value>,
    /// Files that came as bytes, by parameter; JSON has them among the parameters, in base64.
    #[serde(skip)]
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

/// What the parameter of a file begins with.
pub(crate) const FILE: &str = "file:";
/// The parameter of a configuration.
const CONFIG: &str = "config";

/// Checks the name of a repository that a request gives, if any.
///
/// # Errors
/// When there is no such repository.
pub(crate) fn check_repository(name: &str) -> Result<(), ApiError> {
    if name.is_empty() || name == REPOSITORY {
        return Ok(());
    }
    Err(ApiError::NotFound(format!(
        "expected no repository name or '{REPOSITORY}', the only one there is, got '{name}'"
    )))
}

/// Every registered version.
///
/// # Errors
/// What the registry answers.
pub(crate) async fn index(engine: &Engine, request: IndexRequest) -> Result<Vec<ModelIndex>, ApiError> {
    let registered = engine.registry.models().await?;
    let mut served: BTreeMap<String, Vec<ServedVersion>> =
        engine.serving.models().into_iter().map(|model| (model.name, model.versions)).collect();
    let mut index = Vec::new();
    for model in registered {
        let served = served.remove(&model.name).unwrap_or_default();
        describe(&model, &served, engine.is_held(&model.name), &mut index);
    }
    index.retain(|version| !request.ready || version.state == "READY");
    Ok(index)
}

fn describe(model: &RegisteredModel, served: &[ServedVersion], held: bool, index: &mut Vec<ModelIndex>) {
    let newest = model.versions.last().map(|version| version.version);
    for version in &model.versions {
        let number = version.version;
        let wanted = newest == Some(number) || model.aliases.values().any(|named| *named == number);
        let (state, reason) = match served.iter().find(|served| served.version == number).map(|served| &served.state) {
            Some(VersionState::Ready) => ("READY", ""),
            Some(VersionState::Loading) => ("LOADING", ""),
            Some(VersionState::Unloading) => ("UNLOADING", ""),
            Some(VersionState::Failed(reason)) => ("UNAVAILABLE", reason.as_str()),
            None if held => ("UNAVAILABLE", "unloaded"),
            None if wanted => ("LOADING", "waits to be loaded"),
            None => ("UNAVAILABLE", "no alias names it and it is not the newest"),
        };
        let reason = reason.to_owned();
        index.push(ModelIndex { name: model.name.clone(), version: number.to_string(), state, reason });
    }
}

/// Brings a model into service and returns when it is; with a file, which becomes a new version of it first.
///
/// # Errors
/// For other parameters; for a file where none is allowed, and for one that is no model; when there is no such model; when it cannot be
/// loaded.
pub(crate) async fn load(state: &State, model: &str, request: ChangeRequest) -> Result<(), ApiError> {
    let ChangeRequest { parameters, mut files } = request;
    let refused = |expected: &str, got: &str| Err(ApiError::BadRequest(format!("expected {expected}, got '{got}'")));
    let mut config = None;
    for (name, value) in parameters {
        match value {
            Value::String(base64) if name.starts_with(FILE) => {
                let Ok(content) = STANDARD.decode(base64) else {
                    return refused("a file in base64", &name);
                };
                files.insert(name, content);
            }
            Value::String(text) if name == CONFIG => config = Some(text),
            _ => return refused("a file and its configuration as parameters of loading, and no other", &name),
        }
    }
    if let Some(config) = &config
        && (files.is_empty() || serde_json::from_str::<serde::de::IgnoredAny>(config).is_err())
    {
        return refused("JSON, and a file beside it, as the parameter 'config' of loading", config);
    }
    let Some((name, content)) = files.pop_first() else { return Ok(state.engine.load(model).await?) };
    if let Some((other, _)) = files.pop_first() {
        return refused("one file", &format!("{name}' and '{other}"));
    }
    let Some((_version, file)) = name[FILE.len()..].split_once('/').filter(|(_, file)| !file.is_empty()) else {
        return refused("a version and a name, as in 'file:1/model.json'", &name);
    };
    if !state.allow_import {
        return refused("a server started with --allow-import true for a model that comes by request", &name);
    }
    state.engine.import(model, file, content).await?;
    Ok(())
}

/// Takes a model out of service and returns when its requests are answered. No model depends on another, so it makes no difference
/// whether dependents are meant.
///
/// # Errors
/// For parameters that are not known.
pub(crate) async fn unload(engine: &Arc<Engine>, model: &str, request: &ChangeRequest) -> Result<(), ApiError> {
    for (name, value) in &request.parameters {
        if name != "unload_dependents" || !value.is_boolean() {
            let expected = "expected true or false as the parameter 'unload_dependents' of unloading, and no other";
            return Err(ApiError::BadRequest(format!("{expected}, got '{name}': {value}")));
        }
    }
    Ok(engine.unload(model).await?)
}
