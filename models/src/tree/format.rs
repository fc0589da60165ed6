//! Saved tree models.

use contract::OpenError;
use trees::{
    Ensemble,
    predict::{Choice, Instructions, Predictor, REVISION},
};

use super::model::TreeModel;
use crate::artifact::{Artifact, MANIFEST_FILE};

/// Kind of a tree model: an ensemble, whoever trained it.
pub const TREES_KIND: &str = "trees";
/// Role of the ensemble's file.
pub(super) const ENSEMBLE_ROLE: &str = "ensemble";
/// Name of the setting that holds the way that was found to be the fastest, and the machine where that was.
pub(super) const WAYS: &str = "ways";

/// What was measured on a machine.
#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct Measured {
    pub(super) machine: String,
    /// [`REVISION`] of the ways that it was measured among.
    #[serde(default)]
    pub(super) revision: u32,
    #[serde(flatten)]
    pub(super) choice: Choice,
}

/// The machine, as far as it decides which way is the fastest.
pub(super) fn machine() -> String {
    format!("{}, {}", crate::device::host_name(), Instructions::best())
}

/// Opens the tree model of an artifact whose manifest says that it is one. It is measured anew on another machine than the one that
/// it was measured on, and where there were other ways then.
pub(crate) fn open(artifact: &Artifact) -> Result<TreeModel, OpenError> {
    let wrong = |error: trees::Error| content(artifact, ENSEMBLE_ROLE, &error);
    let ensemble = Ensemble::from_bytes(&artifact.read(ENSEMBLE_ROLE)?).map_err(wrong)?;
    let mut predictor = Predictor::untuned(ensemble).map_err(wrong)?;
    let kept = artifact.manifest().hyper_parameters.get(WAYS);
    let kept = kept.and_then(|ways| serde_json::from_value::<Measured>(ways.clone()).ok());
    let choice = match kept {
        Some(Measured { machine: measured_on, revision: REVISION, choice })
            if measured_on == machine() && !choice.plans.is_empty() =>
        {
            choice
        }
        Some(_) | None => Choice::measured(&predictor),
    };
    predictor.choose(choice);
    let model = TreeModel::new(predictor, artifact.golden()?);
    if *contract::Model::signature(&model) != artifact.manifest().signature {
        return Err(OpenError::Content {
            path: artifact.directory().join(MANIFEST_FILE),
            expected: "the trees' own signature".to_owned(),
            got: artifact.manifest().signature.describe_inputs(),
        });
    }
    Ok(model)
}

fn content(artifact: &Artifact, role: &str, error: &trees::Error) -> OpenError {
    OpenError::Content { path: artifact.path(role), expected: "a saved ensemble".to_owned(), got: error.to_string() }
}
