//! The online losses of one version: means over all labels so far and over the last ones.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use contract::{LabelRange, LossKind};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::scorer::{Label, MEASURES, Measured, Scorer};

/// A mean over all labels so far and over the sliding window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Over all labels.
    pub overall: f64,
    /// Over the last labels, as many as the settings' `window` or as there were.
    pub window: f64,
}

/// How good a version has been, measured while it served.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VersionFeedback {
    /// Model.
    pub model: String,
    /// Version.
    pub version: u32,
    /// Predicted rows that were remembered.
    pub predictions: u64,
    /// Rows that were scored.
    pub labelled: u64,
    /// Rows in the sliding window.
    pub window_labels: u64,
    /// The loss the version was trained with; the level of the quantile loss is its own, else 0.5.
    pub trained_loss: String,
    /// Online losses by name: squared, classic and quantile; quantile alone for several levels; logistic and hinge; or softmax and
    /// hinge. Empty without labels.
    pub losses: BTreeMap<String, Summary>,
    /// `rmse` and `mae`; `coverage`, the part of the labels between the lowest and the highest quantile, and `width`, how far these are
    /// apart; or `accuracy`. Empty without labels.
    pub quality: BTreeMap<String, Summary>,
}

/// Counts and sums of one version.
#[derive(Debug)]
pub(super) struct VersionTally {
    model: Arc<str>,
    version: u32,
    trained_loss: LossKind,
    scorer: Scorer,
    predictions: AtomicU64,
    sums: Mutex<Sums>,
}

#[derive(Debug)]
struct Sums {
    labelled: u64,
    /// Labels seen so far, which bound the squared loss.
    range: LabelRange,
    all: Measured,
    last: VecDeque<Measured>,
}

impl VersionTally {
    pub(super) fn new(model: Arc<str>, version: u32, trained_loss: LossKind, scorer: Scorer) -> Self {
        let sums = Sums { labelled: 0, range: LabelRange::EMPTY, all: [0.0; MEASURES], last: VecDeque::new() };
        Self { model, version, trained_loss, scorer, predictions: AtomicU64::new(0), sums: Mutex::new(sums) }
    }

    pub(super) const fn model(&self) -> &Arc<str> {
        &self.model
    }

    pub(super) const fn version(&self) -> u32 {
        self.version
    }

    pub(super) const fn scorer(&self) -> &Scorer {
        &self.scorer
    }

    pub(super) fn count_predictions(&self, rows: usize) {
        self.predictions.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// Scores one row and gives its losses by name.
    pub(super) fn score(&self, scores: &[f32], label: Label, window: usize) -> BTreeMap<&'static str, f64> {
        let range = {
            let mut sums = self.sums.lock();
            if let Label::Number(number) = label {
                sums.range = sums.range.including(number);
            }
            sums.range
        };
        let measured = self.scorer.measure(scores, label, range);
        {
            let mut sums = self.sums.lock();
            sums.labelled += 1;
            sums.all.iter_mut().zip(measured).for_each(|(sum, value)| *sum += value);
            while sums.last.len() >= window {
                sums.last.pop_front();
            }
            sums.last.push_back(measured);
        }
        self.scorer.losses().iter().copied().zip(measured).collect()
    }

    pub(super) fn report(&self) -> VersionFeedback {
        let sums = self.sums.lock();
        let mean = |sum: Measured, count: f64| sum.map(|sum| sum / count);
        let overall = mean(sums.all, sums.labelled as f64);
        // Summed anew each time: a running sum would keep the rounding of all that has left the window.
        let mut window = [0.0; MEASURES];
        for measured in &sums.last {
            window.iter_mut().zip(measured).for_each(|(sum, value)| *sum += value);
        }
        let (labelled, window_labels) = (sums.labelled, sums.last.len() as u64);
        drop(sums);
        let window = mean(window, window_labels as f64);
        let (mut losses, mut quality) = (BTreeMap::new(), BTreeMap::new());
        if labelled > 0 {
            for (i, name) in self.scorer.losses().iter().enumerate() {
                losses.insert((*name).to_owned(), Summary { overall: overall[i], window: window[i] });
            }
            for ((name, overall), (_, window)) in
                self.scorer.quality(&overall).into_iter().zip(self.scorer.quality(&window))
            {
                quality.insert(name.to_owned(), Summary { overall, window });
            }
        }
        VersionFeedback {
            model: self.model.to_string(),
            version: self.version,
            predictions: self.predictions.load(Ordering::Relaxed),
            labelled,
            window_labels,
            trained_loss: self.trained_loss.to_string(),
            losses,
            quality,
        }
    }
}
