"""Trains nets with JAX as people do (one jitted step, parameters and optimiser state donated, optax's AdamW) and tells the rows
it trains in a second. One JSON request a line: {"net": "mlp"|"resnet", "rows": N, "features": N, "batch": N, "seconds": S,
"threads": N}; one answer a line.

The nets are those of `emberline train`: an MLP of three layers of 512 units, and a ResNet of two blocks (192 values, 384 units
inside, batch norm); dropout, a clipped gradient, weight decay, mean squared error; rows drawn without replacement, gathered from a
table on the device.
"""

import json
import sys
import time
from functools import partial

import jax
import jax.numpy as jnp
import optax

HIDDEN, WIDTH, INSIDE, BLOCKS, DROPOUT = (512, 512, 512), 192, 384, 2, 0.1


def linear(key, inputs, outputs):
    bound = inputs**-0.5
    one, two = jax.random.split(key)
    return {"w": jax.random.uniform(one, (inputs, outputs), minval=-bound, maxval=bound),
            "b": jax.random.uniform(two, (outputs,), minval=-bound, maxval=bound)}


def apply(layer, x):
    return x @ layer["w"] + layer["b"]


def dropout(key, x):
    return jnp.where(jax.random.bernoulli(key, 1 - DROPOUT, x.shape), x / (1 - DROPOUT), 0)


def start_mlp(key, features):
    sizes = [features, *HIDDEN, 1]
    keys = jax.random.split(key, len(sizes))
    return {"layers": [linear(k, a, b) for k, a, b in zip(keys, sizes, sizes[1:])]}, {}


def mlp(parameters, statistics, x, key):
    *hidden, last = parameters["layers"]
    for layer, key in zip(hidden, jax.random.split(key, len(hidden))):
        x = dropout(key, jax.nn.relu(apply(layer, x)))
    return apply(last, x), statistics


def start_resnet(key, features):
    keys = iter(jax.random.split(key, 2 + 2 * BLOCKS))
    norm = lambda: {"w": jnp.ones(WIDTH), "b": jnp.zeros(WIDTH)}
    seen = lambda: {"mean": jnp.zeros(WIDTH), "variance": jnp.ones(WIDTH)}
    blocks = [{"norm": norm(), "first": linear(next(keys), WIDTH, INSIDE), "second": linear(next(keys), INSIDE, WIDTH)}
              for _ in range(BLOCKS)]
    parameters = {"input": linear(next(keys), features, WIDTH), "blocks": blocks, "norm": norm(),
                  "output": linear(next(keys), WIDTH, 1)}
    return parameters, {"norms": [seen() for _ in range(BLOCKS + 1)]}


def batch_norm(norm, seen, x):
    mean, variance = x.mean(0), x.var(0)
    kept = {"mean": 0.9 * seen["mean"] + 0.1 * mean, "variance": 0.9 * seen["variance"] + 0.1 * variance}
    return (x - mean) * jax.lax.rsqrt(variance + 1e-5) * norm["w"] + norm["b"], kept


def resnet(parameters, statistics, x, key):
    x, kept = apply(parameters["input"], x), []
    norms = statistics["norms"]
    for block, seen, key in zip(parameters["blocks"], norms, jax.random.split(key, BLOCKS)):
        inner, now = batch_norm(block["norm"], seen, x)
        kept.append(now)
        x = x + apply(block["second"], dropout(key, jax.nn.relu(apply(block["first"], inner))))
    x, now = batch_norm(parameters["norm"], norms[-1], x)
    return apply(parameters["output"], jax.nn.relu(x)), {"norms": kept + [now]}


NETS = {"mlp": (start_mlp, mlp), "resnet": (start_resnet, resnet)}


def run(request):
    start, forward = NETS[request["net"]]
    rows, features, batch = request["rows"], request["features"], request["batch"]
    key = jax.random.key(0)
    x = jax.random.normal(key, (rows, features))
    y = jnp.sin(x[:, :1]) + x[:, 1:2] * x[:, 2:3]
    parameters, statistics = start(key, features)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3, weight_decay=1e-5))
    moments = optimiser.init(parameters)

    @partial(jax.jit, donate_argnums=(0, 1, 2))
    def step(parameters, statistics, moments, order, place, key):
        picked = jax.lax.dynamic_slice_in_dim(order, place * batch, batch)

        def loss(parameters):
            answer, kept = forward(parameters, statistics, x[picked], key)
            return jnp.mean((answer - y[picked]) ** 2), kept

        (value, kept), gradient = jax.value_and_grad(loss, has_aux=True)(parameters)
        updates, moments = optimiser.update(gradient, moments, parameters)
        return optax.apply_updates(parameters, updates), kept, moments, value

    steps, rates = rows // batch, []
    begun = time.perf_counter()
    epoch = 0
    # The first epoch compiles; each later one is a measurement, shuffling included.
    while epoch < 2 or time.perf_counter() - begun < request["seconds"]:
        started = time.perf_counter()
        key, shuffle = jax.random.split(key)
        order = jax.random.permutation(shuffle, rows)
        for place in range(steps):
            key, noise = jax.random.split(key)
            parameters, statistics, moments, value = step(parameters, statistics, moments, order, place, noise)
        value.block_until_ready()
        if epoch > 0:
            rates.append(steps * batch / (time.perf_counter() - started))
        epoch += 1
    rates.sort()
    return {"rows_per_second": rates[len(rates) // 2], "loss": float(value), "jax": jax.__version__}


for line in sys.stdin:
    print(json.dumps(run(json.loads(line))), flush=True)
