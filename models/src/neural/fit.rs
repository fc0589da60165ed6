//! The training loop: a net's parameters from encoded rows, on any device.
//!
//! Rows are uploaded once and gathered on the device (`steps`). On the CPU the same seed gives the same parameters bit for bit,
//! and a run resumed at any step those of the uninterrupted one. What is returned are the parameters of the epoch with the
//! lowest validation loss, whatever ended the training.

mod steps;

use std::{
    sync::{Arc, atomic::AtomicBool, atomic::Ordering},
    time::{Duration, Instant},
};

use burn::{
    optim::{AdamWState, AdaptiveMomentumState},
    tensor::{Device, Tensor},
};
use contract::{CurvePoint, TrainEvent, TrainingEnd};
use steps::{EpochEnd, Steps};

use super::{
    checkpoint::{Checkpoint, Progress, Snapshot},
    faults::read_values,
    loss::Objective,
    nets::{Average, NetShape, vector},
    precision::Scale,
    settings::NetSettings,
};
use crate::{Error, Result};

/// How a caller follows and ends a training run.
pub struct TrainControl {
    /// Ends the run after the present step, with the best parameters so far.
    pub stop: Arc<AtomicBool>,
    /// Told what happens, on the training thread.
    pub on_event: Box<dyn Fn(&TrainEvent) + Send + Sync>,
}

impl Default for TrainControl {
    /// Never stops and tells nobody.
    fn default() -> Self {
        Self { stop: Arc::default(), on_event: Box::new(|_| ()) }
    }
}

impl std::fmt::Debug for TrainControl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TrainControl").field("stop", &self.stop).finish_non_exhaustive()
    }
}

/// Encoded rows, row-major, one target a row as the objective wants it, and what each row weighs; nothing when all weigh the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    pub(crate) features: Vec<f32>,
    pub(crate) targets: Vec<f32>,
    pub(crate) weights: Vec<f32>,
}

/// What to train.
pub(crate) struct FitJob<'a> {
    pub(crate) shape: &'a NetShape,
    pub(crate) settings: &'a NetSettings,
    pub(crate) objective: Objective,
    /// What the scores of an ensemble's members are averaged as.
    pub(crate) average: Average,
    pub(crate) seed: u64,
    /// The device without autodiff.
    pub(crate) device: &'a Device,
    /// Its short form, for errors.
    pub(crate) device_name: &'a str,
    /// Whether the device is the host's cores, where results are reproducible to the bit.
    pub(crate) on_host: bool,
    /// When training ends at the latest.
    pub(crate) deadline: Option<Instant>,
    pub(crate) checkpoint: Option<&'a Checkpoint>,
    /// How long training goes on without a checkpoint; there is one behind every epoch anyway.
    pub(crate) checkpoint_every: Duration,
}

/// What came out.
#[derive(Clone, Debug)]
pub(crate) struct Fitted {
    /// Flat parameters of the best epoch.
    pub(crate) parameters: Vec<f32>,
    pub(crate) best_epoch: usize,
    pub(crate) curves: Vec<CurvePoint>,
    pub(crate) end: TrainingEnd,
    /// Seconds trained, those before a resume included.
    pub(crate) seconds: f64,
    /// Why training ended early on its own account, when it did.
    pub(crate) note: Option<String>,
}

/// Trains `job` on `training`, judged on `validation`.
///
/// # Errors
/// [`Error::Training`] when the loss is no number before any epoch was good, [`Error::Run`] when the device fails, and
/// what [`Checkpoint::save`] gives.
pub(crate) fn fit(
    job: &FitJob<'_>,
    training: Samples,
    validation: Samples,
    resume: Option<Snapshot>,
    control: &TrainControl,
) -> Result<Fitted> {
    let run = Run { steps: Steps::new(job, training, validation), job, control, started: Instant::now() };
    let mut state = State::new(job, run.steps.plan().layout().initial(job.seed), resume);
    let (end, note) = run.epochs(&mut state)?;
    let State { best, curves, seconds, .. } = state;
    let Some(best) = best else {
        let reason = note.unwrap_or_else(|| "no step was run".to_owned());
        return Err(Error::Training { epoch: curves.len() + 1, reason });
    };
    let parameters = run.read(best.parameters)?;
    Ok(Fitted {
        parameters,
        best_epoch: best.epoch,
        curves,
        end,
        seconds: seconds + run.started.elapsed().as_secs_f64(),
        note,
    })
}

