use std::time::Duration;

use contract::{LabelRange, LossKind};
use parking_lot::Mutex;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::{
    neural::{
        EmbeddingSettings, NetName, Precision,
        nets::{Body, Transformer},
    },
    table::Segment,
};

/// Rows of three numbers in −1..1 whose target is `y = sin(3a) + b·c`.
fn samples(rows: usize, seed: u64) -> Samples {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let features: Vec<f32> = (0..3 * rows).map(|_| generator.random_range(-1.0..1.0)).collect();
    let targets = features.chunks(3).map(|row| (3.0 * row[0]).sin() + row[1] * row[2]).collect();
    Samples { features, targets, weights: Vec::new() }
}

fn settings() -> NetSettings {
    NetSettings { batch_size: 32, epochs: 6, learning_rate: 1e-2, ..NetSettings::mlp(vec![16, 8], 0.1) }
}

fn with_dropout(dropout: f64) -> NetSettings {
    NetSettings { body: Body::Mlp { hidden: vec![16, 8], dropout }, ..settings() }
}

struct Setup {
    shape: NetShape,
    settings: NetSettings,
    deadline: Option<Instant>,
    checkpoint: Option<Checkpoint>,
    /// Time between checkpoints inside of an epoch.
    every: Duration,
    resume: Option<Snapshot>,
    loss: LossKind,
}

fn setup(settings: NetSettings) -> Setup {
    let segments = (0..3).map(Segment::Number).collect();
    let shape = settings.shape(segments, 3, &samples(200, 1).features, 1);
    let every = Duration::from_secs(1000);
    Setup { shape, settings, deadline: None, checkpoint: None, every, resume: None, loss: LossKind::Classic }
}

impl Setup {
    fn run_on(self, training: Samples, control: &TrainControl) -> Result<Fitted> {
        let device = Device::flex();
        let job = FitJob {
            shape: &self.shape,
            settings: &self.settings,
            objective: Objective { loss: self.loss, range: LabelRange::ALL, scale: 1.0 },
            average: Average::Scores,
            seed: 11,
            device: &device,
            device_name: "cpu",
            on_host: true,
            deadline: self.deadline,
            checkpoint: self.checkpoint.as_ref(),
            checkpoint_every: self.every,
        };
        fit(&job, training, samples(64, 2), self.resume, control)
    }

    fn run(self) -> Fitted {
        self.run_on(samples(200, 1), &TrainControl::default()).unwrap()
    }
}

fn losses(fitted: &Fitted) -> Vec<(usize, u64, u64)> {
    let bits = |point: &CurvePoint| (point.epoch, point.training_loss.to_bits(), point.validation_loss.to_bits());
    fitted.curves.iter().map(bits).collect()
}

#[test]
fn learns_a_function() {
    let settings =
        NetSettings { epochs: 150, patience: 30, body: Body::Mlp { hidden: vec![32, 32], dropout: 0.0 }, ..settings() };
    let fitted = setup(settings).run_on(samples(1000, 1), &TrainControl::default()).unwrap();
    let best = fitted.curves[fitted.best_epoch - 1].validation_loss;
    // The target's variance is about 0.6; a net that learned nothing would stay there.
    assert!(best < 0.003, "mean squared error {best}");
    assert!(fitted.curves.iter().all(|point| point.validation_loss >= best));
}

#[test]
fn a_seed_gives_the_same_bits() {
    let (one, two) = (setup(settings()).run(), setup(settings()).run());
    assert_eq!(one.parameters, two.parameters);
    assert_eq!(losses(&one), losses(&two));
    assert_eq!(one.end, TrainingEnd::Completed);
}

#[test]
fn dropout_changes_training_and_keeps_it_reproducible() {
    let with = |dropout| setup(with_dropout(dropout)).run().parameters;
    assert_ne!(with(0.0), with(0.5));
    assert_eq!(with(0.5), with(0.5));
}

