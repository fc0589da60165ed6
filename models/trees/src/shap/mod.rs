//! SHAP values: what each column adds to a margin, against the mean over the training rows.
//!
//! The values are those of `TreeSHAP` with path-dependent feature perturbation (Lundberg, Erion, Lee: Consistent
//! Individualized Feature Attribution for Tree Ensembles, 2018, algorithm 2), which `XGBoost` and `LightGBM` call
//! `pred_contribs` and `pred_contrib`: Shapley values of the game in which an unknown feature goes both ways at a split, by
//! the covers.
//!
//! They are computed another way. To a leaf of value v, reached through features i with the share `z_i` of the training
//! weight (all edges of a feature multiplied), and with `o_i` = 1 where the row goes this way and 0 otherwise, the game is
//! `v · Π f_i`, linear in each feature. Owen (Multilinear Extensions of Games, 1972) writes its Shapley values as
//!
//! `φ_i = v · (o_i − z_i) · ∫ Π_{j≠i} (z_j (1 − t) + o_j t) dt`, t from 0 to 1,
//!
//! a polynomial in t, whose integral a Gauss–Legendre rule gives exactly when it has half as many points as the path has
//! features (Quadrature-TreeSHAP: Wettenstein, Mitchell, Yu, 2026). One pass down a tree multiplies the factors, one pass
//! up sums the leaves, for some points at once: time is nodes · features on a path, not leaves · features². All terms of the
//! sums are positive but for the signs of `v` and `o − z`, so that deep trees lose no digits, which the unwinding of
//! algorithm 2 does. Its plain form is what the tests compare with.

mod graph;
mod interactions;
mod quadrature;
mod walk;

use graph::{Graph, Way};
use quadrature::Points;
use walk::Scratch;

use crate::{
    Ensemble, Error, Result,
    ensemble::{Aggregate, Output, Rules},
};

/// Explains the margins of an [`Ensemble`]. It keeps its own copy of what it needs of the trees, does not change, and can be
/// shared by threads.
///
/// The players of the game are the features. Where several are made of one column by steps (one-hot encoding), their
/// attributions add up to the column's, as is usual for one-hot encoded models.
#[derive(Clone, Debug)]
pub struct Explainer {
    graphs: Vec<Graph>,
    /// Quadrature rules, by their number of groups.
    quadratures: Vec<Vec<Points>>,
    rules: Rules,
    features: usize,
    columns: usize,
    /// What a leaf's value is multiplied by in each margin.
    factors: Vec<f64>,
    expected: Vec<f64>,
}

impl Explainer {
    /// Prepares the trees, in time and memory proportional to their nodes.
    ///
    /// # Errors
    /// What [`Ensemble::check`] finds; covers, leaf values and sums of these that are not finite; and, as unsupported,
    /// models without covers (ONNX has none), linear leaves, the aggregates Min and Max, and paths that ask more than 512
    /// different features.
    pub fn new(ensemble: &Ensemble) -> Result<Self> {
        ensemble.check()?;
        let Ensemble { columns, features, rules, trees, output, origin: _ } = ensemble;
        let factors = factors(output)?;
        let mut way = Way::new(features.len());
        let graphs = trees.iter().enumerate().map(|(index, tree)| Graph::new(tree, index, features, &mut way));
        let mut graphs = graphs.collect::<Result<Vec<_>>>()?;

        let mut expected = output.start.clone();
        for graph in &graphs {
            graph.add_mean(&mut expected);
        }
        for ((expected, factor), bias) in expected.iter_mut().zip(&factors).zip(&output.bias) {
            *expected = *expected * factor + bias;
        }
        if let Some(output) = expected.iter().position(|expected| !expected.is_finite()) {
            return Err(Error::content(format!("a finite mean of output {output}"), expected[output]));
        }
        // Leaves alone are part of what is expected, and of nothing else.
        graphs.retain(|graph| graph.groups > 0);
        let most = graphs.iter().map(|graph| graph.groups).max().unwrap_or(0);
        let mut quadratures = vec![Vec::new(); most + 1];
        for Graph { tree: _, edges: _, groups } in &graphs {
            if quadratures[*groups].is_empty() {
                quadratures[*groups] = quadrature::gauss_legendre(*groups);
            }
        }
        Ok(Self {
            graphs,
            quadratures,
            rules: *rules,
            features: features.len(),
            columns: columns.len(),
            factors,
            expected,
        })
    }

