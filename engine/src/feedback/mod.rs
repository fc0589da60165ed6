//! Labels joined to predictions: how good each version is, measured while it serves.
//!
//! A prediction's scores are remembered when it is answered, and scored when its label comes: progressive validation, as
//! the label cannot have been seen. The most recent rows are remembered, up to a fixed number, and the oldest forgotten,
//! so memory is bounded whatever labels come. A row is scored once.
//!
//! Remembering is for the request path: the scores are copied first, then a lock is held for a push and a word of an
//! index. At most 40 bytes are kept for a prediction of one row, all of them taken when the first is remembered; 8 a row for a
//! large one, and 150 more for each row that has an entity.

mod entities;
mod memory;
mod scorer;
mod tally;

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;
use contract::{TaskSpec, Tensor, Value};
use serde::{Deserialize, Serialize};

pub use tally::{Summary, VersionFeedback};

use crate::{
    Error, Result,
    monitor::{Family, Sample, families},
};
use memory::{Memory, Remembered};
use scorer::Scorer;
use tally::VersionTally;

/// How much is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FeedbackSettings {
    /// Predicted rows that wait for their label; the oldest are forgotten first. 0 remembers none.
    pub remember_predictions: usize,
    /// Labels in the sliding window of a version, at least 1.
    pub window: usize,
}

impl Default for FeedbackSettings {
    fn default() -> Self {
        Self { remember_predictions: 200_000, window: 1000 }
    }
}

/// What a label belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedbackKey {
    /// Row i of a prediction, as `id#i`; or just `id` for a prediction of one row.
    Prediction(String),
    /// The last prediction for an entity, of one model or of any.
    Entity {
        /// Only predictions of this model; of any when none.
        model: Option<String>,
        /// The entity.
        id: String,
    },
}

impl std::fmt::Display for FeedbackKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Prediction(id) => write!(f, "prediction '{id}'"),
            Self::Entity { model: None, id } => write!(f, "entity '{id}'"),
            Self::Entity { model: Some(model), id } => write!(f, "entity '{id}' and model '{model}'"),
        }
    }
}

/// A label that was scored.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scored {
    /// The predicted row, as `id#i`.
    pub prediction: String,
    /// Model that predicted it.
    pub model: String,
    /// Version that predicted it.
    pub version: u32,
    /// Its losses, by name.
    pub losses: BTreeMap<&'static str, f64>,
}

/// Remembers predictions and scores them. Clones share everything.
#[derive(Clone, Debug)]
pub struct Feedback {
    inner: Arc<Inner>,
}

/// The tallies, by model and version. Read for every answer, changed for every new version.
type Tallies = BTreeMap<Arc<str>, BTreeMap<u32, Arc<VersionTally>>>;

#[derive(Debug)]
struct Inner {
    window: usize,
    tallies: ArcSwap<Tallies>,
    memory: Memory,
}

impl Feedback {
    /// A memory of nothing.
    #[must_use]
    pub fn new(settings: &FeedbackSettings) -> Self {
        Self {
            inner: Arc::new(Inner {
                window: settings.window.max(1),
                tallies: ArcSwap::default(),
                memory: Memory::new(settings.remember_predictions),
            }),
        }
    }

    /// Remembers the scores of an answer: `score` is the output that `task.score` names, of one row for each of
    /// `entities`.
    ///
    /// # Errors
    /// [`Error::Internal`] when the scores are not what the task promises; nothing is remembered then.
    pub fn record(
        &self,
        id: &str,
        model: &Arc<str>,
        version: u32,
        entities: Option<&[String]>,
        task: &TaskSpec,
        score: &Tensor,
    ) -> Result<()> {
        let tallies = self.inner.tallies.load();
        let known = find(&tallies, model, version);
        let made;
        let tally = if let Some(tally) = known {
            tally
        } else {
            made = self.tally(model, version, task)?;
            &made
        };
        let (columns, scores) = tally.scorer().columns(score).map_err(|reason| {
            Error::Internal(format!("output '{}' of model '{model}' version {version} {reason}", score.name()))
        })?;
        let rows = scores.len() / columns.total;
        if let Some(entities) = entities.filter(|entities| entities.len() != rows) {
            return Err(Error::Internal(format!("{} entities were named for {rows} predicted rows", entities.len())));
        }
        tally.count_predictions(rows);
        self.inner.memory.remember(id, tally, entities, columns, scores);
        Ok(())
    }

