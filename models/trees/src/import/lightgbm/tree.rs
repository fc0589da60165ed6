//! A tree.

use super::text::Fields;
use crate::{
    Error, Result,
    ensemble::{CategorySet, Leaves, LinearLeaf, Linked, Missing, Node, Split, Test, Tree, ZERO, pre_order},
};

/// Bits of a decision type.
const CATEGORICAL: u8 = 1;
const DEFAULT_LEFT: u8 = 2;

/// Codes that a set may name; `CategoryRule` gives no others.
const CODES: usize = 1 << 24;

/// Splits as the file has them, by column.
struct Splits {
    feature: Vec<u32>,
    threshold: Vec<f64>,
    decision: Vec<u8>,
    left: Vec<i64>,
    right: Vec<i64>,
}

/// Reads a tree over `features` features that adds to the margin `output`.
pub(super) fn tree(fields: &Fields<'_>, features: usize, output: u32) -> Result<Tree> {
    let leaves = fields.number::<usize>("num_leaves")?;
    let Some(count) = leaves.checked_sub(1) else {
        return Err(Error::content("at least one leaf as `num_leaves`", leaves));
    };
    let values = fields.numbers::<f64>("leaf_value", leaves)?;
    let splits = Splits {
        feature: fields.numbers("split_feature", count)?,
        threshold: fields.numbers("threshold", count)?,
        // Without it, as in LightGBM, all splits are numeric and none has missing values.
        decision: if fields.has("decision_type") || count == 0 {
            fields.numbers("decision_type", count)?
        } else {
            vec![0; count]
        },
        left: fields.numbers("left_child", count)?,
        right: fields.numbers("right_child", count)?,
    };
    let beyond = |feature: &u32| *feature as usize >= features;
    if let Some((split, feature)) = splits.feature.iter().enumerate().find(|(_, feature)| beyond(feature)) {
        return Err(Error::content(format!("a column below {features} as `split_feature` of split {split}"), feature));
    }
    if let Some(split) = splits.threshold.iter().position(|threshold| threshold.is_nan()) {
        return Err(Error::content(format!("a number as `threshold` of split {split}"), "NaN"));
    }
    let sets = sets(fields)?;
    let places = count + leaves;
    let order = pre_order(places, 0, |place| splits.linked(place, places))?;
    if order.len() != places {
        return Err(Error::content(format!("a way from the root to each of {places} nodes"), order.len()));
    }

    let counts = counts(fields, count, leaves)?;
    let mut linear = linear(fields, features, leaves)?;
    let mut tree = Tree {
        nodes: Vec::with_capacity(places),
        leaves: Leaves::Vector(Vec::new()),
        sets,
        covers: Vec::new(),
        linear: Vec::new(),
    };
    let mut ordered = Vec::with_capacity(leaves);
    for (place, right) in order {
        tree.covers.extend(counts.get(place));
        if let Some(right) = right {
            tree.nodes.push(Node::Split(splits.split(place, right, tree.sets.len())?));
        } else {
            let leaf = place - count;
            tree.nodes.push(Node::Leaf(ordered.len() as u32));
            ordered.extend(values.get(leaf));
            tree.linear.extend(linear.get_mut(leaf).map(std::mem::take));
        }
    }
    tree.leaves = Leaves::Scalar { output, values: ordered };
    Ok(tree)
}

impl Splits {
    /// What stands at a place: splits first, then leaves.
    fn linked(&self, place: usize, places: usize) -> Result<Linked> {
        let (Some(left), Some(right)) = (self.left.get(place), self.right.get(place)) else {
            return Ok(Linked::Leaf);
        };
        let child = |child: i64, key: &str| {
            let splits = self.left.len();
            // A leaf is written as the bitwise complement of its number.
            let found = if child < 0 {
                usize::try_from(!child).ok().and_then(|leaf| splits.checked_add(leaf)).filter(|place| *place < places)
            } else {
                usize::try_from(child).ok().filter(|split| *split < splits)
            };
            found.ok_or_else(|| {
                let expected =
                    format!("one of {splits} splits or of {} leaves as `{key}` of split {place}", splits + 1);
                Error::content(expected, child)
            })
        };
        Ok(Linked::Split { left: child(*left, "left_child")?, right: child(*right, "right_child")? })
    }

