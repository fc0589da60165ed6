//! The forest as plain data says what the ensemble does.

use proptest::prelude::*;
use trees::{
    Ensemble,
    ensemble::{Aggregate, Missing, Precision, ZERO},
    predict::{Child, Plain, PlainCode, PlainTest, Predictor},
};

use crate::random::{Draw, Shape, ensemble, shapes};

/// The byte of an f32, by the definition.
fn byte(code: &PlainCode, plain: &Plain<'_>, x: f32) -> u8 {
    let right = if let PlainTest::Cuts(cuts) = &code.test { cuts.len() as u8 } else { 1 };
    let zero = x.is_nan() || f64::from(x.abs()) <= ZERO;
    let x = match code.missing {
        Missing::Left if x.is_nan() => return 0,
        Missing::Right if x.is_nan() => return right,
        Missing::AsZero if x.is_nan() => 0.0,
        Missing::ZeroLeft if zero => return 0,
        Missing::ZeroRight if zero => return right,
        Missing::Left | Missing::Right | Missing::AsZero | Missing::ZeroLeft | Missing::ZeroRight => x,
    };
    match &code.test {
        PlainTest::Cuts(cuts) => cuts.iter().filter(|cut| **cut < x).count() as u8,
        PlainTest::Equal(value) => u8::from(x != *value),
        PlainTest::In(set) => {
            u8::from(!plain.category.code(f64::from(x)).is_some_and(|category| set.contains(category)))
        }
    }
}

/// Leaves of a row's bytes, and its sums.
fn walk(plain: &Plain<'_>, bytes: &[u8]) -> (Vec<u32>, Vec<f64>) {
    let mut sums = vec![0.0; plain.width];
    let mut leaves = Vec::new();
    for tree in &plain.trees {
        let mut place = if tree.splits.is_empty() { Child::Leaf(0) } else { Child::Split(0) };
        let leaf = loop {
            match place {
                Child::Leaf(leaf) => break leaf,
                Child::Split(split) => {
                    let split = tree.splits[split as usize];
                    let left = bytes[usize::from(split.question.code)] <= split.question.cut;
                    place = if left { split.left } else { split.right };
                }
            }
        };
        leaves.push(leaf);
        if let Some(output) = tree.output {
            sums[output] += tree.values[leaf as usize];
        } else {
            let values = &tree.values[leaf as usize * plain.width..][..plain.width];
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
    }
    (leaves, sums)
}

/// Whether bytes and sums can say what an ensemble does.
fn can_be_plain(ensemble: &Ensemble) -> bool {
    let adds = matches!(ensemble.output.aggregate, Aggregate::Sum | Aggregate::Mean(_));
    adds && ensemble.trees.iter().all(|tree| tree.linear.is_empty())
}

fn check(shape: &Shape, count: usize) -> Result<(), TestCaseError> {
    let predictor = Predictor::untuned(ensemble(shape)).expect("what is drawn is sound");
    let ensemble = predictor.ensemble();
    let Some(plain) = predictor.plain() else {
        prop_assert!(!can_be_plain(ensemble));
        prop_assert!(predictor.finish(&mut [0.0; 0]).is_err());
        return Ok(());
    };
    prop_assert!(can_be_plain(ensemble));
    let mut draw = Draw::new(shape.seed ^ 2);
    let stride = plain.codes.len() + 3;
    for _ in 0..count {
        let row = draw.wide_row(shape.features, shape.levels);
        let narrow: Vec<f32> = row.iter().map(|x| *x as f32).collect();
        let rounded: Vec<f64> = narrow.iter().map(|x| f64::from(*x)).collect();
        let (mut bytes, mut wide) = (vec![9; stride], vec![9; stride]);
        predictor.code(&narrow, stride, &mut bytes).expect("a row");
        predictor.code(&row, stride, &mut wide).expect("a row");
        let coded: Vec<u8> = plain.codes.iter().map(|code| byte(code, &plain, narrow[code.feature])).collect();
        prop_assert_eq!(&bytes[..stride - 3], &coded[..]);
        prop_assert_eq!(&bytes[stride - 3..], &[9; 3]);
        // Numbers that no f32 holds go where the source sends them.
        prop_assert_eq!(walk(&plain, &wide).0, ensemble.leaves(&ensemble.features_of(&row)));
        let (leaves, mut margins) = walk(&plain, &bytes);
        prop_assert_eq!(leaves, ensemble.leaves(&ensemble.features_of(&rounded)));
        predictor.finish(&mut margins).expect("a row of sums");
        let expected = ensemble.margins(&rounded);
        let limit = if shape.sum == Precision::F32 { 1e-4 } else { 1e-12 };
        for (got, expected) in margins.iter().zip(&expected) {
            prop_assert!((got - expected).abs() <= limit * expected.abs().max(1.0), "{} is not {}", got, expected);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn plain_forests_say_what_ensembles_do(shape in shapes(), count in 1..40_usize) {
        check(&shape, count)?;
    }
}

#[test]
fn rows_and_bytes_that_do_not_fit_are_refused() {
    let shape = Shape {
        seed: 5,
        trees: 3,
        leaves: 9,
        features: 4,
        levels: 20,
        width: 2,
        vector: false,
        compare: Precision::F32,
        sum: Precision::F64,
        plain: true,
        linear: false,
        aggregate: 9,
    };
    let predictor = Predictor::untuned(ensemble(&shape)).expect("sound");
    let codes = predictor.plain().expect("sums of splits").codes.len();
    assert!(predictor.code(&[0.0_f32; 8], codes, &mut vec![0; 2 * codes]).is_ok());
    for (values, stride, bytes) in [(7, codes, 2 * codes), (8, codes - 1, 2 * codes - 2), (8, codes, 2 * codes + 1)] {
        assert!(predictor.code(&vec![0.0_f32; values], stride, &mut vec![0; bytes]).is_err(), "{values}, {bytes}");
    }
    let error = predictor.finish(&mut [0.0; 3]).unwrap_err().to_string();
    assert!(error.contains("rows of 2 sums") && error.contains("3 sums"), "{error}");
}
