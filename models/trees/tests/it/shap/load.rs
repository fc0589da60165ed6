//! The models of the golden files, read no further than these need.

use serde_json::Value;
use trees::{
    Ensemble, Result,
    ensemble::{
        Aggregate, CategoryRule, CategorySet, Column, ColumnKind, Feature, Leaves, Linked, Missing, Node, Origin,
        Output, Precision, Rules, Split, Task, Test, Tree, pre_order,
    },
};

/// A node as these libraries have it.
struct Foreign {
    split: Option<(usize, usize, u32, Test, Missing)>,
    value: Vec<f64>,
    cover: f64,
}

fn tree(nodes: &[Foreign], sets: Vec<CategorySet>, output: Option<u32>) -> Result<Tree> {
    let linked = |place: usize| {
        Ok(match &nodes[place].split {
            Some((left, right, ..)) => Linked::Split { left: *left, right: *right },
            None => Linked::Leaf,
        })
    };
    let mut tree =
        Tree { nodes: Vec::new(), leaves: Leaves::Vector(Vec::new()), sets, covers: Vec::new(), linear: Vec::new() };
    let (mut leaves, mut values) = (0, Vec::new());
    for (place, right) in pre_order(nodes.len(), 0, linked)? {
        let Foreign { split, value, cover } = &nodes[place];
        tree.covers.push(*cover);
        tree.nodes.push(if let Some((_, _, feature, test, missing)) = split {
            Node::Split(Split { feature: *feature, test: *test, missing: *missing, right: right.unwrap() })
        } else {
            values.extend_from_slice(value);
            leaves += 1;
            Node::Leaf(leaves - 1)
        });
    }
    tree.leaves = match output {
        Some(output) => Leaves::Scalar { output, values },
        None => Leaves::Vector(values),
    };
    Ok(tree)
}

fn ensemble(columns: usize, compare: Precision, category: CategoryRule, output: Output, trees: Vec<Tree>) -> Ensemble {
    let column = |i: usize| Column { name: format!("f{i}"), kind: ColumnKind::Float };
    let ensemble = Ensemble {
        columns: (0..columns).map(column).collect(),
        features: (0..columns).map(|i| Feature::column(i as u32)).collect(),
        // What is compared is computed in f32 elsewhere; its error should be theirs alone.
        rules: Rules { compare, sum: Precision::F64, category },
        trees,
        output,
        origin: Origin::default(),
    };
    ensemble.check().unwrap();
    ensemble
}

fn list<T>(value: &Value, each: impl Fn(&Value) -> T) -> Vec<T> {
    value.as_array().unwrap_or_else(|| panic!("expected a list, got {value}")).iter().map(each).collect()
}

fn f32_of(value: &Value) -> f64 {
    f64::from(value.as_f64().unwrap() as f32)
}

fn int(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("expected a whole number, got {value}"))
}

pub(crate) fn xgboost(model: &Value) -> Ensemble {
    let learner = &model["learner"];
    let text = |name: &str| learner["learner_model_param"][name].as_str().unwrap();
    let width = text("num_class").parse::<usize>().unwrap().max(1);
    let base: Vec<f32> = text("base_score").trim_matches(['[', ']']).split(',').map(|x| x.parse().unwrap()).collect();
    let margin = |x: f32| match learner["objective"]["name"].as_str().unwrap() {
        "binary:logistic" => (x / (1.0 - x)).ln(),
        _ => x,
    };
    let booster = &learner["gradient_booster"]["model"];
    let groups = list(&booster["tree_info"], int);
    let trees = booster["trees"]
        .as_array()
        .unwrap()
        .iter()
        .zip(groups)
        .map(|(x, group)| xgboost_tree(x, group as u32))
        .collect();
    let mut output = Output::sum(width, Task::Regression);
    output.bias = (0..width).map(|i| f64::from(margin(base[i % base.len()]))).collect();
    let columns = text("num_feature").parse().unwrap();
    ensemble(columns, Precision::F32, CategoryRule::TruncateNonNegative, output, trees)
}

