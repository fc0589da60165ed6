//! The message of an answer: raw bytes or typed contents, as the request came.
//!
//! What HTTP says in headers stands in the metadata of a call's answer, under the same names, and in the parameters of each of the
//! Open Inference Protocol's answers, so that those of a stream have it as well and the tensors stay exactly the protocol's.

use std::{borrow::Cow, collections::BTreeMap};

use bytes::Bytes;
use contract::Tensor;
use engine::serve::{CacheStatus, Prediction};
use tonic::{
    Response,
    metadata::{MetadataMap, MetadataValue},
};

use super::{
    contents,
    generated::{
        InferParameter, ModelInferResponse, infer_parameter::ParameterChoice, model_infer_response::InferOutputTensor,
    },
};
use crate::{
    ApiError,
    wire::{PlacedOutput, WireError, raw},
};

/// Id of the answer; row `i` of it is known as `id#i` to feedback.
pub(crate) const PREDICTION_ID: &str = "emberline_prediction_id";
/// The version that answered, as a number.
pub(crate) const VERSION: &str = "emberline_version";
/// `hit`, `miss` or `off`.
pub(crate) const CACHE: &str = "emberline_cache";
/// Microseconds since a cached answer was computed.
pub(crate) const CACHE_AGE: &str = "emberline_cache_age_us";

/// The answer to the request that the client calls `id`, with the `placed` outputs of the prediction. Outputs that typed contents
/// cannot hold make the whole answer raw.
///
/// # Errors
/// [`WireError::Output`] for an output that the protocol cannot carry.
pub(super) fn infer_response(
    id: String,
    prediction: &Prediction,
    placed: &[PlacedOutput<'_>],
    raw: bool,
) -> Result<ModelInferResponse, ApiError> {
    let Prediction { id: prediction_id, model, version, outputs, explanation: _, rows: _, cache, host: _, timing: _ } =
        prediction;
    let raw = raw || !placed.iter().all(|output| contents::can_hold(output.tensor.datatype()));
    let mut response = ModelInferResponse {
        model_name: model.to_string(),
        model_version: version.to_string(),
        id,
        parameters: parameters(prediction_id, *version, *cache),
        outputs: Vec::with_capacity(placed.len()),
        raw_output_contents: Vec::new(),
    };
    for (index, PlacedOutput { tensor, place }) in placed.iter().enumerate() {
        // Where it is, the client said itself; Triton does not repeat it.
        let shared = place.shared();
        if raw {
            // One for each output, also for those that are elsewhere: clients count on it.
            response.raw_output_contents.push(match (shared, tensor) {
                (Some(_), _) => Bytes::new(),
                (None, Cow::Borrowed(_)) if index < outputs.len() => raw::encode(outputs, index)?,
                // A classification, or what explains the outputs and stands behind them.
                (None, tensor) => {
                    let mut bytes = Vec::with_capacity(raw::length(tensor));
                    raw::append(&mut bytes, tensor)?;
                    bytes.into()
                }
            });
        }
        response.outputs.push(InferOutputTensor {
            name: tensor.name().to_owned(),
            datatype: tensor.datatype().name().to_owned(),
            shape: shape(tensor)?,
            parameters: BTreeMap::new(),
            contents: if raw || shared.is_some() { None } else { Some(contents::encode(tensor)?) },
        });
    }
    Ok(response)
}

fn entry((key, value): (&str, ParameterChoice)) -> (String, InferParameter) {
    (key.to_owned(), InferParameter { parameter_choice: Some(value) })
}

fn shape(output: &Tensor) -> Result<Vec<i64>, WireError> {
    let size = |size: &usize| {
        i64::try_from(*size).map_err(|_| WireError::Output {
            output: output.name().to_owned(),
            reason: format!("an axis has size {size}"),
        })
    };
    output.shape().iter().map(size).collect()
}

/// `message` as the answer to a call, with metadata that say of the prediction what HTTP says in headers.
pub(super) fn described<T>(message: T, prediction: &Prediction) -> Response<T> {
    let Prediction { id, model: _, version, outputs: _, explanation: _, rows: _, cache, host: _, timing: _ } =
        prediction;
    let mut response = Response::new(message);
    let headers: &mut MetadataMap = response.metadata_mut();
    // An id is a UUID, which a header can hold.
    if let Ok(id) = MetadataValue::try_from(id.as_str()) {
        headers.insert("x-emberline-prediction-id", id);
    }
    headers.insert("x-emberline-version", (*version).into());
    let state = match cache {
        CacheStatus::Hit { age } => {
            headers.insert("age", age.as_secs().into());
            "hit"
        }
        CacheStatus::Miss => "miss",
        CacheStatus::Off => "off",
    };
    headers.insert("x-emberline-cache", MetadataValue::from_static(state));
    response
}

fn parameters(prediction_id: &str, version: u32, cache: CacheStatus) -> BTreeMap<String, InferParameter> {
    let (state, age) = match cache {
        CacheStatus::Hit { age } => ("hit", Some(age)),
        CacheStatus::Miss => ("miss", None),
        CacheStatus::Off => ("off", None),
    };
    let text = |value: &str| ParameterChoice::StringParam(value.to_owned());
    let mut parameters = vec![
        (PREDICTION_ID, text(prediction_id)),
        (VERSION, ParameterChoice::Uint64Param(version.into())),
        (CACHE, text(state)),
    ];
    if let Some(age) = age {
        parameters.push((CACHE_AGE, ParameterChoice::Uint64Param(u64::try_from(age.as_micros()).unwrap_or(u64::MAX))));
    }
    parameters.into_iter().map(entry).collect()
}
