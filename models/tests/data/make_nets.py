"""Makes nets/*.safetensors and nets/expected.json: each kind of net of docs/nets.md with weights that a seed draws, as another
tool would write them, and its answers as numpy computes them in f64. The tests import them and compare.

Usage, with numpy and safetensors installed: python make_nets.py
"""

import json
import os

import numpy as np
from safetensors.numpy import save_file

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "nets")
INPUTS, OUTPUTS, ROWS = 7, 2, 5
# Two numbers, a column of three values, a number, and one more value.
SEGMENTS = [{"number": 0}, {"number": 1}, {"other": {"start": 2, "end": 5}}, {"number": 5}, {"other": {"start": 6, "end": 7}}]
NUMBERS, REST = [0, 1, 5], [2, 3, 4, 6]
EDGES = [[-1.0, 0.0, 0.5, 1.0], [-1.0, 1.0], [-0.75, 0.25, 0.75]]
random = np.random.default_rng(20)
X = random.uniform(-1.5, 1.5, (ROWS, INPUTS)).astype("f4")


class Weights(dict):
    """Draws what is asked for, once."""

    def of(self, key, *shape, around=0.0):
        if key not in self:
            self[key] = (around + random.uniform(-0.6, 0.6, shape)).astype("f4")
        return self[key].astype("f8")

    def linear(self, x, key, inputs, outputs):
        return x @ self.of(f"{key}.weight", inputs, outputs) + self.of(f"{key}.bias", outputs)

    def layer_norm(self, x, key):
        width = x.shape[-1]
        centred = x - x.mean(-1, keepdims=True)
        normed = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        return normed * self.of(f"{key}.weight", width, around=1.0) + self.of(f"{key}.bias", width)

    def batch_norm(self, x, key):
        width = x.shape[-1]
        mean, variance = self.of(f"{key}.mean", width), self.of(f"{key}.variance", width, around=1.0)
        scale, shift = self.of(f"{key}.weight", width, around=1.0), self.of(f"{key}.bias", width)
        return (x - mean) / np.sqrt(variance + 1e-5) * scale + shift


def relu(x):
    return np.maximum(x, 0.0)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def periodic(w, x, frequencies, width, shared):
    angle = 2 * np.pi * x[:, :, None] * w.of("embedding.frequencies", len(NUMBERS), frequencies)
    waves = np.concatenate([np.cos(angle), np.sin(angle)], -1)
    if shared:
        return relu(w.linear(waves, "embedding", 2 * frequencies, width))
    weight = w.of("embedding.weight", len(NUMBERS), 2 * frequencies, width)
    return relu(np.einsum("rni,nio->rno", waves, weight) + w.of("embedding.bias", len(NUMBERS), width))


def piecewise(w, x, width):
    bins = max(len(edges) for edges in EDGES) - 1
    code = np.zeros((len(x), len(EDGES), bins))
    for number, edges in enumerate(EDGES):
        count = len(edges) - 1
        for bin in range(count):
            part = (x[:, number] - edges[bin]) / (edges[bin + 1] - edges[bin])
            part = part if bin == 0 else np.maximum(part, 0.0)
            part = part if bin == count - 1 else np.minimum(part, 1.0)
            code[:, number, bins - 1 if bin == count - 1 else bin] = part
    shape = (len(EDGES), width)
    linear = x[:, :, None] * w.of("embedding.linear.weight", *shape) + w.of("embedding.linear.bias", *shape)
    return linear + np.einsum("rnb,nbo->rno", code, w.of("embedding.weight", len(EDGES), bins, width))


def perceptron(w, x, hidden):
    for layer, units in enumerate(hidden):
        x = relu(w.linear(x, f"layers.{layer}", x.shape[1], units))
    return w.linear(x, f"layers.{len(hidden)}", x.shape[1], OUTPUTS)


def tabm(w, x, members, hidden):
    x = np.repeat(x[:, None, :], members, 1)
    for layer, units in enumerate(hidden):
        width = x.shape[2]
        x = x * w.of(f"layers.{layer}.r", members, width)
        x = x @ w.of(f"layers.{layer}.weight", width, units)
        x = relu(x * w.of(f"layers.{layer}.s", members, units) + w.of(f"layers.{layer}.bias", members, units))
    weight = w.of("output.weight", members, x.shape[2], OUTPUTS)
    return (np.einsum("rmi,mio->rmo", x, weight) + w.of("output.bias", members, OUTPUTS)).mean(1)


def resnet(w, x, blocks, width, hidden):
    x = w.linear(x, "input", INPUTS, width)
    for block in range(blocks):
        inner = w.batch_norm(x, f"blocks.{block}.norm")
        inner = relu(w.linear(inner, f"blocks.{block}.first", width, hidden))
        x = x + w.linear(inner, f"blocks.{block}.second", hidden, width)
    return w.linear(relu(w.batch_norm(x, "norm")), "output", width, OUTPUTS)


