"""Golden ONNX graphs by hand: every mode, aggregate, transform and operator around trees. Run by make_onnx.py."""

import random

import numpy
from onnx import TensorProto, helper
from onnx_golden import DOUBLE, FLOAT, INT64, STRING, UINT8, refuse, save

def graph(nodes, outputs=("Y",), width=2, kind=FLOAT, made=FLOAT, ml=3, main=21, constants=(), inputs=None):
    columns = inputs or [helper.make_tensor_value_info("X", kind, [None, width])]
    results = [helper.make_tensor_value_info(output, made, None) for output in outputs]
    sets = [helper.make_opsetid("ai.onnx.ml", ml), helper.make_opsetid("", main)]
    whole = helper.make_graph(nodes, "g", columns, results, list(constants))
    return helper.make_model(whole, opset_imports=sets, ir_version=10)


def tensor(values, kind, name="t"):
    return helper.make_tensor(name, kind, [len(values)], values)


def stumps(asked, mode="BRANCH_LEQ", track=None):
    """A tree a feature and threshold."""
    count = len(asked)
    modes = mode if isinstance(mode, list) else [mode] * count
    nodes = dict(
        nodes_treeids=[tree for tree in range(count) for _ in range(3)],
        nodes_nodeids=[0, 1, 2] * count,
        nodes_featureids=[number for feature, _ in asked for number in (feature, 0, 0)],
        nodes_values=[number for _, threshold in asked for number in (threshold, 0.0, 0.0)],
        nodes_modes=[name for mode in modes for name in (mode, "LEAF", "LEAF")],
        nodes_truenodeids=[1, 0, 0] * count,
        nodes_falsenodeids=[2, 0, 0] * count,
    )
    if track:
        nodes["nodes_missing_value_tracks_true"] = [number for one in track for number in (one, 0, 0)]
    return nodes


def regressor(asked, weights, targets, output="Y", column="X", mode="BRANCH_LEQ", track=None, **more):
    """`weights[tree][side][target]`; with `targets` None, tree i is for target i alone."""
    ids, nodes, trees, values = [], [], [], []
    for tree, sides in enumerate(weights):
        for side, row in enumerate(sides):
            for target, weight in enumerate(row) if targets else [(tree, row[0])]:
                ids.append(target), nodes.append(side + 1), trees.append(tree), values.append(float(weight))
    return helper.make_node(
        "TreeEnsembleRegressor", [column], [output], domain="ai.onnx.ml", n_targets=targets or len(weights), target_ids=ids,
        target_nodeids=nodes, target_treeids=trees, target_weights=values, **stumps(asked, mode, track), **more)  # fmt: skip


at = numpy.array([[-1, 0], [0, 1], [-0.0, 2], [1, 0.1], [0.1, numpy.nan], [numpy.nan, 1], [3, -3]], dtype=numpy.float32)
modes = [f"BRANCH_{mode}" for mode in ("LEQ", "LT", "GTE", "GT", "EQ", "NEQ")]
save("modes", graph([regressor([(0, 0.0)] * 12, [[[1], [2]]] * 12, None, mode=modes * 2, track=[0] * 6 + [1] * 6)]), at)
two = [(0, 0.0), (1, 0.1)]
wide = [[[0.1, -0.2, 0.0], [0.4, 0.5, 0.0]], [[0.2, 0.7, 1e-9], [0.3, -0.9, 0.0]]]
for aggregate in ("SUM", "AVERAGE", "MIN", "MAX"):
    save(f"aggregate_{aggregate.lower()}", graph([regressor(two, wide, 3, aggregate_function=aggregate, base_values=[1.0, 2.0, 3.0])]), at)
    one = [[[row[0]] for row in sides] for sides in wide]
    save(f"aggregate_{aggregate.lower()}_one", graph([regressor(two, one, 1, aggregate_function=aggregate, base_values=[0.7])]), at)
