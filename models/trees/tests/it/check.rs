//! What `Ensemble::check` asks for beyond the shape of the trees.

use trees::{
    Ensemble,
    ensemble::{Aggregate, Leaves, Node, Precision, Test},
    predict::Predictor,
};

use crate::random::{Shape, ensemble};

/// Numeric splits alone; compares and adds in f32, with three outputs.
fn sound(width: usize) -> Ensemble {
    let sizes = Shape {
        seed: 1,
        trees: 4,
        leaves: 9,
        features: 3,
        levels: 4,
        width,
        vector: true,
        compare: Precision::F32,
        sum: Precision::F32,
        plain: true,
        linear: false,
        aggregate: 9,
    };
    let sound = ensemble(&sizes);
    sound.check().unwrap();
    sound
}

/// In the one tree of each test that is changed.
const TREE: usize = 2;

fn threshold(ensemble: &mut Ensemble) -> &mut f64 {
    let Some(Node::Split(split)) = ensemble.trees[TREE].nodes.first_mut() else { panic!("a split") };
    match &mut split.test {
        Test::Below(threshold) | Test::AtMost(threshold) | Test::Equal(threshold) => threshold,
        Test::In(_) => panic!("a threshold"),
    }
}

fn leaves(ensemble: &mut Ensemble) -> &mut Vec<f64> {
    match &mut ensemble.trees[TREE].leaves {
        Leaves::Scalar { values, .. } | Leaves::Vector(values) => values,
    }
}

#[track_caller]
fn refused(expected: &str, change: impl Fn(&mut Ensemble)) {
    let mut ensemble = sound(3);
    change(&mut ensemble);
    assert_eq!(ensemble.check().unwrap_err().to_string(), expected);
    // Whatever takes an ensemble asks.
    assert!(Ensemble::from_bytes(&ensemble.to_bytes().unwrap()).is_err());
    assert!(Predictor::untuned(ensemble).is_err());
}

#[test]
fn numbers_of_f32_are_f32() {
    refused(
        "expected in tree 2, in node 0 in pre-order, an f32 as threshold of what is compared in f32, got 0.1",
        |ensemble| *threshold(ensemble) = 0.1,
    );
    refused("expected in tree 2, an f32 in leaf 1, which is added in f32, got 0.1", |ensemble| {
        leaves(ensemble)[5] = 0.1;
    });
    refused("expected an f32 to begin sums of f32 with, got 0.1", |ensemble| ensemble.output.start[2] = 0.1);
    let mut wide = sound(3);
    (wide.rules.compare, wide.rules.sum) = (Precision::F64, Precision::F64);
    *threshold(&mut wide) = 0.1;
    leaves(&mut wide)[5] = 0.1;
    wide.output.start[2] = 0.1;
    wide.check().unwrap();
    // Each of the two by its own precision.
    wide.rules.compare = Precision::F32;
    assert!(wide.check().is_err());
    *threshold(&mut wide) = 0.5;
    wide.check().unwrap();
    let mut endless = sound(3);
    *threshold(&mut endless) = f64::NEG_INFINITY;
    leaves(&mut endless)[..2].copy_from_slice(&[f64::NAN, f64::INFINITY]);
    endless.check().unwrap();
}

#[test]
fn means_divide_by_numbers() {
    for (divisor, name) in [(0.0, "0"), (-0.0, "-0"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        refused(&format!("expected a finite number other than 0 as divisor of a mean, got {name}"), |ensemble| {
            ensemble.output.aggregate = Aggregate::Mean(vec![1.0, divisor, 2.0]);
        });
    }
}

#[test]
fn the_least_is_that_of_some_tree() {
    for aggregate in [Aggregate::Min, Aggregate::Max] {
        refused("expected at least one tree to take the least or the greatest of, got 0", |ensemble| {
            ensemble.output.aggregate = aggregate.clone();
            ensemble.trees.clear();
        });
        let mut one = sound(3);
        one.output.aggregate = aggregate;
        one.trees.truncate(1);
        one.check().unwrap();
    }
    let mut none = sound(3);
    none.trees.clear();
    none.check().unwrap();
}

#[test]
fn labels_are_as_many_as_classes() {
    let labels = |count: usize| (0..count).map(|label| label.to_string()).collect::<Vec<_>>();
    for (width, fits) in [(1, vec![0, 1, 2]), (2, vec![0, 2]), (3, vec![0, 3])] {
        for count in 0..5 {
            let mut ensemble = sound(width);
            ensemble.output.classes = labels(count);
            assert_eq!(ensemble.check().is_ok(), fits.contains(&count), "{count} labels for {width} outputs");
        }
    }
    refused("expected class labels for 3 outputs, got 2", |ensemble| ensemble.output.classes = labels(2));
}