/// The best epoch so far.
struct Best {
    epoch: usize,
    loss: f64,
    parameters: Tensor<1>,
}

/// What training changes.
struct State {
    /// Whole epochs done.
    epoch: usize,
    /// Steps done of the next one, and the sum of their mean losses.
    step: usize,
    total: f64,
    parameters: Tensor<1>,
    /// The moving average of the parameters, when there is one.
    average: Option<Tensor<1>>,
    momentum: Option<AdamWState<1>>,
    /// Of the gradients, in a run that needs one.
    scale: Option<Scale>,
    best: Option<Best>,
    curves: Vec<CurvePoint>,
    /// Seconds trained before this run, when it is a resumed one.
    seconds: f64,
}

impl State {
    fn new(job: &FitJob<'_>, initial: Vec<f32>, resume: Option<Snapshot>) -> Self {
        let upload = |values| vector(values, job.device);
        let averaged = job.settings.average > 0.0;
        let Some(Snapshot { progress, parameters, average, moment_1, moment_2, best_parameters }) = resume else {
            let parameters = upload(initial);
            return Self {
                epoch: 0,
                step: 0,
                total: 0.0,
                average: averaged.then(|| parameters.clone()),
                parameters,
                momentum: None,
                scale: Scale::new(job.settings.precision),
                best: None,
                curves: Vec::new(),
                seconds: 0.0,
            };
        };
        let Progress { epoch, step, total, steps, scale, curves, best, seconds } = progress;
        let momentum = AdaptiveMomentumState::new(steps, upload(moment_1), upload(moment_2));
        let best = best.zip(best_parameters);
        Self {
            epoch,
            step,
            total,
            parameters: upload(parameters),
            average: average.map(upload),
            momentum: Some(AdamWState::new(momentum)),
            scale,
            best: best.map(|((epoch, loss), parameters)| Best { epoch, loss, parameters: upload(parameters) }),
            curves,
            seconds,
        }
    }

    /// The parameters that are judged and kept.
    const fn judged(&self) -> &Tensor<1> {
        match &self.average {
            Some(average) => average,
            None => &self.parameters,
        }
    }
}

/// What stays the same over the epochs.
struct Run<'a> {
    steps: Steps<'a>,
    job: &'a FitJob<'a>,
    control: &'a TrainControl,
    started: Instant,
}

