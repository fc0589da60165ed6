//! Every way gives the reference's bits.

use proptest::prelude::*;
use trees::{
    Ensemble,
    ensemble::{Missing, Node},
    predict::{Instructions, Predictor, Scratch, Way},
};

use crate::random::{Draw, Shape, ensemble, shapes};

/// Margins of all rows at once, by the reference.
fn reference(predictor: &Predictor, rows: &[Vec<f64>]) -> Vec<u64> {
    let ensemble = predictor.ensemble();
    rows.iter().flat_map(|row| ensemble.margins(&ensemble.features_of(row))).map(f64::to_bits).collect()
}

/// Every way with every kind of instructions that this machine has.
fn check(shape: &Shape, count: usize) -> Result<(), TestCaseError> {
    Instructions::here().into_iter().try_for_each(|instructions| check_with(shape, count, instructions))
}

/// What is drawn, and in plain ensembles, whose NaN all go left, every kind of NaN that [`Way::Direct`] knows.
fn drawn(shape: &Shape) -> Ensemble {
    let mut ensemble = ensemble(shape);
    let splits = ensemble.trees.iter_mut().flat_map(|tree| &mut tree.nodes);
    for (place, node) in splits.enumerate().filter(|_node| shape.plain) {
        if let Node::Split(split) = node {
            split.missing = [Missing::Left, Missing::Right, Missing::AsZero][place % 3];
        }
    }
    ensemble
}

fn check_with(shape: &Shape, count: usize, instructions: Instructions) -> Result<(), TestCaseError> {
    let predictor = Predictor::untuned_with(drawn(shape), instructions).expect("what is drawn is sound");
    let mut draw = Draw::new(shape.seed ^ 1);
    let rows: Vec<Vec<f64>> = (0..count).map(|_| draw.row(shape.features, shape.levels)).collect();
    // The same numbers as f32 and as f64: what differs is how they come.
    let narrow: Vec<f32> = rows.iter().flatten().map(|x| *x as f32).collect();
    let rounded: Vec<Vec<f64>> = rows.iter().map(|row| row.iter().map(|x| f64::from(*x as f32)).collect()).collect();
    let wide: Vec<f64> = rows.concat();
    let mut scratch = Scratch::default();
    let mut out = vec![0.0; count * shape.width];
    for way in predictor.ways() {
        predictor.margins_by(way, &narrow, &mut scratch, &mut out).expect("rows fit");
        let got: Vec<u64> = out.iter().map(|x| x.to_bits()).collect();
        prop_assert_eq!(&got, &reference(&predictor, &rounded), "f32 rows by {:?} with {}", way, instructions);
        out.fill(0.0);
        predictor.margins_by(way, &rounded.concat(), &mut scratch, &mut out).expect("rows fit");
        let got: Vec<u64> = out.iter().map(|x| x.to_bits()).collect();
        prop_assert_eq!(&got, &reference(&predictor, &rounded), "f64 rows of f32 by {:?} with {}", way, instructions);
        out.fill(0.0);
        predictor.margins_in_parallel(way, &wide, &mut out).expect("rows fit");
        let got: Vec<u64> = out.iter().map(|x| x.to_bits()).collect();
        prop_assert_eq!(&got, &reference(&predictor, &rows), "f64 rows by {:?} with {}", way, instructions);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_way_gives_the_references_bits(shape in shapes(), count in 0..150_usize) {
        check(&shape, count)?;
    }
}

#[test]
fn trees_of_words_masks_and_more_are_walked_alike() {
    // As few features as a row of 256 bytes has room for, and more.
    let cases = [(32, 30, Way::Masks), (64, 5, Way::Masks), (256, 30, Way::Masks), (700, 30, Way::Walk)];
    for (leaves, features, expected) in cases {
        let shape = Shape {
            seed: leaves as u64,
            trees: 21,
            leaves,
            features,
            levels: 300,
            width: 1,
            vector: false,
            compare: trees::ensemble::Precision::F64,
            sum: trees::ensemble::Precision::F64,
            plain: leaves != 64,
            linear: false,
            aggregate: 9,
        };
        let predictor = Predictor::untuned(ensemble(&shape)).expect("sound");
        assert!(predictor.ways().contains(&expected), "{leaves} leaves: {:?}", predictor.ways());
        let bits = leaves <= 64 && Instructions::best() == Instructions::Avx512;
        assert_eq!(predictor.ways().contains(&Way::Bits), bits, "{leaves} leaves");
        assert_eq!(predictor.ways().contains(&Way::Direct), shape.plain, "{leaves} leaves");
        check(&shape, 200).expect("the reference's bits");
    }
}

/// As a booster of no rounds, or of trees that found nothing to split.
#[test]
fn trees_that_ask_nothing_answer_all_the_same() {
    let mut ensemble = ensemble(&Shape { leaves: 1, ..small() });
    ensemble.features.clear();
    for instructions in Instructions::here() {
        let predictor = Predictor::untuned_with(ensemble.clone(), instructions).expect("sound");
        for way in predictor.ways() {
            let (mut some, mut many) = ([0.0; 5], [0.0; 300]);
            predictor.margins_by::<f32>(way, &[], &mut Scratch::default(), &mut some).expect("rows fit");
            predictor.margins_in_parallel::<f64>(way, &[], &mut many).expect("rows fit");
            let expected = predictor.ensemble().margins(&[])[0].to_bits();
            assert!(some.iter().chain(&many).all(|margin| margin.to_bits() == expected), "{way:?}: {some:?}");
        }
    }
}

#[test]
fn rows_of_another_width_are_refused() {
    let shape = Shape { seed: 1, ..small() };
    let predictor = Predictor::untuned(ensemble(&shape)).expect("sound");
    let error = predictor.margins(&[0.0_f32; 7], &mut Scratch::default(), &mut [0.0; 2]).expect_err("7 is not 2 × 3");
    assert_eq!(error.to_string(), "expected rows of 3 features and 1 margins each, got 7 features and 2 margins");
}

fn small() -> Shape {
    Shape {
        seed: 0,
        trees: 3,
        leaves: 5,
        features: 3,
        levels: 4,
        width: 1,
        vector: false,
        compare: trees::ensemble::Precision::F32,
        sum: trees::ensemble::Precision::F32,
        plain: true,
        linear: false,
        aggregate: 9,
    }
}

#[test]
fn what_was_measured_answers_the_same_and_can_be_kept() {
    let shape = Shape { seed: 5, trees: 40, leaves: 30, features: 9, ..small() };
    let tuned = Predictor::new(ensemble(&shape)).expect("sound");
    assert!(!tuned.choice().plans.is_empty());
    let mut again = Predictor::untuned(ensemble(&shape)).expect("sound");
    again.choose(tuned.choice().clone());
    let mut draw = Draw::new(8);
    let mut scratch = Scratch::default();
    for count in [1, 3, 64, 200, 5000] {
        let rows: Vec<f64> = (0..count).flat_map(|_| draw.row(9, 4)).collect();
        let mut expected = vec![0.0; count];
        let untuned = Predictor::untuned(ensemble(&shape)).expect("sound");
        untuned.margins_by(Way::Walk, &rows, &mut scratch, &mut expected).expect("rows fit");
        for predictor in [&tuned, &again] {
            let mut out = vec![0.0; count];
            predictor.margins(&rows, &mut scratch, &mut out).expect("rows fit");
            assert!(out.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits()), "{count} rows");
        }
    }
}
