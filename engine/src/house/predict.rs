//! Predictions in the three forms they are asked for, each remembered for feedback.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use chrono::Utc;
use contract::{ColumnSpec, Value};

use super::Engine;
use crate::{
    Error, Result,
    features::{FeatureRow, to_tensors},
    registry::VersionSelector,
    serve::{CacheUse, Deployment, PredictRequest, Prediction},
};

impl Engine {
    /// Answers a request, explains the answer if that is asked for, and remembers its scores for feedback; `entities` names the
    /// row's entities, if it has any.
    ///
    /// # Errors
    /// As [`Serving::predict`](crate::serve::Serving::predict), but a version that is registered and does not serve is
    /// [`Error::NotReady`]. Of an explanation, [`Error::Explaining`] when too many are under way, and
    /// [`InputError::Unexplained`](contract::InputError::Unexplained) for a model that has none.
    pub async fn predict(&self, request: PredictRequest, entities: Option<&[String]>) -> Result<Prediction> {
        if request.explain {
            // On the heap, so that requests that ask for none need no room for it.
            return Box::pin(self.predict_explained(request, entities)).await;
        }
        let prediction = self.serving.predict(request).await.map_err(|error| self.explained(error))?;
        self.remember(&prediction, entities);
        Ok(prediction)
    }

    async fn predict_explained(&self, request: PredictRequest, entities: Option<&[String]>) -> Result<Prediction> {
        let place = self.explaining.enter()?;
        let (began, inputs, asked) = (Instant::now(), request.inputs.clone(), request.timeout);
        let mut prediction = self.serving.predict(request).await.map_err(|error| self.explained(error))?;
        let longest = self.serving.settings().request_timeout;
        let left = asked.map_or(longest, |asked| asked.min(longest)).saturating_sub(began.elapsed());
        let began = Instant::now();
        prediction.explanation = self.explained_by(place, Arc::clone(&prediction.host), inputs, left).await?;
        prediction.timing.explained(began.elapsed());
        self.remember(&prediction, entities);
        Ok(prediction)
    }

    /// Predicts entities from their rows in feature view `view`; `cache` is what the prediction cache may do.
    ///
    /// # Errors
    /// As [`Engine::predict`]; [`Error::UnknownView`]; [`Error::UnknownEntities`], naming all that have no row;
    /// [`Error::BadRequest`] for a model without columns.
    pub async fn predict_entities(
        &self,
        model: &str,
        selector: VersionSelector,
        view: &str,
        ids: &[String],
        cache: CacheUse,
    ) -> Result<Prediction> {
        // An unknown model is told before an unknown view, which usually bears its name.
        columns(&self.deployment(model, &selector)?)?;
        let rows = self.feature_rows(view, ids)?;
        self.predict_columns(model, selector, &rows, Some(ids), (cache, false)).await
    }

    /// Predicts rows as they are: a value or null for each column of the model, and no others, so that a misspelt column
    /// is not taken for a missing value. `explain` says whether the answer shall be explained.
    ///
    /// # Errors
    /// As [`Engine::predict`]; [`Error::BadRequest`] for rows without or with other columns, and for a model without any.
    pub async fn predict_rows(
        &self,
        model: &str,
        selector: VersionSelector,
        rows: Vec<BTreeMap<String, Value>>,
        cache: CacheUse,
        explain: bool,
    ) -> Result<Prediction> {
        let now = Utc::now();
        let rows: Vec<_> = rows.into_iter().map(|values| FeatureRow { values, updated_at: now }).collect();
        self.predict_columns(model, selector, &rows, None, (cache, explain)).await
    }

