//! The demo's clients: a few threads that talk to the API over HTTP as any client would.

use std::{thread, time::Duration};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::table::{Wine, Wines};

/// Clients at once: enough for batches to form.
const CLIENTS: usize = 16;
/// Rows of one upload or one feedback.
const CHUNK: usize = 400;

/// A client of one API.
pub(super) struct Api {
    agent: ureq::Agent,
    base: String,
}

/// The answer of `GET /v1/predict/{model}`, as far as the demo reads it.
#[derive(Deserialize)]
struct Answer {
    predictions: Vec<AnswerRow>,
}

#[derive(Deserialize)]
struct AnswerRow {
    id: String,
}

/// The answer of `POST /v1/feedback` to an array, as far as the demo reads it.
#[derive(Deserialize)]
struct Labelled {
    accepted: usize,
}

impl Api {
    /// A client of the API at `base`, such as `http://127.0.0.1:8080`.
    pub(super) fn new(base: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(30)))
            .max_idle_connections_per_host(CLIENTS)
            .http_status_as_error(false)
            .build();
        Self { agent: config.into(), base: base.to_owned() }
    }

    /// Loads every row as the features of an entity.
    pub(super) fn load_features(&self, view: &str, wines: &Wines) -> Result<()> {
        for chunk in wines.rows.chunks(CHUNK) {
            let rows: Vec<Value> = chunk
                .iter()
                .map(|wine| {
                    let mut row = serde_json::Map::from_iter([("id".to_owned(), json!(wine.id))]);
                    row.extend(wines.features.iter().cloned().zip(wine.values.iter().map(|value| json!(value))));
                    Value::Object(row)
                })
                .collect();
            let url = format!("{}/v1/features/{view}", self.base);
            read::<Value>(self.agent.put(url).send_json(json!({ "rows": rows })))?;
        }
        Ok(())
    }

    /// Asks for every live wine once, by entity id, from many clients at once; gives each prediction's id with the wine.
    pub(super) fn predict_entities<'w>(
        &self,
        model: &str,
        query: &str,
        wines: &'w Wines,
    ) -> Result<Vec<(String, &'w Wine)>> {
        let live: Vec<&Wine> = wines.live().collect();
        in_parallel(&live, |wine| {
            let url = format!("{}/v1/predict/{model}?ids={}{query}", self.base, wine.id);
            let answer: Answer = read(self.agent.get(url).call())?;
            let row = answer.predictions.into_iter().next().context("an answer without a prediction")?;
            Ok((row.id, *wine))
        })
    }

    /// Sends the live wines as tensors of the Open Inference Protocol, `rows` wines a request.
    pub(super) fn infer(&self, model: &str, wines: &Wines, rows: usize) -> Result<usize> {
        let live: Vec<&Wine> = wines.live().collect();
        let requests: Vec<&[&Wine]> = live.chunks(rows).collect();
        let answers = in_parallel(&requests, |chunk| {
            let data: Vec<&[f64]> = chunk.iter().map(|wine| wine.values.as_slice()).collect();
            let body = json!({ "inputs": [{
                "name": "features", "shape": [data.len(), wines.features.len()], "datatype": "FP32", "data": data,
            }]});
            read::<Value>(self.agent.post(format!("{}/v2/models/{model}/infer", self.base)).send_json(body))
        })?;
        Ok(answers.len())
    }

    /// Tells what the tasters said about the wines of these predictions.
    pub(super) fn feedback(&self, predictions: &[(String, &Wine)]) -> Result<()> {
        for chunk in predictions.chunks(CHUNK) {
            let labels: Vec<Value> =
                chunk.iter().map(|(id, wine)| json!({ "prediction": id, "label": wine.quality })).collect();
            let results: Labelled = read(self.agent.post(format!("{}/v1/feedback", self.base)).send_json(labels))?;
            if results.accepted != chunk.len() {
                bail!("the demo's own API took {} of {} labels", results.accepted, chunk.len());
            }
        }
        Ok(())
    }
}

/// The JSON body of an answer; an answer that is not 200 is an error that shows its body.
fn read<T: DeserializeOwned>(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<T> {
    let mut answer = answer.context("the demo's own API does not answer")?;
    if !answer.status().is_success() {
        let body = answer.body_mut().read_to_string().unwrap_or_default();
        bail!("the demo's own API answered {}: {body}", answer.status());
    }
    Ok(answer.body_mut().read_json()?)
}

/// Runs `work` on all items from [`CLIENTS`] threads; the results keep the items' order.
fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> Result<R> + Sync) -> Result<Vec<R>> {
    let share = items.len().div_ceil(CLIENTS).max(1);
    thread::scope(|scope| {
        let threads: Vec<_> = items
            .chunks(share)
            .map(|chunk| scope.spawn(|| chunk.iter().map(&work).collect::<Result<Vec<R>>>()))
            .collect();
        let mut results = Vec::with_capacity(items.len());
        for thread in threads {
            results.extend(thread.join().map_err(|_| anyhow::anyhow!("a client of the demo panicked"))??);
        }
        Ok(results)
    })
}
