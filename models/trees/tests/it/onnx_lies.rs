//! ONNX models that lie, are cut, or are damaged: an error, never a panic, and nothing unsound is let through.

use fs_err as fs;
use proptest::{prelude::*, test_runner::RngSeed};
use trees::{
    Ensemble, Error,
    ensemble::{Missing, Node, Test},
    import::onnx::read,
};

use crate::onnx::folder;

/// A field of a protobuf message whose content has a length.
fn field(number: u64, content: &[u8]) -> Vec<u8> {
    let mut bytes = varint(number << 3 | 2);
    bytes.extend(varint(content.len() as u64));
    bytes.extend(content);
    bytes
}

/// A field that is a number.
fn whole(number: u64, value: i64) -> Vec<u8> {
    [varint(number << 3), varint(value.cast_unsigned())].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 128 {
        bytes.push(value as u8 | 128);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn text(number: u64, value: &str) -> Vec<u8> {
    field(number, value.as_bytes())
}

fn ints(name: &str, values: &[i64]) -> Vec<u8> {
    let values: Vec<u8> = values.iter().flat_map(|value| varint(value.cast_unsigned())).collect();
    field(5, &[text(1, name), field(8, &values), whole(20, 7)].concat())
}

fn floats(name: &str, values: &[f32]) -> Vec<u8> {
    let values: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    field(5, &[text(1, name), field(7, &values), whole(20, 6)].concat())
}

fn strings(name: &str, values: &[String]) -> Vec<u8> {
    let values: Vec<u8> = values.iter().flat_map(|value| text(9, value)).collect();
    field(5, &[text(1, name), values, whole(20, 8)].concat())
}

fn int(name: &str, value: i64) -> Vec<u8> {
    field(5, &[text(1, name), whole(3, value), whole(20, 2)].concat())
}

fn word(name: &str, value: &str) -> Vec<u8> {
    field(5, &[text(1, name), text(4, value), whole(20, 3)].concat())
}

/// A model of one tree: x0 ≤ 0.5 gives 1, else x1 > 2 gives 3, else 2.
#[derive(Clone)]
struct Model {
    ids: Vec<i64>,
    trees: Vec<i64>,
    features: Vec<i64>,
    modes: Vec<String>,
    values: Vec<f32>,
    yes: Vec<i64>,
    no: Vec<i64>,
    targets: i64,
    target_ids: Vec<i64>,
    target_nodes: Vec<i64>,
    target_trees: Vec<i64>,
    weights: Vec<f32>,
    /// Further attributes of the node.
    more: Vec<u8>,
    /// Columns, as the input's shape says.
    columns: i64,
    element: i64,
    input: &'static str,
    output: &'static str,
    op: &'static str,
    /// Further parts of the graph.
    graph: Vec<u8>,
}

fn sound() -> Model {
    Model {
        ids: vec![0, 1, 2, 3, 4],
        trees: vec![0; 5],
        features: vec![0, 0, 1, 0, 0],
        modes: ["BRANCH_LEQ", "LEAF", "BRANCH_GT", "LEAF", "LEAF"].map(str::to_owned).to_vec(),
        values: vec![0.5, 0.0, 2.0, 0.0, 0.0],
        yes: vec![1, 0, 3, 0, 0],
        no: vec![2, 0, 4, 0, 0],
        targets: 1,
        target_ids: vec![0; 3],
        target_nodes: vec![1, 3, 4],
        target_trees: vec![0; 3],
        weights: vec![1.0, 3.0, 2.0],
        more: Vec::new(),
        columns: 2,
        element: 1,
        input: "X",
        output: "Y",
        op: "TreeEnsembleRegressor",
        graph: Vec::new(),
    }
}

fn value_info(name: &str, element: i64, columns: i64) -> Vec<u8> {
    let dims = [field(1, &[]), field(1, &whole(1, columns))].concat();
    [text(1, name), field(2, &field(1, &[whole(1, element), field(2, &dims)].concat()))].concat()
}

impl Model {
    fn bytes(&self) -> Vec<u8> {
        let node = [
            text(1, self.input),
            text(2, "Y"),
            text(3, "the node"),
            text(4, self.op),
            text(7, "ai.onnx.ml"),
            ints("nodes_nodeids", &self.ids),
            ints("nodes_treeids", &self.trees),
            ints("nodes_featureids", &self.features),
            strings("nodes_modes", &self.modes),
            floats("nodes_values", &self.values),
            ints("nodes_truenodeids", &self.yes),
            ints("nodes_falsenodeids", &self.no),
            int("n_targets", self.targets),
            ints("target_ids", &self.target_ids),
            ints("target_nodeids", &self.target_nodes),
            ints("target_treeids", &self.target_trees),
            floats("target_weights", &self.weights),
            self.more.clone(),
        ]
        .concat();
        let graph = [
            field(1, &node),
            self.graph.clone(),
            field(11, &value_info("X", self.element, self.columns)),
            field(12, &value_info(self.output, 1, 1)),
        ]
        .concat();
        [whole(1, 10), field(7, &graph), field(8, &[text(1, "ai.onnx.ml"), whole(2, 3)].concat())].concat()
    }
}

fn changed(change: impl FnOnce(&mut Model)) -> Result<Ensemble, Error> {
    let mut model = sound();
    change(&mut model);
    read(&model.bytes())
}

#[track_caller]
fn refused(expected: &str, change: impl FnOnce(&mut Model)) {
    let error = changed(change).expect_err("a lie").to_string();
    assert_eq!(error, format!("expected {expected}"));
}

#[track_caller]
fn refused_at_node(expected: &str, change: impl FnOnce(&mut Model)) {
    refused(&format!("in node `the node` (TreeEnsembleRegressor), {expected}"), change);
}

#[test]
fn the_model_without_a_lie_is_read() {
    let ensemble = changed(|_| {}).unwrap();
    let rows =
        [([0.0, 5.0], 1.0), ([0.5, 0.0], 1.0), ([0.6, 5.0], 3.0), ([0.6, 2.0], 2.0), ([f64::NAN, f64::NAN], 2.0)];
    for (row, answer) in rows {
        assert_eq!(ensemble.answer(&row), [answer], "{row:?}");
    }
    let names: Vec<&str> = ensemble.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["X_0", "X_1"]);
    assert_eq!((ensemble.origin.format.as_str(), ensemble.origin.version.as_str()), ("onnx", "ai.onnx.ml 3"));
    // An output by two names is one.
    let named = field(1, &[text(1, "Y"), text(2, "Z"), text(4, "Identity")].concat());
    let twice = changed(|m| m.graph = [named, field(12, &value_info("Z", 1, 1))].concat());
    assert_eq!(twice.unwrap(), ensemble);
    // An input that does not say how many columns it has, has those that are asked.
    assert_eq!(changed(|m| m.columns = 0).unwrap().columns.len(), 2);
}

#[test]
fn lies_about_nodes_are_refused_by_name() {
    refused_at_node("5 values in `nodes_values`, got 4", |m| m.values.truncate(4));
    refused_at_node("4 values in `nodes_modes`, got 5", |m| m.trees.truncate(4));
    refused_at_node("5 values in `nodes_missing_value_tracks_true`, got 1", |m| {
        m.more = ints("nodes_missing_value_tracks_true", &[1]);
    });
    refused_at_node("`nodes_modes` BRANCH_… or LEAF, got BRANCH", |m| m.modes[0] = "BRANCH".to_owned());
    refused_at_node("in tree 0, in node 0, `nodes_featureids` below 2, got 2", |m| m.features[0] = 2);
    refused_at_node("in tree 0, in node 2, `nodes_featureids` below 2, got -1", |m| m.features[2] = -1);
    refused_at_node("in tree 0, a node of the same tree in `nodes_truenodeids` of node 0, got 9", |m| m.yes[0] = 9);
    refused_at_node("in tree 0, a node of the same tree in `nodes_falsenodeids` of node 2, got -4", |m| m.no[2] = -4);
    refused_at_node("in tree 0, a tree, got a way from node 0 back to itself", |m| m.yes[2] = 0);
    refused_at_node("in tree 0, a tree, got a way from node 2 back to itself", |m| m.no[2] = 2);
    refused_at_node("a way from the root of tree 0 to node 3, got none", |m| m.yes[2] = 1);
    refused_at_node("each node once, got node 3 of tree 0 twice", |m| m.ids[4] = 3);
    refused_at_node("the nodes of tree 0 together, got nodes of another between them", |m| m.trees[2] = 1);
    refused("in tree 0, in node 0 in pre-order, a number as threshold, got NaN", |m| m.values[0] = f32::NAN);
    refused_at_node("each attribute once, got n_targets twice", |m| m.more = int("n_targets", 1));
    refused_at_node("attribute `base_values` of type 6 (Floats), got type 2", |m| m.more = int("base_values", 1));
    refused_at_node("at most 64 attributes, got 80", |m| {
        m.more = (0..68).flat_map(|index| int(&format!("a{index}"), 1)).collect();
    });
}

#[test]
fn lies_about_targets_are_refused_by_name() {
    for lie in [0, -1, 257, 1_000_000_000, i64::MAX] {
        refused_at_node(&format!("`n_targets` in 1..=256 with 3 weights, got {lie}"), |m| m.targets = lie);
    }
    refused_at_node("`target_ids` below 1, got 1", |m| m.target_ids[0] = 1);
    refused_at_node("`target_ids` of zero or more, got -1", |m| m.target_ids[0] = -1);
    refused_at_node("3 values in `target_weights`, got 2", |m| m.weights.truncate(2));
    refused_at_node("3 values in `target_treeids`, got 1", |m| m.target_trees.truncate(1));
    refused_at_node("nodes of the trees in `target_nodeids`, got node 7 of tree 0", |m| m.target_nodes[1] = 7);
    refused_at_node("one weight of a leaf for each target or class, got two of node 1 for 0", |m| {
        m.target_nodes[1] = 1;
    });
    refused_at_node("a weight for leaf 1 of tree 0, got none", |m| {
        m.target_nodes[0] = 0;
        m.values[1] = 7.0;
    });
    refused_at_node("1 `base_values`, got 2", |m| m.more = floats("base_values", &[1.0, 2.0]));
    refused_at_node("`aggregate_function` SUM, AVERAGE, MIN or MAX, got MEDIAN", |m| {
        m.more = word("aggregate_function", "MEDIAN");
    });
    refused_at_node("`post_transform` NONE, SOFTMAX, LOGISTIC, SOFTMAX_ZERO or PROBIT, got EXP", |m| {
        m.more = word("post_transform", "EXP");
    });
}

#[test]
fn lies_about_the_graph_are_refused_by_name() {
    refused("1 to 65536 columns in all, got 1000000000 in `X`", |m| m.columns = 1_000_000_000);
    refused("1 to 65536 columns in all, got 9223372036854775807 in `X`", |m| m.columns = i64::MAX);
    refused_at_node("inputs that come before the node, got `Z`", |m| m.input = "Z");
    refused("outputs that the graph computes, got `Z`", |m| m.output = "Z");
    let twice = field(1, &[text(1, "X"), text(2, "Y"), text(4, "Identity")].concat());
    refused("in node `` (Identity), each tensor of the graph once, got `Y` twice", |m| m.graph = twice);
    refused_at_node("numbers in the table that trees ask, got strings", |m| m.element = 8);
    let tensor = |dims: &[i64]| {
        let dims: Vec<u8> = dims.iter().flat_map(|dim| whole(1, *dim)).collect();
        field(5, &[dims, whole(2, 1), text(8, "c"), field(9, &[0; 8])].concat())
    };
    refused("in tensor `c`, values for the axes [1000000000], got 2", |m| m.graph = tensor(&[1_000_000_000]));
    refused("in tensor `c`, values for the axes [4294967296, 4294967296, 4294967296], got 2", |m| {
        m.graph = tensor(&[1 << 32; 3]);
    });
    refused("in tensor `c`, axes of zero or more, got -2", |m| m.graph = tensor(&[-2, -1]));
    let error = changed(|m| m.element = 10).unwrap_err().to_string();
    assert!(error.starts_with("ONNX's element type 10 is not supported; "), "{error}");
    let error = changed(|m| m.op = "TreeEnsembleRanker").unwrap_err().to_string();
    assert!(error.starts_with("ai.onnx.ml.TreeEnsembleRanker before the trees is not supported; "), "{error}");
    for bytes in [&b""[..], b"\0", b"{}", b"not a model", &[0xff; 64]] {
        assert!(matches!(read(bytes), Err(Error::Content { .. })), "{bytes:?}");
    }
}

/// A table that each node doubles, and scores that each node doubles, end before they fill the memory.
#[test]
fn what_grows_faster_than_its_file_is_refused() {
    let node = |op: &str, from: &str, to: &str, more: &[u8]| {
        field(1, &[text(1, from), text(1, from), text(2, to), text(4, op), more.to_vec()].concat())
    };
    let doubled = |op: &str, first: &str, last: &str, more: &[u8]| {
        let mut nodes = node(op, first, "d0", more);
        (1..40).for_each(|index| nodes.extend(node(op, &format!("d{}", index - 1), &format!("d{index}"), more)));
        nodes.extend(node(op, "d39", last, more));
        nodes
    };
    let mut model = sound();
    model.graph = doubled("Sum", "Y", "Z", &[]);
    model.output = "Z";
    let error = read(&model.bytes()).unwrap_err().to_string();
    assert!(error.ends_with(", got one that takes more"), "{error}");
    // The table stands before the trees in the graph, so that these are the second of its nodes.
    let trees = sound();
    let mut wide = doubled("Concat", "X", "T", &int("axis", 1));
    let node_of_trees = {
        let mut model = trees.clone();
        model.input = "T";
        model.bytes()
    };
    // Behind the model's own parts, a second graph is merged into none: the last one counts.
    wide.extend(field(11, &value_info("X", 1, 2)));
    wide.extend(field(12, &value_info("T", 1, 2)));
    let bytes = [node_of_trees, field(7, &wide)].concat();
    let error = read(&bytes).unwrap_err().to_string();
    assert!(error.ends_with(", got one that takes more"), "{error}");
}

/// Nodes that share both children have as many ways as a power of two.
#[test]
fn shared_subtrees_are_written_again_within_bounds() {
    let chain = |depth: i64| {
        let mut model = sound();
        let nodes = depth + 1;
        model.ids = (0..nodes).collect();
        model.trees = vec![0; nodes as usize];
        model.features = vec![0; nodes as usize];
        model.modes = (0..nodes).map(|node| if node == depth { "LEAF" } else { "BRANCH_LT" }.to_owned()).collect();
        model.values = (0..nodes).map(|node| if node == depth { 0.0 } else { 1.0 }).collect();
        model.yes = (0..nodes).map(|node| (node + 1).min(depth)).collect();
        model.no = model.yes.clone();
        (model.target_ids, model.target_nodes, model.target_trees) = (vec![0], vec![depth], vec![0]);
        model.weights = vec![1.0];
        read(&model.bytes())
    };
    assert_eq!(chain(10).unwrap().trees[0].nodes.len(), 2047);
    let error = chain(60).unwrap_err().to_string();
    assert!(error.ends_with(", got one that takes more"), "{error}");
}

/// Trees as deep as files have nodes: no recursion.
#[test]
fn deep_trees_are_read() {
    let depth = 20_000_i64;
    let mut model = sound();
    let nodes = 2 * depth + 1;
    model.ids = (0..nodes).collect();
    model.trees = vec![0; nodes as usize];
    model.features = vec![0; nodes as usize];
    let branch = |node: i64| node % 2 == 0 && node < nodes - 1;
    model.modes = (0..nodes).map(|node| if branch(node) { "BRANCH_EQ" } else { "LEAF" }.to_owned()).collect();
    model.values = (0..nodes).map(|node| if branch(node) { node as f32 } else { 0.0 }).collect();
    model.yes = (0..nodes).map(|node| (node + 1) * i64::from(branch(node))).collect();
    model.no = (0..nodes).map(|node| (node + 2) * i64::from(branch(node))).collect();
    model.target_nodes = (0..nodes).filter(|node| !branch(*node)).collect();
    model.target_ids = vec![0; model.target_nodes.len()];
    model.target_trees = model.target_ids.clone();
    model.weights = (0..model.target_nodes.len()).map(|leaf| leaf as f32).collect();
    let ensemble = read(&model.bytes()).unwrap();
    assert_eq!(ensemble.answer(&[14.0, 0.0]), [7.0]);
    assert_eq!(ensemble.answer(&[-1.0, 0.0]), [depth as f64]);
}

/// `BRANCH_EQ` in a row with one true child are one set; NaN goes where one of them says.
#[test]
fn equal_nodes_with_one_true_child_become_a_set() {
    let read = |name: &str| read(&fs::read(folder().join(format!("{name}.onnx"))).unwrap()).unwrap();
    for (name, missing) in [("chain", Missing::Right), ("chain_tracked", Missing::Left)] {
        let tree = &read(name).trees[0];
        assert!(matches!(tree.nodes[0], Node::Split(split) if split.test == Test::In(0) && split.missing == missing));
        assert_eq!(tree.nodes.len(), 5, "{name}");
    }
    assert_eq!(read("chain").trees[0].sets[0].codes().collect::<Vec<_>>(), [1, 2, 5]);
    // LightGBM's categorical splits come back from what onnxmltools makes of them.
    let categories = read("lgb_categories");
    assert!(categories.trees.iter().any(|tree| tree.sets.iter().any(|set| set.codes().count() > 5)));
    assert!(read("hitrates").trees[0].covers == [10.0, 4.0, 6.0]);
    assert!(read("skl_rfr").trees[0].covers.is_empty());
}

#[test]
fn cut_files_are_refused_or_sound() {
    for name in ["skl_rfc_three", "lgb_categories", "pipe_ordinal", "member", "version_five_sum", "two_positive_none"] {
        let bytes = fs::read(folder().join(format!("{name}.onnx"))).unwrap();
        for end in 0..bytes.len() {
            if let Ok(ensemble) = read(&bytes[..end]) {
                ensemble.check().unwrap();
            }
        }
    }
}

fn files() -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "onnx"));
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    /// Flips, cuts and splices of golden files: refused, or sound.
    #[test]
    fn a_damaged_file_is_refused_or_sound(
        file in any::<prop::sample::Index>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        splice in prop::option::of((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..100_usize)),
        cut in prop::option::weighted(0.1, any::<prop::sample::Index>()),
    ) {
        thread_local! {
            static FILES: Vec<Vec<u8>> = files();
        }
        let mut bytes = FILES.with(|files| file.get(files).clone());
        for (place, value) in flips {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if let Some((from, to, count)) = splice {
            let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
            let piece: Vec<u8> = bytes[from..].iter().take(count).copied().collect();
            bytes.splice(to..to, piece);
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(ensemble) = read(&bytes) {
            ensemble.check().unwrap();
            // A walk over what was let through ends.
            let answer = ensemble.answer(&vec![0.5; ensemble.columns.len()]);
            prop_assert_eq!(answer.len(), ensemble.output.width);
        }
    }
}