for post in ("SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"):
    positive = [[[abs(x) / 3 + 0.01 for x in row] for row in sides] for sides in wide]
    weights = positive if post == "PROBIT" else wide
    save(f"post_{post.lower()}", graph([regressor(two, weights, 3, post_transform=post)]), at)
    save(f"post_{post.lower()}_one", graph([regressor(two, [[[row[0]] for row in sides] for sides in weights], 1, post_transform=post, base_values=[0.05])]), at)


def classifier(ids, weights, labels, outputs=("L", "Y"), **more):
    """`weights[tree][side][i]`, for class `ids[i]`."""
    classes, nodes, trees, values = [], [], [], []
    for tree, sides in enumerate(weights):
        for side, row in enumerate(sides):
            for which, weight in zip(ids, row):
                classes.append(which), nodes.append(side + 1), trees.append(tree), values.append(float(weight))
    names = {"classlabels_strings" if isinstance(labels[0], str) else "classlabels_int64s": labels}
    return helper.make_node(
        "TreeEnsembleClassifier", ["X"], list(outputs), domain="ai.onnx.ml", class_ids=classes, class_nodeids=nodes,
        class_treeids=trees, class_weights=values, **names, **stumps(two), **more)  # fmt: skip


positive, mixed = [[[0.1], [0.4]], [[0.2], [0.3]]], [[[-0.1], [0.4]], [[-0.2], [0.3]]]
for post in ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"):
    for sign, weights in (("positive", positive), ("mixed", mixed)):
        for base in ([], [0.25]):
            more = {"base_values": base} if base else {}
            name = f"two_{sign}_{post.lower()}" + ("_base" if base else "")
            save(name, graph([classifier([0], weights, ["no", "yes"], post_transform=post, **more)], ("Y",)), at)
    save(f"two_second_{post.lower()}", graph([classifier([1], mixed, [0, 1], post_transform=post)], ("Y",)), at)
    both = [[[0.1, -0.3], [0.4, 0.2]], [[0.2, 0.9], [0.3, -1.0]]]
    save(f"two_columns_{post.lower()}", graph([classifier([0, 1], both, [3, -4], post_transform=post)], ("Y",)), at)
    save(f"three_{post.lower()}", graph([classifier([0, 1, 2], wide, ["a", "b", "c"], post_transform=post, base_values=[0.1, -0.1, 0.0])], ("Y",)), at)


def chain(values, track=()):
    """`x is one of these` as a chain of BRANCH_EQ with one true child."""
    count = len(values)
    return helper.make_node(
        "TreeEnsembleRegressor", ["X"], ["Y"], domain="ai.onnx.ml", n_targets=1, target_ids=[0, 0, 0],
        target_nodeids=[count + 1, count + 2, count + 3], target_treeids=[0] * 3, target_weights=[1.0, 2.0, 3.0],
        nodes_treeids=[0] * (count + 4), nodes_nodeids=list(range(count + 4)), nodes_featureids=[0] * (count + 4),
        nodes_modes=["BRANCH_EQ"] * count + ["BRANCH_LT"] + ["LEAF"] * 3, nodes_values=[*values, 2.0, 0.0, 0.0, 0.0],
        nodes_truenodeids=[count] * count + [count + 1, 0, 0, 0],
        nodes_falsenodeids=[*range(1, count), count + 3, count + 2, 0, 0, 0],
        nodes_missing_value_tracks_true=[*track, 0, 0, 0, 0] if track else [0] * (count + 4))  # fmt: skip


