//! One tree. XGBoost takes the node behind a split's left child for the right one, so nodes are numbered level by
//! level.

use super::{
    Columns, narrow,
    text::{floats, integers, list, object, quoted},
    unsupported,
};
use crate::{
    Ensemble, Error, Result,
    ensemble::{CategoryRule, CategorySet, Feature, Leaves, Missing, Node, Split, Test, Tree, ZERO},
};

/// Codes that a number can have; see [`CategoryRule::code`].
const CODES: usize = 1 << 24;
/// What XGBoost writes as a threshold where there is none: the least number above 0.
const NO_THRESHOLD: f32 = f32::from_bits(1);
/// What XGBoost writes as the root's parent in trees with vector leaves, and in others.
const NO_PARENT: [i32; 2] = [-1, i32::MAX];

pub(super) struct Writer<'a> {
    pub(super) ensemble: &'a Ensemble,
    pub(super) tree: &'a Tree,
    pub(super) columns: &'a Columns<'a>,
    /// What leaves are multiplied by, by output.
    pub(super) factors: &'a [f64],
    /// What is added to leaves, by output.
    pub(super) add: &'a Option<Vec<f64>>,
    /// Whether leaves hold a number for every output.
    pub(super) vectors: bool,
}

/// The arrays of a tree.
#[derive(Default)]
struct Arrays {
    left: Vec<i32>,
    right: Vec<i32>,
    parents: Vec<i32>,
    features: Vec<u32>,
    thresholds: Vec<f32>,
    default_left: Vec<u8>,
    types: Vec<u8>,
    hessians: Vec<f32>,
    leaf_weights: Vec<f32>,
    categories: Vec<u32>,
    category_nodes: Vec<usize>,
    category_begins: Vec<usize>,
    category_sizes: Vec<usize>,
}

/// What XGBoost asks at a split, and where it goes.
struct Asked<'a> {
    threshold: f32,
    /// Goes left when the code is not among these.
    categories: Option<&'a CategorySet>,
    /// Our node on XGBoost's left, and on its right.
    children: [usize; 2],
    default_left: bool,
}

