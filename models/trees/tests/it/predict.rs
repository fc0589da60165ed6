//! Every way gives the reference's bits.

use proptest::prelude::*;
use trees::{
    Ensemble,
    ensemble::{Missing, Node, Test},
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
    let mut draw = Draw::new(shape.seed ^ 1);
    let rows: Vec<Vec<f64>> = (0..count).map(|_| draw.wide_row(shape.features, shape.levels)).collect();
    // Blocks with a number that no f32 holds, and with none, take different ways through an engine.
    let wide = rows.iter().flatten().any(|x| f64::from(*x as f32) != *x && !x.is_nan());
    prop_assert!(wide || count * shape.features < 200);
    check_rows(drawn(shape), &rows, instructions)
}

fn check_rows(ensemble: Ensemble, rows: &[Vec<f64>], instructions: Instructions) -> Result<(), TestCaseError> {
    let (features, width) = (ensemble.features.len(), ensemble.output.width);
    let predictor = Predictor::untuned_with(ensemble, instructions).expect("what is drawn is sound");
    // The same numbers as f32 and as f64: what differs is how they come.
    let narrow: Vec<f32> = rows.iter().flatten().map(|x| *x as f32).collect();
    let rounded: Vec<Vec<f64>> = rows.iter().map(|row| row.iter().map(|x| f64::from(*x as f32)).collect()).collect();
    let wide: Vec<f64> = rows.concat();
    let mut scratch = Scratch::default();
    let mut out = vec![0.0; rows.len() * width];
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
        prop_assert_eq!(&got, &reference(&predictor, rows), "f64 rows by {:?} with {}", way, instructions);
        out.fill(0.0);
        for (row, out) in wide.chunks(features).zip(out.chunks_mut(width)) {
            predictor.margins_by(way, row, &mut scratch, out).expect("a row");
        }
        let got: Vec<u64> = out.iter().map(|x| x.to_bits()).collect();
        prop_assert_eq!(&got, &reference(&predictor, rows), "f64 row by row by {:?} with {}", way, instructions);
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
    let cases = [
        (21, 32, 30, Way::Masks),
        (21, 64, 5, Way::Masks),
        (21, 256, 30, Way::Masks),
        (21, 700, 30, Way::Walk),
        // More trees than are walked at once.
        (300, 16, 5, Way::Masks),
        // A row in two registers, and in memory.
        (35, 16, 20, Way::Masks),
        (35, 16, 40, Way::Masks),
        (200, 70, 9, Way::Masks),
    ];
    for (trees, leaves, features, expected) in cases {
        let shape = Shape {
            seed: leaves as u64,
            trees,
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
        let avx512 = Instructions::best() == Instructions::Avx512;
        assert_eq!(predictor.ways().contains(&Way::Bits), avx512 && leaves <= 64, "{leaves} leaves");
        assert_eq!(predictor.ways().contains(&Way::Turns), avx512 && leaves <= 256, "{leaves} leaves");
        assert_eq!(predictor.ways().contains(&Way::Direct), shape.plain, "{leaves} leaves");
        let values = avx512 && leaves <= 32 && shape.plain;
        assert_eq!(predictor.ways().contains(&Way::Values), values, "{leaves} leaves");
        check(&shape, 200).expect("the reference's bits");
    }
}

/// Stumps, one for each threshold 0, 1, 2 … of a feature: as many as one register holds, as a byte tells apart, and more.
#[test]
fn features_of_few_and_many_thresholds_are_coded_alike() {
    let kinds = [Missing::Left, Missing::Right, Missing::AsZero, Missing::ZeroLeft, Missing::ZeroRight];
    for (count, kind) in
        [1, 15, 16, 17, 31, 32, 64, 128, 255, 256, 257, 511, 1000].into_iter().zip(kinds.iter().cycle())
    {
        for kind in [*kind, Missing::ZeroRight] {
            let mut ensemble = ensemble(&Shape { trees: count, leaves: 2, features: 1, ..small() });
            numbered(&mut ensemble, &[0], kind);
            let beside = |at: usize| [at as f64, at as f64 + 0.5, at as f64 - 1e-9];
            let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 1e-36, -1e300, 1e-3];
            let rows: Vec<Vec<f64>> =
                (0..=count).step_by(1 + count / 50).flat_map(beside).chain(odd).map(|x| vec![x]).collect();
            for instructions in Instructions::here() {
                check_rows(ensemble.clone(), &rows, instructions).expect("the reference's bits");
            }
        }
    }
}

/// Of the features in between, nothing is read.
#[test]
fn columns_that_nothing_asks_for_are_left_out() {
    let mut ensemble = ensemble(&Shape { trees: 300, leaves: 9, features: 70, ..small() });
    numbered(&mut ensemble, &[3, 66], Missing::Right);
    let mut draw = Draw::new(1);
    let rows: Vec<Vec<f64>> = (0..77).map(|_| (0..70).map(|_| draw.below(600) as f64 / 2.0).collect()).collect();
    for instructions in Instructions::here() {
        check_rows(ensemble.clone(), &rows, instructions).expect("the reference's bits");
    }
}

/// Gives the splits `features` by turns, and the thresholds 0, 1, 2 … for each.
fn numbered(ensemble: &mut Ensemble, features: &[u32], missing: Missing) {
    let nodes = ensemble.trees.iter_mut().flat_map(|tree| &mut tree.nodes);
    let splits = nodes.filter_map(|node| if let Node::Split(split) = node { Some(split) } else { None });
    for (place, split) in splits.enumerate() {
        split.feature = features[place % features.len()];
        split.test = Test::AtMost((place / features.len()) as f64);
        split.missing = missing;
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
