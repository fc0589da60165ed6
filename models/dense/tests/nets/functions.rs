//! Every net is its function, and a row has the same bits in every batch.

use dense::{Instructions, Net, Parameters, Scratch};
use proptest::{collection::vec, prelude::*};

use crate::{
    reference::answer,
    source::{Source, edges, embedded, values},
};

/// Numbers enough for any net of these tests.
const PARAMETERS: usize = 400_000;

/// How far f32 may be from f64, beside the largest of the row's answers or one: sums of up to some hundred products.
const TOLERANCE: f64 = 1e-4;

pub(crate) fn run(net: &Net, rows: &[f32], scratch: &mut Scratch) -> Vec<f32> {
    let mut out = vec![f32::NAN; rows.len() / net.inputs() * net.outputs()];
    net.run(rows, scratch, &mut out).unwrap();
    let mut here = vec![f32::NAN; out.len()];
    net.run_here(rows, &mut here).unwrap();
    assert_eq!(bits(&here), bits(&out));
    out
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// What must hold of any net, for every set of instructions; the best ones' answers.
fn holds(parameters: &Parameters<'_>, rows: &[f32]) -> Result<Vec<f32>, TestCaseError> {
    let mut vectors: Option<Vec<f32>> = None;
    let mut scratch = Scratch::default();
    for instructions in Instructions::here() {
        let net = Net::with(parameters, instructions).unwrap();
        prop_assert_eq!(net.instructions(), instructions);
        let answers = run(&net, rows, &mut scratch);
        for (row, got) in rows.chunks(net.inputs()).zip(answers.chunks(net.outputs())) {
            let expected = answer(parameters, row);
            prop_assert_eq!(got.len(), expected.len());
            let size = expected.iter().fold(1.0_f64, |size, value| size.max(value.abs()));
            for (got, expected) in got.iter().zip(&expected) {
                let off = (f64::from(*got) - expected).abs();
                prop_assert!(off <= TOLERANCE * size, "{instructions}: {got} beside {expected}");
            }
            prop_assert_eq!(bits(&run(&net, row, &mut scratch)), bits(got), "{}", instructions);
        }
        if instructions != Instructions::Portable {
            let first = vectors.get_or_insert_with(|| answers.clone());
            prop_assert_eq!(bits(first), bits(&answers), "AVX-512 and AVX2 add in the same order");
        }
    }
    Ok(vectors.unwrap_or_default())
}

proptest! {
    #[test]
    fn a_perceptron(sizes in vec(1_usize..80, 2..6), count in 1_usize..30, seed in 0_u64..1000) {
        let numbers = values(PARAMETERS, seed);
        let parameters = Source(&numbers).mlp(&sizes);
        holds(&parameters, &values(count * sizes[0], seed + 1))?;
    }

    #[test]
    fn a_residual_net(
        inputs in 1_usize..40,
        width in 1_usize..70,
        hidden in vec(1_usize..70, 0..3),
        outputs in 1_usize..10,
        count in 1_usize..20,
        seed in 0_u64..1000,
    ) {
        let numbers = values(PARAMETERS, seed);
        let parameters = Source(&numbers).resnet(inputs, width, &hidden, outputs);
        holds(&parameters, &values(count * inputs, seed + 1))?;
    }

    #[test]
    fn many_perceptrons_in_one(
        members in 1_usize..9,
        sizes in vec(1_usize..50, 2..4),
        outputs in 1_usize..8,
        count in 1_usize..8,
        seed in 0_u64..1000,
    ) {
        let numbers = values(PARAMETERS, seed);
        let parameters = Source(&numbers).tabm(members, &sizes, outputs);
        holds(&parameters, &values(count * sizes[0], seed + 1))?;
    }

    #[test]
    fn waves_before_a_perceptron(
        features in 1_usize..6,
        waves in 1_usize..40,
        width in 1_usize..40,
        others in 0_usize..20,
        shared: bool,
        count in 1_usize..15,
        seed in 0_u64..1000,
    ) {
        let numbers = values(PARAMETERS, seed);
        let mut source = Source(&numbers);
        let embedding = source.periodic(features, waves, width, shared);
        let parameters = embedded(embedding, others, source.mlp(&[features * width + others, 20, 3]));
        holds(&parameters, &values(count * (features + others), seed + 1))?;
    }

    #[test]
    fn pieces_before_many_perceptrons(
        bins in vec(1_usize..30, 1..6),
        width in 1_usize..40,
        others in 0_usize..20,
        count in 1_usize..15,
        seed in 0_u64..1000,
    ) {
        let numbers = values(PARAMETERS, seed);
        let edges = edges(&bins, seed);
        let mut source = Source(&numbers);
        let embedding = source.piecewise(&edges, width);
        let parameters = embedded(embedding, others, source.tabm(3, &[bins.len() * width + others, 20], 2));
        // Beyond the first and the last edge as well.
        let rows: Vec<f32> = values(count * (bins.len() + others), seed + 1).iter().map(|value| value * 3.0).collect();
        holds(&parameters, &rows)?;
    }

    #[test]
    fn a_transformer(
        numbers in 0_usize..20,
        entries in vec(1_usize..5, 0..4),
        heads in 1_usize..5,
        each in 1_usize..20,
        hidden in vec(1_usize..30, 1..4),
        outputs in 1_usize..6,
        count in 1_usize..8,
        seed in 0_u64..1000,
    ) {
        prop_assume!(numbers + entries.len() > 0);
        // So small that a softmax has no single large share.
        let drawn: Vec<f32> = values(PARAMETERS, seed).iter().map(|value| value * 0.3).collect();
        let parameters = Source(&drawn).transformer((numbers, &entries), (heads, each), &hidden, outputs);
        let inputs = numbers + entries.iter().sum::<usize>();
        let mut rows = values(count * inputs, seed + 1);
        // Most of what is no number is zero.
        for row in rows.chunks_mut(inputs) {
            row[numbers..].iter_mut().filter(|value| **value < 0.3).for_each(|value| *value = 0.0);
        }
        holds(&parameters, &rows)?;
    }
}

#[test]
fn edges_themselves_are_in_both_bins() {
    let numbers = values(PARAMETERS, 3);
    let edges = edges(&[1, 2, 9], 3);
    let mut source = Source(&numbers);
    let embedding = source.piecewise(&edges, 5);
    let parameters = embedded(embedding, 0, source.mlp(&[15, 4]));
    let rows: Vec<f32> = (0..10).flat_map(|edge| edges.iter().map(move |edges| edges[edge % edges.len()])).collect();
    holds(&parameters, &rows).unwrap();
}

#[test]
fn what_is_no_number_stays_so() {
    let numbers: Vec<f32> = values(PARAMETERS, 3).iter().map(|value| value.abs()).collect();
    let edges = edges(&[2, 3], 3);
    let (mut a, mut b) = (Source(&numbers), Source(&numbers));
    let nets = [
        Source(&numbers).mlp(&[2, 5, 1]),
        Source(&numbers).resnet(2, 7, &[4, 3], 1),
        Source(&numbers).tabm(2, &[2, 5], 1),
        embedded(a.periodic(2, 3, 4, false), 0, a.mlp(&[8, 1])),
        embedded(b.piecewise(&edges, 4), 0, b.mlp(&[8, 1])),
        Source(&numbers).transformer((2, &[]), (2, 3), &[4, 4], 1),
    ];
    for parameters in &nets {
        for instructions in Instructions::here() {
            let net = Net::with(parameters, instructions).unwrap();
            let answers = run(&net, &[0.5, 1.0, f32::NAN, 1.0, 0.5, 1.0], &mut Scratch::default());
            let rows: Vec<bool> =
                answers.chunks(net.outputs()).map(|row| row.iter().all(|value| value.is_nan())).collect();
            assert_eq!(rows, [false, true, false], "{instructions} {parameters:?}");
        }
    }
}