asked = numpy.array([[1], [1.5], [2], [5], [5.5], [0], [3], [numpy.nan], [-1], [-0.0], [40]], dtype=numpy.float32)
save("chain", graph([chain([1.0, 2.0, 5.0])], width=1), asked)
save("chain_tracked", graph([chain([0.0, 2.0, 5.0], track=[0, 1, 0])], width=1), asked)
double_stumps = stumps([(0, 0.1), (1, 0.1)])
thresholds = double_stumps.pop("nodes_values")
node = helper.make_node(
    "TreeEnsembleRegressor", ["X"], ["Y"], domain="ai.onnx.ml", n_targets=1, target_ids=[0] * 4, target_nodeids=[1, 2] * 2,
    target_treeids=[0, 0, 1, 1], nodes_values_as_tensor=tensor(thresholds, DOUBLE), base_values_as_tensor=tensor([1e-3], DOUBLE),
    target_weights_as_tensor=tensor([0.1, 0.2, 0.3, 0.4], DOUBLE), **double_stumps)  # fmt: skip
near = numpy.array([[0.1, float(numpy.float32(0.1))], [numpy.nextafter(0.1, 1), 0], [0, 1]])
save("double", graph([node], kind=DOUBLE), near)
hits = regressor([(0, 0.0)], [[[1], [2]]], 1, nodes_hitrates=[10.0, 4.0, 6.0])
save("hitrates", graph([hits]), at)


def ensemble(kind, column="X", **attributes):
    return helper.make_node("TreeEnsemble", [column], ["Y"], domain="ai.onnx.ml", **attributes)


def members(kind, sets, track=(0, 0)):
    """Two questions in a row, each whether x is one of a set."""
    flat = [x for one in sets for x in (*one, numpy.nan)]
    return ensemble(
        kind, n_targets=2, tree_roots=[0], nodes_featureids=[0, 0], nodes_splits=tensor([0.0, 0.0], kind),
        nodes_modes=tensor([6, 6], UINT8), nodes_truenodeids=[0, 1], nodes_trueleafs=[1, 1], nodes_falsenodeids=[1, 2],
        nodes_falseleafs=[0, 1], leaf_targetids=[0, 1, 0], leaf_weights=tensor([1.0, 2.0, 3.0], kind),
        membership_values=tensor(flat, kind), nodes_missing_value_tracks_true=list(track))  # fmt: skip


# onnx.reference ends a set at its first 0.
for name, kind, sets, reference in [
    ("member", FLOAT, [[1, 2, 5], [3, 40]], False),
    ("member_double", DOUBLE, [[1, 2, 5], [3, 0]], False),
    ("member_fraction", FLOAT, [[1.5, 2, 5.5], [3, 2.25]], True),
    ("member_negative", FLOAT, [[-1, 2], [-3, 5, 1e9]], True),
    ("member_large", FLOAT, [list(range(1, 100, 3)), [2, 5]], True),
]:
    table = asked.astype(numpy.float64 if kind == DOUBLE else numpy.float32)
    track = (0, 0) if reference else (0, 1)
    save(name, graph([members(kind, sets, track)], width=1, kind=kind, made=kind, ml=5), table, reference=reference)

for aggregate, word in enumerate(["average", "sum", "min", "max"]):
    node = ensemble(
        DOUBLE, n_targets=1, tree_roots=[0, 2], nodes_featureids=[0, 1, 1], nodes_splits=tensor([0.1, 0.0, 1.0], DOUBLE),
        nodes_modes=tensor([0, 3, 1], UINT8), nodes_truenodeids=[1, 0, 2], nodes_trueleafs=[0, 1, 1],
        nodes_falsenodeids=[3, 1, 4], nodes_falseleafs=[1, 1, 1], leaf_targetids=[0] * 5, aggregate_function=aggregate,
        leaf_weights=tensor([0.1, 0.2, 0.3, 0.4, 0.5], DOUBLE))  # fmt: skip
    save(f"version_five_{word}", graph([node], kind=DOUBLE, made=DOUBLE, ml=5), near)
leaf = dict(
    tree_roots=[0], nodes_featureids=[0], nodes_splits=tensor([0.0], FLOAT), nodes_modes=tensor([0], UINT8),
    nodes_truenodeids=[0], nodes_trueleafs=[1], nodes_falsenodeids=[0], nodes_falseleafs=[1])  # fmt: skip
