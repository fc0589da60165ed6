//! SHAP interaction values: how much of a column's attribution depends on another column.

use super::{
    Explainer,
    graph::{Edge, Graph},
    walk::Scratch,
};
use crate::Result;

impl Explainer {
    /// Numbers that [`Self::interactions`] writes: outputs × (columns + 1)².
    #[must_use]
    pub fn interactions_len(&self) -> usize {
        self.values_len().saturating_mul(self.columns + 1)
    }

    /// SHAP interaction values of a row, from its features, as `XGBoost`'s `pred_interactions` has them: for each output a
    /// symmetric matrix, whose rows add up to [`Self::values`]. Beside the diagonal is half of the interaction of two
    /// columns (Lundberg et al. 2018, section 4.2), on the diagonal what is left of a column's attribution, in the last
    /// corner what is expected.
    ///
    /// A pair's interaction is `v · (o_i − z_i)(o_j − z_j) · ∫ Π_{k≠i,j} f_k dt`, by the same quadrature as the values.
    /// Takes time with nodes · features², at most, where features are those of a path. Allocates as [`Self::values`]
    /// does, and 16 bytes a node of the largest tree.
    ///
    /// # Errors
    /// [`Error::Content`](crate::Error::Content) when `features` or `out` have another length than the model's features
    /// and [`Self::interactions_len`].
    pub fn interactions(&self, features: &[f64], out: &mut [f64]) -> Result<()> {
        self.check_lengths(features, out, self.interactions_len())?;
        out.fill(0.0);
        let stride = self.columns + 1;
        let matrix = stride * stride;
        let mut last = LastEdges::default();
        self.walk(features, |scratch, graph, output| {
            last.pairs(scratch, graph, &mut out[output * matrix..][..matrix], stride);
        });
        for ((out, factor), expected) in out.chunks_exact_mut(matrix).zip(&self.factors).zip(&self.expected) {
            for column in 0..self.columns {
                let row = &mut out[column * stride..][..stride];
                for value in row.iter_mut() {
                    *value *= factor;
                }
                let others: f64 = row.iter().enumerate().filter(|(other, _)| *other != column).map(|(_, x)| x).sum();
                row[column] -= others;
            }
            out[matrix - 1] = *expected;
        }
        Ok(())
    }
}

/// While nodes are visited in pre-order: the last edge of every feature that is asked on the way to the present one.
#[derive(Default)]
struct LastEdges {
    /// By the order in which the features are first asked.
    last: Vec<u32>,
    /// Place in `last`, by node.
    places: Vec<usize>,
    path: Vec<u32>,
}

impl LastEdges {
    /// Adds a tree's attributions to the diagonal of the matrix, and its interactions beside it.
    ///
    /// A pair's term is a product of two ratios. An edge that changes one of them changes the product by its change times
    /// the other ratio, as that is on the way to the edge.
    fn pairs(&mut self, scratch: &Scratch, graph: &Graph, matrix: &mut [f64], stride: usize) {
        self.last.clear();
        self.path.clear();
        self.places.resize(self.places.len().max(graph.edges.len()), 0);
        for (node, edge) in graph.edges.iter().enumerate().skip(1) {
            self.enter(node, &graph.edges);
            let Some(change) = scratch.change(node, edge) else { continue };
            let column = edge.column as usize;
            matrix[column * stride + column] += change.iter().sum::<f64>();
            for other in &self.last {
                let other_column = graph.edges[*other as usize].column as usize;
                // Features of one column: their interaction stays in the column's own attribution.
                if other_column != column {
                    let both: f64 =
                        change.iter().zip(scratch.ratio(*other)).map(|(change, ratio)| change * ratio).sum();
                    matrix[column * stride + other_column] += 0.5 * both;
                    matrix[other_column * stride + column] += 0.5 * both;
                }
            }
        }
    }

    fn enter(&mut self, node: usize, edges: &[Edge]) {
        let edge = &edges[node];
        while let Some(left) = self.path.pop_if(|last| *last > edge.above) {
            match edges[left as usize].before {
                0 => drop(self.last.pop()),
                before => self.last[self.places[left as usize]] = before,
            }
        }
        self.places[node] = match edge.before {
            0 => {
                self.last.push(0);
                self.last.len() - 1
            }
            before => self.places[before as usize],
        };
        self.last[self.places[node]] = node as u32;
        self.path.push(node as u32);
    }
}
