//! The training loop: a perceptron's parameters from encoded rows, on any device.
//!
//! Rows are uploaded once and gathered on the device; losses are accumulated there and read back once an epoch. On the CPU
//! the same seed gives the same parameters bit for bit, and a resumed run those of the uninterrupted one. What is returned
//! are the parameters of the epoch with the lowest validation loss, whatever ended the training.

use std::{
    sync::{Arc, atomic::AtomicBool, atomic::Ordering},
    time::Instant,
};

use burn::{
    optim::{AdamW, AdamWConfig, AdamWState, AdaptiveMomentumState, Optimizer},
    tensor::{Device, Int, Tensor, TensorData},
};
use contract::{CurvePoint, TrainEvent, TrainingEnd};

use super::{
    checkpoint::{Checkpoint, Progress, Snapshot},
    faults::{read_values, run_error},
    loss::Objective,
    mlp::{Mlp, MlpShape, matrix, vector},
    sampler::Sampler,
    settings::MlpSettings,
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

/// Encoded rows, row-major, and one target a row as the objective wants it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    pub(crate) features: Vec<f32>,
    pub(crate) targets: Vec<f32>,
}

/// What to train.
pub(crate) struct FitJob<'a> {
    pub(crate) shape: &'a MlpShape,
    pub(crate) settings: &'a MlpSettings,
    pub(crate) objective: Objective,
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

/// Rows scored at once when the validation loss is taken, which bounds its memory.
const VALIDATION_ROWS: usize = 4096;

/// Steps between two waits for a device that runs behind the host, so that deadlines and Ctrl-C mean device time.
const STEPS_PER_SYNC: usize = 64;

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
    let run = Run::new(job, training, validation, control);
    let mut state = State::new(job, resume);
    let (end, note) = run.epochs(&mut state)?;
    let State { best, curves, seconds, epoch: _, parameters: _, momentum: _ } = state;
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

/// What an epoch changes.
struct State {
    epoch: usize,
    parameters: Tensor<1>,
    momentum: Option<AdamWState<1>>,
    best: Option<Best>,
    curves: Vec<CurvePoint>,
    /// Seconds trained before this run, when it is a resumed one.
    seconds: f64,
}

impl State {
    fn new(job: &FitJob<'_>, resume: Option<Snapshot>) -> Self {
        let Some(Snapshot { progress, parameters, moment_1, moment_2, best_parameters }) = resume else {
            return Self {
                epoch: 0,
                parameters: vector(job.shape.initial_parameters(job.seed), job.device),
                momentum: None,
                best: None,
                curves: Vec::new(),
                seconds: 0.0,
            };
        };
        let Progress { epoch, steps, curves, best_epoch, best_loss, seconds } = progress;
        let upload = |values| vector(values, job.device);
        let momentum = AdaptiveMomentumState::new(steps, upload(moment_1), upload(moment_2));
        Self {
            epoch,
            parameters: upload(parameters),
            momentum: Some(AdamWState::new(momentum)),
            best: Some(Best { epoch: best_epoch, loss: best_loss, parameters: upload(best_parameters) }),
            curves,
            seconds,
        }
    }
}

/// What stays the same over the epochs.
struct Run<'a> {
    job: &'a FitJob<'a>,
    control: &'a TrainControl,
    optimizer: AdamW,
    sampler: Sampler,
    features: Tensor<2>,
    targets: Tensor<2>,
    validation_features: Tensor<2>,
    validation_targets: Tensor<2>,
    /// Rows per step, and steps per epoch.
    batch: usize,
    steps: usize,
    started: Instant,
}

/// How far an epoch came.
struct EpochEnd {
    steps: usize,
    /// Sum over the steps of their mean losses, on the device.
    total: Tensor<1>,
    stopped: Option<TrainingEnd>,
}

