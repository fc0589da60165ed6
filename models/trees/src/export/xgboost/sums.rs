//! Starts, averages and scales, in the one way in which XGBoost has them: `base_score` and leaves.

use std::borrow::Cow;

use super::unsupported;
use crate::{
    Result,
    ensemble::{Aggregate, Leaves, Link, Node, Output, Tree},
    import::xgboost::objective::Base,
};

/// How XGBoost comes to the same sums.
pub(super) struct Sums {
    /// `base_score`, by output.
    pub(super) scores: Vec<f32>,
    /// What leaves are multiplied by, by output.
    pub(super) factors: Vec<f64>,
    /// What is added to the leaves of an output's first tree, by output; none when `base_score` says it.
    add: Option<Vec<f64>>,
}

/// The trees with a number a leaf: those with vectors become one for each output, which add the same in the same order.
pub(super) fn scalar(trees: &[Tree], width: usize) -> Vec<Cow<'_, Tree>> {
    let mut all = Vec::with_capacity(trees.len());
    for tree in trees {
        let Leaves::Vector(vectors) = &tree.leaves else {
            all.push(Cow::Borrowed(tree));
            continue;
        };
        for output in 0..width {
            let values = vectors.iter().skip(output).step_by(width).copied().collect();
            all.push(Cow::Owned(Tree { leaves: Leaves::Scalar { output: output as u32, values }, ..tree.clone() }));
        }
    }
    all
}

/// A tree, and what is added to its leaves, by output.
pub(super) type Added<'a> = (Cow<'a, Tree>, Option<Vec<f64>>);

impl Sums {
    pub(super) fn new(output: &Output, base: Base) -> Result<Self> {
        let Output { width, aggregate, start, scale, bias, link, task: _, classes: _ } = output;
        let divisors = match aggregate {
            Aggregate::Sum => vec![1.0; *width],
            Aggregate::Mean(divisors) => divisors.clone(),
            Aggregate::Min => return Err(unsupported("the least of the trees")),
            Aggregate::Max => return Err(unsupported("the greatest of the trees")),
        };
        let alpha = match link {
            Link::Logistic { alpha } => *alpha,
            Link::Identity
            | Link::Softmax
            | Link::SoftmaxZero
            | Link::Probit
            | Link::Exp
            | Link::Softplus
            | Link::SignedSquare
            | Link::Hinge
            | Link::Isolation { ratio: _ } => 1.0,
        };
        let factors: Vec<f64> = divisors.iter().map(|divisor| scale / divisor * alpha).collect();
        if let Some(factor) = factors.iter().find(|factor| !factor.is_finite()) {
            return Err(unsupported(format!("an average or a scale that multiplies leaves by {factor}")));
        }
        let margins = start.iter().zip(&factors).zip(bias).map(|((start, factor), bias)| start * factor + bias * alpha);
        let margins: Vec<f64> = margins.collect();
        // A mean of 0 is the one infinity that `base_score` says.
        let said = |margin: &f64| margin.is_finite() || (*margin == f64::NEG_INFINITY && base == Base::Mean);
        if let Some(margin) = margins.iter().find(|margin| !said(margin)) {
            return Err(unsupported(format!("a sum that starts at {margin}")));
        }
        let scores: Option<Vec<f32>> = margins.iter().map(|margin| base.score(*margin as f32)).collect();
        Ok(match scores {
            Some(scores) => Self { scores, factors, add: None },
            None => Self { scores: vec![base.neutral(); *width], factors, add: Some(margins) },
        })
    }

    /// The trees, of which the first of each output takes what `base_score` does not say; outputs without a tree get
    /// one of a single leaf.
    pub(super) fn trees<'a>(&self, trees: Vec<Cow<'a, Tree>>, width: usize, vectors: bool) -> Vec<Added<'a>> {
        let mut left: Vec<Option<f64>> = match &self.add {
            Some(add) => add.iter().map(|add| Some(*add)).collect(),
            None => vec![None; width],
        };
        let mut take = |tree: &Tree| -> Option<Vec<f64>> {
            let reached = |place: usize| match tree.leaves {
                Leaves::Scalar { output, values: _ } if !vectors => output as usize == place,
                Leaves::Scalar { output: _, values: _ } | Leaves::Vector(_) => true,
            };
            let places = left.iter_mut().enumerate();
            let taken: Vec<_> = places.map(|(place, left)| if reached(place) { left.take() } else { None }).collect();
            let some = taken.iter().any(Option::is_some);
            some.then(|| taken.into_iter().map(Option::unwrap_or_default).collect())
        };
        let mut added: Vec<Added<'a>> = trees
            .into_iter()
            .map(|tree| {
                let add = take(&tree);
                (tree, add)
            })
            .collect();
        for output in 0..width as u32 {
            let leaf = Tree {
                nodes: vec![Node::Leaf(0)],
                leaves: Leaves::Scalar { output, values: vec![0.0] },
                sets: Vec::new(),
                covers: Vec::new(),
                linear: Vec::new(),
            };
            if let Some(add) = take(&leaf) {
                added.push((Cow::Owned(leaf), Some(add)));
            }
        }
        added
    }
}
