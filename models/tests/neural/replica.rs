//! The device half on the CPU: the protocol of submit and collect, and answers that do not depend on the batch.

use contract::{Device, Invariance, Model, RowBlock, RunError};
use models::{
    import::{DenseLayer, DenseWeights},
    neural::{Formats, ImportOptions, TableNet, import_net},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A net of these sizes with random weights.
pub(crate) fn net(sizes: &[usize]) -> (TableNet, DenseWeights) {
    let mut generator = ChaCha8Rng::seed_from_u64(4);
    let layers = sizes.windows(2).map(|pair| {
        let bound = (3.0 / pair[0] as f32).sqrt();
        DenseLayer {
            inputs: pair[0],
            outputs: pair[1],
            weights: (0..pair[0] * pair[1]).map(|_| generator.random_range(-bound..bound)).collect(),
            bias: (0..pair[1]).map(|_| generator.random_range(-0.1..0.1)).collect(),
        }
    });
    let weights = DenseWeights::new(layers.collect()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("net.safetensors");
    fs_err::write(&file, weights.to_safetensors().unwrap()).unwrap();
    let imported = import_net(&file, &directory.path().join("net"), &ImportOptions::default()).unwrap();
    (Formats::for_devices(&[Device::cpu()]).open_net(&imported.directory).unwrap(), weights)
}

/// Encoded rows of random numbers.
pub(crate) fn rows(count: usize, width: usize) -> RowBlock {
    let mut generator = ChaCha8Rng::seed_from_u64(9);
    let mut block = RowBlock::new(width * 4);
    (0..count * width).for_each(|_| block.data_mut().push(generator.random_range(-2.0_f32..2.0)));
    block
}

#[test]
fn a_row_gets_the_same_bits_in_any_batch() {
    // Widths around the matrix product's tiles, and sizes for which it has special paths: one or two inputs or outputs.
    let shapes: [&[usize]; 11] = [
        &[700, 1600, 1],
        &[11, 128, 128, 1],
        &[30, 64, 1],
        &[8, 512, 512, 1],
        &[1, 1],
        &[2, 2, 1],
        &[3, 1, 3],
        &[17, 33, 7],
        &[512, 65, 10],
        &[5, 100, 130],
        &[512, 1, 1],
    ];
    for sizes in shapes {
        let (net, _) = net(sizes);
        assert_eq!(net.invariance(), Invariance::Exact);
        let mut replica = net.place(&Device::cpu()).unwrap();
        let all = rows(700, sizes[0]);
        let mut alone = RowBlock::default();
        let mut together = RowBlock::default();
        let mut single = Vec::new();
        for row in 0..all.rows() {
            let mut batch = RowBlock::new(all.row_bytes());
            batch.append_rows(&all, row..row + 1);
            let ticket = replica.submit(&batch, 1).unwrap();
            replica.collect(ticket, &mut alone).unwrap();
            single.extend_from_slice(alone.data().as_slice::<f32>());
        }
        for (count, bucket) in [
            (2, 2),
            (3, 4),
            (5, 8),
            (8, 8),
            (16, 16),
            (33, 64),
            (64, 64),
            (65, 128),
            (255, 256),
            (257, 512),
            (700, 1024),
        ] {
            let mut batch = RowBlock::new(all.row_bytes());
            batch.append_rows(&all, 0..count);
            let ticket = replica.submit(&batch, bucket).unwrap();
            replica.collect(ticket, &mut together).unwrap();
            let outputs = sizes[sizes.len() - 1];
            assert_eq!(
                together.data().as_slice::<f32>(),
                &single[..count * outputs],
                "{sizes:?} in batches of {count}"
            );
        }
    }
}

#[test]
fn wide_layers_give_the_function_of_their_weights() {
    let (net, weights) = net(&[700, 1600, 1]);
    let block = rows(300, 700);
    let mut replica = net.place(&Device::cpu()).unwrap();
    let scores = net.score(replica.as_mut(), &block).unwrap();
    let expected = weights.forward(block.data().as_slice::<f32>());
    for (got, expected) in scores.data().as_slice::<f32>().iter().zip(expected) {
        assert!((got - expected).abs() <= 1e-4 * expected.abs().max(1.0), "{got}, not {expected}");
    }
}

#[test]
fn two_batches_are_in_flight_and_are_told_apart() {
    let (net, weights) = net(&[6, 20, 3]);
    let mut replica = net.place(&Device::cpu()).unwrap();
    let all = rows(20, 6);
    let expected = weights.forward(all.data().as_slice::<f32>());
    let part = |range: std::ops::Range<usize>| {
        let mut block = RowBlock::new(24);
        block.append_rows(&all, range);
        block
    };
    let first = replica.submit(&part(0..7), 8).unwrap();
    let second = replica.submit(&part(7..20), 16).unwrap();
    assert!(matches!(replica.submit(&part(0..1), 1), Err(RunError::Failed { .. })), "a third is one too many");
    let mut out = RowBlock::default();
    for (ticket, range) in [(second, 7..20), (first, 0..7)] {
        replica.collect(ticket, &mut out).unwrap();
        assert_eq!((out.rows(), out.row_bytes()), (range.len(), 12));
        for (got, expected) in out.data().as_slice::<f32>().iter().zip(&expected[range.start * 3..]) {
            assert!((got - expected).abs() < 1e-5);
        }
    }
    assert!(replica.collect(first, &mut out).is_err(), "a ticket is good once");
}

#[test]
fn misfits_are_errors_and_memory_is_told() {
    let (net, _) = net(&[6, 20, 3]);
    let mut replica = net.place(&Device::cpu()).unwrap();
    assert!(replica.submit(&RowBlock::new(24), 1).is_err(), "no rows");
    assert!(replica.submit(&rows(3, 6), 2).is_err(), "more rows than the bucket");
    assert!(replica.submit(&rows(1, 5), 1).is_err(), "rows of another width");
    // Units are filled up to whole vectors, of which some machines have longer ones.
    let parameters = 4 * (6 * 20 + 20 + 20 * 3 + 3);
    assert!((parameters..4 * parameters).contains(&replica.memory().weights), "{:?}", replica.memory());
    replica.warm(64).unwrap();
    replica.submit(&rows(64, 6), 64).unwrap();
    let scores = 64 * 3 * 4;
    assert!(replica.memory().activations >= scores && replica.memory().activations < 4 * scores);
}