    /// Predicts rows by the columns of the version that `selector` means now. Should that version go before it answered, the
    /// one that came in its place answers by its own columns.
    async fn predict_columns(
        &self,
        model: &str,
        selector: VersionSelector,
        rows: &[FeatureRow],
        entities: Option<&[String]>,
        (cache, explain): (CacheUse, bool),
    ) -> Result<Prediction> {
        loop {
            let deployment = self.deployment(model, &selector)?;
            let columns = columns(&deployment)?;
            if entities.is_none() {
                for (number, row) in rows.iter().enumerate() {
                    check_columns(number, &row.values, columns)?;
                }
            }
            let inputs = to_tensors(columns, rows)?;
            let pinned = VersionSelector::Version(deployment.version());
            let request = PredictRequest { selector: pinned, cache, explain, ..PredictRequest::new(model, inputs) };
            match self.predict(request, entities).await {
                Err(Error::UnknownVersion { .. } | Error::NotReady { .. })
                    if self.deployment(model, &selector).is_ok_and(|now| !Arc::ptr_eq(&now, &deployment)) => {}
                answer => return answer,
            }
        }
    }

    /// The feature row of one entity.
    ///
    /// # Errors
    /// [`Error::UnknownView`], [`Error::UnknownEntities`].
    pub fn feature_row(&self, view: &str, id: &str) -> Result<FeatureRow> {
        let ids = [id.to_owned()];
        let unknown = || Error::UnknownEntities { view: view.to_owned(), ids: ids.to_vec() };
        self.feature_rows(view, &ids)?.pop().ok_or_else(unknown)
    }

    /// Stores feature rows by entity id; gives their number.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn put_features(&self, view: &str, rows: Vec<(String, BTreeMap<String, Value>)>) -> Result<usize> {
        let (features, view) = (self.features.clone(), view.to_owned());
        // It waits for the disk.
        self.off_the_web(move || features.put(&view, &rows)).await
    }

    fn feature_rows(&self, view: &str, ids: &[String]) -> Result<Vec<FeatureRow>> {
        let keys: Vec<&str> = ids.iter().map(String::as_str).collect();
        let found = self.features.get(view, &keys)?;
        let missing = |(row, id): (&Option<FeatureRow>, &String)| row.is_none().then(|| id.clone());
        let missing: Vec<_> = found.iter().zip(ids).filter_map(missing).collect();
        if missing.is_empty() {
            Ok(found.into_iter().flatten().collect())
        } else {
            Err(Error::UnknownEntities { view: view.to_owned(), ids: missing })
        }
    }

    /// Remembers the scores of an answer. An answer without its score output (it was not asked for), or of a model without
    /// a task, has nothing to be judged by.
    fn remember(&self, prediction: &Prediction, entities: Option<&[String]>) {
        let Prediction { id, model, version, outputs, explanation: _, rows: _, cache: _, host, timing: _ } = prediction;
        let Some(task) = &host.signature().task else { return };
        let Some(score) = outputs.iter().find(|output| output.name() == task.score) else { return };
        if let Err(error) = self.feedback.record(id, model, *version, entities, task, score) {
            tracing::warn!(%error, "prediction not remembered");
        }
    }
}

fn columns(deployment: &Arc<Deployment>) -> Result<&[ColumnSpec]> {
    let columns = &deployment.model().signature().columns;
    if columns.is_empty() {
        let inputs = deployment.model().signature().describe_inputs();
        let name = deployment.name();
        return Err(Error::BadRequest(format!("model '{name}' has no columns; it takes tensors only: {inputs}")));
    }
    Ok(columns)
}

fn check_columns(number: usize, row: &BTreeMap<String, Value>, columns: &[ColumnSpec]) -> Result<()> {
    for column in columns {
        if !row.contains_key(&column.name) {
            let (name, kind) = (&column.name, column.kind.name());
            return Err(Error::BadRequest(format!(
                "row {number}: expected a {kind} value or null for column '{name}', got none"
            )));
        }
    }
    if row.len() > columns.len() {
        let other = row.keys().find(|name| columns.iter().all(|column| column.name != **name));
        let known: Vec<_> = columns.iter().map(|column| format!("'{}'", column.name)).collect();
        let other = other.map_or("", String::as_str);
        return Err(Error::BadRequest(format!(
            "row {number}: expected the columns {}, got '{other}'",
            known.join(", ")
        )));
    }
    Ok(())
}
