//! The steps of training: batches gathered on the device, gradients, and what `AdamW` makes of them.

use std::sync::Arc;

use burn::{
    optim::{AdamW, AdamWConfig, Optimizer},
    tensor::{Int, Tensor, TensorData},
};
use contract::TrainingEnd;

use super::{FitJob, Samples, State};
use crate::{
    Result,
    neural::{
        faults::read_values,
        nets::{Mode, Net, NetShape, Plan, Role, matrix, vector},
        sampler::Sampler,
    },
};

/// Rows scored at once when the validation loss is taken, which bounds its memory.
const VALIDATION_ROWS: usize = 4096;

/// Steps between two waits for a device that runs behind the host, so that deadlines and Ctrl-C mean device time, and a loss that
/// goes astray is noticed.
const STEPS_PER_READ: usize = 64;

/// How an epoch ended.
pub(super) enum EpochEnd {
    Whole,
    Stopped(TrainingEnd),
    /// The loss became no number; how.
    Astray(String),
}

/// Rows on the device, and how they are learned from.
pub(super) struct Steps<'a> {
    job: &'a FitJob<'a>,
    plan: Arc<Plan>,
    optimizer: AdamW,
    /// 1 where weight decay shrinks; none when it shrinks nothing.
    decay: Option<Tensor<1>>,
    sampler: Sampler,
    training: Uploaded,
    validation: Uploaded,
    /// Rows per step, and steps per epoch.
    batch: usize,
    steps: usize,
}

struct Uploaded {
    features: Tensor<2>,
    targets: Tensor<2>,
    weights: Option<Tensor<2>>,
}

impl Uploaded {
    fn new(samples: Samples, width: usize, job: &FitJob<'_>) -> Self {
        let Samples { features, targets, weights } = samples;
        Self {
            features: matrix(features, width, job.device),
            targets: matrix(targets, 1, job.device),
            weights: (!weights.is_empty()).then(|| matrix(weights, 1, job.device)),
        }
    }

    fn rows(&self) -> usize {
        self.targets.dims()[0]
    }
}

