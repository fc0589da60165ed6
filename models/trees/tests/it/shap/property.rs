//! Against the definition, and against what must hold for any model.

use proptest::prelude::*;
use trees::{
    Ensemble, Explainer,
    ensemble::{Aggregate, Leaves, Missing, Node, Output, Precision, Rules, Split, Task, Test, Tree},
};

use crate::random::Draw;

use super::{
    generate::{Shape, ensemble, row},
    oracle::Game,
};

fn games<'a>(ensemble: &'a Ensemble, features: &'a [f64], output: usize) -> impl Iterator<Item = Game<'a>> {
    let (rules, width) = (ensemble.rules, ensemble.output.width);
    ensemble.trees.iter().map(move |tree| Game { tree, features, rules, output, width })
}

fn factor(output: &Output, place: usize) -> f64 {
    match &output.aggregate {
        Aggregate::Mean(divisors) => output.scale / divisors[place],
        _ => output.scale,
    }
}

fn close(got: f64, expected: f64, scale: f64) -> bool {
    (got - expected).abs() <= 1e-12 * scale.max(1.0)
}

/// What the parts of a margin may add up to: rounding is relative to this.
fn scale(ensemble: &Ensemble, output: usize) -> f64 {
    let most = |tree: &Tree| match &tree.leaves {
        Leaves::Scalar { values, .. } | Leaves::Vector(values) => {
            values.iter().fold(0.0, |most: f64, x| most.max(x.abs()))
        }
    };
    let trees: f64 = ensemble.trees.iter().map(most).sum();
    (trees + ensemble.output.start[output].abs()) * factor(&ensemble.output, output).abs()
        + ensemble.output.bias[output].abs()
}

fn values(ensemble: &Ensemble, features: &[f64]) -> Vec<f64> {
    let explainer = Explainer::new(ensemble).unwrap();
    let mut out = vec![f64::NAN; explainer.values_len()];
    explainer.values(features, &mut out).unwrap();
    out
}

fn shapes() -> impl Strategy<Value = (u64, Shape)> {
    let shape = (1..=10_usize, 1..=3_usize, 1..=3_usize, 0..=14_usize);
    let shape = shape.prop_map(|(features, width, trees, depth)| Shape { features, width, trees, depth });
    (any::<u64>(), shape)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn values_are_those_of_the_definition_and_of_algorithm_2((seed, shape) in shapes()) {
        let mut draw = Draw::new(seed);
        let ensemble = ensemble(&mut draw, shape);
        let features = ensemble.features_of(&row(&mut draw, ensemble.columns.len()));
        let got = values(&ensemble, &features);
        let stride = ensemble.columns.len() + 1;
        for output in 0..shape.width {
            let got = &got[output * stride..][..stride];
            let scale = scale(&ensemble, output);
            let factor = factor(&ensemble.output, output);
            let (mut defined, mut recursive) = (vec![0.0; stride], vec![0.0; stride]);
            let mut mean = ensemble.output.start[output];
            for game in games(&ensemble, &features, output) {
                for (feature, (a, b)) in game.values().into_iter().zip(game.algorithm_2()).enumerate() {
                    let column = ensemble.features[feature].column as usize;
                    defined[column] += a * factor;
                    recursive[column] += b * factor;
                }
                mean += game.expected(0, 0);
            }
            let mean = mean * factor + ensemble.output.bias[output];
            (defined[stride - 1], recursive[stride - 1]) = (mean, mean);
            for (place, got) in got.iter().enumerate() {
                prop_assert!(close(*got, defined[place], scale), "output {output}: {got} for {}", defined[place]);
                // Unwinding divides by small parts of the covers, and loses digits there.
                prop_assert!((got - recursive[place]).abs() <= 1e-8 * scale.max(1.0), "{got} for {}", recursive[place]);
            }
        }
    }

    #[test]
    fn values_add_up_to_the_margin((seed, shape) in shapes(), more in 0..40_usize) {
        // Beyond the subsets that can be counted: up to fifty features, and deep.
        let shape = Shape { features: shape.features + more, depth: shape.depth + more / 2, ..shape };
        let mut draw = Draw::new(seed);
        let ensemble = ensemble(&mut draw, shape);
        let explainer = Explainer::new(&ensemble).unwrap();
        let stride = ensemble.columns.len() + 1;
        let mut out = vec![f64::NAN; explainer.values_len()];
        for _ in 0..4 {
            let features = ensemble.features_of(&row(&mut draw, ensemble.columns.len()));
            explainer.values(&features, &mut out).unwrap();
            let margins = ensemble.margins(&features);
            for (output, (got, margin)) in out.chunks(stride).zip(margins).enumerate() {
                let sum: f64 = got.iter().sum();
                prop_assert!(close(sum, margin, scale(&ensemble, output)), "output {output}: {sum} for {margin}");
                prop_assert_eq!(got[stride - 1], explainer.expected()[output]);
            }
        }
    }

    #[test]
    fn interactions_are_those_of_the_definition((seed, shape) in shapes()) {
        let shape = Shape { features: shape.features.min(8), ..shape };
        let mut draw = Draw::new(seed);
        let ensemble = ensemble(&mut draw, shape);
        let features = ensemble.features_of(&row(&mut draw, ensemble.columns.len()));
        let explainer = Explainer::new(&ensemble).unwrap();
        let mut got = vec![f64::NAN; explainer.interactions_len()];
        explainer.interactions(&features, &mut got).unwrap();
        let values = values(&ensemble, &features);
        let columns = ensemble.columns.len();
        let stride = columns + 1;
        for output in 0..shape.width {
            let got = &got[output * stride * stride..][..stride * stride];
            let values = &values[output * stride..][..stride];
            let scale = 4.0 * scale(&ensemble, output);
            let mut defined = vec![0.0; stride * stride];
            for game in games(&ensemble, &features, output) {
                for (i, row) in game.interactions().into_iter().enumerate() {
                    for (j, pair) in row.into_iter().enumerate() {
                        let (i, j) = (ensemble.features[i].column as usize, ensemble.features[j].column as usize);
                        defined[i * stride + j] += pair * factor(&ensemble.output, output);
                    }
                }
            }
            for i in 0..stride {
                let row = &got[i * stride..][..stride];
                prop_assert!(close(row.iter().sum(), values[i], scale), "row {i} of {got:?} for {}", values[i]);
                for j in (0..stride).filter(|j| *j != i) {
                    let (got_pair, pair) = (row[j], defined[i * stride + j]);
                    prop_assert!(close(got_pair, pair, scale), "{i}, {j}: {got_pair} for {pair}");
                    prop_assert_eq!(row[j], got[j * stride + i]);
                }
            }
        }
    }
}

