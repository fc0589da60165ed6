//! One tree of a checkpoint.

use super::{Bytes, Shape, int};
use crate::{
    Ensemble, Error, Result,
    ensemble::{CategoryRule, CategorySet, ColumnKind, Leaves, Missing, Node, Precision, Split, Test, Tree, ZERO},
};

/// Words of a set of all codes that a number can have; see [`CategoryRule::code`].
const CODE_WORDS: usize = (1 << 24) / 32;

/// Writes a tree.
pub(super) struct Writer<'a> {
    pub(super) ensemble: &'a Ensemble,
    pub(super) tree: &'a Tree,
    pub(super) shape: Shape,
}

/// A node's entries in the arrays of a checkpoint.
struct Entry {
    /// 0 for a leaf, 1 for a numerical test, 2 for a categorical one.
    node_type: i8,
    left: i32,
    right: i32,
    feature: i32,
    default_left: bool,
    leaf: f64,
    threshold: f64,
    operator: i8,
    /// Range in the leaf vectors.
    vector: [u64; 2],
    /// Range in the category lists.
    list: [u64; 2],
}

impl Entry {
    /// A leaf without a number.
    const LEAF: Self = Self {
        node_type: 0,
        left: -1,
        right: -1,
        feature: -1,
        default_left: false,
        leaf: 0.0,
        threshold: 0.0,
        operator: 0,
        vector: [0; 2],
        list: [0; 2],
    };
}