impl<'a> Steps<'a> {
    pub(super) fn new(job: &'a FitJob<'a>, training: Samples, validation: Samples) -> Self {
        let rows = training.targets.len();
        let steps = rows.div_ceil(job.settings.batch_size.max(1)).max(1);
        let plan = Arc::new(Plan::new(job.shape.clone(), job.device).in_precision(job.settings.precision));
        let decay = plan.layout().decay();
        let decays = job.settings.weight_decay > 0.0 && decay.contains(&1.0);
        Self {
            job,
            optimizer: AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(0.0).build(),
            decay: decays.then(|| vector(decay, job.device)),
            plan,
            sampler: Sampler::new(job.seed),
            training: Uploaded::new(training, job.shape.inputs, job),
            validation: Uploaded::new(validation, job.shape.inputs, job),
            batch: rows / steps,
            steps,
        }
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Rows per step.
    pub(super) const fn batch(&self) -> usize {
        self.batch
    }

    /// Steps per epoch.
    pub(super) const fn steps(&self) -> usize {
        self.steps
    }

    /// The rows of epoch `epoch`, in their order.
    pub(super) fn order(&self, epoch: usize) -> Tensor<1, Int> {
        let rows = self.batch * self.steps;
        let mut order = self.sampler.order(epoch, self.training.rows());
        order.truncate(rows);
        Tensor::from_data(TensorData::new(order, [rows]), self.job.device)
    }

    /// To see the losses of epoch `epoch` from step `step` on.
    pub(super) fn seen(&self, epoch: usize, step: usize) -> Seen {
        let most = if self.job.on_host { 1 } else { STEPS_PER_READ };
        Seen { epoch, step, most, losses: Vec::new(), lengths: Vec::new(), length: 0.0 }
    }

    /// One step of the state's epoch.
    ///
    /// # Errors
    /// What the device answers where the host has to look at the gradient.
    pub(super) fn step(&self, order: &Tensor<1, Int>, state: &mut State, seen: &mut Seen) -> Result<()> {
        let (job, settings) = (self.job, self.job.settings);
        let net = Net::new(&self.plan, &state.parameters).tracked();
        let mut noise = self.sampler.noise(state.epoch + 1, state.step, job.device, job.on_host);
        let parts = settings.accumulation.min(self.batch).max(1);
        let mut sum: Option<(Tensor<1>, Tensor<1>)> = None;
        let mut statistics = Vec::new();
        for part in 0..parts {
            let (start, end) = (part * self.batch / parts, (part + 1) * self.batch / parts);
            let picked = order.clone().narrow(0, state.step * self.batch + start, end - start);
            let rows = self.training.features.clone().select(0, picked.clone());
            let passed = net.forward(rows, Mode::Train(&mut noise));
            statistics = passed.statistics;
            let [rows, members, outputs] = passed.scores.dims();
            let each = |values: &Tensor<2>| {
                let values = values.clone().select(0, picked.clone());
                if members == 1 {
                    return values;
                }
                values.unsqueeze_dim::<3>(1).expand([rows, members, 1]).reshape([rows * members, 1])
            };
            // The mean of the members' losses, not the loss of their mean: each learns the task by itself.
            let scores = passed.scores.reshape([rows * members, outputs]);
            let targets = each(&self.training.targets);
            let losses = job.objective.smoothed(scores, targets, settings.label_smoothing);
            let losses = match &self.training.weights {
                Some(weights) => losses * each(weights),
                None => losses,
            };
            // Parts may differ by a row: each counts as what it holds.
            let loss = losses.mean().mul_scalar((end - start) as f64 / self.batch as f64);
            let scaled = match &state.scale {
                Some(scale) => loss.clone().mul_scalar(scale.factor()),
                None => loss.clone(),
            };
            let gradient = net.gradient(&mut scaled.backward());
            let loss = loss.inner();
            sum = Some(match sum {
                Some((total, gradients)) => (total + loss, gradients + gradient),
                None => (loss, gradient),
            });
        }
        let Some((loss, mut gradient)) = sum else { return Ok(()) };
        if let Some(scale) = &state.scale {
            gradient = gradient.div_scalar(scale.factor());
        }
        let (gradient, length) = self.clipped(gradient);
        seen.losses.push(loss);
        if let Some(scale) = &mut state.scale {
            let finite = read_values(job.device_name, length.clone())?.iter().all(|length| length.is_finite());
            if !scale.note(finite) {
                seen.lengths.push(length.zeros_like());
                state.step += 1;
                return Ok(());
            }
        }
        seen.lengths.push(length);
        self.update(state, gradient, statistics);
        state.step += 1;
        Ok(())
    }

    /// What the gradient of a step makes of the state.
    fn update(&self, state: &mut State, gradient: Tensor<1>, statistics: Vec<Tensor<1>>) {
        let settings = self.job.settings;
        let most = settings.epochs.saturating_mul(self.steps);
        let rate = settings.learning_rate * settings.schedule.factor(state.epoch * self.steps + state.step, most);
        let mut parameters = state.parameters.clone();
        if let Some(decay) = &self.decay {
            parameters = parameters * decay.clone().mul_scalar(-rate * settings.weight_decay).add_scalar(1.0);
        }
        (parameters, state.momentum) = self.optimizer.step(rate, parameters, gradient, state.momentum.take());
        let kept = self.plan.layout().parameters().iter().filter(|parameter| parameter.role == Role::Statistic);
        for (parameter, values) in kept.zip(statistics) {
            parameters = parameters.slice_assign([parameter.range.clone()], values);
        }
        if let Some(average) = state.average.take() {
            let part = settings.average;
            state.average = Some(average.mul_scalar(part) + parameters.clone().mul_scalar(1.0 - part));
        }
        state.parameters = parameters;
    }

    /// The gradient, shortened to the largest length allowed, and how long it was.
    fn clipped(&self, gradient: Tensor<1>) -> (Tensor<1>, Tensor<1>) {
        let length = gradient.clone().square().sum().sqrt();
        let clip = self.job.settings.gradient_clip;
        let factor = length.clone().add_scalar(1e-12).recip().mul_scalar(clip).clamp_max(1.0);
        (gradient.mul(factor), length)
    }

    /// Mean loss on the held-out rows.
    pub(super) fn validation_loss(&self, parameters: &Tensor<1>) -> Result<f64> {
        let job = self.job;
        let net = Net::new(&self.plan, parameters);
        let rows = self.validation.rows();
        let mut total = Tensor::<1>::zeros([1], job.device);
        for start in (0..rows).step_by(VALIDATION_ROWS) {
            let part = |values: &Tensor<2>| values.clone().narrow(0, start, VALIDATION_ROWS.min(rows - start));
            let passed = net.forward(part(&self.validation.features), Mode::Serve);
            let scores = NetShape::averaged(passed.scores, job.average);
            let losses = job.objective.per_row(scores, part(&self.validation.targets));
            let losses = match &self.validation.weights {
                Some(weights) => losses * part(weights),
                None => losses,
            };
            total = total + losses.sum();
        }
        let total = read_values(job.device_name, total)?.first().copied().unwrap_or(0.0);
        Ok(f64::from(total) / rows.max(1) as f64)
    }
}

/// What steps gave that the host has not read yet.
pub(super) struct Seen {
    epoch: usize,
    /// The first of them.
    step: usize,
    most: usize,
    losses: Vec<Tensor<1>>,
    lengths: Vec<Tensor<1>>,
    /// How long the gradient was last.
    length: f32,
}

impl Seen {
    /// Whether it is time to read.
    pub(super) const fn is_full(&self) -> bool {
        self.losses.len() >= self.most
    }

    /// Adds the losses to `total`; says what went astray, if anything.
    pub(super) fn read(&mut self, device: &str, total: &mut f64) -> Result<Option<String>> {
        let steps = self.losses.len();
        if steps == 0 {
            return Ok(None);
        }
        let tensors = self.losses.drain(..).chain(self.lengths.drain(..)).collect();
        let values = read_values(device, Tensor::cat(tensors, 0))?;
        let (losses, lengths) = values.split_at(steps);
        for (loss, length) in losses.iter().zip(lengths) {
            self.step += 1;
            let Self { epoch, step, length: before, .. } = self;
            let wrong = |what: &str, value: f32| {
                format!(
                    "{what} became {value} at step {step} of epoch {epoch}, where the gradient before was {before:.3e} long; a lower \
                     learning rate may help"
                )
            };
            if !loss.is_finite() {
                return Ok(Some(wrong("the training loss", *loss)));
            }
            if !length.is_finite() {
                return Ok(Some(wrong("the gradient's length", *length)));
            }
            self.length = *length;
            *total += f64::from(*loss);
        }
        Ok(None)
    }
}