    /// Scores the remembered row of `key` against its label.
    ///
    /// # Errors
    /// [`Error::UnknownPrediction`] when no such row is remembered (any more); [`Error::BadRequest`] when the label does
    /// not fit the task or `key` names a prediction of several rows without the row; [`Error::Conflict`] when the row was
    /// scored before or its scores are not finite.
    pub fn label(&self, key: &FeedbackKey, label: &Value) -> Result<Scored> {
        let memory = &self.inner.memory;
        let unknown = || Error::UnknownPrediction { key: key.to_string() };
        let place = match key {
            FeedbackKey::Prediction(id) => memory.find(id)?,
            FeedbackKey::Entity { model, id } => memory.find_entity(model.as_deref(), id),
        };
        let place = place.ok_or_else(unknown)?;
        let Remembered { prediction, tally, scores } = memory.get(place).ok_or_else(unknown)?;
        let label = tally.scorer().parse(label)?;
        if scores.iter().any(|score| !score.is_finite()) {
            return Err(Error::Conflict(format!("prediction '{prediction}' is not a finite number and has no loss")));
        }
        if !memory.mark_labelled(place).ok_or_else(unknown)? {
            return Err(Error::Conflict(format!("prediction '{prediction}' already has its label")));
        }
        let losses = tally.score(&scores, label, self.inner.window);
        Ok(Scored { prediction, model: tally.model().to_string(), version: tally.version(), losses })
    }

    /// The online losses of every version that was recorded, by model and version.
    #[must_use]
    pub fn report(&self) -> Vec<VersionFeedback> {
        self.tallies().iter().map(|tally| tally.report()).collect()
    }

    /// The same as metric families, for [`crate::monitor::Monitor::prometheus`].
    #[must_use]
    pub fn families(&self) -> Vec<Family> {
        let (mut predictions, mut labels, mut losses, mut quality) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for report in self.report() {
            let (model, version) = (report.model.as_str(), report.version.to_string());
            predictions.push(Sample::count(&[model, &version], report.predictions));
            labels.push(Sample::count(&[model, &version], report.labelled));
            for (samples, summaries) in [(&mut losses, &report.losses), (&mut quality, &report.quality)] {
                for (name, Summary { overall, window }) in summaries {
                    samples.push(Sample::number(&[model, &version, name, "all"], *overall));
                    samples.push(Sample::number(&[model, &version, name, "window"], *window));
                }
            }
        }
        vec![
            families::FEEDBACK_PREDICTIONS.family(predictions),
            families::FEEDBACK_LABELS.family(labels),
            families::FEEDBACK_LOSS.family(losses),
            families::FEEDBACK_QUALITY.family(quality),
        ]
    }

    /// Drops a version from the report. Its remembered rows stay until they are forgotten, and score nowhere.
    pub fn forget(&self, model: &str, version: u32) {
        self.inner.tallies.rcu(|tallies| {
            let mut tallies = Tallies::clone(tallies);
            if let Some(versions) = tallies.get_mut(model) {
                versions.remove(&version);
                if versions.is_empty() {
                    tallies.remove(model);
                }
            }
            tallies
        });
    }

    /// Rows remembered now.
    #[must_use]
    pub fn remembered_rows(&self) -> usize {
        self.inner.memory.rows()
    }

    fn tallies(&self) -> Vec<Arc<VersionTally>> {
        self.inner.tallies.load().values().flat_map(|versions| versions.values().cloned()).collect()
    }

    /// The tally of a version that has none yet.
    fn tally(&self, model: &Arc<str>, version: u32, task: &TaskSpec) -> Result<Arc<VersionTally>> {
        let scorer = Scorer::new(task).map_err(|reason| {
            Error::Internal(format!("model '{model}' version {version} cannot be scored: {reason}"))
        })?;
        let made = Arc::new(VersionTally::new(Arc::clone(model), version, task.loss, scorer));
        self.inner.tallies.rcu(|tallies| {
            let mut tallies = Tallies::clone(tallies);
            tallies.entry(Arc::clone(model)).or_default().entry(version).or_insert_with(|| Arc::clone(&made));
            tallies
        });
        // Another thread may have been first.
        Ok(find(&self.inner.tallies.load(), model, version).map_or(made, Arc::clone))
    }
}

fn find<'a>(tallies: &'a Tallies, model: &str, version: u32) -> Option<&'a Arc<VersionTally>> {
    tallies.get(model)?.get(&version)
}

#[cfg(test)]
mod tests;