impl Writer<'_> {
    pub(super) fn write(&self, index: usize) -> Result<String> {
        let Tree { nodes, leaves: _, sets, covers, linear } = self.tree;
        if !linear.is_empty() {
            return Err(Error::unsupported("a linear function as leaf", "train without linear leaves"));
        }
        if let Some(set) = sets.iter().find(|set| set.words.len() > CODES / 32) {
            return Err(Error::content(format!("category sets of at most {} words", CODES / 32), set.words.len()));
        }
        let mut arrays = Arrays::default();
        // Our node and XGBoost's parent of it, by XGBoost's number.
        let mut order = vec![(0, NO_PARENT[usize::from(!self.vectors)])];
        let mut place = 0;
        while let Some((node, parent)) = order.get(place).copied() {
            arrays.parents.push(parent);
            arrays.hessians.push(covers.get(node).map_or(Ok(0.0), |cover| narrow(*cover))?);
            match &nodes[node] {
                Node::Leaf(leaf) => self.leaf(*leaf as usize, &mut arrays)?,
                Node::Split(split) => {
                    let asked = self.asked(node, split)?;
                    let (parent, left) = (number(place)?, number(order.len())?);
                    order.extend(asked.children.map(|child| (child, parent)));
                    self.split(split, &asked, left, place, &mut arrays);
                }
            }
            place += 1;
        }
        Ok(self.text(index, &arrays))
    }

    fn split(&self, split: &Split, asked: &Asked<'_>, left: i32, place: usize, arrays: &mut Arrays) {
        arrays.left.push(left);
        arrays.right.push(left + 1);
        arrays.features.push(self.feature(split).column);
        arrays.thresholds.push(asked.threshold);
        arrays.default_left.push(u8::from(asked.default_left));
        arrays.types.push(u8::from(asked.categories.is_some()));
        if let Some(set) = asked.categories {
            arrays.category_nodes.push(place);
            arrays.category_begins.push(arrays.categories.len());
            arrays.categories.extend(set.codes());
            arrays.category_sizes.push(arrays.categories.len() - arrays.category_begins.last().copied().unwrap_or(0));
        }
    }

    fn feature(&self, split: &Split) -> &Feature {
        &self.ensemble.features[split.feature as usize]
    }

    fn asked(&self, node: usize, split: &Split) -> Result<Asked<'_>> {
        let missing_left = self.missing_left(node, split)?;
        let (left, right) = (node + 1, split.right as usize);
        let below =
            |threshold: f32| Asked { threshold, categories: None, children: [left, right], default_left: missing_left };
        match split.test {
            Test::Below(threshold) => Ok(below(up(threshold))),
            Test::AtMost(threshold) => Ok(below(down(threshold).next_up())),
            Test::Equal(threshold) => Err(unsupported(format!("the test for {threshold} at node {node}"))),
            Test::In(set) => {
                let column = self.feature(split).column;
                let rule = self.ensemble.rules.category;
                // The rules agree about whole numbers, and columns of categories hold no others.
                if rule != CategoryRule::TruncateNonNegative && !self.columns.is_category(column) {
                    return Err(unsupported(format!(
                        "the category rule {rule:?} for the numbers of column {column} at node {node}"
                    )));
                }
                let set = &self.tree.sets[set as usize];
                if set.words.iter().all(|word| *word == 0) {
                    // XGBoost has no empty sets: nothing lies below the least number.
                    return Ok(below(f32::MIN));
                }
                Ok(Asked {
                    threshold: NO_THRESHOLD,
                    categories: Some(set),
                    children: [right, left],
                    default_left: !missing_left,
                })
            }
        }
    }

    /// Whether NaN goes to our left; whether zero does has to follow from the test.
    fn missing_left(&self, node: usize, split: &Split) -> Result<bool> {
        let zero_left = |zero: f64| match split.test {
            Test::Below(threshold) => zero < threshold,
            Test::AtMost(threshold) => zero <= threshold,
            Test::Equal(threshold) => zero == threshold,
            Test::In(set) => self.tree.sets[set as usize].contains(0),
        };
        match split.missing {
            Missing::Left => Ok(true),
            Missing::Right => Ok(false),
            Missing::AsZero => Ok(zero_left(0.0)),
            Missing::ZeroLeft if zero_left(-ZERO) && zero_left(ZERO) => Ok(true),
            Missing::ZeroRight if !zero_left(-ZERO) && !zero_left(ZERO) => Ok(false),
            Missing::ZeroLeft | Missing::ZeroRight => Err(Error::unsupported(
                format!("zero as a missing value at node {node}"),
                "train with `zero_as_missing=false`, or keep the file that the model was read from",
            )),
        }
    }

    /// Appends a leaf.
    fn leaf(&self, leaf: usize, arrays: &mut Arrays) -> Result<()> {
        let width = self.factors.len();
        let value = |output: usize, value: f64| {
            let added = self.add.as_ref().map_or(0.0, |add| add[output]);
            // No sum where there is none to say: -0 + 0 is 0.
            narrow(if added == 0.0 { value * self.factors[output] } else { added + value * self.factors[output] })
        };
        let (right, threshold) = match &self.tree.leaves {
            Leaves::Scalar { output, values } if self.vectors => {
                let place = arrays.leaf_weights.len() / width;
                for output_place in 0..width {
                    let own = if output_place == *output as usize { values[leaf] } else { 0.0 };
                    arrays.leaf_weights.push(value(output_place, own)?);
                }
                (number(place)?, NO_THRESHOLD)
            }
            Leaves::Vector(values) if self.vectors => {
                let place = arrays.leaf_weights.len() / width;
                for output in 0..width {
                    arrays.leaf_weights.push(value(output, values[leaf * width + output])?);
                }
                (number(place)?, NO_THRESHOLD)
            }
            Leaves::Scalar { output, values } => (-1, value(*output as usize, values[leaf])?),
            Leaves::Vector(_) => return Err(Error::content("trees of one number a leaf", "vectors")),
        };
        arrays.left.push(-1);
        arrays.right.push(right);
        arrays.features.push(0);
        arrays.thresholds.push(threshold);
        arrays.default_left.push(0);
        arrays.types.push(0);
        Ok(())
    }

    fn text(&self, index: usize, arrays: &Arrays) -> String {
        let count = arrays.left.len();
        let size = if self.vectors { self.factors.len() } else { 1 };
        let zeros = |count: usize| list(std::iter::repeat_n("0E0".to_owned(), count));
        let mut entries = vec![
            ("base_weights", zeros(count * size)),
            ("categories", integers(&arrays.categories)),
            ("categories_nodes", integers(&arrays.category_nodes)),
            ("categories_segments", integers(&arrays.category_begins)),
            ("categories_sizes", integers(&arrays.category_sizes)),
            ("default_left", integers(&arrays.default_left)),
            ("id", index.to_string()),
        ];
        if self.vectors {
            entries.push(("leaf_weights", floats(arrays.leaf_weights.iter().copied())));
        }
        let parameter = |number: usize| quoted(&number.to_string());
        entries.extend([
            ("left_children", integers(&arrays.left)),
            ("loss_changes", zeros(count)),
            ("parents", integers(&arrays.parents)),
            ("right_children", integers(&arrays.right)),
            ("split_conditions", floats(arrays.thresholds.iter().copied())),
            ("split_indices", integers(&arrays.features)),
            ("split_type", integers(&arrays.types)),
            ("sum_hessian", floats(arrays.hessians.iter().copied())),
            (
                "tree_param",
                object(&[
                    ("num_deleted", parameter(0)),
                    ("num_feature", parameter(self.columns.count())),
                    ("num_nodes", parameter(count)),
                    ("size_leaf_vector", parameter(size)),
                ]),
            ),
        ]);
        object(&entries)
    }
}

/// A node's or a leaf's number.
fn number(place: usize) -> Result<i32> {
    i32::try_from(place).map_err(|_| Error::content("fewer than 2^31 nodes a tree", place))
}

/// The least f32 that is not below `t`: an f32 is below the one when it is below the other.
fn up(t: f64) -> f32 {
    let near = t as f32;
    if f64::from(near) < t { near.next_up() } else { near }
}

/// The greatest f32 that is not above `t`.
fn down(t: f64) -> f32 {
    let near = t as f32;
    if f64::from(near) > t { near.next_down() } else { near }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{down, up};

    proptest! {
        #[test]
        fn a_narrow_threshold_parts_narrow_numbers_as_the_wide_one_does(
            near in any::<f32>(),
            bits in -3..4_i64,
            x in any::<f32>(),
        ) {
            prop_assume!(near.is_finite());
            let t = f64::from_bits(f64::from(near).to_bits().wrapping_add_signed(bits));
            for x in [x, near, near.next_up(), near.next_down(), 0.0, -0.0, f32::MIN, f32::MAX] {
                if x.is_finite() {
                    prop_assert_eq!(f64::from(x) < t, x < up(t));
                    prop_assert_eq!(f64::from(x) <= t, x < down(t).next_up());
                }
            }
        }
    }
}