    fn split(&self, place: usize, right: u32, sets: usize) -> Result<Split> {
        let (Some(feature), Some(threshold), Some(decision)) =
            (self.feature.get(place), self.threshold.get(place), self.decision.get(place))
        else {
            return Err(Error::content(format!("split {place}"), "none"));
        };
        let (feature, threshold, decision) = (*feature, *threshold, *decision);
        if decision & CATEGORICAL != 0 {
            if !(0.0..sets as f64).contains(&threshold) || threshold.fract() != 0.0 {
                return Err(Error::content(
                    format!("one of {sets} category sets as `threshold` of split {place}"),
                    format!("{threshold:?}"),
                ));
            }
            // Whatever the missing type says, NaN has no category and goes right.
            return Ok(Split { feature, test: Test::In(threshold as u32), missing: Missing::Right, right });
        }
        let left = decision & DEFAULT_LEFT != 0;
        let missing = match (decision >> 2, left) {
            (0, _) => Missing::AsZero,
            (1, true) => Missing::ZeroLeft,
            (1, false) => Missing::ZeroRight,
            (2, true) => Missing::Left,
            (2, false) => Missing::Right,
            (3.., _) => {
                return Err(Error::content(
                    format!("a missing type of 0 to 2 in `decision_type` of split {place}"),
                    decision >> 2,
                ));
            }
        };
        Ok(Split { feature, test: at_most(threshold), missing, right })
    }
}

/// `x ≤ threshold` for an `x` that LightGBM sees as 0 when it is within [`ZERO`] of 0: it keeps rows sparse. A threshold of
/// -1e-35, which stands between negative numbers and 0, thus leads -1e-35 itself to the right.
fn at_most(threshold: f64) -> Test {
    if (-ZERO..0.0).contains(&threshold) {
        Test::Below(-ZERO)
    } else if (0.0..ZERO).contains(&threshold) {
        Test::AtMost(ZERO)
    } else {
        Test::AtMost(threshold)
    }
}

/// The category sets: words of bits one behind the other, and where each set begins.
fn sets(fields: &Fields<'_>) -> Result<Vec<CategorySet>> {
    let count = if fields.has("num_cat") { fields.number::<usize>("num_cat")? } else { 0 };
    if count == 0 {
        return Ok(Vec::new());
    }
    let words = fields.all::<u32>("cat_threshold")?;
    let bounds = fields.all::<usize>("cat_boundaries")?;
    if bounds.len().checked_sub(1) != Some(count) {
        return Err(Error::content(format!("one number more than {count} as `cat_boundaries`"), bounds.len()));
    }
    let set = |(from, to): (&usize, &usize)| {
        let words = words.get(*from..*to).ok_or_else(|| {
            let expected = format!("ascending numbers up to {} as `cat_boundaries`", words.len());
            Error::content(expected, format!("{from} before {to}"))
        })?;
        if words.iter().skip(CODES / 32).any(|word| *word != 0) {
            return Err(Error::unsupported(
                format!("a category of {CODES} or above"),
                "number the categories from 0 on and train anew",
            ));
        }
        Ok(CategorySet { words: words.iter().take(CODES / 32).copied().collect() })
    };
    bounds.iter().zip(bounds.iter().skip(1)).map(set).collect()
}

/// Training rows that passed each place: splits first, then leaves. `LightGBM`'s own SHAP values weigh by them (and not by
/// `leaf_weight`). Empty when the file leaves them out.
fn counts(fields: &Fields<'_>, splits: usize, leaves: usize) -> Result<Vec<f64>> {
    let there = |key| fields.get(key).is_some();
    if !there("leaf_count") || (splits > 0 && !there("internal_count")) {
        return Ok(Vec::new());
    }
    let mut counts = if splits > 0 { fields.numbers::<f64>("internal_count", splits)? } else { Vec::new() };
    counts.extend(fields.numbers::<f64>("leaf_count", leaves)?);
    Ok(counts)
}

/// The leaves' linear functions; none in a tree of constant leaves.
fn linear(fields: &Fields<'_>, features: usize, leaves: usize) -> Result<Vec<LinearLeaf>> {
    if fields.get("is_linear").is_none_or(|flag| flag == "0") {
        return Ok(Vec::new());
    }
    let constants = fields.numbers::<f64>("leaf_const", leaves)?;
    let sizes = fields.numbers::<usize>("num_features", leaves)?;
    let asked = fields.all::<u32>("leaf_features")?;
    let coefficients = fields.all::<f64>("leaf_coeff")?;
    if let Some(feature) = asked.iter().find(|feature| **feature as usize >= features) {
        return Err(Error::content(format!("a column below {features} as `leaf_features`"), feature));
    }
    let total = sizes.iter().try_fold(0_usize, |total, size| total.checked_add(*size));
    if total != Some(asked.len()) || asked.len() != coefficients.len() {
        return Err(Error::content(
            "as many `leaf_features` and `leaf_coeff` as `num_features` add up to",
            format!("{} and {}", asked.len(), coefficients.len()),
        ));
    }
    let mut terms = asked.into_iter().zip(coefficients);
    let leaf = |(constant, size): (f64, usize)| LinearLeaf { constant, terms: terms.by_ref().take(size).collect() };
    Ok(constants.into_iter().zip(sizes).map(leaf).collect())
}