save("version_five_leaf", graph([ensemble(FLOAT, n_targets=1, leaf_targetids=[0], leaf_weights=tensor([7.0], FLOAT), **leaf)], ml=5), at)
stump = {**leaf, "nodes_falsenodeids": [1], "n_targets": 2, "leaf_targetids": [0, 1], "leaf_weights": tensor([0.3, 0.4], FLOAT)}
save("version_five_softmax_zero", graph([ensemble(FLOAT, **stump, post_transform=3)], ml=5), at)
save("version_five_softmax_node", graph([
    ensemble(FLOAT, **stump), helper.make_node("Softmax", ["Y"], ["Z"], axis=-1)], ("Z",), ml=5), at)  # fmt: skip

# ---------------------------------------------------------------- at random: every mode, NaN, weights in any order

chance = random.Random(1)
limits = [-1.0, -0.5, 0.0, 0.25, 1.0, 2.0, 3.0]


def random_tree(tree, width, mode, weights):
    """Nodes as (tree, id, feature, mode, value, true child, false child, NaN is true)."""
    nodes = []

    def grow(depth):
        me = len(nodes)
        nodes.append(None)
        if depth == 0 or chance.random() < 0.2:
            nodes[me] = (tree, me, 0, "LEAF", 0.0, 0, 0, 0)
            weights.extend((target, me, tree, round(chance.uniform(-2, 2), 3)) for target in range(width))
        else:
            children = [grow(depth - 1), grow(depth - 1)]
            chance.shuffle(children)
            asked = (chance.randrange(3), mode or chance.choice(modes), chance.choice(limits))
            nodes[me] = (tree, me, *asked, *children, chance.randrange(2))
        return me

    grow(chance.randint(0, 4))
    return nodes


for case in range(40):
    classes = case % 2
    width = chance.choice([2, 3, 4] if classes else [1, 1, 2, 3])
    weights = []
    mode = chance.choice(modes) if chance.random() < 0.3 else None
    nodes = [node for tree in range(chance.randint(1, 3)) for node in random_tree(tree, width, mode, weights)]
    chance.shuffle(weights)
    lists = ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids", "missing_value_tracks_true")
    more = {f"nodes_{name}": list(column) for name, column in zip(lists, zip(*nodes))}
    kind = "class" if classes else "target"
    more |= {f"{kind}_{name}": list(column) for name, column in zip(("ids", "nodeids", "treeids", "weights"), zip(*weights))}
    more["post_transform"] = chance.choice(["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"])
    if chance.random() < 0.5 and not (classes and width == 2):
        more["base_values"] = [round(chance.uniform(-1, 1), 3) for _ in range(width)]
    if classes:
        op = helper.make_node("TreeEnsembleClassifier", ["X"], ["L", "Y"], domain="ai.onnx.ml", classlabels_int64s=list(range(width)), **more)
    else:
        aggregate = chance.choice(["SUM", "AVERAGE", "MIN", "MAX"])
        op = helper.make_node("TreeEnsembleRegressor", ["X"], ["Y"], domain="ai.onnx.ml", n_targets=width, aggregate_function=aggregate, **more)
    table = [[chance.choice([*limits, 0.1, numpy.nan, -0.0]) for _ in range(3)] for _ in range(20)]
    save(f"random_{case}", graph([op], width=3), numpy.array(table, dtype=numpy.float32))

# ---------------------------------------------------------------- operators around trees


def node(op, inputs, outputs=("Z",), domain="", **attributes):
    return helper.make_node(op, list(inputs), list(outputs), domain=domain, **attributes)


