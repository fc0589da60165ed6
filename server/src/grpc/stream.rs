//! Predictions for a stream of requests.
//!
//! Answers come in the order of the requests, one to each. A request that fails, or cannot be read, is answered by the reason and
//! its id, and the stream goes on; bytes that are no message end it. Up to [`AT_ONCE`] requests of a stream are computed at once, so
//! they may share a batch; more are not taken from the connection, nor are any while the client leaves their answers lying. When the
//! client goes away or its `grpc-timeout` is over, what still waits is cancelled.

use std::{net::SocketAddr, pin::Pin, sync::Arc, time::Instant};

use engine::serve::CacheUse;
use futures::{Stream, StreamExt, future, stream};
use tokio::time::timeout_at;
use tonic::{Status, Streaming};

use super::{
    codec::UnreadInfer,
    generated::{InferParameter, ModelInferResponse, ModelStreamInferResponse, infer_parameter::ParameterChoice},
    guard::MODEL_STREAM_INFER,
    infer::infer,
    status::blamed,
};
use crate::{ApiError, state::State};

/// Requests of one stream that are computed at once.
const AT_ONCE: usize = 32;
/// Triton says by this parameter that no more answers to a request come. Each of ours is the only one, so a client that asks for an
/// empty last one (`triton_enable_empty_final_response`) needs none.
const FINAL: &str = "triton_final_response";

/// The answers of a stream.
pub(super) type Answers = Pin<Box<dyn Stream<Item = Result<ModelStreamInferResponse, Status>> + Send>>;

/// Answers the requests of a stream from `remote` until it ends, or until `deadline`.
pub(super) fn answers(
    state: Arc<State>,
    requests: Streaming<UnreadInfer>,
    deadline: Option<Instant>,
    cache: CacheUse,
    remote: Option<SocketAddr>,
) -> Answers {
    let until_error = requests.scan(false, |ended, request| {
        let next = (!*ended).then_some(request);
        *ended = next.as_ref().is_some_and(Result::is_err);
        future::ready(next)
    });
    let answers = until_error.map(move |request| {
        let state = Arc::clone(&state);
        async move { Ok(answer(&state, request.map_err(blamed)?, deadline, cache, remote).await) }
    });
    let answers = answers.buffered(AT_ONCE);
    match deadline {
        None => answers.boxed(),
        Some(deadline) => by(deadline, answers.boxed()),
    }
}

async fn answer(
    state: &State,
    request: UnreadInfer,
    deadline: Option<Instant>,
    cache: CacheUse,
    remote: Option<SocketAddr>,
) -> ModelStreamInferResponse {
    let id = request.id();
    let access = state.access.grpc(MODEL_STREAM_INFER, remote);
    match infer(state, request, deadline, cache, access).await {
        Ok((mut response, _prediction)) => {
            let last = InferParameter { parameter_choice: Some(ParameterChoice::BoolParam(true)) };
            response.parameters.insert(FINAL.to_owned(), last);
            ModelStreamInferResponse { error_message: String::new(), infer_response: Some(response) }
        }
        Err(error) => {
            let infer_response = Some(ModelInferResponse { id, ..ModelInferResponse::default() });
            ModelStreamInferResponse { error_message: Status::from(error).message().to_owned(), infer_response }
        }
    }
}

/// Ends a stream with an error at `deadline`.
fn by(deadline: Instant, answers: Answers) -> Answers {
    let began = Instant::now();
    let until = stream::unfold(Some(answers), move |answers| async move {
        let mut answers = answers?;
        match timeout_at(deadline.into(), answers.next()).await {
            Ok(answer) => Some((answer?, Some(answers))),
            Err(_elapsed) => {
                let after = deadline.saturating_duration_since(began);
                let late = ApiError::from(engine::Error::DeadlineExceeded { after });
                Some((Err(late.into()), None))
            }
        }
    });
    until.boxed()
}
