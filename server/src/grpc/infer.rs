//! Predictions: the one way of a request, alone or in a stream.

use std::time::Instant;

use contract::Tensor;
use engine::{
    registry::{VersionSelector, is_name},
    serve::{CacheUse, PredictRequest, Prediction},
};

use super::{
    codec::UnreadInfer,
    generated::ModelInferResponse,
    request::{InferInput, InferMessage},
    response::infer_response,
};
use crate::{
    ApiError,
    access::Access,
    cache_control::of_parameter,
    shared_memory::RequestRegions,
    state::State,
    wire::{WireError, check_names},
};

/// Answers a request by `deadline`, if there is one. `cache` is what the call's metadata say; what the request itself says is
/// in its place. Gives the answer and what it was made of.
pub(super) async fn infer(
    state: &State,
    request: UnreadInfer,
    deadline: Option<Instant>,
    cache: CacheUse,
    mut access: Access<'_>,
) -> Result<(ModelInferResponse, Prediction), ApiError> {
    let answer = answered(state, request, deadline, cache, &mut access).await;
    access.end_call(answer)
}

async fn answered(
    state: &State,
    request: UnreadInfer,
    deadline: Option<Instant>,
    cache: CacheUse,
    access: &mut Access<'_>,
) -> Result<(ModelInferResponse, Prediction), ApiError> {
    access.body(request.bytes());
    let received = Instant::now();
    let InferMessage { model, version, id, timeout, priority, cache_control, explain, inputs, outputs: wanted, raw } =
        request.read()?;
    access.asked(&model);
    access.request_id(&id);
    // Its bytes need not wait in the queue.
    drop(request);
    let mut trace = state.tracer.begin(&model, "REQUEST_START");
    let selector = selector(&model, &version)?;
    let inputs = read_inputs(inputs, &state.shared_memory.for_request())?;
    check_names(&inputs).map_err(WireError::from)?;
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    let timeout = timeout.into_iter().chain(left).min();
    let outputs = wanted.iter().map(|output| output.name.clone()).collect();
    let cache = cache_control.as_deref().map_or(cache, of_parameter);
    let received = Some(received);
    let call = PredictRequest { model, selector, inputs, outputs, timeout, priority, cache, explain, received };
    let prediction = state.engine.predict(call, None).await?;
    trace.mark("REQUEST_END");
    trace.answered(&id, prediction.version);
    let placed = state.placed(&prediction, &wanted, false)?;
    let response = infer_response(id, &prediction, &placed, raw)?;
    access.predicted(&prediction, prediction.timing.encoded());
    trace.mark("GRPC_SEND_START");
    Ok((response, prediction))
}

fn read_inputs(inputs: Vec<InferInput>, regions: &RequestRegions<'_>) -> Result<Vec<Tensor>, WireError> {
    inputs.into_iter().map(|input| input.read(regions)).collect()
}

/// The version that `version` means: a number, an alias, or the default one when empty.
pub(super) fn selector(model: &str, version: &str) -> Result<VersionSelector, ApiError> {
    if version.is_empty() {
        Ok(VersionSelector::Default)
    } else if version.bytes().all(|byte| byte.is_ascii_digit()) {
        // No version has a number that does not fit.
        let unknown = |_| ApiError::NotFound(format!("model '{model}' has no version {version}"));
        Ok(VersionSelector::Version(version.parse().map_err(unknown)?))
    } else if is_name(version) {
        Ok(VersionSelector::Alias(version.to_owned()))
    } else {
        Err(ApiError::BadRequest(format!("expected a version number or an alias as version, got '{version}'")))
    }
}
