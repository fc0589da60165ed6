//! Training and serving on a GPU adapter, a software one included; skipped with the reason printed where there is none.
//!
//! Kernels are compiled and tuned at first use: `CUBECL_AUTOTUNE_LEVEL=minimal` keeps that short.

use contract::{Device, DeviceKind, Model, Tensor, TrainingEnd};
use models::neural::{
    EmbeddingSettings, NetName, NetSettings, Precision, TrainControl, TrainOptions,
    nets::{Body, Transformer},
    train,
};

use crate::{
    replica::{net, rows},
    tables::{Target, answer, csv, open, options, run},
};

/// The first wgpu adapter that can be used.
fn adapter() -> Option<Device> {
    let usable = models::device::list()
        .into_iter()
        .find(|report| report.device.kind == DeviceKind::Wgpu && report.unusable.is_none());
    if usable.is_none() {
        println!("skipped: no wgpu adapter on this machine (Debian's mesa-vulkan-drivers has a software one)");
    }
    usable.map(|report| report.device)
}

fn assert_within(got: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(expected) {
        let difference = (got - expected).abs() / expected.abs().max(1.0);
        assert!(difference <= tolerance, "{got} on the GPU, {expected} on the CPU");
    }
}

#[test]
fn a_gpu_answers_as_the_cpu_does() {
    let Some(gpu) = adapter() else { return };
    let directory = tempfile::tempdir().unwrap();
    let class = open(&run(&options(directory.path(), "class", &csv(300, 1, Target::Class))));
    let golden = class.golden().unwrap();
    let there = answer(&class, &gpu, &golden.inputs);
    assert_eq!(there[0], golden.outputs[0], "labels");
    assert_within(there[1].values::<f32>().unwrap(), golden.outputs[1].values::<f32>().unwrap(), 1e-4);

    // Two batches in flight, the second one padded; then a row alone. One bucket, because each is compiled and tuned anew.
    let (plain, _) = net(&[20, 64, 3]);
    let all = rows(25, 20);
    let expected = plain.score(plain.place(&Device::cpu()).unwrap().as_mut(), &all).unwrap();
    let expected = expected.data().as_slice::<f32>();
    let mut replica = plain.place(&gpu).unwrap();
    replica.warm(16).unwrap();
    let part = |range: std::ops::Range<usize>| {
        let mut block = contract::RowBlock::new(80);
        block.append_rows(&all, range);
        block
    };
    let tickets = [0..16, 16..25].map(|range| (replica.submit(&part(range.clone()), 16).unwrap(), range));
    let mut out = contract::RowBlock::default();
    for (ticket, range) in tickets {
        replica.collect(ticket, &mut out).unwrap();
        assert_eq!(out.rows(), range.len());
        assert_within(out.data().as_slice::<f32>(), &expected[range.start * 3..range.end * 3], 1e-4);
    }
    let ticket = replica.submit(&part(24..25), 16).unwrap();
    replica.collect(ticket, &mut out).unwrap();
    assert_within(out.data().as_slice::<f32>(), &expected[72..], 1e-4);
    assert_eq!(replica.memory().weights, 4 * (20 * 64 + 64 + 64 * 3 + 3));
}

#[test]
fn a_gpu_trains_as_the_cpu_does() {
    let Some(gpu) = adapter() else { return };
    let directory = tempfile::tempdir().unwrap();
    let table = csv(320, 1, Target::Price);
    // Without dropout both draw the same start and the same orders, so that only roundings differ.
    let model = NetSettings { epochs: 2, batch_size: 64, ..NetSettings::mlp(vec![16], 0.0) };
    let run_on = |name: &str, device: Device, dropout: f64| {
        let model = NetSettings { body: Body::Mlp { hidden: vec![16], dropout }, ..model.clone() };
        run(&TrainOptions { device, model, ..options(directory.path(), name, &table) })
    };
    let here = run_on("cpu", Device::cpu(), 0.0);
    let there = run_on("gpu", gpu.clone(), 0.0);
    assert_eq!(there.metadata.training_end, Some(TrainingEnd::Completed));
    assert_eq!(there.metadata.device.as_deref(), Some(gpu.to_string().as_str()));
    assert_eq!(here.metadata.curves.len(), there.metadata.curves.len());
    for (here, there) in here.metadata.curves.iter().zip(&there.metadata.curves) {
        let difference = (here.validation_loss - there.validation_loss).abs() / here.validation_loss;
        assert!(difference < 1e-3, "{here:?} on the CPU, {there:?} on the GPU");
    }
    // What was trained there is served here: the golden answers are the CPU's.
    let net = open(&there);
    let golden = net.golden().unwrap();
    assert_eq!(answer(&net, &Device::cpu(), &golden.inputs), golden.outputs);

    let dropped = run_on("dropout", gpu, 0.3);
    assert!(dropped.metadata.curves.iter().all(|point| point.training_loss.is_finite()));
    assert_ne!(dropped.metadata.curves[0].training_loss, there.metadata.curves[0].training_loss);
}

