//! Tree models on a GPU adapter, a software one included; skipped with the reason printed where there is none.

use contract::{AlignedBuffer, Device, DeviceKind, Golden, Model, Replica, RowBlock, RunError, Tensor};
use models::tree::TreeModel;
use trees::ensemble::{Ensemble, Leaves, Precision};

use crate::{imported, imports::files};

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

/// Whether a replica computes on the device: its refusals name who computes.
fn is_there(replica: &mut dyn Replica, device: &Device) -> bool {
    match replica.submit(&RowBlock::default(), 1).unwrap_err() {
        RunError::Failed { reason } => reason.contains(&format!("device {device}:")),
        other => panic!("{other}"),
    }
}

/// Whether the kernels can say what a model does.
fn can_be_there(model: &TreeModel) -> bool {
    let finite = |values: &Vec<f64>| values.iter().all(|value| value.is_finite());
    let leaves = model.ensemble().trees.iter().map(|tree| match &tree.leaves {
        Leaves::Scalar { output: _, values } | Leaves::Vector(values) => values,
    });
    model.predictor().plain().is_some_and(|plain| plain.features > 0) && leaves.into_iter().all(finite)
}

fn run(replica: &mut dyn Replica, rows: &RowBlock, bucket: usize) -> RowBlock {
    let ticket = replica.submit(rows, bucket).unwrap();
    let mut out = RowBlock::default();
    replica.collect(ticket, &mut out).unwrap();
    out
}

fn same(got: &Tensor, expected: &Tensor, tolerance: f32) -> bool {
    let close = |(got, expected): (&f32, &f32)| {
        (got.is_nan() && expected.is_nan())
            || got == expected
            || (got - expected).abs() <= tolerance * got.abs().max(expected.abs()).max(1.0)
    };
    got.strings() == expected.strings()
        && match (got.values::<f32>(), expected.values::<f32>()) {
            (Some(got), Some(expected)) => got.len() == expected.len() && got.iter().zip(expected).all(close),
            (got, expected) => got.is_none() && expected.is_none(),
        }
}

#[test]
fn every_golden_model_passes_its_self_test_there() {
    let Some(gpu) = adapter() else { return };
    let (mut there, mut here) = (0, Vec::new());
    for name in files() {
        let (_directory, model) = imported(&name);
        let Golden { inputs, outputs, tolerance } = model.golden().unwrap();
        let mut rows = RowBlock::default();
        model.encode(inputs, &mut rows).unwrap();
        let mut replica = model.place(&gpu).unwrap();
        let placed = is_there(replica.as_mut(), &gpu);
        assert_eq!(placed, can_be_there(&model), "{name}");
        if placed {
            there += 1;
        } else {
            here.push(name.clone());
        }
        let margins = run(replica.as_mut(), &rows, 8);
        for (got, saved) in model.decode(&margins, &[]).unwrap().iter().zip(outputs) {
            assert!(same(got, saved, *tolerance), "{name}: {got:?}, not {saved:?}");
        }
    }
    println!("{there} models there; on the host {here:?}");
    assert!(there > 100 && here.len() < there / 4, "{there} there, {here:?} here");
}

/// Rows of features on and beside the thresholds, as the model encodes them.
fn rows(model: &TreeModel, count: usize) -> RowBlock {
    let ensemble = model.ensemble();
    let features = ensemble.features.len();
    let values = model.predictor().sample(count);
    assert_eq!(values.len(), count * features, "features are columns");
    let strange = |place: usize| match place % 23 {
        3 => Some(f64::NAN),
        7 => Some(0.0),
        11 => Some(-1e-36),
        17 => Some(f64::INFINITY),
        _ => None,
    };
    let value = |(place, value): (usize, &f32)| strange(place).unwrap_or_else(|| f64::from(*value));
    let wide: Vec<f64> = values.iter().enumerate().map(value).collect();
    match ensemble.rules.compare {
        Precision::F32 => {
            let mut rows = RowBlock::new(features * size_of::<f32>());
            let narrow: Vec<f32> = wide.iter().map(|value| *value as f32).collect();
            rows.data_mut().extend_from_slice(&narrow);
            rows
        }
        Precision::F64 => {
            let mut rows = RowBlock::new(features * size_of::<f64>());
            rows.data_mut().extend_from_slice(&wide);
            rows
        }
    }
}

/// What the trees add in magnitude to each margin of a row.
fn magnitude(ensemble: &Ensemble, features: &[f64]) -> f64 {
    let leaves = ensemble.leaves(features);
    let each = ensemble.trees.iter().zip(leaves).map(|(tree, leaf)| match &tree.leaves {
        Leaves::Scalar { output: _, values } => values[leaf as usize].abs(),
        Leaves::Vector(values) => {
            let width = ensemble.output.width;
            values[leaf as usize * width..][..width].iter().map(|value| value.abs()).fold(0.0, f64::max)
        }
    });
    each.sum()
}

