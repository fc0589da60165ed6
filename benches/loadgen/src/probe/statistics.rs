//! Triton's statistics extension, over HTTP and gRPC.

use prost::Message;
use serde::Deserialize;

use super::{Clock, Snapshot};
use crate::{
    Error, Result, Target, client,
    protobuf::{self, StatisticDuration},
};

#[derive(Deserialize)]
struct Answer {
    model_stats: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    #[serde(default)]
    inference_count: u64,
    #[serde(default)]
    execution_count: u64,
    #[serde(default)]
    inference_stats: Durations,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Durations {
    success: Counted,
    fail: Counted,
    queue: Counted,
    compute_input: Counted,
    compute_infer: Counted,
    compute_output: Counted,
    cache_hit: Counted,
    cache_miss: Counted,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct Counted {
    count: u64,
    ns: u64,
}

const QUESTION: &str = "statistics of the model";

pub(super) async fn over_http(target: &Target) -> Result<Option<Snapshot>> {
    let body = client::get(target, &format!("{}/stats", target.model_path()), QUESTION).await?;
    let answer: Answer = serde_json::from_slice(&body)
        .map_err(|error| Error::Answer { question: QUESTION.to_owned(), got: error.to_string() })?;
    Ok(snapshot(&answer))
}

pub(super) async fn over_grpc(target: &Target) -> Result<Option<Snapshot>> {
    let asked =
        protobuf::ModelRequest { name: target.model.clone(), version: target.version.clone().unwrap_or_default() };
    let bytes = client::call(target, protobuf::STATISTICS, &asked.encode_to_vec(), QUESTION).await?;
    let answer = protobuf::ModelStatisticsResponse::decode(&*bytes)
        .map_err(|error| Error::Answer { question: QUESTION.to_owned(), got: error.to_string() })?;
    let counted = |duration: Option<StatisticDuration>| {
        let StatisticDuration { count, ns } = duration.unwrap_or_default();
        Counted { count, ns }
    };
    let model_stats = answer
        .model_stats
        .into_iter()
        .map(|model| {
            let stats = model.inference_stats.unwrap_or_default();
            let inference_stats = Durations {
                success: counted(stats.success),
                fail: counted(stats.fail),
                queue: counted(stats.queue),
                compute_input: counted(stats.compute_input),
                compute_infer: counted(stats.compute_infer),
                compute_output: counted(stats.compute_output),
                cache_hit: counted(stats.cache_hit),
                cache_miss: counted(stats.cache_miss),
            };
            Model { inference_count: model.inference_count, execution_count: model.execution_count, inference_stats }
        })
        .collect();
    Ok(snapshot(&Answer { model_stats }))
}

/// All versions together.
fn snapshot(answer: &Answer) -> Option<Snapshot> {
    let mut snapshot = Snapshot { source: "statistics", cache_hits: Some(0.0), ..Snapshot::default() };
    for Model { inference_count, execution_count, inference_stats } in &answer.model_stats {
        let Durations { success, fail, queue, compute_input, compute_infer, compute_output, cache_hit, cache_miss } =
            inference_stats;
        for (name, Counted { count, ns }) in [
            ("total", success),
            ("queue", queue),
            ("compute_input", compute_input),
            ("compute_infer", compute_infer),
            ("compute_output", compute_output),
            ("cache_hit", cache_hit),
            ("cache_miss", cache_miss),
        ] {
            let clock: &mut Clock = snapshot.stages.entry(name.to_owned()).or_default();
            clock.count += *count as f64;
            clock.seconds += *ns as f64 / 1e9;
        }
        snapshot.batches += *execution_count as f64;
        snapshot.batch_rows += *inference_count as f64;
        snapshot.failures += fail.count as f64;
        *snapshot.cache_hits.get_or_insert(0.0) += cache_hit.count as f64;
    }
    (!answer.model_stats.is_empty()).then_some(snapshot)
}