#[test]
fn a_resumed_run_is_the_uninterrupted_one_to_the_bit() {
    let directory = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::new(&directory.path().join("checkpoint"), "same".to_owned());
    let whole = setup(NetSettings { epochs: 7, ..settings() }).run();

    let first = setup(NetSettings { epochs: 3, ..settings() });
    let first = Setup { checkpoint: Some(checkpoint.clone()), ..first }.run();
    assert_eq!(first.curves.len(), 3);
    let second = setup(NetSettings { epochs: 7, ..settings() });
    let resume = checkpoint.load(second.shape.layout().len()).unwrap();
    assert_eq!(resume.progress.epoch, 3);
    let second = Setup { resume: Some(resume), checkpoint: Some(checkpoint), ..second }.run();

    assert_eq!(losses(&second), losses(&whole));
    assert_eq!(second.parameters, whole.parameters);
    assert_eq!(second.best_epoch, whole.best_epoch);
}

#[test]
fn stops_when_the_validation_loss_no_longer_falls_and_keeps_the_best() {
    // Targets that are noise: there is nothing to learn that holds on other rows.
    let mut training = samples(64, 1);
    let mut generator = ChaCha8Rng::seed_from_u64(3);
    training.targets.iter_mut().for_each(|target| *target = generator.random_range(-1.0..1.0));
    let settings = NetSettings { epochs: 500, patience: 4, ..with_dropout(0.0) };
    let fitted = setup(settings).run_on(training, &TrainControl::default()).unwrap();
    assert_eq!(fitted.end, TrainingEnd::EarlyStopped);
    assert_eq!(fitted.curves.len(), fitted.best_epoch + 4);
    let best = fitted.curves[fitted.best_epoch - 1].validation_loss;
    assert!(fitted.curves[fitted.best_epoch..].iter().all(|point| point.validation_loss >= best));
}

#[test]
fn the_kept_parameters_are_those_of_the_best_epoch() {
    let settings = NetSettings { epochs: 40, learning_rate: 0.05, ..settings() };
    let fitted = setup(settings.clone()).run();
    let until_best = setup(NetSettings { epochs: fitted.best_epoch, ..settings }).run();
    assert_eq!(fitted.parameters, until_best.parameters);
    assert!(fitted.best_epoch < fitted.curves.len(), "the test needs a run that got worse");
}

#[test]
fn a_spent_budget_keeps_what_there_is() {
    let setup = Setup { deadline: Some(Instant::now()), ..setup(settings()) };
    let fitted = setup.run();
    assert_eq!((fitted.end, fitted.curves.len()), (TrainingEnd::TimeBudget, 1));

    let long = NetSettings { epochs: 1_000_000, patience: 1_000_000, ..settings() };
    let begun = Instant::now();
    let budget = Duration::from_millis(200);
    let fitted = Setup { deadline: Some(begun + budget), ..self::setup(long) }.run();
    assert_eq!(fitted.end, TrainingEnd::TimeBudget);
    assert!(fitted.curves.len() > 1);
    assert!(begun.elapsed() >= budget && begun.elapsed() < 10 * budget);
}

#[test]
fn the_stop_flag_ends_after_the_present_epoch() {
    let stop = Arc::new(AtomicBool::new(false));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (flag, events) = (stop.clone(), seen.clone());
    let on_event = Box::new(move |event: &TrainEvent| {
        events.lock().push(event.clone());
        flag.store(events.lock().len() == 2, Ordering::Relaxed);
    });
    let control = TrainControl { stop, on_event };
    let fitted = setup(settings()).run_on(samples(200, 1), &control).unwrap();
    assert_eq!((fitted.end, fitted.curves.len()), (TrainingEnd::Interrupted, 2));
    let events = seen.lock();
    assert!(matches!(events[..], [TrainEvent::Epoch { best: true, epochs: 6, .. }, TrainEvent::Epoch { .. }]));
}