tree = regressor(two, [[[1.0], [2.0]], [[0.5], [-0.25]]], 1)
rich = regressor(two, wide, 3)
scalar = lambda name, value: tensor([value], FLOAT, name)  # noqa: E731
after = {
    "identity": ([tree, node("Identity", ["Y"])], []),
    "cast": ([tree, node("Cast", ["Y"], to=DOUBLE)], []),
    "sigmoid": ([tree, node("Sigmoid", ["Y"])], []),
    "exp": ([tree, node("Exp", ["Y"])], []),
    "neg": ([tree, node("Neg", ["Y"])], []),
    "softplus": ([tree, node("Softplus", ["Y"])], []),
    "softmax": ([rich, node("Softmax", ["Y"], axis=1)], []),
    "mul": ([rich, node("Mul", ["Y", "c"])], [scalar("c", 0.3)]),
    "div": ([rich, node("Div", ["Y", "c"])], [scalar("c", 3.0)]),
    "add": ([rich, node("Add", ["Y", "c"])], [tensor([0.1, 0.2, 0.3], FLOAT, "c")]),
    "sub": ([rich, node("Sub", ["Y", "c"])], [scalar("c", 0.7)]),
    "sub_from": ([rich, node("Sub", ["c", "Y"])], [scalar("c", 1.0)]),
    "add_mul_exp": ([tree, node("Add", ["Y", "c"], ["a"]), node("Mul", ["a", "d"], ["b"]), node("Exp", ["b"])],
                    [scalar("c", 0.5), scalar("d", -2.0)]),
    "select": ([rich, node("ArrayFeatureExtractor", ["Y", "i"], domain="ai.onnx.ml")], [tensor([2, 0], INT64, "i")]),
    "gather": ([rich, node("Gather", ["Y", "i"], axis=1)], [tensor([1], INT64, "i")]),
    "slice": ([rich, node("Slice", ["Y", "s", "e", "a"])],
              [tensor([1], INT64, "s"), tensor([9], INT64, "e"), tensor([1], INT64, "a")]),
    "reshape": ([rich, node("Reshape", ["Y", "s"])], [tensor([-1, 3], INT64, "s")]),
    "flatten": ([tree, node("Flatten", ["Y"])], []),
    "squeeze": ([tree, node("Squeeze", ["Y", "a"])], [tensor([1], INT64, "a")]),
    "hinge": ([tree, node("Greater", ["Y", "o"], ["m"]), node("Where", ["m", "i", "o"])],
              [scalar("o", 0.0), scalar("i", 1.0)]),
    "sum": ([tree, regressor([(1, 1.0)], [[[3.0], [4.0]]], 1, "W"), node("Sum", ["Y", "W"])], []),
    "add_trees": ([rich, regressor([(1, 1.0)], [[[3.0, 0.0, 1.0], [4.0, 1.0, 2.0]]], 3, "W"), node("Add", ["Y", "W"])], []),
    "concat": ([tree, regressor([(1, 1.0)], [[[3.0, 1.0], [4.0, 2.0]]], 2, "W"), node("Concat", ["Y", "W"], ["C"], axis=1),
                node("Softmax", ["C"], axis=-1)], []),
    "average_of_two": ([tree, regressor(two, [[[3.0], [4.0]]] * 2, 1, "W"), node("Reshape", ["Y", "s"], ["A"]),
                        node("Reshape", ["W", "s"], ["B"]), node("Concat", ["A", "B"], ["C"], axis=0),
                        node("ReduceMean", ["C", "a"], keepdims=0)], [tensor([1, -1, 1], INT64, "s"), tensor([0], INT64, "a")]),
    "normalizer": ([rich, node("Softmax", ["Y"], ["S"], axis=1), node("Normalizer", ["S"], domain="ai.onnx.ml", norm="L1")], []),
    "constant_node": ([tree, node("Constant", [], ["c"], value_floats=[2.5]), node("Mul", ["Y", "c"])], []),
    "pair_second": ([classifier([0], mixed, [0, 1], post_transform="LOGISTIC"),
                     node("ArrayFeatureExtractor", ["Y", "i"], domain="ai.onnx.ml")], [tensor([1], INT64, "i")]),
    "label_chain": ([classifier([0, 1, 2], wide, [5, 6, 7]), node("ArgMax", ["Y"], ["best"], axis=1),
                     node("Cast", ["L"], ["l"], to=FLOAT), node("Identity", ["Y"])], []),
}  # fmt: skip
for name, (nodes, constants) in after.items():
    made = DOUBLE if name == "cast" else FLOAT
    save(f"after_{name}", graph(nodes, ("Z",), constants=constants, made=made), at)

