//! The states of a model's versions in TensorFlow Serving's words.

use engine::{
    Engine, Error,
    registry::{RegisteredModel, VersionSelector},
    serve::{ServedVersion, VersionState},
};
use serde::Serialize;

use super::ModelName;
use crate::error::ApiError;

/// Where a version stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum State {
    Loading,
    Available,
    Unloading,
    End,
}

/// TensorFlow Serving's `ModelVersionStatus`, which serializes to its JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct VersionStatus {
    #[serde(serialize_with = "as_text")]
    pub(crate) version: u32,
    pub(crate) state: State,
    pub(crate) status: Status,
}

/// Whether a version failed, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Status {
    pub(crate) error_code: ErrorCode,
    pub(crate) error_message: String,
}

/// The codes that a version's status has here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum ErrorCode {
    Ok,
    Unknown,
}

/// TensorFlow Serving's `GetModelStatusResponse`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ModelStatus {
    pub(crate) model_version_status: Vec<VersionStatus>,
}

impl VersionStatus {
    /// The status of a registered version that serves, should, or (when `served` is none) does neither.
    pub(crate) fn new(version: u32, served: Option<(&VersionState, Option<&str>)>) -> Self {
        let (state, error) = match served {
            Some((VersionState::Loading, error)) => (State::Loading, error),
            Some((VersionState::Ready, error)) => (State::Available, error),
            Some((VersionState::Unloading, error)) => (State::Unloading, error),
            Some((VersionState::Failed(_), error)) => (State::End, error),
            None => (State::End, None),
        };
        let status = match error {
            None => Status { error_code: ErrorCode::Ok, error_message: String::new() },
            Some(error) => Status { error_code: ErrorCode::Unknown, error_message: error.to_owned() },
        };
        Self { version, state, status }
    }
}

/// The status of the version that `name` means, or of all when it names none, the newest first.
///
/// # Errors
/// What the registry answers; [`ApiError::NotFound`] for an unknown model or version, [`ApiError::BadRequest`] for an unknown label.
pub(crate) async fn model_status(engine: &Engine, name: &ModelName) -> Result<ModelStatus, ApiError> {
    let ModelName { model, selector } = name;
    let unknown = |error| match error {
        Error::UnknownModel { model } => ApiError::NotFound(format!("Could not find any versions of model {model}")),
        other => other.into(),
    };
    let RegisteredModel { name: _, created_at: _, aliases, serving: _, versions } =
        engine.registry.model(model).await.map_err(unknown)?;
    let wanted = match selector {
        VersionSelector::Default => None,
        VersionSelector::Version(version) => Some(*version),
        VersionSelector::Alias(alias) => match aliases.get(alias) {
            Some(version) => Some(*version),
            None => return Err(name.worded(Error::UnknownAlias { model: model.clone(), alias: alias.clone() })),
        },
    };
    let served = engine.serving.models().into_iter().find(|served| served.name == *model);
    let served: Vec<ServedVersion> = served.map(|served| served.versions).unwrap_or_default();
    let status = |version: u32| {
        let served = served.iter().find(|served| served.version == version);
        VersionStatus::new(version, served.map(|served| (&served.state, served.error.as_deref())))
    };
    let numbers = versions.iter().rev().map(|registered| registered.version);
    let model_version_status: Vec<_> =
        numbers.filter(|version| wanted.is_none_or(|wanted| wanted == *version)).map(status).collect();
    match wanted {
        Some(version) if model_version_status.is_empty() => {
            Err(ApiError::NotFound(format!("Could not find version {version} of model {model}")))
        }
        Some(_) | None => Ok(ModelStatus { model_version_status }),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn as_text<S: serde::Serializer>(version: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(version)
}
