//! Ensembles of every kind, drawn at random.

use proptest::prelude::*;
use trees::ensemble::{
    Aggregate, CategoryRule, CategorySet, Column, ColumnKind, Ensemble, Feature, Leaves, LinearLeaf, Link, Missing,
    Node, Origin, Output, Precision, Rules, Split, Task, Test, Tree,
};

/// A small generator, so that shapes follow from one seed.
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// splitmix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// A value out of a few, so that rows sit on thresholds, and thresholds are shared.
    fn value(&mut self, levels: usize) -> f64 {
        f64::from((self.below(2 * levels + 1) as f64 - levels as f64) as f32 * 0.37)
    }

    /// A row: numbers on and beside thresholds, codes, zeros of both signs, tiny and huge numbers, NaN. All are f32.
    pub(crate) fn row(&mut self, features: usize, levels: usize) -> Vec<f64> {
        (0..features)
            .map(|_| match self.below(12) {
                0 => f64::NAN,
                1 => 0.0,
                2 => -0.0,
                3 => f64::from(1e-35_f32),
                4 => f64::from(-1e-36_f32),
                5 => f64::INFINITY,
                6 => f64::NEG_INFINITY,
                7 => self.below(70) as f64,
                8 => -0.5,
                _ => self.value(levels),
            })
            .collect()
    }

    /// As [`Draw::row`]; every other row holds numbers that no f32 does.
    pub(crate) fn wide_row(&mut self, features: usize, levels: usize) -> Vec<f64> {
        let mut row = self.row(features, levels);
        if self.below(2) == 0 {
            for value in &mut row {
                match self.below(8) {
                    0 => *value += 1e-12,
                    1 => *value -= 1e-12,
                    2 => *value = [1e300, -1e-300, 0.1][self.below(3)],
                    _ => {}
                }
            }
        }
        row
    }
}

/// What an ensemble may hold.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) seed: u64,
    pub(crate) trees: usize,
    pub(crate) leaves: usize,
    pub(crate) features: usize,
    /// Different thresholds a feature, about.
    pub(crate) levels: usize,
    pub(crate) width: usize,
    pub(crate) vector: bool,
    pub(crate) compare: Precision,
    pub(crate) sum: Precision,
    /// Numeric tests alone, each NaN going left.
    pub(crate) plain: bool,
    pub(crate) linear: bool,
    pub(crate) aggregate: usize,
}

pub(crate) fn shapes() -> impl Strategy<Value = Shape> {
    let sizes = (any::<u64>(), 0..40_usize, 1..90_usize, 1..9_usize, prop_oneof![1..6_usize, 200..400_usize]);
    let precision = || prop_oneof![Just(Precision::F32), Just(Precision::F64)];
    let kinds = (1..4_usize, any::<bool>(), precision(), precision(), any::<bool>(), 0..12_usize, 0..8_usize);
    (sizes, kinds).prop_map(|((seed, trees, leaves, features, levels), kind)| {
        let (width, vector, compare, sum, plain, linear, aggregate) = kind;
        Shape {
            seed,
            trees,
            leaves,
            features,
            levels,
            width,
            vector,
            compare,
            sum,
            plain,
            linear: linear == 0 && !vector,
            aggregate,
        }
    })
}

pub(crate) fn ensemble(shape: &Shape) -> Ensemble {
    let mut draw = Draw::new(shape.seed);
    let column = |place| Column { name: format!("f{place}"), kind: ColumnKind::Float };
    let mut output = Output::sum(shape.width, Task::Regression);
    output.start = (0..shape.width).map(|_| draw.value(9)).collect();
    output.bias = (0..shape.width).map(|_| draw.value(9)).collect();
    output.scale = if draw.below(2) == 0 { 1.0 } else { 0.5 };
    output.link = Link::Identity;
    output.aggregate = match shape.aggregate {
        0 => Aggregate::Min,
        1 => Aggregate::Max,
        2 | 3 => Aggregate::Mean(vec![f64::from(shape.trees.max(1) as f32); shape.width]),
        _ => Aggregate::Sum,
    };
    let trees = match output.aggregate {
        // Of no trees there is no least one.
        Aggregate::Min | Aggregate::Max => shape.trees.max(1),
        Aggregate::Sum | Aggregate::Mean(_) => shape.trees,
    };
    let rules = Rules {
        compare: shape.compare,
        sum: shape.sum,
        category: [CategoryRule::Truncate, CategoryRule::TruncateNonNegative, CategoryRule::Exact][draw.below(3)],
    };
    Ensemble {
        columns: (0..shape.features).map(column).collect(),
        features: (0..shape.features as u32).map(Feature::column).collect(),
        rules,
        trees: (0..trees).map(|_| tree(shape, &mut draw)).collect(),
        output,
        origin: Origin::default(),
    }
}

fn tree(shape: &Shape, draw: &mut Draw) -> Tree {
    let leaves = 1 + draw.below(shape.leaves);
    let mut tree = Tree {
        nodes: Vec::new(),
        leaves: Leaves::Vector(Vec::new()),
        sets: (0..3).map(|_| (0..draw.below(9)).map(|_| draw.below(70) as u32).collect::<CategorySet>()).collect(),
        covers: Vec::new(),
        linear: Vec::new(),
    };
    grow(shape, draw, leaves, &mut 0, &mut tree.nodes);
    let mut value = |_| shape.sum.round(draw.value(1000) / 7.0);
    tree.leaves = if shape.vector {
        Leaves::Vector((0..leaves * shape.width).map(&mut value).collect())
    } else {
        let values = (0..leaves).map(&mut value).collect();
        Leaves::Scalar { output: draw.below(shape.width) as u32, values }
    };
    if shape.linear {
        let mut leaf =
            |_| LinearLeaf { constant: draw.value(9), terms: vec![(draw.below(shape.features) as u32, 0.5)] };
        tree.linear = (0..leaves).map(&mut leaf).collect();
    }
    tree
}

fn grow(shape: &Shape, draw: &mut Draw, leaves: usize, next: &mut u32, nodes: &mut Vec<Node>) {
    if leaves == 1 {
        nodes.push(Node::Leaf(*next));
        *next += 1;
        return;
    }
    let place = nodes.len();
    nodes.push(Node::Leaf(0));
    let left = 1 + draw.below(leaves - 1);
    grow(shape, draw, left, next, nodes);
    let right = nodes.len() as u32;
    let rare = if shape.plain { 40 } else { draw.below(40) };
    let threshold = shape.compare.round(match rare {
        0 => f64::INFINITY,
        1 => f64::NEG_INFINITY,
        2 => 0.0,
        3 => -0.0,
        // In f64 comparisons between two f32, where rounding would show.
        4..8 => draw.value(shape.levels) + 1e-12,
        _ => draw.value(shape.levels),
    });
    let numeric = if draw.below(2) == 0 { Test::Below(threshold) } else { Test::AtMost(threshold) };
    let (test, missing) = if shape.plain {
        (numeric, Missing::Left)
    } else {
        let test = match draw.below(6) {
            0 => Test::Equal(threshold),
            1 => Test::In(draw.below(3) as u32),
            _ => numeric,
        };
        let missing = [Missing::Left, Missing::Right, Missing::AsZero, Missing::ZeroLeft, Missing::ZeroRight];
        (test, missing[draw.below(5)])
    };
    nodes[place] = Node::Split(Split { feature: draw.below(shape.features) as u32, test, missing, right });
    grow(shape, draw, leaves - left, next, nodes);
}