on_t = regressor(two, [[[1.0], [2.0]], [[0.5], [-0.25]]], 1, column="T")
before = {
    "identity": ([node("Identity", ["X"], ["T"])], []),
    "cast": ([node("Cast", ["X"], ["T"], to=FLOAT)], []),
    "gather": ([node("Gather", ["X", "i"], ["T"], axis=1)], [tensor([1, 0], INT64, "i")]),
    "extract": ([node("ArrayFeatureExtractor", ["X", "i"], ["T"], domain="ai.onnx.ml")], [tensor([1, 1], INT64, "i")]),
    "concat": ([node("Gather", ["X", "i"], ["A"], axis=1), node("Concat", ["A", "X"], ["T"], axis=1)], [tensor([1], INT64, "i")]),
    "vectorizer": ([node("FeatureVectorizer", ["X"], ["T"], domain="ai.onnx.ml", inputdimensions=[2])], []),
    "scaler": ([node("Scaler", ["X"], ["T"], domain="ai.onnx.ml", offset=[0.5, -0.3], scale=[3.0, -0.7])], []),
    "arithmetic": ([node("Mul", ["X", "a"], ["A"]), node("Add", ["A", "b"], ["B"]), node("Sub", ["B", "b"], ["C"]),
                    node("Div", ["C", "d"], ["T"])],
                   [tensor([1.3, -0.7], FLOAT, "a"), tensor([0.1], FLOAT, "b"), tensor([4.0, 0.5], FLOAT, "d")]),
    "imputer": ([node("Imputer", ["X"], ["T"], domain="ai.onnx.ml", imputed_value_floats=[0.2, -1.0], replaced_value_float=1.0)], []),
    "imputer_nan": ([node("Imputer", ["X"], ["T"], domain="ai.onnx.ml", imputed_value_floats=[-1.0], replaced_value_float=numpy.nan)], []),
    "binarizer": ([node("Binarizer", ["X"], ["T"], domain="ai.onnx.ml", threshold=0.05)], []),
    "reshape": ([node("Reshape", ["X", "s"], ["T"])], [tensor([-1, 2], INT64, "s")]),
    "flatten": ([node("Flatten", ["X"], ["T"])], []),
    "truncate": ([node("Cast", ["X"], ["A"], to=INT64), node("Cast", ["A"], ["T"], to=FLOAT)], []),
}  # fmt: skip
whole = at[~numpy.isnan(at).any(axis=1)]
for name, (nodes, constants) in before.items():
    save(f"before_{name}", graph([*nodes, on_t], constants=constants), whole if name in ("truncate", "binarizer") else at)
to_double = regressor(two, [[[1.0], [2.0]], [[0.5], [-0.25]]], 1, column="T")
save("before_double", graph([node("Cast", ["X"], ["T"], to=DOUBLE), to_double]), at)
# Float columns one-hot: ONNX Runtime takes their whole parts.
hot = [node("OneHotEncoder", ["X"], ["A"], domain="ai.onnx.ml", cats_int64s=[0, 1, -1]), node("Reshape", ["A", "s"], ["T"])]
save("before_one_hot", graph([*hot, regressor([(0, 0.5), (5, 0.5), (1, 0.5)], [[[1.0], [2.0]], [[10.0], [20.0]], [[100.0], [200.0]]], 1, column="T")],
                             constants=[tensor([-1, 6], INT64, "s")]), whole)  # fmt: skip