#[test]
fn divergence_keeps_the_best_or_says_when_it_began() {
    let mut hopeless = samples(64, 1);
    hopeless.targets[7] = f32::NAN;
    let error = setup(settings()).run_on(hopeless, &TrainControl::default()).unwrap_err().to_string();
    assert!(error.starts_with("training stopped at epoch 1: the training loss became NaN at step "), "{error}");
    assert!(error.contains("of epoch 1, where the gradient before was"), "{error}");

    // A good start, then a step size that no float survives.
    let directory = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::new(&directory.path().join("checkpoint"), "same".to_owned());
    let first = setup(NetSettings { epochs: 2, ..settings() });
    let good = Setup { checkpoint: Some(checkpoint.clone()), ..first }.run();
    let wild = setup(NetSettings { learning_rate: 1e30, ..settings() });
    let resume = checkpoint.load(wild.shape.layout().len()).unwrap();
    let fitted = Setup { resume: Some(resume), ..wild }.run();
    assert_eq!(fitted.end, TrainingEnd::Diverged);
    assert_eq!(fitted.parameters, good.parameters);
    assert!(fitted.note.unwrap().contains("of epoch 3"));
}

/// Every net, small.
fn each() -> Vec<NetSettings> {
    let shrink = |name| {
        let settings = NetSettings::of(name);
        let body = match settings.body {
            Body::Mlp { hidden: _, dropout } => Body::Mlp { hidden: vec![16, 8], dropout },
            Body::Tabm { members: _, hidden: _, dropout } => Body::Tabm { members: 4, hidden: vec![16], dropout },
            Body::Resnet { dropout, .. } => {
                Body::Resnet { blocks: 2, width: 8, hidden: 16, dropout, residual_dropout: 0.1 }
            }
            Body::FtTransformer(transformer) => {
                Body::FtTransformer(Transformer { blocks: 2, width: 8, heads: 2, hidden: 8, ..transformer })
            }
        };
        let embedding = match settings.embedding {
            EmbeddingSettings::PiecewiseLinear { .. } => EmbeddingSettings::PiecewiseLinear { bins: 8, width: 4 },
            EmbeddingSettings::Periodic { .. } => {
                EmbeddingSettings::Periodic { frequencies: 6, width: 4, scale: 0.5, shared: false }
            }
            EmbeddingSettings::None => EmbeddingSettings::None,
        };
        NetSettings { body, embedding, batch_size: 32, epochs: 6, learning_rate: 1e-2, ..NetSettings::of(name) }
    };
    NetName::ALL.into_iter().map(shrink).collect()
}

#[test]
fn every_net_learns_and_gives_the_same_bits_for_a_seed() {
    for settings in each() {
        let name = settings.name();
        let long = NetSettings { epochs: 40, patience: 40, ..settings.clone() };
        let fitted = setup(long).run_on(samples(600, 1), &TrainControl::default()).unwrap();
        let best = fitted.curves[fitted.best_epoch - 1].validation_loss;
        // The target's variance is about 0.6.
        assert!(best < 0.1, "{name}: mean squared error {best}");
        let (one, two) = (setup(settings.clone()).run(), setup(settings).run());
        assert_eq!(one.parameters, two.parameters, "{name}");
    }
}

#[test]
fn a_run_resumed_at_any_step_is_the_uninterrupted_one_to_the_bit() {
    let directory = tempfile::tempdir().unwrap();
    // The scale of F16's gradients is found in the first steps.
    let half = NetSettings { precision: Precision::F16, ..settings() };
    for (number, settings) in each().into_iter().chain([half]).enumerate() {
        // Everything that a step has to know of those before it.
        let schedule = crate::neural::Schedule::Cosine;
        let settings = NetSettings { epochs: 4, average: 0.9, accumulation: 3, schedule, ..settings };
        let whole = setup(settings.clone()).run();
        let path = directory.path().join(number.to_string());
        let checkpoint = Checkpoint::new(&path, "same".to_owned());
        // Stopped in the third epoch: what it did of that is thrown away, but for the checkpoint.
        let stop = Arc::new(AtomicBool::new(false));
        let flag = stop.clone();
        let epochs = Arc::new(Mutex::new(0));
        let on_event = Box::new(move |_: &TrainEvent| {
            *epochs.lock() += 1;
            flag.store(*epochs.lock() == 2, Ordering::Relaxed);
        });
        let cut = Setup { checkpoint: Some(checkpoint.clone()), every: Duration::ZERO, ..setup(settings.clone()) };
        let cut = cut.run_on(samples(200, 1), &TrainControl { stop, on_event }).unwrap();
        assert_eq!((cut.end, cut.curves.len()), (TrainingEnd::Interrupted, 2));
        let second = setup(settings);
        let resume = checkpoint.load(second.shape.layout().len()).unwrap();
        assert_eq!((resume.progress.epoch, resume.progress.step), (2, 1), "one step of the third epoch");
        let second = Setup { resume: Some(resume), ..second }.run();
        assert_eq!(losses(&second), losses(&whole), "net {number}");
        assert_eq!(second.parameters, whole.parameters, "net {number}");
    }
}