impl Writer<'_> {
    pub(super) fn write(&self, file: &mut Bytes) -> Result<()> {
        let Tree { nodes, leaves: _, sets, covers, linear } = self.tree;
        if !linear.is_empty() {
            return Err(Error::unsupported("a linear function as leaf", "train without linear leaves"));
        }
        // No number has a code beyond these, and their count fits treelite's type.
        if let Some(set) = sets.iter().find(|set| set.words.len() > CODE_WORDS) {
            return Err(Error::content(format!("category sets of at most {CODE_WORDS} words"), set.words.len()));
        }
        let (categories, lists) = self.category_lists();
        let vectors = self.leaf_vectors();
        let entry = |(index, node): (usize, &Node)| match node {
            Node::Leaf(leaf) => Ok(self.leaf(*leaf as usize)),
            Node::Split(split) => self.split(index, split, &lists),
        };
        let entries = nodes.iter().enumerate().map(entry).collect::<Result<Vec<_>>>()?;

        file.put(int("nodes", nodes.len())?.to_le_bytes());
        file.put([u8::from(entries.iter().any(|entry| entry.node_type == 2))]);
        file.array(entries.iter().map(|entry| entry.node_type.to_le_bytes()));
        file.array(entries.iter().map(|entry| entry.left.to_le_bytes()));
        file.array(entries.iter().map(|entry| entry.right.to_le_bytes()));
        file.array(entries.iter().map(|entry| entry.feature.to_le_bytes()));
        file.array(entries.iter().map(|entry| [u8::from(entry.default_left)]));
        file.floats(&entries.iter().map(|entry| entry.leaf).collect::<Vec<_>>());
        file.floats(&entries.iter().map(|entry| entry.threshold).collect::<Vec<_>>());
        file.array(entries.iter().map(|entry| entry.operator.to_le_bytes()));
        // category_list_right_child: our sets name what goes left.
        file.array(entries.iter().map(|_| [0]));
        file.floats(&vectors);
        file.array(entries.iter().map(|entry| entry.vector[0].to_le_bytes()));
        file.array(entries.iter().map(|entry| entry.vector[1].to_le_bytes()));
        file.array(categories.iter().map(|code| code.to_le_bytes()));
        file.array(entries.iter().map(|entry| entry.list[0].to_le_bytes()));
        file.array(entries.iter().map(|entry| entry.list[1].to_le_bytes()));
        // data_count and data_count_present; then sum_hess, which is where weights belong; then gain.
        file.array(std::iter::empty::<[u8; 8]>());
        file.array(std::iter::empty::<[u8; 1]>());
        file.array(covers.iter().map(|cover| cover.to_le_bytes()));
        file.array(covers.iter().map(|_| [1]));
        file.array(std::iter::empty::<[u8; 8]>());
        file.array(std::iter::empty::<[u8; 1]>());
        // No optional fields of the tree, none of its nodes.
        file.put([0; 8]);
        Ok(())
    }

    /// The codes of all sets, and each set's range in them. Nodes that share a set share the range.
    fn category_lists(&self) -> (Vec<u32>, Vec<[u64; 2]>) {
        let mut categories = Vec::new();
        let mut range = |set: &CategorySet| {
            let begin = categories.len() as u64;
            categories.extend(set.codes());
            [begin, categories.len() as u64]
        };
        let lists = self.tree.sets.iter().map(&mut range).collect();
        (categories, lists)
    }

    /// The numbers of all leaves, if leaves are vectors.
    fn leaf_vectors(&self) -> Vec<f64> {
        let width = self.ensemble.output.width;
        match &self.tree.leaves {
            _ if !self.shape.vectors => Vec::new(),
            Leaves::Vector(values) => values.clone(),
            Leaves::Scalar { output, values } => {
                let mut vectors = vec![0.0; values.len() * width];
                for (vector, value) in vectors.chunks_exact_mut(width).zip(values) {
                    vector[*output as usize] = *value;
                }
                vectors
            }
        }
    }

    fn leaf(&self, leaf: usize) -> Entry {
        if self.shape.vectors {
            let width = self.ensemble.output.width;
            return Entry { vector: [(leaf * width) as u64, ((leaf + 1) * width) as u64], ..Entry::LEAF };
        }
        let (Leaves::Scalar { output: _, values } | Leaves::Vector(values)) = &self.tree.leaves;
        Entry { leaf: values[leaf], ..Entry::LEAF }
    }

    fn split(&self, index: usize, split: &Split, lists: &[[u64; 2]]) -> Result<Entry> {
        let rules = self.ensemble.rules;
        let Split { feature, test, missing: _, right } = split;
        let column = self.ensemble.features[*feature as usize].column;
        let default_left = self.default_left(split).map_err(|error| at_node(index, error))?;
        let moved = match (rules.compare, rules.sum) {
            (Precision::F32, Precision::F64) => unrounded(*test).map_err(|error| at_node(index, error))?,
            (Precision::F32, Precision::F32) | (Precision::F64, _) => *test,
        };
        let (node_type, operator, threshold, list) = match moved {
            Test::Equal(threshold) => (1, 1, threshold, [0; 2]),
            Test::Below(threshold) => (1, 2, threshold, [0; 2]),
            Test::AtMost(threshold) => (1, 3, threshold, [0; 2]),
            Test::In(set) => {
                self.check_codes(column as usize).map_err(|error| at_node(index, error))?;
                (2, 0, 0.0, lists[set as usize])
            }
        };
        Ok(Entry {
            node_type,
            left: int("nodes", index + 1)?,
            right: int("nodes", *right as usize)?,
            feature: int("columns", column as usize)?,
            default_left,
            operator,
            threshold,
            list,
            ..Entry::LEAF
        })
    }

    /// Where NaN goes. What else the split does to it and to zero must come to the same.
    fn default_left(&self, split: &Split) -> Result<bool> {
        let goes_left =
            |x: f64| self.tree.goes_left(&Split { missing: Missing::Right, ..*split }, x, self.ensemble.rules);
        let (left, name) = match split.missing {
            Missing::Left => return Ok(true),
            Missing::Right => return Ok(false),
            Missing::AsZero => return Ok(goes_left(0.0)),
            Missing::ZeroLeft => (true, "left"),
            Missing::ZeroRight => (false, "right"),
        };
        // The tests that order numbers treat all within ±ZERO alike when they treat both ends alike.
        let ordered = match split.test {
            Test::Below(_) | Test::AtMost(_) => true,
            Test::Equal(_) | Test::In(_) => false,
        };
        if ordered && goes_left(-ZERO) == left && goes_left(ZERO) == left {
            Ok(left)
        } else {
            let what = format!("a split that sends zero {name} with what is missing");
            Err(Error::unsupported(what, "train with zero_as_missing=false"))
        }
    }

    /// treelite takes the whole part of what is not negative. On codes, which are whole, the other rules do the same; a
    /// column of numbers could hold something else.
    fn check_codes(&self, column: usize) -> Result<()> {
        let rules = self.ensemble.rules;
        let same = match rules.category {
            CategoryRule::TruncateNonNegative => rules.compare == rules.sum,
            CategoryRule::Truncate | CategoryRule::Exact => false,
        };
        match &self.ensemble.columns[column].kind {
            ColumnKind::Integer | ColumnKind::Boolean | ColumnKind::Category(_) => Ok(()),
            ColumnKind::Float if same => Ok(()),
            ColumnKind::Float => Err(Error::unsupported(
                format!("a category set that is asked of column {column}, whose numbers may have fractions"),
                "declare that the column holds categories",
            )),
        }
    }
}

