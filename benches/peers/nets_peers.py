"""Makes nets and times ONNX Runtime on them.

Usage: python nets_peers.py FOLDER. Reads one JSON request a line from standard input and answers each with one line of JSON:
  {"make": {"name": "a", "mlp": [30, 64, 1]}}
  {"make": {"name": "b", "transformer": {"features": 8, "width": 192, "blocks": 3, "heads": 8, "hidden": 256, "outputs": 1}}}
      -> {"made": "a"}: draws its parameters from a seed, and writes them to FOLDER/a.parameters.npy (float32, one after another
         in the order of the functions below), 4096 rows to FOLDER/a.rows.npy and the answers to FOLDER/a.answers.npy
  {"time": "a", "batch": 16, "seconds": 0.2}
      -> {"seconds": median seconds of a call, "overhead": the same for a net of one node and one row, "threads": 1,
          "form": "plain"}: with the best of one and two threads, and of the forms that a net can be written in, as a first
         call for that batch found them

A transformer is written in three forms: as exporters write it ("plain": three products for queries, keys and values), with one
product for the three ("joined"), and with ONNX Runtime's own operator for attention ("operator"). In all, the last block is
computed for the first token alone.
"""
import json
import os
import sys
import time

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

ROWS = 4096
folder = sys.argv[1]
os.makedirs(folder, exist_ok=True)
nets = {}


class Graph:
    """Nodes and constants, named as they come."""

    def __init__(self):
        self.nodes, self.constants, self.count = [], [], 0

    def constant(self, array):
        self.count += 1
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), f"c{self.count}"))
        return f"c{self.count}"

    def node(self, kind, *inputs, outputs=1, **attributes):
        names = [f"n{self.count + index + 1}" for index in range(outputs)]
        self.count += outputs
        inputs = [self.constant(value) if isinstance(value, np.ndarray) else value for value in inputs]
        self.nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names[0] if outputs == 1 else names

    def model(self, features, result):
        graph = helper.make_graph(
            self.nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, features])],
            [helper.make_tensor_value_info(result, TensorProto.FLOAT, None)], self.constants)
        imports = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=imports, ir_version=8).SerializeToString()


class Parameters:
    """Drawn from a seed, and remembered in the order that they are asked for."""

    def __init__(self):
        self.random, self.all = np.random.default_rng(11), []

    def draw(self, *shape, spread=None):
        spread = spread if spread is not None else 1 / np.sqrt(shape[0])
        array = self.random.uniform(-spread, spread, shape).astype("f4")
        self.all.append(array)
        return array

    def near_one(self, *shape):
        array = (1 + self.random.uniform(-0.1, 0.1, shape)).astype("f4")
        self.all.append(array)
        return array


def mlp(sizes):
    """Of each layer: weights [inputs, units], biases [units]."""
    parameters = Parameters()
    graph, value = Graph(), "x"
    for place, (inputs, units) in enumerate(zip(sizes, sizes[1:])):
        value = graph.node("Gemm", value, parameters.draw(inputs, units), parameters.draw(units, spread=0.1))
        if place + 2 < len(sizes):
            value = graph.node("Relu", value)
    return sizes[0], parameters.all, {"plain": graph.model(sizes[0], value)}


def transformer(features, width, blocks, heads, hidden, outputs):
    """Numbers' weights and biases [features, width] each, the first token [width]; of each block: the first norm's scale and
    shift (not in the first block), queries, keys, values and output (weights [width, width], biases), the second norm, the
    feed-forward's two layers ([width, 2 hidden], [hidden, width]); the head's norm and layer."""
    parameters = Parameters()
    numbers = parameters.draw(features, width, spread=0.3), parameters.draw(features, width, spread=0.3)
    first = parameters.draw(width, spread=0.3)

    def norm():
        return parameters.near_one(width), parameters.draw(width, spread=0.1)

    def linear(inputs, units):
        return parameters.draw(inputs, units), parameters.draw(units, spread=0.1)

    layers = []
    for block in range(blocks):
        layers.append(dict(
            attention_norm=norm() if block > 0 else None, queries=linear(width, width), keys=linear(width, width),
            values=linear(width, width), output=linear(width, width), hidden_norm=norm(), up=linear(width, 2 * hidden),
            down=linear(hidden, width)))
    head = norm(), linear(width, outputs)
    forms = {}
    for form in ("plain", "joined", "operator"):
        forms[form] = written(form, features, width, heads, numbers, first, layers, head)
    return features, parameters.all, forms