/// One path of `depth` splits that ends in 1; every way off it ends in 0. `feature` of each split, and part of the covers
/// that stays on the path.
fn chain(features: usize, depth: usize, feature: impl Fn(usize) -> usize, stays: f64) -> Ensemble {
    let mut nodes = Vec::new();
    let mut covers = Vec::new();
    for place in 0..depth {
        let split = Split {
            feature: feature(place) as u32,
            test: Test::Below(1.0),
            missing: Missing::Right,
            right: (2 * depth - place) as u32,
        };
        nodes.push(Node::Split(split));
        covers.push(stays.powf(place as f64));
    }
    for leaf in 0..=depth {
        nodes.push(Node::Leaf(leaf as u32));
        covers.push(match leaf {
            0 => stays.powf(depth as f64),
            leaf => stays.powf((depth - leaf) as f64) * (1.0 - stays),
        });
    }
    let values = (0..=depth).map(|leaf| f64::from(u8::from(leaf == 0))).collect();
    let tree =
        Tree { nodes, leaves: Leaves::Scalar { output: 0, values }, sets: Vec::new(), covers, linear: Vec::new() };
    let mut ensemble = ensemble(&mut Draw::new(1), Shape { features: 2 * features, width: 1, trees: 0, depth: 0 });
    // One feature a column.
    ensemble.features = (0..features).map(|i| trees::ensemble::Feature::column(i as u32)).collect();
    ensemble.output = Output::sum(1, Task::Regression);
    ensemble.rules = Rules { compare: Precision::F64, sum: Precision::F64, ..ensemble.rules };
    ensemble.trees = vec![tree];
    ensemble
}

#[test]
fn long_paths_of_equal_features_share_equally() {
    for depth in [1, 8, 9, 40, 200, 512] {
        let stays = 0.97;
        let ensemble = chain(depth, depth, |place| place, stays);
        let got = values(&ensemble, &vec![0.0; depth]);
        let mean = stays.powf(depth as f64);
        assert!((got[depth] - mean).abs() <= 1e-13, "{} for {mean}", got[depth]);
        let each = (1.0 - mean) / depth as f64;
        for value in &got[..depth] {
            assert!((value - each).abs() <= 1e-12 * each, "depth {depth}: {value} for {each}");
        }
    }
}

#[test]
fn a_path_of_more_features_than_the_quadrature_is_exact_for_is_refused() {
    let refused = Explainer::new(&chain(513, 513, |place| place, 0.97)).unwrap_err().to_string();
    assert!(refused.contains("asks 513 features, as in tree 0"), "{refused}");
}

#[test]
fn a_cold_feature_at_the_end_of_a_long_path_takes_its_part() {
    // All but the last feature lead to the leaf of 1. Of the game v(S) = Π z over those not in S, times 0 where the last
    // is in S: its own value is -z ∫ Π (z + (1 - z) t) dt = -z (1 - z^d) / (d (1 - z)), by hand.
    let (depth, z) = (64, 0.9_f64);
    let ensemble = chain(depth, depth, |place| place, z);
    let mut row = vec![0.0; depth];
    row[depth - 1] = 2.0;
    let got = values(&ensemble, &row);
    let exact = -z * (1.0 - z.powf(depth as f64)) / (depth as f64 * (1.0 - z));
    assert!((got[depth - 1] - exact).abs() <= 1e-13, "{} for {exact}", got[depth - 1]);
}

#[test]
fn depth_without_end_is_walked_in_a_line() {
    // A recursion this deep would overflow the stack, and a walk to the root from every node would not end.
    let depth = 100_000;
    let ensemble = chain(3, depth, |place| place % 3, 0.5);
    let explainer = Explainer::new(&ensemble).unwrap();
    let mut out = vec![0.0; explainer.values_len()];
    explainer.values(&[0.0; 3], &mut out).unwrap();
    assert!(out[..3].iter().all(|value| (value - 1.0 / 3.0).abs() < 1e-14), "{out:?}");
    let mut pairs = vec![0.0; explainer.interactions_len()];
    explainer.interactions(&[0.0; 3], &mut pairs).unwrap();
    // Of a unanimity game of three players, each pair's half interaction is 1/2 · ∫ t dt = 1/4.
    assert!((pairs[1] - 0.25).abs() < 1e-14, "{pairs:?}");
}