#[test]
fn half_precision_learns_as_full_precision_does() {
    for settings in each() {
        let run = |precision| {
            let settings = NetSettings { epochs: 30, patience: 30, precision, ..settings.clone() };
            let fitted = setup(settings).run_on(samples(600, 1), &TrainControl::default()).unwrap();
            assert_eq!(fitted.end, TrainingEnd::Completed, "{precision}");
            (fitted.curves[fitted.best_epoch - 1].validation_loss, fitted.parameters)
        };
        let (full, parameters) = run(Precision::F32);
        for precision in [Precision::F16, Precision::Bf16] {
            let (half, others) = run(precision);
            let name = settings.name();
            assert!(half < 1.5 * full + 0.01, "{name} in {precision}: a loss of {half}, where F32 has {full}");
            assert_ne!(parameters, others, "{name} in {precision}");
        }
    }
}

#[test]
fn gradients_that_are_too_large_for_f16_leave_steps_out_until_they_fit() {
    let directory = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::new(&directory.path().join("checkpoint"), "same".to_owned());
    // Targets of some hundreds: squares, and so gradients, that the first scale takes beyond what F16 holds.
    let mut training = samples(200, 1);
    training.targets.iter_mut().for_each(|target| *target *= 300.0);
    let settings = NetSettings { precision: Precision::F16, epochs: 3, ..with_dropout(0.0) };
    let run = Setup { checkpoint: Some(checkpoint.clone()), ..setup(settings) };
    let layout = run.shape.layout().len();
    let fitted = run.run_on(training, &TrainControl::default()).unwrap();
    assert_eq!(fitted.end, TrainingEnd::Completed);
    let progress = checkpoint.load(layout).unwrap().progress;
    let factor = progress.scale.unwrap().factor();
    let left_out = (65_536.0 / factor).log2();
    assert!(left_out >= 1.0, "the scale stayed at {factor}");
    assert_eq!(progress.steps as f64, 3.0 * 7.0 - left_out, "every other step was taken");
}

#[test]
fn a_batch_in_parts_is_the_whole_batch() {
    let run = |accumulation| setup(NetSettings { accumulation, epochs: 2, ..with_dropout(0.0) }).run().parameters;
    let (whole, parts) = (run(1), run(3));
    for (whole, parts) in whole.iter().zip(&parts) {
        // AdamW makes steps of the same length of small gradients, so that their rounding shows.
        assert!((whole - parts).abs() < 2e-3, "{whole} and {parts}");
    }
    assert_ne!(whole, parts, "sums of another order");
}

#[test]
fn rows_that_weigh_nothing_are_not_learned_from() {
    let mut spoiled = samples(200, 1);
    spoiled.weights = vec![1.0; 200];
    for (row, target) in spoiled.targets.iter_mut().enumerate().filter(|(row, _)| row % 2 == 0) {
        (*target, spoiled.weights[row]) = (1e3, 0.0);
    }
    let settings = NetSettings { epochs: 60, patience: 60, ..with_dropout(0.0) };
    let fitted = setup(settings).run_on(spoiled, &TrainControl::default()).unwrap();
    assert!(fitted.curves[fitted.best_epoch - 1].validation_loss < 0.1);
}

#[test]
fn an_average_of_parameters_is_kept_and_differs() {
    let run = |average| setup(NetSettings { average, ..settings() }).run();
    let (plain, averaged) = (run(0.0), run(0.99));
    assert_ne!(plain.parameters, averaged.parameters);
    let loss = |fitted: &Fitted| fitted.curves.iter().map(|point| point.training_loss).collect::<Vec<_>>();
    assert_eq!(loss(&plain), loss(&averaged), "training itself does not see the average");
}