#[test]
fn a_gpu_trains_in_half_precision_where_it_has_it() {
    let Some(gpu) = adapter() else { return };
    let directory = tempfile::tempdir().unwrap();
    let table = csv(320, 1, Target::Price);
    let base = NetSettings { epochs: 2, batch_size: 64, ..NetSettings::mlp(vec![16], 0.0) };
    let full = run(&TrainOptions { model: base.clone(), ..options(directory.path(), "f32", &table) });
    for precision in [Precision::F16, Precision::Bf16] {
        let model = NetSettings { precision, ..base.clone() };
        let asked =
            TrainOptions { device: gpu.clone(), model, ..options(directory.path(), precision.as_str(), &table) };
        match train(&asked, &TrainControl::default()) {
            Ok(half) => {
                for (half, full) in half.metadata.curves.iter().zip(&full.metadata.curves) {
                    let difference = (half.validation_loss - full.validation_loss).abs() / full.validation_loss;
                    assert!(difference < 0.05, "{precision}: {half:?}, where F32 has {full:?}");
                }
            }
            Err(error) => {
                let refused = format!("expected a precision that {gpu} computes in (");
                assert!(error.to_string().contains(&refused), "{error}");
                println!("skipped: {gpu} has no {precision}");
            }
        }
    }
}

#[test]
fn auto_is_a_precision_that_the_gpu_trains_in() {
    let Some(gpu) = adapter() else { return };
    let precision = Precision::auto(&gpu).unwrap();
    if models::device::list().iter().any(|found| found.device == gpu && found.software) {
        assert_eq!(precision, Precision::F32, "{gpu} is a CPU");
    }
    let directory = tempfile::tempdir().unwrap();
    let table = csv(320, 1, Target::Price);
    let model = NetSettings { epochs: 1, precision, ..NetSettings::mlp(vec![16], 0.0) };
    let trained = run(&TrainOptions { device: gpu, model, ..options(directory.path(), "auto", &table) });
    assert_eq!(trained.metadata.hyper_parameters["precision"], precision.as_str());
}

/// A small net of each kind but the plain perceptron, without dropout.
fn small_nets() -> Vec<NetSettings> {
    let small = |name| {
        let settings = NetSettings::of(name);
        let body = match settings.body {
            Body::Mlp { .. } => Body::Mlp { hidden: vec![16], dropout: 0.0 },
            Body::Tabm { .. } => Body::Tabm { members: 4, hidden: vec![16], dropout: 0.0 },
            Body::Resnet { .. } => {
                Body::Resnet { blocks: 1, width: 8, hidden: 16, dropout: 0.0, residual_dropout: 0.0 }
            }
            Body::FtTransformer(_) => Body::FtTransformer(Transformer {
                blocks: 2,
                width: 8,
                heads: 2,
                hidden: 8,
                attention_dropout: 0.0,
                dropout: 0.0,
                residual_dropout: 0.0,
            }),
        };
        let embedding = match settings.embedding {
            EmbeddingSettings::None => EmbeddingSettings::None,
            EmbeddingSettings::Periodic { scale, shared, .. } => {
                EmbeddingSettings::Periodic { frequencies: 4, width: 4, scale, shared }
            }
            EmbeddingSettings::PiecewiseLinear { .. } => EmbeddingSettings::PiecewiseLinear { bins: 8, width: 4 },
        };
        NetSettings { body, embedding, epochs: 2, batch_size: 64, learning_rate: 1e-3, ..NetSettings::of(name) }
    };
    NetName::ALL.into_iter().filter(|name| *name != NetName::Mlp).map(small).collect()
}

#[test]
fn every_net_trains_and_answers_there_as_here() {
    let Some(gpu) = adapter() else { return };
    let directory = tempfile::tempdir().unwrap();
    let table = csv(320, 1, Target::Price);
    for model in small_nets() {
        let name = model.name();
        let run_on = |place: &str, device: Device| {
            let base = options(directory.path(), &format!("{name}-{place}"), &table);
            run(&TrainOptions { device, model: model.clone(), ..base })
        };
        let (here, there) = (run_on("cpu", Device::cpu()), run_on("gpu", gpu.clone()));
        for (here, there) in here.metadata.curves.iter().zip(&there.metadata.curves) {
            let difference = (here.validation_loss - there.validation_loss).abs() / here.validation_loss;
            assert!(difference < 5e-3, "{name}: {here:?} on the CPU, {there:?} on the GPU");
        }
        let net = open(&there);
        let golden = net.golden().unwrap();
        let expected = answer(&net, &Device::cpu(), &golden.inputs);
        let answers = answer(&net, &gpu, &golden.inputs);
        let values = |tensors: &[Tensor]| tensors[0].values::<f32>().unwrap().to_vec();
        for (got, expected) in values(&answers).iter().zip(values(&expected)) {
            assert!((got - expected).abs() <= 1e-3 * expected.abs().max(1.0), "{name}: {got}, not {expected}");
        }
    }
}