impl Run<'_> {
    /// Trains epoch after epoch; says why it ended and, when the loss went astray, how.
    fn epochs(&self, state: &mut State) -> Result<(TrainingEnd, Option<String>)> {
        let settings = self.job.settings;
        loop {
            if state.best.as_ref().is_some_and(|best| state.epoch - best.epoch >= settings.patience) {
                return Ok((TrainingEnd::EarlyStopped, None));
            }
            if state.epoch >= settings.epochs {
                return Ok((TrainingEnd::Completed, None));
            }
            let (begun, first) = (Instant::now(), state.step);
            let epoch = state.epoch + 1;
            let end = self.epoch(state)?;
            let stopped = match end {
                EpochEnd::Whole => None,
                EpochEnd::Stopped(end) => Some(end),
                EpochEnd::Astray(reason) => {
                    tracing::warn!(epoch, %reason, "training diverged");
                    return Ok((TrainingEnd::Diverged, Some(reason)));
                }
            };
            let whole = state.step == self.steps.steps();
            // A part of an epoch is thrown away when there is something better founded to keep.
            if let Some(end) = stopped
                && !whole
                && state.best.is_some()
            {
                return Ok((end, None));
            }
            let training_loss = state.total / state.step.max(1) as f64;
            let validation_loss = self.steps.validation_loss(state.judged())?;
            if !validation_loss.is_finite() {
                let reason = format!(
                    "the validation loss became {validation_loss} in epoch {epoch}; a lower learning rate may help"
                );
                tracing::warn!(epoch, training_loss, validation_loss, "training diverged");
                return Ok((TrainingEnd::Diverged, Some(reason)));
            }
            let best = state.best.as_ref().is_none_or(|best| validation_loss < best.loss);
            if best {
                state.best = Some(Best { epoch, loss: validation_loss, parameters: state.judged().clone() });
            }
            let seconds = self.seconds(state);
            let scale = self.job.objective.scale;
            state.curves.push(CurvePoint {
                epoch,
                training_loss: training_loss * scale,
                validation_loss: validation_loss * scale,
                seconds,
            });
            let steps = state.step - first;
            (state.epoch, state.step, state.total) = (epoch, 0, 0.0);
            if whole {
                self.save(state)?;
            }
            if let Some(point) = state.curves.last().copied() {
                let rows_per_second = (steps * self.steps.batch()) as f64 / begun.elapsed().as_secs_f64().max(1e-9);
                let epochs = settings.epochs;
                (self.control.on_event)(&TrainEvent::Epoch { point, epochs, rows_per_second, best });
            }
            if let Some(end) = stopped {
                return Ok((end, None));
            }
        }
    }

    /// The rest of an epoch.
    fn epoch(&self, state: &mut State) -> Result<EpochEnd> {
        let order = self.steps.order(state.epoch + 1);
        let mut saved = Instant::now();
        let mut seen = self.steps.seen(state.epoch + 1, state.step);
        while state.step < self.steps.steps() {
            self.steps.step(&order, state, &mut seen)?;
            let stopped = self.stopped();
            let save = self.job.checkpoint.is_some() && saved.elapsed() >= self.job.checkpoint_every;
            if save || stopped.is_some() || seen.is_full() || state.step == self.steps.steps() {
                if let Some(reason) = seen.read(self.job.device_name, &mut state.total)? {
                    return Ok(EpochEnd::Astray(reason));
                }
                if save && state.step < self.steps.steps() {
                    self.save(state)?;
                    saved = Instant::now();
                }
            }
            if let Some(end) = stopped {
                return Ok(EpochEnd::Stopped(end));
            }
        }
        Ok(EpochEnd::Whole)
    }

    fn seconds(&self, state: &State) -> f64 {
        state.seconds + self.started.elapsed().as_secs_f64()
    }

    /// Whether Ctrl-C or the deadline ends training now.
    fn stopped(&self) -> Option<TrainingEnd> {
        if self.control.stop.load(Ordering::Relaxed) {
            return Some(TrainingEnd::Interrupted);
        }
        self.job.deadline.filter(|deadline| Instant::now() >= *deadline).map(|_| TrainingEnd::TimeBudget)
    }

    fn save(&self, state: &State) -> Result<()> {
        let (Some(checkpoint), Some(momentum)) = (self.job.checkpoint, &state.momentum) else {
            return Ok(());
        };
        let AdaptiveMomentumState { time, moment_1, moment_2, max_moment_2: _ } = &momentum.momentum;
        let progress = Progress {
            epoch: state.epoch,
            step: state.step,
            total: state.total,
            steps: *time,
            scale: state.scale,
            curves: state.curves.clone(),
            best: state.best.as_ref().map(|best| (best.epoch, best.loss)),
            seconds: self.seconds(state),
        };
        let maybe = |tensor: Option<&Tensor<1>>| tensor.cloned().map(|tensor| self.read(tensor)).transpose();
        checkpoint.save(&Snapshot {
            progress,
            parameters: self.read(state.parameters.clone())?,
            average: maybe(state.average.as_ref())?,
            moment_1: self.read(moment_1.clone())?,
            moment_2: self.read(moment_2.clone())?,
            best_parameters: maybe(state.best.as_ref().map(|best| &best.parameters))?,
        })
    }

    /// Reads a vector back from the device.
    fn read(&self, tensor: Tensor<1>) -> Result<Vec<f32>> {
        Ok(read_values(self.job.device_name, tensor)?)
    }
}

#[cfg(test)]
mod tests;