impl<'a> Run<'a> {
    fn new(job: &'a FitJob<'a>, training: Samples, validation: Samples, control: &'a TrainControl) -> Self {
        let started = Instant::now();
        let rows = training.targets.len();
        let steps = rows.div_ceil(job.settings.batch_size.max(1)).max(1);
        let optimizer =
            AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(job.settings.weight_decay as f32).build();
        let width = job.shape.inputs;
        Self {
            job,
            control,
            optimizer,
            sampler: Sampler::new(job.seed),
            features: matrix(training.features, width, job.device),
            targets: matrix(training.targets, 1, job.device),
            validation_features: matrix(validation.features, width, job.device),
            validation_targets: matrix(validation.targets, 1, job.device),
            batch: rows / steps,
            steps,
            started,
        }
    }

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
            let begun = Instant::now();
            let epoch = state.epoch + 1;
            let EpochEnd { steps, total, stopped } = self.epoch(epoch, state)?;
            match stopped {
                // A part of an epoch is thrown away when there is something better founded to keep.
                Some(end) if steps < self.steps && state.best.is_some() => return Ok((end, None)),
                Some(_) | None => {}
            }
            let mean = total.div_scalar(steps as f64);
            let losses = self.read(Tensor::cat(vec![mean, self.validation_loss(&state.parameters)], 0))?;
            let [training_loss, validation_loss] = losses.as_slice() else {
                return Err(Error::Training { epoch, reason: format!("expected two losses, got {}", losses.len()) });
            };
            let (training_loss, validation_loss) = (f64::from(*training_loss), f64::from(*validation_loss));
            if let Some(reason) = diverged(epoch, training_loss, validation_loss) {
                tracing::warn!(epoch, training_loss, validation_loss, "training diverged");
                return Ok((TrainingEnd::Diverged, Some(reason)));
            }
            state.epoch = epoch;
            let best = state.best.as_ref().is_none_or(|best| validation_loss < best.loss);
            if best {
                state.best = Some(Best { epoch, loss: validation_loss, parameters: state.parameters.clone() });
            }
            let seconds = state.seconds + self.started.elapsed().as_secs_f64();
            let scale = self.job.objective.scale;
            let point = CurvePoint {
                epoch,
                training_loss: training_loss * scale,
                validation_loss: validation_loss * scale,
                seconds,
            };
            state.curves.push(point);
            if steps == self.steps {
                self.save(state, seconds)?;
            }
            let rows_per_second = (steps * self.batch) as f64 / begun.elapsed().as_secs_f64().max(1e-9);
            let epochs = settings.epochs;
            (self.control.on_event)(&TrainEvent::Epoch { point, epochs, rows_per_second, best });
            if let Some(end) = stopped {
                return Ok((end, None));
            }
        }
    }

    fn epoch(&self, epoch: usize, state: &mut State) -> Result<EpochEnd> {
        let job = self.job;
        let rows = self.batch * self.steps;
        let mut order = self.sampler.order(epoch, self.targets.dims()[0]);
        order.truncate(rows);
        let order: Tensor<1, Int> = Tensor::from_data(TensorData::new(order, [rows]), job.device);
        let mut masks = self.sampler.masks(epoch, &job.shape.hidden, job.settings.dropout, job.device, job.on_host);
        let mut total = Tensor::<1>::zeros([1], job.device);
        for step in 0..self.steps {
            let picked = order.clone().slice([step * self.batch..(step + 1) * self.batch]);
            let mlp = Mlp::new(job.shape, &state.parameters).tracked();
            let scores = mlp.forward(self.features.clone().select(0, picked.clone()), &masks.next(self.batch));
            let loss = job.objective.per_row(scores, self.targets.clone().select(0, picked)).mean();
            total = total + loss.clone().inner();
            let gradient = self.clipped(mlp.flat_gradient(&mut loss.backward()));
            let parameters = state.parameters.clone();
            let momentum = state.momentum.take();
            (state.parameters, state.momentum) =
                self.optimizer.step(job.settings.learning_rate, parameters, gradient, momentum);
            if !job.on_host && (step + 1) % STEPS_PER_SYNC == 0 {
                job.device.sync().map_err(|error| run_error(job.device_name, &error))?;
            }
            if let Some(end) = self.stopped() {
                return Ok(EpochEnd { steps: step + 1, total, stopped: Some(end) });
            }
        }
        Ok(EpochEnd { steps: self.steps, total, stopped: None })
    }

    /// Whether Ctrl-C or the deadline ends training now.
    fn stopped(&self) -> Option<TrainingEnd> {
        if self.control.stop.load(Ordering::Relaxed) {
            return Some(TrainingEnd::Interrupted);
        }
        self.job.deadline.filter(|deadline| Instant::now() >= *deadline).map(|_| TrainingEnd::TimeBudget)
    }

    /// The gradient, shortened to the largest length allowed.
    fn clipped(&self, gradient: Tensor<1>) -> Tensor<1> {
        let length = gradient.clone().square().sum().sqrt();
        let factor = length.add_scalar(1e-12).recip().mul_scalar(self.job.settings.gradient_clip).clamp_max(1.0);
        gradient.mul(factor)
    }

    /// Mean loss on the held-out rows, `[1]`, left on the device.
    fn validation_loss(&self, parameters: &Tensor<1>) -> Tensor<1> {
        let mlp = Mlp::new(self.job.shape, parameters);
        let rows = self.validation_targets.dims()[0];
        let mut total = Tensor::<1>::zeros([1], self.job.device);
        for start in (0..rows).step_by(VALIDATION_ROWS) {
            let end = rows.min(start + VALIDATION_ROWS);
            let scores = mlp.forward(self.validation_features.clone().slice([start..end]), &[]);
            let targets = self.validation_targets.clone().slice([start..end]);
            total = total + self.job.objective.per_row(scores, targets).sum();
        }
        total.div_scalar(rows.max(1) as f64)
    }

    fn save(&self, state: &State, seconds: f64) -> Result<()> {
        let (Some(checkpoint), Some(momentum), Some(best)) = (self.job.checkpoint, &state.momentum, &state.best) else {
            return Ok(());
        };
        let AdaptiveMomentumState { time, moment_1, moment_2, max_moment_2: _ } = &momentum.momentum;
        let progress = Progress {
            epoch: state.epoch,
            steps: *time,
            curves: state.curves.clone(),
            best_epoch: best.epoch,
            best_loss: best.loss,
            seconds,
        };
        checkpoint.save(&Snapshot {
            progress,
            parameters: self.read(state.parameters.clone())?,
            moment_1: self.read(moment_1.clone())?,
            moment_2: self.read(moment_2.clone())?,
            best_parameters: self.read(best.parameters.clone())?,
        })
    }

    /// Reads a vector back from the device.
    fn read(&self, tensor: Tensor<1>) -> Result<Vec<f32>> {
        Ok(read_values(self.job.device_name, tensor)?)
    }
}

/// What is wrong with the losses of an epoch, if anything.
fn diverged(epoch: usize, training_loss: f64, validation_loss: f64) -> Option<String> {
    let (which, value) = if !training_loss.is_finite() {
        ("training", training_loss)
    } else if !validation_loss.is_finite() {
        ("validation", validation_loss)
    } else {
        return None;
    };
    Some(format!("the {which} loss became {value} in epoch {epoch}; a lower learning rate may help"))
}

#[cfg(test)]
mod tests;
