//! TensorFlow Serving's API apart from HTTP and gRPC: names, versions, states, signatures and what `Classify` and `Regress` ask of a
//! model.
//!
//! It follows TensorFlow Serving's code where that and its documents differ. A label is an alias of the registry; the one signature
//! of a model is `serving_default`. Errors that clients of TensorFlow Serving look for have its words; what they map to is said in
//! [`crate::error`].

pub(crate) mod examples;
pub(crate) mod results;
pub(crate) mod signature;
pub(crate) mod status;

use std::{sync::Arc, time::Instant};

use contract::Signature;
use engine::{
    Engine, Error,
    registry::VersionSelector,
    serve::{Deployment, PredictRequest, Prediction},
};

use crate::error::ApiError;

/// The signature of every model.
pub(crate) const SERVING_DEFAULT: &str = "serving_default";

/// What is asked of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Predict,
    Classify,
    Regress,
}

impl Method {
    /// The name that TensorFlow gives it in signatures.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Predict => "tensorflow/serving/predict",
            Self::Classify => "tensorflow/serving/classify",
            Self::Regress => "tensorflow/serving/regress",
        }
    }

    /// Reads the verb of a path, in upper or lower case.
    pub(crate) fn parse(verb: &str) -> Option<Self> {
        [("predict", Self::Predict), ("classify", Self::Classify), ("regress", Self::Regress)]
            .into_iter()
            .find_map(|(name, method)| name.eq_ignore_ascii_case(verb).then_some(method))
    }

    /// Refuses a signature that no model has. A method's own name is taken for the default signature, as models that TensorFlow
    /// exports often call theirs so.
    ///
    /// # Errors
    /// [`ApiError::BadRequest`].
    pub(crate) fn check_signature(self, signature: &str) -> Result<(), ApiError> {
        if signature.is_empty() || signature == SERVING_DEFAULT || signature == self.name() {
            return Ok(());
        }
        Err(ApiError::BadRequest(format!(
            "Serving signature name: \"{signature}\" not found in signature def; expected \"{SERVING_DEFAULT}\""
        )))
    }
}

/// Which model is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ModelName {
    pub(crate) model: String,
    pub(crate) selector: VersionSelector,
}

impl ModelName {
    /// The version of `model` with this number.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for a number that no version has.
    pub(crate) fn version(model: String, number: &str) -> Result<Self, ApiError> {
        match number.parse() {
            Ok(version) => Ok(Self { model, selector: VersionSelector::Version(version) }),
            Err(_) => Err(ApiError::NotFound(no_servable(&model, Some(number)))),
        }
    }

    /// The version that answers now.
    ///
    /// # Errors
    /// As [`Engine::deployment`], in TensorFlow Serving's words.
    pub(crate) fn deployment(&self, engine: &Engine) -> Result<Arc<Deployment>, ApiError> {
        engine.deployment(&self.model, &self.selector).map_err(|error| self.worded(error))
    }

    /// Answers the request that `read` makes by the signature of the version that is meant now, and gives what else `read` gave.
    /// Should that version go before it answered, the one that came in its place answers by its own signature.
    ///
    /// # Errors
    /// As [`Engine::predict`], in TensorFlow Serving's words, and what `read` answers.
    pub(crate) async fn answer<T>(
        &self,
        engine: &Engine,
        read: impl Fn(&Signature) -> Result<(PredictRequest, T), ApiError>,
    ) -> Result<(Prediction, T), ApiError> {
        loop {
            let deployment = self.deployment(engine)?;
            let received = Some(Instant::now());
            let (request, beside) = read(deployment.model().signature())?;
            let selector = VersionSelector::Version(deployment.version());
            let replaced =
                || engine.deployment(&self.model, &self.selector).is_ok_and(|now| !Arc::ptr_eq(&now, &deployment));
            let model = self.model.clone();
            match engine.predict(PredictRequest { model, selector, received, ..request }, None).await {
                Ok(prediction) => return Ok((prediction, beside)),
                Err(Error::UnknownVersion { .. } | Error::NotReady { .. }) if replaced() => {}
                Err(error) => return Err(self.worded(error)),
            }
        }
    }

    /// Answers a request that was made without knowing the model.
    ///
    /// # Errors
    /// As [`Engine::predict`], in TensorFlow Serving's words.
    pub(crate) async fn predict(&self, engine: &Engine, request: PredictRequest) -> Result<Prediction, ApiError> {
        let call = PredictRequest { model: self.model.clone(), selector: self.selector.clone(), ..request };
        engine.predict(call, None).await.map_err(|error| self.worded(error))
    }

    /// An error of the engine in TensorFlow Serving's words, where it has some.
    pub(crate) fn worded(&self, error: Error) -> ApiError {
        match error {
            Error::UnknownModel { model } => {
                let version = match &self.selector {
                    VersionSelector::Version(version) => Some(version.to_string()),
                    VersionSelector::Default | VersionSelector::Alias(_) => None,
                };
                ApiError::NotFound(no_servable(&model, version.as_deref()))
            }
            Error::UnknownVersion { model, version } => {
                ApiError::NotFound(no_servable(&model, Some(&version.to_string())))
            }
            Error::UnknownAlias { model: _, alias } => {
                ApiError::BadRequest(format!("Unrecognized servable version label: {alias}"))
            }
            other => other.into(),
        }
    }
}

fn no_servable(model: &str, version: Option<&str>) -> String {
    match version {
        None => format!("Servable not found for request: Latest({model})"),
        Some(version) => format!("Servable not found for request: Specific({model}, {version})"),
    }
}