fn xgboost_tree(x: &Value, group: u32) -> Tree {
    let ints = |name: &str| list(&x[name], int);
    let floats = |name: &str| list(&x[name], f32_of);
    let (left, right, feature) = (ints("left_children"), ints("right_children"), ints("split_indices"));
    let default_left = list(&x["default_left"], |x| x.as_i64().map_or(x.as_bool().unwrap_or(false), |x| x == 1));
    let (kind, condition, cover) = (ints("split_type"), floats("split_conditions"), floats("sum_hessian"));
    let categories = ints("categories");
    let (of, start, size) = (ints("categories_nodes"), ints("categories_segments"), ints("categories_sizes"));
    let segment = |i: usize| &categories[start[i] as usize..][..size[i] as usize];
    let sets = (0..of.len()).map(|i| segment(i).iter().map(|code| *code as u32).collect()).collect();
    let node = |i: usize| Foreign {
        split: (left[i] != -1).then(|| {
            let (left, right, feature) = (left[i] as usize, right[i] as usize, feature[i] as u32);
            let missing = |left| if left { Missing::Left } else { Missing::Right };
            if kind[i] == 1 {
                // What is in the set goes to the right there.
                let set = of.iter().position(|node| *node as usize == i).unwrap();
                (right, left, feature, Test::In(set as u32), missing(!default_left[i]))
            } else {
                (left, right, feature, Test::Below(condition[i]), missing(default_left[i]))
            }
        }),
        value: vec![condition[i]],
        cover: cover[i],
    };
    tree(&(0..left.len()).map(node).collect::<Vec<_>>(), sets, Some(group)).unwrap()
}

pub(crate) fn lightgbm(model: &Value, columns: usize) -> Ensemble {
    let width = int(&model["num_tree_per_iteration"]) as usize;
    let roots = model["tree_info"].as_array().unwrap();
    let one = |(index, tree_info): (usize, &Value)| {
        let (mut nodes, mut sets) = (Vec::new(), Vec::new());
        lightgbm_node(&tree_info["tree_structure"], &mut nodes, &mut sets);
        tree(&nodes, sets, Some((index % width) as u32)).unwrap()
    };
    let trees = roots.iter().enumerate().map(one).collect();
    ensemble(columns, Precision::F64, CategoryRule::Truncate, Output::sum(width, Task::Regression), trees)
}

fn lightgbm_node(x: &Value, nodes: &mut Vec<Foreign>, sets: &mut Vec<CategorySet>) -> usize {
    let place = nodes.len();
    let cover = x.get("internal_count").or(x.get("leaf_count")).map_or(1.0, |x| x.as_f64().unwrap());
    nodes.push(Foreign { split: None, value: vec![x["leaf_value"].as_f64().unwrap_or(f64::NAN)], cover });
    if x.get("split_feature").is_some() {
        let left = x["default_left"].as_bool().unwrap();
        let (test, missing) = if x["decision_type"] == "==" {
            let codes = x["threshold"].as_str().unwrap().split("||").map(|code| code.parse::<u32>().unwrap());
            sets.push(codes.collect());
            (Test::In(sets.len() as u32 - 1), Missing::Right)
        } else {
            let missing = match (x["missing_type"].as_str().unwrap(), left) {
                ("None", _) => Missing::AsZero,
                ("NaN", true) => Missing::Left,
                ("NaN", false) => Missing::Right,
                ("Zero", true) => Missing::ZeroLeft,
                ("Zero", false) => Missing::ZeroRight,
                (other, _) => panic!("{other}"),
            };
            (Test::AtMost(x["threshold"].as_f64().unwrap()), missing)
        };
        let left = lightgbm_node(&x["left_child"], nodes, sets);
        let right = lightgbm_node(&x["right_child"], nodes, sets);
        nodes[place].split = Some((left, right, int(&x["split_feature"]) as u32, test, missing));
    }
    place
}

pub(crate) fn sklearn(model: &Value, columns: usize) -> Ensemble {
    let trees = list(&model["trees"], sklearn_tree);
    let Leaves::Vector(values) = &trees[0].leaves else { unreachable!() };
    let width = values.len() / trees[0].leaf_count();
    let mut output = Output::sum(width, Task::Regression);
    output.aggregate = Aggregate::Mean(vec![trees.len() as f64; width]);
    ensemble(columns, Precision::F32, CategoryRule::Exact, output, trees)
}

fn sklearn_tree(x: &Value) -> Tree {
    let float = |x: &Value| x.as_f64().unwrap();
    let (left, right, feature) = (list(&x["left"], int), list(&x["right"], int), list(&x["feature"], int));
    let (threshold, cover) = (list(&x["threshold"], float), list(&x["cover"], float));
    let missing_left = list(&x["missing_go_to_left"], int);
    let value = list(&x["value"], |x| list(x, float));
    let node = |i: usize| Foreign {
        split: (left[i] >= 0).then(|| {
            let missing = if missing_left[i] == 1 { Missing::Left } else { Missing::Right };
            // What is compared is an f32: it is at most the threshold when it is at most the greatest f32 that is.
            let near = threshold[i] as f32;
            let threshold = if f64::from(near) > threshold[i] { near.next_down() } else { near };
            let test = Test::AtMost(f64::from(threshold));
            (left[i] as usize, right[i] as usize, feature[i] as u32, test, missing)
        }),
        value: value[i].clone(),
        cover: cover[i],
    };
    tree(&(0..left.len()).map(node).collect::<Vec<_>>(), Vec::new(), None).unwrap()
}
