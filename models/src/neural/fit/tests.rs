use std::time::Duration;

use contract::{LabelRange, LossKind};
use parking_lot::Mutex;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

/// Rows of three numbers in −1..1 whose target is `y = sin(3a) + b·c`.
fn samples(rows: usize, seed: u64) -> Samples {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let features: Vec<f32> = (0..3 * rows).map(|_| generator.random_range(-1.0..1.0)).collect();
    let targets = features.chunks(3).map(|row| (3.0 * row[0]).sin() + row[1] * row[2]).collect();
    Samples { features, targets }
}

fn settings() -> MlpSettings {
    MlpSettings { hidden: vec![16, 8], batch_size: 32, epochs: 6, learning_rate: 1e-2, ..MlpSettings::default() }
}

struct Setup {
    shape: MlpShape,
    settings: MlpSettings,
    deadline: Option<Instant>,
    checkpoint: Option<Checkpoint>,
    resume: Option<Snapshot>,
    loss: LossKind,
}

fn setup(settings: MlpSettings) -> Setup {
    let shape = MlpShape { inputs: 3, hidden: settings.hidden.clone(), outputs: 1 };
    Setup { shape, settings, deadline: None, checkpoint: None, resume: None, loss: LossKind::Classic }
}

impl Setup {
    fn run_on(self, training: Samples, control: &TrainControl) -> Result<Fitted> {
        let device = Device::flex();
        let job = FitJob {
            shape: &self.shape,
            settings: &self.settings,
            objective: Objective { loss: self.loss, range: LabelRange::ALL, scale: 1.0 },
            seed: 11,
            device: &device,
            device_name: "cpu",
            on_host: true,
            deadline: self.deadline,
            checkpoint: self.checkpoint.as_ref(),
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
    let settings = MlpSettings { hidden: vec![32, 32], epochs: 150, patience: 30, dropout: 0.0, ..settings() };
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
    let with = |dropout| setup(MlpSettings { dropout, ..settings() }).run().parameters;
    assert_ne!(with(0.0), with(0.5));
    assert_eq!(with(0.5), with(0.5));
}

#[test]
fn a_resumed_run_is_the_uninterrupted_one_to_the_bit() {
    let directory = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::new(&directory.path().join("checkpoint"), "same".to_owned());
    let whole = setup(MlpSettings { epochs: 7, ..settings() }).run();

    let first = setup(MlpSettings { epochs: 3, ..settings() });
    let first = Setup { checkpoint: Some(checkpoint.clone()), ..first }.run();
    assert_eq!(first.curves.len(), 3);
    let second = setup(MlpSettings { epochs: 7, ..settings() });
    let resume = checkpoint.load(second.shape.parameters()).unwrap();
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
    let settings = MlpSettings { epochs: 500, patience: 4, dropout: 0.0, ..settings() };
    let fitted = setup(settings).run_on(training, &TrainControl::default()).unwrap();
    assert_eq!(fitted.end, TrainingEnd::EarlyStopped);
    assert_eq!(fitted.curves.len(), fitted.best_epoch + 4);
    let best = fitted.curves[fitted.best_epoch - 1].validation_loss;
    assert!(fitted.curves[fitted.best_epoch..].iter().all(|point| point.validation_loss >= best));
}

#[test]
fn the_kept_parameters_are_those_of_the_best_epoch() {
    let settings = MlpSettings { epochs: 40, learning_rate: 0.05, ..settings() };
    let fitted = setup(settings.clone()).run();
    let until_best = setup(MlpSettings { epochs: fitted.best_epoch, ..settings }).run();
    assert_eq!(fitted.parameters, until_best.parameters);
    assert!(fitted.best_epoch < fitted.curves.len(), "the test needs a run that got worse");
}

#[test]
fn a_spent_budget_keeps_what_there_is() {
    let setup = Setup { deadline: Some(Instant::now()), ..setup(settings()) };
    let fitted = setup.run();
    assert_eq!((fitted.end, fitted.curves.len()), (TrainingEnd::TimeBudget, 1));

    let long = MlpSettings { epochs: 1_000_000, patience: 1_000_000, ..settings() };
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
    assert_eq!(
        error,
        "training stopped at epoch 1: the training loss became NaN in epoch 1; a lower learning rate may help"
    );

    // A good start, then a step size that no float survives.
    let directory = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::new(&directory.path().join("checkpoint"), "same".to_owned());
    let first = setup(MlpSettings { epochs: 2, ..settings() });
    let good = Setup { checkpoint: Some(checkpoint.clone()), ..first }.run();
    let wild = setup(MlpSettings { learning_rate: 1e30, ..settings() });
    let resume = checkpoint.load(wild.shape.parameters()).unwrap();
    let fitted = Setup { resume: Some(resume), ..wild }.run();
    assert_eq!(fitted.end, TrainingEnd::Diverged);
    assert_eq!(fitted.parameters, good.parameters);
    assert!(fitted.note.unwrap().contains("in epoch 3"));
}

#[test]
#[ignore = "a measurement, not a check"]
fn time_of_a_step() {
    for (rows, hidden) in [(1279, vec![64]), (1279, vec![128, 128]), (1279, vec![256, 256])] {
        let settings = MlpSettings { hidden: hidden.clone(), epochs: 40, patience: 1000, ..MlpSettings::default() };
        let shape = MlpShape { inputs: 11, hidden: settings.hidden.clone(), outputs: 1 };
        let (device, mut generator) = (Device::flex(), ChaCha8Rng::seed_from_u64(1));
        let mut draw = |count| (0..count).map(|_| generator.random_range(-1.0..1.0)).collect::<Vec<f32>>();
        let samples = Samples { features: draw(11 * rows), targets: draw(rows) };
        let directory = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::new(&directory.path().join("checkpoint"), String::new());
        for checkpoint in [None, Some(&checkpoint)] {
            let job = FitJob {
                shape: &shape,
                settings: &settings,
                objective: Objective { loss: LossKind::Squared, range: LabelRange { min: -1.0, max: 1.0 }, scale: 1.0 },
                seed: 1,
                device: &device,
                device_name: "cpu",
                on_host: true,
                deadline: None,
                checkpoint,
            };
            let begun = Instant::now();
            let fitted = fit(&job, samples.clone(), samples.clone(), None, &TrainControl::default()).unwrap();
            let steps = fitted.curves.len() * 5;
            println!(
                "{hidden:?}, checkpoints {}: {:.3} ms a step, {steps} steps",
                checkpoint.is_some(),
                1e3 * begun.elapsed().as_secs_f64() / steps as f64
            );
        }
    }
}