/// That margins are the CPU's but for rounding: what f32 loses where the source adds in f32, else next to nothing, which shows
/// that the leaves are the same.
fn assert_close(name: &str, model: &TreeModel, rows: &RowBlock, there: &RowBlock) {
    let ensemble = model.ensemble();
    let (features, width) = (ensemble.features.len(), ensemble.output.width);
    let mut here = RowBlock::default();
    model.direct().unwrap().run(rows, &mut AlignedBuffer::new(), &mut here).unwrap();
    let (here, there) = (here.data().as_slice::<f64>(), there.data().as_slice::<f64>());
    assert_eq!(here.len(), there.len(), "{name}");
    let wide: Vec<f64> = match ensemble.rules.compare {
        Precision::F32 => rows.data().as_slice::<f32>().iter().map(|value| f64::from(*value)).collect(),
        Precision::F64 => rows.data().as_slice::<f64>().to_vec(),
    };
    let rounding = match ensemble.rules.sum {
        Precision::F32 => 1e-6,
        Precision::F64 => 1e-14,
    };
    let all = here.chunks_exact(width).zip(there.chunks_exact(width)).zip(wide.chunks_exact(features));
    for (row, ((here, there), values)) in all.enumerate() {
        let scale = magnitude(ensemble, values) * ensemble.output.scale.abs();
        for (here, there) in here.iter().zip(there) {
            let limit = rounding * scale.max(here.abs());
            assert!((here - there).abs() <= limit, "{name}, row {row}: {there} there, {here} here, limit {limit}");
        }
    }
}

/// Models of every format, of all treatments of missing values, with categories, several outputs and means.
const MODELS: [&str; 17] = [
    "lightgbm/4-binary.txt",
    "lightgbm/4-category.txt",
    "lightgbm/4-forest-multiclass.txt",
    "lightgbm/4-missing-nan.txt",
    "lightgbm/4-missing-none.txt",
    "lightgbm/4-missing-zero.txt",
    "lightgbm/4-multiclass.txt",
    "xgboost/codes.ubj",
    "xgboost/dart.json",
    "xgboost/missing.json",
    "xgboost/softprob.json",
    "xgboost/vectors.json",
    "catboost/deep.json",
    "catboost/multiclass.json",
    "onnx/modes.onnx",
    "treelite/rf_clf_multi.tl",
    "treelite/hgb_clf_multi.tl",
];

#[test]
fn rows_come_to_the_same_leaves_there() {
    let Some(gpu) = adapter() else { return };
    for name in MODELS {
        let (_directory, model) = imported(name);
        let mut all = rows(&model, 300);
        let mut replica = model.place(&gpu).unwrap();
        assert!(is_there(replica.as_mut(), &gpu), "{name}");
        let part = |all: &RowBlock, range: std::ops::Range<usize>| {
            let mut block = RowBlock::new(all.row_bytes());
            block.append_rows(all, range);
            block
        };
        // Two batches in flight, both filled up, collected the other way round.
        let first = replica.submit(&part(&all, 0..100), 128).unwrap();
        let second = replica.submit(&part(&all, 100..300), 256).unwrap();
        assert!(replica.submit(&part(&all, 0..1), 1).is_err(), "a third is one too many");
        let (mut one, mut two) = (RowBlock::default(), RowBlock::default());
        replica.collect(second, &mut two).unwrap();
        replica.collect(first, &mut one).unwrap();
        assert!(replica.collect(first, &mut RowBlock::default()).is_err(), "a ticket is good once");
        assert_eq!((one.rows(), two.rows(), one.row_bytes()), (100, 200, model.ensemble().output.width * 8));
        assert_close(name, &model, &part(&all, 0..100), &one);
        assert_close(name, &model, &part(&all, 100..300), &two);
        // A row's bits are its own.
        let alone = run(replica.as_mut(), &part(&all, 70..71), 1);
        assert_eq!(alone.data().as_slice::<f64>(), part(&one, 70..71).data().as_slice::<f64>(), "{name}");

        // Where the source compares in f64, thresholds and their neighbours that are no f32.
        if model.ensemble().rules.compare == Precision::F64 {
            for (place, value) in all.data_mut().as_mut_slice::<f64>().iter_mut().enumerate() {
                *value = if place % 2 == 0 { value.next_up() } else { value.next_down() };
            }
            let there = run(replica.as_mut(), &all, 512);
            assert_close(name, &model, &all, &there);
        }
    }
}

#[test]
fn what_kernels_cannot_say_stays_on_the_host() {
    let Some(gpu) = adapter() else { return };
    for name in ["lightgbm/4-linear.txt", "onnx/aggregate_max.onnx", "onnx/aggregate_min.onnx"] {
        let (_directory, model) = imported(name);
        let all = rows(&model, 20);
        let mut replica = model.place(&gpu).unwrap();
        assert!(!is_there(replica.as_mut(), &gpu), "{name}");
        let mut here = RowBlock::default();
        model.direct().unwrap().run(&all, &mut AlignedBuffer::new(), &mut here).unwrap();
        let there = run(replica.as_mut(), &all, 32);
        let bits = |block: &RowBlock| block.data().as_slice::<f64>().iter().map(|x| x.to_bits()).collect::<Vec<u64>>();
        assert_eq!(bits(&there), bits(&here), "{name}");
    }
}

#[test]
fn misfits_are_errors_there_and_memory_is_told() {
    let Some(gpu) = adapter() else { return };
    let (_directory, model) = imported("xgboost/softprob.json");
    let all = rows(&model, 9);
    let mut replica = model.place(&gpu).unwrap();
    assert!(replica.submit(&RowBlock::new(all.row_bytes()), 1).is_err(), "no rows");
    assert!(replica.submit(&all, 8).is_err(), "more rows than the bucket");
    assert!(replica.submit(&RowBlock::new(all.row_bytes() + 4), 8).is_err(), "rows of another width");
    let before = replica.memory();
    let leaves: usize = model.ensemble().trees.iter().map(trees::ensemble::Tree::leaf_count).sum();
    assert!(before.weights >= 8 * leaves as u64, "{before:?}");
    assert_eq!(before.activations, 0);
    replica.warm(64).unwrap();
    let after = replica.memory();
    let (rows, sums) = (64 * all.row_bytes(), 64 * 8 * model.ensemble().output.width);
    assert!(after.activations >= 2 * (rows + sums) as u64 && after.weights == before.weights, "{after:?}");
}