# ---------------------------------------------------------------- refused

texts = [helper.make_tensor_value_info("X", STRING, [None, 2])]
refuse("refused_tanh", graph([tree, node("Tanh", ["Y"])], ("Z",)), "Tanh")
refuse("refused_before", graph([node("Tanh", ["X"], ["T"]), on_t]), "Tanh")
refuse("refused_normalizer", graph([rich, node("Normalizer", ["Y"], domain="ai.onnx.ml", norm="L1")], ("Z",)), "Normalizer")
refuse("refused_factors", graph([rich, node("Mul", ["Y", "c"])], ("Z",), constants=[tensor([1.0, 2.0, 3.0], FLOAT, "c")]), "Mul")
refuse("refused_division", graph([node("Div", ["X", "c"], ["T"]), on_t], constants=[scalar("c", 3.0)]), "Div")
refuse("refused_after_sigmoid", graph([tree, node("Sigmoid", ["Y"], ["S"]), node("Mul", ["S", "c"])], ("Z",), constants=[scalar("c", 3.0)]), "Mul")
refuse("refused_weighted_sum", graph([tree, regressor(two, [[[3.0], [4.0]]] * 2, 1, "W"), node("Mul", ["Y", "c"], ["V"]), node("Sum", ["V", "W"])], ("Z",), constants=[scalar("c", 3.0)]), "Sum")
refuse("refused_two_outputs", graph([tree, node("Exp", ["Y"])], ("Y", "Z")), "outputs")
refuse("refused_probit_pair", graph([classifier([0], positive, [0, 1], post_transform="PROBIT")], ("Y",)), "PROBIT")
refuse("refused_one_class", graph([classifier([0], positive, [1])], ("Y",)), "one class")
refuse("refused_two_bases", graph([classifier([0, 1], both, [0, 1], base_values=[0.1, 0.2])], ("Y",)), "base_values")
refuse("refused_sometimes_second", graph([helper.make_node(
    "TreeEnsembleClassifier", ["X"], ["L", "Y"], domain="ai.onnx.ml", class_ids=[0, 1, 0, 1], class_nodeids=[1, 2, 1, 2],
    class_treeids=[0, 0, 1, 1], class_weights=[0.1, 0.2, 0.3, 0.4], classlabels_int64s=[0, 1], **stumps(two))], ("Y",)), "second")  # fmt: skip
for name, more in (("least", {"aggregate_function": "MIN"}), ("base", {"base_values": [1.0, 2.0]})):
    op = regressor(two, [[[1, 2], [3, 4]]] * 2, 2, **more)
    for attribute in op.attribute:
        if attribute.name.startswith("target_"):
            # The second target's weights go, but for those of one leaf.
            held = attribute.floats if attribute.name == "target_weights" else attribute.ints
            del held[7], held[3], held[1]
    refuse(f"refused_sometimes_{name}", graph([op]), "always weighs")
refuse("refused_version_five_post", graph([ensemble(FLOAT, **stump, post_transform=1)], ml=5), "post_transform")
refuse("refused_strings", graph([node("Cast", ["X"], ["T"], to=FLOAT), on_t], inputs=texts), "Cast")
refuse("refused_encoder", graph([
    node("LabelEncoder", ["X"], ["A"], domain="ai.onnx.ml", keys_strings=["a", "b"], values_floats=[0.5, 2.5]),
    regressor(two, [[[1.0], [2.0]]] * 2, 1, column="A")], inputs=texts), "LabelEncoder")  # fmt: skip
outside = graph([tree, node("Mul", ["Y", "c"])], ("Z",), constants=[scalar("c", 3.0)])
outside.graph.initializer[0].data_location = TensorProto.EXTERNAL
entry = outside.graph.initializer[0].external_data.add()
entry.key, entry.value = "location", "weights.bin"
refuse("refused_external_data", outside, "external data")
