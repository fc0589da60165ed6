//! What is refused, and in which words.

use trees::{
    Ensemble, Explainer,
    ensemble::{Aggregate, Leaves, LinearLeaf, Node},
};

use crate::random::Draw;

use super::generate::{Shape, ensemble, one, row};

/// Two trees, the second of which has a split.
fn model() -> Ensemble {
    let mut draw = Draw::new(5);
    loop {
        let model = ensemble(&mut draw, Shape { features: 4, width: 1, trees: 2, depth: 3 });
        if model.trees[1].nodes.len() > 1 {
            return model;
        }
    }
}

fn refusal(change: impl FnOnce(&mut Ensemble)) -> String {
    let mut model = model();
    change(&mut model);
    Explainer::new(&model).unwrap_err().to_string()
}

#[test]
fn what_has_no_shap_values_is_refused_by_name() {
    assert_eq!(
        refusal(|model| model.trees[1].covers.clear()),
        "SHAP values of a model without covers, which tree 1 lacks, is not supported; import the model from the file of \
         the tool that trained it"
    );
    assert_eq!(refusal(|model| model.trees[1].covers.fill(0.0)), refusal(|model| model.trees[1].covers.clear()),);
    let linear = refusal(|model| {
        model.trees[0].leaves = Leaves::Scalar { output: 0, values: vec![0.0; model.trees[0].leaf_count()] };
        model.trees[0].linear = vec![LinearLeaf::default(); model.trees[0].leaf_count()];
    });
    assert!(linear.contains("linear_tree") && linear.contains("tree 0"), "{linear}");
    for aggregate in [Aggregate::Min, Aggregate::Max] {
        let refused = refusal(|model| model.output.aggregate = aggregate);
        assert!(refused.contains("MIN and MAX"), "{refused}");
    }
}

#[test]
fn numbers_that_cannot_be_explained_are_content_errors() {
    for cover in [f64::NAN, f64::INFINITY, -1.0] {
        let refused = refusal(|model| model.trees[1].covers[1] = cover);
        assert_eq!(refused, format!("expected in tree 1, node 1, a cover of 0 or more, got {cover}"));
    }
    for value in [f64::NAN, f64::NEG_INFINITY] {
        let refused = refusal(|model| {
            let (Leaves::Scalar { values, .. } | Leaves::Vector(values)) = &mut model.trees[1].leaves;
            values[0] = value;
        });
        assert_eq!(refused, format!("expected in tree 1, finite leaf values, got {value}"));
    }
    let refused = refusal(|model| model.output.aggregate = Aggregate::Mean(vec![0.0]));
    assert!(refused.contains("a finite number other than 0 as divisor of a mean"), "{refused}");
    // And what the ensemble's own check finds, so that no walk can fail.
    let refused = refusal(|model| model.trees[1].nodes.truncate(1));
    assert!(refused.contains("tree 1"), "{refused}");
}

#[test]
fn wrong_lengths_are_errors() {
    let model = model();
    let explainer = Explainer::new(&model).unwrap();
    let mut out = vec![0.0; explainer.values_len()];
    let error = explainer.values(&[0.0; 3], &mut out).unwrap_err();
    assert_eq!(error.to_string(), "expected 4 features, got 3");
    let error = explainer.values(&[0.0; 4], &mut out[1..]).unwrap_err();
    assert_eq!(error.to_string(), "expected room for 3 SHAP values, got 2");
    let error = explainer.interactions(&[0.0; 4], &mut out).unwrap_err();
    assert_eq!(error.to_string(), "expected room for 9 SHAP values, got 3");
}

#[test]
fn a_leaf_alone_and_no_tree_at_all_are_their_mean() {
    let mut model = model();
    model.trees.clear();
    let explainer = Explainer::new(&model).unwrap();
    let mut out = vec![f64::NAN; explainer.values_len()];
    explainer.values(&[0.0; 4], &mut out).unwrap();
    assert_eq!(out, [0.0, 0.0, model.margins(&[0.0; 4])[0]]);
}

#[test]
fn no_damage_makes_it_panic() {
    let numbers = [f64::NAN, f64::INFINITY, -1.0, 0.0, f64::MIN_POSITIVE, 5e-324, 1e-200, 1e200, f64::MAX];
    let (mut refused, mut explained) = (0, 0);
    for seed in 0..3000 {
        let mut draw = Draw::new(seed);
        let mut model = ensemble(&mut draw, Shape { features: 5, width: 2, trees: 2, depth: 4 });
        for _ in 0..=draw.below(3) {
            let number = one(&mut draw, &numbers);
            let tree = draw.below(2);
            let tree = &mut model.trees[tree];
            let node = draw.below(tree.nodes.len());
            let (Leaves::Scalar { values, .. } | Leaves::Vector(values)) = &mut tree.leaves;
            match draw.below(9) {
                0..=2 => tree.covers[node] = number,
                3 => values.iter_mut().take(1).for_each(|value| *value = number),
                4 => drop(values.pop()),
                5 => tree.nodes.truncate(node + 1),
                6 => {
                    if let Node::Split(split) = &mut tree.nodes[node] {
                        split.right = one(&mut draw, &[0, 1, 3, 9, u32::MAX]);
                    }
                }
                7 => {
                    if let Node::Split(split) = &mut tree.nodes[node] {
                        split.feature = one(&mut draw, &[0, 1, 5, u32::MAX]);
                    }
                }
                _ => model.output.scale = number,
            }
        }
        let Ok(explainer) = Explainer::new(&model) else {
            refused += 1;
            continue;
        };
        explained += 1;
        let features = model.features_of(&row(&mut draw, model.columns.len()));
        let mut out = vec![0.0; explainer.values_len()];
        explainer.values(&features, &mut out).unwrap();
        // Whatever the covers are, as long as nothing is near the greatest f64.
        if values_are_small(&model) {
            let stride = model.columns.len() + 1;
            for (got, margin) in out.chunks(stride).zip(model.margins(&features)) {
                let sum: f64 = got.iter().sum();
                assert!((sum - margin).abs() <= 1e-11 * (1.0 + model.output.scale.abs()), "{seed}: {sum} for {margin}");
            }
        }
        let mut out = vec![0.0; explainer.interactions_len()];
        explainer.interactions(&features, &mut out).unwrap();
    }
    assert!(refused > 500 && explained > 500, "{refused} refused, {explained} explained");
}

fn values_are_small(model: &Ensemble) -> bool {
    let small = |value: &f64| value.abs() < 1e3;
    let trees = model.trees.iter().all(|tree| match &tree.leaves {
        Leaves::Scalar { values, .. } | Leaves::Vector(values) => values.iter().all(small),
    });
    trees && small(&model.output.scale)
}

#[test]
fn threads_share_an_explainer() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Explainer>();
}