def transformer(w, x, blocks, width, heads, hidden):
    numbers = x[:, NUMBERS, None] * w.of("tokens.numbers.weight", len(NUMBERS), width)
    tokens = [numbers + w.of("tokens.numbers.bias", len(NUMBERS), width)]
    for index, (start, end) in enumerate([(2, 5), (6, 7)]):
        tokens.append(w.linear(x[:, start:end], f"tokens.{index}", end - start, width)[:, None])
    answer = np.broadcast_to(w.of("tokens.answer", width), (len(x), 1, width))
    x = np.concatenate([answer] + tokens, 1)
    split = lambda t: t.reshape(len(t), -1, heads, width // heads).transpose(0, 2, 1, 3)
    for block in range(blocks):
        key = f"blocks.{block}"
        normed = x if block == 0 else w.layer_norm(x, f"{key}.attention_norm")
        query, keys, value = (split(w.linear(normed, f"{key}.{part}", width, width)) for part in ("query", "key", "value"))
        weights = softmax(query @ keys.transpose(0, 1, 3, 2) / np.sqrt(width // heads))
        mixed = (weights @ value).transpose(0, 2, 1, 3).reshape(x.shape)
        x = x + w.linear(mixed, f"{key}.out", width, width)
        inner = w.linear(w.layer_norm(x, f"{key}.norm"), f"{key}.first", width, 2 * hidden)
        x = x + w.linear(inner[..., :hidden] * relu(inner[..., hidden:]), f"{key}.second", hidden, width)
    return w.linear(relu(w.layer_norm(x[:, 0], "norm")), "output", width, OUTPUTS)


def embedded(w, vectors, x):
    return np.concatenate([vectors.reshape(len(x), -1), x[:, REST]], 1)


def main():
    os.makedirs(HERE, exist_ok=True)
    x = X.astype("f8")
    none, numbers = {"kind": "none"}, x[:, NUMBERS]
    mlp = {"kind": "mlp", "hidden": [6, 4], "dropout": 0.0}
    ple = {"kind": "piecewise-linear", "edges": EDGES, "width": 4}
    plr = lambda shared: {"kind": "periodic", "frequencies": 3, "width": 4, "scale": 1.0, "shared": shared}
    nets = {
        "mlp": (none, mlp, lambda w: perceptron(w, x, [6, 4])),
        "mlp-plr": (plr(False), mlp, lambda w: perceptron(w, embedded(w, periodic(w, numbers, 3, 4, False), x), [6, 4])),
        "mlp-plr-shared": (plr(True), mlp, lambda w: perceptron(w, embedded(w, periodic(w, numbers, 3, 4, True), x), [6, 4])),
        "mlp-ple": (ple, mlp, lambda w: perceptron(w, embedded(w, piecewise(w, numbers, 4), x), [6, 4])),
        "tabm": (none, {"kind": "tabm", "members": 3, "hidden": [6, 4], "dropout": 0.0}, lambda w: tabm(w, x, 3, [6, 4])),
        "tabm-ple": (
            ple,
            {"kind": "tabm", "members": 3, "hidden": [6], "dropout": 0.0},
            lambda w: tabm(w, embedded(w, piecewise(w, numbers, 4), x), 3, [6]),
        ),
        "resnet": (
            none,
            {"kind": "resnet", "blocks": 2, "width": 5, "hidden": 6, "dropout": 0.0, "residual_dropout": 0.0},
            lambda w: resnet(w, x, 2, 5, 6),
        ),
        "ft-transformer": (
            none,
            {"kind": "ft-transformer", "blocks": 2, "width": 6, "heads": 2, "hidden": 4, "attention_dropout": 0.0, "dropout": 0.0,
             "residual_dropout": 0.0},
            lambda w: transformer(w, x, 2, 6, 2, 4),
        ),
    }
    expected = {"rows": X.reshape(-1).tolist(), "nets": {}}
    for name, (embedding, body, forward) in nets.items():
        weights = Weights()
        expected["nets"][name] = forward(weights).reshape(-1).tolist()
        sizes = {"inputs": INPUTS, "segments": SEGMENTS, "embedding": embedding, "body": body, "outputs": OUTPUTS}
        save_file(dict(weights), os.path.join(HERE, f"{name}.safetensors"), metadata={"emberline.net": json.dumps(sizes)})
    with open(os.path.join(HERE, "expected.json"), "w", encoding="utf-8") as file:
        json.dump(expected, file)
        file.write("\n")


main()
