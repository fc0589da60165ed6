//! Random ensembles with covers, and with features that share a column.

use trees::{
    Ensemble,
    ensemble::{
        Aggregate, CategoryRule, CategorySet, Column, ColumnKind, Feature, Leaves, Missing, Node, Origin, Output,
        Precision, Rules, Split, Step, Task, Test, Tree,
    },
};

use crate::random::Draw;

pub(crate) fn one<T: Copy>(draw: &mut Draw, of: &[T]) -> T {
    of[draw.below(of.len())]
}

/// What there is to choose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) features: usize,
    pub(crate) width: usize,
    pub(crate) trees: usize,
    pub(crate) depth: usize,
}

/// Some features are of one column.
pub(crate) fn ensemble(draw: &mut Draw, shape: Shape) -> Ensemble {
    let Shape { features, width, trees, depth } = shape;
    let columns: Vec<_> =
        (0..features.div_ceil(2)).map(|i| Column { name: format!("c{i}"), kind: ColumnKind::Float }).collect();
    let feature = |i: usize, draw: &mut Draw| {
        let steps = one(draw, &[&[][..], &[Step::Indicator(1.0)], &[Step::Impute(2.0)]]).to_vec();
        Feature { column: (i % columns.len()) as u32, steps }
    };
    let numbers = |draw: &mut Draw| (0..width).map(|_| draw.below(7) as f64 - 3.0).collect::<Vec<_>>();
    let mut output = Output::sum(width, Task::Regression);
    (output.start, output.bias) = (numbers(draw), numbers(draw));
    output.scale = one(draw, &[1.0, 0.5, -2.0]);
    if draw.below(2) == 0 {
        output.aggregate = Aggregate::Mean((0..width).map(|i| (trees + i) as f64).collect());
    }
    let category = one(draw, &[CategoryRule::Truncate, CategoryRule::TruncateNonNegative, CategoryRule::Exact]);
    Ensemble {
        features: (0..features).map(|i| feature(i, draw)).collect(),
        rules: Rules { compare: Precision::F64, sum: Precision::F64, category },
        trees: (0..trees).map(|_| tree(draw, features, width, depth)).collect(),
        columns,
        output,
        origin: Origin::default(),
    }
}

fn tree(draw: &mut Draw, features: usize, width: usize, depth: usize) -> Tree {
    let sets = (0..3).map(|_| (0..6).filter(|_| draw.below(2) == 0).collect::<CategorySet>()).collect();
    let (mut nodes, mut covers) = (Vec::new(), Vec::new());
    // Deep trees stay small: one side of a split is mostly a leaf.
    grow(draw, features, depth, depth > 6, &mut nodes, &mut covers);
    if covers[0] == 0.0 {
        covers = covers.iter().map(|_| 1.0).collect();
    }
    let leaves = nodes.len() / 2 + 1;
    let values = |draw: &mut Draw, count: usize| (0..count).map(|_| draw.below(2001) as f64 / 100.0 - 10.0).collect();
    let leaves = if draw.below(2) == 0 {
        Leaves::Scalar { output: draw.below(width) as u32, values: values(draw, leaves) }
    } else {
        Leaves::Vector(values(draw, leaves * width))
    };
    Tree { nodes, leaves, sets, covers, linear: Vec::new() }
}

/// Appends a subtree in pre-order, and gives back its cover: whole numbers, at times 0.
fn grow(
    draw: &mut Draw,
    features: usize,
    depth: usize,
    lean: bool,
    nodes: &mut Vec<Node>,
    covers: &mut Vec<f64>,
) -> f64 {
    let place = nodes.len();
    if depth == 0 || (!lean && draw.below(8) == 0) {
        let cover = one(draw, &[0.0, 1.0, 1.0, 2.0, 5.0, 30.0]);
        nodes.push(Node::Leaf(nodes.iter().filter(|node| matches!(node, Node::Leaf(_))).count() as u32));
        covers.push(cover);
        return cover;
    }
    let (threshold, set) = (draw.below(7) as f64 - 1.0, draw.below(3) as u32);
    let split = Split {
        feature: draw.below(features) as u32,
        test: one(draw, &[Test::Below(threshold), Test::AtMost(threshold), Test::Equal(threshold), Test::In(set)]),
        missing: one(draw, &[Missing::Left, Missing::Right, Missing::AsZero, Missing::ZeroLeft, Missing::ZeroRight]),
        right: 0,
    };
    nodes.push(Node::Split(split));
    covers.push(0.0);
    let depths = match draw.below(if lean { 8 } else { 1 }) {
        0 | 1 => [depth - 1, depth - 1],
        2..=4 => [depth - 1, 0],
        _ => [0, depth - 1],
    };
    let left = grow(draw, features, depths[0], lean, nodes, covers);
    let right = nodes.len() as u32;
    let cover = left + grow(draw, features, depths[1], lean, nodes, covers);
    nodes[place] = Node::Split(Split { right, ..split });
    covers[place] = cover;
    cover
}

/// Columns' values: numbers around the thresholds, zeros, and missing ones.
pub(crate) fn row(draw: &mut Draw, columns: usize) -> Vec<f64> {
    (0..columns).map(|_| one(draw, &[f64::NAN, 0.0, -0.5, 1.0, 2.0, 2.5, 3.0, 4.0, 5.0, 1e9])).collect()
}