    /// The margins' means over the training rows, by output.
    #[must_use]
    pub fn expected(&self) -> &[f64] {
        &self.expected
    }

    /// Numbers that [`Self::values`] writes: outputs × (columns + 1).
    #[must_use]
    pub fn values_len(&self) -> usize {
        self.expected.len().saturating_mul(self.columns + 1)
    }

    /// SHAP values of a row, from its features ([`Ensemble::features_of`]): for each output, what each column adds to the
    /// margin, and then what is expected of it. Over each output they add up to the margin, before the link, as it is
    /// without rounding (a model whose [`Rules::sum`] is f32 rounds its own sum).
    ///
    /// Allocates once, some 129 bytes a node of the largest tree.
    ///
    /// # Errors
    /// [`Error::Content`] when `features` or `out` have another length than the model's features and
    /// [`Self::values_len`].
    pub fn values(&self, features: &[f64], out: &mut [f64]) -> Result<()> {
        self.check_lengths(features, out, self.values_len())?;
        out.fill(0.0);
        let stride = self.columns + 1;
        self.walk(features, |scratch, graph, output| {
            let out = &mut out[output * stride..][..stride];
            for (place, edge) in graph.edges.iter().enumerate().skip(1) {
                if let Some(change) = scratch.change(place, edge) {
                    out[edge.column as usize] += change.iter().sum::<f64>();
                }
            }
        });
        for ((out, factor), expected) in out.chunks_exact_mut(stride).zip(&self.factors).zip(&self.expected) {
            for value in out.iter_mut() {
                *value *= factor;
            }
            out[stride - 1] = *expected;
        }
        Ok(())
    }

    /// Hands over each tree once for each group of points and each of its outputs, walked down and up.
    fn walk(&self, features: &[f64], mut visit: impl FnMut(&Scratch, &Graph, usize)) {
        let nodes = self.graphs.iter().map(|graph| graph.edges.len()).max().unwrap_or(0);
        let mut scratch = Scratch::new(nodes);
        let width = self.expected.len();
        for graph in &self.graphs {
            scratch.follow(graph, features, self.rules);
            for points in &self.quadratures[graph.groups] {
                scratch.descend(graph, points);
                for output in graph.outputs(width) {
                    scratch.ascend(graph, output, width);
                    visit(&scratch, graph, output);
                }
            }
        }
    }

    fn check_lengths(&self, features: &[f64], out: &[f64], expected: usize) -> Result<()> {
        if features.len() != self.features {
            return Err(Error::content(format!("{} features", self.features), features.len()));
        }
        if out.len() != expected {
            return Err(Error::content(format!("room for {expected} SHAP values"), out.len()));
        }
        Ok(())
    }
}

/// What leaf values are multiplied by on their way into each margin.
fn factors(output: &Output) -> Result<Vec<f64>> {
    let Output { width, aggregate, start: _, scale, bias: _, link: _, task: _, classes: _ } = output;
    let factors = match aggregate {
        Aggregate::Sum => vec![*scale; *width],
        Aggregate::Mean(divisors) => divisors.iter().map(|divisor| scale / divisor).collect(),
        Aggregate::Min | Aggregate::Max => {
            return Err(Error::unsupported(
                "SHAP values of the aggregates MIN and MAX",
                "explain a model that adds its trees",
            ));
        }
    };
    match factors.iter().find(|factor: &&f64| !factor.is_finite()) {
        Some(factor) => Err(Error::content("a finite scale and divisors other than 0", factor)),
        None => Ok(factors),
    }
}