/// The test on a number that comes to the same as `test` on that number rounded to f32.
///
/// Numbers round to the nearest f32, and from midway between two to the one whose last bit is 0: so rounding turns at
/// the middle between the threshold and its neighbour, which f64 holds exactly, and which itself goes where the even
/// one is.
fn unrounded(test: Test) -> Result<Test> {
    // f32 overflows where the next one would be.
    let wide = |x: f32| if x.is_infinite() { 2_f64.powi(128).copysign(f64::from(x)) } else { f64::from(x) };
    let middle = |a: f32, b: f32| f64::midpoint(wide(a), wide(b));
    let is_even = |x: f32| x.to_bits() & 1 == 0;
    Ok(match test {
        Test::Below(f64::NEG_INFINITY) | Test::AtMost(f64::INFINITY) | Test::In(_) => test,
        Test::Below(threshold) => {
            let threshold = threshold as f32;
            let turn = middle(threshold.next_down(), threshold);
            if is_even(threshold) { Test::Below(turn) } else { Test::AtMost(turn) }
        }
        Test::AtMost(threshold) => {
            let threshold = threshold as f32;
            let turn = middle(threshold, threshold.next_up());
            if is_even(threshold) { Test::AtMost(turn) } else { Test::Below(turn) }
        }
        Test::Equal(threshold) => {
            return Err(Error::unsupported(
                format!(
                    "a split that asks whether a number rounded to f32 is {threshold}, in a model that sums in f64"
                ),
                "keep the file that it was read from",
            ));
        }
    })
}

fn at_node(index: usize, error: Error) -> Error {
    match error {
        Error::Content { expected, got } => Error::content(format!("in node {index}, {expected}"), got),
        Error::Unsupported { what, instead } => Error::unsupported(format!("{what} (node {index})"), instead),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(test: Test, x: f64) -> bool {
        match test {
            Test::Below(threshold) => x < threshold,
            Test::AtMost(threshold) => x <= threshold,
            Test::Equal(_) | Test::In(_) => panic!("no order"),
        }
    }

    proptest::proptest! {
        /// Around the threshold, at the middles to its neighbours and beside them, and anywhere.
        #[test]
        fn rounding_is_turned_into_thresholds(bits: u32, anywhere: f64) {
            let threshold = f32::from_bits(bits);
            proptest::prop_assume!(!threshold.is_nan());
            let middle = |a: f32, b: f32| f64::midpoint(f64::from(a), f64::from(b));
            let ends = [
                f64::from(threshold),
                middle(threshold, threshold.next_up()),
                middle(threshold.next_down(), threshold),
                3.402_823_567_797_336_6e38,
                -3.402_823_567_797_336_6e38,
                f64::INFINITY,
                f64::NEG_INFINITY,
                0.0,
                2_f64.powi(-150),
                anywhere,
            ];
            for x in ends.into_iter().flat_map(|x| [x, x.next_up(), x.next_down(), -x]).filter(|x| !x.is_nan()) {
                let rounded = f64::from(x as f32);
                for test in [Test::Below(threshold.into()), Test::AtMost(threshold.into())] {
                    let moved = unrounded(test).unwrap();
                    proptest::prop_assert_eq!(holds(test, rounded), holds(moved, x), "{:?} became {:?} at {}", test, moved, x);
                }
            }
        }
    }

    #[test]
    fn rounding_is_turned_at_the_edges() {
        for threshold in
            [0.0, -0.0, f32::MAX, f32::MIN, f32::INFINITY, f32::NEG_INFINITY, 1e-45, -1e-45, 1.0, 1.0_f32.next_up()]
        {
            for x in [
                0.0,
                -0.0,
                2_f64.powi(-150),
                2_f64.powi(-150).next_up(),
                3.402_823_567_797_336_6e38,
                3.402_823_567_797_336_6e38_f64.next_down(),
                1.0 + 2_f64.powi(-24),
                1.0 + 2_f64.powi(-24) * 3.0,
                f64::INFINITY,
                f64::MAX,
            ]
            .into_iter()
            .flat_map(|x| [x, -x])
            {
                let rounded = f64::from(x as f32);
                for test in [Test::Below(threshold.into()), Test::AtMost(threshold.into())] {
                    let moved = unrounded(test).unwrap();
                    assert_eq!(holds(test, rounded), holds(moved, x), "{test:?} became {moved:?} at {x}");
                }
            }
        }
    }
}