def written(form, features, width, heads, numbers, first, layers, head):
    graph = Graph()
    each = width // heads

    def whole(*values):
        return np.array(values, dtype="i8")

    def linear(value, layer):
        return graph.node("Add", graph.node("MatMul", value, layer[0]), layer[1])

    def norm(value, layer):
        return graph.node("LayerNormalization", value, *layer, axis=-1, epsilon=1e-5)

    def start(value):
        return graph.node("Slice", value, whole(0), whole(1), whole(1))

    def apart(value, axes):
        return graph.node("Transpose", graph.node("Reshape", value, whole(0, 0, heads, each)), perm=axes)

    tokens = graph.node("Add", graph.node("Mul", graph.node("Unsqueeze", "x", whole(2)), numbers[0]), numbers[1])
    rows = graph.node("Gather", graph.node("Shape", "x"), whole(0), axis=0)
    shape = graph.node("Concat", rows, whole(1, width), axis=0)
    tokens = graph.node("Concat", graph.node("Expand", first.reshape(1, 1, width), shape), tokens, axis=1)
    for place, layer in enumerate(layers):
        last = place + 1 == len(layers)
        value = tokens if layer["attention_norm"] is None else norm(tokens, layer["attention_norm"])
        of_queries = start(value) if last else value
        if form == "joined":
            parts = ("keys", "values") if last else ("queries", "keys", "values")
            joined = linear(value, [np.concatenate([layer[part][index] for part in parts], axis=-1) for index in (0, 1)])
            split = graph.node("Split", joined, whole(*[width] * len(parts)), outputs=len(parts), axis=2)
            queries = linear(of_queries, layer["queries"]) if last else split[0]
            keys, values = split[-2:]
        else:
            queries, keys, values = linear(of_queries, layer["queries"]), linear(value, layer["keys"]), linear(value, layer["values"])
        if form == "operator":
            mixed = graph.node("MultiHeadAttention", queries, keys, values, num_heads=heads, domain="com.microsoft")
        else:
            scores = graph.node("MatMul", apart(queries, [0, 2, 1, 3]), apart(keys, [0, 2, 3, 1]))
            shares = graph.node("Softmax", graph.node("Mul", scores, np.array(1 / np.sqrt(each), dtype="f4")), axis=-1)
            mixed = graph.node("Transpose", graph.node("MatMul", shares, apart(values, [0, 2, 1, 3])), perm=[0, 2, 1, 3])
            mixed = graph.node("Reshape", mixed, whole(0, 0, width))
        tokens = graph.node("Add", start(tokens) if last else tokens, linear(mixed, layer["output"]))
        up = linear(norm(tokens, layer["hidden_norm"]), layer["up"])
        half = layer["down"][0].shape[0]
        left, right = graph.node("Split", up, whole(half, half), outputs=2, axis=2)
        gated = graph.node("Mul", left, graph.node("Relu", right))
        tokens = graph.node("Add", tokens, linear(gated, layer["down"]))
    value = graph.node("Reshape", tokens, whole(0, width))
    value = graph.node("Gemm", graph.node("Relu", norm(value, head[0])), *head[1])
    return graph.model(features, value)


def sessions(model):
    made = {}
    for threads in (1, 2):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        made[threads] = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return made


def make(name, **what):
    (kind, shape), = what.items()
    features, parameters, forms = mlp(shape) if kind == "mlp" else transformer(**shape)
    rows = np.random.default_rng(5).standard_normal((ROWS, features)).astype("f4")
    made = {form: sessions(model) for form, model in forms.items()}
    answers = {form: of[1].run(None, {"x": rows})[0] for form, of in made.items()}
    for form in answers:
        np.testing.assert_allclose(answers[form], answers["plain"], rtol=1e-3, atol=1e-4)
    np.save(f"{folder}/{name}.parameters.npy", np.concatenate([array.ravel() for array in parameters]))
    np.save(f"{folder}/{name}.rows.npy", rows)
    np.save(f"{folder}/{name}.answers.npy", answers["plain"])
    graph = Graph()
    nets[name] = dict(rows=rows, forms=made, best={}, small=sessions(graph.model(features, graph.node("Relu", "x")))[1])


def seconds(call, limit):
    call()
    times, end = [], time.perf_counter() + limit
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def timed(name, batch, limit):
    net = nets[name]
    rows = np.ascontiguousarray(net["rows"][:batch])
    if batch not in net["best"]:
        ways = [(form, threads) for form in net["forms"] for threads in (1, 2)]
        looks = {way: seconds(lambda: net["forms"][way[0]][way[1]].run(None, {"x": rows}), limit) for way in ways}
        net["best"][batch] = min(looks, key=looks.get)
    form, threads = net["best"][batch]
    session = net["forms"][form][threads]
    took = seconds(lambda: session.run(None, {"x": rows}), limit)
    overhead = seconds(lambda: net["small"].run(None, {"x": rows[:1]}), 0.02)
    return dict(seconds=took, overhead=overhead, threads=threads, form=form)


def answer(request):
    if "time" in request:
        return timed(request["time"], request["batch"], request["seconds"])
    make(**request["make"])
    return dict(made=request["make"]["name"])


for line in sys.stdin:
    try:
        answered = answer(json.loads(line))
    except Exception as error:
        answered = dict(error=f"{type(error).__name__}: {error}")
    print(json.dumps(answered), flush=True)
